/* World: the acts of a run. See world.h.
 *
 *   pods start -> an owner's first set founds the cluster -> faults, clients, owners
 *     -> everything heals -> rest within a bound -> a set, a certificate and a verification go
 * through
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/world/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/crypto/digest.h"

#define FOUND_MS 60000    /* for an owner to found the cluster */
#define STEPS_MAX 4000000 /* events of one run: more means that something spins */
#define REST_STEP_MS 250

uint64_t world_random(struct world *w) {
    return sim_chance_next(&w->chance);
}

uint64_t world_below(struct world *w, uint64_t bound) {
    return sim_chance_below(&w->chance, bound);
}

uint64_t world_now(const struct world *w) {
    return played_now_ms(w->played);
}

void world_fail(struct world *w, const char *format, ...) {
    if (!w->result->is_good) {
        return;
    }
    w->result->is_good = false;
    int n = snprintf(w->result->why, sizeof w->result->why,
                     "at %llu ms: ", (unsigned long long)world_now(w));
    va_list args;
    va_start(args, format);
    vsnprintf(w->result->why + n, sizeof w->result->why - (size_t)n, format, args);
    va_end(args);
    if (w->options->is_verbose) {
        fprintf(stderr, "FAILED %s\n", w->result->why);
    }
}

/* --- What the programs say */

static void on_line(void *data, enum log_level level, const char *line) {
    struct world *w = data;
    world_check_log(w, line);
    if (w->options->is_verbose) {
        static const char letters[] = "DIWE";
        const char *text = strchr(line, ' '); /* the real clock's time says nothing here */
        fprintf(stderr, "%8llu %c %-18s%s\n", (unsigned long long)world_now(w), letters[level],
                played_current(), text == NULL ? line : text);
    }
}

/* --- The loop */

void world_run_for(struct world *w, uint64_t duration_ms) {
    uint64_t end = world_now(w) + duration_ms;
    while (w->result->is_good && world_now(w) < end) {
        if (played_step(w->played, end)) {
            world_check_step(w);
            w->result->steps = played_steps(w->played);
        }
        world_owner_tend(w);
        world_client_tend(w);
        if (w->result->steps > STEPS_MAX) {
            world_fail(w, "more than %d events: something spins", STEPS_MAX);
        }
    }
}

static void begin_cluster(struct world *w) {
    for (unsigned i = 0; i < w->pod_count; i++) {
        world_pod_start(&w->pods[i]);
    }
    world_run_for(w, 200 + world_below(w, 1500));
    for (unsigned i = 0; i < WORLD_OWNERS && (i == 0 || w->has_race); i++) {
        w->owners[i].is_racing = w->has_race;
        world_owner_ask(&w->owners[i], WORLD_SET);
        world_run_for(w, w->has_race ? world_below(w, 60) : 0);
    }
    uint64_t end = world_now(w) + FOUND_MS;
    while (w->result->is_good && !w->is_founded && world_now(w) < end) {
        world_run_for(w, 50);
        if (world_owner_is_idle(w) && !w->is_founded) {
            bool looks = w->owners[0].must_look && w->head_count > 0;
            world_owner_ask(&w->owners[0], looks ? WORLD_VERIFY : WORLD_SET);
        }
    }
    if (!w->is_founded) {
        world_fail(w, "no cluster was founded: %s", w->owners[0].why.text);
    }
}

void world_rest(struct world *w) {
    uint64_t end = world_now(w) + w->options->rest_ms;
    while (w->result->is_good && world_now(w) < end && !world_check_is_resting(w)) {
        world_run_for(w, REST_STEP_MS);
    }
    world_check_rest(w);
}

/* Until the command has succeeded, or `tries` times not. */
static void demand(struct world *w, enum world_command command, const uint64_t *counter,
                   const char *what) {
    uint64_t before = *counter;
    struct world_owner *o = &w->owners[0];
    for (int tries = 0; tries < 6 && w->result->is_good && *counter == before; tries++) {
        world_owner_ask(o, o->must_look ? WORLD_VERIFY : command);
        world_owner_wait(w);
    }
    if (*counter == before) {
        world_fail(w, "a healed cluster refuses %s: %s", what, o->why.text);
    }
}

static void demand_certificate(struct world *w) {
    uint64_t before = w->result->certificates;
    struct world_client *c = world_client_start(w, WORLD_INITIALIZER);
    uint64_t end = world_now(w) + w->options->rest_ms;
    while (w->result->is_good && w->result->certificates == before && world_now(w) < end) {
        world_run_for(w, 50);
    }
    if (w->result->certificates == before) {
        world_fail(w, "a healed cluster gives no certificate: %s", c == NULL ? "" : c->why.text);
    }
}

static void demand_all(struct world *w) {
    demand(w, WORLD_SET, &w->result->sets, "a set");
    demand_certificate(w);
    demand(w, WORLD_VERIFY, &w->result->verifications, "a verification");
}

static void play(struct world *w) {
    begin_cluster(w);
    if (!w->result->is_good) {
        return;
    }
    world_fault_schedule(w);
    world_run_for(w, w->options->chaos_ms);
    w->is_quiet = true;
    world_fault_heal(w);
    world_rest(w);
    demand_all(w);
    if (w->has_shares && w->result->is_good) {
        world_recover_play(w);
        world_rest(w);
        demand_all(w);
    }
    world_client_stop(w);
    world_rest(w);
}

static void set_up(struct world *w) {
    sim_chance_seed(&w->chance, w->options->seed, SIM_STREAM_WORLD);
    w->has_race = w->options->seed % 5 == 2;
    w->founder_count = world_below(w, 4) == 0 ? 5 : 3;
    w->pod_count = w->founder_count + (w->has_race ? 0 : 1); /* else there may be two lists */
    w->wrong_host = WORLD_HOSTS;
    w->has_shares = world_below(w, 3) == 0;
    w->plan_count = world_plan(w->options, w->plan);
    w->played = played_new(w->options->seed, WORLD_HOSTS);
    played_set_verbose(w->played, w->options->is_verbose);
    w->room = machine_room_new(WORLD_HOSTS);
    world_owner_policies(w);
    for (unsigned i = 0; i < w->pod_count; i++) {
        world_pod_init(w, i);
    }
    for (unsigned i = 0; i < WORLD_OWNERS; i++) {
        world_owner_init(w, i);
    }
}

void world_run(const struct world_options *options, struct world_result *out) {
    struct world *w = mem_zalloc(sizeof *w);
    *out = (struct world_result){.is_good = true};
    w->options = options;
    w->result = out;
    set_up(w);
    log_set_sink(on_line, w);
    if (w->result->is_good) {
        play(w);
    }
    w->is_quiet = true;
    out->end_ms = world_now(w);
    played_digest(w->played, out->digest);
    log_set_sink(NULL, NULL);
    played_free(w->played);
    machine_room_free(w->room);
    world_check_deinit(w);
    mem_free(w);
}
