/* Node, from peers: decode, judge, and only then let the library see it.
 *
 *   bytes ──> codec (shape, P8) ──> order (R6) ──> state checks (P8) ──> R3 ──> R1 ──> raft_step
 *
 * A message that breaks the protocol is an error for the link and changes nothing here.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "consensus/node_internal.h"
#include "lib/base/mem.h"

#define MIN(a, b) ((a) < (b) ? (a) : (b))

/* An AppendEntries on its way to the library. */
struct incoming {
    uint64_t peer;
    struct node_append head;               /* entries unused */
    const struct node_wire_entry *entries; /* borrowed */
    size_t count;
};

static RESULT receive_raft(struct node *node, uint64_t peer, struct raft_message *m,
                           struct err *err) {
    char address[24];
    snprintf(address, sizeof address, "%" PRIu64, peer);
    m->server_id = peer;
    m->server_address = address;
    struct raft_event event = {.type = RAFT_RECEIVE};
    event.receive.message = m;
    int rv = node__turn(node, &event);
    if (node->health != ERR_OK) {
        return node_health(node, err);
    }
    ENSURE(rv == 0, err, PROTOCOL, "raft refused the message: %s", raft_strerror(rv));
    return OK;
}

/* Entries [from, to) to the library, in payloads of ours. */
static RESULT receive_piece(struct node *node, const struct incoming *in, size_t from, size_t to,
                            uint64_t commit, struct err *err) {
    /* A callback during the piece before may have frozen the node. */
    TRY(node__ensure_working(node, err));
    size_t count = to - from;
    struct raft_entry *entries = mem_calloc(count + 1, sizeof entries[0]);
    void *batch = count > 0 ? raft_malloc(1) : NULL; /* freed by the library or by its update */
    CHECK(count == 0 || batch != NULL);
    for (size_t i = 0; i < count; i++) {
        const struct node_wire_entry *e = &in->entries[from + i];
        struct node_payload *p = node_payload_new(e->data);
        entries[i] =
            (struct raft_entry){e->term, (enum raft_entry_type)e->type, {p->data, p->size}, batch};
    }
    struct raft_message m = {.type = RAFT_APPEND_ENTRIES};
    m.append_entries = (struct raft_append_entries){
        .version = in->head.version,
        .term = in->head.term,
        .prev_log_index = in->head.prev_index + from,
        .prev_log_term = from == 0 ? in->head.prev_term : in->entries[from - 1].term,
        .leader_commit = commit,
        .entries = count > 0 ? entries : NULL,
        .n_entries = (unsigned)count};
    node->rejected = false;
    node->append_term = in->head.term;
    struct result r = receive_raft(node, in->peer, &m, err);
    node->append_term = UINT64_MAX;
    for (size_t i = 0; i < count; i++) {
        node_payload_unref(node_payload_of(entries[i].buf.base));
    }
    mem_free(entries);
    return r;
}

/* Rule R3: what is committed here is the same at any leader of our term or a later one, so an
 * AppendEntries that starts below our commit index is moved up to it. The library would reject a
 * previous position that a snapshot compacted as missing, and the leader would then step back below
 * what it knows to match. */
static RESULT fast_forward(struct node *node, struct incoming *in, struct err *err) {
    uint64_t commit = raft_commit_index(&node->raft);
    if (node_rule_is_off(NODE_RULE_R3) || in->head.prev_index >= commit) {
        return OK;
    }
    uint64_t distance = commit - in->head.prev_index;
    uint64_t term = node_log_term(&node->log, commit);
    size_t drop = (size_t)MIN(distance, in->count);
    CHECK(term != 0);
    if (drop == distance && in->entries[drop - 1].term != term) {
        node_freeze(node, "a leader has another entry at our commit index");
        node->health = ERR_DIVERGED;
        return node_health(node, err);
    }
    in->entries += drop;
    in->count -= drop;
    in->head.prev_index = commit;
    in->head.prev_term = term;
    return OK;
}

/* Whether the piece that ends at entry `end` was taken; else the rest must not follow. */
static bool took(const struct node *node, const struct incoming *in, size_t end) {
    return !node->rejected && node_log_last(&node->log) >= in->head.prev_index + end;
}

