/* Fetcher: see fetcher.h. When and what is fetch_plan.c's to say, how is kds.c's; here is the
 * thread between them.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/endorse/fetcher.h"

#include <pthread.h>
#include <time.h>

#include "attest/endorse/fetch_plan.h"
#include "lib/base/mem.h"

#define SLEEP_MAX_MS 3600000 /* a timed wait at most: then the plan is asked again */

struct fetcher {
    struct kds *kds; /* owned; used by the thread, canceled by stop */
    struct fetcher_hooks hooks;
    const struct host *host;
    pthread_t thread;
    pthread_mutex_t lock; /* of the members below */
    pthread_cond_t changed;
    struct fetch_plan plan;
    bool is_stopping;
};

/* ---- what the caller hears ---- */

static void report_failure(const struct fetcher *f, const struct fetch_want *want,
                           const struct err *err) {
    const struct fetcher_hooks *h = &f->hooks;
    if (want->is_crl && h->on_crl_failed != NULL) {
        h->on_crl_failed(h->data, want->key.product, want->kind, err);
    } else if (!want->is_crl && h->on_failed != NULL) {
        h->on_failed(h->data, &want->key, err);
    }
}

static void report_simple(const struct fetcher *f, const struct fetch_want *want,
                          enum err_code code, const char *text) {
    struct err err = {0};
    err_ignore(err_set(&err, code, "%s", text), "it is handed on");
    report_failure(f, want, &err);
}

static void report_success(const struct fetcher *f, const struct fetch_want *want,
                           struct span der) {
    const struct fetcher_hooks *h = &f->hooks;
    if (want->is_crl && h->on_crl != NULL) {
        h->on_crl(h->data, want->key.product, want->kind, der);
    } else if (!want->is_crl && h->on_fetched != NULL) {
        h->on_fetched(h->data, &want->key, der);
    }
}

/* ---- one want ---- */

static uint64_t now_of(const struct fetcher *f) {
    return host_monotonic_ms(f->host);
}

static struct result fetch(struct fetcher *f, const struct fetch_want *want, struct buf *der,
                           uint64_t *retry_ms, struct err *err) {
    return want->is_crl ? kds_fetch_crl(f->kds, want->key.product, want->kind, der, retry_ms, err)
                        : kds_fetch_vek(f->kds, &want->key, der, retry_ms, err);
}

/* True when the want is over. Called and left with the lock held. */
static bool settle(struct fetcher *f, struct result r, uint64_t retry_ms) {
    if (is_ok(r)) {
        fetch_plan_end(&f->plan, true);
        return true;
    }
    uint64_t jitter = host_random_below(f->host, UINT32_MAX);
    return !fetch_plan_fail(&f->plan, r.code, now_of(f), retry_ms, jitter);
}

static void ask(struct fetcher *f, const struct fetch_want *want) {
    AUTO(buf_deinit)
    struct buf der = {0};
    struct err err = {0};
    uint64_t retry_ms = 0;
    struct result r = fetch(f, want, &der, &retry_ms, &err);
    pthread_mutex_lock(&f->lock);
    bool over = settle(f, r, retry_ms);
    pthread_mutex_unlock(&f->lock);
    if (over && is_ok(r)) {
        report_success(f, want, buf_span(&der));
    } else if (over) {
        report_failure(f, want, &err);
    }
}

/* The owner of the budget decides; without the lock, for it may ask far away. */
static void serve(struct fetcher *f, const struct fetch_want *want) {
    uint64_t wait_ms = 0;
    enum fetcher_permission may = FETCHER_GO;
    if (f->hooks.allow != NULL) {
        may = f->hooks.allow(f->hooks.data, want->is_crl ? NULL : &want->key, &wait_ms);
    }
    pthread_mutex_lock(&f->lock);
    switch (may) {
    case FETCHER_GO:
        fetch_plan_spend(&f->plan);
        break;
    case FETCHER_WAIT:
        fetch_plan_postpone(&f->plan, now_of(f), wait_ms);
        break;
    case FETCHER_DROP:
        fetch_plan_end(&f->plan, false);
        break;
    }
    pthread_mutex_unlock(&f->lock);
    if (may == FETCHER_GO) {
        ask(f, want);
    } else if (may == FETCHER_DROP) {
        report_simple(f, want, ERR_CANCELED, "the endorsement is not wanted any more");
    }
}

/* ---- the thread ---- */

