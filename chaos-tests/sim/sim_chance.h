/* Chance of the simulation: streams of numbers, each from the seed and the stream's name.
 *
 * Who draws more or less in one stream changes nothing in another: a fault that is left out leaves
 * the times and targets of all others as they were. xoshiro256** (Blackman and Vigna 2018), seeded
 * through splitmix64.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SIM_CHANCE_H
#define CONTRAST_SIM_CHANCE_H

#include <stdbool.h>
#include <stdint.h>

enum sim_stream {
    SIM_STREAM_WORLD, /* lives: restarts, admissions, what else is nobody's */
    SIM_STREAM_PLAN,
    SIM_STREAM_CLIENTS,
    SIM_STREAM_LINK,                     /* + from * SIM_SLOTS + to */
    SIM_STREAM_REPLICA = UINT32_C(1000), /* + its life in the run */
};

struct sim_chance {
    uint64_t x[4];
};

void sim_chance_seed(struct sim_chance *c, uint64_t seed, uint64_t stream);
uint64_t sim_chance_next(struct sim_chance *c);
/* Uniform in [0, bound), bound > 0. */
uint64_t sim_chance_below(struct sim_chance *c, uint64_t bound);
/* Uniform in [from, to]. */
uint64_t sim_chance_between(struct sim_chance *c, uint64_t from, uint64_t to);
/* True in `permille` of a thousand. */
bool sim_chance_hits(struct sim_chance *c, unsigned permille);

#endif
