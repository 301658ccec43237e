/* The host's files: links never lead out, a file appears whole, and sweeping. The mount is a folder
 * "host" beside a folder "outside" that must stay as it is.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/node_root.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
    char folder[64];
    struct node_root root;
};

static int drop(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void in(const struct place *p, const char *name, char out[512]) {
    (void)snprintf(out, 512, "%s/%s", p->folder, name);
}

static void make_folder(const struct place *p, const char *name) {
    char path[512];
    in(p, name, path);
    assert_int_equal(mkdir(path, 0755), 0);
}

static void make_file(const struct place *p, const char *name, const char *text) {
    char path[512];
    in(p, name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
}

static void make_link(const struct place *p, const char *name, const char *target) {
    char path[512];
    in(p, name, path);
    assert_int_equal(symlink(target, path), 0);
}

static bool is_there(const struct place *p, const char *name) {
    char path[512];
    struct stat st;
    in(p, name, path);
    return lstat(path, &st) == 0;
}

static void expect_file(const struct place *p, const char *name, const char *text) {
    char path[512];
    char got[256] = "";
    in(p, name, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(read(fd, got, sizeof got - 1) >= 0);
    assert_int_equal(close(fd), 0);
    assert_string_equal(got, text);
}

static int set_up(void **state) {
    static struct place p;
    struct err err;
    (void)snprintf(p.folder, sizeof p.folder, "/tmp/contrast-root-XXXXXX");
    assert_non_null(mkdtemp(p.folder));
    make_folder(&p, "host");
    make_folder(&p, "host/etc");
    make_folder(&p, "outside");
    make_file(&p, "outside/secret", "outside");
    char mount[512];
    in(&p, "host", mount);
    assert_true(is_ok(node_root_open(mount, &p.root, &err)));
    *state = &p;
    return 0;
}

static int tear_down(void **state) {
    struct place *p = *state;
    node_root_close(&p->root);
    return nftw(p->folder, drop, 16, FTW_DEPTH | FTW_PHYS);
}

static struct result put(const struct place *p, const char *path, const char *text,
                         struct err *err) {
    return node_root_write(&p->root, path, span_of(text, strlen(text)), 0640, (uid_t)-1, (gid_t)-1,
                           err);
}

static void test_write(void **state) {
    const struct place *p = *state;
    struct err err;
    struct node_stat stat;
    assert_true(is_ok(put(p, "/etc/a/b/c", "one", &err)));
    assert_true(is_ok(put(p, "/etc/a/b/c", "two", &err)));
    expect_file(p, "host/etc/a/b/c", "two");
    assert_true(is_ok(node_root_stat(&p->root, "/etc/a/b/c", &stat, &err)));
    assert_int_equal(stat.mode, 0640);
    assert_int_equal(stat.size, 3);
    assert_false(is_there(p, "host/etc/a/b/.c.contrast-new"));
}

static void test_abort(void **state) {
    const struct place *p = *state;
    struct err err;
    struct node_temp temp;
    make_file(p, "host/etc/a", "old");
    assert_true(is_ok(node_temp_open(&p->root, "/etc/a", 0600, (uid_t)-1, (gid_t)-1, &temp, &err)));
    assert_true(is_ok(node_temp_write(&temp, span_of("new", 3), &err)));
    assert_true(is_there(p, "host/etc/.a.contrast-new"));
    expect_file(p, "host/etc/a", "old");
    node_temp_abort(&temp);
    assert_false(is_there(p, "host/etc/.a.contrast-new"));
}

/* The link is kept, its target is replaced. */
static void test_link_to_a_file(void **state) {
    const struct place *p = *state;
    struct err err;
    make_file(p, "host/real", "old");
    make_link(p, "host/etc/a", "/real"); /* of the host */
    assert_true(is_ok(put(p, "/etc/a", "new", &err)));
    expect_file(p, "host/real", "new");
    char path[512];
    char target[16] = "";
    in(p, "host/etc/a", path);
    assert_int_equal(readlink(path, target, sizeof target), 5);
}

