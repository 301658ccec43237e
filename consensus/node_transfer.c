/* Node transfer: another voter leads next, within a few round trips.
 *
 *   node_transfer ──> no more submits ──> it has everything ──> library: TimeoutNow ──> it is
 * elected └── half an election timeout, or it is gone: given up, submits again
 *
 * The library would send TimeoutNow at the first acknowledgement of a voter that lags, which that
 * voter must ignore, and wait out an election timeout; and left to choose, it takes one that has
 * everything whether it lives or not. So the choice, the wait and the time limit are ours.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "consensus/node_internal.h"
#include "lib/base/log.h"

bool node__is_transferring(const struct node *node) {
    return node->transfer_to != 0 && node->transfer_term == node_term(node) &&
           node__is_leader(node);
}

static uint64_t patience_ms(const struct node *node) {
    return node->options.election_timeout_ms / 2;
}

static bool was_heard(const struct node *node, uint64_t id) {
    const struct node_peer *peer = node__find_peer(node, id);
    return peer != NULL && peer->last_contact_ms != 0 &&
           node->now_ms - peer->last_contact_ms <= patience_ms(node);
}

/* What it has of our log as far as entries alone can complete that; 0: nothing, or too little. */
static uint64_t match_of(const struct node *node, uint64_t id) {
    raft_index match = 0;
    bool is_known = raft_match_index(&node->raft, id, &match) == 0;
    return is_known && node_log_term(&node->log, match) != 0 ? match : 0;
}

static RESULT ensure_can_take_over(const struct node *node, uint64_t id, struct err *err) {
    ENSURE(was_heard(node, id), err, UNAVAILABLE, "voter %" PRIu64 " was not heard of lately", id);
    ENSURE(match_of(node, id) != 0, err, UNAVAILABLE,
           "voter %" PRIu64 " is far behind, retry when it has caught up", id);
    return OK;
}

/* The voter that has most, of those that answer; 0: none. */
static uint64_t best_of(const struct node *node, const struct node_config *config) {
    uint64_t best = 0;
    for (size_t i = 0; i < config->count; i++) {
        const struct node_member *m = &config->members[i];
        if (m->role == NODE_VOTER && m->id != node->id &&
            is_ok(ensure_can_take_over(node, m->id, NULL)) &&
            (best == 0 || match_of(node, m->id) > match_of(node, best))) {
            best = m->id;
        }
    }
    return best;
}

RESULT node_transfer(struct node *node, uint64_t id, struct err *err) {
    struct node_config config;
    TRY(node__ensure_may_change(node, err));
    TRY(node__ensure_no_catch_up(node, err));
    node_config_from_raft(&node->raft.configuration, &config);
    const struct node_member *member = node_config_find(&config, id);
    ENSURE(id == 0 || (member != NULL && member->role == NODE_VOTER), err, NOT_FOUND,
           "%" PRIu64 " is not a voter", id);
    ENSURE(id != node->id, err, INVALID, "this replica leads already");
    ENSURE(node_config_voters(&config) > 1, err, INVALID, "there is no other voter");
    node__clock(node);
    if (id == 0) {
        id = best_of(node, &config);
        ENSURE(id != 0, err, UNAVAILABLE, "no other voter answers and has nearly everything");
    }
    TRY(ensure_can_take_over(node, id, err));
    node__hand_over(node);
    node->transfer_to = id;
    node->transfer_term = node_term(node);
    node->transfer_until_ms = node->now_ms + patience_ms(node);
    node__transfer_check(node);
    return OK;
}

/* As the library does it when its own, longer time is over. role_changed comes once more, so that
 * the owner knows when it may submit again. */
static void give_up(struct node *node) {
    log_warn("raft: voter %" PRIu64 " did not take over, %" PRIu64 " leads on", node->transfer_to,
             node->id);
    node->raft.leader_state.transferee = 0;
    node->raft.leader_state.transferring = false;
    node->transfer_to = 0;
    node->told_leader = UINT64_MAX;
}

void node__transfer_check(struct node *node) {
    if (node->transfer_to == 0 || node->health != ERR_OK) {
        return;
    }
    if (!node__is_transferring(node)) { /* somebody leads in a later term: it is done */
        node->transfer_to = 0;
        return;
    }
    if (node->now_ms >= node->transfer_until_ms) {
        give_up(node);
        return;
    }
    if (raft_transferee(&node->raft) == 0 &&
        match_of(node, node->transfer_to) == node_log_last(&node->log)) {
        struct raft_event event = {.type = RAFT_TRANSFER};
        event.transfer.server_id = node->transfer_to;
        if (node__turn(node, &event) != 0 && node->health == ERR_OK) {
            give_up(node);
        }
    }
}

void node__transfer_gone(struct node *node, uint64_t peer) {
    if (node__is_transferring(node) && node->transfer_to == peer) {
        give_up(node);
        node__settle(node);
    }
}

uint64_t node__transfer_deadline(const struct node *node) {
    return node__is_transferring(node) ? node->transfer_until_ms : UINT64_MAX;
}
