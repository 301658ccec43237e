/* Lineage: see lineage.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "initializer/lineage.h"

#include <inttypes.h>
#include <string.h>

struct lineage lineage_of(const struct replica_statement *s) {
    CHECK(s->has_confirmed);
    struct lineage l = {.is_known = true,
                        .epoch = s->epoch,
                        .generation = s->generation,
                        .confirmed_index = s->confirmed_index};
    memcpy(l.cluster, s->cluster, sizeof l.cluster);
    memcpy(l.head, s->head, sizeof l.head);
    return l;
}

static RESULT ensure_not_below(const char *what, uint64_t now, uint64_t seen, struct err *err) {
    ENSURE(now >= seen, err, ROLLBACK,
           "the Coordinator confirms %s %" PRIu64 ", and %" PRIu64
           " was seen before: an old state came back, nothing is replaced",
           what, now, seen);
    return OK;
}

struct result lineage_check(const struct lineage *seen, const struct lineage *now,
                            struct err *err) {
    if (!seen->is_known) {
        return OK;
    }
    ENSURE(memcmp(seen->cluster, now->cluster, sizeof seen->cluster) == 0, err, DIFFERS,
           "this is another cluster than the one that certified this pod before: if the deployment "
           "was founded anew, restart the pod");
    TRY(ensure_not_below("epoch", now->epoch, seen->epoch, err));
    TRY(ensure_not_below("generation", now->generation, seen->generation, err));
    if (now->epoch > seen->epoch) {
        return OK;
    }
    ENSURE(now->generation > seen->generation ||
               memcmp(seen->head, now->head, sizeof seen->head) == 0,
           err, FORK, "generation %" PRIu64 " is another transition than the one seen before",
           now->generation);
    return ensure_not_below("index", now->confirmed_index, seen->confirmed_index, err);
}

bool lineage_is_same(const struct lineage *a, const struct lineage *b) {
    return a->is_known == b->is_known && a->epoch == b->epoch && a->generation == b->generation &&
           memcmp(a->cluster, b->cluster, sizeof a->cluster) == 0 &&
           memcmp(a->head, b->head, sizeof a->head) == 0;
}
