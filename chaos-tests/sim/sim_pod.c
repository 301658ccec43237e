/* Pods of the simulation: founded, stopped with all memory lost, started again as new replicas that
 * are admitted under their old names. What an admission's attested session would carry is taken
 * from the member that admitted: founding record, members, generation and head.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "chaos-tests/sim/sim_kill.h"
#include "chaos-tests/sim/sim_model.h"
#include "consensus/node_internal.h"
#include "coordinator/replica_internal.h"
#include "lib/crypto/digest.h"

#define JOIN_PAUSE_MS 200
#define SICK_MS 1000 /* after a pause: what waited is not through yet */
#define MILLION 1000000
#define FOUNDING_MS 5000
#define LEAVE_MS 5000

/* --- What a pod is given: time, randomness, links, ears */

/* As the guest's clock shows it at `at_ms` of the run. */
static uint64_t local_ms(const struct sim_clock *c, uint64_t at_ms) {
    uint64_t passed = at_ms > c->base_ms ? at_ms - c->base_ms : 0;
    return c->base_local_ms + passed + (uint64_t)((int64_t)passed * c->ppm / MILLION);
}

/* The first moment of the run at which the guest's clock shows `local` or more. */
static uint64_t run_ms(const struct sim_clock *c, uint64_t local) {
    if (local <= c->base_local_ms) {
        return c->base_ms;
    }
    int64_t passed = (int64_t)(local - c->base_local_ms) * MILLION / (MILLION + c->ppm);
    uint64_t at = c->base_ms + (uint64_t)(passed > 2 ? passed - 2 : 0);
    while (local_ms(c, at) < local) {
        at++;
    }
    return at;
}

static uint64_t on_monotonic(void *data) {
    const struct sim_pod *p = data;
    return p->is_still ? p->clock.base_local_ms : local_ms(&p->clock, p->sim->now_ms);
}

static int64_t on_unix(void *data) {
    const struct sim_pod *p = data;
    uint64_t now = p->sim->now_ms;
    int64_t drift = (int64_t)(now - p->unix_base_ms) * p->unix_ppm / MILLION / 1000;
    return SIM_TIME_BASE + (int64_t)(now / 1000) + p->clock_skew_s + drift;
}

static void rebase(struct sim_pod *p, int64_t ppm) {
    p->clock = (struct sim_clock){p->sim->now_ms, on_monotonic(p), ppm};
}

void sim_pod_drift(struct sim_pod *p, int64_t ppm) {
    rebase(p, ppm);
    p->unix_ppm = ppm;
    p->unix_base_ms = p->sim->now_ms;
    if (p->replica != NULL) {
        p->is_touched = true; /* its ticks come at other times of the run */
    }
}

void sim_pod_pause(struct sim_pod *p, uint64_t until_ms, bool is_still) {
    rebase(p, p->clock.ppm);
    p->is_still = is_still;
    p->paused_ms = until_ms;
    p->sick_ms = until_ms + SICK_MS;
    p->is_touched = true;
}

static void on_random(void *data, void *out, size_t size) {
    struct sim_pod *p = data;
    uint8_t *bytes = out;
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(sim_chance_next(&p->chance) >> 32);
    }
}

static void on_reply(void *data, uint64_t ticket, const struct replica_reply *reply) {
    struct sim_pod *p = data;
    if (sim_kill_out(p, "reply")) {
        sim_op_replied(p->sim, ticket, reply);
    }
}

static void on_send(void *data, uint64_t peer, uint8_t type, struct span body) {
    struct sim_pod *p = data;
    if (sim_kill_out(p, "send")) {
        sim_rule_sent(p, type, body);
        sim_net_send(p->sim, p->slot, peer, type, body);
    }
}

static void on_peers(void *data, const uint8_t cluster[32], const struct replica_peer *peers,
                     size_t count) {
    struct sim_pod *p = data;
    (void)cluster;
    p->wanted_count = 0;
    for (size_t i = 0; i < count; i++) {
        p->wanted[p->wanted_count++] = peers[i].id;
    }
    p->sim->is_net_stale = true;
}

