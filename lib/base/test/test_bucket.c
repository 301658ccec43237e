/* The token bucket: bursts, pace, clocks that stand, jump or run back, rates that change.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/bucket.h"

static const struct bucket_rate RATE = {.capacity = 3, .period_ms = 10000};

static void drain(struct bucket *b, uint64_t now_ms) {
    for (int i = 0; i < 3; i++) {
        assert_int_equal(bucket_take(b, &RATE, now_ms), 0);
    }
}

static void test_a_zeroed_bucket_is_full(void **state) {
    (void)state;
    struct bucket b = {0};
    drain(&b, 5000000);
    assert_int_equal(bucket_take(&b, &RATE, 5000000), 10000);
}

static void test_the_pace(void **state) {
    (void)state;
    struct bucket b = {0};
    drain(&b, 100);
    assert_int_equal(bucket_take(&b, &RATE, 10099), 1);
    assert_int_equal(bucket_take(&b, &RATE, 10100), 0);
    assert_int_equal(bucket_take(&b, &RATE, 10100), 10000);
    /* Half a period is not lost. */
    assert_int_equal(bucket_take(&b, &RATE, 25100), 0);
    assert_int_equal(bucket_take(&b, &RATE, 25100), 5000);
    assert_int_equal(bucket_take(&b, &RATE, 30100), 0);
}

static void test_it_never_holds_more_than_its_capacity(void **state) {
    (void)state;
    struct bucket b = {0};
    drain(&b, 0);
    drain(&b, UINT64_C(1) << 60);
    assert_int_equal(bucket_take(&b, &RATE, UINT64_C(1) << 60), 10000);
}

static void test_time_that_runs_back(void **state) {
    (void)state;
    struct bucket b = {0};
    drain(&b, 50000);
    assert_int_equal(bucket_take(&b, &RATE, 20000), 40000);
    assert_int_equal(bucket_take(&b, &RATE, 50000), 10000);
    assert_int_equal(bucket_take(&b, &RATE, 60000), 0);
    /* A full one may be taken from all the same. */
    struct bucket full = {.taken = 0, .since_ms = 1000};
    assert_int_equal(bucket_take(&full, &RATE, 10), 0);
    assert_int_equal(full.taken, 1);
    assert_int_equal(full.since_ms, 1000);
}

static void test_a_smaller_rate(void **state) {
    (void)state;
    struct bucket b = {0};
    const struct bucket_rate small = {.capacity = 1, .period_ms = 10000};
    drain(&b, 0);
    assert_int_equal(bucket_take(&b, &small, 0), 30000);
    assert_int_equal(bucket_take(&b, &small, 5000), 25000);
    assert_int_equal(bucket_take(&b, &small, 30000), 0);
}

static void test_a_period_beyond_time(void **state) {
    (void)state;
    const struct bucket_rate never = {.capacity = 1, .period_ms = UINT64_MAX};
    struct bucket b = {0};
    assert_int_equal(bucket_take(&b, &never, 7), 0);
    assert_true(bucket_take(&b, &never, 0) == UINT64_MAX);
    assert_true(bucket_take(&b, &never, 8) >= UINT64_MAX - 1);
    struct bucket more = {.taken = 5, .since_ms = 0};
    assert_true(bucket_take(&more, &never, 9) == UINT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_zeroed_bucket_is_full),
        cmocka_unit_test(test_the_pace),
        cmocka_unit_test(test_it_never_holds_more_than_its_capacity),
        cmocka_unit_test(test_time_that_runs_back),
        cmocka_unit_test(test_a_smaller_rate),
        cmocka_unit_test(test_a_period_beyond_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
