/* Fetch plan: see fetch_plan.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/endorse/fetch_plan.h"

#include <string.h>

/* ---- the row ---- */

static bool is_same(const struct fetch_want *a, const struct fetch_want *b) {
    if (a->is_crl != b->is_crl) {
        return false;
    }
    return a->is_crl ? a->kind == b->kind && a->key.product == b->key.product
                     : snp_endorsement_same(&a->key, &b->key);
}

static void take_out(struct fetch_plan *p, size_t index) {
    p->count--;
    memmove(&p->items[index], &p->items[index + 1], (p->count - index) * sizeof p->items[0]);
}

/* Ends the asking; the item leaves the row and is handed back. */
static struct fetch_plan_item take_asked(struct fetch_plan *p) {
    CHECK(p->is_asking && p->asking < p->count);
    struct fetch_plan_item item = p->items[p->asking];
    take_out(p, p->asking);
    p->is_asking = false;
    return item;
}

static void queue_again(struct fetch_plan *p, const struct fetch_plan_item *item) {
    p->items[p->count++] = *item;
}

struct result fetch_plan_add(struct fetch_plan *p, const struct fetch_want *want, uint64_t now_ms,
                             struct err *err) {
    for (size_t i = 0; i < p->count; i++) {
        if (is_same(&p->items[i].want, want)) {
            return OK;
        }
    }
    ENSURE(p->count < LIMIT_KDS_QUEUE, err, BUSY,
           "%d endorsements wait for AMD's key service already; retry later", LIMIT_KDS_QUEUE);
    p->items[p->count++] =
        (struct fetch_plan_item){.want = *want, .since_ms = now_ms, .due_ms = now_ms};
    return OK;
}

bool fetch_plan_drop(struct fetch_plan *p, struct fetch_want *want) {
    if (p->count == 0) {
        return false;
    }
    *want = p->items[0].want;
    p->is_asking = false;
    take_out(p, 0);
    return true;
}

/* ---- when ---- */

static uint64_t later(uint64_t now_ms, uint64_t ms) {
    return ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + ms;
}

static uint64_t until(uint64_t now_ms, uint64_t then_ms) {
    return then_ms > now_ms ? then_ms - now_ms : 0;
}

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* The first that is due; count when there is none. *wait_ms: until one is. */
static size_t find_due(const struct fetch_plan *p, uint64_t now_ms, uint64_t *wait_ms) {
    *wait_ms = UINT64_MAX;
    for (size_t i = 0; i < p->count; i++) {
        if (p->items[i].due_ms <= now_ms) {
            return i;
        }
        *wait_ms = least(*wait_ms, until(now_ms, p->items[i].due_ms));
    }
    return p->count;
}

/* One that waited too long, count when there is none. *wait_ms: until there is one. */
static size_t find_lapsed(const struct fetch_plan *p, uint64_t now_ms, uint64_t *wait_ms) {
    *wait_ms = UINT64_MAX;
    for (size_t i = 0; i < p->count; i++) {
        uint64_t left = until(now_ms, later(p->items[i].since_ms, LIMIT_KDS_WANT_MS));
        if (left == 0) {
            return i;
        }
        *wait_ms = least(*wait_ms, left);
    }
    return p->count;
}

/* 0 when a token is held. */
static uint64_t need_token(struct fetch_plan *p, uint64_t now_ms) {
    if (p->has_token) {
        return 0;
    }
    uint64_t wait_ms = bucket_take(&p->bucket, &p->rate, now_ms);
    p->has_token = wait_ms == 0;
    return wait_ms;
}

/* 0 when the item at *index may be asked for. */
static uint64_t find_next(struct fetch_plan *p, uint64_t now_ms, size_t *index) {
    uint64_t wait_ms = 0;
    if (now_ms < p->quiet_until_ms) {
        return p->quiet_until_ms - now_ms;
    }
    *index = find_due(p, now_ms, &wait_ms);
    return *index == p->count ? wait_ms : need_token(p, now_ms);
}

enum fetch_plan_step fetch_plan_next(struct fetch_plan *p, uint64_t now_ms, struct fetch_want *want,
                                     uint64_t *wait_ms) {
    CHECK(!p->is_asking);
    uint64_t lapse_ms = 0;
    if (p->count == 0) {
        return FETCH_PLAN_IDLE;
    }
    size_t index = find_lapsed(p, now_ms, &lapse_ms);
    if (index < p->count) {
        *want = p->items[index].want;
        take_out(p, index);
        return FETCH_PLAN_LAPSED;
    }
    uint64_t ms = find_next(p, now_ms, &index);
    if (ms > 0) {
        *wait_ms = least(ms, lapse_ms);
        return FETCH_PLAN_WAIT;
    }
    *want = p->items[index].want;
    p->asking = index;
    p->is_asking = true;
    return FETCH_PLAN_ASK;
}

/* ---- how it went ---- */

void fetch_plan_postpone(struct fetch_plan *p, uint64_t now_ms, uint64_t wait_ms) {
    struct fetch_plan_item item = take_asked(p);
    item.due_ms = later(now_ms, wait_ms == 0 ? p->backoff_ms : wait_ms);
    queue_again(p, &item);
}

void fetch_plan_spend(struct fetch_plan *p) {
    CHECK(p->is_asking && p->has_token);
    p->has_token = false;
}

void fetch_plan_end(struct fetch_plan *p, bool answered) {
    (void)take_asked(p);
    if (answered) {
        p->failures = 0;
    }
}

/* Half of the doubled time is certain, half is chance: replicas that failed together do not come
 * back together. */
static uint64_t backoff(const struct fetch_plan *p, uint64_t jitter) {
    uint64_t ms = p->backoff_ms;
    for (uint32_t i = 1; i < p->failures && ms < LIMIT_KDS_BACKOFF_MAX_MS; i++) {
        ms *= 2;
    }
    ms = least(ms, LIMIT_KDS_BACKOFF_MAX_MS);
    return ms - ms / 2 + jitter % (ms / 2 + 1);
}

bool fetch_plan_fail(struct fetch_plan *p, enum err_code code, uint64_t now_ms, uint64_t retry_ms,
                     uint64_t jitter) {
    struct fetch_plan_item item = take_asked(p);
    if (code != ERR_BUSY && code != ERR_UNAVAILABLE) {
        p->failures = 0; /* it answered */
        return false;
    }
    p->failures++;
    uint64_t own_ms = backoff(p, jitter);
    uint64_t asked_ms = retry_ms == 0 ? 0 : retry_ms + jitter % (p->backoff_ms + 1);
    p->quiet_until_ms = later(now_ms, own_ms > asked_ms ? own_ms : asked_ms);
    item.failures++;
    if (item.failures >= p->attempts) {
        return false;
    }
    queue_again(p, &item);
    return true;
}
