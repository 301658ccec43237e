/* Sim, many seeds: in processes of their own, so that whatever stops one (a CHECK, a sanitizer, a
 * signal, an endless loop) is that seed's failure and no more.
 *
 *   first, count -> `jobs` processes, each every jobs-th seed -> done(seed, result), in any order
 *
 * A process that stops is replaced by one that goes on behind the seed. What it wrote to stderr
 * last is the reason. A leak is found when a process ends: it is told with the last of its seeds.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SIM_BATCH_H
#define CONTRAST_SIM_BATCH_H

#include "chaos-tests/sim/sim.h"

#define SIM_JOBS_MAX 64

struct sim_batch {
    struct sim_options run; /* its seed is not used */
    uint64_t first, count;
    unsigned jobs; /* 1..SIM_JOBS_MAX; 0 = one after the other in this process, for a debugger */
    void (*done)(void *data, uint64_t seed, const struct sim_result *result);
    void *data; /* borrowed for the call */
};

void sim_batch_run(const struct sim_batch *batch);
/* One seed in a process of its own. */
void sim_batch_one(const struct sim_options *options, struct sim_result *out);

#endif
