/* Membership: the single next step from the committed configuration towards the wanted one.
 *
 *   dead voter, a standby ready:     remove the dead, promote                    3 -> 2 -> 3
 *   dead voter, none ready:          nothing, it may come back; but see below    3
 *   leaving voter, a standby ready:  (lead elsewhere,) promote, remove           3 -> 4 -> 3
 *   leaving voter, none ready:       (lead elsewhere,) remove                    3 -> 2, 5 -> 4
 *   ... and others dead:             remove the dead first, then the leaving     3 -> 2 -> 1
 *   growing:                         two standbys ready, then promote, promote   1 -> 2 -> 3
 *   shrinking:                       remove, remove                              5 -> 4 -> 3
 *   even by chance:                  promote a ready standby, else remove a      2 -> 3, 4 -> 3
 *                                    dead voter; from 4 on first who leaves
 *
 * Why a voter that leaves does not wait for its replacement: it dies at the end of its grace period
 * anyway, and n - 1 voters need as many for a majority as n with one dead, if n is odd, or one
 * less, if n is even. So removing it is never worse than what comes next, and it frees the pod at
 * once. It is worse than its staying, so a standby that is ready comes first. The same holds for a
 * member without a row (retired): it does not come back. A dead voter may; it goes only for a
 * replacement, from an even number, or so that somebody else may leave. Two voters that are left so
 * need each other, as two of three did; they are not made one, which would keep the state in one
 * place only, unless one of them leaves.
 *
 * No removal and no promotion leaves fewer voters in touch than a majority of the new ones: it
 * could not be committed, and the leader would step down with a configuration in its log that needs
 * those who are gone, although the old one could have gone on without them. So a voter counts here
 * only while it is heard, not until it is known to be dead. Who leaves and is still needed has to
 * wait: "safe to stop" is no. Nobody removes itself: a leader that leaves transfers first, to a
 * voter in touch, so one voter alone is the leader.
 *
 * Standbys are promoted only while reachable and caught up: first who replaces a dead or leaving
 * voter (the same name), then in order of admission.
 *
 * Pure: the same input gives the same step. No plan is remembered: a new leader derives the same
 * one from the member table and the configuration. Repeated, it comes to rest.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_MEMBERSHIP_H
#define CONTRAST_MEMBERSHIP_H

#include "consensus/node.h"

enum membership_want {
    MEMBERSHIP_VOTER,   /* may vote when a voter is needed, else stands by */
    MEMBERSHIP_STANDBY, /* only stands by */
    MEMBERSHIP_GONE,    /* asked to leave or was retired */
};

/* One row of the member table. Members of the configuration without a row count as gone and dead.
 */
struct membership_wish {
    uint64_t id;
    enum membership_want want;
    bool is_reachable; /* false only after the liveness check that a quorum confirmed */
    bool is_cut;       /* reachable, perhaps, but not heard at this moment */
    bool is_caught_up; /* a standby that holds (nearly) the whole log */
    uint64_t joined;   /* order of admission; older ones are preferred */
    uint64_t replaces; /* the member of the same name that it came after; 0: none */
};

enum membership_action {
    MEMBERSHIP_NONE,
    MEMBERSHIP_ADD,      /* node_add_standby */
    MEMBERSHIP_PROMOTE,  /* node_promote */
    MEMBERSHIP_REMOVE,   /* node_remove */
    MEMBERSHIP_TRANSFER, /* node_transfer */
};

struct membership_step {
    enum membership_action action;
    uint64_t id; /* 0 with NONE */
};

struct membership_input {
    const struct membership_wish *wishes; /* any order, ids unique */
    size_t wish_count;
    const struct node_member *members; /* the committed configuration */
    size_t member_count;               /* at most LIMIT_MEMBERS */
    size_t voters;                     /* wanted: odd, 1..LIMIT_VOTERS */
    uint64_t leader;                   /* who asks */
};

struct membership_step membership_next(const struct membership_input *input);
const char *membership_action_name(enum membership_action action);

#endif
