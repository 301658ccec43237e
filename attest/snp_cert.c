/* SNP certificates: reading, signatures, CA rules, dates; see snp_cert.h. The profile of leaves is
 * in snp_vek.c, the revocation list in snp_crl.c.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_cert.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "lib/base/limits.h"
#include "lib/crypto/der.h"
#include "lib/crypto/digest.h"

#define CA_KEY_BITS 4096
#define PSS_SALT 48

/* The checks of a chain, in the order of snp_cert_add_checks. */
static const char CHECK_FORMAT[] = "certificate-format";
static const char CHECK_AUTHORITY[] = "certificate-authority";
static const char CHECK_ISSUER[] = "certificate-issuer";
static const char CHECK_ALGORITHM[] = "certificate-algorithm";
static const char CHECK_SIGNATURE[] = "certificate-signature";

void snp_cert_deinit(struct snp_cert *c) {
    X509_free(c->x509);
    *c = (struct snp_cert){0};
}

const char *snp_cert_kind_name(enum snp_cert_kind kind) {
    switch (kind) {
    case SNP_CERT_VCEK:
        return "VCEK";
    case SNP_CERT_VLEK:
        return "VLEK";
    case SNP_CERT_ASK:
        return "ASK";
    case SNP_CERT_ASVK:
        return "ASVK";
    case SNP_CERT_ARK:
        return "ARK";
    case SNP_CERT_OTHER:
        break;
    }
    return "certificate";
}

/* ---- reading ---- */

/* The only CN of a name; empty when there is none, more than one, or one in another encoding. */
static struct span common_name(const X509_NAME *name) {
    int first = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    if (first < 0 || X509_NAME_get_index_by_NID(name, NID_commonName, first) >= 0) {
        return (struct span){0};
    }
    const ASN1_STRING *cn = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, first));
    int type = ASN1_STRING_type(cn);
    if (type != V_ASN1_UTF8STRING && type != V_ASN1_PRINTABLESTRING) {
        return (struct span){0};
    }
    return span_of(ASN1_STRING_get0_data(cn), (size_t)ASN1_STRING_length(cn));
}

/* The product behind `prefix`, UNKNOWN when the name is anything else. */
static enum snp_product product_behind(struct span name, const char *prefix) {
    size_t n = strlen(prefix);
    if (name.size <= n || memcmp(name.data, prefix, n) != 0) {
        return SNP_PRODUCT_UNKNOWN;
    }
    return snp_product_from_line((const char *)name.data + n, name.size - n);
}

static const struct {
    const char *prefix;
    enum snp_cert_kind kind;
} AUTHORITIES[] = {{"ARK-", SNP_CERT_ARK}, {"SEV-VLEK-", SNP_CERT_ASVK}, {"SEV-", SNP_CERT_ASK}};

static enum snp_cert_kind authority_of(struct span cn, enum snp_product *product) {
    for (size_t i = 0; i < sizeof AUTHORITIES / sizeof AUTHORITIES[0]; i++) {
        *product = product_behind(cn, AUTHORITIES[i].prefix);
        if (*product != SNP_PRODUCT_UNKNOWN) {
            return AUTHORITIES[i].kind;
        }
    }
    return SNP_CERT_OTHER;
}

enum snp_product snp_cert__root_of_name(const X509_NAME *name) {
    enum snp_product product = SNP_PRODUCT_UNKNOWN;
    return authority_of(common_name(name), &product) == SNP_CERT_ARK ? product
                                                                     : SNP_PRODUCT_UNKNOWN;
}

static void classify(struct snp_cert *c) {
    struct span cn = common_name(X509_get_subject_name(c->x509));
    c->kind = authority_of(cn, &c->product);
    if (c->kind != SNP_CERT_OTHER) {
        return;
    }
    if (span_equal(cn, span_str("SEV-VCEK"))) {
        c->kind = SNP_CERT_VCEK;
    } else if (span_equal(cn, span_str("SEV-VLEK"))) {
        c->kind = SNP_CERT_VLEK;
    }
    authority_of(common_name(X509_get_issuer_name(c->x509)), &c->product);
}

