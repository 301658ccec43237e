/* contrast-sim: runs of the simulation by hand; contrast-sim-mutable: the same with rules of the
 * product taken out (docs/simulation.md).
 *
 *   contrast-sim [--seed N] [--seeds COUNT] [--jobs J] [--faults 3,7,12] [--shrink] [--plan]
 *                [--chaos-ms MS] [--without RULE,...] [--list] [--verbose] [--model-trace FILE]
 *   contrast-sim --kill-points set|join|replace|leave|recover [--seed N] [--seeds COUNT]
 *                [--kill-limit COUNT] [--kill-point NUMBER] [--verbose]
 *
 * Runs COUNT seeds from N on (default: seed 1 alone) in J processes (default 1; 0 = in this one).
 * A failing seed is one line that says how to see it again; --shrink finds the fewest faults that
 * still do it. --faults plays these of the plan's faults alone (none = no fault at all), --plan
 * shows the plan. --list prints a line for each seed. Exit 0, 1 when a seed fails, 2 for wrong
 * usage. --model-trace writes what happened in the words of chaos-tests/formal (sim_model.h), one
 * process. Kill points (sim_kill.h): all of a scenario, about as many as the limit says, or one.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chaos-tests/sim/sim_kill.h"
#include "chaos-tests/sim/sim_mutation.h"
#include "chaos-tests/sim/sim_shrink.h"

#define KEEP_BYTES (64 * 1024 * 1024) /* of freed memory: every seed needs the same again */

struct arguments {
    const char *program;
    const char *without; /* as given; NULL = nothing */
    struct sim_options options;
    uint64_t seeds;
    uint64_t jobs;
    unsigned faults[SIM_FAULTS_MAX];
    bool is_plan, is_shrink, is_list;
    enum sim_scenario scenario;
    uint64_t kill_limit;
    uint64_t kill_point;
};

struct sum {
    const struct arguments *arguments;
    struct sim_result all;
    uint64_t failed;
};

/* --- Arguments */

static bool parse_number(const char *text, uint64_t *out) {
    char *end = NULL;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == 0 && text[0] != '-';
}

static bool parse_faults(struct arguments *a, char *text) {
    char *rest = NULL;
    a->options.faults = a->faults;
    if (strcmp(text, "none") == 0) {
        return true;
    }
    for (char *word = strtok_r(text, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest)) {
        uint64_t number = 0;
        if (!parse_number(word, &number) || number == 0 || number > SIM_FAULTS_MAX ||
            a->options.fault_count == SIM_FAULTS_MAX) {
            return false;
        }
        a->faults[a->options.fault_count++] = (unsigned)number;
    }
    return a->options.fault_count > 0;
}

static bool parse_without(struct arguments *a, const char *text) {
    char *copy = mem_strdup(text);
    char *rest = NULL;
    bool is_good = true;
    a->without = text;
    for (char *word = strtok_r(copy, ",", &rest); word != NULL && is_good;
         word = strtok_r(NULL, ",", &rest)) {
        is_good = sim_mutation_set(word);
        if (!is_good) {
            fprintf(stderr, "%s cannot take out '%s'; it can:", a->program, word);
            for (size_t i = 0; sim_mutation_name(i) != NULL; i++) {
                fprintf(stderr, " %s", sim_mutation_name(i));
            }
            fprintf(stderr, "%s\n", sim_mutation_name(0) == NULL ? " nothing" : "");
        }
    }
    mem_free(copy);
    return is_good;
}

static uint64_t *find_number(struct arguments *a, const char *word) {
    return strcmp(word, "--seed") == 0         ? &a->options.seed
           : strcmp(word, "--seeds") == 0      ? &a->seeds
           : strcmp(word, "--jobs") == 0       ? &a->jobs
           : strcmp(word, "--chaos-ms") == 0   ? &a->options.chaos_ms
           : strcmp(word, "--kill-limit") == 0 ? &a->kill_limit
           : strcmp(word, "--kill-point") == 0 ? &a->kill_point
                                               : NULL;
}

