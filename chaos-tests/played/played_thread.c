/* Threads of played processes: libuv's threads, mutexes, conditions, semaphores, read-write locks
 * and once. Nothing is interrupted: a thread runs until it waits. Who waits is woken in the order
 * in which they came, and runs a little later.
 *
 * The state lies in libuv's own structs, which have room for it. The director may take a lock that
 * is free (a checker that looks at a process), never wait for one.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "chaos-tests/played/played_stage.h"

#define GIVE_WAY_ONE_IN 16 /* times that a lock is taken */

struct waiters {
    struct stage_thread *first;
    struct stage_thread *last;
};

struct lock { /* in uv_mutex_t and uv_rwlock_t */
    struct waiters waiters;
    size_t readers;
    bool is_taken; /* by one alone */
};

struct condition { /* in uv_cond_t and uv_sem_t */
    struct waiters waiters;
    unsigned count; /* of a semaphore */
};

_Static_assert(sizeof(struct lock) <= sizeof(uv_mutex_t), "a lock fits uv_mutex_t");
_Static_assert(sizeof(struct lock) <= sizeof(uv_rwlock_t), "a lock fits uv_rwlock_t");
_Static_assert(sizeof(struct condition) <= sizeof(uv_cond_t), "a condition fits uv_cond_t");
_Static_assert(sizeof(struct condition) <= sizeof(uv_sem_t), "a condition fits uv_sem_t");

static struct lock *lock_of(void *at) {
    return at;
}

static struct condition *condition_of(void *at) {
    return at;
}

/* --- Who waits */

static void enlist(struct waiters *list) {
    struct stage_thread *t = stage_running();
    t->is_waiting = true;
    t->next_waiting = NULL;
    if (list->last != NULL) {
        list->last->next_waiting = t;
    } else {
        list->first = t;
    }
    list->last = t;
}

static void delist(struct waiters *list, struct stage_thread *t) {
    struct stage_thread *before = NULL;
    for (struct stage_thread *at = list->first; at != NULL; before = at, at = at->next_waiting) {
        if (at != t) {
            continue;
        }
        if (before != NULL) {
            before->next_waiting = t->next_waiting;
        } else {
            list->first = t->next_waiting;
        }
        list->last = list->last == t ? before : list->last;
        break;
    }
    t->is_waiting = false;
}

static bool wake_one(struct waiters *list) {
    struct stage_thread *t = list->first;
    if (t != NULL) {
        delist(list, t);
        stage_wake(t);
    }
    return t != NULL;
}

/* Until somebody takes the running thread off the list; false when the time is over first. */
static bool wait_in(struct waiters *list, uint64_t until_monotonic_us) {
    struct stage_thread *t = stage_running();
    struct played *w = stage();
    unsigned host = t->process->host;
    enlist(list);
    while (t->is_waiting) {
        if (until_monotonic_us == STAGE_NEVER) {
            stage_block(STAGE_NEVER);
        } else if (stage_monotonic_us(w, host) >= until_monotonic_us) {
            delist(list, t);
            return false;
        } else {
            stage_block(stage_when_us(w, host, until_monotonic_us));
        }
    }
    return true;
}

/* --- Mutexes and read-write locks */

int uv_mutex_init(uv_mutex_t *mutex) {
    memset(mutex, 0, sizeof *mutex);
    return 0;
}

void uv_mutex_destroy(uv_mutex_t *mutex) {
    CHECK(!lock_of(mutex)->is_taken);
}

/* A lock is where another thread may come first. Not while this one holds another: who is not on a
 * thread (played_later) cannot wait for it. */
static void give_way(void) {
    struct played *w = stage();
    if (w->running != NULL && w->running->locks == 0 &&
        stage_stream_below(&w->whim, GIVE_WAY_ONE_IN) == 0) {
        stage_block(w->now_us + 1 + stage_stream_below(&w->whim, STAGE_WAKE_US));
    }
}

static void count_lock(int more) {
    struct stage_thread *t = stage()->running;
    if (t != NULL) {
        t->locks += (unsigned)more;
    }
}

static void take(struct lock *lock) {
    give_way();
    while (lock->is_taken || lock->readers > 0) {
        wait_in(&lock->waiters, STAGE_NEVER);
    }
    lock->is_taken = true;
    count_lock(1);
}

static int try_take(struct lock *lock) {
    if (lock->is_taken || lock->readers > 0) {
        return UV_EBUSY;
    }
    lock->is_taken = true;
    count_lock(1);
    return 0;
}

static void give(struct lock *lock) {
    CHECK(lock->is_taken);
    lock->is_taken = false;
    count_lock(-1);
    while (wake_one(&lock->waiters)) {
    }
}

void uv_mutex_lock(uv_mutex_t *mutex) {
    take(lock_of(mutex));
}

int uv_mutex_trylock(uv_mutex_t *mutex) {
    return try_take(lock_of(mutex));
}

