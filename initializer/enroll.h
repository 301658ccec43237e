/* Enroll: how a pod gets one certificate, or looks whether it needs another one.
 *
 *   connect -> judge the Coordinator -> judged() -> done(seen)                           CHECK
 *                                    -> API_CERTIFICATE -> API_ATTEST_REQUEST -> own report
 *      -> API_EVIDENCE -> API_CERTIFICATE_REPLY -> check -> files -> done(receipt)       ISSUE
 *
 * The Coordinator is judged before anything is asked: its signed history starts with an owner key
 * of this pod's own environment, its evidence satisfies the newest manifest of that history, and a
 * quorum confirmed it after the nonce. Then the owner of this object says, in judged(), whether
 * that position may follow what it has seen before. The report is made on the attester's thread and
 * handed to the loop. One attempt at a time, each with keys of its own; whoever starts it decides
 * about the next.
 *
 * Nothing of the reply, the key or the secret is ever logged.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_ENROLL_H
#define CONTRAST_ENROLL_H

#include <uv.h>

#include "attest/attester.h"
#include "initializer/enroll_config.h"
#include "initializer/lineage.h"
#include "lib/base/host.h"

enum enroll_purpose { ENROLL_CHECK, ENROLL_ISSUE };

/* What an attempt found. */
struct enroll_receipt {
    struct lineage seen; /* the Coordinator's position */
    uint8_t mesh_ca[48]; /* SHA-384 of its mesh CA's PEM */
    bool simulated;      /* the Coordinator's root is not AMD's */
    bool is_issued;      /* and the files are there: the rest is filled */
    uint64_t generation;
    uint64_t issue_index;
    uint8_t serial[16];
    int64_t not_after; /* unix seconds */
};

struct enroll;
struct enroll_calls {
    /* The highest position that was seen; borrowed, looked at in each attempt. A lower epoch is
     * refused although no quorum confirms it: it is over for ever. */
    const struct lineage *seen;
    /* The Coordinator is genuine and confirmed. A failure ends the attempt with it. */
    RESULT (*judged)(void *data, const struct lineage *now, struct err *err);
    /* The end of an attempt, once, never from inside enroll_start. `receipt` is NULL when it
     * failed; then `why` says so. No attempt is under way any more. */
    void (*done)(void *data, const struct enroll_receipt *receipt, const struct err *why);
    void *data;
};

/* Everything is borrowed and must outlive it, `calls` is copied. */
RESULT enroll_new(uv_loop_t *loop, const struct enroll_config *config, const struct host *host,
                  struct attester *attester, const struct enroll_calls *calls, struct enroll **out,
                  struct err *err);
/* Starts an attempt; on failure there is no callback. BUSY: the report of an earlier attempt is
 * still being made. */
RESULT enroll_start(struct enroll *e, enum enroll_purpose purpose, struct err *err);
/* Ends an attempt with CANCELED; harmless without one. */
void enroll_stop(struct enroll *e);
/* A report is being made: attester_free would wait for it. */
bool enroll_is_reporting(const struct enroll *e);
/* No attempt may be under way and no report pending (attester_free first); frees when its handle is
 * closed, so the loop must run once more. Accepts NULL. */
void enroll_free(struct enroll *e);

#endif
