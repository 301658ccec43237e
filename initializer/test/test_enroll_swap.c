/* Sets of files that replace each other: complete after every step, whole for every reader.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "initializer/enroll_swap.h"
#include "lib/base/file.h"

#define SWAPS 300 /* while readers read */
#define SPINS_MAX 100000000U

static char root[] = "/tmp/test_enroll_swap_XXXXXX";
static char folder[64]; /* of one test, below root */

/* A set whose files all carry the same number, so a mixture shows. */
struct numbered {
    char text[5][32];
    struct enroll_set set;
};

static const struct enroll_set *number_set(struct numbered *n, int number, bool has_secret) {
    static const char *const names[5] = {"mesh", "root", "chain", "secret", "key"};
    struct span spans[5];
    for (size_t i = 0; i < 5; i++) {
        (void)snprintf(n->text[i], sizeof n->text[i], "%s %d", names[i], number);
        spans[i] = span_str(n->text[i]);
    }
    n->set = (struct enroll_set){.mesh_ca = spans[0],
                                 .root_ca = spans[1],
                                 .chain = spans[2],
                                 .secret = has_secret ? spans[3] : (struct span){0},
                                 .key = spans[4]};
    return &n->set;
}

static enum err_code put(int number, bool has_secret, size_t steps) {
    struct numbered n;
    struct err err;
    return enroll_swap_run(folder, number_set(&n, number, has_secret), steps, &err).code;
}

static int set_up(void **state) {
    (void)state;
    (void)snprintf(folder, sizeof folder, "%s/XXXXXX", root);
    assert_non_null(mkdtemp(folder));
    return 0;
}

static int make_root(void **state) {
    (void)state;
    return mkdtemp(root) == NULL ? -1 : 0;
}

