/* Links between replicas that mean well; every wait is for an event.
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

static void test_frames_both_ways(void **state) {
    struct world *w = *state;
    struct side *a = &w->sides[0];
    struct side *b = &w->sides[1];
    struct err err;
    link_world_open(a, 7);
    link_world_open(b, 7);
    assert_int_equal(links_send(a->links, 2, LINK_TYPE_FIRST, SPAN("x"), &err).code,
                     ERR_UNAVAILABLE);
    link_world_join(w, a, b);
    assert_int_equal(a->version, 12);
    assert_int_equal(b->version, 11);
    assert_true(is_ok(links_send(a->links, 2, LINK_TYPE_FIRST, span_str("one "), &err)));
    assert_true(is_ok(links_send(a->links, 2, LINK_TYPE_FIRST, span_str("two"), &err)));
    assert_true(is_ok(links_send(b->links, 1, LINK_TYPE_FIRST, span_str("back"), &err)));
    link_world_wait(w, &b->frames, 2);
    link_world_wait(w, &a->frames, 1);
    assert_string_equal(buf_cstr(&b->received), "one two");
    assert_string_equal(buf_cstr(&a->received), "back");
}

/* The dialer pins another key than the one that answers; then the other way round. */
static void test_wrong_pin_is_refused(void **state) {
    struct world *w = *state;
    struct side *a = &w->sides[0];
    struct side *b = &w->sides[1];
    link_world_open(a, 7);
    link_world_open(b, 7);
    struct span wrong = buf_span(&w->sides[2].spki);
    link_world_know(b, a);
    assert_true(is_ok(links_set_peer(a->links, 2, "127.0.0.1", links_port(b->links), wrong, NULL)));
    link_world_wait(w, &a->refusals, 1);
    assert_int_equal(a->why, ERR_TLS);
    links_remove_peer(a->links, 2);
    links_remove_peer(b->links, 1);
    unsigned before = b->refusals;
    link_world_know(a, b);
    assert_true(is_ok(links_set_peer(b->links, 1, "127.0.0.1", 1, wrong, NULL)));
    link_world_wait(w, &b->refusals, before + 1);
    assert_int_equal(b->why, ERR_TLS);
    assert_int_equal(a->ups + b->ups, 0);
}

static void test_unknown_dialer_is_refused(void **state) {
    struct world *w = *state;
    link_world_open(&w->sides[0], 7);
    link_world_open(&w->sides[1], 7);
    link_world_know(&w->sides[0], &w->sides[1]);
    link_world_wait(w, &w->sides[1].refusals, 1);
    assert_int_equal(w->sides[1].ups, 0);
}

static void test_other_cluster_is_refused(void **state) {
    struct world *w = *state;
    struct side *a = &w->sides[0];
    struct side *b = &w->sides[1];
    link_world_open(a, 7);
    link_world_open(b, 8);
    link_world_know(a, b);
    link_world_know(b, a);
    link_world_wait(w, &b->refusals, 1);
    assert_int_equal(b->why, ERR_DENIED);
    assert_int_equal(a->ups + b->ups, 0);
}

/* A quorum from before a recovery wakes up. */
static void test_other_epoch_is_refused(void **state) {
    struct world *w = *state;
    struct side *a = &w->sides[0];
    struct side *b = &w->sides[1];
    link_world_open_in_epoch(a, 7, 1);
    link_world_open_in_epoch(b, 7, 2);
    link_world_know(a, b);
    link_world_know(b, a);
    link_world_wait(w, &b->refusals, 1);
    assert_int_equal(b->why, ERR_DENIED);
    assert_int_equal(a->ups + b->ups, 0);
}

/* Our own cut says nothing about the peer; its end of the connection does, once. */
static void test_gone_is_told_from_down(void **state) {
    struct world *w = *state;
    struct side *a = &w->sides[0];
    struct side *b = &w->sides[1];
    link_world_open(a, 7);
    link_world_open(b, 7);
    link_world_join(w, a, b);
    links_remove_peer(b->links, 1);
    assert_int_equal(b->downs, 1);
    assert_int_equal(b->gones, 0);
    link_world_wait(w, &a->gones, 1);
    assert_int_equal(a->downs, 1);
    link_world_know(b, a);
    link_world_wait(w, &a->ups, 2);
    link_world_wait(w, &b->ups, 2);
    link_world_close(b);
    link_world_wait(w, &a->gones, 2);
    assert_int_equal(a->downs, 2);
}

static void test_reconnects_after_the_peer_was_gone(void **state) {
    struct world *w = *state;
    struct side *a = &w->sides[0];
    struct side *b = &w->sides[1];
    link_world_open(a, 7);
    link_world_open(b, 7);
    link_world_join(w, a, b);
    links_remove_peer(b->links, 1);
    assert_int_equal(b->downs, 1);
    link_world_wait(w, &a->downs, 1);
    assert_false(links_is_up(a->links, 2));
    link_world_know(b, a);
    link_world_wait(w, &a->ups, 2);
    link_world_wait(w, &b->ups, 2);
    assert_true(is_ok(links_send(a->links, 2, LINK_TYPE_FIRST, span_str("again"), NULL)));
    link_world_wait(w, &b->frames, 1);
}

/* A second dialer with the same key and id, as after a cut that only one end noticed: the acceptor
 * takes the connection with the newer epoch and drops what still comes over the old one. */
static void test_newer_connection_supersedes(void **state) {
    struct world *w = *state;
    struct side *a = &w->sides[0];
    struct side *b = &w->sides[1];
    link_world_open(a, 7);
    link_world_open(b, 7);
    link_world_join(w, a, b);
    struct side twin = {.world = w, .id = a->id};
    key_share(&a->key, &twin.key);
    buf_append_span(&twin.certificate, buf_span(&a->certificate));
    link_world_open(&twin, 7);
    struct span b_key = buf_span(&b->spki);
    assert_true(is_ok(links_set_peer(a->links, 2, "127.0.0.1", 1, b_key, NULL)));
    link_world_know(&twin, b);
    link_world_wait(w, &b->refusals, 1); /* epoch 1 again: not newer */
    assert_int_equal(b->ups, 1);
    link_world_wait(w, &b->ups, 2); /* its next dial says epoch 2 */
    if (links_is_up(a->links, 2)) {
        err_ignore(links_send(a->links, 2, LINK_TYPE_FIRST, span_str("old"), NULL), "late bytes");
    }
    link_world_wait(w, &twin.ups, 1);
    assert_int_equal(b->downs, 1);
    assert_true(is_ok(links_send(twin.links, 2, LINK_TYPE_FIRST, span_str("new"), NULL)));
    link_world_wait(w, &b->frames, 1);
    assert_string_equal(buf_cstr(&b->received), "new");
    link_world_close(&twin);
    link_world_close(a);
    link_world_close(b);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    key_deinit(&twin.key);
    buf_deinit(&twin.certificate);
}

static void test_set_peer_is_checked(void **state) {
    struct world *w = *state;
    struct side *a = &w->sides[0];
    link_world_open(a, 7);
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

#define LINK_TEST(f) cmocka_unit_test_setup_teardown(f, link_world_setup, link_world_teardown)

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
