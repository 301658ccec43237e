/* Host: see host.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/host.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

#include "lib/base/err.h"

static uint64_t system_monotonic_ms(void *data) {
    (void)data;
    struct timespec t;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int64_t system_unix_s(void *data) {
    (void)data;
    return (int64_t)time(NULL);
}

static void system_random(void *data, void *out, size_t size) {
    (void)data;
    unsigned char *at = out;
    while (size > 0) {
        ssize_t n = getrandom(at, size, 0);
        if (n < 0) {
            CHECK(errno == EINTR);
            continue;
        }
        at += n;
        size -= (size_t)n;
    }
}

const struct host host_system = {NULL, system_monotonic_ms, system_unix_s, system_random};

uint64_t host_monotonic_ms(const struct host *h) {
    return h->monotonic_ms(h->data);
}

int64_t host_unix_s(const struct host *h) {
    return h->unix_s(h->data);
}

void host_random(const struct host *h, void *out, size_t size) {
    h->random(h->data, out, size);
}

uint64_t host_random_below(const struct host *h, uint64_t bound) {
    CHECK(bound > 0);
    uint64_t v;
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
    do {
        host_random(h, &v, sizeof v);
    } while (v >= limit);
    return v % bound;
}
