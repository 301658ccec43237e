/* Tests of members among themselves: clocks, missed admissions, what a leader declines, alarms,
 * levels, freezing, learners, and who may stop.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/test/replica_bench.h"

#include <string.h>

#include "coordinator/core/core_state.h"
#include "lib/base/log.h"

#define YEAR_S 31536000

static bool wants(const struct pod *p, uint64_t id) {
    for (size_t i = 0; i < p->wanted_count; i++) {
        if (p->wanted[i] == id) {
            return true;
        }
    }
    return false;
}

static enum err_code set_next(struct bench *b, struct pod *p) {
    const struct core *core = replica_core(p->replica);
    struct entry_set_manifest set = world_set(&b->world, 0xf, (unsigned)core_generation(core));
    memcpy(set.previous, core_head(core), sizeof set.previous);
    set.generation = core_generation(core) + 1;
    set.root_key = set.root_cert = set.workload_secret = span_of(NULL, 0);
    set.time = host_unix_s(&p->host);
    return bench_propose(b, p, ENTRY_SET_MANIFEST, &set);
}

/* --- Clocks */

static void test_a_clock_that_jumps_moves_nobody(void **state) {
    struct bench *b = bench_begin(state);
    bench_run(b, 3000);
    struct pod *wrong = bench_follower(b);
    struct pod *right = bench_leader(b);
    wrong->skew_s = YEAR_S;
    assert_int_equal(set_next(b, wrong), ERR_UNAVAILABLE);
    assert_true(core_time(replica_core(right->replica)) < WORLD_TIME + YEAR_S / 2);
    assert_int_equal(set_next(b, right), ERR_OK);
    assert_true(core_time(replica_core(right->replica)) < WORLD_TIME + YEAR_S / 2);
    assert_int_equal(right->replica->alarm_count, 1);
    assert_string_equal(right->replica->alarms[0].code, "CLOCK");
    assert_int_equal(right->replica->alarms[0].id, wrong->member.id);
    assert_int_equal(wrong->replica->alarm_count, 1); /* it is told, too */
}

static void test_a_clock_a_little_ahead_moves_nobody(void **state) {
    struct bench *b = bench_begin(state);
    bench_run(b, 3000);
    struct pod *ahead[] = {bench_follower(b), bench_leader(b)};
    for (size_t i = 0; i < 2; i++) {
        ahead[i]->skew_s = LIMIT_CLOCK_AHEAD_S - 1;
        bench_run(b, 1000);
        assert_int_equal(set_next(b, ahead[i]), ERR_OK);
        assert_true(core_time(replica_core(ahead[i]->replica)) <
                    WORLD_TIME + LIMIT_CLOCK_AHEAD_S / 2);
        ahead[i]->skew_s = 0;
        bench_run(b, 1000);
    }
}

/* Of two voters both clocks must be heard before the time may move: a leader that takes over from
 * one that leaves must not wait for the next beat of a member that came a moment ago. */
static void test_a_newcomer_tells_its_clock_at_once(void **state) {
    struct bench *b = bench_begin(state);
    bench_join_begin(b, core_head(replica_core(b->pods[0].replica)));
    for (unsigned i = 0; i < 600 && replica_state_of(b->pods[3].replica) == REPLICA_JOINING; i++) {
        bench_run(b, 5);
    }
    bench_run(b, 20);
    for (unsigned i = 0; i < 3; i++) {
        const struct replica *r = b->pods[i].replica;
        bool is_heard = false;
        for (size_t k = 0; k < LIMIT_MEMBERS; k++) {
            is_heard = is_heard || r->clocks[k].id == b->pods[3].member.id;
        }
        assert_true(is_heard);
    }
}

/* Also where the wrong clock leads. */
static void test_a_leader_with_a_wrong_clock_moves_nobody(void **state) {
    struct bench *b = bench_begin(state);
    bench_run(b, 3000);
    struct pod *wrong = bench_leader(b);
    wrong->skew_s = YEAR_S;
    assert_int_equal(set_next(b, wrong), ERR_UNAVAILABLE);
    assert_int_equal(set_next(b, bench_follower(b)), ERR_OK);
    assert_true(core_time(replica_core(wrong->replica)) < WORLD_TIME + YEAR_S / 2);
}

/* --- Admissions */

