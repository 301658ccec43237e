/* Certificate table: what a hostile host may send, and a real one of AWS.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "attest/snp_certtable.h"
#include "lib/base/file.h"
#include "lib/base/limits.h"

#define ENTRY ((size_t)24)

static struct buf make_good(void) {
    struct snp_certtable table = {
        .vcek = span_str("vcek bytes"), .ask = span_str("ask"), .ark = span_str("the ark")};
    struct buf out = {0};
    snp_certtable_encode(&table, &out);
    return out;
}

static void test_round_trip(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf bytes = make_good();
    struct snp_certtable got = {0};
    assert_true(is_ok(snp_certtable_parse(buf_span(&bytes), &got, NULL)));
    assert_true(span_equal(got.vcek, span_str("vcek bytes")));
    assert_true(span_equal(got.ask, span_str("ask")));
    assert_true(span_equal(got.ark, span_str("the ark")));
    assert_int_equal(got.vlek.size + got.crl.size, 0);
}

static void test_empty_input_is_an_empty_table(void **state) {
    (void)state;
    struct snp_certtable got = {.vcek = span_str("x")};
    assert_true(is_ok(snp_certtable_parse(span_of(NULL, 0), &got, NULL)));
    assert_int_equal(got.vcek.size, 0);
    uint8_t terminator[ENTRY] = {0};
    assert_true(is_ok(snp_certtable_parse(SPAN(terminator), &got, NULL)));
}

static void test_every_prefix_is_refused(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf bytes = make_good();
    for (size_t n = 1; n < bytes.size; n++) {
        struct snp_certtable got = {0};
        struct err err;
        struct result r = snp_certtable_parse(span_of(bytes.data, n), &got, &err);
        assert_int_equal(r.code, ERR_MALFORMED);
        assert_int_equal(got.vcek.size, 0);
    }
}

struct bad {
    const char *name;
    size_t at;      /* where the good table is changed */
    uint32_t value; /* little-endian */
    enum err_code code;
    const char *text;
};

/* Entries in the good table: VCEK at 0, ASK at 24, ARK at 48, terminator at 72. */
static const struct bad bads[] = {
    {"offset in the entries", 16, 95, ERR_MALFORMED, "entry 0 (VCEK): offset 95 lies in the"},
    {"offset zero", 24 + 16, 0, ERR_MALFORMED, "entry 1 (ASK): offset 0 lies"},
    {"end behind the table", 48 + 16, 110, ERR_MALFORMED, "entry 2 (ARK): ends at 117"},
    {"sum over 32 bits", 16, 0xFFFFFFF8, ERR_MALFORMED, "ends at 4294967298"},
    {"length over 32 bits", 20, 0xFFFFFFFF, ERR_MALFORMED, "entry 0 (VCEK): ends at"},
    {"empty certificate", 20, 0, ERR_MALFORMED, "entry 0 (VCEK): empty"},
    {"terminator is not zero", 72 + 16, 1, ERR_MALFORMED, "ends after 4 entries"},
};

static void test_bad_tables(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bads / sizeof bads[0]; i++) {
        AUTO(buf_deinit)
        struct buf bytes = make_good();
        struct snp_certtable got = {0};
        struct err err = {0};
        store_u32le(bytes.data + bads[i].at, bads[i].value);
        struct result r = snp_certtable_parse(buf_span(&bytes), &got, &err);
        if (r.code != bads[i].code || strstr(err.text, bads[i].text) == NULL) {
            fail_msg("%s: got %s '%s'", bads[i].name, err_name(r.code), err.text);
        }
    }
}

static void test_duplicate_guid(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf bytes = make_good();
    memcpy(bytes.data + 48, bytes.data, 16);
    struct snp_certtable got = {0};
    struct err err;
    struct result r = snp_certtable_parse(buf_span(&bytes), &got, &err);
    assert_int_equal(r.code, ERR_MALFORMED);
    assert_non_null(strstr(err.text, "entry 2: same GUID as entry 0"));
}

static void test_zero_guid(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf bytes = make_good();
    memset(bytes.data + 24, 0, 16);
    struct snp_certtable got = {0};
    struct err err;
    assert_int_equal(snp_certtable_parse(buf_span(&bytes), &got, &err).code, ERR_MALFORMED);
    assert_non_null(strstr(err.text, "entry 1: zero GUID with an offset"));
}

static void test_unknown_guid_is_skipped_but_bounded(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf bytes = make_good();
    bytes.data[0] ^= 0xFF;
    struct snp_certtable got = {0};
    assert_true(is_ok(snp_certtable_parse(buf_span(&bytes), &got, NULL)));
    assert_int_equal(got.vcek.size, 0);
    assert_true(span_equal(got.ask, span_str("ask")));
    store_u32le(bytes.data + 20, 4096);
    assert_int_equal(snp_certtable_parse(buf_span(&bytes), &got, NULL).code, ERR_MALFORMED);
}

