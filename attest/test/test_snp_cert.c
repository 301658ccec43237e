/* Certificates signed again with one thing changed, by the keys of a machine of our own: the chain
 * must be refused although every signature is valid.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "attest/snp_verify.h"
#include "attest/test/snp_fixture.h"

static struct snp_fixture machine;

/* How a certificate is signed again. */
struct scheme {
    const EVP_MD *(*digest)(void);
    const EVP_MD *(*mask)(void); /* NULL: PKCS#1 v1.5 */
    int salt;
};
static const struct scheme AMD = {EVP_sha384, EVP_sha384, 48};

static X509 *parse(const struct buf *der) {
    const unsigned char *at = der->data;
    X509 *x509 = d2i_X509(NULL, &at, (long)der->size);
    assert_non_null(x509);
    return x509;
}

/* Signs, encodes into `out` and frees. */
static void sign(X509 *x509, EVP_PKEY *key, const struct scheme *s, struct buf *out) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *options = NULL;
    unsigned char *der = NULL;
    assert_int_equal(EVP_DigestSignInit(ctx, &options, s->digest(), NULL, key), 1);
    if (s->mask != NULL) {
        assert_true(EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) > 0);
        assert_true(EVP_PKEY_CTX_set_rsa_mgf1_md(options, s->mask()) > 0);
        assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(options, s->salt) > 0);
    }
    assert_true(X509_sign_ctx(x509, ctx) > 0);
    int size = i2d_X509(x509, &der);
    assert_true(size > 0);
    buf_append(out, der, (size_t)size);
    OPENSSL_free(der);
    EVP_MD_CTX_free(ctx);
    X509_free(x509);
}

static void drop_extension(X509 *x509, int nid) {
    X509_EXTENSION_free(X509_delete_ext(x509, X509_get_ext_by_NID(x509, nid, -1)));
}

static void set_extension(X509 *x509, int nid, const char *value) {
    drop_extension(x509, nid);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert_true(e != NULL && X509_add_ext(x509, e, -1) == 1);
    X509_EXTENSION_free(e);
}

/* The good evidence with these certificates in place of the machine's. */
static void expect(const struct buf *vek, const struct buf *ask, const struct buf *ark,
                   const char *code) {
    static const uint8_t zero[64] = {0};
    uint8_t bytes[SNP_REPORT_SIZE];
    struct snp_report report;
    struct verdict verdict;
    struct err err = {0};
    snp_fixture_fill(&machine, zero, zero, &report);
    snp_fixture_sign(&machine, &report, bytes);
    struct snp_evidence evidence = {.report = SPAN(bytes),
                                    .vek = buf_span(vek),
                                    .chain = {buf_span(ask), buf_span(ark)},
                                    .chain_count = 2};
    struct snp_options options = {
        .references = &machine.reference, .reference_count = 1, .at = SNP_FIXTURE_NOW};
    bool good = is_ok(snp_verify(&evidence, &options, &report, &verdict, &err));
    assert_string_equal(verdict.code, code);
    assert_int_equal(good, code[0] == '\0');
}

static void test_signing_again_is_accepted(void **state) {
    (void)state;
    struct buf vek = {0};
    struct buf ask = {0};
    struct buf ark = {0};
    sign(parse(&machine.vcek), machine.ask_key, &AMD, &vek);
    sign(parse(&machine.ask), machine.ark_key, &AMD, &ask);
    sign(parse(&machine.ark), machine.ark_key, &AMD, &ark);
    expect(&vek, &ask, &ark, "");
    buf_deinit(&vek);
    buf_deinit(&ask);
    buf_deinit(&ark);
}

static const struct {
    int nid;
    const char *value; /* NULL: dropped */
} AUTHORITY_FAULTS[] = {
    {NID_basic_constraints, NULL},
    {NID_basic_constraints, "critical,CA:FALSE"},
    {NID_basic_constraints, "critical,CA:TRUE"}, /* no path length */
    {NID_basic_constraints, "critical,CA:TRUE,pathlen:1"},
    {NID_key_usage, NULL},
    {NID_key_usage, "critical,cRLSign"},
};

static void test_authority_faults(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof AUTHORITY_FAULTS / sizeof AUTHORITY_FAULTS[0]; i++) {
        struct buf ask = {0};
        X509 *x509 = parse(&machine.ask);
        if (AUTHORITY_FAULTS[i].value == NULL) {
            drop_extension(x509, AUTHORITY_FAULTS[i].nid);
        } else {
            set_extension(x509, AUTHORITY_FAULTS[i].nid, AUTHORITY_FAULTS[i].value);
        }
        sign(x509, machine.ark_key, &AMD, &ask);
        expect(&machine.vcek, &ask, &machine.ark, "SNP-CERT-CA");
        buf_deinit(&ask);
    }
}

