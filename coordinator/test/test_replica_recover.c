/* Tests of recovery: what a survivor holds, a new epoch, and what is refused with nothing changed.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "coordinator/test/replica_bench.h"

struct recovered {
    struct buf state;
    struct recovery position;
    uint64_t last_term;
    struct entry_recover entry;
};

static void deinit(struct recovered *r) {
    buf_deinit(&r->state);
}

/* Three members, with share owners in their manifest. */
static struct bench *begin(void **state) {
    struct bench *b = *state;
    world_share(&b->world, 3, 2, false);
    return bench_begin(state);
}

static void survey(struct pod *p, struct recovered *out) {
    buf_clear(&out->state);
    assert_true(
        is_ok(replica_survey(p->replica, &out->state, &out->position, &out->last_term, NULL)));
}

/* The entry that goes on with it, for this recipient. */
static void make_entry(struct bench *b, struct recovered *r, enum recovery_mode mode,
                       const struct pod *recipient) {
    struct entry_recover *e = &r->entry;
    *e = world_recover(&b->world, mode, 2);
    e->epoch = r->position.previous_epoch + 1;
    e->previous_epoch = r->position.previous_epoch;
    e->generation = r->position.generation;
    e->index = r->position.index;
    e->ledger_size = r->position.ledger_size;
    memcpy(e->head, r->position.head, sizeof e->head);
    memcpy(e->ledger_root, r->position.ledger_root, sizeof e->ledger_root);
    e->recipient = recipient->member;
}

static struct result try_recover(struct pod *p, const struct recovered *r, struct err *err) {
    AUTO(buf_deinit)
    struct buf entry = {0};
    entry_encode(ENTRY_RECOVER, &r->entry, &entry);
    return replica_recover(p->replica, buf_span(&r->state), buf_span(&entry), 5, err);
}

static void recover(struct bench *b, struct pod *p, const struct recovered *r) {
    assert_true(is_ok(try_recover(p, r, NULL)));
    assert_int_equal(replica_state_of(p->replica), REPLICA_RECOVERING);
    assert_int_equal(bench_answer(b, p, 5000), ERR_OK);
    assert_int_equal(replica_state_of(p->replica), REPLICA_VOTER);
    assert_int_equal(core_epoch(replica_core(p->replica)), r->entry.epoch);
    assert_int_equal(replica_epoch(p->replica), r->entry.epoch);
    assert_true(replica_is_leader(p->replica));
}

/* All but `p` are gone. */
static void leave_alone(struct bench *b, const struct pod *p) {
    for (unsigned i = 0; i < BENCH_PODS; i++) {
        b->pods[i].is_stopped = &b->pods[i] != p;
    }
}

static enum err_code set_next(struct bench *b, struct pod *p) {
    struct entry_set_manifest set = world_set(&b->world, 0xf, 7);
    const struct core *core = replica_core(p->replica);
    set.generation = core_generation(core) + 1;
    memcpy(set.previous, core_head(core), sizeof set.previous);
    set.root_key = set.root_cert = set.workload_secret = (struct span){0};
    return bench_propose(b, p, ENTRY_SET_MANIFEST, &set);
}

/* --- From a survivor */

static void test_a_survivor_goes_on_in_a_new_epoch(void **state) {
    struct bench *b = begin(state);
    AUTO(deinit)
    struct recovered r = {0};
    struct pod *p = bench_follower(b);
    leave_alone(b, p);
    bench_run(b, 2000);
    survey(p, &r);
    assert_int_equal(r.position.generation, 1);
    assert_int_equal(r.position.previous_epoch, 1);
    make_entry(b, &r, RECOVERY_SURVIVOR, p);
    recover(b, p, &r);
    size_t count = 0;
    (void)core_members(replica_core(p->replica), &count);
    assert_int_equal(count, 1);
    assert_int_equal(p->wanted_count, 0);
    assert_int_equal(set_next(b, p), ERR_OK);
    assert_int_equal(core_generation(replica_core(p->replica)), 2);
}

