/* The played network under lib/net: delay, cuts, resets, pauses, deaths, names.
 *
 * Two hosts: a server echoes on host 0, a client on host 1 sends a frame every 100 ms and waits for
 * its echo. Programs record, the director judges.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "chaos-tests/played/played.h"
#include "lib/crypto/cert.h"
#include "lib/net/net.h"

#define PORT 7443
#define PERIOD_MS 100

struct side {
    const char *host; /* client: whom it calls */
    uint64_t handshake_ms;
    uint64_t idle_ms;
    size_t body_size;       /* of each frame */
    bool is_mute;           /* sends nothing */
    bool is_reading_slowly; /* the whole process sleeps at its first frame */
    int ready, frames, closes, sent;
    bool is_gone;   /* net_conn_is_peer_gone */
    size_t pending; /* bytes, the most of them */
    uint64_t ready_ms, frame_ms, close_ms;
    struct err why;
    char peer[NET_ADDRESS_SIZE];
    uint8_t exporter[TLS_EXPORTER_SIZE];
    struct net_conn *conn; /* while it is ready */
    uv_loop_t loop;
    uv_timer_t timer;
    struct key key;
    struct buf certificate;
    struct tls_context *tls;
};

struct stage {
    struct played *w;
    struct side server;
    struct side client;
    struct played_process *server_process;
    struct played_process *client_process;
};

/* --- Both programs */

static void open_tls(struct side *side, bool is_server) {
    CHECK(is_ok(key_generate(KEY_P256, &side->key, NULL)));
    CHECK(is_ok(cert_self_signed(&side->key, &side->certificate, NULL)));
    const struct tls_config config = {.is_server = is_server,
                                      .key = &side->key,
                                      .certificate = buf_span(&side->certificate),
                                      .require_peer_certificate = true};
    CHECK(is_ok(tls_context_new(&config, &side->tls, NULL)));
}

static void close_tls(struct side *side) {
    tls_context_free(side->tls);
    buf_deinit(&side->certificate);
    key_deinit(&side->key);
}

static void on_ready(struct net_conn *conn, void *data) {
    struct side *side = data;
    side->ready++;
    side->ready_ms = played_now_ms(played_world());
    side->conn = conn;
    tls_exporter(net_conn_tls(conn), side->exporter);
    snprintf(side->peer, sizeof side->peer, "%s", net_conn_peer_address(conn));
    net_conn_set_frame_limit(conn, LIMIT_FRAME_BODY);
}

static void on_close(struct net_conn *conn, void *data, const struct err *why) {
    struct side *side = data;
    side->closes++;
    side->close_ms = played_now_ms(played_world());
    side->why = *why;
    side->is_gone = net_conn_is_peer_gone(conn);
    side->conn = NULL;
}

/* --- The server */

static void on_request(struct net_conn *conn, void *data, const struct frame *frame) {
    struct side *side = data;
    side->frames++;
    if (side->is_reading_slowly) {
        side->is_reading_slowly = false;
        played_sleep(60000);
    }
    struct err err;
    err_ignore(net_send(conn, frame->type, frame->request, frame->body, &err), "it may be closed");
}

static void run_server(void *data) {
    struct side *side = data;
    struct net_listener *listener = NULL;
    open_tls(side, true);
    CHECK(uv_loop_init(&side->loop) == 0);
    const struct net_listen_config config = {.host = "0.0.0.0",
                                             .port = PORT,
                                             .tls = side->tls,
                                             .max_connections = 16,
                                             .handshake_ms = 10000,
                                             .idle_ms = side->idle_ms,
                                             .calls = {on_ready, on_request, on_close},
                                             .data = side};
    CHECK(is_ok(net_listen(&side->loop, &config, &listener, NULL)));
    uv_run(&side->loop, UV_RUN_DEFAULT);
}

/* --- The client */

static uint8_t filler[LIMIT_FRAME_BODY];

