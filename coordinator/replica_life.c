/* Life of a replica: the table of states, and every reason to change one. See replica.h and
 * docs/ARCHITECTURE.md, "States of a replica".
 *
 * GONE is the end of the process: removed, left, lapsed, diverged, or shown a history that is not
 * the verified one. FROZEN is not: an entry or a snapshot of a newer build stopped this replica. It
 * neither votes nor applies, and its memory stays for whoever recovers the cluster from it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/replica_internal.h"
#include "lib/base/log.h"
#include "lib/base/sm.h"

#define BIT SM_BIT
#define END (BIT(REPLICA_FROZEN) | BIT(REPLICA_GONE))

static const struct sm_state states[REPLICA_STATE_COUNT] = {
    [REPLICA_EMPTY] = {"empty", BIT(REPLICA_PREPARED) | BIT(REPLICA_JOINING) |
                                    BIT(REPLICA_RECOVERING) | BIT(REPLICA_GONE)},
    [REPLICA_PREPARED] = {"prepared", BIT(REPLICA_EMPTY) | BIT(REPLICA_FOUNDER) |
                                          BIT(REPLICA_JOINING) | BIT(REPLICA_RECOVERING) |
                                          BIT(REPLICA_GONE)},
    [REPLICA_FOUNDER] = {"founder", BIT(REPLICA_VOTER) | END},
    [REPLICA_JOINING] = {"joining", BIT(REPLICA_LEARNER) | BIT(REPLICA_RECOVERING) | END},
    [REPLICA_LEARNER] = {"learner", BIT(REPLICA_STANDBY) | BIT(REPLICA_VOTER) |
                                        BIT(REPLICA_LEAVING) | BIT(REPLICA_RECOVERING) | END},
    [REPLICA_STANDBY] = {"standby",
                         BIT(REPLICA_VOTER) | BIT(REPLICA_LEAVING) | BIT(REPLICA_RECOVERING) | END},
    [REPLICA_VOTER] = {"voter", BIT(REPLICA_LEAVING) | BIT(REPLICA_RECOVERING) | END},
    [REPLICA_LEAVING] = {"leaving", END},
    [REPLICA_FROZEN] = {"frozen", BIT(REPLICA_RECOVERING) | BIT(REPLICA_GONE)},
    [REPLICA_RECOVERING] = {"recovering", BIT(REPLICA_VOTER) | END},
    [REPLICA_GONE] = {"gone", 0},
};

void replica__move(struct replica *r, enum replica_state to) {
    r->state = (enum replica_state)sm_move(states, (int)r->state, (int)to);
    log_info("replica %s id=%llu is %s", r->options.name, (unsigned long long)r->options.id,
             states[to].name);
    r->beat_ms = 0; /* a new member's clock is missed until it was heard (replica_beat.c) */
    r->members_ms = 0;
}

bool replica__is_over(const struct replica *r) {
    return r->state == REPLICA_FROZEN || r->state == REPLICA_GONE;
}

/* --- Ends */

static void stop_taking_part(struct replica *r, enum replica_state to, const struct err *why) {
    r->why = *why;
    if (r->node != NULL) {
        node_freeze(r->node, why->text);
    }
    replica__move(r, to);
    if (why->code == ERR_OK) {
        replica__fail_all(r, ERR_UNAVAILABLE, "this replica leaves: ask another one");
    } else {
        replica__fail_all(r, ERR_FROZEN, why->text);
    }
}

void replica__end(struct replica *r, enum err_code code, const char *format, ...) {
    if (r->state == REPLICA_GONE) {
        return;
    }
    struct err why = {.code = code};
    va_list args;
    va_start(args, format);
    vsnprintf(why.text, sizeof why.text, format, args);
    va_end(args);
    stop_taking_part(r, REPLICA_GONE, &why);
    r->io.gone(r->io.data, &why);
}

void replica_reject(struct replica *r, const struct err *why) {
    replica__end(r, why->code, "%s", why->text);
}

void replica__freeze(struct replica *r, const char *text) {
    if (replica__is_over(r)) {
        return;
    }
    struct err why = {.code = ERR_FROZEN};
    snprintf(why.text, sizeof why.text, "%s", text);
    log_error("replica %s is frozen, its memory is kept: %s", r->options.name, text);
    stop_taking_part(r, REPLICA_FROZEN, &why);
    r->io.peers(r->io.data, core_cluster(r->core), NULL, 0);
}

/* What the node found out by itself. */
void replica__check_health(struct replica *r) {
    struct err why;
    if (r->node == NULL || replica__is_over(r) || is_ok(node_health(r->node, &why))) {
        return;
    }
    if (why.code == ERR_FROZEN) {
        replica__freeze(r, why.text);
    } else {
        replica__end(r, why.code, "%s", why.text);
    }
}

/* --- Ways up */

