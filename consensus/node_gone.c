/* Node, leader gone: an election before its time, because the leader's process is known to be dead.
 *
 *   link: closed or refused ──> forget the leader ──> pause (random) ──> pre-vote ──> vote
 *                                      │ a leader speaks: nothing happened    └──> again, a few
 * times
 *
 * An election timeout is for silence, which proves little. A closed connection proves much, and to
 * whoever sees one the timeout is lost time. Others may see it a little later and refuse the first
 * pre-vote, or two may campaign at once and split the votes: so early elections follow one another
 * at short random pauses, LIMIT_GONE_CAMPAIGNS in one election timeout, and then the library's own
 * timeout rules again. Nothing here can harm safety: terms, votes and logs are the library's.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "consensus/node_internal.h"

/* Early timers are counted per election timeout. */
static bool has_budget(struct node *node) {
    if (node->now_ms - node->gone_since_ms >= node->options.election_timeout_ms) {
        node->gone_since_ms = node->now_ms;
        node->gone_campaigns = 0;
    }
    return node->gone_campaigns < LIMIT_GONE_CAMPAIGNS;
}

/* Lets the library's election timer run out after the pause. Not its random timeout is changed but
 * the time when it began: the next heartbeat sets that anew and leaves the other as it is, which
 * would then be too short for ever. The sum is what counts, also where the difference wraps. Both
 * timeouts stand at the same place in the library's two states. */
static void hasten_election(struct node *node) {
    struct raft *r = &node->raft;
    unsigned pause = node->options.gone_timeout_ms;
    uint32_t random;
    host_random(node->host, &random, sizeof random);
    pause += random % (pause + 1);
    node->gone_campaigns++;
    r->election_timer_start = node->now_ms + pause - r->follower_state.randomized_election_timeout;
    node->raft_deadline_ms = node->now_ms + (pause == 0 ? 1 : pause);
}

/* The library refuses every (pre-)vote while it names a leader, dead or not (recv_request_vote.c),
 * and offers no call to make it forget one: those who lost the leader must clear it to grant each
 * other what they need. The address beside it stays: the library compares and frees it. */
static void forget_leader(struct node *node) {
    CHECK(node->raft.state == RAFT_FOLLOWER);
    node->raft.follower_state.current_leader.id = 0;
    node->leader_is_gone = true;
}

static bool is_voter(const struct node *node) {
    struct node_config config;
    node_config_from_raft(&node->raft.configuration, &config);
    const struct node_member *self = node_config_find(&config, node->id);
    return self != NULL && self->role == NODE_VOTER;
}

void node_leader_gone(struct node *node, uint64_t peer) {
    if (node->is_turning) { /* from inside `send`: after this turn */
        node->gone_report = peer;
        return;
    }
    node__transfer_gone(node, peer);
    if (!node->started || node->health != ERR_OK || node_role(node) != NODE_FOLLOWER || peer == 0 ||
        node_leader(node) != peer) {
        return;
    }
    node__clock(node);
    if (!has_budget(node)) {
        return;
    }
    forget_leader(node);
    if (is_voter(node)) {
        hasten_election(node);
    }
    node__settle(node);
}

/* Whoever waits for a vote of its own, or has given none in this term, waits for itself. */
static bool is_campaigning(const struct node *node) {
    const struct raft *r = &node->raft;
    return r->state == RAFT_CANDIDATE || (r->state == RAFT_FOLLOWER && r->voted_for == 0);
}

void node__gone_check(struct node *node) {
    uint64_t report = node->gone_report;
    node->gone_report = 0;
    if (report != 0) {
        node_leader_gone(node, report);
    }
    if (!node->leader_is_gone || node->health != ERR_OK) {
        return;
    }
    if (node->raft.state == RAFT_LEADER) {
        node->leader_is_gone = false;
        return;
    }
    uint64_t longest = node->now_ms + 2ULL * node->options.gone_timeout_ms + 1;
    if (raft_timeout(&node->raft) > longest && is_campaigning(node) && is_voter(node) &&
        has_budget(node)) {
        hasten_election(node);
    }
}

void node__leader_seen(struct node *node) {
    if (node->leader_is_gone && node->raft.state == RAFT_FOLLOWER) {
        node->raft.election_timer_start = node->now_ms;
        node->raft_deadline_ms = raft_timeout(&node->raft);
    }
    node->leader_is_gone = false;
}
