/* AEAD: AES-256-GCM in one call (NIST SP 800-38D), tag of 16 bytes behind the ciphertext.
 *
 * Whoever calls sees to it that no two messages share key and nonce: a fresh key for each message,
 * or one that the message itself decides. Over OpenSSL's EVP; never fails but for what is not
 * authentic. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_AEAD_H
#define CONTRAST_AEAD_H

#include "lib/base/bytes.h"

#define AEAD_KEY_SIZE 32
#define AEAD_NONCE_SIZE 12 /* section 5.2.1.1: the recommended size */
#define AEAD_TAG_SIZE 16

/* Appends ciphertext and tag to `out`. `key` has AEAD_KEY_SIZE bytes; `extra`, the additional data,
 * may lie in `out`. Both inputs are below INT_MAX. */
void aead_seal(struct span key, const uint8_t nonce[AEAD_NONCE_SIZE], struct span extra,
               struct span plaintext, struct buf *out);

/* Appends the plaintext to `out`, which wipes itself; true when it is authentic, else nothing is
 * left there. `sealed` includes the tag; false when it is shorter than one. */
bool aead_open(struct span key, const uint8_t nonce[AEAD_NONCE_SIZE], struct span extra,
               struct span sealed, struct buf *out);

#endif
