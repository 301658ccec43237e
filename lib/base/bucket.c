/* Bucket: see bucket.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/bucket.h"

#include "lib/base/err.h"

/* Gives back the tokens of the whole periods that passed; the rest of a period stays for later. */
static void refill(struct bucket *b, uint64_t period_ms, uint64_t now_ms) {
    if (now_ms <= b->since_ms) {
        return;
    }
    uint64_t periods = (now_ms - b->since_ms) / period_ms;
    if (periods >= b->taken) {
        b->taken = 0;
        b->since_ms = now_ms;
    } else {
        b->taken -= (uint32_t)periods;
        b->since_ms += periods * period_ms;
    }
}

/* a * b + c, or UINT64_MAX when that is more. */
static uint64_t multiply_add(uint64_t a, uint64_t b, uint64_t c) {
    uint64_t product = 0;
    uint64_t sum = 0;
    if (__builtin_mul_overflow(a, b, &product) || __builtin_add_overflow(product, c, &sum)) {
        return UINT64_MAX;
    }
    return sum;
}

uint64_t bucket_take(struct bucket *b, const struct bucket_rate *rate, uint64_t now_ms) {
    CHECK(rate->capacity >= 1 && rate->period_ms >= 1);
    refill(b, rate->period_ms, now_ms);
    if (b->taken < rate->capacity) {
        b->taken++;
        return 0;
    }
    /* More than the capacity is missing after a change to a smaller one. */
    uint64_t missing = (uint64_t)b->taken - rate->capacity + 1;
    if (now_ms <= b->since_ms) {
        return multiply_add(missing, rate->period_ms, b->since_ms - now_ms);
    }
    uint64_t passed = now_ms - b->since_ms; /* less than a period */
    uint64_t whole = multiply_add(missing, rate->period_ms, 0);
    return whole == UINT64_MAX ? whole : whole - passed;
}
