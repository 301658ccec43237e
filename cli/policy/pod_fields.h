/* Pod fields: one table of every field of a workload, and the walk that holds YAML against it.
 *
 *   USED     becomes part of the policy
 *   IGNORED  does not change what the guest is asked to do; its form is checked all the same
 *   REFUSED  a policy could not cover it, or a confidential pod could not do it truthfully
 *
 * Each row has its reason, in the user's words; docs/fields.md is this table. The walk turns what
 * is used into JSON of the same shape, so that the rest of cli/policy reads no YAML. A field that
 * stands in no table is an error: it could change what runs, unseen. The first error ends the walk:
 *
 *     web.yaml:12:9: spec.containers[0].imagee: no such field; did you mean "image"? ...
 *
 * Paths are those of the document: "spec.template.spec.containers[0]". Source of names and types:
 * Kubernetes API v1.33. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_POD_FIELDS_H
#define CONTRAST_POD_FIELDS_H

#include <jansson.h>

#include "cli/policy/workload.h"

enum pod_field_class { POD_FIELD_USED, POD_FIELD_IGNORED, POD_FIELD_REFUSED };

enum pod_field_type {
    POD_FIELD_STRING,
    POD_FIELD_STRINGS, /* list */
    POD_FIELD_TEXTS,   /* mapping of any keys to strings */
    POD_FIELD_INT,
    POD_FIELD_INTS,
    POD_FIELD_BOOL,
    POD_FIELD_SCALAR,  /* string or number, kept as text: quantities, ports */
    POD_FIELD_SCALARS, /* mapping of any keys to those */
    POD_FIELD_TIME,    /* any scalar */
    POD_FIELD_OBJECT,
    POD_FIELD_LIST, /* of objects */
};

struct pod_table;
struct pod_field {
    const char *name;
    enum pod_field_class class;
    enum pod_field_type type;
    const struct pod_table *table; /* OBJECT and LIST; NULL = anything may stand below */
    const char *values;            /* "a|b": these alone are taken; NULL = any (REFUSED: none) */
    const char *why;               /* one line; NULL = as the row above it in the tree */
};

struct pod_table {
    const struct pod_field *fields;
    size_t count;
    const char *root; /* docs/fields.md: paths begin here with this name; NULL = they go on */
};

/* Paths of fields to leave out although they are unknown, from the document's or the pod's
 * beginning: "spec.containers[0].envFrom", or with "[]" for any index. */
struct policy_exceptions {
    const char *const *paths;
    size_t count;
};

/* Told of what is accepted and may surprise: "web.yaml:9:5: spec.volumes[0].nfs: ...". */
struct policy_warner {
    void (*warn)(void *context, const char *text); /* NULL: nobody wants to know */
    void *context;
};

/* The table of a kind of workload ("Deployment"); NULL = no workload. */
const struct pod_table *pod_fields_table(const char *kind);

/* The row of a name; NULL = unknown. */
const struct pod_field *pod_fields_find(const struct pod_table *table, const char *name);

/* Reads all of w->resource. *out is a new reference to its used fields, null ones left out;
 * *pod borrows from it the object that has the pod's "metadata" and "spec". INVALID for an unknown
 * or refused field and for a wrong type. */
RESULT pod_fields_read(const struct workload *w, const struct policy_exceptions *allowed,
                       json_t **out, const json_t **pod, struct err *err);

/* Where the pod stands: "" or "items[2]." in the document, "" or "spec.template." in there. */
struct pod_fields_place {
    char item[32];
    const char *pod;
};
struct pod_fields_place pod_fields_place_of(const struct workload *w);

/* Hands a warning to the warner, with the position before it. */
void pod_fields_warn(const struct policy_warner *warner, const struct yaml_file *file,
                     const struct yaml_node *at, const char *format, ...) PRINTF_LIKE(4, 5);

#endif
