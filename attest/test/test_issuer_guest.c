/* Issuer driver of /dev/sev-guest against an emulated kernel: a script of answers, one for each
 * ioctl, honest or not.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>

#include <cmocka.h>

#include "attest/issuer_guest.h"
#include "attest/snp_certtable.h"
#include "lib/base/limits.h"

#define STEPS 32
#define DESCRIPTOR 42
#define REPORT_DATA 0x50

/* What the kernel does at one ioctl. */
struct step {
    int error; /* errno; 0 = a report */
    uint32_t vmm_error;
    uint32_t firmware_error;
    uint32_t wanted; /* size of the table, with INVALID_LEN */
    uint32_t status;
    uint32_t size_off; /* added to the report's size */
};

/* What it was asked. */
struct seen {
    unsigned long code;
    uint32_t vmpl;
    uint32_t room;
};

struct kernel {
    struct step script[STEPS];
    size_t step_count;
    struct seen seen[STEPS];
    size_t count; /* ioctls */
    int opened;
    int closed;
    int open_error;
    bool is_other; /* the report is over other data */
    struct buf table;
    uint8_t key_request[ISSUER_KEY_REQUEST_SIZE];
};

struct guest_fixture {
    struct kernel kernel;
    struct issuer_guest_calls calls;
    struct issuer *issuer;
    struct issuer_evidence evidence;
    struct err err;
    uint8_t data[ISSUER_DATA_SIZE];
};

static const struct snp_certtable certificates = {.vcek = {(const uint8_t *)"vcek", 4},
                                                  .ask = {(const uint8_t *)"ask", 3},
                                                  .ark = {(const uint8_t *)"ark", 3}};

/* --- The kernel */

static int on_open(void *data, const char *path) {
    struct kernel *k = data;
    assert_string_equal(path, "/dev/sev-guest");
    if (k->open_error != 0) {
        errno = k->open_error;
        return -1;
    }
    k->opened++;
    return DESCRIPTOR;
}

static void on_close(void *data, int fd) {
    struct kernel *k = data;
    assert_int_equal(fd, DESCRIPTOR);
    k->closed++;
}

static void answer(const struct kernel *k, const struct step *s, struct issuer_guest_ioctl *io,
                   const struct issuer_guest_request *request) {
    struct issuer_guest_response response = {.status = s->status,
                                             .report_size = LIMIT_SNP_REPORT + s->size_off};
    memcpy(response.report + REPORT_DATA, request->user_data, ISSUER_DATA_SIZE);
    response.report[REPORT_DATA] ^= (uint8_t)k->is_other;
    memcpy((void *)(uintptr_t)io->response, &response, sizeof response);
}

static void copy_table(const struct kernel *k, const struct issuer_guest_ext_request *request) {
    if (request->table_size > 0) {
        assert_int_equal(request->table % 4096, 0);
        assert_true(request->table_size >= k->table.size);
        if (k->table.size > 0) {
            memcpy((void *)(uintptr_t)request->table, k->table.data, k->table.size);
        }
    }
}

/* The answer to a request for a key: the request is kept, `size_off` bytes of the key are lacking.
 */
static int give_key(struct kernel *k, const struct step *s, struct issuer_guest_ioctl *io) {
    uint8_t response[ISSUER_KEY_RESPONSE_SIZE] = {0};
    memcpy(k->key_request, (const void *)(uintptr_t)io->request, sizeof k->key_request);
    k->seen[k->count++] = (struct seen){.code = ISSUER_GUEST_GET_DERIVED_KEY};
    io->vmm_error = s->vmm_error;
    io->firmware_error = s->firmware_error;
    if (s->error != 0) {
        errno = s->error;
        return -1;
    }
    store_u32le(response, s->status);
    memset(response + 32, (int)k->count, ISSUER_KEY_SIZE);
    memcpy((void *)(uintptr_t)io->response, response, sizeof response - s->size_off);
    return 0;
}

