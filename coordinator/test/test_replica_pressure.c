/* Tests of back-pressure: more requests than a replica can pass on. Each is answered exactly once,
 * what is over a limit at once with BUSY and advice, memory stays below the named limits, and
 * service comes back with the followers.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/test/replica_bench.h"

#include <string.h>

#include "lib/crypto/digest.h"

#define FLOOD 5000
#define POLICY_SIZE (200 * 1024)

enum { FIRST_TICKET = 1000 };

/* What became of the tickets of one replica. */
struct answers {
    struct replica *replica;
    void (*reply)(void *data, uint64_t ticket, const struct replica_reply *reply); /* the bench's */
    unsigned count[FLOOD]; /* of each ticket */
    unsigned total;
    unsigned busy;
    unsigned busy_without_advice;
    unsigned ok;
    unsigned without_outcome; /* NO_QUORUM, OUTCOME_UNKNOWN */
};

static void on_reply(void *data, uint64_t ticket, const struct replica_reply *reply) {
    struct answers *a = data;
    assert_true(ticket >= FIRST_TICKET && ticket < FIRST_TICKET + FLOOD);
    a->count[ticket - FIRST_TICKET]++;
    a->total++;
    a->ok += reply->code == ERR_OK ? 1 : 0;
    a->without_outcome +=
        reply->code == ERR_NO_QUORUM || reply->code == ERR_OUTCOME_UNKNOWN ? 1 : 0;
    if (reply->code == ERR_BUSY) {
        a->busy++;
        a->busy_without_advice += reply->retry_ms == 0 ? 1 : 0;
    }
}

/* io.data is the pod, for sending, too: only the answers are bent. */
static struct answers *current;

static void bent_reply(void *data, uint64_t ticket, const struct replica_reply *reply) {
    (void)data;
    on_reply(current, ticket, reply);
}

static void count_answers(struct answers *a, struct pod *p) {
    *a = (struct answers){.replica = p->replica, .reply = p->replica->io.reply};
    p->replica->io.reply = bent_reply;
    current = a;
}

static void stop_counting(struct answers *a) {
    a->replica->io.reply = a->reply;
    current = NULL;
}

static void assert_each_once(const struct answers *a, unsigned count) {
    assert_int_equal(a->total, count);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(a->count[i], 1);
    }
}

/* Followers that are there and say nothing, as stopped processes on connections that stand. */
static void run_alone(struct bench *b, struct pod *p, uint64_t duration_ms) {
    for (uint64_t end = b->now_ms + duration_ms; b->now_ms < end; b->now_ms += 5) {
        while (b->first != NULL) {
            struct message *m = bench_take_message(b);
            buf_deinit(&m->body);
            mem_free(m);
        }
        if (replica_deadline(p->replica) <= b->now_ms) {
            replica_tick(p->replica);
        }
    }
}

static void ask_issue(struct bench *b, struct pod *p, uint64_t ticket) {
    struct entry_issue_request request = {.spki = span_str("a workload's key")};
    memcpy(request.policy_hash, b->world.hashes[2], sizeof request.policy_hash);
    replica_issue(p->replica, ticket, 1, &request);
}

/* A third of each kind. */
static void flood(struct bench *b, struct pod *p) {
    for (uint64_t i = 0; i < FLOOD; i++) {
        uint64_t ticket = FIRST_TICKET + i;
        if (i % 3 == 0) {
            replica_confirm(p->replica, ticket);
        } else if (i % 3 == 1) {
            replica_status(p->replica, ticket);
        } else {
            ask_issue(b, p, ticket);
        }
    }
}

static void assert_serves(struct bench *b, struct pod *p) {
    p->reply = BENCH_NO_REPLY;
    replica_confirm(p->replica, 1);
    assert_int_equal(bench_answer(b, p, 10000), ERR_OK);
    ask_issue(b, p, 1);
    assert_int_equal(bench_answer(b, p, 10000), ERR_OK);
}

