/* Files of a run: what is read once, what is written together or not at all, and objects that stand
 * twice. Folders are made in the working folder and removed again.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/gen_files.h"
#include "cli/gen_objects.h"
#include "lib/base/file.h"
#include "lib/base/limits.h"

static struct fixture {
    char dir[64];
    int home; /* folder to go back to */
} f;

static int setup(void **state) {
    (void)state;
    f.home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    strcpy(f.dir, "/tmp/gen-files-XXXXXX");
    return f.home >= 0 && mkdtemp(f.dir) != NULL && chdir(f.dir) == 0 ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    char command[96];
    (void)snprintf(command, sizeof command, "rm -r %s", f.dir);
    int r = fchdir(f.home) == 0 ? system(command) : -1;
    close(f.home);
    return r;
}

static void put(const char *path, const char *text) {
    assert_true(is_ok(file_write(path, span_str(text), 0640, NULL)));
}

static void assert_file(const char *path, const char *want) {
    AUTO(buf_deinit)
    struct buf text = {0};
    assert_true(is_ok(file_read(path, LIMIT_YAML_FILE, &text, NULL)));
    assert_string_equal(buf_cstr(&text), want);
}

/* No temporary file is left behind. */
static void assert_only(const char *names) {
    char command[256];
    (void)snprintf(command, sizeof command, "test \"$(ls -A | tr '\\n' ' ')\" = '%s '", names);
    if (system(command) != 0) {
        fail_msg("want the files %s", names);
    }
}

static void read_path(struct gen_files *files, const char *path) {
    struct err err;
    if (!is_ok(gen_files_read(files, path, LIMIT_YAML_FILE, &err))) {
        fail_msg("%s", err.text);
    }
}

static void assert_failed(struct result r, const struct err *err, enum err_code code,
                          const char *want) {
    if (r.code != code || strstr(err->text, want) == NULL) {
        fail_msg("want '%s', got %s: '%s'", want, err_name(r.code), is_ok(r) ? "" : err->text);
    }
}

/* Every file gets the text "new". */
static void change(struct gen_files *files) {
    for (size_t i = 0; i < files->count; i++) {
        buf_append_str(&files->items[i].after, "new");
    }
}

/* --- Reading */

static void test_reads_each_file_once(void **state) {
    (void)state;
    AUTO(gen_files_deinit)
    struct gen_files files = {0};
    put("b.yaml", "b");
    put("a.yml", "a");
    put("c.txt", "c");
    assert_int_equal(symlink("b.yaml", "d.yaml"), 0);
    read_path(&files, "d.yaml");
    read_path(&files, ".");
    read_path(&files, "./b.yaml");
    assert_int_equal(files.count, 2);
    assert_string_equal(files.items[0].name, "d.yaml");
    assert_string_equal(files.items[1].name, "./a.yml");
    assert_int_equal(files.items[0].mode, 0640);
}

static void test_refuses_what_it_cannot_read(void **state) {
    (void)state;
    AUTO(gen_files_deinit)
    struct gen_files files = {0};
    struct err err;
    struct result r = gen_files_read(&files, "none.yaml", 10, &err);
    assert_failed(r, &err, ERR_NOT_FOUND, "none.yaml: No such file");
    put("a.yaml", "0123456789a");
    r = gen_files_read(&files, "a.yaml", 10, &err);
    assert_failed(r, &err, ERR_INVALID, "a.yaml: larger than the limit of 10 bytes");
    assert_int_equal(symlink("none.yaml", "b.yaml"), 0);
    r = gen_files_read(&files, ".", 100, &err);
    assert_failed(r, &err, ERR_IO, "./b.yaml: No such file");
    assert_int_equal(mkdir("loop", 0700), 0);
    assert_int_equal(symlink(".", "loop/loop"), 0);
    r = gen_files_read(&files, "loop", 100, &err);
    assert_failed(r, &err, ERR_INVALID, "folders deep");
}

/* --- Standard input and output */

/* Runs with `text` on standard input and, when `out` is not NULL, standard output to that file. */
struct streams {
    int in;
    int out;
};

