/* Tests of how often a name and a chip are let in.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "coordinator/admissions.h"

#define START 1000000

static const uint8_t chip[64] = {1};
static const uint8_t unknown[64];

static void test_a_name_has_a_burst_and_then_waits(void **state) {
    (void)state;
    struct admissions a = {0};
    struct err err;
    for (int i = 0; i < LIMIT_ADMISSION_NAME_BURST; i++) {
        assert_true(is_ok(admissions_take(&a, "coordinator-0", unknown, START, &err)));
    }
    assert_int_equal(admissions_take(&a, "coordinator-0", unknown, START, &err).code,
                     ERR_UNAVAILABLE);
    assert_int_equal(err.retry_ms, LIMIT_ADMISSION_NAME_PERIOD_MS);
    assert_true(is_ok(admissions_take(&a, "coordinator-1", unknown, START, &err)));
    uint64_t later = START + LIMIT_ADMISSION_NAME_PERIOD_MS;
    assert_int_equal(admissions_take(&a, "coordinator-0", unknown, later - 1, &err).code,
                     ERR_UNAVAILABLE);
    assert_true(is_ok(admissions_take(&a, "coordinator-0", unknown, later, &err)));
    assert_int_equal(admissions_take(&a, "coordinator-0", unknown, later, &err).code,
                     ERR_UNAVAILABLE);
}

/* Clones with new names on one chip. */
static void test_a_chip_has_a_burst_too(void **state) {
    (void)state;
    struct admissions a = {0};
    struct err err;
    char name[32];
    for (int i = 0; i < LIMIT_ADMISSION_CHIP_BURST; i++) {
        snprintf(name, sizeof name, "coordinator-%d", i);
        assert_true(is_ok(admissions_take(&a, name, chip, START, &err)));
    }
    assert_int_equal(admissions_take(&a, "coordinator-99", chip, START, &err).code,
                     ERR_UNAVAILABLE);
    assert_true(is_ok(admissions_take(&a, "coordinator-99", unknown, START, &err)));
}

/* A refusal takes nothing from the other bucket. */
static void test_a_refusal_costs_nothing(void **state) {
    (void)state;
    struct admissions a = {0};
    struct err err;
    for (int i = 0; i < LIMIT_ADMISSION_NAME_BURST; i++) {
        assert_true(is_ok(admissions_take(&a, "coordinator-0", unknown, START, &err)));
    }
    for (int i = 0; i < 2 * LIMIT_ADMISSION_CHIP_BURST; i++) {
        assert_false(is_ok(admissions_take(&a, "coordinator-0", chip, START, &err)));
    }
    assert_true(is_ok(admissions_take(&a, "coordinator-1", chip, START, &err)));
}

static void test_many_names_push_out_the_oldest(void **state) {
    (void)state;
    struct admissions a = {0};
    struct err err;
    char name[32];
    for (int i = 0; i < 4 * LIMIT_ADMISSION_KEYS; i++) {
        snprintf(name, sizeof name, "coordinator-%d", i);
        assert_true(is_ok(admissions_take(&a, name, unknown, START + (uint64_t)i, &err)));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_name_has_a_burst_and_then_waits),
        cmocka_unit_test(test_a_chip_has_a_burst_too),
        cmocka_unit_test(test_a_refusal_costs_nothing),
        cmocka_unit_test(test_many_names_push_out_the_oldest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
