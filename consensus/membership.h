/* Membership: the single next step from the committed configuration towards the wanted one.
 *
 *   dead voter:       add newcomer, catch up, remove the dead, promote      3 -> 2 -> 3 voters
 *   leaving voter:    (lead elsewhere,) add, catch up, promote, remove      3 -> 4 -> 3
 *   growing:          two standbys ready, then promote, promote            1 -> 2 -> 3
 *   shrinking:        remove, remove                                       5 -> 4 -> 3
 *
 * Pure: the same input gives the same step. No plan is remembered: a new leader derives the same
 * one from the member table and the configuration. An even number of voters is always left by the
 * next step; none is entered unless the step after it can follow. A leader never removes itself: it
 * transfers first, so one voter alone is always the leader.
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
    bool is_caught_up; /* a standby that holds (nearly) the whole log */
    uint64_t joined;   /* order of admission; older ones are preferred */
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
