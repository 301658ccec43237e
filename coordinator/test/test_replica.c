/* Tests of a replica's life, in virtual time with links that deliver at once: founding, forwarding,
 * confirmation, names, lapses, the joiner's check of history, and the divergence alarm.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/test/replica_bench.h"

#include <string.h>

#include "coordinator/core/core_state.h"
#include "lib/crypto/digest.h"

/* --- Founding */

static void test_one_founder_is_a_cluster(void **state) {
    struct bench *b = *state;
    bench_found(b, 1);
    bench_set_first(b, bench_leader(b));
    assert_int_equal(replica_state_of(b->pods[0].replica), REPLICA_VOTER);
}

static void test_three_founders_hold_the_same(void **state) {
    struct bench *b = bench_begin(state);
    uint8_t first[32];
    core_state_hash(replica_core(b->pods[0].replica), first);
    for (unsigned i = 0; i < 3; i++) {
        uint8_t hash[32];
        core_state_hash(replica_core(b->pods[i].replica), hash);
        assert_memory_equal(hash, first, sizeof hash);
        assert_int_equal(core_generation(replica_core(b->pods[i].replica)), 1);
    }
}

static void test_a_founder_founds_once(void **state) {
    struct bench *b = bench_begin(state);
    struct replica *r = b->pods[0].replica;
    assert_true(is_ok(replica_found(r, buf_span(&b->found), NULL)));
    assert_int_equal(replica_prepare(r, NULL).code, ERR_FOUNDED);
    assert_int_equal(replica_found(r, span_str("another"), NULL).code, ERR_FOUNDED);
}

static void test_prepared_lapses(void **state) {
    struct bench *b = *state;
    struct replica *r = b->pods[0].replica;
    assert_true(is_ok(replica_prepare(r, NULL)));
    bench_run(b, 29000);
    assert_int_equal(replica_state_of(r), REPLICA_PREPARED);
    bench_run(b, 2000);
    assert_int_equal(replica_state_of(r), REPLICA_EMPTY);
}

static void test_founded_without_manifest_ends(void **state) {
    struct bench *b = *state;
    bench_found(b, 3);
    bench_run(b, 61000);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(b->pods[i].gone, ERR_TIMEOUT);
    }
}

/* The host paused a founder before the first manifest reached it, for longer than a founding may
 * take: it hears what came meanwhile before it is judged. */
static void test_a_paused_founder_does_not_lapse(void **state) {
    struct bench *b = *state;
    bench_found(b, 3);
    struct pod *paused = bench_follower(b);
    paused->is_stopped = true;
    bench_set_first(b, bench_leader(b));
    bench_run(b, 70000);
    assert_int_equal(core_generation(replica_core(paused->replica)), 0);
    paused->is_stopped = false;
    bench_run(b, 1000);
    assert_int_equal(paused->gone, ERR_OK);
    assert_int_equal(core_generation(replica_core(paused->replica)), 1);
}

/* The log that brought the first manifest is compacted when it comes back. */
static void test_a_founder_that_gets_a_snapshot_is_one(void **state) {
    struct bench *b = *state;
    for (unsigned i = 0; i < 3; i++) {
        b->pods[i].replica->options.snapshot_threshold = 16;
        b->pods[i].replica->options.snapshot_trailing = 4;
    }
    bench_found(b, 3);
    struct pod *p = bench_follower(b);
    p->is_stopped = true;
    bench_set_first(b, bench_leader(b));
    bench_run(b, 4000); /* its place in the log is not kept for ever */
    for (unsigned i = 0; i < 64; i++) {
        struct entry_blob blob = world_blob(&b->world, i % WORLD_POLICIES);
        assert_int_equal(bench_propose(b, bench_leader(b), ENTRY_BLOB, &blob), ERR_OK);
    }
    bench_run(b, 30000);
    for (unsigned i = 0; i < 64; i++) {
        struct entry_blob blob = world_blob(&b->world, i % WORLD_POLICIES);
        assert_int_equal(bench_propose(b, bench_leader(b), ENTRY_BLOB, &blob), ERR_OK);
    }
    p->is_stopped = false;
    bench_run(b, 3000);
    assert_int_equal(core_generation(replica_core(p->replica)), 1);
    assert_int_equal(replica_state_of(p->replica), REPLICA_VOTER);
    bench_run(b, 120000);
    assert_false(p->is_gone);
}

