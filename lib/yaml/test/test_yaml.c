/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "lib/base/file.h"
#include "lib/base/limits.h"
#include "lib/yaml/yaml.h"
#include "lib/yaml/yaml_edit.h"

static struct yaml_file parse(const char *text) {
    struct yaml_file file = {0};
    struct err err;
    if (!is_ok(yaml_parse("f.yaml", span_str(text), &file, &err))) {
        fail_msg("%s in: %s", err.text, text);
    }
    return file;
}

static void assert_refused(struct span text, const char *want) {
    struct yaml_file file = {0};
    struct err err;
    struct result r = yaml_parse("f.yaml", text, &file, &err);
    if (r.code != ERR_INVALID || strstr(err.text, want) == NULL) {
        fail_msg("want '%s', got '%s'", want, is_ok(r) ? "success" : err.text);
    }
    assert_int_equal(file.count, 0);
}

static void test_tree_and_paths(void **state) {
    (void)state;
    struct yaml_file f = parse("a: 1\nb:\n  c:\n  - x\n  - y: 'z'\n---\n[p, q]\n---\n");
    assert_int_equal(f.count, 3);
    const struct yaml_node *root = f.documents[0].root;
    assert_int_equal(root->kind, YAML_KIND_MAPPING);
    assert_int_equal(root->count, 2);
    assert_string_equal(yaml_get(root, "b.c[0]")->value, "x");
    assert_string_equal(yaml_get(root, "b.c[1].y")->value, "z");
    assert_int_equal(yaml_get(root, "b.c[1].y")->layout, YAML_LAYOUT_QUOTED);
    assert_null(yaml_get(root, "b.c[2]"));
    assert_null(yaml_get(root, "b.d.e"));
    assert_null(yaml_get(root, "b.c[x]"));
    assert_null(yaml_key(root, "c"));
    assert_int_equal(yaml_get(f.documents[1].root, "[1]")->value[0], 'q');
    assert_null(f.documents[2].root);
    yaml_file_deinit(&f);
}

static void test_marks_are_bytes(void **state) {
    (void)state;
    static const char text[] = "\xef\xbb\xbf# \xc3\xbc\r\nk\xe2\x82\xac: v\xc3\xa4l\nn:\n  - one\n";
    struct yaml_file f = parse(text);
    const struct yaml_node *v = yaml_key(f.documents[0].root, "k\xe2\x82\xac");
    assert_memory_equal(text + v->start.offset, "v\xc3\xa4l\n", 5);
    assert_int_equal(v->end.offset - v->start.offset, 4);
    assert_int_equal(v->start.line, 2);
    assert_int_equal(v->start.column, 5);
    const struct yaml_node *n = yaml_key(f.documents[0].root, "n");
    assert_memory_equal(text + n->start.offset, "- one\n", 6);
    assert_int_equal(n->end.offset, strlen(text) - 1);
    yaml_file_deinit(&f);
}

static void test_refuses_with_position(void **state) {
    (void)state;
    assert_refused(span_str("a: 1\nb: 2\na: 3\n"), "f.yaml:3:1: key \"a\" stands in line 1");
    assert_refused(span_str("a:\n\tb: 1\n"), "f.yaml:2:1: a tab where YAML wants spaces");
    assert_refused(span_str("a: \xff\n"), "f.yaml:1:4: not UTF-8");
    assert_refused(span_of("a: \0\n", 5), "f.yaml:1:4: a NUL byte");
    assert_refused(span_str("a: \"\\0\"\n"), "f.yaml:1:4: a NUL character");
    assert_refused(span_str("a: b: c\n"), "f.yaml:1:5: mapping values are not allowed");
    assert_refused(span_str("a: [1, 2\nb: 3\n"), "f.yaml:2:");
    assert_refused(span_str("{a: b}: c\n"), "f.yaml:1:1: a mapping key that is not a scalar");
    assert_refused(span_str("a: *x\n"), "f.yaml:1:4: an alias without its anchor");
    assert_refused(span_str("a: &x\n  b: *x\n"), "f.yaml:2:6: an alias of a node that contains");
    assert_refused(span_str("a: \xed\xa0\x80\n"), "not UTF-8");
    assert_refused(span_str("a: \xc0\x80\n"), "not UTF-8");
}

