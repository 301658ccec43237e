/* Played pkey: what OpenSSL says about a key, asked once for each object.
 *
 * OpenSSL 3.0 exports a key in full to answer for one of its numbers: 5 to 50 microseconds. Here an
 * object that was asked about is kept (one more owner, so its address means nothing else), with its
 * answers. The one that was not used for longest gives way. Nobody may change a key after its first
 * use; the product does not. Thread-safe.
 *
 * Stands in the place of EVP_PKEY_get_bn_param and i2d_PUBKEY.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_PLAYED_PKEY_H
#define CONTRAST_PLAYED_PKEY_H

#include <openssl/types.h>

#include "lib/base/bytes.h"

/* SHA-256 over the public half of an elliptic key or an RSA key. False for any other. */
bool played_pkey_digest(EVP_PKEY *key, uint8_t out[32]);

#endif
