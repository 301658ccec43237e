/* Restart desk: see restart_desk.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/restart_desk.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <uv.h>

#include "lib/base/mem.h"

/* One file of this replica. */
struct held {
    struct buf bytes;
    struct arena arena;
    struct restart_file file;
    struct secret *share;
    uint64_t armed;     /* highest epoch */
    bool is_given;      /* `collector` has the share, or had when another process was here */
    uint64_t collector; /* 0 = not known */
    uint64_t given_ms;
    struct {
        struct secret *share; /* NULL: none; number i + 1 of the file */
        uint64_t at_ms;
        uint64_t epoch; /* that it was given for */
    } taken[LIMIT_VOTERS];
    bool was_enough; /* a majority returned with it */
    uint64_t enough_ms;
};

struct restart_desk {
    const struct host *host;
    uint64_t own;
    uv_mutex_t mutex;
    struct held held[LIMIT_RESTART_FILES];
    size_t count;
    bool is_closed;
    char why[RESTART_WHY_SIZE];
};

static uint64_t now_ms(const struct restart_desk *d) {
    return host_monotonic_ms(d->host);
}

static void drop(struct held *h) {
    for (size_t i = 0; i < LIMIT_VOTERS; i++) {
        secret_free(h->taken[i].share);
    }
    secret_free(h->share);
    arena_deinit(&h->arena);
    buf_deinit(&h->bytes);
    *h = (struct held){0};
}

static void drop_all(struct restart_desk *d) {
    for (size_t i = 0; i < d->count; i++) {
        drop(&d->held[i]);
    }
    d->count = 0;
}

static struct held *find(struct restart_desk *d, const uint8_t digest[32]) {
    for (size_t i = 0; i < d->count; i++) {
        if (memcmp(d->held[i].file.digest, digest, 32) == 0) {
            return &d->held[i];
        }
    }
    return NULL;
}

struct restart_desk *restart_desk_new(const struct host *host, uint64_t own) {
    struct restart_desk *d = mem_zalloc(sizeof *d);
    d->host = host;
    d->own = own;
    CHECK(uv_mutex_init(&d->mutex) == 0);
    return d;
}

void restart_desk_free(struct restart_desk *d) {
    if (d == NULL) {
        return;
    }
    drop_all(d);
    uv_mutex_destroy(&d->mutex);
    mem_free(d);
}

/* --- What is here */

static RESULT check_put(struct restart_desk *d, const struct held *h, struct err *err) {
    ENSURE(!d->is_closed, err, CANCELED, "this replica belongs to a cluster");
    ENSURE(d->count < LIMIT_RESTART_FILES, err, INVALID, "more than %d restart files",
           LIMIT_RESTART_FILES);
    ENSURE(d->count == 0 || memcmp(d->held[0].file.header.cluster, h->file.header.cluster, 32) == 0,
           err, INVALID, "restart files of two deployments: the older one counts as none");
    ENSURE(find(d, h->file.digest) == NULL, err, INVALID, "the same restart file twice");
    return OK;
}

static RESULT put(struct restart_desk *d, struct held *h, struct err *err) {
    TRY(restart_file_parse(buf_span(&h->bytes), &h->arena, &h->file, err));
    TRY(restart_file_check(&h->file, secret_span(h->share), err));
    return check_put(d, h, err);
}

struct result restart_desk_put(struct restart_desk *d, struct buf *file, struct secret *share,
                               uint64_t armed, uint64_t armed_for, struct err *err) {
    struct held h = {.bytes = *file,
                     .share = share,
                     .armed = armed,
                     .is_given = armed > 0,
                     .collector = armed_for};
    *file = (struct buf){0};
    uv_mutex_lock(&d->mutex);
    h.given_ms = now_ms(d);
    struct result r = put(d, &h, err);
    if (is_ok(r)) {
        d->held[d->count++] = h;
    } else {
        drop(&h);
    }
    uv_mutex_unlock(&d->mutex);
    return r;
}

void restart_desk_end(struct restart_desk *d, const char *why) {
    uv_mutex_lock(&d->mutex);
    drop_all(d);
    snprintf(d->why, sizeof d->why, "%s", d->is_closed ? "" : why);
    uv_mutex_unlock(&d->mutex);
}

void restart_desk_close(struct restart_desk *d) {
    uv_mutex_lock(&d->mutex);
    drop_all(d);
    d->is_closed = true;
    d->why[0] = 0;
    uv_mutex_unlock(&d->mutex);
}

