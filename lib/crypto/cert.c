/* Certificates: building them; see cert.h. Reading them is in cert_read.c.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/crypto/cert.h"

#include <string.h>

#include <arpa/inet.h>

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "lib/base/host.h"
#include "lib/base/limits.h"
#include "lib/crypto/cert_read.h"

#define COMMON_NAME_MAX 64                   /* bytes, ub-common-name */
#define TIME_MAX INT64_C(253402300799)       /* 9999-12-31T23:59:59Z, the last GeneralizedTime */
#define EPHEMERAL_BEFORE_S INT64_C(86400)    /* yesterday */
#define EPHEMERAL_AFTER_S INT64_C(315360000) /* ten years */

static RESULT check_spec(const struct cert_spec *spec, struct err *err) {
    ENSURE(spec->serial.size > 0 && spec->serial.size <= CERT_SERIAL_MAX &&
               !span_is_zero(spec->serial),
           err, INVALID, "serial of %zu bytes, want 1..%d and not zero", spec->serial.size,
           CERT_SERIAL_MAX);
    ENSURE(spec->serial.size < CERT_SERIAL_MAX || spec->serial.data[0] < 0x80, err, INVALID,
           "serial is negative or over %d bytes in DER", CERT_SERIAL_MAX);
    ENSURE(spec->not_before >= 0 && spec->not_before < spec->not_after &&
               spec->not_after <= TIME_MAX,
           err, INVALID, "validity from %lld to %lld", (long long)spec->not_before,
           (long long)spec->not_after);
    ENSURE(spec->san_count <= LIMIT_SANS, err, INVALID, "%zu subject alternative names, limit %d",
           spec->san_count, LIMIT_SANS);
    ENSURE(spec->is_ca || (spec->key_usage & CERT_USE_KEY_CERT_SIGN) == 0, err, INVALID,
           "keyCertSign on a certificate that is no CA");
    return OK;
}

static RESULT set_name(X509_NAME *name, const char *text, struct err *err) {
    size_t size = text == NULL ? 0 : strlen(text);
    ENSURE(size > 0 && size <= COMMON_NAME_MAX, err, INVALID,
           "common name of %zu bytes, want 1..%d", size, COMMON_NAME_MAX);
    bool is_set = X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                             (const unsigned char *)text, (int)size, -1, 0) == 1;
    ERR_clear_error();
    ENSURE(is_set, err, INVALID, "common name is not UTF-8");
    return OK;
}

static void set_serial(X509 *cert, struct span serial) {
    BIGNUM *number = BN_bin2bn(serial.data, (int)serial.size, NULL);
    CHECK(number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL);
    BN_free(number);
}

static RESULT set_issuer(X509 *cert, const struct cert_spec *spec, X509 *issuer, struct err *err) {
    if (issuer != NULL) {
        CHECK(X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1);
        return OK;
    }
    struct result r = set_name(X509_get_issuer_name(cert),
                               spec->issuer == NULL ? spec->subject : spec->issuer, err);
    return is_ok(r) ? r : err_wrap(r, err, "issuer");
}

static RESULT set_basics(X509 *cert, const struct cert_spec *spec, const struct key *subject_key,
                         X509 *issuer, struct err *err) {
    CHECK(X509_set_version(cert, X509_VERSION_3) == 1);
    set_serial(cert, spec->serial);
    CHECK(ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)spec->not_before) != NULL);
    CHECK(ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)spec->not_after) != NULL);
    struct result r = set_name(X509_get_subject_name(cert), spec->subject, err);
    if (!is_ok(r)) {
        return err_wrap(r, err, "subject");
    }
    TRY(set_issuer(cert, spec, issuer, err));
    ENSURE(X509_set_pubkey(cert, subject_key->pkey) == 1, err, INVALID, "bad subject key");
    return OK;
}

/* --- Extensions */

