/* What differs between two manifests, by meaning.
 *
 *   default/Deployment/web: policy 0f3a... -> 77b1...
 *   default/Deployment/web: +SAN shop.example
 *   reference values Milan 1111...: MinimumTCB.SNPVersion raised 23 -> 24
 *   +owner key 5c2e...
 *
 * The order of keys, of lists that are sets, and fields that say what is the default anyway are no
 * difference. A policy whose hash changed is paired with the entry that has the same
 * WorkloadSecretID, else the same role and SANs; sets of reference values by product and
 * measurement, else by product. What finds no partner was added or removed. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_MANIFEST_DIFF_H
#define CONTRAST_MANIFEST_DIFF_H

#include "lib/base/bytes.h"
#include "lib/base/mem.h"

struct manifest_change {
    char *path;   /* JSON path, in the manifest after where it is there: "Policies.<hash>.SANs" */
    char *before; /* value as JSON in one line; NULL = it had none */
    char *after;  /* NULL = it has none */
    char *text;   /* the line above */
};

struct manifest_change_list {
    struct manifest_change *items; /* owned; their texts live in the arena */
    size_t count;
    struct arena arena;
};

void manifest_change_list_deinit(struct manifest_change_list *list);

/* Fills a zeroed list. MANIFEST as in manifest_parse, which both must pass. */
RESULT manifest_diff(struct span before, struct span after, struct manifest_change_list *out,
                     struct err *err);

#endif