bool restart_desk_is_armed(struct restart_desk *d) {
    uv_mutex_lock(&d->mutex);
    bool is_armed = d->count > 0;
    uv_mutex_unlock(&d->mutex);
    return is_armed;
}

static void fill_offer(const struct held *h, struct restart_offer *out) {
    const struct restart_header *header = &h->file.header;
    *out = (struct restart_offer){.epoch = header->epoch,
                                  .generation = header->generation,
                                  .index = header->index,
                                  .x = h->file.x,
                                  .armed = h->armed,
                                  .armed_for = h->collector};
    memcpy(out->digest, h->file.digest, sizeof out->digest);
    memcpy(out->head, header->head, sizeof out->head);
    memcpy(out->voters, h->file.voters, sizeof out->voters);
}

static RESULT nothing_here(struct err *err) {
    return err_set(err, ERR_NOT_FOUND, "this replica holds no restart file");
}

struct result restart_desk_offers(struct restart_desk *d, uint8_t cluster[32],
                                  struct restart_offer out[LIMIT_RESTART_FILES], size_t *count,
                                  struct err *err) {
    uv_mutex_lock(&d->mutex);
    struct result r = d->count == 0 ? nothing_here(err) : OK;
    for (size_t i = 0; i < d->count; i++) {
        fill_offer(&d->held[i], &out[i]);
        memcpy(cluster, d->held[i].file.header.cluster, 32);
    }
    *count = d->count;
    uv_mutex_unlock(&d->mutex);
    return r;
}

static bool is_newer(const struct restart_offer *a, const struct restart_offer *b) {
    if (a->epoch != b->epoch) {
        return a->epoch > b->epoch;
    }
    if (a->generation != b->generation) {
        return a->generation > b->generation;
    }
    return a->index > b->index;
}

struct result restart_desk_manifest(struct restart_desk *d, struct buf *out, struct err *err) {
    uv_mutex_lock(&d->mutex);
    struct result r = d->count == 0 ? nothing_here(err) : OK;
    const struct held *newest = NULL;
    struct restart_offer best = {.epoch = 0};
    for (size_t i = 0; i < d->count; i++) {
        struct restart_offer o;
        fill_offer(&d->held[i], &o);
        if (newest == NULL || is_newer(&o, &best)) {
            newest = &d->held[i];
            best = o;
        }
    }
    if (newest != NULL) {
        buf_append_span(out, newest->file.header.manifest);
    }
    uv_mutex_unlock(&d->mutex);
    return r;
}

/* --- The shares that count */

static bool is_resting(const struct restart_desk *d, const struct held *h) {
    return h->is_given && h->collector != d->own &&
           now_ms(d) - h->given_ms < LIMIT_RESTART_REARM_MS;
}

static bool counts(const struct restart_desk *d, const struct held *h, size_t at) {
    return h->taken[at].share != NULL && now_ms(d) - h->taken[at].at_ms < LIMIT_RESTART_ARMED_MS;
}

/* Also frees what counts no more. */
static size_t count_shares(const struct restart_desk *d, struct held *h, bool *has_taken) {
    size_t count = is_resting(d, h) ? 0 : 1;
    *has_taken = false;
    for (size_t i = 0; i < LIMIT_VOTERS; i++) {
        if (!counts(d, h, i)) {
            secret_free(h->taken[i].share);
            h->taken[i].share = NULL;
        } else {
            *has_taken = true;
            count += i + 1 == h->file.x && !is_resting(d, h) ? 0 : 1;
        }
    }
    return count;
}

/* --- Planning */

struct view_of_all {
    const struct restart_peer *peers;
    size_t count;
    struct restart_offer newest; /* of all that anybody has */
    size_t empty;                /* peers that answered and belong to nothing */
};

static void take_newest(struct restart_offer *best, const struct restart_offer *o) {
    if (best->epoch == 0 || is_newer(o, best)) {
        *best = *o;
    }
}

static void look_over(const struct restart_desk *d, struct view_of_all *v) {
    for (size_t i = 0; i < d->count; i++) {
        struct restart_offer o;
        fill_offer(&d->held[i], &o);
        take_newest(&v->newest, &o);
    }
    for (size_t i = 0; i < v->count; i++) {
        v->empty += v->peers[i].sight == RESTART_EMPTY ? 1 : 0;
        for (size_t k = 0; k < v->peers[i].offer_count; k++) {
            take_newest(&v->newest, &v->peers[i].offers[k]);
        }
    }
}

