/* Node epochs: a new log that begins with an old state, and the end of a log without a quorum.
 *
 *   survivor:    log without a quorum ──> conclude ──> state ──┐
 *   checkpoint:  sealed state ─────────────────────────────────┴──> restore ──> log of one voter
 *
 * The library sees a restored log as that of a server that starts again after a snapshot: it knows
 * the index, the term and the configuration, and elects itself as the only voter.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "consensus/node_internal.h"
#include "lib/base/log.h"

static void begin_log(struct node *node, uint64_t index, uint64_t term) {
    struct node_snapshot *s = node__snapshot_save(node);
    s->index = s->config_index = index;
    s->term = term;
    s->config = (struct node_config){1, {{node->id, NODE_VOTER}}};
    node->snapshot = s;
    node->applied = node->config_index = index;
    node->config = s->config;
    node_log_reset(&node->log, index, term);
}

RESULT node_restore(struct node *node, uint64_t index, uint64_t term, struct err *err) {
    CHECK(!node->started && !node->is_turning && !node->is_settling);
    TRY(node_health(node, err));
    ENSURE(index > 0 && index < NODE_CODEC_NUMBER_MAX - 1, err, INVALID,
           "a log cannot begin at index %" PRIu64, index);
    ENSURE(term > 0 && term < NODE_CODEC_NUMBER_MAX - 1, err, INVALID,
           "a log cannot begin in term %" PRIu64, term);
    begin_log(node, index, term);
    struct raft_snapshot_metadata metadata = {
        .index = index, .term = term, .configuration_index = index};
    node_config_to_raft(&node->config, &metadata.configuration);
    struct raft_event event = {.type = RAFT_START};
    /* The only voter leads without an election, so the new term must be given to it. */
    event.start.term = term + 1;
    event.start.metadata = &metadata;
    event.start.start_index = index + 1;
    node->started = true;
    node__clock(node);
    CHECK(node__turn(node, &event) == 0);
    node->io->configured(node->io->data, index, node->config.members, node->config.count);
    node__settle(node);
    return OK;
}

static void apply_rest(struct node *node) {
    while (node->applied < node_log_last(&node->log)) {
        const struct node_entry *e = node_log_get(&node->log, ++node->applied);
        CHECK(e != NULL);
        if (e->type == RAFT_COMMAND) {
            node->io->apply(node->io->data, node->applied, e->term,
                            span_of(e->payload->data, e->payload->size));
        }
    }
}

void node_each_unapplied(const struct node *node,
                         void (*cb)(void *data, uint64_t index, uint64_t term, struct span command),
                         void *data) {
    for (uint64_t i = node->applied + 1; i <= node_log_last(&node->log); i++) {
        const struct node_entry *e = node_log_get(&node->log, i);
        CHECK(e != NULL);
        if (e->type == RAFT_COMMAND) {
            cb(data, i, e->term, span_of(e->payload->data, e->payload->size));
        }
    }
}

RESULT node_conclude(struct node *node, struct err *err) {
    CHECK(!node->is_turning && !node->is_settling);
    if (node->is_concluded) {
        return OK;
    }
    TRY(node__ensure_working(node, err));
    node__clock(node);
    node__hand_over(node);
    node__settle(node); /* what is known to be committed; a snapshot that waits to be loaded */
    TRY(node__ensure_working(node, err));
    ENSURE(node->config_index != 0, err, UNAVAILABLE,
           "this replica has received nothing yet: there is nothing to conclude");
    uint64_t committed = node->applied;
    node->is_concluded = true;
    node->health = ERR_FROZEN;
    snprintf(node->reason, sizeof node->reason, "concluded");
    node__read_cancel_all(node, ERR_CANCELED);
    node->is_settling = true; /* nothing follows from what callbacks do now */
    node__tell_role(node);    /* a frozen node does not lead */
    apply_rest(node);
    node->is_settling = false;
    log_info("raft: concluded at %" PRIu64 ", %" PRIu64 " entries beyond what was committed",
             node->applied, node->applied - committed);
    return OK;
}
