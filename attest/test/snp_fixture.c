/* SNP fixture: see snp_fixture.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/test/snp_fixture.h"

#include <stdio.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "lib/base/mem.h"
#include "lib/crypto/digest.h"

#define AMD_OID "1.3.6.1.4.1.3704.1."
#define CHIP_ID_SIZE(f) ((f)->product == SNP_TURIN ? 8U : 64U)

/* --- Certificates */

static void set_name(X509_NAME *name, const char *common_name) {
    const char *const parts[][2] = {
        {"OU", "Engineering"},           {"C", "US"},         {"L", "Santa Clara"}, {"ST", "CA"},
        {"O", "Advanced Micro Devices"}, {"CN", common_name},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        int type = strcmp(parts[i][0], "C") == 0 ? V_ASN1_PRINTABLESTRING : V_ASN1_UTF8STRING;
        CHECK(X509_NAME_add_entry_by_txt(name, parts[i][0], type, (const uint8_t *)parts[i][1], -1,
                                         -1, 0) == 1);
    }
}

static X509 *new_cert(const char *subject, const char *issuer, EVP_PKEY *key, long serial) {
    X509 *x = X509_new();
    CHECK(x != NULL && X509_set_version(x, X509_VERSION_3) == 1);
    CHECK(ASN1_INTEGER_set(X509_get_serialNumber(x), serial) == 1);
    set_name(X509_get_subject_name(x), subject);
    set_name(X509_get_issuer_name(x), issuer);
    CHECK(ASN1_TIME_set(X509_getm_notBefore(x), SNP_FIXTURE_NOT_BEFORE) != NULL);
    CHECK(ASN1_TIME_set(X509_getm_notAfter(x), SNP_FIXTURE_NOT_AFTER) != NULL);
    CHECK(X509_set_pubkey(x, key) == 1);
    return x;
}

/* RSASSA-PSS with SHA-384 and this salt, in bytes. */
static EVP_MD_CTX *pss(EVP_PKEY *key, int salt) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    CHECK(ctx != NULL && EVP_DigestSignInit(ctx, &pctx, EVP_sha384(), NULL, key) == 1);
    CHECK(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1);
    CHECK(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, salt) == 1);
    return ctx;
}

static void sign_cert(X509 *x, EVP_PKEY *issuer_key, struct buf *der) {
    EVP_MD_CTX *ctx = pss(issuer_key, SHA384_SIZE);
    CHECK(X509_sign_ctx(x, ctx) > 0);
    EVP_MD_CTX_free(ctx);
    uint8_t *bytes = NULL;
    int size = i2d_X509(x, &bytes);
    CHECK(size > 0);
    buf_append(der, bytes, (size_t)size);
    OPENSSL_free(bytes);
    X509_free(x);
}

static void add_conf_extension(X509 *x, int nid, const char *value) {
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    CHECK(e != NULL && X509_add_ext(x, e, -1) == 1);
    X509_EXTENSION_free(e);
}

static void add_amd_extension(X509 *x, const char *arc, const void *bytes, size_t size) {
    char oid[64];
    snprintf(oid, sizeof oid, "%s%s", AMD_OID, arc);
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    CHECK(object != NULL && value != NULL);
    CHECK(ASN1_OCTET_STRING_set(value, bytes, (int)size) == 1);
    X509_EXTENSION *e = X509_EXTENSION_create_by_OBJ(NULL, object, 0, value);
    CHECK(e != NULL && X509_add_ext(x, e, -1) == 1);
    X509_EXTENSION_free(e);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(object);
}

static void add_amd_integer(X509 *x, const char *arc, uint8_t value) {
    const uint8_t small[] = {0x02, 0x01, value};
    const uint8_t large[] = {0x02, 0x02, 0x00, value};
    if (value < 0x80) {
        add_amd_extension(x, arc, small, sizeof small);
    } else {
        add_amd_extension(x, arc, large, sizeof large);
    }
}