static void on_publish(void *data, struct view *view) {
    struct sim_pod *p = data;
    if (sim_kill_out(p, "view")) {
        sim_trace(p->sim, "view", p->id, view->generation);
    }
    view_unref(view);
}

/* Leaving, being removed and being left outside are lives that end; everything else is a broken
 * replica. */
static void on_gone(void *data, const struct err *why) {
    struct sim_pod *p = data;
    sim_trace(p->sim, "gone", p->id, (uint64_t)why->code);
    p->is_gone = true;
    if (why->code == ERR_CANCELED && !p->is_expelled && sim_check_is_healthy(p)) {
        sim_fail(p->sim, "pod %u, which lives, was removed: %s", p->slot, why->text);
    }
    if (why->code != ERR_OK && why->code != ERR_CANCELED && why->code != ERR_TIMEOUT) {
        sim_fail(p->sim, "pod %u ended: %s: %s", p->slot, err_name(why->code), why->text);
    }
}

static void start(struct sim *s, struct sim_pod *p) {
    char text[64];
    p->incarnation++;
    snprintf(text, sizeof text, "seed %llu pod %u life %llu", (unsigned long long)s->options->seed,
             p->slot, (unsigned long long)p->incarnation);
    sha256(span_str(text), p->spki);
    p->id = replica_id_of(SPAN(p->spki));
    p->checked_leaves = 0;
    p->checked_records = 0;
    p->checked_list = 0;
    p->wanted_count = 0;
    p->led_term = 0;
    p->checked_keys = 0;
    p->is_expelled = false;
    p->trouble_ms = s->now_ms;
    p->join_ms = s->now_ms + sim_chance_below(&s->chance, JOIN_PAUSE_MS);
    sim_chance_seed(&p->chance, s->options->seed, SIM_STREAM_REPLICA + s->lives++);
    sim_rule_begin(p);
    struct replica_options options;
    replica_default_options(&options);
    options.id = p->id;
    options.name = p->name;
    options.address = p->address;
    options.spki = SPAN(p->spki);
    options.owner_digests = (const uint8_t(*)[32])s->owner_digest;
    options.owner_count = 1;
    options.election_timeout_ms = s->plan.election_ms;
    options.heartbeat_ms = s->plan.heartbeat_ms;
    options.dead_after_ms = s->plan.dead_ms;
    options.request_ms = 10 * s->plan.election_ms;
    options.founding_ms = FOUNDING_MS;
    options.leave_ms = LEAVE_MS;
    options.snapshot_threshold = s->plan.snapshot_threshold;
    options.snapshot_trailing = s->plan.snapshot_trailing;
    const struct replica_io io = {p, on_reply, on_send, on_peers, on_publish, on_gone, NULL, NULL};
    p->replica = replica_new(&options, &p->host, &io);
    p->is_touched = true;
    sim_trace(s, "start", p->slot, p->id);
}

static void init(struct sim *s, unsigned slot) {
    struct sim_pod *p = &s->pods[slot];
    *p = (struct sim_pod){.sim = s, .slot = slot};
    snprintf(p->name, sizeof p->name, "coordinator-%u", slot);
    snprintf(p->address, sizeof p->address, "coordinator-%u:7443", slot);
    p->host = (struct host){p, on_monotonic, on_unix, on_random};
    p->clock_skew_s = (int64_t)sim_chance_below(&s->chance, 2 * SIM_SKEW_S) - SIM_SKEW_S;
    p->clock = (struct sim_clock){.base_local_ms = 1000};
    memcpy(p->host_data, s->policy_hash[0], sizeof p->host_data);
}

struct replica *sim_pod_use(struct sim_pod *p) {
    p->is_touched = true;
    return p->replica;
}

/* Fewer entries kept behind a snapshot than may be in flight: node_new refuses that, because rule
 * R3 is then all that keeps a follower from losing its place. */
static void tighten(const struct sim *s, struct sim_pod *p) {
    if (s->plan.tight_trailing != 0 && p->replica != NULL && p->replica->node != NULL) {
        p->replica->node->options.snapshot_trailing = (unsigned)s->plan.tight_trailing;
    }
}

