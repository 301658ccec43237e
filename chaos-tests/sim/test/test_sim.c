/* Tests of whole clusters in virtual time: many seeds, those that found something once, and each
 * run twice is the same run.
 *
 * SIM_SEEDS (default 2000) says how many seeds, SIM_JOBS (default: one a processor) in how many
 * processes; a seed that fails prints how to see it again.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "chaos-tests/sim/sim_shrink.h"

#define SEEDS 2000
#define TWICE 10
#define SEED_FILE "chaos-tests/sim/seeds.txt"

static uint64_t number_of(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void print_failure(uint64_t seed, const char *faults, const struct sim_result *r) {
    if (!r->is_good) {
        print_error("seed %llu: %s (reproduce: contrast-sim --seed %llu%s%s)\n",
                    (unsigned long long)seed, r->why, (unsigned long long)seed,
                    faults[0] == 0 ? "" : " --faults ", faults);
    }
}

struct sum {
    struct sim_result all;
    uint64_t count, failed;
};

static void add(void *data, uint64_t seed, const struct sim_result *r) {
    struct sum *sum = data;
    print_failure(seed, "", r);
    sim_result_add(&sum->all, r);
    sum->failed += r->is_good ? 0 : 1;
    sum->count++;
}

static void test_every_seed_keeps_its_promises(void **state) {
    (void)state;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    struct sum sum = {0};
    const struct sim_batch batch = {
        .first = 1,
        .count = number_of("SIM_SEEDS", SEEDS),
        .jobs = (unsigned)number_of("SIM_JOBS", processors > 0 ? (uint64_t)processors : 1),
        .done = add,
        .data = &sum,
    };
    assert_in_range(batch.jobs, 1, SIM_JOBS_MAX);
    sim_batch_run(&batch);
    sim_result_print(&sum.all, stdout);
    assert_int_equal(sum.count, batch.count);
    assert_int_equal(sum.failed, 0);
}

/* --- Seeds that found something */

static size_t read_faults(char *text, unsigned out[SIM_FAULTS_MAX]) {
    size_t count = 0;
    char *rest = NULL;
    for (char *word = strtok_r(text, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest)) {
        assert_true(count < SIM_FAULTS_MAX);
        out[count++] = (unsigned)strtoul(word, NULL, 10);
    }
    return count;
}

/* False: a line without a seed. */
static bool run_line(const char *line, bool *is_good) {
    unsigned faults[SIM_FAULTS_MAX];
    char list[256] = "";
    char copy[256] = "";
    static const char option[] = " --faults ";
    struct sim_result result;
    char *rest = NULL;
    unsigned long long seed = strtoull(line, &rest, 10);
    if (rest == line) {
        return false;
    }
    bool has_list = strncmp(rest, option, sizeof option - 1) == 0;
    if (has_list) {
        const char *begin = rest + sizeof option - 1;
        snprintf(list, sizeof list, "%.*s", (int)strspn(begin, "0123456789,"), begin);
    }
    struct sim_options options = {.seed = seed};
    snprintf(copy, sizeof copy, "%s", list);
    if (has_list) {
        options.faults = faults;
        options.fault_count = read_faults(copy, faults);
    }
    sim_run(&options, &result);
    print_failure(seed, list, &result);
    *is_good = *is_good && result.is_good;
    return true;
}

static void test_seeds_that_found_something(void **state) {
    (void)state;
    FILE *file = fopen(SEED_FILE, "re");
    char line[512];
    bool is_good = true;
    size_t count = 0;
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        count += run_line(line, &is_good) ? 1 : 0;
    }
    fclose(file);
    print_message("%zu seeds of %s\n", count, SEED_FILE);
    assert_true(count > 5);
    assert_true(is_good);
}

/* --- What a run is */

static void run(uint64_t seed, struct sim_result *out) {
    const struct sim_options options = {.seed = seed};
    sim_run(&options, out);
    print_failure(seed, "", out);
}

/* A simulation in which nothing happens would pass everything. */
static void test_runs_are_not_idle(void **state) {
    (void)state;
    struct sim_result sum = {0};
    uint64_t faults = 0;
    for (uint64_t seed = 1; seed <= 2 * TWICE; seed++) {
        struct sim_result result;
        run(seed, &result);
        sim_result_add(&sum, &result);
    }
    for (unsigned i = 0; i < SIM_KINDS; i++) {
        faults += sum.faults[i];
    }
    assert_true(sum.sets > 3 * TWICE);
    assert_true(sum.issues > 10 * TWICE);
    assert_true(sum.confirms > 10 * TWICE);
    assert_true(sum.endorsements > 5 * TWICE);
    assert_true(sum.joins > TWICE);
    assert_true(sum.elections > TWICE);
    assert_true(sum.old_messages > TWICE);
    assert_true(faults > 10 * TWICE);
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

/* Leaving faults out moves none of the others. */
static void test_a_plan_is_the_seed_s(void **state) {
    (void)state;
    struct sim_plan *a = mem_alloc(sizeof *a);
    struct sim_plan *b = mem_alloc(sizeof *b);
    bool seen[SIM_PROFILES] = {false};
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        sim_plan_make(seed, 0, 0, a);
        sim_plan_make(seed, 0, 0, b);
        assert_memory_equal(a, b, sizeof *a);
        assert_true(a->founders + a->spares <= SIM_SLOTS);
        assert_true(a->fault_count > 0 && a->fault_count <= SIM_FAULTS_MAX);
        seen[a->profile] = true;
    }
    for (unsigned i = 0; i < SIM_PROFILES; i++) {
        assert_true(seen[i]);
    }
    mem_free(a);
    mem_free(b);
}

/* --- Shrinking, and what stops a process */

static void test_words_of_a_reason(void **state) {
    (void)state;
    char words[24];
    sim_shrink_words("at 123 ms: pod 17: another ledger at size 4", words, sizeof words);
    assert_string_equal(words, "pod #: another ledger a");
    sim_shrink_words("stopped by signal 6", words, sizeof words);
    assert_string_equal(words, "stopped by signal #");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_of_a_reason),
        cmocka_unit_test(test_a_plan_is_the_seed_s),
        cmocka_unit_test(test_a_seed_is_one_run),
        cmocka_unit_test(test_runs_are_not_idle),
        cmocka_unit_test(test_seeds_that_found_something),
        cmocka_unit_test(test_every_seed_keeps_its_promises),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