static void add_amd_text(X509 *x, const char *arc, const char *text) {
    AUTO(buf_deinit)
    struct buf der = {0};
    buf_append_u8(&der, 0x16);
    buf_append_u8(&der, (uint8_t)strlen(text));
    buf_append_str(&der, text);
    add_amd_extension(x, arc, der.data, der.size);
}

/* AMD 57230 section 3: ten extensions, and hwID or cspID. */
static void add_leaf_extensions(const struct snp_fixture *f, const char *product_name, X509 *x) {
    bool is_turin = f->product == SNP_TURIN;
    add_amd_integer(x, "1", is_turin ? 1 : 0);
    add_amd_text(x, "2", product_name);
    add_amd_integer(x, "3.1", f->tcb.bootloader);
    add_amd_integer(x, "3.2", f->tcb.tee);
    add_amd_integer(x, "3.3", f->tcb.snp);
    if (!is_turin) {
        add_amd_integer(x, "3.4", 0);
    }
    add_amd_integer(x, "3.5", 0);
    add_amd_integer(x, "3.6", 0);
    add_amd_integer(x, "3.7", 0);
    add_amd_integer(x, "3.8", f->tcb.microcode);
    if (is_turin) {
        add_amd_integer(x, "3.9", f->tcb.fmc);
    }
}

static void digest_root(struct snp_fixture *f) {
    uint8_t *spki = NULL;
    int size = i2d_PUBKEY(f->ark_key, &spki);
    CHECK(size > 0);
    sha256(span_of(spki, (size_t)size), f->root_digest[0]);
    OPENSSL_free(spki);
}

static void make_root(struct snp_fixture *f, const char *ark) {
    X509 *x = new_cert(ark, ark, f->ark_key, SNP_FIXTURE_ARK_SERIAL);
    add_conf_extension(x, NID_basic_constraints, "critical,CA:TRUE");
    add_conf_extension(x, NID_key_usage, "critical,keyCertSign,cRLSign");
    sign_cert(x, f->ark_key, &f->ark);
}

/* ASK or ASVK. */
static void make_authority(const struct snp_fixture *f, const char *name, const char *ark,
                           EVP_PKEY *key, long serial, struct buf *out) {
    X509 *x = new_cert(name, ark, key, serial);
    add_conf_extension(x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
    add_conf_extension(x, NID_key_usage, "critical,keyCertSign");
    sign_cert(x, f->ark_key, out);
}

static void make_certificates(struct snp_fixture *f) {
    char ark[32];
    char ask[32];
    snprintf(ark, sizeof ark, "ARK-%s", snp_product_line(f->product));
    snprintf(ask, sizeof ask, "SEV-%s", snp_product_line(f->product));
    make_root(f, ark);
    make_authority(f, ask, ark, f->ask_key, SNP_FIXTURE_ASK_SERIAL, &f->ask);
    X509 *x = new_cert("SEV-VCEK", ask, f->vcek_key, 0);
    add_leaf_extensions(f, f->product == SNP_MILAN ? "Milan-B0" : snp_product_line(f->product), x);
    add_amd_extension(x, "4", f->chip_id, CHIP_ID_SIZE(f));
    sign_cert(x, f->ask_key, &f->vcek);
}

void snp_fixture_add_vlek(struct snp_fixture *f, const char *csp_id) {
    char ark[32];
    char asvk[32];
    snprintf(ark, sizeof ark, "ARK-%s", snp_product_line(f->product));
    snprintf(asvk, sizeof asvk, "SEV-VLEK-%s", snp_product_line(f->product));
    f->asvk_key = EVP_RSA_gen(4096);
    f->vlek_key = EVP_EC_gen("P-384");
    CHECK(f->asvk_key != NULL && f->vlek_key != NULL);
    make_authority(f, asvk, ark, f->asvk_key, SNP_FIXTURE_ASVK_SERIAL, &f->asvk);
    X509 *x = new_cert("SEV-VLEK", asvk, f->vlek_key, 0);
    add_leaf_extensions(f, snp_product_line(f->product), x);
    add_amd_text(x, "5", csp_id);
    sign_cert(x, f->asvk_key, &f->vlek);
}

/* --- Revocation lists */

static void set_crl_number(X509_CRL *crl, long value) {
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    CHECK(number != NULL && ASN1_INTEGER_set(number, value) == 1);
    CHECK(X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0) == 1);
    ASN1_INTEGER_free(number);
}

