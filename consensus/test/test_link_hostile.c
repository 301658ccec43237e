/* Links with peers and strangers that misbehave: b is the victim, and its link to c must not
 * notice. Every wait is for an event.
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

#include "consensus/test/link_world.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/net/net_conn.h"

struct mock {
    struct world *world;
    struct net_conn *conn;
    struct buf first; /* plaintext that it sends when the handshake is done */
    unsigned readys, closes, frames;
};

static void on_mock_ready(struct net_conn *conn, void *data) {
    struct mock *m = data;
    m->readys++;
    assert_true(is_ok(tls_write(net_conn_tls(conn), buf_span(&m->first), NULL)));
}

static void on_mock_frame(struct net_conn *conn, void *data, const struct frame *frame) {
    (void)conn;
    (void)frame;
    ((struct mock *)data)->frames++;
}

static void on_mock_close(struct net_conn *conn, void *data, const struct err *why) {
    struct mock *m = data;
    (void)conn;
    (void)why;
    m->closes++;
    m->conn = NULL;
}

static const struct net_callbacks mock_calls = {on_mock_ready, on_mock_frame, on_mock_close};

static struct tls_context *mock_tls(const struct side *as, bool is_server) {
    struct tls_context *tls = NULL;
    struct tls_config config = {.is_server = is_server,
                                .key = &as->key,
                                .certificate = buf_span(&as->certificate),
                                .require_peer_certificate = true};
    assert_true(is_ok(tls_context_new(&config, &tls, NULL)));
    return tls;
}

static void dial_as(struct mock *m, const struct side *as, const struct side *victim) {
    struct tls_context *tls = mock_tls(as, false);
    struct net_connect_config config = {.host = "127.0.0.1",
                                        .port = links_port(victim->links),
                                        .tls = tls,
                                        .handshake_ms = LIMIT_HANDSHAKE_MS,
                                        .calls = mock_calls,
                                        .data = m};
    m->world = as->world;
    assert_true(is_ok(net_connect(&as->world->loop, &config, &m->conn, NULL)));
    tls_context_free(tls);
}

static void close_mock(struct mock *m) {
    if (m->conn != NULL) {
        unsigned closes = m->closes + 1;
        net_conn_abort(m->conn, NULL);
        link_world_wait(m->world, &m->closes, closes);
    }
    buf_deinit(&m->first);
}

static void append_hello(struct mock *m, uint64_t id, uint64_t connection) {
    static const uint8_t cluster[LINK_CLUSTER_ID_SIZE] = {7};
    struct link_hello hello = {.id = id, .connection = connection, .version = 5};
    link_frame_identity(cluster, 1, hello.identity);
    frame_encode_message(LINK_FRAME_HELLO, 0, &link_hello_type, &hello, &m->first);
}

/* b and c are joined; a is pinned at b, and not there. */
static void open_victim(struct world *w) {
    struct side *b = &w->sides[1];
    link_world_open(b, 7);
    link_world_open(&w->sides[2], 7);
    link_world_join(w, b, &w->sides[2]);
    struct span key = buf_span(&w->sides[0].spki);
    assert_true(is_ok(links_set_peer(b->links, 1, "127.0.0.1", 1, key, NULL)));
}

static void assert_others_live(struct world *w) {
    struct side *b = &w->sides[1];
    struct side *other = &w->sides[2];
    unsigned frames = other->frames + 1;
    assert_true(links_is_up(b->links, 3));
    assert_true(is_ok(links_send(b->links, 3, LINK_TYPE_FIRST, span_str("x"), NULL)));
    link_world_wait(w, &other->frames, frames);
    assert_int_equal(other->downs, 0);
}

