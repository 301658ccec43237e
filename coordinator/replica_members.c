/* Members of a replica's cluster: who should be linked, who should vote, who is dead, and
 * what the session threads know. See replica.h.
 *
 * The plan lives in no leader's memory: every REPLICA_MEMBERS_MS the leader compares the member
 * table (core) with the committed configuration (node) and takes the single next step
 * (consensus/membership.h). Who is dead is said by a leader that a quorum has just confirmed.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "consensus/membership.h"
#include "coordinator/replica_internal.h"
#include "lib/base/log.h"

/* --- Views and links */

void replica__publish(struct replica *r) {
    if (core_is_checkpoint(r->core)) {
        return; /* without a mesh CA until RECOVER comes */
    }
    r->io.publish(r->io.data, view_new(r->core, buf_span(&r->found)));
}

void replica__set_peers(struct replica *r) {
    if (core_find_member(r->core, r->options.id) == NULL) {
        return; /* a joiner on its way through older history: its admission named its peers */
    }
    struct replica_peer peers[LIMIT_MEMBERS];
    size_t count = 0;
    size_t peer_count = 0;
    const struct core_member *members = core_members(r->core, &count);
    for (size_t i = 0; i < count && peer_count < LIMIT_MEMBERS; i++) {
        const struct entry_member *m = &members[i].member;
        if (m->id != r->options.id) {
            peers[peer_count++] = (struct replica_peer){m->id, m->address, m->spki};
        }
    }
    for (size_t i = 0; i < r->told_count && peer_count < LIMIT_MEMBERS; i++) {
        const struct entry_member *m = &r->told[i]->member;
        if (core_find_member(r->core, m->id) == NULL) {
            peers[peer_count++] = (struct replica_peer){m->id, m->address, m->spki};
        }
    }
    r->io.peers(r->io.data, core_cluster(r->core), peers, peer_count);
}

static struct link_state *find_link(struct replica *r, uint64_t id) {
    for (size_t i = 0; i < r->link_count; i++) {
        if (r->links[i].id == id) {
            return &r->links[i];
        }
    }
    return NULL;
}

/* A new row, or the one that has been down for longest. */
static struct link_state *free_link(struct replica *r) {
    if (r->link_count < LIMIT_MEMBERS) {
        return &r->links[r->link_count++];
    }
    struct link_state *best = &r->links[0];
    for (size_t i = 1; i < r->link_count; i++) {
        struct link_state *l = &r->links[i];
        if (best->is_up != l->is_up ? best->is_up : l->changed_ms < best->changed_ms) {
            best = l;
        }
    }
    return best;
}

void replica__link_changed(struct replica *r, uint64_t id, bool is_up) {
    struct link_state *link = find_link(r, id);
    if (link == NULL) {
        link = free_link(r);
    }
    *link = (struct link_state){id, is_up, replica_now(r), 0};
}

bool replica__is_linked(const struct replica *r, uint64_t id) {
    for (size_t i = 0; i < r->link_count; i++) {
        if (r->links[i].id == id) {
            return r->links[i].is_up;
        }
    }
    return false;
}

/* --- Life and death of members */

