/* Attester over a source that the test opens and closes like a gate, counts, and makes fail.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <pthread.h>

#include <cmocka.h>

#include "attest/attester.h"
#include "lib/base/limits.h"
#include "lib/base/log.h"

#define LEAVES (LIMIT_PENDING_REQUESTS + 8)

struct world {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool is_open;        /* reports may be made */
    unsigned permits;    /* so many may be made while it is closed */
    unsigned calls;      /* of the source */
    unsigned busy;       /* so many of the next calls answer BUSY */
    enum err_code fails; /* ERR_OK: it works */
    unsigned done;       /* callbacks */
    unsigned failed;     /* of these, with an error */
    enum err_code failed_with;
    uint32_t advice_ms; /* of the last failure */
    unsigned made;      /* reports given out */
    unsigned returns;   /* of a silent host */
    unsigned last_in;   /* the report that the last success was in, from 1 */
    unsigned at_once;   /* calls under way */
    unsigned most_at_once;
    uint32_t largest;      /* leaf count seen */
    unsigned wrong;        /* callbacks whose evidence does not cover their leaf */
    unsigned keys_done;    /* callbacks of attester_derive */
    unsigned keys_failed;  /* of these, with an error */
    unsigned calls_at_key; /* calls of the source when the last key came */
    struct attester *attester;
    struct issuer_key_spec spec;
    uint8_t leaves[LEAVES][ATTEST_LEAF_SIZE];
    int64_t clock_ms; /* of the host that jumps */
};

static struct world world;

/* One call of the source: counted, held at the gate, and made to fail as the world says. */
static RESULT pass_gate(struct world *w, struct err *err) {
    pthread_mutex_lock(&w->mutex);
    w->calls++;
    w->at_once++;
    w->most_at_once = w->at_once > w->most_at_once ? w->at_once : w->most_at_once;
    pthread_cond_broadcast(&w->changed);
    while (!w->is_open && w->permits == 0) {
        pthread_cond_wait(&w->changed, &w->mutex);
    }
    w->permits -= w->permits > 0;
    w->at_once--;
    bool is_busy = w->busy > 0;
    w->busy -= is_busy;
    enum err_code fails = is_busy ? ERR_BUSY : w->fails;
    w->made += fails == ERR_OK;
    pthread_mutex_unlock(&w->mutex);
    return fails == ERR_OK ? OK : err_set(err, fails, "the source was told to fail");
}

/* The "report" is REPORT_DATA itself. */
static struct result on_report(void *data, const uint8_t report_data[ISSUER_DATA_SIZE],
                               struct issuer_evidence *out, struct err *err) {
    TRY(pass_gate(data, err));
    buf_append(&out->report, report_data, ISSUER_DATA_SIZE);
    return OK;
}

/* The "key" is its VMPL. */
static struct result on_derive(void *data, const struct issuer_key_spec *spec, struct secret *out,
                               struct err *err) {
    TRY(pass_gate(data, err));
    memset(secret_data(out), (int)spec->vmpl, ISSUER_KEY_SIZE);
    return OK;
}

static bool covers(const struct attested *a, const uint8_t leaf[ATTEST_LEAF_SIZE]) {
    uint8_t root[MERKLE_HASH_SIZE];
    uint8_t report_data[ATTEST_REPORT_DATA_SIZE];
    struct result r =
        merkle_path_root(leaf, a->place.leaf_index, a->place.leaf_count, a->place.path, root, NULL);
    if (!is_ok(r)) {
        return false;
    }
    attest_report_data(a->place.leaf_count, root, report_data);
    return span_equal(a->evidence.report, SPAN(report_data));
}

