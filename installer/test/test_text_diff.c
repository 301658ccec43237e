/* Unified diffs: those of known texts, and of random ones, judged by diff(1) and patch(1).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/text_diff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/file.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

static struct span text_of(const char *text) {
    return span_of(text, strlen(text));
}

static void test_known(void **state) {
    (void)state;
    static const struct {
        const char *old;
        const char *new;
        const char *diff;
    } rows[] = {
        {"", "", ""},
        {"a\n", "a\n", ""},
        {"", "a\n", "--- o\n+++ n\n@@ -0,0 +1,1 @@\n+a\n"},
        {"a\n", "", "--- o\n+++ n\n@@ -1,1 +0,0 @@\n-a\n"},
        {"1\n2\n3\n4\n5\n", "1\n2\n3\n4\nx\n5\n",
         "--- o\n+++ n\n@@ -2,4 +2,5 @@\n 2\n 3\n 4\n+x\n 5\n"},
        {"1\n2\n3\n4\n5\n", "x\n1\n2\n3\n4\n5\n",
         "--- o\n+++ n\n@@ -1,3 +1,4 @@\n+x\n 1\n 2\n 3\n"},
        {"a", "a\n", "--- o\n+++ n\n@@ -1,1 +1,1 @@\n-a\n\\ No newline at end of file\n+a\n"},
        {"a\x1b[2J\n", "b\r\n", "--- o\n+++ n\n@@ -1,1 +1,1 @@\n-a?[2J\n+b\r\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(buf_deinit)
        struct buf out = {0};
        text_diff("o", "n", text_of(rows[i].old), text_of(rows[i].new), &out);
        assert_string_equal(buf_cstr(&out), rows[i].diff);
    }
}

/* --- Random texts */

static uint32_t draw(uint32_t *seed) {
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 16;
}

static void make_text(uint32_t *seed, struct buf *out) {
    size_t lines = draw(seed) % 30;
    for (size_t i = 0; i < lines; i++) {
        buf_appendf(out, "line %u\n", (unsigned)(draw(seed) % 9));
    }
    if (draw(seed) % 3 == 0) {
        buf_append_str(out, "the end without a line feed");
    }
}

static void save(const char *folder, const char *name, const struct buf *text) {
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    if (text->size > 0) {
        assert_int_equal(fwrite(text->data, 1, text->size, f), text->size);
    }
    assert_int_equal(fclose(f), 0);
}

static size_t count_changes(const char *diff) {
    size_t count = 0;
    for (const char *p = diff; (p = strchr(p, '\n')) != NULL; p++) {
        count += (p[1] == '+' || p[1] == '-') && strncmp(p + 1, "+++", 3) != 0 ? 1 : 0;
    }
    return count;
}

/* patch makes the new text of the old one, and diff finds no shorter way. */
static void judge(const char *folder, const struct buf *old, const struct buf *new) {
    AUTO(buf_deinit)
    struct buf diff = {0};
    AUTO(buf_deinit)
    struct buf theirs = {0};
    char command[1024];
    char path[256];
    struct err err;
    text_diff("old", "new", buf_span(old), buf_span(new), &diff);
    save(folder, "old", old);
    save(folder, "new", new);
    save(folder, "ours", &diff);
    (void)snprintf(command, sizeof command,
                   "cd %s && { diff -d -u old new >theirs; cp old got && "
                   "{ [ ! -s ours ] || patch -s got ours; } && cmp got new; }",
                   folder);
    if (system(command) != 0) { // NOLINT(cert-env33-c): diff and patch are the judges
        fail_msg("patch: %s", buf_cstr(&diff));
    }
    (void)snprintf(path, sizeof path, "%s/theirs", folder);
    assert_true(is_ok(file_read(path, 65536, &theirs, &err)));
    assert_int_equal(count_changes(buf_cstr(&diff)), count_changes(buf_cstr(&theirs)));
}

static void test_random(void **state) {
    (void)state;
    if (system("command -v patch diff >/dev/null") != 0 &&
        getenv("CI") == NULL) { // NOLINT(cert-env33-c)
        skip();
    }
    char folder[] = "/tmp/contrast-diff-XXXXXX";
    assert_non_null(mkdtemp(folder));
    uint32_t seed = 20260101;
    for (int i = 0; i < 40; i++) {
        AUTO(buf_deinit)
        struct buf old = {0};
        AUTO(buf_deinit)
        struct buf new = {0};
        make_text(&seed, &old);
        make_text(&seed, &new);
        if (!span_equal(buf_span(&old), buf_span(&new))) {
            judge(folder, &old, &new);
        }
    }
    char command[64];
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0); // NOLINT(cert-env33-c): as above
}

/* Over the limit of lines: all old ones out, all new ones in. */
static void test_large(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf old = {0};
    AUTO(buf_deinit)
    struct buf new = {0};
    AUTO(buf_deinit)
    struct buf out = {0};
    for (int i = 0; i <= LIMIT_DIFF_LINES; i++) {
        buf_appendf(&old, "a%d\n", i);
        buf_appendf(&new, "b%d\n", i);
    }
    text_diff("o", "n", buf_span(&old), buf_span(&new), &out);
    assert_int_equal(count_changes(buf_cstr(&out)), 2 * (LIMIT_DIFF_LINES + 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
