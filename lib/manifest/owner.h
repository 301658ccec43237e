/* Owner: what a workload owner signs, and whether it was an owner of the manifest in force.
 *
 *   set       "contrast-set-v1\0"    || transition[32]                       (transition.h)
 *   retire    "contrast-retire-v1\0" || cluster id[32] || epoch u64be || replica id u64be
 *
 * Detached signatures: ECDSA in DER over SHA-384 (P-384) or SHA-256 (P-256), Ed25519. A replica id
 * is never used twice, so an old order to retire one does nothing when it is sent again. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_OWNER_H
#define CONTRAST_OWNER_H

#include "lib/crypto/key.h"
#include "lib/manifest/manifest.h"

/* Appends the signature over `message`. INVALID: a kind of key that owners do not sign with. */
RESULT owner_sign(const struct key *owner, struct span message, struct buf *signature,
                  struct err *err);

/* `spki`: the signer's SubjectPublicKeyInfo. SIGNATURE unless its digest is among the owners of
 * `authority` and the signature over `message` is valid. */
RESULT owner_verify(struct span message, struct span spki, struct span signature,
                    const struct manifest *authority, struct err *err);

/* Appends what an owner signs to remove a replica from its cluster. */
void owner_retire_bytes(const uint8_t cluster[32], uint64_t epoch, uint64_t id, struct buf *out);

#endif
