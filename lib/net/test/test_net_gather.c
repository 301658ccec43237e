/* Connections that gather what they send, and how their end is told; on loopback.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/crypto/cert.h"
#include "lib/net/net.h"

struct world;
struct end {
    struct world *world;
    struct net_conn *conn;
    void (*ready)(struct end *end);
    unsigned frames, closes;
    uint16_t next; /* request id of the next frame */
    bool was_gone;
    enum err_code why;
};

struct world {
    uv_loop_t loop;
    uv_timer_t timer;
    struct key key;
    struct buf certificate;
    struct tls_context *tls[2]; /* client, server */
    struct net_listener *listener;
    struct end client, server;
};

static uint8_t filler[64 * 1024];

static void on_ready(struct net_conn *conn, void *data) {
    struct end *e = data;
    e->conn = conn;
    if (e->ready != NULL) {
        e->ready(e);
    }
}

static void on_frame(struct net_conn *conn, void *data, const struct frame *frame) {
    struct end *e = data;
    (void)conn;
    assert_int_equal(frame->request, e->next++);
    e->frames++;
}

static void on_close(struct net_conn *conn, void *data, const struct err *why) {
    struct end *e = data;
    e->conn = NULL;
    e->closes++;
    e->was_gone = net_conn_is_peer_gone(conn);
    e->why = why->code;
    if (e == &e->world->server) {
        net_listener_close(e->world->listener, NULL, NULL);
    }
}

static const struct net_callbacks calls = {on_ready, on_frame, on_close};

static int setup(void **state) {
    struct world *w = calloc(1, sizeof *w);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    assert_true(is_ok(key_generate(KEY_P256, &w->key, NULL)));
    assert_true(is_ok(cert_self_signed(&w->key, &w->certificate, NULL)));
    for (int i = 0; i < 2; i++) {
        struct tls_config config = {
            .is_server = i == 1, .key = &w->key, .certificate = buf_span(&w->certificate)};
        assert_true(is_ok(tls_context_new(&config, &w->tls[i], NULL)));
    }
    w->client.world = w->server.world = w;
    *state = w;
    return 0;
}

static int teardown(void **state) {
    struct world *w = *state;
    assert_int_equal(uv_loop_close(&w->loop), 0);
    tls_context_free(w->tls[0]);
    tls_context_free(w->tls[1]);
    key_deinit(&w->key);
    buf_deinit(&w->certificate);
    free(w);
    return 0;
}

static void listen_here(struct world *w) {
    struct net_listen_config config = {.host = "127.0.0.1",
                                       .tls = w->tls[1],
                                       .max_connections = 4,
                                       .handshake_ms = 10000,
                                       .frame_limit = LIMIT_FRAME_BODY,
                                       .calls = calls,
                                       .data = &w->server};
    assert_true(is_ok(net_listen(&w->loop, &config, &w->listener, NULL)));
}

static void dial(struct world *w, uint16_t port) {
    struct net_connect_config config = {.host = "127.0.0.1",
                                        .port = port,
                                        .tls = w->tls[0],
                                        .handshake_ms = 10000,
                                        .calls = calls,
                                        .data = &w->client};
    assert_true(is_ok(net_connect(&w->loop, &config, &w->client.conn, NULL)));
}

static void run(struct world *w) {
    listen_here(w);
    dial(w, net_listener_port(w->listener));
    uv_run(&w->loop, UV_RUN_DEFAULT);
}

static void send_frames(struct end *e, uint16_t count, size_t size) {
    for (uint16_t i = 0; i < count; i++) {
        assert_true(is_ok(net_send(e->conn, 1, i, span_of(filler, size), NULL)));
    }
}

/* From outside of the connection's own callbacks: nothing but the gathering holds frames back. */
static void on_timer(uv_timer_t *timer) {
    struct end *e = timer->data;
    send_frames(e, 100, 100);
    assert_int_equal(net_conn_pending_bytes(e->conn), 100 * (FRAME_HEADER_SIZE + 100));
    uv_close((uv_handle_t *)timer, NULL);
}

static void send_from_a_timer(struct end *e) {
    net_conn_set_gathering(e->conn);
    assert_int_equal(uv_timer_init(&e->world->loop, &e->world->timer), 0);
    e->world->timer.data = e;
    assert_int_equal(uv_timer_start(&e->world->timer, on_timer, 1, 0), 0);
}

