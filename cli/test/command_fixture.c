/* Command fixture: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/test/command_fixture.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "lib/base/file.h"
#include "lib/yaml/yaml.h"

#define LINE_SIZE 4096
#define FILE_MAX (16 * 1024 * 1024)

void command_fixture_init(struct command_fixture *f) {
    *f = (struct command_fixture){.dir = "/tmp/contrast-command-XXXXXX"};
    assert_non_null(mkdtemp(f->dir));
}

static int delete_one(const char *path, const struct stat *s, int kind, struct FTW *ftw) {
    (void)s;
    (void)kind;
    (void)ftw;
    return remove(path);
}

void command_fixture_deinit(struct command_fixture *f) {
    assert_int_equal(nftw(f->dir, delete_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    buf_deinit(&f->out);
}

static void run(struct command_fixture *f, const char *line) {
    char command[LINE_SIZE + 128];
    (void)snprintf(command, sizeof command, "cd %s && %s", f->dir, line);
    FILE *pipe = popen(command, "r"); /* NOLINT(cert-env33-c) */
    assert_non_null(pipe);
    buf_clear(&f->out);
    char chunk[4096];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, pipe)) > 0;) {
        buf_append(&f->out, chunk, n);
    }
    f->status = WEXITSTATUS(pclose(pipe));
}

size_t command_fixture_count(struct command_fixture *f, const char *text) {
    size_t n = 0;
    for (const char *p = buf_cstr(&f->out); (p = strstr(p, text)) != NULL; p++) {
        n++;
    }
    return n;
}

void command_fixture_run(struct command_fixture *f, const char *line, ...) {
    char text[LINE_SIZE];
    va_list args;
    va_start(args, line);
    int size = vsnprintf(text, sizeof text, line, args);
    va_end(args);
    assert_in_range(size, 1, LINE_SIZE - 1);
    run(f, text);
}

void command_fixture_expect(struct command_fixture *f, const char *line, int status,
                            const char *text) {
    run(f, line);
    if (f->status != status || strstr(buf_cstr(&f->out), text) == NULL) {
        fail_msg("%s\nexit %d, want %d and \"%s\" in\n%s", line, f->status, status, text,
                 buf_cstr(&f->out));
    }
}

static void name_path(const struct command_fixture *f, const char *name, char *path, size_t size) {
    (void)snprintf(path, size, "%s%s%s", name[0] == '/' ? "" : f->dir, name[0] == '/' ? "" : "/",
                   name);
}

void command_fixture_put(const struct command_fixture *f, const char *name, const char *text) {
    char path[512];
    name_path(f, name, path, sizeof path);
    assert_true(is_ok(file_write(path, span_str(text), 0644, NULL)));
}

struct buf command_fixture_get(const struct command_fixture *f, const char *name) {
    char path[512];
    struct buf bytes = {0};
    name_path(f, name, path, sizeof path);
    assert_true(is_ok(file_read(path, FILE_MAX, &bytes, NULL)));
    return bytes;
}

void command_fixture_expect_documents(struct command_fixture *f, size_t count) {
    AUTO(yaml_file_deinit)
    struct yaml_file file = {0};
    struct err err;
    if (!is_ok(yaml_parse("(output)", buf_span(&f->out), &file, &err))) {
        fail_msg("%s\n%s", err.text, buf_cstr(&f->out));
    }
    assert_int_equal(file.count, count);
    for (size_t i = 0; i < file.count; i++) {
        assert_non_null(yaml_key(file.documents[i].root, "kind"));
    }
}
