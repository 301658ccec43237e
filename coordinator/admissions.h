/* Admissions: how often a leader lets the same name, and the same chip, in.
 *
 * A pod in a crash loop, or clones that take one another's name, would have the cluster replicate
 * evidence and change its configuration for ever. So each name and each chip has a bucket of
 * admissions: LIMIT_ADMISSION_NAME_BURST at once, then one every LIMIT_ADMISSION_NAME_PERIOD_MS;
 * the same for chips, which may carry many pods. At most LIMIT_ADMISSION_KEYS buckets: the one that
 * was not used for longest goes. Lives with its leader; no I/O, no clock.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_ADMISSIONS_H
#define CONTRAST_ADMISSIONS_H

#include "lib/base/bytes.h"
#include "lib/base/limits.h"

struct admissions {
    struct admissions_row {
        uint64_t key;     /* 0 = free */
        uint64_t full_ms; /* when all that it may give at once is there again */
        uint64_t used_ms;
    } rows[LIMIT_ADMISSION_KEYS]; /* zeroed is empty */
};

/* UNAVAILABLE with advice when one of the two has none left; else takes one of each. `chip`: 64
 * bytes, all zero = not known. `now_ms`: monotonic. */
RESULT admissions_take(struct admissions *a, const char *name, const uint8_t chip[64],
                       uint64_t now_ms, struct err *err);

#endif