static void test_limits(void **state) {
    (void)state;
    char deep[2 * LIMIT_YAML_DEPTH + 3];
    memset(deep, '[', LIMIT_YAML_DEPTH + 1);
    memset(deep + LIMIT_YAML_DEPTH + 1, ']', LIMIT_YAML_DEPTH + 1);
    assert_refused(span_of(deep, 2 * LIMIT_YAML_DEPTH + 2), "nested deeper");
    struct yaml_file f = {0};
    assert_true(is_ok(yaml_parse("f", span_of(deep + 1, 2 * (size_t)LIMIT_YAML_DEPTH), &f, NULL)));
    yaml_file_deinit(&f);
    AUTO(buf_deinit)
    struct buf bomb = {0};
    buf_append_str(&bomb, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 9; i++) {
        buf_appendf(&bomb, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i,
                    i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    }
    assert_refused(buf_span(&bomb), "aliases expand to more nodes");
}

static void test_aliases_are_the_node(void **state) {
    (void)state;
    struct yaml_file f = parse("a: &x {k: v}\nb: *x\n");
    const struct yaml_node *root = f.documents[0].root;
    assert_ptr_equal(yaml_key(root, "a"), yaml_key(root, "b"));
    assert_true(yaml_key(root, "a")->is_anchored);
    yaml_file_deinit(&f);
}

static void test_scalar_types(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum yaml_type type;
    } rows[] = {
        {"", YAML_TYPE_NULL},           {"~", YAML_TYPE_NULL},
        {"Null", YAML_TYPE_NULL},       {"true", YAML_TYPE_BOOL},
        {"False", YAML_TYPE_BOOL},      {"tRue", YAML_TYPE_STRING},
        {"12", YAML_TYPE_INT},          {"-0x1F", YAML_TYPE_INT},
        {"0o17", YAML_TYPE_INT},        {"0644", YAML_TYPE_INT},
        {"1.5", YAML_TYPE_FLOAT},       {".5e-3", YAML_TYPE_FLOAT},
        {"1e3", YAML_TYPE_FLOAT},       {".inf", YAML_TYPE_FLOAT},
        {"1.2.3", YAML_TYPE_STRING},    {"yes", YAML_TYPE_AMBIGUOUS},
        {"off", YAML_TYPE_AMBIGUOUS},   {"1_000", YAML_TYPE_AMBIGUOUS},
        {"0b1", YAML_TYPE_AMBIGUOUS},   {"\"yes\"", YAML_TYPE_STRING},
        {"'1'", YAML_TYPE_STRING},      {"!!str 1", YAML_TYPE_STRING},
        {"100m", YAML_TYPE_STRING},     {"-x", YAML_TYPE_STRING},
        {"1e", YAML_TYPE_STRING},       {".", YAML_TYPE_STRING},
        {"0x", YAML_TYPE_STRING},       {"0X1F", YAML_TYPE_AMBIGUOUS},
        {"0o1_7", YAML_TYPE_AMBIGUOUS}, {"1_0.5e+3", YAML_TYPE_AMBIGUOUS},
        {"0B", YAML_TYPE_STRING},       {"1_g", YAML_TYPE_STRING},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "k: %s\n", rows[i].text);
        struct yaml_file f = parse(text);
        if (yaml_type_of(yaml_key(f.documents[0].root, "k")) != rows[i].type) {
            fail_msg("type of %s", rows[i].text);
        }
        yaml_file_deinit(&f);
    }
}

