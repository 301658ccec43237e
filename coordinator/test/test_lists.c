/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/lists.h"

static struct core_crl row(uint8_t product, uint8_t anchor, uint64_t number, const char *der) {
    struct core_crl r = {.key = {.product = product},
                         .der = span_str(der),
                         .number = number,
                         .this_update = 1000,
                         .next_update = 9000,
                         .seen = 2000};
    memset(r.anchor, anchor, sizeof r.anchor);
    return r;
}

static void test_none(void **state) {
    size_t count = 1;
    (void)state;
    assert_null(lists_rows(NULL, &count));
    assert_int_equal(count, 0);
    assert_int_equal(lists_time(NULL), 0);
    struct lists *l = lists_new(NULL, 0, NULL, 0);
    assert_true(lists_same(l, NULL));
    assert_int_equal(lists_time(l), 0);
    lists_unref(l);
}

static void test_of_one_root_the_highest_number_counts(void **state) {
    (void)state;
    const struct core_crl first[] = {row(SNP_MILAN, 1, 5, "five"), row(SNP_GENOA, 2, 9, "nine")};
    const struct core_crl second[] = {row(SNP_MILAN, 1, 6, "six"), row(SNP_GENOA, 2, 8, "eight"),
                                      row(SNP_MILAN, 3, 1, "another root")};
    struct lists *l = lists_new(first, 2, second, 3);
    size_t count = 0;
    const struct span *spans = lists_spans(l, &count);
    assert_int_equal(count, 3);
    assert_true(span_equal(spans[0], span_str("nine")));
    assert_true(span_equal(spans[1], span_str("six")));
    assert_true(span_equal(spans[2], span_str("another root")));
    lists_unref(l);
}

static void test_the_first_go_before_the_second_when_there_is_no_room(void **state) {
    (void)state;
    struct core_crl first[LIMIT_COLLATERAL_CRLS];
    for (unsigned i = 0; i < LIMIT_COLLATERAL_CRLS; i++) {
        first[i] = row(SNP_MILAN, (uint8_t)(i + 1), 1, "first");
    }
    const struct core_crl second[] = {row(SNP_TURIN, 1, 1, "second")};
    struct lists *l = lists_new(first, LIMIT_COLLATERAL_CRLS, second, 1);
    size_t count = 0;
    const struct core_crl *rows = lists_rows(l, &count);
    assert_int_equal(count, LIMIT_COLLATERAL_CRLS);
    assert_int_equal(rows[count - 1].key.product, SNP_MILAN);
    lists_unref(l);
}

/* A clock that is behind must not make the newest list begin in the future. */
static void test_their_time_is_over(void **state) {
    (void)state;
    struct core_crl rows[] = {row(SNP_MILAN, 1, 1, "a"), row(SNP_GENOA, 2, 1, "b")};
    rows[0].seen = 5000; /* by a clock that may have been wrong then */
    struct lists *l = lists_new(rows, 1, &rows[1], 1);
    assert_int_equal(lists_time(l), 1000);
    lists_unref(l);
    rows[1].this_update = 4000;
    l = lists_new(rows, 1, &rows[1], 1);
    assert_int_equal(lists_time(l), 4000);
    lists_unref(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_of_one_root_the_highest_number_counts),
        cmocka_unit_test(test_the_first_go_before_the_second_when_there_is_no_room),
        cmocka_unit_test(test_their_time_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
