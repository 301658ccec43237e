/* Hot keys: when a table is made, that it never changes an answer, and what a contradiction does.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <pthread.h>

#include "attest/hotkey.h"
#include "lib/base/limits.h"
#include "lib/base/log.h"

static const uint8_t TEXT[672] = {1, 2, 3};

/* A key and its signature of TEXT. */
struct signer {
    EVP_PKEY *key;
    struct hotkey hotkey;
    uint8_t r[48];
    uint8_t s[48];
};

static void signer_init(struct signer *s, uint8_t name) {
    unsigned char der[160];
    size_t size = sizeof der;
    const unsigned char *at = der;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    s->key = EVP_EC_gen("P-384");
    assert_non_null(s->key);
    s->hotkey = (struct hotkey){.key = s->key, .id = {name}};
    atomic_init(&s->hotkey.count, 0);
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha384(), NULL, s->key), 1);
    assert_int_equal(EVP_DigestSign(ctx, der, &size, TEXT, sizeof TEXT), 1);
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)size);
    assert_int_equal(BN_bn2lebinpad(ECDSA_SIG_get0_r(sig), s->r, 48), 48);
    assert_int_equal(BN_bn2lebinpad(ECDSA_SIG_get0_s(sig), s->s, 48), 48);
    ECDSA_SIG_free(sig);
    EVP_MD_CTX_free(ctx);
}

static void signer_deinit(struct signer *s) {
    EVP_PKEY_free(s->key);
}

static bool good(struct hotkey_pool *pool, struct signer *s) {
    return hotkey_verify(pool, &s->hotkey, SPAN(TEXT), s->r, s->s);
}

static bool bad(struct hotkey_pool *pool, struct signer *s) {
    uint8_t text[sizeof TEXT];
    memcpy(text, TEXT, sizeof text);
    text[5] ^= 1;
    return hotkey_verify(pool, &s->hotkey, SPAN(text), s->r, s->s);
}

static void warm(struct hotkey_pool *pool, struct signer *s) {
    for (int i = 0; i < HOTKEY_AFTER; i++) {
        assert_true(good(pool, s));
    }
}

static struct hotkey_stats stats_of(struct hotkey_pool *pool) {
    struct hotkey_stats stats;
    hotkey_pool_stats(pool, &stats);
    return stats;
}

static void test_without_a_pool(void **state) {
    (void)state;
    struct signer s;
    signer_init(&s, 1);
    for (int i = 0; i < 2 * HOTKEY_AFTER; i++) {
        assert_true(good(NULL, &s));
        assert_false(bad(NULL, &s));
    }
    signer_deinit(&s);
}

static void test_a_table_after_some_good_ones(void **state) {
    (void)state;
    struct hotkey_pool *pool = hotkey_pool_new();
    struct signer s;
    signer_init(&s, 1);
    for (int i = 0; i < HOTKEY_AFTER; i++) {
        assert_int_equal(stats_of(pool).tables, 0);
        assert_false(bad(pool, &s)); /* does not count */
        assert_true(good(pool, &s));
    }
    assert_int_equal(stats_of(pool).tables, 1);
    assert_int_equal(stats_of(pool).hits, 0);
    for (int i = 0; i < 3; i++) {
        assert_true(good(pool, &s));
        assert_false(bad(pool, &s));
    }
    assert_int_equal(stats_of(pool).hits, 3);
    assert_false(stats_of(pool).is_broken);
    signer_deinit(&s);
    hotkey_pool_unref(pool);
}

static void test_another_keys_signature(void **state) {
    (void)state;
    struct hotkey_pool *pool = hotkey_pool_new();
    struct signer a;
    struct signer b;
    signer_init(&a, 1);
    signer_init(&b, 2);
    warm(pool, &a);
    warm(pool, &b);
    assert_int_equal(stats_of(pool).tables, 2);
    assert_false(hotkey_verify(pool, &a.hotkey, SPAN(TEXT), b.r, b.s));
    assert_false(stats_of(pool).is_broken);
    signer_deinit(&a);
    signer_deinit(&b);
    hotkey_pool_unref(pool);
}

