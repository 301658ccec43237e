/* Loopback tests: one loop, one listener, clients; the loop runs until all is closed again.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/crypto/cert.h"
#include "lib/net/net.h"

#define MANY 8

/* What one end saw, and what it is to do. */
struct side {
    struct world *world;
    unsigned ready_count;
    unsigned frame_count;
    unsigned close_count;
    size_t byte_count;
    struct err why;
    char refused[NET_ADDRESS_SIZE];
    struct err refused_why;
    void (*ready)(struct side *side, struct net_conn *conn);
    void (*frame)(struct side *side, struct net_conn *conn, const struct frame *frame);
    void (*closed)(struct side *side);
    struct net_conn *conn; /* of the hook above; set where a test needs it */
    size_t step;
    bool is_pinned_away;
};

struct world {
    uv_loop_t loop;
    struct key key;
    struct buf certificate;
    struct tls_context *client_tls;
    struct tls_context *server_tls;
    struct net_listener *listener;
    struct side server;
    struct side client[MANY];
    unsigned open_clients;
};

static void on_ready(struct net_conn *conn, void *data) {
    struct side *side = data;
    side->ready_count++;
    net_conn_set_frame_limit(conn, LIMIT_FRAME_BODY);
    if (side->ready != NULL) {
        side->ready(side, conn);
    }
}

static void on_frame(struct net_conn *conn, void *data, const struct frame *frame) {
    struct side *side = data;
    side->frame_count++;
    side->byte_count += frame->body.size;
    if (side->frame != NULL) {
        side->frame(side, conn, frame);
    }
}

static void on_close(struct net_conn *conn, void *data, const struct err *why) {
    (void)conn;
    struct side *side = data;
    side->close_count++;
    side->why = *why;
    struct world *w = side->world;
    if (side->closed != NULL) {
        side->closed(side);
    }
    if (side != &w->server && --w->open_clients == 0) {
        net_listener_close(w->listener, NULL, NULL);
    }
}

static void on_refused(void *data, const char *peer, const struct err *why) {
    struct side *side = data;
    snprintf(side->refused, sizeof side->refused, "%s", peer);
    side->refused_why = *why;
}

static const struct net_callbacks calls = {on_ready, on_frame, on_close};

static struct tls_context *open_tls(const struct world *w, bool is_server) {
    struct tls_context *context = NULL;
    const struct tls_config config = {.is_server = is_server,
                                      .key = &w->key,
                                      .certificate = buf_span(&w->certificate),
                                      .require_peer_certificate = true};
    assert_true(is_ok(tls_context_new(&config, &context, NULL)));
    return context;
}

static int setup(void **state) {
    struct world *w = calloc(1, sizeof *w);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    assert_true(is_ok(key_generate(KEY_P256, &w->key, NULL)));
    assert_true(is_ok(cert_self_signed(&w->key, &w->certificate, NULL)));
    w->client_tls = open_tls(w, false);
    w->server_tls = open_tls(w, true);
    w->server.world = w;
    for (size_t i = 0; i < MANY; i++) {
        w->client[i].world = w;
    }
    *state = w;
    return 0;
}

static int teardown(void **state) {
    struct world *w = *state;
    assert_int_equal(uv_loop_close(&w->loop), 0); /* EBUSY: a handle was left open */
    tls_context_free(w->client_tls);
    tls_context_free(w->server_tls);
    buf_deinit(&w->certificate);
    key_deinit(&w->key);
    free(w);
    return 0;
}

static struct net_listen_config listen_config(struct world *w) {
    return (struct net_listen_config){.host = "127.0.0.1",
                                      .tls = w->server_tls,
                                      .max_connections = MANY,
                                      .handshake_ms = 10000,
                                      .calls = calls,
                                      .data = &w->server,
                                      .on_refused = on_refused};
}

static void listen_here(struct world *w) {
    struct net_listen_config config = listen_config(w);
    assert_true(is_ok(net_listen(&w->loop, &config, &w->listener, NULL)));
    assert_int_not_equal(net_listener_port(w->listener), 0);
}