static const struct restart_offer *offer_of(const struct restart_peer *p,
                                            const uint8_t digest[32]) {
    for (size_t i = 0; p->sight == RESTART_EMPTY && i < p->offer_count; i++) {
        if (memcmp(p->offers[i].digest, digest, 32) == 0) {
            return &p->offers[i];
        }
    }
    return NULL;
}

/* Voters of `h` who returned with the file of this digest: each share once. */
static size_t count_with(const struct restart_desk *d, const struct view_of_all *v,
                         const struct held *h, const uint8_t digest[32]) {
    uint32_t seen = 0;
    for (size_t i = 0; i < d->count; i++) {
        bool is_it = memcmp(d->held[i].file.digest, digest, 32) == 0;
        seen |= is_it ? UINT32_C(1) << d->held[i].file.x : 0;
    }
    for (size_t i = 0; i < v->count; i++) {
        const struct restart_offer *o = offer_of(&v->peers[i], digest);
        if (o != NULL && o->x >= 1 && o->x <= h->file.header.voters.count) {
            seen |= UINT32_C(1) << o->x;
        }
    }
    return (size_t)__builtin_popcount(seen);
}

static size_t count_returned(const struct restart_desk *d, const struct view_of_all *v,
                             const struct held *h) {
    return count_with(d, v, h, h->file.digest);
}

/* The end of the newest history that anybody has seen, and the voters who decided it: what may be
 * missing in an older file of the same is the end of the record, never a decision of the owner. */
static bool may_go_on(const struct view_of_all *v, const struct held *h) {
    const struct restart_header *header = &h->file.header;
    return header->epoch == v->newest.epoch && memcmp(header->head, v->newest.head, 32) == 0 &&
           memcmp(h->file.voters, v->newest.voters, 32) == 0;
}

static struct held *choose(struct restart_desk *d, const struct view_of_all *v) {
    struct held *best = NULL;
    for (size_t i = 0; i < d->count; i++) {
        struct held *h = &d->held[i];
        bool is_enough =
            may_go_on(v, h) && count_returned(d, v, h) >= (size_t)h->file.header.threshold;
        if (is_enough && !h->was_enough) {
            h->enough_ms = now_ms(d);
        }
        h->was_enough = is_enough;
        if (is_enough && (best == NULL || h->file.header.index > best->file.header.index)) {
            best = h;
        }
    }
    return best;
}

static uint64_t collector_of(const struct restart_desk *d, const struct view_of_all *v,
                             const struct held *h) {
    uint64_t lowest = d->own;
    for (size_t i = 0; i < v->count; i++) {
        if (offer_of(&v->peers[i], h->file.digest) != NULL && v->peers[i].id < lowest) {
            lowest = v->peers[i].id;
        }
    }
    return lowest;
}

/* Above every epoch that a share was handed to somebody else for, who may have begun it; and not
 * below what the shares that are here were given for. */
static uint64_t next_epoch(const struct view_of_all *v, const struct held *h, uint64_t collector) {
    uint64_t highest = h->file.header.epoch;
    uint64_t limit = highest + LIMIT_EPOCH_STEP;
    highest = h->collector != collector && h->armed > highest ? h->armed : highest;
    for (size_t i = 0; i < v->count; i++) {
        const struct restart_offer *o = offer_of(&v->peers[i], h->file.digest);
        uint64_t armed = o == NULL || o->armed_for == collector ? 0 : o->armed;
        highest = armed < limit && armed > highest ? armed : highest;
    }
    uint64_t epoch = highest + 1;
    for (size_t i = 0; i < LIMIT_VOTERS; i++) {
        bool is_higher = h->taken[i].share != NULL && h->taken[i].epoch > epoch;
        epoch = is_higher ? h->taken[i].epoch : epoch;
    }
    return epoch;
}

