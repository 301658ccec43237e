/* Machine certificates: see machine_cert.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/simulator/machine_cert.h"

#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "lib/crypto/digest.h"

#define AMD_ARC "1.3.6.1.4.1.3704.1."
#define DAY 86400
#define CA_DAYS (25 * 365)
#define VCEK_DAYS (7 * 365)
#define PSS_SALT 48
#define CN_SIZE 32
#define X509_V3 2

static void free_cert(X509 **cert) {
    X509_free(*cert);
}

/* AMD's order of the name's parts. */
static bool set_name(X509_NAME *name, const char *common_name) {
    const char *const parts[][2] = {
        {"OU", "Engineering"},           {"C", "US"},        {"L", "Santa Clara"}, {"ST", "CA"},
        {"O", "Advanced Micro Devices"}, {"CN", common_name}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (X509_NAME_add_entry_by_txt(name, parts[i][0], MBSTRING_ASC,
                                       (const unsigned char *)parts[i][1], -1, -1, 0) != 1) {
            return false;
        }
    }
    return true;
}

/* Valid from yesterday, so that a node whose clock is a little behind takes it. */
static bool set_dates(X509 *cert, int64_t now, int days) {
    time_t from = (time_t)(now - DAY);
    return X509_time_adj_ex(X509_getm_notBefore(cert), 0, 0, &from) != NULL &&
           X509_time_adj_ex(X509_getm_notAfter(cert), days, 0, &from) != NULL;
}

