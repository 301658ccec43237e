/* Certificates signed again with one thing changed, by the keys of a machine of our own: the chain
 * must be refused although every signature is valid.
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
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "attest/snp_verify.h"
#include "attest/test/snp_fixture.h"

static struct snp_fixture machine;
static bool is_vlek;   /* the report is a provider's */
static char field[64]; /* of the last verdict */

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
    if (is_vlek) {
        report.key_info = SNP_KEY_VLEK << 2;
        memset(report.chip_id, 0, sizeof report.chip_id);
    }
    snp_fixture_sign(&machine, &report, bytes);
    struct snp_evidence evidence = {.report = SPAN(bytes),
                                    .vek = buf_span(vek),
                                    .chain = {buf_span(ask), buf_span(ark)},
                                    .chain_count = 2};
    struct snp_options options = {.references = &machine.reference,
                                  .reference_count = is_vlek ? 0 : 1,
                                  .extra_roots = (const uint8_t(*)[32])machine.root_digest,
                                  .extra_root_count = 1,
                                  .at = SNP_FIXTURE_NOW};
    bool good = is_ok(snp_verify(&evidence, &options, &report, &verdict, &err));
    assert_string_equal(verdict.code, code);
    assert_int_equal(good, code[0] == '\0');
    snprintf(field, sizeof field, "%s", verdict.field);
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
    {NID_name_constraints, "critical,permitted;DNS:example.org"}, /* would have to be heeded */
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

