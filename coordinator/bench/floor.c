/* Floor: see floor.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/bench/floor.h"

#include <string.h>

#include "coordinator/bench/samples.h"
#include "lib/crypto/cert.h"
#include "lib/tls/tls.h"

#define HANDSHAKE_STEPS 16 /* turns of both ends; TLS 1.3 needs three */

/* What the measured operations need. */
struct ground {
    struct tls_context *server;
    struct tls_context *client;
    struct key signer;
    struct span message;
    struct buf signature;
};

static void free_ground(struct ground *g) {
    tls_context_free(g->server);
    tls_context_free(g->client);
    key_deinit(&g->signer);
    buf_deinit(&g->signature);
}

static RESULT make_context(bool is_server, struct tls_context **out, struct err *err) {
    AUTO(key_deinit)
    struct key key = {0};
    AUTO(buf_deinit)
    struct buf certificate = {0};
    TRY(key_generate(KEY_P256, &key, err));
    TRY(cert_self_signed(&key, &certificate, err));
    struct tls_config config = {.is_server = is_server,
                                .key = &key,
                                .certificate = buf_span(&certificate),
                                .require_peer_certificate = is_server};
    return tls_context_new(&config, out, err);
}

static RESULT make_ground(struct ground *g, struct err *err) {
    static const uint8_t report[672]; /* as many bytes as a report's signature covers */
    g->message = SPAN(report);
    TRY(make_context(true, &g->server, err));
    TRY(make_context(false, &g->client, err));
    TRY(key_generate(KEY_P384, &g->signer, err));
    return key_sign(&g->signer, g->message, &g->signature, err);
}

/* --- The operations */

static RESULT pass(struct tls *from, struct tls *to, struct err *err) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    TRY(tls_step(from, err));
    tls_take_output(from, &bytes);
    if (bytes.size > 0) {
        TRY(tls_feed(to, buf_span(&bytes), err));
    }
    return OK;
}

static RESULT shake(struct tls *client, struct tls *server, struct err *err) {
    for (int i = 0; i < HANDSHAKE_STEPS; i++) {
        TRY(pass(client, server, err));
        TRY(pass(server, client, err));
        if (tls_is_ready(client) && tls_is_ready(server)) {
            return OK;
        }
    }
    return err_set(err, ERR_TLS, "the handshake does not end");
}

static RESULT do_handshake(struct ground *g, struct err *err) {
    struct tls *client = NULL;
    struct tls *server = NULL;
    struct result r = tls_new(g->client, &client, err);
    r = is_ok(r) ? tls_new(g->server, &server, err) : r;
    r = is_ok(r) ? shake(client, server, err) : r;
    tls_free(client);
    tls_free(server);
    return r;
}

static RESULT do_verify(struct ground *g, struct err *err) {
    return key_verify(&g->signer, g->message, buf_span(&g->signature), err);
}

static RESULT do_sign(struct ground *g, struct err *err) {
    AUTO(buf_deinit)
    struct buf signature = {0};
    return key_sign(&g->signer, g->message, &signature, err);
}

/* --- Measuring */

static RESULT measure(struct ground *g, struct result (*operation)(struct ground *, struct err *),
                      uint64_t ms, uint64_t *median_ns, struct err *err) {
    struct samples samples = {0};
    struct result r;
    uint64_t end = samples_now_ns() + ms * 1000000;
    do {
        uint64_t start = samples_thread_ns();
        r = operation(g, err);
        samples_add(&samples, samples_thread_ns() - start);
    } while (is_ok(r) && samples_now_ns() < end);
    *median_ns = samples_quantile(&samples, 500);
    samples_deinit(&samples);
    return r;
}

struct result floor_measure(uint64_t ms, struct floor_cost *out, struct err *err) {
    AUTO(free_ground)
    struct ground g = {0};
    struct floor_cost cost = {0};
    TRY(make_ground(&g, err));
    TRY(measure(&g, do_handshake, ms, &cost.handshake_ns, err));
    TRY(measure(&g, do_verify, ms, &cost.verify_ns, err));
    TRY(measure(&g, do_sign, ms, &cost.sign_ns, err));
    *out = cost;
    return OK;
}

double floor_sessions(const struct floor_cost *cost) {
    uint64_t ns = cost->handshake_ns + 2 * cost->verify_ns;
    return ns == 0 ? 0 : 1e9 / (double)ns;
}
