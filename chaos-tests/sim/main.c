/* contrast-sim: runs of the simulation by hand.
 *
 *   contrast-sim [--seed N] [--seeds COUNT] [--chaos-ms MS] [--verbose]
 *
 * Runs COUNT seeds from N on (default: seed 1 alone); exit 1 when one fails, 2 for wrong usage.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chaos-tests/sim/sim.h"

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
    fprintf(stderr, "usage: contrast-sim [--seed N] [--seeds COUNT] [--chaos-ms MS] [--verbose]\n");
    return 2;
}

int main(int argc, char **argv) {
    struct sim_options options = {.seed = 1, .chaos_ms = SIM_CHAOS_MS, .rest_ms = SIM_REST_MS};
    uint64_t seeds = 1;
    for (int i = 1; i < argc; i++) {
        uint64_t *number = strcmp(argv[i], "--seed") == 0       ? &options.seed
                           : strcmp(argv[i], "--seeds") == 0    ? &seeds
                           : strcmp(argv[i], "--chaos-ms") == 0 ? &options.chaos_ms
                                                                : NULL;
        if (strcmp(argv[i], "--verbose") == 0) {
            options.is_verbose = true;
        } else if (number == NULL || i + 1 == argc || !parse_number(argv[++i], number)) {
            return usage();
        }
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* a run may be stopped */
    int status = 0;
    for (uint64_t n = 0; n < seeds; n++, options.seed++) {
        struct sim_result result;
        sim_run(&options, &result);
        print(&options, &result);
        status = result.is_good ? status : 1;
    }
    return status;
}
