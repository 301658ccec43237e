/* The parser: what a tree holds, and what is refused. Agreement with Python's tomllib on generated
 * documents is in test_toml_peer.py.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "installer/toml/toml.h"
#include "lib/base/limits.h"

static struct toml_file parse(const char *text) {
    struct toml_file file = {0};
    struct err err;
    if (!is_ok(toml_parse("f.toml", span_str(text), &file, &err))) {
        fail_msg("%s in: %s", err.text, text);
    }
    return file;
}

static void assert_refused(struct span text, const char *want) {
    struct toml_file file = {0};
    struct err err;
    struct result r = toml_parse("f.toml", text, &file, &err);
    if (is_ok(r) || strstr(err.text, want) == NULL) {
        fail_msg("want '%s', got '%s' in: %.*s", want, is_ok(r) ? "success" : err.text,
                 (int)text.size, (const char *)text.data);
    }
    assert_null(file.root);
}

static const struct toml_node *at(const struct toml_file *file, const char *a, const char *b) {
    const char *const path[] = {a, b, NULL};
    return toml_get(file->root, path);
}

static void test_values(void **state) {
    (void)state;
    struct toml_file f = parse("s = \"a\\u00e9\\t\"\n'l it' = 'C:\\x'\ni = -1_000\nh = 0xfF\n"
                               "f = 6.5e1\nn = -inf\nb = true\nd = 1979-05-27 07:32:00.5Z\n"
                               "a = [1, [2], # x\n 'y',]\nt = {x.y = 1, z = {}}\n");
    assert_string_equal(toml_string(toml_key(f.root, "s")), "a\xc3\xa9\t");
    assert_string_equal(toml_string(toml_key(f.root, "l it")), "C:\\x");
    assert_int_equal(toml_key(f.root, "i")->integer, -1000);
    assert_int_equal(toml_key(f.root, "h")->integer, 255);
    assert_true(toml_key(f.root, "f")->number == 65.0);
    assert_true(isinf(toml_key(f.root, "n")->number) && toml_key(f.root, "n")->number < 0);
    assert_true(toml_key(f.root, "b")->boolean);
    assert_int_equal(toml_key(f.root, "d")->kind, TOML_KIND_TIME);
    assert_int_equal(toml_key(f.root, "d")->range.end - toml_key(f.root, "d")->range.start, 22);
    assert_int_equal(toml_key(f.root, "a")->count, 3);
    assert_int_equal(at(&f, "t", "x")->first->value->integer, 1);
    assert_int_equal(at(&f, "t", "z")->kind, TOML_KIND_TABLE);
    assert_null(at(&f, "s", "z"));
    assert_null(at(&f, "t", "none"));
    toml_file_deinit(&f);
}

static void test_strings(void **state) {
    (void)state;
    struct toml_file f = parse("a = \"\"\"\r\nx\\\r\n   y\\\"\"\"\"\"\"\nb = '''\nz''''\n"
                               "c = \"n\\u0000n\"\nd = \"\"\n");
    assert_string_equal(toml_string(toml_key(f.root, "a")), "xy\"\"\"");
    assert_string_equal(toml_string(toml_key(f.root, "b")), "z'");
    assert_int_equal(toml_key(f.root, "c")->size, 3);
    assert_null(toml_string(toml_key(f.root, "c")));
    assert_string_equal(toml_string(toml_key(f.root, "d")), "");
    toml_file_deinit(&f);
}

static void test_tables_and_ranges(void **state) {
    (void)state;
    static const char text[] =
        "a.b.c = 1\n[ x . \"y.z\" ] # note\r\nk = 2\n[x]\n[[l]]\n[[l]]\nq=3\n"
        "[l.sub]\n[a.b.more]\n";
    struct toml_file f = parse(text);
    const struct toml_node *y = at(&f, "x", "y.z");
    assert_int_equal(y->origin, TOML_ORIGIN_HEADER);
    assert_memory_equal(text + y->range.start, "[ x . \"y.z\" ]", y->range.end - y->range.start);
    assert_int_equal(toml_key(f.root, "x")->origin, TOML_ORIGIN_HEADER);
    assert_int_equal(at(&f, "a", "b")->origin, TOML_ORIGIN_DOTTED);
    assert_int_equal(at(&f, "a", "b")->count, 2);
    const struct toml_entry *b = toml_entry_of(toml_key(f.root, "a"), "b");
    assert_int_equal(b->key_range.start, 0);
    assert_int_equal(b->key_range.end, 3);
    const struct toml_node *l = toml_key(f.root, "l");
    assert_int_equal(l->count, 2);
    assert_int_equal(l->first->value->count, 0);
    assert_int_equal(l->last->value->count, 2);
    assert_int_equal(f.comment_count, 1);
    assert_memory_equal(text + f.comments[0].start, "# note\r\n", 8);
    assert_int_equal(f.comments[0].end - f.comments[0].start, 6);
    assert_int_equal(toml_line(&f, y->range.start), 2);
    toml_file_deinit(&f);
}

static void test_comments_are_no_strings(void **state) {
    (void)state;
    struct toml_file f = parse("a = \"# no\"\nb = '''\n# no\n'''\nc = [ # yes\n]\n#\n# last");
    assert_int_equal(f.comment_count, 3);
    toml_file_deinit(&f);
}

/* Each with what the message must say. */
static const struct {
    const char *text;
    const char *want;
} bad[] = {
    {"\xef\xbb\xbf"
     "a = 1",
     ":1:1: starts with a byte order mark"},
    {"a = 1\nb = \xff", ":2:5: not UTF-8"},
    {"a = '\xed\xa0\x80'", "not UTF-8"},
    {"[a]\n[a]", ":2:2: a: is defined twice; remove one, or merge them (line 1)"},
    {"[a.b]\n[a]\n[a.b]", "a.b: is defined twice"},
    {"[a]\n['a']", "defined twice"},
    {"[a]\n[ \"\\u0061\" ]", "defined twice"},
    {"a.b = 1\n[a]", "defined twice"},
    {"a.b.c = 1\n[a.b]", "defined twice"},
    {"[a]\nb = 1\n[a.b]", "a.b: is defined twice"},
    {"[a]\nb = 1\n[a.b.c]", "a.b: is a value"},
    {"a = {}\n[a]", "defined twice"},
    {"a = {}\n[a.b]", "is a value"},
    {"a = {}\na.b = 1", "cannot be added to here"},
    {"a = {b = {}, b.c = 1}", "cannot be added to here"},
    {"[a.b]\n[a]\nb.c = 1", "b: is defined already"},
    {"[a.b.c]\nz = 9\n[a]\nb.c.t = 1", "b.c: is defined already"},
    {"[a]\nb.c = 1\n[d]\n[a.b]", "defined twice"},
    {"a = 1\na = 2", ":2:1: a: is defined twice; remove one (line 1)"},
    {"a = 1\na.b = 2", "cannot be added to here"},
    {"a.b = 1\na = 2", "defined twice"},
    {"a = {x = 1, x = 2}", "defined twice"},
    {"a = []\n[[a]]", "and not as [[ ]]"},
    {"[a]\n[[a]]", "and not as [[ ]]"},
    {"[[a]]\n[a]", "defined twice"},
    {"[[a.b]]\n[a]\nb.c = 1", "cannot be added to here"},
    {"a = \"x", "ends within a string"},
    {"a = \"x\ny\"", ":1:7: the line ends within a string"},
    {"a = '''x''", "ends within a string"},
    {"a = \"\\x41\"", "unknown escape"},
    {"a = \"C:\\dir\"", ":1:9: unknown escape"},
    {"a = \"\\ud800\"", "stands for no character"},
    {"a = \"\\U00110000\"", "stands for no character"},
    {"a = \"\\u12g4\"", "4 hexadecimal digits"},
    {"a = \"\\u12", "4 hexadecimal digits"},
    {"a = \"\x01\"", "control character"},
    {"a = \"\x7f\"", "control character"},
    {"a = 'x\ry'", "control character"},
    {"a = \"\"\"x\ry\"\"\"", "control character"},
    {"# \x01", "control character in a comment"},
    {"# a\rb", "control character in a comment"},
    {"a = 1\rb = 2", "more on this line"},
    {"a = \"\"\"\"\"\"\"\"\"", "more on this line"},
    {"a", "'=' is missing"},
    {"a =", "a value is missing"},
    {"a = # x", "a value is missing"},
    {"= 1", "a key is missing"},
    {"a. = 1", "a key is missing"},
    {"\xc3\xa9 = 1", "a key is missing"},
    {"'''a''' = 1", "'=' is missing"},
    {"a = 1 b = 2", "more on this line"},
    {"[a] b = 1", "more on this line"},
    {"[a", "']' is missing"},
    {"[a\n]", "']' is missing"},
    {"[[a]", "']' is missing"},
    {"[]", "a key is missing"},
    {"[ [a]]", "a key is missing"},
    {"a = [1 2]", "',' or ']' is missing"},
    {"a = [ , ]", "a value is missing"},
    {"a = [1,, 2]", "a value is missing"},
    {"a = [1", "',' or ']' is missing"},
    {"a = {x = 1,}", "a key is missing"},
    {"a = {x = 1\n}", "',' or '}' is missing"},
    {"a = {,}", "a key is missing"},
    {"a = yes", "no value of TOML"},
    {"a = True", "no value of TOML"},
    {"a = 01", "no value of TOML"},
    {"a = 1__0", "no value of TOML"},
    {"a = _1", "no value of TOML"},
    {"a = 1_", "no value of TOML"},
    {"a = 1.", "no value of TOML"},
    {"a = .5", "no value of TOML"},
    {"a = 1.e5", "no value of TOML"},
    {"a = 1e", "no value of TOML"},
    {"a = 0x", "no value of TOML"},
    {"a = +0x1", "no value of TOML"},
    {"a = 0X1", "no value of TOML"},
    {"a = 0b2", "no value of TOML"},
    {"a = ++1", "no value of TOML"},
    {"a = 9223372036854775808", "beyond 64 bits"},
    {"a = 0xffffffffffffffff", "beyond 64 bits"},
    {"a = 2021-02-29", "no value of TOML"},
    {"a = 2020-13-01", "no value of TOML"},
    {"a = 2020-01-01T24:00:00", "no value of TOML"},
    {"a = 2020-01-01T10:00", "no value of TOML"},
    {"a = 10:00:00Z", "no value of TOML"},
};

