/* Tests of leaving: who leads, who waits, who goes at once, and what the others see.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/test/replica_bench.h"

static struct pod *newcomer(struct bench *b) {
    return &b->pods[3];
}

static const struct core_member *row_of(const struct pod *at, const struct pod *of) {
    return core_find_member(replica_core(at->replica), of->member.id);
}

static bool has_other_leader(const struct bench *b, const struct pod *but) {
    for (unsigned i = 0; i < BENCH_PODS; i++) {
        const struct pod *p = &b->pods[i];
        if (p != but && !p->is_gone && replica_is_leader(p->replica)) {
            return true;
        }
    }
    return false;
}

static void with_standby(struct bench *b) {
    bench_join(b, core_head(replica_core(b->pods[0].replica)));
    assert_int_equal(replica_state_of(newcomer(b)->replica), REPLICA_STANDBY);
}

static void until_gone(struct bench *b, const struct pod *p, uint64_t limit_ms) {
    for (uint64_t end = b->now_ms + limit_ms; !p->is_gone && b->now_ms < end;) {
        bench_run(b, 5);
    }
    assert_true(p->is_gone);
}

/* No election timeout (300 ms) passes: leadership is handed over. */
static void test_a_leader_hands_over(void **state) {
    struct bench *b = bench_begin(state);
    with_standby(b);
    struct pod *p = bench_leader(b);
    replica_leave(p->replica);
    assert_int_equal(replica_state_of(p->replica), REPLICA_LEAVING);
    bench_run(b, 50);
    assert_true(has_other_leader(b, p));
    until_gone(b, p, 3000);
    assert_int_equal(p->gone, ERR_OK);
    bench_run(b, 500);
    const struct pod *now = bench_leader(b);
    assert_true(bench_is_voter(now, newcomer(b)->member.id));
    assert_int_equal(replica__voter_count(now->replica), 3);
    assert_null(row_of(now, p));
}

static void test_a_follower_waits_for_its_replacement(void **state) {
    struct bench *b = bench_begin(state);
    with_standby(b);
    struct pod *p = bench_follower(b);
    replica_leave(p->replica);
    until_gone(b, p, 3000);
    assert_int_equal(p->gone, ERR_OK);
    assert_true(bench_is_voter(bench_leader(b), newcomer(b)->member.id));
}

static void test_a_standby_leaves_at_once(void **state) {
    struct bench *b = bench_begin(state);
    with_standby(b);
    replica_leave(newcomer(b)->replica);
    until_gone(b, newcomer(b), 1000);
    assert_int_equal(newcomer(b)->gone, ERR_OK);
    bench_run(b, 500);
    assert_null(row_of(bench_leader(b), newcomer(b)));
}

/* Nobody could take its place: it is removed, and its name is free. */
static void test_without_a_standby_nobody_waits(void **state) {
    struct bench *b = bench_begin(state);
    struct pod *p = bench_leader(b);
    replica_leave(p->replica);
    until_gone(b, p, 500);
    assert_int_equal(p->gone, ERR_OK);
    const struct pod *now = bench_leader(b);
    assert_int_equal(replica__voter_count(now->replica), 2);
    uint64_t old = 1;
    assert_true(replica_name_is_free(now->replica, p->member.name, &old));
    assert_int_equal(old, 0);
}

static void test_without_a_quorum_it_goes_after_a_while(void **state) {
    struct bench *b = bench_begin(state);
    struct pod *p = bench_follower(b);
    for (unsigned i = 0; i < 3; i++) {
        b->pods[i].is_stopped = &b->pods[i] != p;
    }
    replica_leave(p->replica);
    bench_run(b, REPLICA_RETIRE_MS / 2);
    assert_false(p->is_gone);
    until_gone(b, p, REPLICA_RETIRE_MS);
    assert_int_equal(p->gone, ERR_OK);
}

/* The standby is there and never catches up: it is cut off. */
/* All go at once: the last one is retired, and nobody is left to remove it. */
static void test_all_leave(void **state) {
    struct bench *b = bench_begin(state);
    for (unsigned i = 0; i < 3; i++) {
        replica_leave(b->pods[i].replica);
    }
    for (unsigned i = 0; i < 3; i++) {
        until_gone(b, &b->pods[i], 2 * REPLICA_RETIRE_MS);
        assert_int_equal(b->pods[i].gone, ERR_OK);
    }
}

static void test_patience_has_an_end(void **state) {
    struct bench *b = bench_begin(state);
    with_standby(b);
    newcomer(b)->is_stopped = true;
    struct pod *p = bench_follower(b);
    replica_leave(p->replica);
    bench_run(b, 1000);
    assert_false(p->is_gone);
    until_gone(b, p, 10000);
    assert_int_equal(p->gone, ERR_OK);
}

static void test_a_lone_replica_goes_at_once(void **state) {
    struct bench *b = *state;
    bench_found(b, 1);
    bench_set_first(b, bench_leader(b));
    replica_leave(b->pods[0].replica);
    until_gone(b, &b->pods[0], 200);
    assert_int_equal(b->pods[0].gone, ERR_OK);
}