static int on_ioctl(void *data, int fd, unsigned long code, struct issuer_guest_ioctl *io) {
    struct kernel *k = data;
    assert_int_equal(fd, DESCRIPTOR);
    assert_int_equal(io->message_version, 1);
    assert_true(k->count < k->step_count); /* no more calls than the script has */
    const struct step *s = &k->script[k->count];
    if (code == ISSUER_GUEST_GET_DERIVED_KEY) {
        return give_key(k, s, io);
    }
    struct issuer_guest_ext_request request = {0};
    bool is_extended = code == ISSUER_GUEST_GET_EXT_REPORT;
    assert_true(is_extended || code == ISSUER_GUEST_GET_REPORT);
    memcpy(&request, (const void *)(uintptr_t)io->request,
           is_extended ? sizeof request : sizeof request.report);
    k->seen[k->count++] = (struct seen){code, request.report.vmpl, request.table_size};
    io->vmm_error = s->vmm_error;
    io->firmware_error = s->firmware_error;
    if (s->error == 0) {
        answer(k, s, io, &request.report);
        copy_table(k, &request);
        return 0;
    }
    if (is_extended) {
        request.table_size = s->wanted;
        memcpy((void *)(uintptr_t)io->request, &request, sizeof request);
    }
    errno = s->error;
    return -1;
}

/* --- Fixture */

static int set_up(void **state) {
    struct guest_fixture *f = calloc(1, sizeof *f);
    void *driver = NULL;
    assert_non_null(f);
    f->calls = (struct issuer_guest_calls){&f->kernel, on_open, on_ioctl, on_close};
    memset(f->data, 0xA5, sizeof f->data);
    assert_true(is_ok(issuer_guest_open(&f->calls, "/dev/sev-guest", &driver, &f->err)));
    f->issuer = issuer_new(&issuer_guest, driver);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct guest_fixture *f = *state;
    issuer_close(f->issuer);
    assert_int_equal(f->kernel.opened, f->kernel.closed);
    issuer_evidence_deinit(&f->evidence);
    buf_deinit(&f->kernel.table);
    free(f);
    return 0;
}

static void plan(struct guest_fixture *f, struct step step) {
    assert_true(f->kernel.step_count < STEPS);
    f->kernel.script[f->kernel.step_count++] = step;
}

static void plan_wish(struct guest_fixture *f, uint32_t wanted) {
    plan(f,
         (struct step){.error = EIO, .vmm_error = ISSUER_GUEST_VMM_INVALID_LEN, .wanted = wanted});
}

static void plan_report(struct guest_fixture *f) {
    plan(f, (struct step){0});
}

/* Asks; the whole script must be used up. */
static void expect_report(struct guest_fixture *f) {
    issuer_evidence_deinit(&f->evidence);
    f->evidence = (struct issuer_evidence){0};
    struct result r = issuer_report(f->issuer, f->data, &f->evidence, &f->err);
    if (!is_ok(r)) {
        fail_msg("%s: %s", err_name(r.code), f->err.text);
    }
    assert_int_equal(f->kernel.count, f->kernel.step_count);
    assert_int_equal(f->evidence.report.size, LIMIT_SNP_REPORT);
}

static void expect_error(struct guest_fixture *f, enum err_code code, const char *text) {
    struct result r = issuer_report(f->issuer, f->data, &f->evidence, &f->err);
    if (r.code != code || strstr(f->err.text, text) == NULL) {
        fail_msg("got %s '%s', want %s '%s'", err_name(r.code), f->err.text, err_name(code), text);
    }
    assert_int_equal(f->kernel.count, f->kernel.step_count);
    assert_int_equal(f->evidence.report.size, 0);
}

/* --- Tests */

static void test_table_grows_once(void **state) {
    struct guest_fixture *f = *state;
    snp_certtable_encode(&certificates, &f->kernel.table);
    plan_wish(f, 4096);
    plan_report(f);
    expect_report(f);
    assert_int_equal(f->kernel.seen[0].code, ISSUER_GUEST_GET_EXT_REPORT);
    assert_int_equal(f->kernel.seen[0].room, 0);
    assert_int_equal(f->kernel.seen[1].room, 4096);
    assert_int_equal(f->kernel.seen[1].vmpl, 0);
    assert_true(span_equal(buf_span(&f->evidence.vek), span_str("vcek")));
    assert_int_equal(f->evidence.chain_count, 2);
    plan_report(f); /* the room is remembered: one call */
    expect_report(f);
    assert_int_equal(f->kernel.seen[2].room, 4096);
}

