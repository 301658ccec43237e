/* Certificates: reading, converting and checking them; see cert.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/crypto/cert_read.h"

#include <string.h>
#include <time.h>

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/crypto/cert.h"

#define PEM_BEGIN "-----BEGIN CERTIFICATE-----"
#define PEM_END "-----END CERTIFICATE-----"
#define PEM_COLUMNS 64

struct result cert_parse(struct span der, X509 **out, struct err *err) {
    ENSURE(der.size > 0 && der.size <= LIMIT_CERT, err, MALFORMED,
           "certificate of %zu bytes, limit %d", der.size, LIMIT_CERT);
    const unsigned char *at = der.data;
    X509 *cert = d2i_X509(NULL, &at, (long)der.size);
    ERR_clear_error();
    ENSURE(cert != NULL, err, MALFORMED, "not an X.509 certificate in DER");
    if (at != der.data + der.size) {
        X509_free(cert);
        return err_set(err, ERR_MALFORMED, "bytes behind the certificate");
    }
    *out = cert;
    return OK;
}

/* --- PEM */

void cert_to_pem(struct span der, struct buf *pem) {
    AUTO(buf_deinit)
    struct buf text = {0};
    base64_encode(der, &text);
    buf_append_str(pem, PEM_BEGIN "\n");
    for (size_t at = 0; at < text.size; at += PEM_COLUMNS) {
        size_t n = text.size - at < PEM_COLUMNS ? text.size - at : PEM_COLUMNS;
        buf_append(pem, text.data + at, n);
        buf_append_u8(pem, '\n');
    }
    buf_append_str(pem, PEM_END "\n");
}

static bool is_space(uint8_t c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct span skip_space(struct span s) {
    while (s.size > 0 && is_space(s.data[0])) {
        s = span_of(s.data + 1, s.size - 1);
    }
    return s;
}

static bool skip_marker(struct span *s, const char *marker) {
    size_t size = strlen(marker);
    if (s->size < size || memcmp(s->data, marker, size) != 0) {
        return false;
    }
    *s = span_of(s->data + size, s->size - size);
    return true;
}

/* Takes one block off the start of *rest. */
static RESULT take_block(struct span *rest, struct buf *der, struct err *err) {
    AUTO(buf_deinit)
    struct buf text = {0};
    AUTO(buf_deinit)
    struct buf bytes = {0};
    struct span at = skip_space(*rest);
    ENSURE(skip_marker(&at, PEM_BEGIN), err, CONFIG, "no \"" PEM_BEGIN "\"");
    for (; at.size > 0 && at.data[0] != '-'; at = span_of(at.data + 1, at.size - 1)) {
        if (!is_space(at.data[0])) {
            buf_append_u8(&text, at.data[0]);
        }
    }
    ENSURE(skip_marker(&at, PEM_END), err, CONFIG, "no \"" PEM_END "\"");
    ENSURE(is_ok(base64_decode(buf_span(&text), &bytes, NULL)), err, CONFIG, "not base64");
    X509 *cert = NULL;
    struct err inner;
    ENSURE(is_ok(cert_parse(buf_span(&bytes), &cert, &inner)), err, CONFIG, "%s", inner.text);
    X509_free(cert);
    buf_append_span(der, buf_span(&bytes));
    *rest = skip_space(at);
    return OK;
}

struct result cert_from_pem(struct span pem, size_t count, struct buf *der, struct err *err) {
    ENSURE(pem.size <= LIMIT_PEM, err, CONFIG, "%zu bytes of PEM, limit %d", pem.size, LIMIT_PEM);
    struct buf *parsed = mem_calloc(count, sizeof *parsed);
    struct result r = OK;
    for (size_t i = 0; i < count && is_ok(r); i++) {
        r = take_block(&pem, &parsed[i], err);
        if (!is_ok(r)) {
            r = err_wrap(r, err, "certificate %zu of %zu", i + 1, count);
        }
    }
    if (is_ok(r) && pem.size > 0) {
        r = err_set(err, ERR_CONFIG, "more than %zu certificates, or text behind them", count);
    }
    for (size_t i = 0; i < count; i++) {
        if (is_ok(r)) {
            buf_append_span(&der[i], buf_span(&parsed[i]));
        }
        buf_deinit(&parsed[i]);
    }
    mem_free(parsed);
    return r;
}

/* --- Parts of a certificate */

struct result cert_spki(struct span der, struct buf *spki, struct err *err) {
    X509 *cert = NULL;
    TRY(cert_parse(der, &cert, err));
    unsigned char *bytes = NULL;
    int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &bytes);
    CHECK(size > 0);
    buf_append(spki, bytes, (size_t)size);
    OPENSSL_free(bytes);
    X509_free(cert);
    return OK;
}

