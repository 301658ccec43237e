/* Recovery desk: see recovery_desk.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/recovery_desk.h"

#include <inttypes.h>
#include <string.h>

#include <uv.h>

#include "lib/base/bucket.h"
#include "lib/base/mem.h"
#include "lib/base/sm.h"

struct gift {
    bool is_here;
    struct buf key;
    struct buf signature;
    struct secret *share; /* NULL for a survivor */
};

struct seat {
    bool is_taken;
    uint8_t session[RECOVERY_SESSION_SIZE];
    enum recovery_stage stage;
    struct recovery recovery;
    uint64_t last_term;
    uint64_t threshold;
    uint8_t owners[LIMIT_SHARE_OWNERS][32];
    size_t owner_count;
    struct gift gifts[LIMIT_SHARE_OWNERS]; /* gifts[i] is of owners[i] */
    struct buf header;
    uint8_t *file; /* `size` bytes, `received` of them here; NULL for a survivor; not secret */
    uint64_t size;
    uint64_t received;
    uint64_t opened_ms;
    uint64_t progress_ms;
    struct err why; /* code OK: nothing failed */
};

struct recovery_desk {
    const struct host *host;
    uv_mutex_t mutex;
    struct seat seats[LIMIT_RECOVERIES];
    struct bucket opens;
    struct bucket seals;
    size_t seal_count;
};

static const struct sm_state stages[] = {
    [RECOVERY_OPEN] = {"open", SM_BIT(RECOVERY_STARTING)},
    [RECOVERY_STARTING] = {"starting",
                           SM_BIT(RECOVERY_OPEN) | SM_BIT(RECOVERY_DONE) | SM_BIT(RECOVERY_FAILED)},
    [RECOVERY_DONE] = {"done", 0},
    [RECOVERY_FAILED] = {"failed", 0},
};

const char *recovery_stage_name(enum recovery_stage stage) {
    return stages[stage].name;
}

/* --- Seats */

static void wipe_contents(struct seat *s) {
    for (size_t i = 0; i < LIMIT_SHARE_OWNERS; i++) {
        buf_deinit(&s->gifts[i].key);
        buf_deinit(&s->gifts[i].signature);
        secret_free(s->gifts[i].share);
        s->gifts[i].share = NULL; /* who has given stays known */
    }
    mem_free(s->file);
    s->file = NULL;
}

static void leave(struct seat *s) {
    wipe_contents(s);
    buf_deinit(&s->header);
    *s = (struct seat){0};
}

static size_t count_gifts(const struct seat *s) {
    size_t count = 0;
    for (size_t i = 0; i < s->owner_count; i++) {
        count += s->gifts[i].is_here ? 1 : 0;
    }
    return count;
}

static bool has_ended(const struct seat *s) {
    return s->stage == RECOVERY_DONE || s->stage == RECOVERY_FAILED;
}

static uint64_t lapses_at(const struct seat *s) {
    bool rests = !has_ended(s) && count_gifts(s) > 0;
    uint64_t idle = s->progress_ms + (rests ? LIMIT_RECOVERY_MS : LIMIT_RECOVERY_IDLE_MS);
    uint64_t total = s->opened_ms + LIMIT_RECOVERY_TOTAL_MS;
    return idle < total ? idle : total;
}

static void lapse(struct recovery_desk *d) {
    uint64_t now = host_monotonic_ms(d->host);
    for (size_t i = 0; i < LIMIT_RECOVERIES; i++) {
        struct seat *s = &d->seats[i];
        if (s->is_taken && s->stage != RECOVERY_STARTING && now >= lapses_at(s)) {
            leave(s);
        }
    }
}

static struct seat *find(struct recovery_desk *d, const uint8_t session[RECOVERY_SESSION_SIZE]) {
    lapse(d);
    for (size_t i = 0; i < LIMIT_RECOVERIES; i++) {
        struct seat *s = &d->seats[i];
        if (s->is_taken && memcmp(s->session, session, RECOVERY_SESSION_SIZE) == 0) {
            return s;
        }
    }
    return NULL;
}

