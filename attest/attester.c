/* Attester: see attester.h.
 *
 *   run (rounds, callbacks)                  ask (the source)
 *   hand a call over: ASKED            ->    source.report or .derive, however long it takes
 *   wait, but not for ever             <-    MADE
 *
 * Two threads, because a call cannot be taken back: when it is overdue, `run` answers everybody and
 * waits on, and no second call is begun. One mutex guards what waits, the flags and the call;
 * nobody holds it while the source works or a callback runs.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/attester.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "lib/base/limits.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define PAUSE_FIRST_MS 5 /* after the first BUSY; doubles, with jitter, up to PAUSE_MOST_MS */
#define PAUSE_MOST_MS 500
#define ADVICE_LEAST_MS 100

enum call_state { CALL_NONE, CALL_ASKED, CALL_MADE };

/* What the source is asked for: one of the two, the other is NULL. Borrowed. */
struct wish {
    const uint8_t *report_data; /* ISSUER_DATA_SIZE bytes */
    const struct issuer_key_spec *spec;
};

/* What it gave. Zeroed is valid. */
struct made {
    struct issuer_evidence evidence; /* owned */
    struct secret *key;              /* owned */
};

/* What goes between the two threads. `ask` owns it while it is ASKED. */
struct call {
    enum call_state state; /* under mutex */
    bool is_key;
    uint8_t report_data[ISSUER_DATA_SIZE];
    struct issuer_key_spec spec;
    struct made made;
    struct result result;
    struct err err;
};

/* A key that somebody waits for. */
struct key_ticket {
    struct issuer_key_spec spec;
    derived_cb on_derived;
    void *data;
};

struct attester {
    struct attester_source source;
    struct attester_patience patience;
    const struct host *host; /* borrowed */
    pthread_t runner;
    pthread_t asker;
    pthread_mutex_t mutex;
    pthread_cond_t changed;                    /* on CLOCK_MONOTONIC: of anything below */
    struct batch waiting;                      /* under mutex; tickets are struct ticket, owned */
    struct key_ticket keys[LIMIT_ATTEST_KEYS]; /* under mutex; ring of what waits */
    size_t key_first;                          /* under mutex */
    size_t key_count;                          /* under mutex */
    bool is_stopping;                          /* under mutex */
    bool is_ended;                             /* under mutex; no call will be asked any more */
    bool is_overdue;    /* under mutex; the host is silent, nobody may wait for it */
    uint64_t report_ms; /* under mutex; what the last round took */
    struct call call;
};

struct ticket {
    attested_cb on_attested;
    void *data;
};

/* --- The end of a round */

static void on_done(void *data, void *ticket, const struct batch_place *place,
                    const struct err *err) {
    const struct issuer_evidence *made = data;
    struct ticket t = *(struct ticket *)ticket;
    mem_free(ticket);
    if (place == NULL) {
        t.on_attested(t.data, NULL, err);
        return;
    }
    struct attested attested = {
        .evidence = {.report = buf_span(&made->report),
                     .vek = buf_span(&made->vek),
                     .chain_count = made->chain_count},
        .place = *place,
    };
    for (size_t i = 0; i < made->chain_count; i++) {
        attested.evidence.chain[i] = buf_span(&made->chain[i]);
    }
    t.on_attested(t.data, &attested, NULL);
}

/* --- The threads */

/* The call is the overdue one: nobody changes it. */
static RESULT fail_overdue(const struct attester *a, struct err *err) {
    struct result r = err_set(err, ERR_UNAVAILABLE,
                              "the host has not answered a request for a %s for %" PRIu64
                              " ms; it is still awaited, for a request cannot be taken back",
                              a->call.is_key ? "key" : "report", a->patience.answer_ms);
    err_advise(err, a->patience.answer_ms);
    return r;
}

