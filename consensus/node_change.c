/* Node membership: one server per change, guarded where the library is not.
 *
 *   add standby ──> promote (catch up, then vote) ──> ... ──> remove
 *
 * Every change is submitted alone, keeps the order of the servers and touches one of them: the
 * library keeps its view of the followers by position. Joiners are standbys, never spares: for a
 * spare the library's timeout lies in the past for ever (pitfall P2).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "consensus/node_internal.h"

bool node_is_settled(const struct node *node) {
    return node__is_leader(node) && node->first_own != 0 &&
           raft_commit_index(&node->raft) >= node->first_own;
}

bool node_is_changing(const struct node *node) {
    const struct raft *r = &node->raft;
    return r->configuration_uncommitted_index != 0 ||
           (node__is_leader(node) && r->leader_state.promotee_id != 0) ||
           node__is_transferring(node);
}

/* For rule R2 and for reads: a leader commits an entry of its own at once. The library submits one
 * only when its log holds entries that are not committed. */
bool node__settle_barrier(struct node *node) {
    static const uint8_t zero[8];
    if (!node__is_leader(node) || node->first_own != 0 || node_rule_is_off(NODE_RULE_R2)) {
        return false;
    }
    return node__submit_entry(node, RAFT_BARRIER, node_payload_new(SPAN(zero))) == 0;
}

/* Rule R2: no change before an entry of this term is committed. Else two leaders' changes, each one
 * server away from the same old configuration, can both get a majority of their own. */
static RESULT ensure_own_term(const struct node *node, struct err *err) {
    ENSURE(node_is_settled(node) || node_rule_is_off(NODE_RULE_R2), err, UNAVAILABLE,
           "nothing of this term is committed yet, retry");
    return OK;
}

RESULT node__ensure_may_change(const struct node *node, struct err *err) {
    const struct raft *r = &node->raft;
    TRY(node__ensure_working(node, err));
    ENSURE(node__is_leader(node), err, NOT_LEADER, "this replica does not lead");
    TRY(ensure_own_term(node, err));
    ENSURE(r->configuration_uncommitted_index == 0, err, UNAVAILABLE,
           "another membership change is not committed yet, retry");
    ENSURE(!node__is_transferring(node), err, UNAVAILABLE,
           "leadership is being transferred, retry");
    return OK;
}

RESULT node__ensure_no_catch_up(const struct node *node, struct err *err) {
    uint64_t promotee = node->raft.leader_state.promotee_id;
    ENSURE(promotee == 0, err, UNAVAILABLE, "member %" PRIu64 " is catching up, retry", promotee);
    return OK;
}

static RESULT submit_config(struct node *node, const struct node_config *config, struct err *err) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    ENSURE(node_config_is_valid(config), err, INVALID, "the configuration would be invalid");
    node_config_encode(config, &bytes);
    node__clock(node);
    int rv = node__submit_entry(node, RAFT_CHANGE, node_payload_new(buf_span(&bytes)));
    ENSURE(rv == 0, err, UNAVAILABLE, "membership change: %s", raft_strerror(rv));
    return OK; /* settled by the tick that node_deadline asks for */
}

RESULT node_add_standby(struct node *node, uint64_t id, struct err *err) {
    struct node_config config;
    ENSURE(id > 0 && id <= INT64_MAX, err, INVALID, "node id %" PRIu64, id);
    TRY(node__ensure_may_change(node, err));
    TRY(node__ensure_no_catch_up(node, err));
    node_config_from_raft(&node->raft.configuration, &config);
    ENSURE(node_config_find(&config, id) == NULL, err, EXISTS, "%" PRIu64 " is a member", id);
    ENSURE(config.count < LIMIT_MEMBERS, err, INVALID, "%zu members, limit %d", config.count,
           LIMIT_MEMBERS);
    config.members[config.count++] = (struct node_member){id, NODE_STANDBY};
    return submit_config(node, &config, err);
}