void uv_mutex_unlock(uv_mutex_t *mutex) {
    give(lock_of(mutex));
}

int uv_rwlock_init(uv_rwlock_t *rwlock) {
    memset(rwlock, 0, sizeof *rwlock);
    return 0;
}

void uv_rwlock_destroy(uv_rwlock_t *rwlock) {
    CHECK(!lock_of(rwlock)->is_taken && lock_of(rwlock)->readers == 0);
}

void uv_rwlock_rdlock(uv_rwlock_t *rwlock) {
    struct lock *lock = lock_of(rwlock);
    while (lock->is_taken) {
        wait_in(&lock->waiters, STAGE_NEVER);
    }
    lock->readers++;
}

int uv_rwlock_tryrdlock(uv_rwlock_t *rwlock) {
    if (lock_of(rwlock)->is_taken) {
        return UV_EBUSY;
    }
    lock_of(rwlock)->readers++;
    return 0;
}

void uv_rwlock_rdunlock(uv_rwlock_t *rwlock) {
    struct lock *lock = lock_of(rwlock);
    CHECK(lock->readers > 0);
    lock->readers--;
    while (lock->readers == 0 && wake_one(&lock->waiters)) {
    }
}

void uv_rwlock_wrlock(uv_rwlock_t *rwlock) {
    take(lock_of(rwlock));
}

int uv_rwlock_trywrlock(uv_rwlock_t *rwlock) {
    return try_take(lock_of(rwlock));
}

void uv_rwlock_wrunlock(uv_rwlock_t *rwlock) {
    give(lock_of(rwlock));
}

/* --- Conditions and semaphores */

int uv_cond_init(uv_cond_t *cond) {
    memset(cond, 0, sizeof *cond);
    return 0;
}

void uv_cond_destroy(uv_cond_t *cond) {
    CHECK(condition_of(cond)->waiters.first == NULL);
}

void uv_cond_signal(uv_cond_t *cond) {
    (void)wake_one(&condition_of(cond)->waiters);
}

void uv_cond_broadcast(uv_cond_t *cond) {
    while (wake_one(&condition_of(cond)->waiters)) {
    }
}

void uv_cond_wait(uv_cond_t *cond, uv_mutex_t *mutex) {
    uv_mutex_unlock(mutex);
    wait_in(&condition_of(cond)->waiters, STAGE_NEVER);
    uv_mutex_lock(mutex);
}

int uv_cond_timedwait(uv_cond_t *cond, uv_mutex_t *mutex, uint64_t timeout_ns) {
    uint64_t now = stage_monotonic_us(stage(), stage_running()->process->host);
    uv_mutex_unlock(mutex);
    bool is_signaled = wait_in(&condition_of(cond)->waiters, now + timeout_ns / 1000 + 1);
    uv_mutex_lock(mutex);
    return is_signaled ? 0 : UV_ETIMEDOUT;
}

int uv_sem_init(uv_sem_t *sem, unsigned value) {
    memset(sem, 0, sizeof *sem);
    condition_of(sem)->count = value;
    return 0;
}

void uv_sem_destroy(uv_sem_t *sem) {
    CHECK(condition_of(sem)->waiters.first == NULL);
}

void uv_sem_post(uv_sem_t *sem) {
    condition_of(sem)->count++;
    (void)wake_one(&condition_of(sem)->waiters);
}

void uv_sem_wait(uv_sem_t *sem) {
    while (condition_of(sem)->count == 0) {
        wait_in(&condition_of(sem)->waiters, STAGE_NEVER);
    }
    condition_of(sem)->count--;
}

int uv_sem_trywait(uv_sem_t *sem) {
    if (condition_of(sem)->count == 0) {
        return UV_EAGAIN;
    }
    condition_of(sem)->count--;
    return 0;
}

/* Once in the whole program, as the product means it: a table of constants, not of a process. */
void uv_once(uv_once_t *guard, void (*callback)(void)) {
    if (*guard == UV_ONCE_INIT) {
        *guard = 1;
        callback();
    }
}

/* --- Threads */

int uv_thread_create(uv_thread_t *tid, uv_thread_cb entry, void *arg) {
    struct played_process *p = played_self();
    CHECK(p != NULL);
    *tid = (uv_thread_t)stage_thread_new(p, entry, arg)->id;
    return 0;
}

uv_thread_t uv_thread_self(void) {
    return (uv_thread_t)stage_running()->id;
}

int uv_thread_equal(const uv_thread_t *a, const uv_thread_t *b) {
    return *a == *b;
}

int uv_thread_join(uv_thread_t *tid) {
    struct stage_thread *self = stage_running();
    struct stage_thread *t = stage_thread_find(self->process, (uint64_t)*tid);
    if (t == NULL || t->joiner != NULL || t == self) {
        return UV_EINVAL;
    }
    t->joiner = self;
    while (!t->is_ended) {
        stage_block(STAGE_NEVER);
    }
    stage_thread_forget(t);
    return 0;
}
