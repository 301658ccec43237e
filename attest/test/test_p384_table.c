/* P-384 tables against OpenSSL's own ECDSA: the same answer to everything, the corners of the curve
 * included.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "attest/p384_table.h"

#define WINDOW 5

/* One key: its private scalar d, Q = d * G, and what both verifiers need of it. */
struct subject {
    BIGNUM *d; /* NULL when only Q is known */
    EC_POINT *q;
    EVP_PKEY *key;
    struct p384_table *table;
};

static EC_GROUP *group;
static const BIGNUM *order;
static struct p384_table *generator;
static BN_CTX *ctx;

static int set_up(void **state) {
    (void)state;
    ctx = BN_CTX_new();
    group = EC_GROUP_new_by_curve_name(NID_secp384r1);
    order = EC_GROUP_get0_order(group);
    generator = p384_table_new(group, EC_GROUP_get0_generator(group), 7);
    return generator == NULL;
}

static int tear_down(void **state) {
    (void)state;
    p384_table_free(generator);
    EC_GROUP_free(group);
    BN_CTX_free(ctx);
    return 0;
}

static EVP_PKEY *key_of(const EC_POINT *q) {
    unsigned char bytes[97];
    char name[] = "P-384";
    size_t n =
        EC_POINT_point2oct(group, q, POINT_CONVERSION_UNCOMPRESSED, bytes, sizeof bytes, ctx);
    assert_int_equal(n, sizeof bytes);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name, 0),
                           OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, bytes, n),
                           OSSL_PARAM_construct_end()};
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *key = NULL;
    assert_int_equal(EVP_PKEY_fromdata_init(c), 1);
    assert_int_equal(EVP_PKEY_fromdata(c, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
    EVP_PKEY_CTX_free(c);
    return key;
}

static void subject_from_point(struct subject *s, const EC_POINT *q, unsigned window) {
    *s = (struct subject){.q = EC_POINT_dup(q, group), .key = key_of(q)};
    s->table = p384_table_new(group, q, window);
    assert_non_null(s->table);
}

/* d is the subject's afterwards. */
static void subject_init(struct subject *s, BIGNUM *d, unsigned window) {
    EC_POINT *q = EC_POINT_new(group);
    assert_int_equal(EC_POINT_mul(group, q, d, NULL, NULL, ctx), 1);
    subject_from_point(s, q, window);
    s->d = d;
    EC_POINT_free(q);
}

static void subject_deinit(struct subject *s) {
    BN_free(s->d);
    EC_POINT_free(s->q);
    EVP_PKEY_free(s->key);
    p384_table_free(s->table);
}

static BIGNUM *random_scalar(void) {
    BIGNUM *k = BN_new();
    do {
        assert_int_equal(BN_rand_range(k, order), 1);
    } while (BN_is_zero(k));
    return k;
}

/* A number as 48 bytes: digests are big-endian, r and s little-endian. */
struct triple {
    uint8_t digest[48];
    uint8_t r[48];
    uint8_t s[48];
};

static bool by_openssl(const struct subject *subject, const struct triple *t) {
    ECDSA_SIG *sig = ECDSA_SIG_new();
    unsigned char *der = NULL;
    assert_int_equal(ECDSA_SIG_set0(sig, BN_lebin2bn(t->r, 48, NULL), BN_lebin2bn(t->s, 48, NULL)),
                     1);
    int size = i2d_ECDSA_SIG(sig, &der);
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(subject->key, NULL);
    assert_int_equal(EVP_PKEY_verify_init(c), 1);
    bool good = EVP_PKEY_verify(c, der, (size_t)size, t->digest, sizeof t->digest) == 1;
    EVP_PKEY_CTX_free(c);
    OPENSSL_free(der);
    ECDSA_SIG_free(sig);
    ERR_clear_error();
    return good;
}

static void agree(const struct subject *subject, const struct triple *t, bool expected) {
    assert_int_equal(by_openssl(subject, t), expected);
    assert_int_equal(p384_table_verify(generator, subject->table, t->digest, t->r, t->s), expected);
}

static void sign(const struct subject *subject, struct triple *t) {
    BIGNUM *k = random_scalar();
    BIGNUM *e = BN_bin2bn(t->digest, 48, NULL);
    BIGNUM *r = BN_new();
    BIGNUM *s = BN_new();
    EC_POINT *point = EC_POINT_new(group);
    assert_int_equal(EC_POINT_mul(group, point, k, NULL, NULL, ctx), 1);
    assert_int_equal(EC_POINT_get_affine_coordinates(group, point, r, NULL, ctx), 1);
    assert_int_equal(BN_nnmod(r, r, order, ctx), 1);
    assert_int_equal(BN_mod_mul(s, r, subject->d, order, ctx), 1);
    assert_int_equal(BN_mod_add(s, s, e, order, ctx), 1);
    assert_non_null(BN_mod_inverse(k, k, order, ctx));
    assert_int_equal(BN_mod_mul(s, s, k, order, ctx), 1);
    assert_int_equal(BN_bn2lebinpad(r, t->r, 48), 48);
    assert_int_equal(BN_bn2lebinpad(s, t->s, 48), 48);
    BN_free(k);
    BN_free(e);
    BN_free(r);
    BN_free(s);
    EC_POINT_free(point);
}

/* The signature whose proof computes exactly u1 * G + u2 * Q: r is its x, s = r / u2, e = u1 * s.
 * Where that is infinity, any r must be refused. */
static void agree_on_scalars(const struct subject *subject, const BIGNUM *u1, const BIGNUM *u2) {
    struct triple t;
    BIGNUM *r = BN_new();
    BIGNUM *s = BN_new();
    EC_POINT *point = EC_POINT_new(group);
    assert_int_equal(EC_POINT_mul(group, point, u1, subject->q, u2, ctx), 1);
    bool infinite = EC_POINT_is_at_infinity(group, point) == 1;
    if (infinite) {
        BN_set_word(r, 12345);
    } else {
        assert_int_equal(EC_POINT_get_affine_coordinates(group, point, r, NULL, ctx), 1);
        assert_int_equal(BN_nnmod(r, r, order, ctx), 1);
    }
    assert_non_null(BN_mod_inverse(s, u2, order, ctx));
    assert_int_equal(BN_mod_mul(s, s, r, order, ctx), 1);
    assert_int_equal(BN_bn2lebinpad(r, t.r, 48), 48);
    assert_int_equal(BN_bn2lebinpad(s, t.s, 48), 48);
    assert_int_equal(BN_mod_mul(r, u1, s, order, ctx), 1);
    assert_int_equal(BN_bn2binpad(r, t.digest, 48), 48);
    agree(subject, &t, !infinite);
    t.r[17] ^= 4;
    agree(subject, &t, false);
    BN_free(r);
    BN_free(s);
    EC_POINT_free(point);
}

/* ---- tests ---- */

static void flip_and_agree(const struct subject *subject, struct triple *t) {
    uint8_t where[3];
    assert_int_equal(RAND_bytes(where, sizeof where), 1);
    uint8_t *field = where[0] % 3 == 0 ? t->digest : where[0] % 3 == 1 ? t->r : t->s;
    field[where[1] % 48] ^= (uint8_t)(1 << where[2] % 8);
    agree(subject, t, false);
}

static void test_random_signatures(void **state) {
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        struct subject subject;
        subject_init(&subject, random_scalar(), 2 + i % (P384_TABLE_WINDOW_MAX - 1));
        for (unsigned k = 0; k < 10; k++) {
            struct triple t;
            assert_int_equal(RAND_bytes(t.digest, sizeof t.digest), 1);
            sign(&subject, &t);
            agree(&subject, &t, true);
            flip_and_agree(&subject, &t);
        }
        subject_deinit(&subject);
    }
}

