/* Sim, kill points: one scenario again and again, each time with another replica crashing at
 * another step of it.
 *
 *   set      a manifest and a certificate are asked for, three replicas
 *   join     a fourth pod comes
 *   replace  one of five dies and comes back as a new member
 *   leave    one of five is told to end, leaves and comes back
 *   recover  two of three are lost for good; the third goes on in a new epoch, the others come back
 *            empty and join it
 *
 * A step is what some replica handles (a message, a link, a tick, a request) or lets out (a
 * message, a reply, a view). The first run of a seed crashes nobody and lists the steps. A point is
 * a step, a victim, and "before" or "after": before and after what a replica handles; and, for who
 * lets something out, between the things that it lets out while it handles one event. Since a
 * replica has no disk, to crash there is to lose all that it would have let out afterwards.
 *
 * Afterwards everything must settle and pass the checks at rest: nothing acknowledged is missing,
 * as many voters as before, all equal, and a set, a certificate and a confirmation go through.
 * Where the voters without the victim are no majority, it is spared, and counted; `recover` plays
 * the share owners instead, who go on with whatever is left, in a higher epoch each time.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SIM_KILL_H
#define CONTRAST_SIM_KILL_H

#include "chaos-tests/sim/sim.h"

enum sim_scenario {
    SIM_KILL_SET = 1,
    SIM_KILL_JOIN,
    SIM_KILL_REPLACE,
    SIM_KILL_LEAVE,
    SIM_KILL_RECOVER,
    SIM_SCENARIO_COUNT,
};

/* NULL for no such scenario; 0 for no such name. */
const char *sim_kill_name(enum sim_scenario scenario);
enum sim_scenario sim_kill_find(const char *name);

struct sim_kill_step {
    const char *what; /* static */
    uint8_t slot;     /* of who handles it or lets it out */
    bool is_out;
    uint8_t live; /* bit for each slot that had a replica */
};

struct sim_kill_point {
    size_t step;
    unsigned victim; /* slot */
    bool is_after;
};

/* What befell the share owners' side. */
struct sim_kill_epoch {
    uint64_t asked; /* newest epoch that was ever signed: never signed again */
    uint64_t begun; /* newest one that a recipient took over */
    uint64_t acked;
    bool is_certain; /* what was acknowledged last is stored by two voters or more */
    uint64_t quiet_ms;
    uint64_t count;
    struct buf checkpoint; /* as the client got it with its set */
};

struct sim_kill {
    enum sim_scenario scenario;
    bool has_point;
    struct sim_kill_point point;
    /* The run. */
    bool is_counting;
    size_t steps;
    struct sim_kill_step *list; /* kept when there is no point */
    size_t list_count;
    bool was_killed;
    bool was_spared;
    bool is_due;        /* the victim dies when the event that it handles is over */
    unsigned mute_from; /* 0 = no; 1 = from the next output on; 2 = now */
    unsigned subject;   /* slot: whom the scenario is about */
    struct sim_kill_epoch epoch;
};

struct sim_kill_options {
    enum sim_scenario scenario;
    uint64_t seed;
    size_t limit; /* at most about this many points, by a fixed stride; 0 = all */
    size_t only;  /* this point alone, from 1; 0 = all */
    bool is_verbose;
    FILE *model_trace; /* sim_model.h; NULL = none */
};

struct sim_kill_result {
    bool is_good;
    char why[2 * SIM_TEXT]; /* the first point that failed, and how to see it again */
    size_t steps;
    size_t points; /* that there are */
    size_t ran;
    size_t killed;
    size_t spared;     /* no majority would have been left */
    size_t recoveries; /* begun, over all runs */
};

void sim_kill_run(const struct sim_kill_options *options, struct sim_kill_result *out);

/* --- Hooks of the loop; without kill points (s->kill NULL) they do nothing */

/* Pod `slot` is about to handle something. True: somebody crashed, look again. */
bool sim_kill_before(struct sim *s, unsigned slot, const char *what);
/* Pod `p` lets something out. False: it crashed before. */
bool sim_kill_out(struct sim_pod *p, const char *what);
/* Between events. */
void sim_kill_settle(struct sim *s);

void sim_kill_deinit(struct sim_kill *k);
void sim_kill_init(struct sim *s); /* counts of pods, before they start */
void sim_kill_play(struct sim *s);

/* --- sim_owner.c */

/* The fields of a manifest that name the share owners, appended. */
void sim_owner_write(struct buf *out);
/* They let pod `p` go on with what it holds, in a new epoch. */
void sim_owner_survivor(struct sim *s, struct sim_pod *p);
/* What they do when nothing moves any more. */
void sim_owner_tend(struct sim *s);
/* Of an older epoch than the newest one that somebody took over. */
bool sim_owner_is_stale(const struct sim *s, const struct sim_pod *p);
/* Joins an epoch whose state it does not have yet. */
bool sim_owner_is_on_its_way(const struct sim_pod *p);
/* `op` was acknowledged: who could have lost it afterwards? */
void sim_owner_acked(struct sim *s, const struct sim_op *op);

#endif