/* What lacks, for people. */
static void say_lacking(struct restart_desk *d, const struct view_of_all *v) {
    const struct held *h = NULL;
    for (size_t i = 0; i < d->count; i++) {
        bool is_better = h == NULL || d->held[i].file.header.index > h->file.header.index;
        h = may_go_on(v, &d->held[i]) && is_better ? &d->held[i] : h;
    }
    if (h == NULL) {
        snprintf(d->why, sizeof d->why,
                 "restart: another replica returned with a newer state (epoch %" PRIu64
                 ", generation %" PRIu64 ", entry %" PRIu64
                 ") than this one's file: this replica joins when a cluster is there",
                 v->newest.epoch, v->newest.generation, v->newest.index);
        return;
    }
    size_t with = count_returned(d, v, h);
    size_t other = 0;
    for (size_t i = 0; i < v->count; i++) {
        bool has = offer_of(&v->peers[i], h->file.digest) != NULL;
        other += !has && v->peers[i].offer_count > 0 ? 1 : 0;
    }
    snprintf(d->why, sizeof d->why,
             "restart: %zu of %zu voters returned with the state at entry %" PRIu64
             " (epoch %" PRIu64 ", generation %" PRIu64 "), %" PRIu64
             " are needed; %zu returned with another state, %zu replicas with none; start the "
             "others, or recover with the share owners",
             with, h->file.header.voters.count, h->file.header.index, h->file.header.epoch,
             h->file.header.generation, h->file.header.threshold, other, v->empty - other);
}

/* A file of one voter says nothing about the voters who came after it. */
static bool is_lonely(const struct view_of_all *v, const struct held *h) {
    return h->file.header.threshold == 1 && v->count > 1 && v->empty + 1 < v->count / 2 + 1;
}

/* Somebody has more than `h`: who knows, a majority will have. */
static bool must_settle(const struct restart_desk *d, const struct view_of_all *v,
                        const struct held *h) {
    bool is_short = now_ms(d) - h->enough_ms < LIMIT_RESTART_SETTLE_MS;
    size_t with_newest = count_with(d, v, h, v->newest.digest);
    return h->file.header.index < v->newest.index &&
           (is_short || with_newest >= h->file.header.threshold);
}

/* A majority is here with the file `h`. */
static void plan_with(struct restart_desk *d, const struct view_of_all *v, struct held *h,
                      struct restart_plan *out) {
    bool has_taken = false;
    size_t shares = count_shares(d, h, &has_taken);
    uint64_t collector = has_taken ? d->own : collector_of(d, v, h);
    memcpy(out->digest, h->file.digest, sizeof out->digest);
    out->epoch = next_epoch(v, h, collector);
    out->collector = collector;
    if (collector == d->own && shares >= h->file.header.threshold) {
        out->act = RESTART_RUN;
        snprintf(d->why, sizeof d->why, "restart: begins epoch %" PRIu64, out->epoch);
    } else if (collector != d->own && !is_resting(d, h)) {
        out->act = RESTART_GIVE;
        snprintf(d->why, sizeof d->why, "restart: hands its share to replica %" PRIu64, collector);
    } else if (is_resting(d, h)) {
        snprintf(
            d->why, sizeof d->why,
            "restart: the share was handed over already; if nothing comes of that, again in %d "
            "s at most",
            LIMIT_RESTART_REARM_MS / 1000);
    } else {
        snprintf(d->why, sizeof d->why, "restart: collects, %zu of %" PRIu64 " shares are here",
                 shares, h->file.header.threshold);
    }
}

static bool say_alive(struct restart_desk *d, const struct view_of_all *v) {
    for (size_t i = 0; i < v->count; i++) {
        if (v->peers[i].sight == RESTART_ALIVE) {
            snprintf(d->why, sizeof d->why,
                     "restart: replica %" PRIu64 " of this deployment lives, in epoch %" PRIu64
                     ": nothing is restarted, this replica joins; if that one has no quorum, "
                     "recover from it (recover --from-survivor) or stop it",
                     v->peers[i].id, v->peers[i].epoch);
            return true;
        }
    }
    return false;
}

static void plan(struct restart_desk *d, struct view_of_all *v, struct restart_plan *out) {
    if (d->count == 0) {
        out->act = RESTART_OFF;
        return;
    }
    look_over(d, v);
    struct held *h = choose(d, v);
    if (say_alive(d, v)) {
        return;
    }
    if (h == NULL) {
        say_lacking(d, v);
    } else if (is_lonely(v, h)) {
        snprintf(d->why, sizeof d->why,
                 "restart: this file is of a cluster of one voter; waits until a majority of "
                 "CONTRAST_PEERS shows that nothing came after it: %zu of %zu",
                 v->empty + 1, v->count / 2 + 1);
    } else if (must_settle(d, v, h)) {
        snprintf(d->why, sizeof d->why,
                 "restart: waits %d s for a majority with a newer state (entry %" PRIu64
                 "), or for that majority to begin",
                 LIMIT_RESTART_SETTLE_MS / 1000, v->newest.index);
    } else {
        plan_with(d, v, h, out);
    }
}

