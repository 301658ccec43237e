/* Attester: see attester.h.
 *
 * One mutex guards the batch and the stop flag; the thread holds it only to take a round, never
 * while a report is made or a callback runs.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/attester.h"

#include <pthread.h>
#include <time.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

#define PAUSE_FIRST_MS 5 /* after the first BUSY; doubles, with jitter, up to PAUSE_MOST_MS */
#define PAUSE_MOST_MS 500

struct attester {
    struct attester_source source;
    const struct host *host; /* borrowed */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* on CLOCK_MONOTONIC: a request came, or stop */
    struct batch waiting;   /* under mutex; tickets are struct ticket, owned */
    bool is_stopping;       /* under mutex */
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

/* --- The thread */

/* Sleeps for about `ms`, or until the attester stops. False then. */
static bool pause_for(struct attester *a, uint64_t ms) {
    struct timespec until;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&a->mutex);
    while (!a->is_stopping && pthread_cond_timedwait(&a->changed, &a->mutex, &until) == 0) {
    }
    bool goes_on = !a->is_stopping;
    pthread_mutex_unlock(&a->mutex);
    return goes_on;
}

/* One report, asking a throttling host again for a bounded time. */
static RESULT make_report(struct attester *a, const uint8_t report_data[ISSUER_DATA_SIZE],
                          struct issuer_evidence *out, struct err *err) {
    uint64_t give_up_ms = host_monotonic_ms(a->host) + LIMIT_ATTEST_RETRY_MS;
    for (uint64_t pause_ms = PAUSE_FIRST_MS;; pause_ms *= 2) {
        struct result r = a->source.report(a->source.data, report_data, out, err);
        if (r.code != ERR_BUSY || host_monotonic_ms(a->host) >= give_up_ms) {
            return r;
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
    struct result r = make_report(a, round->report_data, &made, &err);
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

/* No request can come any more: the owner is in attester_free. */
static void cancel_waiting(struct attester *a) {
    struct err err;
    err_ignore(err_set(&err, ERR_CANCELED, "the attester stops"), "it is handed on");
    struct batch_round round = {0};
    while (batch_take(&a->waiting, &round)) {
        batch_round_fail(&round, &err, on_done, NULL);
    }
}

static void *run(void *data) {
    struct attester *a = data;
    struct batch_round round = {0};
    while (wait_for_round(a, &round)) {
        serve(a, &round);
    }
    cancel_waiting(a);
    return NULL;
}

/* --- The owner's side */

static RESULT report_of_issuer(void *data, const uint8_t report_data[ISSUER_DATA_SIZE],
                               struct issuer_evidence *out, struct err *err) {
    return issuer_report(data, report_data, out, err);
}

RESULT attester_new(struct issuer *issuer, struct attester **out, struct err *err) {
    struct attester_source source = {issuer, report_of_issuer};
    return attester_new_from(&source, &host_system, out, err);
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
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->mutex);
    mem_free(a);
}

RESULT attester_new_from(const struct attester_source *source, const struct host *host,
                         struct attester **out, struct err *err) {
    struct attester *a = mem_zalloc(sizeof *a);
    a->source = *source;
    a->host = host;
    init_locks(a);
    if (pthread_create(&a->thread, NULL, run, a) != 0) {
        destroy(a);
        return err_set(err, ERR_UNAVAILABLE, "no thread for attestation");
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
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->mutex);
    CHECK(pthread_join(a->thread, NULL) == 0);
    destroy(a);
}

RESULT attester_submit(struct attester *a, const uint8_t leaf[ATTEST_LEAF_SIZE],
                       attested_cb on_attested, void *data, struct err *err) {
    struct ticket *ticket = mem_alloc(sizeof *ticket);
    *ticket = (struct ticket){on_attested, data};
    pthread_mutex_lock(&a->mutex);
    struct result r = batch_add(&a->waiting, leaf, ticket, err);
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->mutex);
    if (!is_ok(r)) {
        mem_free(ticket);
    }
    return r;
}
