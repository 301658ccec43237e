/* Samples: durations of one kind, and their quantiles.
 *
 *     samples_add ... samples_add -> samples_quantile -> samples_deinit
 *
 * Quantiles are by nearest rank: the smallest sample that at least so many are not above. What
 * comes after SAMPLES_MAX is counted in `dropped`, not kept. One thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SAMPLES_H
#define CONTRAST_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAMPLES_MAX (1024 * 1024)

/* Zeroed is valid and empty. */
struct samples {
    uint64_t *ns; /* owned; in order once is_sorted */
    size_t count;
    size_t capacity;
    size_t dropped;
    bool is_sorted;
};

void samples_add(struct samples *s, uint64_t ns);
/* `permille` 0..1000: 0 is the smallest, 500 the median, 1000 the largest; 0 without samples. */
uint64_t samples_quantile(struct samples *s, unsigned permille);
void samples_deinit(struct samples *s); /* accepts zeroed */

/* CLOCK_MONOTONIC, and the processor time of this thread. */
uint64_t samples_now_ns(void);
uint64_t samples_thread_ns(void);

#endif
