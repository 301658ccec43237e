/* Certificate table: the endorsements that a host hands out beside a report.
 *
 *   entry    GUID[16]  u32 offset  u32 length        little-endian; offset from the table's start
 *   ...
 *   entry    24 zero bytes                           the end of the entries
 *   contents
 *
 * AMD 56421 (GHCB) section 4.1.8.1; the same bytes come from SNP_GET_EXT_REPORT and from auxblob of
 * configfs-tsm. GUID bytes stand in the order of their text form. The host is not trusted: the
 * entries are counted, each content lies behind the terminator and inside the table (computed in
 * 64 bits), and no GUID occurs twice. An unknown GUID is skipped: hosts add their own. An empty
 * input is an empty table.
 *
 * Pure: no allocation, no I/O, no clock.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SNP_CERTTABLE_H
#define CONTRAST_SNP_CERTTABLE_H

#include "lib/base/bytes.h"

/* Borrowed from the input, DER as the host gave it; size 0 = the table has none. */
struct snp_certtable {
    struct span vcek;
    struct span vlek;
    struct span ask; /* ASK or ASVK */
    struct span ark;
    struct span crl;
};

/* MALFORMED or TOO_LARGE names the entry; *out is untouched then. Bounds: LIMIT_SNP_CERTTABLE,
 * LIMIT_SNP_CERTTABLE_ENTRIES; LIMIT_CERT for each certificate, LIMIT_CRL for the CRL. */
RESULT snp_certtable_parse(struct span bytes, struct snp_certtable *out, struct err *err);

/* One entry as it stands in the table. */
struct snp_certtable_entry {
    char guid[37];       /* text form, lower case */
    const char *name;    /* "VCEK", "VLEK", "ASK", "ARK", "CRL"; NULL = another's */
    size_t offset;       /* from the table's start */
    struct span content; /* borrowed */
};

/* The entries of a table that snp_certtable_parse takes, in their order; the same errors. `out` has
 * room for LIMIT_SNP_CERTTABLE_ENTRIES. */
RESULT snp_certtable_list(struct span bytes, struct snp_certtable_entry *out, size_t *count,
                          struct err *err);

/* True when the first entry is of a kind that AMD defines, a table, good or damaged; or when that
 * is a host's own and the whole is a good table that holds a certificate or a list. */
bool snp_certtable_is_table(struct span bytes);

/* Appends a table of the members that are not empty; each must be under its limit (CHECK). */
void snp_certtable_encode(const struct snp_certtable *table, struct buf *out);

#endif
