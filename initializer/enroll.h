/* Enroll: how a pod gets its certificate, once.
 *
 *   connect -> judge the Coordinator -> API_CERTIFICATE -> API_ATTEST_REQUEST -> own report
 *   -> API_EVIDENCE -> API_CERTIFICATE_REPLY -> check -> files -> done(OK)
 *
 * The Coordinator is judged before anything is asked: its signed history starts with an owner key
 * of this pod's own environment, its evidence satisfies the newest manifest of that history, and a
 * quorum confirmed it after the nonce. The report is made on the attester's thread and handed to
 * the loop. One attempt at a time; whoever starts it decides about the next.
 *
 * Nothing of the reply, the key or the secret is ever logged.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_ENROLL_H
#define CONTRAST_ENROLL_H

#include <uv.h>

#include "attest/attester.h"
#include "initializer/enroll_config.h"
#include "lib/base/host.h"
#include "lib/crypto/key.h"

/* What was issued. */
struct enroll_receipt {
    uint64_t generation;
    uint64_t issue_index;
    uint8_t serial[16];
    int64_t not_after; /* unix seconds */
    bool simulated;    /* the Coordinator's root is not AMD's */
};

struct enroll;
/* The end of an attempt, once, never from inside enroll_start. `receipt` is NULL when it failed;
 * then `why` says so. No attempt is under way any more. */
typedef void (*enroll_cb)(void *data, const struct enroll_receipt *receipt, const struct err *why);

/* Everything is borrowed and must outlive it. Makes the key pair that will be certified. */
RESULT enroll_new(uv_loop_t *loop, const struct enroll_config *config, const struct host *host,
                  struct attester *attester, struct enroll **out, struct err *err);
/* Starts an attempt; on failure there is no callback. */
RESULT enroll_start(struct enroll *e, enroll_cb done, void *data, struct err *err);
/* Ends an attempt with CANCELED; harmless without one. */
void enroll_stop(struct enroll *e);
/* No attempt may be under way and no report pending (attester_free first); frees when its handle is
 * closed, so the loop must run once more. */
void enroll_free(struct enroll *e);

/* What to do after an error: true = try again, false = a person must look (exit code of `code`). */
bool enroll_may_retry(enum err_code code);

#endif
