/* Sim, the plan of a seed: see sim_plan.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/sim/sim_plan.h"

#include <inttypes.h>

#define DAY_S 86400
#define MINUTE_MS 60000

/* What a profile fixes, and how often it has each kind of fault (weights, any sum). */
struct profile {
    const char *name;
    unsigned permille;      /* of the seeds */
    unsigned five_permille; /* with five founders, else three */
    unsigned spares_max;
    unsigned chaos_ms;
    unsigned pace_ms; /* mean time between two faults */
    unsigned ask_ms;
    unsigned leader_permille; /* of the faults that aim at the leader */
    uint8_t weights[SIM_KINDS];
};

static const struct profile profiles[SIM_PROFILES] = {
    [SIM_MIXED] = {"mixed",
                   400,
                   330,
                   1,
                   6000,
                   350,
                   60,
                   500,
                   {[SIM_CRASH] = 18,
                    [SIM_LEAVE] = 7,
                    [SIM_RETIRE] = 2,
                    [SIM_TRANSFER] = 5,
                    [SIM_CUT] = 9,
                    [SIM_ISOLATE] = 5,
                    [SIM_PARTITION] = 8,
                    [SIM_RESET] = 6,
                    [SIM_LATE] = 5,
                    [SIM_TWICE] = 4,
                    [SIM_LOSS] = 4,
                    [SIM_SLOW] = 4,
                    [SIM_PAUSE] = 14,
                    [SIM_JUMP] = 5,
                    [SIM_DRIFT] = 3,
                    [SIM_BURST] = 4,
                    [SIM_CLONE] = 3}},
    [SIM_CHURN] = {"churn",
                   120,
                   600,
                   2,
                   6000,
                   220,
                   90,
                   400,
                   {[SIM_CRASH] = 24,
                    [SIM_LEAVE] = 16,
                    [SIM_RETIRE] = 10,
                    [SIM_TRANSFER] = 12,
                    [SIM_CUT] = 6,
                    [SIM_ISOLATE] = 8,
                    [SIM_PARTITION] = 8,
                    [SIM_RESET] = 4,
                    [SIM_PAUSE] = 6,
                    [SIM_SLOW] = 4,
                    [SIM_CLONE] = 4}},
    [SIM_TERMS] = {"terms",
                   150,
                   500,
                   1,
                   4000,
                   120,
                   40,
                   800,
                   {[SIM_CRASH] = 6,
                    [SIM_LEAVE] = 2,
                    [SIM_TRANSFER] = 14,
                    [SIM_CUT] = 16,
                    [SIM_ISOLATE] = 26,
                    [SIM_PARTITION] = 16,
                    [SIM_RESET] = 8,
                    [SIM_LOSS] = 6,
                    [SIM_SLOW] = 6,
                    [SIM_PAUSE] = 12,
                    [SIM_BURST] = 4}},
    [SIM_LINKS] = {"links",
                   120,
                   330,
                   1,
                   5000,
                   150,
                   40,
                   500,
                   {[SIM_CRASH] = 5,
                    [SIM_TRANSFER] = 5,
                    [SIM_CUT] = 10,
                    [SIM_ISOLATE] = 5,
                    [SIM_PARTITION] = 5,
                    [SIM_RESET] = 8,
                    [SIM_LATE] = 24,
                    [SIM_TWICE] = 20,
                    [SIM_LOSS] = 10,
                    [SIM_SLOW] = 10,
                    [SIM_PAUSE] = 4,
                    [SIM_BURST] = 8}},
    [SIM_LOGS] = {"logs",
                  120,
                  330,
                  1,
                  5000,
                  250,
                  25,
                  300,
                  {[SIM_CRASH] = 8,
                   [SIM_LEAVE] = 3,
                   [SIM_TRANSFER] = 6,
                   [SIM_CUT] = 24,
                   [SIM_ISOLATE] = 14,
                   [SIM_PARTITION] = 5,
                   [SIM_RESET] = 6,
                   [SIM_LATE] = 5,
                   [SIM_LOSS] = 6,
                   [SIM_SLOW] = 8,
                   [SIM_PAUSE] = 8,
                   [SIM_BURST] = 24}},
    [SIM_CLOCKS] = {"clocks",
                    60,
                    330,
                    1,
                    6000,
                    250,
                    60,
                    500,
                    {[SIM_CRASH] = 8,
                     [SIM_TRANSFER] = 3,
                     [SIM_CUT] = 5,
                     [SIM_PARTITION] = 4,
                     [SIM_SLOW] = 6,
                     [SIM_PAUSE] = 34,
                     [SIM_JUMP] = 20,
                     [SIM_DRIFT] = 24,
                     [SIM_ISOLATE] = 4}},
    [SIM_SMALL] = {"small",
                   22,
                   0,
                   1,
                   6000,
                   300,
                   60,
                   500,
                   {[SIM_CRASH] = 10,
                    [SIM_LEAVE] = 24,
                    [SIM_TRANSFER] = 10,
                    [SIM_CUT] = 14,
                    [SIM_RESET] = 8,
                    [SIM_LATE] = 8,
                    [SIM_PAUSE] = 14,
                    [SIM_JUMP] = 4,
                    [SIM_DRIFT] = 4,
                    [SIM_BURST] = 8,
                    [SIM_RETIRE] = 4}},
    [SIM_SLEEP] = {"sleep",
                   8,
                   330,
                   1,
                   10000,
                   3000,
                   1000,
                   500,
                   {[SIM_CRASH] = 10,
                    [SIM_PAUSE] = 60,
                    [SIM_CUT] = 10,
                    [SIM_DRIFT] = 10,
                    [SIM_ISOLATE] = 5,
                    [SIM_LEAVE] = 5}},
};

