/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/crypto/digest.h"

#define OUTPUT_MAX 128

static void assert_hex(const uint8_t *bytes, size_t size, const char *hex) {
    char text[2 * OUTPUT_MAX + 1];
    assert_true(size <= OUTPUT_MAX);
    hex_encode(span_of(bytes, size), text);
    assert_string_equal(text, hex);
}

/* FIPS 180-4's own examples ("abc" and nothing at all), from the NIST example files. */
static void test_examples_of_the_standard(void **state) {
    (void)state;
    uint8_t out[SHA512_SIZE];
    sha256(span_str("abc"), out);
    assert_hex(out, SHA256_SIZE,
               "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256(span_str(""), out);
    assert_hex(out, SHA256_SIZE,
               "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha384(span_str("abc"), out);
    assert_hex(out, SHA384_SIZE,
               "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
               "8086072ba1e7cc2358baeca134c825a7");
    sha512(span_str("abc"), out);
    assert_hex(out, SHA512_SIZE,
               "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
               "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
}

static void test_parts_are_their_concatenation(void **state) {
    (void)state;
    const struct span parts[] = {span_str("a"), {0}, span_str("bc"), span_str("")};
    uint8_t whole[SHA512_SIZE];
    uint8_t pieces[SHA512_SIZE];
    sha256(span_str("abc"), whole);
    sha256_parts(parts, 4, pieces);
    assert_memory_equal(whole, pieces, SHA256_SIZE);
    sha384(span_str("abc"), whole);
    sha384_parts(parts, 4, pieces);
    assert_memory_equal(whole, pieces, SHA384_SIZE);
    sha512(span_str("abc"), whole);
    sha512_parts(parts, 4, pieces);
    assert_memory_equal(whole, pieces, SHA512_SIZE);
    sha256((struct span){0}, whole);
    sha256_parts(NULL, 0, pieces);
    assert_memory_equal(whole, pieces, SHA256_SIZE);
}

static void test_stream_starts_again_after_each_digest(void **state) {
    (void)state;
    uint8_t whole[SHA256_SIZE], pieces[SHA256_SIZE];
    struct sha256_stream *s = sha256_stream_new();
    const char *const texts[] = {"abc", "", "abc"};
    for (size_t i = 0; i < 3; i++) {
        sha256(span_str(texts[i]), whole);
        for (const char *p = texts[i]; *p != '\0'; p++) {
            sha256_stream_update(s, span_of(p, 1));
        }
        sha256_stream_final(s, pieces);
        assert_memory_equal(whole, pieces, SHA256_SIZE);
    }
    sha256_stream_free(s);
    sha256_stream_free(NULL);
}

struct hkdf_row {
    const char *key; /* hexadecimal, as the others */
    const char *salt;
    const char *info;
    const char *output;
};

/* RFC 5869 appendix A.1, A.2, A.3. */
static const struct hkdf_row hkdf_rows[] = {
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c",
     "f0f1f2f3f4f5f6f7f8f9",
     "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
    {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2"
     "e"
     "2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f",
     "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8"
     "e"
     "8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
     "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcddd"
     "e"
     "dfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
     "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590"
     "e"
     "09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"},
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
     "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"},
};

static struct span decode(const char *hex, uint8_t out[OUTPUT_MAX]) {
    size_t size = strlen(hex) / 2;
    assert_true(size <= OUTPUT_MAX);
    assert_true(is_ok(hex_decode(span_str(hex), out, size, NULL)));
    return span_of(out, size);
}

static void test_hkdf_vectors_of_the_rfc(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof hkdf_rows / sizeof hkdf_rows[0]; i++) {
        const struct hkdf_row *row = &hkdf_rows[i];
        uint8_t bytes[3][OUTPUT_MAX];
        struct span key = decode(row->key, bytes[0]);
        struct span salt = decode(row->salt, bytes[1]);
        struct span info = decode(row->info, bytes[2]);
        uint8_t out[OUTPUT_MAX];
        size_t size = strlen(row->output) / 2;
        hkdf_sha256(key, salt, info, out, size);
        assert_hex(out, size, row->output);
    }
}

static void test_hkdf_takes_absent_salt_and_info(void **state) {
    (void)state;
    uint8_t bytes[OUTPUT_MAX];
    uint8_t out[42];
    struct span key = decode(hkdf_rows[2].key, bytes);
    hkdf_sha256(key, (struct span){0}, (struct span){0}, out, sizeof out);
    assert_hex(out, sizeof out, hkdf_rows[2].output);
}

static void test_hkdf_separates_by_info(void **state) {
    (void)state;
    uint8_t one[32];
    uint8_t two[32];
    hkdf_sha256(span_str("key"), span_str("salt"), span_str("one"), one, sizeof one);
    hkdf_sha256(span_str("key"), span_str("salt"), span_str("two"), two, sizeof two);
    assert_memory_not_equal(one, two, sizeof one);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples_of_the_standard),
        cmocka_unit_test(test_parts_are_their_concatenation),
        cmocka_unit_test(test_stream_starts_again_after_each_digest),
        cmocka_unit_test(test_hkdf_vectors_of_the_rfc),
        cmocka_unit_test(test_hkdf_takes_absent_salt_and_info),
        cmocka_unit_test(test_hkdf_separates_by_info),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
