/* Loopback tests: real sockets, one loop, several replicas' links; every wait is for an event.
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

#include "consensus/link.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/crypto/cert.h"
#include "lib/net/net_conn.h"

#define SIDES 3

struct side {
    struct world *world;
    uint64_t id;
    struct key key;
    struct buf certificate, spki;
    struct links *links;
    unsigned ups, downs, gones, frames, refusals;
    enum err_code why;
    uint64_t version;
    struct buf received;
};

struct world {
    uv_loop_t loop;
    struct side sides[SIDES];
};

static void on_frame(void *data, uint64_t peer, uint8_t type, struct span body) {
    struct side *s = data;
    assert_int_not_equal(peer, s->id);
    assert_int_equal(type, LINK_TYPE_FIRST);
    s->frames++;
    buf_append_span(&s->received, body);
}

static void on_up(void *data, uint64_t peer, uint64_t version) {
    struct side *s = data;
    (void)peer;
    s->ups++;
    s->version = version;
}

static void on_down(void *data, uint64_t peer, bool is_gone) {
    struct side *s = data;
    (void)peer;
    s->downs++;
    s->gones += is_gone;
}

static void on_refused(void *data, uint64_t peer, const struct err *why) {
    struct side *s = data;
    (void)peer;
    s->refusals++;
    s->why = why->code;
}

static uint64_t handshake_ms, hello_ms, silence_ms; /* of sides that are opened; 0: default */

static void open_side_in_epoch(struct side *s, uint8_t cluster, uint64_t epoch) {
    struct links_config config = {.loop = &s->world->loop,
                                  .host = &host_system,
                                  .id = s->id,
                                  .cluster = {cluster},
                                  .epoch = epoch,
                                  .version = 10 + s->id,
                                  .key = &s->key,
                                  .certificate = buf_span(&s->certificate),
                                  .listen_host = "127.0.0.1",
                                  .handshake_ms = handshake_ms,
                                  .hello_ms = hello_ms,
                                  .silence_ms = silence_ms,
                                  .calls = {on_frame, on_up, on_down, on_refused},
                                  .data = s};
    assert_true(is_ok(links_new(&config, &s->links, NULL)));
}

static void open_side(struct side *s, uint8_t cluster) {
    open_side_in_epoch(s, cluster, 1);
}

static int setup(void **state) {
    handshake_ms = hello_ms = silence_ms = 0;
    struct world *w = calloc(1, sizeof *w);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    for (size_t i = 0; i < SIDES; i++) {
        struct side *s = &w->sides[i];
        s->world = w;
        s->id = i + 1;
        assert_true(is_ok(key_generate(KEY_P256, &s->key, NULL)));
        assert_true(is_ok(cert_self_signed(&s->key, &s->certificate, NULL)));
        key_spki(&s->key, &s->spki);
    }
    *state = w;
    return 0;
}

static void close_side(struct side *s) {
    if (s->links != NULL) {
        links_close(s->links, NULL, NULL);
        s->links = NULL;
    }
}

static int teardown(void **state) {
    struct world *w = *state;
    for (size_t i = 0; i < SIDES; i++) {
        close_side(&w->sides[i]);
    }
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    for (size_t i = 0; i < SIDES; i++) {
        key_deinit(&w->sides[i].key);
        buf_deinit(&w->sides[i].certificate);
        buf_deinit(&w->sides[i].spki);
        buf_deinit(&w->sides[i].received);
    }
    free(w);
    return 0;
}

static void know(struct side *a, const struct side *b) {
    assert_true(is_ok(links_set_peer(a->links, b->id, "127.0.0.1", links_port(b->links),
                                     buf_span(&b->spki), NULL)));
}

static void wait_until(struct world *w, const unsigned *counter, unsigned value) {
    while (*counter < value) {
        assert_int_not_equal(uv_run(&w->loop, UV_RUN_ONCE), 0);
    }
}

static void join(struct world *w, struct side *a, struct side *b) {
    unsigned a_ups = a->ups + 1;
    unsigned b_ups = b->ups + 1;
    know(a, b);
    know(b, a);
    wait_until(w, &a->ups, a_ups);
    wait_until(w, &b->ups, b_ups);
}

