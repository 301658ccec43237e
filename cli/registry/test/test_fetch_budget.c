/* The budget of memory: shares, who gives way to whom, and that all threads get to the end.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cli/registry/fetch_budget.h"
#include "lib/base/err.h"

#define TOTAL 100
#define THREADS 8
#define ROUNDS 200

static struct fetch_budget budget;

static void test_shares(void **state) {
    (void)state;
    struct fetch_stake a = {0};
    struct fetch_stake b = {0};
    fetch_budget_init(&budget, TOTAL);
    fetch_budget_enter(&budget, &a, 1, 10);
    fetch_budget_enter(&budget, &b, 2, 20);
    assert_int_equal(budget.free, 70);
    assert_true(fetch_stake_grow(&a, 50));
    assert_true(fetch_stake_grow(&a, 5)); /* never shrinks */
    assert_int_equal(budget.free, 30);
    assert_true(fetch_stake_grow(&b, 50));
    assert_int_equal(budget.free, 0);
    fetch_stake_leave(&a);
    assert_true(fetch_stake_grow(&b, TOTAL));
    fetch_stake_leave(&b);
    fetch_budget_deinit(&budget);
}

static void *grow_to_all(void *data) {
    struct fetch_stake *s = data;
    assert_true(fetch_stake_grow(s, TOTAL));
    return NULL;
}

/* The first one wants all: the last one is told, then the one before it; nobody else. */
static void test_the_last_gives_way(void **state) {
    (void)state;
    struct fetch_stake stakes[3] = {0};
    pthread_t thread;
    fetch_budget_init(&budget, TOTAL);
    fetch_budget_enter(&budget, &stakes[1], 2, 30);
    fetch_budget_enter(&budget, &stakes[0], 1, 10);
    fetch_budget_enter(&budget, &stakes[2], 3, 60);
    assert_int_equal(pthread_create(&thread, NULL, grow_to_all, &stakes[0]), 0);
    /* Both wait, and only the first one gets what it waits for. */
    assert_false(fetch_stake_grow(&stakes[2], 61));
    assert_true(fetch_stake_must_leave(&stakes[2]));
    fetch_stake_leave(&stakes[2]);
    assert_false(fetch_stake_grow(&stakes[1], TOTAL));
    fetch_stake_leave(&stakes[1]);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(stakes[0].held, TOTAL);
    assert_false(fetch_stake_must_leave(&stakes[0]));
    fetch_stake_leave(&stakes[0]);
    fetch_budget_deinit(&budget);
}

static void *enter_all(void *data) {
    struct fetch_stake *s = data;
    fetch_budget_enter(&budget, s, 7, TOTAL);
    return NULL;
}

static void test_enter_waits(void **state) {
    (void)state;
    struct fetch_stake a = {0};
    struct fetch_stake b = {0};
    pthread_t thread;
    fetch_budget_init(&budget, TOTAL);
    fetch_budget_enter(&budget, &a, 1, 1);
    assert_int_equal(pthread_create(&thread, NULL, enter_all, &b), 0);
    assert_true(fetch_stake_grow(&a, TOTAL));
    fetch_stake_leave(&a);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(b.held, TOTAL);
    fetch_stake_leave(&b);
    fetch_budget_deinit(&budget);
}

/* ---- many threads ---- */

static pthread_mutex_t used_mutex = PTHREAD_MUTEX_INITIALIZER;
static size_t used;
static size_t next_order;

static void use(size_t old, size_t size) {
    pthread_mutex_lock(&used_mutex);
    used += size;
    used -= old;
    CHECK(used <= TOTAL);
    pthread_mutex_unlock(&used_mutex);
}

/* Grows at random up to anything; true when nobody told it to leave. */
static bool live_once(size_t order, unsigned *seed) {
    struct fetch_stake s = {0};
    size_t most = 6 + (size_t)rand_r(seed) % (TOTAL - 5);
    size_t have = 6;
    bool is_granted = true;
    fetch_budget_enter(&budget, &s, order, have);
    use(0, have);
    while (is_granted && have < most) {
        size_t want = have + 1 + (size_t)rand_r(seed) % 30;
        want = want < most ? want : most;
        is_granted = fetch_stake_grow(&s, want);
        use(is_granted ? have : 0, is_granted ? want : 0);
        have = is_granted ? want : have;
    }
    use(have, 0);
    fetch_stake_leave(&s);
    return is_granted;
}

static void *live(void *data) {
    unsigned seed = *(unsigned *)data;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&used_mutex);
        size_t order = next_order++;
        pthread_mutex_unlock(&used_mutex);
        while (!live_once(order, &seed)) {
        }
    }
    return NULL;
}

static void test_all_end(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    unsigned seeds[THREADS];
    fetch_budget_init(&budget, TOTAL);
    for (unsigned i = 0; i < THREADS; i++) {
        seeds[i] = i + 1;
        assert_int_equal(pthread_create(&threads[i], NULL, live, &seeds[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(used, 0);
    fetch_budget_deinit(&budget);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_the_last_gives_way),
        cmocka_unit_test(test_enter_waits),
        cmocka_unit_test(test_all_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