/* An ARK with path length 0 may sign leaves, but no ASK. */
static void test_depth_below_the_root(void **state) {
    (void)state;
    static const struct {
        const char *value;
        const char *code;
    } rows[] = {{"critical,CA:TRUE,pathlen:0", "SNP-CERT-CA"}, {"critical,CA:TRUE,pathlen:1", ""}};
    for (size_t i = 0; i < 2; i++) {
        struct buf ark = {0};
        X509 *x509 = parse(&machine.ark);
        set_extension(x509, NID_basic_constraints, rows[i].value);
        sign(x509, machine.ark_key, &AMD, &ark);
        expect(&machine.vcek, &machine.ask, &ark, rows[i].code);
        buf_deinit(&ark);
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

/* ---- what the extensions hold ---- */

static void set_amd_extension(X509 *x509, const char *arc, const void *value, size_t size) {
    char oid[64];
    snprintf(oid, sizeof oid, "1.3.6.1.4.1.3704.1.%s", arc);
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    ASN1_OCTET_STRING *bytes = ASN1_OCTET_STRING_new();
    int at = X509_get_ext_by_OBJ(x509, object, -1);
    if (at >= 0) {
        X509_EXTENSION_free(X509_delete_ext(x509, at));
    }
    assert_int_equal(ASN1_OCTET_STRING_set(bytes, value, (int)size), 1);
    X509_EXTENSION *e = X509_EXTENSION_create_by_OBJ(NULL, object, 0, bytes);
    assert_int_equal(X509_add_ext(x509, e, -1), 1);
    X509_EXTENSION_free(e);
    ASN1_OCTET_STRING_free(bytes);
    ASN1_OBJECT_free(object);
}

static void drop_amd_extension(X509 *x509, const char *arc) {
    char oid[64];
    snprintf(oid, sizeof oid, "1.3.6.1.4.1.3704.1.%s", arc);
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    X509_EXTENSION_free(X509_delete_ext(x509, X509_get_ext_by_OBJ(x509, object, -1)));
    ASN1_OBJECT_free(object);
}

struct extension_row {
    const char *code;
    const char *field;
    const char *arc;
    const char *value;
    size_t size;
};

static const struct extension_row VCEK_ROWS[] = {
    {"SNP-VEK-SPL", "VCEK.ucodeSPL", "3.8", "\x02\x02\x01\xdb", 4},     /* 475 */
    {"SNP-VEK-SPL", "VCEK.ucodeSPL", "3.8", "\x02\x02\x00\x5b", 4},     /* not minimal */
    {"SNP-VEK-SPL", "VCEK.ucodeSPL", "3.8", "\x02\x01\xdb", 3},         /* negative */
    {"SNP-VEK-SPL", "VCEK.ucodeSPL", "3.8", "\x04\x01\xdb", 3},         /* OCTET STRING */
    {"SNP-VEK-SPL", "VCEK.ucodeSPL", "3.8", "\x02\x02\x00\xdb\x00", 5}, /* a byte behind */
    {"SNP-VEK-SPL", "VCEK.ucodeSPL", "3.8", "\xdb", 1},
    {"SNP-VEK-SPL", "VCEK.blSPL", "3.1", "\x02\x81\x01\x04", 4}, /* BER length */
    {"SNP-VEK-SPL", "VCEK.spl4", "3.4", "\x02\x01\x01", 3},
    {"SNP-VEK-SPL", "VCEK.spl7", "3.7", "\x02\x01\x01", 3},
    {"SNP-VEK-SPL", "VCEK.structVersion", "1", "\x02\x01\x01", 3}, /* Turin's */
    {"SNP-VEK-PRODUCT", "VCEK.productName", "2", "\x16\x05Genoa", 7},
    {"SNP-VEK-PRODUCT", "VCEK.productName", "2", "\x16\x06Milano", 8},
    {"SNP-VEK-PRODUCT", "VCEK.productName", "2", "\x0c\x05Milan", 7}, /* UTF8String */
    {"SNP-VEK-PRODUCT", "VCEK.productName", "2", "\x16\x05Milan!", 8},
    {"SNP-VEK-PRODUCT", "VCEK.productName", "2", "\x16\x06Milan\x00", 8},
    {"SNP-VEK-HWID", "VCEK.hwID", "4", "\xc1\xc1\xc1\xc1\xc1\xc1\xc1\xc1", 8},
    {"SNP-VEK-EXTENSION", "VCEK.extensions", "3.9", "\x02\x01\x01", 3}, /* Turin's */
    {"SNP-VEK-EXTENSION", "VCEK.extensions", "5",
     "\x16\x04"
     "CN=c",
     6},                                                              /* both ids */
    {"SNP-VEK-EXTENSION", "VCEK.extensions", "6", "\x02\x01\x00", 3}, /* unknown */
    {"SNP-VEK-EXTENSION", "VCEK.ucodeSPL", "3.8", "", 0},
    {"SNP-TCB-CERT", "REPORTED_TCB", "3.8", "\x02\x02\x00\xda", 4}, /* another TCB */
};

static void test_each_value_of_a_leaf(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof VCEK_ROWS / sizeof VCEK_ROWS[0]; i++) {
        struct buf vek = {0};
        X509 *x509 = parse(&machine.vcek);
        set_amd_extension(x509, VCEK_ROWS[i].arc, VCEK_ROWS[i].value, VCEK_ROWS[i].size);
        sign(x509, machine.ask_key, &AMD, &vek);
        expect(&vek, &machine.ask, &machine.ark, VCEK_ROWS[i].code);
        assert_string_equal(field, VCEK_ROWS[i].field);
        buf_deinit(&vek);
    }
}

/* 04 40 and 64 bytes: what some readers take, and AMD never issued. */
static void test_a_wrapped_hwid_is_refused(void **state) {
    (void)state;
    struct buf vek = {0};
    uint8_t wrapped[66] = {0x04, 0x40};
    memcpy(wrapped + 2, machine.chip_id, 64);
    X509 *x509 = parse(&machine.vcek);
    set_amd_extension(x509, "4", wrapped, sizeof wrapped);
    sign(x509, machine.ask_key, &AMD, &vek);
    expect(&vek, &machine.ask, &machine.ark, "SNP-VEK-HWID");
    buf_deinit(&vek);
}

static void test_each_value_of_a_providers_leaf(void **state) {
    (void)state;
    static const struct extension_row rows[] = {
        {"SNP-VEK-CSPID", "VLEK.cspID", "5",
         "\x0c\x04"
         "CN=c",
         6}, /* UTF8String */
        {"SNP-VEK-CSPID", "VLEK.cspID", "5",
         "\x16\x05"
         "CN=c",
         6}, /* past the end */
        {"SNP-VEK-CSPID", "VLEK.cspID", "5",
         "\x16\x04"
         "CN\n1",
         6},
        {"SNP-VEK-CSPID", "VLEK.cspID", "5", "\x16\x00", 2},
        {"SNP-VEK-EXTENSION", "VLEK.extensions", "4", "\xc1", 1}, /* a chip's */
        {"SNP-VEK-EXTENSION", "VLEK.cspID", NULL, "5", 0},        /* dropped */
    };
    is_vlek = true;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf vek = {0};
        X509 *x509 = parse(&machine.vlek);
        if (rows[i].arc != NULL) {
            set_amd_extension(x509, rows[i].arc, rows[i].value, rows[i].size);
        } else {
            drop_amd_extension(x509, rows[i].value);
        }
        sign(x509, machine.asvk_key, &AMD, &vek);
        expect(&vek, &machine.asvk, &machine.ark, rows[i].code);
        assert_string_equal(field, rows[i].field);
        buf_deinit(&vek);
    }
    expect(&machine.vlek, &machine.asvk, &machine.ark, "");
    is_vlek = false;
}

/* ---- name, version, key, issuer ---- */

