/* Node snapshots: taking them, sending them in chunks, putting them together, installing them.
 *
 *   library: INSTALL_SNAPSHOT ──> chunk 0, 1, 2, 3 (window) ──> acknowledged size ──> 4, 5, ...
 *   receiver: only from the leader of its term, in order ──> whole ──> library ──> snapshot_load
 *
 * A lost chunk or acknowledgement: after half an election timeout without progress the sender goes
 * back to what was acknowledged. The receiver's answer to a chunk it cannot use is the size that it
 * has. The library repeats its own message when it hears nothing; a transfer that still progresses
 * goes on then.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "consensus/node_internal.h"
#include "lib/base/mem.h"

#define MIN(a, b) ((a) < (b) ? (a) : (b))

static struct node_snapshot *snapshot_new(void) {
    struct node_snapshot *s = mem_zalloc(sizeof *s);
    s->references = 1;
    return s;
}

void node__snapshot_unref(struct node_snapshot *s) {
    if (s != NULL && --s->references == 0) {
        buf_deinit(&s->data);
        mem_free(s);
    }
}

static struct node_snapshot *snapshot_ref(struct node_snapshot *s) {
    s->references++;
    return s;
}

/* --- Taking --- */

/* After so many entries, or so many bytes. */
static bool is_due(const struct node *node) {
    uint64_t last = node->snapshot == NULL ? 0 : node->snapshot->index;
    if (node->applied == last || node->config_index == 0) {
        return false;
    }
    uint64_t bytes =
        node_log_bytes_after(&node->log, last) - node_log_bytes_after(&node->log, node->applied);
    return node->applied - last >= node->options.snapshot_threshold || bytes >= LIMIT_SNAPSHOT_LOG;
}

static void report_taken(struct node *node) {
    struct raft_event event = {.type = RAFT_SNAPSHOT};
    event.snapshot.metadata.index = node->snapshot->index;
    event.snapshot.metadata.term = node->snapshot->term;
    event.snapshot.metadata.configuration_index = node->snapshot->config_index;
    node_config_to_raft(&node->snapshot->config, &event.snapshot.metadata.configuration);
    event.snapshot.trailing = node->options.snapshot_trailing;
    node__turn(node, &event);
}

struct node_snapshot *node__snapshot_save(struct node *node) {
    struct node_snapshot *s = snapshot_new();
    node->io->snapshot_save(node->io->data, &s->data);
    CHECK(s->data.size > 0 && s->data.size <= LIMIT_SNAPSHOT);
    return s;
}

bool node__snapshot_take(struct node *node) {
    if (!is_due(node)) {
        return false;
    }
    struct node_snapshot *s = node__snapshot_save(node);
    s->index = node->applied;
    s->term = node_log_term(&node->log, node->applied);
    s->config = node->config;
    s->config_index = node->config_index;
    node__snapshot_unref(node->snapshot);
    node->snapshot = s;
    report_taken(node);
    if (node->applied > node->options.snapshot_trailing) {
        node_log_compact(&node->log, node->applied - node->options.snapshot_trailing);
    }
    return true;
}

/* --- Sending --- */

void node__outgoing_stop(struct node_outgoing *out) {
    node__snapshot_unref(out->snapshot);
    *out = (struct node_outgoing){0};
}

static void fill_members(const struct node_config *config, struct node_wire_member *members,
                         struct wire_list *out) {
    for (size_t i = 0; i < config->count; i++) {
        members[i] =
            (struct node_wire_member){config->members[i].id, (uint8_t)config->members[i].role};
    }
    *out = (struct wire_list){members, config->count};
}

static void send_chunk(struct node *node, struct node_peer *peer) {
    struct node_outgoing *out = &peer->out;
    const struct node_snapshot *s = out->snapshot;
    struct node_wire_member members[LIMIT_MEMBERS];
    struct node_message m = {.kind = NODE_KIND_CHUNK};
    struct node_chunk *c = &m.body.chunk;
    size_t size = MIN(s->data.size - out->sent, (size_t)LIMIT_SNAPSHOT_CHUNK);
    *c = (struct node_chunk){.term = out->term,
                             .transfer = out->transfer,
                             .last_index = s->index,
                             .last_term = s->term,
                             .config_index = s->config_index,
                             .version = out->version,
                             .total = s->data.size,
                             .offset = out->sent,
                             .data = span_of(s->data.data + out->sent, size)};
    fill_members(&s->config, members, &c->members);
    out->sent += size;
    node__send(node, peer->id, &m);
}

static void pump(struct node *node, struct node_peer *peer) {
    struct node_outgoing *out = &peer->out;
    while (out->sent < out->snapshot->data.size &&
           out->sent - out->acked < (size_t)NODE_CHUNK_WINDOW * LIMIT_SNAPSHOT_CHUNK) {
        send_chunk(node, peer);
    }
}

static uint64_t retry_ms(const struct node *node) {
    return node->options.election_timeout_ms / 2 + 1;
}

void node__snapshot_start(struct node *node, const struct raft_message *message) {
    const struct raft_install_snapshot *s = &message->install_snapshot;
    struct node_peer *peer = node__peer(node, message->server_id, true);
    struct node_outgoing *out = &peer->out;
    CHECK(node->snapshot != NULL && node->snapshot->index == s->last_index &&
          node->snapshot->term == s->last_term);
    if (out->snapshot != NULL && out->term == s->term &&
        node->now_ms - out->progress_ms < 4 * retry_ms(node)) {
        return;
    }
    node__outgoing_stop(out);
    *out = (struct node_outgoing){.snapshot = snapshot_ref(node->snapshot),
                                  .transfer = ++node->transfers,
                                  .term = s->term,
                                  .version = s->version,
                                  .progress_ms = node->now_ms};
    pump(node, peer);
}