/* The follower that acknowledged it need not know that it is committed. */
static void test_what_was_acknowledged_is_in_the_survey(void **state) {
    struct bench *b = begin(state);
    AUTO(deinit)
    struct recovered r = {0};
    struct pod *leads = bench_leader(b);
    struct pod *p = bench_follower(b);
    for (unsigned i = 0; i < 3; i++) { /* a majority with p, and with nobody else */
        b->pods[i].is_stopped = &b->pods[i] != leads && &b->pods[i] != p;
    }
    bench_run(b, 50);
    assert_int_equal(set_next(b, leads), ERR_OK);
    leave_alone(b, p);
    survey(p, &r);
    assert_int_equal(r.position.generation, 2);
    make_entry(b, &r, RECOVERY_SURVIVOR, p);
    recover(b, p, &r);
    assert_int_equal(core_generation(replica_core(p->replica)), 2);
}

/* The quorum was only paused: what it sends reaches the survivor over a link that is still there,
 * between its new log's first entry and the moment at which that is applied. */
static void test_late_frames_of_the_old_epoch_do_not_count(void **state) {
    struct bench *b = begin(state);
    AUTO(deinit)
    struct recovered r = {0};
    struct pod *p = bench_follower(b);
    p->is_stopped = true;
    assert_int_equal(set_next(b, bench_leader(b)), ERR_OK); /* without p */
    for (unsigned i = 0; i < 3; i++) {                      /* in later terms than p ever saw */
        assert_true(is_ok(node_transfer(bench_leader(b)->replica->node, 0, NULL)));
        bench_run(b, 100);
    }
    survey(p, &r);
    make_entry(b, &r, RECOVERY_SURVIVOR, p);
    p->is_stopped = false;
    bench_run(b, 5); /* the links are up again */
    while (b->first == NULL || b->first->type != REPLICA_RAFT) {
        bench_run(b, 5);
    }
    survey(p, &r);
    assert_int_equal(r.position.generation, 1); /* what the others have is only under way */
    assert_true(is_ok(try_recover(p, &r, NULL)));
    bench_deliver(b);
    assert_false(p->is_gone);
    assert_int_equal(replica_state_of(p->replica), REPLICA_RECOVERING);
    for (unsigned i = 0; i < BENCH_PODS; i++) { /* nor is a link remembered that is none any more */
        replica_link(p->replica, b->pods[i].member.id, true);
        assert_false(replica__is_linked(p->replica, b->pods[i].member.id));
    }
    leave_alone(b, p);
    assert_int_equal(bench_answer(b, p, 5000), ERR_OK);
    assert_int_equal(replica_state_of(p->replica), REPLICA_VOTER);
    assert_int_equal(core_epoch(replica_core(p->replica)), 2);
    assert_int_equal(core_generation(replica_core(p->replica)), 1);
}

static void test_requests_of_the_old_epoch_are_answered(void **state) {
    struct bench *b = begin(state);
    AUTO(deinit)
    struct recovered r = {0};
    struct pod *p = bench_follower(b);
    leave_alone(b, p);
    bench_run(b, 1000);
    survey(p, &r);
    make_entry(b, &r, RECOVERY_SURVIVOR, p);
    replica_confirm(p->replica, 1); /* nobody will answer it */
    assert_true(is_ok(try_recover(p, &r, NULL)));
    assert_int_equal(p->reply, ERR_UNAVAILABLE);
    p->reply = BENCH_NO_REPLY;
    assert_int_equal(bench_answer(b, p, 5000), ERR_OK); /* the recovery itself */
}

