/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/link_frame.h"
#include "consensus/link_notice.h"

static const uint8_t cluster[LINK_IDENTITY_SIZE] = {1, 2, 3};

static struct link_hello good_hello(void) {
    struct link_hello hello = {.id = 17, .connection = 5, .version = 3};
    link_frame_identity(cluster, 9, hello.identity);
    return hello;
}

static void test_every_prefix_of_a_hello_is_refused(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf bytes = {0};
    struct link_hello hello = good_hello();
    struct link_hello got;
    wire_encode(&link_hello_type, &hello, &bytes);
    for (size_t n = 0; n < bytes.size; n++) {
        assert_int_equal(link_frame_parse_hello(span_of(bytes.data, n), &got, NULL).code,
                         ERR_MALFORMED);
    }
    assert_true(is_ok(link_frame_parse_hello(buf_span(&bytes), &got, NULL)));
    assert_memory_equal(got.identity, hello.identity, sizeof got.identity);
    assert_true(got.id == 17 && got.connection == 5 && got.version == 3);
    buf_append_u8(&bytes, 0);
    assert_int_equal(link_frame_parse_hello(buf_span(&bytes), &got, NULL).code, ERR_MALFORMED);
}

static void test_what_a_hello_must_say(void **state) {
    (void)state;
    uint8_t identity[LINK_IDENTITY_SIZE];
    uint8_t earlier[LINK_IDENTITY_SIZE];
    link_frame_identity(cluster, 9, identity);
    link_frame_identity(cluster, 8, earlier);
    const struct {
        struct link_expected want;
        enum err_code code;
    } table[] = {
        {{identity, 17, 5, true}, ERR_OK},        {{identity, 17, 4, true}, ERR_PROTOCOL},
        {{identity, 17, 6, true}, ERR_PROTOCOL},  {{identity, 17, 4, false}, ERR_OK},
        {{identity, 17, 5, false}, ERR_PROTOCOL}, {{identity, 17, 6, false}, ERR_PROTOCOL},
        {{identity, 18, 5, true}, ERR_DENIED},    {{earlier, 17, 5, true}, ERR_DENIED},
        {{cluster, 17, 5, true}, ERR_DENIED},
    };
    struct link_hello hello = good_hello();
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        assert_int_equal(link_frame_check_hello(&hello, &table[i].want, NULL).code, table[i].code);
    }
}

/* printf 'contrast-link-v1\0' and 32 + 8 bytes | sha256sum */
static void test_identity_is_the_documented_hash(void **state) {
    (void)state;
    static const uint8_t zero[LINK_IDENTITY_SIZE];
    uint8_t got[LINK_IDENTITY_SIZE];
    char text[2 * LINK_IDENTITY_SIZE + 1];
    link_frame_identity(zero, 1, got);
    hex_encode(SPAN(got), text);
    assert_string_equal(text, "0a568b8829bf81665df55db8e7fbb308e68499016ff9278e3a83d46e488401cc");
}

static void test_which_frame_may_come_when(void **state) {
    (void)state;
    const struct {
        size_t size;
        enum err_code code;
        uint8_t type;
        bool is_up;
    } table[] = {
        {50, ERR_OK, LINK_FRAME_HELLO, false},
        {50, ERR_PROTOCOL, LINK_FRAME_HELLO, true},
        {0, ERR_PROTOCOL, LINK_FRAME_PING, false},
        {0, ERR_OK, LINK_FRAME_PING, true},
        {1, ERR_MALFORMED, LINK_FRAME_PING, true},
        {0, ERR_PROTOCOL, 0, true},
        {0, ERR_PROTOCOL, 3, true},
        {0, ERR_PROTOCOL, LINK_FRAME_USER_FIRST - 1, true},
        {0, ERR_OK, LINK_FRAME_USER_FIRST, true},
        {0, ERR_PROTOCOL, LINK_FRAME_USER_FIRST, false},
        {9, ERR_OK, 255, true},
    };
    static const uint8_t body[50];
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct frame frame = {.type = table[i].type, .body = span_of(body, table[i].size)};
        assert_int_equal(link_frame_check(&frame, table[i].is_up, NULL).code, table[i].code);
    }
}

static void test_trouble_is_noticed_once_and_counted(void **state) {
    (void)state;
    struct link_notices n = {0};
    uint64_t held_back = 99;
    uint64_t now = 0; /* the clock of a machine may begin there */
    assert_true(link_notice_is_due(&n, ERR_TLS, now, &held_back));
    assert_int_equal(held_back, 0);
    for (int i = 0; i < 1000; i++) {
        assert_false(link_notice_is_due(&n, ERR_TLS, now + (uint64_t)i, &held_back));
    }
    assert_true(link_notice_is_due(&n, ERR_BUSY, now + 7, &held_back));
    assert_int_equal(held_back, 0);
    assert_false(link_notice_is_due(&n, ERR_TLS, now + LIMIT_LINK_NOTICE_MS - 1, &held_back));
    assert_true(link_notice_is_due(&n, ERR_TLS, now + LIMIT_LINK_NOTICE_MS, &held_back));
    assert_int_equal(held_back, 1001);
    assert_false(link_notice_is_due(&n, ERR_TLS, now + LIMIT_LINK_NOTICE_MS + 1, &held_back));
}

/* However many kinds there are, the lines are bounded. */
static void test_kinds_of_trouble_are_bounded(void **state) {
    (void)state;
    struct link_notices n = {0};
    uint64_t held_back = 0;
    size_t lines = 0;
    for (int round = 0; round < 3; round++) {
        for (int code = 1; code < 90; code++) {
            lines += link_notice_is_due(&n, (enum err_code)code, 5, &held_back);
        }
    }
    assert_int_equal(lines, LIMIT_LINK_NOTICES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_prefix_of_a_hello_is_refused),
        cmocka_unit_test(test_what_a_hello_must_say),
        cmocka_unit_test(test_identity_is_the_documented_hash),
        cmocka_unit_test(test_which_frame_may_come_when),
        cmocka_unit_test(test_trouble_is_noticed_once_and_counted),
        cmocka_unit_test(test_kinds_of_trouble_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
