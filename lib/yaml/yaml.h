/* YAML: a bounded tree of a file, in which every node knows where it stands.
 *
 *   struct yaml_file file = {0};
 *   TRY(yaml_parse("web.yaml", text, &file, err));
 *   const struct yaml_node *spec = yaml_get(file.documents[0].root, "spec.template.spec");
 *
 * The tree is for reading; yaml_edit.h changes the text and nothing but the edited spots. Refused,
 * with "file:line:column: what, and what to do": bytes that are not UTF-8, NUL, tabs that indent,
 * duplicate keys, keys that are no scalars, aliases of an enclosing node, and everything over
 * LIMIT_YAML_*. Aliases stand for the anchored node itself; what they expand to counts against
 * LIMIT_YAML_NODES. Merge keys ("<<: *base") are resolved as kubectl does it: a mapping's own keys
 * first, then those that it lacks; a "<<" below a key that both have is refused, for parsers
 * disagree there. This folder is the only user of libyaml. Pure: no I/O, no clock.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_YAML_H
#define CONTRAST_YAML_H

#include "lib/base/bytes.h"
#include "lib/base/mem.h"

enum yaml_kind { YAML_KIND_SCALAR, YAML_KIND_MAPPING, YAML_KIND_SEQUENCE };

enum yaml_layout {
    YAML_LAYOUT_PLAIN, /* scalar without quotes: its text decides the type */
    YAML_LAYOUT_QUOTED,
    YAML_LAYOUT_BLOCK, /* | and > scalars, indented collections */
    YAML_LAYOUT_FLOW,  /* {...} and [...] */
};

struct yaml_mark {
    size_t offset; /* bytes from the start of the text */
    size_t line;   /* from 1 */
    size_t column; /* characters, from 1 */
};

struct yaml_node;
struct yaml_pair {
    struct yaml_node *key; /* a scalar */
    struct yaml_node *value;
};

/* Bytes of a pair or an item in its collection's own text; of an alias: those of "*name". */
struct yaml_range {
    size_t start; /* of the key, or of what follows the dash */
    size_t end;   /* behind the value; 0 = a pair that a merge key brought */
};

struct yaml_node {
    enum yaml_kind kind;
    enum yaml_layout layout;
    const char *tag;          /* NULL without an explicit tag */
    const char *value;        /* scalar: text and a NUL; never holds a NUL itself */
    size_t size;              /* scalar: bytes of value */
    struct yaml_pair *pairs;  /* mapping, in the order of the file */
    struct yaml_node **items; /* sequence */
    struct yaml_range *ranges;
    size_t count;     /* pairs or items, and ranges */
    size_t first;     /* offset of the first entry, which may be a merge key; 0 = none */
    bool has_merge;   /* a mapping with a merge key, which is none of its pairs */
    size_t merge_end; /* behind its value */
    struct yaml_mark start;
    struct yaml_mark content; /* behind anchor and tag; of a block list: the first dash */
    struct yaml_mark end;     /* behind the last byte; of a block collection: of its last child */
    bool is_anchored;         /* has "&name" */
    bool is_in_flow;          /* stands between brackets */
    bool is_shared;           /* an alias or a merge key brings it to other places, too */
    size_t weight;            /* nodes below and with this one, aliases expanded */
};

struct yaml_document {
    struct yaml_node *root; /* NULL: an empty document */
};

struct yaml_file {
    char *name;       /* as given to yaml_parse */
    struct span text; /* a copy */
    struct yaml_document *documents;
    size_t count; /* documents */
    struct arena arena;
};

/* A zeroed file is valid. */
void yaml_file_deinit(struct yaml_file *file);

/* Parses all documents of `text`. `name` stands in errors. INVALID. */
RESULT yaml_parse(const char *name, struct span text, struct yaml_file *out, struct err *err);

/* INVALID with "file:line:column: " before the text. */
RESULT yaml_fail(const struct yaml_file *file, const struct yaml_node *at, struct err *err,
                 const char *format, ...) PRINTF_LIKE(4, 5);

/* --- Looking things up. `node` may be NULL: then NULL. */

/* The value of a key of a mapping; NULL for other kinds of nodes, too. */
struct yaml_node *yaml_key(const struct yaml_node *node, const char *key);
/* A path as in "spec.containers[0].name"; keys with dots in them need yaml_key. */
struct yaml_node *yaml_get(const struct yaml_node *node, const char *path);

/* --- What a scalar is. Plain text is read as kubectl does (YAML 1.2 core schema plus the 1.1
 * spellings that its parser keeps): "yes", "on", "0644", "1_000" are no strings there. */
enum yaml_type {
    YAML_TYPE_NULL,
    YAML_TYPE_BOOL,
    YAML_TYPE_INT,
    YAML_TYPE_FLOAT,
    YAML_TYPE_STRING,
    YAML_TYPE_AMBIGUOUS, /* a string for some parsers and a boolean or number for others */
};
/* Scalars only. */
enum yaml_type yaml_type_of(const struct yaml_node *scalar);
/* True for NULL pointers and null scalars: "no value". */
bool yaml_is_null(const struct yaml_node *node);

/* Each INVALID with the position unless the node is of that type. A string that would be read as
 * something else asks for quotes. Octal as 0644 or 0o644, hexadecimal as 0x1f. */
RESULT yaml_read_string(const struct yaml_file *file, const struct yaml_node *node,
                        const char **out, struct err *err);
RESULT yaml_read_bool(const struct yaml_file *file, const struct yaml_node *node, bool *out,
                      struct err *err);
RESULT yaml_read_int(const struct yaml_file *file, const struct yaml_node *node, int64_t *out,
                     struct err *err);

#endif
