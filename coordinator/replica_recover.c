/* Replica, recovery: a new epoch that begins with this replica alone. See replica.h, revival.h for
 * what was checked before, and ARCHITECTURE section 8.
 *
 *   survey    core, and what stands in the log behind it, as one state: nothing changes
 *   recover   the RECOVER entry is tried on a copy; only if that is taken does the old life end
 *             (node, links, requests) and a new log begin with the state and this entry
 *
 *   EMPTY, PREPARED, JOINING -> RECOVERING   from a checkpoint: this replica held nothing
 *   member, FROZEN           -> RECOVERING   from a survivor: the state must still be the one that
 *                                            was surveyed
 *   RECOVERING -> VOTER                      RECOVER is applied; who asked is told
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "coordinator/replica_internal.h"
#include "coordinator/revival.h"
#include "lib/base/log.h"

/* --- Survey */

struct tail {
    struct core *core;
    struct core_result *result;
    bool is_over; /* an entry that this build does not know: the state ends before it */
};

static void apply_tail(void *data, uint64_t index, uint64_t term, struct span command) {
    struct tail *t = data;
    if (!t->is_over) {
        core_apply(t->core, index, term, command, t->result);
        t->is_over = t->result->must_freeze;
    }
}

/* An acknowledged entry is stored by a majority; a survivor that holds it need not know that it is
 * committed. Only to apply all that stands here loses none. */
static struct core *with_tail(const struct replica *r) {
    struct tail tail = {core_copy(r->core), mem_zalloc(sizeof *tail.result), false};
    if (r->node != NULL) {
        node_each_unapplied(r->node, apply_tail, &tail);
    }
    mem_free(tail.result);
    return tail.core;
}

struct result replica_survey(struct replica *r, struct buf *state, struct recovery *position,
                             uint64_t *last_term, struct err *err) {
    bool holds = replica_state_is_member(r->state) || r->state == REPLICA_FROZEN;
    ENSURE(holds && core_is_founded(r->core), err, NOT_FOUND,
           "replica %s is %s: it holds no state to recover from", r->options.name,
           replica_state_name(r->state));
    struct core *core = with_tail(r);
    bool has_manifest = core_generation(core) > 0;
    if (has_manifest) {
        *position = (struct recovery){0};
        revival_position(core, position);
        *last_term = r->node == NULL ? core_applied_term(core) : node_last_term(r->node);
        core_save_checkpoint(core, state);
    }
    core_free(core);
    ENSURE(has_manifest, err, NOT_FOUNDED, "no manifest was ever set: found the cluster anew");
    return OK;
}

/* --- Recover */

static RESULT check_unchanged(struct replica *r, struct span state, struct err *err) {
    AUTO(buf_deinit)
    struct buf now = {0};
    struct recovery position = {0};
    uint64_t last_term = 0;
    TRY(replica_survey(r, &now, &position, &last_term, err));
    ENSURE(span_equal_ct(buf_span(&now), state), err, CHANGED,
           "the survivor's state moved meanwhile (entry %llu): a quorum was there; look again",
           (unsigned long long)position.index);
    return OK;
}

static RESULT check_may_recover(struct replica *r, struct span state, struct err *err) {
    switch (r->state) {
    case REPLICA_EMPTY:
    case REPLICA_PREPARED:
    case REPLICA_JOINING:
        return OK;
    case REPLICA_LEARNER:
    case REPLICA_STANDBY:
    case REPLICA_VOTER:
    case REPLICA_FROZEN:
        return check_unchanged(r, state, err);
    case REPLICA_FOUNDER:
    case REPLICA_LEAVING:
    case REPLICA_RECOVERING:
    case REPLICA_GONE:
    case REPLICA_STATE_COUNT:
        break;
    }
    return err_set(err, ERR_PROTOCOL, "replica %s is %s: nothing can be recovered onto it",
                   r->options.name, replica_state_name(r->state));
}

/* The command stands two entries behind the state: one is the new leader's own. */
static RESULT rehearse(const struct core *core, uint64_t term, struct span entry, struct err *err) {
    struct core *copy = core_copy(core);
    struct core_result *result = mem_zalloc(sizeof *result);
    core_apply(copy, core_applied_index(core) + 2, term, entry, result);
    struct result r = OK;
    if (result->code != ERR_OK || result->type != ENTRY_RECOVER) {
        r = err_set(err, result->code == ERR_OK ? ERR_INVALID : result->code,
                    "the RECOVER entry is refused: %.800s", result->text);
    }
    mem_free(result);
    core_free(copy);
    return r;
}

/* The FOUND entry, for those who join: a state keeps the founders' rows without their evidence,
 * which nothing but the founding itself was decided by. */
