/* Node snapshots: taking them, sending them in chunks, putting them together, installing them.
 *
 *   library: INSTALL_SNAPSHOT ──> chunk 0, 1, 2, 3 (window) ──> acknowledged size ──> 4, 5, ...
 *   receiver: only from the leader of its term, in order ──> whole ──> library ──> snapshot_load
 *
 * The receiver's answer to a chunk that it cannot use is the size that it has: the sender goes back
 * there, once for all chunks behind a lost one. Half an election timeout without progress: one
 * chunk from where it was acknowledged. A new connection: the receiver says at once what it has,
 * and the transfer goes on there (transfer ids are unique in the sender's life, and ids die with
 * processes). The library repeats its own message when it hears nothing; a transfer that progresses
 * goes on then.
 *
 * Memory: a receiver puts one snapshot together, of the leader that it follows. A leader sends
 * LIMIT_TRANSFERS at a time, by reference, and drops one that does not progress for
 * LIMIT_TRANSFER_IDLE_MS. It keeps the entries behind them, LIMIT_HELD_LOG bytes at most.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "consensus/node_internal.h"
#include "lib/base/mem.h"

#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define MIN(a, b) ((a) < (b) ? (a) : (b))

#define PROBE_SIZE 1024 /* bytes: to a receiver that was silent, and may be for long */

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

/* The first entry that this follower still needs, as far as we may keep it: what comes after the
 * snapshot on its way to it, or after what it has. A follower that needs a snapshot for longer than
 * the log grows by its trailing entries would otherwise need the next snapshot then, and never be
 * done. One that stands still, or is too far behind, is not waited for: it gets another snapshot.
 */
static uint64_t needed_by(struct node *node, uint64_t id, uint64_t without) {
    struct node_peer *peer = node__peer(node, id, false);
    raft_index match = 0;
    if (peer == NULL || raft_match_index(&node->raft, id, &match) != 0) {
        return without;
    }
    if (peer->out.snapshot == NULL && match > peer->held) {
        peer->held = match;
        peer->held_ms = node->now_ms;
    }
    bool fits = node->applied - peer->held <= LIMIT_HELD_ENTRIES &&
                node_log_bytes_after(&node->log, peer->held) <= LIMIT_HELD_LOG;
    bool moves = node->now_ms - peer->held_ms < LIMIT_TRANSFER_IDLE_MS;
    return peer->held != 0 && fits && moves && peer->held < without ? peer->held : without;
}

/* How many entries stay behind a snapshot at the applied index: at least snapshot_trailing (rule
 * R3), and on a leader what the others still need. */
static uint64_t count_trailing(struct node *node) {
    uint64_t trailing = node->options.snapshot_trailing;
    uint64_t from = node->applied > trailing ? node->applied - trailing + 1 : 1;
    const struct raft_configuration *members = &node->raft.configuration;
    for (unsigned i = 0; node__is_leader(node) && i < members->n; i++) {
        if (members->servers[i].id != node->id) {
            from = needed_by(node, members->servers[i].id, from);
        }
    }
    return node->applied - from + 1;
}