static void test_typed_reads(void **state) {
    (void)state;
    struct yaml_file f =
        parse("s: text\nb: true\ni: 0644\no: 0o10\nn: -12\nbig: 99999999999999999999\n");
    const struct yaml_node *root = f.documents[0].root;
    const char *s = NULL;
    bool b = false;
    int64_t i = 0;
    struct err err;
    assert_true(is_ok(yaml_read_string(&f, yaml_key(root, "s"), &s, NULL)));
    assert_string_equal(s, "text");
    assert_true(is_ok(yaml_read_bool(&f, yaml_key(root, "b"), &b, NULL)) && b);
    assert_true(is_ok(yaml_read_int(&f, yaml_key(root, "i"), &i, NULL)) && i == 420);
    assert_true(is_ok(yaml_read_int(&f, yaml_key(root, "o"), &i, NULL)) && i == 8);
    assert_true(is_ok(yaml_read_int(&f, yaml_key(root, "n"), &i, NULL)) && i == -12);
    assert_false(is_ok(yaml_read_int(&f, yaml_key(root, "big"), &i, &err)));
    assert_false(is_ok(yaml_read_string(&f, yaml_key(root, "b"), &s, &err)));
    assert_string_equal(err.text, "f.yaml:2:4: must be a string but \"true\" is a boolean; put it "
                                  "in quotes");
    assert_false(is_ok(yaml_read_bool(&f, root, &b, &err)));
    yaml_file_deinit(&f);
}

/* Applies add_pair to `path`, or add_item for a list, and compares. */
static void assert_added(const char *text, const char *path, struct yaml_text piece,
                         const char *want) {
    struct yaml_file f = parse(text);
    const struct yaml_node *node = yaml_get(f.documents[0].root, path);
    struct yaml_edits e;
    yaml_edits_init(&e, &f);
    AUTO(buf_deinit)
    struct buf out = {0};
    node = path[0] == '\0' ? f.documents[0].root : node;
    assert_true(is_ok(node->kind == YAML_KIND_SEQUENCE
                          ? yaml_edit_add_item(&e, node, piece, NULL)
                          : yaml_edit_add_pair(&e, node, piece, NULL)));
    assert_true(is_ok(yaml_edits_apply(&e, &out, NULL)));
    assert_string_equal(buf_cstr(&out), want);
    yaml_edits_deinit(&e);
    yaml_file_deinit(&f);
}

static void test_edit_adds(void **state) {
    (void)state;
    const struct yaml_text pair = {"n:\n  m: 1", "n: {m: 1}"};
    const struct yaml_text item = {"p: 1\nq: 2", "{p: 1, q: 2}"};
    assert_added("a:\n  # why\n  b: 1   # c\n", "a", pair,
                 "a:\n  n:\n    m: 1\n  # why\n  b: 1   # c\n");
    assert_added("l:\n- b: 1\n  c: 2", "l[0]", pair, "l:\n- b: 1\n  n:\n    m: 1\n  c: 2");
    assert_added("l:\n- b: 1\n  # of c\n  c: 2", "l[0]", pair,
                 "l:\n- b: 1\n  n:\n    m: 1\n  # of c\n  c: 2");
    assert_added("l:\n- b: 1\n", "l[0]", pair, "l:\n- n:\n    m: 1\n  b: 1\n");
    assert_added("a: {b: 1}\n", "a", pair, "a: {n: {m: 1}, b: 1}\n");
    assert_added("a: {}\n", "a", pair, "a: {n: {m: 1}}\n");
    assert_added("l:\n  - x\r\n  - y\r\n", "l", item, "l:\n  - p: 1\n    q: 2\n  - x\r\n  - y\r\n");
    assert_added("l:\r\n- x\r\n", "l", item, "l:\r\n- p: 1\r\n  q: 2\r\n- x\r\n");
    assert_added("l: [x]\n", "l", item, "l: [{p: 1, q: 2}, x]\n");
    assert_added("l: []\n", "l", item, "l: [{p: 1, q: 2}]\n");
}

