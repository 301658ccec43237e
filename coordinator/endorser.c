/* Endorser: see endorser.h.
 *
 * A job is one key that is looked for:
 *
 *   IDLE until at_ms --may propose--> ASKING --granted--> FETCHING --fetched--> gone
 *     ^      '------before founding-------------------------^  |
 *     '-- refused: after the wait ---- failed: after backoff --'
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/endorser.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/endorser_store.h"
#include "lib/base/log.h"

#define TICK_MS 1000         /* pace of offers and of looking at the lists */
#define OFFER_MS 30000       /* what the log still lacks is offered again */
#define OFFERS_AT_ONCE 8     /* each tick */
#define LIST_SEEN_SLACK_S 60 /* clocks of replicas */
#define RETRY_LEAST_MS 500

enum phase { JOB_IDLE, JOB_ASKING, JOB_FETCHING };

struct job {
    struct entry_endorsement key;
    enum phase phase;
    uint64_t at_ms;     /* IDLE: the next step */
    uint64_t ticket;    /* ASKING */
    uint64_t wanted_ms; /* last */
    uint64_t order;     /* later jobs have higher ones */
    bool is_charged;    /* to `source`, an address; else this replica's own, or a list */
    uint8_t source[ENDORSER_SOURCE_SIZE];
    int64_t wanted_s; /* a list: seen since then it is good */
    uint32_t failures;
    enum err_code code; /* of the last failure */
    char why[256];
};

struct waiter {
    struct waiter *next;
    uint64_t ticket;
    uint64_t deadline_ms;
    struct entry_endorsement keys[ENDORSER_KEYS];
    size_t count;
};

struct endorser {
    struct endorser_io io;
    const struct host *host;
    bool has_service;
    struct endorser_store store;
    bool is_full;            /* of imported certificates, and it was said */
    struct lists *published; /* last */
    struct job jobs[LIMIT_KDS_QUEUE];
    size_t job_count;
    struct waiter *waiters;
    size_t waiter_count;
    uint64_t next_ticket;
    uint64_t next_order;
    uint64_t ticked_ms;
};

static uint64_t now_ms(const struct endorser *e) {
    return host_monotonic_ms(e->host);
}

static int64_t now_s(const struct endorser *e) {
    const struct core *core = e->io.core(e->io.data);
    int64_t now = e->io.entry_time(e->io.data);
    return core != NULL && core_time(core) > now ? core_time(core) : now;
}

/* --- Looking */

static const struct core_vek *find_vek(const struct endorser *e,
                                       const struct entry_endorsement *key) {
    const struct core *core = e->io.core(e->io.data);
    const struct core_vek *vek = core == NULL ? NULL : core_find_vek(core, key);
    return vek != NULL ? vek : endorser_store_find(&e->store, key);
}

/* When the newest list of this product and signing key was last seen; 0 = there is none. */
static int64_t list_seen(const struct endorser *e, const struct entry_endorsement *key,
                         int64_t *next_update) {
    const struct core *core = e->io.core(e->io.data);
    size_t counts[2] = {0, e->store.list_count};
    const struct core_crl *rows[2] = {core == NULL ? NULL : core_crls(core, &counts[0]),
                                      e->store.lists};
    int64_t seen = 0;
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < counts[k]; i++) {
            if (entry_endorsement_same(&rows[k][i].key, key) && rows[k][i].seen > seen) {
                seen = rows[k][i].seen;
                *next_update = rows[k][i].next_update;
            }
        }
    }
    return seen;
}

static bool is_list_due(const struct endorser *e, const struct entry_endorsement *key) {
    int64_t next_update = 0;
    int64_t seen = list_seen(e, key, &next_update);
    int64_t now = now_s(e);
    int64_t pace = ENDORSER_REFRESH_S;
    if (next_update <= now) {
        pace = ENDORSER_OUT_PACE_S;
    } else if (next_update - now < ENDORSER_LAST_S) {
        pace = ENDORSER_LAST_PACE_S;
    }
    return seen == 0 || now - seen >= pace;
}

static void publish(struct endorser *e) {
    const struct core *core = e->io.core(e->io.data);
    size_t count = 0;
    const struct core_crl *rows = core == NULL ? NULL : core_crls(core, &count);
    struct lists *lists = lists_new(rows, count, e->store.lists, e->store.list_count);
    if (lists_same(lists, e->published)) {
        lists_unref(lists);
        return;
    }
    lists_unref(e->published);
    e->published = lists_ref(lists);
    e->io.publish(e->io.data, lists);
}

