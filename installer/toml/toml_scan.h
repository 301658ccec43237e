/* Scalars and the cursor of the TOML parser: private to installer/toml.
 *
 * The cursor walks over the copy of the text in its file. A failed scan leaves the position in the
 * error. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_TOML_SCAN_H
#define CONTRAST_TOML_SCAN_H

#include "installer/toml/toml.h"

struct toml_cursor {
    struct toml_file *file; /* borrowed: nodes and strings live in its arena */
    size_t at;              /* bytes */
    size_t nodes;           /* made so far, against LIMIT_TOML_NODES */
    size_t comment_capacity;
    struct err *err;
};

/* The byte `ahead` of the cursor; -1 behind the end. */
int toml__peek(const struct toml_cursor *c, size_t ahead);
/* INVALID at the cursor, or at `offset`. */
RESULT toml__fail(const struct toml_cursor *c, const char *what);
RESULT toml__fail_at(const struct toml_cursor *c, size_t offset, const char *what);

bool toml__is_bare(int byte); /* may stand in a key without quotes */

/* One part of a key: bare, or a string on one line. `*text` lives in the arena. */
RESULT toml__scan_key(struct toml_cursor *c, const char **text, size_t *size);
/* A string in any of the four forms of quotes. */
RESULT toml__scan_string(struct toml_cursor *c, struct toml_node *node);
/* A boolean, a number, a date or a time. */
RESULT toml__scan_plain(struct toml_cursor *c, struct toml_node *node);

#endif