static void sleep_for(struct fetcher *f, uint64_t ms) {
    struct timespec t;
    uint64_t bounded = ms < SLEEP_MAX_MS ? ms : SLEEP_MAX_MS;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    t.tv_sec += (time_t)(bounded / 1000);
    t.tv_nsec += (long)(bounded % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    pthread_cond_timedwait(&f->changed, &f->lock, &t);
}

/* One step, with the lock held before and after. */
static void step(struct fetcher *f) {
    struct fetch_want want;
    uint64_t wait_ms = 0;
    switch (fetch_plan_next(&f->plan, now_of(f), &want, &wait_ms)) {
    case FETCH_PLAN_IDLE:
        pthread_cond_wait(&f->changed, &f->lock);
        break;
    case FETCH_PLAN_WAIT:
        sleep_for(f, wait_ms);
        break;
    case FETCH_PLAN_ASK:
        pthread_mutex_unlock(&f->lock);
        serve(f, &want);
        pthread_mutex_lock(&f->lock);
        break;
    case FETCH_PLAN_LAPSED:
        pthread_mutex_unlock(&f->lock);
        report_simple(f, &want, ERR_TIMEOUT,
                      "the endorsement waited too long for AMD's key service; import it from a "
                      "file, or ask again");
        pthread_mutex_lock(&f->lock);
        break;
    }
}

static void *run(void *data) {
    struct fetcher *f = data;
    struct fetch_want want;
    pthread_mutex_lock(&f->lock);
    while (!f->is_stopping) {
        step(f);
    }
    while (fetch_plan_drop(&f->plan, &want)) {
        pthread_mutex_unlock(&f->lock);
        report_simple(f, &want, ERR_CANCELED, "stopped before AMD's key service was asked");
        pthread_mutex_lock(&f->lock);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* ---- life ---- */

static void prepare(struct fetcher *f, const struct fetcher_config *config, struct kds *kds) {
    const struct bucket_rate usual = {LIMIT_KDS_OWN_BURST, LIMIT_KDS_OWN_PERIOD_MS};
    pthread_condattr_t clock;
    f->kds = kds;
    f->hooks = config->hooks;
    f->host = config->host == NULL ? &host_system : config->host;
    f->plan.rate = config->rate.capacity == 0 ? usual : config->rate;
    f->plan.backoff_ms = config->backoff_ms == 0 ? LIMIT_KDS_BACKOFF_MS : config->backoff_ms;
    f->plan.attempts = config->attempts == 0 ? LIMIT_KDS_ATTEMPTS : config->attempts;
    CHECK(pthread_condattr_init(&clock) == 0);
    CHECK(pthread_condattr_setclock(&clock, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&f->changed, &clock) == 0);
    pthread_condattr_destroy(&clock);
    CHECK(pthread_mutex_init(&f->lock, NULL) == 0);
}

static void fetcher_free(struct fetcher *f) {
    kds_close(f->kds);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    mem_free(f);
}

struct result fetcher_start(const struct fetcher_config *config, struct fetcher **out,
                            struct err *err) {
    struct kds *kds = NULL;
    struct kds_config kds_config = config->kds;
    kds_config.host = kds_config.host == NULL ? config->host : kds_config.host;
    TRY(kds_open(&kds_config, &kds, err));
    struct fetcher *f = mem_zalloc(sizeof *f);
    prepare(f, config, kds);
    if (pthread_create(&f->thread, NULL, run, f) != 0) {
        fetcher_free(f);
        return err_set(err, ERR_INTERNAL, "no thread for the endorsements' fetcher");
    }
    *out = f;
    return OK;
}

void fetcher_stop(struct fetcher *f) {
    if (f == NULL) {
        return;
    }
    pthread_mutex_lock(&f->lock);
    f->is_stopping = true;
    pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->lock);
    kds_cancel(f->kds);
    CHECK(pthread_join(f->thread, NULL) == 0);
    fetcher_free(f);
}

static struct result submit(struct fetcher *f, const struct fetch_want *want, struct err *err) {
    pthread_mutex_lock(&f->lock);
    struct result r = f->is_stopping ? err_set(err, ERR_CANCELED, "the fetcher stops")
                                     : fetch_plan_add(&f->plan, want, now_of(f), err);
    pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->lock);
    return r;
}

struct result fetcher_submit(struct fetcher *f, const struct snp_endorsement_key *key,
                             struct err *err) {
    CHECK(key->product != SNP_PRODUCT_UNKNOWN);
    const struct fetch_want want = {.key = *key};
    return submit(f, &want, err);
}

struct result fetcher_submit_crl(struct fetcher *f, enum snp_product product,
                                 enum snp_signing_key kind, struct err *err) {
    CHECK(product != SNP_PRODUCT_UNKNOWN);
    const struct fetch_want want = {.is_crl = true, .kind = kind, .key = {.product = product}};
    return submit(f, &want, err);
}