/* --- Answers */

static void answer(struct endorser *e, struct waiter **at, const struct endorser_answer *a) {
    struct waiter *w = *at;
    *at = w->next;
    e->waiter_count--;
    e->io.reply(e->io.data, w->ticket, a);
    mem_free(w);
}

static bool wants(const struct waiter *w, const struct entry_endorsement *key) {
    for (size_t i = 0; i < w->count; i++) {
        if (entry_endorsement_same(&w->keys[i], key)) {
            return true;
        }
    }
    return false;
}

/* What `key` names is here: its waiters go. `vek` NULL: a list. */
static void serve(struct endorser *e, const struct entry_endorsement *key,
                  const struct core_vek *vek) {
    struct endorser_answer a = {.code = ERR_OK, .vek = vek};
    struct waiter **at = &e->waiters;
    while (*at != NULL) {
        if (wants(*at, key)) {
            answer(e, at, &a);
        } else {
            at = &(*at)->next;
        }
    }
}

static struct job *find_job(struct endorser *e, const struct entry_endorsement *key) {
    for (size_t i = 0; i < e->job_count; i++) {
        if (entry_endorsement_same(&e->jobs[i].key, key)) {
            return &e->jobs[i];
        }
    }
    return NULL;
}

static uint64_t retry_after(const struct endorser *e, const struct job *j) {
    uint64_t now = now_ms(e);
    uint64_t wait = j->phase == JOB_IDLE && j->at_ms > now ? j->at_ms - now : 0;
    return wait + RETRY_LEAST_MS;
}

/* Why there is no answer, by the job that will be done first. */
static void fail_waiter(struct endorser *e, struct waiter **at) {
    struct endorser_answer a = {.code = ERR_BUSY, .retry_ms = LIMIT_ENDORSE_MS};
    char name[120];
    char text[480];
    struct job *soonest = NULL;
    for (size_t i = 0; i < (*at)->count; i++) {
        struct job *j = find_job(e, &(*at)->keys[i]);
        if (j != NULL && (soonest == NULL || retry_after(e, j) < retry_after(e, soonest))) {
            soonest = j;
        }
    }
    endorser_name(soonest != NULL ? &soonest->key : &(*at)->keys[0], name, sizeof name);
    if (soonest == NULL) {
        snprintf(text, sizeof text, "%s: too many others are looked for", name);
    } else {
        a.code = soonest->code != ERR_OK ? soonest->code : ERR_BUSY;
        a.retry_ms = retry_after(e, soonest);
        snprintf(text, sizeof text, "%s: %s; next try in %" PRIu64 " s", name,
                 soonest->why[0] != 0 ? soonest->why : "AMD's key service is being asked",
                 (a.retry_ms + 999) / 1000);
    }
    a.text = text;
    answer(e, at, &a);
}

/* Those that nothing can help before their time is over hear so now. */
static void fail_hopeless(struct endorser *e) {
    struct waiter **at = &e->waiters;
    while (*at != NULL) {
        bool is_hopeless = true;
        for (size_t i = 0; i < (*at)->count; i++) {
            const struct job *j = find_job(e, &(*at)->keys[i]);
            is_hopeless =
                is_hopeless && j != NULL && j->phase == JOB_IDLE && j->at_ms > (*at)->deadline_ms;
        }
        if (is_hopeless || now_ms(e) >= (*at)->deadline_ms) {
            fail_waiter(e, at);
        } else {
            at = &(*at)->next;
        }
    }
}

/* --- Jobs */

static void remove_job(struct endorser *e, struct job *j) {
    *j = e->jobs[--e->job_count];
}

static void rest(struct endorser *e, struct job *j, enum err_code code, const char *why,
                 uint64_t wait_ms) {
    j->phase = JOB_IDLE;
    j->code = code;
    snprintf(j->why, sizeof j->why, "%s", why == NULL ? err_text(code) : why);
    j->at_ms = now_ms(e) + wait_ms;
    fail_hopeless(e);
}

static uint64_t jittered(const struct endorser *e, uint64_t ms) {
    return ms / 2 + host_random_below(e->host, ms / 2 + 1);
}