/* Sent to a leader that is gone: the entry may stand in its log, committed. */
static void test_what_was_sent_has_no_known_outcome(void **state) {
    struct bench *b = begin(state);
    AUTO(deinit)
    struct recovered r = {0};
    AUTO(buf_deinit)
    struct buf entry = {0};
    struct pod *p = bench_follower(b);
    struct entry_blob blob = world_blob(&b->world, 0);
    entry_encode(ENTRY_BLOB, &blob, &entry);
    replica_propose(p->replica, 1, buf_span(&entry));
    leave_alone(b, p);
    for (unsigned i = 0; i < 100 && replica_leader(p->replica) != 0; i++) {
        bench_run(b, 5);
    }
    bench_run(b, 30); /* there is nobody to send it to now */
    assert_int_equal(p->reply, BENCH_NO_REPLY);
    survey(p, &r);
    make_entry(b, &r, RECOVERY_SURVIVOR, p);
    assert_true(is_ok(try_recover(p, &r, NULL)));
    assert_int_equal(p->reply, ERR_OUTCOME_UNKNOWN);
    p->reply = BENCH_NO_REPLY;
    assert_int_equal(bench_answer(b, p, 5000), ERR_OK); /* the recovery itself */
}

/* It met an entry of a newer build: its memory is kept for this very case. */
static void test_a_frozen_replica_is_a_survivor(void **state) {
    struct bench *b = begin(state);
    AUTO(deinit)
    struct recovered r = {0};
    struct pod *p = bench_follower(b);
    leave_alone(b, p);
    replica__freeze(p->replica, "an entry that it does not know");
    bench_run(b, 1000);
    survey(p, &r);
    assert_int_equal(r.position.generation, 1);
    make_entry(b, &r, RECOVERY_SURVIVOR, p);
    recover(b, p, &r);
    assert_int_equal(set_next(b, p), ERR_OK);
}

static void test_a_survivor_whose_state_moved(void **state) {
    struct bench *b = begin(state);
    AUTO(deinit)
    struct recovered r = {0};
    struct err err;
    struct pod *p = bench_leader(b);
    survey(p, &r);
    make_entry(b, &r, RECOVERY_SURVIVOR, p);
    assert_int_equal(set_next(b, p), ERR_OK);
    assert_int_equal(try_recover(p, &r, &err).code, ERR_CHANGED);
    assert_int_equal(replica_state_of(p->replica), REPLICA_VOTER);
    assert_int_equal(replica_epoch(p->replica), 1);
}

static void test_who_holds_nothing_is_no_survivor(void **state) {
    struct bench *b = begin(state);
    AUTO(deinit)
    struct recovered r = {0};
    struct err err;
    assert_int_equal(
        replica_survey(b->pods[3].replica, &r.state, &r.position, &r.last_term, &err).code,
        ERR_NOT_FOUND);
}

/* --- Onto an empty replica */

static void test_a_checkpoint_begins_on_an_empty_replica(void **state) {
    struct bench *b = begin(state);
    AUTO(deinit)
    struct recovered r = {0};
    struct pod *p = &b->pods[3];
    survey(bench_leader(b), &r);
    leave_alone(b, p);
    make_entry(b, &r, RECOVERY_CHECKPOINT, p);
    recover(b, p, &r);
    assert_int_equal(core_generation(replica_core(p->replica)), 1);
    assert_int_equal(set_next(b, p), ERR_OK);
}

/* The founding record is made anew from the state: a newcomer starts with it. */
static void test_newcomers_join_the_new_epoch(void **state) {
    struct bench *b = begin(state);
    AUTO(deinit)
    struct recovered r = {0};
    struct pod *p = bench_leader(b);
    survey(p, &r);
    leave_alone(b, p);
    bench_run(b, 1000);
    make_entry(b, &r, RECOVERY_SURVIVOR, p);
    recover(b, p, &r);
    b->pods[3].is_stopped = false;
    assert_int_equal(bench_admit(b, p, "coordinator-9"), ERR_OK);
    struct replica_peer peer = {p->member.id, p->member.address, p->member.spki};
    struct replica_admission admission = {.found = buf_span(&p->replica->found),
                                          .members = &peer,
                                          .member_count = 1,
                                          .generation = 1,
                                          .epoch = 2};
    memcpy(admission.head, core_head(replica_core(p->replica)), sizeof admission.head);
    assert_true(is_ok(replica_join(b->pods[3].replica, &admission, NULL)));
    assert_int_equal(replica_epoch(b->pods[3].replica), 2);
    bench_run(b, 3000);
    const struct core *core = replica_core(b->pods[3].replica);
    assert_int_equal(core_epoch(core), 2);
    assert_false(core_is_checkpoint(core));
    assert_true(bench_is_voter(p, b->pods[3].member.id) ||
                replica_state_of(b->pods[3].replica) == REPLICA_STANDBY);
}

