/* The generator of verifications from the outside: what it refuses, and its floor. argv[1]: the
 * program.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "lib/base/bytes.h"

static const char *program;

/* Exit code; stdout and stderr together in `out`. */
static int run(const char *arguments, char *out, size_t size) {
    struct buf command = {0};
    buf_appendf(&command, "'%s' %s 2>&1", program, arguments);
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
        {"", "want --target"},
        {"--nonsense", "--nonsense"},
        {"--target", "--target"},
        {"--target here", "'here' is not host:port"},
        {"--target 127.0.0.1:1 --mode slow", "--mode: want open, fresh or handshake, got 'slow'"},
        {"--target 127.0.0.1:1 --connections 0", "--connections"},
        {"--target 127.0.0.1:1 --connections 1025", "1024"},
        {"--target 127.0.0.1:1 --pause-ms 60001", "--pause-ms"},
        {"--target 127.0.0.1:1 --seconds 5x", "'5x'"},
        {"--target 127.0.0.1:1 --warm-ms 0", "--warm-ms"},
        {"--target 127.0.0.1:1 --output xml", "--output: want json or text, got 'xml'"},
        {"--target 127.0.0.1:1 more", "'more'"},
    };
    char out[4096];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(run(rows[i].arguments, out, sizeof out), 2);
        assert_non_null(strstr(out, rows[i].says));
    }
}

static void test_reports_need_a_pod(void **state) {
    (void)state;
    char out[4096];
    unsetenv("CONTRAST_SNP_SOCKET");
    assert_int_equal(run("--reports 1", out, sizeof out), 2);
    assert_non_null(strstr(out, "CONTRAST_SNP_SOCKET"));
}

static void test_nobody_at_the_target_is_a_failure(void **state) {
    (void)state;
    char out[4096];
    int code = run("--target 127.0.0.1:1 --connections 2 --seconds 1 --warm-ms 1", out, sizeof out);
    assert_int_equal(code, 1);
    assert_non_null(strstr(out, "no answer; first failure: "));
}

static void test_hashing_is_measured(void **state) {
    (void)state;
    char out[4096];
    assert_int_equal(run("--hashing 3 --output json", out, sizeof out), 0);
    const char *cost = strstr(out, "\"hash_us\":");
    assert_non_null(cost);
    assert_true(strtod(strchr(cost, ':') + 1, NULL) > 0);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_options_are_named),
        cmocka_unit_test(test_reports_need_a_pod),
        cmocka_unit_test(test_nobody_at_the_target_is_a_failure),
        cmocka_unit_test(test_hashing_is_measured),
    };
    if (argc != 2) {
        fputs("want the program's path\n", stderr);
        return 2;
    }
    program = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
