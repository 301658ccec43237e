/* Scout: looks whether a deployment lives elsewhere, before it is recovered here; and for a member
 * without a leader, whether it was recovered elsewhere (lookout.h).
 *
 *   scout_start -> an attested session to each of CONTRAST_PEERS, all at once -> done, once
 *
 * Each peer is judged as a joiner would judge it: its chain of manifests must begin with an owner
 * of this replica's own environment, its evidence must satisfy role coordinator of its newest
 * manifest. Of those that pass and belong to the same cluster, one speaks against the recovery when
 * a quorum confirmed its position to us just now, or when it is in an epoch above the state's.
 *
 * Best effort: the host can keep every peer from answering. So silence is consent here, and whoever
 * has seen a newer epoch refuses the older one for ever (attest/client).
 *
 * On a worker's thread. SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SCOUT_H
#define CONTRAST_SCOUT_H

#include "coordinator/worker.h"

#define SCOUT_MS 4000 /* for all peers together */

struct scout;

enum scout_question {
    SCOUT_LIFE,   /* does anything speak against a recovery? */
    SCOUT_EPOCHS, /* is anybody in an epoch above ours? */
};

struct scout_report {
    struct err against;   /* code OK: nobody who could be asked. DENIED: names peer and reason */
    uint64_t epoch;       /* against us: what the peer showed, verified */
    uint8_t recovery[32]; /* hash of the last recovery in its history; zero = none */
};

/* The scout is freed by itself. */
typedef void (*scout_cb)(void *owner, const struct scout_report *report);

/* `epoch`, `generation`: those of the state which is to go on, or of the asking member. To a member
 * a history that is shorter than its own says nothing, in whatever epoch: it was recovered from an
 * older state, perhaps by share owners whom a later manifest removed, and what this member holds
 * was acknowledged. `done` is called later, once, unless it is canceled. */
struct scout *scout_start(struct worker *w, enum scout_question question, const uint8_t cluster[32],
                          uint64_t epoch, uint64_t generation, void *owner, scout_cb done);
/* `done` will not be called. */
void scout_cancel(struct scout *s);

#endif
