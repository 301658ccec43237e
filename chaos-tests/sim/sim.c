/* Sim: the loop. See sim.h.
 *
 * Time jumps to the next event: a message, a tick, a restart, a fault, an operation. All randomness
 * comes from the seed (sim_chance.h).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/sim/sim_kill.h"
#include "chaos-tests/sim/sim_model.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/log.h"

#define START_MS 5000    /* to elect a leader and commit the first manifest */
#define STEPS_MAX 200000 /* and one for every 2 ms of faults: an hour of heartbeats is long */
#define LOGGING_SEEDS 8  /* of so many one makes all its lines: to look for keys in them */

/* --- Trace */

static void stir(struct sim *s, unsigned lane, uint64_t value) {
    uint64_t x = (s->trace[lane] ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    s->trace[lane] = x ^ x >> 29;
}

void sim_trace(struct sim *s, const char *what, uint64_t a, uint64_t b) {
    s->result->steps++;
    stir(s, 0, s->now_ms);
    for (const char *c = what; *c != 0; c++) {
        stir(s, 1, (uint8_t)*c);
    }
    stir(s, 2, a ^ s->trace[1]);
    stir(s, 3, b ^ s->trace[0]);
    if (s->options->is_verbose && strcmp(what, "message") != 0) {
        fprintf(stderr, "%6llu  %s %llu %llu\n", (unsigned long long)s->now_ms, what,
                (unsigned long long)a, (unsigned long long)b);
    }
}

void sim_fail(struct sim *s, const char *format, ...) {
    if (!s->result->is_good) {
        return;
    }
    s->result->is_good = false;
    int n = snprintf(s->result->why, sizeof s->result->why,
                     "at %llu ms: ", (unsigned long long)s->now_ms);
    va_list args;
    va_start(args, format);
    vsnprintf(s->result->why + n, sizeof s->result->why - (size_t)n, format, args);
    va_end(args);
}

/* --- The loop */

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static void after_event(struct sim *s) {
    sim_model_step(s);
    sim_kill_settle(s);
    if (s->is_net_stale) {
        sim_net_update(s);
    }
    sim_check_step(s);
    sim_check_leaders(s);
    sim_rule_step(s);
    for (unsigned i = 0; i < s->pod_count; i++) {
        if (s->pods[i].is_touched) {
            sim_pod_settle(&s->pods[i]);
        }
    }
}

static void tick_pods(struct sim *s) {
    for (unsigned i = 0; i < s->pod_count; i++) {
        struct sim_pod *p = &s->pods[i];
        if (p->replica != NULL && p->paused_ms == 0 && p->due_ms <= s->now_ms) {
            s->result->steps++;
            if (!sim_kill_before(s, i, "tick")) {
                replica_tick(sim_pod_use(p));
            }
            after_event(s);
        }
    }
}

static void disturb(struct sim *s) {
    if (s->is_quiet) {
        return;
    }
    if (s->now_ms >= s->next_op_ms) {
        s->next_op_ms = s->now_ms + 10 + sim_chance_below(&s->clients, 2 * s->plan.ask_ms);
        sim_op_random(s);
    }
    sim_op_retry(s);
    sim_fault_play(s);
}

/* One moment in time. */
static void step(struct sim *s, uint64_t end_ms) {
    after_event(s);
    uint64_t next = earlier(earlier(sim_net_next(s), sim_pod_next(s)), end_ms);
    if (!s->is_quiet) {
        next = earlier(next, earlier(s->next_op_ms, sim_fault_next(s)));
    }
    s->now_ms = next > s->now_ms ? next : s->now_ms;
    sim_pod_tend(s);
    while (s->result->is_good && sim_net_deliver(s)) {
        after_event(s);
        sim_pod_tend(s);
    }
    tick_pods(s);
    sim_owner_tend(s);
    disturb(s);
    if (s->result->steps > STEPS_MAX + s->plan.chaos_ms / 2) {
        sim_fail(s, "more than %llu steps: something spins", (unsigned long long)s->result->steps);
    }
}

void sim_run_for(struct sim *s, uint64_t duration_ms) {
    uint64_t end = s->now_ms + duration_ms;
    while (s->result->is_good && s->now_ms < end) {
        step(s, end);
    }
}

/* --- The acts */

static void wait_rest(struct sim *s, uint64_t duration_ms) {
    uint64_t end = s->now_ms + duration_ms;
    while (s->result->is_good && s->now_ms < end && !sim_check_is_resting(s)) {
        sim_run_for(s, 200);
    }
}

static struct sim_pod *some_member(struct sim *s) {
    for (unsigned tries = 0; tries < 100; tries++) {
        struct sim_pod *p = &s->pods[sim_chance_below(&s->chance, s->pod_count)];
        if (sim_pod_is_member(p)) {
            return p;
        }
    }
    sim_fail(s, "no pod is a member");
    return NULL;
}

/* As a founding session does: policies, then the first manifest that names them. */
static void begin_cluster(struct sim *s) {
    s->is_quiet = true;
    sim_pod_found(s);
    sim_run_for(s, 1 + sim_chance_below(&s->chance, 2000));
    sim_op_blob(s, 0, 0);
    sim_op_blob(s, 0, 1);
    while (s->result->is_good && s->acked_generation == 0 &&
           s->now_ms < START_MS * s->plan.heartbeat_ms / 30) {
        if (s->ops == NULL) {
            sim_op_begin(s, SIM_SET, 0);
        }
        sim_run_for(s, 50);
    }
    if (s->acked_generation == 0) {
        sim_fail(s, "the first manifest was not committed");
    }
}

static void rage(struct sim *s) {
    s->is_quiet = false;
    s->next_op_ms = s->now_ms;
    s->chaos_since_ms = s->now_ms;
    sim_run_for(s, s->plan.chaos_ms);
    s->is_quiet = true;
    sim_fault_heal(s);
}

/* The pod that is asked may still learn that it was removed, and end: then another one is asked. */
static void ask_at_rest(struct sim *s, enum sim_op_kind kind, const uint64_t *counter) {
    uint64_t before = *counter;
    for (unsigned tries = 0; tries < 5 && *counter == before; tries++) {
        const struct sim_pod *p = some_member(s);
        if (p == NULL) {
            return;
        }
        s->numbers++;
        sim_op_begin(s, kind, p->slot);
        wait_rest(s, s->plan.rest_ms);
    }
    if (*counter == before) {
        sim_fail(s, "a healed cluster answers no request of kind %d", (int)kind);
    }
}

static void prove_alive(struct sim *s) {
    ask_at_rest(s, SIM_SET, &s->result->sets);
    ask_at_rest(s, SIM_ISSUE, &s->result->issues);
    ask_at_rest(s, SIM_CONFIRM, &s->result->confirms);
    sim_check_rest(s);
}

static void play(struct sim *s) {
    begin_cluster(s);
    if (s->result->is_good && s->kill != NULL) {
        sim_kill_play(s);
    } else if (s->result->is_good) {
        rage(s);
    }
    wait_rest(s, s->plan.rest_ms);
    if (s->result->is_good) {
        sim_check_rest(s);
    }
    if (s->result->is_good) {
        prove_alive(s);
    }
}

/* No key may stand in a log, raw, in hexadecimal or in base64. */
static void on_log(void *data, enum log_level level, const char *line) {
    static const char *const forms[] = {SIM_SECRET_MARK, "734563526554", "c0VjUmVU"};
    struct sim *s = data;
    (void)level;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (strstr(line, forms[i]) != NULL) {
            sim_fail(s, "a key in the log: %s", line);
        }
    }
    if (s->options->is_verbose) {
        fprintf(stderr, "%6llu  %s\n", (unsigned long long)s->now_ms, line);
    }
}

