/* Rejudge: the members whose evidence could neither be accepted nor refused, and when each is
 * judged again.
 *
 *   judged: unverifiable -> put -> due after a pause with jitter -> take -> judged ...
 *                            '---- hurry: a list or certificate is new ----^
 *   judged: holds, or is denied; the member is gone -> drop
 *
 * A current list or the certificate may be missing for a moment only, and without its link the
 * member is lost to the cluster. Runs on the core thread; no I/O.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_REJUDGE_H
#define CONTRAST_REJUDGE_H

#include <stdbool.h>

#include "lib/base/host.h"
#include "lib/base/limits.h"

#define REJUDGE_LEAST_MS 1000 /* between two judgements of one member, whatever is new */

struct rejudge {
    struct rejudge_row {
        uint64_t id;
        uint64_t at_ms;     /* monotonic; UINT64_MAX: it is being judged */
        uint64_t judged_ms; /* last */
    } rows[LIMIT_MEMBERS];
    size_t count; /* zeroed is empty */
};

/* This member could not be verified now: due after LIMIT_REJUDGE_MS / 2 to LIMIT_REJUDGE_MS. True
 * when it is the first time in a row. When LIMIT_MEMBERS wait, the one longest in it goes. */
bool rejudge_put(struct rejudge *r, const struct host *host, uint64_t id);
void rejudge_drop(struct rejudge *r, uint64_t id); /* accepts any id */
/* Something new may help: all are due now, or REJUDGE_LEAST_MS after their last judgement. */
void rejudge_hurry(struct rejudge *r, const struct host *host);
/* One member that is due; it stays until put again or dropped. False: none is. */
bool rejudge_take(struct rejudge *r, const struct host *host, uint64_t *id);
uint64_t rejudge_deadline(const struct rejudge *r); /* monotonic ms; UINT64_MAX = none */

#endif
