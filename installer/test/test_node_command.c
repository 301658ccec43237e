/* Programs of the host: what they print, how they fail, and that none outlives its time.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "installer/node_command.h"
#include "lib/base/limits.h"

#define LONG_MS 30000
#define SHORT_MS 200

static struct result shell(const char *line, unsigned timeout_ms, struct buf *out,
                           struct err *err) {
    return node_command_shell(line, timeout_ms, out, err);
}

static void test_output(void **state) {
    (void)state;
    struct buf out = {0};
    assert_true(is_ok(shell("printf 'a b'; echo hidden >&2; cat", LONG_MS, &out, NULL)));
    assert_string_equal(buf_cstr(&out), "a b"); /* and cat met the end of its input at once */
    buf_deinit(&out);
    assert_true(is_ok(shell("echo dropped", LONG_MS, NULL, NULL)));
}

static void test_prefix(void **state) {
    (void)state;
    static const char *const argv[] = {"echo", "a b", "$HOME", NULL};
    struct buf out = {0};
    assert_true(is_ok(node_command_run(" env  -i ", argv, LONG_MS, &out, NULL)));
    assert_string_equal(buf_cstr(&out), "a b $HOME\n");
    buf_deinit(&out);
}

static void test_failures(void **state) {
    (void)state;
    static const struct {
        const char *line;
        const char *want;
    } rows[] = {
        {"exit 7", "/bin/sh: exit code 7"},
        {"echo first >&2; echo; printf 'last line \\n\\n' >&2; exit 1",
         "/bin/sh: exit code 1: last line"},
        {"kill -9 $$", "/bin/sh: ended by signal 9"},
        {"exec /nowhere/program", "exit code 127"},
        {"printf 'a\\033[31mb\\n' >&2; exit 1", "exit code 1: a [31mb"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err;
        struct buf out = {0};
        assert_int_equal(shell(rows[i].line, LONG_MS, &out, &err).code, ERR_UNAVAILABLE);
        if (strstr(err.text, rows[i].want) == NULL) {
            fail_msg("want '%s', got '%s'", rows[i].want, err.text);
        }
        assert_int_equal(out.size, 0);
        buf_deinit(&out);
    }
}

static void test_missing_program(void **state) {
    (void)state;
    static const char *const argv[] = {"/nowhere/program", NULL};
    struct err err;
    assert_int_equal(node_command_run("", argv, LONG_MS, NULL, &err).code, ERR_UNAVAILABLE);
    assert_string_equal(err.text, "/nowhere/program: No such file or directory");
}

/* The whole group goes, and takes the time that was allowed, no more. */
static void test_timeout(void **state) {
    (void)state;
    struct err err;
    assert_int_equal(shell("sleep 3600 & sleep 3600", SHORT_MS, NULL, &err).code, ERR_TIMEOUT);
    assert_string_equal(err.text, "/bin/sh: still runs after 200 ms, ended");
    assert_int_equal(shell("exec >&- 2>&-; sleep 3600", SHORT_MS, NULL, &err).code, ERR_TIMEOUT);
}

/* What a hook leaves running holds the pipes; the hook is over all the same, and it lives on. */
static void test_daemon(void **state) {
    (void)state;
    struct buf out = {0};
    assert_true(is_ok(shell("sleep 3600 & echo $!", LONG_MS, &out, NULL)));
    pid_t pid = (pid_t)strtol(buf_cstr(&out), NULL, 10);
    assert_true(pid > 1);
    assert_int_equal(kill(pid, 0), 0);
    assert_int_equal(kill(pid, SIGKILL), 0);
    buf_deinit(&out);
}

static void test_too_much(void **state) {
    (void)state;
    struct err err;
    struct buf out = {0};
    assert_int_equal(shell("yes | head -c 1048577", LONG_MS, &out, &err).code, ERR_TOO_LARGE);
    assert_int_equal(out.size, 0);
    assert_true(is_ok(shell("yes | head -c 1048576", LONG_MS, &out, &err)));
    assert_int_equal(out.size, LIMIT_NODE_OUTPUT);
    buf_deinit(&out);
    /* Of errors the end counts, however many they are. */
    assert_int_equal(
        shell("yes | head -c 3000000 >&2; echo end >&2; exit 1", LONG_MS, &out, &err).code,
        ERR_UNAVAILABLE);
    assert_string_equal(err.text, "/bin/sh: exit code 1: end");
    buf_deinit(&out);
}

static void test_many_words(void **state) {
    (void)state;
    const char *argv[200];
    for (size_t i = 0; i < 199; i++) {
        argv[i] = "true";
    }
    argv[199] = NULL;
    struct err err;
    assert_int_equal(node_command_run("", argv, LONG_MS, NULL, &err).code, ERR_INVALID);
}

/* --- Streams */

struct sink {
    size_t size;
    size_t refuse_at; /* 0 = never */
};

static struct result feed(void *data, struct span bytes, struct err *err) {
    struct sink *s = data;
    s->size += bytes.size;
    ENSURE(s->refuse_at == 0 || s->size < s->refuse_at, err, DIFFERS, "enough");
    return OK;
}

static struct result stream(const char *line, struct sink *sink, const volatile sig_atomic_t *stop,
                            struct buf *told, struct err *err) {
    const char *const argv[] = {"/bin/sh", "-c", line, NULL};
    const struct node_stream s = {sink, feed, stop};
    return node_command_stream(argv, &s, told, err);
}

static void test_stream(void **state) {
    (void)state;
    struct sink sink = {0};
    struct buf told = {0};
    assert_true(is_ok(stream("yes | head -c 5000000", &sink, NULL, &told, NULL)));
    assert_int_equal(sink.size, 5000000);
    struct err err;
    assert_int_equal(stream("echo a; echo why >&2; exit 4", &sink, NULL, &told, &err).code,
                     ERR_UNAVAILABLE);
    assert_string_equal(buf_cstr(&told), "why");
    buf_deinit(&told);
}

static void test_stream_refused(void **state) {
    (void)state;
    struct sink sink = {.refuse_at = 100000};
    struct buf told = {0};
    struct err err;
    assert_int_equal(stream("yes", &sink, NULL, &told, &err).code, ERR_DIFFERS);
    assert_string_equal(err.text, "enough");
    const struct sink full = sink;
    sink = (struct sink){.refuse_at = 1}; /* with the last bytes of a program that ended */
    assert_int_equal(stream("echo a", &sink, NULL, &told, &err).code, ERR_DIFFERS);
    assert_true(full.size >= 100000);
    buf_deinit(&told);
}

static void test_stream_stopped(void **state) {
    (void)state;
    struct sink sink = {0};
    struct buf told = {0};
    struct err err;
    const volatile sig_atomic_t stop = 1;
    assert_int_equal(stream("sleep 3600", &sink, &stop, &told, &err).code, ERR_CANCELED);
    buf_deinit(&told);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output),         cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_failures),       cmocka_unit_test(test_missing_program),
        cmocka_unit_test(test_timeout),        cmocka_unit_test(test_daemon),
        cmocka_unit_test(test_too_much),       cmocka_unit_test(test_many_words),
        cmocka_unit_test(test_stream),         cmocka_unit_test(test_stream_refused),
        cmocka_unit_test(test_stream_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
