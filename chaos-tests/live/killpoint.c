/* Killpoint: a library for LD_PRELOAD that ends contrast-coordinator at its N-th write to a socket.
 *
 *   KILLPOINT=/path/of/a/file    until the file is there, nothing is counted
 *   its content                  "before N\n"  SIGKILL instead of the N-th write from then on
 *                                "after N\n"   SIGKILL when the N-th is handed to the kernel
 *                                "count 0\n"   the count so far stands in <file>.count, 8 bytes
 *
 * Counted: write, writev, send, sendmsg on sockets, of all threads, from 1. Other programs
 * that load it are left alone. For tests alone: a file that cannot be read ends the process by
 * abort, for a test that kills nobody proves nothing.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PATH_MAX_SIZE 1000
#define TARGET "contrast-coordinator"

enum mode { WAITING, COUNT, BEFORE, AFTER };

static atomic_int mode;
static atomic_ulong limit;
static atomic_ulong count;

/* Once: who comes second finds the mode set, or counts one later. */
static void arm(const char *path) {
    char text[32] = {0};
    char word[16] = {0};
    unsigned long number = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    long size = syscall(SYS_read, fd, text, sizeof text - 1);
    close(fd);
    if (size <= 0 || strchr(text, '\n') == NULL) {
        return; /* is being written */
    }
    if (sscanf(text, "%15s %lu", word, &number) != 2) {
        abort();
    }
    enum mode next = strcmp(word, "before") == 0  ? BEFORE
                     : strcmp(word, "after") == 0 ? AFTER
                     : strcmp(word, "count") == 0 ? COUNT
                                                  : WAITING;
    if (next == WAITING) {
        abort();
    }
    atomic_store(&limit, number);
    atomic_store(&mode, (int)next);
}

static void tell(const char *path, unsigned long number) {
    char name[PATH_MAX_SIZE + 8];
    snprintf(name, sizeof name, "%s.count", path);
    int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || syscall(SYS_pwrite64, fd, &number, sizeof number, 0L) != sizeof number) {
        abort();
    }
    close(fd);
}

static bool is_socket(int fd) {
    struct stat found;
    return fstat(fd, &found) == 0 && S_ISSOCK(found.st_mode);
}

static void die(void) {
    kill(getpid(), SIGKILL);
    _exit(99); /* not reached */
}

/* Number of this write, 0 = not counted; ends the process where that is the point. */
static unsigned long begin(int fd) {
    const char *path = getenv("KILLPOINT");
    if (path == NULL || strlen(path) >= PATH_MAX_SIZE ||
        strcmp(program_invocation_short_name, TARGET) != 0 || !is_socket(fd)) {
        return 0;
    }
    int saved = errno;
    if (atomic_load(&mode) == WAITING) {
        arm(path);
    }
    int now = atomic_load(&mode);
    unsigned long number = now == WAITING ? 0 : atomic_fetch_add(&count, 1) + 1;
    if (now == COUNT) {
        tell(path, number);
    } else if (now == BEFORE && number == atomic_load(&limit)) {
        die();
    }
    errno = saved;
    return number;
}

static ssize_t end(unsigned long number, long result) {
    if (number != 0 && atomic_load(&mode) == AFTER && number == atomic_load(&limit)) {
        die();
    }
    return (ssize_t)result;
}

/* The C library's, which the program then never calls. */
ssize_t write(int fd, const void *data, size_t size) {
    unsigned long number = begin(fd);
    return end(number, syscall(SYS_write, fd, data, size));
}

ssize_t writev(int fd, const struct iovec *parts, int part_count) {
    unsigned long number = begin(fd);
    return end(number, syscall(SYS_writev, fd, parts, part_count));
}

ssize_t send(int fd, const void *data, size_t size, int flags) {
    unsigned long number = begin(fd);
    return end(number, syscall(SYS_sendto, fd, data, size, flags, NULL, 0L));
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    unsigned long number = begin(fd);
    return end(number, syscall(SYS_sendmsg, fd, message, flags));
}
