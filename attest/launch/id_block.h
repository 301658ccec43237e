/* ID blocks: what an image's author signs, so that the security processor launches nothing else
 * under that author's keys, and a report names them (AMD 56860, SNP_LAUNCH_FINISH).
 *
 * ID block, 96 bytes:   0 launch digest[48]  48 family[16]  64 image[16]  80 u32 version 1
 *                      84 u32 guest SVN      88 u64 policy
 * ID auth, 4096 bytes:  0 u32 ID key's algorithm 1     4 u32 author key's algorithm, 0 without one
 *                    0x40 signature[512] over the ID block by the ID key       0x240 ID key[0x404]
 *                   0x680 signature[512] over the ID key by the author key  0x880 author key[0x404]
 * Key:                  0 u32 curve 2 (P-384)  4 x[72]  76 y[72]  zeros to 0x404
 * Signature:            0 r[72]  72 s[72]  zeros to 512; ECDSA P-384 with SHA-384
 *
 * Numbers are little-endian, everything between is zero. A report's ID_KEY_DIGEST is the SHA-384 of
 * all 0x404 bytes. Parsers are total: any bytes give a value or MALFORMED.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_ID_BLOCK_H
#define CONTRAST_ID_BLOCK_H

#include "lib/base/bytes.h"
#include "lib/crypto/key.h"

#define ID_BLOCK_SIZE 96
#define ID_BLOCK_AUTH_SIZE 4096
#define ID_BLOCK_KEY_SIZE 0x404
#define ID_BLOCK_SIGNATURE_SIZE 144 /* r and s */
#define ID_BLOCK_NUMBER_SIZE 72

struct id_block {
    uint8_t launch_digest[48];
    uint8_t family_id[16];
    uint8_t image_id[16];
    uint32_t guest_svn;
    uint64_t policy;
};

struct id_block_auth {
    uint8_t signature[ID_BLOCK_SIGNATURE_SIZE]; /* of the 96 bytes */
    uint8_t id_key[ID_BLOCK_KEY_SIZE];
    bool has_author;
    uint8_t author_signature[ID_BLOCK_SIGNATURE_SIZE]; /* of id_key's 0x404 bytes */
    uint8_t author_key[ID_BLOCK_KEY_SIZE];
};

/* Exactly 96 bytes of version 1. */
RESULT id_block_parse(struct span bytes, struct id_block *out, struct err *err);
void id_block_encode(const struct id_block *block, uint8_t out[ID_BLOCK_SIZE]);

/* Exactly 4096 bytes; every byte without a meaning must be zero. */
RESULT id_block_auth_parse(struct span bytes, struct id_block_auth *out, struct err *err);
void id_block_auth_encode(const struct id_block_auth *auth, uint8_t out[ID_BLOCK_AUTH_SIZE]);

/* The 0x404 bytes of a P-384 key (private or public); INVALID for another kind. */
RESULT id_block_key_encode(const struct key *key, uint8_t out[ID_BLOCK_KEY_SIZE], struct err *err);
/* The public key behind 0x404 bytes; MALFORMED unless it is a point of P-384. */
RESULT id_block_key_parse(const uint8_t bytes[ID_BLOCK_KEY_SIZE], struct key *out, struct err *err);
/* What a report shows of a key: SHA-384 of its 0x404 bytes. */
void id_block_key_digest(const uint8_t bytes[ID_BLOCK_KEY_SIZE], uint8_t out[48]);

/* SIGNATURE unless both signatures hold: of the block by the ID key, and of the ID key by the
 * author key where there is one. MALFORMED for keys that are none. */
RESULT id_block_verify(const struct id_block *block, const struct id_block_auth *auth,
                       struct err *err);
/* True when a number of the ID key's signature is too small to come from a signer: r = 2, s = 1 and
 * the like are made without a private key (the public key is computed from the signature), by
 * anybody, for any digest. Such an ID block proves nothing about who made an image. */
bool id_block_is_synthetic(const struct id_block_auth *auth);
/* Signs `block`. `author` may be NULL. INVALID unless the keys are private P-384 keys. */
RESULT id_block_sign(const struct id_block *block, const struct key *id, const struct key *author,
                     struct id_block_auth *out, struct err *err);

#endif