static bool is_accepted(void *data, struct span spki) {
    (void)spki;
    return !((struct side *)data)->is_pinned_away;
}

static struct net_conn *dial(struct world *w, size_t i, const char *host) {
    struct net_conn *conn = NULL;
    struct net_connect_config config = {.host = host,
                                        .port = net_listener_port(w->listener),
                                        .tls = w->client_tls,
                                        .accept_peer = is_accepted,
                                        .accept_data = &w->client[i],
                                        .handshake_ms = 10000,
                                        .calls = calls,
                                        .data = &w->client[i]};
    w->open_clients++;
    assert_true(is_ok(net_connect(&w->loop, &config, &conn, NULL)));
    assert_int_equal(w->client[i].close_count, 0);
    return conn;
}

static void run(struct world *w) {
    uv_run(&w->loop, UV_RUN_DEFAULT);
}

static uint8_t filler[LIMIT_FRAME_BODY];

static void send_size(struct net_conn *conn, size_t size) {
    assert_true(is_ok(net_send(conn, 7, (uint16_t)(size % 65536), span_of(filler, size), NULL)));
}

/* --- Echo */

static const size_t echo_sizes[] = {0,     1,     100,   16375, 16376,       16377,           16384,
                                    16385, 65535, 65536, 65537, 1024 * 1024, LIMIT_FRAME_BODY};
#define ECHO_COUNT (sizeof echo_sizes / sizeof echo_sizes[0])

static void echo(struct side *side, struct net_conn *conn, const struct frame *frame) {
    (void)side;
    assert_true(is_ok(net_send(conn, frame->type, frame->request, frame->body, NULL)));
}

static void send_next(struct side *side, struct net_conn *conn) {
    if (side->step == ECHO_COUNT) {
        net_conn_close(conn);
    } else {
        send_size(conn, echo_sizes[side->step]);
    }
}

static void check_echo(struct side *side, struct net_conn *conn, const struct frame *frame) {
    size_t size = echo_sizes[side->step++];
    assert_int_equal(frame->body.size, size);
    assert_int_equal(frame->type, 7);
    assert_int_equal(frame->request, size % 65536);
    assert_true(span_equal(frame->body, span_of(filler, size)));
    send_next(side, conn);
}

static void test_frames_of_all_sizes_come_back(void **state) {
    struct world *w = *state;
    for (size_t i = 0; i < sizeof filler; i++) {
        filler[i] = (uint8_t)(i * 31 >> 3);
    }
    w->server.frame = echo;
    for (size_t i = 0; i < 3; i++) {
        w->client[i].ready = send_next;
        w->client[i].frame = check_echo;
    }
    listen_here(w);
    dial(w, 0, "127.0.0.1");
    dial(w, 1, "localhost");
    dial(w, 2, "127.0.0.1");
    run(w);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(w->client[i].step, ECHO_COUNT);
        assert_int_equal(w->client[i].close_count, 1);
        assert_int_equal(w->client[i].why.code, ERR_OK);
    }
    assert_int_equal(w->server.close_count, 3);
    assert_int_equal(w->server.why.code, ERR_CLOSED);
    assert_string_equal(w->server.why.text, "the peer closed the connection");
}

static void send_three_and_close(struct side *side, struct net_conn *conn) {
    (void)side;
    for (int i = 0; i < 3; i++) {
        send_size(conn, 1024 * 1024);
    }
    net_conn_close(conn);
    struct err err;
    assert_int_equal(net_send(conn, 1, 1, span_str(""), &err).code, ERR_CLOSED);
}

static void test_close_delivers_what_was_sent(void **state) {
    struct world *w = *state;
    w->client[0].ready = send_three_and_close;
    listen_here(w);
    dial(w, 0, "127.0.0.1");
    run(w);
    assert_int_equal(w->server.frame_count, 3);
    assert_int_equal(w->server.byte_count, 3 * 1024 * 1024);
    assert_int_equal(w->server.why.code, ERR_CLOSED);
    assert_int_equal(w->client[0].why.code, ERR_OK);
}

/* --- Bounds */

