/* Verity: the root hash of a dm-verity tree over a stream of bytes.
 *
 * dm-verity format 1, SHA-256, data and hash blocks of 4096 bytes, a salt of 32 zero bytes, no
 * superblock (Linux Documentation/admin-guide/device-mapper/verity.rst): what
 * `veritysetup format --no-superblock --hash=sha256 --salt=00…` prints. A hash block holds 128
 * hashes, the last one of a level is filled with zeros. Only one unfinished block of each level is
 * held. Pure: no allocation, no I/O. Copying the struct forks the stream: tar once, two indexes.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_VERITY_H
#define CONTRAST_VERITY_H

#include "lib/base/bytes.h"
#include "lib/crypto/digest.h"

#define VERITY_BLOCK 4096
#define VERITY_LEVELS 9 /* 128^9 blocks of 4096 bytes: more than 2^64 bytes */

struct verity_level {
    uint8_t block[VERITY_BLOCK]; /* hashes that wait for their block to fill */
    size_t used;                 /* bytes of it */
    uint64_t count;              /* hashes that this level ever got */
};

struct verity {
    struct sha256_stream *sha; /* borrowed; between two calls it holds no state */
    uint8_t data[VERITY_BLOCK];
    size_t used; /* bytes of data */
    uint64_t size;
    struct verity_level levels[VERITY_LEVELS];
};

/* `sha` must outlive the verity and its copies; they may share it, used one at a time. */
void verity_init(struct verity *v, struct sha256_stream *sha);
void verity_update(struct verity *v, struct span bytes);
/* Fills the last data block with zeros and ends the stream, which must have at least one byte. */
void verity_finish(struct verity *v, uint8_t root[SHA256_SIZE]);

#endif
