/* TLS on the stage: lib/tls/tls.h with the roles, the order and the failures of TLS 1.3, without
 * its arithmetic. Nobody on the played network reads or changes bytes, so nothing is encrypted.
 *
 *     client -> CLIENT_HELLO {random}
 *     server -> SERVER_HELLO {random, does it want a certificate, SPKI}
 *     client -> FINISHED {SPKI or nothing}        the client is ready; the server judges
 *     both   -> DATA, ALERT
 *
 * A record: u8 type, u32 size (big-endian), body; data carries the overhead of AES-GCM. What is
 * kept: who judges which key and when, that a refusal reaches a client after it was ready, both
 * ends' exporter equal and new on each connection, close_notify, the errors and their texts. The
 * certificate is not looked at, as in the real one.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "lib/base/host.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/crypto/digest.h"
#include "lib/tls/tls.h"

#define RANDOM_SIZE 32
#define HEADER_SIZE 5
#define OVERHEAD_SIZE 17        /* content type and tag of a record */
#define RECORD_MAX (16 * 1024)  /* plaintext, RFC 8446 section 5.1 */
#define HELLO_PADDING 200       /* bytes: what a hello has beside all this */
#define CERTIFICATE_PADDING 400 /* the same of a certificate and its signature */

enum record_type {
    RECORD_CLIENT_HELLO = 1,
    RECORD_SERVER_HELLO = 2,
    RECORD_FINISHED = 3,
    RECORD_ALERT = 21,
    RECORD_DATA = 23,
};

enum alert { ALERT_CLOSE_NOTIFY = 0, ALERT_UNEXPECTED = 10, ALERT_BAD_CERTIFICATE = 42 };

struct tls_context {
    size_t references;
    bool is_server;
    bool wants_certificate;
    tls_accept_cb accept_peer;
    void *data;            /* borrowed, of accept_peer */
    struct buf local_spki; /* of the context's own key */
    uint8_t local_spki_hash[TLS_SPKI_HASH_SIZE];
};

struct tls {
    struct tls_context *context; /* one reference */
    struct buf input;
    size_t input_at; /* of it, taken */
    struct buf output;
    tls_accept_cb accept_peer;
    void *data;
    struct buf peer_spki; /* empty until the peer's key is accepted */
    uint8_t exporter[RANDOM_SIZE];
    bool is_started; /* client: its hello is out; server: it has answered one */
    bool is_ready;
    bool is_failed;
    bool is_write_closed;
    bool is_read_closed;
};

/* --- Contexts */

struct result tls_context_new(const struct tls_config *config, struct tls_context **out,
                              struct err *err) {
    ENSURE(config->certificate.size > 0 && config->certificate.size <= LIMIT_CERT, err, CONFIG,
           "TLS certificate of %zu bytes", config->certificate.size);
    struct tls_context *context = mem_zalloc(sizeof *context);
    context->references = 1;
    context->is_server = config->is_server;
    context->wants_certificate = config->require_peer_certificate;
    context->accept_peer = config->accept_peer;
    context->data = config->data;
    key_spki(config->key, &context->local_spki);
    sha384(buf_span(&context->local_spki), context->local_spki_hash);
    *out = context;
    return OK;
}

struct tls_context *tls_context_ref(struct tls_context *context) {
    context->references++;
    return context;
}

void tls_context_free(struct tls_context *context) {
    if (context != NULL && --context->references == 0) {
        buf_deinit(&context->local_spki);
        mem_free(context);
    }
}

/* --- Records */

static void put_record(struct tls *tls, enum record_type type, struct span a, struct span b,
                       size_t padding) {
    size_t size = a.size + b.size + padding;
    uint8_t *at = buf_extend(&tls->output, HEADER_SIZE + size);
    at[0] = (uint8_t)type;
    for (int i = 0; i < 4; i++) {
        at[1 + i] = (uint8_t)(size >> (8 * (3 - i)));
    }
    at += HEADER_SIZE;
    if (a.size > 0) {
        memcpy(at, a.data, a.size);
    }
    if (b.size > 0) {
        memcpy(at + a.size, b.data, b.size);
    }
    memset(at + a.size + b.size, 0, padding);
}

static void put_alert(struct tls *tls, enum alert alert) {
    uint8_t body = (uint8_t)alert;
    put_record(tls, RECORD_ALERT, span_of(&body, 1), (struct span){0}, OVERHEAD_SIZE);
}

static RESULT fail(struct tls *tls, const char *what, const char *reason, struct err *err) {
    tls->is_failed = true;
    return err_set(err, ERR_TLS, "%s: %s", what, reason);
}

