/* Core, history: generations and recoveries as one counted table. Who shares it sees it as it was:
 * the core changes it in place only while nobody else holds it, and otherwise goes on with a copy,
 * whose rows share their bytes with the old one.
 *
 * The core's thread shares and changes, any thread may let go.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CORE_HISTORY_H
#define CONTRAST_CORE_HISTORY_H

#include "coordinator/core/core.h"
#include "coordinator/core/core_bytes.h"

struct core_history {
    atomic_uint refs;
    struct core_record *records; /* generations 1, 2, ... */
    struct core_bytes **blocks;  /* what the spans of each record point into */
    uint8_t (*chain)[32];        /* SHA-256( the one before || the record ): a digest of all up to
                                    this one */
    size_t count;
    size_t capacity; /* rows allocated of the three above */
    size_t size;     /* bytes of all records */

    struct core_recovery *recoveries; /* LIMIT_EPOCHS rows, NULL before the first */
    struct core_bytes **recovery_blocks;
    size_t recovery_count;
    uint8_t recovery_chain[32]; /* likewise, of all recoveries */
};

struct core_history *core_history_new(void);
struct core_history *core_history_ref(struct core_history *h);
void core_history_unref(struct core_history *h); /* accepts NULL */

/* The bytes that a record takes of LIMIT_HISTORY_BYTES. */
size_t core_history_record_size(const struct core_record *r);

/* Copy what `r` points to. *h may become another table; the caller's reference goes with it. */
void core_history_add(struct core_history **h, const struct core_record *r);
void core_history_replace_last(struct core_history **h, const struct core_record *r);
void core_history_add_recovery(struct core_history **h, const struct core_recovery *r);

#endif
