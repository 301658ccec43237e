/* Samples: see samples.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/bench/samples.h"

#include <stdlib.h>
#include <time.h>

#include "lib/base/mem.h"

void samples_add(struct samples *s, uint64_t ns) {
    if (s->count == SAMPLES_MAX) {
        s->dropped++;
        return;
    }
    if (s->count == s->capacity) {
        s->capacity = s->capacity == 0 ? 256 : 2 * s->capacity;
        s->ns = mem_realloc(s->ns, s->capacity * sizeof *s->ns);
    }
    s->ns[s->count++] = ns;
    s->is_sorted = false;
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

uint64_t samples_quantile(struct samples *s, unsigned permille) {
    if (s->count == 0) {
        return 0;
    }
    if (!s->is_sorted) {
        qsort(s->ns, s->count, sizeof *s->ns, compare);
        s->is_sorted = true;
    }
    size_t rank = (s->count * permille + 999) / 1000; /* from 1 */
    return s->ns[rank == 0 ? 0 : rank - 1];
}

void samples_deinit(struct samples *s) {
    mem_free(s->ns);
    *s = (struct samples){0};
}

static uint64_t read_clock(clockid_t clock) {
    struct timespec t;
    CHECK(clock_gettime(clock, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t samples_now_ns(void) {
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t samples_thread_ns(void) {
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}
