/* Beats: what members tell each other all the time, and what a leader makes of it.
 *
 *   BEAT {applied, clock} -> who is behind gets the rows it may have missed (replica_peers.c)
 *                         -> the median of the voters' clocks bounds the time that entries bring
 *
 * The rule of time (ARCHITECTURE section 7): the cluster's time is the newest that an entry
 * brought, so one clock that runs ahead would drag everybody along for ever. A leader declines a
 * proposal whose time lies more than LIMIT_CLOCK_AHEAD_S beyond that median, its own included.
 * Clocks heard within REPLICA_CLOCK_MS count, moved on by the time since: a paused voter's counts
 * no longer.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "coordinator/replica_frames.h"
#include "coordinator/replica_internal.h"

/* --- Telling */

static void beat_to(struct replica *r, uint64_t peer) {
    AUTO(buf_deinit)
    struct buf body = {0};
    int64_t now = host_unix_s(r->host);
    now = now < 0 ? 0 : now > ENTRY_TIME_MAX ? ENTRY_TIME_MAX : now;
    struct replica_beat beat = {replica_applied(r), now};
    replica_beat_encode(&beat, &body);
    r->io.send(r->io.data, peer, REPLICA_BEAT, buf_span(&body));
}

void replica__beat(struct replica *r, uint64_t peer) {
    if (r->node != NULL && replica_state_is_member(r->state)) {
        beat_to(r, peer);
    }
}

void replica__beat_tick(struct replica *r) {
    uint64_t now = replica_now(r);
    if (now < r->beat_ms) {
        return;
    }
    r->beat_ms = now + REPLICA_BEAT_MS;
    for (size_t i = 0; i < r->link_count; i++) {
        if (r->links[i].is_up) {
            replica__beat(r, r->links[i].id);
        }
    }
}

/* --- Hearing */

static struct heard_clock *clock_row(struct replica *r, uint64_t id) {
    struct heard_clock *oldest = &r->clocks[0];
    for (size_t i = 0; i < LIMIT_MEMBERS; i++) {
        if (r->clocks[i].id == id) {
            return &r->clocks[i];
        }
        if (r->clocks[i].heard_ms < oldest->heard_ms) {
            oldest = &r->clocks[i];
        }
    }
    return oldest;
}

void replica__beat_received(struct replica *r, uint64_t peer, struct span body) {
    struct replica_beat beat;
    struct err err;
    if (!is_ok(replica_beat_decode(body, &beat, &err))) {
        replica__complain(r, peer, "beat", &err);
        return;
    }
    *clock_row(r, peer) = (struct heard_clock){peer, beat.time, replica_now(r)};
    replica__peer_is_at(r, peer, beat.applied);
}

/* --- The rule of time */

static int compare(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

struct clocks {
    int64_t times[LIMIT_MEMBERS + 1];
    size_t count;
};

static void gather(const struct replica *r, struct clocks *out) {
    uint64_t now = replica_now(r);
    out->times[0] = host_unix_s(r->host);
    out->count = 1;
    for (size_t i = 0; i < LIMIT_MEMBERS; i++) {
        const struct heard_clock *c = &r->clocks[i];
        if (c->id != 0 && now - c->heard_ms <= REPLICA_CLOCK_MS && replica__is_voter(r, c->id)) {
            out->times[out->count++] = c->time + (int64_t)((now - c->heard_ms) / 1000);
        }
    }
    qsort(out->times, out->count, sizeof out->times[0], compare);
}

/* A minority may run ahead, and some may be silent: as many are left out from above as may be
 * wrong. With all heard it is the median. */
static bool find_median(const struct replica *r, int64_t *out) {
    struct clocks clocks;
    size_t wrong = replica__voter_count(r) / 2;
    gather(r, &clocks);
    if (clocks.count <= wrong) {
        return false;
    }
    *out = clocks.times[clocks.count - 1 - wrong];
    return true;
}

int64_t replica_entry_time(const struct replica *r) {
    int64_t time = host_unix_s(r->host);
    int64_t median = 0;
    if (r->node != NULL && find_median(r, &median)) {
        time = median;
    }
    return time < 0 ? 0 : time > ENTRY_TIME_MAX ? ENTRY_TIME_MAX : time;
}

static int64_t time_of(const struct entry *e) {
    switch (e->type) {
    case ENTRY_SET_MANIFEST:
        return e->set_manifest.time;
    case ENTRY_ADMIT:
        return e->admit.time;
    case ENTRY_RETIRE:
        return e->retire.time;
    case ENTRY_ISSUE:
        return e->issue.time;
    case ENTRY_COLLATERAL:
        return e->collateral.time;
    case ENTRY_LEVEL:
        return e->level.time;
    case ENTRY_FOUND:
    case ENTRY_BLOB:
    case ENTRY_RECOVER:
        break;
    }
    return 0;
}

static const char *name_of(const struct replica *r, uint64_t id) {
    const struct core_member *m = core_find_member(r->core, id);
    return m == NULL ? "a replica" : m->member.name;
}

/* What the cluster's time is already moves nothing, whoever brought it. */
RESULT replica__check_time(struct replica *r, const struct entry *e, struct err *err) {
    int64_t time = time_of(e);
    int64_t median = 0;
    if (time <= core_time(r->core) || core_rule_is_off(CORE_RULE_TIME)) {
        return OK;
    }
    ENSURE(find_median(r, &median), err, NOT_LEADER, "the clocks of a majority were not heard yet");
    if (time <= median + LIMIT_CLOCK_AHEAD_S) {
        return OK;
    }
    struct result late = err_set(
        err, ERR_UNAVAILABLE,
        "the clock of %s is %lld s ahead of the voters' median: set it; ask another replica "
        "meanwhile",
        name_of(r, e->request.proposer), (long long)(time - median));
    replica__alarm(r, e->request.proposer, "CLOCK", err->text);
    return late;
}
