/* Owners' signatures: who may sign, what is signed, and what is refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/manifest/owner.h"

static const uint8_t cluster[32] = {1, 2, 3};

struct fixture {
    struct key key;
    struct buf spki, message, signature;
    uint8_t digest[1][32];
    struct manifest authority; /* names the key; borrowed members only */
};

static void set_up(struct fixture *f, enum key_kind kind) {
    *f = (struct fixture){0};
    assert_true(is_ok(key_generate(kind, &f->key, NULL)));
    key_spki(&f->key, &f->spki);
    key_digest(&f->key, f->digest[0]);
    f->authority.owner_digests = f->digest;
    f->authority.owner_count = 1;
    owner_retire_bytes(cluster, 3, 77, &f->message);
}

static void tear_down(struct fixture *f) {
    key_deinit(&f->key);
    buf_deinit(&f->spki);
    buf_deinit(&f->message);
    buf_deinit(&f->signature);
}

static enum err_code verify(const struct fixture *f) {
    return owner_verify(buf_span(&f->message), buf_span(&f->spki), buf_span(&f->signature),
                        &f->authority, NULL)
        .code;
}

static void each_kind_of_owner_signs(void **state) {
    (void)state;
    static const enum key_kind kinds[] = {KEY_P256, KEY_P384, KEY_ED25519};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct fixture f;
        set_up(&f, kinds[i]);
        assert_true(is_ok(owner_sign(&f.key, buf_span(&f.message), &f.signature, NULL)));
        assert_int_equal(verify(&f), ERR_OK);
        f.message.data[f.message.size - 1] ^= 1; /* another replica */
        assert_int_equal(verify(&f), ERR_SIGNATURE);
        tear_down(&f);
    }
}

static void rsa_does_not_sign(void **state) {
    (void)state;
    struct fixture f;
    set_up(&f, KEY_RSA);
    assert_int_equal(owner_sign(&f.key, buf_span(&f.message), &f.signature, NULL).code,
                     ERR_INVALID);
    assert_int_equal(f.signature.size, 0);
    buf_append_str(&f.signature, "x");
    assert_int_equal(verify(&f), ERR_SIGNATURE);
    tear_down(&f);
}

static void a_stranger_is_refused(void **state) {
    (void)state;
    struct fixture f;
    struct err err;
    set_up(&f, KEY_P384);
    assert_true(is_ok(owner_sign(&f.key, buf_span(&f.message), &f.signature, NULL)));
    f.digest[0][0] ^= 1;
    assert_int_equal(verify(&f), ERR_SIGNATURE);
    f.authority.owner_count = 0;
    assert_int_equal(verify(&f), ERR_SIGNATURE);
    f.authority.owner_count = 1;
    f.digest[0][0] ^= 1;
    f.spki.data[f.spki.size - 1] ^= 1; /* another key: not among the owners */
    struct result r = owner_verify(buf_span(&f.message), buf_span(&f.spki), buf_span(&f.signature),
                                   &f.authority, &err);
    assert_int_equal(r.code, ERR_SIGNATURE);
    assert_non_null(strstr(err.text, "not an owner"));
    tear_down(&f);
}

static void what_retiring_signs(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf bytes = {0};
    owner_retire_bytes(cluster, 0x0102, 0x0304, &bytes);
    assert_int_equal(bytes.size, 19 + 32 + 8 + 8);
    assert_memory_equal(bytes.data, "contrast-retire-v1", 19);
    assert_memory_equal(bytes.data + 19, cluster, 32);
    assert_int_equal(bytes.data[19 + 32 + 6], 1);
    assert_int_equal(bytes.data[bytes.size - 1], 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_owner_signs),
        cmocka_unit_test(rsa_does_not_sign),
        cmocka_unit_test(a_stranger_is_refused),
        cmocka_unit_test(what_retiring_signs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