static void on_period(uv_timer_t *timer) {
    struct side *side = timer->data;
    if (side->conn != NULL && !side->is_mute) {
        struct err err;
        struct result r = net_send(side->conn, 1, 1, span_of(filler, side->body_size), &err);
        side->sent += is_ok(r);
        size_t pending = side->conn != NULL ? net_conn_pending_bytes(side->conn) : 0;
        side->pending = pending > side->pending ? pending : side->pending;
    }
}

static void on_echo(struct net_conn *conn, void *data, const struct frame *frame) {
    (void)conn;
    struct side *side = data;
    side->frames += frame->body.size == side->body_size;
    side->frame_ms = played_now_ms(played_world());
}

static void on_client_close(struct net_conn *conn, void *data, const struct err *why) {
    struct side *side = data;
    on_close(conn, data, why);
    uv_close((uv_handle_t *)&side->timer, NULL);
}

static void run_client(void *data) {
    struct side *side = data;
    struct net_conn *conn = NULL;
    open_tls(side, false);
    CHECK(uv_loop_init(&side->loop) == 0);
    CHECK(uv_timer_init(&side->loop, &side->timer) == 0);
    side->timer.data = side;
    uv_timer_start(&side->timer, on_period, PERIOD_MS, PERIOD_MS);
    const struct net_connect_config config = {.host = side->host,
                                              .port = PORT,
                                              .tls = side->tls,
                                              .handshake_ms = side->handshake_ms,
                                              .idle_ms = side->idle_ms,
                                              .calls = {on_ready, on_echo, on_client_close},
                                              .data = side};
    CHECK(is_ok(net_connect(&side->loop, &config, &conn, NULL)));
    uv_run(&side->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&side->loop) == 0);
    close_tls(side);
}

/* --- The director */

/* What a killed program held outside the heap of its process. */
static void on_end(void *data, struct played_process *p, bool is_killed) {
    (void)p;
    struct side *side = data;
    side->conn = NULL;
    if (is_killed) {
        key_deinit(&side->key);
    }
}

static void start_server(struct stage *s) {
    const struct played_program program = {
        .name = "server", .host = 0, .main = run_server, .data = &s->server, .on_end = on_end};
    s->server_process = played_spawn(s->w, &program);
}

static void start_client(struct stage *s) {
    const struct played_program program = {
        .name = "client", .host = 1, .main = run_client, .data = &s->client, .on_end = on_end};
    s->client_process = played_spawn(s->w, &program);
}

static int setup(void **state) {
    static struct stage s;
    s = (struct stage){.client = {.host = "server", .handshake_ms = 10000, .body_size = 100}};
    s.w = played_new(3, 3);
    const struct played_link link = {.delay_min_ms = 10, .delay_max_ms = 20};
    played_link_default(s.w, &link);
    played_name(s.w, "server", 0);
    *state = &s;
    return 0;
}

static int teardown(void **state) {
    struct stage *s = *state;
    played_free(s->w);
    return 0;
}

static void start_both(struct stage *s, uint64_t until_ms) {
    start_server(s);
    start_client(s);
    played_run(s->w, until_ms);
    assert_int_equal(s->server.ready, 1);
    assert_int_equal(s->client.ready, 1);
}

static void cut(struct stage *s, unsigned from, unsigned to, bool is_cut) {
    struct played_link link = played_link_get(s->w, from, to);
    link.is_cut = is_cut;
    played_link_set(s->w, from, to, &link);
}

static void test_frames_take_the_time_of_the_link(void **state) {
    struct stage *s = *state;
    start_both(s, 1000);
    assert_in_range(s->client.ready_ms, 40, 90); /* SYN and its answer, two flights of TLS */
    assert_in_range(s->client.frames, 8, 9);
    assert_in_range(s->server.frames, 8, 9);
    assert_memory_equal(s->client.exporter, s->server.exporter, TLS_EXPORTER_SIZE);
    assert_memory_equal(s->server.peer, "10.0.0.2:", 9);
    assert_string_equal(s->client.peer, "server:7443");
}