static struct timespec after_ms(uint64_t ms) {
    struct timespec t;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    t.tv_sec += (time_t)(ms / 1000);
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

/* Sleeps for about `ms`, or until the attester stops. False then. */
static bool pause_for(struct attester *a, uint64_t ms) {
    struct timespec until = after_ms(ms);
    pthread_mutex_lock(&a->mutex);
    while (!a->is_stopping && pthread_cond_timedwait(&a->changed, &a->mutex, &until) == 0) {
    }
    bool goes_on = !a->is_stopping;
    pthread_mutex_unlock(&a->mutex);
    return goes_on;
}

/* On the asker's thread: the call that is ASKED. */
static RESULT use_source(struct attester *a) {
    struct call *c = &a->call;
    return c->is_key ? a->source.derive(a->source.data, &c->spec, c->made.key, &c->err)
                     : a->source.report(a->source.data, c->report_data, &c->made.evidence, &c->err);
}

static void *ask(void *data) {
    struct attester *a = data;
    struct call *c = &a->call;
    pthread_mutex_lock(&a->mutex);
    while (!a->is_ended) {
        if (c->state != CALL_ASKED) {
            pthread_cond_wait(&a->changed, &a->mutex);
            continue;
        }
        pthread_mutex_unlock(&a->mutex);
        c->result = use_source(a);
        pthread_mutex_lock(&a->mutex);
        c->state = CALL_MADE;
        pthread_cond_broadcast(&a->changed);
    }
    pthread_mutex_unlock(&a->mutex);
    return NULL;
}

/* Under mutex: nobody owns the call. */
static void fill_call(struct call *c, const struct wish *wish) {
    c->is_key = wish->spec != NULL;
    if (c->is_key) {
        c->spec = *wish->spec;
        c->made.key = secret_new(ISSUER_KEY_SIZE);
    } else {
        memcpy(c->report_data, wish->report_data, ISSUER_DATA_SIZE);
    }
    c->state = CALL_ASKED;
}

/* Under mutex, or when there is no asker. */
static void drop_call(struct call *c) {
    issuer_evidence_deinit(&c->made.evidence);
    secret_free(c->made.key);
    c->made = (struct made){0};
    c->state = CALL_NONE;
}

/* Under mutex: the call that was MADE, taken. */
static RESULT take_call(struct attester *a, struct made *out, struct err *err) {
    struct call *c = &a->call;
    struct result r = c->result;
    if (is_ok(r)) {
        *out = c->made;
        c->made = (struct made){0};
    } else {
        *err = c->err;
    }
    drop_call(c);
    return r;
}

/* One call of the source, awaited for patience.answer_ms: UNAVAILABLE and is_overdue after that. */
static RESULT ask_source(struct attester *a, const struct wish *wish, struct made *out,
                         struct err *err) {
    struct timespec until = after_ms(a->patience.answer_ms);
    pthread_mutex_lock(&a->mutex);
    fill_call(&a->call, wish);
    pthread_cond_broadcast(&a->changed);
    while (a->call.state != CALL_MADE && !a->is_overdue) {
        a->is_overdue = pthread_cond_timedwait(&a->changed, &a->mutex, &until) != 0 &&
                        a->call.state != CALL_MADE;
    }
    struct result r = a->is_overdue ? fail_overdue(a, err) : take_call(a, out, err);
    pthread_mutex_unlock(&a->mutex);
    return r;
}

static RESULT give_up(const struct attester *a, struct err *err) {
    struct err why = *err;
    struct result r =
        err_set(err, ERR_BUSY, "%s; it was asked again for %" PRIu64 " ms, try again later",
                why.text, a->patience.busy_ms);
    err_advise(err, a->patience.busy_ms);
    return r;
}

/* One report or key, asking a throttling host again for a bounded time. */
static RESULT make(struct attester *a, const struct wish *wish, struct made *out, struct err *err) {
    uint64_t give_up_ms = host_monotonic_ms(a->host) + a->patience.busy_ms;
    for (uint64_t pause_ms = PAUSE_FIRST_MS;; pause_ms *= 2) {
        struct result r = ask_source(a, wish, out, err);
        if (r.code != ERR_BUSY) {
            return r;
        }
        if (host_monotonic_ms(a->host) >= give_up_ms) {
            return give_up(a, err);
        }
        pause_ms = pause_ms > PAUSE_MOST_MS ? PAUSE_MOST_MS : pause_ms;
        if (!pause_for(a, pause_ms / 2 + host_random_below(a->host, pause_ms + 1))) {
            return err_set(err, ERR_CANCELED, "stopped while the host was busy");
        }
    }
}

static void serve_round(struct attester *a, struct batch_round *round) {
    struct made made = {0};
    struct wish wish = {.report_data = round->report_data};
    struct err err = {0};
    uint64_t begun_ms = host_monotonic_ms(a->host);
    struct result r = make(a, &wish, &made, &err);
    pthread_mutex_lock(&a->mutex);
    a->report_ms = host_monotonic_ms(a->host) - begun_ms;
    pthread_mutex_unlock(&a->mutex);
    if (is_ok(r)) {
        batch_round_finish(round, on_done, &made.evidence);
    } else {
        batch_round_fail(round, &err, on_done, NULL);
    }
    issuer_evidence_deinit(&made.evidence);
}

static void serve_key(struct attester *a, const struct key_ticket *ticket) {
    struct made made = {0};
    struct wish wish = {.spec = &ticket->spec};
    struct err err = {0};
    struct result r = make(a, &wish, &made, &err);
    ticket->on_derived(ticket->data, made.key, is_ok(r) ? NULL : &err);
}

/* Under mutex: the oldest key, into *out. False when nobody waits for one. */
static bool take_key(struct attester *a, struct key_ticket *out) {
    if (a->key_count == 0) {
        return false;
    }
    *out = a->keys[a->key_first];
    a->key_first = (a->key_first + 1) % LIMIT_ATTEST_KEYS;
    a->key_count--;
    return true;
}

/* The next to be served: *is_key says which. False when the attester stops. */
static bool wait_for_work(struct attester *a, struct batch_round *round, struct key_ticket *key,
                          bool *is_key) {
    pthread_mutex_lock(&a->mutex);
    *is_key = false;
    while (!a->is_stopping && !(*is_key = take_key(a, key)) && !batch_take(&a->waiting, round)) {
        pthread_cond_wait(&a->changed, &a->mutex);
    }
    bool goes_on = !a->is_stopping;
    pthread_mutex_unlock(&a->mutex);
    return goes_on;
}

/* Nothing is added meanwhile: the attester is overdue, or its owner is in attester_free. */
static void fail_waiting(struct attester *a, const struct err *err) {
    struct batch_round round = {0};
    struct key_ticket key;
    pthread_mutex_lock(&a->mutex);
    while (take_key(a, &key)) {
        pthread_mutex_unlock(&a->mutex);
        key.on_derived(key.data, NULL, err);
        pthread_mutex_lock(&a->mutex);
    }
    while (batch_take(&a->waiting, &round)) {
        pthread_mutex_unlock(&a->mutex);
        batch_round_fail(&round, err, on_done, NULL);
        pthread_mutex_lock(&a->mutex);
    }
    pthread_mutex_unlock(&a->mutex);
}

/* The call is awaited to its end, or to the attester's; its report answers nobody any more. */
static void outlast_call(struct attester *a) {
    struct err err;
    err_ignore(fail_overdue(a, &err), "it is handed on");
    log_error("%s", err.text);
    fail_waiting(a, &err);
    pthread_mutex_lock(&a->mutex);
    while (a->call.state != CALL_MADE && !a->is_stopping) {
        pthread_cond_wait(&a->changed, &a->mutex);
    }
    if (a->call.state == CALL_MADE) {
        drop_call(&a->call);
        a->is_overdue = false;
        log_info("the host has answered the overdue request; reports are made again");
    }
    pthread_mutex_unlock(&a->mutex);
}

static void *run(void *data) {
    struct attester *a = data;
    struct batch_round round = {0};
    struct key_ticket key;
    bool is_key = false;
    struct err err;
    while (wait_for_work(a, &round, &key, &is_key)) {
        if (is_key) {
            serve_key(a, &key);
        } else {
            serve_round(a, &round);
        }
        if (a->is_overdue) { /* written by this thread alone */
            outlast_call(a);
        }
    }
    err_ignore(err_set(&err, ERR_CANCELED, "the attester stops"), "it is handed on");
    fail_waiting(a, &err);
    return NULL;
}

/* --- The owner's side */

static RESULT report_of_issuer(void *data, const uint8_t report_data[ISSUER_DATA_SIZE],
                               struct issuer_evidence *out, struct err *err) {
    return issuer_report(data, report_data, out, err);
}

static RESULT key_of_issuer(void *data, const struct issuer_key_spec *spec, struct secret *out,
                            struct err *err) {
    return issuer_derive_key(data, spec, out, err);
}

const struct attester_patience attester_limits = {LIMIT_ATTEST_RETRY_MS, LIMIT_ATTEST_WAIT_MS};

RESULT attester_new(struct issuer *issuer, struct attester **out, struct err *err) {
    struct attester_source source = {issuer, report_of_issuer, key_of_issuer};
    return attester_new_from(&source, &attester_limits, &host_system, out, err);
}

static void init_locks(struct attester *a) {
    pthread_condattr_t attributes;
    CHECK(pthread_condattr_init(&attributes) == 0);
    CHECK(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&a->changed, &attributes) == 0);
    CHECK(pthread_mutex_init(&a->mutex, NULL) == 0);
    pthread_condattr_destroy(&attributes);
}

