/* Files: see file.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_CHUNK 65536

static void close_fd(const int *fd) {
    if (*fd > STDERR_FILENO) {
        close(*fd);
    }
}

static RESULT read_all(int fd, const char *path, size_t limit, struct buf *out, struct err *err) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    for (;;) {
        uint8_t *at = buf_extend(&bytes, READ_CHUNK);
        ssize_t n = read(fd, at, READ_CHUNK);
        if (n < 0 && errno == EINTR) {
            bytes.size -= READ_CHUNK;
            continue;
        }
        ENSURE(n >= 0, err, IO, "%s: %s", path, strerror(errno));
        bytes.size -= READ_CHUNK - (size_t)n;
        ENSURE(bytes.size <= limit, err, INVALID, "%s: larger than the limit of %zu bytes", path,
               limit);
        if (n == 0) {
            break;
        }
    }
    buf_append_span(out, buf_span(&bytes));
    return OK;
}

struct result file_read(const char *path, size_t limit, struct buf *out, struct err *err) {
    if (strcmp(path, "-") == 0) {
        return read_all(STDIN_FILENO, "standard input", limit, out, err);
    }
    AUTO(close_fd)
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s: %s", path,
                       strerror(errno));
    }
    return read_all(fd, path, limit, out, err);
}

static RESULT write_all(int fd, struct span bytes, const char *path, struct err *err) {
    while (bytes.size > 0) {
        ssize_t n = write(fd, bytes.data, bytes.size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        ENSURE(n >= 0, err, IO, "%s: %s", path, strerror(errno));
        bytes = span_of(bytes.data + n, bytes.size - (size_t)n);
    }
    return OK;
}

static RESULT fill_temporary(int fd, struct span bytes, mode_t mode, const char *path,
                             struct err *err) {
    TRY(write_all(fd, bytes, path, err));
    ENSURE(fchmod(fd, mode) == 0 && fsync(fd) == 0, err, IO, "%s: %s", path, strerror(errno));
    return OK;
}

static void sync_parent(const char *path) {
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        strcpy(parent, ".");
    } else {
        snprintf(parent, sizeof parent, "%.*s", (int)(slash - path + 1), path);
    }
    AUTO(close_fd)
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
    }
}

struct result file_stage(const char *path, struct span bytes, mode_t mode, char *temporary,
                         struct err *err) {
    int n = snprintf(temporary, PATH_MAX, "%s.tmp-XXXXXX", path);
    ENSURE(n > 0 && n < PATH_MAX, err, INVALID, "%s: path is too long", path);
    AUTO(close_fd)
    int fd = mkostemp(temporary, O_CLOEXEC);
    ENSURE(fd >= 0, err, IO, "%s: %s", path, strerror(errno));
    struct result r = fill_temporary(fd, bytes, mode, path, err);
    if (!is_ok(r)) {
        unlink(temporary);
    }
    return r;
}

struct result file_commit(const char *temporary, const char *path, struct err *err) {
    if (rename(temporary, path) != 0) {
        struct result r = err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
        unlink(temporary);
        return r;
    }
    sync_parent(path);
    return OK;
}

struct result file_write(const char *path, struct span bytes, mode_t mode, struct err *err) {
    char temporary[PATH_MAX];
    TRY(file_stage(path, bytes, mode, temporary, err));
    return file_commit(temporary, path, err);
}

struct result file_mkdirs(const char *path, mode_t mode, struct err *err) {
    char part[PATH_MAX];
    size_t size = strlen(path);
    ENSURE(size > 0 && size < sizeof part, err, INVALID, "%s: path is empty or too long", path);
    for (size_t i = 1; i <= size; i++) {
        if (path[i] != '/' && path[i] != 0) {
            continue;
        }
        memcpy(part, path, i);
        part[i] = 0;
        ENSURE(mkdir(part, mode) == 0 || errno == EEXIST, err, IO, "%s: %s", part, strerror(errno));
    }
    struct stat st;
    ENSURE(stat(path, &st) == 0 && S_ISDIR(st.st_mode), err, INVALID, "%s: not a directory", path);
    return OK;
}
