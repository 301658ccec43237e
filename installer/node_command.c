/* Programs of the host: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/node_command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/host.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

#define ARGS_MAX 64
#define POLL_MS 1000   /* of one poll(2): a signal may come just before it */
#define DRAIN_READS 32 /* of what a program left in its pipes: more than a pipe holds */
#define ERROR_TAIL 400 /* bytes of standard error that are told */

extern char **environ;

struct child {
    pid_t pid;
    int ended;    /* pidfd: readable when the process is over, whoever still holds its pipes */
    int pipes[2]; /* standard output and error, not blocking; -1: at its end */
    struct buf out;
    struct buf error;
    bool is_too_long;
    const struct node_stream *stream; /* NULL: what it prints goes to `out` */
    struct err failure;               /* of the stream; code OK: none */
};

/* --- Start */

static RESULT open_pipes(int ends[4], struct err *err) {
    for (int i = 0; i < 4; i++) {
        ends[i] = -1;
    }
    if (pipe2(ends, O_CLOEXEC) != 0 || pipe2(ends + 2, O_CLOEXEC) != 0 ||
        fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0 || fcntl(ends[2], F_SETFL, O_NONBLOCK) != 0) {
        int saved = errno;
        for (int i = 0; i < 4; i++) {
            if (ends[i] >= 0) {
                (void)close(ends[i]);
            }
        }
        return err_set(err, ERR_IO, "pipe: %s", strerror(saved));
    }
    return OK;
}

static int spawn(char *const argv[], const int ends[4], pid_t *pid) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t defaults;
    (void)sigemptyset(&none);
    (void)sigemptyset(&defaults);
    (void)sigaddset(&defaults, SIGPIPE);
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    (void)posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    (void)posix_spawn_file_actions_adddup2(&actions, ends[3], STDERR_FILENO);
    (void)posix_spawnattr_setpgroup(&attributes, 0);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setsigdefault(&attributes, &defaults);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                    POSIX_SPAWN_SETSIGDEF);
    int status =
        argv[0] == NULL ? EINVAL : posix_spawnp(pid, argv[0], &actions, &attributes, argv, environ);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    return status;
}

static void finish(struct child *c, int *status) {
    while (waitpid(c->pid, status, 0) < 0 && errno == EINTR) {
    }
    if (c->ended >= 0) {
        (void)close(c->ended);
    }
    for (int i = 0; i < 2; i++) {
        if (c->pipes[i] >= 0) {
            (void)close(c->pipes[i]);
        }
    }
}

static RESULT start(char *const argv[], struct child *out, struct err *err) {
    CHECK(argv[0] != NULL);
    int ends[4];
    TRY(open_pipes(ends, err));
    int status = spawn(argv, ends, &out->pid);
    (void)close(ends[1]);
    (void)close(ends[3]);
    if (status != 0) {
        (void)close(ends[0]);
        (void)close(ends[2]);
        return err_set(err, ERR_UNAVAILABLE, "%s: %s", argv[0], strerror(status));
    }
    out->pipes[0] = ends[0];
    out->pipes[1] = ends[2];
    out->ended = pidfd_open(out->pid, 0);
    if (out->ended < 0) {
        int saved = errno;
        (void)kill(-out->pid, SIGKILL);
        finish(out, &status);
        return err_set(err, ERR_IO, "pidfd_open: %s", strerror(saved));
    }
    return OK;
}

/* --- Output */

/* Keeps the end of it. */
static void keep_error(struct buf *text, struct span more) {
    if (text->size + more.size > LIMIT_NODE_OUTPUT) {
        buf_consume(text, text->size / 2);
    }
    buf_append_span(text, more);
}

/* One read; false when nothing is there now. */
static bool take(struct child *c, int which) {
    uint8_t chunk[65536];
    ssize_t n = read(c->pipes[which], chunk, sizeof chunk);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (n <= 0) {
        (void)close(c->pipes[which]);
        c->pipes[which] = -1;
        return false;
    }
    struct span bytes = span_of(chunk, (size_t)n);
    if (which == 1) {
        keep_error(&c->error, bytes);
    } else if (c->stream != NULL) {
        err_ignore(c->stream->feed(c->stream->data, bytes, &c->failure), "kept in c->failure");
    } else if (c->out.size + bytes.size <= LIMIT_NODE_OUTPUT) {
        buf_append_span(&c->out, bytes);
    } else {
        c->is_too_long = true;
    }
    return true;
}

/* What a process that ended had written: a daemon that it started may hold the pipes for ever. */
static void drain(struct child *c) {
    for (int which = 0; which < 2; which++) {
        for (int i = 0; i < DRAIN_READS && c->pipes[which] >= 0 && c->failure.code == ERR_OK; i++) {
            if (!take(c, which)) {
                break;
            }
        }
    }
}

static bool is_stopped(const struct child *c) {
    return c->stream != NULL &&
           (c->failure.code != ERR_OK || (c->stream->stop != NULL && *c->stream->stop != 0));
}

