/* The fetcher's plan in virtual time: order, budget, backoff, postponing, lapsing.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "attest/endorse/fetch_plan.h"

#define START 50000

static struct fetch_want want_of(uint8_t chip) {
    struct fetch_want w = {.key = {.product = SNP_MILAN}};
    w.key.chip_id[0] = chip;
    return w;
}

static struct fetch_want crl_of(enum snp_product product, enum snp_signing_key kind) {
    return (struct fetch_want){.is_crl = true, .kind = kind, .key = {.product = product}};
}

/* A rich budget: only the test's own rule binds. */
static struct fetch_plan plan_of(uint32_t capacity) {
    return (struct fetch_plan){.rate = {capacity, 10000}, .backoff_ms = 1000, .attempts = 3};
}

static void add(struct fetch_plan *p, uint8_t chip, uint64_t now_ms) {
    struct fetch_want w = want_of(chip);
    assert_true(is_ok(fetch_plan_add(p, &w, now_ms, NULL)));
}

/* The next step must ask for this chip. */
static void expect_ask(struct fetch_plan *p, uint64_t now_ms, uint8_t chip) {
    struct fetch_want w;
    uint64_t wait_ms = 0;
    assert_int_equal(fetch_plan_next(p, now_ms, &w, &wait_ms), FETCH_PLAN_ASK);
    assert_int_equal(w.key.chip_id[0], chip);
}

static void expect_wait(struct fetch_plan *p, uint64_t now_ms, uint64_t ms) {
    struct fetch_want w;
    uint64_t wait_ms = 0;
    assert_int_equal(fetch_plan_next(p, now_ms, &w, &wait_ms), FETCH_PLAN_WAIT);
    assert_int_equal(wait_ms, ms);
}

static void expect_idle(struct fetch_plan *p, uint64_t now_ms) {
    struct fetch_want w;
    uint64_t wait_ms = 0;
    assert_int_equal(fetch_plan_next(p, now_ms, &w, &wait_ms), FETCH_PLAN_IDLE);
}

static void serve(struct fetch_plan *p, uint64_t now_ms, uint8_t chip) {
    expect_ask(p, now_ms, chip);
    fetch_plan_spend(p);
    fetch_plan_end(p, true);
}

/* Asks for `chip` and lets it fail. */
static bool fail_at(struct fetch_plan *p, uint64_t now_ms, uint8_t chip, enum err_code code,
                    uint64_t retry_ms, uint64_t jitter) {
    expect_ask(p, now_ms, chip);
    fetch_plan_spend(p);
    return fetch_plan_fail(p, code, now_ms, retry_ms, jitter);
}

static void test_in_order_once_each(void **state) {
    (void)state;
    struct fetch_plan p = plan_of(10);
    expect_idle(&p, START);
    add(&p, 1, START);
    add(&p, 2, START);
    add(&p, 1, START);
    serve(&p, START, 1);
    serve(&p, START, 2);
    expect_idle(&p, START);
}

static void test_what_is_being_asked_for_is_joined(void **state) {
    (void)state;
    struct fetch_plan p = plan_of(10);
    add(&p, 1, START);
    expect_ask(&p, START, 1);
    add(&p, 1, START);
    fetch_plan_spend(&p);
    fetch_plan_end(&p, true);
    expect_idle(&p, START);
}

static void test_lists_and_certificates_differ(void **state) {
    (void)state;
    struct fetch_plan p = plan_of(10);
    struct fetch_want wants[] = {want_of(0), crl_of(SNP_MILAN, SNP_KEY_VCEK),
                                 crl_of(SNP_MILAN, SNP_KEY_VLEK), crl_of(SNP_GENOA, SNP_KEY_VCEK)};
    for (size_t i = 0; i < 8; i++) {
        assert_true(is_ok(fetch_plan_add(&p, &wants[i % 4], START, NULL)));
    }
    assert_int_equal(p.count, 4);
}

static void test_the_queue_is_bounded(void **state) {
    (void)state;
    struct fetch_plan p = plan_of(10);
    struct err err = {0};
    for (unsigned i = 0; i < LIMIT_KDS_QUEUE; i++) {
        add(&p, (uint8_t)i, START);
    }
    struct fetch_want more = want_of(LIMIT_KDS_QUEUE);
    assert_int_equal(fetch_plan_add(&p, &more, START, &err).code, ERR_BUSY);
    add(&p, 0, START); /* joins */
    assert_int_equal(p.count, LIMIT_KDS_QUEUE);
}

static void test_the_budget(void **state) {
    (void)state;
    struct fetch_plan p = plan_of(2);
    add(&p, 1, START);
    add(&p, 2, START);
    add(&p, 3, START);
    serve(&p, START, 1);
    serve(&p, START, 2);
    expect_wait(&p, START, 10000);
    expect_wait(&p, START + 9999, 1);
    serve(&p, START + 10000, 3);
}

/* What was not spent is not lost. */
static void test_a_refusal_costs_nothing(void **state) {
    (void)state;
    struct fetch_plan p = plan_of(1);
    add(&p, 1, START);
    add(&p, 2, START);
    expect_ask(&p, START, 1);
    fetch_plan_postpone(&p, START, 500);
    expect_ask(&p, START, 2);
    fetch_plan_postpone(&p, START, 0);
    expect_wait(&p, START, 500);
    serve(&p, START + 500, 1);
    expect_wait(&p, START + 500, 500);
    expect_wait(&p, START + 1000, 9000);
    serve(&p, START + 10000, 2);
}

