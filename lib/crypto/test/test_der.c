/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/limits.h"
#include "lib/crypto/der.h"

struct row {
    const char *bytes;
    size_t size;
    const char *what;
};
#define ROW(bytes, what)                                                                           \
    { bytes, sizeof(bytes) - 1, what }

static const struct row good_rows[] = {
    ROW("\x02\x01\x00", "INTEGER 0"),
    ROW("\x02\x01\xff", "INTEGER -1"),
    ROW("\x02\x02\x00\x80", "INTEGER 128"),
    ROW("\x02\x02\xff\x7f", "INTEGER -129"),
    ROW("\x01\x01\xff", "BOOLEAN TRUE"),
    ROW("\x05\x00", "NULL"),
    ROW("\x06\x03\x55\x1d\x0f", "OBJECT IDENTIFIER"),
    ROW("\x06\x03\x2a\x81\x00", "OBJECT IDENTIFIER, an arc of two bytes"),
    ROW("\x03\x01\x00", "BIT STRING without a bit"),
    ROW("\x03\x02\x01\x06", "BIT STRING of seven bits"),
    ROW("\x04\x00", "empty OCTET STRING"),
    ROW("\x30\x00", "empty SEQUENCE"),
    ROW("\x30\x06\x30\x00\x31\x02\x05\x00", "nested"),
    ROW("\xa0\x03\x02\x01\x02", "tagged, constructed"),
    ROW("\x81\x01\x00", "tagged, primitive"),
    ROW("\x17\x0d"
        "260101000000Z",
        "UTCTime"),
    ROW("\x18\x0f"
        "20500101000000Z",
        "GeneralizedTime"),
};

static const struct row bad_rows[] = {
    ROW("", "nothing"),
    ROW("\x02\x01\x00\x00", "a byte behind"),
    ROW("\x05\x00\x05\x00", "two values"),
    ROW("\x30\x80\x05\x00\x00\x00", "indefinite length"),
    ROW("\x30\x81\x02\x05\x00", "long form of a short length"),
    ROW("\x30\x82\x00\x02\x05\x00", "length with a leading zero"),
    ROW("\x30\x85\x00\x00\x00\x00\x02\x05\x00", "length of five bytes"),
    ROW("\x30\x84\xff\xff\xff\xff\x05\x00", "length beyond the end"),
    ROW("\x30\x03\x05\x00", "SEQUENCE beyond the end"),
    ROW("\x30\x03\x30\x02\x05\x00", "inner value beyond the outer one"),
    ROW("\x30\x03\x05\x00\x05", "a lone tag at the end of a SEQUENCE"),
    ROW("\x1f\x20\x00", "tag in two bytes"),
    ROW("\x10\x00", "primitive SEQUENCE"),
    ROW("\x11\x00", "primitive SET"),
    ROW("\x24\x03\x04\x01\x00", "constructed OCTET STRING"),
    ROW("\x2c\x03\x0c\x01\x41", "constructed UTF8String"),
    ROW("\x23\x04\x03\x02\x00\x01", "constructed BIT STRING"),
    ROW("\x22\x03\x02\x01\x00", "constructed INTEGER"),
    ROW("\x01\x01\x00", "BOOLEAN FALSE, a default"),
    ROW("\x01\x01\x01", "BOOLEAN of 1"),
    ROW("\x01\x00", "BOOLEAN of no byte"),
    ROW("\x01\x02\xff\xff", "BOOLEAN of two bytes"),
    ROW("\x02\x00", "INTEGER of no byte"),
    ROW("\x02\x02\x00\x7f", "INTEGER 127 in two bytes"),
    ROW("\x02\x02\xff\x80", "INTEGER -128 in two bytes"),
    ROW("\x05\x01\x00", "NULL with a byte"),
    ROW("\x06\x00", "OBJECT IDENTIFIER of no byte"),
    ROW("\x06\x02\x2a\x81", "an arc that does not end"),
    ROW("\x06\x03\x2a\x80\x01", "an arc with a leading zero"),
    ROW("\x03\x00", "BIT STRING of no byte"),
    ROW("\x03\x01\x01", "unused bits of no byte"),
    ROW("\x03\x02\x08\x00", "eight unused bits"),
    ROW("\x03\x02\x01\x07", "an unused bit that is set"),
    ROW("\x17\x0b"
        "2601010000Z",
        "UTCTime without seconds"),
    ROW("\x17\x11"
        "260101000000+0100",
        "UTCTime of a zone"),
    ROW("\x17\x0d"
        "2601010000 0Z",
        "UTCTime with a space"),
    ROW("\x17\x0d"
        "2601010000000",
        "UTCTime without Z"),
    ROW("\x18\x11"
        "20500101000000.5Z",
        "GeneralizedTime with a fraction"),
    ROW("\x18\x0e"
        "20500101000000",
        "GeneralizedTime without Z"),
};

static void test_good_values(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof good_rows / sizeof good_rows[0]; i++) {
        const struct row *row = &good_rows[i];
        if (!der_is_exact(span_of(row->bytes, row->size))) {
            fail_msg("refused: %s", row->what);
        }
        for (size_t n = 0; n < row->size; n++) {
            assert_false(der_is_exact(span_of(row->bytes, n)));
        }
    }
}

static void test_bad_values(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad_rows / sizeof bad_rows[0]; i++) {
        if (der_is_exact(span_of(bad_rows[i].bytes, bad_rows[i].size))) {
            fail_msg("taken: %s", bad_rows[i].what);
        }
    }
}

/* The same rules hold below the top: each bad value inside a SEQUENCE. */
static void test_bad_values_within(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad_rows / sizeof bad_rows[0]; i++) {
        uint8_t outer[64] = {0x30, (uint8_t)bad_rows[i].size};
        struct span inner = span_of(bad_rows[i].bytes, bad_rows[i].size);
        bool is_two = inner.size == 0 || strcmp(bad_rows[i].what, "two values") == 0;
        memcpy(outer + 2, inner.data, inner.size);
        if (der_is_exact(span_of(outer, 2 + inner.size)) != is_two) {
            fail_msg("within: %s", bad_rows[i].what);
        }
    }
}

static void test_lengths_of_two_bytes(void **state) {
    (void)state;
    uint8_t bytes[4 + 256] = {0x04, 0x82, 0x01, 0x00};
    assert_true(der_is_exact(SPAN(bytes)));
    const uint8_t short_form[] = {0x04, 0x81, 0x80};
    memcpy(bytes, short_form, sizeof short_form);
    assert_true(der_is_exact(span_of(bytes, 3 + 0x80)));
    bytes[2] = 0x7F;
    assert_false(der_is_exact(span_of(bytes, 3 + 0x7F)));
}

static void test_depth_ends(void **state) {
    (void)state;
    uint8_t bytes[2 * (LIMIT_DER_DEPTH + 1)];
    for (size_t depth = 1; depth <= LIMIT_DER_DEPTH + 1; depth++) {
        for (size_t i = 0; i < depth; i++) {
            bytes[2 * i] = 0x30;
            bytes[2 * i + 1] = (uint8_t)(2 * (depth - i - 1));
        }
        assert_int_equal(der_is_exact(span_of(bytes, 2 * depth)), depth <= LIMIT_DER_DEPTH);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_values),       cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_bad_values_within), cmocka_unit_test(test_lengths_of_two_bytes),
        cmocka_unit_test(test_depth_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