/* Pitfall P5: the library only asserts that it leads, that the id is a standby and that no other
 * catch-up runs; its release build would follow a null pointer. */
static RESULT ensure_may_catch_up(const struct node *node, const struct node_member *member,
                                  struct err *err) {
    if (node_rule_is_off(NODE_RULE_P5)) {
        return OK;
    }
    ENSURE(member->role == NODE_STANDBY, err, EXISTS, "%" PRIu64 " votes already", member->id);
    return node__ensure_no_catch_up(node, err);
}

/* The library looks at a standby's progress only when it acknowledges something new: a log at rest
 * gets a barrier for it to acknowledge. */
static void nudge(struct node *node, uint64_t id) {
    static const uint8_t zero[8];
    raft_index match = 0;
    if (raft_match_index(&node->raft, id, &match) == 0 && match == node_last_index(node)) {
        node__clock(node);
        node__submit_entry(node, RAFT_BARRIER, node_payload_new(SPAN(zero)));
    }
}

static RESULT start_catch_up(struct node *node, uint64_t id, struct err *err) {
    struct raft_event event = {.type = RAFT_CATCH_UP};
    event.catch_up.server_id = id;
    node__clock(node);
    int rv = node__turn(node, &event);
    ENSURE(rv == 0, err, UNAVAILABLE, "catch-up: %s", raft_strerror(rv));
    nudge(node, id);
    return err_set(err, ERR_UNAVAILABLE, "%" PRIu64 " starts to catch up, retry", id);
}

RESULT node_promote(struct node *node, uint64_t id, struct err *err) {
    struct node_config config;
    int status = RAFT_CATCH_UP_NONE;
    TRY(node__ensure_may_change(node, err));
    node_config_from_raft(&node->raft.configuration, &config);
    const struct node_member *member = node_config_find(&config, id);
    ENSURE(member != NULL, err, NOT_FOUND, "%" PRIu64 " is not a member", id);
    ENSURE(raft_catch_up(&node->raft, id, &status) == 0, err, UNAVAILABLE, "no progress known");
    if (status == RAFT_CATCH_UP_RUNNING) {
        nudge(node, id);
    }
    if (status != RAFT_CATCH_UP_FINISHED) {
        TRY(ensure_may_catch_up(node, member, err));
        return start_catch_up(node, id, err);
    }
    ENSURE(member->role == NODE_STANDBY, err, EXISTS, "%" PRIu64 " votes already", id);
    TRY(node__ensure_no_catch_up(node, err));
    ENSURE(node_config_voters(&config) <= LIMIT_VOTERS, err, INVALID, "too many voters");
    config.members[member - config.members].role = NODE_VOTER;
    return submit_config(node, &config, err);
}

/* Pitfall P1: a leader never removes itself, it transfers first. The last voter of a cluster elects
 * itself without a new term: if it were not the leader, its term would have two. */
static RESULT ensure_leader_stays(const struct node *node, uint64_t id, struct err *err) {
    ENSURE(id != node->id || node_rule_is_off(NODE_RULE_P1), err, INVALID,
           "the leader cannot remove itself: transfer leadership first");
    return OK;
}

RESULT node_remove(struct node *node, uint64_t id, struct err *err) {
    struct node_config config;
    TRY(node__ensure_may_change(node, err));
    TRY(node__ensure_no_catch_up(node, err));
    node_config_from_raft(&node->raft.configuration, &config);
    const struct node_member *member = node_config_find(&config, id);
    ENSURE(member != NULL, err, NOT_FOUND, "%" PRIu64 " is not a member", id);
    TRY(ensure_leader_stays(node, id, err));
    size_t at = (size_t)(member - config.members);
    config.count--;
    memmove(&config.members[at], &config.members[at + 1],
            (config.count - at) * sizeof config.members[0]);
    return submit_config(node, &config, err);
}
