/* Revival: from a saved state and the share owners' contributions to the RECOVER entry with which
 * it goes on. Everything that a recipient must be certain of before it takes a state over:
 *
 *   the state is the one that the owners signed (cluster, epoch, generation, head, index, ledger)
 *   its share owners and threshold are those of its own newest manifest
 *   its root CA is the one that the file's header showed to the owners, before they gave a share
 *   its whole history of manifests and recoveries is signed, from an owner of this replica's own
 *     environment on: who makes up a deployment and "recovers" it onto a good replica fails here
 *   at least `threshold` different share owners of that manifest signed this very recovery, for
 * this very replica's key
 *
 * That this replica's own evidence satisfies role coordinator of that manifest is for the caller,
 * who has the evidence. Errors: DENIED and SIGNATURE, naming what is false.
 * No clock, no I/O; randomness for the new mesh CA key is the host's.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_REVIVAL_H
#define CONTRAST_REVIVAL_H

#include "coordinator/core/core.h"
#include "lib/base/host.h"
#include "lib/manifest/transition.h"

/* All borrowed. */
struct revival {
    const struct recovery *recovery;
    const struct recovery_signature *signatures;
    size_t signature_count;
    /* Whose shares were asked for, and how many of them: SHA-256 of the PKCS#1 DER. */
    const uint8_t (*share_owners)[32];
    size_t share_owner_count;
    uint64_t threshold;
    const uint8_t *root_ca; /* the file's: SHA-384 of the root CA PEM, 48 bytes; NULL: no file */
    /* This replica's own: CONTRAST_OWNER_KEY_DIGESTS, and its key. */
    const uint8_t (*owner_digests)[32];
    size_t owner_count;
    struct span spki;
};

/* Fills the fields of `r` that say where this state stands; epoch, mode and recipient stay. */
void revival_position(const struct core *state, struct recovery *r);

/* `state` comes from core_load_checkpoint. */
RESULT revival_check(const struct revival *in, const struct core *state, struct err *err);

/* After revival_check: a new mesh CA below the state's root, valid from `now` (unix seconds), and
 * the entry. `self` is this replica's own row, with evidence. SECRET bytes, appended to `out`. */
RESULT revival_encode(const struct revival *in, const struct core *state,
                      const struct entry_member *self, const struct host *host, int64_t now,
                      struct buf *out, struct err *err);

#endif
