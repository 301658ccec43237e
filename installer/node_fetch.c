/* Fetching: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/node_fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "installer/node_command.h"
#include "lib/base/limits.h"

#define PROGRAM "contrast-node-fetch"
#define ATTEMPTS 4
#define PAUSE_MS 1000 /* before the second attempt; doubles */

static bool is_stopped(const volatile sig_atomic_t *stop) {
    return stop != NULL && *stop != 0;
}

/* --- file:// */

static RESULT copy_file(int fd, const char *path, const struct node_sink *sink,
                        const volatile sig_atomic_t *stop, struct err *err) {
    static const size_t chunk_size = 256 * 1024;
    AUTO(buf_deinit)
    struct buf chunk = {0};
    (void)buf_extend(&chunk, chunk_size);
    for (;;) {
        ENSURE(!is_stopped(stop), err, CANCELED, "%s: stopped", path);
        ssize_t n = read(fd, chunk.data, chunk_size);
        if (n == 0) {
            return OK;
        }
        if (n < 0 && errno == EINTR) {
            continue;
        }
        ENSURE(n > 0, err, IO, "%s: %s", path, strerror(errno));
        TRY(sink->feed(sink->data, span_of(chunk.data, (size_t)n), err));
    }
}

static RESULT fetch_file(const char *path, const struct node_sink *sink,
                         const volatile sig_atomic_t *stop, struct err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ENSURE(fd >= 0 || errno != ENOENT, err, NOT_FOUND,
           "%s: not in the installer's image; mount it there, or correct the url", path);
    ENSURE(fd >= 0, err, IO, "%s: %s", path, strerror(errno));
    struct stat st;
    struct result r;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        r = err_set(err, ERR_INVALID, "%s: no regular file", path);
    } else if (st.st_size > LIMIT_NODE_FILE) {
        r = err_set(err, ERR_TOO_LARGE, "%s: more than %" PRId64 " bytes", path,
                    (int64_t)LIMIT_NODE_FILE);
    } else {
        r = copy_file(fd, path, sink, stop, err);
    }
    (void)close(fd);
    return r;
}

/* --- The web */

/* Beside this program. */
static RESULT find_program(char out[PATH_MAX], struct err *err) {
    char self[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    ENSURE(size > 0, err, IO, "/proc/self/exe: %s", strerror(errno));
    self[size] = '\0';
    char *slash = strrchr(self, '/');
    *slash = '\0';
    int length = snprintf(out, PATH_MAX, "%s/" PROGRAM, self);
    ENSURE(length > 0 && length < PATH_MAX, err, IO, "%s: path too long", self);
    ENSURE(access(out, X_OK) == 0, err, CONFIG, "%s: %s; it belongs beside the installer", out,
           strerror(errno));
    return OK;
}

/* "CODE text" */
static RESULT fail_as_told(const char *line, struct err *err) {
    static const enum err_code codes[] = {ERR_UNAVAILABLE, ERR_NOT_FOUND, ERR_INVALID, ERR_TLS,
                                          ERR_TOO_LARGE,   ERR_IO,        ERR_INTERNAL};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        const char *name = err_name(codes[i]);
        size_t size = strlen(name);
        if (strncmp(line, name, size) == 0 && line[size] == ' ') {
            return err_set(err, codes[i], "%s", line + size + 1);
        }
    }
    return err_set(err, ERR_UNAVAILABLE, PROGRAM ": %s", line);
}

static RESULT attempt(const char *program, const char *url, const struct node_sink *sink,
                      const volatile sig_atomic_t *stop, struct err *err) {
    const char *const argv[] = {program, url, NULL};
    const struct node_stream stream = {sink->data, sink->feed, stop};
    AUTO(buf_deinit)
    struct buf told = {0};
    struct result r = node_command_stream(argv, &stream, &told, err);
    return is_ok(r) || told.size == 0 ? r : fail_as_told(buf_cstr(&told), err);
}

/* A pause that a signal ends. */
static void pause_ms(long ms) {
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&t, NULL);
}

static RESULT fetch_web(const char *url, const struct node_sink *sink,
                        const volatile sig_atomic_t *stop, struct err *err) {
    char program[PATH_MAX];
    TRY(find_program(program, err));
    struct result r = OK;
    for (int i = 0; i < ATTEMPTS; i++) {
        r = i > 0 ? sink->restart(sink->data, err) : OK;
        r = is_ok(r) ? attempt(program, url, sink, stop, err) : r;
        if (r.code != ERR_UNAVAILABLE || i == ATTEMPTS - 1 || is_stopped(stop)) {
            break;
        }
        pause_ms(PAUSE_MS << i);
    }
    return is_ok(r) ? r : err_wrap(r, err, "%s", url);
}

RESULT node_fetch(const char *url, const struct node_sink *sink, const volatile sig_atomic_t *stop,
                  struct err *err) {
    return strncmp(url, "file://", 7) == 0 ? fetch_file(url + 7, sink, stop, err)
                                           : fetch_web(url, sink, stop, err);
}