static void lower_limit(struct side *side, struct net_conn *conn) {
    (void)side;
    net_conn_set_frame_limit(conn, 99);
}

static void send_hundred(struct side *side, struct net_conn *conn) {
    (void)side;
    send_size(conn, 99);
    send_size(conn, 100);
    send_size(conn, 1);
}

static void test_a_frame_over_the_limit_ends_the_connection(void **state) {
    struct world *w = *state;
    w->server.ready = lower_limit;
    w->client[0].ready = send_hundred;
    listen_here(w);
    dial(w, 0, "127.0.0.1");
    run(w);
    assert_int_equal(w->server.frame_count, 1);
    assert_int_equal(w->server.why.code, ERR_TOO_LARGE);
    assert_string_equal(w->server.why.text, "frame of type 7: body of 100 bytes, limit 99");
    assert_int_equal(w->client[0].why.code, ERR_CLOSED);
}

static void overfill(struct side *side, struct net_conn *conn) {
    struct err err;
    struct result r = OK;
    while (is_ok(r)) {
        r = net_send(conn, 1, 0, span_of(filler, 1024 * 1024), &err);
        side->step++;
    }
    assert_int_equal(r.code, ERR_BUSY);
    assert_int_equal(side->close_count, 0); /* never from inside */
    assert_int_equal(net_send(conn, 1, 0, span_str(""), &err).code, ERR_CLOSED);
}

static void test_a_full_write_queue_cuts_the_link(void **state) {
    struct world *w = *state;
    w->client[0].ready = overfill;
    listen_here(w);
    dial(w, 0, "127.0.0.1");
    run(w);
    assert_int_equal(w->client[0].step, 4); /* 3 MiB and their headers fit, the fourth does not */
    assert_int_equal(w->client[0].close_count, 1);
    assert_int_equal(w->client[0].why.code, ERR_BUSY);
}

static void keep_conn(struct side *side, struct net_conn *conn) {
    side->conn = conn;
}

/* At the server, whose only place is taken by a ready connection now. */
static void dial_second(struct side *side, struct net_conn *conn) {
    struct world *w = side->world;
    (void)conn;
    assert_int_equal(net_listener_connection_count(w->listener), 1);
    dial(w, 1, "127.0.0.1");
}

static void let_first_idle(struct side *side) {
    net_conn_set_idle_timeout(side->world->client[0].conn, 20);
}

static void test_connections_over_the_maximum_are_turned_away(void **state) {
    struct world *w = *state;
    struct net_listen_config config = listen_config(w);
    config.max_connections = 1;
    assert_true(is_ok(net_listen(&w->loop, &config, &w->listener, NULL)));
    w->client[0].ready = keep_conn;
    w->server.ready = dial_second;
    w->client[1].closed = let_first_idle;
    dial(w, 0, "127.0.0.1");
    run(w);
    assert_int_equal(w->client[0].ready_count, 1);
    assert_int_equal(w->client[1].ready_count, 0);
    assert_int_equal(w->client[1].close_count, 1);
    assert_int_equal(w->client[1].why.code, ERR_CLOSED);
    assert_int_equal(w->server.refused_why.code, ERR_BUSY);
    assert_memory_equal(w->server.refused, "127.0.0.1:", 10);
    assert_int_equal(w->client[0].why.code, ERR_TIMEOUT); /* the idle timeout */
    assert_non_null(strstr(w->client[0].why.text, "nothing moved for 20 ms"));
}

/* --- Bytes of all connections together */

#define PART_BODY (1024 * 1024) /* of each frame; so much of it is sent first: */
static const size_t parts[] = {800 * 1024, 300 * 1024, 50 * 1024};
#define PARTS_MOST (1088 * 1024) /* less than all of them, more than one frame and the least */

static void send_part(struct side *side, struct net_conn *conn) {
    static const uint8_t header[] = {0, PART_BODY >> 16, 0, 0, 7, 1, 0, 0};
    side->conn = conn;
    size_t size = parts[side - side->world->client];
    assert_true(is_ok(tls_write(net_conn_tls(conn), SPAN(header), NULL)));
    assert_true(is_ok(tls_write(net_conn_tls(conn), span_of(filler, size), NULL)));
}

