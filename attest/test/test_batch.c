/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "attest/batch.h"
#include "lib/base/limits.h"

/* Every ticket points to its place in `leaves`. */
struct fixture {
    struct batch batch;
    struct batch_round round;
    uint8_t leaves[LIMIT_PENDING_REQUESTS + 1][ATTEST_LEAF_SIZE];
    uint8_t report_data[ATTEST_REPORT_DATA_SIZE];
    size_t next;   /* the leaf whose ticket must come next */
    size_t failed; /* tickets that got an error */
};

static struct fixture fixture;

static int set_up(void **state) {
    fixture = (struct fixture){0};
    for (size_t i = 0; i <= LIMIT_PENDING_REQUESTS; i++) {
        store_u32be(fixture.leaves[i], (uint32_t)i);
    }
    *state = &fixture;
    return 0;
}

static struct result add(struct fixture *f, size_t index) {
    return batch_add(&f->batch, f->leaves[index], f->leaves[index], NULL);
}

static void on_done(void *data, void *ticket, const struct batch_place *place,
                    const struct err *err) {
    struct fixture *f = data;
    assert_ptr_equal(ticket, f->leaves[f->next]);
    if (place == NULL) {
        assert_int_equal(err->code, ERR_UNAVAILABLE);
        f->failed++;
    } else {
        uint8_t root[MERKLE_HASH_SIZE];
        uint8_t report_data[ATTEST_REPORT_DATA_SIZE];
        assert_null(err);
        assert_true(is_ok(merkle_path_root(f->leaves[f->next], place->leaf_index, place->leaf_count,
                                           place->path, root, NULL)));
        attest_report_data(place->leaf_count, root, report_data);
        assert_memory_equal(report_data, f->report_data, sizeof report_data);
    }
    f->next++;
}

static void finish(struct fixture *f) {
    memcpy(f->report_data, f->round.report_data, sizeof f->report_data);
    batch_round_finish(&f->round, on_done, f);
}

static void test_nothing_to_take(void **state) {
    struct fixture *f = *state;
    assert_false(batch_take(&f->batch, &f->round));
    batch_deinit(&f->batch);
}

static void test_lone_request_is_taken_at_once(void **state) {
    struct fixture *f = *state;
    assert_true(is_ok(add(f, 0)));
    assert_true(batch_take(&f->batch, &f->round));
    assert_int_equal(f->round.count, 1);
    finish(f);
    assert_int_equal(f->next, 1);
    batch_deinit(&f->batch);
}

static void test_late_requests_wait_for_the_next_round(void **state) {
    struct fixture *f = *state;
    assert_true(is_ok(add(f, 0)));
    assert_true(batch_take(&f->batch, &f->round));
    for (size_t i = 1; i < 6; i++) {
        assert_true(is_ok(add(f, i)));
    }
    finish(f);
    assert_int_equal(f->next, 1);
    assert_true(batch_take(&f->batch, &f->round));
    assert_int_equal(f->round.count, 5);
    finish(f);
    assert_int_equal(f->next, 6);
    batch_deinit(&f->batch);
}

static void test_bounds(void **state) {
    struct fixture *f = *state;
    for (size_t i = 0; i < LIMIT_PENDING_REQUESTS; i++) {
        assert_true(is_ok(add(f, i)));
    }
    assert_int_equal(add(f, LIMIT_PENDING_REQUESTS).code, ERR_BUSY);
    while (batch_take(&f->batch, &f->round)) {
        assert_true(f->round.count <= LIMIT_EVIDENCE_LEAVES);
        finish(f);
    }
    assert_int_equal(f->next, LIMIT_PENDING_REQUESTS);
    batch_deinit(&f->batch);
}

static void test_failure_reaches_each(void **state) {
    struct fixture *f = *state;
    struct err err;
    assert_int_equal(err_set(&err, ERR_UNAVAILABLE, "the host is gone").code, ERR_UNAVAILABLE);
    for (size_t i = 0; i < 3; i++) {
        assert_true(is_ok(add(f, i)));
    }
    assert_true(batch_take(&f->batch, &f->round));
    batch_round_fail(&f->round, &err, on_done, f);
    assert_int_equal(f->failed, 3);
    batch_deinit(&f->batch);
}

#define T(name) cmocka_unit_test_setup(name, set_up)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_nothing_to_take),
        T(test_lone_request_is_taken_at_once),
        T(test_late_requests_wait_for_the_next_round),
        T(test_bounds),
        T(test_failure_reaches_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