static const char *const kind_names[SIM_KINDS] = {
    [SIM_CRASH] = "crash",         [SIM_LEAVE] = "leave", [SIM_RETIRE] = "retire",
    [SIM_TRANSFER] = "transfer",   [SIM_CUT] = "cut",     [SIM_ISOLATE] = "isolate",
    [SIM_PARTITION] = "partition", [SIM_RESET] = "reset", [SIM_LATE] = "late",
    [SIM_TWICE] = "twice",         [SIM_LOSS] = "loss",   [SIM_SLOW] = "slow",
    [SIM_PAUSE] = "pause",         [SIM_JUMP] = "jump",   [SIM_DRIFT] = "drift",
    [SIM_BURST] = "burst",         [SIM_CLONE] = "clone",
};

const char *sim_plan_profile_name(enum sim_profile profile) {
    return profiles[profile].name;
}

const char *sim_plan_kind_name(enum sim_fault_kind kind) {
    return kind_names[kind];
}

/* --- Drawing */

static enum sim_profile draw_profile(struct sim_chance *c) {
    uint64_t dice = sim_chance_below(c, 1000);
    for (unsigned i = 0; i < SIM_PROFILES; i++) {
        if (dice < profiles[i].permille) {
            return (enum sim_profile)i;
        }
        dice -= profiles[i].permille;
    }
    return SIM_MIXED;
}

static enum sim_fault_kind draw_kind(struct sim_chance *c, const struct profile *p) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < SIM_KINDS; i++) {
        sum += p->weights[i];
    }
    uint64_t dice = sim_chance_below(c, sum);
    unsigned kind = 0;
    while (dice >= p->weights[kind]) {
        dice -= p->weights[kind++];
    }
    return (enum sim_fault_kind)kind;
}

static unsigned draw_who(struct sim_chance *c, const struct sim_plan *plan, unsigned leader) {
    unsigned slot = (unsigned)sim_chance_below(c, plan->founders + plan->spares);
    bool is_leader = sim_chance_hits(c, leader);
    bool is_follower = sim_chance_hits(c, 300);
    return is_leader ? SIM_WHO_LEADER : is_follower ? SIM_WHO_FOLLOWER : slot;
}

/* Short ones often, long ones now and then. */
static uint64_t draw_ms(struct sim_chance *c, uint64_t least, uint64_t most) {
    uint64_t ms = sim_chance_between(c, least, most);
    return sim_chance_hits(c, 600) ? least + (ms - least) / 6 : ms;
}

/* A minute to an hour: each of six doublings as likely as the next. */
static uint64_t draw_sleep(struct sim_chance *c) {
    uint64_t from = (uint64_t)MINUTE_MS << sim_chance_below(c, 6);
    return sim_chance_between(c, from, 2 * from);
}

static int64_t draw_jump(struct sim_chance *c) {
    static const int64_t steps[] = {DAY_S, 365 * DAY_S, -DAY_S, -365 * DAY_S, 700, -700};
    return steps[sim_chance_below(c, 6)];
}

