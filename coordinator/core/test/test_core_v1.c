/* The core as built for entry version 1: what an old replica does in a cluster that went on.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/core/test/core_world.h"

static int setup(void **state) {
    struct world *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return -1;
    }
    world_init(w);
    *state = w;
    return 0;
}

static int teardown(void **state) {
    world_deinit(*state);
    free(*state);
    return 0;
}

static void found_with_version(struct world *w, uint64_t version) {
    for (size_t i = 0; i < WORLD_FOUNDERS; i++) {
        w->founders[i].version = version;
    }
    world_start(w);
    assert_int_equal(core_level(w->core), version);
}

static void save(const struct world *w, struct buf *out) {
    buf_clear(out);
    core_save(w->core, out);
}

static void test_this_build_knows_version_1(void **state) {
    (void)state;
    assert_int_equal(entry_version, 1);
    assert_int_equal(entry_version_of(ENTRY_COLLATERAL), 0);
    assert_int_equal(entry_version_of(ENTRY_LEVEL), 1);
    assert_int_equal(entry_version_of(ENTRY_RECOVER), 1);
}

/* The level lets it in: this build freezes with the state before it, every bit of it. */
static void test_it_freezes_at_what_it_does_not_know(void **state) {
    struct world *w = *state;
    AUTO(buf_deinit)
    struct buf before = {0};
    AUTO(buf_deinit)
    struct buf after = {0};
    found_with_version(w, 2);
    save(w, &before);
    uint64_t applied = core_applied_index(w->core);
    struct entry_collateral e = world_vek(w, 1, "first");
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(world_apply(w, ENTRY_COLLATERAL, &e), ERR_FROZEN);
        assert_true(w->result.must_freeze);
        assert_false(w->result.decoded);
        assert_non_null(strstr(w->result.text, i == 0 ? "entry of version 2, this replica knows 1"
                                                      : "an entry before this is not known"));
        assert_int_equal(core_applied_index(w->core), applied);
    }
    save(w, &after);
    assert_true(span_equal(buf_span(&before), buf_span(&after)));
    assert_false(core_uses(w->core, ENTRY_COLLATERAL));
    assert_true(core_uses(w->core, ENTRY_ISSUE));
}

/* The level does not: refused, as by a build that could read it (test_core_epoch.c has the same
 * log, and the same hash behind it). */
static void test_it_refuses_what_the_cluster_does_not_use(void **state) {
    struct world *w = *state;
    found_with_version(w, 1);
    struct entry_collateral e = world_vek(w, 1, "first");
    assert_int_equal(world_apply(w, ENTRY_COLLATERAL, &e), ERR_DENIED);
    assert_false(w->result.must_freeze);
    assert_non_null(strstr(w->result.text, "the cluster uses versions up to 1"));
    assert_int_equal(core_applied_index(w->core), w->index);
    uint8_t hash[32];
    char hex[65];
    core_state_hash(w->core, hash);
    hex_encode(SPAN(hash), hex);
    assert_string_equal(hex, WORLD_LEVEL_1_HASH);
}

/* Threads of one process send each other entries as letters, whatever the log may hold. */
static void test_its_own_letters_pass(void **state) {
    struct world *w = *state;
    struct entry_collateral own = world_vek(w, 1, "of a letter inside the process");
    AUTO(buf_deinit)
    struct buf bytes = {0};
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct entry entry;
    entry_encode(ENTRY_COLLATERAL, &own, &bytes);
    assert_int_equal(entry_decode(buf_span(&bytes), &arena, &entry, NULL).code, ERR_FROZEN);
    assert_true(is_ok(entry_decode_own(buf_span(&bytes), &arena, &entry, NULL)));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_this_build_knows_version_1),
        TEST(test_it_freezes_at_what_it_does_not_know),
        TEST(test_it_refuses_what_the_cluster_does_not_use),
        TEST(test_its_own_letters_pass),
    };
    return cmocka_run_group_tests_name("core_v1", tests, NULL, NULL);
}