/* --- What changes nothing */

static void test_an_entry_that_is_refused_changes_nothing(void **state) {
    struct bench *b = begin(state);
    AUTO(deinit)
    struct recovered r = {0};
    struct err err;
    struct pod *p = &b->pods[3];
    survey(bench_leader(b), &r);
    leave_alone(b, p);
    for (unsigned i = 0; i < 5; i++) {
        make_entry(b, &r, RECOVERY_CHECKPOINT, p);
        r.entry.index += i == 0 ? 1 : 0;
        r.entry.epoch -= i == 1 ? 1 : 0;
        r.entry.head[0] = (uint8_t)(r.entry.head[0] ^ (i == 2 ? 1 : 0));
        r.entry.ledger_size += i == 3 ? 1 : 0;
        r.entry.signatures.count -= i == 4 ? 1 : 0;
        assert_false(is_ok(try_recover(p, &r, &err)));
        assert_int_equal(replica_state_of(p->replica), REPLICA_EMPTY);
        assert_false(core_is_founded(replica_core(p->replica)));
    }
    make_entry(b, &r, RECOVERY_CHECKPOINT, p);
    recover(b, p, &r);
}

static void test_a_state_that_is_none(void **state) {
    struct bench *b = begin(state);
    AUTO(deinit)
    struct recovered r = {0};
    struct err err;
    struct pod *p = &b->pods[3];
    survey(bench_leader(b), &r);
    make_entry(b, &r, RECOVERY_CHECKPOINT, p);
    r.state.data[r.state.size / 2] ^= 1;
    assert_false(is_ok(try_recover(p, &r, &err)));
    assert_int_equal(replica_state_of(p->replica), REPLICA_EMPTY);
}

/* --- The old epoch */

static void test_only_a_higher_epoch_supersedes(void **state) {
    struct bench *b = begin(state);
    static const uint8_t hash[32] = {0xab};
    struct pod *p = bench_follower(b);
    replica_superseded(p->replica, 1, hash);
    replica_superseded(b->pods[3].replica, 9, hash); /* belongs to no cluster */
    assert_false(p->is_gone);
    assert_false(b->pods[3].is_gone);
    replica_superseded(p->replica, 2, hash);
    assert_true(p->is_gone);
    assert_int_equal(p->gone, ERR_CANCELED);
    assert_int_equal(replica_state_of(p->replica), REPLICA_GONE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_a_survivor_goes_on_in_a_new_epoch),
        BENCH_TEST(test_what_was_acknowledged_is_in_the_survey),
        BENCH_TEST(test_late_frames_of_the_old_epoch_do_not_count),
        BENCH_TEST(test_requests_of_the_old_epoch_are_answered),
        BENCH_TEST(test_what_was_sent_has_no_known_outcome),
        BENCH_TEST(test_a_frozen_replica_is_a_survivor),
        BENCH_TEST(test_a_survivor_whose_state_moved),
        BENCH_TEST(test_who_holds_nothing_is_no_survivor),
        BENCH_TEST(test_a_checkpoint_begins_on_an_empty_replica),
        BENCH_TEST(test_newcomers_join_the_new_epoch),
        BENCH_TEST(test_an_entry_that_is_refused_changes_nothing),
        BENCH_TEST(test_a_state_that_is_none),
        BENCH_TEST(test_only_a_higher_epoch_supersedes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