static RESULT no_session(struct err *err) {
    return err_set(err, ERR_NOT_FOUND,
                   "no recovery session with this id at this replica: it lapsed, the replica "
                   "restarted, or it is another replica's; open a new one");
}

/* What a session that failed answers to everything. */
static RESULT failure_of(const struct seat *s, struct err *err) {
    return err_set(err, s->why.code, "this recovery failed: %s", s->why.text);
}

/* --- Life of the desk */

struct recovery_desk *recovery_desk_new(const struct host *host) {
    struct recovery_desk *d = mem_zalloc(sizeof *d);
    d->host = host;
    CHECK(uv_mutex_init(&d->mutex) == 0);
    return d;
}

void recovery_desk_free(struct recovery_desk *d) {
    if (d == NULL) {
        return;
    }
    for (size_t i = 0; i < LIMIT_RECOVERIES; i++) {
        leave(&d->seats[i]);
    }
    uv_mutex_destroy(&d->mutex);
    mem_free(d);
}

void recovery_standing_deinit(struct recovery_standing *s) {
    buf_deinit(&s->header);
}

/* --- Opening */

static RESULT take_token(struct recovery_desk *d, struct bucket *b, uint32_t burst,
                         uint64_t period_ms, const char *what, struct err *err) {
    struct bucket_rate rate = {burst, period_ms};
    uint64_t wait = bucket_take(b, &rate, host_monotonic_ms(d->host));
    if (wait == 0) {
        return OK;
    }
    struct result r =
        err_set(err, ERR_BUSY, "too many %s: try again in %" PRIu64 " ms", what, wait);
    err_advise(err, wait);
    return r;
}

struct result recovery_desk_may_open(struct recovery_desk *d, struct err *err) {
    uv_mutex_lock(&d->mutex);
    struct result r = take_token(d, &d->opens, LIMIT_RECOVERY_BURST, LIMIT_RECOVERY_PERIOD_MS,
                                 "recovery sessions are being opened", err);
    uv_mutex_unlock(&d->mutex);
    return r;
}

static RESULT check_offer(const struct recovery_offer *o, struct err *err) {
    const struct recovery *r = &o->recovery;
    bool has_file = r->mode == RECOVERY_CHECKPOINT;
    ENSURE(o->owner_count >= 1 && o->owner_count <= LIMIT_SHARE_OWNERS, err, INVALID,
           "%zu share owners: want 1 to %d", o->owner_count, LIMIT_SHARE_OWNERS);
    ENSURE(o->threshold >= 1 && o->threshold <= o->owner_count, err, INVALID,
           "a threshold of %" PRIu64 " with %zu share owners", o->threshold, o->owner_count);
    for (size_t i = 0; i < o->owner_count; i++) {
        for (size_t k = 0; k < i; k++) {
            ENSURE(memcmp(o->owners[i], o->owners[k], 32) != 0, err, INVALID,
                   "share owners %zu and %zu are the same", k + 1, i + 1);
        }
    }
    ENSURE(r->epoch > r->previous_epoch, err, CHANGED,
           "epoch %" PRIu64 " is not above %" PRIu64 ", the state's own", r->epoch,
           r->previous_epoch);
    ENSURE(r->epoch - r->previous_epoch <= LIMIT_EPOCH_STEP, err, INVALID,
           "epoch %" PRIu64 " is more than %d above %" PRIu64 ", the state's own", r->epoch,
           LIMIT_EPOCH_STEP, r->previous_epoch);
    ENSURE(o->header.size <= LIMIT_CHECKPOINT_HEADER && o->size <= LIMIT_CHECKPOINT, err, TOO_LARGE,
           "a file of %" PRIu64 " bytes, header %zu; limits %d and %d", o->size, o->header.size,
           LIMIT_CHECKPOINT, LIMIT_CHECKPOINT_HEADER);
    ENSURE(has_file ? o->header.size > 0 && o->size > o->header.size
                    : o->header.size == 0 && o->size == 0,
           err, INVALID, "a recovery of mode %u with a file of %" PRIu64 " bytes", r->mode,
           o->size);
    return OK;
}