static bool is_change(const struct incoming *in, size_t i) {
    return i < in->count && in->entries[i].type == RAFT_CHANGE;
}

/* Rule R1: a CHANGE comes to the library only as the first entry of an AppendEntries, after all
 * before it was taken and its committed configurations were reported. The library notes the index
 * of the first new entry, not of the CHANGE, as that of the uncommitted configuration, and would
 * roll back to a wrong one, or refuse changes for ever. */
static RESULT receive_split(struct node *node, const struct incoming *in, struct err *err) {
    size_t from = 0;
    if (is_change(in, 0) && in->head.prev_index > 0) {
        TRY(receive_piece(node, in, 0, 0, MIN(in->head.commit, in->head.prev_index), err));
        node__settle(node);
        if (!took(node, in, 0)) {
            return OK;
        }
    }
    while (from < in->count || in->count == 0) {
        size_t to = from + (in->count > 0);
        while (to < in->count && !is_change(in, to)) {
            to++;
        }
        uint64_t commit = in->head.commit;
        if (to < in->count) {
            commit = MIN(commit, in->head.prev_index + to);
        }
        TRY(receive_piece(node, in, from, to, commit, err));
        node__settle(node);
        if (in->count == 0 || !took(node, in, to)) {
            break;
        }
        from = to;
    }
    return OK;
}

/* Pitfall P8, with our state: a term has one leader. The library asserts this, and its release
 * build goes on without. */
static RESULT check_leader(struct node *node, uint64_t peer, uint64_t term, struct err *err) {
    if (!node_rule_is_off(NODE_RULE_P8)) {
        ENSURE(term != node_term(node) || !node__is_leader(node), err, PROTOCOL,
               "a second leader in term %" PRIu64, term);
        ENSURE(term != node->heard_term || peer == node->heard_leader, err, PROTOCOL,
               "a second leader in term %" PRIu64 ": %" PRIu64 " leads", term, node->heard_leader);
    }
    if (term >= node_term(node)) {
        node->heard_leader = peer;
        node->heard_term = term;
        node->heard_ms = node->now_ms;
        node__leader_seen(node);
    }
    return OK;
}

static RESULT receive_append(struct node *node, uint64_t peer, const struct node_append *a,
                             struct err *err) {
    struct incoming in = {
        .peer = peer, .head = *a, .entries = a->entries.items, .count = a->entries.count};
    TRY(check_leader(node, peer, a->term, err));
    if (a->term < node_term(node)) { /* the library only answers; it needs no entries for that */
        in.count = 0;
        return receive_piece(node, &in, 0, 0, 0, err);
    }
    TRY(fast_forward(node, &in, err));
    if (node_rule_is_off(NODE_RULE_R1)) {
        return receive_piece(node, &in, 0, in.count, in.head.commit, err);
    }
    return receive_split(node, &in, err);
}

static RESULT receive_append_result(struct node *node, uint64_t peer,
                                    const struct node_append_result *a, struct err *err) {
    if (!node_rule_is_off(NODE_RULE_P8) && node__is_leader(node) && a->term == node_term(node)) {
        ENSURE(a->rejected <= node_last_index(node), err, PROTOCOL,
               "rejects index %" PRIu64 " which was never sent", a->rejected);
    }
    struct raft_message m = {.type = RAFT_APPEND_ENTRIES_RESULT};
    m.append_entries_result =
        (struct raft_append_entries_result){.version = a->version,
                                            .term = a->term,
                                            .rejected = a->rejected,
                                            .last_log_index = a->last_index,
                                            .features = (unsigned short)a->features};
    return receive_raft(node, peer, &m, err);
}

static struct raft_server *own_server(struct raft *r) {
    for (unsigned i = 0; i < r->configuration.n; i++) {
        if (r->configuration.servers[i].id == r->id) {
            return &r->configuration.servers[i];
        }
    }
    return NULL;
}

/* A standby starts no elections, and names its last leader for ever: refuses votes for ever. The
 * library's election timer does not tell how long it was silent: that begins anew whenever it ends,
 * here after one to two timeouts. */
static void forget_silent_leader(struct node *node) {
    struct raft *r = &node->raft;
    node__clock(node);
    if (r->state == RAFT_FOLLOWER &&
        node->now_ms - node->heard_ms >= 2ULL * node->options.election_timeout_ms) {
        r->follower_state.current_leader.id = 0;
    }
}

