/* Protocol Buffers: fields that are read, and bytes that are none.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "installer/proto_read.h"

/* Field 1: 150 (the documentation's example); 2: "testing"; 3: fixed64; 4: fixed32; 2^29 - 1: 0. */
static const uint8_t GOOD[] = {0x08, 0x96, 0x01, 0x12, 0x07, 't',  'e',  's',  't',  'i', 'n',
                               'g',  0x19, 1,    2,    3,    4,    5,    6,    7,    8,   0x25,
                               0xff, 0,    0,    0x80, 0xf8, 0xff, 0xff, 0xff, 0x0f, 0x00};

static void test_good(void **state) {
    (void)state;
    struct span rest = SPAN(GOOD);
    struct proto_field f[5] = {0};
    bool is_end = true;
    for (size_t i = 0; i < 5; i++) {
        assert_true(is_ok(proto_read_next(&rest, &f[i], &is_end, NULL)));
        assert_false(is_end);
    }
    assert_true(f[0].number == 1 && !f[0].is_bytes && f[0].value == 150);
    assert_true(f[1].is_bytes && span_equal(f[1].bytes, span_str("testing")));
    assert_true(f[2].value == UINT64_C(0x0807060504030201));
    assert_true(f[3].value == 0x800000ff);
    assert_true(f[4].number == (1u << 29) - 1 && f[4].value == 0);
    assert_true(is_ok(proto_read_next(&rest, &f[0], &is_end, NULL)));
    assert_true(is_end && f[0].number == 1);
}

/* A prefix ends between two fields, or is refused; and nothing is taken off then. */
static void test_every_prefix(void **state) {
    (void)state;
    for (size_t n = 0; n < sizeof GOOD; n++) {
        struct span rest = span_of(GOOD, n);
        struct proto_field field = {0};
        bool is_end = false;
        struct result r = OK;
        struct span before = rest;
        while (is_ok(r) && !is_end) {
            before = rest;
            r = proto_read_next(&rest, &field, &is_end, NULL);
        }
        bool is_whole = n == 0 || n == 3 || n == 12 || n == 21 || n == 26;
        assert_int_equal(is_ok(r), is_whole);
        assert_true(is_ok(r) || (rest.data == before.data && rest.size == before.size));
    }
}

static void test_largest_number(void **state) {
    (void)state;
    static const uint8_t most[] = {8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
    struct span rest = SPAN(most);
    struct proto_field field = {0};
    bool is_end = false;
    assert_true(is_ok(proto_read_next(&rest, &field, &is_end, NULL)));
    assert_true(field.value == UINT64_MAX);
}

static void test_bad(void **state) {
    (void)state;
    static const struct {
        uint8_t bytes[12];
        size_t size;
    } rows[] = {
        {{0x00, 0x00}, 2},                                            /* field 0 */
        {{0x80, 0x80, 0x80, 0x80, 0x10, 0x00}, 6},                    /* 2^29 */
        {{0x0b}, 1},                                                  /* group */
        {{0x0c}, 1},                                                  /* its end */
        {{0x0e, 0}, 2},                                               /* type 6 */
        {{0x0f, 0}, 2},                                               /* type 7 */
        {{8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2}, 11},    /* 2^64 */
        {{8, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128}, 11},  /* 11 bytes */
        {{0x12, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1}, 11}, /* 2^64 - 1 */
        {{0x12, 0x02, 'x'}, 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span rest = span_of(rows[i].bytes, rows[i].size);
        struct proto_field field = {.number = 77};
        bool is_end = false;
        struct err err;
        assert_int_equal(proto_read_next(&rest, &field, &is_end, &err).code, ERR_MALFORMED);
        assert_int_equal(field.number, 77);
        assert_int_equal(rest.size, rows[i].size);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_every_prefix),
        cmocka_unit_test(test_largest_number),
        cmocka_unit_test(test_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
