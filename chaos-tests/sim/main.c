/* contrast-sim: runs of the simulation by hand.
 *
 *   contrast-sim [--seed N] [--seeds COUNT] [--chaos-ms MS] [--verbose]
 *   contrast-sim --kill-points set|join|replace|leave|recover [--seed N] [--seeds COUNT]
 *                [--kill-limit COUNT] [--kill-point NUMBER] [--verbose]
 *
 * Runs COUNT seeds from N on (default: seed 1 alone); exit 1 when one fails, 2 for wrong usage.
 * Kill points (sim_kill.h): all of a scenario, about as many as the limit says, or one alone.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chaos-tests/sim/sim_kill.h"

static bool parse_number(const char *text, uint64_t *out) {
    char *end = NULL;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == 0 && text[0] != '-';
}

static void print(const struct sim_options *o, const struct sim_result *r) {
    char trace[65];
    hex_encode(SPAN(r->trace), trace);
    printf("seed %llu: %s  steps=%llu sets=%llu issues=%llu confirms=%llu endorsements=%llu "
           "crashes=%llu leaves=%llu joins=%llu "
           "cuts=%llu pauses=%llu jumps=%llu elections=%llu trace=%.16s\n",
           (unsigned long long)o->seed, r->is_good ? "ok" : r->why, (unsigned long long)r->steps,
           (unsigned long long)r->sets, (unsigned long long)r->issues,
           (unsigned long long)r->confirms, (unsigned long long)r->endorsements,
           (unsigned long long)r->crashes, (unsigned long long)r->leaves,
           (unsigned long long)r->joins, (unsigned long long)r->cuts, (unsigned long long)r->pauses,
           (unsigned long long)r->jumps, (unsigned long long)r->elections, trace);
}

static int usage(void) {
    fprintf(stderr,
            "usage: contrast-sim [--seed N] [--seeds COUNT] [--chaos-ms MS] [--verbose]\n"
            "       contrast-sim --kill-points set|join|replace|leave|recover [--seed N]\n"
            "                    [--seeds COUNT] [--kill-limit COUNT] [--kill-point NUMBER] "
            "[--verbose]\n");
    return 2;
}

struct arguments {
    struct sim_options options;
    uint64_t seeds;
    enum sim_scenario scenario;
    uint64_t kill_limit;
    uint64_t kill_point;
};

static uint64_t *find_number(struct arguments *a, const char *word) {
    return strcmp(word, "--seed") == 0         ? &a->options.seed
           : strcmp(word, "--seeds") == 0      ? &a->seeds
           : strcmp(word, "--chaos-ms") == 0   ? &a->options.chaos_ms
           : strcmp(word, "--kill-limit") == 0 ? &a->kill_limit
           : strcmp(word, "--kill-point") == 0 ? &a->kill_point
                                               : NULL;
}

static bool read_arguments(struct arguments *a, int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        uint64_t *number = find_number(a, argv[i]);
        if (strcmp(argv[i], "--verbose") == 0) {
            a->options.is_verbose = true;
        } else if (i + 1 == argc) {
            return false;
        } else if (strcmp(argv[i], "--kill-points") == 0) {
            a->scenario = sim_kill_find(argv[++i]);
            if (a->scenario == 0) {
                return false;
            }
        } else if (number == NULL || !parse_number(argv[++i], number)) {
            return false;
        }
    }
    return true;
}

static bool run_seed(const struct arguments *a) {
    struct sim_result result;
    sim_run(&a->options, &result);
    print(&a->options, &result);
    return result.is_good;
}

static bool run_kill_points(const struct arguments *a) {
    const struct sim_kill_options options = {
        .scenario = a->scenario,
        .seed = a->options.seed,
        .limit = (size_t)a->kill_limit,
        .only = (size_t)a->kill_point,
        .is_verbose = a->options.is_verbose,
    };
    struct sim_kill_result r;
    sim_kill_run(&options, &r);
    printf("%s seed %llu: %s  steps=%zu points=%zu ran=%zu killed=%zu spared=%zu recoveries=%zu\n",
           sim_kill_name(a->scenario), (unsigned long long)options.seed, r.is_good ? "ok" : r.why,
           r.steps, r.points, r.ran, r.killed, r.spared, r.recoveries);
    return r.is_good;
}

int main(int argc, char **argv) {
    struct arguments a = {.options = {.seed = 1, .chaos_ms = SIM_CHAOS_MS, .rest_ms = SIM_REST_MS},
                          .seeds = 1};
    if (!read_arguments(&a, argc, argv)) {
        return usage();
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* a run may be stopped */
    int status = 0;
    for (uint64_t n = 0; n < a.seeds; n++, a.options.seed++) {
        bool is_good = a.scenario == 0 ? run_seed(&a) : run_kill_points(&a);
        status = is_good ? status : 1;
    }
    return status;
}