static void fail_job(struct endorser *e, struct job *j, enum err_code code, const char *why,
                     uint64_t retry_ms) {
    uint64_t backoff = LIMIT_KDS_BACKOFF_MS;
    for (uint32_t i = 0; i < j->failures && backoff < LIMIT_KDS_BACKOFF_MAX_MS; i++) {
        backoff *= 2;
    }
    j->failures++;
    backoff = backoff > LIMIT_KDS_BACKOFF_MAX_MS ? LIMIT_KDS_BACKOFF_MAX_MS : backoff;
    /* The service answered, and will say the same soon; a list it should always have. */
    bool is_final = (code == ERR_NOT_FOUND && !entry_endorsement_is_list(&j->key)) ||
                    code == ERR_DENIED || code == ERR_MALFORMED;
    backoff = is_final ? ENDORSER_UNKNOWN_MS : backoff;
    uint64_t wait = jittered(e, backoff) + backoff / 2;
    char name[120];
    endorser_name(&j->key, name, sizeof name);
    /* Before founding nobody demanded the list yet. */
    bool is_quiet = entry_endorsement_is_list(&j->key) && e->io.core(e->io.data) == NULL;
    log_at(j->failures == 1 && !is_quiet ? LOG_WARN : LOG_INFO, "endorsements: %s: %s: %s", name,
           err_name(code), why == NULL ? "" : why);
    rest(e, j, code, why, wait > retry_ms ? wait : retry_ms);
}

static void fetch(struct endorser *e, struct job *j) {
    struct err err;
    j->phase = JOB_FETCHING;
    j->why[0] = 0;
    j->code = ERR_OK;
    struct result r = e->io.fetch(e->io.data, &j->key, &err);
    if (!is_ok(r)) {
        fail_job(e, j, r.code, err.text, 0);
    }
}

static void ask(struct endorser *e, struct job *j) {
    AUTO(buf_deinit)
    struct buf entry = {0};
    struct entry_collateral c = {
        .kind = COLLATERAL_FETCH, .key = j->key, .time = e->io.entry_time(e->io.data)};
    entry_encode(ENTRY_COLLATERAL, &c, &entry);
    j->phase = JOB_ASKING;
    j->ticket = e->next_ticket++;
    e->io.propose(e->io.data, j->ticket, buf_span(&entry));
}

/* The job is over when what it looks for is here. */
static bool finish_if_here(struct endorser *e, struct job *j) {
    struct entry_endorsement key = j->key;
    if (entry_endorsement_is_list(&key)) {
        int64_t next_update = 0;
        if (list_seen(e, &key, &next_update) + LIST_SEEN_SLACK_S < j->wanted_s) {
            return false;
        }
        remove_job(e, j);
        serve(e, &key, NULL);
        return true;
    }
    const struct core_vek *vek = find_vek(e, &key);
    if (vek == NULL) {
        return false;
    }
    remove_job(e, j);
    serve(e, &key, vek);
    return true;
}

/* At its time: what was wanted long ago is given up, the rest goes its next step. */
static void step(struct endorser *e, struct job *j) {
    if (finish_if_here(e, j)) {
        return;
    }
    if (now_ms(e) - j->wanted_ms > LIMIT_KDS_WANT_MS) {
        remove_job(e, j);
    } else if (e->io.may_propose(e->io.data)) {
        ask(e, j);
    } else {
        fetch(e, j);
    }
}

static bool is_wanted(const struct endorser *e, const struct entry_endorsement *key) {
    for (const struct waiter *w = e->waiters; w != NULL; w = w->next) {
        if (wants(w, key)) {
            return true;
        }
    }
    return false;
}

static bool is_of(const struct job *j, struct span source) {
    return j->is_charged && span_equal(SPAN(j->source), source);
}

static size_t count_of(const struct endorser *e, struct span source) {
    size_t count = 0;
    for (size_t i = 0; i < e->job_count; i++) {
        count += is_of(&e->jobs[i], source) ? 1 : 0;
    }
    return count;
}

/* What failed and nobody waits for: made-up chips must not keep real ones out. */
static bool is_idle_failure(const struct endorser *e, const struct job *j) {
    return j->phase == JOB_IDLE && j->failures > 0 && !is_wanted(e, &j->key);
}