/* --- Founding */

static void sort(struct entry_member *members, size_t count) {
    for (size_t i = 1; i < count; i++) {
        for (size_t j = i; j > 0 && members[j].id < members[j - 1].id; j--) {
            struct entry_member swap = members[j];
            members[j] = members[j - 1];
            members[j - 1] = swap;
        }
    }
}

static void encode_found(struct sim *s) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct entry_member founders[LIMIT_VOTERS];
    for (unsigned i = 0; i < s->founder_count; i++) {
        sim_op_fill_member(s, &s->pods[i], &arena, &founders[i]);
    }
    sort(founders, s->founder_count);
    struct entry_found found = {.founders = {founders, s->founder_count}, .time = SIM_TIME_BASE};
    entry_cluster_id(founders, s->founder_count, found.cluster);
    entry_encode(ENTRY_FOUND, &found, &s->found);
}

void sim_pod_found(struct sim *s) {
    for (unsigned i = 0; i < s->pod_count; i++) {
        init(s, i);
        start(s, &s->pods[i]);
    }
    encode_found(s);
    struct err err;
    for (unsigned i = 0; i < s->founder_count; i++) {
        struct result r = replica_prepare(s->pods[i].replica, &err);
        r = is_ok(r) ? replica_found(s->pods[i].replica, buf_span(&s->found), &err) : r;
        if (!is_ok(r)) {
            sim_fail(s, "founding at pod %u: %s", i, err.text);
        }
        tighten(s, &s->pods[i]);
    }
    s->is_net_stale = true;
}

void sim_pod_add(struct sim *s) {
    CHECK(s->pod_count < SIM_SLOTS);
    init(s, s->pod_count);
    start(s, &s->pods[s->pod_count++]);
    s->is_net_stale = true;
}

/* --- End and return */

void sim_pod_stop(struct sim *s, struct sim_pod *p, uint64_t down_ms) {
    sim_trace(s, "stop", p->slot, p->id);
    sim_model_gone(s, p);
    struct replica *replica = p->replica;
    p->replica = NULL;
    sim_net_drop(s, p->slot);
    sim_op_forget(s, p->slot);
    replica_free(replica);
    p->is_gone = false;
    p->is_admitting = false;
    p->is_admitted = false;
    p->paused_ms = 0;
    p->is_still = false;
    p->restart_ms = s->now_ms + down_ms;
    s->is_net_stale = true;
}

bool sim_pod_is_member(const struct sim_pod *p) {
    return p->replica != NULL && replica_state_is_member(replica_state_of(p->replica));
}

bool sim_pod_is_settled(const struct sim_pod *p) {
    enum replica_state state = p->replica == NULL ? REPLICA_EMPTY : replica_state_of(p->replica);
    return state == REPLICA_VOTER || state == REPLICA_STANDBY;
}

static void join(struct sim *s, struct sim_pod *p) {
    const struct sim_pod *by = &s->pods[p->admitted_by];
    p->is_admitted = false;
    p->join_ms = s->now_ms + JOIN_PAUSE_MS;
    if (!sim_pod_is_member(by) || replica_state_of(p->replica) != REPLICA_EMPTY) {
        return;
    }
    const struct core *core = replica_core(by->replica);
    struct replica_peer peers[LIMIT_MEMBERS];
    size_t count = 0;
    const struct core_member *members = core_members(core, &count);
    struct replica_admission admission = {.found = buf_span(&by->replica->found),
                                          .members = peers,
                                          .generation = core_generation(core),
                                          .epoch = core_epoch(core)};
    for (size_t i = 0; i < count; i++) {
        const struct entry_member *m = &members[i].member;
        if (m->id != p->id) {
            peers[admission.member_count++] = (struct replica_peer){m->id, m->address, m->spki};
        }
    }
    memcpy(admission.head, core_head(core), sizeof admission.head);
    struct err err;
    if (!is_ok(replica_join(sim_pod_use(p), &admission, &err))) {
        sim_fail(s, "pod %u cannot join: %s", p->slot, err.text);
    }
    tighten(s, p);
    s->result->joins++;
}