/* Sends `plain` over a good TLS connection of a's key: b must refuse with `code`. */
static void assert_refused(struct world *w, struct span plain, enum err_code code, unsigned ups) {
    struct side *b = &w->sides[1];
    struct mock m = {0};
    unsigned refusals = b->refusals;
    unsigned ups_before = b->ups;
    unsigned frames = b->frames;
    buf_append_span(&m.first, plain);
    dial_as(&m, &w->sides[0], b);
    link_world_wait(w, &m.closes, 1);
    link_world_wait(w, &b->refusals, refusals + 1);
    assert_int_equal(b->why, code);
    assert_int_equal(b->refusals, refusals + 1); /* told once */
    assert_int_equal(b->ups, ups_before + ups);
    assert_int_equal(b->frames, frames);
    assert_int_equal(b->downs, b->ups - 1);
    close_mock(&m);
}

/* What may follow a good HELLO or come in its place. */
struct bad {
    uint64_t hello_id; /* 0: none before it */
    uint8_t type;
    uint8_t version;
    uint32_t size;
    size_t body; /* bytes that follow */
    enum err_code code;
};

static void append_bad(struct buf *out, const struct bad *bad) {
    buf_append_u32be(out, bad->size);
    buf_append_u8(out, bad->type);
    buf_append_u8(out, bad->version);
    buf_append(out, "\0\0", 2);
    memset(buf_extend(out, bad->body), 0x41, bad->body);
}

static void test_bad_frames_end_the_connection(void **state) {
    struct world *w = *state;
    static const struct bad table[] = {
        {0, LINK_FRAME_HELLO, 1, 9, 9, ERR_MALFORMED},
        {0, LINK_FRAME_HELLO, 1, 0, 0, ERR_MALFORMED},
        {0, LINK_FRAME_HELLO, 2, 9, 0, ERR_MALFORMED},
        {0, LINK_FRAME_HELLO, 1, LIMIT_FRAME_BODY_UNAUTHENTICATED + 1, 0, ERR_TOO_LARGE},
        {0, LINK_FRAME_PING, 1, 0, 0, ERR_PROTOCOL},
        {0, LINK_TYPE_FIRST, 1, 1, 1, ERR_PROTOCOL},
        {3, LINK_FRAME_PING, 1, 0, 0, ERR_DENIED}, /* the id of another key */
        {1, LINK_FRAME_PING, 1, 1, 1, ERR_MALFORMED},
        {1, LINK_FRAME_HELLO, 1, 0, 0, ERR_PROTOCOL},
        {1, 3, 1, 0, 0, ERR_PROTOCOL},
        {1, LINK_TYPE_FIRST - 1, 1, 0, 0, ERR_PROTOCOL},
        {1, LINK_TYPE_FIRST, 1, LIMIT_FRAME_BODY + 1, 0, ERR_TOO_LARGE},
        {1, LINK_TYPE_FIRST, 1, UINT32_MAX, 100, ERR_TOO_LARGE},
        {1, LINK_TYPE_FIRST, 0, 0, 0, ERR_MALFORMED},
        {1, 0x47, 0x45, 0x47455420, 30, ERR_MALFORMED}, /* "GET ..." */
    };
    open_victim(w);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct mock text = {0};
        if (table[i].hello_id != 0) {
            append_hello(&text, table[i].hello_id, i + 1);
        }
        append_bad(&text.first, &table[i]);
        assert_refused(w, buf_span(&text.first), table[i].code, table[i].hello_id == 1);
        buf_deinit(&text.first);
    }
    assert_others_live(w);
}

/* Bytes on the wire that no TLS wrote, after a good handshake. */
static void test_garbage_below_tls_ends_the_connection(void **state) {
    struct world *w = *state;
    struct side *b = &w->sides[1];
    struct mock m = {0};
    open_victim(w);
    append_hello(&m, 1, 1);
    dial_as(&m, &w->sides[0], b);
    link_world_wait(w, &b->ups, 2);
    char garbage[] = "\x17\x03\x03\x00\x20not from this session at all....";
    uv_buf_t bytes = uv_buf_init(garbage, sizeof garbage);
    assert_int_equal(uv_try_write((uv_stream_t *)&m.conn->tcp, &bytes, 1), sizeof garbage);
    link_world_wait(w, &b->refusals, 1);
    assert_int_equal(b->why, ERR_TLS);
    assert_int_equal(b->downs, 1);
    assert_int_equal(b->gones, 0);
    assert_others_live(w);
    close_mock(&m);
}