/* The newest key of the address that has most, when those are more than `least`. */
static struct job *find_greedy(struct endorser *e, size_t least) {
    struct job *greedy = NULL;
    size_t most = least;
    for (size_t i = 0; i < e->job_count; i++) {
        struct job *j = &e->jobs[i];
        size_t count = j->is_charged ? count_of(e, SPAN(j->source)) : 0;
        if (count > most || (greedy != NULL && count == most && j->order > greedy->order)) {
            most = count;
            greedy = j;
        }
    }
    return greedy;
}

/* Room for one more key of this address, with as many as it may have. */
static bool make_room_of(struct endorser *e, struct span source) {
    for (size_t i = e->job_count; i > 0 && count_of(e, source) >= LIMIT_KDS_ADDRESS; i--) {
        if (is_of(&e->jobs[i - 1], source) && is_idle_failure(e, &e->jobs[i - 1])) {
            remove_job(e, &e->jobs[i - 1]);
        }
    }
    return count_of(e, source) < LIMIT_KDS_ADDRESS;
}

/* Room in the queue. `own`: keys that the address has already; 0 also for what is no address's. */
static bool make_room(struct endorser *e, size_t own, bool is_charged) {
    for (size_t i = 0; e->job_count == LIMIT_KDS_QUEUE && i < e->job_count; i++) {
        if (is_idle_failure(e, &e->jobs[i])) {
            remove_job(e, &e->jobs[i]);
        }
    }
    if (e->job_count == LIMIT_KDS_QUEUE) {
        struct job *j = find_greedy(e, is_charged ? own + 1 : 0);
        if (j != NULL) {
            remove_job(e, j);
        }
    }
    return e->job_count < LIMIT_KDS_QUEUE;
}

/* NULL: too many, of all or of this address. `source` empty: no address's. */
static struct job *start_job(struct endorser *e, const struct entry_endorsement *key,
                             struct span source) {
    struct job *j = find_job(e, key);
    bool is_charged = source.size > 0 && !entry_endorsement_is_list(key);
    if (j == NULL) {
        if ((is_charged && !make_room_of(e, source)) ||
            !make_room(e, is_charged ? count_of(e, source) : 0, is_charged)) {
            return NULL;
        }
        j = &e->jobs[e->job_count++];
        *j = (struct job){.key = *key,
                          .at_ms = now_ms(e),
                          .wanted_s = now_s(e),
                          .order = e->next_order++,
                          .is_charged = is_charged};
        if (is_charged) {
            CHECK(source.size == sizeof j->source);
            memcpy(j->source, source.data, sizeof j->source);
        }
    }
    j->is_charged = j->is_charged && is_charged; /* what we need ourselves is nobody's burden */
    j->wanted_ms = now_ms(e);
    return j;
}

/* --- Wanting */

static const struct core_vek *find_any(const struct endorser *e,
                                       const struct entry_endorsement *keys, size_t count) {
    const struct core_vek *vek = NULL;
    for (size_t i = 0; i < count && vek == NULL; i++) {
        vek = find_vek(e, &keys[i]);
    }
    return vek;
}

static void refuse(struct endorser *e, uint64_t ticket, const struct entry_endorsement *key,
                   enum err_code code, const char *why, uint64_t retry_ms) {
    char name[120];
    char text[400];
    endorser_name(key, name, sizeof name);
    snprintf(text, sizeof text, "%s: %s", name, why);
    struct endorser_answer a = {.code = code, .text = text, .retry_ms = retry_ms};
    e->io.reply(e->io.data, ticket, &a);
}

/* A list that was seen a moment ago will not be another one now. */
static bool refuse_fresh_list(struct endorser *e, uint64_t ticket,
                              const struct entry_endorsement *key) {
    int64_t next_update = 0;
    int64_t seen = list_seen(e, key, &next_update);
    if (!entry_endorsement_is_list(key) || seen == 0 || now_s(e) - seen > LIST_SEEN_SLACK_S) {
        return false;
    }
    refuse(e, ticket, key, ERR_UNAVAILABLE,
           "the newest list that AMD's key service has was fetched a moment ago",
           LIST_SEEN_SLACK_S * 1000);
    return true;
}

