/* Merkle: the hash trees of RFC 9162 section 2.1 with SHA-384.
 *
 *   leaf = SHA-384( 0x00 || data )        node = SHA-384( 0x01 || left || right )
 *   the left subtree of n > 1 leaves holds the largest power of two smaller than n
 *   the root of no leaves is SHA-384 of the empty string
 *
 * Two users: a batch of leaves under one attestation report, and the coordinator's ledger. A
 * merkle_log grows leaf by leaf and keeps the hash of every complete subtree, so that an append
 * costs O(1) hashes on average, and a root (also of an earlier size), a path and a proof O(log n);
 * memory is 96 bytes a leaf. The verifying functions need no log: they take what a peer sent,
 * accept exactly one path or proof for given sizes, and refuse with DIFFERS (well-formed, and
 * false) or MALFORMED (wrong length, index outside the tree).
 *
 * Pure: no I/O, no clock, no randomness. Not thread-safe: one user per log.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_MERKLE_H
#define CONTRAST_MERKLE_H

#include "lib/base/bytes.h"
#include "lib/crypto/digest.h"

#define MERKLE_HASH_SIZE SHA384_SIZE
#define MERKLE_LEVELS 48 /* a log holds fewer than 2^48 leaves */

/* RFC 9162 section 2.1.1. */
void merkle_leaf(struct span data, uint8_t out[MERKLE_HASH_SIZE]);
void merkle_node(const uint8_t left[MERKLE_HASH_SIZE], const uint8_t right[MERKLE_HASH_SIZE],
                 uint8_t out[MERKLE_HASH_SIZE]);

/* The hashes of the complete subtrees of 2^level leaves, from the left. */
struct merkle_level {
    uint8_t (*hashes)[MERKLE_HASH_SIZE]; /* owned */
    size_t count;                        /* hashes in use */
    size_t capacity;                     /* hashes allocated */
};

struct merkle_log {
    struct merkle_level levels[MERKLE_LEVELS]; /* levels[0] are the leaves */
};

/* A zeroed log is empty and valid. */
void merkle_log_init(struct merkle_log *log);
void merkle_log_deinit(struct merkle_log *log); /* accepts zeroed */

/* `to` becomes a second log of the same leaves; it held nothing that has to be freed. */
void merkle_log_copy(const struct merkle_log *log, struct merkle_log *to);

/* Appends a leaf *hash* (merkle_leaf, or a digest that is made likewise with its own prefix). */
void merkle_log_append(struct merkle_log *log, const uint8_t leaf[MERKLE_HASH_SIZE]);
size_t merkle_log_size(const struct merkle_log *log); /* leaves */
/* The leaf hash at `index` < size; borrowed until the next append. */
const uint8_t *merkle_log_leaf(const struct merkle_log *log, size_t index);

void merkle_log_root(const struct merkle_log *log, uint8_t out[MERKLE_HASH_SIZE]);
/* The root when the log had `size` <= its size leaves. */
void merkle_log_root_at(const struct merkle_log *log, size_t size, uint8_t out[MERKLE_HASH_SIZE]);
/* Appends the inclusion path of leaf `index` in the tree of the first `size` leaves: nodes of 48
 * bytes from the leaf up (RFC 9162 section 2.1.3.1). index < size <= the log's size. */
void merkle_log_path(const struct merkle_log *log, size_t index, size_t size, struct buf *path);
/* Appends the consistency proof between the trees of the first `old_size` and `size` leaves (RFC
 * 9162 section 2.1.4.1); empty when the sizes are equal or old_size is 0. */
void merkle_log_consistency(const struct merkle_log *log, size_t old_size, size_t size,
                            struct buf *proof);

/* The root of `count` leaf hashes. */
void merkle_root(const uint8_t (*leaves)[MERKLE_HASH_SIZE], size_t count,
                 uint8_t out[MERKLE_HASH_SIZE]);

/* The root that `path` (concatenated nodes) leads to from a leaf hash: RFC 9162 section 2.1.3.2.
 * MALFORMED unless index < size and the path has exactly the length of this place. */
RESULT merkle_path_root(const uint8_t leaf[MERKLE_HASH_SIZE], uint64_t index, uint64_t size,
                        struct span path, uint8_t out[MERKLE_HASH_SIZE], struct err *err);
/* As above, and DIFFERS unless that is `root`. */
RESULT merkle_path_verify(const uint8_t leaf[MERKLE_HASH_SIZE], uint64_t index, uint64_t size,
                          struct span path, const uint8_t root[MERKLE_HASH_SIZE], struct err *err);

/* RFC 9162 section 2.1.4.2: the tree (size, root) extends the tree (old_size, old_root). DIFFERS
 * when the proof leads elsewhere, MALFORMED for old_size > size or a proof of the wrong length.
 * old_size 0 is extended by everything: the proof is empty, old_root the root of no leaves. */
RESULT merkle_consistency_verify(uint64_t old_size, const uint8_t old_root[MERKLE_HASH_SIZE],
                                 uint64_t size, const uint8_t root[MERKLE_HASH_SIZE],
                                 struct span proof, struct err *err);

#endif
