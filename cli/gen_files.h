/* Files of a run: found and read first, written last and all together.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_GEN_FILES_H
#define CONTRAST_GEN_FILES_H

#include <sys/types.h>

#include "lib/base/bytes.h"
#include "lib/base/mem.h"

struct gen_file {
    char *name;        /* owned; as the user named it */
    char *path;        /* owned; symbolic links resolved */
    struct buf before; /* content at the start */
    struct buf after;  /* content to write */
    mode_t mode;
    bool is_new; /* no such file before */
};

struct gen_files {
    struct gen_file *items; /* owned */
    size_t count;
};

void gen_files_deinit(struct gen_files *files);

/* Reads a file, or all *.yml and *.yaml below a folder in order of their names; one that is in the
 * list already is passed over. `limit` in bytes per file. */
RESULT gen_files_read(struct gen_files *files, const char *path, size_t limit, struct err *err);

/* Adds a file to be written with `bytes`; its old content, if any, is kept for the way back. */
RESULT gen_files_add(struct gen_files *files, const char *path, struct span bytes, mode_t mode,
                     struct err *err);

/* Writes every file whose content changed. When one cannot be written, those before it get their
 * old content back. *written counts the files. */
RESULT gen_files_write(const struct gen_files *files, size_t *written, struct err *err);

#endif
