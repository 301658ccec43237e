/* Faults of the simulation, played as the plan says (sim_plan.h). Never so many that no majority
 * could ever meet again: Raft promises nothing then, and neither does the product.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/sim/sim.h"
#include "consensus/node_internal.h"
#include "coordinator/replica_internal.h"

#define SICK_MS 1000 /* after a fault: what waited is not through yet */

/* --- May this pod die? */

/* A founder that knows of no manifest yet ends by itself before long, and so does whoever was told
 * to leave, or may have been: also before anybody could remove it. */
static bool is_sound(const struct sim *s, const struct sim_pod *p) {
    if (!sim_pod_is_member(p) || p->is_expelled ||
        replica_state_of(p->replica) == REPLICA_FOUNDER || p->is_gone ||
        replica_state_of(p->replica) == REPLICA_LEAVING || p->paused_ms != 0 ||
        s->now_ms < p->sick_ms) {
        return false;
    }
    for (unsigned i = 0; i < s->pod_count; i++) {
        if (s->links[p->slot][i].is_cut || s->links[i][p->slot].is_cut) {
            return false;
        }
    }
    return true;
}

static bool is_sound_id(const struct sim *s, uint64_t id, const struct sim_pod *victim) {
    for (unsigned i = 0; i < s->pod_count; i++) {
        const struct sim_pod *p = &s->pods[i];
        if (p != victim && p->replica != NULL && p->id == id) {
            return is_sound(s, p);
        }
    }
    return false;
}

static bool has_majority(const struct sim *s, const struct node_member *members, size_t count,
                         const struct sim_pod *victim) {
    size_t voters = 0;
    size_t sound = 0;
    for (size_t i = 0; i < count; i++) {
        if (members[i].role == NODE_VOTER) {
            voters++;
            sound += is_sound_id(s, members[i].id, victim) ? 1 : 0;
        }
    }
    return voters == 0 || sound > voters / 2;
}

/* Both the configuration that a replica knows to be committed and its newest one. */
static bool can_spare(const struct sim *s, const struct sim_pod *knows,
                      const struct sim_pod *victim) {
    const struct node *node = knows->replica->node;
    struct node_config newest;
    node_config_from_raft(&node->raft.configuration, &newest);
    return has_majority(s, node->config.members, node->config.count, victim) &&
           has_majority(s, newest.members, newest.count, victim);
}

bool sim_fault_may_die(const struct sim *s, const struct sim_pod *victim) {
    for (unsigned i = 0; i < s->pod_count; i++) {
        const struct sim_pod *p = &s->pods[i];
        if (p->replica != NULL && p->replica->node != NULL && !can_spare(s, p, victim)) {
            return false;
        }
    }
    return true;
}

/* --- Whom */

static unsigned leader_slot(const struct sim *s) {
    unsigned slot = SIM_SLOTS;
    uint64_t term = 0;
    for (unsigned i = 0; i < s->pod_count; i++) {
        const struct replica *r = s->pods[i].replica;
        if (r != NULL && replica_is_leader(r) && replica_term(r) >= term) {
            slot = i;
            term = replica_term(r);
        }
    }
    return slot;
}

static unsigned find_who(const struct sim *s, const struct sim_fault *f) {
    unsigned leader = leader_slot(s);
    if (f->who == SIM_WHO_LEADER) {
        return leader < SIM_SLOTS ? leader : f->other % s->pod_count;
    }
    unsigned slot = f->who == SIM_WHO_FOLLOWER ? f->other % s->pod_count : f->who % s->pod_count;
    return f->who == SIM_WHO_FOLLOWER && slot == leader ? (slot + 1) % s->pod_count : slot;
}

/* A member other than `but` that can be asked; NULL = none. */
static struct sim_pod *find_member(struct sim *s, const struct sim_pod *but, unsigned from) {
    for (unsigned i = 0; i < s->pod_count; i++) {
        struct sim_pod *p = &s->pods[(from + i) % s->pod_count];
        if (p != but && sim_pod_is_member(p) && p->paused_ms == 0) {
            return p;
        }
    }
    return NULL;
}

/* --- Lives */

static bool crash(struct sim *s, struct sim_pod *p, const struct sim_fault *f) {
    if (p->replica == NULL || !sim_fault_may_die(s, p)) {
        return false;
    }
    sim_pod_stop(s, p, f->ms);
    return true;
}