/* Nothing is looked for: no key got a place. */
static void refuse_crowded(struct endorser *e, uint64_t ticket, const struct entry_endorsement *key,
                           struct span source) {
    char why[200];
    if (source.size > 0 && count_of(e, source) >= LIMIT_KDS_ADDRESS) {
        snprintf(why, sizeof why,
                 "%d other chips are looked for on behalf of this address already; try again when "
                 "those are found or given up",
                 LIMIT_KDS_ADDRESS);
    } else {
        snprintf(why, sizeof why, "%d others are looked for already; try again later",
                 LIMIT_KDS_QUEUE);
    }
    refuse(e, ticket, key, ERR_BUSY, why, LIMIT_KDS_PERIOD_MS);
}

static void add_waiter(struct endorser *e, uint64_t ticket, const struct entry_endorsement *keys,
                       size_t count) {
    struct waiter *w = mem_zalloc(sizeof *w);
    *w = (struct waiter){.next = e->waiters,
                         .ticket = ticket,
                         .deadline_ms = now_ms(e) + LIMIT_ENDORSE_MS,
                         .count = count};
    memcpy(w->keys, keys, count * sizeof keys[0]);
    e->waiters = w;
    e->waiter_count++;
}

/* True when there is nothing to look for, or nobody to look: it was answered. */
static bool answer_at_once(struct endorser *e, uint64_t ticket,
                           const struct entry_endorsement *keys, size_t count) {
    struct endorser_answer found = {.code = ERR_OK, .vek = find_any(e, keys, count)};
    if (found.vek != NULL) {
        e->io.reply(e->io.data, ticket, &found);
        return true;
    }
    if (refuse_fresh_list(e, ticket, &keys[0])) {
        return true;
    }
    if (!e->has_service) {
        refuse(e, ticket, &keys[0], ERR_UNAVAILABLE,
               "not known here, and CONTRAST_KDS_URL is off: put it into CONTRAST_ENDORSEMENTS",
               LIMIT_KDS_BACKOFF_MAX_MS);
        return true;
    }
    if (e->waiter_count >= LIMIT_PENDING_REQUESTS) {
        refuse(e, ticket, &keys[0], ERR_BUSY, "too many wait for endorsements", LIMIT_ENDORSE_MS);
        return true;
    }
    return false;
}

void endorser_want(struct endorser *e, uint64_t ticket, const struct entry_endorsement *keys,
                   size_t count, struct span source) {
    CHECK(count >= 1 && count <= ENDORSER_KEYS);
    bool is_placed = false;
    if (answer_at_once(e, ticket, keys, count)) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        is_placed = start_job(e, &keys[i], source) != NULL || is_placed;
    }
    if (!is_placed) {
        refuse_crowded(e, ticket, &keys[0], source);
        return;
    }
    add_waiter(e, ticket, keys, count);
    for (size_t i = 0; i < count; i++) {
        struct job *j = find_job(e, &keys[i]);
        if (j != NULL && j->phase == JOB_IDLE && now_ms(e) >= j->at_ms) {
            step(e, j);
        }
    }
    fail_hopeless(e);
}

/* --- What comes in */

static void propose(struct endorser *e, const struct entry_collateral *c) {
    AUTO(buf_deinit)
    struct buf entry = {0};
    struct entry_collateral stamped = *c;
    stamped.request = (struct entry_request){0};
    stamped.time = e->io.entry_time(e->io.data);
    entry_encode(ENTRY_COLLATERAL, &stamped, &entry);
    e->io.propose(e->io.data, e->next_ticket++, buf_span(&entry));
}

static void keep_list(struct endorser *e, const struct entry_collateral *c) {
    struct core_crl row = {.key = c->key,
                           .der = c->der,
                           .number = c->number,
                           .this_update = c->this_update,
                           .next_update = c->next_update,
                           .seen = now_s(e)};
    memcpy(row.anchor, c->anchor, sizeof row.anchor);
    if (endorser_store_put_list(&e->store, &row)) {
        publish(e);
    }
}

static void note_full(struct endorser *e, bool is_kept) {
    if (!is_kept && !e->is_full) {
        log_warn(
            "endorsements: CONTRAST_ENDORSEMENTS has more than %d certificates, others are not "
            "kept: give this replica those of its own cluster",
            LIMIT_COLLATERAL_VEKS);
    }
    e->is_full = e->is_full || !is_kept;
}