static void keep_first_why(struct side *side) {
    if (side->close_count == 1) {
        side->refused_why = side->why;
    }
}

static void send_rest(struct side *side) {
    struct world *w = side->world;
    size_t next = (size_t)(side - w->client) + 1;
    if (next < 3) {
        struct span rest = span_of(filler, PART_BODY - parts[next]);
        assert_true(is_ok(tls_write(net_conn_tls(w->client[next].conn), rest, NULL)));
        net_conn_close(w->client[next].conn);
    }
}

/* Each stays below its own bounds; the one that holds most makes room, and the others go on. */
static void test_who_holds_most_gives_way(void **state) {
    struct world *w = *state;
    struct net_listen_config config = listen_config(w);
    config.max_buffered = PARTS_MOST;
    assert_true(is_ok(net_listen(&w->loop, &config, &w->listener, NULL)));
    for (size_t i = 0; i < 3; i++) {
        w->client[i].closed = send_rest;
        w->client[i].ready = send_part;
        dial(w, i, "127.0.0.1");
    }
    w->server.closed = keep_first_why;
    run(w);
    assert_int_equal(w->server.refused_why.code, ERR_BUSY);
    assert_non_null(strstr(w->server.refused_why.text, "over 1114112 bytes wait"));
    assert_int_equal(w->client[0].why.code, ERR_CLOSED);
    assert_int_equal(w->server.frame_count, 2);
    assert_int_equal(w->server.byte_count, 2 * PART_BODY);
    for (size_t i = 1; i < 3; i++) {
        assert_int_equal(w->client[i].why.code, ERR_OK);
    }
}

/* --- Ends of every kind */

static void send_half_a_frame(struct side *side, struct net_conn *conn) {
    (void)side;
    static const uint8_t half[] = {0, 0, 0, 100, 1, 1, 0, 0, 'h', 'a', 'l', 'f'};
    assert_true(is_ok(tls_write(net_conn_tls(conn), SPAN(half), NULL)));
    net_conn_close(conn);
}

static void test_an_end_inside_a_frame_is_told(void **state) {
    struct world *w = *state;
    w->client[0].ready = send_half_a_frame;
    listen_here(w);
    dial(w, 0, "127.0.0.1");
    run(w);
    assert_int_equal(w->server.frame_count, 0);
    assert_int_equal(w->server.why.code, ERR_CLOSED);
    assert_string_equal(w->server.why.text,
                        "the peer closed the connection inside a frame, after 12 bytes of it");
}

static void send_one(struct side *side, struct net_conn *conn) {
    (void)side;
    send_size(conn, 10);
}

static void abort_it(struct side *side, struct net_conn *conn, const struct frame *frame) {
    (void)side;
    (void)frame;
    net_conn_abort(conn, NULL);
    net_conn_abort(conn, NULL);
    net_conn_close(conn);
}

static void close_it(struct side *side, struct net_conn *conn, const struct frame *frame) {
    (void)side;
    (void)frame;
    net_conn_close(conn);
    net_conn_close(conn);
}

static void test_abort_inside_on_frame_looks_like_a_cut(void **state) {
    struct world *w = *state;
    w->client[0].ready = send_one;
    w->server.frame = abort_it;
    listen_here(w);
    dial(w, 0, "127.0.0.1");
    run(w);
    assert_int_equal(w->server.close_count, 1);
    assert_int_equal(w->server.why.code, ERR_OK);
    assert_int_equal(w->client[0].why.code, ERR_CLOSED);
    assert_non_null(strstr(w->client[0].why.text, "without a TLS close_notify"));
}

static void test_close_inside_on_frame_stops_frames(void **state) {
    struct world *w = *state;
    w->client[0].ready = send_hundred; /* three frames in one go */
    w->server.frame = close_it;
    listen_here(w);
    dial(w, 0, "127.0.0.1");
    run(w);
    assert_int_equal(w->server.frame_count, 1);
    assert_int_equal(w->server.close_count, 1);
    assert_int_equal(w->server.why.code, ERR_OK);
    assert_int_equal(w->client[0].why.code, ERR_CLOSED);
}

