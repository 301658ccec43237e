/* Supplement: this replica's own evidence with what its host did not hand out.
 *
 *   evidence of the attester -> VCEK: kept here | asked of the endorser -> newest list -> evidence
 *
 * A host that gives no certificates must not keep others from verifying this replica, and a client
 * that demands a revocation list gets the newest one along. Attestation is served in every state:
 * without a certificate in time the evidence goes out as it is, and for some seconds nobody waits
 * for one again. Before founding nobody knows what the first manifest will demand: a list is looked
 * for, and evidence does not wait for it.
 *
 * One per session thread, used on it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SUPPLEMENT_H
#define CONTRAST_SUPPLEMENT_H

#include "coordinator/lists.h"
#include "coordinator/mailbox.h"

struct worker;

/* Zeroed is valid. */
struct supplement {
    struct worker *worker;
    struct core_vek vek;      /* of this machine; spans into `bytes` */
    struct buf bytes;         /* the entry that brought it */
    struct arena arena;       /* of `vek` */
    uint64_t not_before;      /* monotonic ms: no question to the endorser before */
    uint64_t list_not_before; /* the same for a list */
    bool is_known;            /* vek */
    /* Takes the letter over: its evidence is what it will be. */
    void (*done)(struct worker *w, struct letter *l);
};

void supplement_init(struct supplement *s, struct worker *w,
                     void (*done)(struct worker *w, struct letter *l));
void supplement_deinit(struct supplement *s); /* accepts zeroed */

/* The cluster or its state changed: what nobody knew may be known now. The next evidence asks. */
void supplement_retry(struct supplement *s);

/* Takes over a letter whose bytes are an evidence message; `done` is called once, now or later. */
void supplement_start(struct supplement *s, struct letter *l);

#endif