static struct streams redirect(const char *text, int out) {
    put("stdin", text);
    int in = open("stdin", O_RDONLY | O_CLOEXEC);
    (void)fflush(stdout);
    struct streams old = {dup(STDIN_FILENO), dup(STDOUT_FILENO)};
    assert_true(dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0);
    close(in);
    close(out);
    assert_int_equal(unlink("stdin"), 0);
    return old;
}

static void restore(struct streams old) {
    assert_true(dup2(old.in, STDIN_FILENO) >= 0 && dup2(old.out, STDOUT_FILENO) >= 0);
    close(old.in);
    close(old.out);
}

static void test_stdin_goes_to_stdout(void **state) {
    (void)state;
    AUTO(gen_files_deinit)
    struct gen_files files = {0};
    struct err err;
    size_t written = 9;
    int out = open("out", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    struct streams old = redirect("kind: x\n", out);
    struct result first = gen_files_read(&files, "-", 100, NULL);
    struct result again = gen_files_read(&files, "-", 100, &err);
    change(&files);
    struct result r = gen_files_write(&files, &written, NULL);
    restore(old);
    assert_true(is_ok(first) && is_ok(r));
    assert_failed(again, &err, ERR_USAGE, "-: standard input can be read only once");
    assert_string_equal(files.items[0].name, "(stdin)");
    assert_string_equal(buf_cstr(&files.items[0].before), "kind: x\n");
    assert_int_equal(written, 0);
    assert_file("out", "new");
}

static void test_empty_stdin_is_refused(void **state) {
    (void)state;
    AUTO(gen_files_deinit)
    struct gen_files files = {0};
    struct err err;
    struct streams old = redirect("", dup(STDOUT_FILENO));
    struct result r = gen_files_read(&files, "-", 100, &err);
    restore(old);
    assert_failed(r, &err, ERR_INVALID, "(stdin): nothing came in");
}

static void test_a_closed_pipe_changes_no_file(void **state) {
    (void)state;
    AUTO(gen_files_deinit)
    struct gen_files files = {0};
    struct err err;
    size_t written = 0;
    int ends[2];
    put("a.yaml", "a");
    read_path(&files, "a.yaml");
    assert_true(is_ok(gen_files_add(&files, "made", span_str("m"), 0600, NULL)));
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    struct streams old = redirect("kind: x\n", ends[1]);
    struct result first = gen_files_read(&files, "-", 100, NULL);
    change(&files);
    struct result r = gen_files_write(&files, &written, &err);
    restore(old);
    assert_true(is_ok(first));
    assert_failed(r, &err, ERR_IO, "standard output: Broken pipe");
    assert_file("a.yaml", "a");
    assert_only("a.yaml");
}

static void test_a_named_pipe_can_only_be_read(void **state) {
    (void)state;
    AUTO(gen_files_deinit)
    struct gen_files files = {0};
    struct err err;
    size_t written = 0;
    int ends[2];
    char name[32];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "abc", 3), 3);
    close(ends[1]);
    (void)snprintf(name, sizeof name, "/dev/fd/%d", ends[0]);
    read_path(&files, name);
    close(ends[0]);
    assert_string_equal(buf_cstr(&files.items[0].before), "abc");
    change(&files);
    struct result r = gen_files_write(&files, &written, &err);
    assert_failed(r, &err, ERR_USAGE, "is no regular file and cannot be edited");
}

/* --- All or nothing */

static void test_writes_through_links_and_keeps_modes(void **state) {
    (void)state;
    AUTO(gen_files_deinit)
    struct gen_files files = {0};
    struct stat st;
    size_t written = 0;
    put("a.yaml", "a");
    put("same.yaml", "new");
    assert_int_equal(symlink("a.yaml", "link.yaml"), 0);
    assert_int_equal(symlink("b.json", "link.json"), 0);
    put("b.json", "b");
    read_path(&files, "link.yaml");
    read_path(&files, "same.yaml");
    assert_true(is_ok(gen_files_add(&files, "link.json", span_str(""), 0644, NULL)));
    assert_true(is_ok(gen_files_add(&files, "key", span_str(""), 0600, NULL)));
    change(&files);
    assert_true(is_ok(gen_files_write(&files, &written, NULL)));
    assert_int_equal(written, 3);
    assert_file("a.yaml", "new");
    assert_file("b.json", "new");
    assert_true(lstat("link.yaml", &st) == 0 && S_ISLNK(st.st_mode));
    assert_true(lstat("link.json", &st) == 0 && S_ISLNK(st.st_mode));
    assert_true(stat("b.json", &st) == 0 && (st.st_mode & 0777) == 0640);
    assert_true(stat("key", &st) == 0 && (st.st_mode & 0777) == 0600);
}

