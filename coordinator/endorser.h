/* Endorser: where a replica gets the certificates and revocation lists that evidence lacks.
 *
 *   want(keys) -> the log's -> own (imported, fetched) -> FETCH in the log: may we? -> AMD
 *        '-- answer within LIMIT_ENDORSE_MS: the certificate, or why not and when to ask again; the
 *            fetch goes on
 *   learn(certificate) -> own -> offered to the log -> everyone's
 *
 * One key is fetched by one replica (core_collateral.c); whoever wants it meanwhile waits for the
 * log. What fails is tried again, later each time, with jitter, never before the service allows it,
 * while somebody wanted it in the last LIMIT_KDS_WANT_MS. Before founding there is no log: the
 * fetcher's own budget holds then.
 *
 * Anybody can make up chips, so each address has at most LIMIT_KDS_ADDRESS keys under way. When the
 * queue is full, the newest key of the address with most of them gives way to one of an address
 * with fewer. This replica's own keys and lists are no address's and never give way.
 *
 * While the active manifest demands revocation lists, those of its products are fetched anew every
 * ENDORSER_REFRESH_S, and sooner when they are about to run out or did.
 *
 * Runs on the core thread; no I/O, no public-key work: what comes in was proven by whoever brings
 * it. Everything enters through calls and leaves through struct endorser_io.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_ENDORSER_H
#define CONTRAST_ENDORSER_H

#include "coordinator/core/core.h"
#include "coordinator/lists.h"
#include "lib/base/host.h"

#define ENDORSER_REFRESH_S (4 * 3600) /* a list that is demanded is fetched anew */
#define ENDORSER_LAST_S (24 * 3600)   /* before it runs out: every ENDORSER_LAST_PACE_S */
#define ENDORSER_LAST_PACE_S 3600     /* seconds */
#define ENDORSER_OUT_PACE_S 300       /* after it ran out: nobody is verified without a newer one */
#define ENDORSER_KEYS 2               /* a version 2 report may be of two products */
#define ENDORSER_SOURCE_SIZE 16       /* of a client's address (asker.h) */
#define ENDORSER_UNKNOWN_MS (5 * 60000) /* the service does not have it: asked again then */

struct endorser_answer {
    enum err_code code;         /* OK, or UNAVAILABLE, BUSY, NOT_FOUND: why not yet */
    const char *text;           /* of a failure: what is missing and why */
    uint64_t retry_ms;          /* of a failure: when asking again may help */
    const struct core_vek *vek; /* NULL: the key was a list's, the newest was published before */
};

struct endorser_io {
    void *data;
    /* The state of now; NULL before founding. */
    const struct core *(*core)(void *data);
    /* Whether entries can be proposed: a member of a cluster with a manifest. */
    bool (*may_propose)(void *data);
    /* Ends in endorser_result with this ticket, once, now or later. */
    void (*propose)(void *data, uint64_t ticket, struct span entry);
    /* One request; ends in endorser_fetched or endorser_failed for this key, later. BUSY else. */
    struct result (*fetch)(void *data, const struct entry_endorsement *key, struct err *err);
    void (*reply)(void *data, uint64_t ticket, const struct endorser_answer *answer);
    /* Other lists than before; one reference. Before any answer that depends on them. */
    void (*publish)(void *data, struct lists *lists);
    /* Seconds since 1970, what the voters' clocks agree on: an entry with the time of one clock
     * that runs ahead would stop the budget and the leases of everybody else until that time comes.
     */
    int64_t (*entry_time)(void *data);
};

struct endorser;

/* `has_service`: false never fetches (CONTRAST_KDS_URL=off). Both pointers are borrowed. */
struct endorser *endorser_new(const struct endorser_io *io, const struct host *host,
                              bool has_service);
void endorser_free(struct endorser *e); /* accepts NULL; answers nobody */

/* Answered once: now, or within LIMIT_ENDORSE_MS. Keys of chips, 1..ENDORSER_KEYS, any of them will
 * do; or one list's. `source`: ENDORSER_SOURCE_SIZE bytes, the address of the client that lacks
 * them; empty: this replica's own. BUSY at once when no key got a place in the queue. */
void endorser_want(struct endorser *e, uint64_t ticket, const struct entry_endorsement *keys,
                   size_t count, struct span source);
/* A proven VEK or CRL (COLLATERAL, kinds VEK and CRL): from files (kept for good), or of evidence
 * that was accepted. */
void endorser_learn(struct endorser *e, const struct entry_collateral *c, bool is_imported);

void endorser_result(struct endorser *e, uint64_t ticket, enum err_code code, bool already,
                     uint64_t wait_ms, const char *text);
void endorser_fetched(struct endorser *e, const struct entry_collateral *c);
void endorser_failed(struct endorser *e, const struct entry_endorsement *key, enum err_code code,
                     const char *text, uint64_t retry_ms);
/* The log's endorsements, manifest or membership changed. */
void endorser_applied(struct endorser *e);

/* Call at endorser_deadline (monotonic ms) or later. */
void endorser_tick(struct endorser *e);
uint64_t endorser_deadline(const struct endorser *e);

/* What is missing, why, and when the next try is: one line; "" when nothing is. */
void endorser_status(const struct endorser *e, char *out, size_t size);
/* "Milan chip 0123…cdef TCB 04…db", "Milan revocation list". */
void endorser_name(const struct entry_endorsement *key, char *out, size_t size);

#endif
