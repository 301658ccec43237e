/* One file of containerd with our text in it: what can be put there and taken out. Private to this
 * folder; containerd_config.c decides what goes where.
 *
 * Open, ask for changes, finish. Each change is judged against the text as it was opened. The file
 * is TOML, or a template of k3s and RKE2 of which only our own lines are understood.
 *
 * Failures: INVALID for what is no TOML, CHANGED for a hand edit inside our text, CONFIG for a
 * place that cannot be edited; all with file and line. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CONTAINERD_FILE_H
#define CONTRAST_CONTAINERD_FILE_H

#include "installer/containerd/containerd_mark.h"
#include "installer/toml/toml_edit.h"

struct containerd_editor {
    const char *name; /* borrowed; stands in errors */
    struct toml_file toml;
    bool is_template; /* toml holds the text, and no tree */
    bool discard_edits;
    struct containerd_marks marks;
    struct toml_edits edits;
};

RESULT containerd_file_open(struct containerd_editor *e, const char *name, struct span text,
                            bool is_template, bool discard_edits, struct err *err);
void containerd_file_close(struct containerd_editor *e); /* accepts zeroed and half-built */

/* CONFIG at a byte of the file. */
RESULT containerd_file_refuse(const struct containerd_editor *e, size_t offset, struct err *err,
                              const char *format, ...) PRINTF_LIKE(4, 5);

/* The entry of the table at `path` (keys that a NULL ends); NULL for one that nobody has named.
 * CONFIG when a table on the way is written on one line and cannot be added to. */
RESULT containerd_file_table(const struct containerd_editor *e, const char *const path[],
                             const struct toml_entry **out, struct err *err);

/* The handler's block gets this body (lines with LF, none at the end): replaced where it stands, or
 * appended. No edit when it is there already. */
RESULT containerd_file_block(struct containerd_editor *e, const char *handler, const char *body,
                             struct err *err);

/* A block that handlers share. Found again by the offset of something in it. */
void containerd_file_share(struct containerd_editor *e, const char *handler, const char *body);
/* The handler joins the mark that holds `offset`; false: nothing of ours is there. */
bool containerd_file_join(struct containerd_editor *e, size_t offset, const char *handler);

/* Sets a boolean key of the table at `path` to false. What stood there comes back with the removal
 * of the last handler. `only_if_true`: nothing is added where the key is missing. */
RESULT containerd_file_unset_flag(struct containerd_editor *e, const char *const path[],
                                  const char *key, bool only_if_true, const char *handler,
                                  struct err *err);

/* Imports `drop_in` (an absolute path) by a pattern that covers our drop-ins and no other file,
 * unless an import of the user's own matches it. */
RESULT containerd_file_import(struct containerd_editor *e, const char *drop_in, const char *handler,
                              struct err *err);
/* True when an import of the file matches the path. */
bool containerd_file_imports(const struct containerd_editor *e, const char *path);
/* Takes our imports out, for all handlers. */
void containerd_file_strip_imports(struct containerd_editor *e);

/* Takes the handler out of everything of ours; `keep_imports`: but for imports. */
RESULT containerd_file_strip(struct containerd_editor *e, const char *handler, bool keep_imports,
                             struct err *err);

/* Appends the changed text, read once more: what is no TOML any more is INTERNAL, marks that would
 * not be found again are CHANGED. */
RESULT containerd_file_finish(struct containerd_editor *e, struct buf *out, struct err *err);

#endif