static const struct node_member *own_row(const struct node_member *members, size_t count,
                                         uint64_t id) {
    for (size_t i = 0; i < count; i++) {
        if (members[i].id == id) {
            return &members[i];
        }
    }
    return NULL;
}

static bool votes(const struct replica *r) {
    struct node_member members[LIMIT_MEMBERS] = {0};
    size_t count = node_members(r->node, members);
    const struct node_member *own = own_row(members, count, r->options.id);
    return own != NULL && own->role == NODE_VOTER;
}

/* A quorum confirmed, after this replica came into the configuration, how far the log is, and all
 * that is applied here. */
void replica__caught_up(struct replica *r) {
    if (r->state == REPLICA_LEARNER) {
        replica__move(r, votes(r) ? REPLICA_VOTER : REPLICA_STANDBY);
    }
}

void replica__life_configured(struct replica *r, const struct node_member *members, size_t count) {
    const struct node_member *own = own_row(members, count, r->options.id);
    if (own != NULL && r->state == REPLICA_JOINING) {
        r->lapse_ms = 0;
        r->progress_ms = replica_now(r);
        replica__move(r, REPLICA_LEARNER);
        replica__set_peers(r);
    } else if (own != NULL && own->role == NODE_VOTER && r->state == REPLICA_STANDBY) {
        replica__move(r, REPLICA_VOTER);
    } else if (own == NULL && r->state == REPLICA_LEAVING) {
        replica__left(r);
    } else if (own == NULL && replica_state_is_member(r->state)) {
        replica__end(r, ERR_CANCELED, "removed from the cluster: a restart joins as a new member");
    }
}

void replica__life_manifest(struct replica *r) {
    if (r->state == REPLICA_FOUNDER) {
        r->lapse_ms = 0;
        replica__move(r, REPLICA_VOTER);
    }
}

/* --- Time */

/* Time in which the host paused this process counts for no lapse: what came meanwhile is heard
 * first. Ticks are never further apart than REPLICA_MEMBERS_MS otherwise. */
static void forgive_pause(struct replica *r) {
    uint64_t now = replica_now(r);
    uint64_t gap = r->ticked_ms == 0 ? 0 : now - r->ticked_ms;
    r->ticked_ms = r->node == NULL ? 0 : now; /* without a node there is nothing to tick for */
    if (gap >= REPLICA_PAUSE_MS) {
        r->lapse_ms += r->lapse_ms == 0 ? 0 : gap;
        r->progress_ms += gap;
    }
}

/* The state that it is sent may be large, and the way slow. */
static bool is_fed(const struct replica *r) {
    return r->progress_ms != 0 && replica_now(r) < r->progress_ms + r->options.founding_ms;
}

static void check_lapse(struct replica *r) {
    if (r->lapse_ms == 0 || replica_now(r) < r->lapse_ms) {
        return;
    }
    r->lapse_ms = 0;
    bool is_founder = r->state == REPLICA_FOUNDER;
    if (r->state == REPLICA_PREPARED) {
        log_warn("no founding followed the preparation: empty again");
        replica__move(r, REPLICA_EMPTY);
    } else if (r->state == REPLICA_JOINING && is_fed(r)) {
        r->lapse_ms = r->progress_ms + r->options.founding_ms;
    } else if (r->state == REPLICA_JOINING) {
        replica__end(r, ERR_TIMEOUT, "admitted, but not taken into the configuration in time");
    } else if (is_founder && node_last_index(r->node) > node_commit_index(r->node)) {
        /* The manifest may be in the log, committed and acknowledged, and only that not known. */
        r->lapse_ms = replica_now(r) + r->options.founding_ms;
    } else if (is_founder) {
        replica__end(r, ERR_TIMEOUT, "founded, but no manifest was committed in time");
    }
}

/* A learner that hears nothing new holds a row and a place for nothing; but not one that was made a
 * voter meanwhile, or may have been: what it stores may have been acknowledged because of it. */
static void check_learner(struct replica *r) {
    if (votes(r) || node_is_changing(r->node)) {
        r->progress_ms = replica_now(r);
    } else if (replica_applied(r) != r->progress_index) {
        r->progress_index = replica_applied(r);
        r->progress_ms = replica_now(r);
    } else if (replica_now(r) - r->progress_ms >= r->options.learner_ms) {
        replica__end(r, ERR_TIMEOUT, "in the configuration, but no progress for %llu ms",
                     (unsigned long long)r->options.learner_ms);
        return;
    }
    replica__prove_caught_up(r);
}

void replica__life_tick(struct replica *r) {
    forgive_pause(r);
    check_lapse(r);
    if (r->state == REPLICA_LEARNER) {
        check_learner(r);
    } else if (r->state == REPLICA_LEAVING && replica_now(r) >= r->leave_ms) {
        replica__leave_tick(r);
    }
}