static void test_close_right_after_connect(void **state) {
    struct world *w = *state;
    listen_here(w);
    struct net_conn *first = dial(w, 0, "127.0.0.1");
    struct net_conn *second = dial(w, 1, "localhost");
    struct err err;
    assert_int_equal(net_send(first, 1, 1, span_str(""), &err).code, ERR_PROTOCOL);
    net_conn_close(first);
    net_conn_abort(second, NULL);
    assert_int_equal(w->client[0].close_count, 0);
    run(w);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(w->client[i].close_count, 1);
        assert_int_equal(w->client[i].ready_count, 0);
        assert_int_equal(w->client[i].why.code, ERR_OK);
    }
}

static void close_listener_when_refused(void *data, const char *peer, const struct err *why) {
    struct side *side = data;
    on_refused(data, peer, why);
    net_listener_close(side->world->listener, NULL, NULL);
}

static void test_a_key_that_is_not_wanted(void **state) {
    struct world *w = *state;
    w->client[0].is_pinned_away = true;
    w->open_clients = 1; /* the listener closes when it has seen the alert */
    struct net_listen_config config = listen_config(w);
    config.on_refused = close_listener_when_refused;
    assert_true(is_ok(net_listen(&w->loop, &config, &w->listener, NULL)));
    dial(w, 0, "127.0.0.1");
    run(w);
    assert_int_equal(w->client[0].why.code, ERR_TLS);
    assert_int_equal(w->client[0].ready_count, 0);
    assert_int_equal(w->server.ready_count, 0);
    assert_int_equal(w->server.close_count, 0);
    assert_int_equal(w->server.refused_why.code, ERR_TLS); /* the alert */
}

/* --- Nobody there */

static uint16_t dead_port(struct world *w) {
    listen_here(w);
    uint16_t port = net_listener_port(w->listener);
    net_listener_close(w->listener, NULL, NULL);
    w->listener = NULL;
    run(w);
    return port;
}

static void note_close(struct net_conn *conn, void *data, const struct err *why) {
    (void)conn;
    struct side *side = data;
    side->close_count++;
    side->why = *why;
}

static void dial_alone(struct world *w, const char *host, uint16_t port, uint64_t handshake_ms) {
    struct net_conn *conn = NULL;
    const struct net_connect_config config = {.host = host,
                                              .port = port,
                                              .tls = w->client_tls,
                                              .handshake_ms = handshake_ms,
                                              .calls = {on_ready, on_frame, note_close},
                                              .data = &w->client[0]};
    assert_true(is_ok(net_connect(&w->loop, &config, &conn, NULL)));
    run(w);
    assert_int_equal(w->client[0].close_count, 1);
    assert_int_equal(w->client[0].ready_count, 0);
}

static void test_a_refused_connection_names_the_address(void **state) {
    struct world *w = *state;
    uint16_t port = dead_port(w);
    dial_alone(w, "127.0.0.1", port, 10000);
    char want[128];
    snprintf(want, sizeof want, "127.0.0.1:%u: cannot connect: connection refused", port);
    assert_int_equal(w->client[0].why.code, ERR_UNAVAILABLE);
    assert_string_equal(w->client[0].why.text, want);
}

static void test_every_address_of_a_name_is_tried(void **state) {
    struct world *w = *state;
    dial_alone(w, "localhost", dead_port(w), 10000);
    assert_int_equal(w->client[0].why.code, ERR_UNAVAILABLE);
    assert_memory_equal(w->client[0].why.text, "localhost:", 10);
}

static void test_a_name_that_does_not_resolve(void **state) {
    struct world *w = *state;
    dial_alone(w, "no..name", 7443, 10000);
    assert_int_equal(w->client[0].why.code, ERR_UNAVAILABLE);
    assert_memory_equal(w->client[0].why.text, "no..name:7443: name does not resolve: ", 38);
}

struct silent {
    uv_tcp_t tcp;
    uv_connect_t connect;
};

