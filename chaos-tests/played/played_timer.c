/* Timers of libuv: by time, then by the order in which they were started; see played_loop.h.
 *
 * A pairing heap (Fredman and others, 1986) in the three pointers that a uv_timer_t has for its
 * heap: first child, next sibling, and what points here (previous sibling or parent).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/played/played_loop.h"

#define TIMER_ROUNDS_MAX 1000000 /* callbacks in one round of a loop */

enum { CHILD, NEXT, BEFORE };

static uv_timer_t *at(const uv_timer_t *timer, int which) {
    return timer->heap_node[which];
}

static bool is_before(const uv_timer_t *a, const uv_timer_t *b) {
    return a->timeout != b->timeout ? a->timeout < b->timeout : a->start_id < b->start_id;
}

/* Two roots become one. */
static uv_timer_t *meld(uv_timer_t *a, uv_timer_t *b) {
    if (a == NULL || b == NULL) {
        return a == NULL ? b : a;
    }
    uv_timer_t *root = is_before(a, b) ? a : b;
    uv_timer_t *other = root == a ? b : a;
    uv_timer_t *child = at(root, CHILD);
    other->heap_node[NEXT] = child;
    other->heap_node[BEFORE] = root;
    if (child != NULL) {
        child->heap_node[BEFORE] = other;
    }
    root->heap_node[CHILD] = other;
    root->heap_node[NEXT] = NULL;
    root->heap_node[BEFORE] = NULL;
    return root;
}

/* The children of a root that went: in pairs from the left, then all from the right. */
static uv_timer_t *meld_children(uv_timer_t *first) {
    uv_timer_t *pairs = NULL; /* linked by NEXT, the last one first */
    while (first != NULL) {
        uv_timer_t *second = at(first, NEXT);
        uv_timer_t *rest = second == NULL ? NULL : at(second, NEXT);
        first->heap_node[NEXT] = NULL;
        if (second != NULL) {
            second->heap_node[NEXT] = NULL;
        }
        uv_timer_t *pair = meld(first, second);
        pair->heap_node[NEXT] = pairs;
        pairs = pair;
        first = rest;
    }
    uv_timer_t *root = NULL;
    while (pairs != NULL) {
        uv_timer_t *next = at(pairs, NEXT);
        pairs->heap_node[NEXT] = NULL;
        root = meld(root, pairs);
        pairs = next;
    }
    if (root != NULL) {
        root->heap_node[BEFORE] = NULL;
    }
    return root;
}

static void take_out(struct played_loop *l, uv_timer_t *timer) {
    uv_timer_t *rest = meld_children(at(timer, CHILD));
    if (l->timers == timer) {
        l->timers = rest;
        return;
    }
    uv_timer_t *before = at(timer, BEFORE);
    uv_timer_t *next = at(timer, NEXT);
    before->heap_node[at(before, CHILD) == timer ? CHILD : NEXT] = next;
    if (next != NULL) {
        next->heap_node[BEFORE] = before;
    }
    l->timers = meld(l->timers, rest);
}

int uv_timer_init(uv_loop_t *loop, uv_timer_t *timer) {
    loop_handle_init(loop, (uv_handle_t *)timer, UV_TIMER);
    timer->timer_cb = NULL;
    timer->timeout = 0;
    timer->repeat = 0;
    return 0;
}

int uv_timer_stop(uv_timer_t *timer) {
    if ((timer->flags & LOOP_ACTIVE) != 0) {
        take_out(loop_of(timer->loop), timer);
        loop_handle_stop((uv_handle_t *)timer);
    }
    return 0;
}

int uv_timer_start(uv_timer_t *timer, uv_timer_cb cb, uint64_t timeout_ms, uint64_t repeat_ms) {
    if ((timer->flags & (LOOP_CLOSING | LOOP_CLOSED)) != 0 || cb == NULL) {
        return UV_EINVAL;
    }
    uv_timer_stop(timer);
    uint64_t now = timer->loop->time;
    timer->timer_cb = cb;
    timer->timeout = timeout_ms > UINT64_MAX - now ? UINT64_MAX : now + timeout_ms;
    timer->repeat = repeat_ms;
    timer->start_id = timer->loop->timer_counter++;
    for (int i = 0; i < 3; i++) {
        timer->heap_node[i] = NULL;
    }
    struct played_loop *l = loop_of(timer->loop);
    l->timers = meld(l->timers, timer);
    loop_handle_start((uv_handle_t *)timer);
    return 0;
}

int uv_timer_again(uv_timer_t *timer) {
    if (timer->timer_cb == NULL) {
        return UV_EINVAL;
    }
    return timer->repeat > 0 ? uv_timer_start(timer, timer->timer_cb, timer->repeat, timer->repeat)
                             : 0;
}

void uv_timer_set_repeat(uv_timer_t *timer, uint64_t repeat_ms) {
    timer->repeat = repeat_ms;
}

uint64_t uv_timer_get_repeat(const uv_timer_t *timer) {
    return timer->repeat;
}

uint64_t uv_timer_get_due_in(const uv_timer_t *timer) {
    return timer->timeout > timer->loop->time ? timer->timeout - timer->loop->time : 0;
}

void timer_close(uv_timer_t *timer) {
    uv_timer_stop(timer);
}

/* As libuv does: a timer that is started again with 0 in its callback comes in this round, too. */
void timer_run_due(uv_loop_t *loop) {
    struct played_loop *l = loop_of(loop);
    unsigned rounds = 0;
    while (l->timers != NULL && l->timers->timeout <= loop->time) {
        uv_timer_t *timer = l->timers;
        uv_timer_stop(timer);
        if (timer->repeat > 0) {
            uv_timer_start(timer, timer->timer_cb, timer->repeat, timer->repeat);
        }
        timer->timer_cb(timer);
        CHECK(++rounds < TIMER_ROUNDS_MAX); /* libuv would never come back from here */
    }
}

uint64_t timer_next_ms(const uv_loop_t *loop) {
    const struct played_loop *l = loop_of(loop);
    return l->timers == NULL ? UINT64_MAX : l->timers->timeout;
}
