/* Tar headers: the fields of one 512-byte header and of a pax extended header, read exactly as the
 * `tar` crate 0.4.38 of Rust reads them, for tardev-snapshotter indexes what that crate sees.
 *
 *     0: name[100]  100: mode[8]  108: uid[8]  116: gid[8]  124: size[12]  136: mtime[12]
 *   148: checksum[8]  156: type  157: linkname[100]  257: magic[6] version[2]
 *   329: device major[8]  337: device minor[8]  345: prefix[155] (ustar)
 *   386: sparse map[4 x (offset[12], size[12])]  482: is extended  483: real size[12] (GNU)
 *
 * POSIX.1-2017 pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Basic
 * Tar Format". Numbers are octal text or, with the first bit set, big-endian binary. A number with
 * UTF-8 beyond ASCII is refused: what the crate makes of it depends on tables of Unicode.
 * Pure: no allocation, no I/O; spans borrow the header or the pax text.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_TAR_HEADER_H
#define CONTRAST_TAR_HEADER_H

#include "lib/base/bytes.h"

#define TAR_BLOCK 512
#define TAR_LINK_AT 157 /* offset of the link name in a header */

/* A number that a header may hold or not: nonsense in it is not always an error. */
struct tar_number {
    bool is_valid;
    uint64_t value;
};

struct tar_header {
    char type; /* '0' also for the old NUL */
    bool is_ustar;
    bool is_gnu;
    uint64_t size;
    struct tar_number mode, uid, gid, mtime;
    struct tar_number major, minor; /* never valid without a magic number */
    struct span prefix, name;       /* joined by '/' unless prefix is empty */
    struct span link;               /* empty: none */
};

/* One piece of a sparse file; an empty slot is not one. */
struct tar_sparse {
    bool is_empty;
    uint64_t offset, size;
};

bool tar_header_is_zero(const uint8_t block[TAR_BLOCK]);

/* MALFORMED: checksum or size are no numbers, or the checksum is another. */
RESULT tar_header_parse(const uint8_t block[TAR_BLOCK], struct tar_header *out, struct err *err);

/* Piece `index` of the sparse map at `map`: 24 bytes each. MALFORMED: no number. */
RESULT tar_header_sparse(const uint8_t *map, size_t index, struct tar_sparse *out, struct err *err);
/* The size that a sparse file unfolds to, in a GNU header. */
RESULT tar_header_real_size(const uint8_t block[TAR_BLOCK], uint64_t *out, struct err *err);

/* The first value of `key` in a pax text; records that break the format are passed over, the first
 * empty line ends the text. False: no such record. */
bool tar_header_pax_find(struct span text, const char *key, struct span *value);
/* The size of a pax text: valid when no record before it breaks the format. */
struct tar_number tar_header_pax_size(struct span text);

#endif