/* Rule R7: who asks for a vote knows who votes. A standby may have been promoted and not know it
 * yet, and its vote be the one that is missing: the library refuses it, the entry that says so can
 * come only from a leader, and nobody is elected for ever. Granting it is safe: it is counted only
 * where the candidate's configuration has this replica as a voter, at most once a term. */
static struct result vote_as_asked(struct node *node, uint64_t peer, struct raft_message *m,
                                   struct err *err) {
    struct raft_server *own = own_server(&node->raft);
    if (own == NULL || own->role != RAFT_STANDBY || node_rule_is_off(NODE_RULE_R7)) {
        return receive_raft(node, peer, m, err);
    }
    forget_silent_leader(node);
    own->role = RAFT_VOTER;
    struct result r = receive_raft(node, peer, m, err); /* a vote changes no configuration */
    own->role = RAFT_STANDBY;
    return r;
}

static RESULT receive_vote(struct node *node, uint64_t peer, const struct node_vote *v,
                           struct err *err) {
    struct raft_message m = {.type = RAFT_REQUEST_VOTE};
    m.request_vote = (struct raft_request_vote){.version = v->version,
                                                .term = v->term,
                                                .candidate_id = peer,
                                                .last_log_index = v->last_index,
                                                .last_log_term = v->last_term,
                                                .disrupt_leader = v->disrupt_leader,
                                                .pre_vote = v->pre_vote};
    return vote_as_asked(node, peer, &m, err);
}

/* Pitfall P6: the library reads a candidate's field before it knows that it is one; in another
 * state that is a byte of a pointer. A late vote is of no use to anybody else. */
static bool is_late_vote(struct node *node) {
    return raft_state(&node->raft) != RAFT_CANDIDATE && !node_rule_is_off(NODE_RULE_P6);
}

static RESULT receive_vote_result(struct node *node, uint64_t peer,
                                  const struct node_vote_result *v, struct err *err) {
    if (is_late_vote(node)) {
        return OK;
    }
    struct raft_message m = {.type = RAFT_REQUEST_VOTE_RESULT};
    m.request_vote_result =
        (struct raft_request_vote_result){.version = v->version,
                                          .term = v->term,
                                          .vote_granted = v->granted,
                                          .pre_vote = v->pre_vote,
                                          .features = (unsigned short)v->features};
    return receive_raft(node, peer, &m, err);
}

static RESULT receive_timeout_now(struct node *node, uint64_t peer,
                                  const struct node_timeout_now *t, struct err *err) {
    if (t->term != node_term(node) || node_leader(node) != peer) {
        return OK; /* of a leader that is none any more */
    }
    struct raft_message m = {.type = RAFT_TIMEOUT_NOW};
    m.timeout_now = (struct raft_timeout_now){.version = t->version,
                                              .term = t->term,
                                              .last_log_index = t->last_index,
                                              .last_log_term = t->last_term};
    return receive_raft(node, peer, &m, err);
}

RESULT node__receive_snapshot(struct node *node, uint64_t peer, const struct node_chunk *chunk,
                              struct node_snapshot *snapshot, struct err *err) {
    struct raft_message m = {.type = RAFT_INSTALL_SNAPSHOT};
    struct raft_install_snapshot *s = &m.install_snapshot;
    s->version = chunk->version;
    s->term = chunk->term;
    s->last_index = chunk->last_index;
    s->last_term = chunk->last_term;
    s->conf_index = chunk->config_index;
    node_config_to_raft(&snapshot->config, &s->conf);
    s->data = (struct raft_buffer){raft_malloc(1), 1}; /* stands for the bytes, which stay ours */
    CHECK(s->data.base != NULL);
    node->arriving = snapshot;
    struct result r = receive_raft(node, peer, &m, err);
    node->arriving = NULL;
    return r;
}

/* Everything in a snapshot is here already: the library would still install it where it has
 * compacted its index. The leader learns our position as if it had sent a heartbeat. */