static void test_a_cut_link_times_out_on_both_sides(void **state) {
    struct stage *s = *state;
    start_both(s, 1000);
    cut(s, 0, 1, true);
    cut(s, 1, 0, true);
    played_run(s->w, 120000);
    assert_int_equal(s->client.why.code, ERR_CLOSED);
    assert_non_null(strstr(s->client.why.text, "connection timed out"));
    assert_false(s->client.is_gone);
    assert_in_range(s->client.close_ms, 5900, 6200); /* NET_USER_TIMEOUT_MS */
    assert_int_equal(s->server.closes, 1);           /* keep-alive at the latest */
    assert_in_range(s->server.close_ms, 5900, 90000);
}

static void test_a_short_cut_only_delays(void **state) {
    struct stage *s = *state;
    start_both(s, 1000);
    int before = s->client.frames;
    cut(s, 1, 0, true);
    played_run(s->w, 4000);
    assert_in_range(s->client.frames, before, before + 1);
    cut(s, 1, 0, false);
    played_run(s->w, 20000);
    assert_int_equal(s->client.closes, 0);
    assert_in_range(s->client.frames, s->client.sent - 1, s->client.sent);
}

/* The server hears the client and cannot answer: both give up, each for its own reason. */
static void test_a_one_way_cut_breaks_the_connection(void **state) {
    struct stage *s = *state;
    start_both(s, 1000);
    int before = s->server.frames;
    cut(s, 0, 1, true);
    played_run(s->w, 30000);
    assert_true(s->server.frames > before + 20);
    assert_int_equal(s->client.closes, 1);
    assert_int_equal(s->server.closes, 1);
    assert_false(s->client.is_gone);
}

static void test_a_reset_is_a_gone_peer(void **state) {
    struct stage *s = *state;
    start_both(s, 1000);
    played_link_reset(s->w, 0, 1);
    played_run(s->w, 1100);
    assert_int_equal(s->client.closes, 1);
    assert_int_equal(s->server.closes, 1);
    assert_true(s->client.is_gone);
    assert_non_null(strstr(s->client.why.text, "connection reset by peer"));
}

static void test_a_paused_host_answers_late(void **state) {
    struct stage *s = *state;
    start_both(s, 1000);
    int before = s->client.frames;
    played_host_pause(s->w, 0);
    played_run(s->w, 30000);
    assert_in_range(s->client.frames, before, before + 1);
    assert_int_equal(s->client.closes, 0); /* its system acknowledges */
    played_host_resume(s->w, 0);
    played_run(s->w, 30200);
    assert_in_range(s->client.frames, s->client.sent - 2, s->client.sent);
}

static void test_a_killed_server_is_gone(void **state) {
    struct stage *s = *state;
    start_both(s, 1000);
    played_kill(s->server_process);
    played_run(s->w, 1100);
    assert_int_equal(s->client.closes, 1);
    assert_true(s->client.is_gone);
}

static void test_a_killed_client_is_gone(void **state) {
    struct stage *s = *state;
    start_both(s, 1000);
    played_kill(s->client_process);
    played_run(s->w, 1100);
    assert_int_equal(s->server.closes, 1);
    assert_true(s->server.is_gone);
}

static void test_a_host_without_power_is_silent(void **state) {
    struct stage *s = *state;
    start_both(s, 1000);
    played_host_kill(s->w, 0);
    played_run(s->w, 3000);
    assert_int_equal(s->client.closes, 0);
    played_run(s->w, 20000);
    assert_int_equal(s->client.closes, 1);
    assert_false(s->client.is_gone);
    assert_non_null(strstr(s->client.why.text, "connection timed out"));
}

