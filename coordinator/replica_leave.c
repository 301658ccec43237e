/* Leaving: the orderly end of a replica that a quorum still answers. See replica.h.
 *
 *   SIGTERM -> LEAVING -> lead elsewhere -> RETIRE(asked), its name is free -> out of the
 *   configuration -> GONE, code OK
 *
 * A leader transfers first, so that the cluster is without one for a message or two and not for an
 * election timeout. A voter that a standby can replace stays until that one votes; where there is
 * none it is removed at once (consensus/membership.h): its successor in Kubernetes starts only when
 * this process has ended.
 *
 * Fails by time alone: nothing applied within REPLICA_RETIRE_MS (no quorum), nobody leads for
 * REPLICA_LEADERLESS_MS, or leave_ms over. Then it goes as if it had crashed.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "coordinator/replica_internal.h"
#include "lib/base/log.h"

static const struct core_member *own_member(const struct replica *r) {
    return core_find_member(r->core, r->options.id);
}

static bool is_retired(const struct replica *r) {
    const struct core_member *own = own_member(r);
    return own == NULL || own->state == CORE_LEAVING;
}

/* A transfer ends within one election timeout, well or not; the next one may go elsewhere. */
static void lead_elsewhere(struct replica *r) {
    uint64_t to = replica__fittest_follower(r);
    struct err err;
    if (to == 0) {
        return;
    }
    struct result started = node_transfer(r->node, to, &err);
    if (is_ok(started)) {
        log_info("leaving: leadership goes to replica %llu", (unsigned long long)to);
    } else {
        log_debug("leaving: %s", err.text);
    }
}

static void ask_to_go(struct replica *r) {
    struct entry_retire retire = {
        .id = r->options.id, .reason = RETIRE_ASKED, .time = replica_entry_time(r)};
    r->is_retire_proposed = true;
    replica__propose_own(r, ENTRY_RETIRE, &retire);
}

/* Nobody is there who could take its place, or remove it. */
static bool is_alone(const struct replica *r) {
    size_t count = 0;
    const struct core_member *members = core_members(r->core, &count);
    for (size_t i = 0; i < count; i++) {
        if (members[i].state == CORE_MEMBER && members[i].member.id != r->options.id) {
            return false;
        }
    }
    return true;
}

static void finish(struct replica *r, const char *how) {
    if (r->is_leave_asked) {
        replica__end(r, ERR_OK, "left the cluster%s", how);
    } else {
        replica__end(r, ERR_CANCELED, "retired%s: a restart joins as a new member", how);
    }
}

static void leave_now(struct replica *r, const char *how) {
    log_info("leaving%s", how);
    finish(r, how);
}

static bool is_busy(const struct replica *r) {
    return r->pending_count > 0 && replica_now(r) < r->leave_since_ms + REPLICA_DRAIN_MS;
}

/* Out of the configuration, says the log or a member. */
void replica__left(struct replica *r) {
    finish(r, "");
}

void replica__leave_tick(struct replica *r) {
    uint64_t now = replica_now(r);
    r->leave_ms = now + REPLICA_TEND_MS;
    r->leave_led_ms = replica_leader(r) != 0 ? now : r->leave_led_ms;
    if (now >= r->leave_since_ms + r->options.leave_ms) {
        leave_now(r, ", but still in the configuration: the time for it is over");
    } else if (now - r->leave_led_ms >= REPLICA_LEADERLESS_MS) {
        leave_now(r, ": nobody leads who could remove this replica");
    } else if (is_retired(r)) {
        if (is_alone(r) && !is_busy(r)) {
            leave_now(r, ": nobody is there to wait for");
        } else if (replica_is_leader(r)) {
            lead_elsewhere(r);
        }
    } else if (now >= r->leave_since_ms + REPLICA_RETIRE_MS) {
        leave_now(r, " without a quorum's consent");
    } else if (replica_is_leader(r) && replica__fittest_follower(r) != 0) {
        lead_elsewhere(r);
    } else if (!r->is_retire_proposed) {
        ask_to_go(r);
    }
}

static void begin(struct replica *r) {
    r->leave_since_ms = replica_now(r);
    r->leave_ms = r->leave_since_ms;
    r->leave_led_ms = r->leave_since_ms;
    replica__move(r, REPLICA_LEAVING);
}

void replica__retired(struct replica *r) {
    if (r->state == REPLICA_LEARNER || r->state == REPLICA_STANDBY || r->state == REPLICA_VOTER) {
        log_warn("replica %s is retired by the cluster", r->options.name);
        begin(r);
    }
}

void replica_leave(struct replica *r) {
    if (r->state == REPLICA_GONE || r->is_leave_asked) {
        return;
    }
    r->is_leave_asked = true;
    if (r->state == REPLICA_LEAVING) {
        return;
    }
    if (r->state != REPLICA_LEARNER && r->state != REPLICA_STANDBY && r->state != REPLICA_VOTER) {
        finish(r, "");
        return;
    }
    begin(r);
    replica__leave_tick(r);
}
