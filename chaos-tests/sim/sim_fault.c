/* Faults of the simulation: crashes, orderly ends, cuts, resets, pauses, clocks that jump. Never so
 * many that no majority could ever meet again: Raft promises nothing then, and neither does the
 * product.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/sim/sim.h"
#include "consensus/node_internal.h"
#include "coordinator/replica_internal.h"

/* --- May this pod die? */

static bool is_sound(const struct sim *s, const struct sim_pod *p) {
    if (!sim_pod_is_member(p) || p->is_gone || replica_state_of(p->replica) == REPLICA_LEAVING ||
        p->paused_ms != 0 || s->now_ms < p->sick_ms) {
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

/* --- Faults */

static unsigned victim(struct sim *s) {
    unsigned slot = (unsigned)sim_below(s, s->pod_count);
    if (sim_below(s, 2) == 0) {
        for (unsigned i = 0; i < s->pod_count; i++) {
            if (s->pods[i].replica != NULL && replica_is_leader(s->pods[i].replica)) {
                slot = i;
            }
        }
    }
    return slot;
}

static void crash(struct sim *s) {
    struct sim_pod *p = &s->pods[victim(s)];
    if (p->replica == NULL || !sim_fault_may_die(s, p)) {
        return;
    }
    s->result->crashes++;
    sim_pod_stop(s, p, 100 + sim_below(s, 2500));
}

/* SIGTERM: it goes when the cluster can do without it, or after a while. */
static void leave(struct sim *s) {
    struct sim_pod *p = &s->pods[victim(s)];
    if (p->replica == NULL || p->paused_ms != 0 || !sim_fault_may_die(s, p)) {
        return;
    }
    s->result->leaves++;
    sim_trace(s, "leave", p->slot, p->id);
    replica_leave(p->replica);
}

static void cut(struct sim *s, unsigned from, unsigned to) {
    struct sim_link *l = &s->links[from][to];
    if (from != to && !l->is_cut) {
        l->is_cut = true;
        l->cut_ms = s->now_ms;
        s->is_net_stale = true;
    }
}

static void cut_one_way(struct sim *s) {
    unsigned from = victim(s);
    unsigned to = (unsigned)sim_below(s, s->pod_count);
    bool both = sim_below(s, 2) == 0;
    s->result->cuts++;
    sim_trace(s, "cut", from, to);
    cut(s, from, to);
    if (both) {
        cut(s, to, from);
    }
}

static void partition(struct sim *s) {
    uint64_t side = 1 + sim_below(s, (1U << s->pod_count) - 2);
    s->result->cuts++;
    sim_trace(s, "partition", side, 0);
    for (unsigned a = 0; a < s->pod_count; a++) {
        for (unsigned b = 0; b < s->pod_count; b++) {
            if ((side >> a & 1) != (side >> b & 1)) {
                cut(s, a, b);
            }
        }
    }
}

void sim_fault_heal(struct sim *s) {
    sim_trace(s, "heal", 0, 0);
    for (unsigned a = 0; a < s->pod_count; a++) {
        for (unsigned b = 0; b < s->pod_count; b++) {
            if (s->links[a][b].is_cut) {
                s->pods[a].sick_ms = s->pods[b].sick_ms = s->now_ms + 1000;
            }
            s->links[a][b].is_cut = false;
        }
        s->pods[a].clock_skew_s = (int64_t)sim_below(s, 2 * SIM_SKEW_S) - SIM_SKEW_S;
        if (s->pods[a].wrong_ms == UINT64_MAX) {
            s->pods[a].wrong_ms = s->now_ms + REPLICA_CLOCK_MS + 1000;
        }
    }
    s->is_net_stale = true;
}

static void reset_link(struct sim *s) {
    unsigned a = victim(s);
    unsigned b = (unsigned)sim_below(s, s->pod_count);
    sim_trace(s, "reset", a, b);
    sim_net_reset(s, a, b);
}

static void pause_pod(struct sim *s) {
    struct sim_pod *p = &s->pods[victim(s)];
    if (p->replica == NULL || p->paused_ms != 0) {
        return;
    }
    s->result->pauses++;
    p->paused_ms = s->now_ms + 100 + sim_below(s, 2900);
    p->sick_ms = p->paused_ms + 1000;
    sim_trace(s, "pause", p->slot, p->paused_ms);
}

/* One at a time: the voters may become as few as three, and two of them would outvote the third. A
 * clock that was wrong is remembered by others for a while. */
static bool may_jump(const struct sim *s, const struct sim_pod *jumper) {
    unsigned wrong = 1;
    for (unsigned i = 0; i < s->pod_count; i++) {
        const struct sim_pod *p = &s->pods[i];
        wrong += p != jumper && s->now_ms < p->wrong_ms;
    }
    return wrong <= 1;
}

static void jump_clock(struct sim *s) {
    static const int64_t steps[] = {86400, 31536000, -86400, -31536000};
    struct sim_pod *p = &s->pods[sim_below(s, s->pod_count)];
    if (!may_jump(s, p)) {
        return;
    }
    s->result->jumps++;
    p->clock_skew_s = steps[sim_below(s, 4)];
    p->wrong_ms = UINT64_MAX;
    sim_trace(s, "clock", p->slot, (uint64_t)p->clock_skew_s);
}

void sim_fault_random(struct sim *s) {
    uint64_t dice = sim_below(s, 100);
    if (dice < 20) {
        crash(s);
    } else if (dice < 28) {
        leave(s);
    } else if (dice < 42) {
        cut_one_way(s);
    } else if (dice < 50) {
        partition(s);
    } else if (dice < 70) {
        sim_fault_heal(s);
    } else if (dice < 78) {
        reset_link(s);
    } else if (dice < 92) {
        pause_pod(s);
    } else {
        jump_clock(s);
    }
}
