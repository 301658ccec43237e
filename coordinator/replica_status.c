/* Status of a replica: what it knows of itself and of the others, and who may be stopped. See
 * replica.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "coordinator/replica_internal.h"

static const char *role_name(const struct replica *r, const struct core_member *m,
                             const struct node_member *configured, size_t count) {
    if (m->state == CORE_LEAVING) {
        return "leaving";
    }
    for (size_t i = 0; i < count; i++) {
        if (configured[i].id == m->member.id) {
            if (configured[i].role == NODE_STANDBY) {
                return "standby";
            }
            return configured[i].id == replica_leader(r) ? "leader" : "voter";
        }
    }
    return "learner";
}

static void fill_member(const struct replica *r, const struct core_member *m,
                        const struct node_member *configured, size_t count,
                        struct api_member *out) {
    uint64_t id = m->member.id;
    struct node_progress progress = {0, 0};
    bool is_known = node_peer_progress(r->node, id, &progress);
    uint64_t now = replica_now(r);
    *out = (struct api_member){.id = id, .name = m->member.name, .address = m->member.address};
    union {
        const char *in;
        char *out;
    } role = {role_name(r, m, configured, count)};
    out->role = role.out; /* encoded, never written to */
    out->is_connected = id == r->options.id || replica__is_linked(r, id);
    out->match_index = id == r->options.id ? node_last_index(r->node) : progress.match;
    out->last_contact_ms =
        is_known && progress.last_contact_ms != 0 ? now - progress.last_contact_ms : 0;
}

static void fill_members(const struct replica *r, struct arena *arena,
                         struct api_status_reply *out) {
    struct node_member configured[LIMIT_MEMBERS];
    size_t configured_count = node_members(r->node, configured);
    size_t count = 0;
    const struct core_member *members = core_members(r->core, &count);
    struct api_member *items = arena_alloc(arena, (count + 1) * sizeof *items);
    for (size_t i = 0; i < count; i++) {
        fill_member(r, &members[i], configured, configured_count, &items[i]);
    }
    out->members = (struct wire_list){count == 0 ? NULL : items, count};
    for (size_t i = 0; i < configured_count; i++) {
        bool is_voter = configured[i].role == NODE_VOTER;
        uint64_t id = configured[i].id;
        out->voters += is_voter ? 1 : 0;
        out->voters_connected +=
            is_voter && (id == r->options.id || replica__is_linked(r, id)) ? 1 : 0;
    }
    out->may_stop = out->voters_connected > out->voters / 2 + 1;
}

static char *borrow(const char *text) {
    union {
        const char *in;
        char *out;
    } u = {text};
    return u.out; /* encoded, never written to */
}

static const char *why_waiting(const struct replica *r) {
    switch (r->state) {
    case REPLICA_EMPTY:
        return "no manifest is set: waits for `contrast set` or for a cluster to join";
    case REPLICA_PREPARED:
        return "offered as a founder: waits for the owner's signature";
    case REPLICA_JOINING:
        return "admitted: waits to be taken into the configuration";
    case REPLICA_FOUNDER:
        return "founded: waits for the first manifest to be committed";
    case REPLICA_LEARNER:
        return "in the configuration: catches up with the log";
    case REPLICA_VOTER:
    case REPLICA_STANDBY:
        return replica_leader(r) == 0 ? "no leader is known: waits for an election" : "";
    case REPLICA_LEAVING:
        return "asked to leave: waits to be out of the configuration";
    case REPLICA_RECOVERING:
        return "begins a new epoch";
    case REPLICA_FROZEN:
    case REPLICA_GONE:
    case REPLICA_STATE_COUNT:
        break;
    }
    return r->why.text;
}

void replica__status_fill(struct replica *r, bool is_confirmed, struct arena *arena,
                          struct api_status_reply *out) {
    *out = (struct api_status_reply){
        .state = borrow(replica_state_name(r->state)),
        .why = borrow(why_waiting(r)),
        .name = borrow(r->options.name),
        .id = r->options.id,
        .leader = replica_leader(r),
        .term = replica_term(r),
        .applied_index = replica_applied(r),
        .epoch = core_epoch(r->core),
        .generation = core_generation(r->core),
        .ledger_size = merkle_log_size(core_ledger(r->core)),
        .is_confirmed = is_confirmed,
    };
    memcpy(out->cluster, core_cluster(r->core), sizeof out->cluster);
    memcpy(out->head, core_head(r->core), sizeof out->head);
    merkle_log_root(core_ledger(r->core), out->ledger_root);
    if (r->node != NULL) {
        out->commit_index = node_commit_index(r->node);
        fill_members(r, arena, out);
    }
}
