/* bench-attest from the outside: what it refuses, and that every row is measured. argv[1]: the
 * program. No figure is judged.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>
#include <jansson.h>

#include "lib/base/bytes.h"

static const char *program;

/* Exit code of "input | program arguments"; stdout and stderr together in `out`. */
static int run(const char *input, const char *arguments, char *out, size_t size) {
    struct buf command = {0};
    buf_appendf(&command, "printf '%s' | '%s' %s 2>&1", input, program, arguments);
    FILE *pipe = popen(buf_cstr(&command), "r"); /* NOLINT(cert-env33-c): our own words */
    assert_non_null(pipe);
    size_t n = fread(out, 1, size - 1, pipe);
    out[n] = 0;
    int status = pclose(pipe);
    buf_deinit(&command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_bad_options_are_named(void **state) {
    (void)state;
    static const struct {
        const char *arguments;
        const char *says;
    } rows[] = {
        {"--nonsense", "'--nonsense' is unknown"},
        {"--data", "'--data' is unknown or lacks its value"},
        {"--ms 0", "--ms: want a number from 1 to 10000, got '0'"},
        {"--ms 10001", "got '10001'"},
        {"--ms 5x", "got '5x'"},
        {"--ms -1", "got '-1'"},
        {"more", "'more' is one argument too many"},
    };
    char out[4096];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(run("", rows[i].arguments, out, sizeof out), 2);
        assert_non_null(strstr(out, rows[i].says));
    }
    assert_int_equal(run("", "--help", out, sizeof out), 0);
    assert_non_null(strstr(out, "Usage: bench-attest"));
}

static void expect_rows(const char *line) {
    static const char *const rows[] = {
        "parse", "ecdsa", "ecdsa-table", "rsa",        "decode",   "cold",      "new-leaf",
        "warm",  "hot",   "hot-1-set",   "hot-4-sets", "hot-list", "key-table", "generator-table"};
    json_t *round = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
    const json_t *sample = json_object_get(round, "simulated");
    assert_int_equal(json_object_size(round), 1);
    assert_int_equal(json_object_size(sample), sizeof rows / sizeof rows[0]);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_true(json_is_real(json_object_get(sample, rows[i])));
        assert_true(json_real_value(json_object_get(sample, rows[i])) > 0);
    }
    json_decref(round);
}

/* Without real reports it makes a machine of its own. */
static void test_a_round_for_each_line(void **state) {
    (void)state;
    char out[8192];
    assert_int_equal(run("\\n\\n", "--data /nonexistent --ms 1", out, sizeof out), 0);
    char *second = strchr(out, '\n');
    assert_non_null(second);
    expect_rows(out);
    expect_rows(second + 1);
    assert_string_equal(strchr(second + 1, '\n'), "\n");
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_options_are_named),
        cmocka_unit_test(test_a_round_for_each_line),
    };
    if (argc != 2) {
        return 2;
    }
    program = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