/* What the kind needs; each fault draws as often as any other, whatever it uses. */
static void draw_arguments(struct sim_chance *c, const struct sim_plan *plan, struct sim_fault *f) {
    uint64_t two = sim_chance_below(c, 2);
    uint64_t many = sim_chance_next(c) >> 11;
    uint64_t window = draw_ms(c, 60, 3000);
    uint64_t sleep = draw_sleep(c);
    int64_t jump = draw_jump(c);
    unsigned slots = plan->founders + plan->spares;
    f->ms = window;
    switch (f->kind) {
    case SIM_CUT:
        f->value = (int64_t)two;
        break;
    case SIM_ISOLATE:
        f->value = (int64_t)(many % 3);
        break;
    case SIM_PARTITION:
        f->value = (int64_t)(1 + many % ((UINT64_C(1) << slots) - 2));
        f->other = two != 0 && many >> 20 & 1;
        break;
    case SIM_TWICE:
    case SIM_SLOW:
        f->value = (int64_t)(5 + many % 400);
        break;
    case SIM_LOSS:
        f->value = (int64_t)(10 + many % 400);
        break;
    case SIM_PAUSE:
        f->value = (int64_t)two;
        f->ms = plan->profile == SIM_SLEEP ? sleep : window;
        break;
    case SIM_JUMP:
        f->value = jump;
        break;
    case SIM_DRIFT: /* good quartz is off by 20 ppm; a host may slow a guest's clock at will */
        f->value = (int64_t)(many % (plan->profile == SIM_SLEEP ? 1000 : 40000)) -
                   (plan->profile == SIM_SLEEP ? 500 : 20000);
        break;
    case SIM_BURST:
        f->value = (int64_t)(10 + many % 90);
        break;
    case SIM_CRASH:
        f->ms = 100 + many % 2500;
        break;
    case SIM_LEAVE:
    case SIM_RETIRE:
    case SIM_TRANSFER:
    case SIM_RESET:
    case SIM_LATE:
    case SIM_CLONE:
        break;
    case SIM_KINDS:
    default:
        break;
    }
}

static void draw_faults(struct sim_chance *c, const struct profile *p, struct sim_plan *plan) {
    uint64_t at = sim_chance_below(c, 2UL * p->pace_ms);
    while (at < plan->chaos_ms && plan->fault_count < SIM_FAULTS_MAX) {
        struct sim_fault *f = &plan->faults[plan->fault_count++];
        *f = (struct sim_fault){.number = plan->fault_count, .at_ms = at};
        f->kind = draw_kind(c, p);
        f->who = draw_who(c, plan, p->leader_permille);
        f->other = (unsigned)sim_chance_below(c, plan->founders + plan->spares);
        draw_arguments(c, plan, f);
        at += 1 + sim_chance_below(c, 2UL * p->pace_ms);
        at += f->kind == SIM_PAUSE && plan->profile == SIM_SLEEP ? f->ms / 2 : 0;
    }
}

/* --- Sizes */

/* Entries between two snapshots, and what stays behind one. */
static void draw_sizes(struct sim_chance *c, struct sim_plan *plan) {
    plan->snapshot_threshold = sim_chance_between(c, 10, 110);
    plan->snapshot_trailing = sim_chance_between(c, 10, 60);
    bool is_tight = sim_chance_hits(c, plan->profile == SIM_LOGS ? 750 : 100);
    uint64_t threshold = sim_chance_between(c, 3, 20);
    uint64_t tight = sim_chance_between(c, 1, 8);
    if (is_tight) {
        plan->snapshot_threshold = threshold;
        plan->tight_trailing = tight;
        plan->snapshot_trailing = 200;
    }
}

