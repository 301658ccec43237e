/* Bench of replicas: three founders and a newcomer in virtual time, with links that deliver at
 * once.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_REPLICA_BENCH_H
#define CONTRAST_REPLICA_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "coordinator/core/test/core_world.h"
#include "coordinator/replica_internal.h"

#define BENCH_PODS 4 /* three founders, one newcomer */
#define BENCH_NO_REPLY ((enum err_code)1000)

struct bench;

struct message {
    struct message *next;
    unsigned from, to;
    uint8_t type;
    struct buf body;
};

struct pod {
    struct bench *bench;
    struct entry_member member;
    struct host host;
    struct replica *replica;
    int64_t skew_s; /* of its clock */
    uint64_t wanted[LIMIT_MEMBERS];
    size_t wanted_count;
    bool is_linked[BENCH_PODS];
    const struct pod *apart_from; /* no link with this one */
    unsigned early_peers;         /* calls of on_peers before it was a row of its own table */
    bool is_stopped;              /* neither ticks nor hears nor is heard */
    bool is_gone;
    enum err_code gone; /* OK also when it left */
    enum err_code reply;
    uint64_t generation; /* of the last reply's result */
};

struct bench {
    struct world world;
    uint64_t now_ms;
    uint64_t random;
    struct pod pods[BENCH_PODS];
    uint8_t owner[1][32];
    struct message *first, **last;
    struct buf found;
};

int bench_set_up(void **state);
struct message *bench_take_message(struct bench *b);
int bench_tear_down(void **state);
void bench_deliver(struct bench *b);
void bench_run(struct bench *b, uint64_t duration_ms);
enum err_code bench_answer(struct bench *b, struct pod *p, uint64_t limit_ms);
enum err_code bench_propose(struct bench *b, struct pod *p, enum entry_type type, const void *body);
void bench_found(struct bench *b, unsigned count);
struct pod *bench_leader(struct bench *b);
struct pod *bench_follower(struct bench *b);
void bench_set_first(struct bench *b, struct pod *p);
struct bench *bench_begin(void **state);
enum err_code bench_admit(struct bench *b, struct pod *by, const char *name);
/* The newcomer is admitted and JOINING; bench_join also waits until it is in. */
void bench_join_begin(struct bench *b, const uint8_t head[32]);
void bench_join(struct bench *b, const uint8_t head[32]);
bool bench_is_voter(const struct pod *by, uint64_t id);

#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)

#endif