static void test_frames_both_ways(void **state) {
    struct world *w = *state;
    struct side *a = &w->sides[0];
    struct side *b = &w->sides[1];
    struct err err;
    open_side(a, 7);
    open_side(b, 7);
    assert_int_equal(links_send(a->links, 2, LINK_TYPE_FIRST, SPAN("x"), &err).code,
                     ERR_UNAVAILABLE);
    join(w, a, b);
    assert_int_equal(a->version, 12);
    assert_int_equal(b->version, 11);
    assert_true(is_ok(links_send(a->links, 2, LINK_TYPE_FIRST, span_str("one "), &err)));
    assert_true(is_ok(links_send(a->links, 2, LINK_TYPE_FIRST, span_str("two"), &err)));
    assert_true(is_ok(links_send(b->links, 1, LINK_TYPE_FIRST, span_str("back"), &err)));
    wait_until(w, &b->frames, 2);
    wait_until(w, &a->frames, 1);
    assert_string_equal(buf_cstr(&b->received), "one two");
    assert_string_equal(buf_cstr(&a->received), "back");
}

/* The dialer pins another key than the one that answers; then the other way round. */
static void test_wrong_pin_is_refused(void **state) {
    struct world *w = *state;
    struct side *a = &w->sides[0];
    struct side *b = &w->sides[1];
    open_side(a, 7);
    open_side(b, 7);
    struct span wrong = buf_span(&w->sides[2].spki);
    know(b, a);
    assert_true(is_ok(links_set_peer(a->links, 2, "127.0.0.1", links_port(b->links), wrong, NULL)));
    wait_until(w, &a->refusals, 1);
    assert_int_equal(a->why, ERR_TLS);
    links_remove_peer(a->links, 2);
    links_remove_peer(b->links, 1);
    unsigned before = b->refusals;
    know(a, b);
    assert_true(is_ok(links_set_peer(b->links, 1, "127.0.0.1", 1, wrong, NULL)));
    wait_until(w, &b->refusals, before + 1);
    assert_int_equal(b->why, ERR_TLS);
    assert_int_equal(a->ups + b->ups, 0);
}

static void test_unknown_dialer_is_refused(void **state) {
    struct world *w = *state;
    open_side(&w->sides[0], 7);
    open_side(&w->sides[1], 7);
    know(&w->sides[0], &w->sides[1]);
    wait_until(w, &w->sides[1].refusals, 1);
    assert_int_equal(w->sides[1].ups, 0);
}

static void test_other_cluster_is_refused(void **state) {
    struct world *w = *state;
    struct side *a = &w->sides[0];
    struct side *b = &w->sides[1];
    open_side(a, 7);
    open_side(b, 8);
    know(a, b);
    know(b, a);
    wait_until(w, &b->refusals, 1);
    assert_int_equal(b->why, ERR_DENIED);
    assert_int_equal(a->ups + b->ups, 0);
}

/* A quorum from before a recovery wakes up. */
static void test_other_epoch_is_refused(void **state) {
    struct world *w = *state;
    struct side *a = &w->sides[0];
    struct side *b = &w->sides[1];
    open_side_in_epoch(a, 7, 1);
    open_side_in_epoch(b, 7, 2);
    know(a, b);
    know(b, a);
    wait_until(w, &b->refusals, 1);
    assert_int_equal(b->why, ERR_DENIED);
    assert_int_equal(a->ups + b->ups, 0);
}

/* Our own cut says nothing about the peer; its end of the connection does, once. */
static void test_gone_is_told_from_down(void **state) {
    struct world *w = *state;
    struct side *a = &w->sides[0];
    struct side *b = &w->sides[1];
    open_side(a, 7);
    open_side(b, 7);
    join(w, a, b);
    links_remove_peer(b->links, 1);
    assert_int_equal(b->downs, 1);
    assert_int_equal(b->gones, 0);
    wait_until(w, &a->gones, 1);
    assert_int_equal(a->downs, 1);
    know(b, a);
    wait_until(w, &a->ups, 2);
    wait_until(w, &b->ups, 2);
    close_side(b);
    wait_until(w, &a->gones, 2);
    assert_int_equal(a->downs, 2);
}

static void test_reconnects_after_the_peer_was_gone(void **state) {
    struct world *w = *state;
    struct side *a = &w->sides[0];
    struct side *b = &w->sides[1];
    open_side(a, 7);
    open_side(b, 7);
    join(w, a, b);
    links_remove_peer(b->links, 1);
    assert_int_equal(b->downs, 1);
    wait_until(w, &a->downs, 1);
    assert_false(links_is_up(a->links, 2));
    know(b, a);
    wait_until(w, &a->ups, 2);
    wait_until(w, &b->ups, 2);
    assert_true(is_ok(links_send(a->links, 2, LINK_TYPE_FIRST, span_str("again"), NULL)));
    wait_until(w, &b->frames, 1);
}

