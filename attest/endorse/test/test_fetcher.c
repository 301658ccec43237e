/* The fetcher's thread against a service on loopback: one callback for each want, joined wants, a
 * budget that others hold, retries, and a stop that does not wait for a server that hangs.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "attest/endorse/fetcher.h"
#include "attest/endorse/test/kds_process.h"
#include "attest/test/snp_fixture.h"

static struct kds_process server;
static struct snp_fixture machine;
static struct snp_endorsement_key machine_key;

static uint64_t test_monotonic_ms(void *data) {
    (void)data;
    return host_monotonic_ms(&host_system);
}

static int64_t test_unix_s(void *data) {
    (void)data;
    return SNP_FIXTURE_NOW;
}

static void test_random(void *data, void *out, size_t size) {
    (void)data;
    host_random(&host_system, out, size);
}

static const struct host host = {NULL, test_monotonic_ms, test_unix_s, test_random};

/* What the hooks heard; the test waits on `changed`. */
struct heard {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned asked;
    unsigned fetched;
    unsigned failed;
    unsigned lists;
    enum err_code code; /* of the last failure */
    char text[ERR_TEXT_SIZE];
    bool right_bytes;
    enum fetcher_permission answers[4]; /* to allow, in turn; then GO */
    struct fetcher *again;              /* submits once more from on_fetched */
};

static enum fetcher_permission allow(void *data, const struct snp_endorsement_key *key,
                                     uint64_t *wait_ms) {
    struct heard *h = data;
    (void)key;
    pthread_mutex_lock(&h->lock);
    enum fetcher_permission may = h->asked < 4 ? h->answers[h->asked] : FETCHER_GO;
    h->asked++;
    *wait_ms = 1;
    pthread_cond_signal(&h->changed);
    pthread_mutex_unlock(&h->lock);
    return may;
}

static void on_fetched(void *data, const struct snp_endorsement_key *key, struct span der) {
    struct heard *h = data;
    pthread_mutex_lock(&h->lock);
    h->fetched++;
    h->right_bytes =
        span_equal(der, buf_span(&machine.vcek)) && snp_endorsement_same(key, &machine_key);
    struct fetcher *again = h->again;
    h->again = NULL;
    pthread_cond_signal(&h->changed);
    pthread_mutex_unlock(&h->lock);
    if (again != NULL) {
        assert_true(is_ok(fetcher_submit(again, key, NULL)));
    }
}

static void fail_with(struct heard *h, const struct err *err) {
    pthread_mutex_lock(&h->lock);
    h->failed++;
    h->code = err->code;
    snprintf(h->text, sizeof h->text, "%s", err->text);
    pthread_cond_signal(&h->changed);
    pthread_mutex_unlock(&h->lock);
}

static void on_failed(void *data, const struct snp_endorsement_key *key, const struct err *err) {
    assert_non_null(key);
    fail_with(data, err);
}

static void on_crl_failed(void *data, enum snp_product product, enum snp_signing_key kind,
                          const struct err *err) {
    struct heard *h = data;
    assert_int_equal(product, SNP_TURIN);
    assert_int_equal(kind, SNP_KEY_VLEK);
    h->lists++;
    fail_with(h, err);
}

/* Until this many callbacks were heard; ctest's timeout bounds it. */
static void await(struct heard *h, unsigned callbacks) {
    pthread_mutex_lock(&h->lock);
    while (h->fetched + h->failed < callbacks) {
        pthread_cond_wait(&h->changed, &h->lock);
    }
    pthread_mutex_unlock(&h->lock);
}

static struct fetcher *start(const char *mode, struct heard *h) {
    const struct fetcher_config config = {
        .kds = {.base = kds_process_base(&server, mode),
                .extra_roots = (const uint8_t(*)[32])machine.root_digest,
                .extra_root_count = 1,
                .total_ms = 3600000},
        .hooks = {.data = h,
                  .allow = allow,
                  .on_fetched = on_fetched,
                  .on_failed = on_failed,
                  .on_crl_failed = on_crl_failed},
        .rate = {.capacity = 100, .period_ms = 1},
        .backoff_ms = 1,
        .attempts = 3,
        .host = &host,
    };
    struct fetcher *f = NULL;
    struct err err = {0};
    assert_int_equal(pthread_mutex_init(&h->lock, NULL), 0);
    assert_int_equal(pthread_cond_init(&h->changed, NULL), 0);
    if (!is_ok(fetcher_start(&config, &f, &err))) {
        fail_msg("%s", err.text);
    }
    return f;
}

static void end(struct fetcher *f, struct heard *h) {
    fetcher_stop(f);
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->lock);
}

static void submit(struct fetcher *f) {
    struct err err = {0};
    if (!is_ok(fetcher_submit(f, &machine_key, &err))) {
        fail_msg("%s", err.text);
    }
}

static void test_one_certificate(void **state) {
    (void)state;
    struct heard h = {0};
    struct fetcher *f = start("good", &h);
    submit(f);
    await(&h, 1);
    end(f, &h);
    assert_int_equal(h.fetched, 1);
    assert_true(h.right_bytes);
    assert_int_equal(h.asked, 1);
}

