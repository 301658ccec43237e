/* SPDX-License-Identifier: Apache-2.0 */
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

static void test_elects_and_replicates(void **state) {
    (void)state;
    size_t leader = lead(3);
    for (int i = 0; i < 50; i++) {
        assert_true(is_ok(cluster_submit(&c, leader, 100)));
    }
    cluster_run(&c, 200);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(c.machines[i].count, 50);
        assert_int_equal(node_leader(at(i)), leader + 1);
    }
    finish();
}

static void test_single_voter_applies_after_submit(void **state) {
    (void)state;
    size_t leader = lead(1);
    assert_true(is_ok(cluster_submit(&c, leader, 8)));
    assert_int_equal(c.machines[0].count, 0); /* never from inside the call */
    cluster_run(&c, 1);
    assert_int_equal(c.machines[0].count, 1);
    finish();
}

/* Messages take 1 ms, heartbeats come every 100: what was submitted last is applied everywhere long
 * before the next one. */
static void test_followers_hear_of_a_commit_at_once(void **state) {
    (void)state;
    size_t leader = lead(3);
    cluster_run(&c, 500);
    for (unsigned i = 1; i <= 20; i++) {
        assert_true(is_ok(cluster_submit(&c, leader, 8)));
        cluster_run(&c, 10);
        for (size_t j = 0; j < 3; j++) {
            assert_int_equal(c.machines[j].count, i);
        }
    }
    finish();
}

static void test_submit_is_refused_with_a_reason(void **state) {
    (void)state;
    size_t leader = lead(3);
    uint64_t index;
    uint64_t term;
    struct err err;
    static uint8_t big[LIMIT_ENTRY + 1];
    size_t other = (leader + 1) % 3;
    assert_int_equal(node_submit(at(other), SPAN("x"), &index, &term, &err).code, ERR_NOT_LEADER);
    assert_int_equal(node_submit(at(leader), SPAN(big), &index, &term, &err).code, ERR_TOO_LARGE);
    struct span whole = span_of(big, LIMIT_ENTRY);
    cluster_connect(&c, 0);
    int accepted = 0;
    while (is_ok(node_submit(at(leader), whole, &index, &term, &err))) {
        assert_true(++accepted <= LIMIT_UNCOMMITTED / LIMIT_ENTRY);
    }
    assert_int_equal(node_submit(at(leader), whole, &index, &term, &err).code, ERR_BUSY);
    cluster_heal(&c);
    cluster_run(&c, 2000);
    finish();
}

static void count_reads(void *data, struct result result, uint64_t index) {
    (void)result;
    (void)index;
    ++*(unsigned *)data;
}

/* A flood of readers at a leader without a quorum: each that was taken is answered once. */
static void test_so_many_reads_wait(void **state) {
    (void)state;
    size_t leader = lead(3);
    struct err err;
    unsigned answered = 0;
    cluster_run(&c, 500);
    cluster_connect(&c, 0);
    for (unsigned i = 0; i < LIMIT_PENDING_READS; i++) {
        assert_true(is_ok(node_read(at(leader), count_reads, &answered, &err)));
    }
    assert_int_equal(node_read(at(leader), count_reads, &answered, &err).code, ERR_BUSY);
    cluster_run(&c, 6000);
    assert_int_equal(answered, LIMIT_PENDING_READS);
    cluster_heal(&c);
    cluster_run(&c, 2000);
    finish();
}

static void test_a_new_leader_keeps_what_was_committed(void **state) {
    (void)state;
    size_t leader = lead(3);
    assert_true(is_ok(cluster_submit(&c, leader, 100)));
    cluster_run(&c, 200);
    cluster_crash(&c, leader);
    size_t next = cluster_wait_leader(&c);
    assert_int_not_equal(next, CLUSTER_MAX);
    assert_int_equal(c.machines[next].count, 1);
    assert_true(is_ok(cluster_submit(&c, next, 100)));
    cluster_run(&c, 200);
    assert_int_equal(c.machines[next].count, 2);
    finish();
}

static void test_minority_commits_nothing(void **state) {
    (void)state;
    size_t leader = lead(3);
    cluster_connect(&c, 1U << leader);
    assert_true(is_ok(cluster_submit(&c, leader, 8)));
    cluster_run(&c, 1000);
    assert_int_equal(c.machines[leader].count, 0);
    assert_int_not_equal(node_role(at(leader)), NODE_LEADER);
    cluster_heal(&c);
    cluster_run(&c, 2000);
    finish();
}

static int acks_to_drop, chunks_to_drop;
static uint64_t transfers;

