/* Snapshots on their way: links that break, sides that forget, receivers that stand still, logs
 * that grow meanwhile.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/test/cluster.h"

#define STATE_SIZE (20 * 1024 * 1024)

static struct cluster c; /* large: not on the stack */
static size_t leader, joiner;

static struct node *at(size_t i) {
    return c.machines[i].node;
}

static struct node_outgoing *out(void) {
    return &node__peer(at(leader), joiner + 1, true)->out;
}

static void finish(void) {
    c.filter = NULL;
    cluster_run(&c, 3000);
    assert_string_equal(c.violation, "");
    assert_true(cluster_is_converged(&c));
    cluster_deinit(&c);
}

static void submit(int count) {
    for (int i = 0; i < count; i++) {
        assert_true(is_ok(cluster_submit(&c, leader, 16)));
        cluster_run(&c, 1);
    }
}

/* Three voters whose log no longer begins at 1, and a joiner that was just added. */
static void begin(size_t state_size, unsigned delay_ms) {
    cluster_init(&c, 3, 11);
    c.snapshot_padding = state_size - 16;
    leader = cluster_wait_leader(&c);
    assert_int_not_equal(leader, CLUSTER_MAX);
    submit(1100);
    assert_true(at(leader)->log.first > 1);
    c.delay_ms = delay_ms;
    joiner = cluster_join(&c);
    assert_true(is_ok(node_add_standby(at(leader), joiner + 1, NULL)));
}

/* Until the joiner holds so many bytes, or has loaded the snapshot. */
static void run_until(size_t received) {
    const struct node_incoming *in = &node__peer(at(joiner), leader + 1, true)->in;
    for (int i = 0; i < 60000 && c.machines[joiner].loads == 0 && in->data.size < received; i++) {
        cluster_run(&c, 1);
    }
}

static void test_broken_links_cost_little(void **state) {
    (void)state;
    begin(STATE_SIZE, 10);
    for (size_t i = 1; i <= 5; i++) {
        run_until(i * STATE_SIZE / 6);
        assert_int_equal(c.machines[joiner].loads, 0);
        cluster_cut(&c, leader, joiner);
        cluster_run(&c, i < 4 ? 20 : 1500); /* also long enough for the library to give up */
        cluster_mend(&c, leader, joiner);
    }
    run_until(SIZE_MAX);
    assert_int_equal(c.machines[joiner].loads, 1);
    assert_int_equal(at(leader)->transfers, 1);
    print_message("%zu bytes for a state of %d\n", c.chunk_bytes, STATE_SIZE);
    assert_true(c.chunk_bytes < (size_t)STATE_SIZE * 3 / 2);
    finish();
}

static void test_receiver_that_forgot_begins_again(void **state) {
    (void)state;
    begin(STATE_SIZE / 4, 5);
    run_until(STATE_SIZE / 8);
    cluster_cut(&c, leader, joiner);
    node__incoming_drop(&node__peer(at(joiner), leader + 1, true)->in);
    cluster_mend(&c, leader, joiner);
    run_until(SIZE_MAX);
    assert_int_equal(c.machines[joiner].loads, 1);
    assert_int_equal(at(leader)->transfers, 1);
    assert_true(c.chunk_bytes > STATE_SIZE / 4 + STATE_SIZE / 8);
    finish();
}

static void test_sender_that_forgot_begins_again(void **state) {
    (void)state;
    begin(STATE_SIZE / 4, 5);
    run_until(STATE_SIZE / 8);
    cluster_cut(&c, leader, joiner);
    node__outgoing_stop(out());
    cluster_mend(&c, leader, joiner);
    run_until(SIZE_MAX);
    assert_int_equal(c.machines[joiner].loads, 1);
    assert_int_equal(at(leader)->transfers, 2);
    finish();
}

static void test_another_leader_begins_again(void **state) {
    (void)state;
    begin(STATE_SIZE / 4, 5);
    run_until(STATE_SIZE / 8);
    size_t old = leader;
    cluster_crash(&c, leader);
    leader = cluster_wait_leader(&c);
    assert_int_not_equal(leader, CLUSTER_MAX);
    run_until(SIZE_MAX);
    assert_int_equal(c.machines[joiner].loads, 1);
    assert_true(cluster_change(&c, node_remove, old + 1));
    finish();
}

static unsigned lose_chunk;

static bool lose_one(struct cluster *cluster, size_t from, size_t to,
                     const struct node_message *m) {
    (void)cluster;
    (void)from;
    (void)to;
    return m->kind != NODE_KIND_CHUNK || --lose_chunk != 0;
}

/* The chunks behind a lost one are useless: the sender goes back once for all of them. */
static void test_lost_chunk_costs_one_window(void **state) {
    (void)state;
    lose_chunk = 3;
    c.filter = NULL;
    begin(STATE_SIZE / 4, 1);
    c.filter = lose_one;
    uint64_t began = c.now;
    run_until(SIZE_MAX);
    assert_int_equal(c.machines[joiner].loads, 1);
    assert_true(c.chunks > 20 && c.chunks <= 20 + NODE_CHUNK_WINDOW);
    assert_true(c.now - began < 51 + 100); /* without waiting for the retry, but for heartbeats */
    finish();
}

static bool swallow_acks(struct cluster *cluster, size_t from, size_t to,
                         const struct node_message *m) {
    (void)cluster;
    (void)from;
    (void)to;
    return m->kind != NODE_KIND_CHUNK_ACK;
}

