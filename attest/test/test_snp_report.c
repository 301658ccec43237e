/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "attest/snp_print.h"
#include "attest/snp_product.h"
#include "attest/snp_report.h"

/* Every byte that a report may set, set; scalars far below n. */
static struct snp_report sample(uint32_t version) {
    struct snp_report r;
    memset(&r, 0x5A, sizeof r);
    r.version = version;
    r.policy = SNP_POLICY_RESERVED_ONE | SNP_POLICY_SMT | 0x3700;
    r.vmpl = 2;
    r.signature_algo = SNP_SIGNATURE_ECDSA_P384_SHA384;
    r.platform_info = UINT64_C(0x8000000000000065); /* unknown bits are policy, not format */
    r.key_info = SNP_KEY_VLEK << 2 | 1;
    if (version < 3) {
        r.cpuid_family = r.cpuid_model = r.cpuid_stepping = 0;
    }
    if (version < 5) {
        r.launch_mit_vector = r.current_mit_vector = 0;
    }
    return r;
}

static void test_comes_back_byte_for_byte(void **state) {
    (void)state;
    for (uint32_t version = 2; version <= 5; version++) {
        struct snp_report in = sample(version);
        struct snp_report out = {0};
        uint8_t bytes[SNP_REPORT_SIZE];
        uint8_t again[SNP_REPORT_SIZE];
        snp_report_encode(&in, bytes);
        assert_true(is_ok(snp_report_parse(SPAN(bytes), &out, NULL, NULL)));
        snp_report_encode(&out, again);
        assert_memory_equal(bytes, again, sizeof bytes);
        assert_int_equal(out.guest_svn, 0x5A5A5A5A);
        assert_true(out.platform_info == UINT64_C(0x8000000000000065));
        assert_int_equal(out.current_firmware.major, 0x5A);
        assert_int_equal(snp_report_signing_key(&out), SNP_KEY_VLEK);
    }
}

/* Offsets of AMD 56860 table 23, not of our list. */
static void test_fields_stand_where_amd_says(void **state) {
    (void)state;
    static const struct {
        size_t from;
        size_t to;
    } used[] = {{0x010, 0x030}, {0x038, 0x040}, {0x050, 0x188}, {0x188, 0x18B}, {0x1A0, 0x1EB},
                {0x1EC, 0x1EF}, {0x1F0, 0x208}, {0x2A0, 0x2D0}, {0x2E8, 0x318}};
    struct snp_report r = sample(5);
    uint8_t bytes[SNP_REPORT_SIZE];
    snp_report_encode(&r, bytes);
    for (size_t i = 0; i < sizeof used / sizeof used[0]; i++) {
        for (size_t at = used[i].from; at < used[i].to; at++) {
            assert_int_equal(bytes[at], 0x5A);
        }
    }
    assert_int_equal(bytes[0x030], 2);
    assert_int_equal(bytes[0x034], 1);
}

static void test_every_other_length_is_refused(void **state) {
    (void)state;
    struct snp_report r = sample(5);
    uint8_t bytes[SNP_REPORT_SIZE + 1] = {0};
    snp_report_encode(&r, bytes);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        struct snp_report out = {0};
        struct verdict v;
        verdict_init(&v);
        uint8_t *exact = malloc(n + 1); /* the sanitizer sees a read behind the end */
        memcpy(exact, bytes, n);
        bool good = is_ok(snp_report_parse(span_of(exact, n), &out, &v, NULL));
        free(exact);
        assert_int_equal(good, n == SNP_REPORT_SIZE);
        assert_string_equal(v.code, good ? "" : "SNP-LENGTH");
    }
}