static void add_i2d(X509 *cert, int nid, void *value, bool is_critical) {
    CHECK(X509_add1_ext_i2d(cert, nid, value, is_critical ? 1 : 0, X509V3_ADD_APPEND) == 1);
}

static void add_basic_constraints(X509 *cert, const struct cert_spec *spec) {
    BASIC_CONSTRAINTS *value = BASIC_CONSTRAINTS_new();
    CHECK(value != NULL);
    value->ca = spec->is_ca ? 0xff : 0;
    if (spec->is_ca && spec->path_length >= 0) {
        value->pathlen = ASN1_INTEGER_new();
        CHECK(value->pathlen != NULL && ASN1_INTEGER_set(value->pathlen, spec->path_length) == 1);
    }
    add_i2d(cert, NID_basic_constraints, value, true);
    BASIC_CONSTRAINTS_free(value);
}

/* Bit numbers of RFC 5280 section 4.2.1.3. */
static void add_key_usage(X509 *cert, unsigned usage) {
    static const struct {
        unsigned flag;
        int bit;
    } bits[] = {{CERT_USE_DIGITAL_SIGNATURE, 0},
                {CERT_USE_KEY_ENCIPHERMENT, 2},
                {CERT_USE_KEY_AGREEMENT, 4},
                {CERT_USE_KEY_CERT_SIGN, 5},
                {CERT_USE_CRL_SIGN, 6}};
    if (usage == 0) {
        return;
    }
    ASN1_BIT_STRING *value = ASN1_BIT_STRING_new();
    CHECK(value != NULL);
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++) {
        if ((usage & bits[i].flag) != 0) {
            CHECK(ASN1_BIT_STRING_set_bit(value, bits[i].bit, 1) == 1);
        }
    }
    add_i2d(cert, NID_key_usage, value, true);
    ASN1_BIT_STRING_free(value);
}

static void add_extended_usage(X509 *cert, unsigned usage) {
    if (usage == 0) {
        return;
    }
    EXTENDED_KEY_USAGE *value = EXTENDED_KEY_USAGE_new();
    CHECK(value != NULL);
    if ((usage & CERT_EXT_SERVER_AUTH) != 0) {
        CHECK(sk_ASN1_OBJECT_push(value, OBJ_nid2obj(NID_server_auth)) > 0);
    }
    if ((usage & CERT_EXT_CLIENT_AUTH) != 0) {
        CHECK(sk_ASN1_OBJECT_push(value, OBJ_nid2obj(NID_client_auth)) > 0);
    }
    add_i2d(cert, NID_ext_key_usage, value, false);
    EXTENDED_KEY_USAGE_free(value);
}

/* RFC 5280 section 4.2.1.2 method 1: SHA-1 of the key's BIT STRING. */
static void key_id(X509 *cert_of_key, uint8_t out[20]) {
    unsigned size = 0;
    CHECK(X509_pubkey_digest(cert_of_key, EVP_sha1(), out, &size) == 1 && size == 20);
}

static void add_subject_key_id(X509 *cert) {
    uint8_t id[20];
    key_id(cert, id);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    CHECK(value != NULL && ASN1_OCTET_STRING_set(value, id, sizeof id) == 1);
    add_i2d(cert, NID_subject_key_identifier, value, false);
    ASN1_OCTET_STRING_free(value);
}

static void issuer_key_id(const struct key *issuer_key, uint8_t out[20]) {
    X509 *carrier = X509_new();
    CHECK(carrier != NULL && X509_set_pubkey(carrier, issuer_key->pkey) == 1);
    key_id(carrier, out);
    X509_free(carrier);
}