static size_t count_snapshots(void) {
    const struct node_snapshot *seen[NODE_PEERS_MAX + 1] = {at(leader)->snapshot};
    size_t n = 1;
    for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
        const struct node_snapshot *s = at(leader)->peers[i].out.snapshot;
        bool is_new = s != NULL;
        for (size_t j = 0; j < n && is_new; j++) {
            is_new = seen[j] != s;
        }
        if (is_new) {
            seen[n++] = s;
        }
    }
    return n;
}

/* It answers heartbeats and swallows chunks for two minutes: the log is compacted behind its back
 * once it stood still for long enough, and the leader never holds more than two snapshots. */
static void test_stalled_receiver_holds_nothing_back(void **state) {
    (void)state;
    begin(STATE_SIZE / 8, 1);
    c.filter = swallow_acks;
    uint64_t longest = 0;
    uint64_t moved = 0;
    for (int i = 0; i < 1200; i++) {
        for (int j = 0; j < 20; j++) {
            assert_true(is_ok(cluster_submit(&c, leader, 16)));
        }
        cluster_run(&c, 100);
        assert_true(count_snapshots() <= 2);
        moved = at(leader)->log.first;
        longest = at(leader)->log.count > longest ? at(leader)->log.count : longest;
    }
    assert_int_equal(c.machines[joiner].loads, 0);
    print_message("at most %u entries held, %u bytes sent\n", (unsigned)longest,
                  (unsigned)c.chunk_bytes);
    /* 200 entries a second for LIMIT_TRANSFER_IDLE_MS, one snapshot's worth, what trails. */
    assert_true(longest <= 200 * (LIMIT_TRANSFER_IDLE_MS / 1000) + 2 * 1000 + 64);
    assert_true(moved > 15000);
    finish();
}

/* The log grows by several snapshots while one is on its way: no second one is needed. */
static void test_log_may_grow_meanwhile(void **state) {
    (void)state;
    begin(STATE_SIZE, 40);
    at(leader)->options.snapshot_threshold = 200;
    uint64_t snapshots = at(leader)->snapshot->index;
    for (int i = 0; i < 20000 && c.machines[joiner].loads == 0; i++) {
        submit(1);
        for (int j = 0; j < 4; j++) {
            assert_true(is_ok(cluster_submit(&c, leader, 16)));
        }
    }
    assert_true(at(leader)->snapshot->index >= snapshots + 800); /* others were taken */
    assert_int_equal(c.machines[joiner].loads, 1);
    submit(200); /* under way still: it catches up from the entries that were kept */
    cluster_run(&c, 10000);
    assert_int_equal(c.machines[joiner].loads, 1);
    assert_true(node_applied_index(at(joiner)) == node_applied_index(at(leader)));
    submit(500);
    cluster_run(&c, 1000);
    assert_true(at(leader)->log.count <= 200 + 64 + 64); /* and then they go */
    finish();
}

static void test_few_transfers_at_a_time(void **state) {
    (void)state;
    begin(STATE_SIZE / 8, 1);
    size_t joiners[2 * LIMIT_TRANSFERS] = {joiner};
    for (size_t i = 1; i < 2 * LIMIT_TRANSFERS; i++) {
        joiners[i] = cluster_join(&c);
    }
    c.filter = swallow_acks;
    for (size_t i = 1; i < 2 * LIMIT_TRANSFERS; i++) {
        assert_true(cluster_change(&c, node_add_standby, joiners[i] + 1));
    }
    cluster_run(&c, 2000);
    size_t n = 0;
    for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
        n += at(leader)->peers[i].out.snapshot != NULL;
    }
    assert_int_equal(n, LIMIT_TRANSFERS);
    c.filter = NULL;
    cluster_run(&c, 10000);
    for (size_t i = 0; i < 2 * LIMIT_TRANSFERS; i++) {
        assert_int_equal(c.machines[joiners[i]].loads, 1);
    }
    finish();
}

static void test_receiver_drops_what_does_not_come(void **state) {
    (void)state;
    begin(STATE_SIZE / 4, 5);
    run_until(STATE_SIZE / 8);
    const struct node_incoming *in = &node__peer(at(joiner), leader + 1, true)->in;
    assert_true(in->data.size > 0);
    cluster_connect(&c, 0);
    cluster_run(&c, LIMIT_TRANSFER_IDLE_MS + 100);
    assert_int_equal(in->transfer, 0);
    assert_int_equal(in->data.size, 0);
    assert_null(out()->snapshot);
    cluster_heal(&c);
    leader = cluster_wait_leader(&c);
    run_until(SIZE_MAX);
    assert_int_equal(c.machines[joiner].loads, 1);
    finish();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken_links_cost_little),
        cmocka_unit_test(test_receiver_that_forgot_begins_again),
        cmocka_unit_test(test_sender_that_forgot_begins_again),
        cmocka_unit_test(test_another_leader_begins_again),
        cmocka_unit_test(test_lost_chunk_costs_one_window),
        cmocka_unit_test(test_stalled_receiver_holds_nothing_back),
        cmocka_unit_test(test_log_may_grow_meanwhile),
        cmocka_unit_test(test_few_transfers_at_a_time),
        cmocka_unit_test(test_receiver_drops_what_does_not_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