static void close_after_hundred(struct net_conn *conn, void *data, const struct frame *frame) {
    struct end *e = data;
    on_frame(conn, data, frame);
    if (e->frames == 100) {
        net_conn_close(conn);
    }
}

static void test_gathered_frames_leave_together(void **state) {
    struct world *w = *state;
    w->client.ready = send_from_a_timer;
    listen_here(w);
    net_listener_close(w->listener, NULL, NULL);
    struct net_listen_config config = {.host = "127.0.0.1",
                                       .tls = w->tls[1],
                                       .max_connections = 4,
                                       .handshake_ms = 10000,
                                       .calls = {on_ready, close_after_hundred, on_close},
                                       .data = &w->server};
    assert_true(is_ok(net_listen(&w->loop, &config, &w->listener, NULL)));
    dial(w, net_listener_port(w->listener));
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(w->server.frames, 100);
    assert_int_equal(w->client.closes + w->server.closes, 2);
}

static void send_much(struct end *e) {
    net_conn_set_gathering(e->conn);
    send_frames(e, 8, sizeof filler);
    net_conn_close(e->conn);
}

static void test_close_delivers_what_was_gathered(void **state) {
    struct world *w = *state;
    w->client.ready = send_much;
    run(w);
    assert_int_equal(w->server.frames, 8);
    assert_int_equal(w->server.why, ERR_CLOSED);
    assert_true(w->server.was_gone);
    assert_int_equal(w->client.why, ERR_OK);
    assert_false(w->client.was_gone);
}

static void send_few_and_close(struct end *e) {
    net_conn_set_gathering(e->conn);
    send_frames(e, 3, 10);
    net_conn_close(e->conn);
}

static void test_close_delivers_a_little_too(void **state) {
    struct world *w = *state;
    w->client.ready = send_few_and_close;
    run(w);
    assert_int_equal(w->server.frames, 3);
    assert_int_equal(w->server.why, ERR_CLOSED);
}

static void send_and_abort(struct end *e) {
    net_conn_set_gathering(e->conn);
    send_frames(e, 3, 10);
    net_conn_abort(e->conn, NULL);
}

static void test_abort_with_frames_gathered(void **state) {
    struct world *w = *state;
    w->client.ready = send_and_abort;
    run(w);
    assert_int_equal(w->client.closes, 1);
    assert_int_equal(w->server.closes, 1);
    assert_false(w->client.was_gone);
    assert_true(w->server.was_gone);
}

static void overfill(struct end *e) {
    struct err err;
    net_conn_set_gathering(e->conn);
    for (unsigned i = 0; i <= LIMIT_CONN_WRITE_QUEUE / sizeof filler; i++) {
        if (!is_ok(net_send(e->conn, 1, (uint16_t)i, SPAN(filler), &err))) {
            assert_int_equal(err.code, ERR_BUSY);
            assert_int_equal(net_send(e->conn, 1, 0, SPAN(filler), &err).code, ERR_CLOSED);
            return;
        }
        assert_true(net_conn_pending_bytes(e->conn) <= LIMIT_CONN_WRITE_QUEUE);
    }
    fail_msg("the queue has no end");
}

static void test_what_is_gathered_counts_as_waiting(void **state) {
    struct world *w = *state;
    w->client.ready = overfill;
    run(w);
    assert_int_equal(w->client.why, ERR_BUSY);
    assert_false(w->client.was_gone);
}

static void test_a_refused_connection_is_a_gone_peer(void **state) {
    struct world *w = *state;
    listen_here(w);
    uint16_t port = net_listener_port(w->listener);
    net_listener_close(w->listener, NULL, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    dial(w, port);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(w->client.why, ERR_UNAVAILABLE);
    assert_true(w->client.was_gone);
}

#define GATHER_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    signal(SIGPIPE, SIG_IGN); /* as process_harden does */
    const struct CMUnitTest tests[] = {
        GATHER_TEST(test_gathered_frames_leave_together),
        GATHER_TEST(test_close_delivers_what_was_gathered),
        GATHER_TEST(test_close_delivers_a_little_too),
        GATHER_TEST(test_abort_with_frames_gathered),
        GATHER_TEST(test_what_is_gathered_counts_as_waiting),
        GATHER_TEST(test_a_refused_connection_is_a_gone_peer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