static void test_host_changes_its_mind(void **state) {
    struct guest_fixture *f = *state;
    plan_wish(f, 4096);
    plan_wish(f, 16384);
    plan_wish(f, 8192);
    plan_report(f);
    expect_report(f);
    assert_int_equal(f->kernel.seen[3].room, 8192);
    for (int i = 0; i < LIMIT_ISSUER_TRIES; i++) {
        plan_wish(f, i % 2 == 0 ? 4096 : 8192);
    }
    issuer_evidence_deinit(&f->evidence);
    f->evidence = (struct issuer_evidence){0};
    expect_error(f, ERR_UNAVAILABLE, "another size for its certificate table 5 times");
}

static void test_impossible_sizes(void **state) {
    struct guest_fixture *f = *state;
    static const struct {
        uint32_t wanted;
        enum err_code code;
        const char *text;
    } rows[] = {
        {0, ERR_MALFORMED, "wants 0 bytes"},
        {1, ERR_MALFORMED, "wants 1 bytes for its certificate table, no multiple of 4096"},
        {4095, ERR_MALFORMED, "wants 4095"},
        {16384 + 4096, ERR_TOO_LARGE, "wants 20480 bytes for its certificate table, limit 16384"},
        {0xFFFFF000, ERR_TOO_LARGE, "wants 4294963200"},
        {0xFFFFFFFF, ERR_MALFORMED, "wants 4294967295"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        plan_wish(f, rows[i].wanted);
        expect_error(f, rows[i].code, rows[i].text);
    }
}

static void test_host_without_certificates(void **state) {
    struct guest_fixture *f = *state;
    plan_report(f);
    expect_report(f);
    assert_int_equal(f->evidence.vek.size, 0);
    assert_int_equal(f->evidence.chain_count, 0);
}

static void test_hostile_table(void **state) {
    struct guest_fixture *f = *state;
    memset(buf_extend(&f->kernel.table, 4096), 0xFF, 4096);
    plan_wish(f, 4096);
    plan_report(f);
    expect_error(f, ERR_TOO_LARGE, "certificate table: more than 32 entries");
}

/* A table of an earlier call must not show through a host that gives none. */
static void test_nothing_is_left_of_an_earlier_table(void **state) {
    struct guest_fixture *f = *state;
    snp_certtable_encode(&certificates, &f->kernel.table);
    plan_wish(f, 4096);
    plan_report(f);
    expect_report(f);
    buf_clear(&f->kernel.table);
    plan_report(f);
    expect_report(f);
    assert_int_equal(f->evidence.vek.size, 0);
}

static void test_throttled(void **state) {
    struct guest_fixture *f = *state;
    plan(f, (struct step){.error = EIO, .vmm_error = ISSUER_GUEST_VMM_BUSY});
    expect_error(f, ERR_BUSY, "throttles");
    plan(f, (struct step){.error = ETIMEDOUT});
    expect_error(f, ERR_BUSY, "throttles");
    plan(f, (struct step){.error = EBUSY});
    expect_error(f, ERR_BUSY, "throttles");
    plan_report(f);
    expect_report(f);
}

static void test_refusals(void **state) {
    struct guest_fixture *f = *state;
    plan(f, (struct step){.status = 0x16});
    expect_error(f, ERR_UNAVAILABLE, "status 0x16");
    plan(f, (struct step){.status = 0x27});
    expect_error(f, ERR_UNAVAILABLE, "status 0x27");
    plan(f, (struct step){.error = EIO, .firmware_error = 0x1a, .vmm_error = 0x63});
    expect_error(f, ERR_UNAVAILABLE, "firmware error 0x1a, host error 0x63");
    plan(f, (struct step){.size_off = 1});
    expect_error(f, ERR_MALFORMED, "has 1185 bytes, want 1184");
    plan(f, (struct step){.size_off = (uint32_t)-1184});
    expect_error(f, ERR_MALFORMED, "has 0 bytes");
    f->kernel.is_other = true;
    plan_report(f);
    expect_error(f, ERR_MALFORMED, "not over the REPORT_DATA");
}

/* ENOTTY is what the kernel says of an ioctl that it does not know, and of a wiped key: the plain
 * request tells them apart. */
static void test_kernel_without_tables(void **state) {
    struct guest_fixture *f = *state;
    plan(f, (struct step){.error = ENOTTY});
    plan_report(f);
    expect_report(f);
    assert_int_equal(f->kernel.seen[1].code, ISSUER_GUEST_GET_REPORT);
    assert_int_equal(f->kernel.seen[1].vmpl, 0);
    plan_report(f); /* remembered */
    expect_report(f);
    assert_int_equal(f->kernel.seen[2].code, ISSUER_GUEST_GET_REPORT);
    plan(f, (struct step){.error = ENOTTY});
    issuer_evidence_deinit(&f->evidence);
    f->evidence = (struct issuer_evidence){0};
    expect_error(f, ERR_LOST, ISSUER_LOST_TEXT);
}

static void test_lost_for_ever(void **state) {
    struct guest_fixture *f = *state;
    plan(f, (struct step){.error = EIO, .firmware_error = 0x1a});
    expect_error(f, ERR_UNAVAILABLE, "no report"); /* the kernel wipes the key now */
    plan(f, (struct step){.error = ENOTTY});
    plan(f, (struct step){.error = ENOTTY});
    expect_error(f, ERR_LOST, ISSUER_LOST_TEXT);
    for (int i = 0; i < 3; i++) { /* at once: the script has no further call */
        expect_error(f, ERR_LOST, "restart the pod");
    }
    assert_int_equal(err_class_of(ERR_LOST), ERR_CLASS_LOCAL);
}

static void test_device_that_went_away(void **state) {
    struct guest_fixture *f = *state;
    plan(f, (struct step){.error = ENODEV});
    plan(f, (struct step){.error = ENODEV});
    expect_error(f, ERR_LOST, ISSUER_LOST_TEXT);
}

static void test_open(void **state) {
    struct guest_fixture *f = *state;
    void *driver = NULL;
    assert_int_equal(issuer_guest_open(&f->calls, "dev/sev-guest", &driver, &f->err).code,
                     ERR_CONFIG);
    f->kernel.open_error = EACCES;
    assert_int_equal(issuer_guest_open(&f->calls, "/dev/sev-guest", &driver, &f->err).code,
                     ERR_UNAVAILABLE);
    assert_string_equal(f->err.text, "/dev/sev-guest: Permission denied");
    assert_null(driver);
}

/* The real system calls, on a device that is none of AMD's: it knows no such ioctl. */
static void test_real_calls(void **state) {
    struct guest_fixture *f = *state;
    struct issuer *issuer = NULL;
    assert_true(is_ok(issuer_open("sev-guest:/dev/null", &issuer, &f->err)));
    struct result r = issuer_report(issuer, f->data, &f->evidence, &f->err);
    assert_int_equal(r.code, ERR_LOST);
    issuer_close(issuer);
    assert_int_equal(issuer_open("sev-guest:/nonexistent", &issuer, &f->err).code, ERR_UNAVAILABLE);
}

/* --- Derived keys */

#define UNTOUCHED 0xEE

static const struct issuer_key_spec spec = {
    .fields = ISSUER_FIELD_MEASUREMENT, .vmpl = 2, .guest_svn = 3, .tcb_version = 4};

static void free_secret(struct secret **s) {
    secret_free(*s);
}

/* Every byte of the key is this number, UNTOUCHED of a failure. */
static void expect_filled(const struct secret *key, int number) {
    uint8_t want[ISSUER_KEY_SIZE];
    memset(want, number, sizeof want);
    assert_true(span_equal(secret_span(key), SPAN(want)));
}

static void expect_key(struct guest_fixture *f) {
    AUTO(free_secret)
    struct secret *key = secret_new(ISSUER_KEY_SIZE);
    struct result r = issuer_derive_key(f->issuer, &spec, key, &f->err);
    if (!is_ok(r)) {
        fail_msg("%s: %s", err_name(r.code), f->err.text);
    }
    assert_int_equal(f->kernel.count, f->kernel.step_count);
    expect_filled(key, (int)f->kernel.count);
}

static void expect_no_key(struct guest_fixture *f, enum err_code code, const char *text) {
    AUTO(free_secret)
    struct secret *key = secret_new(ISSUER_KEY_SIZE);
    memset(secret_data(key), UNTOUCHED, ISSUER_KEY_SIZE);
    struct result r = issuer_derive_key(f->issuer, &spec, key, &f->err);
    if (r.code != code || strstr(f->err.text, text) == NULL) {
        fail_msg("got %s '%s', want %s '%s'", err_name(r.code), f->err.text, err_name(code), text);
    }
    assert_int_equal(f->kernel.count, f->kernel.step_count);
    expect_filled(key, UNTOUCHED);
}

static void test_key(void **state) {
    struct guest_fixture *f = *state;
    static const uint8_t request[ISSUER_KEY_REQUEST_SIZE] = {
        [8] = ISSUER_FIELD_MEASUREMENT, [16] = 2, [20] = 3, [24] = 4};
    plan(f, (struct step){0});
    expect_key(f);
    assert_int_equal(f->kernel.seen[0].code, ISSUER_GUEST_GET_DERIVED_KEY);
    assert_memory_equal(f->kernel.key_request, request, sizeof request);
    plan_report(f); /* a report and a key do not disturb each other */
    expect_report(f);
    plan(f, (struct step){0});
    expect_key(f);
}

static void test_key_refused(void **state) {
    struct guest_fixture *f = *state;
    plan(f, (struct step){.status = 0x16});
    expect_no_key(f, ERR_UNAVAILABLE, "wrong parameter (status 0x16)");
    plan(f, (struct step){.status = 0x27});
    expect_no_key(f, ERR_UNAVAILABLE, "status 0x27");
    plan(f, (struct step){.error = EIO, .firmware_error = 0x1a, .vmm_error = 0x63});
    expect_no_key(f, ERR_UNAVAILABLE,
                  "no derived key: Input/output error, firmware error 0x1a, host error 0x63");
    plan(f, (struct step){.error = EINVAL});
    expect_no_key(f, ERR_UNAVAILABLE, "no derived key: Invalid argument");
    plan(f, (struct step){0}); /* none of these is the end */
    expect_key(f);
}

static void test_key_throttled(void **state) {
    struct guest_fixture *f = *state;
    static const int errors[] = {EBUSY, EAGAIN, ETIMEDOUT, EINTR};
    plan(f, (struct step){.error = EIO, .vmm_error = ISSUER_GUEST_VMM_BUSY});
    expect_no_key(f, ERR_BUSY, "the host throttles derived keys");
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        plan(f, (struct step){.error = errors[i]});
        expect_no_key(f, ERR_BUSY, "the host throttles derived keys");
    }
}

