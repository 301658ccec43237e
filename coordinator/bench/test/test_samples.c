/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/bench/samples.h"

static void test_no_samples_have_no_quantile(void **state) {
    (void)state;
    struct samples s = {0};
    assert_int_equal(samples_quantile(&s, 500), 0);
    samples_deinit(&s);
}

static void test_one_sample_is_every_quantile(void **state) {
    (void)state;
    struct samples s = {0};
    samples_add(&s, 7);
    assert_int_equal(samples_quantile(&s, 0), 7);
    assert_int_equal(samples_quantile(&s, 500), 7);
    assert_int_equal(samples_quantile(&s, 1000), 7);
    samples_deinit(&s);
}

/* 1..1000, added in an order of their own: 7 and 1000 have no common divisor. */
static void test_quantiles_are_by_nearest_rank(void **state) {
    (void)state;
    struct samples s = {0};
    for (uint64_t i = 0; i < 1000; i++) {
        samples_add(&s, i * 7 % 1000 + 1);
    }
    assert_int_equal(samples_quantile(&s, 0), 1);
    assert_int_equal(samples_quantile(&s, 500), 500);
    assert_int_equal(samples_quantile(&s, 990), 990);
    assert_int_equal(samples_quantile(&s, 1000), 1000);
    samples_add(&s, 5000);
    assert_int_equal(samples_quantile(&s, 1000), 5000);
    assert_int_equal(samples_quantile(&s, 500), 501);
    samples_deinit(&s);
}

static void test_what_is_too_much_is_counted_and_dropped(void **state) {
    (void)state;
    struct samples s = {0};
    for (size_t i = 0; i < SAMPLES_MAX + 3; i++) {
        samples_add(&s, i);
    }
    assert_int_equal(s.count, SAMPLES_MAX);
    assert_int_equal(s.dropped, 3);
    assert_int_equal(samples_quantile(&s, 1000), SAMPLES_MAX - 1);
    samples_deinit(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_samples_have_no_quantile),
        cmocka_unit_test(test_one_sample_is_every_quantile),
        cmocka_unit_test(test_quantiles_are_by_nearest_rank),
        cmocka_unit_test(test_what_is_too_much_is_counted_and_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