static void test_unknown_critical_extension_of_a_ca(void **state) {
    (void)state;
    struct buf ark = {0};
    X509 *x509 = parse(&machine.ark);
    ASN1_OBJECT *oid = OBJ_txt2obj("1.3.6.1.4.1.99999.7", 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    assert_int_equal(ASN1_OCTET_STRING_set(value, (const unsigned char *)"\x05", 2), 1);
    X509_EXTENSION *e = X509_EXTENSION_create_by_OBJ(NULL, oid, 1, value);
    assert_int_equal(X509_add_ext(x509, e, -1), 1);
    X509_EXTENSION_free(e);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(oid);
    sign(x509, machine.ark_key, &AMD, &ark);
    expect(&machine.vcek, &machine.ask, &ark, "SNP-CERT-CA");
    buf_deinit(&ark);
}

/* A CA key of another size or kind. */
static void test_small_authority_key(void **state) {
    (void)state;
    struct buf vek = {0};
    struct buf ask = {0};
    EVP_PKEY *small = EVP_RSA_gen(2048);
    X509 *x509 = parse(&machine.ask);
    assert_int_equal(X509_set_pubkey(x509, small), 1);
    sign(x509, machine.ark_key, &AMD, &ask);
    sign(parse(&machine.vcek), small, &AMD, &vek);
    expect(&vek, &ask, &machine.ark, "SNP-CERT-CA");
    EVP_PKEY_free(small);
    buf_deinit(&vek);
    buf_deinit(&ask);
}

static void test_other_signature_schemes(void **state) {
    (void)state;
    static const struct scheme schemes[] = {
        {EVP_sha256, EVP_sha256, 32}, {EVP_sha256, EVP_sha384, 48}, {EVP_sha384, EVP_sha256, 48},
        {EVP_sha384, EVP_sha384, 32}, {EVP_sha512, EVP_sha512, 64}, {EVP_sha384, NULL, 0}};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        struct buf vek = {0};
        struct buf ask = {0};
        struct buf ark = {0};
        sign(parse(&machine.vcek), machine.ask_key, &schemes[i], &vek);
        sign(parse(&machine.ask), machine.ark_key, &schemes[i], &ask);
        sign(parse(&machine.ark), machine.ark_key, &schemes[i], &ark);
        expect(&vek, &machine.ask, &machine.ark, "SNP-CERT-ALGORITHM");
        expect(&machine.vcek, &ask, &machine.ark, "SNP-CERT-ALGORITHM");
        expect(&machine.vcek, &machine.ask, &ark, "SNP-CERT-ALGORITHM");
        buf_deinit(&vek);
        buf_deinit(&ask);
        buf_deinit(&ark);
    }
}

/* Signatures by the wrong member of the chain. */
static void test_wrong_signers(void **state) {
    (void)state;
    struct buf vek = {0};
    struct buf ask = {0};
    struct buf ark = {0};
    sign(parse(&machine.vcek), machine.ark_key, &AMD, &vek);
    sign(parse(&machine.ask), machine.ask_key, &AMD, &ask);
    sign(parse(&machine.ark), machine.ask_key, &AMD, &ark);
    expect(&vek, &machine.ask, &machine.ark, "SNP-CERT-SIGNATURE");
    expect(&machine.vcek, &ask, &machine.ark, "SNP-CERT-SIGNATURE");
    expect(&machine.vcek, &machine.ask, &ark, "SNP-CERT-SIGNATURE");
    buf_deinit(&vek);
    buf_deinit(&ask);
    buf_deinit(&ark);
}

static void test_leaf_with_a_second_extension_of_a_kind(void **state) {
    (void)state;
    struct buf vek = {0};
    X509 *x509 = parse(&machine.vcek);
    assert_int_equal(X509_add_ext(x509, X509_get_ext(x509, 0), -1), 1);
    sign(x509, machine.ask_key, &AMD, &vek);
    expect(&vek, &machine.ask, &machine.ark, "SNP-VEK-EXTENSION");
    buf_deinit(&vek);
}

static void test_leaf_with_each_extension_missing_or_critical(void **state) {
    (void)state;
    for (int i = 0; i < 11; i++) {
        struct buf without = {0};
        struct buf critical = {0};
        X509 *x509 = parse(&machine.vcek);
        assert_int_equal(X509_get_ext_count(x509), 11);
        X509_EXTENSION_free(X509_delete_ext(x509, i));
        sign(x509, machine.ask_key, &AMD, &without);
        expect(&without, &machine.ask, &machine.ark, "SNP-VEK-EXTENSION");
        x509 = parse(&machine.vcek);
        assert_int_equal(X509_EXTENSION_set_critical(X509_get_ext(x509, i), 1), 1);
        sign(x509, machine.ask_key, &AMD, &critical);
        expect(&critical, &machine.ask, &machine.ark, "SNP-VEK-EXTENSION");
        buf_deinit(&without);
        buf_deinit(&critical);
    }
}

static void test_bytes_behind_are_refused(void **state) {
    (void)state;
    struct buf longer = {0};
    buf_append_span(&longer, buf_span(&machine.vcek));
    buf_append_u8(&longer, 0);
    expect(&longer, &machine.ask, &machine.ark, "SNP-CERT-FORMAT");
    buf_deinit(&longer);
}

static int make_machine(void **state) {
    (void)state;
    snp_fixture_init(&machine, SNP_MILAN);
    return 0;
}

static int drop_machine(void **state) {
    (void)state;
    snp_fixture_deinit(&machine);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signing_again_is_accepted),
        cmocka_unit_test(test_authority_faults),
        cmocka_unit_test(test_unknown_critical_extension_of_a_ca),
        cmocka_unit_test(test_small_authority_key),
        cmocka_unit_test(test_other_signature_schemes),
        cmocka_unit_test(test_wrong_signers),
        cmocka_unit_test(test_leaf_with_a_second_extension_of_a_kind),
        cmocka_unit_test(test_leaf_with_each_extension_missing_or_critical),
        cmocka_unit_test(test_bytes_behind_are_refused),
    };
    return cmocka_run_group_tests(tests, make_machine, drop_machine);
}
