/* Shares, against arithmetic that is written another way, and against values of another program.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "meshca/shares.h"

/* --- Randomness of the test's own */

struct stream {
    uint8_t next;
    uint8_t step;
};

static void on_random(void *data, void *out, size_t size) {
    struct stream *s = data;
    for (size_t i = 0; i < size; i++) {
        ((uint8_t *)out)[i] = s->next;
        s->next = (uint8_t)(s->next + s->step);
    }
}

/* Exactly these bytes. */
struct given {
    const uint8_t *bytes;
    size_t size;
};

static void on_given(void *data, void *out, size_t size) {
    struct given *g = data;
    assert_int_equal(size, g->size);
    memcpy(out, g->bytes, size);
}

static struct secret *secret_from(const uint8_t bytes[32]) {
    struct secret *s = secret_new(SHARES_SECRET_SIZE);
    memcpy(secret_data(s), bytes, SHARES_SECRET_SIZE);
    return s;
}

static struct secret *counting_secret(void) {
    uint8_t bytes[32];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)i;
    }
    return secret_from(bytes);
}

static void free_all(struct secret **shares, size_t count) {
    for (size_t i = 0; i < count; i++) {
        secret_free(shares[i]);
        shares[i] = NULL;
    }
}

/* --- The field */

/* Product of polynomials first, then the remainder: not how shares.c does it. */
static uint8_t slow_multiply(unsigned a, unsigned b) {
    unsigned product = 0;
    for (unsigned bit = 0; bit < 8; bit++) {
        if ((b & (1U << bit)) != 0) {
            product ^= a << bit;
        }
    }
    for (unsigned bit = 14; bit >= 8; bit--) {
        if ((product & (1U << bit)) != 0) {
            product ^= 0x11bU << (bit - 8);
        }
    }
    return (uint8_t)product;
}

static void test_every_product(void **state) {
    (void)state;
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            assert_int_equal(shares_multiply((uint8_t)a, (uint8_t)b), slow_multiply(a, b));
        }
    }
}

static void test_every_inverse(void **state) {
    (void)state;
    assert_int_equal(shares_invert(0), 0);
    for (unsigned a = 1; a < 256; a++) {
        assert_int_equal(slow_multiply(a, shares_invert((uint8_t)a)), 1);
    }
    assert_int_equal(shares_invert(0x53), 0xca); /* FIPS 197 section 4.2: {53} . {ca} = {01} */
}

/* --- Splitting */

/* python3, with tables of logarithms to the base 3: secret bytes 0..31, coefficients 1, 8, 15, ...
 * (mod 256), 32 of the first power, then 32 of the second. */
static const char *const golden[5] = {
    "01e0e1e2e3e425262728696a6b6c6d2e2f303132f3f4f5f63738393a3b7c7d7e7f",
    "02ab9c8ddae75d7c2b1e09182f7245dfe8ad9a8b87baedcc76431405322f18596e",
    "034b7c6d3a077d5c0b3e69784f1225ffc88dbaab675a0d2c56633425124f78390e",
    "0496234ca239d51af467244bfe3e8bc570a81d72079c72bd51c22c43f69b2eba0f",
    "0576c3ac42d9f53ad447442b9e5eebe550883d52e77c925d71e20c63d6fb4eda6f",
};

static void test_shares_are_those_of_another_program(void **state) {
    (void)state;
    struct stream stream = {1, 7};
    const struct host host = {.data = &stream, .random = on_random};
    struct secret *secret = counting_secret();
    struct secret *shares[5] = {NULL};
    shares_split(&host, secret, 3, 5, shares);
    for (size_t i = 0; i < 5; i++) {
        char hex[2 * SHARES_SIZE + 1];
        hex_encode(secret_span(shares[i]), hex);
        assert_string_equal(hex, golden[i]);
    }
    free_all(shares, 5);
    secret_free(secret);
}

/* Joins the shares whose bits are set in `subset`. */
static struct secret *join_subset(struct secret *const *shares, size_t count, unsigned subset) {
    const struct secret *chosen[LIMIT_SHARE_OWNERS] = {NULL};
    struct secret *joined = NULL;
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        if ((subset & (1U << i)) != 0) {
            chosen[size++] = shares[i];
        }
    }
    assert_true(is_ok(shares_join(chosen, size, &joined, NULL)));
    return joined;
}

static unsigned bits_of(unsigned v) {
    unsigned count = 0;
    for (; v != 0; v &= v - 1) {
        count++;
    }
    return count;
}

/* Every subset of at least k shares gives the secret, no smaller one does. */
static void test_every_subset(void **state) {
    (void)state;
    static const size_t rows[][2] = {{1, 1}, {1, 4}, {2, 2}, {2, 5}, {3, 5}, {5, 5}, {4, 8}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t threshold = rows[i][0];
        size_t count = rows[i][1];
        struct secret *secret = counting_secret();
        struct secret *shares[LIMIT_SHARE_OWNERS] = {NULL};
        shares_split(&host_system, secret, threshold, count, shares);
        for (unsigned subset = 1; subset < 1U << count; subset++) {
            struct secret *joined = join_subset(shares, count, subset);
            assert_int_equal(secret_equal(joined, secret), bits_of(subset) >= threshold);
            secret_free(joined);
        }
        free_all(shares, count);
        secret_free(secret);
    }
}

