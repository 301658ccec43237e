/* Workspace: the files that a user of a deployment keeps between commands, and what they prove.
 *
 *   manifest.json, workload-owner.pem            the user's own
 *   coordinator-root-ca.pem, mesh-ca.pem         written by set
 *   verify/cluster-id                            64 hex digits; " pending" while a founding runs
 *   verify/latest-transition                     64 hex digits
 *   verify/last-position.json                    where the last verified replica stood
 *   verify/manifest.<i>.json, policy.<hash>.rego, history.json, and both certificates
 *
 * The last position is what makes a fork or a rollback visible: a later answer of the same cluster
 * must not lie before it. Only confirmed positions are remembered.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_WORKSPACE_H
#define CONTRAST_WORKSPACE_H

#include <limits.h>

#include "lib/base/bytes.h"

#define WORKSPACE_CLUSTER "verify/cluster-id"
#define WORKSPACE_TRANSITION "verify/latest-transition"
#define WORKSPACE_POSITION "verify/last-position.json"
#define WORKSPACE_FIRST_MANIFEST "verify/manifest.0.json"

struct workspace_path {
    char text[PATH_MAX];
};

/* "DIR/name". CONFIG when it does not fit. */
RESULT workspace_locate(const char *dir, const char *name, struct workspace_path *out,
                        struct err *err);
/* An option's path, which stands for itself, or else the name in the workspace. */
RESULT workspace_choose(const char *dir, const char *given, const char *name,
                        struct workspace_path *out, struct err *err);

/* Reads a file of the workspace. A missing one is OK with *found false. */
RESULT workspace_read(const char *dir, const char *name, size_t limit, struct buf *out, bool *found,
                      struct err *err);
/* Writes one, mode 0644, all or nothing; makes verify/ where needed. One that has these very bytes
 * is left alone. */
RESULT workspace_write(const char *dir, const char *name, struct span bytes, struct err *err);

/* A file of 64 hex digits. CONFIG when it holds something else. */
RESULT workspace_read_digest(const char *dir, const char *name, uint8_t out[32], bool *found,
                             struct err *err);
RESULT workspace_write_digest(const char *dir, const char *name, const uint8_t digest[32],
                              struct err *err);

/* The cluster that this workspace belongs to. */
struct workspace_cluster {
    bool is_known;
    bool is_pending; /* founded here, and never heard of since */
    uint8_t id[32];
};
RESULT workspace_read_cluster(const char *dir, struct workspace_cluster *out, struct err *err);
RESULT workspace_write_cluster(const char *dir, const uint8_t id[32], bool is_pending,
                               struct err *err);
/* Removes a file; a missing one is OK. The cluster id of a founding that certainly did not happen,
 * and what was remembered of an earlier deployment. */
RESULT workspace_remove(const char *dir, const char *name, struct err *err);

/* Where a replica stood when it was verified. */
struct position {
    uint8_t cluster[32];
    uint64_t epoch;
    uint64_t ledger_size;
    uint8_t ledger_root[48];
    bool is_confirmed;
    uint64_t confirmed_index;
    uint8_t head[32];
    uint64_t generation;
};

/* JSON with one member per field; appended. */
void position_encode(const struct position *p, struct buf *out);
/* CONFIG names the member that is wrong. */
RESULT position_decode(struct span json, struct position *out, struct err *err);

/* Holds what a replica shows now against what is remembered. `heads`: the transitions of the served
 * history, oldest first, now->generation of them.
 *
 * DIFFERS      another cluster
 * ROLLBACK     a confirmed position (epoch, generation; in one epoch also index, ledger) below
 *              `old`: also when share owners brought back a checkpoint from before
 * FORK         the remembered transition is not in the history, or one ledger size has two roots
 * UNVERIFIABLE behind, but not confirmed: a replica that lags, which proves nothing */
RESULT position_compare(const struct position *old, const struct position *now,
                        const uint8_t (*heads)[32], struct err *err);

#endif