static void destroy(struct attester *a) {
    batch_deinit(&a->waiting);
    drop_call(&a->call);
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->mutex);
    mem_free(a);
}

/* Ends the asker, when no call will be handed to it any more. */
static void end_asker(struct attester *a) {
    pthread_mutex_lock(&a->mutex);
    a->is_ended = true;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->mutex);
    CHECK(pthread_join(a->asker, NULL) == 0);
}

RESULT attester_new_from(const struct attester_source *source,
                         const struct attester_patience *patience, const struct host *host,
                         struct attester **out, struct err *err) {
    struct attester *a = mem_zalloc(sizeof *a);
    a->source = *source;
    a->patience = *patience;
    a->host = host;
    init_locks(a);
    bool has_asker = pthread_create(&a->asker, NULL, ask, a) == 0;
    if (!has_asker || pthread_create(&a->runner, NULL, run, a) != 0) {
        if (has_asker) {
            end_asker(a);
        }
        destroy(a);
        return err_set(err, ERR_UNAVAILABLE, "no threads for attestation");
    }
    *out = a;
    return OK;
}

void attester_free(struct attester *a) {
    if (a == NULL) {
        return;
    }
    pthread_mutex_lock(&a->mutex);
    a->is_stopping = true;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->mutex);
    CHECK(pthread_join(a->runner, NULL) == 0);
    end_asker(a);
    destroy(a);
}

