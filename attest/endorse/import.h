/* Import: endorsements from files, for machines that never reach AMD's key service.
 *
 *   folder or file -> each certificate and list, DER or PEM (bundles) -> on_item | on_skipped
 *
 * Reads VCEK, VLEK, ASK, ASVK, ARK and revocation lists by what they are, never by their names. A
 * folder is read one level deep, in the order of its names; links are followed; hidden files and
 * folders inside are passed over. A file that cannot be read, or holds anything else, is reported
 * and skipped: the rest is still read. Nothing is judged here: no signature, no date. Who takes a
 * certificate proves it (snp_endorsement_check).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_IMPORT_H
#define CONTRAST_IMPORT_H

#include "attest/snp_endorsement.h"

/* One certificate or list, borrowed for the call. */
struct import_item {
    const char *path;
    struct span der;
    bool is_crl;              /* then kind is OTHER and the rest but product zeroed */
    enum snp_cert_kind kind;  /* never OTHER for a certificate */
    enum snp_product product; /* of a list: its issuer's */
    struct snp_vek claims;    /* VCEK, VLEK: TCB, hwID or cspID */
    bool has_key;             /* VCEK */
    struct snp_endorsement_key key;
};

struct import_hooks {
    void *data;
    /* A failure ends the import and is returned. */
    struct result (*on_item)(void *data, const struct import_item *item, struct err *err);
    /* May be NULL. `why` is one line with the file's name. */
    void (*on_skipped)(void *data, const char *path, const char *why);
};

struct import_counts {
    size_t items;
    size_t skipped; /* files of which something could not be used */
};

/* NOT_FOUND or IO when `path` itself cannot be read. TOO_LARGE over LIMIT_IMPORT_FILES files or
 * LIMIT_IMPORT_ITEMS items: what came before stays handed over. *counts (may be NULL) is filled
 * also then. */
RESULT import_path(const char *path, const struct import_hooks *hooks, struct import_counts *counts,
                   struct err *err);

/* The same for bytes at hand (one file's); MALFORMED when nothing of it could be used. */
RESULT import_bytes(const char *name, struct span file, const struct import_hooks *hooks,
                    struct import_counts *counts, struct err *err);

#endif
