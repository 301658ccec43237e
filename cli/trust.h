/* Trust: what a user's own files say about whom to believe, and a Coordinator judged by it.
 *
 *   trust_load(manifest.json, verify/) -> trust_judge(connection) -> struct remote
 *
 * Owner keys and simulated roots come from the user's manifest and from the first manifest that
 * this workspace verified, never from the server. The chain must start with such a key; everything
 * else follows from it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_TRUST_H
#define CONTRAST_TRUST_H

#include "cli/dial.h"
#include "cli/recoveries.h"
#include "cli/workspace.h"
#include "lib/manifest/transition.h"

struct trust {
    struct buf bytes;    /* the user's manifest, exact */
    struct manifest own; /* parsed; only with has_own */
    bool has_own;
    struct manifest pinned; /* verify/manifest.0.json */
    bool has_pinned;
    struct workspace_cluster cluster;
    struct position last; /* only with has_last */
    bool has_last;
    struct recoveries recoveries; /* epochs that were verified or signed here */
    uint8_t (*owners)[32];        /* in the arena */
    size_t owner_count;
    uint8_t (*roots)[32];
    size_t root_count;
    const char *workspace; /* borrowed from trust_load: endorsements/ is there */
    struct arena arena;
};
void trust_deinit(struct trust *t); /* accepts zeroed */

/* Reads manifest (`given` or manifest.json in the workspace) and verify/. A missing manifest is an
 * error when `is_needed`; MANIFEST, INVALID and CONFIG name file and place. */
RESULT trust_load(const char *workspace, const char *given, bool is_needed, struct trust *out,
                  struct err *err);

/* A Coordinator that was judged. */
struct remote {
    struct client_verdict verdict;
    const struct client_history *history; /* the dial's: until dial_close */
    uint8_t (*heads)[32];                 /* transition of each generation, oldest first */
    struct position position;
    struct arena arena;
};
void remote_deinit(struct remote *r); /* accepts zeroed; before dial_close */

/* Adds the recoveries of a judged history to verify/recoveries.json: the proof that older epochs
 * are over. Writes nothing when it has them all. */
RESULT trust_remember_epochs(struct trust *t, const struct remote *r, struct err *err);

/* How to judge. */
enum trust_by {
    TRUST_BY_OWN,    /* evidence against the user's manifest */
    TRUST_BY_NEWEST, /* against the newest manifest of the chain; the user's before there is one */
};
/* Chain, evidence and statement; then the cluster id of the workspace (DIFFERS) and the last
 * position (position_compare). *out must be deinited in every case. */
RESULT trust_judge(const struct trust *t, struct dial *d, enum trust_by by, struct remote *out,
                   struct err *err);

static inline const struct replica_statement *remote_statement(const struct remote *r) {
    return &r->verdict.peer.statement.replica;
}

#endif
