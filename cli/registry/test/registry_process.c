/* The registry of the tests: see registry_process.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/registry/test/registry_process.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/registry/registry_http.h"

#define SERVER "cli/registry/test/registry_server.py"

static void make_tls(const struct registry_process *p) {
    char command[512];
    snprintf(
        command, sizeof command,
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
        "-subj /CN=test -addext subjectAltName=IP:127.0.0.1 -keyout %s/tls.key -out %s/tls.pem "
        "2>/dev/null",
        p->folder, p->folder);
    CHECK(system(command) == 0); // NOLINT(cert-env33-c): a fixed command of a test
}

_Noreturn static void become_server(const struct registry_process *p, int in, int out) {
    char cert[96];
    char key[96];
    snprintf(cert, sizeof cert, "%s/tls.pem", p->folder);
    snprintf(key, sizeof key, "%s/tls.key", p->folder);
    CHECK(dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0);
    execlp("python3", "python3", "-B", SERVER, cert, key, NULL);
    _exit(127);
}

static void read_ports(struct registry_process *p, int from) {
    FILE *f = fdopen(from, "r");
    char line[64] = "";
    CHECK(f != NULL && fgets(line, sizeof line, f) != NULL);
    char *rest = line;
    p->port = (int)strtol(line, &rest, 10);
    (void)strtol(rest, &rest, 10);
    p->tls_port = (int)strtol(rest, NULL, 10);
    CHECK(p->port > 0 && p->tls_port > 0);
    snprintf(p->host, sizeof p->host, "127.0.0.1:%d", p->port);
    (void)fclose(f);
}

void registry_process_start(struct registry_process *p) {
    int input[2];
    int output[2];
    *p = (struct registry_process){.folder = "/tmp/contrast-registry-XXXXXX"};
    CHECK(mkdtemp(p->folder) != NULL);
    make_tls(p);
    setenv("no_proxy", "127.0.0.1", 1);
    CHECK(pipe2(input, O_CLOEXEC) == 0 && pipe2(output, O_CLOEXEC) == 0);
    p->pid = fork();
    CHECK(p->pid >= 0);
    if (p->pid == 0) {
        become_server(p, input[0], output[1]);
    }
    close(input[0]);
    close(output[1]);
    p->input = input[1];
    read_ports(p, output[0]);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where) {
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

void registry_process_stop(struct registry_process *p) {
    int status = 0;
    close(p->input);
    CHECK(waitpid(p->pid, &status, 0) == p->pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(nftw(p->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

struct image_ref registry_process_ref(const struct registry_process *p, const char *mode) {
    char text[256];
    struct image_ref ref = {0};
    snprintf(text, sizeof text, "%s/%s/app:1", p->host, mode);
    CHECK(is_ok(image_ref_parse(span_str(text), &ref, NULL)));
    return ref;
}

struct buf registry_process_get(const struct registry_process *p, const char *path) {
    const struct registry_http_config config = {0};
    struct registry_http *http = NULL;
    struct registry_http_answer answer = {0};
    char url[256];
    snprintf(url, sizeof url, "http://%s/%s", p->host, path);
    const struct registry_http_request request = {.url = url, .limit = 4096};
    CHECK(is_ok(registry_http_open(&config, &http, NULL)));
    CHECK(is_ok(registry_http_do(http, &request, &answer, NULL)) && answer.status == 200);
    registry_http_close(http);
    struct buf body = answer.body;
    answer.body = (struct buf){0};
    registry_http_answer_deinit(&answer);
    return body;
}

unsigned registry_process_count(const struct registry_process *p, const char *kind,
                                const char *mode) {
    char path[128];
    snprintf(path, sizeof path, "count/%s/%s", kind, mode);
    AUTO(buf_deinit)
    struct buf text = registry_process_get(p, path);
    return (unsigned)strtoul(buf_cstr(&text), NULL, 10);
}
