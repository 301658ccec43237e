/* contrast diff from the outside. SPDX-License-Identifier: Apache-2.0 */
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

#include "lib/base/file.h"

static const char *program;

struct fixture {
    char dir[64];
    struct buf out; /* standard output and errors of the last command */
    int status;
};

static void run(struct fixture *f, const char *arguments) {
    char command[1024];
    (void)snprintf(command, sizeof command, "cd %s && '%s' diff %s", f->dir, program, arguments);
    FILE *pipe = popen(command, "r"); /* NOLINT(cert-env33-c) */
    assert_non_null(pipe);
    buf_clear(&f->out);
    char chunk[4096];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, pipe)) > 0;) {
        buf_append(&f->out, chunk, n);
    }
    f->status = WEXITSTATUS(pclose(pipe));
}

static void put(const struct fixture *f, const char *name, const char *text) {
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", f->dir, name);
    assert_true(is_ok(file_write(path, span_str(text), 0644, NULL)));
}

#define H16 "1111111111111111"
#define MANIFEST(san, space)                                                                       \
    "{\"Policies\":{\"" H16 H16 H16 H16 "\":{\"SANs\":[\"" san                                     \
    "\"],\"Role\":\"coordinator\"}}," space "\"ReferenceValues\":{\"snp\":[{\"ProductName\":"      \
    "\"Genoa\",\"TrustedMeasurement\":\"" H16 H16 H16 H16 H16 H16 "\",\"MinimumTCB\":"             \
    "{\"BootloaderVersion\":4,\"TEEVersion\":0,\"SNPVersion\":24,\"MicrocodeVersion\":219},"       \
    "\"GuestPolicy\":{}}]}}"

static int setup(void **state) {
    static struct fixture f;
    f = (struct fixture){.dir = "/tmp/contrast-diff-XXXXXX"};
    assert_non_null(mkdtemp(f.dir));
    put(&f, "a.json", MANIFEST("c", ""));
    put(&f, "b.json", MANIFEST("d", ""));
    put(&f, "c.json", MANIFEST("c", "\n"));
    put(&f, "bad.json", "{\"Policies\":{}}");
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    static const char *const names[] = {"a.json", "b.json", "c.json", "bad.json"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", f->dir, names[i]);
        assert_int_equal(unlink(path), 0);
    }
    buf_deinit(&f->out);
    assert_int_equal(rmdir(f->dir), 0);
    return 0;
}

static void test_the_same_exits_0(void **state) {
    struct fixture *f = *state;
    run(f, "a.json a.json");
    assert_int_equal(f->status, 0);
    assert_string_equal(buf_cstr(&f->out), "no difference\n");
    run(f, "a.json c.json");
    assert_int_equal(f->status, 0);
    assert_non_null(strstr(buf_cstr(&f->out), "the bytes are others"));
}

static void test_a_full_disk_exits_1(void **state) {
    struct fixture *f = *state;
    run(f, "a.json a.json 2>&1 >/dev/full");
    assert_int_equal(f->status, 1);
    assert_non_null(strstr(buf_cstr(&f->out), "contrast diff: standard output: No space left"));
    run(f, "--output json a.json a.json 2>&1 >/dev/full");
    assert_int_equal(f->status, 1);
    run(f, "a.json b.json 2>&1 >/dev/full");
    assert_int_equal(f->status, 3);
}

static void test_differences_exit_3(void **state) {
    struct fixture *f = *state;
    run(f, "a.json b.json 2>/dev/null");
    assert_int_equal(f->status, 3);
    assert_string_equal(buf_cstr(&f->out), "d: +SAN d\nd: -SAN c\n");
    run(f, "--output json - b.json < a.json 2>/dev/null");
    assert_int_equal(f->status, 3);
    json_t *report = json_loadb((const char *)f->out.data, f->out.size, 0, NULL);
    const json_t *change = json_array_get(json_object_get(report, "changes"), 0);
    assert_true(json_is_false(json_object_get(report, "same")));
    assert_true(json_is_null(json_object_get(change, "before")));
    assert_string_equal(json_string_value(json_object_get(change, "after")), "d");
    assert_string_equal(json_string_value(json_object_get(change, "path")),
                        "Policies." H16 H16 H16 H16 ".SANs");
    json_decref(report);
}

static void test_mistakes_exit_2(void **state) {
    struct fixture *f = *state;
    run(f, "a.json 2>&1");
    assert_int_equal(f->status, 2);
    run(f, "a.json bad.json 2>&1");
    assert_int_equal(f->status, 2);
    assert_non_null(strstr(buf_cstr(&f->out), "bad.json: Policies: must be an object"));
    run(f, "none.json a.json 2>&1");
    assert_int_equal(f->status, 2);
    assert_non_null(strstr(buf_cstr(&f->out), "none.json"));
}

int main(int argc, char **argv) {
    if (argc != 2) {
        return 2;
    }
    program = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_same_exits_0, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_full_disk_exits_1, setup, teardown),
        cmocka_unit_test_setup_teardown(test_differences_exit_3, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mistakes_exit_2, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
