/* Tests of kill points: each scenario, with its leader and with a follower as the subject.
 *
 * SIM_KILL_LIMIT (default 150): about so many points of each run, by a fixed stride; 0 = all.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "chaos-tests/sim/sim_kill.h"

#define LIMIT 150

static size_t limit(void) {
    const char *text = getenv("SIM_KILL_LIMIT");
    return text == NULL ? LIMIT : (size_t)strtoull(text, NULL, 10);
}

static void run(enum sim_scenario scenario, uint64_t seed, struct sim_kill_result *out) {
    const struct sim_kill_options options = {.scenario = scenario, .seed = seed, .limit = limit()};
    sim_kill_run(&options, out);
    print_message("%s, seed %llu: %zu steps, %zu of %zu points ran, %zu crashes, %zu spared, "
                  "%zu recoveries\n",
                  sim_kill_name(scenario), (unsigned long long)seed, out->steps, out->ran,
                  out->points, out->killed, out->spared, out->recoveries);
    if (!out->is_good) {
        print_error("%s\n", out->why);
    }
    assert_true(out->is_good);
    assert_int_equal(out->ran, out->killed + out->spared);
    assert_true(out->killed > out->spared);
}

static void run_both(enum sim_scenario scenario, size_t steps_min) {
    for (uint64_t seed = 1; seed <= 2; seed++) {
        struct sim_kill_result r;
        run(scenario, seed, &r);
        assert_true(r.steps >= steps_min);
        assert_true(r.points > 2 * r.steps);
    }
}

static void test_set(void **state) {
    (void)state;
    run_both(SIM_KILL_SET, 50);
}

static void test_join(void **state) {
    (void)state;
    run_both(SIM_KILL_JOIN, 100);
}

static void test_replace(void **state) {
    (void)state;
    run_both(SIM_KILL_REPLACE, 100);
}

static void test_leave(void **state) {
    (void)state;
    run_both(SIM_KILL_LEAVE, 100);
}

/* Some crashes cost the new epoch: then there is one more. */
static void test_recover(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        struct sim_kill_result r;
        run(SIM_KILL_RECOVER, seed, &r);
        assert_true(r.recoveries > 1 + r.ran);
    }
}

static void test_names(void **state) {
    (void)state;
    for (unsigned i = SIM_KILL_SET; i < SIM_SCENARIO_COUNT; i++) {
        assert_int_equal(sim_kill_find(sim_kill_name((enum sim_scenario)i)), i);
    }
    assert_int_equal(sim_kill_find("sit"), 0);
    assert_null(sim_kill_name(SIM_SCENARIO_COUNT));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names), cmocka_unit_test(test_set),
        cmocka_unit_test(test_join),  cmocka_unit_test(test_replace),
        cmocka_unit_test(test_leave), cmocka_unit_test(test_recover),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