static bool is_same_offer(const struct seat *s, const struct recovery_offer *o) {
    uint8_t mine[32];
    uint8_t theirs[32];
    recovery_hash(&s->recovery, mine);
    recovery_hash(&o->recovery, theirs);
    return s->is_taken && !has_ended(s) && memcmp(mine, theirs, sizeof mine) == 0 &&
           s->size == o->size && span_equal(buf_span(&s->header), o->header);
}

static struct seat *free_seat(struct recovery_desk *d) {
    uint64_t now = host_monotonic_ms(d->host);
    struct seat *best = NULL;
    for (size_t i = 0; i < LIMIT_RECOVERIES; i++) {
        struct seat *s = &d->seats[i];
        if (!s->is_taken) {
            return s;
        }
        bool rests = now - s->progress_ms >= LIMIT_RECOVERY_REST_MS;
        bool may_go = has_ended(s) || (s->stage == RECOVERY_OPEN && count_gifts(s) == 0 && rests);
        if (may_go && (best == NULL || s->progress_ms < best->progress_ms)) {
            best = s;
        }
    }
    if (best != NULL) {
        leave(best);
    }
    return best;
}

static RESULT all_taken(struct err *err) {
    struct result r = err_set(err, ERR_BUSY,
                              "%d recovery sessions are open at this replica: contribute to one of "
                              "them (--session), or wait until one rests or lapses",
                              LIMIT_RECOVERIES);
    err_advise(err, LIMIT_RECOVERY_REST_MS);
    return r;
}

static uint64_t file_bytes(const struct recovery_desk *d) {
    uint64_t sum = 0;
    for (size_t i = 0; i < LIMIT_RECOVERIES; i++) {
        sum += d->seats[i].file == NULL ? 0 : d->seats[i].size;
    }
    return sum;
}

static RESULT sit(struct recovery_desk *d, const struct recovery_offer *o, struct seat **out,
                  struct err *err) {
    struct seat *s = free_seat(d);
    if (s == NULL || file_bytes(d) + o->size > LIMIT_CHECKPOINT) {
        return all_taken(err);
    }
    s->is_taken = true;
    host_random(d->host, s->session, sizeof s->session);
    s->recovery = o->recovery;
    s->last_term = o->last_term;
    s->threshold = o->threshold;
    memcpy(s->owners, o->owners, o->owner_count * sizeof s->owners[0]);
    s->owner_count = o->owner_count;
    buf_append_span(&s->header, o->header);
    s->size = o->size;
    s->opened_ms = host_monotonic_ms(d->host);
    s->progress_ms = s->opened_ms;
    if (s->size > 0) { /* the system gives the pages as they are written to */
        s->file = mem_alloc(s->size);
        memcpy(s->file, o->header.data, o->header.size);
        s->received = o->header.size;
    }
    *out = s;
    return OK;
}

static RESULT open_locked(struct recovery_desk *d, const struct recovery_offer *o,
                          uint8_t session[RECOVERY_SESSION_SIZE], struct err *err) {
    TRY(check_offer(o, err));
    lapse(d);
    for (size_t i = 0; i < LIMIT_RECOVERIES; i++) {
        if (is_same_offer(&d->seats[i], o)) {
            memcpy(session, d->seats[i].session, RECOVERY_SESSION_SIZE);
            return OK;
        }
    }
    struct seat *s = NULL;
    TRY(sit(d, o, &s, err));
    CHECK(s != NULL);
    memcpy(session, s->session, RECOVERY_SESSION_SIZE);
    return OK;
}

struct result recovery_desk_open(struct recovery_desk *d, const struct recovery_offer *offer,
                                 uint8_t session[RECOVERY_SESSION_SIZE], struct err *err) {
    uv_mutex_lock(&d->mutex);
    struct result r = open_locked(d, offer, session, err);
    uv_mutex_unlock(&d->mutex);
    return r;
}

/* --- Showing */