static void take_a_flood(struct bench *b, struct pod *p) {
    struct answers *a = mem_zalloc(sizeof *a);
    count_answers(a, p);
    flood(b, p);
    assert_int_equal(p->replica->pending_count, LIMIT_PENDING_REQUESTS);
    assert_int_equal(a->busy, FLOOD - LIMIT_PENDING_REQUESTS);
    assert_int_equal(a->busy_without_advice, 0);
    /* Nobody waits longer than two request times: one until it is in an entry, one in it. */
    run_alone(b, p, 2 * p->replica->options.request_ms + 1000);
    assert_each_once(a, FLOOD);
    assert_int_equal(a->busy_without_advice, 0);
    assert_true(a->without_outcome > 0);
    assert_int_equal(p->replica->pending_count, 0);
    assert_int_equal(p->replica->pending_bytes, 0);
    assert_int_equal(p->replica->issues_waiting, 0);
    stop_counting(a);
    mem_free(a);
}

static void test_a_leader_with_silent_followers(void **state) {
    struct bench *b = bench_begin(state);
    struct pod *p = bench_leader(b);
    take_a_flood(b, p);
    assert_serves(b, p);
}

static void test_a_follower_without_an_answering_leader(void **state) {
    struct bench *b = bench_begin(state);
    struct pod *p = bench_follower(b);
    take_a_flood(b, p);
    assert_serves(b, p);
}

/* Two entries under way, and whoever comes behind them waits in no entry: certificates are a small
 * part of what a log may hold. */
static void test_certificates_do_not_fill_the_log(void **state) {
    struct bench *b = bench_begin(state);
    struct pod *p = bench_leader(b);
    struct answers *a = mem_zalloc(sizeof *a);
    count_answers(a, p);
    for (uint64_t i = 0; i < FLOOD; i++) {
        ask_issue(b, p, FIRST_TICKET + i);
    }
    assert_int_equal(p->replica->issues_in_flight, REPLICA_ISSUES_IN_FLIGHT);
    assert_true(p->replica->pending_bytes < REPLICA_ISSUES_IN_FLIGHT * LIMIT_ENTRY);
    bench_run(b, 5000); /* the followers answer: all that were taken are served */
    assert_each_once(a, FLOOD);
    assert_int_equal(a->ok, LIMIT_PENDING_REQUESTS);
    assert_int_equal(a->busy, FLOOD - LIMIT_PENDING_REQUESTS);
    stop_counting(a);
    mem_free(a);
}

static void propose_policy(struct bench *b, struct pod *p, uint64_t ticket) {
    static uint8_t policy[POLICY_SIZE];
    AUTO(buf_deinit)
    struct buf entry = {0};
    store_u64be(policy, ticket);
    struct entry_blob e = {.request = world_request(&b->world), .policy = SPAN(policy)};
    sha256(e.policy, e.hash);
    entry_encode(ENTRY_BLOB, &e, &entry);
    replica_propose(p->replica, ticket, buf_span(&entry));
}

/* So many that their bytes, not their number, are too much. */
static void flood_with_bytes(struct bench *b, struct pod *p, size_t limit) {
    struct answers *a = mem_zalloc(sizeof *a);
    unsigned fit = (unsigned)(limit / (POLICY_SIZE + 1024));
    unsigned count = fit + 100;
    count_answers(a, p);
    for (uint64_t i = 0; i < count; i++) {
        propose_policy(b, p, FIRST_TICKET + i);
    }
    assert_true(p->replica->pending_bytes <= limit);
    assert_true(a->busy >= 90 && a->busy <= 100);
    assert_int_equal(a->busy_without_advice, 0);
    run_alone(b, p, p->replica->options.request_ms + 1000);
    assert_each_once(a, count);
    assert_int_equal(p->replica->pending_bytes, 0);
    stop_counting(a);
    mem_free(a);
    assert_serves(b, p);
}

static void test_a_follower_holds_so_many_bytes(void **state) {
    struct bench *b = bench_begin(state);
    flood_with_bytes(b, bench_follower(b), LIMIT_PENDING_BYTES);
}

static void test_a_leader_takes_so_many_bytes_into_its_log(void **state) {
    struct bench *b = bench_begin(state);
    flood_with_bytes(b, bench_leader(b), LIMIT_UNCOMMITTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_a_leader_with_silent_followers),
        BENCH_TEST(test_a_follower_without_an_answering_leader),
        BENCH_TEST(test_certificates_do_not_fill_the_log),
        BENCH_TEST(test_a_follower_holds_so_many_bytes),
        BENCH_TEST(test_a_leader_takes_so_many_bytes_into_its_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
