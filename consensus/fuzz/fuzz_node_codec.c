/* Fuzz: a peer's bytes into a voter of three and into an empty joiner, before and after an election
 * timeout. Nothing may crash, and no leader may come out of it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "consensus/node.h"
#include "lib/base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t now = 1000;

static uint64_t monotonic(void *data) {
    (void)data;
    return now;
}

static int64_t unix_time(void *data) {
    (void)data;
    return 0;
}

static void fill_random(void *data, void *out, size_t size) {
    (void)data;
    for (size_t i = 0; i < size; i++) {
        ((uint8_t *)out)[i] = (uint8_t)i;
    }
}

static void drop_line(void *data, enum log_level level, const char *line) {
    (void)data;
    (void)level;
    (void)line;
}

static void on_send(void *data, uint64_t peer, struct span message) {
    (void)data;
    (void)peer;
    (void)message;
}

static void on_apply(void *data, uint64_t index, uint64_t term, struct span command) {
    (void)data;
    (void)index;
    (void)term;
    (void)command;
}

static void on_configured(void *data, uint64_t index, const struct node_member *members,
                          size_t count) {
    (void)data;
    (void)index;
    (void)members;
    (void)count;
}

static void on_save(void *data, struct buf *out) {
    (void)data;
    buf_append_u8(out, 1);
}

static RESULT on_load(void *data, struct span bytes, uint64_t index, struct err *err) {
    (void)data;
    (void)bytes;
    (void)index;
    (void)err;
    return OK;
}

static void on_role(void *data, enum node_role role, uint64_t term, uint64_t leader) {
    (void)data;
    (void)role;
    (void)term;
    (void)leader;
}

static void feed(struct node *node, struct span bytes) {
    struct err err;
    err_ignore(node_receive(node, 1, bytes, &err), "any answer will do");
    now += 10000;
    node_tick(node);
    err_ignore(node_receive(node, 3, bytes, &err), "any answer will do");
    CHECK(node_role(node) != NODE_LEADER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct host host = {NULL, monotonic, unix_time, fill_random};
    static const struct node_io io = {NULL,    on_send, on_apply, on_configured,
                                      on_save, on_load, on_role};
    static const struct node_member members[] = {{1, NODE_VOTER}, {2, NODE_VOTER}, {3, NODE_VOTER}};
    struct node *voter;
    struct node *joiner;
    log_set_sink(drop_line, NULL);
    if (!is_ok(node_new(2, &io, &host, &node_options_default, &voter, NULL)) ||
        !is_ok(node_new(9, &io, &host, &node_options_default, &joiner, NULL)) ||
        !is_ok(node_bootstrap(voter, members, 3, NULL))) {
        abort();
    }
    node_join(joiner);
    feed(voter, span_of(data, size));
    feed(joiner, span_of(data, size));
    node_free(voter);
    node_free(joiner);
    return 0;
}