static void fill_standing(const struct seat *s, uint64_t now, struct recovery_standing *out) {
    memcpy(out->session, s->session, sizeof out->session);
    out->recovery = s->recovery;
    out->last_term = s->last_term;
    out->threshold = s->threshold;
    out->owner_count = s->owner_count;
    memcpy(out->owners, s->owners, sizeof out->owners);
    for (size_t i = 0; i < s->owner_count; i++) {
        out->has_given[i] = s->gifts[i].is_here;
    }
    out->given = count_gifts(s);
    buf_clear(&out->header);
    buf_append_span(&out->header, buf_span(&s->header));
    out->received = s->received;
    out->size = s->size;
    out->stage = s->stage;
    out->why = s->why;
    uint64_t at = lapses_at(s);
    out->expires_ms = has_ended(s) || at < now ? 0 : at - now;
}

struct result recovery_desk_show(struct recovery_desk *d,
                                 const uint8_t session[RECOVERY_SESSION_SIZE],
                                 struct recovery_standing *out, struct err *err) {
    uv_mutex_lock(&d->mutex);
    const struct seat *s = find(d, session);
    struct result r = OK;
    if (s != NULL) {
        fill_standing(s, host_monotonic_ms(d->host), out);
    } else {
        r = no_session(err);
    }
    uv_mutex_unlock(&d->mutex);
    return r;
}

/* --- The file */

static RESULT upload(struct recovery_desk *d, struct seat *s, uint64_t offset, struct span data,
                     struct err *err) {
    if (s->stage == RECOVERY_FAILED) {
        return failure_of(s, err);
    }
    ENSURE(s->size > 0, err, PROTOCOL, "a recovery from a survivor takes no file");
    ENSURE(offset <= s->received && data.size <= s->size - offset, err, PROTOCOL,
           "%zu bytes at %" PRIu64 " of %" PRIu64 ": %" PRIu64 " are here", data.size, offset,
           s->size, s->received);
    if (s->stage == RECOVERY_DONE) {
        return OK;
    }
    size_t again = s->received - offset < data.size ? (size_t)(s->received - offset) : data.size;
    ENSURE(again == 0 || memcmp(s->file + offset, data.data, again) == 0, err, DIFFERS,
           "this is another file than the one that was begun, before byte %" PRIu64,
           offset + again);
    if (data.size > again) {
        memcpy(s->file + s->received, data.data + again, data.size - again);
        s->received += data.size - again;
        s->progress_ms = host_monotonic_ms(d->host);
    }
    return OK;
}

struct result recovery_desk_upload(struct recovery_desk *d,
                                   const uint8_t session[RECOVERY_SESSION_SIZE], uint64_t offset,
                                   struct span data, struct err *err) {
    uv_mutex_lock(&d->mutex);
    struct seat *s = find(d, session);
    struct result r = s == NULL ? no_session(err) : upload(d, s, offset, data, err);
    uv_mutex_unlock(&d->mutex);
    return r;
}

/* --- Contributions */

static RESULT check_gift(const struct seat *s, const struct recovery_gift *g, size_t *owner,
                         struct err *err) {
    size_t i = 0;
    while (i < s->owner_count && memcmp(s->owners[i], g->owner, sizeof g->owner) != 0) {
        i++;
    }
    ENSURE(i < s->owner_count, err, DENIED, "this key is not one of the %zu share owners",
           s->owner_count);
    ENSURE(s->received == s->size, err, UNAVAILABLE,
           "the file is not whole yet: %" PRIu64 " of %" PRIu64 " bytes are here; upload the rest "
           "first",
           s->received, s->size);
    CHECK(g->key.size <= LIMIT_PKCS1 && g->share.size <= LIMIT_SHARE &&
          g->signature.size <= LIMIT_RSA_SIGNATURE);
    ENSURE((g->share.size > 0) == (s->size > 0), err, INVALID,
           s->size > 0 ? "a recovery from a checkpoint needs the owner's share"
                       : "a recovery from a survivor takes no share");
    *owner = i;
    return OK;
}

static void keep(struct recovery_desk *d, struct seat *s, const struct recovery_gift *g, size_t i) {
    struct gift *to = &s->gifts[i];
    to->is_here = true;
    buf_append_span(&to->key, g->key);
    buf_append_span(&to->signature, g->signature);
    if (g->share.size > 0) {
        to->share = secret_new(g->share.size);
        memcpy(secret_data(to->share), g->share.data, g->share.size);
    }
    s->progress_ms = host_monotonic_ms(d->host);
}