static void test_a_missed_admission_is_told(void **state) {
    struct bench *b = bench_begin(state);
    struct pod *cut = bench_follower(b);
    cut->apart_from = bench_leader(b);
    bench_run(b, 50);
    assert_int_equal(bench_admit(b, bench_leader(b), "coordinator-9"), ERR_OK);
    bench_run(b, 2000);
    uint64_t id = b->pods[3].member.id;
    assert_null(core_find_member(replica_core(cut->replica), id));
    assert_true(wants(cut, id));
    assert_string_equal(replica_find_member(cut->replica, id)->name, "coordinator-9");
    cut->apart_from = NULL;
    bench_run(b, 500);
    assert_non_null(core_find_member(replica_core(cut->replica), id));
    assert_int_equal(cut->replica->told_count, 0);
}

static void test_one_admission_at_a_time(void **state) {
    struct bench *b = bench_begin(state);
    struct entry_admit other = {.member = world_member(&b->world, 8, "coordinator-8", 0),
                                .time = WORLD_TIME};
    struct pod *by = bench_leader(b);
    bench_run(b, 3500); /* who was never heard of counts as silent */
    assert_int_equal(bench_propose(b, by, ENTRY_ADMIT, &other), ERR_OK);
    assert_int_equal(bench_admit(b, by, "coordinator-9"), ERR_UNAVAILABLE);
    bench_run(b, REPLICA_ADMITTING_MS + 100); /* that one never came */
    assert_int_equal(bench_admit(b, by, "coordinator-9"), ERR_OK);
}

/* The follower takes the leader for dead, and asks it to give its name away. */
static void test_the_leader_declines_at_once(void **state) {
    struct bench *b = bench_begin(state);
    struct pod *leads = bench_leader(b);
    struct pod *by = bench_follower(b);
    struct pod *third = leads;
    for (unsigned i = 0; i < 3; i++) {
        third = &b->pods[i] != leads && &b->pods[i] != by ? &b->pods[i] : third;
    }
    by->apart_from = third; /* only the leader hears the third one */
    bench_run(b, 3500);
    uint64_t old = 0;
    assert_true(replica_name_is_free(by->replica, third->member.name, &old));
    uint64_t before = b->now_ms;
    assert_int_equal(bench_admit(b, by, third->member.name), ERR_EXISTS);
    assert_true(b->now_ms - before < 500); /* virtual time */
}

/* --- Alarms */

static void test_an_alarm_reaches_everybody_once(void **state) {
    struct bench *b = bench_begin(state);
    struct pod *by = bench_follower(b);
    uint64_t about = bench_leader(b)->member.id;
    for (unsigned i = 0; i < 3; i++) {
        replica_alarm(by->replica, about, "DENIED", "SNP-MEASUREMENT: not permitted");
        bench_run(b, 50);
    }
    for (unsigned i = 0; i < 3; i++) {
        AUTO(arena_deinit)
        struct arena arena = {0};
        struct api_status_reply status;
        replica__status_fill(b->pods[i].replica, false, &arena, &status);
        assert_int_equal(status.alarms.count, 1);
        const struct api_alarm *alarm = status.alarms.items;
        assert_int_equal(alarm->id, about);
        assert_string_equal(alarm->by, by->member.name);
        assert_non_null(strstr(alarm->text, "admitted by the leader; refused by"));
    }
}

static void test_alarms_are_bounded(void **state) {
    struct bench *b = bench_begin(state);
    for (uint64_t i = 1; i <= 3 * LIMIT_ALARMS; i++) {
        replica_alarm(b->pods[0].replica, i, "DENIED", "no");
    }
    bench_run(b, 50);
    assert_int_equal(b->pods[0].replica->alarm_count, LIMIT_ALARMS);
    assert_int_equal(b->pods[1].replica->alarm_count, LIMIT_ALARMS);
    assert_int_equal(b->pods[1].replica->alarms[LIMIT_ALARMS - 1].id, 3 * LIMIT_ALARMS);
}

/* --- Versions */

static void set_level(struct bench *b, uint64_t level) {
    for (unsigned i = 0; i < 3; i++) {
        b->pods[i].replica->core->level = level;
    }
}