void restart_desk_plan(struct restart_desk *d, const struct restart_peer *peers, size_t count,
                       struct restart_plan *out) {
    struct view_of_all v = {.peers = peers, .count = count};
    *out = (struct restart_plan){.act = RESTART_WAIT};
    uv_mutex_lock(&d->mutex);
    plan(d, &v, out);
    uv_mutex_unlock(&d->mutex);
}

/* --- Handing over */

struct secret *restart_desk_give(struct restart_desk *d, const uint8_t digest[32],
                                 uint64_t collector, uint64_t epoch) {
    uv_mutex_lock(&d->mutex);
    struct held *h = find(d, digest);
    CHECK(h != NULL); /* it was planned, on this thread */
    CHECK(!is_resting(d, h));
    h->is_given = true;
    h->collector = collector;
    h->given_ms = now_ms(d);
    h->armed = epoch > h->armed ? epoch : h->armed;
    struct secret *copy = secret_new(SHARES_SIZE);
    memcpy(secret_data(copy), secret_span(h->share).data, SHARES_SIZE);
    uv_mutex_unlock(&d->mutex);
    return copy;
}

static RESULT take(struct restart_desk *d, const uint8_t digest[32], uint64_t epoch,
                   struct span share, struct err *err) {
    struct held *h = find(d, digest);
    ENSURE(h != NULL, err, NOT_FOUND, "this replica does not hold that restart file");
    ENSURE(!is_resting(d, h), err, BUSY, "this replica's own share went to another collector");
    TRY(restart_file_check(&h->file, share, err));
    ENSURE(epoch > h->file.header.epoch && epoch - h->file.header.epoch <= LIMIT_EPOCH_STEP, err,
           INVALID, "a share for epoch %" PRIu64 ", the file is of epoch %" PRIu64, epoch,
           h->file.header.epoch);
    size_t at = share.data[0] - 1U;
    secret_free(h->taken[at].share);
    h->taken[at].share = secret_new(SHARES_SIZE);
    memcpy(secret_data(h->taken[at].share), share.data, SHARES_SIZE);
    h->taken[at].at_ms = now_ms(d);
    h->taken[at].epoch = epoch;
    return OK;
}

struct result restart_desk_take(struct restart_desk *d, uint64_t from, const uint8_t digest[32],
                                uint64_t epoch, struct span share, struct err *err) {
    uv_mutex_lock(&d->mutex);
    struct result r = take(d, digest, epoch, share, err);
    uv_mutex_unlock(&d->mutex);
    return err_wrap(r, err, "a share of replica %" PRIu64, from);
}

/* --- Opening */

static size_t copy_shares(struct restart_desk *d, struct held *h,
                          struct secret *out[LIMIT_VOTERS]) {
    size_t count = 0;
    bool is_own_here = !is_resting(d, h);
    for (size_t i = 0; i < LIMIT_VOTERS; i++) {
        const struct secret *from = counts(d, h, i) ? h->taken[i].share : NULL;
        from = i + 1 == h->file.x && is_own_here ? h->share : from;
        if (from != NULL) {
            out[count] = secret_new(SHARES_SIZE);
            memcpy(secret_data(out[count]), secret_span(from).data, SHARES_SIZE);
            count++;
        }
    }
    return count;
}

struct result restart_desk_open(struct restart_desk *d, const uint8_t digest[32], struct buf *state,
                                const struct restart_file **file, struct err *err) {
    struct secret *shares[LIMIT_VOTERS] = {NULL};
    const struct secret *borrowed[LIMIT_VOTERS] = {NULL};
    uv_mutex_lock(&d->mutex);
    struct held *h = find(d, digest);
    size_t count = h == NULL ? 0 : copy_shares(d, h, shares);
    uv_mutex_unlock(&d->mutex);
    ENSURE(h != NULL, err, NOT_FOUND, "this replica does not hold that restart file");
    for (size_t i = 0; i < count; i++) {
        borrowed[i] = shares[i];
    }
    struct result r = restart_file_open(&h->file, borrowed, count, state, err);
    for (size_t i = 0; i < count; i++) {
        secret_free(shares[i]);
    }
    *file = &h->file;
    return r;
}

void restart_desk_why(struct restart_desk *d, char out[RESTART_WHY_SIZE]) {
    uv_mutex_lock(&d->mutex);
    memcpy(out, d->why, RESTART_WHY_SIZE);
    uv_mutex_unlock(&d->mutex);
}