static X509 *begin(const char *subject, const char *issuer, uint64_t serial,
                   const struct key *key) {
    X509 *cert = X509_new();
    CHECK(cert != NULL);
    CHECK(X509_set_version(cert, X509_V3) == 1 &&
          ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial) == 1 &&
          set_name(X509_get_subject_name(cert), subject) &&
          set_name(X509_get_issuer_name(cert), issuer) && X509_set_pubkey(cert, key->pkey) == 1);
    return cert;
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value) {
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
    CHECK(extension != NULL && X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

/* `number` is the part of the OID behind AMD's arc. */
static void add_amd(X509 *cert, const char *number, struct span value) {
    char oid[64];
    snprintf(oid, sizeof oid, AMD_ARC "%s", number);
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    ASN1_OCTET_STRING *content = ASN1_OCTET_STRING_new();
    CHECK(object != NULL && content != NULL &&
          ASN1_OCTET_STRING_set(content, value.data, (int)value.size) == 1);
    X509_EXTENSION *extension = X509_EXTENSION_create_by_OBJ(NULL, object, 0, content);
    CHECK(extension != NULL && X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(content);
    ASN1_OBJECT_free(object);
}

/* Minimal DER INTEGER of 0..255. */
static void add_amd_number(X509 *cert, const char *number, uint8_t value) {
    const uint8_t small[] = {0x02, 0x01, value};
    const uint8_t large[] = {0x02, 0x02, 0x00, value};
    add_amd(cert, number, value < 0x80 ? SPAN(small) : SPAN(large));
}

static void add_amd_text(X509 *cert, const char *number, const char *text) {
    AUTO(buf_deinit)
    struct buf der = {0};
    buf_append_u8(&der, V_ASN1_IA5STRING);
    buf_append_u8(&der, (uint8_t)strlen(text));
    buf_append_str(&der, text);
    add_amd(cert, number, buf_span(&der));
}

static bool sign_pss(X509 *cert, EVP_MD_CTX *ctx, const struct key *signer) {
    EVP_PKEY_CTX *options = NULL;
    return EVP_DigestSignInit(ctx, &options, EVP_sha384(), NULL, signer->pkey) == 1 &&
           EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(options, EVP_sha384()) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(options, PSS_SALT) == 1 && X509_sign_ctx(cert, ctx) > 0;
}

static RESULT finish(X509 *cert, const struct key *signer, struct buf *der, struct err *err) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    CHECK(ctx != NULL);
    bool is_signed = sign_pss(cert, ctx, signer);
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    ENSURE(is_signed, err, INTERNAL, "could not sign a certificate");
    unsigned char *bytes = NULL;
    int size = i2d_X509(cert, &bytes);
    CHECK(size > 0);
    buf_append(der, bytes, (size_t)size);
    OPENSSL_free(bytes);
    return OK;
}

static void make_cn(char out[CN_SIZE], const char *prefix, enum snp_product product) {
    snprintf(out, CN_SIZE, "%s-%s", prefix, snp_product_name(product));
}

static void add_crl_address(X509 *cert, enum snp_product product) {
    char value[96];
    snprintf(value, sizeof value, "URI:https://kdsintf.amd.com/vcek/v1/%s/crl",
             snp_product_name(product));
    add_extension(cert, NULL, NID_crl_distribution_points, value);
}

/* AMD numbers its roots 0x010000, 0x020000, 0x030000. */
static uint64_t ark_serial(enum snp_product product) {
    return (uint64_t)product << 16;
}

static uint64_t ask_serial(enum snp_product product) {
    return ark_serial(product) + (product == SNP_GENOA ? 2 : 1);
}

struct result machine_cert_ark(enum snp_product product, const struct key *ark, int64_t now,
                               struct buf *der, struct err *err) {
    char name[CN_SIZE];
    make_cn(name, "ARK", product);
    AUTO(free_cert)
    X509 *cert = begin(name, name, ark_serial(product), ark);
    CHECK(set_dates(cert, now, CA_DAYS));
    add_extension(cert, NULL, NID_key_usage, "critical,keyCertSign,cRLSign");
    add_extension(cert, NULL, NID_subject_key_identifier, "hash");
    add_extension(cert, NULL, NID_basic_constraints, "critical,CA:TRUE");
    add_crl_address(cert, product);
    return finish(cert, ark, der, err);
}

struct result machine_cert_ask(enum snp_product product, const struct key *ask,
                               const struct key *ark, struct span ark_der, int64_t now,
                               struct buf *der, struct err *err) {
    char name[CN_SIZE];
    char issuer[CN_SIZE];
    make_cn(name, "SEV", product);
    make_cn(issuer, "ARK", product);
    const unsigned char *at = ark_der.data;
    AUTO(free_cert)
    X509 *parent = d2i_X509(NULL, &at, (long)ark_der.size);
    ENSURE(parent != NULL, err, INTERNAL, "the ARK is not a certificate");
    AUTO(free_cert)
    X509 *cert = begin(name, issuer, ask_serial(product), ask);
    CHECK(set_dates(cert, now, CA_DAYS));
    add_extension(cert, NULL, NID_subject_key_identifier, "hash");
    add_extension(cert, parent, NID_authority_key_identifier, "keyid:always");
    add_extension(cert, NULL, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
    add_extension(cert, NULL, NID_key_usage, "critical,keyCertSign");
    add_crl_address(cert, product);
    return finish(cert, ark, der, err);
}

/* AMD's order: the SNP component stands behind the spare ones, but not on Turin. */
static void add_tcb(X509 *cert, const struct machine *m) {
    bool is_turin = m->product == SNP_TURIN;
    if (is_turin) {
        add_amd_number(cert, "3.9", m->tcb.fmc);
    }
    add_amd_number(cert, "3.1", m->tcb.bootloader);
    add_amd_number(cert, "3.2", m->tcb.tee);
    if (is_turin) {
        add_amd_number(cert, "3.3", m->tcb.snp);
    } else {
        add_amd_number(cert, "3.4", 0);
    }
    add_amd_number(cert, "3.5", 0);
    add_amd_number(cert, "3.6", 0);
    add_amd_number(cert, "3.7", 0);
    if (!is_turin) {
        add_amd_number(cert, "3.3", m->tcb.snp);
    }
    add_amd_number(cert, "3.8", m->tcb.microcode);
}

struct result machine_cert_vcek(const struct machine *m, const struct key *ask, int64_t now,
                                struct buf *der, struct err *err) {
    char issuer[CN_SIZE];
    make_cn(issuer, "SEV", m->product);
    bool is_turin = m->product == SNP_TURIN;
    AUTO(free_cert)
    X509 *cert = begin("SEV-VCEK", issuer, 0, &m->vcek);
    CHECK(set_dates(cert, now, VCEK_DAYS));
    add_amd_number(cert, "1", is_turin ? 1 : 0);
    add_amd_text(cert, "2", m->product == SNP_MILAN ? "Milan-B0" : snp_product_name(m->product));
    add_tcb(cert, m);
    add_amd(cert, "4", span_of(m->chip_id, is_turin ? 8 : MACHINE_CHIP_ID_SIZE));
    return finish(cert, ask, der, err);
}

void machine_cert_pem(struct span der, struct buf *pem) {
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    CHECK(bio != NULL && PEM_write_bio(bio, PEM_STRING_X509, "", der.data, (long)der.size) > 0);
    long size = BIO_get_mem_data(bio, &text);
    buf_append(pem, text, (size_t)size);
    BIO_free(bio);
}

struct result machine_cert_key_digest(struct span der, uint8_t out[32], struct err *err) {
    const unsigned char *at = der.data;
    AUTO(free_cert)
    X509 *cert = d2i_X509(NULL, &at, (long)der.size);
    ERR_clear_error();
    ENSURE(cert != NULL && at == der.data + der.size, err, CONFIG, "not one DER certificate");
    struct key key = {.pkey = X509_get0_pubkey(cert)}; /* borrowed from cert */
    ENSURE(key.pkey != NULL, err, CONFIG, "the certificate's key cannot be read");
    key_digest(&key, out);
    return OK;
}
