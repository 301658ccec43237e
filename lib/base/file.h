/* Files: whole reads with a bound, whole writes that are all or nothing.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_FILE_H
#define CONTRAST_FILE_H

#include <sys/types.h>

#include "lib/base/bytes.h"

/* Appends the file to `out`. More than `limit` bytes, a directory or a missing file: INVALID,
 * NOT_FOUND or IO with the path in the text. "-" reads standard input. */
RESULT file_read(const char *path, size_t limit, struct buf *out, struct err *err);

/* Writes path.tmp-XXXXXX beside it, fsyncs, renames: a reader sees the old or the new bytes, and a
 * failure leaves the old ones. `mode` as in chmod(2). */
RESULT file_write(const char *path, struct span bytes, mode_t mode, struct err *err);

/* The two halves of file_write, for several files that change together. The first leaves the name
 * of the temporary file in `temporary` (PATH_MAX bytes); the caller commits or unlinks it. A commit
 * that fails has unlinked it. */
RESULT file_stage(const char *path, struct span bytes, mode_t mode, char *temporary,
                  struct err *err);
RESULT file_commit(const char *temporary, const char *path, struct err *err);

/* mkdir -p. */
RESULT file_mkdirs(const char *path, mode_t mode, struct err *err);

#endif