static void test_a_change_meanwhile_is_seen(void **state) {
    (void)state;
    AUTO(gen_files_deinit)
    struct gen_files files = {0};
    struct err err;
    size_t written = 7;
    put("a.yaml", "a");
    put("b.yaml", "b");
    read_path(&files, ".");
    change(&files);
    put("b.yaml", "other");
    struct result r = gen_files_write(&files, &written, &err);
    assert_failed(r, &err, ERR_CHANGED, "./b.yaml: somebody else changed this file meanwhile");
    assert_int_equal(written, 7);
    assert_file("a.yaml", "a");
    assert_file("b.yaml", "other");
    assert_only("a.yaml b.yaml");
}

static void test_a_file_made_meanwhile_is_kept(void **state) {
    (void)state;
    AUTO(gen_files_deinit)
    struct gen_files files = {0};
    struct err err;
    size_t written = 0;
    put("a.yaml", "a");
    read_path(&files, "a.yaml");
    assert_true(is_ok(gen_files_add(&files, "m.json", span_str("m"), 0644, NULL)));
    change(&files);
    put("m.json", "other");
    struct result r = gen_files_write(&files, &written, &err);
    assert_failed(r, &err, ERR_CHANGED, "m.json: somebody else made this file");
    assert_file("a.yaml", "a");
    assert_file("m.json", "other");
}

