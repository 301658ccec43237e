/* TLS: see tls.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/tls/tls.h"

#include <stdatomic.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/crypto/digest.h"

#define EXPORTER_LABEL "EXPORTER-contrast-attest"
#define CIPHERSUITES "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS "X25519:P-256"
#define SIGNATURES "ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:ed25519"
#define WRITE_PIECE (16 * 1024) /* bytes: one TLS record, RFC 8446 section 5.1 */

struct tls_context {
    atomic_size_t references;
    SSL_CTX *ctx; /* owned */
    bool is_server;
    tls_accept_cb accept_peer;
    void *data;                                  /* borrowed, of accept_peer */
    uint8_t local_spki_hash[TLS_SPKI_HASH_SIZE]; /* of the context's own key */
};

struct tls {
    struct tls_context *context; /* one reference */
    SSL *ssl;                    /* owned; owns both BIOs */
    BIO *input;                  /* borrowed from ssl: bytes from the transport */
    BIO *output;                 /* borrowed from ssl: bytes for the transport */
    tls_accept_cb accept_peer;
    void *data;
    struct buf peer_spki; /* empty until the peer's certificate is accepted */
    bool is_ready;
    bool is_failed;
    bool is_write_closed; /* our close_notify is out */
    bool is_read_closed;  /* the peer's is in */
};

/* --- The peer's certificate */

/* RFC 5280 leaves many encodings of one key; only the canonical one is taken, so that a hash of the
 * SPKI names one key and one key has one hash. */
static bool take_peer_spki(struct tls *tls, X509 *certificate) {
    unsigned char *der = NULL;
    int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
    if (size <= 0) {
        return false;
    }
    struct key key = {0};
    struct span spki = span_of(der, (size_t)size);
    bool is_good = spki.size <= LIMIT_SPKI && is_ok(key_from_spki(spki, &key, NULL)) &&
                   (tls->accept_peer == NULL || tls->accept_peer(tls->data, spki));
    if (is_good) {
        buf_clear(&tls->peer_spki);
        buf_append_span(&tls->peer_spki, spki);
    }
    key_deinit(&key);
    OPENSSL_free(der);
    return is_good;
}

/* In place of OpenSSL's chain building: exactly one certificate that names itself as its issuer.
 * Its signature is of no interest: CertificateVerify proves possession of the key. */
static int verify_peer(X509_STORE_CTX *store, void *unused) {
    (void)unused;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls *tls = SSL_get_app_data(ssl);
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(store);
    X509 *certificate = X509_STORE_CTX_get0_cert(store);
    bool is_good = certificate != NULL && sk_X509_num(chain) <= 1 &&
                   X509_self_signed(certificate, 0) == 1 && take_peer_spki(tls, certificate);
    ERR_clear_error();
    X509_STORE_CTX_set_error(store, is_good ? X509_V_OK : X509_V_ERR_CERT_REJECTED);
    return is_good ? 1 : 0;
}

/* --- Contexts */

static RESULT use_certificate(SSL_CTX *ctx, const struct tls_config *config, struct err *err) {
    ENSURE(config->certificate.size > 0 && config->certificate.size <= LIMIT_CERT, err, CONFIG,
           "TLS certificate of %zu bytes", config->certificate.size);
    bool is_good = SSL_CTX_use_certificate_ASN1(ctx, (int)config->certificate.size,
                                                config->certificate.data) == 1 &&
                   SSL_CTX_use_PrivateKey(ctx, config->key->pkey) == 1 &&
                   SSL_CTX_check_private_key(ctx) == 1;
    ERR_clear_error();
    ENSURE(is_good, err, CONFIG, "TLS certificate and private key do not fit each other");
    return OK;
}