/* A stranger's TCP connection that sends some bytes and waits. */
struct raw {
    uv_tcp_t tcp;
    uv_connect_t connect;
    struct span bytes;
    unsigned connected, closed;
};

static void on_raw_connected(uv_connect_t *request, int status) {
    struct raw *r = request->data;
    r->connected++;
    if (status == 0 && r->bytes.size > 0) {
        uv_buf_t b = uv_buf_init((char *)(uintptr_t)r->bytes.data, (unsigned)r->bytes.size);
        assert_int_equal(uv_try_write((uv_stream_t *)&r->tcp, &b, 1), r->bytes.size);
    }
}

static void on_raw_closed(uv_handle_t *handle) {
    ((struct raw *)handle->data)->closed++;
}

static void open_raw(struct world *w, struct raw *r, const struct side *victim, struct span bytes) {
    struct sockaddr_in to;
    *r = (struct raw){.bytes = bytes};
    assert_int_equal(uv_ip4_addr("127.0.0.1", links_port(victim->links), &to), 0);
    assert_int_equal(uv_tcp_init(&w->loop, &r->tcp), 0);
    r->tcp.data = r->connect.data = r;
    assert_int_equal(uv_tcp_connect(&r->connect, &r->tcp, (struct sockaddr *)&to, on_raw_connected),
                     0);
}

static void close_raw(struct world *w, struct raw *r) {
    uv_close((uv_handle_t *)&r->tcp, on_raw_closed);
    link_world_wait(w, &r->closed, 1);
}

static void take_client_hello(const struct side *as, struct buf *out) {
    struct tls_context *context = mock_tls(as, false);
    struct tls *tls = NULL;
    assert_true(is_ok(tls_new(context, &tls, NULL)));
    assert_true(is_ok(tls_step(tls, NULL)));
    tls_take_output(tls, out);
    tls_free(tls);
    tls_context_free(context);
}

static void test_stalls_in_the_handshake_have_a_deadline(void **state) {
    struct world *w = *state;
    struct side *b = &w->sides[1];
    struct buf hello = {0};
    w->handshake_ms = 20;
    open_victim(w);
    take_client_hello(&w->sides[0], &hello);
    assert_true(hello.size > 100);
    for (size_t n = 0; n <= hello.size; n += n < 8 || n + 8 > hello.size ? 1 : 29) {
        struct raw r;
        unsigned refusals = b->refusals;
        open_raw(w, &r, b, span_of(hello.data, n));
        link_world_wait(w, &b->refusals, refusals + 1);
        assert_int_equal(b->why, ERR_TIMEOUT);
        close_raw(w, &r);
    }
    assert_others_live(w);
    buf_deinit(&hello);
}

static void test_stalls_before_hello_have_a_deadline(void **state) {
    struct world *w = *state;
    struct side *b = &w->sides[1];
    struct mock whole = {0};
    w->hello_ms = 40;
    open_victim(w);
    append_hello(&whole, 1, 1);
    unsigned ups = b->ups;
    for (size_t n = 0; n < whole.first.size; n += n < 12 || n + 6 > whole.first.size ? 1 : 7) {
        struct mock m = {0};
        unsigned refusals = b->refusals;
        buf_append(&m.first, whole.first.data, n);
        dial_as(&m, &w->sides[0], b);
        link_world_wait(w, &b->refusals, refusals + 1);
        assert_int_equal(b->why, ERR_TIMEOUT);
        close_mock(&m);
    }
    assert_int_equal(b->ups, ups);
    assert_others_live(w);
    buf_deinit(&whole.first);
}

static void accept_mock(struct net_conn *conn, void *data) {
    struct mock *m = data;
    (void)conn;
    m->readys++;
}

static void forget_mock(struct net_conn *conn, void *data, const struct err *why) {
    (void)conn;
    (void)why;
    ((struct mock *)data)->closes++;
}