static uint64_t later(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

/* When a member of the configuration came into it, as seen from here; 0 for others. */
static uint64_t configured_ms(const struct replica *r, uint64_t id) {
    for (size_t i = 0; i < r->configured_count; i++) {
        if (r->configured[i].id == id) {
            return r->configured[i].since_ms;
        }
    }
    return 0;
}

void replica__configured(struct replica *r, const struct node_member *members, size_t count) {
    struct configured_member next[LIMIT_MEMBERS] = {0};
    CHECK(count <= LIMIT_MEMBERS);
    for (size_t i = 0; i < count; i++) {
        uint64_t since = configured_ms(r, members[i].id);
        next[i] = (struct configured_member){members[i].id, since == 0 ? replica_now(r) : since};
    }
    memcpy(r->configured, next, count * sizeof next[0]);
    r->configured_count = count;
    r->removed_ms = 0; /* who was removed just now hears it at once */
}

/* Since when nothing was heard of a member, in ms; 0 while it is heard of. A leader hears every
 * member of the configuration within a heartbeat, from when it began to lead, or woke, or the
 * member came in; of all others, and at the others, the state of the link is all that is known. */
static uint64_t silent_ms(const struct replica *r, uint64_t id) {
    uint64_t since = r->member_since_ms; /* never linked */
    struct node_progress progress = {0, 0};
    if (id == r->options.id) {
        return 0;
    }
    for (size_t i = 0; i < r->link_count; i++) {
        if (r->links[i].id == id) {
            since = r->links[i].is_up ? replica_now(r) : r->links[i].changed_ms;
        }
    }
    if (replica_is_leader(r)) {
        bool is_known = node_is_configured(r->node, id) &&
                        node_peer_progress(r->node, id, &progress) && progress.last_contact_ms != 0;
        since = is_known ? progress.last_contact_ms : since;
        since = later(since, later(r->led_since_ms, configured_ms(r, id)));
    }
    return replica_now(r) - since;
}

bool replica__is_silent(const struct replica *r, uint64_t id) {
    return silent_ms(r, id) >= r->options.dead_after_ms;
}

static const struct core_member *holder_of(const struct replica *r, const char *name) {
    size_t count = 0;
    const struct core_member *members = core_members(r->core, &count);
    for (size_t i = 0; i < count; i++) {
        if (members[i].state == CORE_MEMBER && strcmp(members[i].member.name, name) == 0) {
            return &members[i];
        }
    }
    return NULL;
}

bool replica_name_is_free(const struct replica *r, const char *name, uint64_t *old) {
    const struct core_member *holder = holder_of(r, name);
    *old = holder == NULL ? 0 : holder->member.id;
    return holder == NULL || core_rule_is_off(CORE_RULE_NAME) ||
           (r->node != NULL && replica__is_silent(r, holder->member.id));
}

/* Confirmed by a quorum a moment ago: whoever was silent for longer is not part of that quorum. */
static bool is_confirmed(const struct replica *r) {
    return r->confirmed_ms != 0 && replica_now(r) - r->confirmed_ms < 2 * REPLICA_CONFIRM_MS;
}

/* Names are labels: a newcomer takes one over only from a member that leaves, or that this leader,
 * confirmed by a quorum a moment ago, has not heard of for dead_after_ms. */
static RESULT check_name(const struct replica *r, const struct entry_admit *admit,
                         struct err *err) {
    const struct core_member *old = core_find_member(r->core, admit->replaces);
    if (admit->replaces == 0 || old == NULL || old->state == CORE_LEAVING ||
        core_rule_is_off(CORE_RULE_NAME)) {
        return OK;
    }
    ENSURE(is_confirmed(r), err, UNAVAILABLE,
           "no quorum has confirmed yet whether the present %s lives", admit->member.name);
    ENSURE(replica__is_silent(r, old->member.id), err, EXISTS,
           "the name %s belongs to member %llu, which lives: it is free when that one has left, or "
           "was silent for %llu ms",
           admit->member.name, (unsigned long long)old->member.id,
           (unsigned long long)r->options.dead_after_ms);
    return OK;
}

/* Admitted, alive, and not in the configuration yet. */
static const char *under_way(struct replica *r, uint64_t but) {
    size_t count = 0;
    const struct core_member *members = core_members(r->core, &count);
    for (size_t i = 0; i < count; i++) {
        uint64_t id = members[i].member.id;
        if (id != but && members[i].state == CORE_MEMBER && !node_is_configured(r->node, id) &&
            !replica__is_silent(r, id)) {
            return members[i].member.name;
        }
    }
    bool waits = r->admitting_id != 0 && r->admitting_id != but &&
                 !node_is_configured(r->node, r->admitting_id) &&
                 replica_now(r) - r->admitting_ms < REPLICA_ADMITTING_MS;
    return waits ? "somebody" : NULL;
}

static void chip_of(const struct entry_member *m, uint8_t out[64]) {
    struct snp_report report;
    memset(out, 0, 64);
    if (replica__report_of(m->evidence, &report)) {
        memcpy(out, report.chip_id, 64);
    }
}

/* The same one again is an entry that is sent again. */
RESULT replica__check_admit(struct replica *r, const struct entry_admit *admit, struct err *err) {
    uint64_t id = admit->member.id;
    uint8_t chip[64];
    if (id == r->admitting_id || core_find_member(r->core, id) != NULL) {
        return OK;
    }
    TRY(check_name(r, admit, err));
    const char *other = under_way(r, id);
    ENSURE(other == NULL, err, UNAVAILABLE, "%s is being admitted: one at a time", other);
    chip_of(&admit->member, chip);
    TRY(admissions_take(&r->admissions, admit->member.name, chip, replica_now(r), err));
    r->admitting_id = id;
    r->admitting_ms = replica_now(r);
    return OK;
}

/* --- Voters */

size_t replica__voter_target(const struct replica *r) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct entry entry;
    CHECK(is_ok(entry_decode(buf_span(&r->found), &arena, &entry, NULL)));
    return entry.found.founders.count;
}