static struct result malformed(const char *label, const char *actual, struct verdict *v,
                               struct err *err) {
    ERR_clear_error();
    const struct verdict_rule rule = {CHECK_FORMAT, "SNP-CERT-FORMAT", label,
                                      "pass the certificate as AMD's key service serves it"};
    return verdict_deny(v, err, &rule, "one X.509 certificate in DER", actual);
}

static bool digest_spki(X509 *x509, uint8_t out[32]) {
    unsigned char *spki = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), &spki);
    if (n <= 0) {
        return false;
    }
    sha256(span_of(spki, (size_t)n), out);
    OPENSSL_free(spki);
    return true;
}

static bool unix_of(const ASN1_TIME *time, int64_t *out) {
    struct tm tm;
    if (ASN1_TIME_to_tm(time, &tm) != 1) {
        return false;
    }
    *out = (int64_t)timegm(&tm);
    return true;
}

static void read_dates(struct snp_cert *c) {
    if (!unix_of(X509_get0_notBefore(c->x509), &c->not_before) ||
        !unix_of(X509_get0_notAfter(c->x509), &c->not_after)) {
        c->not_before = INT64_MAX;
        c->not_after = INT64_MIN;
    }
}

struct result snp_cert_parse(struct span der, const char *label, struct snp_cert *out,
                             struct verdict *verdict, struct err *err) {
    if (der.size == 0 || der.size > LIMIT_CERT) {
        char actual[64];
        snprintf(actual, sizeof actual, "%zu bytes (at most %d)", der.size, LIMIT_CERT);
        return malformed(label, actual, verdict, err);
    }
    const unsigned char *at = der.data;
    struct snp_cert cert = {.x509 = d2i_X509(NULL, &at, (long)der.size)};
    if (cert.x509 == NULL) {
        return malformed(label, "other bytes", verdict, err);
    }
    if (!der_is_exact(der) || !digest_spki(cert.x509, cert.spki_digest)) {
        snp_cert_deinit(&cert);
        return malformed(label, "bytes behind it or another encoding than DER", verdict, err);
    }
    read_dates(&cert);
    classify(&cert);
    *out = cert;
    return OK;
}

/* ---- signatures ---- */

static bool is_algorithm(const X509_ALGOR *algorithm, int nid) {
    const ASN1_OBJECT *object = NULL;
    X509_ALGOR_get0(&object, NULL, NULL, algorithm);
    return OBJ_obj2nid(object) == nid;
}

/* SHA-384 with its parameters NULL or left out (RFC 4055 section 2.1). */
static bool is_sha384(const X509_ALGOR *algorithm) {
    int type = V_ASN1_UNDEF;
    X509_ALGOR_get0(NULL, &type, NULL, algorithm);
    return is_algorithm(algorithm, NID_sha384) && (type == V_ASN1_NULL || type == V_ASN1_UNDEF);
}

static bool is_mgf1_sha384(const X509_ALGOR *mask) {
    if (mask == NULL || !is_algorithm(mask, NID_mgf1)) {
        return false;
    }
    int type = V_ASN1_UNDEF;
    const void *value = NULL;
    X509_ALGOR_get0(NULL, &type, &value, mask);
    if (type != V_ASN1_SEQUENCE) {
        return false;
    }
    const ASN1_STRING *bytes = value;
    const unsigned char *at = ASN1_STRING_get0_data(bytes);
    const unsigned char *end = at + ASN1_STRING_length(bytes);
    X509_ALGOR *hash = d2i_X509_ALGOR(NULL, &at, ASN1_STRING_length(bytes));
    bool good = hash != NULL && at == end && is_sha384(hash);
    X509_ALGOR_free(hash);
    return good;
}

