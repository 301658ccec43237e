/* TOML: a bounded tree of a file, in which every table, key and value knows where it stands.
 *
 *   struct toml_file file = {0};
 *   TRY(toml_parse("config.toml", text, &file, err));
 *   const struct toml_node *debug = toml_key(file.root, "debug");
 *
 * TOML 1.0 (toml.io/en/v1.0.0), judged against Python's tomllib. The tree is for reading;
 * toml_edit.h changes the text and nothing but the edited spots. Refused, with "file:line:column:
 * what, and what to do": a byte order mark, NUL, bytes that are not UTF-8, everything that TOML 1.0
 * refuses (tables and keys defined twice above all), numbers beyond 64 bits, and everything over
 * LIMIT_TOML_*. Pure: no I/O, no clock.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_TOML_H
#define CONTRAST_TOML_H

#include "lib/base/bytes.h"
#include "lib/base/mem.h"

enum toml_kind {
    TOML_KIND_STRING,
    TOML_KIND_INTEGER,
    TOML_KIND_FLOAT,
    TOML_KIND_BOOL,
    TOML_KIND_TIME, /* any of the four forms of dates and times; only its text is kept */
    TOML_KIND_ARRAY,
    TOML_KIND_TABLE,
};

/* How a table or an array came to be: it decides what may be added to it, and how. */
enum toml_origin {
    TOML_ORIGIN_IMPLICIT, /* named in the header of a table below it only; the root */
    TOML_ORIGIN_HEADER,   /* [name]; of an array: [[name]] */
    TOML_ORIGIN_ELEMENT,  /* one [[name]] of an array */
    TOML_ORIGIN_DOTTED,   /* by keys such as name.key = 1 */
    TOML_ORIGIN_INLINE,   /* { ... }; of an array: [ ... ] */
};

struct toml_range {
    size_t start; /* bytes from the start of the text */
    size_t end;   /* behind the last byte */
};

struct toml_node;
struct toml_entry {              /* a key with its value in a table, or an item of an array */
    const char *key;             /* with a NUL behind it; NULL: an item */
    size_t key_size;             /* bytes */
    struct toml_range key_range; /* where it was named: from the start of the whole dotted key
                                  * to the end of this part */
    struct toml_node *value;
    struct toml_entry *next; /* in the order of the file */
};

struct toml_node {
    enum toml_kind kind;
    enum toml_origin origin;  /* tables and arrays */
    struct toml_range range;  /* the text of a value; of a table with a header: "[name]" */
    const char *string;       /* strings, unescaped; with a NUL behind it */
    size_t size;              /* bytes of string; it may hold NULs */
    int64_t integer;          /* integers */
    double number;            /* floats */
    bool boolean;             /* booleans */
    struct toml_entry *first; /* tables and arrays */
    struct toml_entry *last;
    size_t count; /* of entries */
};

struct toml_file {
    char *name;                  /* as given to toml_parse */
    struct span text;            /* a copy */
    struct toml_node *root;      /* a table */
    struct toml_range *comments; /* in the order of the file, from '#' to the line's end */
    size_t comment_count;
    struct arena arena;
};

/* A zeroed file is valid. */
void toml_file_deinit(struct toml_file *file);

/* Parses `text`. `name` stands in errors. INVALID, TOO_LARGE over LIMIT_TOML_FILE. */
RESULT toml_parse(const char *name, struct span text, struct toml_file *out, struct err *err);

/* INVALID with "file:line:column: " before the text; `offset` in bytes. */
RESULT toml_fail(const struct toml_file *file, size_t offset, struct err *err, const char *format,
                 ...) PRINTF_LIKE(4, 5);

/* The line, from 1, on which the byte at `offset` stands. */
size_t toml_line(const struct toml_file *file, size_t offset);

/* The entry, or the value, of a key; NULL when there is none, when `table` is NULL or no table. */
const struct toml_entry *toml_entry_of(const struct toml_node *table, const char *key);
const struct toml_node *toml_key(const struct toml_node *table, const char *key);
/* The value at the end of a path of keys that a NULL ends. */
const struct toml_node *toml_get(const struct toml_node *table, const char *const path[]);

static inline bool toml_is(const struct toml_node *node, enum toml_kind kind) {
    return node != NULL && node->kind == kind;
}

/* The value as a string; NULL when it is none or holds a NUL. */
const char *toml_string(const struct toml_node *node);

/* Appends `text` (UTF-8) as a basic string with its quotes, or as a key: bare where that is
 * possible. */
void toml_encode_string(const char *text, struct buf *out);
void toml_encode_key(const char *key, struct buf *out);

#endif