/* The same from the other side: who dials gives up, and dials again. */
static void test_silent_acceptor_has_a_deadline(void **state) {
    struct world *w = *state;
    struct side *a = &w->sides[0];
    struct mock m = {.world = w};
    struct tls_context *tls = mock_tls(&w->sides[1], true);
    struct net_listener *listener = NULL;
    struct net_listen_config config = {.host = "127.0.0.1",
                                       .tls = tls,
                                       .max_connections = 8,
                                       .handshake_ms = LIMIT_HANDSHAKE_MS,
                                       .calls = {accept_mock, on_mock_frame, forget_mock},
                                       .data = &m};
    w->hello_ms = 10;
    assert_true(is_ok(net_listen(&w->loop, &config, &listener, NULL)));
    link_world_open(a, 7);
    assert_true(is_ok(links_set_peer(a->links, 2, "127.0.0.1", net_listener_port(listener),
                                     buf_span(&w->sides[1].spki), NULL)));
    link_world_wait(w, &m.closes, 2);
    link_world_wait(w, &a->refusals, 2);
    assert_int_equal(a->why, ERR_TIMEOUT);
    assert_int_equal(a->ups, 0);
    link_world_close(a);
    net_listener_close(listener, NULL, NULL);
    tls_context_free(tls);
    uv_run(&w->loop, UV_RUN_DEFAULT);
}

/* More connections without a handshake than one address may have: the oldest give way, and a
 * replica from the same address still gets through. */
static void test_half_open_connections_are_bounded(void **state) {
    struct world *w = *state;
    struct side *b = &w->sides[1];
    enum { COUNT = 3 * LIMIT_LINK_HALF_OPEN };
    static struct raw raws[COUNT];
    open_victim(w);
    for (size_t i = 0; i < COUNT; i++) {
        open_raw(w, &raws[i], b, span_of(NULL, 0));
        link_world_wait(w, &raws[i].connected, 1);
    }
    link_world_wait(w, &b->refusals, COUNT - LIMIT_LINK_HALF_OPEN);
    assert_int_equal(b->why, ERR_BUSY);
    link_world_open(&w->sides[0], 7);
    link_world_know(&w->sides[0], b);
    link_world_wait(w, &w->sides[0].ups, 1);
    assert_others_live(w);
    for (size_t i = 0; i < COUNT; i++) {
        close_raw(w, &raws[i]);
    }
}

/* The same with a good key, after the handshake. */
static void test_connections_without_hello_are_bounded(void **state) {
    struct world *w = *state;
    struct side *b = &w->sides[1];
    enum { COUNT = LIMIT_LINK_PENDING + 4 };
    struct mock mocks[COUNT];
    memset(mocks, 0, sizeof mocks);
    open_victim(w);
    for (size_t i = 0; i < COUNT; i++) {
        dial_as(&mocks[i], &w->sides[0], b);
        link_world_wait(w, &mocks[i].readys, 1);
    }
    link_world_wait(w, &b->refusals, COUNT - LIMIT_LINK_PENDING);
    assert_int_equal(b->why, ERR_BUSY);
    assert_int_equal(b->refusals, COUNT - LIMIT_LINK_PENDING);
    link_world_open(&w->sides[0], 7);
    link_world_know(&w->sides[0], b);
    link_world_wait(w, &w->sides[0].ups, 1);
    assert_others_live(w);
    for (size_t i = 0; i < COUNT; i++) {
        close_mock(&mocks[i]);
    }
}

/* It is cut at the high-water mark: what waits for it never exceeds that. */
static void test_a_peer_that_does_not_read_is_cut(void **state) {
    struct world *w = *state;
    struct side *b = &w->sides[1];
    struct mock m = {0};
    static const uint8_t block[64 * 1024];
    open_victim(w);
    append_hello(&m, 1, 1);
    dial_as(&m, &w->sides[0], b);
    link_world_wait(w, &b->ups, 2);
    assert_int_equal(uv_read_stop((uv_stream_t *)&m.conn->tcp), 0);
    struct err err = {0};
    size_t sent = 0;
    while (is_ok(links_send(b->links, 1, LINK_TYPE_FIRST, SPAN(block), &err))) {
        sent += sizeof block;
        uv_run(&w->loop, UV_RUN_NOWAIT);
        assert_true(sent < 64 * (size_t)LIMIT_CONN_WRITE_QUEUE);
    }
    assert_int_equal(err.code, ERR_BUSY);
    link_world_wait(w, &b->downs, 1);
    assert_int_equal(b->why, ERR_BUSY);
    assert_int_equal(b->refusals, 1);
    assert_int_equal(b->gones, 0);
    assert_others_live(w);
    close_mock(&m);
}

