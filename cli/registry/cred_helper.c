/* Credential helpers: see cred_helper.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/registry/cred_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/registry/oci_json.h"
#include "lib/base/host.h"
#include "lib/base/limits.h"

#define PROGRAM_SIZE 128
/* What helpers print, and fail, when they know nothing of a server. */
#define NOTHING "credentials not found"
/* The user name that marks a secret as an identity token. */
#define TOKEN_USER "<token>"

extern char **environ;

struct child {
    pid_t pid;
    int link; /* its standard input and output */
};

void cred_deinit(struct cred *c) {
    buf_deinit(&c->user);
    buf_deinit(&c->password);
    buf_deinit(&c->identity);
    buf_deinit(&c->bearer);
}

bool cred_is_empty(const struct cred *c) {
    return c->user.size == 0 && c->identity.size == 0 && c->bearer.size == 0;
}

/* ---- the process ---- */

/* A name and not a path: PATH decides what runs. */
static bool is_name(const char *name) {
    size_t n = strlen(name);
    return n > 0 && n < PROGRAM_SIZE - 32 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

static int spawn(const char *program, int link, pid_t *pid) {
    char *arguments[] = {strdupa(program), strdupa("get"), NULL};
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0) {
        return ENOMEM;
    }
    int e = posix_spawn_file_actions_adddup2(&actions, link, STDIN_FILENO);
    e = e == 0 ? posix_spawn_file_actions_adddup2(&actions, link, STDOUT_FILENO) : e;
    e = e == 0 ? posix_spawnp(pid, program, &actions, NULL, arguments, environ) : e;
    posix_spawn_file_actions_destroy(&actions);
    return e;
}

/* One socket to both of its ends, so that it can be closed for writing alone. */
static RESULT start(const char *program, const char *server, struct child *out, struct err *err) {
    int ends[2];
    ENSURE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, err, IO, "%s: %s",
           program, strerror(errno));
    int e = spawn(program, ends[1], &out->pid);
    close(ends[1]);
    out->link = ends[0];
    if (e != 0) {
        close(ends[0]);
        return err_set(err, ERR_CONFIG,
                       "%s: %s; install it, or remove it from Docker's config.json", program,
                       strerror(e));
    }
    /* A server's name fits any socket buffer; a helper that does not read it fails by itself. */
    (void)send(ends[0], server, strlen(server), MSG_NOSIGNAL | MSG_DONTWAIT);
    shutdown(ends[0], SHUT_WR);
    return OK;
}

static RESULT read_answer(int from, uint64_t until_ms, const char *program, struct buf *out,
                          struct err *err) {
    for (;;) {
        uint64_t now = host_monotonic_ms(&host_system);
        struct pollfd p = {.fd = from, .events = POLLIN};
        int ready = now < until_ms ? poll(&p, 1, (int)(until_ms - now)) : 0;
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        ENSURE(ready != 0, err, TIMEOUT, "%s does not answer", program);
        uint8_t chunk[4096];
        ssize_t n = read(from, chunk, sizeof chunk);
        /* A helper that ends with input unread resets the link: that is its end. */
        ENSURE(n >= 0 || errno == EINTR || errno == ECONNRESET, err, IO, "%s: %s", program,
               strerror(errno));
        if (n == 0 || (n < 0 && errno == ECONNRESET)) {
            return OK;
        }
        buf_append(out, chunk, n > 0 ? (size_t)n : 0);
        explicit_bzero(chunk, sizeof chunk);
        ENSURE(out->size <= LIMIT_REGISTRY_TOKEN, err, CONFIG, "%s says more than %d bytes",
               program, LIMIT_REGISTRY_TOKEN);
    }
}

/* Ends what did not end by itself; true when it ended well. */
static bool reap(const struct child *c, bool is_done) {
    int status = 0;
    if (!is_done) {
        kill(c->pid, SIGKILL);
    }
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* A helper may close its output and go on: it is given the same deadline to end. */
static bool await_exit(pid_t pid, uint64_t until_ms) {
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0) {
            return true;
        }
        if (host_monotonic_ms(&host_system) >= until_ms) {
            return false;
        }
        (void)poll(NULL, 0, 5);
    }
}

/* ---- its answer ---- */

static RESULT read_cred(const json_t *root, struct cred *out, struct err *err) {
    const char *user = NULL;
    const char *secret = NULL;
    TRY(oci_json_text(root, "Username", &user, err));
    TRY(oci_json_text(root, "Secret", &secret, err));
    ENSURE(user != NULL && secret != NULL, err, CONFIG, "no Username or no Secret in it");
    if (strcmp(user, TOKEN_USER) == 0) {
        buf_append_str(&out->identity, secret);
        return OK;
    }
    ENSURE(strchr(user, ':') == NULL, err, CONFIG, "a user name cannot have a colon");
    buf_append_str(&out->user, user);
    buf_append_str(&out->password, secret);
    return OK;
}

struct result cred_helper_parse(struct span answer, struct cred *out, struct err *err) {
    AUTO(oci_json_free)
    json_t *root = NULL;
    struct err why = {0};
    struct result r = oci_json_parse(answer, LIMIT_REGISTRY_TOKEN, "credential", &root, &why);
    if (is_ok(r)) {
        r = read_cred(root, out, &why);
    }
    ENSURE(is_ok(r), err, CONFIG, "%s", why.text);
    return OK;
}

static RESULT judge(const char *program, bool is_good, struct buf *answer, struct cred *out,
                    struct err *err) {
    if (!is_good) {
        while (answer->size > 0 && answer->data[answer->size - 1] <= ' ') {
            answer->size--;
        }
        const char *text = buf_cstr(answer);
        if (strstr(text, NOTHING) != NULL) {
            return OK;
        }
        return err_set(err, ERR_CONFIG, "%s failed: '%.200s'", program, text);
    }
    return err_wrap(cred_helper_parse(buf_span(answer), out, err), err, "%s", program);
}

struct result cred_helper_get(const char *name, const char *server, uint64_t timeout_ms,
                              struct cred *out, struct err *err) {
    AUTO(buf_deinit)
    struct buf answer = {0};
    struct child child = {.pid = -1, .link = -1};
    char program[PROGRAM_SIZE];
    ENSURE(is_name(name), err, CONFIG,
           "Docker's config.json names the credential helper '%.60s', which is no program's name",
           name);
    snprintf(program, sizeof program, "docker-credential-%s", name);
    uint64_t until =
        host_monotonic_ms(&host_system) + (timeout_ms > 0 ? timeout_ms : LIMIT_REGISTRY_HELPER_MS);
    TRY(start(program, server, &child, err));
    struct result r = read_answer(child.link, until, program, &answer, err);
    bool is_done = is_ok(r) && await_exit(child.pid, until);
    if (is_ok(r) && !is_done) {
        r = err_set(err, ERR_TIMEOUT, "%s does not end", program);
    }
    bool is_good = reap(&child, is_done);
    close(child.link);
    TRY(r);
    return judge(program, is_good, &answer, out, err);
}