static void test_bad_bytes_are_named(void **state) {
    (void)state;
    static const struct {
        size_t at;
        const char *code;
        uint32_t version;
        uint8_t value;
        const char *check;
    } rows[] = {
        {0x000, "SNP-VERSION", 3, 1, "report-version"},
        {0x000, "SNP-VERSION", 3, 6, "report-version"},
        {0x003, "SNP-VERSION", 3, 1, "report-version"},
        {0x034, "SNP-ALGO", 3, 0, "report-algorithm"},
        {0x034, "SNP-ALGO", 3, 2, "report-algorithm"},
        {0x030, "SNP-VMPL", 3, 4, "report-vmpl"},
        {0x033, "SNP-VMPL", 3, 1, "report-vmpl"},
        {0x048, "SNP-KEY-INFO", 3, 0x20, "report-key-info"},
        {0x04B, "SNP-KEY-INFO", 3, 0x80, "report-key-info"},
        {0x048, "SNP-MASK-CHIP-KEY", 3, 0x02, "report-chip-key"},
        {0x048, "SNP-SIGNING-KEY", 3, 2 << 2, "report-signing-key"},
        {0x048, "SNP-SIGNING-KEY", 3, 3 << 2, "report-signing-key"},
        {0x048, "SNP-SIGNING-KEY", 3, 4 << 2, "report-signing-key"},
        {0x048, "SNP-SIGNING-KEY", 3, 5 << 2, "report-signing-key"},
        {0x048, "SNP-SIGNING-KEY", 3, 6 << 2, "report-signing-key"},
        {0x048, "SNP-SIGNING-KEY", 3, 7 << 2, "report-signing-key"},
        {0x04C, "SNP-RESERVED", 3, 1, "report-reserved"},
        {0x04F, "SNP-RESERVED", 3, 1, "report-reserved"},
        {0x00A, "SNP-POLICY-RESERVED", 3, 1, "report-policy-reserved"},
        {0x00B, "SNP-POLICY-RESERVED", 3, 0x04, "report-policy-reserved"},
        {0x00F, "SNP-POLICY-RESERVED", 3, 0x80, "report-policy-reserved"},
        {0x188, "SNP-RESERVED", 2, 0x19, "report-cpuid-reserved"},
        {0x18A, "SNP-RESERVED", 2, 1, "report-cpuid-reserved"},
        {0x18B, "SNP-RESERVED", 2, 1, "report-reserved"},
        {0x18B, "SNP-RESERVED", 3, 1, "report-reserved"},
        {0x19F, "SNP-RESERVED", 3, 1, "report-reserved"},
        {0x1EB, "SNP-RESERVED", 3, 1, "report-reserved"},
        {0x1EF, "SNP-RESERVED", 3, 1, "report-reserved"},
        {0x1F8, "SNP-RESERVED", 3, 1, "report-mitigation-reserved"},
        {0x207, "SNP-RESERVED", 4, 1, "report-mitigation-reserved"},
        {0x208, "SNP-RESERVED", 5, 1, "report-reserved"},
        {0x29F, "SNP-RESERVED", 5, 1, "report-reserved"},
        {0x330, "SNP-RESERVED", 5, 1, "report-signature-tail"},
        {0x49F, "SNP-RESERVED", 5, 1, "report-signature-tail"},
        {0x2D0, "SNP-SIGNATURE-RANGE", 5, 1, "report-signature-range"},
        {0x2E7, "SNP-SIGNATURE-RANGE", 5, 1, "report-signature-range"},
        {0x318, "SNP-SIGNATURE-RANGE", 5, 1, "report-signature-range"},
        {0x32F, "SNP-SIGNATURE-RANGE", 5, 1, "report-signature-range"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct snp_report r = sample(rows[i].version);
        struct snp_report out = {.vmpl = 77};
        struct verdict v;
        uint8_t bytes[SNP_REPORT_SIZE];
        verdict_init(&v);
        snp_report_encode(&r, bytes);
        bytes[rows[i].at] = rows[i].value;
        assert_int_equal(snp_report_parse(SPAN(bytes), &out, &v, NULL).code, ERR_DENIED);
        assert_string_equal(v.code, rows[i].code);
        assert_string_equal(v.checks[v.check_count - 1].name, rows[i].check);
        assert_false(v.checks[v.check_count - 1].ok);
        assert_int_equal(out.vmpl, 77);
    }
}

#define ORDER_HEAD                                                                                 \
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196acc"   \
    "c529"
#define ZEROS_47                                                                                   \
    "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"   \
    "0000"

/* n of P-384, ending in 73, from openssl ecparam -name secp384r1 -param_enc explicit -text,
 * big-endian. */
static void test_scalars_end_at_the_order(void **state) {
    (void)state;
    static const struct {
        const char *big_endian;
        bool good;
    } rows[] = {
        {ORDER_HEAD "72", true}, {ORDER_HEAD "73", false}, {ORDER_HEAD "74", false},
        {ZEROS_47 "01", true},   {ZEROS_47 "00", false},
    };
    for (size_t i = 0; i < 2 * sizeof rows / sizeof rows[0]; i++) {
        struct snp_report r = sample(5);
        struct snp_report out;
        uint8_t big_endian[48];
        uint8_t bytes[SNP_REPORT_SIZE];
        assert_true(is_ok(hex_decode(span_str(rows[i / 2].big_endian), big_endian, 48, NULL)));
        for (size_t k = 0; k < 48; k++) {
            (i % 2 == 0 ? r.r : r.s)[k] = big_endian[47 - k];
        }
        snp_report_encode(&r, bytes);
        assert_int_equal(is_ok(snp_report_parse(SPAN(bytes), &out, NULL, NULL)), rows[i / 2].good);
    }
}

/* Every byte that AMD reserves, in every version: the ranges of AMD 56860 table 23. */
static void test_every_reserved_byte_counts(void **state) {
    (void)state;
    static const struct {
        size_t from;
        size_t to;
        uint32_t before; /* reserved in versions below this one */
    } ranges[] = {{0x04C, 0x050, 6}, {0x188, 0x18B, 3}, {0x18B, 0x1A0, 6}, {0x1EB, 0x1EC, 6},
                  {0x1EF, 0x1F0, 6}, {0x1F8, 0x208, 5}, {0x208, 0x2A0, 6}, {0x330, 0x4A0, 6}};
    for (uint32_t version = 2; version <= 5; version++) {
        struct snp_report r = sample(version);
        uint8_t bytes[SNP_REPORT_SIZE];
        snp_report_encode(&r, bytes);
        for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
            for (size_t at = ranges[i].from; at < ranges[i].to; at++) {
                struct snp_report out;
                bytes[at] ^= 0x80;
                bool good = is_ok(snp_report_parse(SPAN(bytes), &out, NULL, NULL));
                assert_int_equal(good, version >= ranges[i].before);
                bytes[at] ^= 0x80;
            }
        }
    }
}

