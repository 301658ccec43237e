/* Batch: see batch.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/batch.h"

#include <string.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

void batch_deinit(struct batch *b) {
    CHECK(b->count == 0);
    mem_free(b->requests);
    *b = (struct batch){0};
}

RESULT batch_add(struct batch *b, const uint8_t leaf[ATTEST_LEAF_SIZE], void *ticket,
                 struct err *err) {
    ENSURE(b->count < LIMIT_PENDING_REQUESTS, err, BUSY,
           "%d attestations wait for a report already", LIMIT_PENDING_REQUESTS);
    if (b->count == b->capacity) {
        b->capacity = b->capacity == 0 ? 16 : b->capacity * 2;
        b->requests = mem_realloc(b->requests, b->capacity * sizeof b->requests[0]);
    }
    struct batch_request *r = &b->requests[b->count++];
    memcpy(r->leaf, leaf, ATTEST_LEAF_SIZE);
    r->ticket = ticket;
    return OK;
}

static void compute_report_data(struct batch_round *round) {
    for (size_t i = 0; i < round->count; i++) {
        merkle_log_append(&round->tree, round->requests[i].leaf);
    }
    uint8_t root[MERKLE_HASH_SIZE];
    merkle_log_root(&round->tree, root);
    attest_report_data((uint32_t)round->count, root, round->report_data);
}

bool batch_take(struct batch *b, struct batch_round *round) {
    CHECK(round->count == 0);
    if (b->count == 0) {
        return false;
    }
    size_t taken = b->count < LIMIT_EVIDENCE_LEAVES ? b->count : LIMIT_EVIDENCE_LEAVES;
    round->requests = mem_calloc(taken, sizeof round->requests[0]);
    memcpy(round->requests, b->requests, taken * sizeof round->requests[0]);
    round->count = taken;
    b->count -= taken;
    memmove(b->requests, b->requests + taken, b->count * sizeof b->requests[0]);
    compute_report_data(round);
    return true;
}

static void end(struct batch_round *round) {
    mem_free(round->requests);
    merkle_log_deinit(&round->tree);
    *round = (struct batch_round){0};
}

void batch_round_finish(struct batch_round *round, batch_done_cb done, void *data) {
    AUTO(buf_deinit)
    struct buf path = {0};
    for (size_t i = 0; i < round->count; i++) {
        buf_clear(&path);
        merkle_log_path(&round->tree, i, round->count, &path);
        struct batch_place place = {(uint32_t)round->count, (uint32_t)i, buf_span(&path)};
        done(data, round->requests[i].ticket, &place, NULL);
    }
    end(round);
}

void batch_round_fail(struct batch_round *round, const struct err *err, batch_done_cb done,
                      void *data) {
    for (size_t i = 0; i < round->count; i++) {
        done(data, round->requests[i].ticket, NULL, err);
    }
    end(round);
}