/* The issuer's own identifier where its certificate has one, else the hash of its key. */
static void add_authority_key_id(X509 *cert, X509 *issuer, const struct key *issuer_key) {
    const ASN1_OCTET_STRING *own = issuer == NULL ? NULL : X509_get0_subject_key_id(issuer);
    AUTHORITY_KEYID *value = AUTHORITY_KEYID_new();
    CHECK(value != NULL);
    if (own != NULL) {
        value->keyid = ASN1_OCTET_STRING_dup(own);
        CHECK(value->keyid != NULL);
    } else {
        uint8_t id[20];
        issuer_key_id(issuer_key, id);
        value->keyid = ASN1_OCTET_STRING_new();
        CHECK(value->keyid != NULL && ASN1_OCTET_STRING_set(value->keyid, id, sizeof id) == 1);
    }
    add_i2d(cert, NID_authority_key_identifier, value, false);
    AUTHORITY_KEYID_free(value);
}

static bool set_ip(GENERAL_NAME *name, const char *text) {
    uint8_t address[16];
    int size = inet_pton(AF_INET, text, address) == 1    ? 4
               : inet_pton(AF_INET6, text, address) == 1 ? 16
                                                         : 0;
    if (size == 0) {
        return false;
    }
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    CHECK(value != NULL && ASN1_OCTET_STRING_set(value, address, size) == 1);
    GENERAL_NAME_set0_value(name, GEN_IPADD, value);
    return true;
}

/* DNS names and URIs are IA5String, RFC 5280 section 4.2.1.6: printable ASCII without spaces. */
static RESULT check_san(const char *text, struct err *err) {
    size_t size = text == NULL ? 0 : strlen(text);
    ENSURE(size > 0 && size <= LIMIT_SAN, err, INVALID, "%zu bytes, want 1..%d", size, LIMIT_SAN);
    for (size_t i = 0; i < size; i++) {
        ENSURE(text[i] > 0x20 && text[i] < 0x7f, err, INVALID, "a character that no name has");
    }
    return OK;
}

static RESULT add_san(GENERAL_NAMES *names, const char *text, struct err *err) {
    TRY(check_san(text, err));
    GENERAL_NAME *name = GENERAL_NAME_new();
    CHECK(name != NULL && sk_GENERAL_NAME_push(names, name) > 0);
    if (!set_ip(name, text)) {
        ASN1_IA5STRING *value = ASN1_IA5STRING_new();
        CHECK(value != NULL && ASN1_STRING_set(value, text, -1) == 1);
        const char *scheme_end = strstr(text, "://");
        bool is_uri = scheme_end != NULL && scheme_end != text;
        GENERAL_NAME_set0_value(name, is_uri ? GEN_URI : GEN_DNS, value);
    }
    return OK;
}

static RESULT add_sans(X509 *cert, const struct cert_spec *spec, struct err *err) {
    if (spec->san_count == 0) {
        return OK;
    }
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    CHECK(names != NULL);
    struct result r = OK;
    for (size_t i = 0; i < spec->san_count && is_ok(r); i++) {
        r = add_san(names, spec->sans[i], err);
        if (!is_ok(r)) {
            r = err_wrap(r, err, "subject alternative name %zu", i + 1);
        }
    }
    if (is_ok(r)) {
        add_i2d(cert, NID_subject_alt_name, names, false);
    }
    GENERAL_NAMES_free(names);
    return r;
}

static RESULT add_extension(X509 *cert, const struct cert_extension *extension, struct err *err) {
    ASN1_OBJECT *oid = OBJ_txt2obj(extension->oid, 1);
    ERR_clear_error();
    ENSURE(oid != NULL, err, INVALID, "extension \"%s\": not a dotted OID", extension->oid);
    if (X509_get_ext_by_OBJ(cert, oid, -1) >= 0) {
        ASN1_OBJECT_free(oid);
        return err_set(err, ERR_INVALID, "extension %s: there twice", extension->oid);
    }
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    CHECK(value != NULL && extension->value.size <= LIMIT_CERT);
    CHECK(ASN1_OCTET_STRING_set(value, extension->value.data, (int)extension->value.size) == 1);
    X509_EXTENSION *made =
        X509_EXTENSION_create_by_OBJ(NULL, oid, extension->is_critical ? 1 : 0, value);
    CHECK(made != NULL && X509_add_ext(cert, made, -1) == 1);
    X509_EXTENSION_free(made);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(oid);
    return OK;
}