static void test_outside_a_cluster_it_goes_at_once(void **state) {
    struct bench *b = *state;
    replica_leave(b->pods[0].replica);
    assert_true(b->pods[0].is_gone);
    assert_int_equal(b->pods[0].gone, ERR_OK);
}

static void test_who_leaves_takes_no_more_requests(void **state) {
    struct bench *b = bench_begin(state);
    with_standby(b);
    struct pod *p = bench_follower(b);
    struct entry_blob blob = world_blob(&b->world, 0);
    AUTO(buf_deinit)
    struct buf entry = {0};
    entry_encode(ENTRY_BLOB, &blob, &entry);
    replica_propose(p->replica, 1, buf_span(&entry));
    replica_leave(p->replica);
    assert_int_equal(bench_answer(b, p, 3000), ERR_OK); /* was under way */
    replica_propose(p->replica, 2, buf_span(&entry));
    assert_int_equal(p->reply, ERR_UNAVAILABLE);
    p->reply = BENCH_NO_REPLY;
    replica_status(p->replica, 3);
    assert_int_equal(bench_answer(b, p, 3000), ERR_OK);
}

static void test_an_owner_retires_one(void **state) {
    struct bench *b = bench_begin(state);
    with_standby(b);
    struct pod *p = bench_follower(b);
    struct entry_retire retire = {
        .id = p->member.id, .reason = RETIRE_DEAD, .time = WORLD_TIME + 100};
    assert_int_equal(bench_propose(b, bench_leader(b), ENTRY_RETIRE, &retire), ERR_OK);
    until_gone(b, p, 3000);
    assert_int_equal(p->gone, ERR_CANCELED);
}

/* A standby that its host pauses meanwhile: nobody waits for it, its row goes with the next entry.
 * When it wakes there must be somebody who has a link with it and tells. */
static void test_who_is_retired_asleep_hears_of_it(void **state) {
    struct bench *b = bench_begin(state);
    struct pod *p = &b->pods[3];
    bench_join(b, core_head(replica_core(b->pods[0].replica)));
    p->is_stopped = true;
    const struct entry_retire retire = {
        .id = p->member.id, .reason = RETIRE_DEAD, .time = WORLD_TIME + 100};
    assert_int_equal(bench_propose(b, bench_leader(b), ENTRY_RETIRE, &retire), ERR_OK);
    bench_run(b, 2000);
    assert_null(core_find_member(replica_core(bench_leader(b)->replica), p->member.id));
    assert_false(p->is_gone);
    p->is_stopped = false;
    bench_run(b, 2 * REPLICA_REMOVED_MS);
    assert_true(p->is_gone);
    assert_int_equal(p->gone, ERR_CANCELED);
    bench_run(b, REPLICA_TOLD_MS + 1000);
    for (size_t i = 0; i < b->pods[0].wanted_count; i++) {
        assert_int_not_equal(b->pods[0].wanted[i], p->member.id); /* and it is forgotten */
    }
}

/* Who asked to go is not linked afterwards, whoever else is sent away in the same moment: its
 * address is soon its successor's. */
static void test_who_asked_is_not_kept(void **state) {
    struct bench *b = bench_begin(state);
    with_standby(b);
    newcomer(b)->is_stopped = true;
    struct pod *p = bench_follower(b);
    replica_leave(p->replica);
    bench_run(b, 500);
    assert_int_equal(row_of(bench_leader(b), p)->state, CORE_LEAVING);
    const struct entry_retire retire = {
        .id = newcomer(b)->member.id, .reason = RETIRE_DEAD, .time = WORLD_TIME + 100};
    assert_int_equal(bench_propose(b, bench_leader(b), ENTRY_RETIRE, &retire), ERR_OK);
    until_gone(b, p, 10000);
    bench_run(b, 1000);
    const struct pod *leader = bench_leader(b);
    bool is_kept = false; /* the one that was sent away */
    for (size_t i = 0; i < leader->wanted_count; i++) {
        assert_int_not_equal(leader->wanted[i], p->member.id);
        is_kept = is_kept || leader->wanted[i] == newcomer(b)->member.id;
    }
    assert_true(is_kept);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_a_leader_hands_over),
        BENCH_TEST(test_a_follower_waits_for_its_replacement),
        BENCH_TEST(test_a_standby_leaves_at_once),
        BENCH_TEST(test_without_a_standby_nobody_waits),
        BENCH_TEST(test_without_a_quorum_it_goes_after_a_while),
        BENCH_TEST(test_all_leave),
        BENCH_TEST(test_patience_has_an_end),
        BENCH_TEST(test_a_lone_replica_goes_at_once),
        BENCH_TEST(test_outside_a_cluster_it_goes_at_once),
        BENCH_TEST(test_who_leaves_takes_no_more_requests),
        BENCH_TEST(test_an_owner_retires_one),
        BENCH_TEST(test_who_is_retired_asleep_hears_of_it),
        BENCH_TEST(test_who_asked_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
