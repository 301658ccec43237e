/* When a certificate is renewed: both clocks, in tables.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "initializer/renewal_plan.h"

#define HOUR INT64_C(3600)
#define HOUR_MS UINT64_C(3600000)
#define T INT64_C(1800000000) /* when the certificate came */
#define M UINT64_C(5000000)   /* the same, monotonic */

#define WAIT RENEWAL_WAIT
#define CHECK_NOW RENEWAL_CHECK
#define ISSUE RENEWAL_ISSUE

/* 24 hours, backdated by one. */
static const struct renewal_life day = {T - HOUR, T + 24 * HOUR, T, M};

static void test_life(void **state) {
    (void)state;
    static const struct {
        struct renewal_life life;
        uint64_t ms;
    } rows[] = {
        {{T - HOUR, T + 24 * HOUR, T, M}, 24 * HOUR_MS},
        {{T, T + 24 * HOUR, T - 99 * HOUR, M}, 24 * HOUR_MS},       /* a clock that is behind */
        {{T - HOUR, T + 24 * HOUR, T + 20 * HOUR, M}, 4 * HOUR_MS}, /* and one ahead */
        {{T - HOUR, T, T, M}, 0},
        {{T - HOUR, T, T + 1, M}, 0},
        {{T, T - HOUR, T - 2 * HOUR, M}, 0},
        {{0, RENEWAL_TIME_MAX, 0, M}, (uint64_t)RENEWAL_TIME_MAX * 1000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(renewal_plan_life_ms(&rows[i].life), rows[i].ms);
    }
}

static void test_expiry_by_either_clock(void **state) {
    (void)state;
    static const struct {
        uint64_t now_ms;
        int64_t now;
        bool is_expired;
    } rows[] = {
        {M, T, false},
        {M + 24 * HOUR_MS - 1, T + 24 * HOUR - 1, false},
        {M + 24 * HOUR_MS, T + 24 * HOUR, true},
        {M + 24 * HOUR_MS, T, true},            /* the host stopped its clock */
        {M + 24 * HOUR_MS, T - 9 * HOUR, true}, /* the host set it back */
        {M, T + 24 * HOUR, true},               /* the machine was paused */
        {M - 1, T, false},                      /* another boot */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(renewal_plan_is_expired(&day, rows[i].now_ms, rows[i].now),
                         rows[i].is_expired);
    }
}

static void test_half_life_with_jitter(void **state) {
    (void)state;
    static const struct {
        unsigned jitter;
        uint64_t after_ms;
    } rows[] = {
        {0, 38880000},   /* 10.8 h */
        {100, 43200000}, /* 12 h */
        {200, 47520000}, /* 13.2 h */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct renewal_plan p = {.is_outdated = true, .hold_ms = 7, .check_ms = 8};
        renewal_plan_renew(&p, &day, rows[i].jitter);
        assert_true(p.has_certificate);
        assert_false(p.is_outdated);
        assert_int_equal(p.renew_ms, M + rows[i].after_ms);
        assert_int_equal(p.renew_at, T + (int64_t)(rows[i].after_ms / 1000));
        assert_int_equal(p.hold_ms, 7);
        assert_int_equal(p.check_ms, 8);
    }
}

/* However the host's clock makes a new certificate look, it does not become a flood of requests. */
static void test_never_at_once_for_its_age(void **state) {
    (void)state;
    struct renewal_life ahead = {T - HOUR, T + 24 * HOUR, T + 24 * HOUR - 3, M};
    struct renewal_plan p = {0};
    renewal_plan_renew(&p, &ahead, 0);
    assert_int_equal(p.renew_ms, M + RENEWAL_LEAST_MS);
    assert_int_equal(p.renew_at, ahead.issued_at + RENEWAL_LEAST_MS / 1000);
}

static void test_intervals(void **state) {
    (void)state;
    assert_int_equal(renewal_plan_interval_ms(1, 0), 900);
    assert_int_equal(renewal_plan_interval_ms(60, 100), 60000);
    assert_int_equal(renewal_plan_interval_ms(86400, 200), 95040000);
}

static void test_next(void **state) {
    (void)state;
    static const struct {
        struct renewal_plan plan; /* has, outdated, renew_ms, renew_at, hold_ms, check_ms */
        uint64_t now_ms;
        int64_t now;
        enum renewal_action action;
        uint64_t wait_ms;
    } rows[] = {
        {{0}, M, T, ISSUE, 0}, /* no certificate */
        {{.hold_ms = M + 5}, M, T, WAIT, 5},
        {{.hold_ms = M}, M, T, ISSUE, 0},
        {{.check_ms = M - 1, .hold_ms = M + 5}, M, T, WAIT, 5}, /* nothing to check for */
        {{true, false, M + 9000, T + 9, 0, M + 3000}, M, T, WAIT, 3000},
        {{true, false, M + 2000, T + 9, 0, M + 3000}, M, T, WAIT, 2000},
        {{true, false, M + 9000, T + 9, 0, M}, M, T, CHECK_NOW, 0},
        {{true, false, M, T + 9, 0, M + 3000}, M, T, ISSUE, 0},       /* by monotonic time */
        {{true, false, M + 9000, T, 0, M + 3000}, M, T, ISSUE, 0},    /* by the host's clock */
        {{true, false, M, T + 999999, 0, M}, M, T - 99999, ISSUE, 0}, /* which was set back */
        {{true, true, M + 9000, T + 9, 0, M + 3000}, M, T, ISSUE, 0}, /* outdated */
        {{true, true, M + 9000, T + 9, M + 7, M + 3}, M, T, WAIT, 3}, /* held: checks go on */
        {{true, true, M + 9000, T + 9, M + 7, M}, M, T, CHECK_NOW, 0},
        {{true, false, M, T, M + 7, M + 9}, M, T, WAIT, 7},
        {{true, false, M + 9000, T + 9, M + 7, M + 3000}, M, T, WAIT, 3000}, /* held for nothing */
        {{true, false, UINT64_MAX, INT64_MAX, 0, UINT64_MAX}, M, T, WAIT, RENEWAL_WAKE_MS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct renewal_step step = renewal_plan_next(&rows[i].plan, rows[i].now_ms, rows[i].now);
        if (step.action != rows[i].action || step.wait_ms != rows[i].wait_ms) {
            fail_msg("row %zu: action %d, wait %llu", i, (int)step.action,
                     (unsigned long long)step.wait_ms);
        }
    }
}

/* A person must look only for what was checked and is false. */
static void test_what_is_tried_again(void **state) {
    (void)state;
    assert_true(renewal_plan_may_retry(ERR_UNAVAILABLE));
    assert_true(renewal_plan_may_retry(ERR_NOT_FOUNDED));
    assert_true(renewal_plan_may_retry(ERR_UNVERIFIABLE));
    assert_true(renewal_plan_may_retry(ERR_STALE_GENERATION));
    assert_true(renewal_plan_may_retry(ERR_PROTOCOL));
    assert_true(renewal_plan_may_retry(ERR_INTERNAL));
    assert_true(renewal_plan_may_retry(ERR_CHANGED));
    assert_false(renewal_plan_may_retry(ERR_LOST));
    assert_false(renewal_plan_may_retry(ERR_DENIED));
    assert_false(renewal_plan_may_retry(ERR_SIGNATURE));
    assert_false(renewal_plan_may_retry(ERR_DIFFERS));
    assert_false(renewal_plan_may_retry(ERR_ROLLBACK));
}

static void test_pauses_double_up_to_a_limit(void **state) {
    (void)state;
    static const struct {
        enum renewal_patience patience;
        unsigned failures;
        uint64_t ms;
    } rows[] = {
        {RENEWAL_EAGER, 1, 200},     {RENEWAL_EAGER, 2, 400},
        {RENEWAL_EAGER, 6, 5000},    {RENEWAL_EAGER, UINT32_MAX, 5000},
        {RENEWAL_PATIENT, 1, 200},   {RENEWAL_PATIENT, 8, 25600},
        {RENEWAL_PATIENT, 9, 30000}, {RENEWAL_PATIENT, UINT32_MAX, 30000},
        {RENEWAL_SLOW, 1, 60000},    {RENEWAL_SLOW, 2, 120000},
        {RENEWAL_SLOW, 5, 900000},   {RENEWAL_SLOW, UINT32_MAX, 900000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(renewal_plan_pause_ms(rows[i].patience, rows[i].failures), rows[i].ms);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_expiry_by_either_clock),
        cmocka_unit_test(test_half_life_with_jitter),
        cmocka_unit_test(test_never_at_once_for_its_age),
        cmocka_unit_test(test_intervals),
        cmocka_unit_test(test_next),
        cmocka_unit_test(test_what_is_tried_again),
        cmocka_unit_test(test_pauses_double_up_to_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
