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

/* Checks a whole history: hashes chain from zero, every signature by the right authority, the
 * first signer among `trusted` (the verifier's own owner digests; see ARCHITECTURE section 5).
 * On success `latest` is the parsed newest manifest and `head` its transition. DENIED or SIGNATURE
 * names the generation. */
RESULT transition_verify_chain(const uint8_t cluster[32], uint64_t epoch,
                               const struct transition_record *records, size_t count,
                               const struct manifest *trusted, struct manifest *latest,
                               uint8_t head[32], struct err *err);

#endif
