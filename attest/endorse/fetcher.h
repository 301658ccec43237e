/* Fetcher: a thread that gets certificates from AMD's key service, gently.
 *
 *   fetcher_submit(key) -> queue -> own token bucket -> allow()? -> GET -> on_fetched | on_failed
 *                            ^----- Retry-After, jittered exponential backoff ------'
 *
 * Nobody waits for it: submit queues and returns. One request at a time; what is wanted twice is
 * asked for once. When the service throttles or fails, everything waits (doubling, with jitter, and
 * never shorter than Retry-After); a certificate that the service does not have, or a false answer,
 * fails at once. Each accepted submit that did not join an earlier one ends in exactly one callback
 * on the fetcher's thread; fetcher_stop ends the rest with CANCELED.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_FETCHER_H
#define CONTRAST_FETCHER_H

#include "attest/endorse/kds.h"
#include "lib/base/bucket.h"

enum fetcher_permission {
    FETCHER_GO,
    FETCHER_WAIT, /* ask again after *wait_ms, 0 = after the backoff; others may go meanwhile */
    FETCHER_DROP, /* not wanted any more: ends with CANCELED */
};

/* All are called on the fetcher's thread, must not block for long and must not call fetcher_stop;
 * fetcher_submit is allowed. Spans and errors are borrowed for the call. `key` is NULL in allow
 * when a revocation list is wanted. NULL members: GO, and nobody listens. */
struct fetcher_hooks {
    void *data;
    enum fetcher_permission (*allow)(void *data, const struct snp_endorsement_key *key,
                                     uint64_t *wait_ms);
    void (*on_fetched)(void *data, const struct snp_endorsement_key *key, struct span der);
    void (*on_failed)(void *data, const struct snp_endorsement_key *key, const struct err *err);
    void (*on_crl)(void *data, enum snp_product product, enum snp_signing_key kind,
                   struct span der);
    void (*on_crl_failed)(void *data, enum snp_product product, enum snp_signing_key kind,
                          const struct err *err);
};

/* Copied by fetcher_start. Zeroed members: the limits of lib/base/limits.h, host_system. */
struct fetcher_config {
    struct kds_config kds;
    struct fetcher_hooks hooks;
    struct bucket_rate rate; /* this process's own; LIMIT_KDS_OWN_BURST, LIMIT_KDS_OWN_PERIOD_MS */
    uint64_t backoff_ms;     /* after a first failure; LIMIT_KDS_BACKOFF_MS */
    uint32_t attempts;       /* LIMIT_KDS_ATTEMPTS */
    const struct host *host; /* monotonic time, jitter; the certificates' time, too */
};

struct fetcher;

/* CONFIG as kds_open. */
RESULT fetcher_start(const struct fetcher_config *config, struct fetcher **out, struct err *err);
/* Cuts the request that runs, ends what waits with CANCELED, joins. No callback after it. */
void fetcher_stop(struct fetcher *f); /* accepts NULL */

/* Queues; what waits or runs already is joined. BUSY when LIMIT_KDS_QUEUE wait: no callback then.
 * From any thread; never blocks on the network. */
RESULT fetcher_submit(struct fetcher *f, const struct snp_endorsement_key *key, struct err *err);
RESULT fetcher_submit_crl(struct fetcher *f, enum snp_product product, enum snp_signing_key kind,
                          struct err *err);

#endif