/* Until the process ends; false when the time is over, or nobody wants more. */
static bool listen_to(struct child *c, uint64_t end_ms) {
    for (;;) {
        uint64_t now = host_monotonic_ms(&host_system);
        if (now >= end_ms || is_stopped(c)) {
            return false;
        }
        struct pollfd fds[3] = {
            {c->pipes[0], POLLIN, 0}, {c->pipes[1], POLLIN, 0}, {c->ended, POLLIN, 0}};
        int wait_ms = end_ms - now < POLL_MS ? (int)(end_ms - now) : POLL_MS;
        if (poll(fds, 3, wait_ms) < 0) {
            if (errno != EINTR) {
                return false;
            }
            continue;
        }
        if (fds[2].revents != 0) {
            drain(c);
            return !is_stopped(c);
        }
        for (int i = 0; i < 2; i++) {
            if (c->pipes[i] >= 0 && fds[i].revents != 0) {
                (void)take(c, i);
            }
        }
    }
}

/* The last line that is not empty. */
static const char *last_line(struct buf *text) {
    while (text->size > 0 && strchr(" \r\n\t", text->data[text->size - 1]) != NULL) {
        text->size--;
    }
    const char *all = buf_cstr(text);
    const char *line = strrchr(all, '\n');
    line = line != NULL ? line + 1 : all;
    size_t size = strlen(line);
    return size > ERROR_TAIL ? line + size - ERROR_TAIL : line;
}

static RESULT judge(struct child *c, const char *name, int status, struct err *err) {
    ENSURE(!c->is_too_long, err, TOO_LARGE, "%s: prints more than %d bytes", name,
           LIMIT_NODE_OUTPUT);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return OK;
    }
    const char *line = last_line(&c->error);
    return err_set(err, ERR_UNAVAILABLE, "%s: %s %d%s%s", name,
                   WIFEXITED(status) ? "exit code" : "ended by signal",
                   WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status),
                   line[0] != '\0' ? ": " : "", line);
}

static RESULT run(char *const argv[], const char *name, unsigned timeout_ms, struct buf *output,
                  struct err *err) {
    struct child child = {0};
    TRY(start(argv, &child, err));
    bool is_over = !listen_to(&child, host_monotonic_ms(&host_system) + timeout_ms);
    if (is_over) {
        (void)kill(-child.pid, SIGKILL);
    }
    int status = 0;
    finish(&child, &status);
    struct result r =
        is_over ? err_set(err, ERR_TIMEOUT, "%s: still runs after %u ms, ended", name, timeout_ms)
                : judge(&child, name, status, err);
    if (is_ok(r) && output != NULL) {
        buf_append_span(output, buf_span(&child.out));
    }
    buf_deinit(&child.out);
    buf_deinit(&child.error);
    return r;
}

RESULT node_command_stream(const char *const argv[], const struct node_stream *stream,
                           struct buf *told, struct err *err) {
    char *copies[ARGS_MAX + 1] = {0};
    size_t count = 0;
    for (; count < ARGS_MAX && argv[count] != NULL; count++) {
        copies[count] = mem_strdup(argv[count]);
    }
    struct child child = {.stream = stream};
    struct result r = start(copies, &child, err);
    if (is_ok(r)) {
        bool is_over = !listen_to(&child, UINT64_MAX);
        if (is_over) {
            (void)kill(-child.pid, SIGKILL);
        }
        int status = 0;
        finish(&child, &status);
        if (child.failure.code != ERR_OK) {
            r = err_set(err, child.failure.code, "%s", child.failure.text);
        } else if (is_over) {
            r = err_set(err, ERR_CANCELED, "stopped by a signal");
        } else {
            r = judge(&child, argv[0], status, err);
            buf_append_str(told, is_ok(r) ? "" : last_line(&child.error));
        }
    }
    buf_deinit(&child.out);
    buf_deinit(&child.error);
    for (size_t i = 0; i < count; i++) {
        mem_free(copies[i]);
    }
    return r;
}

RESULT node_command_run(const char *prefix, const char *const argv[], unsigned timeout_ms,
                        struct buf *output, struct err *err) {
    char *words = mem_strdup(prefix);
    char *all[ARGS_MAX + 1] = {0};
    size_t count = 0;
    char *rest = NULL;
    char *word = strtok_r(words, " ", &rest);
    for (; word != NULL && count < ARGS_MAX / 2; word = strtok_r(NULL, " ", &rest)) {
        all[count++] = mem_strdup(word);
    }
    size_t given = 0;
    for (; argv[given] != NULL && count < ARGS_MAX; given++) {
        all[count++] = mem_strdup(argv[given]);
    }
    struct result r = word == NULL && argv[given] == NULL
                          ? run(all, argv[0], timeout_ms, output, err)
                          : err_set(err, ERR_INVALID, "%s: more than %d words", argv[0], ARGS_MAX);
    for (size_t i = 0; i < count; i++) {
        mem_free(all[i]);
    }
    mem_free(words);
    return r;
}

RESULT node_command_shell(const char *line, unsigned timeout_ms, struct buf *output,
                          struct err *err) {
    const char *const argv[] = {"/bin/sh", "-c", line, NULL};
    return node_command_run("", argv, timeout_ms, output, err);
}
