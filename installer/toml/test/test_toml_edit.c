/* Edits: only the edited bytes differ, and a cut undoes an append.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "installer/toml/toml_edit.h"

struct fixture {
    struct toml_file file;
    struct toml_edits edits;
    struct buf out;
};

static void start(struct fixture *f, const char *text) {
    struct err err;
    *f = (struct fixture){0};
    if (!is_ok(toml_parse("f.toml", span_str(text), &f->file, &err))) {
        fail_msg("%s", err.text);
    }
    toml_edits_init(&f->edits, &f->file);
}

static void stop(struct fixture *f) {
    buf_deinit(&f->out);
    toml_edits_deinit(&f->edits);
    toml_file_deinit(&f->file);
}

static void assert_applied(struct fixture *f, const char *want) {
    struct err err;
    if (!is_ok(toml_edits_apply(&f->edits, &f->out, &err))) {
        fail_msg("%s", err.text);
    }
    assert_string_equal(buf_cstr(&f->out), want);
    stop(f);
}

/* Sets a.b.key, or key of the root with `path` "". */
static struct result set(struct fixture *f, const char *path, const char *key, const char *value,
                         struct err *err) {
    const char *const none[] = {NULL};
    const char *const one[] = {path, NULL};
    const char *const two[] = {"a", "b.c", NULL};
    const char *const *keys = path[0] == '\0' ? none : strcmp(path, "a.b") == 0 ? two : one;
    return toml_edit_set(&f->edits, keys, key, value, err);
}

static void test_set(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *path;
        const char *want;
    } cases[] = {
        {"k = 1 # c\n", "", "k = 9 # c\n"},
        {"k = 9\n", "", "k = 9\n"},
        {"", "", "k = 9\n"},
        {"# top\r\nx = 1\r\n", "", "k = 9\r\n# top\r\nx = 1\r\n"},
        {"[t]\n[u]\n", "t", "[t]\nk = 9\n[u]\n"},
        {"  [t] # c\n  x = 1\n", "t", "  [t] # c\n  k = 9\n  x = 1\n"},
        {"[t]", "t", "[t]\nk = 9"},
        {"[t]\r\n", "t", "[t]\r\nk = 9\r\n"},
        {"t.x = 1\n[u]\n", "t", "t.k = 9\nt.x = 1\n[u]\n"},
        {"t = {x = 1}\n", "t", "t = { k = 9,x = 1}\n"},
        {"t = {}\n", "t", "t = { k = 9 }\n"},
        {"t = { k = [ 1,\n 2 ] }\n", "t", "t = { k = 9 }\n"},
        {"x = 1", "t", "x = 1\n[t]\nk = 9"},
        {"[a.'b.c'.d]\ny=1\n", "a.b", "[a.'b.c'.d]\ny=1\n[a.\"b.c\"]\nk = 9\n"},
        {"[ a . 'b.c' ]\n\"k\" = 1\n", "a.b", "[ a . 'b.c' ]\n\"k\" = 9\n"},
        {"[a]\n'b.c'.x = 1\n", "a.b", "[a]\n'b.c'.k = 9\n'b.c'.x = 1\n"},
        {"[a.q]\n[a]\n\"b.c\".x = 1\n[z]\n", "a.b",
         "[a.q]\n[a]\n\"b.c\".k = 9\n\"b.c\".x = 1\n[z]\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        start(&f, cases[i].text);
        assert_true(is_ok(set(&f, cases[i].path, "k", "9", NULL)));
        assert_applied(&f, cases[i].want);
    }
}

static void test_several_keys_of_a_new_table(void **state) {
    (void)state;
    struct fixture f;
    start(&f, "x = 1\n");
    assert_true(is_ok(set(&f, "t", "k", "1", NULL)));
    assert_true(is_ok(set(&f, "t", "l", "2", NULL)));
    assert_true(is_ok(set(&f, "u", "k", "3", NULL)));
    assert_true(is_ok(set(&f, "", "x", "4", NULL)));
    assert_applied(&f, "x = 4\n[t]\nk = 1\nl = 2\n[u]\nk = 3\n");
}