/* The next whole record without taking it; *type is 0 when it is not there yet. */
static RESULT peek_record(struct tls *tls, const char *what, int *type, struct span *body,
                          struct err *err) {
    const uint8_t *at = tls->input.data + tls->input_at;
    size_t left = tls->input.size - tls->input_at;
    *type = 0;
    if (left < HEADER_SIZE) {
        return OK;
    }
    size_t size = 0;
    for (int i = 1; i < HEADER_SIZE; i++) {
        size = size << 8 | at[i];
    }
    if (size > RECORD_MAX + OVERHEAD_SIZE) {
        put_alert(tls, ALERT_UNEXPECTED);
        return fail(tls, what, "wrong version number", err);
    }
    if (left - HEADER_SIZE >= size) {
        *type = at[0];
        *body = span_of(at + HEADER_SIZE, size);
    }
    return OK;
}

static void drop_record(struct tls *tls, struct span body) {
    tls->input_at += HEADER_SIZE + body.size;
    if (tls->input_at == tls->input.size) {
        buf_clear(&tls->input);
        tls->input_at = 0;
    }
}

/* --- Connections */

struct result tls_new(struct tls_context *context, struct tls **out, struct err *err) {
    (void)err;
    struct tls *tls = mem_zalloc(sizeof *tls);
    tls->context = tls_context_ref(context);
    tls->accept_peer = context->accept_peer;
    tls->data = context->data;
    *out = tls;
    return OK;
}

void tls_free(struct tls *tls) {
    if (tls == NULL) {
        return;
    }
    buf_deinit(&tls->input);
    buf_deinit(&tls->output);
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
    size_t waiting = tls->input.size - tls->input_at;
    ENSURE(ciphertext.size <= LIMIT_TLS_INPUT && waiting <= LIMIT_TLS_INPUT - ciphertext.size, err,
           TOO_LARGE, "more than %d bytes of TLS wait to be read", LIMIT_TLS_INPUT);
    if (tls->input_at > 0) {
        buf_consume(&tls->input, tls->input_at);
        tls->input_at = 0;
    }
    buf_append_span(&tls->input, ciphertext);
    return OK;
}

/* --- The handshake */

static void say_hello(struct tls *tls) {
    tls->is_started = true;
    host_random(&host_system, tls->exporter, RANDOM_SIZE);
    put_record(tls, RECORD_CLIENT_HELLO, span_of(tls->exporter, RANDOM_SIZE), (struct span){0},
               HELLO_PADDING);
}

/* Both ends' randomness, as the key schedule mixes it. */
static void mix_exporter(struct tls *tls, const uint8_t *random) {
    for (size_t i = 0; i < RANDOM_SIZE; i++) {
        tls->exporter[i] ^= random[i];
    }
}

/* u16 size, SPKI */
static RESULT judge_peer(struct tls *tls, struct span body, struct err *err) {
    size_t size = body.size < 2 ? SIZE_MAX : (size_t)body.data[0] << 8 | body.data[1];
    struct span spki = size > 0 && size <= LIMIT_SPKI && size <= body.size - 2
                           ? span_of(body.data + 2, size)
                           : (struct span){0};
    bool is_good = spki.size > 0 && (tls->accept_peer == NULL || tls->accept_peer(tls->data, spki));
    if (!is_good) {
        put_alert(tls, ALERT_BAD_CERTIFICATE);
        return fail(tls, "TLS handshake", "certificate verify failed", err);
    }
    buf_clear(&tls->peer_spki);
    buf_append_span(&tls->peer_spki, spki);
    return OK;
}

static void put_spki(const struct tls_context *context, struct buf *out) {
    uint8_t size[2] = {(uint8_t)(context->local_spki.size >> 8), (uint8_t)context->local_spki.size};
    buf_append_span(out, span_of(size, sizeof size));
    buf_append_span(out, buf_span(&context->local_spki));
}

static RESULT unexpected(struct tls *tls, struct err *err) {
    put_alert(tls, ALERT_UNEXPECTED);
    return fail(tls, "TLS handshake", "unexpected message", err);
}

static RESULT take_client_hello(struct tls *tls, struct span body, struct err *err) {
    if (tls->is_started || body.size < RANDOM_SIZE) {
        return unexpected(tls, err);
    }
    tls->is_started = true;
    AUTO(buf_deinit)
    struct buf answer = {0};
    host_random(&host_system, tls->exporter, RANDOM_SIZE);
    buf_append_span(&answer, span_of(tls->exporter, RANDOM_SIZE));
    uint8_t wants = tls->context->wants_certificate;
    buf_append_span(&answer, span_of(&wants, 1));
    put_spki(tls->context, &answer);
    put_record(tls, RECORD_SERVER_HELLO, buf_span(&answer), (struct span){0},
               HELLO_PADDING + CERTIFICATE_PADDING);
    mix_exporter(tls, body.data);
    return OK;
}

static RESULT take_server_hello(struct tls *tls, struct span body, struct err *err) {
    if (body.size < RANDOM_SIZE + 1) {
        return unexpected(tls, err);
    }
    size_t at = RANDOM_SIZE + 1;
    TRY(judge_peer(tls, span_of(body.data + at, body.size - at), err));
    AUTO(buf_deinit)
    struct buf answer = {0};
    if (body.data[RANDOM_SIZE] != 0) {
        put_spki(tls->context, &answer);
    }
    put_record(tls, RECORD_FINISHED, buf_span(&answer), (struct span){0},
               OVERHEAD_SIZE + (answer.size > 0 ? CERTIFICATE_PADDING : 0));
    mix_exporter(tls, body.data);
    tls->is_ready = true;
    return OK;
}