static void test_an_unknown_entry_freezes(void **state) {
    struct bench *b = bench_begin(state);
    static const uint8_t entry[] = {ENTRY_ISSUE, 99, 0x90};
    uint64_t index = 0;
    uint64_t term = 0;
    struct pod *p = bench_leader(b);
    uint64_t applied = core_applied_index(replica_core(p->replica));
    set_level(b, 99);
    assert_true(is_ok(node_submit(p->replica->node, SPAN(entry), &index, &term, NULL)));
    bench_run(b, 500);
    assert_int_equal(replica_state_of(p->replica), REPLICA_FROZEN);
    assert_false(p->is_gone);
    assert_int_equal(p->wanted_count, 0);
    assert_int_equal(core_generation(replica_core(p->replica)), 1); /* memory stays */
    assert_int_equal(core_applied_index(replica_core(p->replica)), applied);
    replica_confirm(p->replica, 1);
    assert_int_equal(p->reply, ERR_FROZEN);
}

/* The cluster was founded with an older build; when its last replica has gone, the level rises. */
static void test_the_level_rises_when_everybody_knows(void **state) {
    struct bench *b = *state;
    b->world.founders[1].version = 1;
    b->pods[1].member.version = 1;
    bench_found(b, 3);
    bench_set_first(b, bench_leader(b));
    bench_run(b, 1000);
    assert_int_equal(core_level(replica_core(b->pods[0].replica)), 1);
    replica_leave(b->pods[1].replica);
    bench_run(b, 3000);
    assert_true(b->pods[1].is_gone);
    assert_int_equal(core_level(replica_core(b->pods[0].replica)), entry_version);
    assert_int_equal(core_level(replica_core(b->pods[2].replica)), entry_version);
}

/* --- Bad input */

static void count_line(void *data, enum log_level level, const char *line) {
    (void)line;
    *(unsigned *)data += level >= LOG_WARN ? 1 : 0;
}

static void test_garbage_of_a_member_is_logged_once(void **state) {
    struct bench *b = bench_begin(state);
    static const uint8_t garbage[64] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct pod *p = bench_follower(b);
    unsigned lines = 0;
    log_set_sink(count_line, &lines);
    for (unsigned type = 0; type < 256 * 8; type++) {
        replica_receive(p->replica, bench_leader(b)->member.id, (uint8_t)type,
                        span_of(garbage, type % sizeof garbage));
    }
    log_set_sink(NULL, NULL);
    assert_true(lines > 0);
    assert_true(lines <= LIMIT_LINK_NOTICES);
    assert_false(p->is_gone);
    assert_int_equal(set_next(b, p), ERR_OK);
}

/* --- Learners */

static void test_a_learner_without_progress_ends(void **state) {
    struct bench *b = bench_begin(state);
    struct pod *p = &b->pods[3];
    bench_join(b, core_head(replica_core(b->pods[0].replica)));
    p->replica->state = REPLICA_LEARNER; /* as if it had not been confirmed yet */
    p->replica->progress_ms = b->now_ms;
    for (unsigned i = 0; i < 3; i++) {
        b->pods[i].is_stopped = true;
    }
    bench_run(b, 59000);
    assert_false(p->is_gone);
    bench_run(b, 3000);
    assert_int_equal(p->gone, ERR_TIMEOUT);
}

/* It was promoted before it could prove that it has everything: what it holds counts in a quorum.
 */
static void test_a_learner_that_votes_stays(void **state) {
    struct bench *b = bench_begin(state);
    struct pod *p = &b->pods[3];
    bench_join(b, core_head(replica_core(b->pods[0].replica)));
    bench_follower(b)->is_stopped = true;
    for (unsigned i = 0; i < 200 && replica_state_of(p->replica) != REPLICA_VOTER; i++) {
        bench_run(b, 100);
    }
    assert_int_equal(replica_state_of(p->replica), REPLICA_VOTER);
    p->replica->state = REPLICA_LEARNER; /* as if it had not been confirmed yet */
    p->replica->progress_ms = b->now_ms;
    for (unsigned i = 0; i < 3; i++) {
        b->pods[i].is_stopped = true;
    }
    bench_run(b, 70000);
    assert_false(p->is_gone);
}

/* A large state over a slow link: as long as it comes there is no reason to begin anew. */
static void test_a_joiner_that_is_sent_a_state_does_not_lapse(void **state) {
    struct bench *b = bench_begin(state);
    static const uint8_t bulk[REPLICA_BULK];
    struct pod *p = &b->pods[3];
    for (unsigned i = 0; i < 3; i++) {
        p->wanted[i] = 0;
    }
    struct replica_admission admission = {buf_span(&b->found), NULL, 0, 1, {0}, 1};
    memcpy(admission.head, core_head(replica_core(b->pods[0].replica)), sizeof admission.head);
    assert_true(is_ok(replica_join(p->replica, &admission, NULL)));
    for (unsigned i = 0; i < 5; i++) {
        bench_run(b, 30000);
        replica_receive(p->replica, b->pods[0].member.id, REPLICA_RAFT, SPAN(bulk));
        assert_false(p->is_gone);
    }
    bench_run(b, 62000);
    assert_int_equal(p->gone, ERR_TIMEOUT);
}