void node__snapshot_ack(struct node *node, struct node_peer *peer, const struct node_chunk_ack *a) {
    struct node_outgoing *out = &peer->out;
    if (out->snapshot == NULL || a->transfer != out->transfer ||
        a->size > out->snapshot->data.size) {
        return;
    }
    if (a->size < out->acked) { /* the receiver had to drop what it had */
        out->sent = (size_t)a->size;
    } else if (a->size > out->acked) {
        out->progress_ms = node->now_ms;
    }
    out->acked = (size_t)a->size;
    if (out->sent < out->acked) {
        out->sent = out->acked;
    }
    if (out->acked == out->snapshot->data.size) {
        node__outgoing_stop(out);
        return;
    }
    pump(node, peer);
}

void node__snapshot_tick(struct node *node) {
    for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
        struct node_outgoing *out = &node->peers[i].out;
        if (out->snapshot == NULL || node->now_ms - out->retry_from_ms < retry_ms(node) ||
            node->now_ms - out->progress_ms < retry_ms(node)) {
            continue;
        }
        out->retry_from_ms = node->now_ms;
        out->sent = out->acked;
        pump(node, &node->peers[i]);
    }
}

uint64_t node__snapshot_deadline(const struct node *node) {
    uint64_t deadline = UINT64_MAX;
    for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
        const struct node_outgoing *out = &node->peers[i].out;
        if (out->snapshot != NULL) {
            uint64_t from =
                out->retry_from_ms > out->progress_ms ? out->retry_from_ms : out->progress_ms;
            deadline = MIN(deadline, from + retry_ms(node));
        }
    }
    return deadline;
}

/* --- Receiving --- */

void node__incoming_drop(struct node_incoming *in) {
    buf_deinit(&in->data);
    *in = (struct node_incoming){0};
}

static void send_ack(struct node *node, uint64_t peer, uint64_t transfer, size_t size) {
    struct node_message m = {.kind = NODE_KIND_CHUNK_ACK};
    m.body.chunk_ack = (struct node_chunk_ack){transfer, size};
    node__send(node, peer, &m);
}

/* One assembly at a time: of the leader that we follow. */
static void begin(struct node *node, struct node_peer *peer, const struct node_chunk *c) {
    for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
        node__incoming_drop(&node->peers[i].in);
    }
    peer->in.transfer = c->transfer;
    peer->in.term = c->term;
    peer->in.index = c->last_index;
}

static bool is_next(const struct node_incoming *in, const struct node_chunk *c) {
    return in->transfer == c->transfer && in->term == c->term && in->index == c->last_index &&
           in->data.size == c->offset;
}

static RESULT complete(struct node *node, struct node_peer *peer, const struct node_chunk *c,
                       struct err *err) {
    struct node_snapshot *s = snapshot_new();
    s->index = c->last_index;
    s->term = c->last_term;
    s->config_index = c->config_index;
    CHECK(node_config_from_wire(&c->members, &s->config));
    s->data = peer->in.data;
    peer->in.data = (struct buf){0};
    node__incoming_drop(&peer->in);
    struct result r = node__receive_snapshot(node, peer->id, c, s, err);
    node__snapshot_unref(s);
    return r;
}

RESULT node__snapshot_chunk(struct node *node, struct node_peer *peer, const struct node_chunk *c,
                            struct err *err) {
    struct node_incoming *in = &peer->in;
    if (c->offset == 0 && (in->transfer != c->transfer || in->term != c->term)) {
        begin(node, peer, c);
    }
    if (!is_next(in, c)) {
        send_ack(node, peer->id, c->transfer, in->transfer == c->transfer ? in->data.size : 0);
        return OK;
    }
    buf_append_span(&in->data, c->data);
    send_ack(node, peer->id, c->transfer, in->data.size);
    return in->data.size == c->total ? complete(node, peer, c, err) : OK;
}

/* --- Installing --- */

void node__snapshot_install(struct node *node, struct raft_update *update) {
    struct node_snapshot *s = node->arriving;
    CHECK(s != NULL && s->index == update->snapshot.metadata.index && s->index > node->applied);
    raft_configuration_close(&update->snapshot.metadata.configuration);
    raft_free(update->snapshot.chunk.base);
    node_log_reset(&node->log, s->index, s->term);
    node->applied = s->index;
    node->config = s->config;
    node->config_index = s->config_index;
    node__snapshot_unref(node->snapshot);
    node->snapshot = snapshot_ref(s);
    node__snapshot_unref(node->loading);
    node->loading = snapshot_ref(s);
}

bool node__snapshot_load(struct node *node) {
    struct node_snapshot *s = node->loading;
    struct err err;
    if (s == NULL) {
        return false;
    }
    node->loading = NULL;
    if (is_ok(node->io->snapshot_load(node->io->data, buf_span(&s->data), s->index, &err))) {
        node->io->configured(node->io->data, s->config_index, s->config.members, s->config.count);
    } else {
        node_freeze(node, err.text);
    }
    node__snapshot_unref(s);
    return true;
}
