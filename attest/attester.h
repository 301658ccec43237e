/* Attester: the thread that turns leaves into attested evidence.
 *
 *   attester_submit(leaf) -> [batch] -> issuer_report, one at a time -> on_attested(evidence)
 *
 * Reports are made one after the other by a thread of its own, because the host may take its time.
 * What arrives meanwhile shares the next report (batch.h). A throttling host (BUSY) is asked again
 * after a jittered, growing pause, for at most LIMIT_ATTEST_RETRY_MS; then, and on any other
 * failure, all of the round get the error.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_ATTESTER_H
#define CONTRAST_ATTESTER_H

#include "attest/batch.h"
#include "attest/issuer.h"
#include "attest/snp_verify.h"
#include "lib/base/host.h"

struct attester;

/* A report, its endorsements, and one leaf's place under it. */
struct attested {
    struct snp_evidence evidence; /* borrowed for the call, as the path */
    struct batch_place place;
};

/* Called once per submitted leaf, on the attester's thread: marshal to your own, do not block.
 * `attested` is NULL exactly when it failed; then `err` says why. */
typedef void (*attested_cb)(void *data, const struct attested *attested, const struct err *err);

/* Where reports come from: issuer_report, or a simulation's own. Called on the attester's thread.
 */
struct attester_source {
    void *data;
    RESULT(*report)
    (void *data, const uint8_t report_data[ISSUER_DATA_SIZE], struct issuer_evidence *out,
     struct err *err);
};

/* Starts the thread. The issuer stays the caller's and must outlive the attester. UNAVAILABLE when
 * no thread can be made. */
RESULT attester_new(struct issuer *issuer, struct attester **out, struct err *err);
/* The same over any source; the host gives time and jitter, both borrowed. */
RESULT attester_new_from(const struct attester_source *source, const struct host *host,
                         struct attester **out, struct err *err);

/* Waits for a report under way and delivers it; whoever still waits gets CANCELED; ends the thread.
 * Accepts NULL. Not from a callback. */
void attester_free(struct attester *a);

/* BUSY when LIMIT_PENDING_REQUESTS wait: then there is no callback. Thread-safe; never calls back
 * from inside. */
RESULT attester_submit(struct attester *a, const uint8_t leaf[ATTEST_LEAF_SIZE],
                       attested_cb on_attested, void *data, struct err *err);

#endif
