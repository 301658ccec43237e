/* Tests of whole clusters in virtual time: many seeds, and each run twice is the same run.
 *
 * SIM_SEEDS (default 500) says how many seeds; a seed that fails prints how to see it again.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "chaos-tests/sim/sim.h"

#define SEEDS 500
#define TWICE 10

static uint64_t seed_count(void) {
    const char *text = getenv("SIM_SEEDS");
    return text == NULL ? SEEDS : strtoull(text, NULL, 10);
}

static void run(uint64_t seed, struct sim_result *out) {
    struct sim_options options = {.seed = seed, .chaos_ms = SIM_CHAOS_MS, .rest_ms = SIM_REST_MS};
    sim_run(&options, out);
    if (!out->is_good) {
        print_error("seed %llu: %s (reproduce: contrast-sim --seed %llu --verbose)\n",
                    (unsigned long long)seed, out->why, (unsigned long long)seed);
    }
}

static void add(struct sim_result *sum, const struct sim_result *r) {
    sum->steps += r->steps;
    sum->sets += r->sets;
    sum->issues += r->issues;
    sum->confirms += r->confirms;
    sum->endorsements += r->endorsements;
    sum->crashes += r->crashes;
    sum->joins += r->joins;
    sum->cuts += r->cuts;
    sum->pauses += r->pauses;
    sum->elections += r->elections;
}

static void print_sum(const struct sim_result *sum, uint64_t seeds) {
    print_message(
        "%llu seeds: %llu steps, %llu sets, %llu certificates, %llu confirmations, "
        "%llu endorsements; %llu crashes, %llu joins, %llu cuts, %llu pauses, %llu elections\n",
        (unsigned long long)seeds, (unsigned long long)sum->steps, (unsigned long long)sum->sets,
        (unsigned long long)sum->issues, (unsigned long long)sum->confirms,
        (unsigned long long)sum->endorsements, (unsigned long long)sum->crashes,
        (unsigned long long)sum->joins, (unsigned long long)sum->cuts,
        (unsigned long long)sum->pauses, (unsigned long long)sum->elections);
}

static void test_every_seed_keeps_its_promises(void **state) {
    (void)state;
    uint64_t seeds = seed_count();
    uint64_t failed = 0;
    struct sim_result sum = {0};
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct sim_result result;
        run(seed, &result);
        failed += result.is_good ? 0 : 1;
        add(&sum, &result);
    }
    print_sum(&sum, seeds);
    assert_int_equal(failed, 0);
}

/* A simulation in which nothing happens would pass everything. */
static void test_runs_are_not_idle(void **state) {
    (void)state;
    struct sim_result sum = {0};
    for (uint64_t seed = 1; seed <= TWICE; seed++) {
        struct sim_result result;
        run(seed, &result);
        add(&sum, &result);
    }
    assert_true(sum.sets > 3 * TWICE);
    assert_true(sum.issues > 10 * TWICE);
    assert_true(sum.confirms > 10 * TWICE);
    assert_true(sum.endorsements > 5 * TWICE);
    assert_true(sum.crashes > 0);
    assert_true(sum.joins > TWICE);
    assert_true(sum.cuts > TWICE);
    assert_true(sum.pauses > TWICE);
    assert_true(sum.elections > TWICE);
}

static void test_a_seed_is_one_run(void **state) {
    (void)state;
    uint8_t other[32] = {0};
    for (uint64_t seed = 1; seed <= TWICE; seed++) {
        struct sim_result first;
        struct sim_result second;
        run(seed, &first);
        run(seed, &second);
        assert_memory_equal(first.trace, second.trace, sizeof first.trace);
        assert_memory_not_equal(first.trace, other, sizeof other);
        memcpy(other, first.trace, sizeof other);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_seed_is_one_run),
        cmocka_unit_test(test_runs_are_not_idle),
        cmocka_unit_test(test_every_seed_keeps_its_promises),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