static void test_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_refused(span_str(bad[i].text), bad[i].want);
    }
    assert_refused(span_of("a = 'x\0y'", 9), "control character");
    assert_refused(span_of("a = 1\0", 6), "more on this line");
    assert_refused(span_of("\0", 1), "a key is missing");
}

static void test_nesting_is_bounded(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf text = {0};
    buf_append_str(&text, "a = ");
    for (size_t i = 0; i < 100000; i++) {
        buf_append_str(&text, "[");
    }
    assert_refused(buf_span(&text), "too deeply nested");
    buf_clear(&text);
    buf_append_str(&text, "a = ");
    for (size_t i = 0; i < 10000; i++) {
        buf_append_str(&text, "{a=");
    }
    assert_refused(buf_span(&text), "too deeply nested");
    buf_clear(&text);
    buf_append_str(&text, "[a");
    for (size_t i = 0; i < LIMIT_TOML_DEPTH; i++) {
        buf_append_str(&text, ".a");
    }
    assert_refused(buf_span(&text), "too many parts");
}

static void test_size_is_bounded(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf text = {0};
    for (size_t i = 0; i <= LIMIT_TOML_NODES; i++) {
        buf_appendf(&text, "k%zu=1\n", i);
    }
    assert_refused(buf_span(&text), "too many keys");
    buf_clear(&text);
    memset(buf_extend(&text, LIMIT_TOML_FILE + 1), '\n', LIMIT_TOML_FILE + 1);
    assert_refused(buf_span(&text), "at most");
}

