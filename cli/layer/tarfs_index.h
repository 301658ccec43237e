/* Tarfs index: the bytes that tardev-snapshotter appends to the tar of a layer.
 *
 *   T: inodes, 32 bytes each, in breadth-first order, numbered from 1:
 *        u16 mode | u8 flags (1 = opaque) | u8 mtime >> 32 & 15 | u32 uid | u32 gid
 *        | u32 mtime | u64 size | u64 offset
 *      folders, 32 bytes a name:  u64 ino | u64 name offset | u64 name size | u8 type | 7 zeros
 *      texts of long links (Microsoft's dialect only), then all names
 *      zeros to a multiple of 4096, at least; then 4096 bytes with, 512 before their end,
 *        u64 T | u64 inodes
 *
 * Little-endian. Children stand in the order of their bytes. As tarindex does, the size of all
 * names (and long links) is counted twice before it is rounded up to 4096, so that a block of
 * zeros may follow them; a folder below a file with two names is written twice; in Microsoft's
 * dialect the texts of long links stand in the order of the tar, the offsets are given out in the
 * order of inodes. Errors: TOO_LARGE when a hard link makes the walk longer than the budget.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_TARFS_INDEX_H
#define CONTRAST_TARFS_INDEX_H

#include "cli/layer/tarfs_tree.h"

struct tarfs_index_sink {
    void (*on_bytes)(void *context, struct span bytes);
    void *context;
};

struct tarfs_index {
    uint64_t size; /* bytes of tar || index: a multiple of 4096 */
    uint64_t inodes;
};

/* Hands the index to `sink`. The tree is sorted and numbered by that and good for nothing else.
 * `links`: texts of the long links in the order of the tar. `budget`: bytes of memory. */
RESULT tarfs_index_write(struct tarfs_tree *t, uint64_t tar_size, struct span links,
                         uint64_t budget, struct tarfs_index_sink sink, struct tarfs_index *out,
                         struct err *err);

#endif