/* RFC 4055 section 3.1 */
static bool are_amd_parameters(const RSA_PSS_PARAMS *p) {
    return p->hashAlgorithm != NULL && is_sha384(p->hashAlgorithm) &&
           is_mgf1_sha384(p->maskGenAlgorithm) && p->saltLength != NULL &&
           ASN1_INTEGER_get(p->saltLength) == PSS_SALT &&
           (p->trailerField == NULL || ASN1_INTEGER_get(p->trailerField) == 1);
}

bool snp_cert__is_amd_pss(const X509_ALGOR *algorithm) {
    int type = V_ASN1_UNDEF;
    const void *value = NULL;
    X509_ALGOR_get0(NULL, &type, &value, algorithm);
    if (!is_algorithm(algorithm, NID_rsassaPss) || type != V_ASN1_SEQUENCE) {
        return false;
    }
    const ASN1_STRING *bytes = value;
    const unsigned char *at = ASN1_STRING_get0_data(bytes);
    const unsigned char *end = at + ASN1_STRING_length(bytes);
    RSA_PSS_PARAMS *p = d2i_RSA_PSS_PARAMS(NULL, &at, ASN1_STRING_length(bytes));
    bool good = p != NULL && at == end && are_amd_parameters(p);
    RSA_PSS_PARAMS_free(p);
    ERR_clear_error();
    return good;
}

bool snp_cert__same_name(const X509_NAME *a, const X509_NAME *b) {
    const unsigned char *left = NULL;
    const unsigned char *right = NULL;
    size_t left_size = 0;
    size_t right_size = 0;
    return X509_NAME_get0_der(a, &left, &left_size) == 1 &&
           X509_NAME_get0_der(b, &right, &right_size) == 1 &&
           span_equal(span_of(left, left_size), span_of(right, right_size));
}

static struct result refuse_signature(const struct snp_cert *child, const char *check,
                                      const char *code, const char *what, const char *expected,
                                      const char *actual, struct verdict *v, struct err *err) {
    char field[64];
    snprintf(field, sizeof field, "%s.%s", snp_cert_kind_name(child->kind), what);
    const struct verdict_rule rule = {
        check, code, field,
        "the certificates do not form AMD's chain: get the leaf from AMD's key service again; a "
        "simulated machine's leaf needs that machine's ASK and ARK beside it"};
    return verdict_deny(v, err, &rule, expected, actual);
}

static void name_text(const X509_NAME *name, char *out, size_t size) {
    struct span cn = common_name(name);
    snprintf(out, size, "CN=%.*s", (int)(cn.size < 64 ? cn.size : 64),
             cn.data == NULL ? "" : (const char *)cn.data);
    for (char *c = out; *c != '\0'; c++) {
        *c = *c >= ' ' && *c <= '~' ? *c : '?';
    }
}

struct result snp_cert_signed_by(const struct snp_cert *child, const struct snp_cert *issuer,
                                 struct verdict *verdict, struct err *err) {
    char expected[80];
    char actual[80];
    const X509_NAME *named = X509_get_issuer_name(child->x509);
    const X509_NAME *name = X509_get_subject_name(issuer->x509);
    if (!snp_cert__same_name(named, name)) {
        name_text(name, expected, sizeof expected);
        name_text(named, actual, sizeof actual);
        return refuse_signature(child, CHECK_ISSUER, "SNP-CERT-ISSUER", "issuer", expected, actual,
                                verdict, err);
    }
    const X509_ALGOR *algorithm = NULL;
    X509_get0_signature(NULL, &algorithm, child->x509);
    if (!snp_cert__is_amd_pss(algorithm)) {
        return refuse_signature(child, CHECK_ALGORITHM, "SNP-CERT-ALGORITHM", "signatureAlgorithm",
                                "RSASSA-PSS, SHA-384, MGF1-SHA-384, salt 48", "another", verdict,
                                err);
    }
    int good = X509_verify(child->x509, X509_get0_pubkey(issuer->x509));
    ERR_clear_error();
    if (good != 1) {
        snprintf(expected, sizeof expected, "valid under the key of the %s",
                 snp_cert_kind_name(issuer->kind));
        return refuse_signature(child, CHECK_SIGNATURE, "SNP-CERT-SIGNATURE", "signature", expected,
                                "invalid", verdict, err);
    }
    return OK;
}

