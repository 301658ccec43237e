/* Verify load: see verify_load.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/bench/verify_load.h"

#include <string.h>

#include "attest/client/client.h"
#include "attest/snp_cache.h"
#include "lib/base/mem.h"
#include "lib/crypto/cert.h"

#define ANSWER_MS 30000 /* silence of a replica in the middle of a request */

struct verifier_load;

struct verifier_slot {
    struct verifier_load *load;
    uv_timer_t timer; /* the pause, or the time before another try */
    struct net_conn *conn;
    struct attest_verifier verifier;
    uint64_t begun_ns;
    bool is_served;
    bool is_asking;
};

struct verifier_load {
    const struct verify_load_config *config;
    struct verify_load_result *result;
    uv_loop_t loop;
    uv_timer_t timer; /* the edges of the window */
    struct tls_context *tls;
    struct verifier_slot *slots;
    bool is_counting;
    bool is_ending;
};

static void begin(struct verifier_slot *s);

void verify_load_result_deinit(struct verify_load_result *r) {
    samples_deinit(&r->answer);
}

/* --- Outcomes */

static void note_answer(struct verifier_slot *s) {
    struct verifier_load *l = s->load;
    if (l->is_counting) {
        l->result->count++;
        samples_add(&l->result->answer, samples_now_ns() - s->begun_ns);
    }
}

static void note_failure(struct verifier_load *l, const struct err *why) {
    if (l->is_ending) {
        return;
    }
    if (l->result->failure_count == 0) {
        l->result->first_failure = *why;
    }
    l->result->failure_count++;
}

static void wait_ms(struct verifier_slot *s, uint64_t ms, uv_timer_cb then) {
    if (!s->load->is_ending) {
        uv_update_time(&s->load->loop);
        CHECK(uv_timer_start(&s->timer, then, ms, 0) == 0);
    }
}

static uint64_t choose_pause(const struct verifier_load *l) {
    return host_random_below(&host_system, l->config->pause_ms + 1);
}

/* --- One verifier */

static void ask(struct verifier_slot *s) {
    struct attest_request request;
    struct err err;
    attest_verifier_begin(&s->verifier, &host_system, &request);
    s->is_asking = true;
    if (s->load->config->mode == VERIFY_OPEN) {
        s->begun_ns = samples_now_ns();
    }
    struct result r =
        net_send_message(s->conn, API_ATTEST_REQUEST, 0, &attest_request_type, &request, &err);
    if (!is_ok(r)) {
        net_conn_abort(s->conn, &err);
    }
}

static void on_pause_over(uv_timer_t *timer) {
    struct verifier_slot *s = timer->data;
    if (s->conn == NULL) {
        begin(s);
    } else {
        ask(s);
    }
}

static void ask_later(struct verifier_slot *s) {
    if (s->load->config->pause_ms == 0) {
        ask(s);
    } else {
        wait_ms(s, choose_pause(s->load), on_pause_over);
    }
}

static void on_ready(struct net_conn *conn, void *data) {
    struct verifier_slot *s = data;
    net_conn_set_frame_limit(conn, LIMIT_FRAME_BODY);
    switch (s->load->config->mode) {
    case VERIFY_OPEN:
        ask_later(s);
        return;
    case VERIFY_FRESH:
        ask(s);
        return;
    case VERIFY_HANDSHAKE:
        note_answer(s);
        s->is_served = true;
        net_conn_close(conn);
        return;
    }
}

static RESULT take_answer(struct verifier_slot *s, const struct frame *frame, struct err *err) {
    struct attest_channel channel = attest_channel_of_tls(net_conn_tls(s->conn));
    ENSURE(s->is_asking, err, PROTOCOL, "frame %u that was not asked for", frame->type);
    s->is_asking = false;
    if (frame->type != API_EVIDENCE) {
        return client_error(frame, err);
    }
    note_answer(s);
    return verify_judge(&s->load->result->judge, &channel, s->verifier.nonce, frame->body,
                        host_unix_s(&host_system), err);
}

static void on_frame(struct net_conn *conn, void *data, const struct frame *frame) {
    struct verifier_slot *s = data;
    struct err err;
    if (s->load->is_ending) {
        return;
    }
    if (!is_ok(take_answer(s, frame, &err))) {
        net_conn_abort(conn, &err);
    } else if (s->load->config->mode == VERIFY_OPEN) {
        ask_later(s);
    } else {
        s->is_served = true;
        net_conn_close(conn);
    }
}

