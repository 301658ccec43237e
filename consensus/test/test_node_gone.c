/* Links that report a leader's process gone: rightly, wrongly, and again and again.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/test/cluster.h"

#define MAX(a, b) ((a) > (b) ? (a) : (b))

static struct cluster c; /* large: not on the stack */

static struct node *at(size_t i) {
    return c.machines[i].node;
}

static void finish(void) {
    assert_string_equal(c.violation, "");
    assert_true(cluster_is_converged(&c));
    cluster_deinit(&c);
}

static size_t lead(size_t voters, uint64_t seed) {
    cluster_init(&c, voters, seed);
    c.options.election_timeout_ms = 1000; /* as in the product */
    c.options.heartbeat_ms = 100;
    c.options.gone_timeout_ms = 20;
    for (size_t i = 0; i < voters; i++) {
        at(i)->options = c.options;
        raft_set_election_timeout(&at(i)->raft, 1000);
        raft_set_heartbeat_timeout(&at(i)->raft, 100);
    }
    size_t leader = cluster_wait_leader(&c);
    assert_int_not_equal(leader, CLUSTER_MAX);
    cluster_run(&c, 200);
    return leader;
}

/* Milliseconds of virtual time from the death of the leader to the next one's first own commit. */
static uint64_t failover(size_t voters, uint64_t seed, unsigned spread) {
    size_t leader = lead(voters, seed);
    assert_true(is_ok(cluster_submit(&c, leader, 100)));
    cluster_run(&c, seed % 3); /* some followers have it, some do not */
    uint64_t died = c.now;
    cluster_crash(&c, leader);
    cluster_report_gone(&c, leader, spread);
    while (c.now - died < 5000) {
        cluster_run(&c, 1);
        size_t next = cluster_leader(&c);
        if (next != CLUSTER_MAX && node_is_settled(at(next))) {
            break;
        }
    }
    uint64_t took = c.now - died;
    cluster_run(&c, 1000);
    finish();
    return took;
}

static void test_killed_leader_is_replaced_at_once(void **state) {
    (void)state;
    for (size_t voters = 3; voters <= 5; voters += 2) {
        uint64_t longest = 0;
        uint64_t slow = 0;
        for (uint64_t seed = 1; seed <= 60; seed++) {
            uint64_t took = failover(voters, seed, seed % 2 == 0 ? 0 : 15);
            longest = MAX(longest, took);
            slow += took > 60;
        }
        print_message("%zu voters: at most %u ms, %u of 60 over 60 ms\n", voters, (unsigned)longest,
                      (unsigned)slow);
        assert_true(longest < 300); /* not even one election timeout */
        assert_true(slow <= 6);     /* split votes */
    }
}

/* Who lost the leader too grants a vote at once, before it campaigns itself; who did not, refuses.
 */
static void test_only_who_lost_the_leader_votes(void **state) {
    (void)state;
    for (int lost = 0; lost < 2; lost++) {
        size_t leader = lead(3, 3);
        size_t asks = (leader + 1) % 3;
        size_t votes = (leader + 2) % 3;
        cluster_crash(&c, leader);
        c.machines[votes].deaf_to_time = true;
        node_leader_gone(at(asks), leader + 1);
        if (lost == 1) {
            node_leader_gone(at(votes), leader + 1);
        }
        cluster_run(&c, 100);
        assert_int_equal(cluster_leader(&c), lost == 1 ? asks : CLUSTER_MAX);
        c.machines[votes].deaf_to_time = false;
        cluster_run(&c, 5000);
        finish();
    }
}

/* A leader that dies unnoticed, its machine with it, still costs an election timeout. */
static void test_silence_takes_an_election_timeout(void **state) {
    (void)state;
    size_t leader = lead(3, 1);
    cluster_crash(&c, leader);
    cluster_run(&c, 900);
    assert_int_equal(cluster_leader(&c), CLUSTER_MAX);
    assert_int_not_equal(cluster_wait_leader(&c), CLUSTER_MAX);
    cluster_run(&c, 200);
    finish();
}

static void cut(size_t a, size_t b, bool is_up) {
    c.links[a][b] = c.links[b][a] = is_up;
}