static void set_part(X509_NAME *name, int index, const char *value) {
    X509_NAME_ENTRY *entry = X509_NAME_delete_entry(name, index);
    assert_int_equal(X509_NAME_ENTRY_set_data(entry, MBSTRING_ASC, (const uint8_t *)value, -1), 1);
    assert_int_equal(X509_NAME_add_entry(name, entry, index, 0), 1);
    X509_NAME_ENTRY_free(entry);
}

static void test_another_subject_is_refused(void **state) {
    (void)state;
    for (int i = 0; i < 7; i++) { /* each part changed, and one more */
        struct buf vek = {0};
        X509 *x509 = parse(&machine.vcek);
        X509_NAME *name = X509_get_subject_name(x509);
        if (i < 6) {
            set_part(name, i, "XX");
        } else {
            assert_int_equal(X509_NAME_add_entry_by_txt(name, "OU", MBSTRING_ASC,
                                                        (const uint8_t *)"Engineering", -1, -1, 0),
                             1);
        }
        sign(x509, machine.ask_key, &AMD, &vek);
        expect(&vek, &machine.ask, &machine.ark, i == 5 ? "SNP-VEK-KIND" : "SNP-VEK-SUBJECT");
        buf_deinit(&vek);
    }
}

static void test_version_1_is_refused(void **state) {
    (void)state;
    struct buf vek = {0};
    X509 *x509 = parse(&machine.vcek);
    assert_int_equal(X509_set_version(x509, X509_VERSION_1), 1);
    sign(x509, machine.ask_key, &AMD, &vek);
    expect(&vek, &machine.ask, &machine.ark, "SNP-VEK-VERSION");
    buf_deinit(&vek);
}

/* P-384 by name with an uncompressed point, and nothing else. */
static void test_other_keys_are_refused(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct buf vek = {0};
        X509 *x509 = parse(&machine.vcek);
        EVP_PKEY *key = i == 0   ? EVP_EC_gen("P-256")
                        : i == 1 ? EVP_RSA_gen(2048)
                                 : EVP_EC_gen("P-384");
        if (i == 2) {
            assert_int_equal(EVP_PKEY_set_utf8_string_param(key, "encoding", "explicit"), 1);
        }
        if (i == 3) {
            assert_int_equal(EVP_PKEY_set_utf8_string_param(key, "point-format", "compressed"), 1);
        }
        assert_int_equal(X509_set_pubkey(x509, key), 1);
        sign(x509, machine.ask_key, &AMD, &vek);
        expect(&vek, &machine.ask, &machine.ark, "SNP-VEK-KEY");
        EVP_PKEY_free(key);
        buf_deinit(&vek);
    }
}

/* Case and spaces would be the same for X509_NAME_cmp. */
static void test_issuer_is_compared_byte_for_byte(void **state) {
    (void)state;
    struct buf vek = {0};
    X509 *x509 = parse(&machine.vcek);
    set_part(X509_get_issuer_name(x509), 0, "ENGINEERING");
    sign(x509, machine.ask_key, &AMD, &vek);
    expect(&vek, &machine.ask, &machine.ark, "SNP-CERT-ISSUER");
    buf_deinit(&vek);
}

/* The name of the authority decides its product: an ASK of Genoa's name is none of Milan's. */
static void test_issuer_of_another_kind_or_product(void **state) {
    (void)state;
    static const struct {
        const char *cn;
        const char *code;
    } rows[] = {{"SEV-VLEK-Milan", "SNP-CERT-ISSUER"},
                {"SEV-Genoa", "SNP-PRODUCT"},
                {"ARK-Milan", "SNP-CERT-ISSUER"},
                {"SEV-Venice", "SNP-PRODUCT"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf vek = {0};
        X509 *x509 = parse(&machine.vcek);
        set_part(X509_get_issuer_name(x509), 5, rows[i].cn);
        sign(x509, machine.ask_key, &AMD, &vek);
        expect(&vek, &machine.ask, &machine.ark, rows[i].code);
        buf_deinit(&vek);
    }
}

static void set_dates(X509 *x509, int64_t from, int64_t to) {
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(x509), (time_t)from));
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(x509), (time_t)to));
}