static void assert_replaced(const char *text, const char *path, struct yaml_text piece,
                            const char *want) {
    struct yaml_file f = parse(text);
    struct yaml_edits e;
    yaml_edits_init(&e, &f);
    AUTO(buf_deinit)
    struct buf out = {0};
    assert_true(is_ok(yaml_edit_replace(&e, yaml_get(f.documents[0].root, path), piece, NULL)));
    assert_true(is_ok(yaml_edits_apply(&e, &out, NULL)));
    assert_string_equal(buf_cstr(&out), want);
    assert_int_equal(e.count == 0, strcmp(text, want) == 0);
    yaml_edits_deinit(&e);
    yaml_file_deinit(&f);
}

static void test_edit_replaces(void **state) {
    (void)state;
    const struct yaml_text v = {"p: 1\nq: 2", "new"};
    assert_replaced("a: 'old' # c\nb: 2\n", "a", v, "a: new # c\nb: 2\n");
    assert_replaced("a: new\n", "a", v, "a: new\n");
    assert_replaced("a:\nb: 2\n", "a", v, "a: new\nb: 2\n");
    const struct yaml_text map = {"p: 1\nq: 2", "{p: 1, q: 2}"};
    assert_replaced("a:\nb: 2\n", "a", map, "a:\n  p: 1\n  q: 2\nb: 2\n");
    assert_replaced("a:\n- b: # why\r\n  c: d", "a[0].b", map,
                    "a:\n- b: # why\n    p: 1\n    q: 2\r\n  c: d");
    assert_replaced("a: &x # why", "a", map, "a: &x {p: 1, q: 2} # why");
    assert_replaced("{a: }", "a", map, "{a: {p: 1, q: 2}}");
    assert_replaced("a: |\n  x\n  y\nb: 2\n", "a", v, "a: new\nb: 2\n");
    assert_replaced("l:\n  - x: 1\n    y: 2\n\n# c\n  - z\n", "l[0]", v,
                    "l:\n  - p: 1\n    q: 2\n\n# c\n  - z\n");
}

/* A comment above the first entry stays with it, one of the whole file or of the key before not. */
static void test_edit_keeps_comments_with_their_entries(void **state) {
    (void)state;
    const struct yaml_text pair = {"n: 1", "n: 1"};
    assert_added("a:  # of a\n  # x\n  # y\n  b: 1\n", "a", pair,
                 "a:  # of a\n  n: 1\n  # x\n  # y\n  b: 1\n");
    assert_added("a:\n  # far\n\n  # near\n  b: 1\n", "a", pair,
                 "a:\n  # far\n\n  n: 1\n  # near\n  b: 1\n");
    assert_added("a:\n # elsewhere\n  b: 1\n", "a", pair, "a:\n  n: 1\n # elsewhere\n  b: 1\n");
    assert_added("k:\n    # deeper\n  - a\n", "k", pair, "k:\n  - n: 1\n    # deeper\n  - a\n");
    assert_added("k:\r\n# x\r\n- a\r\n", "k", pair, "k:\r\n- n: 1\r\n# x\r\n- a\r\n");
    assert_added("# license\na:\n  b: 1\n", "", pair, "# license\nn: 1\na:\n  b: 1\n");
    assert_added("\xef\xbb\xbf"
                 "a: 1\n",
                 "", pair,
                 "\xef\xbb\xbf"
                 "n: 1\na: 1\n");
    assert_added("a:\r  b: 1\r", "a", pair, "a:\r  n: 1\r  b: 1\r");
}

static void test_edit_keeps_json(void **state) {
    (void)state;
    const struct yaml_text pair = {"\"n\": 1", "\"n\": 1"};
    assert_added("{\n\t\"a\": {\n\t\t\"b\": 1\n\t}\n}\n", "a", pair,
                 "{\n\t\"a\": {\n\t\t\"n\": 1,\n\t\t\"b\": 1\n\t}\n}\n");
    assert_added("{\"a\":{\"b\":1}}", "a", pair, "{\"a\":{\"n\": 1, \"b\":1}}");
    assert_added("{\"a\": [ ]}", "a", pair, "{\"a\": [\"n\": 1 ]}");
    assert_added("{\"a\": [\n  {\"b\": 1}]}\r\n", "a", (struct yaml_text){"", "{\"n\": 1}"},
                 "{\"a\": [\n  {\"n\": 1},\n  {\"b\": 1}]}\r\n");
}

