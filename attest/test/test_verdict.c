/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "attest/verdict.h"

static const struct verdict_rule DEBUG_RULE = {"policy-debug", "SNP-POLICY-DEBUG", "POLICY.DEBUG",
                                               "launch it without the debug bit"};

static void test_zeroed_is_unverifiable(void **state) {
    (void)state;
    struct verdict v;
    verdict_init(&v);
    assert_int_equal(v.kind, VERDICT_UNVERIFIABLE);
    assert_string_equal(verdict_kind_name(v.kind), "unverifiable");
    assert_int_equal(v.reference, VERDICT_NO_REFERENCE);
}

static void test_denial_fills_verdict_and_error(void **state) {
    (void)state;
    struct verdict v;
    struct err err;
    verdict_init(&v);
    verdict_add_check(&v, "report-format", true);
    assert_int_equal(verdict_deny(&v, &err, &DEBUG_RULE, "0", "1").code, ERR_DENIED);
    assert_int_equal(v.kind, VERDICT_DENIED);
    assert_string_equal(err.text, "SNP-POLICY-DEBUG: POLICY.DEBUG: expected 0, actual 1; "
                                  "launch it without the debug bit");
    assert_string_equal(v.code, "SNP-POLICY-DEBUG");
    assert_string_equal(v.field, "POLICY.DEBUG");
    assert_int_equal(v.check_count, 2);
    assert_false(v.checks[1].ok);
}

static void test_lack_is_no_denial(void **state) {
    (void)state;
    struct verdict v;
    struct err err;
    verdict_init(&v);
    assert_int_equal(verdict_lack(&v, &err, &DEBUG_RULE, "x", "none").code, ERR_UNVERIFIABLE);
    assert_int_equal(v.kind, VERDICT_UNVERIFIABLE);
    assert_int_equal(err_exit_code(err.code), 1);
    assert_int_equal(verdict_deny(NULL, NULL, &DEBUG_RULE, "x", "y").code, ERR_DENIED);
}

static void test_long_text_is_cut_not_overrun(void **state) {
    (void)state;
    struct verdict v;
    struct err err;
    char text[4000];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    struct verdict_rule rule = {"name", text, text, text};
    verdict_init(&v);
    assert_false(is_ok(verdict_deny(&v, &err, &rule, text, text)));
    assert_int_equal(strlen(v.code), sizeof v.code - 1);
    assert_int_equal(strlen(v.remedy), sizeof v.remedy - 1);
}

/* A name of a manifest, cut to its room in the middle of a character: a verdict is sent as text. */
static void test_cut_text_stays_utf8(void **state) {
    (void)state;
    struct verdict v;
    char text[2 * sizeof v.expected + 2] = "";
    for (size_t i = 0; i < sizeof v.expected; i++) {
        memcpy(text + 2 * i, "\xc3\xbc", 2);
    }
    verdict_init(&v);
    err_ignore(verdict_deny(&v, NULL, &DEBUG_RULE, text, "\x1b[2J"), "the texts are looked at");
    size_t end = sizeof v.expected - 2;
    assert_memory_equal(v.expected + end - 2, "\xc3\xbc?", 4);
    assert_string_equal(v.actual, " [2J");
}

static void test_json_has_the_documented_shape(void **state) {
    (void)state;
    struct verdict v;
    verdict_init(&v);
    verdict_add_check(&v, "report-format", true);
    err_ignore(verdict_deny(&v, NULL, &DEBUG_RULE, "0", "1"), "the verdict is looked at");
    json_t *document = verdict_to_json(&v, json_object());
    char *text = json_dumps(document, JSON_COMPACT);
    assert_string_equal(
        text, "{\"verdict\":\"denied\",\"simulated\":false,\"code\":\"SNP-POLICY-DEBUG\","
              "\"field\":\"POLICY.DEBUG\",\"expected\":\"0\",\"actual\":\"1\","
              "\"remedy\":\"launch it without the debug bit\",\"reference\":null,\"tcb\":null,"
              "\"revocation\":null,\"report\":{},"
              "\"checks\":[{\"name\":\"report-format\",\"ok\":true},"
              "{\"name\":\"policy-debug\",\"ok\":false}]}");
    free(text);
    json_decref(document);
}

