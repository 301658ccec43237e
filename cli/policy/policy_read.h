/* Policy documents as they are found: in annotations of YAML files, or alone in a file.
 *
 *   YAML                      the annotation of each pod, by its profile; the other one, too
 *   base64 of one of those below (an annotation's value)
 *   gzip (RFC 1952), stored or compressed, also of other tools
 *   TOML with [data] and "policy.rego": profile "initdata"
 *   Rego with a package: profile "annotation"
 *
 * What is unpacked is bounded by LIMIT_POLICY_READ. MALFORMED or INVALID names the place and what
 * was expected. Pure: no I/O.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_POLICY_READ_H
#define CONTRAST_POLICY_READ_H

#include <jansson.h>

#include "cli/policy/workload.h"

struct policy_document {
    char *kind; /* owned; of the resource, or "document" */
    char *name; /* owned; of the resource, or the file */
    bool is_initdata;
    struct buf document; /* what HOST_DATA is the digest of */
    struct buf rego;     /* rules and data, also out of TOML */
    size_t rules_size;   /* bytes of rego before "policy_data := " */
    json_t *data;        /* policy_data; NULL: the document has none, or not as JSON */
    char host_data[65];  /* 64 hex digits: as a report of SEV-SNP shows it */
};

struct policy_document_list {
    struct policy_document *items; /* owned */
    size_t count;
};

void policy_document_list_deinit(struct policy_document_list *list);

/* Appends the documents of a file; `name` stands in errors and as the name of a lone document.
 * NOT_FOUND for YAML without any policy. */
RESULT policy_read(const char *name, struct span text, struct policy_document_list *list,
                   struct err *err);

#endif