static void test_sixteen_of_sixteen(void **state) {
    (void)state;
    struct secret *secret = counting_secret();
    struct secret *shares[LIMIT_SHARE_OWNERS] = {NULL};
    shares_split(&host_system, secret, 16, 16, shares);
    struct secret *joined = join_subset(shares, 16, 0xffff);
    assert_true(secret_equal(joined, secret));
    secret_free(joined);
    joined = join_subset(shares, 16, 0x7fff);
    assert_false(secret_equal(joined, secret));
    secret_free(joined);
    free_all(shares, 16);
    secret_free(secret);
}

/* Of a threshold of 3, the shares a and b: over all coefficients every pair of values comes exactly
 * once, whatever the secret byte is. So two shares say nothing about it: every byte is possible,
 * and each equally so. Each of the 32 bytes of a splitting is one case. */
static void assert_pairs_say_nothing(uint8_t secret_byte, size_t a, size_t b) {
    static uint8_t seen[65536];
    memset(seen, 0, sizeof seen);
    uint8_t bytes[32];
    memset(bytes, secret_byte, sizeof bytes);
    struct secret *secret = secret_from(bytes);
    for (unsigned from = 0; from < 65536; from += 32) {
        uint8_t coefficients[64];
        for (unsigned i = 0; i < 32; i++) {
            coefficients[i] = (uint8_t)((from + i) & 0xff);
            coefficients[32 + i] = (uint8_t)((from + i) >> 8);
        }
        struct given given = {coefficients, sizeof coefficients};
        const struct host host = {.data = &given, .random = on_given};
        struct secret *shares[3] = {NULL};
        shares_split(&host, secret, 3, 3, shares);
        for (unsigned i = 1; i <= 32; i++) {
            unsigned pair =
                (unsigned)secret_span(shares[a]).data[i] << 8 | secret_span(shares[b]).data[i];
            assert_int_equal(seen[pair]++, 0);
        }
        free_all(shares, 3);
    }
    secret_free(secret);
}

static void test_fewer_shares_say_nothing(void **state) {
    (void)state;
    assert_pairs_say_nothing(0x00, 0, 1);
    assert_pairs_say_nothing(0x42, 1, 2);
    assert_pairs_say_nothing(0xff, 0, 2);
}

/* --- Joining */

static struct secret *share_of(uint8_t x, size_t size) {
    struct secret *s = secret_new(size);
    secret_data(s)[0] = x;
    return s;
}

static void assert_unjoinable(const struct secret *const *shares, size_t count, const char *text) {
    struct secret *joined = NULL;
    struct err err;
    assert_int_equal(shares_join(shares, count, &joined, &err).code, ERR_INVALID);
    assert_null(joined);
    if (strstr(err.text, text) == NULL) {
        fail_msg("%s", err.text);
    }
}

static void test_what_cannot_be_joined(void **state) {
    (void)state;
    struct secret *one = share_of(1, SHARES_SIZE);
    struct secret *again = share_of(1, SHARES_SIZE);
    struct secret *zero = share_of(0, SHARES_SIZE);
    struct secret *brief = share_of(2, SHARES_SIZE - 1);
    struct secret *lengthy = share_of(2, SHARES_SIZE + 1);
    assert_unjoinable(NULL, 0, "0 shares");
    const struct secret *many[LIMIT_SHARE_OWNERS + 1] = {NULL};
    assert_unjoinable(many, LIMIT_SHARE_OWNERS + 1, "17 shares");
    assert_unjoinable((const struct secret *[]){one, again}, 2, "number 1 stands here twice");
    assert_unjoinable((const struct secret *[]){one, zero}, 2, "share 2 has the number 0");
    assert_unjoinable((const struct secret *[]){brief}, 1, "has 32 bytes, want 33");
    assert_unjoinable((const struct secret *[]){one, lengthy}, 2, "share 2 has 34 bytes");
    secret_free(one);
    secret_free(again);
    secret_free(zero);
    secret_free(brief);
    secret_free(lengthy);
}

/* What joins is not what was split: the commitments of a checkpoint are there for this. */
static void test_a_wrong_share_gives_another_secret(void **state) {
    (void)state;
    struct secret *secret = counting_secret();
    struct secret *shares[3] = {NULL};
    shares_split(&host_system, secret, 2, 3, shares);
    for (size_t at = 0; at < SHARES_SIZE; at++) {
        secret_data(shares[0])[at] ^= 0x10;
        struct secret *joined = join_subset(shares, 3, 3);
        assert_false(secret_equal(joined, secret));
        secret_free(joined);
        secret_data(shares[0])[at] ^= 0x10;
    }
    free_all(shares, 3);
    secret_free(secret);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_product),
        cmocka_unit_test(test_every_inverse),
        cmocka_unit_test(test_shares_are_those_of_another_program),
        cmocka_unit_test(test_every_subset),
        cmocka_unit_test(test_sixteen_of_sixteen),
        cmocka_unit_test(test_fewer_shares_say_nothing),
        cmocka_unit_test(test_what_cannot_be_joined),
        cmocka_unit_test(test_a_wrong_share_gives_another_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
