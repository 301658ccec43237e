/* Sim: the loop. See sim.h.
 *
 * Time jumps to the next event: a message, a tick, a restart, a fault, an operation. All randomness
 * comes from one generator (xoshiro256**, Blackman and Vigna 2018, seeded through splitmix64).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/sim/sim_kill.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/crypto/digest.h"

#define START_MS 5000 /* to elect a leader and commit the first manifest */
#define STEPS_MAX 3000000
#define TRACE_BLOCK 65536

/* --- Chance and trace */

static uint64_t rotate(uint64_t x, unsigned k) {
    return x << k | x >> (64 - k);
}

uint64_t sim_random(struct sim *s) {
    uint64_t *x = s->random;
    uint64_t out = rotate(x[1] * 5, 7) * 9;
    uint64_t t = x[1] << 17;
    x[2] ^= x[0];
    x[3] ^= x[1];
    x[1] ^= x[2];
    x[0] ^= x[3];
    x[2] ^= t;
    x[3] = rotate(x[3], 45);
    return out;
}

uint64_t sim_below(struct sim *s, uint64_t bound) {
    return (sim_random(s) >> 11) % bound;
}

static void seed(struct sim *s, uint64_t x) {
    for (unsigned i = 0; i < 4; i++) {
        x += UINT64_C(0x9e3779b97f4a7c15);
        uint64_t z = x;
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        s->random[i] = z ^ z >> 31;
    }
}

static void fold_trace(struct sim *s) {
    uint8_t digest[32];
    sha256(buf_span(&s->trace), digest);
    s->trace.size = 0;
    buf_append(&s->trace, digest, sizeof digest);
}

void sim_trace(struct sim *s, const char *what, uint64_t a, uint64_t b) {
    s->result->steps++;
    buf_append_u64be(&s->trace, s->now_ms);
    buf_append_str(&s->trace, what);
    buf_append_u64be(&s->trace, a);
    buf_append_u64be(&s->trace, b);
    if (s->trace.size > TRACE_BLOCK) {
        fold_trace(s);
    }
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
    sim_kill_settle(s);
    if (s->is_net_stale) {
        sim_net_update(s);
    }
    sim_check_step(s);
    sim_check_leaders(s);
}

static void tick_pods(struct sim *s) {
    for (unsigned i = 0; i < s->pod_count; i++) {
        struct sim_pod *p = &s->pods[i];
        if (p->replica != NULL && p->paused_ms == 0 &&
            replica_deadline(p->replica) <= host_monotonic_ms(&p->host)) {
            s->result->steps++;
            if (!sim_kill_before(s, i, "tick")) {
                replica_tick(p->replica);
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
        s->next_op_ms = s->now_ms + 10 + sim_below(s, 100);
        sim_op_random(s);
    }
    if (s->now_ms >= s->next_fault_ms) {
        s->next_fault_ms = s->now_ms + 50 + sim_below(s, 700);
        sim_fault_random(s);
    }
}

/* One moment in time. */
static void step(struct sim *s, uint64_t end_ms) {
    after_event(s);
    uint64_t next = earlier(earlier(sim_net_next(s), sim_pod_next(s)), end_ms);
    if (!s->is_quiet) {
        next = earlier(next, earlier(s->next_op_ms, s->next_fault_ms));
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
    if (s->result->steps > STEPS_MAX) {
        sim_fail(s, "more than %d steps: something spins", STEPS_MAX);
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
        struct sim_pod *p = &s->pods[sim_below(s, s->pod_count)];
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
    sim_run_for(s, 1 + sim_below(s, 2000));
    sim_op_blob(s, 0, 0);
    sim_op_blob(s, 0, 1);
    while (s->result->is_good && s->acked_generation == 0 && s->now_ms < START_MS) {
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
    s->next_fault_ms = s->now_ms + sim_below(s, 1000);
    sim_run_for(s, s->options->chaos_ms);
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
        wait_rest(s, s->options->rest_ms);
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
    wait_rest(s, s->options->rest_ms);
    if (s->result->is_good) {
        sim_check_rest(s);
    }
    if (s->result->is_good) {
        prove_alive(s);
    }
}

static void silence(void *data, enum log_level level, const char *line) {
    (void)data;
    (void)level;
    (void)line;
}

void sim_run(const struct sim_options *options, struct sim_result *out) {
    struct sim *s = mem_zalloc(sizeof *s);
    *out = (struct sim_result){.is_good = true};
    s->options = options;
    s->result = out;
    log_set_sink(options->is_verbose ? NULL : silence, NULL);
    seed(s, options->seed);
    s->founder_count = sim_below(s, 3) == 0 ? 5 : 3;
    s->pod_count = s->founder_count + 1;
    s->snapshot_threshold = 10 + sim_below(s, 100);
    s->snapshot_trailing = 10 + sim_below(s, 50);
    sim_op_init(s);
    s->kill = options->kill;
    if (s->kill != NULL) {
        sim_kill_init(s);
    }
    play(s);
    fold_trace(s);
    memcpy(out->trace, s->trace.data, sizeof out->trace);
    for (unsigned i = 0; i < s->pod_count; i++) {
        sim_op_forget(s, i);
    }
    sim_pod_deinit(s);
    sim_net_deinit(s);
    sim_check_deinit(s);
    buf_deinit(&s->found);
    buf_deinit(&s->more_manifest);
    buf_deinit(&s->trace);
    mem_free(s);
    log_set_sink(NULL, NULL);
}
