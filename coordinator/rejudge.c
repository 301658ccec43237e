/* Rejudge: see rejudge.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/rejudge.h"

#include <string.h>

static struct rejudge_row *find(struct rejudge *r, uint64_t id) {
    for (size_t i = 0; i < r->count; i++) {
        if (r->rows[i].id == id) {
            return &r->rows[i];
        }
    }
    return NULL;
}

static void remove_row(struct rejudge *r, size_t at) {
    r->count--;
    memmove(&r->rows[at], &r->rows[at + 1], (r->count - at) * sizeof r->rows[0]);
}

bool rejudge_put(struct rejudge *r, const struct host *host, uint64_t id) {
    struct rejudge_row *row = find(r, id);
    bool is_first = row == NULL;
    if (is_first) {
        if (r->count == LIMIT_MEMBERS) {
            remove_row(r, 0);
        }
        row = &r->rows[r->count++];
    }
    uint64_t now = host_monotonic_ms(host);
    uint64_t half = LIMIT_REJUDGE_MS / 2;
    *row = (struct rejudge_row){id, now + half + host_random_below(host, half + 1), now};
    return is_first;
}

void rejudge_drop(struct rejudge *r, uint64_t id) {
    const struct rejudge_row *row = find(r, id);
    if (row != NULL) {
        remove_row(r, (size_t)(row - r->rows));
    }
}

void rejudge_hurry(struct rejudge *r, const struct host *host) {
    uint64_t now = host_monotonic_ms(host);
    for (size_t i = 0; i < r->count; i++) {
        struct rejudge_row *row = &r->rows[i];
        uint64_t soonest = row->judged_ms + REJUDGE_LEAST_MS;
        soonest = soonest > now ? soonest : now;
        if (row->at_ms != UINT64_MAX && row->at_ms > soonest) {
            row->at_ms = soonest;
        }
    }
}

bool rejudge_take(struct rejudge *r, const struct host *host, uint64_t *id) {
    for (size_t i = 0; i < r->count; i++) {
        if (r->rows[i].at_ms <= host_monotonic_ms(host)) {
            r->rows[i].at_ms = UINT64_MAX;
            *id = r->rows[i].id;
            return true;
        }
    }
    return false;
}

uint64_t rejudge_deadline(const struct rejudge *r) {
    uint64_t at = UINT64_MAX;
    for (size_t i = 0; i < r->count; i++) {
        at = r->rows[i].at_ms < at ? r->rows[i].at_ms : at;
    }
    return at;
}
