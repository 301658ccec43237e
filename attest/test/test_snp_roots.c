/* AMD's nine built-in certificates: each is what its name says, the roots are the pinned ones, and
 * the authorities hang from them, by our rules and by OpenSSL's own verification.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/asn1.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include "attest/snp_roots.h"

#define AT INT64_C(1785000000) /* 2026-07 */

/* Serial numbers of AMD 57230's certificates (the Genoa ASK is the second of its kind). */
static const struct {
    enum snp_product product;
    long serials[3]; /* ARK, ASK, ASVK */
    int64_t from;    /* validity of the root, unix seconds */
    int64_t to;
} LINES[] = {
    {SNP_MILAN, {0x010000, 0x010001, 0x010101}, 1603387385, 2392305785},
    {SNP_GENOA, {0x020000, 0x020002, 0x020101}, 1643211277, 2432129677},
    {SNP_TURIN, {0x030000, 0x030001, 0x030101}, 1684180992, 2473185792},
};
#define LINE_COUNT (sizeof LINES / sizeof LINES[0])
static const enum snp_cert_kind KINDS[] = {SNP_CERT_ARK, SNP_CERT_ASK, SNP_CERT_ASVK};

/* The caller drops it. */
static struct snp_cert built_in(enum snp_product product, enum snp_cert_kind kind) {
    struct snp_cert cert = {0};
    struct err err = {0};
    if (!is_ok(snp_cert_parse(snp_roots_der(product, kind), "built in", &cert, NULL, &err))) {
        fail_msg("%s", err.text);
    }
    return cert;
}

static void test_each_is_what_it_is_called(void **state) {
    (void)state;
    for (size_t i = 0; i < LINE_COUNT * 3; i++) {
        struct snp_cert cert = built_in(LINES[i / 3].product, KINDS[i % 3]);
        assert_int_equal(cert.kind, KINDS[i % 3]);
        assert_int_equal(cert.product, LINES[i / 3].product);
        assert_int_equal(ASN1_INTEGER_get(X509_get0_serialNumber(cert.x509)),
                         LINES[i / 3].serials[i % 3]);
        assert_true(is_ok(snp_cert_check_ca(&cert, NULL, NULL)));
        assert_true(is_ok(snp_cert_check_dates(&cert, AT, NULL, NULL)));
        snp_cert_deinit(&cert);
    }
}

static void test_roots_have_the_pinned_keys(void **state) {
    (void)state;
    for (size_t i = 0; i < LINE_COUNT; i++) {
        struct snp_cert ark = built_in(LINES[i].product, SNP_CERT_ARK);
        assert_memory_equal(ark.spki_digest, snp_product_root(LINES[i].product), 32);
        assert_true(is_ok(snp_cert_check_dates(&ark, LINES[i].from, NULL, NULL)));
        assert_false(is_ok(snp_cert_check_dates(&ark, LINES[i].from - 1, NULL, NULL)));
        assert_true(is_ok(snp_cert_check_dates(&ark, LINES[i].to, NULL, NULL)));
        assert_false(is_ok(snp_cert_check_dates(&ark, LINES[i].to + 1, NULL, NULL)));
        snp_cert_deinit(&ark);
    }
}

static void test_authorities_hang_from_their_root_alone(void **state) {
    (void)state;
    for (size_t i = 0; i < LINE_COUNT; i++) {
        struct snp_cert ark = built_in(LINES[i].product, SNP_CERT_ARK);
        struct snp_cert other = built_in(LINES[(i + 1) % LINE_COUNT].product, SNP_CERT_ARK);
        assert_true(is_ok(snp_cert_signed_by(&ark, &ark, NULL, NULL)));
        assert_false(is_ok(snp_cert_signed_by(&ark, &other, NULL, NULL)));
        for (size_t k = 1; k < 3; k++) {
            struct snp_cert ca = built_in(LINES[i].product, KINDS[k]);
            assert_true(is_ok(snp_cert_signed_by(&ca, &ark, NULL, NULL)));
            assert_false(is_ok(snp_cert_signed_by(&ca, &other, NULL, NULL)));
            assert_false(is_ok(snp_cert_signed_by(&ark, &ca, NULL, NULL)));
            snp_cert_deinit(&ca);
        }
        snp_cert_deinit(&ark);
        snp_cert_deinit(&other);
    }
}

/* X509_verify_cert with the built-in root as the only anchor. */
static int openssl_says(const struct snp_cert *ark, const struct snp_cert *ca) {
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    assert_true(store != NULL && ctx != NULL);
    assert_int_equal(X509_STORE_add_cert(store, ark->x509), 1);
    assert_int_equal(X509_STORE_CTX_init(ctx, store, ca->x509, NULL), 1);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_time(param, AT);
    assert_int_equal(X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_CHECK_SS_SIGNATURE), 1);
    int good = X509_verify_cert(ctx);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    return good;
}

static void test_openssl_agrees(void **state) {
    (void)state;
    for (size_t i = 0; i < LINE_COUNT; i++) {
        struct snp_cert ark = built_in(LINES[i].product, SNP_CERT_ARK);
        struct snp_cert other = built_in(LINES[(i + 1) % LINE_COUNT].product, SNP_CERT_ARK);
        for (size_t k = 0; k < 3; k++) {
            struct snp_cert ca = built_in(LINES[i].product, KINDS[k]);
            assert_int_equal(openssl_says(&ark, &ca), 1);
            assert_int_not_equal(openssl_says(&other, &ca), 1);
            snp_cert_deinit(&ca);
        }
        snp_cert_deinit(&ark);
        snp_cert_deinit(&other);
    }
}

static void test_nothing_else_is_built_in(void **state) {
    (void)state;
    assert_int_equal(snp_roots_der(SNP_PRODUCT_UNKNOWN, SNP_CERT_ARK).size, 0);
    assert_int_equal(snp_roots_der(SNP_MILAN, SNP_CERT_VCEK).size, 0);
    assert_int_equal(snp_roots_der(SNP_MILAN, SNP_CERT_OTHER).size, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_is_what_it_is_called),
        cmocka_unit_test(test_roots_have_the_pinned_keys),
        cmocka_unit_test(test_authorities_hang_from_their_root_alone),
        cmocka_unit_test(test_openssl_agrees),
        cmocka_unit_test(test_nothing_else_is_built_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