/* ---- CA rules and dates ---- */

/* What would narrow the authority: this reader knows only these two and refuses others that must be
 * heeded (RFC 5280 section 4.2), name constraints among them. */
static bool is_narrowed(const X509 *x509) {
    for (int i = 0; i < X509_get_ext_count(x509); i++) {
        X509_EXTENSION *e = X509_get_ext(x509, i);
        int nid = OBJ_obj2nid(X509_EXTENSION_get_object(e));
        if (X509_EXTENSION_get_critical(e) && nid != NID_basic_constraints &&
            nid != NID_key_usage) {
            return true;
        }
    }
    return false;
}

/* One authority below a root, none below an authority; -1 is any number. */
static bool has_depth(const struct snp_cert *ca) {
    long depth = X509_get_pathlen(ca->x509);
    return ca->kind == SNP_CERT_ARK ? depth != 0 : depth == 0;
}

struct result snp_cert_check_ca(const struct snp_cert *ca, struct verdict *verdict,
                                struct err *err) {
    EVP_PKEY *key = X509_get0_pubkey(ca->x509);
    uint32_t flags = X509_get_extension_flags(ca->x509);
    bool usable =
        (flags & EXFLAG_INVALID) == 0 && (flags & EXFLAG_KUSAGE) != 0 && !is_narrowed(ca->x509);
    bool signs = (X509_get_key_usage(ca->x509) & KU_KEY_CERT_SIGN) != 0;
    if (key != NULL && EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) == CA_KEY_BITS &&
        usable && signs && has_depth(ca) && X509_check_ca(ca->x509) == 1) {
        return OK;
    }
    ERR_clear_error();
    const struct verdict_rule rule = {CHECK_AUTHORITY, "SNP-CERT-CA", snp_cert_kind_name(ca->kind),
                                      "get ASK and ARK from AMD's key service again"};
    return verdict_deny(verdict, err, &rule,
                        "an RSA-4096 CA that signs certificates (path length 0 below the root)",
                        "another certificate");
}

void snp_cert_add_checks(struct verdict *verdict) {
    static const char *const checks[] = {CHECK_FORMAT, CHECK_AUTHORITY, CHECK_ISSUER,
                                         CHECK_ALGORITHM, CHECK_SIGNATURE};
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        verdict_add_check(verdict, checks[i], true);
    }
}

static void time_text(const ASN1_TIME *time, char *out, size_t size) {
    struct tm tm;
    if (ASN1_TIME_to_tm(time, &tm) != 1 || strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        snprintf(out, size, "an unreadable time");
    }
}

struct result snp_cert_check_dates(const struct snp_cert *cert, int64_t at, struct verdict *verdict,
                                   struct err *err) {
    if (cert->not_before <= at && at <= cert->not_after) {
        return OK;
    }
    char first[40];
    char last[40];
    char expected[96];
    char actual[40];
    char field[64];
    time_text(X509_get0_notBefore(cert->x509), first, sizeof first);
    time_text(X509_get0_notAfter(cert->x509), last, sizeof last);
    snprintf(expected, sizeof expected, "%s to %s", first, last);
    struct tm tm = {0};
    time_t now = (time_t)at;
    if (gmtime_r(&now, &tm) == NULL || strftime(actual, sizeof actual, "%FT%TZ", &tm) == 0) {
        snprintf(actual, sizeof actual, "unix time %lld", (long long)at);
    }
    snprintf(field, sizeof field, "%s.validity", snp_cert_kind_name(cert->kind));
    const struct verdict_rule rule = {
        "certificate-dates", "SNP-CERT-DATE", field,
        "get a certificate that is valid now, or judge at the time of the report"};
    return verdict_deny(verdict, err, &rule, expected, actual);
}