static void on_nobody(uv_stream_t *stream, int status) {
    (void)stream; /* the connection stays in the queue of the system, unanswered */
    (void)status;
}

static void test_a_silent_server_times_out(void **state) {
    struct world *w = *state;
    struct silent silent;
    struct sockaddr_in address;
    int size = sizeof address;
    uv_ip4_addr("127.0.0.1", 0, &address);
    uv_tcp_init(&w->loop, &silent.tcp);
    assert_int_equal(uv_tcp_bind(&silent.tcp, (struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&silent.tcp, 4, on_nobody), 0);
    uv_unref((uv_handle_t *)&silent.tcp);
    uv_tcp_getsockname(&silent.tcp, (struct sockaddr *)&address, &size);
    dial_alone(w, "127.0.0.1", ntohs(address.sin_port), 50);
    assert_int_equal(w->client[0].why.code, ERR_TIMEOUT);
    assert_non_null(strstr(w->client[0].why.text, "no connection within 50 ms (handshake)"));
    uv_close((uv_handle_t *)&silent.tcp, NULL);
    run(w);
}

static void on_silent_connected(uv_connect_t *request, int status) {
    (void)request;
    assert_int_equal(status, 0);
}

static void test_a_silent_client_is_turned_away(void **state) {
    struct world *w = *state;
    struct net_listen_config config = listen_config(w);
    config.handshake_ms = 50;
    config.on_refused = close_listener_when_refused;
    assert_true(is_ok(net_listen(&w->loop, &config, &w->listener, NULL)));
    struct silent silent;
    struct sockaddr_in address;
    uv_ip4_addr("127.0.0.1", net_listener_port(w->listener), &address);
    uv_tcp_init(&w->loop, &silent.tcp);
    uv_tcp_connect(&silent.connect, &silent.tcp, (struct sockaddr *)&address, on_silent_connected);
    run(w);
    assert_int_equal(w->server.refused_why.code, ERR_TIMEOUT);
    assert_int_equal(w->server.close_count, 0);
    uv_close((uv_handle_t *)&silent.tcp, NULL);
    run(w);
}

static void close_when_ready(struct side *side, struct net_conn *conn) {
    (void)side;
    net_conn_close(conn);
}

/* Who opens connections and says nothing must not keep others out. */
static void test_silent_clients_make_room(void **state) {
    struct world *w = *state;
    struct net_listen_config config = listen_config(w);
    config.max_connections = 2;
    assert_true(is_ok(net_listen(&w->loop, &config, &w->listener, NULL)));
    struct silent silent[3];
    struct sockaddr_in address;
    uv_ip4_addr("127.0.0.1", net_listener_port(w->listener), &address);
    for (size_t i = 0; i < 3; i++) {
        uv_tcp_init(&w->loop, &silent[i].tcp);
        uv_tcp_connect(&silent[i].connect, &silent[i].tcp, (struct sockaddr *)&address,
                       on_silent_connected);
    }
    while (w->server.refused_why.code != ERR_BUSY) {
        uv_run(&w->loop, UV_RUN_ONCE);
    }
    assert_int_equal(net_listener_connection_count(w->listener), 2);
    w->client[0].ready = close_when_ready;
    dial(w, 0, "127.0.0.1");
    run(w);
    assert_int_equal(w->client[0].ready_count, 1);
    assert_int_equal(w->client[0].why.code, ERR_OK);
    assert_int_equal(w->server.refused_why.code, ERR_BUSY);
    assert_non_null(strstr(w->server.refused_why.text, "no handshake yet"));
    for (size_t i = 0; i < 3; i++) {
        uv_close((uv_handle_t *)&silent[i].tcp, NULL);
    }
    run(w);
}

static void mark(void *data) {
    *(bool *)data = true;
}

static void test_listener_close_ends_unready_connections(void **state) {
    struct world *w = *state;
    listen_here(w);
    struct silent silent;
    struct sockaddr_in address;
    uv_ip4_addr("127.0.0.1", net_listener_port(w->listener), &address);
    uv_tcp_init(&w->loop, &silent.tcp);
    uv_tcp_connect(&silent.connect, &silent.tcp, (struct sockaddr *)&address, on_silent_connected);
    while (net_listener_connection_count(w->listener) == 0) {
        uv_run(&w->loop, UV_RUN_ONCE);
    }
    bool is_closed = false;
    net_listener_close(w->listener, mark, &is_closed);
    assert_false(is_closed);
    run(w);
    assert_true(is_closed);
    assert_int_equal(w->server.refused_why.code, ERR_OK); /* not told: the user closed it */
    uv_close((uv_handle_t *)&silent.tcp, NULL);
    run(w);
}

static void test_a_port_can_be_had_once_or_shared_on_request(void **state) {
    struct world *w = *state;
    struct net_listener *second = NULL;
    struct net_listen_config config = listen_config(w);
    struct err err;
    listen_here(w);
    config.port = net_listener_port(w->listener);
    assert_int_equal(net_listen(&w->loop, &config, &second, &err).code, ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "cannot listen: address already in use"));
    net_listener_close(w->listener, NULL, NULL);
    run(w);
    config.port = 0;
    config.reuse_port = true;
    assert_true(is_ok(net_listen(&w->loop, &config, &w->listener, NULL)));
    config.port = net_listener_port(w->listener);
    assert_true(is_ok(net_listen(&w->loop, &config, &second, NULL)));
    net_listener_close(w->listener, NULL, NULL);
    net_listener_close(second, NULL, NULL);
    config.host = "no..name";
    assert_int_equal(net_listen(&w->loop, &config, &second, &err).code, ERR_CONFIG);
    run(w);
}

