/* Bench load: see bench_load.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "consensus/bench/bench_load.h"

#include <string.h>

#include "consensus/bench/bench_proto.h"
#include "lib/base/mem.h"
#include "lib/crypto/cert.h"
#include "lib/net/net.h"

struct load {
    const struct bench_load_config *config;
    struct bench_load_result *result;
    uv_loop_t loop;
    struct net_conn *conn;
    uint64_t sent_ns[BENCH_OUTSTANDING_MAX];
    uint64_t count; /* requests so far */
    uint64_t begin_ns, end_ns;
    uint8_t *payload; /* owned */
    bool is_done;
    struct err why;
};

static void end(struct load *l, enum err_code code, const char *text) {
    if (!l->is_done) {
        l->is_done = true;
        err_ignore(err_set(&l->why, code, "%s", text), "told at the end");
        net_conn_abort(l->conn, NULL);
    }
}

static void request(struct load *l, uint16_t at, uint64_t now_ns) {
    struct err err;
    l->sent_ns[at] = now_ns;
    store_u64be(l->payload, l->count++);
    if (!is_ok(net_send(l->conn, BENCH_REQUEST, at, span_of(l->payload, l->config->size), &err))) {
        end(l, err.code, err.text);
    }
}

static void on_ready(struct net_conn *conn, void *data) {
    struct load *l = data;
    uint64_t now = samples_now_ns();
    net_conn_set_frame_limit(conn, LIMIT_FRAME_BODY);
    l->begin_ns = now + l->config->warm_ms * 1000000;
    l->end_ns = l->begin_ns + l->config->window_ms * 1000000;
    for (size_t i = 0; i < l->config->outstanding && !l->is_done; i++) {
        request(l, (uint16_t)i, now);
    }
}

static void on_frame(struct net_conn *conn, void *data, const struct frame *frame) {
    struct load *l = data;
    uint64_t now = samples_now_ns();
    (void)conn;
    if (frame->type != BENCH_REPLY || frame->request >= l->config->outstanding) {
        end(l, ERR_NOT_LEADER, "the replica refused a payload");
    } else if (now >= l->end_ns) {
        end(l, ERR_OK, "");
    } else {
        if (now >= l->begin_ns) {
            l->result->count++;
            samples_add(&l->result->latency, now - l->sent_ns[frame->request]);
        }
        request(l, frame->request, now);
    }
}

static void on_close(struct net_conn *conn, void *data, const struct err *why) {
    struct load *l = data;
    (void)conn;
    if (!l->is_done) {
        l->is_done = true;
        l->why = *why;
    }
}

static bool is_pinned(void *data, struct span spki) {
    const struct load *l = data;
    return span_equal(spki, l->config->spki);
}

static RESULT run(struct load *l, struct tls_context *tls, struct err *err) {
    struct net_connect_config connect = {.host = BENCH_ADDRESS,
                                         .port = l->config->port,
                                         .tls = tls,
                                         .accept_peer = is_pinned,
                                         .accept_data = l,
                                         .handshake_ms = BENCH_HANDSHAKE_MS,
                                         .idle_ms = 30000,
                                         .calls = {on_ready, on_frame, on_close},
                                         .data = l};
    TRY(net_connect(&l->loop, &connect, &l->conn, err));
    uv_run(&l->loop, UV_RUN_DEFAULT);
    if (l->why.code != ERR_OK) {
        *err = l->why;
        return (struct result){l->why.code};
    }
    return OK;
}

static RESULT open_and_run(struct load *l, struct key *key, struct buf *certificate,
                           struct err *err) {
    struct tls_context *tls = NULL;
    TRY(key_generate(KEY_P256, key, err));
    TRY(cert_self_signed(key, certificate, err));
    struct tls_config config = {.key = key, .certificate = buf_span(certificate)};
    TRY(tls_context_new(&config, &tls, err));
    struct result r = run(l, tls, err);
    tls_context_free(tls);
    return r;
}

struct result bench_load_run(const struct bench_load_config *config,
                             struct bench_load_result *result, struct err *err) {
    struct load *l = mem_zalloc(sizeof *l);
    struct key key = {0};
    AUTO(buf_deinit)
    struct buf certificate = {0};
    l->config = config;
    l->result = result;
    l->payload = mem_alloc(config->size);
    memset(l->payload, 0x5a, config->size);
    CHECK(uv_loop_init(&l->loop) == 0);
    struct result r = open_and_run(l, &key, &certificate, err);
    result->ns = config->window_ms * 1000000;
    CHECK(uv_loop_close(&l->loop) == 0);
    key_deinit(&key);
    mem_free(l->payload);
    mem_free(l);
    return r;
}

void bench_load_result_deinit(struct bench_load_result *result) {
    samples_deinit(&result->latency);
}