/* `data` is the leaf. */
static void on_attested(void *data, const struct attested *attested, const struct err *err) {
    struct world *w = &world;
    pthread_mutex_lock(&w->mutex);
    w->done++;
    if (attested == NULL) {
        w->failed++;
        w->failed_with = err->code;
        w->advice_ms = err->retry_ms;
    } else {
        w->wrong += !covers(attested, data);
        w->last_in = w->made;
        w->largest =
            attested->place.leaf_count > w->largest ? attested->place.leaf_count : w->largest;
    }
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

/* `data` is the spec. */
static void on_derived(void *data, struct secret *key, const struct err *err) {
    struct world *w = &world;
    const struct issuer_key_spec *spec = data;
    uint8_t want[ISSUER_KEY_SIZE];
    memset(want, (int)spec->vmpl, sizeof want);
    pthread_mutex_lock(&w->mutex);
    w->keys_done++;
    if (key == NULL) {
        w->keys_failed++;
        w->failed_with = err->code;
        w->advice_ms = err->retry_ms;
    } else {
        w->wrong += err != NULL || !span_equal(secret_span(key), SPAN(want));
        w->calls_at_key = w->calls;
    }
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    secret_free(key);
}

static uint64_t jumping_ms(void *data) {
    struct world *w = data;
    w->clock_ms += LIMIT_ATTEST_RETRY_MS / 2;
    return (uint64_t)w->clock_ms;
}

static int64_t no_time(void *data) {
    (void)data;
    return 0;
}

static void no_random(void *data, void *out, size_t size) {
    (void)data;
    memset(out, 0, size);
}

static void start(struct world *w, bool jumps) {
    static struct host jumping;
    jumping = (struct host){w, jumping_ms, no_time, no_random};
    struct attester_source source = {w, on_report, on_derive};
    assert_true(is_ok(attester_new_from(&source, &attester_limits, jumps ? &jumping : &host_system,
                                        &w->attester, NULL)));
}

/* With an attester that calls a host silent as soon as it looks. */
static void start_impatient(struct world *w, uint64_t answer_ms) {
    struct attester_patience patience = {LIMIT_ATTEST_RETRY_MS, answer_ms};
    struct attester_source source = {w, on_report, on_derive};
    assert_true(is_ok(attester_new_from(&source, &patience, &host_system, &w->attester, NULL)));
}

static int set_up(void **state) {
    world = (struct world){.is_open = true, .spec = {.vmpl = 3}};
    pthread_mutex_init(&world.mutex, NULL);
    pthread_cond_init(&world.changed, NULL);
    for (size_t i = 0; i < LEAVES; i++) {
        store_u32be(world.leaves[i], (uint32_t)i);
    }
    *state = &world;
    return 0;
}

static void open_gate(struct world *w, bool is_open) {
    pthread_mutex_lock(&w->mutex);
    w->is_open = is_open;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

static int tear_down(void **state) {
    struct world *w = *state;
    open_gate(w, true);
    attester_free(w->attester);
    log_set_sink(NULL, NULL);
    pthread_mutex_destroy(&w->mutex);
    pthread_cond_destroy(&w->changed);
    return 0;
}

static struct result submit(struct world *w, size_t index) {
    return attester_submit(w->attester, w->leaves[index], on_attested, w->leaves[index], NULL);
}

static void submit_all(struct world *w, size_t first, size_t count) {
    for (size_t i = first; i < first + count; i++) {
        assert_true(is_ok(submit(w, i)));
    }
}

/* One report more, behind the closed gate. */
static void permit_one(struct world *w) {
    pthread_mutex_lock(&w->mutex);
    w->permits++;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

/* Until *what has reached `value`. */
static void wait_for(struct world *w, const unsigned *what, unsigned value) {
    pthread_mutex_lock(&w->mutex);
    while (*what < value) {
        pthread_cond_wait(&w->changed, &w->mutex);
    }
    pthread_mutex_unlock(&w->mutex);
}

static void test_lone_request(void **state) {
    struct world *w = *state;
    start(w, false);
    submit_all(w, 0, 1);
    wait_for(w, &w->done, 1);
    assert_int_equal(w->largest, 1);
    assert_int_equal(w->wrong + w->failed, 0);
}

static void test_requests_during_a_report_share_the_next(void **state) {
    struct world *w = *state;
    w->is_open = false;
    start(w, false);
    submit_all(w, 0, 1);
    wait_for(w, &w->calls, 1);
    submit_all(w, 1, 50);
    open_gate(w, true);
    wait_for(w, &w->done, 51);
    assert_int_equal(w->calls, 2);
    assert_int_equal(w->largest, 50);
    assert_int_equal(w->wrong + w->failed, 0);
}

/* Whoever asks during report k is in report k + 1: nobody waits for more than two. */
static void test_nobody_waits_for_more_than_two_reports(void **state) {
    struct world *w = *state;
    w->is_open = false;
    start(w, false);
    submit_all(w, 0, 1);
    wait_for(w, &w->calls, 1);
    for (unsigned k = 1; k <= 8; k++) {
        submit_all(w, k, 1); /* during report k, which is under way */
        permit_one(w);
        wait_for(w, &w->done, k);
        assert_int_equal(w->last_in, k); /* the one before, submitted during report k - 1 */
        wait_for(w, &w->calls, k + 1);
    }
    open_gate(w, true);
    wait_for(w, &w->done, 9);
    assert_int_equal(w->last_in, 9);
    assert_int_equal(w->wrong + w->failed, 0);
    assert_int_equal(w->most_at_once, 1);
}

/* The same for as many as one report takes. */
static void test_a_full_report_follows_at_once(void **state) {
    struct world *w = *state;
    w->is_open = false;
    start(w, false);
    submit_all(w, 0, 1);
    wait_for(w, &w->calls, 1);
    submit_all(w, 1, LIMIT_EVIDENCE_LEAVES);
    permit_one(w);
    permit_one(w);
    wait_for(w, &w->done, 1 + LIMIT_EVIDENCE_LEAVES);
    assert_int_equal(w->calls, 2);
    assert_int_equal(w->largest, LIMIT_EVIDENCE_LEAVES);
    assert_int_equal(w->wrong + w->failed, 0);
}

/* A host that does not answer: everybody hears of it while the call is still under way, nobody may
 * wait for it, and no second call is begun. Once it has answered, all is well. */
static void test_silent_host(void **state) {
    struct world *w = *state;
    struct err err;
    w->is_open = false;
    start_impatient(w, 1);
    submit_all(w, 0, 1);
    wait_for(w, &w->done, 1);
    assert_int_equal(w->failed_with, ERR_UNAVAILABLE);
    assert_true(w->advice_ms > 0);
    for (size_t i = 1; i < 4; i++) {
        struct result r =
            attester_submit(w->attester, w->leaves[i], on_attested, w->leaves[i], &err);
        assert_int_equal(r.code, ERR_UNAVAILABLE);
        assert_non_null(strstr(err.text, "has not answered"));
        assert_true(err.retry_ms > 0);
    }
    wait_for(w, &w->calls, 1); /* patience may end before the call reaches the host */
    assert_int_equal(w->calls, 1);
    assert_int_equal(w->at_once, 1);
}

/* What waited behind the silent call is answered, too. */
static void test_silent_host_answers_those_behind(void **state) {
    struct world *w = *state;
    w->is_open = false;
    start_impatient(w, 100);
    submit_all(w, 0, 1);
    wait_for(w, &w->calls, 1);
    unsigned taken = 1;
    for (size_t i = 1; i < 16; i++) { /* on a slow machine some are refused already */
        taken += is_ok(submit(w, i));
    }
    wait_for(w, &w->done, taken);
    assert_int_equal(w->failed, taken);
    assert_int_equal(w->failed_with, ERR_UNAVAILABLE);
    assert_int_equal(w->calls, 1);
}

static void on_log(void *data, enum log_level level, const char *line) {
    struct world *w = data;
    pthread_mutex_lock(&w->mutex);
    w->returns += level == LOG_INFO && strstr(line, "reports are made again") != NULL;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

/* Every answer may come too late for this patience; what matters is that each one is followed by a
 * new call, and that a report which comes in time is given out. */
static void test_silent_host_comes_back(void **state) {
    struct world *w = *state;
    log_set_sink(on_log, w);
    w->is_open = false;
    start_impatient(w, 1);
    submit_all(w, 0, 1);
    wait_for(w, &w->failed, 1);
    open_gate(w, true);
    for (unsigned i = 1; i < LEAVES && w->done == w->failed; i++) {
        wait_for(w, &w->returns, w->failed);
        submit_all(w, i, 1);
        wait_for(w, &w->done, i + 1);
    }
    assert_int_equal(w->done - w->failed, 1);
    assert_int_equal(w->wrong, 0);
    assert_int_equal(w->most_at_once, 1);
}

static void test_full_queue_is_busy(void **state) {
    struct world *w = *state;
    struct err err;
    w->is_open = false;
    start(w, false);
    submit_all(w, 0, 1);
    wait_for(w, &w->calls, 1);
    submit_all(w, 1, LIMIT_PENDING_REQUESTS);
    struct result r = attester_submit(w->attester, w->leaves[LIMIT_PENDING_REQUESTS + 1],
                                      on_attested, NULL, &err);
    assert_int_equal(r.code, ERR_BUSY);
    assert_true(err.retry_ms > 0);
    open_gate(w, true);
    wait_for(w, &w->done, LIMIT_PENDING_REQUESTS + 1);
    assert_int_equal(w->largest, LIMIT_EVIDENCE_LEAVES);
    assert_int_equal(w->wrong + w->failed, 0);
}

static void test_busy_host_is_asked_again(void **state) {
    struct world *w = *state;
    w->busy = 3;
    start(w, false);
    submit_all(w, 0, 1);
    wait_for(w, &w->done, 1);
    assert_int_equal(w->calls, 4);
    assert_int_equal(w->wrong + w->failed, 0);
}

static void test_busy_host_is_given_up(void **state) {
    struct world *w = *state;
    w->busy = UINT32_MAX;
    start(w, true);
    submit_all(w, 0, 1);
    wait_for(w, &w->done, 1);
    assert_int_equal(w->failed_with, ERR_BUSY);
    assert_true(w->calls >= 2 && w->calls <= 3);
    assert_int_equal(w->advice_ms, LIMIT_ATTEST_RETRY_MS);
}

static void test_failure_reaches_each_and_the_next_round_works(void **state) {
    struct world *w = *state;
    w->is_open = false;
    w->fails = ERR_UNAVAILABLE;
    start(w, false);
    submit_all(w, 0, 1);
    wait_for(w, &w->calls, 1);
    submit_all(w, 1, 4);
    open_gate(w, true);
    wait_for(w, &w->done, 5);
    assert_int_equal(w->failed, 5);
    assert_int_equal(w->failed_with, ERR_UNAVAILABLE);
    pthread_mutex_lock(&w->mutex);
    w->fails = ERR_OK;
    pthread_mutex_unlock(&w->mutex);
    submit_all(w, 5, 1);
    wait_for(w, &w->done, 6);
    assert_int_equal(w->failed, 5);
}

static void test_free_cancels_what_waits(void **state) {
    struct world *w = *state;
    w->busy = UINT32_MAX;
    start(w, false);
    submit_all(w, 0, 1);
    wait_for(w, &w->calls, 1);
    submit_all(w, 1, 9);
    attester_free(w->attester);
    w->attester = NULL;
    assert_int_equal(w->done, 10);
    assert_int_equal(w->failed, 10);
    assert_int_equal(w->failed_with, ERR_CANCELED);
}

static void test_issuer_errors_come_through(void **state) {
    struct world *w = *state;
    struct issuer *issuer = NULL;
    assert_true(is_ok(issuer_open("unix:/nonexistent/pod.sock", &issuer, NULL)));
    assert_true(is_ok(attester_new(issuer, &w->attester, NULL)));
    submit_all(w, 0, 1);
    wait_for(w, &w->done, 1);
    assert_int_equal(w->failed_with, ERR_UNAVAILABLE);
    attester_free(w->attester);
    w->attester = NULL;
    issuer_close(issuer);
}

/* --- Keys */

static struct result derive(struct world *w, struct err *err) {
    return attester_derive(w->attester, &w->spec, on_derived, &w->spec, err);
}

static void derive_all(struct world *w, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        assert_true(is_ok(derive(w, NULL)));
    }
}

static void test_key(void **state) {
    struct world *w = *state;
    start(w, false);
    derive_all(w, 3);
    wait_for(w, &w->keys_done, 3);
    submit_all(w, 0, 1);
    wait_for(w, &w->done, 1);
    assert_int_equal(w->calls, 4);
    assert_int_equal(w->keys_failed + w->failed + w->wrong, 0);
    assert_int_equal(w->most_at_once, 1);
}

/* It waits for the report that is being made, and goes before those that wait. */
static void test_key_goes_next(void **state) {
    struct world *w = *state;
    w->is_open = false;
    start(w, false);
    submit_all(w, 0, 1);
    wait_for(w, &w->calls, 1);
    submit_all(w, 1, 4);
    derive_all(w, 1);
    open_gate(w, true);
    wait_for(w, &w->done, 5);
    assert_int_equal(w->keys_done, 1);
    assert_int_equal(w->calls_at_key, 2);
    assert_int_equal(w->calls, 3);
    assert_int_equal(w->keys_failed + w->failed + w->wrong, 0);
    assert_int_equal(w->most_at_once, 1);
}

/* A host that hangs in a report keeps nobody who wants a key: neither who waits nor who comes. */
static void test_key_behind_a_silent_report(void **state) {
    struct world *w = *state;
    struct err err;
    w->is_open = false;
    start_impatient(w, 100);
    submit_all(w, 0, 1);
    wait_for(w, &w->calls, 1);
    unsigned taken = 0;
    for (unsigned i = 0; i < 8; i++) { /* on a slow machine some are refused already */
        taken += is_ok(derive(w, NULL));
    }
    wait_for(w, &w->done, 1);
    wait_for(w, &w->keys_done, taken);
    assert_int_equal(w->keys_failed, taken);
    assert_int_equal(derive(w, &err).code, ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "has not answered a request for a report"));
    assert_true(err.retry_ms > 0);
    assert_int_equal(w->calls, 1);
}

/* The other way round; and the key that comes too late is dropped. */
static void test_silent_key(void **state) {
    struct world *w = *state;
    struct err err;
    log_set_sink(on_log, w);
    w->is_open = false;
    start_impatient(w, 1);
    derive_all(w, 1);
    wait_for(w, &w->keys_failed, 1);
    assert_int_equal(w->failed_with, ERR_UNAVAILABLE);
    struct result r = attester_submit(w->attester, w->leaves[0], on_attested, w->leaves[0], &err);
    assert_int_equal(r.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "has not answered a request for a key"));
    open_gate(w, true);
    wait_for(w, &w->returns, 1);
    assert_int_equal(w->keys_done, 1);
    assert_int_equal(w->most_at_once, 1);
}

static void test_key_of_a_busy_host(void **state) {
    struct world *w = *state;
    w->busy = 3;
    start(w, false);
    derive_all(w, 1);
    wait_for(w, &w->keys_done, 1);
    assert_int_equal(w->calls, 4);
    assert_int_equal(w->keys_failed + w->wrong, 0);
}

static void test_key_of_a_busy_host_is_given_up(void **state) {
    struct world *w = *state;
    w->busy = UINT32_MAX;
    start(w, true);
    derive_all(w, 1);
    wait_for(w, &w->keys_done, 1);
    assert_int_equal(w->failed_with, ERR_BUSY);
    assert_int_equal(w->advice_ms, LIMIT_ATTEST_RETRY_MS);
}

static void test_too_many_keys(void **state) {
    struct world *w = *state;
    struct err err;
    w->is_open = false;
    start(w, false);
    derive_all(w, 1);
    wait_for(w, &w->calls, 1);
    derive_all(w, LIMIT_ATTEST_KEYS);
    assert_int_equal(derive(w, &err).code, ERR_BUSY);
    assert_non_null(strstr(err.text, "16 keys wait"));
    assert_true(err.retry_ms > 0);
    open_gate(w, true);
    wait_for(w, &w->keys_done, LIMIT_ATTEST_KEYS + 1);
    derive_all(w, 1); /* there is room again */
    wait_for(w, &w->keys_done, LIMIT_ATTEST_KEYS + 2);
    assert_int_equal(w->keys_failed + w->wrong, 0);
}

static void test_free_cancels_keys(void **state) {
    struct world *w = *state;
    w->busy = UINT32_MAX;
    start(w, false);
    submit_all(w, 0, 1);
    wait_for(w, &w->calls, 1);
    derive_all(w, 5);
    attester_free(w->attester);
    w->attester = NULL;
    assert_int_equal(w->keys_done, 5);
    assert_int_equal(w->keys_failed, 5);
    assert_int_equal(w->failed_with, ERR_CANCELED);
}

static void test_source_without_keys(void **state) {
    struct world *w = *state;
    struct attester_source source = {.data = w, .report = on_report};
    assert_true(
        is_ok(attester_new_from(&source, &attester_limits, &host_system, &w->attester, NULL)));
    assert_int_equal(derive(w, NULL).code, ERR_UNAVAILABLE);
}

static void test_issuer_derives(void **state) {
    struct world *w = *state;
    struct issuer *issuer = NULL;
    w->spec.vmpl = 4; /* the issuer says so: nobody is asked */
    assert_true(is_ok(issuer_open("unix:/nonexistent/pod.sock", &issuer, NULL)));
    assert_true(is_ok(attester_new(issuer, &w->attester, NULL)));
    derive_all(w, 1);
    wait_for(w, &w->keys_done, 1);
    assert_int_equal(w->failed_with, ERR_INVALID);
    attester_free(w->attester);
    w->attester = NULL;
    issuer_close(issuer);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_lone_request),
        T(test_requests_during_a_report_share_the_next),
        T(test_nobody_waits_for_more_than_two_reports),
        T(test_a_full_report_follows_at_once),
        T(test_silent_host),
        T(test_silent_host_answers_those_behind),
        T(test_silent_host_comes_back),
        T(test_full_queue_is_busy),
        T(test_busy_host_is_asked_again),
        T(test_busy_host_is_given_up),
        T(test_failure_reaches_each_and_the_next_round_works),
        T(test_free_cancels_what_waits),
        T(test_issuer_errors_come_through),
        T(test_key),
        T(test_key_goes_next),
        T(test_key_behind_a_silent_report),
        T(test_silent_key),
        T(test_key_of_a_busy_host),
        T(test_key_of_a_busy_host_is_given_up),
        T(test_too_many_keys),
        T(test_free_cancels_keys),
        T(test_source_without_keys),
        T(test_issuer_derives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
