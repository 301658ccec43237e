/* Played pthread: a source that uses threads of POSIX, compiled for a world where libuv's are
 * played. Include it, then the source.
 *
 * libuv's thread, mutex and condition are those of POSIX (uv/unix.h), so only the calls change.
 * Waits with a deadline are on CLOCK_MONOTONIC, as the product's are.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_PLAYED_PTHREAD_H
#define CONTRAST_PLAYED_PTHREAD_H

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include <uv.h>

#include "lib/base/mem.h"

/* Of a thread's start; owned by the thread. */
struct played_start {
    void *(*run)(void *data);
    void *data;
};

static inline void played_pthread_run(void *data) {
    struct played_start start = *(struct played_start *)data;
    mem_free(data);
    (void)start.run(start.data);
}

static inline int played_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                                        void *(*run)(void *data), void *data) {
    struct played_start *start = mem_alloc(sizeof *start);
    *start = (struct played_start){run, data};
    CHECK(attributes == NULL);
    int code = uv_thread_create(thread, played_pthread_run, start);
    if (code != 0) {
        mem_free(start);
    }
    return code;
}

static inline int played_pthread_join(pthread_t thread, void **value) {
    CHECK(value == NULL);
    return uv_thread_join(&thread);
}

static inline int played_pthread_mutex_init(pthread_mutex_t *mutex,
                                            const pthread_mutexattr_t *attributes) {
    CHECK(attributes == NULL);
    return uv_mutex_init(mutex);
}

static inline int played_pthread_mutex_lock(pthread_mutex_t *mutex) {
    uv_mutex_lock(mutex);
    return 0;
}

static inline int played_pthread_mutex_unlock(pthread_mutex_t *mutex) {
    uv_mutex_unlock(mutex);
    return 0;
}

static inline int played_pthread_mutex_destroy(pthread_mutex_t *mutex) {
    uv_mutex_destroy(mutex);
    return 0;
}

/* The attributes choose the clock that uv_cond_timedwait has anyway. */
static inline int played_pthread_cond_init(pthread_cond_t *cond,
                                           const pthread_condattr_t *attributes) {
    (void)attributes;
    return uv_cond_init(cond);
}

static inline int played_pthread_cond_destroy(pthread_cond_t *cond) {
    uv_cond_destroy(cond);
    return 0;
}

static inline int played_pthread_cond_signal(pthread_cond_t *cond) {
    uv_cond_signal(cond);
    return 0;
}

static inline int played_pthread_cond_broadcast(pthread_cond_t *cond) {
    uv_cond_broadcast(cond);
    return 0;
}

static inline int played_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex) {
    uv_cond_wait(cond, mutex);
    return 0;
}

/* ETIMEDOUT when the time is over, as a deadline that lies behind us. */
static inline int played_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                                const struct timespec *until) {
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    int64_t left =
        (int64_t)(until->tv_sec - now.tv_sec) * 1000000000 + until->tv_nsec - now.tv_nsec;
    if (left <= 0) {
        return ETIMEDOUT;
    }
    return uv_cond_timedwait(cond, mutex, (uint64_t)left) == 0 ? 0 : ETIMEDOUT;
}

#define pthread_create played_pthread_create
#define pthread_join played_pthread_join
#define pthread_mutex_init played_pthread_mutex_init
#define pthread_mutex_lock played_pthread_mutex_lock
#define pthread_mutex_unlock played_pthread_mutex_unlock
#define pthread_mutex_destroy played_pthread_mutex_destroy
#define pthread_cond_init played_pthread_cond_init
#define pthread_cond_destroy played_pthread_cond_destroy
#define pthread_cond_signal played_pthread_cond_signal
#define pthread_cond_broadcast played_pthread_cond_broadcast
#define pthread_cond_wait played_pthread_cond_wait
#define pthread_cond_timedwait played_pthread_cond_timedwait

#endif
