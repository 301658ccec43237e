/* Chance of the simulation: see sim_chance.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/sim/sim_chance.h"

static uint64_t rotate(uint64_t x, unsigned k) {
    return x << k | x >> (64 - k);
}

/* splitmix64's output function. */
static uint64_t stir(uint64_t z) {
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void sim_chance_seed(struct sim_chance *c, uint64_t seed, uint64_t stream) {
    uint64_t x = seed ^ stir(stream * UINT64_C(0xd1342543de82ef95));
    for (unsigned i = 0; i < 4; i++) {
        x += UINT64_C(0x9e3779b97f4a7c15);
        c->x[i] = stir(x);
    }
}

uint64_t sim_chance_next(struct sim_chance *c) {
    uint64_t *x = c->x;
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

uint64_t sim_chance_below(struct sim_chance *c, uint64_t bound) {
    return (sim_chance_next(c) >> 11) % bound;
}

uint64_t sim_chance_between(struct sim_chance *c, uint64_t from, uint64_t to) {
    return from + sim_chance_below(c, to - from + 1);
}

bool sim_chance_hits(struct sim_chance *c, unsigned permille) {
    return sim_chance_below(c, 1000) < permille;
}