static void test_failures_quiet_everything(void **state) {
    (void)state;
    struct fetch_plan p = plan_of(10);
    add(&p, 1, START);
    add(&p, 2, START);
    assert_true(fail_at(&p, START, 1, ERR_UNAVAILABLE, 0, 0));
    expect_wait(&p, START, 500); /* half certain, half chance: jitter 0 */
    assert_true(fail_at(&p, START + 500, 2, ERR_UNAVAILABLE, 0, 1000));
    expect_wait(&p, START + 500, 2000); /* doubled, all chance */
    serve(&p, START + 2500, 1);
    assert_true(fail_at(&p, START + 2500, 2, ERR_UNAVAILABLE, 0, 0));
    expect_wait(&p, START + 2500, 500); /* an answer begins anew */
}

static void test_backoff_is_bounded(void **state) {
    (void)state;
    struct fetch_plan p = plan_of(100);
    uint64_t now = START;
    p.attempts = 100;
    add(&p, 1, now);
    for (int i = 0; i < 40; i++) {
        now = p.quiet_until_ms > now ? p.quiet_until_ms : now;
        p.items[0].since_ms = now; /* the test is not about lapsing */
        assert_true(fail_at(&p, now, 1, ERR_BUSY, 0, UINT32_MAX));
        assert_true(p.quiet_until_ms - now <= LIMIT_KDS_BACKOFF_MAX_MS);
    }
    assert_true(p.quiet_until_ms - now >= LIMIT_KDS_BACKOFF_MAX_MS / 2);
}

static void test_retry_after_is_never_cut_short(void **state) {
    (void)state;
    struct fetch_plan p = plan_of(10);
    add(&p, 1, START);
    assert_true(fail_at(&p, START, 1, ERR_BUSY, 7000, 0));
    expect_wait(&p, START, 7000);
    assert_true(fail_at(&p, START + 7000, 1, ERR_BUSY, 7000, 1000));
    expect_wait(&p, START + 7000, 8000); /* with jitter on top */
    struct fetch_plan q = plan_of(10);
    add(&q, 1, START);
    assert_true(fail_at(&q, START, 1, ERR_BUSY, UINT64_MAX, 0));
    expect_wait(&q, START, LIMIT_KDS_WANT_MS); /* no overflow; then it lapses */
}

static void test_attempts_are_bounded(void **state) {
    (void)state;
    struct fetch_plan p = plan_of(10);
    add(&p, 1, START);
    assert_true(fail_at(&p, START, 1, ERR_UNAVAILABLE, 0, 0));
    assert_true(fail_at(&p, START + 10000, 1, ERR_BUSY, 0, 0));
    assert_false(fail_at(&p, START + 20000, 1, ERR_UNAVAILABLE, 0, 0));
    expect_idle(&p, START + 20000);
}

static void test_some_answers_are_final(void **state) {
    (void)state;
    static const enum err_code codes[] = {ERR_NOT_FOUND, ERR_DENIED, ERR_MALFORMED,
                                          ERR_TLS,       ERR_CONFIG, ERR_CANCELED};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        struct fetch_plan p = plan_of(10);
        add(&p, 1, START);
        add(&p, 2, START);
        assert_false(fail_at(&p, START, 1, codes[i], 0, 0));
        serve(&p, START, 2); /* at once */
    }
}

static void test_what_waits_too_long_lapses(void **state) {
    (void)state;
    struct fetch_plan p = plan_of(10);
    struct fetch_want w;
    uint64_t wait_ms = 0;
    add(&p, 1, START);
    expect_ask(&p, START, 1);
    fetch_plan_postpone(&p, START, UINT64_MAX);
    add(&p, 2, START + 5);
    serve(&p, START + 5, 2);
    expect_wait(&p, START + 5, LIMIT_KDS_WANT_MS - 5);
    assert_int_equal(fetch_plan_next(&p, START + LIMIT_KDS_WANT_MS, &w, &wait_ms),
                     FETCH_PLAN_LAPSED);
    assert_int_equal(w.key.chip_id[0], 1);
    expect_idle(&p, START + LIMIT_KDS_WANT_MS);
}

static void test_drop_empties(void **state) {
    (void)state;
    struct fetch_plan p = plan_of(10);
    struct fetch_want w;
    add(&p, 1, START);
    add(&p, 2, START);
    assert_true(fetch_plan_drop(&p, &w));
    assert_int_equal(w.key.chip_id[0], 1);
    assert_true(fetch_plan_drop(&p, &w));
    assert_int_equal(w.key.chip_id[0], 2);
    assert_false(fetch_plan_drop(&p, &w));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_order_once_each),
        cmocka_unit_test(test_what_is_being_asked_for_is_joined),
        cmocka_unit_test(test_lists_and_certificates_differ),
        cmocka_unit_test(test_the_queue_is_bounded),
        cmocka_unit_test(test_the_budget),
        cmocka_unit_test(test_a_refusal_costs_nothing),
        cmocka_unit_test(test_failures_quiet_everything),
        cmocka_unit_test(test_backoff_is_bounded),
        cmocka_unit_test(test_retry_after_is_never_cut_short),
        cmocka_unit_test(test_attempts_are_bounded),
        cmocka_unit_test(test_some_answers_are_final),
        cmocka_unit_test(test_what_waits_too_long_lapses),
        cmocka_unit_test(test_drop_empties),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
