/* Node reads: the index up to which a read is linearizable, confirmed by a quorum after the
 * request.
 *
 *   node_read ... node_read ──> round n: PROBE{term, n} to every voter ──> PROBE_ACK{term, n}
 *                                 commit index noted here                    from a majority: OK
 *
 * There is no lease: the host may pause us for an hour, and a clock proves nothing. A voter
 * acknowledges only while its term is ours, so when a majority has, nobody was elected in a later
 * term before the round began, and what was committed by then is in our log. Requests that come
 * while a round is open wait for the next one. A leader needs a committed entry of its own term
 * first: before, it does not know the commit index.
 *
 * Lost probes are sent again at every heartbeat. A read that is not confirmed in time gets
 * NO_QUORUM, and NOT_LEADER when role or term change.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "consensus/node_internal.h"
#include "lib/base/mem.h"

#define MIN(a, b) ((a) < (b) ? (a) : (b))

RESULT node_read(struct node *node, node_read_cb cb, void *data, struct err *err) {
    TRY(node__ensure_working(node, err));
    ENSURE(node__is_leader(node), err, NOT_LEADER, "this replica does not lead");
    ENSURE(node->read_count < LIMIT_PENDING_READS, err, BUSY, "%d reads wait", LIMIT_PENDING_READS);
    node__clock(node);
    if (node->read_count == node->read_capacity) {
        node->read_capacity = node->read_capacity == 0 ? 16 : node->read_capacity * 2;
        node->reads = mem_realloc(node->reads, node->read_capacity * sizeof node->reads[0]);
    }
    node->reads[node->read_count++] = (struct node_pending_read){
        .cb = cb, .data = data, .deadline_ms = node->now_ms + node->options.read_timeout_ms};
    return OK;
}

/* Takes out the reads that `wants` picks, then calls them: a callback may ask for the next read. */
static void finish(struct node *node, bool (*wants)(const struct node *, size_t),
                   enum err_code code, uint64_t index) {
    if (node->read_count == 0) {
        return;
    }
    struct node_pending_read *done = mem_calloc(node->read_count, sizeof done[0]);
    size_t done_count = 0;
    size_t kept = 0;
    for (size_t i = 0; i < node->read_count; i++) {
        if (wants(node, i)) {
            done[done_count++] = node->reads[i];
        } else {
            node->reads[kept++] = node->reads[i];
        }
    }
    node->read_count = kept;
    for (size_t i = 0; i < done_count; i++) {
        done[i].cb(done[i].data, (struct result){code}, index);
    }
    mem_free(done);
}

static bool any_read(const struct node *node, size_t i) {
    (void)node;
    (void)i;
    return true;
}

static bool in_round(const struct node *node, size_t i) {
    return node->reads[i].round != 0;
}

static bool is_expired(const struct node *node, size_t i) {
    return node->now_ms >= node->reads[i].deadline_ms;
}

static size_t count_reads(const struct node *node, bool (*wants)(const struct node *, size_t)) {
    size_t n = 0;
    for (size_t i = 0; i < node->read_count; i++) {
        n += wants(node, i);
    }
    return n;
}

void node__read_cancel_all(struct node *node, enum err_code code) {
    node->read_round_open = false;
    finish(node, any_read, code, 0);
}

static bool has_acked(const struct node *node, uint64_t id) {
    const struct node_peer *peer = node__find_peer(node, id);
    return id == node->id || (peer != NULL && peer->probe_round == node->read_round);
}

static bool has_quorum(const struct node *node) {
    struct node_config config;
    size_t acked = 0;
    if (node_rule_is_off(NODE_RULE_READ)) {
        return true;
    }
    node_config_from_raft(&node->raft.configuration, &config);
    for (size_t i = 0; i < config.count; i++) {
        acked += config.members[i].role == NODE_VOTER && has_acked(node, config.members[i].id);
    }
    return acked > node_config_voters(&config) / 2;
}

static void send_probes(struct node *node) {
    struct node_config config;
    node_config_from_raft(&node->raft.configuration, &config);
    node->read_probe_ms = node->now_ms;
    for (size_t i = 0; i < config.count; i++) {
        const struct node_member *m = &config.members[i];
        if (m->role == NODE_VOTER && !has_acked(node, m->id)) {
            struct node_message message = {.kind = NODE_KIND_PROBE};
            message.body.probe = (struct node_probe){node_term(node), node->read_round};
            node__send(node, m->id, &message);
        }
    }
}

static void begin_round(struct node *node) {
    node->read_round++;
    node->read_round_open = true;
    node->read_round_index = raft_commit_index(&node->raft);
    for (size_t i = 0; i < node->read_count; i++) {
        node->reads[i].round = node->read_round;
    }
    send_probes(node);
}

static bool wants_round(const struct node *node) {
    return !node->read_round_open && node->read_count > 0 && node_is_settled(node);
}

static void close_round_with_quorum(struct node *node) {
    if (node->read_round_open && node__is_leader(node) && has_quorum(node) &&
        node->applied >= node->read_round_index) {
        node->read_round_open = false;
        finish(node, in_round, ERR_OK, node->applied);
    }
}

void node__read_tick(struct node *node) {
    if (node->read_count > 0) {
        finish(node, is_expired, ERR_NO_QUORUM, 0);
    }
    if (node->read_round_open && count_reads(node, in_round) == 0) {
        node->read_round_open = false;
    }
    if (wants_round(node)) {
        begin_round(node);
    } else if (node->read_round_open &&
               node->now_ms >= node->read_probe_ms + node->options.heartbeat_ms) {
        send_probes(node);
    }
    close_round_with_quorum(node);
}

uint64_t node__read_deadline(const struct node *node) {
    uint64_t deadline = UINT64_MAX;
    if (node->read_count == 0) {
        return deadline;
    }
    if (wants_round(node)) {
        return node->now_ms;
    }
    if (node->read_round_open) {
        deadline = node->read_probe_ms + node->options.heartbeat_ms;
    }
    for (size_t i = 0; i < node->read_count; i++) {
        deadline = MIN(deadline, node->reads[i].deadline_ms);
    }
    return deadline;
}

void node__read_probe(struct node *node, uint64_t peer, const struct node_probe *probe) {
    if (probe->term == node_term(node)) {
        struct node_message m = {.kind = NODE_KIND_PROBE_ACK, .body.probe = *probe};
        node__send(node, peer, &m);
    }
}

void node__read_ack(struct node *node, struct node_peer *peer, const struct node_probe *ack) {
    if (!node__is_leader(node) || ack->term != node_term(node) || !node->read_round_open ||
        ack->round != node->read_round) {
        return;
    }
    peer->probe_round = ack->round;
    close_round_with_quorum(node);
}
