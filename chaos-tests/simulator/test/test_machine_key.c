/* Machine keys: same inputs, same key; each selected field changes it, each other one does not; and
 * what firmware refuses. The expected key is computed here once more, from RFC 5869.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "chaos-tests/simulator/machine_key.h"

#define KEY_AT 32
#define FIELDS 6
#define ALL_FIELDS 63

struct key_world {
    struct machine machine;
    struct machine_guest guest;
    uint8_t request[MACHINE_KEY_REQUEST_SIZE];
    uint8_t response[MACHINE_KEY_RESPONSE_SIZE];
};

static struct key_world world;

static int set_up(void **state) {
    struct key_world *w = &world;
    *w = (struct key_world){0};
    w->machine.product = SNP_MILAN;
    w->machine.tcb = (struct snp_tcb){.bootloader = 4, .snp = 24, .microcode = 219};
    w->machine.chip_secret = secret_new(MACHINE_CHIP_SECRET_SIZE);
    memset(secret_data(w->machine.chip_secret), 0xC1, MACHINE_CHIP_SECRET_SIZE);
    w->guest.policy = 0x30000;
    w->guest.guest_svn = 7;
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct key_world *w = *state;
    machine_deinit(&w->machine);
    return 0;
}

static uint32_t derive(struct key_world *w) {
    memset(w->response, 0xEE, sizeof w->response);
    machine_key_derive(&w->machine, &w->guest, w->request, w->response);
    assert_true(span_is_zero(span_of(w->response + 4, KEY_AT - 4)));
    return load_u32le(w->response);
}

static void expect_key(struct key_world *w, uint8_t out[MACHINE_KEY_SIZE]) {
    assert_int_equal(derive(w), MACHINE_KEY_OK);
    memcpy(out, w->response + KEY_AT, MACHINE_KEY_SIZE);
}

static void expect_refused(struct key_world *w, uint32_t status) {
    assert_int_equal(derive(w), status);
    assert_true(span_is_zero(span_of(w->response + KEY_AT, MACHINE_KEY_SIZE)));
}

static void select_fields(struct key_world *w, uint64_t fields) {
    store_u64le(w->request + 8, fields);
}

/* Changes the field of this bit of GUEST_FIELD_SELECT, in the guest or in the request. */
static void change(struct key_world *w, unsigned field) {
    uint8_t *const places[FIELDS] = {NULL,
                                     &w->guest.image_id[15],
                                     &w->guest.family_id[0],
                                     &w->guest.measurement[47],
                                     &w->request[20],
                                     &w->request[24]};
    if (field == 0) {
        w->guest.policy ^= UINT64_C(1) << 16;
    } else {
        *places[field] ^= 1;
    }
}

static void test_selected_fields_and_no_others(void **state) {
    struct key_world *w = *state;
    uint8_t before[MACHINE_KEY_SIZE];
    uint8_t after[MACHINE_KEY_SIZE];
    for (uint64_t fields = 0; fields <= ALL_FIELDS; fields++) {
        select_fields(w, fields);
        for (unsigned i = 0; i < FIELDS; i++) {
            expect_key(w, before);
            change(w, i);
            expect_key(w, after);
            bool is_selected = (fields >> i & 1) != 0;
            assert_int_equal(memcmp(before, after, sizeof before) != 0, is_selected);
            change(w, i);
            expect_key(w, after);
            assert_memory_equal(before, after, sizeof before);
        }
    }
}

/* Each selection is a key of its own, even where all the fields are zero. */
static void test_each_selection_is_another_key(void **state) {
    struct key_world *w = *state;
    static uint8_t keys[ALL_FIELDS + 1][MACHINE_KEY_SIZE];
    w->guest.policy = 0;
    for (uint64_t i = 0; i <= ALL_FIELDS; i++) {
        select_fields(w, i);
        expect_key(w, keys[i]);
        for (uint64_t k = 0; k < i; k++) {
            assert_memory_not_equal(keys[i], keys[k], MACHINE_KEY_SIZE);
        }
    }
}

static void test_who_asks_does_not_matter(void **state) {
    struct key_world *w = *state;
    uint8_t before[MACHINE_KEY_SIZE];
    uint8_t after[MACHINE_KEY_SIZE];
    select_fields(w, ALL_FIELDS);
    expect_key(w, before);
    memset(w->guest.host_data, 0xAA, sizeof w->guest.host_data);
    memset(w->guest.report_id, 0xBB, sizeof w->guest.report_id);
    expect_key(w, after);
    assert_memory_equal(before, after, sizeof before);
}