/* A signature by another key. */
static void test_other_key(void **state) {
    (void)state;
    struct subject subjects[2];
    struct triple t = {{1}, {0}, {0}};
    subject_init(&subjects[0], random_scalar(), WINDOW);
    subject_init(&subjects[1], random_scalar(), WINDOW);
    sign(&subjects[0], &t);
    agree(&subjects[0], &t, true);
    agree(&subjects[1], &t, false);
    subject_deinit(&subjects[0]);
    subject_deinit(&subjects[1]);
}

/* Digests that are as large as the order or larger, and zero. */
static void test_digests(void **state) {
    (void)state;
    struct subject subject;
    struct triple t;
    subject_init(&subject, random_scalar(), WINDOW);
    memset(t.digest, 0xFF, sizeof t.digest);
    sign(&subject, &t);
    agree(&subject, &t, true);
    assert_int_equal(BN_bn2binpad(order, t.digest, 48), 48);
    sign(&subject, &t);
    agree(&subject, &t, true);
    memset(t.digest, 0, sizeof t.digest); /* the order and zero are the same: u1 = 0 */
    agree(&subject, &t, true);
    subject_deinit(&subject);
}

/* Scalars whose signed digits are all the smallest, all the largest, all carry, or at the ends. */
static size_t fill_scalars(BIGNUM *out[], size_t room) {
    static const char *const texts[] = {
        "1",
        "2",
        "F",
        "10",
        "11",
        "3F",
        "40",
        "41",
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
        "842108421084210842108421084210842108421084210842108421084210842108421084210842108421",
        "8421084210842108421084210842108421084210842108421084210842108421084210842108421084210842"
        "108",
        "810204081020408102040810204081020408102040810204081020408102040810204081020408102040",
        "800000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "000000000",
        "7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
        "FFFFFFFFF",
    };
    size_t count = 0;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        for (int negative = 0; negative < 2; negative++) {
            assert_true(count < room);
            out[count] = NULL;
            assert_true(BN_hex2bn(&out[count], texts[i]) > 0);
            if (negative != 0) {
                assert_int_equal(BN_sub(out[count], order, out[count]), 1);
            }
            count++;
        }
    }
    return count;
}

