/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/policy/policy_initdata.h"
#include "cli/policy/policy_text.h"
#include "lib/base/limits.h"

#define POD                                                                                        \
    "kind: Pod\nmetadata: {name: p, annotations: {contrast.edgeless.systems/policy-profile: "      \
    "initdata%s}}\nspec: {containers: [{name: c, image: i, command: [%s]}]}\n"

static void parse(const char *yaml, struct yaml_file *file, struct workload_list *list) {
    assert_true(is_ok(yaml_parse("f", span_str(yaml), file, NULL)));
    assert_true(is_ok(workload_find(file, list, NULL)));
    assert_int_equal(list->count, 1);
}

static void make_yaml(const char *more, const char *command, struct buf *out) {
    buf_appendf(out, POD, more, command);
}

static void test_document_and_annotation(void **state) {
    (void)state;
    static const struct policy_inputs none = {0};
    struct yaml_file file = {0};
    struct workload_list list = {0};
    struct buf yaml = {0};
    struct buf document = {0};
    struct buf value = {0};
    make_yaml("", "a", &yaml);
    parse(buf_cstr(&yaml), &file, &list);
    assert_true(is_ok(policy_text_make(&list.items[0], &none, &document, NULL)));
    const char *head = "version = \"0.1.0\"\nalgorithm = \"sha256\"\n\n[data]\n"
                       "\"policy.rego\" = '''\n" POLICY_TEXT_FIRST_LINE;
    assert_memory_equal(document.data, head, strlen(head));
    assert_memory_equal(document.data + document.size - 7, "\n}\n'''\n", 7);
    policy_text_encode(&list.items[0], buf_span(&document), &value);
    workload_list_deinit(&list);
    yaml_file_deinit(&file);

    struct buf more = {0};
    struct buf again = {0};
    buf_appendf(&more, ", " WORKLOAD_INITDATA_ANNOTATION ": %s", buf_cstr(&value));
    buf_clear(&yaml);
    make_yaml(buf_cstr(&more), "a", &yaml);
    parse(buf_cstr(&yaml), &file, &list);
    assert_true(is_ok(policy_text_decode(&list.items[0], &again, NULL)));
    assert_true(span_equal(buf_span(&again), buf_span(&document)));
    workload_list_deinit(&list);
    yaml_file_deinit(&file);
    buf_deinit(&yaml);
    buf_deinit(&document);
    buf_deinit(&value);
    buf_deinit(&more);
    buf_deinit(&again);
}

static void test_holds_quotes_and_controls(void **state) {
    (void)state;
    static const struct policy_inputs none = {0};
    struct yaml_file file = {0};
    struct workload_list list = {0};
    struct buf yaml = {0};
    struct buf document = {0};
    make_yaml("", "\"x'''y\\x7f\\ez#\"", &yaml);
    parse(buf_cstr(&yaml), &file, &list);
    assert_true(is_ok(policy_text_make(&list.items[0], &none, &document, NULL)));
    assert_non_null(
        strstr(buf_cstr(&document), "\"x\\u0027\\u0027\\u0027y\\u007f\\u001Bz\\u0023\""));
    buf_clear(&document);
    struct err err = {0};
    const char *const bad[] = {"a'''b", "a\rb", "a\x7f"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct result r = policy_initdata_make(&list.items[0], span_str(bad[i]), &document, &err);
        assert_int_equal(r.code, ERR_INVALID);
        assert_non_null(strstr(err.text, "Pod/p: a text of the pod has '''"));
        assert_int_equal(document.size, 0);
    }
    workload_list_deinit(&list);
    yaml_file_deinit(&file);
    buf_deinit(&yaml);
    buf_deinit(&document);
}

static void test_refuses_annotations_over_the_limit(void **state) {
    (void)state;
    static const struct policy_inputs none = {0};
    struct yaml_file file = {0};
    struct workload_list list = {0};
    struct buf yaml = {0};
    struct buf more = {0};
    struct buf document = {0};
    struct err err = {0};
    buf_appendf(&more, ", other: '%0*d'", 250 * 1024, 0);
    make_yaml(buf_cstr(&more), "a", &yaml);
    parse(buf_cstr(&yaml), &file, &list);
    assert_int_equal(policy_text_make(&list.items[0], &none, &document, &err).code, ERR_INVALID);
    assert_non_null(strstr(err.text, "the annotations of Pod/p would have"));
    workload_list_deinit(&list);
    yaml_file_deinit(&file);
    buf_deinit(&yaml);
    buf_deinit(&more);
}

static void test_packs_any_size(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 65534, 65535, 65536, 200000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct buf bytes = {0};
        struct buf packed = {0};
        struct buf again = {0};
        for (size_t k = 0; k < sizes[i]; k++) {
            buf_append_u8(&bytes, 'x');
        }
        policy_initdata_pack(buf_span(&bytes), &packed);
        assert_int_equal(packed.size, policy_initdata_size(sizes[i]));
        assert_true(is_ok(policy_initdata_unpack(buf_span(&packed), &again, NULL)));
        assert_true(span_equal(buf_span(&again), buf_span(&bytes)));
        buf_deinit(&bytes);
        buf_deinit(&packed);
        buf_deinit(&again);
    }
}

/* The check value of CRC-32 and a stream that gzip(1) itself accepts. */
static void test_known_answer(void **state) {
    (void)state;
    struct buf packed = {0};
    policy_initdata_pack(span_str("123456789"), &packed);
    static const uint8_t want[] = {0x1f, 0x8b, 8,    0,    0,    0,    0,   0,   0,   255, 1,
                                   9,    0,    0xf6, 0xff, '1',  '2',  '3', '4', '5', '6', '7',
                                   '8',  '9',  0x26, 0x39, 0xf4, 0xcb, 9,   0,   0,   0};
    assert_true(span_equal(buf_span(&packed), SPAN(want)));
    buf_deinit(&packed);
}

static void test_refuses_every_prefix_and_flip(void **state) {
    (void)state;
    struct buf packed = {0};
    struct buf out = {0};
    policy_initdata_pack(span_str("some text"), &packed);
    for (size_t i = 0; i < packed.size; i++) {
        assert_false(is_ok(policy_initdata_unpack(span_of(packed.data, i), &out, NULL)));
        packed.data[i] ^= 4;
        assert_false(is_ok(policy_initdata_unpack(buf_span(&packed), &out, NULL)));
        packed.data[i] ^= 4;
        assert_int_equal(out.size, 0);
    }
    buf_append_u8(&packed, 0);
    assert_false(is_ok(policy_initdata_unpack(buf_span(&packed), &out, NULL)));
    struct buf large = {0};
    memset(buf_extend(&large, LIMIT_POLICY + 1), 0, LIMIT_POLICY + 1);
    buf_clear(&packed);
    policy_initdata_pack(buf_span(&large), &packed);
    assert_int_equal(policy_initdata_unpack(buf_span(&packed), &out, NULL).code, ERR_TOO_LARGE);
    buf_deinit(&packed);
    buf_deinit(&large);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_document_and_annotation),
        cmocka_unit_test(test_holds_quotes_and_controls),
        cmocka_unit_test(test_refuses_annotations_over_the_limit),
        cmocka_unit_test(test_packs_any_size),
        cmocka_unit_test(test_known_answer),
        cmocka_unit_test(test_refuses_every_prefix_and_flip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