static bool drop_some(struct cluster *cluster, size_t from, size_t to,
                      const struct node_message *m) {
    (void)cluster;
    (void)from;
    (void)to;
    if (m->kind == NODE_KIND_CHUNK_ACK && acks_to_drop > 0) {
        acks_to_drop--;
        return false;
    }
    if (m->kind == NODE_KIND_CHUNK && acks_to_drop == 0 && chunks_to_drop > 0) {
        chunks_to_drop--;
        return false;
    }
    return true;
}

/* Larger than one chunk and than one window, with loss: every chunk may be sent again. */
static void snapshot_to_joiner(unsigned loss) {
    cluster_init(&c, 3, 7);
    c.filter = drop_some;
    c.snapshot_padding = 6 * LIMIT_SNAPSHOT_CHUNK + 5;
    size_t leader = cluster_wait_leader(&c);
    for (int i = 0; i < 1500; i++) {
        assert_true(is_ok(cluster_submit(&c, leader, 16)));
        cluster_run(&c, 1);
    }
    assert_true(at(leader)->log.first > 1);
    size_t joiner = cluster_join(&c);
    c.loss_percent = loss > 1 ? loss : 0;
    assert_true(cluster_change(&c, node_add_standby, joiner + 1));
    for (int i = 0; i < 600 && c.machines[joiner].loads == 0; i++) {
        cluster_run(&c, 100);
    }
    c.loss_percent = 0;
    cluster_run(&c, 3000);
    assert_int_equal(c.machines[joiner].loads, 1);
    assert_int_equal(c.machines[joiner].count, 1500);
    transfers = at(leader)->transfers;
    assert_true(loss == 0 ? c.chunks == 7 : c.chunks > 7); /* some came again */
    finish();
}

static void test_snapshot_comes_in_chunks(void **state) {
    (void)state;
    snapshot_to_joiner(0);
    assert_int_equal(transfers, 1);
    acks_to_drop = 4; /* the first window comes again: taken once */
    chunks_to_drop = 2;
    snapshot_to_joiner(1);
    assert_int_equal(transfers, 1); /* gone back, not begun again */
    assert_int_equal(acks_to_drop + chunks_to_drop, 0);
    snapshot_to_joiner(40);
}

static void test_large_entries_are_split_by_bytes(void **state) {
    (void)state;
    size_t leader = lead(3);
    cluster_connect(&c, 3U << (leader == 2 ? 1 : 0));
    for (int i = 0; i < 12; i++) {
        assert_true(is_ok(cluster_submit(&c, leader, LIMIT_APPEND_BYTES / 3)));
        assert_true(is_ok(cluster_submit(&c, leader, LIMIT_ENTRY)));
        cluster_run(&c, 10);
    }
    cluster_heal(&c);
    cluster_run(&c, 3000);
    assert_int_equal(c.machines[0].count, 24);
    finish();
}

static void test_snapshot_is_taken_after_many_bytes(void **state) {
    (void)state;
    size_t leader = lead(1);
    for (int i = 0; i < LIMIT_SNAPSHOT_LOG / LIMIT_ENTRY; i++) {
        assert_null(at(leader)->snapshot);
        assert_true(is_ok(cluster_submit(&c, leader, LIMIT_ENTRY)));
        cluster_run(&c, 1);
    }
    assert_non_null(at(leader)->snapshot);
    assert_int_equal(at(leader)->log.first, node_last_index(at(leader)) - 64 + 1);
    finish();
}

static void test_member_is_replaced(void **state) {
    (void)state;
    size_t leader = lead(3);
    for (int i = 0; i < 20; i++) {
        assert_true(is_ok(cluster_submit(&c, leader, 16)));
    }
    size_t dead = (leader + 1) % 3;
    cluster_crash(&c, dead);
    size_t joiner = cluster_join(&c);
    assert_true(cluster_change(&c, node_add_standby, joiner + 1));
    assert_int_equal(node_promote(at(leader), joiner + 1, NULL).code, ERR_UNAVAILABLE);
    assert_true(cluster_change(&c, node_remove, dead + 1));
    assert_true(cluster_change(&c, node_promote, joiner + 1));
    cluster_run(&c, 500);
    assert_true(node_is_configured(at(joiner), joiner + 1));
    assert_false(node_is_configured(at(joiner), dead + 1));
    struct node_member members[LIMIT_MEMBERS];
    assert_int_equal(node_members(at(leader), members), 3);
    assert_int_equal(members[2].id, joiner + 1);
    assert_int_equal(members[2].role, NODE_VOTER);
    finish();
}

