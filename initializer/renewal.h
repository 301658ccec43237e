/* Renewal: a pod's certificate over the pod's whole life.
 *
 *   files, status -> plan -> ISSUE until there is a certificate -> done(OK)             once
 *                                                               -> CHECK ... ISSUE ...  staying
 *
 * It asks for the first certificate as long as that may help; what is verified and false ends it.
 * Once there is one, a staying renewal ends only when it is told to: at half life, and when a look
 * at the Coordinator shows another generation, epoch or mesh CA, it gets a new certificate over a
 * new key with fresh evidence. Until the new set is complete on disk the old one stays, whatever
 * happens; what is verified and false is an error in the log, once for each reason, and tried again
 * slowly, because a passing attacker must not cost a running workload its certificate.
 *
 * A position below one that was seen (lineage.h) is refused before anything is asked of it. The
 * file renewal-status.json (renewal_status.h) says how things are and carries that memory from one
 * process to the next. A lock on the folder keeps two of them apart.
 *
 * One thread, the loop's. SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_RENEWAL_H
#define CONTRAST_RENEWAL_H

#include "initializer/enroll.h"

struct renewal;
struct renewal_calls {
    /* A certificate is in the folder. */
    void (*issued)(void *data, const struct enroll_receipt *receipt);
    /* The end, once and last, never from inside renewal_start or renewal_stop. `why` is OK when a
     * certificate is there and the configuration asks for no renewal, CANCELED after renewal_stop.
     * No attempt is under way. */
    void (*done)(void *data, const struct err *why);
    void *data;
};

/* Everything is borrowed and must outlive it, `calls` is copied. Makes and locks the folder. IO;
 * BUSY when another process holds it. */
RESULT renewal_new(uv_loop_t *loop, const struct enroll_config *config, const struct host *host,
                   struct attester *attester, const struct renewal_calls *calls,
                   struct renewal **out, struct err *err);
/* Once. */
void renewal_start(struct renewal *r);
/* Ends it; harmless when it has ended. */
void renewal_stop(struct renewal *r);
/* A report is being made, for which attester_free would wait. */
bool renewal_is_reporting(const struct renewal *r);
/* After done, or never started; attester_free first. Frees when its handles are closed, so the loop
 * must run once more. Accepts NULL. */
void renewal_free(struct renewal *r);

#endif