static void test_edit_behind_anchors_and_tags(void **state) {
    (void)state;
    const struct yaml_text text = {"n: 1", "n: 1"};
    assert_added("a: &x\n  b: 1\n", "a", text, "a: &x\n  n: 1\n  b: 1\n");
    assert_added("a: &x # why\n- b: 1\n", "a", text, "a: &x # why\n- n: 1\n- b: 1\n");
    assert_added("a: !!seq &x\n  # why\n  - b\n", "a", text,
                 "a: !!seq &x\n  - n: 1\n  # why\n  - b\n");
    assert_added("a: &x {b: 1}\n", "a", text, "a: &x {n: 1, b: 1}\n");
    assert_added("a:\n  &k b: 1\n", "a", text, "a:\n  n: 1\n  &k b: 1\n");
    assert_added("b: &x {c: 1}\na: {<<: *x}\n", "a", text, "b: &x {c: 1}\na: {<<: *x, n: 1}\n");
    assert_added("b: &x {c: 1}\na:\n  <<: *x\n", "a", text, "b: &x {c: 1}\na:\n  <<: *x\n  n: 1\n");
    assert_added("b: &x {c: 1}\na:\n- <<: *x # why\n  d: 1\n", "a[0]", text,
                 "b: &x {c: 1}\na:\n- <<: *x # why\n  n: 1\n  d: 1\n");
    const struct yaml_text v = {"p: 1", "new"};
    assert_replaced("a: &x old\nb: *x\n", "a", v, "a: &x new\nb: *x\n");
    assert_replaced("a: &x old\nb: *x\n", "b", v, "a: &x new\nb: *x\n");
    assert_replaced("a: &x\nb: 1\n", "a", v, "a: &x new\nb: 1\n");
    assert_replaced("x: &x 1\nl:\n- b: 1\n  c: *x\n- d\n", "l[0]", v, "x: &x 1\nl:\n- p: 1\n- d\n");
}

static void test_edit_of_shared_nodes(void **state) {
    (void)state;
    const struct yaml_text one = {"n: 1", "n: 1"};
    const struct yaml_text two = {"n: 2", "n: 2"};
    struct yaml_file f = parse("a: &x {b: 1}\nc: *x\nd: &y [1]\ne: *y\nf: &z 1\ng: *z\nh: {}\n");
    const struct yaml_node *root = f.documents[0].root;
    AUTO(yaml_edits_deinit)
    struct yaml_edits e;
    AUTO(buf_deinit)
    struct buf out = {0};
    struct err err;
    yaml_edits_init(&e, &f);
    assert_true(yaml_get(root, "a.b")->is_shared && !yaml_key(root, "h")->is_shared);
    assert_true(is_ok(yaml_edit_add_pair(&e, yaml_key(root, "a"), one, NULL)));
    assert_true(is_ok(yaml_edit_add_pair(&e, yaml_key(root, "c"), one, NULL)));
    assert_false(is_ok(yaml_edit_add_pair(&e, yaml_key(root, "c"), two, &err)));
    assert_non_null(strstr(err.text, "f.yaml:1:4: an alias brings this to several places"));
    assert_true(is_ok(yaml_edit_add_item(&e, yaml_key(root, "d"), one, NULL)));
    assert_true(is_ok(yaml_edit_add_item(&e, yaml_key(root, "e"), one, NULL)));
    assert_true(is_ok(yaml_edit_replace(&e, yaml_key(root, "f"), one, NULL)));
    assert_true(is_ok(yaml_edit_replace(&e, yaml_key(root, "g"), one, NULL)));
    assert_false(is_ok(yaml_edit_replace(&e, yaml_key(root, "g"), two, &err)));
    assert_true(is_ok(yaml_edits_apply(&e, &out, NULL)));
    assert_string_equal(buf_cstr(&out), "a: &x {n: 1, b: 1}\nc: *x\nd: &y [n: 1, 1]\ne: *y\n"
                                        "f: &z n: 1\ng: *z\nh: {}\n");
    yaml_file_deinit(&f);
}

