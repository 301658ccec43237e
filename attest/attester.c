/* Attester: see attester.h.
 *
 *   run (rounds, callbacks)                  ask (the source)
 *   hand a call over: ASKED            ->    source.report, however long it takes
 *   wait, but not for ever             <-    MADE
 *
 * Two threads, because a call cannot be taken back: when it is overdue, `run` answers everybody and
 * waits on, and no second call is begun. One mutex guards the batch, the flags and the call; nobody
 * holds it while a report is made or a callback runs.
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

/* What goes between the two threads. `ask` owns it while it is ASKED. */
struct call {
    enum call_state state; /* under mutex */
    uint8_t report_data[ISSUER_DATA_SIZE];
    struct issuer_evidence evidence; /* owned */
    struct result result;
    struct err err;
};

struct attester {
    struct attester_source source;
    struct attester_patience patience;
    const struct host *host; /* borrowed */
    pthread_t runner;
    pthread_t asker;
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* on CLOCK_MONOTONIC: of anything below */
    struct batch waiting;   /* under mutex; tickets are struct ticket, owned */
    bool is_stopping;       /* under mutex */
    bool is_ended;          /* under mutex; no call will be asked any more */
    bool is_overdue;        /* under mutex; the host is silent, nobody may wait for it */
    uint64_t report_ms;     /* under mutex; what the last round took */
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

static RESULT fail_overdue(const struct attester *a, struct err *err) {
    struct result r = err_set(err, ERR_UNAVAILABLE,
                              "the host has not answered a request for a report for %" PRIu64
                              " ms; it is still awaited, for a request cannot be taken back",
                              a->patience.answer_ms);
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
        c->result = a->source.report(a->source.data, c->report_data, &c->evidence, &c->err);
        pthread_mutex_lock(&a->mutex);
        c->state = CALL_MADE;
        pthread_cond_broadcast(&a->changed);
    }
    pthread_mutex_unlock(&a->mutex);
    return NULL;
}

/* Under mutex: the call that was MADE, taken. */
static RESULT take_call(struct attester *a, struct issuer_evidence *out, struct err *err) {
    struct call *c = &a->call;
    struct result r = c->result;
    if (is_ok(r)) {
        *out = c->evidence;
        c->evidence = (struct issuer_evidence){0};
    } else {
        *err = c->err;
    }
    c->state = CALL_NONE;
    return r;
}

/* One call of the source, awaited for patience.answer_ms: UNAVAILABLE and is_overdue after that. */
static RESULT ask_source(struct attester *a, const uint8_t report_data[ISSUER_DATA_SIZE],
                         struct issuer_evidence *out, struct err *err) {
    struct timespec until = after_ms(a->patience.answer_ms);
    pthread_mutex_lock(&a->mutex);
    memcpy(a->call.report_data, report_data, ISSUER_DATA_SIZE);
    a->call.state = CALL_ASKED;
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

/* One report, asking a throttling host again for a bounded time. */
static RESULT make_report(struct attester *a, const uint8_t report_data[ISSUER_DATA_SIZE],
                          struct issuer_evidence *out, struct err *err) {
    uint64_t give_up_ms = host_monotonic_ms(a->host) + a->patience.busy_ms;
    for (uint64_t pause_ms = PAUSE_FIRST_MS;; pause_ms *= 2) {
        struct result r = ask_source(a, report_data, out, err);
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

static void serve(struct attester *a, struct batch_round *round) {
    struct issuer_evidence made = {0};
    struct err err = {0};
    uint64_t begun_ms = host_monotonic_ms(a->host);
    struct result r = make_report(a, round->report_data, &made, &err);
    pthread_mutex_lock(&a->mutex);
    a->report_ms = host_monotonic_ms(a->host) - begun_ms;
    pthread_mutex_unlock(&a->mutex);
    if (is_ok(r)) {
        batch_round_finish(round, on_done, &made);
    } else {
        batch_round_fail(round, &err, on_done, NULL);
    }
    issuer_evidence_deinit(&made);
}

/* The next round; false when the attester stops. */
static bool wait_for_round(struct attester *a, struct batch_round *round) {
    pthread_mutex_lock(&a->mutex);
    while (!a->is_stopping && !batch_take(&a->waiting, round)) {
        pthread_cond_wait(&a->changed, &a->mutex);
    }
    bool goes_on = !a->is_stopping;
    pthread_mutex_unlock(&a->mutex);
    return goes_on;
}

/* Nothing is added meanwhile: the attester is overdue, or its owner is in attester_free. */
static void fail_waiting(struct attester *a, const struct err *err) {
    struct batch_round round = {0};
    pthread_mutex_lock(&a->mutex);
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
        issuer_evidence_deinit(&a->call.evidence);
        a->call.evidence = (struct issuer_evidence){0};
        a->call.state = CALL_NONE;
        a->is_overdue = false;
        log_info("the host has answered the overdue request; reports are made again");
    }
    pthread_mutex_unlock(&a->mutex);
}

static void *run(void *data) {
    struct attester *a = data;
    struct batch_round round = {0};
    struct err err;
    while (wait_for_round(a, &round)) {
        serve(a, &round);
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

const struct attester_patience attester_limits = {LIMIT_ATTEST_RETRY_MS, LIMIT_ATTEST_WAIT_MS};

RESULT attester_new(struct issuer *issuer, struct attester **out, struct err *err) {
    struct attester_source source = {issuer, report_of_issuer};
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
    issuer_evidence_deinit(&a->call.evidence);
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
