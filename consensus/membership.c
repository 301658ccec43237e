/* Membership: facts about each id, then one decision from the most urgent to the least.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "consensus/membership.h"

#define FACTS_MAX (LIMIT_MEMBERS + 1) /* all members, and the oldest newcomer */

/* What is known of one id. */
struct fact {
    uint64_t id;
    uint64_t joined;
    uint64_t replaces;
    bool is_member, is_voter, is_dead, is_cut, is_leaving, is_ready;
};

struct facts {
    struct fact items[FACTS_MAX];
    size_t count;
    size_t voters, heard, wanted; /* heard: voters that are neither dead nor cut */
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
        f.is_dead = f.is_cut = f.is_leaving = true;
    } else {
        f.joined = w->joined;
        f.replaces = w->replaces;
        f.is_dead = !w->is_reachable;
        f.is_cut = f.is_dead || w->is_cut;
        f.is_leaving = w->want == MEMBERSHIP_GONE;
        f.is_ready =
            !f.is_voter && w->want == MEMBERSHIP_VOTER && w->is_reachable && w->is_caught_up;
    }
    if (m->id == in->leader) {
        f.is_dead = f.is_cut = false; /* it asks */
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
        const struct fact *f = &out->items[out->count++];
        out->voters += f->is_voter;
        out->heard += f->is_voter && !f->is_cut;
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

static bool dead_follower(const struct facts *all, const struct fact *f) {
    return dead_voter(all, f) && f->id != all->leader;
}

static bool leaving_follower(const struct facts *all, const struct fact *f) {
    return f->is_voter && f->is_leaving && f->id != all->leader;
}

static bool leaving_leader(const struct facts *all, const struct fact *f) {
    return f->is_voter && f->is_leaving && f->id == all->leader;
}

static bool following_voter(const struct facts *all, const struct fact *f) {
    return f->is_voter && f->id != all->leader;
}

static bool sound_follower(const struct facts *all, const struct fact *f) {
    return following_voter(all, f) && !f->is_cut && !f->is_leaving;
}

static bool ready_standby(const struct facts *all, const struct fact *f) {
    (void)all;
    return f->is_ready;
}

/* Its predecessor still votes, and should not. */
static bool ready_replacement(const struct facts *all, const struct fact *f) {
    for (size_t i = 0; i < all->count && f->is_ready && f->replaces != 0; i++) {
        const struct fact *old = &all->items[i];
        if (old->id == f->replaces && old->is_voter && (old->is_dead || old->is_leaving)) {
            return true;
        }
    }
    return false;
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

static const struct fact *best_standby(const struct facts *all) {
    const struct fact *f = pick(all, ready_replacement, false);
    return f != NULL ? f : pick(all, ready_standby, false);
}

/* Only if the rest can commit it and go on. */
static struct membership_step remove_voter(const struct facts *all, const struct fact *f) {
    if (f == NULL || f->id == all->leader) {
        return nothing;
    }
    size_t rest = all->heard - !f->is_cut;
    return rest > (all->voters - 1) / 2 ? step(MEMBERSHIP_REMOVE, f) : nothing;
}

/* The same. One that is cut at this moment is waited for. */
static struct membership_step promote(const struct facts *all, const struct fact *f) {
    if (f == NULL || f->is_cut) {
        return nothing;
    }
    return all->heard + 1 > (all->voters + 1) / 2 ? step(MEMBERSHIP_PROMOTE, f) : nothing;
}

static struct membership_step first_of(struct membership_step a, struct membership_step b) {
    return a.action != MEMBERSHIP_NONE ? a : b;
}

/* Who leaves does not come back; the dead may, but where nobody else can go they do. */
static struct membership_step remove_useless(const struct facts *all) {
    return first_of(remove_voter(all, pick(all, leaving_follower, false)),
                    remove_voter(all, pick(all, dead_follower, false)));
}

static struct membership_step shrink(const struct facts *all) {
    return first_of(remove_useless(all), remove_voter(all, pick(all, following_voter, true)));
}

static struct membership_step leave_even(const struct facts *all) {
    struct membership_step next = promote(all, best_standby(all));
    if (all->voters >= 4) {
        next = first_of(remove_voter(all, pick(all, leaving_follower, false)), next);
    }
    return first_of(next, remove_useless(all));
}

/* Somebody leaves for good. */
static struct membership_step let_go(const struct facts *all) {
    const struct fact *ready = best_standby(all);
    const struct fact *leaving = pick(all, leaving_follower, false);
    if (ready != NULL && leaving != NULL && leaving->is_dead) {
        return first_of(remove_voter(all, leaving), promote(all, ready));
    }
    if (ready != NULL) {
        return promote(all, ready);
    }
    return leaving == NULL ? nothing : remove_useless(all);
}

/* An odd number of voters, not more than wanted. */
static struct membership_step keep_odd(const struct facts *all) {
    const struct fact *ready = best_standby(all);
    if (pick(all, dead_follower, false) != NULL && ready != NULL && !ready->is_cut) {
        return remove_voter(all, pick(all, dead_follower, false));
    }
    if (pick(all, leaving_follower, false) != NULL || pick(all, leaving_leader, false) != NULL) {
        return let_go(all);
    }
    bool grows = all->voters < all->wanted && count(all, ready_standby) >= 2;
    return grows ? promote(all, ready) : nothing;
}

static struct membership_step change_voters(const struct facts *all) {
    if (pick(all, leaving_leader, false) != NULL && pick(all, sound_follower, false) != NULL) {
        return step(MEMBERSHIP_TRANSFER, pick(all, sound_follower, false));
    }
    if (all->voters > all->wanted) {
        return shrink(all);
    }
    return all->voters % 2 == 0 ? leave_even(all) : keep_odd(all);
}

struct membership_step membership_next(const struct membership_input *in) {
    struct facts all;
    CHECK(in->member_count <= LIMIT_MEMBERS);
    CHECK(in->voters % 2 == 1 && in->voters <= LIMIT_VOTERS);
    gather(in, &all);
    struct membership_step next = change_voters(&all);
    next = first_of(next, step(MEMBERSHIP_REMOVE, pick(&all, useless_standby, false)));
    return first_of(next, step(MEMBERSHIP_ADD, pick(&all, newcomer, false)));
}

const char *membership_action_name(enum membership_action action) {
    static const char *const names[] = {"none", "add", "promote", "remove", "transfer"};
    return names[action];
}