static void add_revoked(X509_CRL *crl, long serial, const ASN1_TIME *since) {
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    CHECK(entry != NULL && number != NULL && ASN1_INTEGER_set(number, serial) == 1);
    CHECK(X509_REVOKED_set_serialNumber(entry, number) == 1);
    ASN1_TIME *date = ASN1_STRING_dup(since);
    CHECK(date != NULL && X509_REVOKED_set_revocationDate(entry, date) == 1);
    CHECK(X509_CRL_add0_revoked(crl, entry) == 1);
    ASN1_TIME_free(date);
    ASN1_INTEGER_free(number);
}

static void sign_list(X509_CRL *crl, EVP_PKEY *key, int salt, struct buf *der) {
    EVP_MD_CTX *ctx = pss(key, salt);
    CHECK(X509_CRL_sort(crl) == 1 && X509_CRL_sign_ctx(crl, ctx) > 0);
    EVP_MD_CTX_free(ctx);
    uint8_t *bytes = NULL;
    int size = i2d_X509_CRL(crl, &bytes);
    CHECK(size > 0);
    buf_append(der, bytes, (size_t)size);
    OPENSSL_free(bytes);
    X509_CRL_free(crl);
}

void snp_fixture_make_list(const struct snp_fixture *f, const struct snp_fixture_list *list,
                           struct buf *out) {
    char ark[32];
    snprintf(ark, sizeof ark, "ARK-%s", snp_product_line(f->product));
    X509_CRL *crl = X509_CRL_new();
    X509_NAME *issuer = X509_NAME_new();
    ASN1_TIME *from = ASN1_TIME_set(NULL, list->this_update);
    ASN1_TIME *to = list->next_update != 0 ? ASN1_TIME_set(NULL, list->next_update) : NULL;
    CHECK(crl != NULL && issuer != NULL && from != NULL);
    set_name(issuer, list->issuer != NULL ? list->issuer : ark);
    CHECK(X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1);
    CHECK(X509_CRL_set_issuer_name(crl, issuer) == 1);
    CHECK(X509_CRL_set1_lastUpdate(crl, from) == 1);
    CHECK(to == NULL || X509_CRL_set1_nextUpdate(crl, to) == 1);
    set_crl_number(crl, list->number);
    if (list->revoked != 0) {
        add_revoked(crl, list->revoked, from);
    }
    if (list->change != NULL) {
        list->change(crl);
    }
    sign_list(crl, list->signer != NULL ? list->signer : f->ark_key,
              list->salt != 0 ? list->salt : SHA384_SIZE, out);
    X509_NAME_free(issuer);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
}

/* --- The machine */

static void make_reference(struct snp_fixture *f) {
    f->reference = (struct snp_reference){
        .product = f->product,
        .minimum_tcb = f->tcb,
        .policy_allowed = SNP_POLICY_SMT,
        .simulated_roots = f->root_digest,
        .simulated_root_count = 1,
    };
    memcpy(f->reference.measurement, f->measurement, sizeof f->measurement);
}

void snp_fixture_init(struct snp_fixture *f, enum snp_product product) {
    *f = (struct snp_fixture){.product = product};
    f->tcb = (struct snp_tcb){
        .fmc = product == SNP_TURIN ? 1 : 0, .bootloader = 4, .snp = 24, .microcode = 219};
    memset(f->measurement, 0x4d, sizeof f->measurement);
    memset(f->chip_id, 0xc1, CHIP_ID_SIZE(f));
    f->ark_key = EVP_RSA_gen(4096);
    f->ask_key = EVP_RSA_gen(4096);
    f->vcek_key = EVP_EC_gen("P-384");
    CHECK(f->ark_key != NULL && f->ask_key != NULL && f->vcek_key != NULL);
    digest_root(f);
    make_certificates(f);
    make_reference(f);
}