/* A second dialer with the same key and id, as after a cut that only one end noticed: the acceptor
 * takes the connection with the newer epoch and drops what still comes over the old one. */
static void test_newer_connection_supersedes(void **state) {
    struct world *w = *state;
    struct side *a = &w->sides[0];
    struct side *b = &w->sides[1];
    open_side(a, 7);
    open_side(b, 7);
    join(w, a, b);
    struct side twin = {.world = w, .id = a->id};
    key_share(&a->key, &twin.key);
    buf_append_span(&twin.certificate, buf_span(&a->certificate));
    open_side(&twin, 7);
    struct span b_key = buf_span(&b->spki);
    assert_true(is_ok(links_set_peer(a->links, 2, "127.0.0.1", 1, b_key, NULL)));
    know(&twin, b);
    wait_until(w, &b->refusals, 1); /* epoch 1 again: not newer */
    assert_int_equal(b->ups, 1);
    wait_until(w, &b->ups, 2); /* its next dial says epoch 2 */
    if (links_is_up(a->links, 2)) {
        err_ignore(links_send(a->links, 2, LINK_TYPE_FIRST, span_str("old"), NULL), "late bytes");
    }
    wait_until(w, &twin.ups, 1);
    assert_int_equal(b->downs, 1);
    assert_true(is_ok(links_send(twin.links, 2, LINK_TYPE_FIRST, span_str("new"), NULL)));
    wait_until(w, &b->frames, 1);
    assert_string_equal(buf_cstr(&b->received), "new");
    close_side(&twin);
    close_side(a);
    close_side(b);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    key_deinit(&twin.key);
    buf_deinit(&twin.certificate);
}

static void test_set_peer_is_checked(void **state) {
    struct world *w = *state;
    struct side *a = &w->sides[0];
    open_side(a, 7);
    struct span key = buf_span(&w->sides[1].spki);
    struct span other = buf_span(&w->sides[2].spki);
    assert_int_equal(links_set_peer(a->links, 1, "h", 1, key, NULL).code, ERR_INVALID);
    assert_int_equal(links_set_peer(a->links, 2, "127.0.0.1", 1, span_of(NULL, 0), NULL).code,
                     ERR_INVALID);
    assert_true(is_ok(links_set_peer(a->links, 2, "127.0.0.1", 1, key, NULL)));
    assert_true(is_ok(links_set_peer(a->links, 2, "127.0.0.1", 2, key, NULL)));
    assert_int_equal(links_set_peer(a->links, 2, "127.0.0.1", 1, other, NULL).code, ERR_EXISTS);
    assert_int_equal(links_set_peer(a->links, 3, "127.0.0.1", 1, key, NULL).code, ERR_EXISTS);
}

/* --- Peers that misbehave: b is the victim, and its link to c must not notice */

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
        wait_until(m->world, &m->closes, closes);
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
    open_side(b, 7);
    open_side(&w->sides[2], 7);
    join(w, b, &w->sides[2]);
    struct span key = buf_span(&w->sides[0].spki);
    assert_true(is_ok(links_set_peer(b->links, 1, "127.0.0.1", 1, key, NULL)));
}