/* Each of the three certificates, and both ends belong to the time. */
static void test_dates_of_each_certificate(void **state) {
    (void)state;
    static const struct {
        int64_t from;
        int64_t to;
        const char *code;
    } rows[] = {{SNP_FIXTURE_NOW, SNP_FIXTURE_NOW + 1, ""},
                {SNP_FIXTURE_NOW - 1, SNP_FIXTURE_NOW, ""},
                {SNP_FIXTURE_NOW + 1, SNP_FIXTURE_NOW + 2, "SNP-CERT-DATE"},
                {SNP_FIXTURE_NOW - 2, SNP_FIXTURE_NOW - 1, "SNP-CERT-DATE"}};
    for (size_t i = 0; i < 4; i++) {
        struct buf vek = {0};
        struct buf ask = {0};
        struct buf ark = {0};
        X509 *x509[3] = {parse(&machine.vcek), parse(&machine.ask), parse(&machine.ark)};
        for (size_t k = 0; k < 3; k++) {
            set_dates(x509[k], rows[i].from, rows[i].to);
        }
        sign(x509[0], machine.ask_key, &AMD, &vek);
        sign(x509[1], machine.ark_key, &AMD, &ask);
        sign(x509[2], machine.ark_key, &AMD, &ark);
        expect(&vek, &machine.ask, &machine.ark, rows[i].code);
        expect(&machine.vcek, &ask, &machine.ark, rows[i].code);
        expect(&machine.vcek, &machine.ask, &ark, rows[i].code);
        buf_deinit(&vek);
        buf_deinit(&ask);
        buf_deinit(&ark);
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

/* A signature proves nothing about the encoding: what the authority signed may be BER. */
static void test_signed_bytes_are_der(void **state) {
    (void)state;
    static const char *const dates[] = {"2501010000Z", "250101000000+0100"};
    for (size_t i = 0; i < 2; i++) {
        struct buf vek = {0};
        struct buf ask = {0};
        X509 *leaf = parse(&machine.vcek);
        X509 *authority = parse(&machine.ask);
        assert_int_equal(ASN1_STRING_set(X509_getm_notBefore(leaf), dates[i], -1), 1);
        assert_int_equal(ASN1_STRING_set(X509_getm_notBefore(authority), dates[i], -1), 1);
        sign(leaf, machine.ask_key, &AMD, &vek);
        sign(authority, machine.ark_key, &AMD, &ask);
        expect(&vek, &machine.ask, &machine.ark, "SNP-CERT-FORMAT");
        expect(&machine.vcek, &ask, &machine.ark, "SNP-CERT-FORMAT");
        buf_deinit(&vek);
        buf_deinit(&ask);
    }
}

/* RFC 4055 section 2.1: the parameters of SHA-384 are NULL or not there. */
static void test_parameters_of_the_hash(void **state) {
    (void)state;
    static const struct {
        bool good;
        uint8_t parameters[2];
    } rows[] = {{true, {0x05, 0x00}}, {false, {0x04, 0x00}}};
    static const uint8_t head[] = {0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48,
                                   0x01, 0x65, 0x03, 0x04, 0x02, 0x02}; /* SHA-384, NULL follows */
    const X509_ALGOR *own = NULL;
    X509 *x509 = parse(&machine.vcek);
    X509_get0_signature(NULL, &own, x509);
    for (size_t i = 0; i < 2; i++) {
        unsigned char *der = NULL;
        int size = i2d_X509_ALGOR(own, &der);
        assert_true(size > 0);
        for (size_t at = 0; at + sizeof head + 2 <= (size_t)size; at++) {
            if (memcmp(der + at, head, sizeof head) == 0) {
                memcpy(der + at + sizeof head, rows[i].parameters, 2);
            }
        }
        const unsigned char *from = der;
        X509_ALGOR *other = d2i_X509_ALGOR(NULL, &from, size);
        assert_non_null(other);
        assert_int_equal(snp_cert__is_amd_pss(other), rows[i].good);
        X509_ALGOR_free(other);
        OPENSSL_free(der);
    }
    X509_free(x509);
}

static int make_machine(void **state) {
    (void)state;
    snp_fixture_init(&machine, SNP_MILAN);
    snp_fixture_add_vlek(&machine, "CN=cloud.example");
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
        cmocka_unit_test(test_depth_below_the_root),
        cmocka_unit_test(test_unknown_critical_extension_of_a_ca),
        cmocka_unit_test(test_small_authority_key),
        cmocka_unit_test(test_other_signature_schemes),
        cmocka_unit_test(test_wrong_signers),
        cmocka_unit_test(test_leaf_with_a_second_extension_of_a_kind),
        cmocka_unit_test(test_leaf_with_each_extension_missing_or_critical),
        cmocka_unit_test(test_each_value_of_a_leaf),
        cmocka_unit_test(test_a_wrapped_hwid_is_refused),
        cmocka_unit_test(test_each_value_of_a_providers_leaf),
        cmocka_unit_test(test_another_subject_is_refused),
        cmocka_unit_test(test_version_1_is_refused),
        cmocka_unit_test(test_other_keys_are_refused),
        cmocka_unit_test(test_issuer_is_compared_byte_for_byte),
        cmocka_unit_test(test_issuer_of_another_kind_or_product),
        cmocka_unit_test(test_dates_of_each_certificate),
        cmocka_unit_test(test_bytes_behind_are_refused),
        cmocka_unit_test(test_signed_bytes_are_der),
        cmocka_unit_test(test_parameters_of_the_hash),
    };
    return cmocka_run_group_tests(tests, make_machine, drop_machine);
}
