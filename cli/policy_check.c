/* The judge: found, started, asked, ended.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy_check.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/host.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

#define JUDGE "contrast-policy-judge"

extern char **environ;

/* --- Policy */

RESULT policy_check_partial(struct span rego, struct buf *out, struct err *err) {
    static const char mark[] = "\npolicy_data := {";
    const uint8_t *at = rego.size > 0 ? memmem(rego.data, rego.size, mark, sizeof mark - 1) : NULL;
    ENSURE(at != NULL, err, INVALID,
           "--partial: the policy has no policy_data, so it is none of contrast generate");
    size_t head = (size_t)(at - rego.data) + sizeof mark - 1;
    struct span rest = span_of(rego.data + head, rego.size - head);
    buf_append(out, rego.data, head);
    if (memmem(rest.data, rest.size, "\n \"partial\":", 12) == NULL) {
        buf_append_str(out, "\n \"partial\": true,");
    }
    buf_append_span(out, rest);
    return OK;
}

/* --- The judge's process */

struct judge {
    pid_t pid;
    int link; /* its standard input and output */
};

/* The path or name to start, in `out`. */
static void find_judge(char out[PATH_MAX]) {
    const char *wanted = getenv("CONTRAST_POLICY_JUDGE");
    if (wanted != NULL && wanted[0] != '\0') {
        (void)snprintf(out, PATH_MAX, "%s", wanted);
        return;
    }
    char own[PATH_MAX - sizeof JUDGE];
    ssize_t size = readlink("/proc/self/exe", own, sizeof own - 1);
    own[size > 0 ? size : 0] = '\0';
    char *slash = strrchr(own, '/');
    if (slash != NULL) {
        slash[1] = '\0';
        (void)snprintf(out, PATH_MAX, "%s%s", own, JUDGE);
        if (access(out, X_OK) == 0) {
            return;
        }
    }
    (void)snprintf(out, PATH_MAX, "%s", JUDGE);
}

static int spawn(const char *path, int link, pid_t *pid) {
    char *arguments[] = {strdupa(path), strdupa("--explain"), strdupa("-"), NULL};
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0) {
        return ENOMEM;
    }
    int e = posix_spawn_file_actions_adddup2(&actions, link, STDIN_FILENO);
    e = e == 0 ? posix_spawn_file_actions_adddup2(&actions, link, STDOUT_FILENO) : e;
    e = e == 0 ? posix_spawnp(pid, path, &actions, NULL, arguments, environ) : e;
    posix_spawn_file_actions_destroy(&actions);
    return e;
}

static RESULT start(struct judge *j, struct err *err) {
    char path[PATH_MAX];
    int ends[2];
    find_judge(path);
    ENSURE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, err, IO, "%s: %s", path,
           strerror(errno));
    int e = spawn(path, ends[1], &j->pid);
    close(ends[1]);
    if (e != 0) {
        close(ends[0]);
        return err_set(err, ERR_UNAVAILABLE,
                       "%s: %s. It judges with the agent's engine, which is written in Rust: "
                       "install cargo (https://rustup.rs) and build again, or name the program in "
                       "CONTRAST_POLICY_JUDGE",
                       path, strerror(e));
    }
    j->link = ends[0];
    return OK;
}