static RESULT answer_old_snapshot(struct node *node, uint64_t peer, const struct node_chunk *c,
                                  struct err *err) {
    uint64_t commit = raft_commit_index(&node->raft);
    struct incoming in = {.peer = peer,
                          .head = {.term = c->term,
                                   .prev_index = commit,
                                   .prev_term = node_log_term(&node->log, commit),
                                   .commit = commit}};
    return receive_piece(node, &in, 0, 0, commit, err);
}

static RESULT receive_chunk(struct node *node, struct node_peer *peer, const struct node_chunk *c,
                            struct err *err) {
    TRY(check_leader(node, peer->id, c->term, err));
    if (c->term != node_term(node) || node_leader(node) != peer->id) {
        return OK; /* its heartbeat will tell us, and it will send this again */
    }
    if (c->last_index <= raft_commit_index(&node->raft)) {
        return answer_old_snapshot(node, peer->id, c, err);
    }
    return node__snapshot_chunk(node, peer, c, err);
}

static RESULT dispatch(struct node *node, struct node_peer *peer, const struct node_message *m,
                       struct err *err) {
    switch (m->kind) {
    case NODE_KIND_APPEND:
        return receive_append(node, peer->id, &m->body.append, err);
    case NODE_KIND_APPEND_RESULT:
        return receive_append_result(node, peer->id, &m->body.append_result, err);
    case NODE_KIND_VOTE:
        return receive_vote(node, peer->id, &m->body.vote, err);
    case NODE_KIND_VOTE_RESULT:
        return receive_vote_result(node, peer->id, &m->body.vote_result, err);
    case NODE_KIND_TIMEOUT_NOW:
        return receive_timeout_now(node, peer->id, &m->body.timeout_now, err);
    case NODE_KIND_CHUNK:
        return receive_chunk(node, peer, &m->body.chunk, err);
    case NODE_KIND_CHUNK_ACK:
        node__snapshot_ack(node, peer, &m->body.chunk_ack);
        return OK;
    case NODE_KIND_PROBE:
        node__read_probe(node, peer->id, &m->body.probe);
        return OK;
    case NODE_KIND_PROBE_ACK:
        node__read_ack(node, peer, &m->body.probe);
        return OK;
    case NODE_KIND_COUNT:
    default:
        return err_set(err, ERR_MALFORMED, "message kind %d", (int)m->kind);
    }
}

/* Rule R6: from each peer only messages sent after the last one taken. A stale rejection that
 * overtakes, or comes again over a new connection, would set the leader's view of a follower back
 * below what is known to match. Loss is harmless. */
static bool is_in_order(struct node_peer *peer, uint64_t sequence) {
    if (sequence <= peer->last_sequence && !node_rule_is_off(NODE_RULE_R6)) {
        return false;
    }
    peer->last_sequence = sequence;
    return true;
}

/* Pitfall P8: bytes of a peer can reach asserts that the library's release build lacks. */
static RESULT decode(struct span bytes, struct arena *arena, struct node_message *m,
                     struct err *err) {
    if (node_rule_is_off(NODE_RULE_P8)) {
        return node_codec_decode_shape(bytes, arena, m, err);
    }
    return node_codec_decode(bytes, arena, m, err);
}

RESULT node_receive(struct node *node, uint64_t peer_id, struct span bytes, struct err *err) {
    CHECK(!node->is_turning && !node->is_settling);
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct node_message m;
    TRY(node__ensure_working(node, err));
    ENSURE(peer_id != 0 && peer_id != node->id && peer_id <= INT64_MAX, err, PROTOCOL,
           "peer id %" PRIu64, peer_id);
    TRY(decode(bytes, &arena, &m, err));
    node__clock(node);
    struct node_peer *peer = node__peer(node, peer_id, true);
    if (!is_in_order(peer, m.sequence)) {
        return OK;
    }
    peer->last_contact_ms = node->now_ms;
    struct result r = dispatch(node, peer, &m, err);
    node__settle(node);
    node->tells_commit = node->tells_commit || m.kind == NODE_KIND_APPEND_RESULT;
    return r;
}

void node_peer_reset(struct node *node, uint64_t peer_id) {
    struct node_peer *peer = node__peer(node, peer_id, false);
    if (peer != NULL && node->started && node->health == ERR_OK) {
        node__clock(node);
        node__snapshot_resume(node, peer);
    }
}
