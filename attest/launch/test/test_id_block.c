/* ID blocks that this test makes: signed, read again, changed in every byte, cut everywhere.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "attest/launch/id_block.h"

struct fixture {
    struct key id;
    struct key author;
    struct id_block block;
    uint8_t block_bytes[ID_BLOCK_SIZE];
    uint8_t bytes[ID_BLOCK_AUTH_SIZE]; /* with an author key */
};

static int setup(void **state) {
    static struct fixture f;
    struct id_block_auth auth;
    f = (struct fixture){.block = {.guest_svn = 7, .policy = 0x30000}};
    memset(f.block.launch_digest, 0x11, sizeof f.block.launch_digest);
    memset(f.block.family_id, 0x22, sizeof f.block.family_id);
    memset(f.block.image_id, 0x33, sizeof f.block.image_id);
    assert_true(is_ok(key_generate(KEY_P384, &f.id, NULL)));
    assert_true(is_ok(key_generate(KEY_P384, &f.author, NULL)));
    assert_true(is_ok(id_block_sign(&f.block, &f.id, &f.author, &auth, NULL)));
    id_block_encode(&f.block, f.block_bytes);
    id_block_auth_encode(&auth, f.bytes);
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    key_deinit(&f->id);
    key_deinit(&f->author);
    return 0;
}

static void test_round_trip(void **state) {
    const struct fixture *f = *state;
    struct id_block block;
    struct id_block_auth auth;
    uint8_t key[ID_BLOCK_KEY_SIZE];
    assert_true(is_ok(id_block_parse(SPAN(f->block_bytes), &block, NULL)));
    assert_int_equal(block.guest_svn, 7);
    assert_int_equal(block.policy, 0x30000);
    assert_memory_equal(block.image_id, f->block.image_id, sizeof block.image_id);
    assert_true(is_ok(id_block_auth_parse(SPAN(f->bytes), &auth, NULL)));
    assert_true(is_ok(id_block_verify(&block, &auth, NULL)));
    assert_false(id_block_is_synthetic(&auth));
    assert_true(is_ok(id_block_key_encode(&f->id, key, NULL)));
    assert_memory_equal(key, auth.id_key, sizeof key);
    assert_true(is_ok(id_block_sign(&f->block, &f->id, NULL, &auth, NULL)));
    assert_false(auth.has_author);
    assert_true(is_ok(id_block_verify(&block, &auth, NULL)));
}

/* No byte of block or page may change: what still parses no longer verifies. */
static void test_every_byte_counts(void **state) {
    struct fixture *f = *state;
    struct id_block block;
    struct id_block_auth auth;
    assert_true(is_ok(id_block_auth_parse(SPAN(f->bytes), &auth, NULL)));
    for (size_t i = 0; i < ID_BLOCK_SIZE; i += 5) {
        f->block_bytes[i] ^= 1;
        if (is_ok(id_block_parse(SPAN(f->block_bytes), &block, NULL))) {
            assert_int_equal(id_block_verify(&block, &auth, NULL).code, ERR_SIGNATURE);
        }
        f->block_bytes[i] ^= 1;
    }
    size_t parsed = 0;
    for (size_t i = 0; i < ID_BLOCK_AUTH_SIZE; i++) {
        f->bytes[i] ^= 1;
        if (is_ok(id_block_auth_parse(SPAN(f->bytes), &auth, NULL))) {
            parsed++;
            assert_true(parsed % 16 != 0 || id_block_verify(&f->block, &auth, NULL).code ==
                                                ERR_SIGNATURE); /* a verification takes a while */
        }
        f->bytes[i] ^= 1;
    }
    assert_true(parsed >= 192 && parsed <= 200); /* r and s of both signatures, nothing else */
}

static void test_every_size(void **state) {
    const struct fixture *f = *state;
    struct id_block block;
    struct id_block_auth auth;
    for (size_t n = 0; n < ID_BLOCK_SIZE; n++) {
        assert_int_equal(id_block_parse(span_of(f->block_bytes, n), &block, NULL).code,
                         ERR_MALFORMED);
    }
    for (size_t n = 0; n < ID_BLOCK_AUTH_SIZE; n++) {
        assert_int_equal(id_block_auth_parse(span_of(f->bytes, n), &auth, NULL).code,
                         ERR_MALFORMED);
    }
}

