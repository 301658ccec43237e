/* Recoveries: what this workspace knows of epochs, in verify/recoveries.json.
 *
 *   "seen"    recoveries of verified histories, with the share owners' signatures: the proof that
 *             an older epoch is over, whatever a replica says that wakes up in it
 *   "signed"  what a share owner signed from this workspace, written before it was sent: no epoch
 *             is ever signed twice for two different states
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_RECOVERIES_H
#define CONTRAST_RECOVERIES_H

#include <jansson.h>

#include "lib/manifest/transition.h"

#define RECOVERIES_FILE "verify/recoveries.json"

/* Zeroed is valid: nothing known. */
struct recoveries {
    json_t *root;
};
void recoveries_deinit(struct recoveries *r);

/* A missing file is an empty one. CONFIG names file and member. */
RESULT recoveries_read(const char *workspace, struct recoveries *out, struct err *err);
RESULT recoveries_write(const char *workspace, const struct recoveries *r, struct err *err);

/* Highest epoch of this cluster that was verified, or 0. */
uint64_t recoveries_seen(const struct recoveries *r, const uint8_t cluster[32]);
/* Highest epoch that was signed or verified, or 0. */
uint64_t recoveries_highest(const struct recoveries *r, const uint8_t cluster[32]);
/* Whether this epoch was signed for this very recovery, or (FORK) for another one. */
RESULT recoveries_check_signed(const struct recoveries *r, const struct recovery *recovery,
                               bool *is_signed, struct err *err);

/* FORK: one of these began an epoch that was seen with another beginning. Both are signed by enough
 * share owners, who recovered twice: there are two deployments now. */
RESULT recoveries_check_seen(const struct recoveries *r, const struct transition_recovery *items,
                             size_t count, struct err *err);

void recoveries_add_signed(struct recoveries *r, const struct recovery *recovery);
/* Adds those of a verified history that are not there yet. */
void recoveries_add_seen(struct recoveries *r, const struct transition_recovery *items,
                         size_t count);

/* The fields of a recovery, for people and programs; a new reference. */
json_t *recoveries_to_json(const struct recovery *recovery);

#endif
