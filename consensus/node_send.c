/* Node, to peers: libraft's messages become ours, field by field, with the entries from our log.
 *
 * One AppendEntries of the library may become several of ours, split by bytes: each with its own
 * previous position. None is ever shortened: the library has counted all of it as sent. What
 * exceeds LIMIT_APPEND_UNDER_WAY waits for the follower's answers (pace).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "consensus/node_internal.h"
#include "lib/base/mem.h"

#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define MIN(a, b) ((a) < (b) ? (a) : (b))

void node__send(struct node *node, uint64_t peer, struct node_message *message) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    message->sequence = ++node->sequence;
    buf_reserve(&bytes, node_codec_size_hint(message));
    node_codec_encode(message, &bytes);
    node->io->send(node->io->data, peer, buf_span(&bytes));
}

/* How many entries from `index` on, at most `most`, go into one message: at least one. */
static size_t piece_count(const struct node *node, uint64_t index, size_t most) {
    size_t bytes = 0;
    size_t n = 0;
    while (n < MIN(most, LIMIT_APPEND_ENTRIES)) {
        const struct node_entry *e = node_log_get(&node->log, index + n);
        CHECK(e != NULL);
        bytes += e->payload->size;
        if (n > 0 && bytes > LIMIT_APPEND_BYTES) {
            break;
        }
        n++;
    }
    return n;
}

static void fill_entries(const struct node *node, uint64_t index, size_t count,
                         struct wire_list *out) {
    struct node_wire_entry *entries = mem_calloc(count, sizeof entries[0]);
    for (size_t i = 0; i < count; i++) {
        const struct node_entry *e = node_log_get(&node->log, index + i);
        entries[i].term = e->term;
        entries[i].type = (uint8_t)e->type;
        entries[i].data = span_of(e->payload->data, e->payload->size);
    }
    *out = (struct wire_list){entries, count};
}

/* One AppendEntries with the `count` entries behind `prev`; 0: a heartbeat. */
static void send_piece(struct node *node, struct node_peer *peer, uint64_t prev, uint64_t prev_term,
                       size_t count, uint64_t commit) {
    struct node_message m = {.kind = NODE_KIND_APPEND};
    m.body.append = (struct node_append){.term = peer->told_term,
                                         .prev_index = prev,
                                         .prev_term = prev_term,
                                         .commit = MIN(commit, prev + count),
                                         .version = peer->append_version};
    if (count > 0) {
        fill_entries(node, prev + 1, count, &m.body.append.entries);
    }
    peer->told_commit = m.body.append.commit;
    node__send(node, peer->id, &m);
    mem_free(m.body.append.entries.items);
}

static uint64_t match_of(const struct node *node, const struct node_peer *peer) {
    raft_index match = 0;
    return raft_match_index(&node->raft, peer->id, &match) == 0 ? match : 0;
}

/* Bytes of entries that are on their way to this follower, as far as its answers tell. */
static uint64_t bytes_under_way(const struct node *node, const struct node_peer *peer) {
    uint64_t from = MIN(MAX(match_of(node, peer), peer->paced_from), peer->paced_next - 1);
    return node_log_bytes_after(&node->log, from) -
           node_log_bytes_after(&node->log, peer->paced_next - 1);
}

/* Sends what the library counts as sent while LIMIT_APPEND_UNDER_WAY leaves room; the follower's
 * answers make more. A follower that was away for long, or a burst of large entries, would fill the
 * queue of its link beyond what that carries, and be cut off for it, again and again. The first
 * message goes alone: the library begins by probing, and after the answer it sends what is left
 * once more. */
static void pace(struct node *node, struct node_peer *peer) {
    if (!node__is_leader(node) || peer->told_term != node_term(node)) {
        peer->paced_left = 0;
    }
    uint64_t room = match_of(node, peer) > peer->paced_from ? LIMIT_APPEND_UNDER_WAY : 1;
    while (peer->paced_left > 0 && bytes_under_way(node, peer) < room) {
        uint64_t prev = peer->paced_next - 1;
        if (node_log_get(&node->log, prev + 1) == NULL) {
            peer->paced_left = 0; /* compacted: it rejects what comes next and gets a snapshot */
            return;
        }
        size_t n = piece_count(node, prev + 1, peer->paced_left);
        send_piece(node, peer, prev, node_log_term(&node->log, prev), n, node_commit_index(node));
        peer->paced_next += n;
        peer->paced_left -= n;
    }
}

static void stop_pacing(struct node *node, uint64_t id) {
    struct node_peer *peer = node__peer(node, id, false);
    if (peer != NULL) {
        peer->paced_left = 0;
    }
}

static void send_append(struct node *node, uint64_t id, const struct raft_append_entries *a) {
    struct node_peer *peer = node__peer(node, id, true);
    bool goes_on =
        peer->told_term == a->term && peer->paced_next + peer->paced_left == a->prev_log_index + 1;
    peer->told_term = a->term;
    peer->append_version = a->version;
    if (a->n_entries == 0 && goes_on && peer->paced_left > 0) {
        /* As far as entries have really gone: beyond that it would only be rejected. */
        uint64_t prev = peer->paced_next - 1;
        send_piece(node, peer, prev, node_log_term(&node->log, prev), 0, a->leader_commit);
        return;
    }
    if (a->n_entries == 0) {
        send_piece(node, peer, a->prev_log_index, a->prev_log_term, 0, a->leader_commit);
        return;
    }
    if (!goes_on) {
        peer->paced_from = a->prev_log_index;
        peer->paced_next = a->prev_log_index + 1;
        peer->paced_left = 0;
    }
    peer->paced_left += a->n_entries;
    pace(node, peer);
}

