/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/crypto/pem.h"

/* base64 of "one", "two!!!", "three." */
#define ONE "-----BEGIN THING-----\nb25l\n-----END THING-----\n"
#define TWO "-----BEGIN OTHER-----\ndHdvISEh\n-----END OTHER-----\n"
#define THREE "-----BEGIN THING-----\ndGhyZWUu\n-----END THING-----\n"

struct seen {
    struct buf text; /* the blocks, each with a comma behind it */
    size_t refused;  /* index of the block to fail at; SIZE_MAX for none */
    size_t count;
};

static struct result on_block(void *data, struct span der, struct err *err) {
    struct seen *s = data;
    ENSURE(s->count != s->refused, err, DENIED, "block %zu", s->count);
    s->count++;
    buf_append_span(&s->text, der);
    buf_append_u8(&s->text, ',');
    return OK;
}

static struct result read_things(const char *text, struct seen *s, size_t *count) {
    return pem_each(span_str(text), "THING", on_block, s, count, NULL);
}

struct good_row {
    const char *file;
    const char *seen;
    size_t count;
};

static const struct good_row good_rows[] = {
    {ONE, "one,", 1},
    {ONE THREE, "one,three.,", 2},
    {ONE TWO THREE, "one,three.,", 2},
    {"Subject: somebody\n" ONE "\nIssuer: somebody\n\n" THREE "the end\n", "one,three.,", 2},
    {"-----BEGIN THING-----\r\nb25l\r\n-----END THING-----\r\n", "one,", 1},
    {TWO, "", 0},
    {"", "", 0},
    {"no PEM at all\n", "", 0},
    {"-----BEGIN THING-----\nb25l\n", "", 0},
    {"-----BEGIN THING-----\nb2*l\n-----END THING-----\n", "", 0},
    {"-----BEGIN THING-----\nb25l\n-----END OTHER-----\n", "", 0},
};

static void test_blocks_of_a_label_in_order(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof good_rows / sizeof good_rows[0]; i++) {
        struct seen s = {.refused = SIZE_MAX};
        size_t count = 99;
        assert_true(is_ok(read_things(good_rows[i].file, &s, &count)));
        assert_int_equal(count, good_rows[i].count);
        assert_string_equal(buf_cstr(&s.text), good_rows[i].seen);
        buf_deinit(&s.text);
    }
}

static void test_a_refusal_ends_the_reading(void **state) {
    (void)state;
    struct seen s = {.refused = 1};
    size_t count = 0;
    assert_int_equal(read_things(ONE THREE ONE, &s, &count).code, ERR_DENIED);
    assert_int_equal(count, 1);
    assert_string_equal(buf_cstr(&s.text), "one,");
    buf_deinit(&s.text);
}

static void test_text_is_told_from_der(void **state) {
    (void)state;
    static const uint8_t der[] = {0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01,
                                  0x00, 0xc1, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};
    assert_true(pem_is_text(span_str(ONE)));
    assert_true(pem_is_text(span_str("a comment\n" ONE)));
    assert_false(pem_is_text(SPAN(der)));
    assert_false(pem_is_text((struct span){0}));
    assert_false(pem_is_text(span_str("-----BEGIN")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_of_a_label_in_order),
        cmocka_unit_test(test_a_refusal_ends_the_reading),
        cmocka_unit_test(test_text_is_told_from_der),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