static void report_taken(struct node *node, uint64_t trailing) {
    struct raft_event event = {.type = RAFT_SNAPSHOT};
    event.snapshot.metadata.index = node->snapshot->index;
    event.snapshot.metadata.term = node->snapshot->term;
    event.snapshot.metadata.configuration_index = node->snapshot->config_index;
    node_config_to_raft(&node->snapshot->config, &event.snapshot.metadata.configuration);
    event.snapshot.trailing = (unsigned)trailing;
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
    /* What waits leaves while the library and we still have the same snapshot: with these entries
     * it may send that one to a follower that is far behind. */
    node__hand_over(node);
    if (node->health != ERR_OK) {
        return false;
    }
    struct node_snapshot *s = node__snapshot_save(node);
    s->index = node->applied;
    s->term = node_log_term(&node->log, node->applied);
    s->config = node->config;
    s->config_index = node->config_index;
    node__snapshot_unref(node->snapshot);
    node->snapshot = s;
    uint64_t trailing = count_trailing(node);
    report_taken(node, trailing);
    node_log_compact(&node->log, node->applied - trailing);
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

static void send_chunk(struct node *node, struct node_peer *peer, size_t most) {
    struct node_outgoing *out = &peer->out;
    const struct node_snapshot *s = out->snapshot;
    struct node_wire_member members[LIMIT_MEMBERS];
    struct node_message m = {.kind = NODE_KIND_CHUNK};
    struct node_chunk *c = &m.body.chunk;
    size_t size = MIN(s->data.size - out->sent, most);
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

static void send_ack(struct node *node, uint64_t peer, uint64_t transfer, size_t size) {
    struct node_message m = {.kind = NODE_KIND_CHUNK_ACK};
    m.body.chunk_ack = (struct node_chunk_ack){transfer, size};
    node__send(node, peer, &m);
}

static void pump(struct node *node, struct node_peer *peer) {
    struct node_outgoing *out = &peer->out;
    while (out->sent < out->snapshot->data.size &&
           out->sent - out->acked < (size_t)NODE_CHUNK_WINDOW * LIMIT_SNAPSHOT_CHUNK) {
        send_chunk(node, peer, LIMIT_SNAPSHOT_CHUNK);
    }
}

static uint64_t retry_ms(const struct node *node) {
    return node->options.election_timeout_ms / 2 + 1;
}

/* It progresses, and what follows its snapshot is still here. */
static bool is_worth_going_on(const struct node *node, const struct node_outgoing *out) {
    return node->now_ms - out->progress_ms < LIMIT_TRANSFER_IDLE_MS &&
           node_log_term(&node->log, out->snapshot->index) != 0;
}

static size_t count_transfers(const struct node *node) {
    size_t n = 0;
    for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
        n += node->peers[i].out.snapshot != NULL;
    }
    return n;
}

void node__snapshot_start(struct node *node, const struct raft_message *message) {
    const struct raft_install_snapshot *s = &message->install_snapshot;
    struct node_peer *peer = node__peer(node, message->server_id, true);
    struct node_outgoing *out = &peer->out;
    CHECK(node->snapshot != NULL && node->snapshot->index == s->last_index &&
          node->snapshot->term == s->last_term);
    if (out->snapshot != NULL && out->term == s->term && is_worth_going_on(node, out)) {
        return;
    }
    node__outgoing_stop(out);
    if (count_transfers(node) == LIMIT_TRANSFERS) {
        return; /* each may hold a snapshot of its own; the library asks again */
    }
    *out = (struct node_outgoing){.snapshot = snapshot_ref(node->snapshot),
                                  .transfer = ++node->transfers,
                                  .term = s->term,
                                  .version = s->version,
                                  .progress_ms = node->now_ms};
    peer->held = s->last_index;
    peer->held_ms = node->now_ms;
    pump(node, peer);
}

static void note_progress(struct node *node, struct node_peer *peer, size_t acked) {
    peer->out.acked = acked;
    peer->out.went_back = false;
    peer->out.progress_ms = peer->held_ms = node->now_ms;
    if (peer->out.sent < acked) {
        peer->out.sent = acked;
    }
}

void node__snapshot_ack(struct node *node, struct node_peer *peer, const struct node_chunk_ack *a) {
    struct node_outgoing *out = &peer->out;
    if (out->snapshot == NULL || a->transfer != out->transfer ||
        a->size > out->snapshot->data.size) {
        return;
    }
    size_t acked = (size_t)a->size;
    if (acked > out->acked) {
        note_progress(node, peer, acked);
    } else if (acked < out->acked) { /* the receiver had to drop what it had */
        out->sent = out->acked = acked;
    } else if (out->sent > acked) { /* one in between is lost: once back for all that follow it */
        if (out->went_back) {
            return;
        }
        out->went_back = true;
        out->sent = acked;
    }
    if (out->acked == out->snapshot->data.size) {
        node__outgoing_stop(out);
        return;
    }
    pump(node, peer);
}

/* What was under way over the old connection is lost. The receiver says by itself what it has; if
 * it says nothing, it is asked after the usual time. */
void node__snapshot_resume(struct node *node, struct node_peer *peer) {
    if (peer->in.transfer != 0) {
        send_ack(node, peer->id, peer->in.transfer, peer->in.data.size);
    }
    if (peer->out.snapshot != NULL) {
        peer->out.sent = peer->out.acked;
        peer->out.went_back = false;
        peer->out.retry_from_ms = node->now_ms;
    }
}

static uint64_t retry_at(const struct node *node, const struct node_outgoing *out) {
    return MAX(out->retry_from_ms, out->progress_ms) + retry_ms(node);
}

/* The follower has it, by whatever way, or is no member any more, or makes no progress. */
static bool is_over(const struct node *node, const struct node_peer *peer) {
    raft_index match = 0;
    return raft_match_index(&node->raft, peer->id, &match) != 0 ||
           match >= peer->out.snapshot->index ||
           node->now_ms - peer->out.progress_ms >= LIMIT_TRANSFER_IDLE_MS;
}

static void tick_outgoing(struct node *node, struct node_peer *peer) {
    struct node_outgoing *out = &peer->out;
    if (out->snapshot == NULL || node->now_ms < retry_at(node, out)) {
        return;
    }
    if (is_over(node, peer)) {
        node__outgoing_stop(out);
        return;
    }
    out->retry_from_ms = node->now_ms;
    out->went_back = false;
    out->sent = out->acked;
    send_chunk(node, peer, PROBE_SIZE); /* its answer says what the receiver has */
}

void node__snapshot_tick(struct node *node) {
    for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
        struct node_peer *peer = &node->peers[i];
        tick_outgoing(node, peer);
        if (peer->in.transfer != 0 &&
            node->now_ms - peer->in.progress_ms >= LIMIT_TRANSFER_IDLE_MS) {
            node__incoming_drop(&peer->in);
        }
    }
}

uint64_t node__snapshot_deadline(const struct node *node) {
    uint64_t deadline = UINT64_MAX;
    for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
        const struct node_peer *peer = &node->peers[i];
        if (peer->out.snapshot != NULL) {
            deadline = MIN(deadline, retry_at(node, &peer->out));
        }
        if (peer->in.transfer != 0) {
            deadline = MIN(deadline, peer->in.progress_ms + LIMIT_TRANSFER_IDLE_MS);
        }
    }
    return deadline;
}

/* --- Receiving --- */

void node__incoming_drop(struct node_incoming *in) {
    buf_deinit(&in->data);
    *in = (struct node_incoming){0};
}

/* One assembly at a time: of the leader that we follow. */
static void begin(struct node *node, struct node_peer *peer, const struct node_chunk *c) {
    for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
        node__incoming_drop(&node->peers[i].in);
    }
    peer->in.transfer = c->transfer;
    peer->in.term = c->term;
    peer->in.index = c->last_index;
    peer->in.progress_ms = node->now_ms;
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
    in->progress_ms = node->now_ms;
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
