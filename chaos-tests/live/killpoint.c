/* Killpoint: a library for LD_PRELOAD that ends contrast-coordinator at its N-th write to a socket.
 *
 *   KILLPOINT=/path/of/a/file    until the file is there, nothing is counted
 *   its content                  "before N\n"  SIGKILL instead of the N-th write from then on
 *                                "after N\n"   SIGKILL when the N-th is handed to the kernel
 *                                "count 0\n"   the count so far stands in <file>.count, 8 bytes
 *                                "before N port P bytes B\n", and so on: counts only writes of at
 *                                least B bytes to TCP connections with port P at either end
 *
 * Counted: write, writev, send, sendmsg on sockets, of all threads, from 1. Other programs
 * that load it are left alone. For tests alone: a file that cannot be read ends the process by
 * abort, for a test that kills nobody proves nothing.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
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
static atomic_ulong port; /* 0: any socket */
static atomic_ulong least_bytes;

static enum mode mode_of(const char *text, const char **number) {
    static const char *const words[] = {
        [COUNT] = "count ", [BEFORE] = "before ", [AFTER] = "after "};
    for (int m = COUNT; m <= AFTER; m++) {
        size_t size = strlen(words[m]);
        if (strncmp(text, words[m], size) == 0) {
            *number = text + size;
            return (enum mode)m;
        }
    }
    return WAITING;
}

/* The number behind `word`, and where the text goes on; NULL: something else stands there. */
static const char *read_number(const char *text, const char *word, unsigned long *out) {
    char *rest = NULL;
    size_t size = strlen(word);
    if (text == NULL || strncmp(text, word, size) != 0) {
        return NULL;
    }
    *out = strtoul(text + size, &rest, 10);
    return rest == text + size ? NULL : rest;
}

/* What stands behind the number: the end, or which writes count. */
static bool read_filter(const char *text) {
    unsigned long wanted = 0;
    unsigned long least = 0;
    if (strcmp(text, "\n") == 0) {
        return true;
    }
    text = read_number(text, " port ", &wanted);
    text = read_number(text, " bytes ", &least);
    if (text == NULL || strcmp(text, "\n") != 0) {
        return false;
    }
    atomic_store(&least_bytes, least);
    atomic_store(&port, wanted);
    return true;
}

/* Once: who comes second finds the mode set, or counts one later. */
static void arm(const char *path) {
    char text[64] = {0};
    const char *number = NULL;
    char *rest = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    long size = syscall(SYS_read, fd, text, sizeof text - 1);
    close(fd);
    enum mode next = size > 0 ? mode_of(text, &number) : WAITING;
    unsigned long at = next == WAITING ? 0 : strtoul(number, &rest, 10);
    if (next == WAITING || rest == number || !read_filter(rest)) {
        abort();
    }
    atomic_store(&limit, at);
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

static bool has_port(int (*name)(int, struct sockaddr *, socklen_t *), int fd, unsigned long want) {
    struct sockaddr_in address = {0};
    socklen_t size = sizeof address;
    return name(fd, (struct sockaddr *)&address, &size) == 0 && address.sin_family == AF_INET &&
           ntohs(address.sin_port) == want;
}

static bool counts(int fd, size_t size) {
    unsigned long want = atomic_load(&port);
    return size >= atomic_load(&least_bytes) &&
           (want == 0 || has_port(getsockname, fd, want) || has_port(getpeername, fd, want));
}

static void die(void) {
    kill(getpid(), SIGKILL);
    _exit(99); /* not reached */
}

/* Number of this write, 0 = not counted; ends the process where that is the point. */
static unsigned long begin(int fd, size_t size) {
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
    bool is_counted = now != WAITING && counts(fd, size);
    unsigned long number = is_counted ? atomic_fetch_add(&count, 1) + 1 : 0;
    if (number != 0 && now == COUNT) {
        tell(path, number);
    } else if (number != 0 && now == BEFORE && number == atomic_load(&limit)) {
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

static size_t size_of(const struct iovec *parts, size_t part_count) {
    size_t size = 0;
    for (size_t i = 0; i < part_count; i++) {
        size += parts[i].iov_len;
    }
    return size;
}

/* The C library's, which the program then never calls. */
ssize_t write(int fd, const void *data, size_t size) {
    unsigned long number = begin(fd, size);
    return end(number, syscall(SYS_write, fd, data, size));
}

ssize_t writev(int fd, const struct iovec *parts, int part_count) {
    unsigned long number = begin(fd, size_of(parts, part_count > 0 ? (size_t)part_count : 0));
    return end(number, syscall(SYS_writev, fd, parts, part_count));
}

ssize_t send(int fd, const void *data, size_t size, int flags) {
    unsigned long number = begin(fd, size);
    return end(number, syscall(SYS_sendto, fd, data, size, flags, NULL, 0L));
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    unsigned long number = begin(fd, size_of(message->msg_iov, message->msg_iovlen));
    return end(number, syscall(SYS_sendmsg, fd, message, flags));
}
