/* Fetch plan: what the fetcher asks for next, and when. Pure: time and jitter come from outside.
 *
 *   add -> [want, want, ...] -> next = ASK -> spend -> end            the certificate is there
 *                 ^                     |          `-> fail -> again, later, or given up
 *                 `----- postpone ------'               (then everything waits)
 *
 * One want at a time is being asked for (between ASK and end, fail or postpone). A failure of the
 * service quiets all wants; a postponed one waits alone. A want that waited LIMIT_KDS_WANT_MS
 * lapses.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_FETCH_PLAN_H
#define CONTRAST_FETCH_PLAN_H

#include "attest/snp_endorsement.h"
#include "lib/base/bucket.h"
#include "lib/base/limits.h"

/* A VCEK, or the revocation list of a product: then only key.product and `kind` count. */
struct fetch_want {
    bool is_crl;
    enum snp_signing_key kind;
    struct snp_endorsement_key key;
};

struct fetch_plan_item {
    struct fetch_want want;
    uint64_t since_ms;
    uint64_t due_ms;
    uint32_t failures;
};

/* Initialize rate, backoff_ms and attempts (each at least 1); zero the rest. Time is one clock's
 * milliseconds. */
struct fetch_plan {
    struct bucket_rate rate;
    uint64_t backoff_ms; /* after the first failure in a row; doubles to LIMIT_KDS_BACKOFF_MAX_MS */
    uint32_t attempts;   /* for one want */
    struct bucket bucket;
    bool has_token;          /* taken and not spent */
    uint64_t quiet_until_ms; /* no want is asked for before */
    uint32_t failures;       /* of the service, in a row */
    struct fetch_plan_item items[LIMIT_KDS_QUEUE];
    size_t count;
    bool is_asking;
    size_t asking; /* index */
};

enum fetch_plan_step {
    FETCH_PLAN_IDLE,   /* nothing is wanted */
    FETCH_PLAN_WAIT,   /* call again after *wait_ms, or after an add */
    FETCH_PLAN_ASK,    /* *want is being asked for */
    FETCH_PLAN_LAPSED, /* *want waited too long and is gone */
};

/* Joins an equal want. BUSY when LIMIT_KDS_QUEUE wait. */
RESULT fetch_plan_add(struct fetch_plan *p, const struct fetch_want *want, uint64_t now_ms,
                      struct err *err);

/* Not while one is being asked for. */
enum fetch_plan_step fetch_plan_next(struct fetch_plan *p, uint64_t now_ms, struct fetch_want *want,
                                     uint64_t *wait_ms);

/* Of the one that is being asked for: */

/* Not now: it goes to the end of the row and waits alone; 0 ms = the backoff. */
void fetch_plan_postpone(struct fetch_plan *p, uint64_t now_ms, uint64_t wait_ms);
/* The request goes out. */
void fetch_plan_spend(struct fetch_plan *p);
/* It is done with. `answered`: the service works. */
void fetch_plan_end(struct fetch_plan *p, bool answered);
/* True when it will be asked for again: BUSY and UNAVAILABLE, while attempts are left. False: it is
 * gone. `retry_ms` is the service's wish, `jitter` any random number. */
bool fetch_plan_fail(struct fetch_plan *p, enum err_code code, uint64_t now_ms, uint64_t retry_ms,
                     uint64_t jitter);

/* Takes out the first want, whatever its state; false when there is none. */
bool fetch_plan_drop(struct fetch_plan *p, struct fetch_want *want);

#endif