static void test_set_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"t = 1\n", "[[t]]\n", "t = [1]\n", "[t.k]\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct fixture f;
        struct err err;
        start(&f, bad[i]);
        assert_int_equal(set(&f, "t", "k", "9", &err).code, ERR_INVALID);
        assert_non_null(strstr(err.text, "f.toml:1:"));
        stop(&f);
    }
    struct fixture f;
    start(&f, "a = {x = 1}\n");
    assert_int_equal(set(&f, "a.b", "k", "9", NULL).code, ERR_INVALID);
    stop(&f);
}

static void test_unset(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *want; /* NULL: refused */
    } cases[] = {
        {"[t]\nk = 1 # c\nx = 2\n", "[t]\nx = 2\n"},
        {"[t]\nx = 2\nk = [\n1,\n]", "[t]\nx = 2"},
        {"[t]\nx = 2\n", "[t]\nx = 2\n"},
        {"t.k = 1\nt.l = 2\n", "t.l = 2\n"},
        {"t = {k = 1}\n", NULL},
        {"[t.k]\n", NULL},
    };
    const char *const path[] = {"t", NULL};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        start(&f, cases[i].text);
        struct result r = toml_edit_unset(&f.edits, path, "k", NULL);
        assert_int_equal(is_ok(r), cases[i].want != NULL);
        if (cases[i].want != NULL) {
            assert_applied(&f, cases[i].want);
        } else {
            stop(&f);
        }
    }
}

/* Whatever the file ends with: the cut gives the old bytes back. */
static void test_cut_undoes_append(void **state) {
    (void)state;
    static const char *const texts[] = {"",   "x = 1",     "x = 1\n", "x = 1\r\n", "x = 1\r\ny = 2",
                                        "\n", "[t]\n\n\n", "# c"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct fixture f;
        start(&f, texts[i]);
        toml_edit_append(&f.edits, "# one\n[n]\nk = 1");
        toml_edit_append(&f.edits, "# two");
        assert_true(is_ok(toml_edits_apply(&f.edits, &f.out, NULL)));
        char *longer = mem_strdup(buf_cstr(&f.out));
        stop(&f);
        start(&f, longer);
        size_t one = (size_t)(strstr(longer, "# one") - longer);
        size_t two = (size_t)(strstr(longer, "# two") - longer);
        toml_edit_cut(&f.edits, (struct toml_range){two, two + 1});
        toml_edit_cut(&f.edits, (struct toml_range){one, two});
        assert_applied(&f, texts[i]);
        mem_free(longer);
    }
}

static void test_line_edits(void **state) {
    (void)state;
    struct fixture f;
    start(&f, "a = 1\r\nb = 2\r\nc = 3");
    toml_edit_lines_before(&f.edits, 9, "# before b\n# too");
    toml_edit_lines_after(&f.edits, 9, "# after b");
    toml_edit_lines_after(&f.edits, 15, "# after c");
    toml_edit_range(&f.edits, (struct toml_range){0, 1}, "z");
    assert_applied(&f, "z = 1\r\n# before b\r\n# too\r\nb = 2\r\n# after b\r\nc = 3\r\n# after c");
}

static void test_bad_results_are_not_handed_out(void **state) {
    (void)state;
    struct fixture f;
    struct err err;
    start(&f, "[a]\nk = 1\n");
    toml_edit_append(&f.edits, "[a]");
    assert_int_equal(toml_edits_apply(&f.edits, &f.out, &err).code, ERR_INTERNAL);
    assert_non_null(strstr(err.text, "defined twice"));
    assert_int_equal(f.out.size, 0);
    stop(&f);
    start(&f, "[a]\nk = 1\n");
    toml_edit_range(&f.edits, (struct toml_range){0, 5}, "");
    toml_edit_range(&f.edits, (struct toml_range){4, 6}, "");
    assert_int_equal(toml_edits_apply(&f.edits, &f.out, &err).code, ERR_INTERNAL);
    assert_non_null(strstr(err.text, "overlap"));
    stop(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_several_keys_of_a_new_table),
        cmocka_unit_test(test_set_is_refused),
        cmocka_unit_test(test_unset),
        cmocka_unit_test(test_cut_undoes_append),
        cmocka_unit_test(test_line_edits),
        cmocka_unit_test(test_bad_results_are_not_handed_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