static void test_a_host_that_is_back_resets_old_connections(void **state) {
    struct stage *s = *state;
    start_both(s, 1000);
    played_host_kill(s->w, 0);
    played_run(s->w, 1500);
    s->client.is_mute = true; /* what it sent is sent again by its system */
    played_run(s->w, 3000);
    s->server = (struct side){0};
    start_server(s);
    played_run(s->w, 3500);
    assert_int_equal(s->client.closes, 1);
    assert_true(s->client.is_gone);
}

static void test_silence_is_noticed_by_keep_alive(void **state) {
    struct stage *s = *state;
    s->client.is_mute = true;
    start_both(s, 1000);
    played_host_kill(s->w, 0);
    played_run(s->w, 60000);
    assert_int_equal(s->client.closes, 0);
    played_run(s->w, 100000);
    assert_int_equal(s->client.closes, 1);
}

static void test_idle_connections_end(void **state) {
    struct stage *s = *state;
    s->client.is_mute = true;
    s->client.idle_ms = 700;
    start_both(s, 500);
    played_run(s->w, 2000);
    assert_int_equal(s->client.why.code, ERR_TIMEOUT);
    assert_non_null(strstr(s->client.why.text, "nothing moved for 700 ms"));
    assert_non_null(strstr(s->server.why.text, "without a TLS close_notify"));
}

/* --- Who is not there */

static void dial_until(struct stage *s, const char *host, uint64_t until_ms) {
    s->client.host = host;
    start_client(s);
    played_run(s->w, until_ms);
    assert_int_equal(s->client.closes, 1);
    assert_int_equal(s->client.ready, 0);
}

static void test_no_listener_refuses(void **state) {
    struct stage *s = *state;
    dial_until(s, "server", 200);
    assert_int_equal(s->client.why.code, ERR_UNAVAILABLE);
    assert_string_equal(s->client.why.text, "server:7443: cannot connect: connection refused");
    assert_true(s->client.is_gone);
}

static void test_nobody_answers_for_a_dead_or_cut_host(void **state) {
    struct stage *s = *state;
    start_server(s);
    cut(s, 0, 1, true);
    dial_until(s, "server", 20000);
    assert_int_equal(s->client.why.code, ERR_TIMEOUT);
    assert_non_null(strstr(s->client.why.text, "no connection within 10000 ms (connecting)"));
    assert_false(s->client.is_gone);
    cut(s, 0, 1, false);
    played_host_kill(s->w, 0);
    s->client = (struct side){.handshake_ms = 3000};
    dial_until(s, "10.0.0.1", 40000);
    assert_int_equal(s->client.why.code, ERR_TIMEOUT);
}

static void test_names_change_and_go(void **state) {
    struct stage *s = *state;
    start_server(s);
    played_name(s->w, "server", UINT_MAX);
    dial_until(s, "server", 200);
    assert_non_null(strstr(s->client.why.text, "name does not resolve"));
    s->client = (struct side){.handshake_ms = 1000};
    played_name(s->w, "server", 2);
    dial_until(s, "server", 400);
    assert_non_null(strstr(s->client.why.text, "connection refused"));
    played_name(s->w, "server", 0);
    s->client = (struct side){.host = "server", .handshake_ms = 1000};
    start_client(s);
    played_run(s->w, 600);
    assert_int_equal(s->client.ready, 1);
}

static void test_a_name_service_that_is_down_fails_late(void **state) {
    struct stage *s = *state;
    start_server(s);
    played_name_service(s->w, 100, true);
    start_client(s);
    played_run(s->w, 4900);
    assert_int_equal(s->client.closes, 0);
    played_run(s->w, 5200);
    assert_int_equal(s->client.closes, 1);
    assert_non_null(strstr(s->client.why.text, "name does not resolve: temporary failure"));
}

static void test_all_addresses_of_a_name_are_tried(void **state) {
    struct stage *s = *state;
    start_server(s);
    played_name(s->w, "server", 2);
    played_name_add(s->w, "server", 1);
    played_name_add(s->w, "server", 0);
    start_client(s);
    played_run(s->w, 1000);
    assert_int_equal(s->client.ready, 1);
}