static bool *find_switch(struct arguments *a, const char *word) {
    return strcmp(word, "--verbose") == 0  ? &a->options.is_verbose
           : strcmp(word, "--plan") == 0   ? &a->is_plan
           : strcmp(word, "--shrink") == 0 ? &a->is_shrink
           : strcmp(word, "--list") == 0   ? &a->is_list
                                           : NULL;
}

static bool read_value(struct arguments *a, const char *word, char *value) {
    uint64_t *number = find_number(a, word);
    if (strcmp(word, "--faults") == 0) {
        return parse_faults(a, value);
    }
    if (strcmp(word, "--without") == 0) {
        return parse_without(a, value);
    }
    if (strcmp(word, "--kill-points") == 0) {
        a->scenario = sim_kill_find(value);
        return a->scenario != 0;
    }
    if (strcmp(word, "--model-trace") == 0) { /* ended by the end of the program */
        a->options.model_trace = fopen(value, "w");
        return a->options.model_trace != NULL;
    }
    return number != NULL && parse_number(value, number);
}

static bool read_arguments(struct arguments *a, int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        bool *is_on = find_switch(a, argv[i]);
        if (is_on != NULL) {
            *is_on = true;
        } else if (i + 1 == argc || !read_value(a, argv[i], argv[i + 1])) {
            return false;
        } else {
            i++;
        }
    }
    return a->jobs <= SIM_JOBS_MAX;
}

static int usage(void) {
    fprintf(stderr,
            "usage: contrast-sim [--seed N] [--seeds COUNT] [--jobs J] [--faults 3,7,12|none]\n"
            "                    [--shrink] [--plan] [--chaos-ms MS] [--without RULE,...]\n"
            "                    [--list] [--verbose] [--model-trace FILE]\n"
            "       contrast-sim --kill-points set|join|replace|leave|recover [--seed N]\n"
            "                    [--seeds COUNT] [--kill-limit COUNT] [--kill-point NUMBER]\n"
            "                    [--verbose] [--model-trace FILE]\n");
    return 2;
}

/* --- Seeds */

static void print_failure(const struct arguments *a, uint64_t seed, const char *why,
                          const unsigned *faults, size_t count) {
    printf("seed %llu: %s (reproduce: %s", (unsigned long long)seed, why, a->program);
    if (a->without != NULL) {
        printf(" --without %s", a->without);
    }
    printf(" --seed %llu", (unsigned long long)seed);
    if (a->options.chaos_ms != 0) {
        printf(" --chaos-ms %llu", (unsigned long long)a->options.chaos_ms);
    }
    if (faults != NULL) {
        printf(" --faults %s", count == 0 ? "none" : "");
    }
    for (size_t i = 0; faults != NULL && i < count; i++) {
        printf("%s%u", i > 0 ? "," : "", faults[i]);
    }
    printf(")\n");
}

static void print_seed(uint64_t seed, const struct sim_result *r) {
    char trace[65];
    hex_encode(SPAN(r->trace), trace);
    printf("seed %llu: ok  steps=%llu sets=%llu issues=%llu confirms=%llu endorsements=%llu "
           "retries=%llu joins=%llu elections=%llu old=%llu trace=%.16s\n",
           (unsigned long long)seed, (unsigned long long)r->steps, (unsigned long long)r->sets,
           (unsigned long long)r->issues, (unsigned long long)r->confirms,
           (unsigned long long)r->endorsements, (unsigned long long)r->retries,
           (unsigned long long)r->joins, (unsigned long long)r->elections,
           (unsigned long long)r->old_messages, trace);
}