static void test_a_foreign_owner_is_refused(void **state) {
    struct bench *b = *state;
    memset(b->owner, 7, sizeof b->owner);
    bench_found(b, 1);
    struct pod *p = bench_leader(b);
    for (unsigned i = 0; i < WORLD_POLICIES; i++) {
        struct entry_blob blob = world_blob(&b->world, i);
        assert_int_equal(bench_propose(b, p, ENTRY_BLOB, &blob), ERR_OK);
    }
    struct entry_set_manifest set = world_set(&b->world, 0xf, 0);
    assert_int_equal(bench_propose(b, p, ENTRY_SET_MANIFEST, &set), ERR_FROZEN);
    assert_int_equal(p->gone, ERR_DENIED);
}

/* --- Currency */

static void test_a_paused_leader_confirms_nothing(void **state) {
    struct bench *b = bench_begin(state);
    struct pod *old = bench_leader(b);
    old->is_stopped = true;
    bench_run(b, 3000);
    assert_ptr_not_equal(bench_leader(b), old);
    assert_true(replica_is_leader(old->replica)); /* as far as it knows */
    replica_confirm(old->replica, 1);
    for (unsigned i = 0; i < 300; i++) { /* awake, but alone */
        bench_run(b, 10);
        replica_tick(old->replica);
    }
    assert_int_equal(old->reply, ERR_NO_QUORUM);
    struct pod *now = bench_leader(b);
    replica_confirm(now->replica, 1);
    assert_int_equal(bench_answer(b, now, 3000), ERR_OK);
}

static void test_a_follower_confirms_through_the_leader(void **state) {
    struct bench *b = bench_begin(state);
    struct pod *p = bench_follower(b);
    replica_confirm(p->replica, 1);
    assert_int_equal(bench_answer(b, p, 3000), ERR_OK);
}

/* What was asked of a leader that died is asked of the next one at once: in virtual time, from the
 * moment that the link says so, a pause before the election and a round. */
static void test_a_dead_leader_does_not_delay_the_next_answer(void **state) {
    struct bench *b = bench_begin(state);
    struct pod *dead = bench_leader(b);
    struct pod *p = bench_follower(b);
    dead->is_stopped = true;
    replica_confirm(p->replica, 1); /* goes to the dead one */
    bench_run(b, 20);
    assert_int_equal(p->reply, BENCH_NO_REPLY);
    for (unsigned i = 0; i < 3; i++) {
        if (&b->pods[i] != dead) {
            replica_link(b->pods[i].replica, dead->member.id, false);
            replica_link_gone(b->pods[i].replica, dead->member.id);
        }
    }
    assert_int_equal(bench_answer(b, p, 200), ERR_OK);
}

static void test_without_a_quorum_nothing_is_acknowledged(void **state) {
    struct bench *b = bench_begin(state);
    struct pod *p = bench_leader(b);
    for (unsigned i = 0; i < 3; i++) {
        b->pods[i].is_stopped = &b->pods[i] != p;
    }
    struct entry_set_manifest set = world_set(&b->world, 0xf, 1);
    memcpy(set.previous, core_head(replica_core(p->replica)), sizeof set.previous);
    set.generation = 2;
    set.root_key = set.root_cert = set.workload_secret = span_of(NULL, 0);
    assert_int_equal(bench_propose(b, p, ENTRY_SET_MANIFEST, &set), ERR_OUTCOME_UNKNOWN);
    assert_int_equal(core_generation(replica_core(p->replica)), 1);
}

/* --- Names and joining */