size_t replica__voter_count(const struct replica *r) {
    struct node_member members[LIMIT_MEMBERS];
    size_t count = node_members(r->node, members);
    size_t voters = 0;
    for (size_t i = 0; i < count; i++) {
        voters += members[i].role == NODE_VOTER ? 1 : 0;
    }
    return voters;
}

bool replica__is_voter(const struct replica *r, uint64_t id) {
    struct node_member members[LIMIT_MEMBERS];
    size_t count = node_members(r->node, members);
    for (size_t i = 0; i < count; i++) {
        if (members[i].id == id) {
            return members[i].role == NODE_VOTER;
        }
    }
    return false;
}

size_t replica__linked_voters(const struct replica *r) {
    struct node_member members[LIMIT_MEMBERS];
    size_t count = node_members(r->node, members);
    size_t linked = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t id = members[i].id;
        linked +=
            members[i].role == NODE_VOTER && (id == r->options.id || replica__is_linked(r, id)) ? 1
                                                                                                : 0;
    }
    return linked;
}

static void notice_loneliness(struct replica *r, uint64_t now) {
    size_t voters = replica__voter_count(r);
    if (voters == 0 || replica__linked_voters(r) > voters / 2) {
        r->lonely_ms = 0;
    } else if (r->lonely_ms == 0) {
        r->lonely_ms = now;
    }
}

bool replica__is_lonely(const struct replica *r, char *text, size_t size) {
    if (r->lonely_ms == 0 || replica_now(r) - r->lonely_ms < REPLICA_LONELY_MS) {
        return false;
    }
    snprintf(text, size, "%zu of %zu voters are connected here, a quorum is %zu",
             replica__linked_voters(r), replica__voter_count(r), replica__voter_count(r) / 2 + 1);
    return true;
}

uint64_t replica__fittest_follower(const struct replica *r) {
    size_t count = 0;
    uint64_t best = 0;
    uint64_t best_match = 0;
    const struct core_member *members = core_members(r->core, &count);
    for (size_t i = 0; i < count; i++) {
        uint64_t id = members[i].member.id;
        struct node_progress progress = {0, 0};
        bool is_fit = id != r->options.id && members[i].state == CORE_MEMBER &&
                      replica__is_voter(r, id) && replica__is_linked(r, id) &&
                      !replica__is_silent(r, id) && node_peer_progress(r->node, id, &progress);
        if (is_fit && (best == 0 || progress.match > best_match)) {
            best = id;
            best_match = progress.match;
        }
    }
    return best;
}

/* --- The planner */

static void on_liveness(void *data, struct result result, uint64_t index) {
    struct replica *r = data;
    (void)index;
    r->is_confirming = false;
    if (is_ok(result)) {
        r->confirmed_ms = r->confirm_asked_ms; /* the quorum answered some time after that */
    }
}