static void test_syns_are_sent_again(void **state) {
    struct stage *s = *state;
    start_server(s);
    cut(s, 1, 0, true);
    start_client(s);
    played_run(s->w, 2000);
    assert_int_equal(s->client.closes, 0);
    cut(s, 1, 0, false);
    played_run(s->w, 9000);
    assert_int_equal(s->client.ready, 1);
}

/* --- How much fits */

static void test_a_slow_link_takes_its_time(void **state) {
    struct stage *s = *state;
    struct played_link link = played_link_get(s->w, 1, 0);
    link.bytes_per_ms = 100;
    played_link_set(s->w, 1, 0, &link);
    s->client.body_size = 20000; /* 200 ms each, and twice as many are sent */
    start_both(s, 200);
    played_run(s->w, 10200);
    assert_in_range(s->server.frames, 45, 50);
}

static void test_who_does_not_read_stops_the_sender(void **state) {
    struct stage *s = *state;
    s->client.body_size = 60000;
    s->server.is_reading_slowly = true;
    start_both(s, 3000);
    assert_int_equal(s->server.frames, 1);
    assert_int_equal(s->client.frames, 0);
    size_t sent = (size_t)s->client.sent * s->client.body_size;
    assert_true(sent > 1024 * 1024);
    assert_true(s->client.pending > sent - 600 * 1024); /* one window, one read, one frame */
    played_run(s->w, 59000);                            /* 4 MiB wait: lib/net cuts the link */
    assert_int_equal(s->client.why.code, ERR_BUSY);
}

/* --- Everything follows from the seed */

static void digest_of(uint64_t seed, uint8_t out[32]) {
    struct stage s = {.client = {.host = "server", .handshake_ms = 10000, .body_size = 3000}};
    s.w = played_new(seed, 2);
    const struct played_link link = {
        .delay_min_ms = 1, .delay_max_ms = 30, .stall_permille = 100, .stall_max_ms = 500};
    played_link_default(s.w, &link);
    played_name(s.w, "server", 0);
    start_both(&s, 10000);
    assert_true(s.client.frames > 50);
    played_digest(s.w, out);
    played_free(s.w);
}

static void test_same_seed_same_digest(void **state) {
    (void)state;
    uint8_t digests[3][32];
    digest_of(11, digests[0]);
    digest_of(11, digests[1]);
    digest_of(12, digests[2]);
    assert_memory_equal(digests[0], digests[1], 32);
    assert_memory_not_equal(digests[0], digests[2], 32);
}

#define STAGED(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        STAGED(test_frames_take_the_time_of_the_link),
        STAGED(test_a_cut_link_times_out_on_both_sides),
        STAGED(test_a_short_cut_only_delays),
        STAGED(test_a_one_way_cut_breaks_the_connection),
        STAGED(test_a_reset_is_a_gone_peer),
        STAGED(test_a_paused_host_answers_late),
        STAGED(test_a_killed_server_is_gone),
        STAGED(test_a_killed_client_is_gone),
        STAGED(test_a_host_without_power_is_silent),
        STAGED(test_a_host_that_is_back_resets_old_connections),
        STAGED(test_silence_is_noticed_by_keep_alive),
        STAGED(test_idle_connections_end),
        STAGED(test_no_listener_refuses),
        STAGED(test_nobody_answers_for_a_dead_or_cut_host),
        STAGED(test_names_change_and_go),
        STAGED(test_a_name_service_that_is_down_fails_late),
        STAGED(test_all_addresses_of_a_name_are_tried),
        STAGED(test_syns_are_sent_again),
        STAGED(test_a_slow_link_takes_its_time),
        STAGED(test_who_does_not_read_stops_the_sender),
        cmocka_unit_test(test_same_seed_same_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