static void test_chip_and_vmpl_always_matter(void **state) {
    struct key_world *w = *state;
    uint8_t before[MACHINE_KEY_SIZE];
    uint8_t after[MACHINE_KEY_SIZE];
    expect_key(w, before);
    store_u32le(w->request + 16, 3);
    expect_key(w, after);
    assert_memory_not_equal(before, after, sizeof before);
    store_u32le(w->request + 16, 0);
    secret_data(w->machine.chip_secret)[31] ^= 1;
    expect_key(w, after);
    assert_memory_not_equal(before, after, sizeof before);
}

static void test_root_keys(void **state) {
    struct key_world *w = *state;
    static const struct {
        uint32_t root;
        uint32_t status;
    } rows[] = {{0, 0},    {2, 0},    {4, 0x27}, {6, 0x16},
                {1, 0x16}, {8, 0x16}, {3, 0x16}, {0x80000000, 0x16}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        store_u32le(w->request, rows[i].root);
        if (rows[i].status == 0) {
            assert_int_equal(derive(w), MACHINE_KEY_OK);
        } else {
            expect_refused(w, rows[i].status);
        }
    }
}

static void test_wrong_parameters(void **state) {
    struct key_world *w = *state;
    static const struct {
        size_t at;
        uint8_t value;
        uint32_t status;
    } rows[] = {
        {4, 1, 0x16},  {7, 0x80, 0x16},                 /* reserved */
        {8, 64, 0x16}, {15, 0x80, 0x16},                /* fields */
        {16, 3, 0},    {16, 4, 0x16},    {19, 1, 0x16}, /* VMPL */
        {20, 7, 0},    {20, 8, 0x16},    {23, 1, 0x16}, /* SVN of the guest: 7 */
        {24, 4, 0},    {24, 5, 0x16},    {25, 1, 0x16}, /* bootloader, TEE */
        {26, 1, 0x16}, {29, 1, 0x16},                   /* reserved on Milan */
        {30, 24, 0},   {30, 25, 0x16},                  /* SNP */
        {31, 219, 0},  {31, 220, 0x16},                 /* microcode */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        memset(w->request, 0, sizeof w->request);
        w->request[rows[i].at] = rows[i].value;
        if (rows[i].status == 0) {
            assert_int_equal(derive(w), MACHINE_KEY_OK);
        } else {
            expect_refused(w, rows[i].status);
        }
    }
}

static void hmac(const uint8_t *key, size_t key_size, const uint8_t *in, size_t size,
                 uint8_t out[32]) {
    assert_non_null(HMAC(EVP_sha256(), key, (int)key_size, in, size, out, NULL));
}

/* RFC 5869 by hand over the input that machine_key.h describes. */
static void test_the_derivation(void **state) {
    struct key_world *w = *state;
    uint8_t info[256] = "contrast-snp-simulator-key-v1";
    uint8_t prk[32];
    uint8_t want[32];
    uint8_t salt[32] = {0};
    size_t at = sizeof "contrast-snp-simulator-key-v1" + 4 + 8;
    info[at - 1] = 1 | 8;     /* GUEST_FIELD_SELECT: policy and measurement */
    info[at + 5] = 3;         /* policy 0x30000, big-endian */
    info[at + 8 + 32] = 0x5A; /* first byte of the measurement */
    size_t size = at + 8 + 16 + 16 + 48 + 4 + 8;
    info[size] = 1; /* the counter of the first block */
    hmac(salt, sizeof salt, secret_data(w->machine.chip_secret), MACHINE_CHIP_SECRET_SIZE, prk);
    hmac(prk, sizeof prk, info, size + 1, want);
    w->guest.measurement[0] = 0x5A;
    select_fields(w, 1 | 8);
    assert_int_equal(derive(w), MACHINE_KEY_OK);
    assert_memory_equal(w->response + KEY_AT, want, sizeof want);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_selected_fields_and_no_others),
        T(test_each_selection_is_another_key),
        T(test_who_asks_does_not_matter),
        T(test_chip_and_vmpl_always_matter),
        T(test_root_keys),
        T(test_wrong_parameters),
        T(test_the_derivation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