static int on_entry(const char *path, const struct stat *status, int kind, struct FTW *place) {
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

static int remove_root(void **state) {
    (void)state;
    return nftw(root, on_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* The number in a file, by openat; -1 when there is none. */
static int number_in(int fd, const char *name) {
    char text[33] = {0};
    int file = openat(fd, name, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return -1;
    }
    ssize_t n = read(file, text, sizeof text - 1);
    close(file);
    const char *space = n > 0 ? strchr(text, ' ') : NULL;
    return space == NULL ? -2 : (int)strtol(space + 1, NULL, 10);
}

/* As docs/renewal.md tells readers: the folder once, then the files in it. -1: no folder. */
static int read_set(const char *dir) {
    char path[128];
    static const char *const names[] = {"key.pem", "mesh-ca.pem", "coordinator-root-ca.pem"};
    (void)snprintf(path, sizeof path, "%s/tls-config", dir);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    int number = number_in(fd, "certChain.pem");
    for (size_t i = 0; i < 3; i++) {
        number = number_in(fd, names[i]) == number ? number : -3;
    }
    close(fd);
    return number;
}

static int read_secret(void) {
    char path[128];
    (void)snprintf(path, sizeof path, "%s/secrets/workload-secret-seed", folder);
    return number_in(AT_FDCWD, path);
}

static size_t count_sets(void) {
    size_t count = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        count += strncmp(e->d_name, ENROLL_SWAP_PREFIX, strlen(ENROLL_SWAP_PREFIX)) == 0 ? 1 : 0;
    }
    closedir(d);
    return count;
}

static void test_a_set_replaces_a_set(void **state) {
    (void)state;
    assert_int_equal(put(1, true, enroll_swap_steps), ERR_OK);
    assert_int_equal(read_set(folder), 1);
    assert_int_equal(read_secret(), 1);
    assert_int_equal(put(2, false, enroll_swap_steps), ERR_OK);
    assert_int_equal(read_set(folder), 2);
    assert_int_equal(read_secret(), -1);
    assert_int_equal(put(3, true, enroll_swap_steps), ERR_OK);
    assert_int_equal(read_secret(), 3);
}

static void test_the_set_before_stays_until_it_is_swept(void **state) {
    (void)state;
    char path[128];
    assert_int_equal(put(1, true, enroll_swap_steps), ERR_OK);
    (void)snprintf(path, sizeof path, "%s/tls-config", folder);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(put(2, true, enroll_swap_steps), ERR_OK);
    assert_int_equal(number_in(fd, "key.pem"), 1);
    assert_int_equal(count_sets(), 2);
    assert_int_equal(enroll_swap_sweep(folder, NULL).code, ERR_OK);
    assert_int_equal(number_in(fd, "key.pem"), -1);
    close(fd);
    assert_int_equal(count_sets(), 1);
    assert_int_equal(read_set(folder), 2);
}

/* A process of its own does the first steps over a complete set and dies there. */
static void die_after(size_t steps, bool has_secret) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(put(2, has_secret, steps) == ERR_OK ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_killed_after_each_step_one_complete_set_is_there(void **state) {
    (void)state;
    int old = 0;
    int new = 0;
    for (size_t steps = 0; steps <= enroll_swap_steps; steps++) {
        for (int has_secret = 0; has_secret < 2; has_secret++) {
            set_up(NULL);
            assert_int_equal(put(1, true, enroll_swap_steps), ERR_OK);
            die_after(steps, has_secret != 0);
            int found = read_set(folder);
            assert_true(found == 1 || found == 2);
            int secret = read_secret();
            assert_int_equal(secret, found == 1 || has_secret != 0 ? found : -1);
            old += found == 1 ? 1 : 0;
            new += found == 2 ? 1 : 0;
            assert_int_equal(put(3, true, enroll_swap_steps), ERR_OK); /* the next run */
            assert_int_equal(read_set(folder), 3);
            assert_true(count_sets() <= 2); /* it and the one before: leftovers are gone */
            assert_int_equal(enroll_swap_sweep(folder, NULL).code, ERR_OK);
            assert_int_equal(count_sets(), 1);
        }
    }
    assert_true(old >= 20 && new >= 2);
}

static void test_killed_in_the_first_run_there_is_nothing_or_all(void **state) {
    (void)state;
    for (size_t steps = 0; steps <= enroll_swap_steps; steps++) {
        set_up(NULL);
        die_after(steps, true);
        int found = read_set(folder);
        assert_true(found == -1 || found == 2);
        assert_int_equal(read_secret(), found);
        assert_int_equal(put(3, false, enroll_swap_steps), ERR_OK);
        assert_int_equal(read_set(folder), 3);
    }
}

/* What a writer leaves that is killed inside a step: a temporary file of file_write. */
static void test_leftovers_of_a_broken_write_go(void **state) {
    (void)state;
    char path[160];
    char link[64] = {0};
    assert_int_equal(put(1, true, enroll_swap_steps), ERR_OK);
    (void)snprintf(path, sizeof path, "%s/" ENROLL_SWAP_LINK, folder);
    assert_true(readlink(path, link, sizeof link - 1) > 0);
    (void)snprintf(path, sizeof path, "%s/%s/tls-config/key.pem.tmp-abcdef", folder, link);
    assert_int_equal(file_write(path, span_str("x"), 0400, NULL).code, ERR_OK);
    assert_int_equal(put(2, true, enroll_swap_steps), ERR_OK);
    assert_int_equal(enroll_swap_sweep(folder, NULL).code, ERR_OK);
    assert_int_equal(count_sets(), 1);
}

static void test_something_else_in_the_way_is_named(void **state) {
    (void)state;
    static const char *const names[] = {"tls-config", "secrets"};
    for (size_t i = 0; i < 2; i++) {
        char path[128];
        struct numbered n;
        struct err err;
        set_up(NULL);
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        assert_int_equal(mkdir(path, 0755), 0);
        const struct enroll_set *set = number_set(&n, 1, true);
        struct result r = enroll_swap_run(folder, set, enroll_swap_steps, &err);
        assert_int_equal(r.code, ERR_CONFIG);
        assert_non_null(strstr(err.text, path));
        assert_non_null(strstr(err.text, "remove it"));
    }
}

static void test_a_sweep_follows_no_link(void **state) {
    (void)state;
    char path[160];
    char outside[80];
    (void)snprintf(outside, sizeof outside, "%s/XXXXXX", root);
    assert_non_null(mkdtemp(outside));
    assert_int_equal(put(1, false, enroll_swap_steps), ERR_OK);
    (void)snprintf(path, sizeof path, "%s/" ENROLL_SWAP_PREFIX "trap", folder);
    assert_int_equal(mkdir(path, 0755), 0);
    (void)snprintf(path, sizeof path, "%s/" ENROLL_SWAP_PREFIX "trap/out", folder);
    assert_int_equal(symlink(outside, path), 0);
    (void)snprintf(path, sizeof path, "%s/file", outside);
    assert_int_equal(file_write(path, span_str("x"), 0600, NULL).code, ERR_OK);
    assert_int_equal(enroll_swap_sweep(folder, NULL).code, ERR_OK);
    assert_int_equal(count_sets(), 1);
    assert_int_equal(access(path, F_OK), 0);
}

/* ---- readers beside a writer ---- */

struct reader {
    pthread_t thread;
    atomic_bool is_over;
    atomic_uint good;
    atomic_uint bad;
};

static void *read_on(void *data) {
    struct reader *r = data;
    int last = 0;
    while (!atomic_load(&r->is_over)) {
        int number = read_set(folder);
        if (number >= last) {
            atomic_fetch_add(&r->good, 1);
            last = number;
        } else {
            atomic_fetch_add(&r->bad, 1);
        }
    }
    return NULL;
}

static unsigned readings(struct reader *r) {
    return atomic_load(&r->good) + atomic_load(&r->bad);
}

/* One reading may span one swap, as it may span the minute before a sweep, not two. */
static void wait_for_readings(struct reader *r, unsigned count) {
    for (unsigned i = 0; i < SPINS_MAX; i++) {
        if (readings(r) >= count) {
            return;
        }
        sched_yield();
    }
    fail_msg("the reader stands still");
}

static void test_a_reader_never_sees_a_mixture(void **state) {
    (void)state;
    struct reader readers[2] = {0};
    assert_int_equal(put(1, true, enroll_swap_steps), ERR_OK);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
    }
    for (int number = 2; number < SWAPS; number++) {
        assert_int_equal(put(number, number % 2 == 0, enroll_swap_steps), ERR_OK);
        unsigned before[2] = {readings(&readers[0]), readings(&readers[1])};
        for (size_t i = 0; i < 2; i++) {
            wait_for_readings(&readers[i], before[i] + 2);
        }
    }
    for (size_t i = 0; i < 2; i++) {
        atomic_store(&readers[i].is_over, true);
        pthread_join(readers[i].thread, NULL);
        assert_int_equal(atomic_load(&readers[i].bad), 0);
        assert_true(atomic_load(&readers[i].good) >= 2 * (SWAPS - 2));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_set_replaces_a_set, set_up),
        cmocka_unit_test_setup(test_the_set_before_stays_until_it_is_swept, set_up),
        cmocka_unit_test(test_killed_after_each_step_one_complete_set_is_there),
        cmocka_unit_test(test_killed_in_the_first_run_there_is_nothing_or_all),
        cmocka_unit_test_setup(test_leftovers_of_a_broken_write_go, set_up),
        cmocka_unit_test(test_something_else_in_the_way_is_named),
        cmocka_unit_test_setup(test_a_sweep_follows_no_link, set_up),
        cmocka_unit_test_setup(test_a_reader_never_sees_a_mixture, set_up),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
