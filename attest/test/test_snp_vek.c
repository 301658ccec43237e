/* What stands in a leaf, one thing changed at a time: the certificate of a machine of our own is
 * altered, encoded again, and read. Signatures are not looked at here (test_snp_cert.c).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "attest/snp_cert.h"
#include "attest/test/snp_fixture.h"

#define CSP_ID "CN=cloud.example"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct snp_fixture milan;
static struct snp_fixture turin;

static X509 *parse(const struct buf *der) {
    const unsigned char *at = der->data;
    X509 *x509 = d2i_X509(NULL, &at, (long)der->size);
    assert_non_null(x509);
    return x509;
}

/* Encodes, frees, and reads it as a leaf of this kind and product. */
static void expect(X509 *x509, enum snp_signing_key kind, enum snp_product product,
                   const char *code) {
    unsigned char *der = NULL;
    struct snp_cert cert = {0};
    struct snp_vek vek;
    struct verdict verdict;
    struct err err = {0};
    verdict_init(&verdict);
    assert_true(i2d_re_X509_tbs(x509, NULL) > 0);
    int size = i2d_X509(x509, &der);
    assert_true(size > 0);
    X509_free(x509);
    assert_true(is_ok(snp_cert_parse(span_of(der, (size_t)size), "leaf", &cert, &verdict, NULL)));
    bool good = is_ok(snp_vek_parse(&cert, kind, product, &vek, &verdict, &err));
    if (strcmp(verdict.code, code) != 0) {
        fail_msg("want '%s', have '%s'", code, err.text);
    }
    assert_int_equal(good, code[0] == '\0');
    snp_cert_deinit(&cert);
    OPENSSL_free(der);
}

static void expect_vcek(X509 *x509, const char *code) {
    expect(x509, SNP_KEY_VCEK, SNP_MILAN, code);
}

static void expect_vlek(X509 *x509, const char *code) {
    expect(x509, SNP_KEY_VLEK, SNP_MILAN, code);
}

static void test_good_leaves(void **state) {
    (void)state;
    expect_vcek(parse(&milan.vcek), "");
    expect_vlek(parse(&milan.vlek), "");
    expect(parse(&turin.vcek), SNP_KEY_VCEK, SNP_TURIN, "");
}

static void test_kind_and_product(void **state) {
    (void)state;
    expect_vlek(parse(&milan.vcek), "SNP-VEK-KIND");
    expect_vcek(parse(&milan.vlek), "SNP-VEK-KIND");
    expect_vcek(parse(&milan.ask), "SNP-VEK-KIND");
    expect_vcek(parse(&turin.vcek), "SNP-PRODUCT");
    expect(parse(&milan.vcek), SNP_KEY_VCEK, SNP_TURIN, "SNP-PRODUCT");
}

static void test_version(void **state) {
    (void)state;
    for (long version = X509_VERSION_1; version <= X509_VERSION_2; version++) {
        X509 *x509 = parse(&milan.vcek);
        assert_int_equal(X509_set_version(x509, version), 1);
        expect_vcek(x509, "SNP-VEK-VERSION");
    }
}

/* Entry `i` of the subject dropped, or replaced by `value`. */
static X509 *with_subject(int i, const char *value) {
    X509 *x509 = parse(&milan.vcek);
    X509_NAME *name = X509_get_subject_name(x509);
    X509_NAME_ENTRY *entry = X509_NAME_delete_entry(name, i);
    int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
    X509_NAME_ENTRY_free(entry);
    if (value != NULL) {
        assert_int_equal(X509_NAME_add_entry_by_NID(name, nid, V_ASN1_UTF8STRING,
                                                    (const unsigned char *)value, -1, i, 0),
                         1);
    }
    return x509;
}

static void test_subject(void **state) {
    (void)state;
    expect_vcek(with_subject(0, "Engineering"), "");
    for (int i = 0; i < 5; i++) { /* the CN stays: it says the kind */
        expect_vcek(with_subject(i, "XX"), "SNP-VEK-SUBJECT");
        expect_vcek(with_subject(i, NULL), "SNP-VEK-SUBJECT");
    }
}

static void test_key(void **state) {
    (void)state;
    EVP_PKEY *keys[] = {EVP_EC_gen("P-256"), EVP_EC_gen("P-521"), EVP_RSA_gen(2048)};
    for (size_t i = 0; i < COUNT(keys); i++) {
        X509 *x509 = parse(&milan.vcek);
        assert_int_equal(X509_set_pubkey(x509, keys[i]), 1);
        expect_vcek(x509, "SNP-VEK-KEY");
        EVP_PKEY_free(keys[i]);
    }
}

/* One extension of AMD's: `arc` behind 1.3.6.1.4.1.3704.1. */
struct content {
    const char *arc;
    const char *bytes;
    size_t size;
    const char *code;
};
#define BYTES(text) (text), sizeof(text) - 1

