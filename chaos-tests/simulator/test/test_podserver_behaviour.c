/* Tests of the file that says how the simulated security processor behaves.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "chaos-tests/simulator/podserver.h"

static const char good[] = "400 60 10\n";

static bool parses(const char *text, size_t size, struct podserver_behaviour *out) {
    struct err err = {0};
    struct result r = podserver_behaviour_parse(span_of(text, size), out, &err);
    assert_true(is_ok(r) || (r.code == ERR_CONFIG && strlen(err.text) > 0));
    return is_ok(r);
}

static void takes_three_numbers(void **unused) {
    (void)unused;
    struct podserver_behaviour b;
    assert_true(parses(good, sizeof good - 1, &b));
    assert_int_equal(400, b.latency_ms);
    assert_int_equal(60, b.busy_percent);
    assert_int_equal(10, b.refused_percent);
}

static void no_prefix_passes_and_the_output_stays(void **unused) {
    (void)unused;
    for (size_t size = 0; size < sizeof good - 1; size++) {
        struct podserver_behaviour b = {.latency_ms = 7};
        assert_false(parses(good, size, &b));
        assert_int_equal(7, b.latency_ms);
    }
}

static void refuses_what_does_not_fit(void **unused) {
    (void)unused;
    static const char *const bad[] = {
        "60001 0 0\n",
        "0 101 0\n",
        "0 0 101\n",
        "-1 0 0\n",
        " 1 0 0\n",
        "1  0 0\n",
        "1 0 0 \n",
        "1 0 0\n\n",
        "1 0 0 0\n",
        "0x1 0 0\n",
        "1,0,0\n",
        "1 0 0\r\n",
        "99999999999999999999999 0 0\n",
        "\n",
        "00000000000000000000000000000000000000000000000000000000000001 0 0\n"};
    struct podserver_behaviour b;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(parses(bad[i], strlen(bad[i]), &b));
    }
    assert_false(parses("1 0 0\n\0", 7, &b));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_three_numbers),
        cmocka_unit_test(no_prefix_passes_and_the_output_stays),
        cmocka_unit_test(refuses_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