static void confirm_liveness(struct replica *r) {
    uint64_t age = replica_now(r) - r->confirmed_ms;
    if (!r->is_confirming && (r->confirmed_ms == 0 || age >= REPLICA_CONFIRM_MS)) {
        r->confirm_asked_ms = replica_now(r);
        r->is_confirming = is_ok(node_read(r->node, on_liveness, r, NULL));
    }
}

/* Holds the log up to what is hardly more than one round trip behind. */
static bool is_caught_up(const struct replica *r, uint64_t id) {
    struct node_progress progress = {0, 0};
    return node_peer_progress(r->node, id, &progress) &&
           progress.match + REPLICA_CAUGHT_UP >= node_last_index(r->node);
}

/* Whoever said that it goes and is cut has gone: nobody waits for its silence. */
static bool is_cut(const struct replica *r, uint64_t id) {
    return id != r->options.id && !replica__is_linked(r, id);
}

/* No part of the quorum of this moment, whether or not it lives. */
static bool is_unheard(const struct replica *r, uint64_t id) {
    return is_cut(r, id) || (id != r->options.id && silent_ms(r, id) >= 2 * REPLICA_CONFIRM_MS);
}

/* Whose name it took over, while that one is still here. */
static uint64_t predecessor(const struct core_member *members, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++) {
        if (members[i].state == CORE_LEAVING && strcmp(members[i].member.name, name) == 0) {
            return members[i].member.id;
        }
    }
    return 0;
}

static size_t fill_wishes(const struct replica *r, struct membership_wish *out) {
    size_t count = 0;
    const struct core_member *members = core_members(r->core, &count);
    CHECK(count <= LIMIT_MEMBERS);
    for (size_t i = 0; i < count; i++) {
        uint64_t id = members[i].member.id;
        bool is_leaving = members[i].state == CORE_LEAVING;
        out[i] = (struct membership_wish){
            .id = id,
            .want = is_leaving ? MEMBERSHIP_GONE : MEMBERSHIP_VOTER,
            .is_reachable = !replica__is_silent(r, id) && !(is_leaving && is_cut(r, id)),
            .is_cut = is_unheard(r, id),
            .is_caught_up = is_caught_up(r, id),
            .joined = members[i].admitted_index,
            .replaces = is_leaving ? 0 : predecessor(members, count, members[i].member.name),
        };
    }
    return count;
}

/* The rows of members that left both the table's good graces and the configuration. */
static void drop_removed(struct replica *r) {
    size_t count = 0;
    const struct core_member *members = core_members(r->core, &count);
    for (size_t i = 0; i < count; i++) {
        uint64_t id = members[i].member.id;
        if (members[i].state == CORE_LEAVING && !node_is_configured(r->node, id) &&
            !node_is_changing(r->node)) {
            struct entry_retire retire = {
                .id = id, .reason = RETIRE_REMOVED, .time = replica_entry_time(r)};
            log_info("member %s id=%llu left", members[i].member.name, (unsigned long long)id);
            replica__propose_own(r, ENTRY_RETIRE, &retire);
            return; /* the table changes when it is applied */
        }
    }
}

/* Entries of a newer version enter the log when every member knows them. */
static void raise_level(struct replica *r) {
    size_t count = 0;
    const struct core_member *members = core_members(r->core, &count);
    uint64_t least = r->options.version;
    for (size_t i = 0; i < count; i++) {
        uint64_t version = members[i].member.version;
        least = version < least ? version : least;
    }
    if (count > 0 && core_generation(r->core) > 0 && least > core_level(r->core)) {
        struct entry_level level = {.level = least, .time = replica_entry_time(r)};
        log_info("every member knows entries of version %llu: they are used from now on",
                 (unsigned long long)least);
        replica__propose_own(r, ENTRY_LEVEL, &level);
    }
}