static void on_close(struct net_conn *conn, void *data, const struct err *why) {
    struct verifier_slot *s = data;
    (void)conn;
    s->conn = NULL;
    if (!s->is_served) {
        note_failure(s->load, why);
        wait_ms(s, VERIFY_RETRY_MS, on_pause_over);
    } else if (s->load->config->pause_ms > 0) {
        wait_ms(s, choose_pause(s->load), on_pause_over);
    } else {
        begin(s);
    }
}

static void begin(struct verifier_slot *s) {
    struct verifier_load *l = s->load;
    if (l->is_ending) {
        return;
    }
    struct net_connect_config config = {
        .host = l->config->host,
        .port = l->config->port,
        .tls = l->tls,
        .handshake_ms = ANSWER_MS,
        .idle_ms = ANSWER_MS,
        .calls = {on_ready, on_frame, on_close},
        .data = s,
    };
    struct err err;
    s->is_served = false;
    s->is_asking = false;
    s->begun_ns = samples_now_ns();
    if (!is_ok(net_connect(&l->loop, &config, &s->conn, &err))) {
        s->conn = NULL;
        note_failure(l, &err);
        wait_ms(s, VERIFY_RETRY_MS, on_pause_over);
    }
}

/* --- The window */

static void end(struct verifier_load *l) {
    l->is_ending = true;
    uv_timer_stop(&l->timer);
    for (size_t i = 0; i < l->config->connections; i++) {
        uv_timer_stop(&l->slots[i].timer);
        if (l->slots[i].conn != NULL) {
            net_conn_abort(l->slots[i].conn, NULL);
        }
    }
    uv_stop(&l->loop);
}

static void on_edge(uv_timer_t *timer) {
    struct verifier_load *l = timer->data;
    if (l->is_counting) {
        l->is_counting = false;
        end(l);
        return;
    }
    l->is_counting = true;
    CHECK(uv_timer_start(&l->timer, on_edge, l->config->window_ms, 0) == 0);
}

/* --- Start and end */

static RESULT make_tls(struct verifier_load *l, struct err *err) {
    AUTO(key_deinit)
    struct key key = {0};
    AUTO(buf_deinit)
    struct buf certificate = {0};
    TRY(key_generate(KEY_P256, &key, err));
    TRY(cert_self_signed(&key, &certificate, err));
    struct tls_config tls = {.key = &key, .certificate = buf_span(&certificate)};
    return tls_context_new(&tls, &l->tls, err);
}

static void open_loop(struct verifier_load *l) {
    CHECK(uv_loop_init(&l->loop) == 0 && uv_timer_init(&l->loop, &l->timer) == 0);
    l->timer.data = l;
    l->slots = mem_calloc(l->config->connections, sizeof l->slots[0]);
    for (size_t i = 0; i < l->config->connections; i++) {
        l->slots[i].load = l;
        CHECK(uv_timer_init(&l->loop, &l->slots[i].timer) == 0);
        l->slots[i].timer.data = &l->slots[i];
    }
}

static void close_loop(struct verifier_load *l) {
    uv_close((uv_handle_t *)&l->timer, NULL);
    for (size_t i = 0; i < l->config->connections; i++) {
        uv_close((uv_handle_t *)&l->slots[i].timer, NULL);
    }
    uv_run(&l->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&l->loop) == 0);
    tls_context_free(l->tls);
    mem_free(l->slots);
}

static void work(struct verifier_load *l) {
    uv_update_time(&l->loop);
    CHECK(uv_timer_start(&l->timer, on_edge, l->config->warm_ms, 0) == 0);
    for (size_t i = 0; i < l->config->connections; i++) {
        begin(&l->slots[i]);
    }
    uv_run(&l->loop, UV_RUN_DEFAULT);
}

struct result verify_load_run(const struct verify_load_config *config,
                              struct verify_load_result *out, struct err *err) {
    CHECK(config->connections >= 1 && config->connections <= VERIFY_CONNECTIONS_MAX);
    struct verifier_load *l = mem_zalloc(sizeof *l);
    l->config = config;
    l->result = out;
    out->judge.roots = config->roots;
    out->judge.root_count = config->root_count;
    out->judge.cache = snp_cache_new();
    open_loop(l);
    struct result r = make_tls(l, err);
    if (is_ok(r)) {
        work(l);
    }
    close_loop(l);
    snp_cache_free(out->judge.cache);
    out->judge.cache = NULL;
    mem_free(l);
    return r;
}