static void keep(struct endorser *e, const struct entry_collateral *c, bool is_imported) {
    if (c->kind == COLLATERAL_CRL) {
        keep_list(e, c);
    } else {
        struct core_vek vek = {c->key, c->der, c->authority, c->root};
        note_full(e, endorser_store_put(&e->store, &vek, is_imported));
    }
}

void endorser_learn(struct endorser *e, const struct entry_collateral *c, bool is_imported) {
    if (!is_imported && c->kind == COLLATERAL_VEK && find_vek(e, &c->key) != NULL) {
        return;
    }
    keep(e, c, is_imported);
    struct job *j = find_job(e, &c->key);
    if (j != NULL) {
        (void)finish_if_here(e, j);
    }
}

void endorser_fetched(struct endorser *e, const struct entry_collateral *c) {
    char name[120];
    endorser_name(&c->key, name, sizeof name);
    log_info("endorsements: %s: fetched from AMD's key service", name);
    keep(e, c, false);
    if (e->io.may_propose(e->io.data)) {
        propose(e, c);
    }
    struct job *j = find_job(e, &c->key);
    if (j != NULL && !finish_if_here(e, j)) {
        fail_job(e, j, ERR_UNAVAILABLE, "what the service sent could not be kept", 0);
    }
}

void endorser_failed(struct endorser *e, const struct entry_endorsement *key, enum err_code code,
                     const char *text, uint64_t retry_ms) {
    struct job *j = find_job(e, key);
    if (j != NULL && j->phase == JOB_FETCHING && !finish_if_here(e, j)) {
        fail_job(e, j, code, text, retry_ms);
    }
}

static struct job *asking_job(struct endorser *e, uint64_t ticket) {
    for (size_t i = 0; i < e->job_count; i++) {
        if (e->jobs[i].phase == JOB_ASKING && e->jobs[i].ticket == ticket) {
            return &e->jobs[i];
        }
    }
    return NULL;
}

void endorser_result(struct endorser *e, uint64_t ticket, enum err_code code, bool already,
                     uint64_t wait_ms, const char *text) {
    struct job *j = asking_job(e, ticket);
    if (j == NULL || finish_if_here(e, j)) {
        return;
    }
    if (code == ERR_OK && !already) {
        fetch(e, j);
    } else if (code == ERR_BUSY || code == ERR_EXISTS) {
        rest(e, j, ERR_BUSY, text, wait_ms + host_random_below(e->host, LIMIT_KDS_BACKOFF_MS));
    } else { /* no quorum, not a member yet, or the log forgot it again */
        rest(e, j, code == ERR_OK ? ERR_BUSY : code, text, jittered(e, 2 * LIMIT_KDS_BACKOFF_MS));
    }
}

void endorser_applied(struct endorser *e) {
    publish(e);
    for (size_t i = e->job_count; i > 0; i--) {
        if (i <= e->job_count) {
            (void)finish_if_here(e, &e->jobs[i - 1]);
        }
    }
}

/* --- Time */

/* What the log does not have is offered to it; what it has needs no second place here. */
static void offer_veks(struct endorser *e, const struct core *core) {
    size_t offered = 0;
    for (size_t i = e->store.count; i > 0 && offered < OFFERS_AT_ONCE; i--) {
        struct endorser_row *row = &e->store.rows[i - 1];
        bool is_time =
            row->offered_ms == 0 || (!row->is_settled && now_ms(e) - row->offered_ms >= OFFER_MS);
        if (core_find_vek(core, &row->vek.key) != NULL) {
            row->is_settled = true;
            if (!row->is_imported) {
                endorser_store_remove(&e->store, i - 1);
            }
        } else if (is_time) {
            struct entry_collateral c = {.kind = COLLATERAL_VEK,
                                         .key = row->vek.key,
                                         .der = row->vek.der,
                                         .authority = row->vek.authority,
                                         .root = row->vek.root};
            row->offered_ms = now_ms(e);
            propose(e, &c);
            offered++;
        }
    }
}

static bool has_list(const struct core *core, const struct core_crl *list) {
    size_t count = 0;
    const struct core_crl *rows = core_crls(core, &count);
    bool has = false;
    for (size_t i = 0; !has && i < count; i++) {
        has = core_crl_outdates(&rows[i], list);
    }
    return has;
}