static void configure(SSL_CTX *ctx, const struct tls_config *config) {
    int mode = SSL_VERIFY_NONE;
    if (!config->is_server || config->require_peer_certificate) {
        mode = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
    char groups[] = GROUPS; /* the OpenSSL macros below drop const */
    char signatures[] = SIGNATURES;
    CHECK(SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1);
    CHECK(SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1);
    CHECK(SSL_CTX_set_ciphersuites(ctx, CIPHERSUITES) == 1);
    CHECK(SSL_CTX_set1_groups_list(ctx, groups) == 1);
    CHECK(SSL_CTX_set1_sigalgs_list(ctx, signatures) == 1);
    CHECK(SSL_CTX_set_num_tickets(ctx, 0) == 1);
    CHECK(SSL_CTX_set_max_early_data(ctx, 0) == 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    /* CLEANSE_PLAINTEXT: keys of the cluster travel here, and OpenSSL's read buffer is freed as it
     * is otherwise */
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_CLEANSE_PLAINTEXT);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_max_cert_list(ctx, 2 * LIMIT_CERT);
    SSL_CTX_set_verify(ctx, mode, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, verify_peer, NULL);
}

struct result tls_context_new(const struct tls_config *config, struct tls_context **out,
                              struct err *err) {
    SSL_CTX *ctx = SSL_CTX_new(config->is_server ? TLS_server_method() : TLS_client_method());
    CHECK(ctx != NULL);
    configure(ctx, config);
    struct result r = use_certificate(ctx, config, err);
    if (!is_ok(r)) {
        SSL_CTX_free(ctx);
        return r;
    }
    struct tls_context *context = mem_zalloc(sizeof *context);
    atomic_init(&context->references, 1);
    context->ctx = ctx;
    context->is_server = config->is_server;
    context->accept_peer = config->accept_peer;
    context->data = config->data;
    AUTO(buf_deinit)
    struct buf spki = {0};
    key_spki(config->key, &spki);
    sha384(buf_span(&spki), context->local_spki_hash);
    *out = context;
    return OK;
}

struct tls_context *tls_context_ref(struct tls_context *context) {
    atomic_fetch_add(&context->references, 1);
    return context;
}

void tls_context_free(struct tls_context *context) {
    if (context != NULL && atomic_fetch_sub(&context->references, 1) == 1) {
        SSL_CTX_free(context->ctx);
        mem_free(context);
    }
}

/* --- Connections */

struct result tls_new(struct tls_context *context, struct tls **out, struct err *err) {
    SSL *ssl = SSL_new(context->ctx);
    BIO *input = BIO_new(BIO_s_mem());
    BIO *output = BIO_new(BIO_s_mem());
    if (ssl == NULL || input == NULL || output == NULL) {
        SSL_free(ssl);
        BIO_free(input);
        BIO_free(output);
        ERR_clear_error();
        return err_set(err, ERR_NOMEM, "no memory for a TLS connection");
    }
    BIO_set_mem_eof_return(input, -1); /* empty means "not yet", not "end" */
    SSL_set_bio(ssl, input, output);
    struct tls *tls = mem_zalloc(sizeof *tls);
    *tls = (struct tls){.context = tls_context_ref(context),
                        .ssl = ssl,
                        .input = input,
                        .output = output,
                        .accept_peer = context->accept_peer,
                        .data = context->data};
    SSL_set_app_data(ssl, tls);
    if (context->is_server) {
        SSL_set_accept_state(ssl);
    } else {
        SSL_set_connect_state(ssl);
    }
    *out = tls;
    return OK;
}

void tls_free(struct tls *tls) {
    if (tls == NULL) {
        return;
    }
    SSL_free(tls->ssl);
    buf_deinit(&tls->peer_spki);
    tls_context_free(tls->context);
    mem_free_wiped(tls, sizeof *tls);
}

void tls_set_accept_peer(struct tls *tls, tls_accept_cb accept_peer, void *data) {
    tls->accept_peer = accept_peer;
    tls->data = data;
}

struct result tls_feed(struct tls *tls, struct span ciphertext, struct err *err) {
    ENSURE(!tls->is_failed, err, TLS, "TLS has failed before");
    ENSURE(ciphertext.size <= LIMIT_TLS_INPUT &&
               BIO_ctrl_pending(tls->input) <= LIMIT_TLS_INPUT - ciphertext.size,
           err, TOO_LARGE, "more than %d bytes of TLS wait to be read", LIMIT_TLS_INPUT);
    if (ciphertext.size > 0) {
        int n = BIO_write(tls->input, ciphertext.data, (int)ciphertext.size);
        CHECK(n == (int)ciphertext.size);
    }
    return OK;
}

/* The failure of the last SSL call as an error; the first entry of OpenSSL's queue is the cause. */
static RESULT fail(struct tls *tls, const char *what, struct err *err) {
    tls->is_failed = true;
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    ERR_clear_error();
    return err_set(err, ERR_TLS, "%s: %s", what, reason == NULL ? "connection lost" : reason);
}

struct result tls_step(struct tls *tls, struct err *err) {
    ENSURE(!tls->is_failed, err, TLS, "TLS has failed before");
    if (tls->is_ready) {
        return OK;
    }
    ERR_clear_error();
    int n = SSL_do_handshake(tls->ssl);
    if (n == 1) {
        tls->is_ready = true;
        return OK;
    }
    if (SSL_get_error(tls->ssl, n) != SSL_ERROR_WANT_READ) {
        return fail(tls, "TLS handshake", err);
    }
    return OK;
}

bool tls_is_ready(const struct tls *tls) {
    return tls->is_ready;
}

bool tls_is_server(const struct tls *tls) {
    return tls->context->is_server;
}

struct result tls_write(struct tls *tls, struct span plain, struct err *err) {
    ENSURE(!tls->is_failed, err, TLS, "TLS has failed before");
    ENSURE(tls->is_ready && !tls->is_write_closed, err, PROTOCOL, "TLS takes no data now");
    ERR_clear_error();
    for (size_t at = 0; at < plain.size;) {
        size_t piece = plain.size - at < WRITE_PIECE ? plain.size - at : WRITE_PIECE;
        size_t written = 0;
        if (SSL_write_ex(tls->ssl, plain.data + at, piece, &written) != 1) {
            return fail(tls, "TLS write", err);
        }
        at += written;
    }
    return OK;
}

/* One record's worth; *n is 0 when nothing more can be read. */
static RESULT read_piece(struct tls *tls, struct buf *plain, size_t *n, struct err *err) {
    *n = 0;
    size_t start = plain->size;
    uint8_t *at = buf_extend(plain, WRITE_PIECE);
    ERR_clear_error();
    int status = SSL_read_ex(tls->ssl, at, WRITE_PIECE, n);
    plain->size = start + *n;
    if (status == 1) {
        return OK;
    }
    int error = SSL_get_error(tls->ssl, status);
    if (error == SSL_ERROR_ZERO_RETURN) {
        tls->is_read_closed = true;
    } else if (error != SSL_ERROR_WANT_READ) {
        return fail(tls, "TLS read", err);
    }
    return OK;
}

struct result tls_read(struct tls *tls, struct buf *plain, bool *closed, struct err *err) {
    *closed = tls->is_read_closed;
    ENSURE(!tls->is_failed, err, TLS, "TLS has failed before");
    if (!tls->is_ready || tls->is_read_closed) {
        return OK;
    }
    size_t n = 0;
    do {
        TRY(read_piece(tls, plain, &n, err));
    } while (n > 0);
    *closed = tls->is_read_closed;
    return OK;
}

struct result tls_eof(const struct tls *tls, struct err *err) {
    ENSURE(tls->is_read_closed, err, CLOSED, "the connection ended without a TLS close_notify");
    return OK;
}

bool tls_has_output(const struct tls *tls) {
    return BIO_ctrl_pending(tls->output) > 0;
}

void tls_take_output(struct tls *tls, struct buf *ciphertext) {
    /* Not BIO_reset: it clears all that the BIO ever held, and this is ciphertext. */
    int n = (int)BIO_ctrl_pending(tls->output);
    if (n > 0) {
        CHECK(BIO_read(tls->output, buf_extend(ciphertext, (size_t)n), n) == n);
    }
}

void tls_close_notify(struct tls *tls) {
    if (tls->is_ready && !tls->is_failed && !tls->is_write_closed) {
        tls->is_write_closed = true;
        ERR_clear_error();
        if (SSL_shutdown(tls->ssl) < 0) { /* no alert: the peer sees a truncated stream */
            tls->is_failed = true;
        }
        ERR_clear_error();
    }
}

/* --- Channel binding */

void tls_exporter(const struct tls *tls, uint8_t out[TLS_EXPORTER_SIZE]) {
    CHECK(tls->is_ready);
    CHECK(SSL_export_keying_material(tls->ssl, out, TLS_EXPORTER_SIZE, EXPORTER_LABEL,
                                     sizeof EXPORTER_LABEL - 1, NULL, 0, 0) == 1);
}

void tls_local_spki_sha384(const struct tls *tls, uint8_t out[TLS_SPKI_HASH_SIZE]) {
    CHECK(tls->is_ready);
    memcpy(out, tls->context->local_spki_hash, TLS_SPKI_HASH_SIZE);
}

void tls_peer_spki_sha384(const struct tls *tls, uint8_t out[TLS_SPKI_HASH_SIZE]) {
    CHECK(tls->is_ready && tls_has_peer_key(tls));
    sha384(buf_span(&tls->peer_spki), out);
}

void tls_peer_spki(const struct tls *tls, struct buf *spki) {
    CHECK(tls->is_ready);
    buf_append_span(spki, buf_span(&tls->peer_spki));
}

bool tls_has_peer_key(const struct tls *tls) {
    return tls->peer_spki.size > 0;
}