static void test_changes_are_refused_with_a_reason(void **state) {
    (void)state;
    size_t leader = lead(3);
    struct node *n = at(leader);
    assert_int_equal(node_add_standby(n, leader + 1, NULL).code, ERR_EXISTS);
    assert_int_equal(node_remove(n, 9, NULL).code, ERR_NOT_FOUND);
    assert_int_equal(node_promote(n, 9, NULL).code, ERR_NOT_FOUND);
    assert_int_equal(node_promote(n, (leader + 1) % 3 + 1, NULL).code, ERR_EXISTS);
    assert_int_equal(node_remove(n, leader + 1, NULL).code, ERR_INVALID);
    assert_int_equal(node_transfer(n, leader + 1, NULL).code, ERR_INVALID);
    assert_int_equal(node_transfer(n, 9, NULL).code, ERR_NOT_FOUND);
    assert_int_equal(node_add_standby(at((leader + 1) % 3), 9, NULL).code, ERR_NOT_LEADER);
    cluster_connect(&c, 0);
    assert_true(is_ok(node_add_standby(n, 9, NULL)));
    assert_int_equal(node_add_standby(n, 10, NULL).code, ERR_UNAVAILABLE);
    assert_int_equal(node_transfer(n, 0, NULL).code, ERR_UNAVAILABLE);
    cluster_deinit(&c);
}

static void test_leadership_is_transferred(void **state) {
    (void)state;
    size_t leader = lead(3);
    size_t next = (leader + 1) % 3;
    assert_true(is_ok(node_transfer(at(leader), next + 1, NULL)));
    assert_int_equal(cluster_submit(&c, leader, 8).code, ERR_UNAVAILABLE);
    cluster_run(&c, 60); /* less than an election timeout */
    assert_int_equal(cluster_leader(&c), next);
    assert_true(cluster_change(&c, node_remove, leader + 1));
    cluster_run(&c, 500);
    assert_int_equal(cluster_leader(&c), next);
    finish();
}

static enum err_code read_code;
static uint64_t read_index;
static int read_calls;

static void on_read(void *data, struct result r, uint64_t index) {
    (void)data;
    read_code = r.code;
    read_index = index;
    read_calls++;
}

static void ask(size_t i) {
    read_calls = 0;
    assert_true(is_ok(node_read(at(i), on_read, NULL, NULL)));
    assert_int_equal(read_calls, 0);
}

static void test_read_sees_what_was_committed_before(void **state) {
    (void)state;
    size_t leader = lead(3);
    assert_true(is_ok(cluster_submit(&c, leader, 8)));
    cluster_run(&c, 100);
    ask(leader);
    cluster_run(&c, 20);
    assert_int_equal(read_calls, 1);
    assert_int_equal(read_code, ERR_OK);
    assert_int_equal(read_index, node_commit_index(at(leader)));
    assert_int_equal(node_read(at((leader + 1) % 3), on_read, NULL, NULL).code, ERR_NOT_LEADER);
    finish();
}

static void test_reads_share_a_round_and_survive_loss(void **state) {
    (void)state;
    size_t leader = lead(3);
    ask(leader);
    for (int i = 0; i < 99; i++) {
        assert_true(is_ok(node_read(at(leader), on_read, NULL, NULL)));
    }
    uint64_t before = at(leader)->read_round;
    c.loss_percent = 40;
    cluster_run(&c, 1);
    assert_int_equal(at(leader)->read_round, before + 1);
    c.loss_percent = 0;
    cluster_run(&c, 100);
    assert_int_equal(read_calls, 100);
    assert_int_equal(read_code, ERR_OK);
    finish();
}

/* The host pauses the leader; another is elected and commits; the old one wakes and is asked at
 * once: it still believes that it leads. */
static void test_paused_leader_confirms_nothing(void **state) {
    (void)state;
    size_t old = lead(3);
    c.machines[old].paused = true;
    cluster_run(&c, 1000);
    size_t next = cluster_wait_leader(&c);
    assert_int_not_equal(next, old);
    assert_true(is_ok(cluster_submit(&c, next, 8)));
    cluster_run(&c, 100);
    assert_int_equal(node_role(at(old)), NODE_LEADER);
    ask(old);
    c.machines[old].paused = false;
    cluster_run(&c, 500);
    assert_int_equal(read_calls, 1);
    assert_int_equal(read_code, ERR_NOT_LEADER);
    finish();
}

static void test_read_without_quorum_fails(void **state) {
    (void)state;
    size_t leader = lead(3);
    c.machines[leader].deaf_to_time = true; /* so that it does not step down by itself */
    cluster_connect(&c, 0);
    ask(leader);
    node_tick(at(leader));
    assert_int_equal(read_calls, 0); /* alone it confirms nothing */
    c.now += c.options.read_timeout_ms;
    node__clock(at(leader));
    node__read_tick(at(leader));
    assert_int_equal(read_calls, 1);
    assert_int_equal(read_code, ERR_NO_QUORUM);
    ask(leader);
    cluster_deinit(&c);
    assert_int_equal(read_code, ERR_CANCELED);
}