static void begin(struct sim *s) {
    const struct sim_options *o = s->options;
    sim_plan_make(o->seed, o->chaos_ms, o->rest_ms, &s->plan);
    sim_chance_seed(&s->chance, o->seed, SIM_STREAM_WORLD);
    sim_chance_seed(&s->clients, o->seed, SIM_STREAM_CLIENTS);
    s->founder_count = s->plan.founders;
    s->pod_count = s->plan.founders + s->plan.spares;
    s->kill = o->kill;
    sim_net_init(s);
    sim_op_init(s);
    if (s->kill != NULL) {
        sim_plan_calm(&s->plan);
        sim_kill_init(s);
    }
    sim_model_begin(s);
}

void sim_run(const struct sim_options *options, struct sim_result *out) {
    struct sim *s = mem_zalloc(sizeof *s);
    *out = (struct sim_result){.is_good = true};
    s->options = options;
    s->result = out;
    bool is_logging = options->is_verbose || options->seed % LOGGING_SEEDS == 0;
    sim_secret_link();
    log_init("sim", is_logging ? LOG_INFO : LOG_WARN);
    log_set_sink(on_log, s);
    begin(s);
    play(s);
    memcpy(out->trace, s->trace, sizeof out->trace);
    s->is_quiet = true;
    sim_model_end(s);
    sim_op_deinit(s);
    sim_pod_deinit(s);
    sim_net_deinit(s);
    sim_check_deinit(s);
    sim_rule_deinit(s);
    buf_deinit(&s->found);
    buf_deinit(&s->more_manifest);
    mem_free(s);
    log_set_sink(NULL, NULL);
}
