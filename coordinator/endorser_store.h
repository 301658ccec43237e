/* Endorser's own store: certificates and lists that this replica imported or fetched itself, until
 * the log has them.
 *
 * Bounded: LIMIT_COLLATERAL_VEKS certificates; the oldest goes first, but never an imported one.
 * Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_ENDORSER_STORE_H
#define CONTRAST_ENDORSER_STORE_H

#include "coordinator/core/core.h"

struct endorser_row {
    struct core_vek vek; /* owned */
    bool is_imported;
    bool is_settled;     /* the log had it: when it dropped it for newer ones, that is for good */
    uint64_t offered_ms; /* to the log; 0 = not yet */
};

struct endorser_store {
    struct endorser_row *rows; /* oldest first */
    size_t count;
    struct core_crl lists[LIMIT_COLLATERAL_CRLS]; /* owned DER */
    uint64_t list_offered_ms[LIMIT_COLLATERAL_CRLS];
    size_t list_count;
};

void endorser_store_deinit(struct endorser_store *s); /* accepts zeroed */

/* Copies; the same key again replaces. False when it is full of imported ones: not kept. */
bool endorser_store_put(struct endorser_store *s, const struct core_vek *vek, bool is_imported);
const struct core_vek *endorser_store_find(const struct endorser_store *s,
                                           const struct entry_endorsement *key);
void endorser_store_remove(struct endorser_store *s, size_t index);
/* Copies; true when it is kept, or was there and is seen again. False when another one outdates it,
 * or there is no room. What it outdates goes. */
bool endorser_store_put_list(struct endorser_store *s, const struct core_crl *list);

#endif
