/* Sim, kill points: see sim_kill.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/sim/sim_kill.h"

#include <string.h>

#define DONE_MS 20000 /* for a scenario to end, with or without a crash */
#define AFTER_MS 300  /* behind the end of a scenario: commit indexes travel, replies arrive */
#define DOWN_MS 500   /* until the victim's pod is back */
#define NEVER_MS (UINT64_C(1) << 40)
#define STEPS_LISTED 100000

static const char *const names[SIM_SCENARIO_COUNT] = {
    [SIM_KILL_SET] = "set",     [SIM_KILL_JOIN] = "join",       [SIM_KILL_REPLACE] = "replace",
    [SIM_KILL_LEAVE] = "leave", [SIM_KILL_RECOVER] = "recover",
};

const char *sim_kill_name(enum sim_scenario scenario) {
    return scenario < SIM_SCENARIO_COUNT ? names[scenario] : NULL;
}

enum sim_scenario sim_kill_find(const char *name) {
    for (unsigned i = SIM_KILL_SET; i < SIM_SCENARIO_COUNT; i++) {
        if (strcmp(names[i], name) == 0) {
            return (enum sim_scenario)i;
        }
    }
    return (enum sim_scenario)0;
}

/* --- Steps */

static uint8_t live_slots(const struct sim *s) {
    unsigned live = 0;
    for (unsigned i = 0; i < s->pod_count; i++) {
        live |= s->pods[i].replica != NULL ? 1U << i : 0;
    }
    return (uint8_t)live;
}

/* True: this step is the point. */
static bool count_step(struct sim *s, unsigned slot, const char *what, bool is_out) {
    struct sim_kill *k = s->kill;
    if (!k->is_counting) {
        return false;
    }
    size_t step = k->steps++;
    if (!k->has_point && k->list_count < STEPS_LISTED) {
        k->list = mem_realloc(k->list, (k->list_count + 1) * sizeof *k->list);
        k->list[k->list_count++] =
            (struct sim_kill_step){what, (uint8_t)slot, is_out, live_slots(s)};
    }
    return k->has_point && step == k->point.step;
}

static bool may_kill(struct sim *s) {
    struct sim_kill *k = s->kill;
    const struct sim_pod *victim = &s->pods[k->point.victim];
    bool may = victim->replica != NULL &&
               (k->scenario == SIM_KILL_RECOVER || sim_fault_may_die(s, victim));
    k->was_spared = !may;
    return may;
}

static void kill(struct sim *s) {
    struct sim_kill *k = s->kill;
    k->is_due = false;
    k->mute_from = 0;
    k->was_killed = true;
    s->result->faults[SIM_CRASH]++;
    sim_pod_stop(s, &s->pods[k->point.victim], DOWN_MS);
}

bool sim_kill_before(struct sim *s, unsigned slot, const char *what) {
    struct sim_kill *k = s->kill;
    if (k == NULL || !count_step(s, slot, what, false) || !may_kill(s)) {
        return false;
    }
    if (k->point.is_after) {
        k->is_due = true;
        return false;
    }
    kill(s);
    return true;
}

bool sim_kill_out(struct sim_pod *p, const char *what) {
    struct sim *s = p->sim;
    struct sim_kill *k = s->kill;
    if (k == NULL) {
        return true;
    }
    if (k->mute_from == 1 && p->slot == k->point.victim) {
        k->mute_from = 2;
    }
    if (k->mute_from == 2 && p->slot == k->point.victim) {
        return false;
    }
    if (!count_step(s, p->slot, what, true) || !may_kill(s)) {
        return true;
    }
    k->is_due = true;
    k->mute_from = k->point.is_after ? 1 : 2;
    return k->point.is_after;
}

void sim_kill_deinit(struct sim_kill *k) {
    mem_free(k->list);
    buf_deinit(&k->epoch.checkpoint);
    *k = (struct sim_kill){0};
}

void sim_kill_settle(struct sim *s) {
    if (s->kill != NULL && s->kill->is_due) {
        kill(s);
    }
}

/* --- Scenarios */

/* A session asks: handled by this pod. */
static void ask(struct sim *s, enum sim_op_kind kind, unsigned slot) {
    if (!sim_kill_before(s, slot, "request") && s->pods[slot].replica != NULL) {
        sim_op_begin(s, kind, slot);
    }
    sim_kill_settle(s);
}

static unsigned slot_of_leader(const struct sim *s) {
    for (unsigned i = 0; i < s->pod_count; i++) {
        if (s->pods[i].replica != NULL && replica_is_leader(s->pods[i].replica)) {
            return i;
        }
    }
    return 0;
}

/* Whom a scenario is about: the leader for odd seeds, a follower for even ones. */
static unsigned choose_subject(const struct sim *s) {
    unsigned leader = slot_of_leader(s);
    return s->options->seed % 2 == 1 ? leader : (leader + 1) % s->founder_count;
}

static bool is_asking(const struct sim *s) {
    return s->ops != NULL;
}