static void assert_others_live(struct world *w) {
    struct side *b = &w->sides[1];
    struct side *other = &w->sides[2];
    unsigned frames = other->frames + 1;
    assert_true(links_is_up(b->links, 3));
    assert_true(is_ok(links_send(b->links, 3, LINK_TYPE_FIRST, span_str("x"), NULL)));
    wait_until(w, &other->frames, frames);
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
    wait_until(w, &m.closes, 1);
    wait_until(w, &b->refusals, refusals + 1);
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
    wait_until(w, &b->ups, 2);
    char garbage[] = "\x17\x03\x03\x00\x20not from this session at all....";
    uv_buf_t bytes = uv_buf_init(garbage, sizeof garbage);
    assert_int_equal(uv_try_write((uv_stream_t *)&m.conn->tcp, &bytes, 1), sizeof garbage);
    wait_until(w, &b->refusals, 1);
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
    wait_until(w, &r->closed, 1);
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
    handshake_ms = 20;
    open_victim(w);
    take_client_hello(&w->sides[0], &hello);
    assert_true(hello.size > 100);
    for (size_t n = 0; n <= hello.size; n += n < 8 || n + 8 > hello.size ? 1 : 29) {
        struct raw r;
        unsigned refusals = b->refusals;
        open_raw(w, &r, b, span_of(hello.data, n));
        wait_until(w, &b->refusals, refusals + 1);
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
    hello_ms = 40;
    open_victim(w);
    append_hello(&whole, 1, 1);
    unsigned ups = b->ups;
    for (size_t n = 0; n < whole.first.size; n += n < 12 || n + 6 > whole.first.size ? 1 : 7) {
        struct mock m = {0};
        unsigned refusals = b->refusals;
        buf_append(&m.first, whole.first.data, n);
        dial_as(&m, &w->sides[0], b);
        wait_until(w, &b->refusals, refusals + 1);
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
    hello_ms = 10;
    assert_true(is_ok(net_listen(&w->loop, &config, &listener, NULL)));
    open_side(a, 7);
    assert_true(is_ok(links_set_peer(a->links, 2, "127.0.0.1", net_listener_port(listener),
                                     buf_span(&w->sides[1].spki), NULL)));
    wait_until(w, &m.closes, 2);
    wait_until(w, &a->refusals, 2);
    assert_int_equal(a->why, ERR_TIMEOUT);
    assert_int_equal(a->ups, 0);
    close_side(a);
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
        wait_until(w, &raws[i].connected, 1);
    }
    wait_until(w, &b->refusals, COUNT - LIMIT_LINK_HALF_OPEN);
    assert_int_equal(b->why, ERR_BUSY);
    open_side(&w->sides[0], 7);
    know(&w->sides[0], b);
    wait_until(w, &w->sides[0].ups, 1);
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
        wait_until(w, &mocks[i].readys, 1);
    }
    wait_until(w, &b->refusals, COUNT - LIMIT_LINK_PENDING);
    assert_int_equal(b->why, ERR_BUSY);
    assert_int_equal(b->refusals, COUNT - LIMIT_LINK_PENDING);
    open_side(&w->sides[0], 7);
    know(&w->sides[0], b);
    wait_until(w, &w->sides[0].ups, 1);
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
    wait_until(w, &b->ups, 2);
    assert_int_equal(uv_read_stop((uv_stream_t *)&m.conn->tcp), 0);
    struct err err = {0};
    size_t sent = 0;
    while (is_ok(links_send(b->links, 1, LINK_TYPE_FIRST, SPAN(block), &err))) {
        sent += sizeof block;
        uv_run(&w->loop, UV_RUN_NOWAIT);
        assert_true(sent < 64 * (size_t)LIMIT_CONN_WRITE_QUEUE);
    }
    assert_int_equal(err.code, ERR_BUSY);
    wait_until(w, &b->downs, 1);
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
    silence_ms = 100;
    open_victim(w);
    append_hello(&m, 1, 1);
    dial_as(&m, &w->sides[0], b);
    wait_until(w, &b->downs, 1);
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
    wait_until(w, &b->ups, 2);
    append_hello(&new, 1, 2);
    dial_as(&new, &w->sides[0], b);
    wait_until(w, &b->ups, 3);
    if (old.conn != NULL) {
        err_ignore(net_send(old.conn, LINK_TYPE_FIRST, 0, span_str("old"), NULL), "late bytes");
    }
    assert_true(is_ok(net_send(new.conn, LINK_TYPE_FIRST, 0, span_str("new"), NULL)));
    wait_until(w, &b->frames, 1);
    wait_until(w, &old.closes, 1);
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
    open_side(a, 7);
    open_side(b, 7);
    log_set_sink(count_line, &lines);
    know(a, b); /* b does not know a, which tries again and again */
    wait_until(w, &b->refusals, 5);
    wait_until(w, &a->refusals, 5);
    log_set_sink(NULL, NULL);
    assert_int_equal(lines, 2); /* one of each */
}

#define LINK_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    signal(SIGPIPE, SIG_IGN); /* as process_harden does */
    const struct CMUnitTest tests[] = {
        LINK_TEST(test_frames_both_ways),
        LINK_TEST(test_wrong_pin_is_refused),
        LINK_TEST(test_unknown_dialer_is_refused),
        LINK_TEST(test_other_cluster_is_refused),
        LINK_TEST(test_other_epoch_is_refused),
        LINK_TEST(test_gone_is_told_from_down),
        LINK_TEST(test_reconnects_after_the_peer_was_gone),
        LINK_TEST(test_newer_connection_supersedes),
        LINK_TEST(test_set_peer_is_checked),
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