/* Any member that it reaches may admit it; one that has admitted it already says so. */
static void try_join(struct sim *s, struct sim_pod *p) {
    unsigned by = (unsigned)sim_chance_below(&s->chance, s->pod_count);
    const struct sim_pod *q = &s->pods[by];
    p->join_ms = s->now_ms + JOIN_PAUSE_MS + sim_chance_below(&s->chance, JOIN_PAUSE_MS);
    if (!sim_pod_is_member(q) || q->paused_ms != 0 || s->links[by][p->slot].is_cut ||
        s->links[p->slot][by].is_cut || core_generation(replica_core(q->replica)) == 0) {
        return;
    }
    if (core_find_member(replica_core(q->replica), p->id) != NULL) {
        p->is_admitted = true;
        p->admitted_by = by;
        return;
    }
    p->is_admitting = true;
    sim_op_admit(s, by, p->slot);
}

static bool is_outside(const struct sim_pod *p) {
    return p->replica != NULL && replica_state_of(p->replica) == REPLICA_EMPTY && !p->is_admitting;
}

/* Whoever wakes finds requests that came while it slept, and may handle them before it hears what
 * happened meanwhile. */
static void wake(struct sim *s, struct sim_pod *p) {
    if (p->is_still) {
        p->clock.base_ms = s->now_ms;
    }
    p->paused_ms = 0;
    p->is_still = false;
    p->is_touched = true;
    p->trouble_ms = s->now_ms;
    sim_net_release(s);
    sim_trace(s, "wake", p->slot, p->id);
    if (!sim_pod_is_member(p) || sim_chance_below(&s->chance, 2) == 0) {
        return;
    }
    sim_op_begin(s, SIM_CONFIRM, p->slot);
    sim_op_begin(s, SIM_ISSUE, p->slot);
    if (sim_chance_below(&s->chance, 2) == 0) {
        replica_tick(sim_pod_use(p));
    }
}

static void tend(struct sim *s, struct sim_pod *p) {
    if (p->replica == NULL && s->now_ms >= p->restart_ms) {
        start(s, p);
    }
    if (p->replica != NULL && p->is_gone) {
        sim_pod_stop(s, p, 200 + sim_chance_below(&s->chance, 500));
    }
    if (p->paused_ms != 0 && s->now_ms >= p->paused_ms) {
        wake(s, p);
    }
    if (p->is_admitted) {
        join(s, p);
    } else if (is_outside(p) && s->now_ms >= p->join_ms) {
        try_join(s, p);
    }
}

void sim_pod_tend(struct sim *s) {
    for (unsigned i = 0; i < s->pod_count; i++) {
        tend(s, &s->pods[i]);
    }
}

void sim_pod_settle(struct sim_pod *p) {
    p->due_ms = UINT64_MAX;
    if (p->replica != NULL) {
        uint64_t tick = replica_deadline(p->replica);
        p->due_ms = tick == UINT64_MAX ? tick : run_ms(&p->clock, tick);
    }
    if (!sim_pod_is_settled(p)) {
        p->trouble_ms = p->sim->now_ms;
    }
    p->is_touched = false;
}

uint64_t sim_pod_next(const struct sim *s) {
    uint64_t next = UINT64_MAX;
    for (unsigned i = 0; i < s->pod_count; i++) {
        const struct sim_pod *p = &s->pods[i];
        uint64_t at = p->due_ms;
        if (p->replica == NULL) {
            at = p->restart_ms;
        } else if (p->paused_ms != 0) {
            at = p->paused_ms;
        } else if (is_outside(p) && p->join_ms < at) {
            at = p->join_ms;
        }
        next = at < next ? at : next;
    }
    return next;
}

void sim_pod_deinit(struct sim *s) {
    for (unsigned i = 0; i < s->pod_count; i++) {
        sim_rule_begin(&s->pods[i]);
        replica_free(s->pods[i].replica);
        s->pods[i].replica = NULL;
    }
}
