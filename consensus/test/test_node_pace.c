/* What goes to a follower before it answers is bounded, whatever the leader has for it.
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

static struct {
    size_t leader;
    uint64_t first;              /* index of the first large entry */
    size_t size;                 /* bytes of each */
    uint64_t sent[CLUSTER_MAX];  /* highest index sent to it */
    uint64_t acked[CLUSTER_MAX]; /* highest index that it answered */
    uint64_t most;               /* bytes under way to one of them, the most ever */
    size_t entries[CLUSTER_MAX]; /* sent to it, again and again if so */
    size_t messages;             /* appends with entries */
} seen;

static struct node *at(size_t i) {
    return c.machines[i].node;
}

static bool watch(struct cluster *cluster, size_t from, size_t to, const struct node_message *m) {
    (void)cluster;
    if (from == seen.leader && m->kind == NODE_KIND_APPEND && m->body.append.entries.count > 0) {
        seen.messages++;
        seen.entries[to] += m->body.append.entries.count;
        seen.sent[to] = m->body.append.prev_index + m->body.append.entries.count;
        uint64_t known = seen.acked[to] < seen.first ? seen.first - 1 : seen.acked[to];
        if (seen.sent[to] > known && (seen.sent[to] - known) * seen.size > seen.most) {
            seen.most = (seen.sent[to] - known) * seen.size;
        }
    }
    if (to == seen.leader && m->kind == NODE_KIND_APPEND_RESULT &&
        m->body.append_result.rejected == 0 &&
        m->body.append_result.last_index > seen.acked[from]) {
        seen.acked[from] = m->body.append_result.last_index;
    }
    return true;
}

static void lead(size_t size) {
    cluster_init(&c, 3, 42);
    memset(&seen, 0, sizeof seen);
    seen.leader = cluster_wait_leader(&c);
    assert_int_not_equal(seen.leader, CLUSTER_MAX);
    cluster_run(&c, 500);
    seen.first = node_last_index(at(seen.leader)) + 1;
    seen.size = size;
    c.filter = watch;
}

static void submit(size_t count) {
    for (size_t i = 0; i < count; i++) {
        assert_true(is_ok(cluster_submit(&c, seen.leader, seen.size)));
    }
}

static void finish(void) {
    assert_string_equal(c.violation, "");
    assert_true(cluster_is_converged(&c));
    cluster_deinit(&c);
}

static void test_a_burst_goes_out_in_portions(void **state) {
    (void)state;
    lead(LIMIT_ENTRY);
    submit(12);
    node_tick(at(seen.leader));
    assert_int_equal(seen.messages, 2 * (LIMIT_APPEND_UNDER_WAY / LIMIT_ENTRY));
    cluster_run(&c, 200); /* 12 portions of 2 ms there and back, heartbeats every 20 */
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(c.machines[i].count, 12);
    }
    assert_true(seen.most <= LIMIT_APPEND_UNDER_WAY + LIMIT_ENTRY);
    assert_int_equal(seen.messages, 24); /* nothing twice */
    finish();
}

static void test_small_entries_are_not_held_back(void **state) {
    (void)state;
    lead(100);
    submit(LIMIT_APPEND_ENTRIES);
    node_tick(at(seen.leader));
    assert_int_equal(seen.messages, 2);
    cluster_run(&c, 50);
    finish();
}

/* Its backlog is four times what may be under way. Nothing of it may come at once when it is back.
 */
static void test_a_follower_that_was_away_gets_portions(void **state) {
    (void)state;
    lead(300 * 1024);
    size_t away = (seen.leader + 1) % 3;
    cluster_connect(&c, 7U & ~(1U << away));
    for (int i = 0; i < 4; i++) {
        submit(8);
        cluster_run(&c, 50);
    }
    seen.most = 0;
    seen.acked[away] = seen.first - 1;
    cluster_heal(&c);
    size_t messages = seen.messages;
    seen.entries[away] = 0;
    cluster_run(&c, 2000);
    assert_int_equal(seen.entries[away], 32); /* nothing twice */
    assert_true(seen.messages > messages);
    assert_true(seen.most <= LIMIT_APPEND_UNDER_WAY + LIMIT_APPEND_BYTES);
    assert_int_equal(c.machines[away].count, 32);
    finish();
}

/* Lost portions, answers and leaders: it goes on all the same. */
static void test_portions_survive_loss_and_elections(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        cluster_init(&c, 3, seed);
        c.loss_percent = 10;
        c.delay_ms = 5;
        for (int round = 0; round < 8; round++) {
            size_t leader = cluster_wait_leader(&c);
            assert_int_not_equal(leader, CLUSTER_MAX);
            for (int i = 0; i < 8; i++) {
                err_ignore(cluster_submit(&c, leader, 1 + cluster_random(&c, 600 * 1024)),
                           "busy or deposed");
            }
            cluster_run(&c, 1 + cluster_random(&c, 60));
            if (round % 3 == 2) {
                err_ignore(node_transfer(at(leader), 0, NULL), "any outcome");
            }
            if (round % 4 == 1) {
                cluster_connect(&c, 7U & ~(1U << cluster_random(&c, 3)));
                cluster_run(&c, cluster_random(&c, 300));
                cluster_heal(&c);
            }
        }
        c.loss_percent = 0;
        assert_int_not_equal(cluster_wait_leader(&c), CLUSTER_MAX);
        cluster_run(&c, 3000);
        finish();
    }
}

/* A snapshot takes the place of what was still to be sent. */
static void test_a_snapshot_overtakes_portions(void **state) {
    (void)state;
    lead(LIMIT_ENTRY);
    size_t away = (seen.leader + 1) % 3;
    cluster_connect(&c, 7U & ~(1U << away));
    submit(8);
    cluster_run(&c, 100);
    for (int i = 0; i < 1200; i++) { /* over the threshold: the log is compacted */
        assert_true(is_ok(cluster_submit(&c, seen.leader, 8)));
        if (i % 100 == 99) {
            cluster_run(&c, 20);
        }
    }
    cluster_heal(&c);
    cluster_run(&c, 4000);
    finish();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_burst_goes_out_in_portions),
        cmocka_unit_test(test_small_entries_are_not_held_back),
        cmocka_unit_test(test_a_follower_that_was_away_gets_portions),
        cmocka_unit_test(test_portions_survive_loss_and_elections),
        cmocka_unit_test(test_a_snapshot_overtakes_portions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