static void test_accepted_json_says_null(void **state) {
    (void)state;
    struct verdict v;
    verdict_init(&v);
    v.kind = VERDICT_ACCEPTED;
    v.simulated = true;
    v.reference = 1;
    json_t *document = verdict_to_json(&v, NULL);
    assert_true(json_is_null(json_object_get(document, "code")));
    assert_true(json_is_null(json_object_get(document, "report")));
    assert_true(json_is_true(json_object_get(document, "simulated")));
    assert_int_equal(json_integer_value(json_object_get(document, "reference")), 1);
    json_decref(document);
}

static void test_text_shouts_simulated(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf text = {0};
    struct verdict v;
    verdict_init(&v);
    v.kind = VERDICT_ACCEPTED;
    v.simulated = true;
    verdict_to_text(&v, &text);
    assert_non_null(strstr(buf_cstr(&text), "accepted (SIMULATED"));
}

static void fill_tcbs(struct verdict *v) {
    v->tcbs.is_known = true;
    strcpy(v->tcbs.reported, "bootloader 4, SNP 23");
    strcpy(v->tcbs.committed, "bootloader 4, SNP 24");
    strcpy(v->tcbs.current, "bootloader 4, SNP 25");
    strcpy(v->tcbs.launch, "bootloader 4, SNP 22");
    strcpy(v->tcbs.minimum, "bootloader 4, SNP 23");
    v->tcbs.compared = "LAUNCH_TCB";
    strcpy(v->revocation, "require: no list");
}

static void test_json_shows_tcbs_and_revocation(void **state) {
    (void)state;
    struct verdict v;
    verdict_init(&v);
    fill_tcbs(&v);
    json_t *document = verdict_to_json(&v, NULL);
    char *text = json_dumps(json_object_get(document, "tcb"), JSON_COMPACT);
    assert_string_equal(
        text, "{\"reported\":\"bootloader 4, SNP 23\",\"committed\":\"bootloader 4, SNP 24\","
              "\"current\":\"bootloader 4, SNP 25\",\"launch\":\"bootloader 4, SNP 22\","
              "\"certificate\":null,\"minimum\":\"bootloader 4, SNP 23\","
              "\"compared\":\"LAUNCH_TCB\"}");
    assert_string_equal(json_string_value(json_object_get(document, "revocation")),
                        "require: no list");
    free(text);
    json_decref(document);
}

static void test_text_marks_the_compared_tcb(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf text = {0};
    struct verdict v;
    verdict_init(&v);
    fill_tcbs(&v);
    verdict_to_text(&v, &text);
    const char *out = buf_cstr(&text);
    assert_non_null(strstr(out, "CRL       require: no list\nTCB\n"
                                "  reported  bootloader 4, SNP 23\n"
                                "  committed bootloader 4, SNP 24\n"
                                "  current   bootloader 4, SNP 25\n"
                                "  launch    bootloader 4, SNP 22  <- compared\n"
                                "  minimum   bootloader 4, SNP 23\n"));
    assert_null(strstr(out, "certified"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zeroed_is_unverifiable),
        cmocka_unit_test(test_denial_fills_verdict_and_error),
        cmocka_unit_test(test_lack_is_no_denial),
        cmocka_unit_test(test_long_text_is_cut_not_overrun),
        cmocka_unit_test(test_cut_text_stays_utf8),
        cmocka_unit_test(test_json_has_the_documented_shape),
        cmocka_unit_test(test_accepted_json_says_null),
        cmocka_unit_test(test_text_shouts_simulated),
        cmocka_unit_test(test_json_shows_tcbs_and_revocation),
        cmocka_unit_test(test_text_marks_the_compared_tcb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
