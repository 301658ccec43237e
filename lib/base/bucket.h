/* Bucket: a token bucket that takes its time from outside, so that replicas which apply the same
 * entries grant and refuse alike.
 *
 *   bucket_take(&b, &rate, now)  ->  0, or the milliseconds until one token is there
 *
 * Zeroed is valid and full. Pure. Time that runs backwards adds nothing and takes nothing away.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_BUCKET_H
#define CONTRAST_BUCKET_H

#include <stdint.h>

struct bucket_rate {
    uint32_t capacity;  /* tokens in a full bucket, at least 1 */
    uint64_t period_ms; /* for one new token, at least 1 */
};

struct bucket {
    uint32_t taken;    /* tokens missing at `since_ms` */
    uint64_t since_ms; /* of the caller's clock */
};

uint64_t bucket_take(struct bucket *b, const struct bucket_rate *rate, uint64_t now_ms);

#endif
