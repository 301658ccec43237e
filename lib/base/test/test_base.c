/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/bytes.h"
#include "lib/base/file.h"
#include "lib/base/host.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"

/* A text that quotes a peer stays one line of UTF-8, also where a limit cuts a character. */
static void test_err_texts_are_lines_of_utf8(void **state) {
    (void)state;
    static const struct {
        const char *in;
        const char *out;
    } all[] = {
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"cut \xe2\x82", "cut ??"},
        {"a\x1b[2J\nb\x7f", "a [2J b "},
        {"\xc2\x9b"
         "31m",
         "  31m"},
        {"\xed\xa0\x80 \xc0\x80 \xf4\x90\x80\x80", "??? ?? ????"},
        {"\xf0\x9f\x94\x92", "\xf0\x9f\x94\x92"},
    };
    struct err err;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        err_ignore(err_set(&err, ERR_INVALID, "%s", all[i].in), "the text is looked at");
        assert_string_equal(err.text, all[i].out);
    }
    char longest[2 * ERR_TEXT_SIZE + 2] = "";
    for (size_t i = 0; i < ERR_TEXT_SIZE; i++) {
        memcpy(longest + 1 + 2 * i, "\xc3\xbc", 2);
    }
    longest[0] = 'x';
    struct result r = err_set(&err, ERR_INVALID, "%s%s", "", longest);
    assert_int_equal(err.text[ERR_TEXT_SIZE - 2], '\xbc');
    err_ignore(err_wrap(r, &err, "%s", longest + 1), "the text is looked at");
    assert_int_equal(err.text[ERR_TEXT_SIZE - 2], '?');
}

static void test_err_wraps_outside_in(void **state) {
    (void)state;
    struct err err;
    struct result r = err_set(&err, ERR_INVALID, "digest is %d bytes, want %d", 31, 32);
    r = err_wrap(r, &err, "policy %d", 3);
    assert_int_equal(r.code, ERR_INVALID);
    assert_string_equal(err.text, "policy 3: digest is 31 bytes, want 32");
}

/* A peer's words in an error end up in a message, which takes UTF-8 alone. */
/* Advice survives a wrap and never outlives its error. */
static void test_err_advice(void **state) {
    (void)state;
    struct err err;
    struct result r = err_set(&err, ERR_BUSY, "busy");
    assert_int_equal(err.retry_ms, 0);
    err_advise(&err, 1500);
    err_ignore(err_wrap(r, &err, "attest"), "looked at below");
    assert_int_equal(err.retry_ms, 1500);
    err_advise(&err, UINT64_MAX);
    assert_int_equal(err.retry_ms, UINT32_MAX);
    err_ignore(err_set(&err, ERR_IO, "another"), "looked at below");
    assert_int_equal(err.retry_ms, 0);
    err_advise(NULL, 1);
}

static void test_err_text_is_one_valid_line(void **state) {
    (void)state;
    struct err err;
    struct result r = err_set(&err, ERR_INVALID, "a\x1b[2J\nb\x7f \xc2\x9b \xc3\xa9 \xff");
    assert_string_equal(err.text, "a [2J b     \xc3\xa9 ?");
    r = err_wrap(r, &err, "%.3s", "ab\xc3\xa9");
    assert_int_equal(r.code, ERR_INVALID);
    assert_string_equal(err.text, "ab?: a [2J b     \xc3\xa9 ?");
    char long_text[ERR_TEXT_SIZE + 3];
    for (size_t i = 0; i + 2 < sizeof long_text; i += 2) {
        memcpy(long_text + i, "\xc3\xa9", 2);
    }
    long_text[ERR_TEXT_SIZE + 2] = 0;
    r = err_set(&err, ERR_INVALID, "%s", long_text);
    assert_int_equal(strlen(err.text), ERR_TEXT_SIZE - 1);
    assert_int_equal(err.text[ERR_TEXT_SIZE - 2], '?');
    assert_int_equal(r.code, ERR_INVALID);
}

static void test_err_exit_codes_follow_the_class(void **state) {
    (void)state;
    assert_int_equal(err_exit_code(ERR_OK), 0);
    assert_int_equal(err_exit_code(ERR_BUSY), 1);
    assert_int_equal(err_exit_code(ERR_USAGE), 2);
    assert_int_equal(err_exit_code(ERR_CHANGED), 3);
    assert_int_equal(err_exit_code(ERR_ROLLBACK), 4);
    assert_int_equal(err_from_wire(60), ERR_DENIED);
    assert_int_equal(err_from_wire(59), ERR_INTERNAL);
}