static RESULT set_extensions(X509 *cert, const struct cert_spec *spec, X509 *issuer,
                             const struct key *issuer_key, struct err *err) {
    add_basic_constraints(cert, spec);
    add_key_usage(cert, spec->key_usage);
    add_extended_usage(cert, spec->extended_usage);
    add_subject_key_id(cert);
    add_authority_key_id(cert, issuer, issuer_key);
    TRY(add_sans(cert, spec, err));
    for (size_t i = 0; i < spec->extension_count; i++) {
        TRY(add_extension(cert, &spec->extensions[i], err));
    }
    return OK;
}

/* --- Signing */

static RESULT sign(X509 *cert, const struct key *issuer_key, struct err *err) {
    const EVP_MD *md = NULL;
    switch (key_kind_of(issuer_key)) {
    case KEY_P256:
        md = EVP_sha256();
        break;
    case KEY_P384:
        md = EVP_sha384();
        break;
    case KEY_ED25519:
        break;
    case KEY_RSA:
    case KEY_OTHER:
        return err_set(err, ERR_INVALID, "issuer key: want P-256, P-384 or Ed25519");
    }
    bool is_signed = X509_sign(cert, issuer_key->pkey, md) > 0;
    ERR_clear_error();
    ENSURE(is_signed, err, INVALID, "signing failed: is the issuer key private?");
    return OK;
}

static RESULT fill(X509 *cert, const struct cert_spec *spec, const struct key *subject_key,
                   X509 *issuer, const struct key *issuer_key, struct err *err) {
    ENSURE(issuer == NULL || EVP_PKEY_eq(X509_get0_pubkey(issuer), issuer_key->pkey) == 1, err,
           INVALID, "the issuer certificate is not of the issuer key");
    TRY(set_basics(cert, spec, subject_key, issuer, err));
    TRY(set_extensions(cert, spec, issuer, issuer_key, err));
    return sign(cert, issuer_key, err);
}

static void append_der(X509 *cert, struct buf *der) {
    unsigned char *bytes = NULL;
    int size = i2d_X509(cert, &bytes);
    CHECK(size > 0);
    buf_append(der, bytes, (size_t)size);
    OPENSSL_free(bytes);
}

struct result cert_build(const struct cert_spec *spec, const struct key *subject_key,
                         const struct key *issuer_key, struct buf *der, struct err *err) {
    TRY(check_spec(spec, err));
    X509 *issuer = NULL;
    if (spec->issuer_certificate.size > 0) {
        struct result r = cert_parse(spec->issuer_certificate, &issuer, err);
        if (!is_ok(r)) {
            return err_wrap(r, err, "issuer certificate");
        }
    }
    X509 *cert = X509_new();
    CHECK(cert != NULL);
    struct result r = fill(cert, spec, subject_key, issuer, issuer_key, err);
    if (is_ok(r)) {
        append_der(cert, der);
    }
    ERR_clear_error();
    X509_free(cert);
    X509_free(issuer);
    return r;
}

struct result cert_self_signed(const struct key *key, struct buf *der, struct err *err) {
    uint8_t serial[16];
    host_random(&host_system, serial, sizeof serial);
    serial[0] = (serial[0] & 0x7f) | 0x40;
    int64_t now = host_unix_s(&host_system);
    const struct cert_spec spec = {
        .subject = "contrast",
        .serial = SPAN(serial),
        .not_before = now > EPHEMERAL_BEFORE_S ? now - EPHEMERAL_BEFORE_S : 0,
        .not_after = now + EPHEMERAL_AFTER_S,
        .path_length = CERT_PATH_LENGTH_NONE,
        .key_usage = CERT_USE_DIGITAL_SIGNATURE,
        .extended_usage = CERT_EXT_SERVER_AUTH | CERT_EXT_CLIENT_AUTH,
    };
    return cert_build(&spec, key, key, der, err);
}
