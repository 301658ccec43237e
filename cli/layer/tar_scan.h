/* Tar scan: the entries of a tar, from its bytes in pieces of any size.
 *
 * Follows the `tar` crate 0.4.38, whose view of an archive tardev-snapshotter indexes: GNU long
 * names and pax headers describe the entry after them, a pax size counts where the header's is 0,
 * sparse files are checked whole, one zero block ends the archive and what follows is no tar any
 * more. What makes that crate give up is MALFORMED here: no index of such a layer exists.
 *
 * Errors: MALFORMED with the offset of the header; TOO_LARGE for a long name or pax header beyond
 * LIMIT_LAYER_EXTENSION. After one, only deinit. No I/O; memory: one extension of each kind.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_TAR_SCAN_H
#define CONTRAST_TAR_SCAN_H

#include "cli/layer/tar_header.h"

/* One entry. Spans are valid during the call only. */
struct tar_entry {
    const struct tar_header *header;
    uint64_t header_at; /* offsets in the tar */
    uint64_t data_at;
    uint64_t size; /* of the file; of a sparse one, unfolded */
    struct span path;
    bool has_link;
    struct span link;        /* the whole target */
    struct span header_link; /* what of it stands in the header itself */
};

struct tar_scan_handler {
    /* Each entry, in order. *wants_data asks for the bytes of its body. */
    RESULT(*on_entry)
    (void *context, const struct tar_entry *entry, bool *wants_data, struct err *err);
    /* The body asked for, in pieces. */
    void (*on_data)(void *context, struct span bytes);
    void *context;
};

enum tar_scan_state {
    TAR_SCAN_HEADER,    /* collects 512 bytes */
    TAR_SCAN_EXTENSION, /* collects a long name or pax header */
    TAR_SCAN_SPARSE,    /* collects 512 bytes more of a sparse map */
    TAR_SCAN_BODY,      /* passes over a body */
    TAR_SCAN_END,       /* after the zero block */
};

struct tar_scan {
    struct tar_scan_handler handler;
    enum tar_scan_state state;
    uint64_t at; /* offset of the next byte */
    uint8_t block[TAR_BLOCK];
    size_t used;             /* bytes of block */
    uint8_t head[TAR_BLOCK]; /* the header whose body or map is read */
    uint64_t head_at;
    uint64_t body, padding; /* bytes that are still to come */
    bool wants_data;
    struct buf long_name, long_link, pax;
    bool has_long_name, has_long_link, has_pax;
    struct tar_number pax_size;
    struct buf *extension;                        /* one of the three, while it is read */
    uint64_t sparse_at, sparse_left, sparse_size; /* where the map stands; bytes it may claim */
    struct buf path;                              /* prefix and name of a header, joined */
};

void tar_scan_init(struct tar_scan *s, struct tar_scan_handler handler);
void tar_scan_deinit(struct tar_scan *s); /* accepts zeroed */
RESULT tar_scan_feed(struct tar_scan *s, struct span bytes, struct err *err);
/* MALFORMED when the tar ends in the middle of an entry. */
RESULT tar_scan_finish(const struct tar_scan *s, struct err *err);

#endif
