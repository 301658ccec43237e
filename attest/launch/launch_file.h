/* Launch file: bytes at offsets, from a file or from memory, for parsers that must not hold an
 * image whole.
 *
 * A file that changes while it is read would give a digest of no file at all: size and modification
 * time are compared at the end (launch_file_finish). Failures name the path and the offset.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_LAUNCH_FILE_H
#define CONTRAST_LAUNCH_FILE_H

#include <time.h>

#include "lib/base/bytes.h"

/* Where bytes come from: all of [offset, offset + size) or a failure. `offset + size` never
 * exceeds `size` below. */
struct launch_source {
    RESULT (*read)(void *data, uint64_t offset, uint8_t *out, size_t size, struct err *err);
    void *data;
    uint64_t size; /* bytes */
};

/* An open regular file. */
struct launch_file {
    const char *path; /* borrowed */
    int fd;
    uint64_t size; /* bytes, when it was opened */
    struct timespec changed;
};

/* NOT_FOUND, IO; INVALID for what is no regular file (a pipe cannot be read at offsets). */
RESULT launch_file_open(const char *path, struct launch_file *out, struct err *err);
void launch_file_close(struct launch_file *f); /* accepts zeroed */
/* Borrows `f`. */
struct launch_source launch_file_source(struct launch_file *f);
/* IO when the file is no longer as it was when it was opened. */
RESULT launch_file_finish(const struct launch_file *f, struct err *err);

/* Borrows `bytes`. */
struct launch_source launch_file_memory(const struct span *bytes);

/* SHA-256 of any readable file, however large, in bounded memory. INVALID over LIMIT_LAUNCH_HASHED
 * (a device without end). */
RESULT launch_file_sha256(const char *path, uint8_t out[32], struct err *err);

#endif