static bool is_resting(const struct sim *s) {
    return sim_check_is_resting(s);
}

static void wait_while(struct sim *s, bool (*condition)(const struct sim *), bool value) {
    uint64_t end = s->now_ms + DONE_MS;
    while (s->result->is_good && s->now_ms < end && condition(s) == value) {
        sim_run_for(s, 20);
    }
}

static void play_set(struct sim *s) {
    unsigned slot = s->kill->subject;
    ask(s, SIM_SET, slot);
    ask(s, SIM_ISSUE, (slot + 1) % s->founder_count);
    wait_while(s, is_asking, true);
    ask(s, SIM_ISSUE, (slot + 2) % s->founder_count);
    ask(s, SIM_CONFIRM, (slot + 1) % s->founder_count);
    wait_while(s, is_asking, true);
}

static void play_join(struct sim *s) {
    sim_pod_add(s);
    sim_run_for(s, 50);
    wait_while(s, is_resting, false);
}

static void play_replace(struct sim *s) {
    sim_pod_stop(s, &s->pods[s->kill->subject], DOWN_MS);
    ask(s, SIM_ISSUE, (s->kill->subject + 2) % s->founder_count);
    wait_while(s, is_resting, false);
}

static void play_leave(struct sim *s) {
    unsigned slot = s->kill->subject;
    if (!sim_kill_before(s, slot, "SIGTERM")) {
        replica_leave(sim_pod_use(&s->pods[slot]));
    }
    sim_kill_settle(s);
    sim_run_for(s, 50);
    wait_while(s, is_resting, false);
}

static bool is_recovered(const struct sim *s) {
    return s->kill->epoch.acked != 0;
}

static void play_recover(struct sim *s) {
    unsigned survivor = s->kill->subject;
    s->kill->epoch.asked = 1;
    s->kill->epoch.quiet_ms = s->now_ms;
    for (unsigned i = 0; i < s->pod_count; i++) {
        if (i != survivor) {
            s->pods[i].restart_ms = s->now_ms + DOWN_MS;
        }
    }
    sim_owner_survivor(s, &s->pods[survivor]);
    sim_kill_settle(s);
    wait_while(s, is_recovered, false);
    for (unsigned i = 0; i < s->pod_count; i++) {
        if (sim_pod_is_member(&s->pods[i]) && !sim_owner_is_stale(s, &s->pods[i])) {
            ask(s, SIM_SET, i);
            break;
        }
    }
    wait_while(s, is_resting, false);
}

/* What comes before `recover`: one is lost, the other two acknowledge a manifest, and one of them
 * is lost with it. The survivor need not know that it was committed. */
static void lose_majority(struct sim *s) {
    unsigned survivor = s->kill->subject;
    unsigned leader = slot_of_leader(s);
    unsigned second = leader != survivor ? leader : (survivor + 1) % s->pod_count;
    struct recovery position;
    uint64_t last_term = 0;
    sim_pod_stop(s, &s->pods[3 - survivor - second], NEVER_MS);
    sim_run_for(s, 100);
    uint64_t end = s->now_ms + DONE_MS;
    while (s->result->is_good && s->acked_generation < 2 && s->now_ms < end) {
        if (s->ops == NULL) { /* the one before set the same manifest again */
            ask(s, SIM_SET, leader);
        }
        sim_run_for(s, 1);
    }
    if (!is_ok(replica_survey(sim_pod_use(&s->pods[leader]), &s->kill->epoch.checkpoint, &position,
                              &last_term, NULL)) ||
        position.generation != 2) {
        sim_fail(s, "two of three do not take a manifest");
    }
    sim_pod_stop(s, &s->pods[second], NEVER_MS);
    sim_run_for(s, 1000);
}

void sim_kill_init(struct sim *s) {
    bool five = s->kill->scenario == SIM_KILL_REPLACE || s->kill->scenario == SIM_KILL_LEAVE;
    s->founder_count = five ? 5 : 3;
    s->pod_count = s->founder_count;
    if (s->kill->scenario == SIM_KILL_RECOVER) {
        sim_owner_write(&s->more_manifest);
    }
}

void sim_kill_play(struct sim *s) {
    static void (*const plays[SIM_SCENARIO_COUNT])(struct sim *) = {
        [SIM_KILL_SET] = play_set,         [SIM_KILL_JOIN] = play_join,
        [SIM_KILL_REPLACE] = play_replace, [SIM_KILL_LEAVE] = play_leave,
        [SIM_KILL_RECOVER] = play_recover,
    };
    wait_while(s, is_resting, false);
    if (!s->result->is_good) {
        return;
    }
    s->kill->subject = choose_subject(s);
    if (s->kill->scenario == SIM_KILL_RECOVER) {
        lose_majority(s);
    }
    s->kill->is_counting = true;
    plays[s->kill->scenario](s);
    sim_run_for(s, AFTER_MS);
    s->kill->is_counting = false;
}