static void test_one_broken_link_changes_nothing(void **state) {
    (void)state;
    size_t leader = lead(3, 7);
    size_t alone = (leader + 1) % 3;
    uint64_t term = node_term(at(leader));
    size_t before = c.pre_votes;
    cut(leader, alone, false);
    node_leader_gone(at(alone), leader + 1);
    assert_int_equal(node_leader(at(alone)), 0);
    cluster_run(&c, 600);
    assert_true(c.pre_votes > before); /* it did try */
    assert_true(c.pre_votes - before <= 2 * LIMIT_GONE_CAMPAIGNS);
    assert_int_equal(node_term(at(alone)), term);
    assert_int_equal(cluster_leader(&c), leader);
    assert_true(is_ok(cluster_submit(&c, leader, 8)));
    cluster_run(&c, 100);
    cut(leader, alone, true);
    cluster_run(&c, 300);
    assert_int_equal(node_leader(at(alone)), leader + 1);
    assert_int_equal(node_term(at(leader)), term);
    assert_int_equal(c.machines[alone].count, 1);
    finish();
}

/* The link comes back within the pause: not even a pre-vote. */
static void test_sign_of_life_cancels(void **state) {
    (void)state;
    size_t leader = lead(3, 7);
    size_t other = (leader + 1) % 3;
    size_t before = c.pre_votes;
    node_leader_gone(at(other), leader + 1);
    assert_int_equal(node_leader(at(other)), 0);
    assert_true(is_ok(cluster_submit(&c, leader, 8))); /* what a leader says, soon */
    cluster_run(&c, 1500);
    assert_int_equal(c.pre_votes, before);
    assert_int_equal(node_leader(at(other)), leader + 1);
    finish();
}

static void test_flapping_link_is_bounded(void **state) {
    (void)state;
    size_t leader = lead(3, 9);
    size_t other = (leader + 1) % 3;
    uint64_t term = node_term(at(leader));
    size_t before = c.pre_votes;
    for (int i = 0; i < 200; i++) { /* 10 s: down for 45 ms, up for 5 with a message */
        cut(leader, other, false);
        node_leader_gone(at(other), leader + 1);
        cluster_run(&c, 45);
        cut(leader, other, true);
        assert_true(is_ok(cluster_submit(&c, leader, 8)));
        cluster_run(&c, 5);
    }
    /* Each campaign asks two; an election timeout is a second. */
    assert_true(c.pre_votes - before <= (10 + 1) * 2 * LIMIT_GONE_CAMPAIGNS);
    assert_true(c.pre_votes > before);
    assert_int_equal(cluster_leader(&c), leader);
    assert_int_equal(node_term(at(leader)), term);
    cluster_run(&c, 500);
    assert_int_equal(c.machines[other].count, 200);
    finish();
}

static void test_reports_about_others_are_nothing(void **state) {
    (void)state;
    size_t leader = lead(3, 5);
    size_t other = (leader + 1) % 3;
    size_t third = (leader + 2) % 3;
    size_t before = c.pre_votes;
    node_leader_gone(at(other), third + 1);
    node_leader_gone(at(other), 0);
    node_leader_gone(at(other), 99);
    node_leader_gone(at(leader), leader + 1);
    node_leader_gone(at(leader), other + 1);
    assert_int_equal(node_leader(at(other)), leader + 1);
    size_t joiner = cluster_join(&c);
    node_leader_gone(at(joiner), leader + 1);
    assert_true(cluster_change(&c, node_add_standby, joiner + 1));
    cluster_run(&c, 200);
    node_leader_gone(at(joiner), leader + 1); /* it forgets, and has no vote to ask for */
    assert_int_equal(node_leader(at(joiner)), 0);
    cluster_run(&c, 300);
    assert_int_equal(node_leader(at(joiner)), leader + 1);
    assert_int_equal(c.pre_votes, before);
    finish();
}

static void test_pause_is_bounded_by_the_election_timeout(void **state) {
    (void)state;
    cluster_init(&c, 1, 1);
    struct node *n;
    struct node_options options = c.options;
    options.gone_timeout_ms = options.election_timeout_ms / 2 + 1;
    assert_int_equal(node_new(9, &c.machines[0].io, &c.host, &options, &n, NULL).code, ERR_INVALID);
    cluster_deinit(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_leader_is_replaced_at_once),
        cmocka_unit_test(test_only_who_lost_the_leader_votes),
        cmocka_unit_test(test_silence_takes_an_election_timeout),
        cmocka_unit_test(test_one_broken_link_changes_nothing),
        cmocka_unit_test(test_sign_of_life_cancels),
        cmocka_unit_test(test_flapping_link_is_bounded),
        cmocka_unit_test(test_reports_about_others_are_nothing),
        cmocka_unit_test(test_pause_is_bounded_by_the_election_timeout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
