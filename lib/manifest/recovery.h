/* Recoveries: how a cluster that lost its quorum goes on under a new epoch (docs/recovery.md).
 *
 *   recovery = SHA-256( "contrast-recovery-v1\0" || cluster id[32] || epoch u64be
 *                       || previous epoch u64be || mode u8 || generation u64be || head[32]
 *                       || index u64be || ledger size u64be || ledger root[48]
 *                       || SHA-256(SubjectPublicKeyInfo of the recipient)[32] )
 *   share owners sign  "contrast-recover-v1\0" || recovery[32]
 *                      with RSA-PSS (RFC 8017 section 8.1), SHA-384, MGF1-SHA-384, salt 48 bytes
 *
 * Every share owner signs the same hash. The authority is the manifest of `generation`: at least
 * its SeedShareOwnerThreshold of its SeedshareOwnerPubKeys. Epochs rise strictly, not by one: an
 * owner signs an epoch once, and a recovery that failed half way is repeated under a higher one.
 *
 * Failure: SIGNATURE, DENIED; outputs stay as they were. Pure: no I/O, no clock.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_RECOVERY_H
#define CONTRAST_RECOVERY_H

#include "lib/crypto/key.h"
#include "lib/manifest/manifest.h"

enum recovery_mode {
    RECOVERY_SURVIVOR = 1,   /* from the memory of a replica that lives */
    RECOVERY_CHECKPOINT = 2, /* from a sealed file */
    RECOVERY_AUTOMATIC = 3,  /* without people, where the manifest permits it: no signatures */
};
const char *recovery_mode_name(unsigned mode); /* "survivor" ...; "unknown" */

/* The state that goes on, and where. */
struct recovery {
    uint8_t cluster[32];
    uint64_t epoch;          /* the new one */
    uint64_t previous_epoch; /* of the state */
    uint8_t mode;            /* enum recovery_mode */
    uint64_t generation;     /* newest of the state */
    uint8_t head[32];        /* its transition */
    uint64_t index;          /* applied in the state */
    uint64_t ledger_size;
    uint8_t ledger_root[48];
    uint8_t recipient[32]; /* SHA-256 of the SubjectPublicKeyInfo of the replica that goes on */
};

/* All borrowed. */
struct recovery_signature {
    struct span key; /* PKCS#1 DER, byte for byte as in the manifest */
    struct span signature;
};

void recovery_hash(const struct recovery *r, uint8_t out[32]);
/* Appends what share owners sign. */
void recovery_signed_bytes(const struct recovery *r, struct buf *out);
/* Appends the signature. INVALID unless `share_owner` is a private RSA key. */
RESULT recovery_sign(const struct recovery *r, const struct key *share_owner, struct buf *signature,
                     struct err *err);

/* One share owner's signature: SIGNATURE unless the key stands in `authority` and the signature is
 * valid. The text names the key by the SHA-256 of its DER. */
RESULT recovery_verify_one(const struct recovery *r, const struct recovery_signature *s,
                           const struct manifest *authority, struct err *err);

/* The whole of it. `authority` is the manifest of r->generation: the caller has compared it, the
 * cluster and the head. DENIED when the recovery makes no sense in itself (mode, epochs, positions)
 * or is automatic and the manifest does not permit that. SIGNATURE unless every signature is valid,
 * no key stands twice, and there are at least authority->share_threshold of them; an automatic one
 * has none. */
RESULT recovery_verify(const struct recovery *r, const struct recovery_signature *s, size_t count,
                       const struct manifest *authority, struct err *err);

#endif