/* --- Addresses */

static void test_addresses(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *host; /* NULL: refused */
        uint16_t port;
    } rows[] = {{"a:1", "a", 1},
                {"contrast-0.contrast.ns.svc:7443", "contrast-0.contrast.ns.svc", 7443},
                {"192.0.2.1:65535", "192.0.2.1", 65535},
                {"[2001:db8::1]:7443", "2001:db8::1", 7443},
                {"", NULL, 0},
                {"a", NULL, 0},
                {":1", NULL, 0},
                {"a:", NULL, 0},
                {"a:0", NULL, 0},
                {"a:01", NULL, 0},
                {"a:65536", NULL, 0},
                {"a:999999999999", NULL, 0},
                {"a:1x", NULL, 0},
                {"a: 1", NULL, 0},
                {"a b:1", NULL, 0},
                {"::1:7443", NULL, 0},
                {"[::1]", NULL, 0},
                {"[::1", NULL, 0},
                {"[::1]7443", NULL, 0},
                {"[a]:1", NULL, 0},
                {"[]:1", NULL, 0},
                {"user@a:1", NULL, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char host[LIMIT_ADDRESS + 1] = "untouched";
        uint16_t port = 0;
        struct err err;
        struct result r = net_address_parse(rows[i].text, host, &port, &err);
        assert_int_equal(r.code, rows[i].host == NULL ? ERR_INVALID : ERR_OK);
        assert_string_equal(host, rows[i].host == NULL ? "untouched" : rows[i].host);
        assert_int_equal(port, rows[i].port);
    }
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_frames_of_all_sizes_come_back),
        T(test_close_delivers_what_was_sent),
        T(test_a_frame_over_the_limit_ends_the_connection),
        T(test_a_full_write_queue_cuts_the_link),
        T(test_connections_over_the_maximum_are_turned_away),
        T(test_who_holds_most_gives_way),
        T(test_an_end_inside_a_frame_is_told),
        T(test_abort_inside_on_frame_looks_like_a_cut),
        T(test_close_inside_on_frame_stops_frames),
        T(test_close_right_after_connect),
        T(test_a_key_that_is_not_wanted),
        T(test_a_refused_connection_names_the_address),
        T(test_every_address_of_a_name_is_tried),
        T(test_a_name_that_does_not_resolve),
        T(test_a_silent_server_times_out),
        T(test_silent_clients_make_room),
        T(test_a_silent_client_is_turned_away),
        T(test_listener_close_ends_unready_connections),
        T(test_a_port_can_be_had_once_or_shared_on_request),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
