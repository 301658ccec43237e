/* Budgets of memory: so many layers are streamed at a time as fit into a fixed number of bytes.
 *
 *   enter (a first share)  ->  grow, as the layer's index and decoder need it  ->  leave
 *
 * What a layer needs shows only while it is streamed. So each asks before it grows, and waits while
 * nothing is free. The one with the lowest order never waits in vain: for it, the one with the
 * highest order is told to give way, that is to leave, and to begin again later. As whoever begins
 * again keeps its order, each gets to the front; so all end, and a share of any size up to the
 * whole budget is to be had.
 *
 * Thread-safe. SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_FETCH_BUDGET_H
#define CONTRAST_FETCH_BUDGET_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct fetch_stake;

struct fetch_budget {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    size_t total; /* bytes */
    size_t free;
    size_t waiting;             /* to grow */
    struct fetch_stake *stakes; /* that entered */
};

/* One layer's; the caller's memory. Zeroed is good. */
struct fetch_stake {
    struct fetch_budget *budget;
    size_t order; /* unique among those that entered */
    size_t held;  /* bytes */
    bool must_leave;
    struct fetch_stake *next;
};

void fetch_budget_init(struct fetch_budget *b, size_t total);
void fetch_budget_deinit(struct fetch_budget *b); /* nobody is in it */

/* Waits for `size` bytes, at most the whole budget. */
void fetch_budget_enter(struct fetch_budget *b, struct fetch_stake *s, size_t order, size_t size);

/* Waits until `size` bytes in all are this one's, at most the whole budget; what it holds never
 * shrinks. False: it has to give way. */
bool fetch_stake_grow(struct fetch_stake *s, size_t size);

/* True when it has to give way. */
bool fetch_stake_must_leave(struct fetch_stake *s);

void fetch_stake_leave(struct fetch_stake *s);

#endif
