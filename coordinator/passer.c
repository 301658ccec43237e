/* Passer: see passer.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/passer.h"

#include "coordinator/prover.h"
#include "lib/base/log.h"

#define PASS_AFTER_MS 2000 /* for the first hand to do it, and between two rounds */
#define PASS_TIMEOUT_MS 10000

struct passer {
    struct worker *worker;
    struct buf found;
    struct buf manifest_bytes;
    struct buf spki;
    struct buf signature;
    struct manifest manifest;
    uv_timer_t timer;
    size_t peer; /* asked next */
    struct client *client;
    struct prover prover;
};

static void next_peer(struct passer *p);

static void on_timer_closed(uv_handle_t *handle) {
    struct passer *p = handle->data;
    manifest_deinit(&p->manifest);
    buf_deinit(&p->found);
    buf_deinit(&p->manifest_bytes);
    buf_deinit(&p->spki);
    buf_deinit(&p->signature);
    mem_free(p);
}

static void give_up(void *data, const struct err *why) {
    struct passer *p = data;
    client_abort(p->client, why);
}

static RESULT offer(struct passer *p, struct err *err) {
    struct client_trust trust;
    worker_client_trust(p->worker, &p->manifest, &trust);
    struct client_verdict verdict = {0};
    struct result r = client_judge(p->client, &trust, &verdict, err);
    client_verdict_deinit(&verdict);
    TRY(r);
    struct api_found_start start = {buf_span(&p->found), buf_span(&p->manifest_bytes),
                                    buf_span(&p->spki), buf_span(&p->signature)};
    return client_send(p->client, API_FOUND_START, &api_found_start_type, &start, err);
}

static void on_open(struct client *c, void *data) {
    struct passer *p = data;
    struct err err;
    prover_init(&p->prover, p->worker, c, give_up, p);
    if (!is_ok(offer(p, &err))) {
        give_up(p, &err);
    }
}

static void on_frame(struct client *c, void *data, const struct frame *frame) {
    struct passer *p = data;
    struct err err;
    struct result r = OK;
    if (frame->type == API_FOUND_STARTED) {
        client_close(c);
    } else if (frame->type == API_ATTEST_REQUEST) {
        r = prover_answer(&p->prover, frame, &err);
    } else {
        r = client_error(frame, &err);
    }
    if (!is_ok(r)) {
        give_up(p, &err);
    }
}

static void on_close(struct client *c, void *data, const struct err *why) {
    struct passer *p = data;
    (void)c;
    log_debug("passing the founding record on: %s", why->text);
    prover_deinit(&p->prover);
    p->client = NULL;
    next_peer(p);
}

static void call(struct passer *p, const struct config_peer *peer) {
    struct client_config config = {
        .host = peer->host,
        .port = peer->port,
        .tls = worker_identity(p->worker)->client_tls,
        .clock = worker_identity(p->worker)->host,
        .timeout_ms = PASS_TIMEOUT_MS,
        .calls = {on_open, on_frame, on_close},
        .data = p,
    };
    struct err err;
    if (!is_ok(client_open(worker_loop(p->worker), &config, &p->client, &err))) {
        log_debug("passing the founding record on: %s", err.text);
        next_peer(p);
    }
}

static void on_round(uv_timer_t *timer) {
    struct passer *p = timer->data;
    const struct view *v = worker_view(p->worker);
    if (v != NULL && v->generation > 0) { /* a quorum of founders started: the log takes over */
        uv_close((uv_handle_t *)&p->timer, on_timer_closed);
        return;
    }
    p->peer = 0;
    next_peer(p);
}

static void next_peer(struct passer *p) {
    const struct config *config = worker_identity(p->worker)->config;
    if (p->peer < config->peer_count) {
        call(p, &config->peers[p->peer++]);
    } else {
        uv_timer_start(&p->timer, on_round, PASS_AFTER_MS, 0);
    }
}

void passer_start(struct worker *w, const struct api_found_start *start) {
    struct passer *p = mem_zalloc(sizeof *p);
    p->worker = w;
    buf_append_span(&p->found, start->found);
    buf_append_span(&p->manifest_bytes, start->manifest);
    buf_append_span(&p->spki, start->spki);
    buf_append_span(&p->signature, start->signature);
    CHECK(is_ok(
        manifest_parse(start->manifest, &p->manifest, NULL))); /* the session parsed it before */
    uv_timer_init(worker_loop(w), &p->timer);
    p->timer.data = p;
    uv_timer_start(&p->timer, on_round, PASS_AFTER_MS, 0);
}
