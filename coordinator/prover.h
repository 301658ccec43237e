/* Prover: answers an API_ATTEST_REQUEST on a connection that this replica opened to another one.
 *
 *   request -> position, confirmed where there is a quorum -> statement -> leaf -> report ->
 * evidence
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_PROVER_H
#define CONTRAST_PROVER_H

#include "attest/client/client.h"
#include "coordinator/worker.h"

struct prover {
    struct worker *worker;
    struct client *client;
    void (*on_failed)(void *data, const struct err *why); /* the evidence could not be sent */
    void *data;
    struct attest_request asked;
    struct buf statement;
};

/* `p` is zeroed or deinited; it must stay until prover_deinit. */
void prover_init(struct prover *p, struct worker *w, struct client *client,
                 void (*on_failed)(void *data, const struct err *why), void *data);
/* Drops what is under way; accepts zeroed. */
void prover_deinit(struct prover *p);
/* Starts the answer to this API_ATTEST_REQUEST. MALFORMED, PROTOCOL (not a session), BUSY. */
RESULT prover_answer(struct prover *p, const struct frame *frame, struct err *err);

#endif