/* --- Who may stop */

static const struct api_member *row_of(const struct api_status_reply *s, uint64_t id) {
    const struct api_member *rows = s->members.items;
    for (size_t i = 0; i < s->members.count; i++) {
        if (rows[i].id == id) {
            return &rows[i];
        }
    }
    return NULL;
}

static void check_may_stop(const struct pod *by, const struct pod *of, bool may, const char *why) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_status_reply status;
    replica__status_fill(by->replica, true, &arena, &status);
    const struct api_member *row = row_of(&status, of->member.id);
    assert_non_null(row);
    assert_int_equal(row->may_stop, may);
    assert_non_null(strstr(row->may_stop_why, why));
    if (by == of) {
        assert_int_equal(status.may_stop, may);
        assert_string_equal(status.may_stop_why, row->may_stop_why);
    }
}

static void test_one_of_three_may_stop(void **state) {
    struct bench *b = bench_begin(state);
    for (unsigned i = 0; i < 3; i++) {
        check_may_stop(&b->pods[0], &b->pods[i], true, "2 of 3 voters answer, a quorum is 2");
    }
}

static void test_one_of_two_may_not_stop(void **state) {
    struct bench *b = bench_begin(state);
    struct pod *p = bench_leader(b);
    struct pod *dead = bench_follower(b);
    dead->is_stopped = true;
    bench_run(b, 3500);
    check_may_stop(p, p, false, "2 of 3 voters answer: without ");
    check_may_stop(p, dead, true, "is not needed: 2 of 3 voters answer");
}

/* A voter that leaves counts as gone. */
static void test_nobody_else_may_stop_while_one_leaves(void **state) {
    struct bench *b = bench_begin(state);
    struct pod *p = bench_leader(b);
    struct pod *leaving = bench_follower(b);
    bench_join(b, core_head(replica_core(b->pods[0].replica)));
    b->pods[3].is_stopped = true;
    replica_leave(leaving->replica);
    bench_run(b, 60);
    if (core_find_member(replica_core(p->replica), leaving->member.id) != NULL) {
        check_may_stop(p, p, false, "");
    }
}

static void test_without_links_the_answer_comes_soon(void **state) {
    struct bench *b = bench_begin(state);
    struct pod *p = bench_follower(b);
    for (unsigned i = 0; i < 3; i++) {
        b->pods[i].is_stopped = &b->pods[i] != p;
    }
    bench_run(b, REPLICA_LONELY_MS + 200);
    uint64_t before = b->now_ms;
    replica_confirm(p->replica, 1);
    assert_int_equal(bench_answer(b, p, 3000), ERR_NO_QUORUM);
    assert_int_equal(set_next(b, p), ERR_NO_QUORUM); /* nobody heard of it: nothing is unknown */
    assert_true(b->now_ms - before < 200);           /* virtual time */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_a_clock_that_jumps_moves_nobody),
        BENCH_TEST(test_a_clock_a_little_ahead_moves_nobody),
        BENCH_TEST(test_a_newcomer_tells_its_clock_at_once),
        BENCH_TEST(test_a_leader_with_a_wrong_clock_moves_nobody),
        BENCH_TEST(test_a_missed_admission_is_told),
        BENCH_TEST(test_one_admission_at_a_time),
        BENCH_TEST(test_the_leader_declines_at_once),
        BENCH_TEST(test_an_alarm_reaches_everybody_once),
        BENCH_TEST(test_alarms_are_bounded),
        BENCH_TEST(test_an_unknown_entry_freezes),
        BENCH_TEST(test_the_level_rises_when_everybody_knows),
        BENCH_TEST(test_garbage_of_a_member_is_logged_once),
        BENCH_TEST(test_a_learner_without_progress_ends),
        BENCH_TEST(test_a_learner_that_votes_stays),
        BENCH_TEST(test_a_joiner_that_is_sent_a_state_does_not_lapse),
        BENCH_TEST(test_one_of_three_may_stop),
        BENCH_TEST(test_one_of_two_may_not_stop),
        BENCH_TEST(test_nobody_else_may_stop_while_one_leaves),
        BENCH_TEST(test_without_links_the_answer_comes_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
