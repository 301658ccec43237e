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
#include "lib/base/mem.h"
#include "lib/crypto/cert.h"

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
                                  .calls = {on_frame, on_up, on_down, on_refused},
                                  .data = s};
    assert_true(is_ok(links_new(&config, &s->links, NULL)));
}

static void open_side(struct side *s, uint8_t cluster) {
    open_side_in_epoch(s, cluster, 1);
}

static int setup(void **state) {
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