static void offer_lists(struct endorser *e, const struct core *core) {
    for (size_t i = 0; i < e->store.list_count; i++) {
        const struct core_crl *list = &e->store.lists[i];
        bool is_time =
            e->store.list_offered_ms[i] == 0 || now_ms(e) - e->store.list_offered_ms[i] >= OFFER_MS;
        if (is_time && !has_list(core, list)) {
            struct entry_collateral c = {.kind = COLLATERAL_CRL,
                                         .key = list->key,
                                         .der = list->der,
                                         .number = list->number,
                                         .this_update = list->this_update,
                                         .next_update = list->next_update};
            memcpy(c.anchor, list->anchor, sizeof c.anchor);
            e->store.list_offered_ms[i] = now_ms(e);
            propose(e, &c);
        }
    }
}

/* The lists that the active manifest demands. */
static void refresh_lists(struct endorser *e, const struct core *core) {
    const struct manifest *m = core_manifest(core);
    for (size_t i = 0; m != NULL && e->has_service && i < m->reference_count; i++) {
        const struct snp_reference *set = &m->references[i];
        for (unsigned signing = 0; signing <= (set->csp_id_count > 0 ? 1U : 0U); signing++) {
            struct entry_endorsement key = {.product = (uint8_t)set->product,
                                            .signing = (uint8_t)signing};
            if (set->crl != CRL_OFF && find_job(e, &key) == NULL && is_list_due(e, &key)) {
                (void)start_job(e, &key, (struct span){0});
            }
        }
    }
}

static bool is_refresh_over(const struct endorser *e, const struct job *j) {
    return entry_endorsement_is_list(&j->key) && !is_wanted(e, &j->key) && !is_list_due(e, &j->key);
}

static void run_jobs(struct endorser *e) {
    for (size_t i = e->job_count; i > 0; i--) {
        struct job *j = &e->jobs[i - 1];
        if (i > e->job_count || j->phase != JOB_IDLE || now_ms(e) < j->at_ms) {
            continue;
        }
        if (is_refresh_over(e, j)) {
            remove_job(e, j);
        } else {
            step(e, j);
        }
    }
}

void endorser_tick(struct endorser *e) {
    const struct core *core = e->io.core(e->io.data);
    if (core != NULL && e->io.may_propose(e->io.data) && now_ms(e) - e->ticked_ms >= TICK_MS) {
        e->ticked_ms = now_ms(e);
        offer_veks(e, core);
        offer_lists(e, core);
        refresh_lists(e, core);
    }
    run_jobs(e);
    fail_hopeless(e);
}

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

uint64_t endorser_deadline(const struct endorser *e) {
    uint64_t at = e->io.may_propose(e->io.data) ? e->ticked_ms + TICK_MS : UINT64_MAX;
    for (size_t i = 0; i < e->job_count; i++) {
        at = e->jobs[i].phase == JOB_IDLE ? earlier(at, e->jobs[i].at_ms) : at;
    }
    for (const struct waiter *w = e->waiters; w != NULL; w = w->next) {
        at = earlier(at, w->deadline_ms);
    }
    return at;
}

/* --- Life */

struct endorser *endorser_new(const struct endorser_io *io, const struct host *host,
                              bool has_service) {
    struct endorser *e = mem_zalloc(sizeof *e);
    e->io = *io;
    e->host = host;
    e->has_service = has_service;
    e->next_ticket = 1;
    return e;
}

void endorser_free(struct endorser *e) {
    if (e == NULL) {
        return;
    }
    while (e->waiters != NULL) {
        struct waiter *w = e->waiters;
        e->waiters = w->next;
        mem_free(w);
    }
    endorser_store_deinit(&e->store);
    lists_unref(e->published);
    mem_free(e);
}

void endorser_status(const struct endorser *e, char *out, size_t size) {
    const struct job *shown = NULL;
    for (size_t i = 0; i < e->job_count; i++) {
        shown = e->jobs[i].code != ERR_OK ? &e->jobs[i] : shown;
    }
    if (size > 0) {
        out[0] = 0;
    }
    if (shown != NULL) {
        char name[120];
        endorser_name(&shown->key, name, sizeof name);
        snprintf(out, size, "%zu endorsements are missing, %s: %s; next try in %" PRIu64 " s",
                 e->job_count, name, shown->why, (retry_after(e, shown) + 999) / 1000);
    }
}