/* The judge reads everything before it answers, so writing first cannot block for ever. */
static RESULT tell(const struct judge *j, struct span text, struct err *err) {
    while (text.size > 0) {
        ssize_t n = send(j->link, text.data, text.size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        ENSURE(n > 0, err, UNAVAILABLE, JUDGE ": ended early: %s", strerror(errno));
        text = span_of(text.data + n, text.size - (size_t)n);
    }
    shutdown(j->link, SHUT_WR);
    return OK;
}

static RESULT hear(const struct judge *j, struct buf *out, struct err *err) {
    uint64_t until = host_monotonic_ms(&host_system) + LIMIT_POLICY_JUDGE_MS;
    for (;;) {
        uint64_t now = host_monotonic_ms(&host_system);
        struct pollfd p = {.fd = j->link, .events = POLLIN};
        int ready = now < until ? poll(&p, 1, (int)(until - now)) : 0;
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        ENSURE(ready != 0, err, TIMEOUT, JUDGE ": no answer in %d s; is the policy nested deeply?",
               LIMIT_POLICY_JUDGE_MS / 1000);
        uint8_t chunk[16384];
        ssize_t n = read(j->link, chunk, sizeof chunk);
        ENSURE(n >= 0 || errno == EINTR, err, IO, JUDGE ": %s", strerror(errno));
        if (n == 0) {
            return OK;
        }
        buf_append(out, chunk, n > 0 ? (size_t)n : 0);
        ENSURE(out->size <= LIMIT_POLICY_ANSWERS, err, TOO_LARGE, JUDGE ": more than %d bytes",
               LIMIT_POLICY_ANSWERS);
    }
}

/* Ends what did not end by itself; its exit code, or -1. */
static int end(const struct judge *j, bool is_done) {
    int status = 0;
    close(j->link);
    if (!is_done) {
        kill(j->pid, SIGKILL);
    }
    while (waitpid(j->pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static RESULT run(struct span question, struct buf *answers, struct err *err) {
    struct judge j;
    TRY(start(&j, err));
    struct result r = tell(&j, question, err);
    if (is_ok(r)) {
        r = hear(&j, answers, err);
    }
    int code = end(&j, is_ok(r));
    ENSURE(code <= 0, err, INVALID,
           JUDGE " refuses the policy; its message stands above. Agents would refuse it, too");
    TRY(r);
    ENSURE(code == 0, err, UNAVAILABLE, JUDGE ": killed by a signal");
    return OK;
}

/* --- Answers */

static RESULT add_answer(const json_t *c, struct span line, json_t *report, struct err *err) {
    json_t *answer = json_loadb((const char *)line.data, line.size, JSON_REJECT_DUPLICATES, NULL);
    const json_t *allowed = json_object_get(answer, "allowed");
    if (!json_is_boolean(allowed)) {
        json_decref(answer);
        return err_set(err, ERR_UNAVAILABLE, JUDGE ": not its answer: %.*s",
                       (int)(line.size < 200 ? line.size : 200), (const char *)line.data);
    }
    const json_t *wanted = json_object_get(c, "allowed");
    const char *description = json_string_value(json_object_get(c, "description"));
    const json_t *why = json_object_get(answer, "why");
    const json_t *error = json_object_get(answer, "error");
    const char *reason = json_string_value(why != NULL ? why : error);
    json_t *entry =
        json_pack("{s:s, s:s, s:b, s:b}", "description", description != NULL ? description : "",
                  "kind", json_string_value(json_object_get(c, "kind")), "allowed",
                  json_is_true(allowed), "expected", wanted == NULL || json_is_true(wanted));
    if (reason != NULL) {
        json_object_set_new(entry, "why", json_string(reason));
    }
    json_array_append_new(report, entry);
    json_decref(answer);
    return OK;
}

static RESULT collect(const json_t *cases, struct span answers, json_t *report, struct err *err) {
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const uint8_t *end_of_line =
            answers.size > 0 ? memchr(answers.data, '\n', answers.size) : NULL;
        ENSURE(end_of_line != NULL, err, UNAVAILABLE, JUDGE ": %zu answers for %zu cases", i,
               json_array_size(cases));
        size_t size = (size_t)(end_of_line - answers.data);
        TRY(add_answer(json_array_get(cases, i), span_of(answers.data, size), report, err));
        answers = span_of(answers.data + size + 1, answers.size - size - 1);
    }
    return OK;
}

static json_t *count(json_t *report) {
    json_int_t failed = 0;
    for (size_t i = 0; i < json_array_size(report); i++) {
        const json_t *c = json_array_get(report, i);
        failed += json_equal(json_object_get(c, "allowed"), json_object_get(c, "expected")) ? 0 : 1;
    }
    return json_pack("{s:o, s:I, s:I}", "cases", report, "passed",
                     (json_int_t)json_array_size(report) - failed, "failed", failed);
}

RESULT policy_check_ask(struct span rego, const json_t *cases, json_t **out, struct err *err) {
    json_t *question = json_pack("{s:s%, s:O}", "policy", rego.data, rego.size, "cases", cases);
    ENSURE(question != NULL, err, INVALID, "the policy is no text in UTF-8");
    char *text = json_dumps(question, JSON_COMPACT);
    json_decref(question);
    CHECK(text != NULL);
    AUTO(buf_deinit)
    struct buf answers = {0};
    struct result r = run(span_str(text), &answers, err);
    free(text);
    TRY(r);
    json_t *report = json_array();
    r = collect(cases, buf_span(&answers), report, err);
    if (!is_ok(r)) {
        json_decref(report);
        return r;
    }
    *out = count(report);
    return OK;
}