/* Staging fails at the second file: as on a full disk, but with a limit of the process. */
static void test_a_full_disk_changes_no_file(void **state) {
    (void)state;
    AUTO(gen_files_deinit)
    struct gen_files files = {0};
    struct err err;
    size_t written = 0;
    struct rlimit old;
    put("a.yaml", "a");
    put("b.yaml", "b");
    read_path(&files, ".");
    change(&files);
    buf_append_str(&files.items[1].after, "012345678901234567890123456789");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    const struct rlimit small = {16, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    struct result r = gen_files_write(&files, &written, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_failed(r, &err, ERR_IO, "b.yaml: File too large");
    assert_file("a.yaml", "a");
    assert_file("b.yaml", "b");
    assert_only("a.yaml b.yaml");
}

static void test_a_read_only_folder_changes_no_file(void **state) {
    (void)state;
    AUTO(gen_files_deinit)
    struct gen_files files = {0};
    struct err err;
    size_t written = 0;
    uid_t old = geteuid();
    assert_int_equal(mkdir("own", 0777) + mkdir("z", 0555), 0);
    assert_int_equal(chmod(".", 0755) + chmod("own", 0777), 0);
    put("own/a.yaml", "a");
    read_path(&files, ".");
    assert_true(is_ok(gen_files_add(&files, "z/m.json", span_str(""), 0644, NULL)));
    change(&files);
    assert_int_equal(chmod("own/a.yaml", 0666), 0);
    assert_int_equal(old == 0 ? seteuid(65534) : 0, 0); /* root may write everywhere */
    struct result r = gen_files_write(&files, &written, &err);
    assert_int_equal(seteuid(old), 0);
    assert_failed(r, &err, ERR_IO, "z/m.json: Permission denied");
    assert_file("own/a.yaml", "a");
    assert_int_equal(access("z/m.json", F_OK), -1);
}

/* Nobody may ever write into it. */
static void test_pipe_in_folder(void **state) {
    (void)state;
    AUTO(gen_files_deinit)
    struct gen_files files = {0};
    struct err err;
    assert_int_equal(mkdir("in", 0755), 0);
    assert_int_equal(mkfifo("in/p.yaml", 0644), 0);
    struct result r = gen_files_read(&files, "in", LIMIT_YAML_FILE, &err);
    assert_failed(r, &err, ERR_INVALID, "in/p.yaml: a pipe or device");
}

static void test_bad_outputs(void **state) {
    (void)state;
    AUTO(gen_files_deinit)
    struct gen_files files = {0};
    struct err err;
    size_t written = 0;
    struct result r = gen_files_add(&files, ".", span_str(""), 0644, &err);
    assert_failed(r, &err, ERR_INVALID, ".: is no regular file; name a file, or -");
    assert_int_equal(symlink("nowhere", "l"), 0);
    r = gen_files_add(&files, "l", span_str(""), 0644, &err);
    assert_failed(r, &err, ERR_INVALID, "l: a symbolic link to nowhere");
    put("a.yaml", "a");
    read_path(&files, "a.yaml");
    assert_true(is_ok(gen_files_add(&files, "./a.yaml", span_str("b"), 0644, NULL)));
    r = gen_files_write(&files, &written, &err);
    assert_failed(r, &err, ERR_USAGE, "./a.yaml: two outputs have this name");
    assert_file("a.yaml", "a");
}

/* --- Objects that stand twice */

static struct result check_unique(const char *first, const char *second, struct err *err) {
    struct yaml_file files[2] = {0};
    assert_true(is_ok(yaml_parse("a.yaml", span_str(first), &files[0], err)));
    assert_true(is_ok(yaml_parse("b.yaml", span_str(second), &files[1], err)));
    struct result r = gen_objects_check_unique(files, 2, err);
    yaml_file_deinit(&files[0]);
    yaml_file_deinit(&files[1]);
    return r;
}

static void test_objects_that_stand_twice(void **state) {
    (void)state;
    static const char web[] = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n";
    static const char list[] = "kind: List\nitems:\n- apiVersion: apps/v1beta1\n"
                               "  kind: Deployment\n  metadata: {namespace: default, name: web}\n";
    struct err err;
    struct result r = check_unique("# first\n---\n" /* an empty document */
                                   "kind: Secret\nmetadata: {name: web}\n",
                                   "kind: Secret\nmetadata: {name: web, namespace: default}", &err);
    assert_failed(r, &err, ERR_INVALID,
                  "b.yaml:1:1: Secret default/web stands in a.yaml:3:1 already; keep one of them");
    r = check_unique(web, list, &err);
    assert_failed(r, &err, ERR_INVALID, "b.yaml:3:3: Deployment default/web stands in a.yaml:1:1");
    r = check_unique("kind: A\nmetadata: {name: x}\n---\nkind: A\nmetadata: {name: x}\n", "", &err);
    assert_failed(r, &err, ERR_INVALID, "a.yaml:4:1: A default/x stands in a.yaml:1:1");
}

static void test_objects_that_differ(void **state) {
    (void)state;
    static const char *const others[] = {
        "kind: Pod\nmetadata: {name: y}",
        "kind: Job\nmetadata: {name: x}",
        "kind: Pod\nmetadata: {name: x, namespace: n}",
        "kind: Pod\napiVersion: other.io/v1\nmetadata: {name: x}",
        "kind: Pod\nmetadata: {generateName: x}\n---\nkind: Pod\nmetadata: {generateName: x}",
        "values: 1\n---\n[a, list]\n---\nscalar\n---\n",
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct err err;
        if (!is_ok(check_unique("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n", others[i],
                                &err))) {
            fail_msg("%s", err.text);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reads_each_file_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refuses_what_it_cannot_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stdin_goes_to_stdout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_empty_stdin_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_closed_pipe_changes_no_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_named_pipe_can_only_be_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_writes_through_links_and_keeps_modes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_change_meanwhile_is_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_made_meanwhile_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_full_disk_changes_no_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_read_only_folder_changes_no_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pipe_in_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_outputs, setup, teardown),
        cmocka_unit_test(test_objects_that_stand_twice),
        cmocka_unit_test(test_objects_that_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
