/* TOML edits: changes to the text of a file that leave every other byte alone.
 *
 * An edit replaces a byte range by new text; comments, order, line ends and a missing last line
 * feed outside of the ranges stay. A new key goes right behind the header of its table, where no
 * comment, comma or later table can be in its way:
 *
 *     [debug] # quiet            [debug] # quiet
 *       level = "info"     ->    address = ""
 *                                  level = "info"
 *
 * Text is given with LF; it gets the line ends of the file (those of its first line). Applying
 * parses the result: what is no TOML is never handed out. Failures: INVALID for a place that cannot
 * be edited, with its position; INTERNAL for ranges that overlap or a result that is no TOML. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_TOML_EDIT_H
#define CONTRAST_TOML_EDIT_H

#include "installer/toml/toml.h"

struct toml_edit;
struct toml_edits {
    const struct toml_file *file; /* borrowed */
    struct toml_edit *items;      /* owned */
    size_t count;                 /* edits */
};

void toml_edits_init(struct toml_edits *e, const struct toml_file *file);
void toml_edits_deinit(struct toml_edits *e);

/* Replaces a range of the text; an empty range inserts, an empty text removes. Edits that insert at
 * one place keep their order. */
void toml_edit_range(struct toml_edits *e, struct toml_range range, const char *text);

/* Gives a key of the table at `path` (keys that a NULL ends; none: the root) this value, written as
 * TOML. Replaces only the value's text when the key stands there; otherwise adds the key; a table
 * that nobody has defined is added at the end of the file. No edit when the text is there already.
 * INVALID when a key of the path is no table, or an array of tables. */
RESULT toml_edit_set(struct toml_edits *e, const char *const path[], const char *key,
                     const char *value, struct err *err);

/* Removes a key and its value with the line or lines they stand on. Missing: no edit. INVALID when
 * something else stands on these lines, or for a table with a header. */
RESULT toml_edit_unset(struct toml_edits *e, const char *const path[], const char *key,
                       struct err *err);

/* Appends lines (LF between them, none at the end) behind the last line of the file. A file without
 * a last line feed has none behind the new lines, either: toml_edit_cut gives the old bytes back.
 */
void toml_edit_append(struct toml_edits *e, const char *lines);

/* Inserts lines before the line that holds `offset`, or behind it. */
void toml_edit_lines_before(struct toml_edits *e, size_t offset, const char *lines);
void toml_edit_lines_after(struct toml_edits *e, size_t offset, const char *lines);

/* Removes the lines that hold `range`; the last of a file without a last line feed takes the line
 * feed before them along. */
void toml_edit_cut(struct toml_edits *e, struct toml_range range);

/* Appends the edited text to `out`. */
RESULT toml_edits_apply(struct toml_edits *e, struct buf *out, struct err *err);
/* The same for text that is no TOML (a template): nothing is parsed. */
RESULT toml_edits_join(struct toml_edits *e, struct buf *out, struct err *err);

/* "\r\n" when the first line of the text ends so, else "\n". */
const char *toml_line_end(struct span text);
/* The line, or lines, that hold the range, with their line ends. */
struct toml_range toml_lines(struct span text, struct toml_range range);

#endif
