/* Tests of the simulation itself: with each rule of the product taken out, a seed that is known to
 * show it fails, or one right behind it; with all rules in place the same seeds pass.
 *
 * The table of docs/simulation.md comes from longer runs of contrast-sim-mutable --without RULE.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "chaos-tests/sim/sim_batch.h"
#include "chaos-tests/sim/sim_mutation.h"

#define SEEDS 3 /* the known one, and those behind it */
#define JOBS 2

static const struct {
    const char *name;
    uint64_t seed;
} known[] = {
    {"R1", 1},       {"R2", 11},          {"R3", 4},       {"R4", 9},   {"R5", 1},    {"R6", 3},
    {"fence", 1},    {"quorum-read", 31}, {"once", 4},     {"swap", 1}, {"name", 1},  {"time", 11},
    {"mesh-key", 1}, {"applied", 18},     {"removed", 22}, {"P3", 10},  {"R7", 2813},
};

struct noticed {
    uint64_t count;
    struct sim_result first;
};

static void note(void *data, uint64_t seed, const struct sim_result *r) {
    struct noticed *n = data;
    (void)seed;
    if (!r->is_good && n->count++ == 0) {
        n->first = *r;
    }
}

static void run(uint64_t seed, struct noticed *out) {
    const struct sim_batch batch = {
        .first = seed, .count = SEEDS, .jobs = JOBS, .done = note, .data = out};
    *out = (struct noticed){0};
    sim_batch_run(&batch);
}

static void test_every_rule_is_missed(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct noticed n;
        assert_true(sim_mutation_set(known[i].name));
        run(known[i].seed, &n);
        assert_true(sim_mutation_set(NULL));
        print_message("without %s, seeds %llu to %llu: %llu failed: %s\n", known[i].name,
                      (unsigned long long)known[i].seed,
                      (unsigned long long)known[i].seed + SEEDS - 1, (unsigned long long)n.count,
                      n.first.why);
        assert_true(n.count > 0);
    }
}

static void test_with_all_rules_the_same_seeds_pass(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct noticed n;
        run(known[i].seed, &n);
        if (n.count > 0) {
            print_error("seed %llu or behind it: %s\n", (unsigned long long)known[i].seed,
                        n.first.why);
        }
        assert_int_equal(n.count, 0);
    }
}

/* Every rule that can be taken out stands in the table above. */
static void test_the_table_is_whole(void **state) {
    (void)state;
    for (size_t i = 0; sim_mutation_name(i) != NULL; i++) {
        bool is_known = false;
        for (size_t j = 0; j < sizeof known / sizeof known[0]; j++) {
            is_known = is_known || strcmp(known[j].name, sim_mutation_name(i)) == 0;
        }
        if (!is_known) {
            print_error("%s has no seed\n", sim_mutation_name(i));
        }
        assert_true(is_known);
    }
    assert_false(sim_mutation_set("no such rule"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_table_is_whole),
        cmocka_unit_test(test_every_rule_is_missed),
        cmocka_unit_test(test_with_all_rules_the_same_seeds_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
