/* Layers: one container image layer, streamed once, turned into the hashes that a policy binds.
 *
 *   bytes of the blob -> [gzip | zstd | plain] -> tar -> SHA-256 of the tar (diff_id)
 *                  \-> SHA-256 of the blob         \---> tarfs index, dm-verity over tar || index
 *
 * Feed the blob in pieces of any size, as they arrive from the network or a file; finish gives all
 * results at once. No temporary file, no seek; memory is bounded by LIMIT_LAYER_MEMORY whatever
 * the layer. The compression is recognized by its magic number, never by a name or a media type:
 * gzip (RFC 1952, several members), zstd (RFC 8878, several and skippable frames), else plain tar.
 *
 * One thread of its own hashes beside the caller's, which decompresses. An error of either side is
 * returned by the next layer_feed or by layer_finish; after an error the layer can only be freed.
 * A layer belongs to one thread at a time; different layers are independent.
 *
 * Errors: MALFORMED (broken compression, truncated tar, bytes after the last gzip member or zstd
 * frame), TOO_LARGE (a limit of limits.h, by its meaning: tar size, ratio, index), IO (no thread).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_LAYER_H
#define CONTRAST_LAYER_H

#include "lib/base/bytes.h"
#include "lib/crypto/digest.h"

/* Two programs write tarfs indexes, and they differ in symbolic links whose target is longer than
 * the 100 bytes of a tar header: upstream kata's leaves them out, the one of Microsoft's fork (AKS)
 * stores them, and mixes their texts up when a layer has two or more. */
enum layer_dialect { LAYER_UPSTREAM, LAYER_MSFT, LAYER_DIALECTS };

enum layer_coding { LAYER_PLAIN, LAYER_GZIP, LAYER_ZSTD };

/* What a layer does to one path of the layers below it. */
enum layer_file_state {
    LAYER_FILE_ABSENT,  /* nothing: the file of the layer below, if any, is seen */
    LAYER_FILE_PRESENT, /* a regular file; `content` holds it */
    LAYER_FILE_REMOVED, /* a whiteout of it or of its folder, or the folder is opaque */
    LAYER_FILE_OTHER,   /* a link, a device, a folder: there, but its content is not known here */
};

struct layer_file {
    enum layer_file_state state;
    struct buf content; /* at most LIMIT_LAYER_FILE bytes; empty unless PRESENT */
};

/* What dm-verity opens: tar || index, as tardev-snapshotter writes it. */
struct layer_root {
    uint8_t root_hash[SHA256_SIZE]; /* dm-verity format 1, sha256, 4096/4096, salt of 32 zeros */
    uint64_t size;                  /* bytes of tar || index: a multiple of 4096 */
    uint64_t inode_table;           /* where the index starts: bytes of the tar */
    uint64_t inodes;
};

struct layer_warning {
    char *text;        /* owned; one line of UTF-8, in the words of the program that is copied */
    unsigned dialects; /* bit 1 << dialect: who would have said it */
};

struct layer_result {
    uint8_t blob_sha256[SHA256_SIZE]; /* of the bytes that were fed: the digest in a manifest */
    uint64_t blob_size;
    enum layer_coding coding;
    uint8_t diff_id[SHA256_SIZE]; /* of the tar, as in rootfs.diff_ids of an image config */
    uint64_t tar_size;
    struct layer_root roots[LAYER_DIALECTS];
    uint64_t long_links;      /* whose target is not whole in its header */
    struct layer_file passwd; /* etc/passwd */
    struct layer_file group;  /* etc/group */
    struct layer_warning *warnings;
    size_t warning_count;
    uint64_t warnings_dropped; /* beyond LIMIT_LAYER_WARNINGS */
};

struct layer;

/* `tar_max`: bytes that the tar may have, 0 = LIMIT_LAYER_TAR. IO when no thread can be started. */
RESULT layer_new(uint64_t tar_max, struct layer **out, struct err *err);

/* The next bytes of the blob; they are not needed after the call. */
RESULT layer_feed(struct layer *l, struct span bytes, struct err *err);

/* Bytes of memory that the layer holds by now, and what it will take to finish; at most
 * LIMIT_LAYER_MEMORY and LIMIT_LAYER_QUEUE buffers. */
size_t layer_memory(struct layer *l);

/* After the last byte; once. *out is the caller's, to be given to layer_result_deinit. */
RESULT layer_finish(struct layer *l, struct layer_result *out, struct err *err);

/* At any time, also in the middle; NULL is accepted. */
void layer_free(struct layer *l);

void layer_result_deinit(struct layer_result *r); /* accepts zeroed */

/* True when the two dialects have different root hashes: a policy then fits one kind of node. */
bool layer_dialects_differ(const struct layer_result *r);

const char *layer_dialect_name(enum layer_dialect d); /* "upstream", "msft" */
const char *layer_coding_name(enum layer_coding c);   /* "plain", "gzip", "zstd" */

#endif
