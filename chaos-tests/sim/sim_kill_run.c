/* Sim, kill points, all of them: one run that lists the steps, then one for each point. See
 * sim_kill.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "chaos-tests/sim/sim_kill.h"

struct series {
    const struct sim_kill_options *options;
    struct sim_kill_result *result;
    struct sim_kill_step *steps;
    size_t step_count;
    struct sim_kill_point *points;
    size_t point_count;
};

static void add_point(struct series *x, size_t step, unsigned victim, bool is_after) {
    x->points = mem_realloc(x->points, (x->point_count + 1) * sizeof *x->points);
    x->points[x->point_count++] = (struct sim_kill_point){step, victim, is_after};
}

/* After a step is for everybody but who handles it the same as before the next one. */
static void list_points(struct series *x) {
    for (size_t i = 0; i < x->step_count; i++) {
        const struct sim_kill_step *step = &x->steps[i];
        for (unsigned slot = 0; slot < SIM_SLOTS && !step->is_out; slot++) {
            if ((step->live >> slot & 1) != 0) {
                add_point(x, i, slot, false);
            }
        }
        if (step->is_out) {
            add_point(x, i, step->slot, false);
        }
        add_point(x, i, step->slot, true);
    }
}

static void run(struct series *x, struct sim_kill *k, struct sim_result *out) {
    const struct sim_options options = {
        .seed = x->options->seed,
        .is_verbose = x->options->is_verbose,
        .rest_ms = SIM_REST_MS,
        .kill = k,
        .model_trace = x->options->model_trace,
    };
    sim_run(&options, out);
    x->result->recoveries += k->epoch.count;
}

/* The run without a crash; takes over its list. */
static bool run_first(struct series *x) {
    struct sim_kill k = {.scenario = x->options->scenario};
    struct sim_result r;
    run(x, &k, &r);
    x->steps = k.list;
    x->step_count = k.list_count;
    k.list = NULL;
    sim_kill_deinit(&k);
    x->result->steps = x->step_count;
    if (!r.is_good) {
        x->result->is_good = false;
        snprintf(x->result->why, sizeof x->result->why, "without a crash: %s", r.why);
    }
    return r.is_good;
}

static void fail(struct series *x, size_t number, const struct sim_kill_point *p, const char *why) {
    const struct sim_kill_step *step = &x->steps[p->step];
    x->result->is_good = false;
    snprintf(
        x->result->why, sizeof x->result->why,
        "point %zu of %zu, pod %u crashes %s step %zu (%s, pod %u): %s (reproduce: contrast-sim "
        "--kill-points %s --seed %llu --kill-point %zu --verbose)",
        number, x->point_count, p->victim, p->is_after ? "after" : "before", p->step + 1,
        step->what, step->slot, why, sim_kill_name(x->options->scenario),
        (unsigned long long)x->options->seed, number);
}

static void run_point(struct series *x, size_t number) {
    struct sim_kill k = {
        .scenario = x->options->scenario, .has_point = true, .point = x->points[number - 1]};
    struct sim_result r;
    run(x, &k, &r);
    x->result->ran++;
    x->result->killed += k.was_killed ? 1 : 0;
    x->result->spared += k.was_spared ? 1 : 0;
    if (!r.is_good) {
        fail(x, number, &k.point, r.why);
    } else if (!k.was_killed && !k.was_spared) {
        fail(x, number, &k.point, "the same seed did not come by here again");
    }
    sim_kill_deinit(&k);
}

/* Without a factor that the number of victims might have, too. */
static size_t stride_for(size_t count, size_t limit) {
    size_t stride = limit == 0 || count <= limit ? 1 : (count + limit - 1) / limit;
    while (stride > 1 && (stride % 2 == 0 || stride % 3 == 0 || stride % 5 == 0)) {
        stride++;
    }
    return stride;
}

void sim_kill_run(const struct sim_kill_options *options, struct sim_kill_result *out) {
    struct series x = {.options = options, .result = out};
    *out = (struct sim_kill_result){.is_good = true};
    if (run_first(&x)) {
        list_points(&x);
        out->points = x.point_count;
        size_t from = options->only == 0 ? 1 : options->only;
        size_t to = options->only == 0 ? x.point_count : options->only;
        size_t stride = stride_for(x.point_count, options->limit);
        for (size_t i = from; i <= to && i <= x.point_count && out->is_good; i += stride) {
            run_point(&x, i);
        }
    }
    mem_free(x.steps);
    mem_free(x.points);
}
