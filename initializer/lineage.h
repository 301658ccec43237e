/* Lineage: the highest position of a Coordinator that this pod has seen, and never goes below.
 *
 *   nothing -> (cluster, epoch, generation, head, index) -> only upwards, in one cluster
 *
 * Both sides of a comparison were confirmed by a quorum after a nonce of ours, so a lower position
 * is no replica that lags: it is a state that was rolled back, or an old quorum that woke up after
 * a recovery. Whoever has seen epoch e + 1 refuses e for ever (ARCHITECTURE section 8).
 *
 * Pure. SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_LINEAGE_H
#define CONTRAST_LINEAGE_H

#include "attest/statement.h"

struct lineage {
    bool is_known; /* else nothing was seen, and the rest is zero */
    uint8_t cluster[32];
    uint64_t epoch;
    uint64_t generation;
    uint8_t head[32];         /* transition of that generation */
    uint64_t confirmed_index; /* of a quorum round; starts anew with an epoch */
};

/* What a judged statement says; it must be a confirmed one. */
struct lineage lineage_of(const struct replica_statement *s);

/* May `now` follow `seen`?
 *
 * DIFFERS   another cluster: another deployment, whoever signed it
 * ROLLBACK  a lower epoch or generation; or, in one epoch, a lower index
 * FORK      one epoch and generation with another transition */
RESULT lineage_check(const struct lineage *seen, const struct lineage *now, struct err *err);

/* The same but for the index, which moves all the time. */
bool lineage_is_same(const struct lineage *a, const struct lineage *b);

#endif