static RESULT give(struct recovery_desk *d, struct seat *s, const struct recovery_gift *g,
                   bool *may_start, struct err *err) {
    size_t owner = 0;
    if (s->stage == RECOVERY_FAILED) {
        return failure_of(s, err);
    }
    TRY(check_gift(s, g, &owner, err));
    if (!s->gifts[owner].is_here && s->stage == RECOVERY_OPEN) {
        keep(d, s, g, owner);
    }
    if (s->stage == RECOVERY_OPEN && count_gifts(s) >= s->threshold) {
        s->stage = (enum recovery_stage)sm_move(stages, (int)s->stage, RECOVERY_STARTING);
        *may_start = true;
    }
    return OK;
}

struct result recovery_desk_give(struct recovery_desk *d,
                                 const uint8_t session[RECOVERY_SESSION_SIZE],
                                 const struct recovery_gift *gift, bool *may_start,
                                 struct err *err) {
    *may_start = false;
    uv_mutex_lock(&d->mutex);
    struct seat *s = find(d, session);
    struct result r = s == NULL ? no_session(err) : give(d, s, gift, may_start, err);
    uv_mutex_unlock(&d->mutex);
    return r;
}

/* --- Starting */

void recovery_desk_case(struct recovery_desk *d, const uint8_t session[RECOVERY_SESSION_SIZE],
                        struct recovery_case *out) {
    uv_mutex_lock(&d->mutex);
    const struct seat *s = find(d, session);
    CHECK(s != NULL && s->stage == RECOVERY_STARTING);
    *out = (struct recovery_case){.recovery = &s->recovery,
                                  .file = span_of(s->file, s->size),
                                  .owner_count = s->owner_count,
                                  .threshold = s->threshold};
    memcpy(out->owners, s->owners, sizeof out->owners);
    for (size_t i = 0; i < s->owner_count; i++) {
        const struct gift *g = &s->gifts[i];
        if (g->is_here) {
            out->signatures[out->signature_count++] =
                (struct recovery_signature){buf_span(&g->key), buf_span(&g->signature)};
        }
        if (g->share != NULL) {
            out->shares[out->share_count++] = g->share;
        }
    }
    uv_mutex_unlock(&d->mutex);
}

void recovery_desk_finish(struct recovery_desk *d, const uint8_t session[RECOVERY_SESSION_SIZE],
                          struct result r, const struct err *err) {
    enum recovery_stage next = RECOVERY_FAILED;
    if (is_ok(r)) {
        next = RECOVERY_DONE;
    } else if (err_class_of(r.code) == ERR_CLASS_RETRY) {
        next = RECOVERY_OPEN;
    }
    uv_mutex_lock(&d->mutex);
    struct seat *s = find(d, session);
    CHECK(s != NULL);
    s->stage = (enum recovery_stage)sm_move(stages, (int)s->stage, (int)next);
    s->why = is_ok(r) ? (struct err){.code = ERR_OK} : *err;
    s->progress_ms = host_monotonic_ms(d->host);
    if (next != RECOVERY_OPEN) {
        wipe_contents(s);
    }
    uv_mutex_unlock(&d->mutex);
}

/* --- Checkpoints */

struct result recovery_desk_seal_begin(struct recovery_desk *d, struct err *err) {
    uv_mutex_lock(&d->mutex);
    struct result r;
    if (d->seal_count >= LIMIT_CHECKPOINTS) {
        r = err_set(err, ERR_BUSY, "%d checkpoints are being fetched here: try again later",
                    LIMIT_CHECKPOINTS);
        err_advise(err, LIMIT_CHECKPOINT_PERIOD_MS);
    } else {
        r = take_token(d, &d->seals, LIMIT_CHECKPOINT_BURST, LIMIT_CHECKPOINT_PERIOD_MS,
                       "checkpoints are being made", err);
    }
    d->seal_count += is_ok(r) ? 1 : 0;
    uv_mutex_unlock(&d->mutex);
    return r;
}

void recovery_desk_seal_end(struct recovery_desk *d) {
    uv_mutex_lock(&d->mutex);
    CHECK(d->seal_count > 0);
    d->seal_count--;
    uv_mutex_unlock(&d->mutex);
}