/* TCP is alive, the peer's process is not: a paused virtual machine. */
static void test_silence_is_cut(void **state) {
    struct world *w = *state;
    struct side *b = &w->sides[1];
    struct mock m = {0};
    w->silence_ms = 100;
    open_victim(w);
    append_hello(&m, 1, 1);
    dial_as(&m, &w->sides[0], b);
    link_world_wait(w, &b->downs, 1);
    assert_int_equal(b->ups, 2);
    assert_int_equal(b->why, ERR_TIMEOUT);
    assert_int_equal(b->gones, 0);
    assert_true(m.frames > 1); /* b pinged it meanwhile: its own frames are no sign of life */
    assert_others_live(w);
    close_mock(&m);
}

static void test_late_bytes_of_an_old_connection_do_not_count(void **state) {
    struct world *w = *state;
    struct side *b = &w->sides[1];
    struct mock old = {0};
    struct mock new = {0};
    open_victim(w);
    append_hello(&old, 1, 1);
    dial_as(&old, &w->sides[0], b);
    link_world_wait(w, &b->ups, 2);
    append_hello(&new, 1, 2);
    dial_as(&new, &w->sides[0], b);
    link_world_wait(w, &b->ups, 3);
    if (old.conn != NULL) {
        err_ignore(net_send(old.conn, LINK_TYPE_FIRST, 0, span_str("old"), NULL), "late bytes");
    }
    assert_true(is_ok(net_send(new.conn, LINK_TYPE_FIRST, 0, span_str("new"), NULL)));
    link_world_wait(w, &b->frames, 1);
    link_world_wait(w, &old.closes, 1);
    assert_string_equal(buf_cstr(&b->received), "new");
    assert_int_equal(b->downs, 1);
    assert_int_equal(b->gones, 0);
    close_mock(&old);
    close_mock(&new);
}

static void count_line(void *data, enum log_level level, const char *line) {
    (void)level;
    *(unsigned *)data += strstr(line, "link:") != NULL;
}

static void test_the_same_trouble_is_logged_once(void **state) {
    struct world *w = *state;
    struct side *a = &w->sides[0];
    struct side *b = &w->sides[1];
    unsigned lines = 0;
    link_world_open(a, 7);
    link_world_open(b, 7);
    log_set_sink(count_line, &lines);
    link_world_know(a, b); /* b does not know a, which tries again and again */
    link_world_wait(w, &b->refusals, 5);
    link_world_wait(w, &a->refusals, 5);
    log_set_sink(NULL, NULL);
    assert_int_equal(lines, 2); /* one of each */
}

#define LINK_TEST(f) cmocka_unit_test_setup_teardown(f, link_world_setup, link_world_teardown)

int main(void) {
    signal(SIGPIPE, SIG_IGN); /* as process_harden does */
    const struct CMUnitTest tests[] = {
        LINK_TEST(test_bad_frames_end_the_connection),
        LINK_TEST(test_garbage_below_tls_ends_the_connection),
        LINK_TEST(test_stalls_in_the_handshake_have_a_deadline),
        LINK_TEST(test_stalls_before_hello_have_a_deadline),
        LINK_TEST(test_silent_acceptor_has_a_deadline),
        LINK_TEST(test_half_open_connections_are_bounded),
        LINK_TEST(test_connections_without_hello_are_bounded),
        LINK_TEST(test_a_peer_that_does_not_read_is_cut),
        LINK_TEST(test_silence_is_cut),
        LINK_TEST(test_late_bytes_of_an_old_connection_do_not_count),
        LINK_TEST(test_the_same_trouble_is_logged_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