static void rebuild_found(struct replica *r) {
    static const char none[] = "not kept";
    struct entry_member founders[LIMIT_VOTERS];
    struct entry_digest roots[LIMIT_REFERENCE_VALUES];
    size_t count = 0;
    size_t root_count = 0;
    const struct entry_member *from = core_founders(r->core, &count);
    const struct entry_digest *roots_from = core_simulated_roots(r->core, &root_count);
    CHECK(count <= LIMIT_VOTERS && root_count <= LIMIT_REFERENCE_VALUES);
    for (size_t i = 0; i < count; i++) {
        founders[i] = from[i];
        founders[i].evidence = span_of(none, sizeof none - 1);
    }
    if (root_count > 0) {
        memcpy(roots, roots_from, root_count * sizeof roots[0]);
    }
    struct entry_found found = {.founders = {founders, count},
                                .time = core_founding_time(r->core),
                                .simulated_roots = {root_count == 0 ? NULL : roots, root_count}};
    memcpy(found.cluster, core_cluster(r->core), sizeof found.cluster);
    buf_clear(&r->found);
    entry_encode(ENTRY_FOUND, &found, &r->found);
}

/* Everything that hangs on the old log. */
static void end_old_life(struct replica *r) {
    replica__fail_all(r, ERR_UNAVAILABLE, "this replica begins a new epoch: try again");
    node_free(r->node);
    r->node = NULL;
    r->why = (struct err){.code = ERR_OK};
    r->expected_generation = 0;
    memset(r->expected_head, 0, sizeof r->expected_head);
    replica__forget_told(r); /* members of the old epoch are strangers now */
    memset(r->clocks, 0, sizeof r->clocks);
    r->beat_ms = 0;
    r->admitting_id = 0;
    r->lonely_ms = 0;
    r->progress_index = 0;
    r->ticked_ms = 0;
    r->lapse_ms = 0;
    r->issues_in_flight = 0;
    r->members_ms = 0;
    r->removed_ms = 0;
    r->confirmed_ms = 0;
    r->is_confirming = false;
    r->led_since_ms = 0;
    r->link_count = 0;
    r->configured_count = 0;
    r->hashed_interval = 0;
    r->early_count = 0;
    memset(r->hashes, 0, sizeof r->hashes);
}

/* The library elects the only voter at once. */
static RESULT begin_log(struct replica *r, uint64_t term, struct span entry, struct err *err) {
    uint64_t at = 0;
    uint64_t at_term = 0;
    TRY(replica__start_node(r, err));
    TRY(node_restore(r->node, core_applied_index(r->core), term, err));
    return node_submit(r->node, entry, &at, &at_term, err);
}

struct result replica_recover(struct replica *r, struct span state, struct span entry,
                              uint64_t ticket, struct err *err) {
    struct core *core = NULL;
    TRY(check_may_recover(r, state, err));
    TRY(core_load_checkpoint(state, &core, err));
    uint64_t term = r->node == NULL ? 0 : node_last_term(r->node);
    term = core_applied_term(core) > term ? core_applied_term(core) : term;
    struct result rehearsed = rehearse(core, term + 1, entry, err);
    if (!is_ok(rehearsed)) {
        core_free(core);
        return rehearsed;
    }
    log_warn("replica %s: a new epoch begins with the state up to entry %llu", r->options.name,
             (unsigned long long)core_applied_index(core));
    end_old_life(r);
    core_free(r->core);
    r->core = core;
    rebuild_found(r);
    r->has_recover_ticket = true;
    r->recover_ticket = ticket;
    replica__move(r, REPLICA_RECOVERING);
    struct result begun = begin_log(r, term, entry, err);
    if (!is_ok(begun)) { /* the old life is over: nothing is left to go back to */
        r->has_recover_ticket = false;
        replica__end(r, begun.code, "a new log could not be begun: %.800s", err->text);
    }
    return begun;
}

void replica__recovered(struct replica *r) {
    struct replica_reply reply = {.code = r->result.code, .text = r->result.text};
    if (r->state != REPLICA_RECOVERING) {
        return; /* a joiner on its way through it */
    }
    if (reply.code == ERR_OK) {
        r->epoch = core_epoch(r->core);
        replica__move(r, REPLICA_VOTER);
    }
    if (r->has_recover_ticket) {
        r->has_recover_ticket = false;
        r->io.reply(r->io.data, r->recover_ticket, &reply);
    }
    if (reply.code != ERR_OK) {
        replica__end(r, reply.code, "the recovery was refused: %.800s", r->result.text);
    }
}

void replica_superseded(struct replica *r, uint64_t epoch, const uint8_t recovery[32]) {
    char hash[65];
    if (!core_is_founded(r->core) || epoch <= replica_epoch(r)) {
        return; /* this replica is of that epoch meanwhile */
    }
    hex_encode(span_of(recovery, 32), hash);
    replica__end(r, ERR_CANCELED,
                 "superseded by epoch %llu (recovery %s): a restart joins it as a new member",
                 (unsigned long long)epoch, hash);
}

uint64_t replica_epoch(const struct replica *r) {
    uint64_t applied = core_epoch(r->core);
    return applied > r->epoch ? applied : r->epoch;
}