static void assert_uneditable(const char *text, const char *path, const char *want) {
    struct yaml_file f = parse(text);
    const struct yaml_node *node = yaml_get(f.documents[0].root, path);
    const struct yaml_text piece = {"n: 1", "n: 1"};
    struct yaml_edits e;
    struct err err = {0};
    yaml_edits_init(&e, &f);
    struct result r = node->kind == YAML_KIND_SCALAR ? yaml_edit_replace(&e, node, piece, &err)
                      : node->kind == YAML_KIND_SEQUENCE
                          ? yaml_edit_add_item(&e, node, piece, &err)
                          : yaml_edit_add_pair(&e, node, piece, &err);
    if (r.code != ERR_INVALID || strstr(err.text, want) == NULL) {
        fail_msg("want '%s', got '%s' for %s", want, err.text, text);
    }
    assert_int_equal(e.count, 0);
    yaml_edits_deinit(&e);
    yaml_file_deinit(&f);
}

/* Drops the entries whose letter stands in `drop` from the collection at "a". */
static void assert_removed(const char *text, const char *drop, const char *want) {
    struct yaml_file f = parse(text);
    const struct yaml_node *node = yaml_key(f.documents[0].root, "a");
    bool flags[8] = {false};
    for (size_t i = 0; i < node->count; i++) {
        const struct yaml_node *entry =
            node->kind == YAML_KIND_MAPPING ? node->pairs[i].key : node->items[i];
        entry = entry->kind == YAML_KIND_MAPPING ? entry->pairs[0].key : entry;
        flags[i] = strstr(drop, entry->value) != NULL;
    }
    struct yaml_edits e;
    struct err err = {0};
    AUTO(buf_deinit)
    struct buf out = {0};
    yaml_edits_init(&e, &f);
    struct result r = yaml_edit_remove(&e, node, flags, &err);
    assert_true(is_ok(yaml_edits_apply(&e, &out, NULL)));
    const char *got = is_ok(r) ? buf_cstr(&out) : err.text;
    if (is_ok(r) ? strcmp(got, want) != 0 : strstr(got, want) == NULL) {
        fail_msg("want '%s', got '%s'", want, got);
    }
    yaml_edits_deinit(&e);
    yaml_file_deinit(&f);
}

static void test_edit_refuses_odd_layouts(void **state) {
    (void)state;
    assert_added("a:\n  ? c\n  : d\n", "a", (struct yaml_text){"n: 1", ""},
                 "a:\n  n: 1\n  ? c\n  : d\n");
    assert_uneditable("a:\n  ? c\n", "a.c", "f.yaml:3:1: cannot set a value here");
    assert_uneditable("? a\n: - b\n", "a", "f.yaml:2:3: cannot add an entry here; start");
    assert_uneditable("a: [b: 1]\n", "a[0]", "f.yaml:1:5: cannot add an entry here; write the b");
    assert_uneditable("a: {b, c}\n", "a.b", "cannot set a value here");
    assert_uneditable("a: {b: # c\n  }\n", "a.b", "cannot set a value here");
    assert_removed("a:\n- x: &n 1\n- y: *n\n", "x", "f.yaml:2:6: an alias elsewhere needs this");
}