struct result cert_public_key(struct span der, struct key *out, struct err *err) {
    AUTO(buf_deinit)
    struct buf spki = {0};
    TRY(cert_spki(der, &spki, err));
    return key_from_spki(buf_span(&spki), out, err);
}

static X509_EXTENSION *find_extension(X509 *cert, const char *oid) {
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    CHECK(object != NULL);
    int at = X509_get_ext_by_OBJ(cert, object, -1);
    ASN1_OBJECT_free(object);
    return at < 0 ? NULL : X509_get_ext(cert, at);
}

struct result cert_extension_value(struct span der, const char *oid, struct buf *value,
                                   struct err *err) {
    X509 *cert = NULL;
    TRY(cert_parse(der, &cert, err));
    X509_EXTENSION *extension = find_extension(cert, oid);
    if (extension != NULL) {
        const ASN1_OCTET_STRING *bytes = X509_EXTENSION_get_data(extension);
        buf_append(value, ASN1_STRING_get0_data(bytes), (size_t)ASN1_STRING_length(bytes));
    }
    X509_free(cert);
    ENSURE(extension != NULL, err, NOT_FOUND, "certificate without extension %s", oid);
    return OK;
}

static bool read_time(const ASN1_TIME *in, int64_t *out) {
    struct tm tm;
    if (ASN1_TIME_to_tm(in, &tm) != 1) {
        return false;
    }
    *out = (int64_t)timegm(&tm);
    return true;
}

struct result cert_validity(struct span der, int64_t *not_before, int64_t *not_after,
                            struct err *err) {
    X509 *cert = NULL;
    TRY(cert_parse(der, &cert, err));
    int64_t from = 0;
    int64_t until = 0;
    bool is_good =
        read_time(X509_get0_notBefore(cert), &from) && read_time(X509_get0_notAfter(cert), &until);
    X509_free(cert);
    ERR_clear_error();
    ENSURE(is_good, err, MALFORMED, "certificate with a bad validity");
    *not_before = from;
    *not_after = until;
    return OK;
}

/* --- Chains */

struct chain {
    X509 *leaf;
    X509 *ca;
    STACK_OF(X509) * intermediates; /* owns its members */
    X509_STORE *store;
    X509_STORE_CTX *ctx;
};

static void chain_deinit(struct chain *c) {
    X509_STORE_CTX_free(c->ctx);
    X509_STORE_free(c->store);
    sk_X509_pop_free(c->intermediates, X509_free);
    X509_free(c->ca);
    X509_free(c->leaf);
}

static RESULT parse_chain(struct chain *c, struct span leaf, const struct span *intermediates,
                          size_t count, struct span ca, struct err *err) {
    c->intermediates = sk_X509_new_null();
    CHECK(c->intermediates != NULL);
    TRY(cert_parse(leaf, &c->leaf, err));
    TRY(cert_parse(ca, &c->ca, err));
    for (size_t i = 0; i < count; i++) {
        X509 *cert = NULL;
        TRY(cert_parse(intermediates[i], &cert, err));
        CHECK(sk_X509_push(c->intermediates, cert) > 0);
    }
    return OK;
}

static RESULT verify_chain(struct chain *c, int64_t at, struct err *err) {
    c->store = X509_STORE_new();
    c->ctx = X509_STORE_CTX_new();
    CHECK(c->store != NULL && c->ctx != NULL && X509_STORE_add_cert(c->store, c->ca) == 1);
    CHECK(X509_STORE_CTX_init(c->ctx, c->store, c->leaf, c->intermediates) == 1);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(c->ctx);
    X509_VERIFY_PARAM_set_time(param, (time_t)at);
    CHECK(X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_X509_STRICT) ==
          1);
    int verdict = X509_verify_cert(c->ctx);
    int error = X509_STORE_CTX_get_error(c->ctx);
    ERR_clear_error();
    bool is_date = error == X509_V_ERR_CERT_NOT_YET_VALID || error == X509_V_ERR_CERT_HAS_EXPIRED;
    ENSURE(verdict == 1, err, SIGNATURE, "certificate at depth %d: %s%s",
           X509_STORE_CTX_get_error_depth(c->ctx), X509_verify_cert_error_string(error),
           is_date ? " by the clock of this host: is that right?" : "");
    return OK;
}

struct result cert_verify_leaf(struct span leaf, const struct span *intermediates,
                               size_t intermediate_count, struct span ca, int64_t at,
                               struct err *err) {
    AUTO(chain_deinit)
    struct chain c = {0};
    TRY(parse_chain(&c, leaf, intermediates, intermediate_count, ca, err));
    return verify_chain(&c, at, err);
}
