/* Files of requests, good and bad. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/policy/policy_cases.h"

#define CASE(kind) "{\"kind\":\"" kind "\",\"request\":{\"a\":1}}"
#define OLD(kind) "[\"ep\":\"" kind "\",{\"a\":1}],"
#define COPY "CopyFileRequest"
#define SIGNAL "SignalProcessRequest"

static void test_every_form(void **state) {
    (void)state;
    static const char *const good[] = {
        "[" CASE(COPY) "," CASE(SIGNAL) "]", "{\"cases\": [" CASE(COPY) "," CASE(SIGNAL) "]}",
        CASE(COPY) "\n" CASE(SIGNAL) "\n",   "\n" CASE(COPY) ",\r\n\n" CASE(SIGNAL),
        OLD(COPY) "\n\n" OLD(SIGNAL) "\n\n", OLD(COPY) "\n" CASE(SIGNAL) "\n",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        json_t *cases = NULL;
        struct err err = {0};
        if (!is_ok(policy_cases_read("c", span_str(good[i]), &cases, &err))) {
            fail_msg("%s: %s", good[i], err.text);
        }
        assert_int_equal(json_array_size(cases), 2);
        const json_t *first = json_array_get(cases, 0);
        const json_t *second = json_array_get(cases, 1);
        assert_string_equal(json_string_value(json_object_get(first, "kind")), COPY);
        assert_string_equal(json_string_value(json_object_get(second, "kind")), SIGNAL);
        const json_t *a = json_object_get(json_object_get(second, "request"), "a");
        assert_int_equal(json_integer_value(a), 1);
        json_decref(cases);
    }
}

static void test_one_case_alone(void **state) {
    (void)state;
    static const char *const good[] = {CASE(COPY), "[" CASE(COPY) "]", OLD(COPY)};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        json_t *cases = NULL;
        assert_true(is_ok(policy_cases_read("c", span_str(good[i]), &cases, NULL)));
        assert_int_equal(json_array_size(cases), 1);
        json_decref(cases);
    }
}

static void test_bad_files(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *want;
    } rows[] = {
        {"", "c: is empty"},
        {" \n", "c: is empty"},
        {"[]", "c: want a list of cases"},
        {"{}", "c: want a list of cases"},
        {"7", "c: line 1, column 1: "},
        {"[3]", "c: cases[0]: must be an object"},
        {"[{\"kind\": 1}]", "c: cases[0].kind: must be the name of a request"},
        {"[" CASE(COPY) "," CASE("CreateContainer") "]",
         "c: cases[1].kind: the agent has no \"CreateContainer\""},
        {"[{\"kind\": \"" COPY "\"}]", "c: cases[0].request: must be an object"},
        {"[{\"kind\": \"" COPY "\", \"request\": {}, \"allowed\": 1}]",
         "c: cases[0].allowed: must be true or false"},
        {"{\"kind\": \"" COPY "\", \"request\": {}, \"description\": 1}",
         "c: cases[0].description: must be a string"},
        {"{\"cases\": {\"a\": 1}}", "c: want a list of cases"},
        {"[{\"kind\": \"a\", \"kind\": \"b\"}]", "duplicate object key"},
        {CASE(COPY) "\n{\"kind\":", "c: line 2: "},
        {CASE(COPY) "\n[\"ep\":\"" COPY "\"]", "c: line 2: no request"},
        {OLD(COPY) "\n[\"ep\":\"" COPY "\",7],", "c: line 2: "},
        {OLD(COPY) "\n[\"ep\":\"", "c: line 2: no request"},
        {OLD("Foo"), "c: cases[0].kind: the agent has no \"Foo\""},
        {"[\"ep\":\"\"],", "c: line 1: no request"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *cases = NULL;
        struct err err = {0};
        struct result r = policy_cases_read("c", span_str(rows[i].text), &cases, &err);
        if (r.code != ERR_INVALID || strstr(err.text, rows[i].want) == NULL || cases != NULL) {
            fail_msg("want: %s\ngot:  %s", rows[i].want, err.text);
        }
    }
}

static void test_every_prefix(void **state) {
    (void)state;
    static const char text[] = OLD(COPY) "\n" CASE(SIGNAL) ",\n" CASE(COPY);
    for (size_t size = 0; size < sizeof text; size++) {
        json_t *cases = NULL;
        if (is_ok(policy_cases_read("c", span_of(text, size), &cases, NULL))) {
            assert_in_range(json_array_size(cases), 1, 3);
        }
        json_decref(cases);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_form),
        cmocka_unit_test(test_one_case_alone),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_every_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