void sim_plan_make(uint64_t seed, uint64_t chaos_ms, uint64_t rest_ms, struct sim_plan *out) {
    struct sim_chance c;
    sim_chance_seed(&c, seed, SIM_STREAM_PLAN);
    *out = (struct sim_plan){.profile = draw_profile(&c)};
    const struct profile *p = &profiles[out->profile];
    bool is_sleep = out->profile == SIM_SLEEP;
    out->founders = sim_chance_hits(&c, p->five_permille) ? 5 : 3;
    out->founders = out->profile == SIM_SMALL ? 1 : out->founders;
    out->spares = 1 + (unsigned)sim_chance_below(&c, p->spares_max);
    draw_sizes(&c, out);
    out->heartbeat_ms = is_sleep ? 300 : 30;
    out->election_ms = 10 * out->heartbeat_ms;
    out->dead_ms = is_sleep ? 15000 : 1500;
    out->ask_ms = p->ask_ms;
    out->chaos_ms = chaos_ms != 0 ? chaos_ms : p->chaos_ms;
    draw_faults(&c, p, out);
    for (unsigned i = 0; is_sleep && i < out->fault_count; i++) { /* until the last one wakes */
        const struct sim_fault *f = &out->faults[i];
        uint64_t end = f->at_ms + (f->kind == SIM_PAUSE ? f->ms : 0);
        out->chaos_ms = end > out->chaos_ms ? end : out->chaos_ms;
    }
    out->rest_ms = rest_ms != 0 ? rest_ms : is_sleep ? 200000 : 20000;
}

void sim_plan_calm(struct sim_plan *plan) {
    plan->profile = SIM_MIXED;
    plan->heartbeat_ms = 30;
    plan->election_ms = 300;
    plan->dead_ms = 1500;
    plan->rest_ms = 20000;
    plan->tight_trailing = 0;
    plan->fault_count = 0;
}

/* --- Showing */

static void print_who(unsigned who, FILE *out) {
    if (who == SIM_WHO_LEADER) {
        fprintf(out, " the leader");
    } else if (who == SIM_WHO_FOLLOWER) {
        fprintf(out, " a follower");
    } else {
        fprintf(out, " pod %u", who);
    }
}

static void print_fault(const struct sim_fault *f, FILE *out) {
    static const char *const sides[] = {"hears nobody", "is not heard", "is alone"};
    fprintf(out, "%4u  %8" PRIu64 " ms  %-9s", f->number, f->at_ms, kind_names[f->kind]);
    if (f->kind == SIM_PARTITION) {
        fprintf(out, " slots %#" PRIx64 "%s", (uint64_t)f->value, f->other != 0 ? ", one way" : "");
    } else {
        print_who(f->who, out);
    }
    switch (f->kind) {
    case SIM_CUT:
        fprintf(out, " and pod %u%s", f->other, f->value != 0 ? "" : ", that way only");
        break;
    case SIM_RESET:
    case SIM_LATE:
        fprintf(out, " and pod %u", f->other);
        break;
    case SIM_ISOLATE:
        fprintf(out, " %s", sides[f->value]);
        break;
    case SIM_PAUSE:
        fprintf(out, "%s", f->value != 0 ? ", its clock stands still" : "");
        break;
    case SIM_TWICE:
    case SIM_SLOW:
        fprintf(out, ", %" PRId64 " ms more", f->value);
        break;
    case SIM_LOSS:
        fprintf(out, ", %" PRId64 " in 1000", f->value);
        break;
    case SIM_JUMP:
        fprintf(out, " by %" PRId64 " s", f->value);
        break;
    case SIM_DRIFT:
        fprintf(out, " by %" PRId64 " ppm", f->value);
        break;
    case SIM_BURST:
        fprintf(out, " of %" PRId64 " requests", f->value);
        break;
    case SIM_CRASH:
    case SIM_LEAVE:
    case SIM_RETIRE:
    case SIM_TRANSFER:
    case SIM_PARTITION:
    case SIM_CLONE:
    case SIM_KINDS:
    default:
        break;
    }
    fprintf(out, " (%" PRIu64 " ms)\n", f->ms);
}

void sim_plan_print(const struct sim_plan *plan, FILE *out) {
    fprintf(out,
            "%s: %u founders, %u more; a snapshot every %" PRIu64 " entries, %" PRIu64
            " kept; faults for %" PRIu64 " ms\n",
            sim_plan_profile_name(plan->profile), plan->founders, plan->spares,
            plan->snapshot_threshold,
            plan->tight_trailing != 0 ? plan->tight_trailing : plan->snapshot_trailing,
            plan->chaos_ms);
    for (unsigned i = 0; i < plan->fault_count; i++) {
        print_fault(&plan->faults[i], out);
    }
}

void sim_plan_print_some(const struct sim_plan *plan, const unsigned *numbers, size_t count,
                         FILE *out) {
    for (size_t i = 0; i < count; i++) {
        if (numbers[i] >= 1 && numbers[i] <= plan->fault_count) {
            print_fault(&plan->faults[numbers[i] - 1], out);
        }
    }
}