static void test_edit_removes(void **state) {
    (void)state;
    const char *list = "a:\n- x: 1 # c\n  y: 2 # d\n# next\n- z\n- |\n  w\n\nb: 1\n";
    assert_removed(list, "x", "a:\n# next\n- z\n- |\n  w\n\nb: 1\n");
    assert_removed(list, "xz", "a:\n- |\n  w\n\nb: 1\n");
    assert_removed(list, "w\n", "a:\n- x: 1 # c\n  y: 2 # d\n# next\n- z\n\nb: 1\n");
    assert_removed(list, "xw\n", "a:\n# next\n- z\n\nb: 1\n");
    assert_removed(list, "xzw\n", "f.yaml:2:1: nothing would be left here");
    assert_removed("a:\n  x: 1\n  y: 2", "y", "a:\n  x: 1\n");
    assert_removed("a:\r\n  x: 1\r\n  y: 2\r\n", "x", "a:\r\n  y: 2\r\n");
    assert_removed("a: &n\n-\n  x\n- # c\n  y\n", "y", "a: &n\n-\n  x\n");
    assert_removed("b: &n\n  q: 1\na:\n- x\n- *n\n- z\n", "q", "b: &n\n  q: 1\na:\n- x\n- z\n");
    assert_removed("a:\n- x: |+\n    t\n- y\n\n\n- z\n", "y", "a:\n- x: |+\n    t\n- z\n");
    assert_removed("a:\n  ? x\n  y: 1\n", "x", "a:\n  y: 1\n");
    assert_removed("a: [x, y, z]\n", "y", "a: [x, z]\n");
    assert_removed("a: [x, y, z]\n", "xy", "a: [z]\n");
    assert_removed("a: [x, y, z]\n", "yz", "a: [x]\n");
    assert_removed("a: [x, y, z]\n", "xz", "a: [y]\n");
    assert_removed("a: {x: 1, y: 2}\n", "xy", "a: {}\n");
    assert_removed("b: &n {q: 1}\na:\n  <<: *n\n  x: 1\n  y: 1\n", "x", "beside <<");
}

static void test_removal_in_the_line_of_a_dash(void **state) {
    (void)state;
    struct yaml_file f = parse("- x: 1\n  y: 2\n");
    const bool drop[] = {true, false};
    AUTO(yaml_edits_deinit)
    struct yaml_edits e;
    AUTO(buf_deinit)
    struct buf out = {0};
    yaml_edits_init(&e, &f);
    assert_true(is_ok(yaml_edit_remove(&e, f.documents[0].root->items[0], drop, NULL)));
    assert_true(is_ok(yaml_edits_apply(&e, &out, NULL)));
    assert_string_equal(buf_cstr(&out), "- y: 2\n");
    yaml_file_deinit(&f);
}

static const char *value_at(const struct yaml_file *f, const char *path) {
    const struct yaml_node *node = yaml_get(f->documents[0].root, path);
    return node != NULL ? node->value : "(none)";
}

static void test_merge_keys(void **state) {
    (void)state;
    struct yaml_file f = parse("a: &a {x: 1, y: 2}\nb: &b\n  <<: *a\n  y: 3\n  z: 4\n"
                               "c:\n  <<: [*b, *a, {w: 5, x: 9}]\nd:\n  '<<': *a\n");
    assert_string_equal(value_at(&f, "b.x"), "1");
    assert_string_equal(value_at(&f, "b.y"), "3");
    assert_string_equal(value_at(&f, "b.<<"), "(none)");
    assert_string_equal(value_at(&f, "c.x"), "1");
    assert_string_equal(value_at(&f, "c.y"), "3");
    assert_string_equal(value_at(&f, "c.z"), "4");
    assert_string_equal(value_at(&f, "c.w"), "5");
    assert_string_equal(value_at(&f, "d.<<.y"), "2");
    assert_true(yaml_get(f.documents[0].root, "a.y")->is_shared);
    yaml_file_deinit(&f);
    assert_refused(span_str("a: &a {x: 1}\nb:\n  x: 2\n  <<: *a\n"),
                   "f.yaml:3:3: parsers disagree whether this key");
    assert_refused(span_str("a: {<<: 1}\n"), "f.yaml:1:9: << wants a mapping or a list");
    assert_refused(span_str("a: {<<: [{b: 1}, [c]]}\n"), "f.yaml:1:18: << wants a mapping");
}

