/* Time and randomness of played processes: lib/base's host.h, the functions of the C library that
 * the product calls for them, and OpenSSL's random numbers.
 *
 * A process sees its host's clocks and a stream of its own. Code outside all processes has the
 * world's time and a stream of its own, too; without a world the C library's functions do what they
 * always do.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <errno.h>
#include <openssl/rand.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "chaos-tests/played/played_stage.h"
#include "lib/base/host.h"

static struct stage_stream *stream(void) {
    struct played_process *p = played_self();
    return p != NULL ? &p->random : &stage()->outside;
}

/* --- host.h */

static uint64_t played_monotonic_ms(void *data) {
    (void)data;
    struct played_process *p = played_self();
    return p != NULL ? stage_monotonic_us(stage(), p->host) / 1000 : stage()->now_us / 1000;
}

static int64_t played_unix_s(void *data) {
    (void)data;
    struct played_process *p = played_self();
    return p != NULL ? played_host_unix_s(stage(), p->host)
                     : PLAYED_UNIX_START + (int64_t)(stage()->now_us / 1000000);
}

static void played_fill(void *data, void *out, size_t size) {
    (void)data;
    stage_stream_fill(stream(), out, size);
}

const struct host host_system = {NULL, played_monotonic_ms, played_unix_s, played_fill};

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

/* --- The C library */

static struct timespec split(uint64_t us, int64_t add_s) {
    return (struct timespec){.tv_sec = (time_t)((int64_t)(us / 1000000) + add_s),
                             .tv_nsec = (long)(us % 1000000) * 1000};
}

int clock_gettime(clockid_t clock, struct timespec *out) {
    struct played_process *p = played_self();
    if (p == NULL) {
        return (int)syscall(SYS_clock_gettime, clock, out);
    }
    uint64_t us = stage_monotonic_us(stage(), p->host);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
        const struct stage_host *h = &stage()->hosts[p->host];
        *out = split(us - h->boot_us, PLAYED_UNIX_START + h->skew_s);
    } else {
        *out = split(us, 0);
    }
    return 0;
}

time_t time(time_t *out) {
    struct timespec t;
    if (clock_gettime(CLOCK_REALTIME, &t) != 0) {
        return (time_t)-1;
    }
    if (out != NULL) {
        *out = t.tv_sec;
    }
    return t.tv_sec;
}

ssize_t getrandom(void *out, size_t size, unsigned flags) {
    if (played_self() == NULL) {
        return syscall(SYS_getrandom, out, size, flags);
    }
    stage_stream_fill(stream(), out, size);
    return (ssize_t)size;
}

unsigned sleep(unsigned seconds) {
    struct timespec t = {.tv_sec = (time_t)seconds};
    return nanosleep(&t, NULL) == 0 ? 0 : seconds;
}

int nanosleep(const struct timespec *wait, struct timespec *rest) {
    if (played_self() == NULL) {
        return (int)syscall(SYS_nanosleep, wait, rest);
    }
    played_sleep((uint64_t)wait->tv_sec * 1000 + ((uint64_t)wait->tv_nsec + 999999) / 1000000);
    return 0;
}

/* --- OpenSSL */

static int fill_bytes(unsigned char *out, int size) {
    stage_stream_fill(stream(), out, (size_t)size);
    return 1;
}

static int take_seed(const void *seed, int size) {
    (void)seed;
    (void)size;
    return 1;
}

static int take_entropy(const void *seed, int size, double entropy) {
    (void)entropy;
    return take_seed(seed, size);
}

static int is_seeded(void) {
    return 1;
}

void rand_install(void) {
    static const RAND_METHOD method = {.seed = take_seed,
                                       .bytes = fill_bytes,
                                       .add = take_entropy,
                                       .pseudorand = fill_bytes,
                                       .status = is_seeded};
    CHECK(RAND_set_rand_method(&method) == 1);
}
