/* Attester: the threads that turn leaves into attested evidence, and derive keys.
 *
 *   attester_submit(leaf) -> [batch] -> issuer_report, one at a time -> on_attested(evidence)
 *   attester_derive(spec) -> [queue] -> issuer_derive_key            -> on_derived(key)
 *
 * Reports are made one after the other by threads of their own, because the host may take its time.
 * What arrives meanwhile shares the next report (batch.h): who asks during report k is in report
 * k + 1 with up to LIMIT_EVIDENCE_LEAVES - 1 others, and so waits for two reports at most, as long
 * as no more ask at the same time. A key waits for the request that is under way, and goes before
 * the reports that wait.
 *
 * A throttling host (BUSY) is asked again after a jittered, growing pause, for at most
 * LIMIT_ATTEST_RETRY_MS; then, and on any other failure, all of the round, or who asked for the
 * key, get the error. A host that does not answer at all: after LIMIT_ATTEST_WAIT_MS all who wait
 * get UNAVAILABLE, and so does, at once, whoever asks from then on. The call itself is never
 * abandoned (a guest whose message is lost half-way loses its key to the security processor) and no
 * second one is begun; when it ends after all, its report or key is dropped and attestation goes
 * on.
 *
 * Every BUSY and UNAVAILABLE of ours carries advice when to try again (struct err).
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

/* Called once per submitted leaf, on a thread of the attester: marshal to your own, do not block.
 * `attested` is NULL exactly when it failed; then `err` says why. */
typedef void (*attested_cb)(void *data, const struct attested *attested, const struct err *err);

/* Called once per attester_derive, on a thread of the attester: do not block. The key, of
 * ISSUER_KEY_SIZE bytes, is the callee's to free; NULL exactly when it failed: then `err` says why.
 */
typedef void (*derived_cb)(void *data, struct secret *key, const struct err *err);

/* Where reports and keys come from: the issuer, or a simulation's own. Called on a thread of the
 * attester, never two at a time. `derive` NULL: this source has no keys. */
struct attester_source {
    void *data;
    RESULT(*report)
    (void *data, const uint8_t report_data[ISSUER_DATA_SIZE], struct issuer_evidence *out,
     struct err *err);
    RESULT(*derive)
    (void *data, const struct issuer_key_spec *spec, struct secret *out, struct err *err);
};

/* How long a host may keep those waiting who asked. */
struct attester_patience {
    uint64_t busy_ms;   /* it throttles */
    uint64_t answer_ms; /* it is silent */
};
extern const struct attester_patience attester_limits; /* of limits.h */

/* Starts the threads. The issuer stays the caller's and must outlive the attester. UNAVAILABLE when
 * no thread can be made. */
RESULT attester_new(struct issuer *issuer, struct attester **out, struct err *err);
/* The same over any source; the host gives time and jitter, borrowed. */
RESULT attester_new_from(const struct attester_source *source,
                         const struct attester_patience *patience, const struct host *host,
                         struct attester **out, struct err *err);

/* Waits for a report under way and delivers it; whoever still waits gets CANCELED; ends the
 * threads, after the call of a silent host has ended. Accepts NULL. Not from a callback. */
void attester_free(struct attester *a);

/* BUSY when LIMIT_PENDING_REQUESTS wait, UNAVAILABLE while the host is silent: then there is no
 * callback. Thread-safe; never calls back from inside. */
RESULT attester_submit(struct attester *a, const uint8_t leaf[ATTEST_LEAF_SIZE],
                       attested_cb on_attested, void *data, struct err *err);

/* The same for a key (issuer_derive_key); BUSY when LIMIT_ATTEST_KEYS wait. */
RESULT attester_derive(struct attester *a, const struct issuer_key_spec *spec,
                       derived_cb on_derived, void *data, struct err *err);

#endif