static void shrink(const struct arguments *a, uint64_t seed, const char *why) {
    struct sim_options options = a->options;
    struct sim_plan *plan = mem_alloc(sizeof *plan);
    unsigned list[SIM_FAULTS_MAX];
    size_t count = a->options.fault_count;
    struct sim_result last = {0};
    sim_plan_make(seed, options.chaos_ms, options.rest_ms, plan);
    if (options.faults != NULL) {
        memcpy(list, options.faults, count * sizeof *list);
    } else {
        for (count = 0; count < plan->fault_count; count++) {
            list[count] = (unsigned)count + 1;
        }
    }
    options.seed = seed;
    sim_shrink(&options, why, list, &count, &last);
    print_failure(a, seed, last.why[0] == 0 ? why : last.why, list, count);
    sim_plan_print_some(plan, list, count, stdout);
    mem_free(plan);
}

static void on_done(void *data, uint64_t seed, const struct sim_result *r) {
    struct sum *sum = data;
    const struct arguments *a = sum->arguments;
    sim_result_add(&sum->all, r);
    if (!r->is_good) {
        sum->failed++;
        print_failure(a, seed, r->why, a->options.faults, a->options.fault_count);
        if (a->is_shrink) {
            shrink(a, seed, r->why);
        }
    } else if (a->is_list || a->seeds == 1) {
        print_seed(seed, r);
    }
}

static bool run_seeds(const struct arguments *a) {
    struct sum sum = {.arguments = a};
    const struct sim_batch batch = {
        .run = a->options,
        .first = a->options.seed,
        .count = a->seeds,
        .jobs = a->options.is_verbose || a->options.model_trace != NULL ? 0 : (unsigned)a->jobs,
        .done = on_done,
        .data = &sum};
    sim_batch_run(&batch);
    if (a->seeds > 1) {
        printf("%llu seeds from %llu: %llu failed\n", (unsigned long long)a->seeds,
               (unsigned long long)a->options.seed, (unsigned long long)sum.failed);
        sim_result_print(&sum.all, stdout);
    }
    return sum.failed == 0;
}

static bool show_plan(const struct arguments *a) {
    struct sim_plan *plan = mem_alloc(sizeof *plan);
    sim_plan_make(a->options.seed, a->options.chaos_ms, a->options.rest_ms, plan);
    sim_plan_print(plan, stdout);
    mem_free(plan);
    return true;
}

static bool run_kill_points(const struct arguments *a) {
    const struct sim_kill_options options = {
        .scenario = a->scenario,
        .seed = a->options.seed,
        .limit = (size_t)a->kill_limit,
        .only = (size_t)a->kill_point,
        .is_verbose = a->options.is_verbose,
        .model_trace = a->options.model_trace,
    };
    struct sim_kill_result r;
    sim_kill_run(&options, &r);
    printf("%s seed %llu: %s  steps=%zu points=%zu ran=%zu killed=%zu spared=%zu recoveries=%zu\n",
           sim_kill_name(a->scenario), (unsigned long long)options.seed, r.is_good ? "ok" : r.why,
           r.steps, r.points, r.ran, r.killed, r.spared, r.recoveries);
    return r.is_good;
}

static bool run_all_kill_points(struct arguments *a) {
    bool is_good = true;
    for (uint64_t n = 0; n < a->seeds; n++, a->options.seed++) {
        is_good = run_kill_points(a) && is_good;
    }
    return is_good;
}

int main(int argc, char **argv) {
    const char *slash = strrchr(argv[0], '/');
    struct arguments a = {.program = slash == NULL ? argv[0] : slash + 1,
                          .options = {.seed = 1},
                          .seeds = 1,
                          .jobs = 1};
    if (!read_arguments(&a, argc, argv)) {
        return usage();
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* a run may be stopped */
    mallopt(M_TRIM_THRESHOLD, KEEP_BYTES);
    mallopt(M_TOP_PAD, KEEP_BYTES / 8);
    bool is_good = a.is_plan         ? show_plan(&a)
                   : a.scenario == 0 ? run_seeds(&a)
                                     : run_all_kill_points(&a);
    return is_good ? 0 : 1;
}
