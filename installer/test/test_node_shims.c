/* Processes of a runtime's folder, in a /proc made of files and links, and in the real one.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "installer/node_root.h"
#include "installer/node_shims.h"

#define FOLDER "/opt/edgeless/contrast-cc-a"

static char proc[32];

static int setup(void **state) {
    (void)state;
    (void)strcpy(proc, "/tmp/shims-XXXXXX");
    return mkdtemp(proc) != NULL ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    struct node_root root;
    assert_true(is_ok(node_root_open("/tmp", &root, NULL)));
    assert_true(is_ok(node_root_remove_tree(&root, proc + 4, NULL)));
    node_root_close(&root);
    return 0;
}

/* NULL: no such entry. */
static void add(const char *pid, const char *exe, const char *cmdline) {
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", proc, pid);
    assert_int_equal(mkdir(path, 0755), 0);
    (void)snprintf(path, sizeof path, "%s/%s/exe", proc, pid);
    assert_true(exe == NULL || symlink(exe, path) == 0);
    (void)snprintf(path, sizeof path, "%s/%s/cmdline", proc, pid);
    if (cmdline != NULL) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        (void)fwrite(cmdline, 1, strlen(cmdline) + 1, f); /* arguments end with NUL */
        (void)fputs("-id", f);
        assert_int_equal(fclose(f), 0);
    }
}

static size_t find(const char *folder, struct buf *names) {
    size_t count = 99;
    assert_true(is_ok(node_shims_find(proc, folder, &count, names, NULL)));
    return count;
}

static void test_found(void **state) {
    (void)state;
    static const struct {
        const char *exe;
        const char *cmdline;
        const char *name; /* NULL = not one of ours */
    } rows[] = {
        {FOLDER "/bin/shim", "/usr/bin/other", "shim"},
        {FOLDER "/bin/shim (deleted)", "x", "shim (deleted)"},
        {"/bin/sh", FOLDER "/bin/qemu", "qemu"}, /* argument 0 */
        {NULL, FOLDER "/bin/qemu", "qemu"},
        {FOLDER "2/bin/shim", FOLDER "2/bin/shim", NULL},
        {FOLDER, FOLDER, NULL},
        {"/opt/edgeless/contrast-cc-b/bin/shim", "", NULL},
        {"/var" FOLDER "/bin/shim", "sh", NULL},
        {NULL, NULL, NULL}, /* a kernel thread, or one that ended meanwhile */
        {NULL, "", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char pid[8];
        char want[64];
        (void)snprintf(pid, sizeof pid, "%zu", 100 + i);
        add(pid, rows[i].exe, rows[i].cmdline);
        struct buf names = {0};
        size_t count = find(FOLDER, &names);
        (void)snprintf(want, sizeof want, "%s %s", pid, rows[i].name != NULL ? rows[i].name : "");
        assert_int_equal(count, rows[i].name != NULL ? 1 : 0);
        assert_string_equal(buf_cstr(&names), rows[i].name != NULL ? want : "");
        buf_deinit(&names);
        assert_int_equal(teardown(NULL), 0);
        assert_int_equal(mkdir(proc, 0755), 0);
    }
}

static void test_what_is_no_process(void **state) {
    (void)state;
    add("self", FOLDER "/bin/shim", FOLDER "/bin/shim");
    add("sys", FOLDER "/bin/shim", NULL);
    struct buf names = {0};
    assert_int_equal(find(FOLDER, &names), 0);
    buf_deinit(&names);
}

/* All are counted, eight are named. */
static void test_many(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        char pid[16];
        (void)snprintf(pid, sizeof pid, "%d", 10 + i);
        add(pid, FOLDER "/bin/shim", NULL);
    }
    struct buf names = {0};
    assert_int_equal(find(FOLDER, &names), 20);
    size_t commas = 0;
    for (const char *p = buf_cstr(&names); *p != '\0'; p++) {
        commas += *p == ',' ? 1 : 0;
    }
    assert_int_equal(commas, 7);
    buf_deinit(&names);
}

static void test_long_argument(void **state) {
    (void)state;
    char text[2 * PATH_MAX];
    memset(text, 'a', sizeof text);
    memcpy(text, FOLDER "/", sizeof FOLDER);
    text[sizeof text - 1] = '\0';
    add("5", NULL, text);
    struct buf names = {0};
    assert_int_equal(find(FOLDER, &names), 1);
    assert_true(names.size < PATH_MAX);
    buf_deinit(&names);
}

/* This very process, by its own name. */
static void test_real_proc(void **state) {
    (void)state;
    char exe[PATH_MAX] = "";
    assert_true(readlink("/proc/self/exe", exe, sizeof exe - 1) > 0);
    *strrchr(exe, '/') = '\0';
    struct buf names = {0};
    size_t count = 0;
    assert_true(is_ok(node_shims_find("/proc", exe, &count, &names, NULL)));
    assert_true(count >= 1);
    buf_deinit(&names);
}

static void test_no_proc(void **state) {
    (void)state;
    struct buf names = {0};
    struct err err;
    size_t count = 0;
    assert_int_equal(node_shims_find("/nowhere", FOLDER, &count, &names, &err).code, ERR_IO);
    assert_string_equal(err.text, "/nowhere: No such file or directory");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_found),         T(test_what_is_no_process), T(test_many),
        T(test_long_argument), T(test_real_proc),          T(test_no_proc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