static void note_error(void *data, enum log_level level, const char *line) {
    unsigned *count = data;
    *count += level == LOG_ERROR && strstr(line, "contradicts OpenSSL") != NULL;
}

/* b bears the name of a: the table that is found for it is another key's, as a damaged one. */
static void test_a_contradiction_ends_it(void **state) {
    (void)state;
    struct hotkey_pool *pool = hotkey_pool_new();
    struct signer a;
    struct signer b;
    unsigned errors = 0;
    signer_init(&a, 1);
    signer_init(&b, 1);
    warm(pool, &a);
    log_set_sink(note_error, &errors);
    assert_true(good(pool, &b)); /* OpenSSL's answer counts */
    assert_int_equal(errors, 1);
    assert_true(stats_of(pool).is_broken);
    assert_true(good(pool, &a));
    assert_false(bad(pool, &a));
    assert_int_equal(stats_of(pool).hits, 0);
    log_set_sink(NULL, NULL);
    signer_deinit(&a);
    signer_deinit(&b);
    hotkey_pool_unref(pool);
}

/* As many as the limit, and the next key only when one has long been idle. */
static void test_bounds(void **state) {
    (void)state;
    struct hotkey_pool *pool = hotkey_pool_new();
    struct signer signers[LIMIT_SNP_TABLES + 1];
    struct signer *first = &signers[0];
    struct signer *last = &signers[LIMIT_SNP_TABLES];
    for (size_t i = 0; i <= LIMIT_SNP_TABLES; i++) {
        signer_init(&signers[i], (uint8_t)i);
        warm(pool, &signers[i]);
    }
    assert_int_equal(stats_of(pool).tables, LIMIT_SNP_TABLES);
    uint64_t hits = stats_of(pool).hits;
    assert_true(good(pool, last));
    assert_int_equal(stats_of(pool).hits, hits);
    for (int i = 0; i < 64 * LIMIT_SNP_TABLES; i++) {
        assert_true(good(pool, first));
    }
    warm(pool, last);
    assert_int_equal(stats_of(pool).tables, LIMIT_SNP_TABLES);
    hits = stats_of(pool).hits;
    assert_true(good(pool, last));
    assert_true(good(pool, first)); /* was busy: stayed */
    assert_int_equal(stats_of(pool).hits, hits + 2);
    assert_true(good(pool, &signers[1])); /* was idle: went */
    assert_int_equal(stats_of(pool).hits, hits + 2);
    for (size_t i = 0; i <= LIMIT_SNP_TABLES; i++) {
        signer_deinit(&signers[i]);
    }
    hotkey_pool_unref(pool);
}

struct crowd {
    struct hotkey_pool *pool;
    struct signer signers[2];
    atomic_uint wrong;
};

static void *judge_many(void *data) {
    struct crowd *c = data;
    for (int i = 0; i < 4 * HOTKEY_AFTER; i++) {
        struct signer *s = &c->signers[i % 2];
        bool right = good(c->pool, s) && !bad(c->pool, s);
        atomic_fetch_add(&c->wrong, right ? 0 : 1);
    }
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    struct crowd c = {.pool = hotkey_pool_new()};
    pthread_t threads[4];
    atomic_init(&c.wrong, 0);
    signer_init(&c.signers[0], 1);
    signer_init(&c.signers[1], 2);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, judge_many, &c), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&c.wrong), 0);
    assert_int_equal(stats_of(c.pool).tables, 2);
    assert_false(stats_of(c.pool).is_broken);
    signer_deinit(&c.signers[0]);
    signer_deinit(&c.signers[1]);
    hotkey_pool_unref(c.pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_pool),
        cmocka_unit_test(test_a_table_after_some_good_ones),
        cmocka_unit_test(test_another_keys_signature),
        cmocka_unit_test(test_a_contradiction_ends_it),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
