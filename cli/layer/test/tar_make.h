/* Small tars for tests: headers in the GNU or the ustar form, bodies, pax records.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_TAR_MAKE_H
#define CONTRAST_TAR_MAKE_H

#include "lib/base/bytes.h"

/* What a test may set of a header; the rest is mode 0644, owner 0, time 0. */
struct tar_make {
    const char *name; /* at most 100 bytes, as `link` */
    const char *link;
    char type; /* 0 = '0' */
    bool is_ustar;
    bool is_bare; /* no magic number */
    uint64_t size;
    const char *mode; /* text of the field; NULL = "0000644" */
    const char *major, *minor;
};

void tar_make_header(struct buf *out, struct tar_make h);
/* Header and body, filled up to a block. */
void tar_make_entry(struct buf *out, struct tar_make h, struct span body);
void tar_make_file(struct buf *out, const char *name, const char *text);
void tar_make_end(struct buf *out); /* two zero blocks */
/* Writes the checksum of the header at `at` anew. */
void tar_make_sum(struct buf *out, size_t at);
/* One pax record "LENGTH key=value\n". */
void tar_make_record(struct buf *out, const char *key, const char *value);

#endif
