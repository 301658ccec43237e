/* Prover: see prover.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/prover.h"

#include "coordinator/session.h"

void prover_init(struct prover *p, struct worker *w, struct client *client,
                 void (*on_failed)(void *data, const struct err *why), void *data) {
    *p = (struct prover){.worker = w, .client = client, .on_failed = on_failed, .data = data};
}

void prover_deinit(struct prover *p) {
    if (p->worker != NULL) {
        worker_cancel(p->worker, p);
    }
    buf_deinit(&p->statement);
    *p = (struct prover){0};
}

static void on_evidence(void *owner, const struct letter *reply) {
    struct prover *p = owner;
    struct err err;
    struct result r = session_check(reply, &err);
    r = is_ok(r) ? client_send_bytes(p->client, API_EVIDENCE, buf_span(&reply->bytes), &err) : r;
    if (!is_ok(r)) {
        p->on_failed(p->data, &err);
    }
}

static void on_position(void *owner, const struct letter *reply) {
    struct prover *p = owner;
    struct attest_channel channel = client_channel(p->client);
    uint8_t leaf[ATTEST_LEAF_SIZE];
    struct err err;
    buf_clear(&p->statement);
    worker_statement(p->worker, &reply->position, &p->statement);
    struct span statement = buf_span(&p->statement);
    struct result r = attest_leaf_for(&channel, ATTEST_REPLICA, &p->asked, statement, leaf, &err);
    r = is_ok(r) ? worker_attest(p->worker, leaf, ATTEST_REPLICA, statement, p, on_evidence, &err)
                 : r;
    if (!is_ok(r)) {
        p->on_failed(p->data, &err);
    }
}

struct result prover_answer(struct prover *p, const struct frame *frame, struct err *err) {
    TRY(attest_request_decode(frame->body, &p->asked, err));
    ENSURE(p->asked.purpose == ATTEST_SESSION, err, PROTOCOL,
           "a connection gives session evidence only");
    return worker_ask(p->worker, CORE_POSITION, (struct span){0}, p, on_position, err);
}
