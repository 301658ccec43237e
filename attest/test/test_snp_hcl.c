/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "attest/snp_hcl.h"
#include "attest/snp_report.h"
#include "lib/crypto/digest.h"

#define BLOB_SIZE 2600
#define JSON "{\"keys\":[]}"

/* A blob with the hash of this kind in its report. */
static void make(uint32_t hash, uint8_t blob[BLOB_SIZE]) {
    struct span json = span_str(JSON);
    memset(blob, 0, BLOB_SIZE);
    memcpy(blob, "HCLA", 4);
    store_u32le(blob + 0x20, 3);
    store_u32le(blob + 0x4C8, 2);
    store_u32le(blob + 0x4CC, hash);
    store_u32le(blob + 0x4D0, (uint32_t)json.size);
    memcpy(blob + 0x4D4, json.data, json.size);
    uint8_t *report_data = blob + 0x20 + 0x50;
    if (hash == SNP_HCL_SHA256) {
        sha256(json, report_data);
    } else if (hash == SNP_HCL_SHA384) {
        sha384(json, report_data);
    } else {
        sha512(json, report_data);
    }
}

static void test_report_and_runtime_data_are_found(void **state) {
    (void)state;
    for (uint32_t hash = SNP_HCL_SHA256; hash <= SNP_HCL_SHA512; hash++) {
        uint8_t blob[BLOB_SIZE];
        struct snp_hcl hcl = {0};
        make(hash, blob);
        assert_true(snp_hcl_is_blob(SPAN(blob)));
        assert_true(is_ok(snp_hcl_parse(SPAN(blob), &hcl, NULL)));
        assert_ptr_equal(hcl.report.data, blob + 0x20);
        assert_int_equal(hcl.report.size, SNP_REPORT_SIZE);
        assert_true(span_equal(hcl.runtime, span_str(JSON)));
        assert_true(snp_hcl_is_bound(&hcl));
        blob[0x4D4] ^= 1; /* other runtime data */
        assert_false(snp_hcl_is_bound(&hcl));
        blob[0x4D4] ^= 1;
        blob[0x20 + 0x50 + 63] ^= 1; /* the end of REPORT_DATA */
        assert_false(snp_hcl_is_bound(&hcl));
    }
}

static void test_bad_blobs_are_refused(void **state) {
    (void)state;
    static const struct {
        size_t at;
        uint32_t value;
        const char *text;
    } rows[] = {
        {0x000, 0x414C4348 + 1, "HCLA"},
        {0x4C8, 0, "report type 0"},
        {0x4C8, 4, "4 (TDX)"},
        {0x4CC, 0, "hash type 0"},
        {0x4CC, 4, "hash type 4"},
        {0x4D0, BLOB_SIZE - 0x4D4 + 1, "room for 1364"},
        {0x4D0, UINT32_MAX, "room for 1364"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t blob[BLOB_SIZE];
        struct snp_hcl hcl = {0};
        struct err err = {0};
        make(SNP_HCL_SHA256, blob);
        store_u32le(blob + rows[i].at, rows[i].value);
        assert_int_equal(snp_hcl_parse(SPAN(blob), &hcl, &err).code, ERR_MALFORMED);
        assert_non_null(strstr(err.text, rows[i].text));
        assert_int_equal(hcl.report.size, 0);
    }
}

static void test_every_prefix(void **state) {
    (void)state;
    uint8_t blob[BLOB_SIZE];
    make(SNP_HCL_SHA256, blob);
    for (size_t n = 0; n <= sizeof blob; n++) {
        struct snp_hcl hcl = {0};
        uint8_t *exact = malloc(n + 1); /* the sanitizer sees a read behind the end */
        memcpy(exact, blob, n);
        bool good = is_ok(snp_hcl_parse(span_of(exact, n), &hcl, NULL));
        assert_int_equal(good, n >= 0x4D4 + strlen(JSON));
        assert_true(!good || snp_hcl_is_bound(&hcl));
        free(exact);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_report_and_runtime_data_are_found),
        cmocka_unit_test(test_bad_blobs_are_refused),
        cmocka_unit_test(test_every_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