void snp_fixture_deinit(struct snp_fixture *f) {
    EVP_PKEY_free(f->ark_key);
    EVP_PKEY_free(f->ask_key);
    EVP_PKEY_free(f->vcek_key);
    EVP_PKEY_free(f->asvk_key);
    EVP_PKEY_free(f->vlek_key);
    buf_deinit(&f->asvk);
    buf_deinit(&f->vlek);
    buf_deinit(&f->ark);
    buf_deinit(&f->ask);
    buf_deinit(&f->vcek);
    *f = (struct snp_fixture){0};
}

static void set_cpuid(enum snp_product product, struct snp_report *r) {
    r->cpuid_family = product == SNP_TURIN ? 0x1a : 0x19;
    r->cpuid_model = product == SNP_MILAN ? 0x01 : product == SNP_GENOA ? 0x11 : 0x02;
    r->cpuid_stepping = 1;
}

void snp_fixture_fill(const struct snp_fixture *f, const uint8_t report_data[64],
                      const uint8_t host_data[32], struct snp_report *out) {
    struct snp_report r = {
        .version = f->product == SNP_TURIN ? 5 : 3,
        .policy = SNP_POLICY_SMT | SNP_POLICY_RESERVED_ONE,
        .signature_algo = SNP_SIGNATURE_ECDSA_P384_SHA384,
        .platform_info = 0x25,
        .current_firmware = {.build = 1, .minor = 55, .major = 1},
        .committed_firmware = {.build = 1, .minor = 55, .major = 1},
    };
    set_cpuid(f->product, &r);
    memcpy(r.report_data, report_data, sizeof r.report_data);
    memcpy(r.host_data, host_data, sizeof r.host_data);
    memcpy(r.measurement, f->measurement, sizeof r.measurement);
    memcpy(r.chip_id, f->chip_id, sizeof r.chip_id);
    memset(r.report_id, 0x1d, sizeof r.report_id);
    memset(r.report_id_ma, 0xff, sizeof r.report_id_ma);
    snp_tcb_encode(f->product, &f->tcb, r.current_tcb);
    memcpy(r.reported_tcb, r.current_tcb, sizeof r.reported_tcb);
    memcpy(r.committed_tcb, r.current_tcb, sizeof r.committed_tcb);
    memcpy(r.launch_tcb, r.current_tcb, sizeof r.launch_tcb);
    *out = r;
}

void snp_fixture_sign(const struct snp_fixture *f, struct snp_report *report,
                      uint8_t out[SNP_REPORT_SIZE]) {
    uint8_t der[160];
    size_t size = sizeof der;
    snp_report_encode(report, out);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY *key = snp_report_signing_key(report) == SNP_KEY_VLEK && f->vlek_key != NULL
                        ? f->vlek_key
                        : f->vcek_key;
    CHECK(ctx != NULL && EVP_DigestSignInit(ctx, NULL, EVP_sha384(), NULL, key) == 1);
    CHECK(EVP_DigestSign(ctx, der, &size, out, SNP_REPORT_SIGNED_SIZE) == 1);
    EVP_MD_CTX_free(ctx);
    const uint8_t *p = der;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)size);
    CHECK(sig != NULL);
    CHECK(BN_bn2lebinpad(ECDSA_SIG_get0_r(sig), report->r, sizeof report->r) > 0);
    CHECK(BN_bn2lebinpad(ECDSA_SIG_get0_s(sig), report->s, sizeof report->s) > 0);
    ECDSA_SIG_free(sig);
    snp_report_encode(report, out);
}

void snp_fixture_issue(const struct snp_fixture *f, const uint8_t report_data[64],
                       const uint8_t host_data[32], struct issuer_evidence *out) {
    struct snp_report report;
    snp_fixture_fill(f, report_data, host_data, &report);
    snp_fixture_sign(f, &report, buf_extend(&out->report, SNP_REPORT_SIZE));
    buf_append_span(&out->vek, buf_span(&f->vcek));
    buf_append_span(&out->chain[0], buf_span(&f->ask));
    buf_append_span(&out->chain[1], buf_span(&f->ark));
    out->chain_count = 2;
}