/* The library tells a commit index with the next entries or heartbeat. Who waits for an entry
 * behind a follower would wait for that heartbeat, so a follower that has the entry hears of it in
 * the same tick, unless entries that were submitted meanwhile told it: an AppendEntries without
 * entries, as a heartbeat is, at the index that it acknowledged. */
static void tell_commit(struct node *node, struct node_peer *peer) {
    raft_index match = 0;
    if (peer->told_term != node_term(node) || !node__is_leader(node) ||
        raft_match_index(&node->raft, peer->id, &match) != 0) {
        return;
    }
    uint64_t commit = MIN(node_commit_index(node), match);
    if (commit <= peer->told_commit || node_log_term(&node->log, match) == 0) {
        return;
    }
    send_piece(node, peer, match, node_log_term(&node->log, match), 0, commit);
}

void node__tell_commits(struct node *node) {
    for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
        if (node->peers[i].id != 0) {
            pace(node, &node->peers[i]);
            tell_commit(node, &node->peers[i]);
        }
    }
}

static void send_vote(struct node *node, uint64_t peer, const struct raft_request_vote *v) {
    struct node_message m = {.kind = NODE_KIND_VOTE};
    m.body.vote = (struct node_vote){.term = v->term,
                                     .last_index = v->last_log_index,
                                     .last_term = v->last_log_term,
                                     .version = v->version,
                                     .disrupt_leader = v->disrupt_leader,
                                     .pre_vote = v->pre_vote};
    node__send(node, peer, &m);
}

/* Rule R4: a refused pre-vote tells our term. The library echoes the request's term, so the only
 * electable server would never learn that its term is too old, and never be elected. */
static uint64_t pre_vote_reply_term(const struct node *node,
                                    const struct raft_request_vote_result *v) {
    if (node_rule_is_off(NODE_RULE_R4) || !v->pre_vote || v->vote_granted) {
        return v->term;
    }
    uint64_t current = raft_current_term(&node->raft);
    return v->term < current ? current : v->term;
}

static void send_vote_result(struct node *node, uint64_t peer,
                             const struct raft_request_vote_result *v) {
    struct node_message m = {.kind = NODE_KIND_VOTE_RESULT};
    m.body.vote_result = (struct node_vote_result){.term = pre_vote_reply_term(node, v),
                                                   .features = v->features,
                                                   .version = v->version,
                                                   .granted = v->vote_granted,
                                                   .pre_vote = v->pre_vote};
    node__send(node, peer, &m);
}

/* Pitfall P7: in a reply to a stale term the library leaves last_log_index uninitialised: eight
 * bytes of our stack for a peer. The receiver only looks at the term then. */
static uint64_t reply_last_index(const struct node *node, uint64_t request_term,
                                 const struct raft_append_entries_result *a) {
    if (request_term < raft_current_term(&node->raft) && !node_rule_is_off(NODE_RULE_P7)) {
        return 0;
    }
    return a->last_log_index;
}

static void send_append_result(struct node *node, uint64_t peer,
                               const struct raft_append_entries_result *a) {
    struct node_message m = {.kind = NODE_KIND_APPEND_RESULT};
    node->rejected = node->rejected || a->rejected != 0;
    m.body.append_result =
        (struct node_append_result){.term = a->term,
                                    .rejected = a->rejected,
                                    .last_index = reply_last_index(node, node->append_term, a),
                                    .features = a->features,
                                    .version = a->version};
    node__send(node, peer, &m);
}

static void send_timeout_now(struct node *node, uint64_t peer, const struct raft_timeout_now *t) {
    struct node_message m = {.kind = NODE_KIND_TIMEOUT_NOW};
    m.body.timeout_now = (struct node_timeout_now){.term = t->term,
                                                   .last_index = t->last_log_index,
                                                   .last_term = t->last_log_term,
                                                   .version = t->version};
    node__send(node, peer, &m);
}

void node__send_raft(struct node *node, const struct raft_message *message) {
    switch (message->type) {
    case RAFT_APPEND_ENTRIES:
        send_append(node, message->server_id, &message->append_entries);
        return;
    case RAFT_APPEND_ENTRIES_RESULT:
        send_append_result(node, message->server_id, &message->append_entries_result);
        return;
    case RAFT_REQUEST_VOTE:
        send_vote(node, message->server_id, &message->request_vote);
        return;
    case RAFT_REQUEST_VOTE_RESULT:
        send_vote_result(node, message->server_id, &message->request_vote_result);
        return;
    case RAFT_INSTALL_SNAPSHOT:
        stop_pacing(node, message->server_id);
        node__snapshot_start(node, message);
        return;
    case RAFT_TIMEOUT_NOW:
        send_timeout_now(node, message->server_id, &message->timeout_now);
        return;
    default:
        node_freeze(node, "libraft sends a kind of message that 0.22.1 does not have");
    }
}
