/* Budgets of memory: see fetch_budget.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/registry/fetch_budget.h"

#include "lib/base/err.h"

void fetch_budget_init(struct fetch_budget *b, size_t total) {
    *b = (struct fetch_budget){.total = total, .free = total};
    CHECK(pthread_mutex_init(&b->mutex, NULL) == 0 && pthread_cond_init(&b->changed, NULL) == 0);
}

void fetch_budget_deinit(struct fetch_budget *b) {
    CHECK(b->stakes == NULL && b->free == b->total);
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->mutex);
}

void fetch_budget_enter(struct fetch_budget *b, struct fetch_stake *s, size_t order, size_t size) {
    CHECK(size <= b->total);
    pthread_mutex_lock(&b->mutex);
    while (b->free < size || b->waiting > 0) {
        pthread_cond_wait(&b->changed, &b->mutex);
    }
    *s = (struct fetch_stake){.budget = b, .order = order, .held = size, .next = b->stakes};
    b->stakes = s;
    b->free -= size;
    pthread_mutex_unlock(&b->mutex);
}

static bool is_first(const struct fetch_stake *s) {
    for (const struct fetch_stake *o = s->budget->stakes; o != NULL; o = o->next) {
        if (o->order < s->order) {
            return false;
        }
    }
    return true;
}

/* Bytes that come free without anybody being told to give way. */
static size_t coming(const struct fetch_budget *b) {
    size_t size = b->free;
    for (const struct fetch_stake *o = b->stakes; o != NULL; o = o->next) {
        size += o->must_leave ? o->held : 0;
    }
    return size;
}

/* For the first one: tells the last ones, until enough comes free. */
static void make_room(const struct fetch_stake *s, size_t more) {
    while (coming(s->budget) < more) {
        struct fetch_stake *last = NULL;
        for (struct fetch_stake *o = s->budget->stakes; o != NULL; o = o->next) {
            if (o != s && !o->must_leave && (last == NULL || o->order > last->order)) {
                last = o;
            }
        }
        CHECK(last != NULL); /* or all but what it holds would be free */
        last->must_leave = true;
    }
    pthread_cond_broadcast(&s->budget->changed);
}

bool fetch_stake_grow(struct fetch_stake *s, size_t size) {
    struct fetch_budget *b = s->budget;
    CHECK(size <= b->total);
    pthread_mutex_lock(&b->mutex);
    b->waiting++;
    while (!s->must_leave && size > s->held && size - s->held > b->free) {
        if (is_first(s)) {
            make_room(s, size - s->held);
        }
        pthread_cond_wait(&b->changed, &b->mutex);
    }
    b->waiting--;
    bool is_granted = !s->must_leave;
    if (is_granted && size > s->held) {
        b->free -= size - s->held;
        s->held = size;
    }
    if (b->waiting == 0) {
        pthread_cond_broadcast(&b->changed); /* who wants to enter */
    }
    pthread_mutex_unlock(&b->mutex);
    return is_granted;
}

bool fetch_stake_must_leave(struct fetch_stake *s) {
    pthread_mutex_lock(&s->budget->mutex);
    bool must = s->must_leave;
    pthread_mutex_unlock(&s->budget->mutex);
    return must;
}

void fetch_stake_leave(struct fetch_stake *s) {
    struct fetch_budget *b = s->budget;
    pthread_mutex_lock(&b->mutex);
    struct fetch_stake **at = &b->stakes;
    while (*at != s) {
        CHECK(*at != NULL);
        at = &(*at)->next;
    }
    *at = s->next;
    b->free += s->held;
    *s = (struct fetch_stake){0};
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->mutex);
}
