/* A world of links: see link_world.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/test/link_world.h"
#include "lib/crypto/cert.h"

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

void link_world_open_in_epoch(struct side *s, uint8_t cluster, uint64_t epoch) {
    struct links_config config = {.loop = &s->world->loop,
                                  .host = &host_system,
                                  .id = s->id,
                                  .cluster = {cluster},
                                  .epoch = epoch,
                                  .version = 10 + s->id,
                                  .key = &s->key,
                                  .certificate = buf_span(&s->certificate),
                                  .listen_host = "127.0.0.1",
                                  .handshake_ms = s->world->handshake_ms,
                                  .hello_ms = s->world->hello_ms,
                                  .silence_ms = s->world->silence_ms,
                                  .calls = {on_frame, on_up, on_down, on_refused},
                                  .data = s};
    assert_true(is_ok(links_new(&config, &s->links, NULL)));
}

void link_world_open(struct side *s, uint8_t cluster) {
    link_world_open_in_epoch(s, cluster, 1);
}

int link_world_setup(void **state) {
    struct world *w = calloc(1, sizeof *w);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    for (size_t i = 0; i < LINK_WORLD_SIDES; i++) {
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

void link_world_close(struct side *s) {
    if (s->links != NULL) {
        links_close(s->links, NULL, NULL);
        s->links = NULL;
    }
}

int link_world_teardown(void **state) {
    struct world *w = *state;
    for (size_t i = 0; i < LINK_WORLD_SIDES; i++) {
        link_world_close(&w->sides[i]);
    }
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    for (size_t i = 0; i < LINK_WORLD_SIDES; i++) {
        key_deinit(&w->sides[i].key);
        buf_deinit(&w->sides[i].certificate);
        buf_deinit(&w->sides[i].spki);
        buf_deinit(&w->sides[i].received);
    }
    free(w);
    return 0;
}

void link_world_know(struct side *a, const struct side *b) {
    assert_true(is_ok(links_set_peer(a->links, b->id, "127.0.0.1", links_port(b->links),
                                     buf_span(&b->spki), NULL)));
}

void link_world_wait(struct world *w, const unsigned *counter, unsigned value) {
    while (*counter < value) {
        assert_int_not_equal(uv_run(&w->loop, UV_RUN_ONCE), 0);
    }
}

void link_world_join(struct world *w, struct side *a, struct side *b) {
    unsigned a_ups = a->ups + 1;
    unsigned b_ups = b->ups + 1;
    link_world_know(a, b);
    link_world_know(b, a);
    link_world_wait(w, &a->ups, a_ups);
    link_world_wait(w, &b->ups, b_ups);
}
