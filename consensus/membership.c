/* Membership: facts about each id, then one decision from the most urgent to the least.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "consensus/membership.h"

#define FACTS_MAX (LIMIT_MEMBERS + 1) /* all members, and the oldest newcomer */

/* What is known of one id. */
struct fact {
    uint64_t id;
    uint64_t joined;
    bool is_member, is_voter, is_dead, is_leaving, is_ready;
};

struct facts {
    struct fact items[FACTS_MAX];
    size_t count;
    size_t voters, wanted;
    uint64_t leader;
};

typedef bool (*fact_test)(const struct facts *all, const struct fact *f);

static const struct membership_step nothing = {MEMBERSHIP_NONE, 0};

static const struct membership_wish *find_wish(const struct membership_input *in, uint64_t id) {
    for (size_t i = 0; i < in->wish_count; i++) {
        if (in->wishes[i].id == id) {
            return &in->wishes[i];
        }
    }
    return NULL;
}

static bool is_member(const struct membership_input *in, uint64_t id) {
    for (size_t i = 0; i < in->member_count; i++) {
        if (in->members[i].id == id) {
            return true;
        }
    }
    return false;
}

static struct fact fact_of_member(const struct membership_input *in, const struct node_member *m) {
    const struct membership_wish *w = find_wish(in, m->id);
    struct fact f = {.id = m->id, .is_member = true, .is_voter = m->role == NODE_VOTER};
    if (w == NULL) {
        f.is_dead = f.is_leaving = true;
    } else {
        f.joined = w->joined;
        f.is_dead = !w->is_reachable;
        f.is_leaving = w->want == MEMBERSHIP_GONE;
        f.is_ready =
            !f.is_voter && w->want == MEMBERSHIP_VOTER && w->is_reachable && w->is_caught_up;
    }
    if (m->id == in->leader) {
        f.is_dead = false; /* it asks */
    }
    return f;
}

static const struct membership_wish *oldest_newcomer(const struct membership_input *in) {
    const struct membership_wish *best = NULL;
    for (size_t i = 0; i < in->wish_count; i++) {
        const struct membership_wish *w = &in->wishes[i];
        if (w->want != MEMBERSHIP_GONE && w->is_reachable && !is_member(in, w->id) &&
            (best == NULL || w->joined < best->joined)) {
            best = w;
        }
    }
    return best;
}

static void gather(const struct membership_input *in, struct facts *out) {
    *out = (struct facts){.wanted = in->voters, .leader = in->leader};
    for (size_t i = 0; i < in->member_count; i++) {
        out->items[out->count] = fact_of_member(in, &in->members[i]);
        out->voters += out->items[out->count++].is_voter;
    }
    const struct membership_wish *w = oldest_newcomer(in);
    if (w != NULL && in->member_count < LIMIT_MEMBERS) {
        out->items[out->count++] = (struct fact){.id = w->id, .joined = w->joined};
    }
}

/* The oldest that passes, or with `newest` the youngest; NULL if none. */
static const struct fact *pick(const struct facts *all, fact_test test, bool newest) {
    const struct fact *best = NULL;
    for (size_t i = 0; i < all->count; i++) {
        const struct fact *f = &all->items[i];
        if (test(all, f) && (best == NULL || (f->joined < best->joined) != newest)) {
            best = f;
        }
    }
    return best;
}

static size_t count(const struct facts *all, fact_test test) {
    size_t n = 0;
    for (size_t i = 0; i < all->count; i++) {
        n += test(all, &all->items[i]);
    }
    return n;
}

static bool dead_voter(const struct facts *all, const struct fact *f) {
    (void)all;
    return f->is_voter && f->is_dead;
}

static bool leaving_voter(const struct facts *all, const struct fact *f) {
    (void)all;
    return f->is_voter && f->is_leaving && !f->is_dead;
}

static bool following_voter(const struct facts *all, const struct fact *f) {
    return f->is_voter && f->id != all->leader;
}

static bool sound_follower(const struct facts *all, const struct fact *f) {
    return following_voter(all, f) && !f->is_dead && !f->is_leaving;
}

static bool ready_standby(const struct facts *all, const struct fact *f) {
    (void)all;
    return f->is_ready;
}

static bool useless_standby(const struct facts *all, const struct fact *f) {
    (void)all;
    return f->is_member && !f->is_voter && (f->is_dead || f->is_leaving);
}

static bool newcomer(const struct facts *all, const struct fact *f) {
    (void)all;
    return !f->is_member;
}

static struct membership_step step(enum membership_action action, const struct fact *f) {
    return f == NULL ? nothing : (struct membership_step){action, f->id};
}

/* Removal of a voter, by somebody else if it leads. */
static struct membership_step remove_voter(const struct facts *all, const struct fact *f) {
    if (f != NULL && f->id == all->leader) {
        return step(MEMBERSHIP_TRANSFER, pick(all, sound_follower, false));
    }
    return step(MEMBERSHIP_REMOVE, f);
}

/* The dead first, then who leaves, then the youngest. */
static const struct fact *least_wanted(const struct facts *all) {
    const struct fact *f = pick(all, dead_voter, false);
    if (f == NULL) {
        f = pick(all, leaving_voter, false);
    }
    return f != NULL ? f : pick(all, following_voter, true);
}

static struct membership_step leave_even(const struct facts *all) {
    if (all->voters > all->wanted) {
        return remove_voter(all, least_wanted(all));
    }
    const struct fact *ready = pick(all, ready_standby, false);
    return ready != NULL ? step(MEMBERSHIP_PROMOTE, ready)
                         : step(MEMBERSHIP_ADD, pick(all, newcomer, false));
}

/* As many voters as wanted, an odd number: replace one if a replacement is ready. */
static struct membership_step replace(const struct facts *all) {
    const struct fact *ready = pick(all, ready_standby, false);
    const struct fact *dead = pick(all, dead_voter, false);
    const struct fact *leaving = pick(all, leaving_voter, false);
    if (dead != NULL) {
        return ready == NULL ? nothing : step(MEMBERSHIP_REMOVE, dead);
    }
    if (leaving == NULL) {
        return nothing;
    }
    if (leaving->id == all->leader && pick(all, sound_follower, false) != NULL) {
        return remove_voter(all, leaving);
    }
    return step(MEMBERSHIP_PROMOTE, ready);
}

static struct membership_step change_voters(const struct facts *all) {
    if (all->voters > all->wanted) {
        return remove_voter(all, least_wanted(all));
    }
    if (all->voters < all->wanted) {
        return count(all, ready_standby) >= 2
                   ? step(MEMBERSHIP_PROMOTE, pick(all, ready_standby, false))
                   : nothing;
    }
    return replace(all);
}

struct membership_step membership_next(const struct membership_input *in) {
    struct facts all;
    CHECK(in->member_count <= LIMIT_MEMBERS);
    CHECK(in->voters % 2 == 1 && in->voters <= LIMIT_VOTERS);
    gather(in, &all);
    if (all.voters % 2 == 0) {
        return leave_even(&all);
    }
    struct membership_step next = change_voters(&all);
    if (next.action == MEMBERSHIP_NONE) {
        next = step(MEMBERSHIP_REMOVE, pick(&all, useless_standby, false));
    }
    if (next.action == MEMBERSHIP_NONE) {
        next = step(MEMBERSHIP_ADD, pick(&all, newcomer, false));
    }
    return next;
}

const char *membership_action_name(enum membership_action action) {
    static const char *const names[] = {"none", "add", "promote", "remove", "transfer"};
    return names[action];
}
