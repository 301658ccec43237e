/* Group commit: what is submitted before the next turn goes out together, and the index that each
 * was told stays its own whatever comes in between.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/node_internal.h"
#include "consensus/test/cluster.h"

static struct cluster c; /* large: not on the stack */

static struct node *at(size_t i) {
    return c.machines[i].node;
}

static size_t lead(size_t voters) {
    cluster_init(&c, voters, 42);
    size_t leader = cluster_wait_leader(&c);
    assert_int_not_equal(leader, CLUSTER_MAX);
    cluster_run(&c, 500);
    return leader;
}

static void finish(void) {
    assert_string_equal(c.violation, "");
    assert_true(cluster_is_converged(&c));
    cluster_deinit(&c);
}

static uint64_t submit(size_t leader, uint64_t number) {
    uint64_t index = 0;
    uint64_t term = 0;
    uint8_t bytes[8];
    store_u64be(bytes, number);
    assert_true(is_ok(node_submit(at(leader), SPAN(bytes), &index, &term, NULL)));
    assert_int_equal(term, node_term(at(leader)));
    assert_int_equal(index, node_last_index(at(leader)));
    return index;
}

static void assert_entry(size_t machine, uint64_t index, uint64_t number) {
    const struct node_entry *e = node_log_get(&at(machine)->log, index);
    assert_non_null(e);
    assert_int_equal(e->type, RAFT_COMMAND);
    assert_int_equal(e->payload->size, 8);
    assert_int_equal(load_u64be(e->payload->data), number);
}

static void test_many_submits_are_one_message_to_each(void **state) {
    (void)state;
    size_t leader = lead(3);
    size_t before = c.appends_sent;
    uint64_t steps = at(leader)->steps;
    uint64_t first = submit(leader, 1);
    for (uint64_t i = 2; i <= 100; i++) {
        assert_int_equal(submit(leader, i), first + i - 1);
    }
    assert_int_equal(c.appends_sent, before);
    assert_int_equal(at(leader)->steps, steps);
    assert_true(node_deadline(at(leader)) <= c.now);
    node_tick(at(leader));
    assert_int_equal(c.appends_sent, before + 2);
    cluster_run(&c, 10);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(c.machines[i].count, 100);
        for (uint64_t k = 1; k <= 100; k++) {
            assert_entry(i, first + k - 1, k);
        }
    }
    finish();
}

static void test_a_membership_change_comes_behind_what_was_submitted(void **state) {
    (void)state;
    size_t leader = lead(3);
    size_t joiner = cluster_join(&c);
    uint64_t first = submit(leader, 1);
    submit(leader, 2);
    assert_true(is_ok(node_add_standby(at(leader), joiner + 1, NULL)));
    assert_int_equal(submit(leader, 3), first + 3);
    cluster_run(&c, 500);
    assert_entry(joiner, first, 1);
    assert_entry(joiner, first + 1, 2);
    assert_int_equal(node_log_get(&at(joiner)->log, first + 2)->type, RAFT_CHANGE);
    assert_entry(joiner, first + 3, 3);
    finish();
}

/* Its entry stands at the place that was promised, in the term that was promised: nobody takes
 * another one for it. */
static void test_a_later_term_comes_behind_what_was_submitted(void **state) {
    (void)state;
    size_t leader = lead(3);
    uint64_t term = node_term(at(leader));
    uint64_t index = submit(leader, 7);
    struct node_message vote = {.kind = NODE_KIND_VOTE};
    vote.body.vote = (struct node_vote){.term = term + 5,
                                        .last_index = index + 10,
                                        .last_term = term,
                                        .version = 2,
                                        .disrupt_leader = true};
    assert_true(is_ok(cluster_forge(&c, (leader + 1) % 3 + 1, leader, &vote)));
    assert_int_equal(node_role(at(leader)), NODE_FOLLOWER);
    assert_int_equal(node_log_term(&at(leader)->log, index), term);
    assert_entry(leader, index, 7);
    assert_int_not_equal(cluster_wait_leader(&c), CLUSTER_MAX);
    cluster_run(&c, 500);
    finish();
}

static void test_transfer_comes_behind_what_was_submitted(void **state) {
    (void)state;
    size_t leader = lead(3);
    uint64_t index = submit(leader, 7);
    assert_true(is_ok(node_transfer(at(leader), 0, NULL)));
    cluster_run(&c, 500);
    assert_int_not_equal(cluster_leader(&c), leader);
    assert_entry(cluster_leader(&c), index, 7);
    finish();
}

static void test_more_than_one_message_holds(void **state) {
    (void)state;
    size_t leader = lead(3);
    const uint64_t count = 2 * LIMIT_APPEND_ENTRIES + 5;
    uint64_t first = submit(leader, 1);
    for (uint64_t i = 2; i <= count; i++) {
        submit(leader, i);
    }
    assert_int_equal(node_last_index(at(leader)), first + count - 1);
    cluster_run(&c, 500);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(c.machines[i].count, count);
    }
    finish();
}

/* What waits for the next turn counts as uncommitted: a client that is too fast is told so. */
static void test_what_waits_is_bounded(void **state) {
    (void)state;
    static uint8_t big[LIMIT_ENTRY];
    size_t leader = lead(3);
    uint64_t index = 0;
    uint64_t term = 0;
    for (size_t i = 0; i < LIMIT_UNCOMMITTED / LIMIT_ENTRY; i++) {
        assert_true(is_ok(node_submit(at(leader), SPAN(big), &index, &term, NULL)));
    }
    assert_int_equal(node_submit(at(leader), SPAN(big), &index, &term, NULL).code, ERR_BUSY);
    cluster_run(&c, 2000);
    assert_int_equal(c.machines[leader].count, LIMIT_UNCOMMITTED / LIMIT_ENTRY);
    submit(leader, 1);
    cluster_run(&c, 500);
    finish();
}

static void test_a_frozen_node_drops_it(void **state) {
    (void)state;
    size_t leader = lead(3);
    submit(leader, 1);
    node_freeze(at(leader), "for a test");
    node_tick(at(leader));
    assert_true(node_deadline(at(leader)) == UINT64_MAX);
    cluster_deinit(&c); /* the sanitizer counts what is left */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_submits_are_one_message_to_each),
        cmocka_unit_test(test_a_membership_change_comes_behind_what_was_submitted),
        cmocka_unit_test(test_a_later_term_comes_behind_what_was_submitted),
        cmocka_unit_test(test_transfer_comes_behind_what_was_submitted),
        cmocka_unit_test(test_more_than_one_message_holds),
        cmocka_unit_test(test_what_waits_is_bounded),
        cmocka_unit_test(test_a_frozen_node_drops_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
