/* Transitions: the signed chain from one manifest to the next (ARCHITECTURE section 5).
 *
 *   transition = SHA-256( "contrast-transition-v1\0" || cluster id[32] || epoch u64be
 *                         || generation u64be || previous transition[32] || SHA-256(manifest)[32]
 *                         || SHA-256(sorted policy hashes)[32] )
 *   owners sign  "contrast-set-v1\0" || transition[32]
 *
 * The first transition has generation 1 and 32 zero bytes as its predecessor and is signed by an
 * owner key that its own manifest names; each later one by a key of the manifest before it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_TRANSITION_H
#define CONTRAST_TRANSITION_H

#include "lib/crypto/key.h"
#include "lib/manifest/manifest.h"
#include "lib/manifest/recovery.h"

struct transition {
    uint8_t cluster[32];
    uint64_t epoch;
    uint64_t generation; /* 1, 2, ... */
    uint8_t previous[32];
    uint8_t manifest_hash[32];
    uint8_t policies_hash[32];
};

void transition_hash(const struct transition *t, uint8_t out[32]);
/* Appends what owners sign. */
void transition_signed_bytes(const uint8_t hash[32], struct buf *out);
/* INVALID for a kind of key that does not sign manifests: want P-256, P-384 or Ed25519. */
RESULT transition_sign(const uint8_t hash[32], const struct key *owner, struct buf *signature,
                       struct err *err);

/* `spki`: the signer's SubjectPublicKeyInfo. SIGNATURE unless its digest is among the owners of
 * `authority` and the signature over `hash` is valid. */
RESULT transition_verify(const uint8_t hash[32], struct span spki, struct span signature,
                         const struct manifest *authority, struct err *err);

/* One generation of a history as a server presents it. All borrowed. */
struct transition_record {
    struct span manifest; /* exact bytes */
    struct span spki;     /* signer */
    struct span signature;
};

/* One recovery of a history. Borrowed. */
struct transition_recovery {
    struct recovery recovery;
    const struct recovery_signature *signatures;
    size_t signature_count;
};

/* A whole history, as a server presents it or a file holds it. All borrowed. A recovery at
 * generation g stands between the transitions g and g + 1; several may stand at one g. Generation n
 * is hashed with the epoch of the last recovery below it (generation < n), or 1. */
struct transition_history {
    uint8_t cluster[32];
    const struct transition_record *records; /* generations 1, 2, ... */
    size_t count;
    const struct transition_recovery *recoveries; /* by rising epoch */
    size_t recovery_count;
};

/* The epoch that the transition of `generation` is hashed with. */
uint64_t transition_epoch_of(const struct transition_history *h, uint64_t generation);

/* Checks a whole history: hashes chain from zero, every signature by the right authority, the
 * first signer among `trusted` (the verifier's own owner digests; see ARCHITECTURE section 5);
 * every recovery of this cluster, at the head of its generation, from the epoch before it to a
 * higher one, signed as recovery_verify demands by the manifest of that generation.
 * On success `latest` is the parsed newest manifest, `head` its transition and `epoch` that of the
 * last recovery, or 1. DENIED or SIGNATURE names the generation, and the epoch of a recovery. A
 * server may keep the last recoveries back: compare `epoch` with what it attests. */
RESULT transition_verify_chain(const struct transition_history *h, const struct manifest *trusted,
                               struct manifest *latest, uint8_t head[32], uint64_t *epoch,
                               struct err *err);

#endif
