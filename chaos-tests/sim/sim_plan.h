/* Sim, the plan of a seed: what kind of run it is, and its faults, numbered, before it begins.
 *
 *   seed -> profile (sizes, paces, which faults how often) -> faults 1, 2, 3 ... with times
 *
 * All of it comes from a stream of its own: a run that leaves some faults out (--faults) plays the
 * others at the same times with the same arguments, so a failing list can be made smaller. Whom a
 * fault hits may depend on the moment ("the leader"); when, how long and how hard does not.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SIM_PLAN_H
#define CONTRAST_SIM_PLAN_H

#include <stdio.h>

#include "chaos-tests/sim/sim_chance.h"

#define SIM_FAULTS_MAX 400

enum sim_profile {
    SIM_MIXED,  /* a bit of everything */
    SIM_CHURN,  /* members come and go, several at a time */
    SIM_TERMS,  /* one leader after the other is cut off */
    SIM_LINKS,  /* old bytes, doubles, loss, resets */
    SIM_LOGS,   /* bursts, tiny snapshots, less kept behind them than is in flight */
    SIM_CLOCKS, /* jumps, drift, machines that stand still */
    SIM_SMALL,  /* a cluster of one, with a standby */
    SIM_SLEEP,  /* machines stopped for minutes or an hour while the others go on */
    SIM_PROFILES,
};

enum sim_fault_kind {
    SIM_CRASH,     /* who: all memory lost, back after ms */
    SIM_LEAVE,     /* who: SIGTERM */
    SIM_RETIRE,    /* who: an owner has it removed */
    SIM_TRANSFER,  /* the leader hands over to who */
    SIM_CUT,       /* who -> other, value 1: both ways, for ms */
    SIM_ISOLATE,   /* who, value 0: hears nobody, 1: is not heard, 2: both, for ms */
    SIM_PARTITION, /* value: bit for each slot of one side; other 1: one way, for ms */
    SIM_RESET,     /* the connection of who and other; what is on its way is lost */
    SIM_LATE,      /* the same, and what was on its way arrives up to ms later all the same */
    SIM_TWICE,     /* who -> everybody, for ms: what is sent arrives again, up to value ms later */
    SIM_LOSS,      /* who -> everybody, for ms: value permille of the messages are lost */
    SIM_SLOW,      /* who <-> everybody, for ms: value ms more */
    SIM_PAUSE,     /* who, for ms; value 1: its monotonic clock stands still meanwhile */
    SIM_JUMP,      /* who: its clock is value seconds off from now on */
    SIM_DRIFT,     /* who: its clocks run value ppm too fast */
    SIM_BURST,     /* value requests at once at who */
    SIM_CLONE,     /* another machine claims the name of who */
    SIM_KINDS,
};

/* Whom: a slot, or found out at the moment. */
#define SIM_WHO_LEADER 100
#define SIM_WHO_FOLLOWER 101

struct sim_fault {
    unsigned number; /* from 1 */
    enum sim_fault_kind kind;
    uint64_t at_ms; /* since the faults began */
    unsigned who, other;
    uint64_t ms;
    int64_t value;
};

struct sim_plan {
    enum sim_profile profile;
    unsigned founders, spares;
    uint64_t snapshot_threshold, snapshot_trailing; /* entries */
    uint64_t tight_trailing; /* 0 = none; else entries kept, whatever is in flight (rule R3) */
    uint64_t heartbeat_ms, election_ms, dead_ms;
    uint64_t ask_ms;   /* mean time between two requests */
    uint64_t chaos_ms; /* with faults */
    uint64_t rest_ms;  /* to recover */
    struct sim_fault faults[SIM_FAULTS_MAX];
    unsigned fault_count;
};

/* chaos_ms and rest_ms: 0 = as the profile says. */
void sim_plan_make(uint64_t seed, uint64_t chaos_ms, uint64_t rest_ms, struct sim_plan *out);
const char *sim_plan_profile_name(enum sim_profile profile);
const char *sim_plan_kind_name(enum sim_fault_kind kind);
void sim_plan_print(const struct sim_plan *plan, FILE *out);
/* These faults alone. */
void sim_plan_print_some(const struct sim_plan *plan, const unsigned *numbers, size_t count,
                         FILE *out);
/* Sizes and paces of the mixed profile, no faults: for kill points. */
void sim_plan_calm(struct sim_plan *plan);

#endif
