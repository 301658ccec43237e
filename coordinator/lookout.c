/* Lookout: see lookout.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/lookout.h"

#include "coordinator/scout.h"
#include "lib/base/log.h"

#define LOOKOUT_MS 1000       /* between two looks at this replica's own state */
#define LOOKOUT_AFTER_MS 5000 /* without a leader: then the peers are asked */
#define LOOKOUT_MAX_MS 20000  /* between two rounds of asking: each costs everybody a report */
#define LOOKOUT_LED_MS 30000  /* the same while there is a leader */

struct lookout {
    struct worker *worker;
    uv_timer_t timer;
    struct scout *scout; /* NULL: nobody is being asked */
    uint64_t pause_ms;   /* before the next round */
    uint64_t asked_ms;   /* when the last one began */
};

static void wait_next(struct lookout *l, uint64_t ms);

static void on_told(void *owner, const struct letter *reply) {
    (void)reply; /* this process ends, or nothing was true of it any more */
    wait_next(owner, LOOKOUT_AFTER_MS);
}

static void tell(struct lookout *l, const struct scout_report *report) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    log_error("%s", report->against.text);
    buf_append_u64be(&bytes, report->epoch);
    buf_append(&bytes, report->recovery, sizeof report->recovery);
    if (!is_ok(worker_ask(l->worker, CORE_SUPERSEDED, buf_span(&bytes), l, on_told, NULL))) {
        wait_next(l, LOOKOUT_MS);
    }
}

static void on_report(void *owner, const struct scout_report *report) {
    struct lookout *l = owner;
    l->scout = NULL;
    if (report->against.code != ERR_OK) {
        tell(l, report);
        return;
    }
    uint64_t jitter = host_random_below(worker_identity(l->worker)->host, l->pause_ms);
    wait_next(l, l->pause_ms + jitter);
    l->pause_ms = l->pause_ms * 2 < LOOKOUT_MAX_MS ? l->pause_ms * 2 : LOOKOUT_MAX_MS;
}

/* A quorum that was only cut off comes back with its leader, and would go on for ever beside the
 * epoch that its share owners began meanwhile. */
static bool is_due(const struct lookout *l, uint64_t now) {
    return now - l->asked_ms >= LOOKOUT_LED_MS;
}

static void on_position(void *owner, const struct letter *reply) {
    struct lookout *l = owner;
    const struct position *p = &reply->position;
    uint64_t now = host_monotonic_ms(worker_identity(l->worker)->host);
    if (p->leaderless_ms < LOOKOUT_AFTER_MS) {
        l->pause_ms = LOOKOUT_MS;
    }
    if (p->generation == 0 || (p->leaderless_ms < LOOKOUT_AFTER_MS && !is_due(l, now))) {
        wait_next(l, LOOKOUT_MS);
        return;
    }
    l->asked_ms = now;
    l->scout =
        scout_start(l->worker, SCOUT_EPOCHS, p->cluster, p->epoch, p->generation, l, on_report);
}

static void on_timer(uv_timer_t *timer) {
    struct lookout *l = timer->data;
    struct err err;
    if (!is_ok(worker_ask(l->worker, CORE_POSITION, (struct span){0}, l, on_position, &err))) {
        wait_next(l, LOOKOUT_MS);
    }
}

static void wait_next(struct lookout *l, uint64_t ms) {
    uv_timer_start(&l->timer, on_timer, ms, 0);
}

struct lookout *lookout_start(struct worker *w) {
    if (worker_identity(w)->config->peer_count == 0) {
        return NULL;
    }
    struct lookout *l = mem_zalloc(sizeof *l);
    l->worker = w;
    l->pause_ms = LOOKOUT_MS;
    l->asked_ms = host_monotonic_ms(worker_identity(w)->host);
    uv_timer_init(worker_loop(w), &l->timer);
    l->timer.data = l;
    wait_next(l, LOOKOUT_MS);
    return l;
}

static void on_timer_closed(uv_handle_t *handle) {
    mem_free(handle->data);
}

void lookout_stop(struct lookout *l) {
    worker_cancel(l->worker, l);
    if (l->scout != NULL) {
        scout_cancel(l->scout);
    }
    uv_close((uv_handle_t *)&l->timer, on_timer_closed);
}
