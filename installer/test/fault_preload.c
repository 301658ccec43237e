/* A library for LD_PRELOAD that ends the installer, or lets a call fail, at its N-th change of a
 * file. For tests: the product has no hook.
 *
 *   FAULT_AT=N       counted from 1; unset: nothing happens
 *   FAULT_MODE=kill  SIGKILL before the call (the default)
 *   FAULT_MODE=torn  the N-th write() writes half of its bytes; then SIGKILL
 *   FAULT_MODE=28    the call fails with this errno (ENOSPC)
 *   FAULT_LASTING=1  and so do all that follow
 *
 * Counted are open and openat with O_CREAT, write and pwrite to regular files but standard streams,
 * fsync, fchmod, fchown, ftruncate, renameat, unlinkat and mkdirat: all that the installer
 * changes files with. Programs that it starts are left alone, by their name.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROGRAM "contrast-node-installer"

/* The next one in the order of libraries; POSIX lets a function pointer be stored so. */
#define REAL(name)                                                                                 \
    __typeof__(&name) real = NULL;                                                                 \
    void *symbol = dlsym(RTLD_NEXT, #name);                                                        \
    memcpy((void *)&real, (const void *)&symbol, sizeof real)

static void die(void) {
    (void)kill(getpid(), SIGKILL);
    for (;;) {
        (void)pause();
    }
}

static bool is_mode(const char *wanted) {
    const char *mode = getenv("FAULT_MODE");
    return mode != NULL && strcmp(mode, wanted) == 0;
}

/* Whether this call is the N-th of those that are counted. */
static bool is_due(void) {
    static long count;
    const char *at = getenv("FAULT_AT");
    if (at == NULL || strcmp(program_invocation_short_name, PROGRAM) != 0) {
        return false;
    }
    count++;
    long due = strtol(at, NULL, 10);
    return getenv("FAULT_LASTING") != NULL ? count >= due : count == due;
}

/* Whether the call is to fail; errno is set then. */
static bool has_failed(void) {
    if (is_mode("torn") || !is_due()) {
        return false;
    }
    const char *mode = getenv("FAULT_MODE");
    if (mode == NULL || strcmp(mode, "kill") == 0) {
        die();
    } else {
        errno = (int)strtol(mode, NULL, 10);
    }
    return true;
}

static bool is_file(int fd) {
    struct stat st;
    return fd > STDERR_FILENO && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

int openat(int folder, const char *path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    REAL(openat);
    if ((flags & O_CREAT) == 0) {
        return real(folder, path, flags);
    }
    return has_failed() ? -1 : real(folder, path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    REAL(open);
    if ((flags & O_CREAT) == 0) {
        return real(path, flags);
    }
    return has_failed() ? -1 : real(path, flags, mode);
}

ssize_t write(int fd, const void *bytes, size_t size) {
    REAL(write);
    if (!is_file(fd)) {
        return real(fd, bytes, size);
    }
    if (is_mode("torn") && is_due()) {
        (void)!real(fd, bytes, size / 2);
        die();
    }
    return has_failed() ? -1 : real(fd, bytes, size);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset) {
    REAL(pwrite);
    return has_failed() ? -1 : real(fd, bytes, size, offset);
}

int fsync(int fd) {
    REAL(fsync);
    return has_failed() ? -1 : real(fd);
}

int fchmod(int fd, mode_t mode) {
    REAL(fchmod);
    return has_failed() ? -1 : real(fd, mode);
}

int fchown(int fd, uid_t uid, gid_t gid) {
    REAL(fchown);
    return has_failed() ? -1 : real(fd, uid, gid);
}

int ftruncate(int fd, off_t size) {
    REAL(ftruncate);
    return has_failed() ? -1 : real(fd, size);
}

int renameat(int from, const char *old, int to, const char *new) {
    REAL(renameat);
    return has_failed() ? -1 : real(from, old, to, new);
}

int unlinkat(int folder, const char *path, int flags) {
    REAL(unlinkat);
    return has_failed() ? -1 : real(folder, path, flags);
}

int mkdirat(int folder, const char *path, mode_t mode) {
    REAL(mkdirat);
    return has_failed() ? -1 : real(folder, path, mode);
}
