/* Batch: many attestations under one report.
 *
 *   add ... add    batch_take -> round {report_data}    make the report    finish | fail
 *        add, add, add: these wait for the next round
 *
 * The security processor of a machine takes milliseconds a report, serves all its pods one by one
 * and is throttled. So the leaves that arrive while a report is being made wait and share the next
 * one; a lone request is taken at once. Each ticket then gets its place in the tree (count, index,
 * path), or the error, exactly once. Nobody learns anything of another leaf but hashes.
 *
 * Bounds: LIMIT_PENDING_REQUESTS wait (then BUSY), LIMIT_EVIDENCE_LEAVES share a report.
 *
 * Pure: no thread, no clock, no I/O; whoever drives it makes the reports (attester.h, or a
 * simulation in virtual time). Not thread-safe, but a round is independent of its batch.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_BATCH_H
#define CONTRAST_BATCH_H

#include "attest/leaf.h"
#include "lib/crypto/merkle.h"

struct batch_request {
    uint8_t leaf[ATTEST_LEAF_SIZE];
    void *ticket; /* the caller's */
};

/* What waits for the next report, oldest first. Zeroed is valid and empty. */
struct batch {
    struct batch_request *requests; /* owned */
    size_t count;
    size_t capacity;
};

/* The requests under one report. Zeroed is valid. */
struct batch_round {
    struct batch_request *requests; /* owned */
    size_t count;                   /* 1..LIMIT_EVIDENCE_LEAVES */
    struct merkle_log tree;
    uint8_t report_data[ATTEST_REPORT_DATA_SIZE]; /* what the report must carry */
};

/* A leaf's place in the tree of its round. */
struct batch_place {
    uint32_t leaf_count;
    uint32_t leaf_index;
    struct span path; /* nodes from the leaf up; borrowed for the call */
};

/* The end of one request: `place` on success, else NULL and `err`. */
typedef void (*batch_done_cb)(void *data, void *ticket, const struct batch_place *place,
                              const struct err *err);

void batch_deinit(struct batch *b); /* accepts zeroed; must be empty (CHECK) */
/* BUSY when LIMIT_PENDING_REQUESTS wait already: then the ticket gets no call. */
RESULT batch_add(struct batch *b, const uint8_t leaf[ATTEST_LEAF_SIZE], void *ticket,
                 struct err *err);

/* Moves the oldest requests, at most LIMIT_EVIDENCE_LEAVES, into *round (zeroed) and computes its
 * report_data. False when nothing waits. */
bool batch_take(struct batch *b, struct batch_round *round);

/* The report was made: calls `done` for each ticket, in the order they came; empties the round. */
void batch_round_finish(struct batch_round *round, batch_done_cb done, void *data);
/* It was not: the same with `err`. */
void batch_round_fail(struct batch_round *round, const struct err *err, batch_done_cb done,
                      void *data);

#endif
