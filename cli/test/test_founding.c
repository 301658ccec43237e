/* The owner's checks of a founder list. The cluster ids were computed by Python's hashlib from the
 * formula in founding.h. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/founding.h"

static char *borrow(const char *text) {
    union {
        const char *in;
        char *out;
    } u = {text};
    return u.out;
}

/* Three founders, sorted: first 63 bits of SHA-256 of "key-2", "key-1", "key-0". */
struct fixture {
    struct api_founder founders[3];
    struct api_prepare_reply reply;
};

static void fill(struct fixture *f) {
    static const char *const names[] = {"coordinator-2", "coordinator-1", "coordinator-0"};
    static const char *const addresses[] = {"10.0.0.2:7443", "10.0.0.1:7443", "10.0.0.0:7443"};
    static const char *const keys[] = {"key-2", "key-1", "key-0"};
    static const uint64_t ids[] = {UINT64_C(4475267776540242060), UINT64_C(6851305623573524921),
                                   UINT64_C(7707184530148864792)};
    for (size_t i = 0; i < 3; i++) {
        f->founders[i] = (struct api_founder){.id = ids[i],
                                              .name = borrow(names[i]),
                                              .address = borrow(addresses[i]),
                                              .spki = span_str(keys[i])};
    }
    f->reply = (struct api_prepare_reply){.founders = {f->founders, 3}};
    founding_cluster_id(f->founders, 3, f->reply.cluster);
}

static void test_cluster_id_is_the_documented_hash(void **state) {
    (void)state;
    struct fixture f;
    uint8_t id[32];
    char hex[65];
    fill(&f);
    hex_encode(SPAN(f.reply.cluster), hex);
    assert_string_equal(hex, "70adbff1fa7482b98da7f0826a4b6be0a750dd6d9b65e6e0211073863c8d86ec");
    founding_cluster_id(NULL, 0, id);
    hex_encode(SPAN(id), hex);
    assert_string_equal(hex, "24d2e7207cfad76991787e99c39efe9e21309befbb8084eed2a05c6ca81cb47e");
}

static enum err_code check(const struct fixture *f, uint64_t replicas) {
    struct err err;
    return founding_check(&f->reply, replicas, &err).code;
}

static void test_a_good_list_passes(void **state) {
    (void)state;
    struct fixture f;
    fill(&f);
    assert_int_equal(check(&f, 3), ERR_OK);
}

static void test_count_order_ids_and_cluster_are_checked(void **state) {
    (void)state;
    struct fixture f;
    fill(&f);
    assert_int_equal(check(&f, 5), ERR_DIFFERS);
    f.reply.cluster[31] ^= 1;
    assert_int_equal(check(&f, 3), ERR_DIFFERS);
    fill(&f);
    struct api_founder first = f.founders[0];
    f.founders[0] = f.founders[1];
    f.founders[1] = first;
    founding_cluster_id(f.founders, 3, f.reply.cluster);
    assert_int_equal(check(&f, 3), ERR_DIFFERS);
    fill(&f);
    f.founders[1] = f.founders[0]; /* twice the same */
    founding_cluster_id(f.founders, 3, f.reply.cluster);
    assert_int_equal(check(&f, 3), ERR_DIFFERS);
    fill(&f);
    f.founders[2].id++; /* not its key's */
    founding_cluster_id(f.founders, 3, f.reply.cluster);
    assert_int_equal(check(&f, 3), ERR_DIFFERS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cluster_id_is_the_documented_hash),
        cmocka_unit_test(test_a_good_list_passes),
        cmocka_unit_test(test_count_order_ids_and_cluster_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