static void test_a_name_is_kept_while_its_holder_lives(void **state) {
    struct bench *b = bench_begin(state);
    struct pod *by = bench_leader(b);
    const struct pod *holder = bench_follower(b);
    bench_run(b, 5000);
    assert_int_equal(bench_admit(b, by, holder->member.name), ERR_EXISTS);
    uint64_t old = 0;
    assert_false(replica_name_is_free(by->replica, holder->member.name, &old));
    assert_int_equal(old, holder->member.id);
}

static void test_a_name_of_the_dead_is_taken_over(void **state) {
    struct bench *b = bench_begin(state);
    struct pod *by = bench_leader(b);
    struct pod *holder = bench_follower(b);
    holder->is_stopped = true;
    bench_run(b, 2000);
    assert_int_equal(bench_admit(b, by, holder->member.name), ERR_EXISTS);
    bench_run(b, 1500);
    assert_int_equal(bench_admit(b, by, holder->member.name), ERR_OK);
    const struct core_member *m = core_find_member(replica_core(by->replica), holder->member.id);
    assert_true(m == NULL || m->state == CORE_LEAVING);
}

static void test_a_newcomer_stands_by(void **state) {
    struct bench *b = bench_begin(state);
    bench_join(b, core_head(replica_core(b->pods[0].replica)));
    struct pod *p = &b->pods[3];
    assert_int_equal(replica_state_of(p->replica), REPLICA_STANDBY);
    assert_int_equal(core_generation(replica_core(p->replica)), 1);
    struct node_member members[LIMIT_MEMBERS];
    assert_int_equal(node_members(p->replica->node, members), 4);
}

static void test_a_newcomer_refuses_another_history(void **state) {
    struct bench *b = bench_begin(state);
    uint8_t head[32] = {1, 2, 3};
    bench_join(b, head);
    assert_int_equal(b->pods[3].gone, ERR_FORK);
}

/* One round of heartbeats, of which `but` never answers; what the others answer is held back. */
static struct message *hold_answers(struct bench *b, unsigned to, unsigned but) {
    struct message *held = NULL;
    struct message **last = &held;
    bench_deliver(b);
    b->now_ms += 60;
    replica_tick(b->pods[to].replica);
    while (b->first != NULL) {
        struct message *m = bench_take_message(b);
        m->next = NULL;
        if (m->to == to && m->from != but) {
            *last = m;
            last = &m->next;
            continue;
        }
        if (m->to != to) {
            replica_receive(b->pods[m->to].replica, b->pods[m->from].member.id, m->type,
                            buf_span(&m->body));
        }
        buf_deinit(&m->body);
        mem_free(m);
    }
    return held;
}

/* Its host pauses it for ten seconds. On waking it finds old answers of all but one. */
static void test_a_paused_leader_declares_nobody_dead(void **state) {
    struct bench *b = bench_begin(state);
    bench_join(b, core_head(replica_core(b->pods[0].replica)));
    struct pod *p = bench_leader(b);
    struct pod *quiet = bench_follower(b);
    struct message *held = hold_answers(b, (unsigned)(p - b->pods), (unsigned)(quiet - b->pods));
    b->now_ms += 10000;
    assert_non_null(held);
    *b->last = held;
    while (*b->last != NULL) {
        b->last = &(*b->last)->next;
    }
    bench_deliver(b);
    replica_tick(p->replica);
    bench_run(b, 1000);
    assert_true(bench_is_voter(bench_leader(b), quiet->member.id));
}

/* Its link to the leader is cut, and the leader removes it; it learns so from the others. */
static void test_a_removed_member_learns_of_it(void **state) {
    struct bench *b = bench_begin(state);
    bench_join(b, core_head(replica_core(b->pods[0].replica)));
    struct pod *p = &b->pods[3];
    p->apart_from = bench_leader(b);
    bench_run(b, 2000);
    assert_int_equal(p->gone, ERR_OK);
    bench_run(b, 4000);
    assert_int_equal(p->gone, ERR_CANCELED);
}

