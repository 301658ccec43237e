/* Files of a run: found and read first, written last and all together.
 *
 *   read    files, folders, "-" = standard input, once
 *   write   stage every new content beside its file (a full disk or a read-only folder shows here)
 *           -> look that nobody changed the files since -> rename all -> print what came from "-"
 *
 * A failure at any step leaves every file as it was: what was renamed already gets its old content
 * back. Symbolic links stay, their targets are written. Only a crash of the machine between two
 * renames can leave some files new and others old; running again mends that.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_GEN_FILES_H
#define CONTRAST_GEN_FILES_H

#include <sys/types.h>

#include "lib/base/bytes.h"
#include "lib/base/mem.h"

#define GEN_FILES_STDIN "(stdin)" /* the name of what came from "-", in errors */

struct gen_file {
    char *name;        /* owned; as the user named it */
    char *path;        /* owned; symbolic links resolved */
    struct buf before; /* content at the start */
    struct buf after;  /* content to write */
    mode_t mode;
    uid_t uid; /* owner of the file before; kept where permitted */
    gid_t gid;
    bool is_new;    /* no such file before */
    bool is_stream; /* "-": from standard input, to standard output */
    bool is_pipe;   /* a named pipe or the like: to be read, never written */
};

struct gen_files {
    struct gen_file *items; /* owned */
    size_t count;
};

void gen_files_deinit(struct gen_files *files);

/* Reads a file, or all *.yml and *.yaml below a folder in order of their names; one that is in the
 * list already is passed over. "-" is standard input: USAGE when given twice, INVALID when nothing
 * comes in. `limit` in bytes per file. */
RESULT gen_files_read(struct gen_files *files, const char *path, size_t limit, struct err *err);

/* Adds a file to be written with `bytes`; its old content, if any, is kept for the way back. An
 * existing file keeps its mode unless `mode` is for its owner alone. "-" is standard output. */
RESULT gen_files_add(struct gen_files *files, const char *path, struct span bytes, mode_t mode,
                     struct err *err);

/* Writes every file whose content changed, then prints the streams (changed or not). *written
 * counts the files. USAGE for two outputs with one path, CHANGED for a file that somebody else
 * changed meanwhile, IO for the rest. */
RESULT gen_files_write(const struct gen_files *files, size_t *written, struct err *err);

#endif