static void take_step(struct replica *r, struct membership_step step) {
    struct err err;
    struct result taken;
    switch (step.action) {
    case MEMBERSHIP_NONE:
        return;
    case MEMBERSHIP_ADD:
        taken = node_add_standby(r->node, step.id, &err);
        break;
    case MEMBERSHIP_PROMOTE:
        taken = node_promote(r->node, step.id, &err);
        break;
    case MEMBERSHIP_REMOVE:
        taken = node_remove(r->node, step.id, &err);
        break;
    case MEMBERSHIP_TRANSFER:
        taken = node_transfer(r->node, step.id, &err);
        break;
    }
    const char *name = membership_action_name(step.action);
    if (is_ok(taken)) {
        log_info("membership: %s %llu", name, (unsigned long long)step.id);
    } else if (taken.code != ERR_UNAVAILABLE) {
        replica__complain(r, step.id, name, &err);
    }
}

static struct membership_step plan(const struct replica *r) {
    struct membership_wish wishes[LIMIT_MEMBERS];
    struct node_member members[LIMIT_MEMBERS];
    struct membership_input input = {
        .wishes = wishes,
        .wish_count = fill_wishes(r, wishes),
        .members = members,
        .member_count = node_members(r->node, members),
        .voters = replica__voter_target(r),
        .leader = r->options.id,
    };
    return membership_next(&input);
}

/* A host that paused this process for a while silenced everybody: what is known of who is alive
 * begins anew. */
static void notice_pause(struct replica *r, uint64_t now) {
    if (r->awake_ms != 0 && now - r->awake_ms >= REPLICA_PAUSE_MS && r->led_since_ms != 0) {
        log_warn("nothing ran here for %llu ms", (unsigned long long)(now - r->awake_ms));
        r->led_since_ms = now;
        r->confirmed_ms = 0;
    }
    r->awake_ms = now;
}

/* Who was removed while it could not be reached gets no entry that says so: its leader may be one
 * that was admitted after it lost touch, with whom it has no link. Any member that it has one with
 * tells. */
static void tell_removed(struct replica *r, uint64_t now) {
    if (now < r->removed_ms || !replica_state_is_member(r->state) ||
        core_rule_is_off(CORE_RULE_REMOVED)) {
        return;
    }
    r->removed_ms = now + REPLICA_REMOVED_MS;
    uint8_t body[8];
    store_u64be(body, replica_applied(r));
    for (size_t i = 0; i < r->link_count; i++) {
        if (r->links[i].is_up && !node_is_configured(r->node, r->links[i].id)) {
            r->io.send(r->io.data, r->links[i].id, REPLICA_REMOVED, SPAN(body));
        }
    }
}

/* A member was in a configuration that it had applied. One that applied more and does not have it
 * in its committed configuration knows of its removal. */
void replica__removed_received(struct replica *r, uint64_t peer, struct span body) {
    if (body.size != 8 || load_u64be(body.data) <= replica_applied(r)) {
        return;
    }
    if (r->state == REPLICA_LEAVING) {
        replica__left(r);
    } else if (replica_state_is_member(r->state)) {
        replica__end(r, ERR_CANCELED,
                     "removed from the cluster, says replica %llu: a restart joins as a new member",
                     (unsigned long long)peer);
    }
}

void replica__members_tick(struct replica *r) {
    uint64_t now = replica_now(r);
    notice_pause(r, now);
    tell_removed(r, now);
    replica__beat_tick(r);
    notice_loneliness(r, now);
    if (now < r->members_ms) {
        return;
    }
    r->members_ms = now + REPLICA_MEMBERS_MS;
    replica__told_tick(r);
    if (!replica_is_leader(r) || !node_is_settled(r->node) || !replica_state_is_member(r->state)) {
        r->confirmed_ms = 0;
        return;
    }
    confirm_liveness(r);
    if (!is_confirmed(r)) {
        return;
    }
    struct membership_step step = plan(r);
    take_step(r, step);
    if (step.action == MEMBERSHIP_NONE && r->pending == NULL) {
        drop_removed(r);
    }
    if (r->pending == NULL) {
        raise_level(r);
    }
}
