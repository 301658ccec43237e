/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/rejudge.h"

/* A clock that stands where the test puts it, and the highest or lowest random numbers. */
struct bench {
    struct host host;
    uint64_t ms;
    int random;
    struct rejudge members;
};

static uint64_t on_ms(void *data) {
    return ((struct bench *)data)->ms;
}

static int64_t on_unix(void *data) {
    (void)data;
    return 1;
}

static void on_random(void *data, void *out, size_t size) {
    memset(out, ((struct bench *)data)->random, size);
}

static void start(struct bench *b) {
    *b = (struct bench){.ms = 100000};
    b->host = (struct host){b, on_ms, on_unix, on_random};
}

static uint64_t take(struct bench *b) {
    uint64_t id = 0;
    return rejudge_take(&b->members, &b->host, &id) ? id : 0;
}

static void test_each_is_judged_again_after_a_pause_until_it_is_dropped(void **state) {
    struct bench b;
    (void)state;
    start(&b);
    assert_true(rejudge_deadline(&b.members) == UINT64_MAX);
    assert_true(rejudge_put(&b.members, &b.host, 7));
    for (int i = 0; i < 3; i++) {
        uint64_t at = rejudge_deadline(&b.members);
        assert_true(at >= b.ms + LIMIT_REJUDGE_MS / 2 && at <= b.ms + LIMIT_REJUDGE_MS);
        b.ms = at - 1;
        assert_int_equal(take(&b), 0);
        b.ms = at;
        assert_int_equal(take(&b), 7);
        assert_int_equal(take(&b), 0); /* it is being judged */
        assert_true(rejudge_deadline(&b.members) == UINT64_MAX);
        assert_false(rejudge_put(&b.members, &b.host, 7));
    }
    rejudge_drop(&b.members, 8);
    rejudge_drop(&b.members, 7);
    assert_true(rejudge_deadline(&b.members) == UINT64_MAX);
    assert_true(rejudge_put(&b.members, &b.host, 7));
}

static void test_news_bring_it_forward_but_not_without_end(void **state) {
    struct bench b;
    (void)state;
    start(&b);
    (void)rejudge_put(&b.members, &b.host, 7);
    rejudge_hurry(&b.members, &b.host);
    assert_int_equal(rejudge_deadline(&b.members), b.ms + REJUDGE_LEAST_MS);
    b.ms += REJUDGE_LEAST_MS + 5;
    (void)rejudge_put(&b.members, &b.host, 8);
    rejudge_hurry(&b.members, &b.host);
    assert_int_equal(take(&b), 7);
    assert_int_equal(take(&b), 0);
    rejudge_hurry(&b.members, &b.host); /* one that is being judged is not judged twice */
    assert_int_equal(take(&b), 0);
    b.ms += REJUDGE_LEAST_MS;
    assert_int_equal(take(&b), 8);
}

static void test_a_full_house_loses_the_oldest(void **state) {
    struct bench b;
    (void)state;
    start(&b);
    for (uint64_t id = 1; id <= LIMIT_MEMBERS + 1; id++) {
        assert_true(rejudge_put(&b.members, &b.host, id));
    }
    b.ms += LIMIT_REJUDGE_MS;
    for (uint64_t id = 2; id <= LIMIT_MEMBERS + 1; id++) {
        assert_int_equal(take(&b), id);
    }
    assert_int_equal(take(&b), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_is_judged_again_after_a_pause_until_it_is_dropped),
        cmocka_unit_test(test_news_bring_it_forward_but_not_without_end),
        cmocka_unit_test(test_a_full_house_loses_the_oldest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
