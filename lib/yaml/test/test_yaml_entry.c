/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/yaml/yaml_entry.h"

static const struct yaml_text two[] = {{"n: x\nv: 1", "{n: x, v: 1}"}, {"y", "y"}};

/* Splices the list under "l" (path) and expects the text. */
static void splice(const char *before, size_t first, size_t removed, size_t inserted,
                   const char *after) {
    AUTO(yaml_file_deinit)
    struct yaml_file file = {0};
    struct err err = {0};
    assert_true(is_ok(yaml_parse("f", span_str(before), &file, &err)));
    AUTO(yaml_edits_deinit)
    struct yaml_edits edits;
    yaml_edits_init(&edits, &file);
    const struct yaml_entry_splice s = {first, removed, two, inserted};
    const struct yaml_node *list = yaml_get(file.documents[0].root, "l");
    AUTO(buf_deinit)
    struct buf out = {0};
    if (!is_ok(yaml_entry_splice(&edits, list, &s, &err)) ||
        !is_ok(yaml_edits_apply(&edits, &out, &err))) {
        fail_msg("%s: %s", before, err.text);
    }
    assert_string_equal(buf_cstr(&out), after);
}

static void test_block_items(void **state) {
    (void)state;
    splice("l:\n- a # 1\n# b's\n- b\n", 0, 1, 0, "l:\n# b's\n- b\n");
    splice("l:\n- a\n# b's\n- b # 2\nk: v\n", 1, 1, 0, "l:\n- a\n# b's\nk: v\n");
    splice("l:\n  - a: |\n      t\n  - b", 0, 1, 0, "l:\n  - b");
    splice("l:\n  - a\n  - b", 1, 1, 0, "l:\n  - a\n");
    splice("l:\n  - a # 1\n  # b's\n  - b\n", 1, 0, 2,
           "l:\n  - a # 1\n  - n: x\n    v: 1\n  - y\n  # b's\n  - b\n");
    splice("l:\n  - a", 1, 0, 2, "l:\n  - a\n  - n: x\n    v: 1\n  - y");
    splice("l:\n  # a's\n  - a\n", 0, 0, 1, "l:\n  - n: x\n    v: 1\n  # a's\n  - a\n");
    splice("l:\n- # why\n  a: 1\n- b\n", 0, 0, 1, "l:\n- n: x\n  v: 1\n- # why\n  a: 1\n- b\n");
    splice("l:\n- # why\n  a: 1\n- b\n", 1, 0, 1, "l:\n- # why\n  a: 1\n- n: x\n  v: 1\n- b\n");
    splice("l:\r\n- a\r\n- b\r\n", 0, 1, 1, "l:\r\n- n: x\r\n  v: 1\r\n- b\r\n");
    splice("l:\r- a\r- b\r", 1, 0, 1, "l:\r- a\r- n: x\r  v: 1\r- b\r");
    splice("l:\r\n- a\r\n- b\r\n", 0, 1, 0, "l:\r\n- b\r\n");
    splice("l:\n-\n  a: 1\n-\n  b: 1\n", 0, 1, 0, "l:\n-\n  b: 1\n");
    splice("l:\n- a:\n  - deep\n\n- b\n", 0, 1, 0, "l:\n\n- b\n");
}

static void test_flow_items(void **state) {
    (void)state;
    splice("l: [a, b]", 0, 1, 0, "l: [b]");
    splice("l: [a, b]", 1, 1, 0, "l: [a]");
    splice("l: [a, b, c]", 1, 1, 0, "l: [a, c]");
    splice("l: [a, b, c]", 1, 2, 0, "l: [a]");
    splice("l: [\n  a,\n  b\n]", 0, 1, 0, "l: [\n  b\n]");
    splice("l: [\n  a,\n  b\n]", 1, 1, 0, "l: [\n  a\n]");
    splice("l: [\n  a,\n  b\n]", 0, 0, 1, "l: [\n  {n: x, v: 1},\n  a,\n  b\n]");
    splice("l: [\n  a,\n  b\n]", 1, 0, 2, "l: [\n  a,\n  {n: x, v: 1},\n  y,\n  b\n]");
    splice("k: &k v\nl: &l [*k, b]", 1, 0, 1, "k: &k v\nl: &l [*k, {n: x, v: 1}, b]");
    splice("k: &k v\nl: [a, *k]", 0, 1, 0, "k: &k v\nl: [*k]");
    splice("l: [a]", 0, 0, 2, "l: [{n: x, v: 1}, y, a]");
    splice("l: [a, b]", 1, 0, 1, "l: [a, {n: x, v: 1}, b]");
    splice("l: [a, b]", 2, 0, 1, "l: [a, b, {n: x, v: 1}]");
    splice("l: [a, b]", 0, 2, 1, "l: [{n: x, v: 1}]");
}

static void assert_refused(const char *text, const char *want) {
    AUTO(yaml_file_deinit)
    struct yaml_file file = {0};
    struct err err = {0};
    assert_true(is_ok(yaml_parse("f", span_str(text), &file, &err)));
    AUTO(yaml_edits_deinit)
    struct yaml_edits edits;
    yaml_edits_init(&edits, &file);
    const struct yaml_node *list = yaml_get(file.documents[0].root, "l");
    const struct yaml_entry_splice s = {.first = 0, .removed = 1};
    struct result r = yaml_entry_splice(&edits, list, &s, &err);
    assert_int_equal(r.code, ERR_INVALID);
    if (strstr(err.text, want) == NULL) {
        fail_msg("want %s, got %s", want, err.text);
    }
    assert_int_equal(edits.count, 0);
}

static void test_refused(void **state) {
    (void)state;
    assert_refused("l: &a [1, 2]\nk: *a\n", "f:1:4: cannot exchange what has an anchor");
    assert_refused("l:\n- &a {b: c}\n- d\n", "f:2:3: cannot exchange");
    assert_refused("l:\n- {b: [&a c]}\n- d\n", "f:2:8: cannot exchange");
    assert_refused("k: &a v\nl:\n- b: *a\n- d\n", "an anchor");
    assert_refused("l:\n- # why\n  a: 1\n- d\n", "start each on a line");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_block_items),
        cmocka_unit_test(test_flow_items),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