/* Under mutex. By then what waits now has been served, if the host keeps its pace. */
static uint64_t advise_full(const struct attester *a) {
    uint64_t rounds = a->waiting.count / LIMIT_EVIDENCE_LEAVES + 1;
    uint64_t ms = rounds * a->report_ms;
    ms = ms < a->patience.busy_ms ? ms : a->patience.busy_ms;
    return ms > ADVICE_LEAST_MS ? ms : ADVICE_LEAST_MS;
}

/* Under mutex. */
static RESULT add(struct attester *a, const uint8_t leaf[ATTEST_LEAF_SIZE], struct ticket *ticket,
                  struct err *err) {
    if (a->is_overdue) {
        return fail_overdue(a, err);
    }
    struct result r = batch_add(&a->waiting, leaf, ticket, err);
    if (!is_ok(r)) {
        err_advise(err, advise_full(a));
    }
    return r;
}

RESULT attester_submit(struct attester *a, const uint8_t leaf[ATTEST_LEAF_SIZE],
                       attested_cb on_attested, void *data, struct err *err) {
    struct ticket *ticket = mem_alloc(sizeof *ticket);
    *ticket = (struct ticket){on_attested, data};
    pthread_mutex_lock(&a->mutex);
    struct result r = add(a, leaf, ticket, err);
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->mutex);
    if (!is_ok(r)) {
        mem_free(ticket);
    }
    return r;
}

/* Under mutex. */
static RESULT add_key(struct attester *a, const struct key_ticket *ticket, struct err *err) {
    if (a->is_overdue) {
        return fail_overdue(a, err);
    }
    if (a->key_count == LIMIT_ATTEST_KEYS) {
        struct result r = err_set(err, ERR_BUSY, "%d keys wait to be derived", LIMIT_ATTEST_KEYS);
        err_advise(err, advise_full(a));
        return r;
    }
    a->keys[(a->key_first + a->key_count++) % LIMIT_ATTEST_KEYS] = *ticket;
    return OK;
}

RESULT attester_derive(struct attester *a, const struct issuer_key_spec *spec,
                       derived_cb on_derived, void *data, struct err *err) {
    struct key_ticket ticket = {*spec, on_derived, data};
    ENSURE(a->source.derive != NULL, err, UNAVAILABLE, "this source of reports derives no keys");
    pthread_mutex_lock(&a->mutex);
    struct result r = add_key(a, &ticket, err);
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->mutex);
    return r;
}