/* Shown, not judged. */
static void test_load_reads_what_parse_refuses(void **state) {
    (void)state;
    struct snp_report r = sample(5);
    struct snp_report out;
    uint8_t bytes[SNP_REPORT_SIZE];
    snp_report_encode(&r, bytes);
    bytes[0] = 9;
    snp_report_load(bytes, &out);
    assert_int_equal(out.version, 9);
    assert_int_equal(out.vmpl, 2);
}

/* Display family and model; the stepping says nothing. */
static void test_products_by_cpuid(void **state) {
    (void)state;
    static const struct {
        uint8_t family;
        uint8_t model;
        enum snp_product product;
    } rows[] = {
        {0x19, 0x00, SNP_MILAN},           {0x19, 0x0F, SNP_MILAN},
        {0x19, 0x10, SNP_GENOA},           {0x19, 0x1F, SNP_GENOA},
        {0x19, 0x20, SNP_PRODUCT_UNKNOWN}, {0x19, 0x9F, SNP_PRODUCT_UNKNOWN},
        {0x19, 0xA0, SNP_GENOA},           {0x19, 0xAF, SNP_GENOA},
        {0x19, 0xB0, SNP_PRODUCT_UNKNOWN}, {0x1A, 0x00, SNP_TURIN},
        {0x1A, 0x11, SNP_TURIN},           {0x1A, 0x12, SNP_PRODUCT_UNKNOWN},
        {0x1A, 0x50, SNP_PRODUCT_UNKNOWN}, {0x1A, 0x90, SNP_PRODUCT_UNKNOWN}, /* Venice */
        {0x1A, 0xC7, SNP_PRODUCT_UNKNOWN}, {0x17, 0x01, SNP_PRODUCT_UNKNOWN},
        {0x00, 0x00, SNP_PRODUCT_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct snp_report r = sample(3);
        r.cpuid_family = rows[i].family;
        r.cpuid_model = rows[i].model;
        for (unsigned step = 0; step < 16; step++) {
            r.cpuid_stepping = (uint8_t)step;
            assert_int_equal(snp_product_of_report(&r), rows[i].product);
        }
    }
}

/* Version 2: eight bytes of CHIP_ID are Turin's, more are Milan's or Genoa's, none say nothing. */
static void test_products_by_chip_id(void **state) {
    (void)state;
    struct snp_report r = sample(2);
    assert_int_equal(snp_product_of_report(&r), SNP_PRODUCT_UNKNOWN);
    memset(r.chip_id + 8, 0, sizeof r.chip_id - 8);
    assert_int_equal(snp_product_of_report(&r), SNP_TURIN);
    r.chip_id[63] = 1;
    assert_int_equal(snp_product_of_report(&r), SNP_PRODUCT_UNKNOWN);
    memset(r.chip_id, 0, sizeof r.chip_id);
    assert_int_equal(snp_product_of_report(&r), SNP_PRODUCT_UNKNOWN);
}

/* AMD 57230 table 8: which bytes of a TCB a product uses; the rest must be zero. */
static void test_reserved_bytes_of_a_tcb(void **state) {
    (void)state;
    static const struct {
        enum snp_product product;
        const char *used; /* one character a byte */
    } rows[] = {{SNP_MILAN, "bt....su"}, {SNP_GENOA, "bt....su"}, {SNP_TURIN, "fbts...u"}};
    for (size_t i = 0; i < 3 * 8; i++) {
        uint8_t raw[8] = {0};
        struct snp_tcb tcb = {0};
        raw[i % 8] = 7;
        char used = rows[i / 8].used[i % 8];
        assert_int_equal(is_ok(snp_tcb_decode(rows[i / 8].product, raw, &tcb, NULL)), used != '.');
        assert_int_equal(tcb.fmc, used == 'f' ? 7 : 0);
        assert_int_equal(tcb.bootloader, used == 'b' ? 7 : 0);
        assert_int_equal(tcb.tee, used == 't' ? 7 : 0);
        assert_int_equal(tcb.snp, used == 's' ? 7 : 0);
        assert_int_equal(tcb.microcode, used == 'u' ? 7 : 0);
    }
}

static void test_print_names_the_fields(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf text = {0};
    struct snp_report r = sample(5);
    r.cpuid_family = 0x19;
    r.cpuid_model = 0x01;
    memcpy(r.current_tcb, "\x04\0\0\0\0\0\x18\xdb", 8);
    json_t *object = snp_report_to_json(&r);
    const json_t *tcb = json_object_get(object, "CURRENT_TCB");
    assert_int_equal(json_integer_value(json_object_get(tcb, "microcode")), 219);
    assert_string_equal(json_string_value(json_object_get(object, "product")), "Milan");
    snp_print_text(object, &text);
    assert_non_null(strstr(buf_cstr(&text), "\nVMPL               2\n"));
    json_decref(object);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comes_back_byte_for_byte),
        cmocka_unit_test(test_fields_stand_where_amd_says),
        cmocka_unit_test(test_every_other_length_is_refused),
        cmocka_unit_test(test_bad_bytes_are_named),
        cmocka_unit_test(test_scalars_end_at_the_order),
        cmocka_unit_test(test_every_reserved_byte_counts),
        cmocka_unit_test(test_load_reads_what_parse_refuses),
        cmocka_unit_test(test_products_by_cpuid),
        cmocka_unit_test(test_products_by_chip_id),
        cmocka_unit_test(test_reserved_bytes_of_a_tcb),
        cmocka_unit_test(test_print_names_the_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