/* RFC 4648 section 10 */
static void test_base64_vectors(void **state) {
    (void)state;
    static const char *const rows[][2] = {{"", ""},
                                          {"f", "Zg=="},
                                          {"fo", "Zm8="},
                                          {"foo", "Zm9v"},
                                          {"foob", "Zm9vYg=="},
                                          {"fooba", "Zm9vYmE="},
                                          {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(buf_deinit)
        struct buf text = {0};
        AUTO(buf_deinit)
        struct buf back = {0};
        base64_encode(span_str(rows[i][0]), &text);
        assert_string_equal(buf_cstr(&text), rows[i][1]);
        assert_true(is_ok(base64_decode(buf_span(&text), &back, NULL)));
        assert_string_equal(buf_cstr(&back), rows[i][0]);
    }
}

static void test_base64_refuses(void **state) {
    (void)state;
    static const char *const bad[] = {
        "Zg=", "Zg", "Zh==", "Zm9=", "Z===", "====", "Zm9v\n", "Z g=", "Zg==Zg=="};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        AUTO(buf_deinit)
        struct buf out = {0};
        assert_false(is_ok(base64_decode(span_str(bad[i]), &out, NULL)));
        assert_int_equal(out.size, 0);
    }
}

static void test_hex_round_trip_and_refusal(void **state) {
    (void)state;
    uint8_t bytes[3] = {1, 2, 3};
    struct err err;
    assert_true(is_ok(hex_decode(span_str("00abFF"), bytes, 3, &err)));
    char text[7];
    hex_encode(SPAN(bytes), text);
    assert_string_equal(text, "00abff");
    assert_false(is_ok(hex_decode(span_str("00abF"), bytes, 3, &err)));
    assert_false(is_ok(hex_decode(span_str("00abFg"), bytes, 3, &err)));
    assert_string_equal(err.text, "character 6 is not a hexadecimal digit");
}

static void test_buf_consume_keeps_the_rest(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf b = {0};
    for (uint32_t i = 0; i < 1000; i++) {
        buf_append_u32be(&b, i);
    }
    buf_consume(&b, 4 * 999);
    assert_int_equal(b.size, 4);
    assert_int_equal(load_u32be(b.data), 999);
}

static void test_file_write_is_all_or_nothing(void **state) {
    (void)state;
    char folder[] = "/tmp/contrast-test-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char path[64];
    snprintf(path, sizeof path, "%s/a", folder);
    assert_true(is_ok(file_write(path, span_str("one"), 0600, NULL)));
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    AUTO(buf_deinit)
    struct buf back = {0};
    struct err err;
    assert_int_equal(file_read(path, 2, &back, &err).code, ERR_INVALID);
    assert_true(is_ok(file_read(path, 3, &back, &err)));
    assert_string_equal(buf_cstr(&back), "one");
    assert_int_equal(file_write("/nonexistent/a", span_str("x"), 0600, &err).code, ERR_IO);
    assert_int_equal(file_read("/nonexistent/a", 9, &back, &err).code, ERR_NOT_FOUND);
    unlink(path);
    rmdir(folder);
}

static void test_secret_compares(void **state) {
    (void)state;
    struct secret *a = secret_new(32);
    struct secret *b = secret_new(32);
    host_random(&host_system, secret_data(a), 32);
    assert_false(secret_equal(a, b));
    memcpy(secret_data(b), secret_data(a), 32);
    assert_true(secret_equal(a, b));
    secret_free(a);
    secret_free(b);
}

static void test_arena_survives_growth(void **state) {
    (void)state;
    AUTO(arena_deinit)
    struct arena arena = {0};
    char *first = arena_strndup(&arena, "first", 5);
    for (int i = 0; i < 100; i++) {
        memset(arena_alloc(&arena, 1000), 0xff, 1000);
    }
    memset(arena_alloc(&arena, 100000), 0xff, 100000);
    assert_string_equal(first, "first");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err_wraps_outside_in),
        cmocka_unit_test(test_err_advice),
        cmocka_unit_test(test_err_texts_are_lines_of_utf8),
        cmocka_unit_test(test_err_text_is_one_valid_line),
        cmocka_unit_test(test_err_exit_codes_follow_the_class),
        cmocka_unit_test(test_base64_vectors),
        cmocka_unit_test(test_base64_refuses),
        cmocka_unit_test(test_hex_round_trip_and_refusal),
        cmocka_unit_test(test_buf_consume_keeps_the_rest),
        cmocka_unit_test(test_file_write_is_all_or_nothing),
        cmocka_unit_test(test_secret_compares),
        cmocka_unit_test(test_arena_survives_growth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
