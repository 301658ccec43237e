/* Host: time and randomness as interfaces, so that a simulation can own both.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_HOST_H
#define CONTRAST_HOST_H

#include <stddef.h>
#include <stdint.h>

struct host {
    void *data;
    uint64_t (*monotonic_ms)(void *data);               /* never goes back */
    int64_t (*unix_s)(void *data);                      /* the host's clock: not to be trusted */
    void (*random)(void *data, void *out, size_t size); /* cryptographic in host_system */
};

/* CLOCK_MONOTONIC, CLOCK_REALTIME and getrandom(2). Thread-safe. */
extern const struct host host_system;

uint64_t host_monotonic_ms(const struct host *h);
int64_t host_unix_s(const struct host *h);
void host_random(const struct host *h, void *out, size_t size);
/* Uniform in [0, bound), bound > 0: for jitter, not for keys. */
uint64_t host_random_below(const struct host *h, uint64_t bound);

#endif