/* SIGTERM: it goes when the cluster can do without it, or after a while. */
static bool leave(struct sim *s, struct sim_pod *p) {
    if (p->replica == NULL || p->paused_ms != 0 || !sim_fault_may_die(s, p)) {
        return false;
    }
    p->is_expelled = true;
    replica_leave(sim_pod_use(p));
    return true;
}

static bool retire(struct sim *s, struct sim_pod *p, const struct sim_fault *f) {
    const struct sim_pod *asked = find_member(s, p, f->other);
    if (asked == NULL || !sim_pod_is_member(p) || !sim_fault_may_die(s, p)) {
        return false;
    }
    p->is_expelled = true;
    sim_op_retire(s, asked->slot, p->id);
    return true;
}

static bool transfer(struct sim *s, const struct sim_fault *f) {
    unsigned leader = leader_slot(s);
    const struct sim_pod *to = &s->pods[f->other % s->pod_count];
    if (leader == SIM_SLOTS || s->pods[leader].paused_ms != 0 || to->slot == leader) {
        return false;
    }
    struct replica *r = sim_pod_use(&s->pods[leader]);
    return is_ok(node_transfer(r->node, to->replica == NULL ? 0 : to->id, NULL));
}

static bool pause_pod(struct sim *s, struct sim_pod *p, const struct sim_fault *f) {
    if (p->replica == NULL || p->paused_ms != 0) {
        return false;
    }
    sim_pod_pause(p, s->now_ms + f->ms, f->value != 0);
    return true;
}

/* --- Links */

static void cut(struct sim *s, unsigned from, unsigned to, const struct sim_fault *f) {
    sim_net_cut(s, from, to, s->now_ms + f->ms);
}

static void isolate(struct sim *s, unsigned who, const struct sim_fault *f) {
    for (unsigned i = 0; i < s->pod_count; i++) {
        if (f->value != 1) {
            cut(s, i, who, f);
        }
        if (f->value != 0) {
            cut(s, who, i, f);
        }
    }
}

static void partition(struct sim *s, const struct sim_fault *f) {
    uint64_t side = (uint64_t)f->value;
    for (unsigned a = 0; a < s->pod_count; a++) {
        for (unsigned b = 0; b < s->pod_count; b++) {
            bool is_out = (side >> a & 1) != 0 && (side >> b & 1) == 0;
            bool is_in = (side >> a & 1) == 0 && (side >> b & 1) != 0;
            if (is_out || (is_in && f->other == 0)) {
                cut(s, a, b, f);
            }
        }
    }
}

static void trouble(struct sim *s, unsigned a, unsigned b, const struct sim_fault *f) {
    uint64_t until = s->now_ms + f->ms;
    s->pods[a].trouble_ms = until > s->pods[a].trouble_ms ? until : s->pods[a].trouble_ms;
    s->pods[b].trouble_ms = until > s->pods[b].trouble_ms ? until : s->pods[b].trouble_ms;
}

static void haunt(struct sim *s, unsigned who, const struct sim_fault *f) {
    for (unsigned i = 0; i < s->pod_count; i++) {
        struct sim_link *out = &s->links[who][i];
        struct sim_link *in = &s->links[i][who];
        if (f->kind == SIM_TWICE) {
            out->twice_ms = s->now_ms + f->ms;
            out->twice_by_ms = (uint64_t)f->value;
        } else if (f->kind == SIM_LOSS) {
            trouble(s, who, i, f);
            out->loss_ms = s->now_ms + f->ms;
            out->loss_permille = (unsigned)f->value;
        } else {
            trouble(s, who, i, f);
            out->slow_ms = in->slow_ms = s->now_ms + f->ms;
            out->slow_by_ms = in->slow_by_ms = (uint64_t)f->value;
        }
    }
}

/* --- Clocks */

/* One at a time: the voters may become as few as three, and two of them would outvote the third. A
 * clock that was wrong is remembered by others for a while. */
static bool may_jump(const struct sim *s, const struct sim_pod *jumper) {
    unsigned wrong = 1;
    for (unsigned i = 0; i < s->pod_count; i++) {
        const struct sim_pod *p = &s->pods[i];
        wrong += p != jumper && s->now_ms < p->wrong_ms;
    }
    return wrong <= 1 && s->founder_count > 1;
}

