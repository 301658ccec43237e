/* A log ends at a survivor, and a new one begins with its state.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/test/cluster.h"

static struct cluster c; /* large: not on the stack */

static struct node *at(size_t i) {
    return c.machines[i].node;
}

static void finish(void) {
    assert_string_equal(c.violation, "");
    assert_true(cluster_is_converged(&c));
    cluster_deinit(&c);
}

static size_t lead(size_t voters) {
    cluster_init(&c, voters, 42);
    size_t leader = cluster_wait_leader(&c);
    assert_int_not_equal(leader, CLUSTER_MAX);
    return leader;
}

/* --- Restore --- */

/* A machine with the state of another that begins a new log. */
static size_t restore_from(size_t from, uint64_t index, uint64_t term) {
    size_t place = cluster_add(&c);
    c.machines[place].hash = c.machines[from].hash;
    c.machines[place].count = c.machines[from].count;
    assert_true(is_ok(node_restore(at(place), index, term, NULL)));
    return place;
}

static void test_restored_log_leads_and_grows(void **state) {
    (void)state;
    cluster_init(&c, 0, 3);
    c.snapshot_padding = 2 * LIMIT_SNAPSHOT_CHUNK;
    size_t first = cluster_add(&c);
    c.machines[first].hash = 77;
    c.machines[first].count = 5000;
    assert_true(is_ok(node_restore(at(first), 5005, 9, NULL)));
    assert_int_equal(cluster_leader(&c), first);
    assert_int_equal(node_term(at(first)), 10);
    assert_int_equal(node_applied_index(at(first)), 5006); /* its barrier */
    assert_int_equal(cluster_wait_leader(&c), first);
    assert_int_equal(node_last_term(at(first)), 10);
    assert_true(is_ok(cluster_submit(&c, first, 32)));
    for (size_t i = 1; i < 3; i++) {
        size_t joiner = cluster_join(&c);
        assert_true(cluster_change(&c, node_add_standby, joiner + 1));
        assert_true(cluster_change(&c, node_promote, joiner + 1));
        assert_int_equal(c.machines[joiner].loads, 1);
        assert_int_equal(c.machines[joiner].count, 5001);
    }
    cluster_crash(&c, first);
    size_t next = cluster_wait_leader(&c);
    assert_int_not_equal(next, CLUSTER_MAX);
    assert_true(is_ok(cluster_submit(&c, next, 32)));
    cluster_run(&c, 200);
    finish();
}

static int configured_calls;

static void count_configured(void *data, uint64_t index, const struct node_member *members,
                             size_t count) {
    (void)data;
    assert_int_equal(index, 40);
    assert_int_equal(count, 1);
    assert_int_equal(members[0].role, NODE_VOTER);
    configured_calls++;
}

static void test_restore_tells_the_configuration(void **state) {
    (void)state;
    cluster_init(&c, 0, 3);
    size_t place = cluster_add(&c);
    configured_calls = 0;
    c.machines[place].io.configured = count_configured;
    assert_true(is_ok(node_restore(at(place), 40, 1, NULL)));
    assert_int_equal(configured_calls, 1);
    assert_true(node_is_configured(at(place), place + 1));
    cluster_deinit(&c);
}

static void test_restore_checks_where_it_begins(void **state) {
    (void)state;
    cluster_init(&c, 0, 3);
    size_t place = cluster_add(&c);
    assert_int_equal(node_restore(at(place), 0, 1, NULL).code, ERR_INVALID);
    assert_int_equal(node_restore(at(place), 1, 0, NULL).code, ERR_INVALID);
    assert_int_equal(node_restore(at(place), UINT64_MAX, 1, NULL).code, ERR_INVALID);
    assert_int_equal(node_restore(at(place), 1, UINT64_MAX, NULL).code, ERR_INVALID);
    assert_int_equal(node_restore(at(place), 1, NODE_CODEC_NUMBER_MAX - 1, NULL).code, ERR_INVALID);
    assert_true(is_ok(node_restore(at(place), 1, 1, NULL))); /* a refusal changed nothing */
    cluster_run(&c, 10);
    assert_true(is_ok(cluster_submit(&c, place, 8)));
    cluster_run(&c, 10);
    assert_int_equal(c.machines[place].count, 1);
    finish();
}

/* --- Conclude --- */

static void submit_many(size_t leader, int count) {
    for (int i = 0; i < count; i++) {
        assert_true(is_ok(cluster_submit(&c, leader, 100)));
    }
}

static bool hide_commits;

/* Followers store everything and never learn that it is committed. */
static bool without_commits(struct cluster *cluster, size_t from, size_t to,
                            const struct node_message *m) {
    (void)from;
    (void)to;
    bool empty = m->kind == NODE_KIND_APPEND && m->body.append.entries.count == 0;
    return !hide_commits || (!empty && cluster->count > 0);
}