/* A kernel that says "done" and writes nothing, or a status and no key. */
static void test_key_that_is_not_written(void **state) {
    struct guest_fixture *f = *state;
    plan(f, (struct step){.size_off = ISSUER_KEY_RESPONSE_SIZE});
    expect_no_key(f, ERR_MALFORMED, "all zeros");
    plan(f, (struct step){.size_off = ISSUER_KEY_SIZE});
    expect_no_key(f, ERR_MALFORMED, "all zeros");
}

/* What is lost is lost for keys and reports, whichever noticed. */
static void test_key_lost_for_ever(void **state) {
    struct guest_fixture *f = *state;
    plan(f, (struct step){.error = ENOTTY});
    expect_no_key(f, ERR_LOST, ISSUER_LOST_TEXT);
    expect_no_key(f, ERR_LOST, "restart the pod"); /* at once: the script has no further call */
    expect_error(f, ERR_LOST, "restart the pod");
}

static void test_key_lost_with_reports(void **state) {
    struct guest_fixture *f = *state;
    plan(f, (struct step){.error = ENODEV});
    plan(f, (struct step){.error = ENODEV});
    expect_error(f, ERR_LOST, ISSUER_LOST_TEXT);
    expect_no_key(f, ERR_LOST, "restart the pod");
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_table_grows_once),
        T(test_host_changes_its_mind),
        T(test_impossible_sizes),
        T(test_host_without_certificates),
        T(test_hostile_table),
        T(test_nothing_is_left_of_an_earlier_table),
        T(test_throttled),
        T(test_refusals),
        T(test_kernel_without_tables),
        T(test_lost_for_ever),
        T(test_device_that_went_away),
        T(test_open),
        T(test_real_calls),
        T(test_key),
        T(test_key_refused),
        T(test_key_throttled),
        T(test_key_that_is_not_written),
        T(test_key_lost_for_ever),
        T(test_key_lost_with_reports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