/* Every pair of them, for keys such as G and -G: sums that are doublings, and infinity. */
static void test_scalars(void **state) {
    (void)state;
    BIGNUM *scalars[32];
    size_t count = fill_scalars(scalars, 32);
    for (size_t i = 0; i < 6; i++) {
        struct subject subject;
        BIGNUM *d = i < 4 ? BN_dup(scalars[i]) : random_scalar(); /* 1, -1, 2, -2, any */
        subject_init(&subject, d, 3 + (unsigned)i);
        for (size_t a = 0; a < count; a++) {
            for (size_t b = a % 3; b < count; b += 3) {
                agree_on_scalars(&subject, scalars[a], scalars[b]);
            }
        }
        BIGNUM *zero = BN_new();
        agree_on_scalars(&subject, zero, scalars[5]);
        BN_free(zero);
        subject_deinit(&subject);
    }
    for (size_t i = 0; i < count; i++) {
        BN_free(scalars[i]);
    }
}

/* u1 * G = -(u2 * Q): no x, no signature, whatever r is. */
static void test_infinity(void **state) {
    (void)state;
    struct subject subject;
    subject_init(&subject, random_scalar(), WINDOW);
    BIGNUM *u2 = random_scalar();
    BIGNUM *u1 = BN_new();
    assert_int_equal(BN_mod_mul(u1, u2, subject.d, order, ctx), 1);
    assert_int_equal(BN_sub(u1, order, u1), 1);
    agree_on_scalars(&subject, u1, u2);
    BN_free(u1);
    BN_free(u2);
    subject_deinit(&subject);
}

/* The key under which r = x - n, for a point with x >= n, and the given e = 1, s = 1, is a
 * signature: Q = (s*R - e*G) / r. */
static bool subject_beyond_order(struct subject *subject, BN_ULONG offset, struct triple *t) {
    BIGNUM *x = BN_dup(order);
    BIGNUM *r = BN_new();
    BIGNUM *u = BN_new();
    EC_POINT *q = EC_POINT_new(group);
    BN_add_word(x, offset);
    BN_set_word(r, offset);
    bool found = EC_POINT_set_compressed_coordinates(group, q, x, 0, ctx) == 1;
    if (found) {
        assert_non_null(BN_mod_inverse(u, r, order, ctx));
        BIGNUM *minus = BN_new();
        assert_int_equal(BN_sub(minus, order, u), 1);
        assert_int_equal(EC_POINT_mul(group, q, minus, q, u, ctx), 1);
        BN_free(minus);
        subject_from_point(subject, q, WINDOW);
        *t = (struct triple){.s = {1}};
        t->digest[47] = 1;
        assert_int_equal(BN_bn2lebinpad(r, t->r, 48), 48);
    }
    ERR_clear_error();
    BN_free(x);
    BN_free(r);
    BN_free(u);
    EC_POINT_free(q);
    return found;
}

static void add_order(uint8_t scalar[48]) {
    BIGNUM *k = BN_lebin2bn(scalar, 48, NULL);
    assert_int_equal(BN_add(k, k, order), 1);
    assert_int_equal(BN_bn2lebinpad(k, scalar, 48), 48);
    BN_free(k);
}

static void test_x_beyond_order(void **state) {
    (void)state;
    unsigned found = 0;
    for (BN_ULONG offset = 1; offset < 40; offset++) {
        struct subject subject;
        struct triple t;
        if (subject_beyond_order(&subject, offset, &t)) {
            found++;
            agree(&subject, &t, true);
            t.r[0] ^= 1;
            agree(&subject, &t, false);
            t.r[0] ^= 1;
            add_order(t.r); /* the same numbers modulo n, and no signature */
            agree(&subject, &t, false);
            t.r[0] = (uint8_t)offset;
            memset(t.r + 1, 0, sizeof t.r - 1);
            agree(&subject, &t, true);
            add_order(t.s);
            agree(&subject, &t, false);
            subject_deinit(&subject);
        }
    }
    assert_true(found > 5);
}

/* r or s zero, the order, above it, all ones. */
static void test_range(void **state) {
    (void)state;
    struct subject subject;
    struct triple good = {{7}, {0}, {0}};
    subject_init(&subject, random_scalar(), WINDOW);
    sign(&subject, &good);
    for (int i = 0; i < 8; i++) {
        struct triple t = good;
        uint8_t *field = i % 2 == 0 ? t.r : t.s;
        memset(field, i / 2 == 0 ? 0 : 0xFF, 48);
        if (i / 2 >= 2) {
            assert_int_equal(BN_bn2lebinpad(order, field, 48), 48);
            field[0] = (uint8_t)(field[0] + (i / 2 == 3));
        }
        agree(&subject, &t, false);
    }
    subject_deinit(&subject);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_signatures),
        cmocka_unit_test(test_other_key),
        cmocka_unit_test(test_digests),
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_infinity),
        cmocka_unit_test(test_x_beyond_order),
        cmocka_unit_test(test_range),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