/* A link at every component, absolute and relative, to what lies outside of the mount. */
static void test_links_out(void **state) {
    struct place *p = *state;
    struct err err;
    char outside[512];
    in(p, "outside", outside);
    const char *const targets[] = {outside, "../outside", "../../outside", "../../../../outside",
                                   "/../../outside"};
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        make_link(p, "host/etc/x", targets[i]);
        assert_false(is_ok(put(p, "/etc/x/secret", "broken", &err)));
        assert_false(is_ok(put(p, "/etc/x", "broken", &err)));
        struct node_stat stat = {0};
        AUTO(buf_deinit)
        struct buf text = {0};
        struct result r = node_root_read(&p->root, "/etc/x/secret", 100, &text, &stat, &err);
        assert_false(is_ok(r) && stat.exists);
        (void)node_root_remove_tree(&p->root, "/etc/x/secret", &err).code;
        assert_true(is_ok(node_root_sweep(&p->root, "/etc/x", true, &err)));
        expect_file(p, "outside/secret", "outside");
        assert_true(is_ok(node_root_remove(&p->root, "/etc/x", &err)));
    }
    assert_true(is_there(p, "outside/secret"));
}

static void test_dangling(void **state) {
    const struct place *p = *state;
    struct err err;
    struct node_stat stat;
    make_link(p, "host/etc/a", "nowhere");
    assert_int_equal(node_root_stat(&p->root, "/etc/a", &stat, &err).code, ERR_INVALID);
    assert_non_null(strstr(err.text, "/etc/a: a symbolic link that leads nowhere"));
}

static void test_not_a_file(void **state) {
    const struct place *p = *state;
    struct err err;
    int fd = -1;
    char path[512];
    in(p, "host/etc/fifo", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(node_root_open_file(&p->root, "/etc/fifo", &fd, &err).code, ERR_INVALID);
    assert_int_equal(node_root_open_file(&p->root, "/etc", &fd, &err).code, ERR_INVALID);
    assert_int_equal(node_root_open_file(&p->root, "/etc/none", &fd, &err).code, ERR_NOT_FOUND);
}

static void test_remove_tree(void **state) {
    const struct place *p = *state;
    struct err err;
    assert_true(is_ok(put(p, "/opt/h/a/b", "1", &err)));
    assert_true(is_ok(put(p, "/opt/h/c", "1", &err)));
    make_link(p, "host/opt/h/a/out", "../../../../outside");
    assert_true(is_ok(node_root_remove_tree(&p->root, "/opt/h", &err)));
    assert_true(is_ok(node_root_remove_tree(&p->root, "/opt/h", &err))); /* gone already */
    assert_false(is_there(p, "host/opt/h"));
    expect_file(p, "outside/secret", "outside");
}

static void test_sweep(void **state) {
    const struct place *p = *state;
    struct err err;
    assert_true(is_ok(put(p, "/opt/h/a/b", "1", &err)));
    make_file(p, "host/opt/h/.x.contrast-new", "");
    make_file(p, "host/opt/h/a/.b.contrast-new", "");
    make_file(p, "host/opt/h/a/keep.contrast-new", "");
    make_folder(p, "host/opt/k");
    make_link(p, "host/opt/k/h", "../h");
    assert_true(is_ok(node_root_sweep(&p->root, "/opt/k", true, &err)));
    assert_true(is_there(p, "host/opt/h/a/.b.contrast-new"));
    assert_true(is_ok(node_root_sweep(&p->root, "/opt/h", false, &err)));
    assert_false(is_there(p, "host/opt/h/.x.contrast-new"));
    assert_true(is_there(p, "host/opt/h/a/.b.contrast-new"));
    assert_true(is_ok(node_root_sweep(&p->root, "/opt/h", true, &err)));
    assert_false(is_there(p, "host/opt/h/a/.b.contrast-new"));
    assert_true(is_there(p, "host/opt/h/a/keep.contrast-new"));
    assert_true(is_ok(node_root_sweep(&p->root, "/opt/none", true, &err)));
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_write),    T(test_abort),      T(test_link_to_a_file), T(test_links_out),
        T(test_dangling), T(test_not_a_file), T(test_remove_tree),    T(test_sweep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