static void test_probe_is_answered_in_its_term_only(void **state) {
    (void)state;
    size_t leader = lead(3);
    size_t follower = (leader + 1) % 3;
    cluster_run(&c, 100);
    struct node_message probe = {.kind = NODE_KIND_PROBE};
    probe.body.probe = (struct node_probe){node_term(at(follower)), 5};
    assert_true(is_ok(cluster_forge(&c, leader + 1, follower, &probe)));
    assert_int_equal(c.last.kind, NODE_KIND_PROBE_ACK);
    assert_int_equal(c.last.body.probe.round, 5);
    probe.sequence = 0;
    probe.body.probe = (struct node_probe){node_term(at(follower)) - 1, 6};
    assert_true(is_ok(cluster_forge(&c, leader + 1, follower, &probe)));
    assert_int_equal(c.last.body.probe.round, 5);
    cluster_deinit(&c);
}

static RESULT refuse(void *data, struct span bytes, uint64_t index, struct err *err) {
    (void)data;
    (void)bytes;
    (void)index;
    return err_set(err, ERR_DENIED, "a state that we do not accept");
}

static void test_a_snapshot_that_does_not_load_freezes(void **state) {
    (void)state;
    size_t leader = lead(1);
    for (int i = 0; i < 1100; i++) {
        assert_true(is_ok(cluster_submit(&c, leader, 8)));
        cluster_run(&c, 1);
    }
    size_t joiner = cluster_join(&c);
    c.machines[joiner].io.snapshot_load = refuse;
    assert_true(cluster_change(&c, node_add_standby, joiner + 1));
    struct err err;
    for (int i = 0; i < 50 && is_ok(node_health(at(joiner), &err)); i++) {
        c.violation[0] = '\0'; /* a frozen node refuses messages */
        cluster_run(&c, 10);
    }
    assert_int_equal(node_health(at(joiner), &err).code, ERR_FROZEN);
    assert_non_null(strstr(err.text, "do not accept"));
    assert_int_equal(node_deadline(at(joiner)), UINT64_MAX);
    cluster_deinit(&c);
}

static void test_bootstrap_checks_the_founders(void **state) {
    (void)state;
    cluster_init(&c, 1, 1);
    struct node *n;
    struct node_member unsorted[] = {{9, NODE_VOTER}, {8, NODE_VOTER}};
    struct node_member standby[] = {{9, NODE_STANDBY}};
    struct node_member foreign[] = {{8, NODE_VOTER}};
    assert_true(is_ok(node_new(9, &c.machines[0].io, &c.host, &c.options, &n, NULL)));
    assert_int_equal(node_bootstrap(n, unsorted, 2, NULL).code, ERR_INVALID);
    assert_int_equal(node_bootstrap(n, standby, 1, NULL).code, ERR_INVALID);
    assert_int_equal(node_bootstrap(n, foreign, 1, NULL).code, ERR_INVALID);
    assert_int_equal(node_bootstrap(n, foreign, 0, NULL).code, ERR_INVALID);
    node_free(n);
    cluster_deinit(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elects_and_replicates),
        cmocka_unit_test(test_single_voter_applies_after_submit),
        cmocka_unit_test(test_followers_hear_of_a_commit_at_once),
        cmocka_unit_test(test_submit_is_refused_with_a_reason),
        cmocka_unit_test(test_so_many_reads_wait),
        cmocka_unit_test(test_a_new_leader_keeps_what_was_committed),
        cmocka_unit_test(test_minority_commits_nothing),
        cmocka_unit_test(test_snapshot_comes_in_chunks),
        cmocka_unit_test(test_large_entries_are_split_by_bytes),
        cmocka_unit_test(test_snapshot_is_taken_after_many_bytes),
        cmocka_unit_test(test_member_is_replaced),
        cmocka_unit_test(test_changes_are_refused_with_a_reason),
        cmocka_unit_test(test_leadership_is_transferred),
        cmocka_unit_test(test_read_sees_what_was_committed_before),
        cmocka_unit_test(test_reads_share_a_round_and_survive_loss),
        cmocka_unit_test(test_paused_leader_confirms_nothing),
        cmocka_unit_test(test_read_without_quorum_fails),
        cmocka_unit_test(test_probe_is_answered_in_its_term_only),
        cmocka_unit_test(test_a_snapshot_that_does_not_load_freezes),
        cmocka_unit_test(test_bootstrap_checks_the_founders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