/* A prefix is refused or parsed, never more than that; what is parsed lies within the text. */
static void test_every_prefix(void **state) {
    (void)state;
    static const char text[] =
        "version = 2\nimports = [\"/a/*.toml\", # x\n 'b',]\n[plugins.\"io.containerd\"]\n"
        "a.b = {c = \"\\u00e9\\n\", d = 0x1F}\n[[x.y]]\ns = '''\nl\n'''\nt = \"\"\"q\\\n z\"\"\"\n"
        "n = -1_0.5e-3\nd = 1979-05-27T07:32:00-07:00\r\n";
    size_t good = 0;
    for (size_t size = 0; size <= sizeof text - 1; size++) {
        char *copy = malloc(size + 1);
        memcpy(copy, text, size);
        struct toml_file file = {0};
        if (is_ok(toml_parse("p", span_of(copy, size), &file, NULL))) {
            good++;
            assert_true(file.text.size == size);
        }
        free(copy);
        toml_file_deinit(&file);
    }
    assert_in_range(good, 20, sizeof text / 2);
}

static void test_encoding(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf out = {0};
    toml_encode_key("plain-1_x", &out);
    buf_append_str(&out, " = ");
    toml_encode_string("q\" b\\ \n\x7f \xc3\xa9", &out);
    assert_string_equal(buf_cstr(&out), "plain-1_x = \"q\\\" b\\\\ \\u000A\\u007F \xc3\xa9\"");
    struct toml_file f = parse(buf_cstr(&out));
    assert_string_equal(toml_string(toml_key(f.root, "plain-1_x")), "q\" b\\ \n\x7f \xc3\xa9");
    toml_file_deinit(&f);
    buf_clear(&out);
    toml_encode_key("io.containerd", &out);
    toml_encode_key("", &out);
    assert_string_equal(buf_cstr(&out), "\"io.containerd\"\"\"");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_tables_and_ranges),
        cmocka_unit_test(test_comments_are_no_strings),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_nesting_is_bounded),
        cmocka_unit_test(test_size_is_bounded),
        cmocka_unit_test(test_every_prefix),
        cmocka_unit_test(test_encoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