static void test_limits(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf bytes = make_good();
    struct snp_certtable got = {0};
    struct err err;
    memset(buf_extend(&bytes, LIMIT_CERT), 1, LIMIT_CERT);
    store_u32le(bytes.data + 20, LIMIT_CERT + 1);
    assert_int_equal(snp_certtable_parse(buf_span(&bytes), &got, &err).code, ERR_TOO_LARGE);
    assert_non_null(strstr(err.text, "entry 0 (VCEK): 4097 bytes, limit 4096"));
    memset(buf_extend(&bytes, LIMIT_SNP_CERTTABLE), 1, LIMIT_SNP_CERTTABLE);
    assert_int_equal(snp_certtable_parse(buf_span(&bytes), &got, NULL).code, ERR_TOO_LARGE);
}

static void test_too_many_entries(void **state) {
    (void)state;
    enum { COUNT = LIMIT_SNP_CERTTABLE_ENTRIES + 1 };
    uint8_t bytes[(COUNT + 1) * ENTRY] = {0};
    for (size_t i = 0; i < COUNT; i++) {
        bytes[i * ENTRY] = (uint8_t)(i + 1);
        store_u32le(bytes + i * ENTRY + 16, sizeof bytes);
    }
    struct snp_certtable got = {0};
    assert_int_equal(snp_certtable_parse(SPAN(bytes), &got, NULL).code, ERR_TOO_LARGE);
    memset(bytes + (COUNT - 1) * ENTRY, 0, ENTRY);
    assert_true(is_ok(snp_certtable_parse(SPAN(bytes), &got, NULL)));
}

static void test_entries_are_listed(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf bytes = make_good();
    struct snp_certtable_entry entries[LIMIT_SNP_CERTTABLE_ENTRIES];
    size_t count = 0;
    memset(bytes.data + 24, 0xEE, 16); /* the ASK's GUID becomes another's */
    assert_true(snp_certtable_is_table(buf_span(&bytes)));
    assert_true(is_ok(snp_certtable_list(buf_span(&bytes), entries, &count, NULL)));
    assert_int_equal(count, 3);
    assert_string_equal(entries[0].name, "VCEK");
    assert_string_equal(entries[0].guid, "63da758d-e664-4564-adc5-f4b93be8accd");
    assert_int_equal(entries[0].offset, 4 * ENTRY);
    assert_true(span_equal(entries[0].content, span_str("vcek bytes")));
    assert_null(entries[1].name);
    assert_string_equal(entries[1].guid, "eeeeeeee-eeee-eeee-eeee-eeeeeeeeeeee");
    assert_string_equal(entries[2].name, "ARK");
    bytes.data[0] ^= 1; /* a host's own entry may come first */
    assert_true(snp_certtable_is_table(buf_span(&bytes)));
    bytes.data[0] ^= 1;
    bytes.size--;
    assert_int_equal(snp_certtable_list(buf_span(&bytes), entries, &count, NULL).code,
                     ERR_MALFORMED);
    assert_true(snp_certtable_is_table(buf_span(&bytes))); /* damaged, but a table */
    bytes.data[0] ^= 1;
    assert_false(snp_certtable_is_table(buf_span(&bytes)));
}

static void test_table_of_a_real_host(void **state) {
    (void)state;
    const char *root = getenv("CONTRAST_TESTDATA");
    char path[4096];
    snprintf(path, sizeof path, "%s/snp/milan/aws_auxblob_certtable.bin",
             root != NULL ? root : "../shared/testdata");
    AUTO(buf_deinit)
    struct buf bytes = {0};
    struct err err;
    struct result r = file_read(path, LIMIT_SNP_CERTTABLE, &bytes, &err);
    if (r.code == ERR_NOT_FOUND) {
        const char *ci = getenv("CI");
        assert_false(ci != NULL && strcmp(ci, "true") == 0);
        print_message("no test data at %s: skipped\n", path);
        skip();
    }
    assert_true(is_ok(r));
    struct snp_certtable got = {0};
    assert_true(is_ok(snp_certtable_parse(buf_span(&bytes), &got, &err)));
    assert_int_equal(got.vlek.size, 0x527);
    assert_int_equal(got.vlek.data[0], 0x30);
    assert_int_equal(got.vcek.size + got.ask.size + got.ark.size, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_empty_input_is_an_empty_table),
        cmocka_unit_test(test_every_prefix_is_refused),
        cmocka_unit_test(test_bad_tables),
        cmocka_unit_test(test_duplicate_guid),
        cmocka_unit_test(test_zero_guid),
        cmocka_unit_test(test_unknown_guid_is_skipped_but_bounded),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_too_many_entries),
        cmocka_unit_test(test_entries_are_listed),
        cmocka_unit_test(test_table_of_a_real_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
