/* The program itself: contrast layer hash from the outside.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/layer/test/tar_make.h"
#include "lib/base/file.h"

#define ZEROS "8568c70c0ccfe0051092e818da769111a59882cd19dd799d3bca5ffa82791080"
#define TEXT_MAX 65536

static const char *program;

struct fixture {
    char dir[64];
    struct buf out; /* of the last command */
    struct buf errors;
    int status;
};

static void read_all(const char *path, struct buf *out) {
    buf_clear(out);
    assert_true(is_ok(file_read(path, TEXT_MAX, out, NULL)));
}

/* Runs `contrast layer hash ARGUMENTS` in the fixture's folder, through a shell. */
static void run(struct fixture *f, const char *arguments) {
    char command[1024], path[128];
    (void)snprintf(command, sizeof command, "cd %s && '%s' layer hash %s >stdout 2>stderr", f->dir,
                   program, arguments);
    f->status = WEXITSTATUS(system(command)); /* NOLINT(cert-env33-c) */
    (void)snprintf(path, sizeof path, "%s/stdout", f->dir);
    read_all(path, &f->out);
    (void)snprintf(path, sizeof path, "%s/stderr", f->dir);
    read_all(path, &f->errors);
}

static void put(const struct fixture *f, const char *name, struct span bytes) {
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", f->dir, name);
    assert_true(is_ok(file_write(path, bytes, 0644, NULL)));
}

static void add_long_link(struct buf *tar, const char *name) {
    char target[102] = {0}, link[101] = {0};
    memset(target, 'x', 101);
    memset(link, 'x', 100);
    tar_make_entry(tar, (struct tar_make){.name = "././@LongLink", .type = 'K'},
                   span_of(target, sizeof target));
    tar_make_header(tar, (struct tar_make){.name = name, .type = '2', .link = link});
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    AUTO(buf_deinit)
    struct buf tar = {0};
    assert_non_null(f);
    strcpy(f->dir, "/tmp/contrast-layer-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    memset(buf_extend(&tar, 10240), 0, 10240);
    put(f, "zeros.tar", buf_span(&tar));
    put(f, "half.tar", span_of("half a header", 13));
    buf_clear(&tar);
    add_long_link(&tar, "b");
    add_long_link(&tar, "a");
    put(f, "links.tar", buf_span(&tar));
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    static const char *const names[] = {"zeros.tar", "half.tar", "links.tar", "stdout", "stderr"};
    struct fixture *f = *state;
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", f->dir, names[i]);
        unlink(path);
    }
    rmdir(f->dir);
    buf_deinit(&f->out);
    buf_deinit(&f->errors);
    free(f);
    return 0;
}

static void expect_failure(struct fixture *f, const char *arguments, int status, const char *part) {
    run(f, arguments);
    assert_int_equal(f->status, status);
    if (strstr(buf_cstr(&f->errors), part) == NULL) {
        fail_msg("'%s' does not say '%s'", buf_cstr(&f->errors), part);
    }
}

static void test_text(void **state) {
    struct fixture *f = *state;
    run(f, "zeros.tar");
    assert_int_equal(f->status, 0);
    assert_string_equal(buf_cstr(&f->out), ZEROS "\n");
    assert_int_equal(f->errors.size, 0);
    run(f, "- <zeros.tar");
    assert_string_equal(buf_cstr(&f->out), ZEROS "\n");
}

static json_t *run_json(struct fixture *f, const char *arguments) {
    run(f, arguments);
    assert_int_equal(f->status, 0);
    json_t *document = json_loadb((const char *)f->out.data, f->out.size, 0, NULL);
    assert_non_null(document);
    return document;
}

static void test_json(void **state) {
    json_t *d = run_json(*state, "--output json zeros.tar");
    assert_string_equal(json_string_value(json_object_get(d, "root_hash")), ZEROS);
    assert_int_equal(json_integer_value(json_object_get(d, "size")), 16384);
    assert_int_equal(json_integer_value(json_object_get(d, "inodes")), 1);
    assert_int_equal(json_array_size(json_object_get(d, "warnings")), 0);
    assert_string_equal(json_string_value(json_object_get(d, "diff_id")),
                        "84ff92691f909a05b224e1c56abb4864f01b4f8e3c854e4bb4c7baf1d3f6d652");
    json_decref(d);
}

/* Each dialect names the other's hash in its warning. */
static void test_dialects(void **state) {
    struct fixture *f = *state;
    json_t *up = run_json(f, "--output json links.tar");
    json_t *ms = run_json(f, "--output json --dialect msft links.tar");
    const char *roots[] = {json_string_value(json_object_get(up, "root_hash")),
                           json_string_value(json_object_get(ms, "root_hash"))};
    assert_string_not_equal(roots[0], roots[1]);
    const json_t *said = json_object_get(up, "warnings");
    assert_int_equal(json_array_size(said), 4); /* two links, the difference, the fault */
    assert_non_null(strstr(json_string_value(json_array_get(said, 2)), roots[1]));
    said = json_object_get(ms, "warnings");
    assert_int_equal(json_array_size(said), 2);
    assert_non_null(strstr(json_string_value(json_array_get(said, 0)), roots[0]));
    assert_non_null(strstr(buf_cstr(&f->errors), "the dialects differ"));
    json_decref(up);
    json_decref(ms);
}

static void test_failures(void **state) {
    struct fixture *f = *state;
    expect_failure(f, "", 2, "name one layer file");
    expect_failure(f, "zeros.tar half.tar", 2, "name one layer file");
    expect_failure(f, "--dialect aks zeros.tar", 2, "'aks' is neither upstream nor msft");
    expect_failure(f, "none.tar", 2, "none.tar: no such file");
    expect_failure(f, ".", 2, "Is a directory");
    expect_failure(f, "half.tar", 1, "half.tar: tar: it ends at byte 13");
    expect_failure(f, "--output json half.tar", 1, "truncated");
    assert_non_null(strstr(buf_cstr(&f->out), "\"code\": \"MALFORMED\""));
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_json, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_dialects, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failures, set_up, tear_down),
    };
    if (argc != 2) {
        return 2;
    }
    program = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