/* The leader acknowledges and dies before any follower hears that it was committed. */
static void test_conclude_keeps_what_was_acknowledged(void **state) {
    (void)state;
    size_t leader = lead(3);
    size_t survivor = (leader + 1) % 3;
    submit_many(leader, 10);
    cluster_run(&c, 200);
    c.filter = without_commits;
    hide_commits = true;
    submit_many(leader, 1); /* in one message: what it brings is not committed when it is sent */
    cluster_run(&c, 5);
    assert_int_equal(c.machines[leader].count, 11); /* acknowledged */
    assert_int_equal(c.machines[survivor].count, 10);
    uint64_t hash = c.machines[leader].hash;
    cluster_crash(&c, leader);
    cluster_crash(&c, (leader + 2) % 3);
    assert_true(is_ok(node_conclude(at(survivor), NULL)));
    assert_int_equal(c.machines[survivor].count, 11);
    assert_true(c.machines[survivor].hash == hash);
    assert_int_equal(node_applied_index(at(survivor)), node_last_index(at(survivor)));
    hide_commits = false;
    c.filter = NULL;
    size_t first =
        restore_from(survivor, node_applied_index(at(survivor)), node_last_term(at(survivor)));
    cluster_run(&c, 50);
    assert_int_equal(cluster_leader(&c), first);
    submit_many(first, 3);
    cluster_run(&c, 50);
    assert_int_equal(c.machines[first].count, 14);
    finish();
}

static void test_concluded_is_final(void **state) {
    (void)state;
    size_t leader = lead(3);
    struct err err;
    size_t survivor = (leader + 1) % 3;
    assert_true(is_ok(node_conclude(at(survivor), NULL)));
    assert_true(is_ok(node_conclude(at(survivor), NULL))); /* again */
    assert_int_equal(node_health(at(survivor), &err).code, ERR_FROZEN);
    assert_non_null(strstr(err.text, "concluded"));
    assert_int_equal(node_deadline(at(survivor)), UINT64_MAX);
    assert_int_equal(node_leader(at(survivor)), 0);
    uint64_t applied = node_applied_index(at(survivor));
    struct node_message m = {.kind = NODE_KIND_PROBE, .body.probe = {node_term(at(leader)), 1}};
    assert_int_equal(cluster_forge(&c, leader + 1, survivor, &m).code, ERR_FROZEN);
    assert_int_equal(node_applied_index(at(survivor)), applied);
    cluster_deinit(&c);
}

static enum node_role roles[8];
static uint64_t counts[8];
static size_t role_calls;

static void note_role(void *data, enum node_role role, uint64_t term, uint64_t leader) {
    const struct machine *m = data;
    (void)term;
    (void)leader;
    assert_true(role_calls < 8);
    roles[role_calls] = role;
    counts[role_calls++] = m->count;
}

/* What a leader has not committed was promised to nobody: its owner hears so first. */
static void test_leader_that_concludes_steps_down_first(void **state) {
    (void)state;
    size_t leader = lead(3);
    submit_many(leader, 2);
    cluster_run(&c, 100);
    cluster_connect(&c, 0);
    submit_many(leader, 3);
    role_calls = 0;
    c.machines[leader].io.role_changed = note_role;
    assert_true(is_ok(node_conclude(at(leader), NULL)));
    assert_int_equal(role_calls, 1);
    assert_int_equal(roles[0], NODE_FOLLOWER);
    assert_int_equal(counts[0], 2);
    assert_int_equal(c.machines[leader].count, 5);
    assert_int_equal(cluster_submit(&c, leader, 8).code, ERR_FROZEN);
    cluster_deinit(&c);
}

static void test_conclude_is_refused_with_a_reason(void **state) {
    (void)state;
    struct err err;
    size_t leader = lead(1);
    node_freeze(at(leader), "the host said so");
    assert_int_equal(node_conclude(at(leader), &err).code, ERR_FROZEN);
    assert_non_null(strstr(err.text, "the host said so"));
    size_t joiner = cluster_join(&c);
    assert_int_equal(node_conclude(at(joiner), &err).code, ERR_UNAVAILABLE);
    assert_true(is_ok(node_health(at(joiner), NULL)));
    size_t unstarted = cluster_add(&c);
    assert_int_equal(node_conclude(at(unstarted), &err).code, ERR_UNAVAILABLE);
    cluster_deinit(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_restored_log_leads_and_grows),
        cmocka_unit_test(test_restore_tells_the_configuration),
        cmocka_unit_test(test_restore_checks_where_it_begins),
        cmocka_unit_test(test_conclude_keeps_what_was_acknowledged),
        cmocka_unit_test(test_concluded_is_final),
        cmocka_unit_test(test_leader_that_concludes_steps_down_first),
        cmocka_unit_test(test_conclude_is_refused_with_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
