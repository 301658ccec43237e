/* Hot keys: ECDSA P-384 verification that becomes fast for a key that comes again.
 *
 *   seldom used key       EVP_DigestVerify
 *   after some good ones  two tables of points (p384_table.h): G's, made once, and this key's
 *
 * A machine signs all its reports with one VCEK, and everything here is public, so the work that
 * depends on the key alone is done once. The answer is always EVP's:
 *   - a table says yes only by the equation of SEC 1 section 4.1.4; its key was checked by EVP;
 *   - a no of a table counts only after EVP said no, too;
 *   - a new table must accept a signature that EVP just accepted.
 * A table that contradicts EVP is logged as an error, and this pool uses none ever again. Whatever
 * else fails inside (memory) leads to EVP.
 *
 * Thread-safe. Bounded: LIMIT_SNP_TABLES tables of 0.43 MB and one of 1.2 MB for G. A new key takes
 * the place of another only when that one has long been idle, so that many keys in turn do not make
 * it build tables without end.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_HOTKEY_H
#define CONTRAST_HOTKEY_H

#include <stdatomic.h>

#include <openssl/types.h>

#include "lib/base/bytes.h"

/* Good signatures by EVP before a key gets its table: making one costs as much as six
 * verifications save. */
#define HOTKEY_AFTER 6

/* Bits of the tables' windows. One more each saves 5 % of a verification, for twice the memory. */
#define HOTKEY_WINDOW_GENERATOR 7
#define HOTKEY_WINDOW_KEY 5

struct hotkey_pool; /* counted */

struct hotkey_pool *hotkey_pool_new(void);
struct hotkey_pool *hotkey_pool_ref(struct hotkey_pool *pool);
void hotkey_pool_unref(struct hotkey_pool *pool); /* accepts NULL */

/* One key, as whoever verifies by it keeps it. */
struct hotkey {
    EVP_PKEY *key;     /* borrowed; EC on secp384r1 */
    uint8_t id[32];    /* SHA-256 of its SubjectPublicKeyInfo: what a pool knows it by */
    atomic_uint count; /* good signatures that needed EVP */
};

/* True when r and s (48 bytes little-endian each) sign `message` (ECDSA with SHA-384, FIPS 186-5
 * section 6.4.2). pool: NULL = always EVP. */
bool hotkey_verify(struct hotkey_pool *pool, struct hotkey *key, struct span message,
                   const uint8_t r[48], const uint8_t s[48]);

/* For tests and figures: tables held now, signatures that one of them accepted, and whether a
 * contradiction ended their use. */
struct hotkey_stats {
    size_t tables;
    uint64_t hits;
    bool is_broken;
};
void hotkey_pool_stats(struct hotkey_pool *pool, struct hotkey_stats *out);

#endif