static void test_again_from_the_callback(void **state) {
    (void)state;
    struct heard h = {0};
    struct fetcher *f = start("good", &h);
    h.again = f;
    submit(f);
    await(&h, 2);
    end(f, &h);
    assert_int_equal(h.fetched, 2);
}

static void test_retries_until_it_works(void **state) {
    (void)state;
    struct heard h = {0};
    struct fetcher *f = start("fail-twice", &h);
    submit(f);
    await(&h, 1);
    end(f, &h);
    assert_int_equal(h.fetched, 1);
    assert_int_equal(h.asked, 3);
    struct heard h2 = {0};
    f = start("throttle-once", &h2);
    submit(f);
    await(&h2, 1);
    end(f, &h2);
    assert_int_equal(h2.fetched, 1);
    assert_int_equal(h2.asked, 2);
}

static void test_gives_up(void **state) {
    (void)state;
    struct heard h = {0};
    struct fetcher *f = start("down", &h);
    submit(f);
    await(&h, 1);
    end(f, &h);
    assert_int_equal(h.code, ERR_UNAVAILABLE);
    assert_int_equal(kds_process_count(&server, "down"), 3);
    assert_non_null(strstr(h.text, "answered 500"));
}

static void test_unknown_chips_are_not_asked_for_again(void **state) {
    (void)state;
    struct heard h = {0};
    struct fetcher *f = start("missing", &h);
    submit(f);
    assert_true(is_ok(fetcher_submit_crl(f, SNP_TURIN, SNP_KEY_VLEK, NULL)));
    await(&h, 2);
    end(f, &h);
    assert_int_equal(h.code, ERR_NOT_FOUND);
    assert_int_equal(h.lists, 1);
    assert_int_equal(kds_process_count(&server, "missing"), 2);
}

static void test_the_budget_is_somebody_elses(void **state) {
    (void)state;
    struct heard h = {.answers = {FETCHER_WAIT, FETCHER_WAIT, FETCHER_GO}};
    struct fetcher *f = start("good", &h);
    submit(f);
    await(&h, 1);
    assert_int_equal(h.fetched, 1);
    assert_int_equal(h.asked, 3);
    end(f, &h);
    struct heard h2 = {.answers = {FETCHER_DROP}};
    unsigned before = kds_process_count(&server, "good");
    f = start("good", &h2);
    submit(f);
    await(&h2, 1);
    end(f, &h2);
    assert_int_equal(h2.code, ERR_CANCELED);
    assert_int_equal(kds_process_count(&server, "good"), before);
}

/* The first hangs, the second joins it, the third waits: two callbacks, CANCELED both. */
static void test_stop_does_not_wait_for_the_server(void **state) {
    (void)state;
    struct heard h = {0};
    struct fetcher *f = start("hang", &h);
    submit(f);
    while (kds_process_count(&server, "hang") == 0) {
    }
    submit(f);
    struct snp_endorsement_key other = machine_key;
    other.chip_id[1]++;
    assert_true(is_ok(fetcher_submit(f, &other, NULL)));
    end(f, &h);
    assert_int_equal(h.failed, 2);
    assert_int_equal(h.code, ERR_CANCELED);
    assert_int_equal(kds_process_count(&server, "hang"), 1);
}

static void test_the_queue_is_bounded(void **state) {
    (void)state;
    struct heard h = {0};
    struct fetcher *f = start("hang", &h);
    struct snp_endorsement_key key = machine_key;
    struct err err = {0};
    for (unsigned i = 0; i < LIMIT_KDS_QUEUE; i++) {
        key.chip_id[1] = (uint8_t)i;
        assert_true(is_ok(fetcher_submit(f, &key, &err)));
    }
    key.chip_id[1] = LIMIT_KDS_QUEUE;
    assert_int_equal(fetcher_submit(f, &key, &err).code, ERR_BUSY);
    end(f, &h);
    assert_int_equal(h.failed, LIMIT_KDS_QUEUE);
}

static void test_a_wrong_address_is_told_at_once(void **state) {
    (void)state;
    const struct fetcher_config config = {.kds = {.base = "ftp://host"}};
    struct fetcher *f = NULL;
    assert_int_equal(fetcher_start(&config, &f, NULL).code, ERR_CONFIG);
    assert_null(f);
    fetcher_stop(f);
}

static int set_up(void **state) {
    (void)state;
    snp_fixture_init(&machine, SNP_TURIN);
    kds_process_start(&server, false);
    kds_process_put_machine(&server, &machine, &machine_key);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    kds_process_stop(&server);
    snp_fixture_deinit(&machine);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stop_does_not_wait_for_the_server), /* first: it counts */
        cmocka_unit_test(test_one_certificate),
        cmocka_unit_test(test_again_from_the_callback),
        cmocka_unit_test(test_retries_until_it_works),
        cmocka_unit_test(test_gives_up),
        cmocka_unit_test(test_unknown_chips_are_not_asked_for_again),
        cmocka_unit_test(test_the_budget_is_somebody_elses),
        cmocka_unit_test(test_the_queue_is_bounded),
        cmocka_unit_test(test_a_wrong_address_is_told_at_once),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