static bool jump_clock(struct sim *s, struct sim_pod *p, const struct sim_fault *f) {
    if (!may_jump(s, p)) {
        return false;
    }
    p->clock_skew_s = f->value;
    p->wrong_ms = UINT64_MAX;
    return true;
}

/* --- Requests */

static bool burst(struct sim *s, struct sim_pod *p, const struct sim_fault *f) {
    if (!sim_pod_is_member(p) || p->paused_ms != 0) {
        return false;
    }
    for (int64_t i = 0; i < f->value && p->replica != NULL; i++) {
        if (i % 3 == 0) {
            sim_op_begin(s, SIM_ISSUE, p->slot);
        } else {
            sim_op_blob(s, p->slot, 1);
        }
    }
    return true;
}

/* Another machine claims its name. While it lives and is heard it must be refused. */
static bool clone(struct sim *s, const struct sim_pod *p, const struct sim_fault *f) {
    const struct sim_pod *asked = find_member(s, p, f->other);
    if (asked == NULL || core_generation(replica_core(asked->replica)) == 0) {
        return false;
    }
    sim_op_clone(s, asked->slot, p);
    return true;
}

/* --- All of them */

static bool play(struct sim *s, const struct sim_fault *f) {
    unsigned who = find_who(s, f);
    unsigned other = f->other % s->pod_count;
    struct sim_pod *p = &s->pods[who];
    switch (f->kind) {
    case SIM_CRASH:
        return crash(s, p, f);
    case SIM_LEAVE:
        return leave(s, p);
    case SIM_RETIRE:
        return retire(s, p, f);
    case SIM_TRANSFER:
        return transfer(s, f);
    case SIM_CUT:
        cut(s, who, other, f);
        if (f->value != 0) {
            cut(s, other, who, f);
        }
        return true;
    case SIM_ISOLATE:
        isolate(s, who, f);
        return true;
    case SIM_PARTITION:
        partition(s, f);
        return true;
    case SIM_RESET:
        sim_net_reset(s, who, other);
        return true;
    case SIM_LATE:
        sim_net_reset_late(s, who, other, f->ms);
        return true;
    case SIM_TWICE:
    case SIM_LOSS:
    case SIM_SLOW:
        haunt(s, who, f);
        return true;
    case SIM_PAUSE:
        return pause_pod(s, p, f);
    case SIM_JUMP:
        return jump_clock(s, p, f);
    case SIM_DRIFT:
        sim_pod_drift(p, f->value);
        return true;
    case SIM_BURST:
        return burst(s, p, f);
    case SIM_CLONE:
        return clone(s, p, f);
    case SIM_KINDS:
    default:
        return false;
    }
}

static bool is_wanted(const struct sim *s, const struct sim_fault *f) {
    const struct sim_options *o = s->options;
    for (size_t i = 0; i < o->fault_count; i++) {
        if (o->faults[i] == f->number) {
            return true;
        }
    }
    return o->faults == NULL;
}

uint64_t sim_fault_next(const struct sim *s) {
    const struct sim_plan *plan = &s->plan;
    return s->next_fault < plan->fault_count ? s->chaos_since_ms + plan->faults[s->next_fault].at_ms
                                             : UINT64_MAX;
}

void sim_fault_play(struct sim *s) {
    while (s->result->is_good && sim_fault_next(s) <= s->now_ms) {
        const struct sim_fault *f = &s->plan.faults[s->next_fault++];
        if (is_wanted(s, f)) {
            sim_trace(s, sim_plan_kind_name(f->kind), f->number, find_who(s, f));
            s->result->faults[f->kind] += play(s, f) ? 1 : 0;
        }
    }
}

void sim_fault_heal(struct sim *s) {
    sim_trace(s, "heal all", 0, 0);
    sim_net_heal(s);
    for (unsigned i = 0; i < s->pod_count; i++) {
        struct sim_pod *p = &s->pods[i];
        int64_t skew = (int64_t)sim_chance_below(&s->chance, 2 * SIM_SKEW_S) - SIM_SKEW_S;
        sim_pod_drift(p, 0);
        p->clock_skew_s = skew;
        if (p->wrong_ms == UINT64_MAX) {
            p->wrong_ms = s->now_ms + REPLICA_CLOCK_MS + SICK_MS;
        }
    }
    s->is_net_stale = true;
}