static void test_merge_bombs(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf wide = {0};
    buf_append_str(&wide, "a: &a\n");
    for (int i = 0; i < LIMIT_YAML_MERGE + 1; i++) {
        buf_appendf(&wide, "  k%d: 1\n", i);
    }
    buf_append_str(&wide, "b: {<<: *a}\n");
    assert_refused(buf_span(&wide), "<< brings more keys than this program reads");
    AUTO(buf_deinit)
    struct buf many = {0};
    for (int d = 0; d < 20; d++) { /* the limit holds for all documents together */
        buf_append_str(&many, "---\na: &a\n");
        for (int i = 0; i < 900; i++) {
            buf_appendf(&many, "  k%d: 1\n", i);
        }
        for (int i = 0; i < 60; i++) {
            buf_appendf(&many, "m%d: {<<: *a}\n", i);
        }
    }
    assert_refused(buf_span(&many), "more");
}

static int parsed_files;
static int refused_files;

/* Real files with a real mistake: a key given twice, a template that is no YAML yet. */
static bool is_known_bad(const char *path) {
    static const char *const names[] = {"_archived_openshift-origin_etcd-controller.yaml",
                                        "_archived_openshift-origin_openshift-controller.yaml",
                                        "_archived_storage_vitess_vtgate-controller-template.yaml",
                                        NULL};
    for (size_t i = 0; names[i] != NULL; i++) {
        if (strcmp(strrchr(path, '/') + 1, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int parse_real(const char *path, const struct stat *st, int kind, struct FTW *ftw) {
    (void)st;
    (void)ftw;
    const char *dot = strrchr(path, '.');
    if (kind != FTW_F || dot == NULL || (strcmp(dot, ".yaml") != 0 && strcmp(dot, ".yml") != 0)) {
        return 0;
    }
    AUTO(buf_deinit)
    struct buf text = {0};
    struct yaml_file f = {0};
    struct err err = {0};
    assert_true(is_ok(file_read(path, LIMIT_YAML_FILE, &text, &err)));
    bool ok = is_ok(yaml_parse(path, buf_span(&text), &f, &err));
    if (ok == is_known_bad(path)) {
        print_message("%s\n", ok ? path : err.text);
        refused_files++;
    }
    yaml_file_deinit(&f);
    parsed_files++;
    return 0;
}

static void test_real_kubernetes_files_parse(void **state) {
    (void)state;
    const char *root = getenv("CONTRAST_TESTDATA");
    char path[512];
    (void)snprintf(path, sizeof path, "%s/k8s", root != NULL ? root : "../shared/testdata");
    if (nftw(path, parse_real, 8, FTW_PHYS) != 0 || parsed_files == 0) {
        const char *ci = getenv("CI");
        if (ci != NULL && strcmp(ci, "true") == 0) {
            fail_msg("no test data in %s", path);
        }
        print_message("no test data in %s; set CONTRAST_TESTDATA\n", path);
        skip();
    }
    print_message("%d files\n", parsed_files);
    assert_int_equal(refused_files, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree_and_paths),
        cmocka_unit_test(test_marks_are_bytes),
        cmocka_unit_test(test_refuses_with_position),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_aliases_are_the_node),
        cmocka_unit_test(test_scalar_types),
        cmocka_unit_test(test_typed_reads),
        cmocka_unit_test(test_edit_adds),
        cmocka_unit_test(test_edit_replaces),
        cmocka_unit_test(test_edit_keeps_comments_with_their_entries),
        cmocka_unit_test(test_edit_keeps_json),
        cmocka_unit_test(test_edit_behind_anchors_and_tags),
        cmocka_unit_test(test_edit_of_shared_nodes),
        cmocka_unit_test(test_edit_refuses_odd_layouts),
        cmocka_unit_test(test_edit_removes),
        cmocka_unit_test(test_removal_in_the_line_of_a_dash),
        cmocka_unit_test(test_merge_keys),
        cmocka_unit_test(test_merge_bombs),
        cmocka_unit_test(test_real_kubernetes_files_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