/* Entries from before its admission do not take its peers away. */
static void test_a_newcomer_keeps_its_peers_in_old_history(void **state) {
    struct bench *b = bench_begin(state);
    struct entry_admit other = {.member = world_member(&b->world, 8, "coordinator-8", 0),
                                .time = WORLD_TIME};
    assert_int_equal(bench_propose(b, bench_leader(b), ENTRY_ADMIT, &other), ERR_OK);
    bench_join(b, core_head(replica_core(b->pods[0].replica)));
    assert_int_equal(replica_state_of(b->pods[3].replica), REPLICA_STANDBY);
    assert_int_equal(b->pods[3].early_peers, 1); /* those of its admission */
}

/* --- The alarm */

static void test_a_replica_that_differs_ends(void **state) {
    struct bench *b = bench_begin(state);
    struct pod *odd = bench_follower(b);
    odd->replica->core->issued += 1; /* as if its memory had been hurt */
    struct pod *p = bench_leader(b);
    for (unsigned i = 0; i < REPLICA_HASH_INTERVAL + 8 && odd->gone == ERR_OK; i++) {
        struct entry_blob blob = world_blob(&b->world, 0);
        assert_int_equal(bench_propose(b, p, ENTRY_BLOB, &blob), ERR_OK);
    }
    bench_run(b, 200);
    assert_int_equal(odd->gone, ERR_DIVERGED);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(&b->pods[i] == odd || b->pods[i].gone == ERR_OK);
    }
}

/* Two that do not vote are no quorum, however much they agree. */
static void test_standbys_end_nobody(void **state) {
    struct bench *b = bench_begin(state);
    struct pod *p = bench_leader(b);
    uint8_t body[40] = {0};
    bench_join(b, core_head(replica_core(p->replica)));
    p = bench_leader(b);
    struct entry_blob blob = world_blob(&b->world, 0);
    p->replica->hashed_interval = 1; /* the next one is compared */
    assert_int_equal(bench_propose(b, p, ENTRY_BLOB, &blob), ERR_OK);
    store_u64be(body, core_applied_index(replica_core(p->replica)));
    assert_int_equal(p->replica->hashes[0].index, core_applied_index(replica_core(p->replica)));
    replica_receive(p->replica, b->pods[3].member.id, REPLICA_STATE_HASH, SPAN(body));
    replica_receive(p->replica, bench_follower(b)->member.id, REPLICA_STATE_HASH, SPAN(body));
    assert_int_equal(p->gone, ERR_OK);
    assert_false(p->is_gone);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_one_founder_is_a_cluster),
        BENCH_TEST(test_three_founders_hold_the_same),
        BENCH_TEST(test_a_founder_founds_once),
        BENCH_TEST(test_prepared_lapses),
        BENCH_TEST(test_founded_without_manifest_ends),
        BENCH_TEST(test_a_paused_founder_does_not_lapse),
        BENCH_TEST(test_a_founder_that_gets_a_snapshot_is_one),
        BENCH_TEST(test_a_foreign_owner_is_refused),
        BENCH_TEST(test_a_paused_leader_confirms_nothing),
        BENCH_TEST(test_a_follower_confirms_through_the_leader),
        BENCH_TEST(test_a_dead_leader_does_not_delay_the_next_answer),
        BENCH_TEST(test_without_a_quorum_nothing_is_acknowledged),
        BENCH_TEST(test_a_name_is_kept_while_its_holder_lives),
        BENCH_TEST(test_a_name_of_the_dead_is_taken_over),
        BENCH_TEST(test_a_newcomer_stands_by),
        BENCH_TEST(test_a_newcomer_refuses_another_history),
        BENCH_TEST(test_a_newcomer_keeps_its_peers_in_old_history),
        BENCH_TEST(test_a_removed_member_learns_of_it),
        BENCH_TEST(test_a_paused_leader_declares_nobody_dead),
        BENCH_TEST(test_a_replica_that_differs_ends),
        BENCH_TEST(test_standbys_end_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