static void refuse(const uint8_t *bytes, const char *text) {
    struct id_block_auth auth;
    struct err err = {0};
    struct result r = id_block_auth_parse(span_of(bytes, ID_BLOCK_AUTH_SIZE), &auth, &err);
    assert_int_equal(r.code, ERR_MALFORMED);
    if (strstr(err.text, text) == NULL) {
        fail_msg("want '%s', have '%s'", text, err.text);
    }
}

static void test_every_rule(void **state) {
    const struct fixture *f = *state;
    static const struct {
        size_t at;
        uint8_t value;
        const char *text;
    } rows[] = {
        {0, 2, "the ID key's algorithm is 2"},
        {4, 2, "the author key's algorithm is 2"},
        {4, 0, "an author key without its algorithm"},
        {8, 1, "bytes that must be zero are not"},
        {0x40 + 48, 1, "signature of the ID block: bytes that must be zero"},
        {0x40 + 72 + 48, 1, "signature of the ID block: bytes that must be zero"},
        {0x40 + 144, 1, "signature of the ID block: bytes that must be zero"},
        {0x240, 1, "ID key: curve 1"},
        {0x240 + 4 + 48, 1, "ID key: bytes that must be zero"},
        {0x240 + 148, 1, "ID key: bytes that must be zero"},
        {0x644, 1, "bytes that must be zero"},
        {0x680 + 511, 1, "signature of the ID key: bytes that must be zero"},
        {0x880, 0, "author key: curve 0"},
        {0xFFF, 1, "bytes that must be zero"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t bytes[ID_BLOCK_AUTH_SIZE];
        memcpy(bytes, f->bytes, sizeof bytes);
        bytes[rows[i].at] = rows[i].value;
        refuse(bytes, rows[i].text);
    }
    uint8_t bytes[ID_BLOCK_AUTH_SIZE];
    memcpy(bytes, f->bytes, sizeof bytes);
    bytes[0x244] ^= 1;
    refuse(bytes, "ID key: not a point of P-384");
    struct id_block block;
    memcpy(bytes, f->block_bytes, ID_BLOCK_SIZE);
    bytes[80] = 2;
    assert_int_equal(id_block_parse(span_of(bytes, ID_BLOCK_SIZE), &block, NULL).code,
                     ERR_MALFORMED);
}

static void test_keys_that_cannot_sign(void **state) {
    const struct fixture *f = *state;
    struct id_block_auth auth = {.has_author = false};
    struct key other = {0};
    struct key public_only = {0};
    struct err err = {0};
    struct buf spki = {0};
    assert_true(is_ok(key_generate(KEY_P256, &other, NULL)));
    assert_int_equal(id_block_sign(&f->block, &other, NULL, &auth, &err).code, ERR_INVALID);
    assert_non_null(strstr(err.text, "not a P-384 key"));
    key_spki(&f->id, &spki);
    assert_true(is_ok(key_from_spki(buf_span(&spki), &public_only, NULL)));
    assert_int_equal(id_block_sign(&f->block, &public_only, NULL, &auth, &err).code, ERR_INVALID);
    assert_non_null(strstr(err.text, "the ID key has no private half"));
    assert_int_equal(id_block_sign(&f->block, &f->id, &public_only, &auth, &err).code, ERR_INVALID);
    key_deinit(&other);
    key_deinit(&public_only);
    buf_deinit(&spki);
}

static void test_synthetic(void **state) {
    const struct fixture *f = *state;
    struct id_block_auth auth;
    assert_true(is_ok(id_block_auth_parse(SPAN(f->bytes), &auth, NULL)));
    memset(auth.signature, 0, sizeof auth.signature);
    auth.signature[0] = 2;
    auth.signature[72] = 1;
    assert_true(id_block_is_synthetic(&auth));
    assert_int_equal(id_block_verify(&f->block, &auth, NULL).code, ERR_SIGNATURE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_every_byte_counts),
        cmocka_unit_test(test_every_size),
        cmocka_unit_test(test_every_rule),
        cmocka_unit_test(test_keys_that_cannot_sign),
        cmocka_unit_test(test_synthetic),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
