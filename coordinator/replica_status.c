/* Status of a replica: what it knows of itself and of the others, and who may be stopped. See
 * replica.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "attest/session.h"
#include "attest/snp_product.h"
#include "coordinator/replica_internal.h"

static char *borrow(const char *text) {
    union {
        const char *in;
        char *out;
    } u = {text};
    return u.out; /* encoded, never written to */
}

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

/* --- Evidence */

bool replica__report_of(struct span evidence, struct snp_report *out) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct evidence e;
    return is_ok(wire_decode(&evidence_type, evidence, &arena, &e, NULL)) &&
           is_ok(snp_report_parse(e.report, out, NULL, NULL));
}

static void fill_evidence(const struct core_member *m, struct api_member *out) {
    struct snp_report report;
    out->product = borrow("");
    if (replica__report_of(m->member.evidence, &report)) {
        out->product = borrow(snp_product_name(snp_product_of_report(&report)));
        memcpy(out->measurement, report.measurement, sizeof out->measurement);
        memcpy(out->chip_id, report.chip_id, sizeof out->chip_id);
        memcpy(out->tcb, report.reported_tcb, sizeof out->tcb);
    }
}

/* --- Who may stop */

struct votes {
    size_t voters;
    size_t answering; /* linked or itself, heard of, not about to go */
    bool is_changing;
};

static bool answers(const struct replica *r, uint64_t id) {
    const struct core_member *m = core_find_member(r->core, id);
    bool is_here = m != NULL && m->state == CORE_MEMBER;
    return is_here &&
           (id == r->options.id ? r->state != REPLICA_LEAVING
                                : replica__is_linked(r, id) && !replica__is_silent(r, id));
}

static struct votes count_votes(const struct replica *r) {
    struct node_member configured[LIMIT_MEMBERS];
    size_t count = node_members(r->node, configured);
    struct votes v = {.is_changing = node_is_changing(r->node)};
    for (size_t i = 0; i < count; i++) {
        if (configured[i].role == NODE_VOTER) {
            v.voters++;
            v.answering += answers(r, configured[i].id) ? 1 : 0;
        }
    }
    v.is_changing = v.is_changing || (v.voters > 0 && v.voters % 2 == 0);
    return v;
}

/* Whether a quorum stays without this member, and why. */
static bool may_stop(const struct replica *r, const struct votes *v, uint64_t id, const char *name,
                     struct arena *arena, char **why) {
    char text[LIMIT_NAME + 160];
    size_t quorum = v->voters / 2 + 1;
    bool counts = replica__is_voter(r, id) && answers(r, id);
    size_t rest = v->answering - (counts ? 1 : 0);
    bool is_safe = rest >= quorum && !v->is_changing && v->voters > 0;
    if (v->voters == 0) {
        snprintf(text, sizeof text, "the configuration is not known here yet");
    } else if (v->answering < quorum) {
        snprintf(text, sizeof text, "%zu of %zu voters answer: there is no quorum to spare %s",
                 v->answering, v->voters, name);
    } else if (rest < quorum) {
        snprintf(text, sizeof text, "%zu of %zu voters answer: without %s there is no quorum",
                 v->answering, v->voters, name);
    } else if (v->is_changing) {
        snprintf(text, sizeof text, "a membership change is under way: ask again");
    } else if (!counts) {
        snprintf(text, sizeof text, "%s is not needed: %zu of %zu voters answer", name, rest,
                 v->voters);
    } else {
        snprintf(text, sizeof text, "without %s %zu of %zu voters answer, a quorum is %zu", name,
                 rest, v->voters, quorum);
    }
    *why = arena_strndup(arena, text, strlen(text));
    return is_safe;
}

/* --- Members */

static uint64_t lag_of(const struct replica *r, uint64_t match) {
    uint64_t last = node_last_index(r->node);
    return replica_is_leader(r) && match < last ? last - match : 0;
}

static void fill_member(const struct replica *r, const struct core_member *m,
                        const struct node_member *configured, size_t count,
                        struct api_member *out) {
    uint64_t id = m->member.id;
    struct node_progress progress = {0, 0};
    bool is_known = node_peer_progress(r->node, id, &progress);
    uint64_t now = replica_now(r);
    *out = (struct api_member){.id = id, .name = m->member.name, .address = m->member.address};
    out->role = borrow(role_name(r, m, configured, count));
    out->is_connected = id == r->options.id || replica__is_linked(r, id);
    out->match_index = id == r->options.id ? node_last_index(r->node) : progress.match;
    out->lag = lag_of(r, out->match_index);
    out->version = m->member.version;
    out->last_contact_ms =
        is_known && progress.last_contact_ms != 0 ? now - progress.last_contact_ms : 0;
    fill_evidence(m, out);
}

static void fill_members(const struct replica *r, struct arena *arena,
                         struct api_status_reply *out) {
    struct node_member configured[LIMIT_MEMBERS];
    size_t configured_count = node_members(r->node, configured);
    size_t count = 0;
    const struct core_member *members = core_members(r->core, &count);
    struct api_member *items = arena_alloc(arena, (count + 1) * sizeof *items);
    struct votes votes = count_votes(r);
    for (size_t i = 0; i < count; i++) {
        fill_member(r, &members[i], configured, configured_count, &items[i]);
        items[i].may_stop =
            may_stop(r, &votes, items[i].id, members[i].member.name, arena, &items[i].may_stop_why);
    }
    out->members = (struct wire_list){count == 0 ? NULL : items, count};
    out->voters = replica__voter_count(r);
    out->voters_connected = replica__linked_voters(r);
    out->may_stop = may_stop(r, &votes, r->options.id, r->options.name, arena, &out->may_stop_why);
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
        .level = core_level(r->core),
        .version = r->options.version,
    };
    memcpy(out->cluster, core_cluster(r->core), sizeof out->cluster);
    memcpy(out->head, core_head(r->core), sizeof out->head);
    merkle_log_root(core_ledger(r->core), out->ledger_root);
    replica__alarms_fill(r, arena, &out->alarms);
    if (r->node != NULL) {
        out->commit_index = node_commit_index(r->node);
        out->last_term = node_last_term(r->node);
        out->last_index = node_last_index(r->node);
        fill_members(r, arena, out);
    } else {
        out->may_stop = true;
        out->may_stop_why = borrow("it belongs to no cluster");
    }
}
