/* Checkpoint file: a sealed checkpoint fetched from a verified replica, or read from a disk.
 *
 *   API_CHECKPOINT, piece by piece -> whole file in memory -> header held against what was verified
 *   -> file, 0600, all or nothing
 *
 * What a header says is the replica's word until the share owners open the file: it is compared
 * with the attested position so that a wrong file is noticed now, not on the day it is needed.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CHECKPOINT_FILE_H
#define CONTRAST_CHECKPOINT_FILE_H

#include "cli/trust.h"
#include "meshca/checkpoint.h"

#define CHECKPOINT_FILE "verify/checkpoint"          /* newest, in a workspace */
#define CHECKPOINT_FILE_BEFORE "verify/checkpoint.1" /* the one before it */

/* Zeroed is valid for deinit. */
struct checkpoint_file {
    struct buf bytes;
    struct checkpoint_header header; /* spans into the arena */
    struct arena arena;
};
void checkpoint_file_deinit(struct checkpoint_file *f);

/* From the replica that `remote` was judged from. NOT_FOUND: the manifest names no share owners;
 * DIFFERS: the file is not of the state that was verified. */
RESULT checkpoint_file_fetch(struct dial *d, const struct remote *remote,
                             struct checkpoint_file *out, struct err *err);
/* CONFIG: no such file; MALFORMED and so on name it. */
RESULT checkpoint_file_read(const char *path, struct checkpoint_file *out, struct err *err);
RESULT checkpoint_file_write(const struct checkpoint_file *f, const char *path, struct err *err);
/* Into the workspace; what was there stays as CHECKPOINT_FILE_BEFORE. */
RESULT checkpoint_file_keep(const struct checkpoint_file *f, const char *workspace,
                            struct err *err);

/* The header, for people and programs: appended lines, or a new reference. */
void checkpoint_file_describe(const struct checkpoint_file *f, struct buf *out);
json_t *checkpoint_file_to_json(const struct checkpoint_file *f);

#endif
