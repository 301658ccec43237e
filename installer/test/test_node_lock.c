/* The host's lock: a second process waits, is told who holds it, and gets it when that ends.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/node_lock.h"

#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int drop(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void on_alarm(int number) {
    (void)number;
}

/* A process that takes the lock, says so, and ends when its input does. */
static pid_t start_holder(const struct node_root *root, int *to, int *from) {
    int in[2];
    int out[2];
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct node_lock lock = {.fd = -1};
        struct err err;
        char byte = 0;
        (void)close(in[1]);
        bool is_taken = is_ok(node_lock_take(root, 5, &lock, &err)) && write(out[1], "!", 1) == 1;
        _exit(is_taken && read(in[0], &byte, 1) == 0 ? 0 : 1);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    *to = in[1];
    *from = out[0];
    return pid;
}

static void test_second_process(void **state) {
    (void)state;
    char folder[] = "/tmp/contrast-lock-XXXXXX";
    struct node_root root = {.fd = -1};
    struct node_lock lock = {.fd = -1};
    struct err err = {0};
    const struct sigaction action = {.sa_handler = on_alarm};
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_non_null(mkdtemp(folder));
    assert_true(is_ok(node_root_open(folder, &root, &err)));
    int to = -1;
    int from = -1;
    char byte = 0;
    pid_t pid = start_holder(&root, &to, &from);
    assert_int_equal(read(from, &byte, 1), 1);
    assert_int_equal(node_lock_take(&root, 1, &lock, &err).code, ERR_BUSY);
    char holder[64];
    (void)snprintf(holder, sizeof holder, "process %ld of ", (long)pid);
    assert_non_null(strstr(err.text, holder));
    assert_int_equal(lock.fd, -1);
    (void)close(to); /* the holder ends, and with it the lock */
    assert_true(is_ok(node_lock_take(&root, 60, &lock, &err)));
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    (void)close(from);
    node_lock_release(&lock);
    node_lock_release(&lock);
    node_root_close(&root);
    assert_int_equal(nftw(folder, drop, 16, FTW_DEPTH | FTW_PHYS), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_second_process)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