static RESULT take_finished(struct tls *tls, struct span body, struct err *err) {
    if (!tls->is_started) {
        return unexpected(tls, err);
    }
    if (tls->context->wants_certificate) {
        TRY(judge_peer(tls, body, err));
    }
    tls->is_ready = true;
    return OK;
}

static const char *alert_text(struct span body) {
    return body.size > 0 && body.data[0] == ALERT_BAD_CERTIFICATE
               ? "sslv3 alert bad certificate"
               : "sslv3 alert unexpected message";
}

static RESULT take_handshake(struct tls *tls, int type, struct span body, struct err *err) {
    bool is_server = tls->context->is_server;
    if (type == RECORD_CLIENT_HELLO && is_server) {
        return take_client_hello(tls, body, err);
    }
    if (type == RECORD_FINISHED && is_server) {
        return take_finished(tls, body, err);
    }
    if (type == RECORD_SERVER_HELLO && !is_server) {
        return take_server_hello(tls, body, err);
    }
    if (type == RECORD_ALERT) {
        return fail(tls, "TLS handshake", alert_text(body), err);
    }
    return unexpected(tls, err);
}

struct result tls_step(struct tls *tls, struct err *err) {
    ENSURE(!tls->is_failed, err, TLS, "TLS has failed before");
    if (!tls->is_started && !tls->context->is_server) {
        say_hello(tls);
    }
    while (!tls->is_ready) {
        int type = 0;
        struct span body = {0};
        TRY(peek_record(tls, "TLS handshake", &type, &body, err));
        if (type == 0) {
            break;
        }
        TRY(take_handshake(tls, type, body, err));
        drop_record(tls, body);
    }
    return OK;
}

bool tls_is_ready(const struct tls *tls) {
    return tls->is_ready;
}

bool tls_is_server(const struct tls *tls) {
    return tls->context->is_server;
}

/* --- Data */

struct result tls_write(struct tls *tls, struct span plain, struct err *err) {
    ENSURE(!tls->is_failed, err, TLS, "TLS has failed before");
    ENSURE(tls->is_ready && !tls->is_write_closed, err, PROTOCOL, "TLS takes no data now");
    for (size_t at = 0; at < plain.size;) {
        size_t piece = plain.size - at < RECORD_MAX ? plain.size - at : RECORD_MAX;
        put_record(tls, RECORD_DATA, span_of(plain.data + at, piece), (struct span){0},
                   OVERHEAD_SIZE);
        at += piece;
    }
    return OK;
}

struct result tls_read(struct tls *tls, struct buf *plain, bool *closed, struct err *err) {
    *closed = tls->is_read_closed;
    ENSURE(!tls->is_failed, err, TLS, "TLS has failed before");
    while (tls->is_ready && !tls->is_read_closed) {
        int type = 0;
        struct span body = {0};
        TRY(peek_record(tls, "TLS read", &type, &body, err));
        if (type == 0) {
            break;
        }
        if (type == RECORD_DATA && body.size >= OVERHEAD_SIZE) {
            buf_append_span(plain, span_of(body.data, body.size - OVERHEAD_SIZE));
        } else if (type == RECORD_ALERT && body.size > 0 && body.data[0] == ALERT_CLOSE_NOTIFY) {
            tls->is_read_closed = true;
        } else if (type == RECORD_ALERT) {
            return fail(tls, "TLS read", alert_text(body), err);
        } else {
            put_alert(tls, ALERT_UNEXPECTED);
            return fail(tls, "TLS read", "unexpected message", err);
        }
        drop_record(tls, body);
    }
    *closed = tls->is_read_closed;
    return OK;
}

struct result tls_eof(const struct tls *tls, struct err *err) {
    ENSURE(tls->is_read_closed, err, CLOSED, "the connection ended without a TLS close_notify");
    return OK;
}

bool tls_has_output(const struct tls *tls) {
    return tls->output.size > 0;
}

void tls_take_output(struct tls *tls, struct buf *ciphertext) {
    buf_append_span(ciphertext, buf_span(&tls->output));
    buf_clear(&tls->output);
}

void tls_close_notify(struct tls *tls) {
    if (tls->is_ready && !tls->is_failed && !tls->is_write_closed) {
        tls->is_write_closed = true;
        put_alert(tls, ALERT_CLOSE_NOTIFY);
    }
}

/* --- Channel binding */

void tls_exporter(const struct tls *tls, uint8_t out[TLS_EXPORTER_SIZE]) {
    CHECK(tls->is_ready);
    memcpy(out, tls->exporter, TLS_EXPORTER_SIZE);
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
