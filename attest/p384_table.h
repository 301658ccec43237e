/* Tables of multiples of one point of P-384, for verifying many signatures by one key.
 *
 *   windows of w bits, signed digits      k = sum of d[i] * 2^(w*i),  -2^(w-1) < d[i] <= 2^(w-1)
 *   entry (i, d)                          d * 2^(w*i) * P,  1 <= d <= 2^(w-1)
 *   k * P                                 at most one addition a window, no doubling
 *
 * OpenSSL's own ECDSA doubles 384 times for each signature because it does not know the key before.
 * Here the group law (addition, doubling, infinity) and all arithmetic are OpenSSL's, too; ours is
 * only which entries to add. Time depends on the values, so this is for public ones: verification,
 * never signing.
 *
 * A table is immutable once it is made: any number of threads may read it. No global state.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_P384_TABLE_H
#define CONTRAST_P384_TABLE_H

#include <openssl/ec.h>

#include "lib/base/bytes.h"

#define P384_TABLE_WINDOW_MAX 8 /* bits */

struct p384_table;

/* `point` is any point of `group` (secp384r1); window: 2 to P384_TABLE_WINDOW_MAX bits. It takes
 * about 350 bytes of heap for each of its (384 / window + 1) * 2^(window-1) points. The group must
 * outlive the table. NULL when OpenSSL fails, for want of memory. */
struct p384_table *p384_table_new(const EC_GROUP *group, const EC_POINT *point, unsigned window);
void p384_table_free(struct p384_table *table); /* accepts NULL */

/* ECDSA verification (SEC 1 version 2 section 4.1.4): with w = 1/s, u1 = e*w and u2 = r*w mod n,
 * the point u1*G + u2*Q must not be infinity and its x mod n must be r. `generator` and `key` are
 * tables of the group's generator and of the public key, `digest` is 48 bytes as SHA-384 gives it,
 * r and s are 48 bytes little-endian each. False also when r or s is outside of 1 to n-1, and when
 * OpenSSL fails. */
bool p384_table_verify(const struct p384_table *generator, const struct p384_table *key,
                       const uint8_t digest[48], const uint8_t r[48], const uint8_t s[48]);

#endif
