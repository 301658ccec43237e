/* What may follow what was seen. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "initializer/lineage.h"

static const struct lineage seen = {.is_known = true,
                                    .cluster = {1},
                                    .epoch = 3,
                                    .generation = 7,
                                    .head = {9},
                                    .confirmed_index = 100};

static void test_table(void **state) {
    (void)state;
    static const struct {
        struct lineage now;
        enum err_code code;
    } rows[] = {
        {{true, {1}, 3, 7, {9}, 100}, ERR_OK},
        {{true, {1}, 3, 7, {9}, 101}, ERR_OK},
        {{true, {1}, 3, 8, {8}, 200}, ERR_OK},
        {{true, {1}, 4, 7, {8}, 1}, ERR_OK}, /* recovered: the index starts anew */
        {{true, {1}, 4, 9, {8}, 1}, ERR_OK},
        {{true, {1}, UINT64_MAX, UINT64_MAX, {8}, 0}, ERR_OK},
        {{true, {1}, 2, 7, {9}, 100}, ERR_ROLLBACK},  /* an old quorum woke up ... */
        {{true, {1}, 2, 99, {9}, 999}, ERR_ROLLBACK}, /* ... and went on alone */
        {{true, {1}, 0, 7, {9}, 100}, ERR_ROLLBACK},
        {{true, {1}, 3, 6, {9}, 100}, ERR_ROLLBACK},
        {{true, {1}, 4, 6, {9}, 100}, ERR_ROLLBACK}, /* recovered from an old checkpoint */
        {{true, {1}, 3, 7, {9}, 99}, ERR_ROLLBACK},
        {{true, {1}, 3, 8, {8}, 99}, ERR_ROLLBACK},
        {{true, {1}, 3, 7, {8}, 100}, ERR_FORK},
        {{true, {2}, 3, 7, {9}, 100}, ERR_DIFFERS}, /* another deployment */
        {{true, {2}, 9, 9, {9}, 900}, ERR_DIFFERS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err;
        enum err_code code = lineage_check(&seen, &rows[i].now, &err).code;
        if (code != rows[i].code) {
            fail_msg("row %zu: %s", i, err_name(code));
        }
    }
}

static void test_anything_may_come_first(void **state) {
    (void)state;
    struct lineage nothing = {0};
    assert_int_equal(lineage_check(&nothing, &seen, NULL).code, ERR_OK);
    assert_false(lineage_is_same(&nothing, &seen));
}

static void test_a_refusal_says_both_numbers(void **state) {
    (void)state;
    struct lineage old = seen;
    struct err err;
    old.epoch = 2;
    assert_int_equal(lineage_check(&seen, &old, &err).code, ERR_ROLLBACK);
    assert_non_null(strstr(err.text, "epoch 2"));
    assert_non_null(strstr(err.text, "3 was seen"));
}

static void test_a_statement_becomes_a_position(void **state) {
    (void)state;
    struct replica_statement s = {.cluster = {1},
                                  .epoch = 3,
                                  .generation = 7,
                                  .head = {9},
                                  .commit_index = 120,
                                  .has_confirmed = true,
                                  .confirmed_index = 100};
    struct lineage l = lineage_of(&s);
    assert_true(lineage_is_same(&l, &seen));
    assert_int_equal(l.confirmed_index, 100);
    l.confirmed_index = 101;
    assert_true(lineage_is_same(&l, &seen));
    l.head[31] = 1;
    assert_false(lineage_is_same(&l, &seen));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_anything_may_come_first),
        cmocka_unit_test(test_a_refusal_says_both_numbers),
        cmocka_unit_test(test_a_statement_becomes_a_position),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
