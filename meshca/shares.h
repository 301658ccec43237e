/* Shares: Shamir's secret sharing of a 32-byte key over GF(256).
 *
 *   field: polynomial x^8 + x^4 + x^3 + x + 1 (0x11b), as in FIPS 197 section 4
 *   share i of n: x = i (1..n), then for each byte of the secret the value at x of a polynomial of
 *   degree k - 1 whose constant term is that byte and whose other coefficients are random
 *
 * k shares give the secret, k - 1 say nothing about it. Arithmetic on secret bytes is constant
 * time: no table is indexed by them, no branch depends on them; x is public. A share proves nothing
 * by itself: joining wrong ones gives a wrong secret (checkpoint.h has commitments for that).
 *
 * No I/O, no clock; randomness is the host's.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SHARES_H
#define CONTRAST_SHARES_H

#include "lib/base/host.h"
#include "lib/base/limits.h"
#include "lib/base/secret.h"

#define SHARES_SECRET_SIZE 32 /* bytes */
#define SHARES_SIZE 33        /* bytes of a share: x, then 32 values */

/* `secret` has SHARES_SECRET_SIZE bytes, 1 <= threshold <= count <= LIMIT_SHARE_OWNERS. Fills
 * out[0..count) with shares of SHARES_SIZE bytes, x = 1..count; the caller frees them. */
void shares_split(const struct host *host, const struct secret *secret, size_t threshold,
                  size_t count, struct secret **out);

/* The secret behind `count` shares (as many as the threshold, or more of one splitting); the caller
 * frees it. INVALID for no shares or over LIMIT_SHARE_OWNERS, another size, x = 0 or one x twice.
 */
RESULT shares_join(const struct secret *const *shares, size_t count, struct secret **out,
                   struct err *err);

/* The field, for tests. Constant time; the inverse of 0 is 0. */
uint8_t shares_multiply(uint8_t a, uint8_t b);
uint8_t shares_invert(uint8_t a);

#endif
