/* Leadership handed over, in virtual time with links of one millisecond.
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
    c.filter = NULL;
    cluster_run(&c, 1000);
    assert_string_equal(c.violation, "");
    assert_true(cluster_is_converged(&c));
    cluster_deinit(&c);
}

static size_t lead(size_t voters, uint64_t seed) {
    cluster_init(&c, voters, seed);
    size_t leader = cluster_wait_leader(&c);
    assert_int_not_equal(leader, CLUSTER_MAX);
    cluster_run(&c, 200);
    return leader;
}

/* Milliseconds in which nobody takes a command, under load up to the last moment. */
static uint64_t gap(size_t leader, uint64_t to) {
    uint64_t began = c.now;
    for (int i = 0; i < 20; i++) {
        assert_true(is_ok(cluster_submit(&c, leader, 100)));
    }
    assert_true(is_ok(node_transfer(at(leader), to, NULL)));
    assert_true(node_is_changing(at(leader)));
    assert_int_equal(cluster_submit(&c, leader, 8).code, ERR_UNAVAILABLE);
    for (int i = 0; i < 500; i++) {
        cluster_run(&c, 1);
        size_t next = cluster_leader(&c);
        if (next != leader && next != CLUSTER_MAX && is_ok(cluster_submit(&c, next, 8))) {
            return c.now - began;
        }
    }
    return UINT64_MAX;
}

static void test_transfer_takes_a_few_round_trips(void **state) {
    (void)state;
    uint64_t longest = 0;
    for (size_t voters = 2; voters <= 5; voters++) {
        for (uint64_t seed = 1; seed <= 20; seed++) {
            size_t leader = lead(voters, seed);
            uint64_t took = gap(leader, seed % 2 == 0 ? 0 : (leader + 1) % voters + 1);
            assert_true(took <= 8);
            longest = took > longest ? took : longest;
            cluster_run(&c, 100);
            assert_false(node_is_changing(at(leader)));
            assert_int_equal(c.machines[leader].count, 21); /* nothing was lost on the way */
            finish();
        }
    }
    print_message("at most %u ms\n", (unsigned)longest);
}

static uint64_t slow_since;
static size_t slow;

/* One follower acknowledges nothing for a while. */
static bool hold_acks(struct cluster *cluster, size_t from, size_t to,
                      const struct node_message *m) {
    (void)to;
    return from != slow || m->kind != NODE_KIND_APPEND_RESULT || cluster->now >= slow_since + 30;
}

/* The one that has most is chosen; told to take one that lags, it waits until that has everything.
 */
static void test_lagging_target_catches_up_first(void **state) {
    (void)state;
    size_t leader = lead(3, 5);
    slow = (leader + 1) % 3;
    slow_since = c.now;
    c.filter = hold_acks;
    for (int i = 0; i < 20; i++) {
        assert_true(is_ok(cluster_submit(&c, leader, 100)));
    }
    cluster_run(&c, 5);
    struct node_progress progress;
    assert_true(node_peer_progress(at(leader), slow + 1, &progress));
    assert_true(progress.match < node_last_index(at(leader)));
    assert_true(is_ok(node_transfer(at(leader), slow + 1, NULL)));
    assert_int_equal(raft_transferee(&at(leader)->raft), 0); /* not yet */
    cluster_run(&c, 20);
    assert_int_equal(cluster_leader(&c), leader);
    cluster_run(&c, 25);
    assert_int_equal(cluster_leader(&c), slow);
    finish();

    leader = lead(3, 6);
    slow = (leader + 1) % 3;
    slow_since = c.now;
    c.filter = hold_acks;
    assert_true(is_ok(cluster_submit(&c, leader, 100)));
    cluster_run(&c, 5);
    assert_true(is_ok(node_transfer(at(leader), 0, NULL)));
    cluster_run(&c, 8);
    assert_int_equal(cluster_leader(&c), (leader + 2) % 3);
    finish();
}

static size_t role_calls;
static enum node_role last_role;
static uint64_t last_leader;

static void note_role(void *data, enum node_role role, uint64_t term, uint64_t leader) {
    (void)data;
    (void)term;
    role_calls++;
    last_role = role;
    last_leader = leader;
}

static bool no_timeout_now(struct cluster *cluster, size_t from, size_t to,
                           const struct node_message *m) {
    (void)cluster;
    (void)from;
    (void)to;
    return m->kind != NODE_KIND_TIMEOUT_NOW;
}

static void test_transfer_is_given_up(void **state) {
    (void)state;
    size_t leader = lead(3, 5);
    uint64_t term = node_term(at(leader));
    c.filter = no_timeout_now;
    role_calls = 0;
    c.machines[leader].io.role_changed = note_role;
    assert_true(is_ok(node_transfer(at(leader), 0, NULL)));
    assert_int_equal(node_transfer(at(leader), 0, NULL).code, ERR_UNAVAILABLE);
    assert_int_equal(node_remove(at(leader), (leader + 1) % 3 + 1, NULL).code, ERR_UNAVAILABLE);
    cluster_run(&c, c.options.election_timeout_ms / 2 - 1);
    assert_int_equal(cluster_submit(&c, leader, 8).code, ERR_UNAVAILABLE);
    assert_int_equal(role_calls, 0);
    cluster_run(&c, 2);
    assert_int_equal(role_calls, 1); /* once more what is known: submits are taken again */
    assert_int_equal(last_role, NODE_LEADER);
    assert_int_equal(last_leader, leader + 1);
    assert_true(is_ok(cluster_submit(&c, leader, 8)));
    assert_int_equal(node_term(at(leader)), term);
    finish();
}

static void test_target_that_dies_is_given_up_at_once(void **state) {
    (void)state;
    size_t leader = lead(3, 5);
    size_t target = (leader + 1) % 3;
    assert_true(is_ok(node_transfer(at(leader), target + 1, NULL)));
    cluster_crash(&c, target);
    role_calls = 0;
    c.machines[leader].io.role_changed = note_role;
    node_leader_gone(at(leader), target + 1);
    assert_int_equal(role_calls, 1);
    assert_true(is_ok(cluster_submit(&c, leader, 8)));
    assert_true(is_ok(node_transfer(at(leader), (leader + 2) % 3 + 1, NULL))); /* the next best */
    cluster_run(&c, 10);
    assert_int_equal(cluster_leader(&c), (leader + 2) % 3);
    finish();
}

static void test_silent_voters_are_not_chosen(void **state) {
    (void)state;
    size_t leader = lead(3, 5);
    size_t dead = (leader + 1) % 3;
    cluster_crash(&c, dead);
    cluster_run(&c, c.options.election_timeout_ms);
    struct err err;
    assert_int_equal(node_transfer(at(leader), dead + 1, &err).code, ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "not heard of"));
    assert_true(is_ok(node_transfer(at(leader), 0, NULL)));
    cluster_run(&c, 10);
    assert_int_equal(cluster_leader(&c), (leader + 2) % 3);
    finish();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transfer_takes_a_few_round_trips),
        cmocka_unit_test(test_lagging_target_catches_up_first),
        cmocka_unit_test(test_transfer_is_given_up),
        cmocka_unit_test(test_target_that_dies_is_given_up_at_once),
        cmocka_unit_test(test_silent_voters_are_not_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
