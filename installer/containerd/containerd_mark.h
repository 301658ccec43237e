/* Marks: the comments by which we find our own text in a file again. Private to this folder.
 *
 *   BLOCK    # contrast-node-installer: <handler> begin ... <handler> end <digest>
 *   SHARED   # contrast-node-installer: set for <handlers> begin ... end <digest>
 *   LINE     key = false # contrast-node-installer: set for <handlers>
 *            the line above may keep what stood there: # contrast-node-installer: was: key = true
 *   ITEM     "/etc/containerd/conf.d/contrast-cc-*.toml", # contrast-node-installer: set for ...
 *            first in an array, up to and with the end of its line
 *   CREATED  # contrast-node-installer: created this file <digest>, its first line
 *
 * A digest is 16 hexadecimal digits of the SHA-256 of the lines between (of CREATED: of the file
 * below it, without our text); carriage returns do not count. Marks are read from lines, and in a
 * file that is TOML only where a comment stands: text in a string is none. Failure: CHANGED for
 * marks that do not fit together, with the line. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CONTAINERD_MARK_H
#define CONTRAST_CONTAINERD_MARK_H

#include "installer/containerd/containerd_config.h"
#include "installer/toml/toml.h"

#define CONTAINERD_MARK "# contrast-node-installer: "
#define CONTAINERD_GLOB "contrast-cc-*.toml" /* our drop-ins, whatever the handler */
#define CONTAINERD_DIGEST_SIZE 17            /* bytes, with the NUL */

enum containerd_mark_kind {
    CONTAINERD_MARK_BLOCK,
    CONTAINERD_MARK_SHARED,
    CONTAINERD_MARK_LINE,
    CONTAINERD_MARK_ITEM,
    CONTAINERD_MARK_CREATED,
};

struct containerd_mark {
    enum containerd_mark_kind kind;
    struct toml_range range; /* all that is ours; of an ITEM with the line's end, else without the
                              * end of its last line; of a LINE with the line that keeps the old */
    struct toml_range body; /* the lines of a block; of a LINE and an ITEM what precedes the mark */
    struct toml_range was;  /* the old text of a LINE; empty: there was none */
    struct toml_range lists[2]; /* where the handlers are named; one, two in a SHARED block */
    struct containerd_handlers handlers; /* owned */
    char digest[CONTAINERD_DIGEST_SIZE]; /* of CREATED and the blocks, as written */
    bool is_edited;                      /* the lines between do not fit the digest */
    bool is_import;                      /* LINE and ITEM: an import of our drop-ins */
};

struct containerd_marks {
    struct containerd_mark *items; /* owned; in the order of the file */
    size_t count;
};

/* `toml` may be NULL: a template. */
RESULT containerd_marks_find(const char *name, struct span text, const struct toml_file *toml,
                             struct containerd_marks *out, struct err *err);
void containerd_marks_deinit(struct containerd_marks *marks);

/* The mark whose range holds `offset`; NULL: not ours. */
struct containerd_mark *containerd_mark_at(const struct containerd_marks *marks, size_t offset);
bool containerd_mark_has(const struct containerd_mark *mark, const char *handler);

/* Appends a block: `label` is a handler or "set for ...", `body` lines with LF, none at the end. */
void containerd_mark_block(const char *label, const char *body, struct buf *out);
void containerd_mark_digest(struct span lines, char out[CONTAINERD_DIGEST_SIZE]);

/* [a-z0-9-], 1..LIMIT_HANDLER bytes. */
bool containerd_handler_is_valid(struct span name);
void containerd_handlers_add(struct containerd_handlers *handlers, struct span name);
bool containerd_handlers_has(const struct containerd_handlers *handlers, struct span name);

#endif
