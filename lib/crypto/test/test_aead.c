/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/crypto/aead.h"

static const uint8_t zero_key[AEAD_KEY_SIZE];
static const uint8_t zero_nonce[AEAD_NONCE_SIZE];

static void expect_hex(const struct buf *b, const char *hex) {
    char text[256];
    assert_true(b->size * 2 < sizeof text);
    hex_encode(buf_span(b), text);
    assert_string_equal(text, hex);
}

/* The GCM specification, test cases 13 and 14. */
static void test_vectors(void **state) {
    (void)state;
    const uint8_t zeros[16] = {0};
    struct buf out = {0};
    aead_seal(SPAN(zero_key), zero_nonce, (struct span){0}, (struct span){0}, &out);
    expect_hex(&out, "530f8afbc74536b9a963b4f1c4cb738b");
    buf_clear(&out);
    aead_seal(SPAN(zero_key), zero_nonce, (struct span){0}, SPAN(zeros), &out);
    expect_hex(&out, "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
    buf_deinit(&out);
}

/* Additional data that lies in the output, as a file's header does. */
static void test_round_trip(void **state) {
    (void)state;
    struct buf file = {0};
    struct buf plain = {0};
    buf_append_str(&file, "head");
    aead_seal(SPAN(zero_key), zero_nonce, buf_span(&file), span_str("body"), &file);
    assert_int_equal(file.size, 4 + 4 + AEAD_TAG_SIZE);
    struct span sealed = span_of(file.data + 4, file.size - 4);
    assert_true(aead_open(SPAN(zero_key), zero_nonce, span_of(file.data, 4), sealed, &plain));
    assert_string_equal(buf_cstr(&plain), "body");
    buf_deinit(&file);
    buf_deinit(&plain);
}

/* Each bit of key, nonce, additional data and message counts; nothing is left behind. */
static void test_flips(void **state) {
    (void)state;
    struct {
        uint8_t key[AEAD_KEY_SIZE];
        uint8_t nonce[AEAD_NONCE_SIZE];
        uint8_t extra[3];
        uint8_t sealed[5 + AEAD_TAG_SIZE];
    } m = {.extra = {1, 2, 3}};
    uint8_t *bytes = (uint8_t *)&m;
    struct buf out = {0};
    aead_seal(SPAN(m.key), m.nonce, SPAN(m.extra), span_str("seven"), &out);
    memcpy(m.sealed, out.data, out.size);
    buf_clear(&out);
    for (size_t i = 0; i < sizeof m * 8; i++) {
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_false(aead_open(SPAN(m.key), m.nonce, SPAN(m.extra), SPAN(m.sealed), &out));
        assert_int_equal(out.size, 0);
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t n = 0; n < sizeof m.sealed; n++) {
        assert_false(aead_open(SPAN(m.key), m.nonce, SPAN(m.extra), span_of(m.sealed, n), &out));
    }
    assert_true(aead_open(SPAN(m.key), m.nonce, SPAN(m.extra), SPAN(m.sealed), &out));
    buf_deinit(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_flips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