static void set_content(X509 *x509, const struct content *c) {
    char oid[64];
    snprintf(oid, sizeof oid, "1.3.6.1.4.1.3704.1.%s", c->arc);
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    int at = X509_get_ext_by_OBJ(x509, object, -1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    assert_true(at >= 0 &&
                ASN1_OCTET_STRING_set(value, (const unsigned char *)c->bytes, (int)c->size) == 1);
    assert_int_equal(X509_EXTENSION_set_data(X509_get_ext(x509, at), value), 1);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(object);
}

#define EIGHT "\x11\x11\x11\x11\x11\x11\x11\x11"
#define SIXTY_FOUR EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT

static void test_contents_of_a_vcek(void **state) {
    (void)state;
    static const struct content rows[] = {
        {"3.1", BYTES("\x02\x01\x7f"), ""},
        {"3.8", BYTES("\x02\x02\x00\xff"), ""},
        {"3.8", BYTES("\x02\x02\x01\xde"), "SNP-VEK-SPL"}, /* 478, whose last byte looks good */
        {"3.8", BYTES("\x02\x01\xdb"), "SNP-VEK-SPL"},     /* negative */
        {"3.8", BYTES("\x02\x02\x00\x7f"), "SNP-VEK-SPL"}, /* not the shortest */
        {"3.8", BYTES("\x02\x01\x05\x00"), "SNP-VEK-SPL"}, /* something behind */
        {"3.8", BYTES("\x04\x01\x05"), "SNP-VEK-SPL"},     /* an OCTET STRING */
        {"3.8", BYTES("\x05"), "SNP-VEK-SPL"},
        {"3.4", BYTES("\x02\x01\x01"), "SNP-VEK-SPL"}, /* unused ones are zero */
        {"3.7", BYTES("\x02\x01\x01"), "SNP-VEK-SPL"},
        {"1", BYTES("\x02\x01\x01"), "SNP-VEK-SPL"}, /* Turin's structure */
        {"2", BYTES("\x16\x05Milan"), ""},
        {"2", BYTES("\x16\x08Milan-B1"), ""},
        {"2", BYTES("\x16\x05Genoa"), "SNP-VEK-PRODUCT"},
        {"2", BYTES("\x16\x06Milanx"), "SNP-VEK-PRODUCT"},
        {"2", BYTES("\x16\x03-B0"), "SNP-VEK-PRODUCT"},
        {"2", BYTES("\x0c\x05Milan"), "SNP-VEK-PRODUCT"}, /* UTF8String */
        {"2", BYTES("\x16\x06Milan"), "SNP-VEK-PRODUCT"}, /* a wrong length */
        {"2",
         BYTES("\x16\x08Milan-\x01"
               "1"),
         "SNP-VEK-PRODUCT"},
        {"4", BYTES(SIXTY_FOUR), ""},
        {"4", BYTES(EIGHT), "SNP-VEK-HWID"},
        {"4", BYTES(SIXTY_FOUR "\x11"), "SNP-VEK-HWID"},
        {"4", BYTES("\x04\x40" SIXTY_FOUR), "SNP-VEK-HWID"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        X509 *x509 = parse(&milan.vcek);
        set_content(x509, &rows[i]);
        expect_vcek(x509, rows[i].code);
    }
}

static void test_contents_of_turin(void **state) {
    (void)state;
    static const struct content rows[] = {
        {"1", BYTES("\x02\x01\x00"), "SNP-VEK-SPL"},
        {"3.9", BYTES("\x02\x01\x7f"), ""},
        {"3.9", BYTES("\x02\x02\x00\x01"), "SNP-VEK-SPL"},
        {"4", BYTES(SIXTY_FOUR), "SNP-VEK-HWID"},
        {"4", BYTES(EIGHT), ""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        X509 *x509 = parse(&turin.vcek);
        set_content(x509, &rows[i]);
        expect(x509, SNP_KEY_VCEK, SNP_TURIN, rows[i].code);
    }
}

static void test_contents_of_a_vlek(void **state) {
    (void)state;
    static const struct content rows[] = {
        {"5", BYTES("\x16\x01x"), ""},
        {"5",
         BYTES("\x16\x7f" SIXTY_FOUR "123456789012345678901234567890123456789012345678901234"
               "567890123"),
         "SNP-VEK-CSPID"}, /* not printable */
        {"5", BYTES("\x16\x00"), "SNP-VEK-CSPID"},
        {"5", BYTES("\x0c\x01x"), "SNP-VEK-CSPID"},
        {"5", BYTES("\x16\x03xy"), "SNP-VEK-CSPID"},
        {"5", BYTES("\x16\x02xyz"), "SNP-VEK-CSPID"},
        {"5", BYTES("\x16\x03x\0y"), "SNP-VEK-CSPID"},
        {"5", BYTES("CN=x"), "SNP-VEK-CSPID"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        X509 *x509 = parse(&milan.vlek);
        set_content(x509, &rows[i]);
        expect_vlek(x509, rows[i].code);
    }
}

/* The longest that AMD's short length can say. */
static void test_length_of_a_provider(void **state) {
    (void)state;
    char bytes[130] = {0x16};
    for (size_t size = 126; size <= 128; size++) {
        const struct content c = {"5", bytes, 2 + size, NULL};
        X509 *x509 = parse(&milan.vlek);
        memset(bytes + 2, 'x', size);
        bytes[1] = (char)size;
        set_content(x509, &c);
        expect_vlek(x509, size < 128 ? "" : "SNP-VEK-CSPID");
    }
}

static int make_machines(void **state) {
    (void)state;
    snp_fixture_init(&milan, SNP_MILAN);
    snp_fixture_add_vlek(&milan, CSP_ID);
    snp_fixture_init(&turin, SNP_TURIN);
    return 0;
}

static int drop_machines(void **state) {
    (void)state;
    snp_fixture_deinit(&milan);
    snp_fixture_deinit(&turin);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_leaves),
        cmocka_unit_test(test_kind_and_product),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_subject),
        cmocka_unit_test(test_key),
        cmocka_unit_test(test_contents_of_a_vcek),
        cmocka_unit_test(test_contents_of_turin),
        cmocka_unit_test(test_contents_of_a_vlek),
        cmocka_unit_test(test_length_of_a_provider),
    };
    return cmocka_run_group_tests(tests, make_machines, drop_machines);
}
