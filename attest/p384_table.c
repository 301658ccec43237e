/* P-384 tables: see p384_table.h.
 *
 * Two functions here are deprecated since OpenSSL 3.0, and nothing took their place:
 *   EC_POINTs_make_affine turns all points of a table to Z = 1 with one inversion, which makes each
 *     later addition a third cheaper;
 *   EC_POINT_get_Jprojective_coordinates_GFp shows X and Z, so that R.x is compared without a
 *     second inversion, a fifth of all the work.
 * Without the first (leave it out) and with EC_POINT_get_affine_coordinates for the second this is
 * as right, and slower.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "attest/p384_table.h"

#include <openssl/bn.h>
#include <openssl/err.h>

#include "lib/base/mem.h"

#define SCALAR_BITS 384
#define SCALAR_SIZE 48
/* One bit more than a scalar has: the carry of the top digit. */
#define WINDOWS_MAX (SCALAR_BITS / 2 + 1)

struct p384_table {
    const EC_GROUP *group; /* borrowed */
    unsigned window;       /* bits */
    size_t windows;
    size_t digits;      /* entries of one window: 2^(window-1) */
    EC_POINT **entries; /* windows * digits, owned; entry (i, d) at i * digits + d - 1 */
};

static EC_POINT **window_at(const struct p384_table *t, size_t i) {
    return t->entries + i * t->digits;
}

/* The first entries: 2^(w*i) * P. */
static bool fill_bases(struct p384_table *t, const EC_POINT *point, BN_CTX *ctx) {
    bool good = EC_POINT_copy(window_at(t, 0)[0], point) == 1;
    for (size_t i = 1; i < t->windows && good; i++) {
        EC_POINT *base = window_at(t, i)[0];
        good = EC_POINT_copy(base, window_at(t, i - 1)[0]) == 1;
        for (unsigned bit = 0; bit < t->window && good; bit++) {
            good = EC_POINT_dbl(t->group, base, base, ctx) == 1;
        }
    }
    return good;
}

/* All bases to Z = 1 first: each is added to its window's entries again and again. */
static bool settle_bases(struct p384_table *t, BN_CTX *ctx) {
    EC_POINT *bases[WINDOWS_MAX];
    for (size_t i = 0; i < t->windows; i++) {
        bases[i] = window_at(t, i)[0];
    }
    return EC_POINTs_make_affine(t->group, t->windows, bases, ctx) == 1;
}

static bool fill_windows(struct p384_table *t, BN_CTX *ctx) {
    bool good = true;
    for (size_t i = 0; i < t->windows; i++) {
        EC_POINT **entry = window_at(t, i);
        for (size_t d = 1; d < t->digits && good; d++) {
            good = EC_POINT_add(t->group, entry[d], entry[d - 1], entry[0], ctx) == 1;
        }
    }
    return good;
}

static bool fill(struct p384_table *t, const EC_POINT *point, BN_CTX *ctx) {
    for (size_t i = 0; i < t->windows * t->digits; i++) {
        t->entries[i] = EC_POINT_new(t->group);
        if (t->entries[i] == NULL) {
            return false;
        }
    }
    return fill_bases(t, point, ctx) && settle_bases(t, ctx) && fill_windows(t, ctx) &&
           EC_POINTs_make_affine(t->group, t->windows * t->digits, t->entries, ctx) == 1;
}

struct p384_table *p384_table_new(const EC_GROUP *group, const EC_POINT *point, unsigned window) {
    CHECK(window >= 2 && window <= P384_TABLE_WINDOW_MAX);
    struct p384_table *t = mem_alloc(sizeof *t);
    *t = (struct p384_table){.group = group,
                             .window = window,
                             .windows = (SCALAR_BITS + 1 + window - 1) / window,
                             .digits = (size_t)1 << (window - 1)};
    t->entries = mem_calloc(t->windows * t->digits, sizeof(EC_POINT *));
    BN_CTX *ctx = BN_CTX_new();
    bool good = ctx != NULL && fill(t, point, ctx);
    BN_CTX_free(ctx);
    if (!good) {
        p384_table_free(t);
        return NULL;
    }
    return t;
}

void p384_table_free(struct p384_table *table) {
    if (table == NULL) {
        return;
    }
    for (size_t i = 0; i < table->windows * table->digits; i++) {
        EC_POINT_free(table->entries[i]);
    }
    mem_free(table->entries);
    mem_free(table);
}

/* `window` bits of a little-endian scalar from bit `at`; two zero bytes follow the scalar. */
static unsigned bits_at(const uint8_t *scalar, size_t at, unsigned window) {
    size_t byte = at / 8;
    unsigned both = scalar[byte] | (unsigned)scalar[byte + 1] << 8;
    return (both >> (at % 8)) & ((1U << window) - 1);
}

/* Adds the entries of k (below 2^384) to two sums: k * P = plus - minus. So no entry is negated. */
static bool add_multiple(const struct p384_table *t, const BIGNUM *k, EC_POINT *plus,
                         EC_POINT *minus, BN_CTX *ctx) {
    uint8_t scalar[SCALAR_SIZE + 2] = {0};
    if (BN_bn2lebinpad(k, scalar, SCALAR_SIZE) != SCALAR_SIZE) {
        return false;
    }
    unsigned carry = 0;
    for (size_t i = 0; i < t->windows; i++) {
        size_t digit = bits_at(scalar, i * t->window, t->window) + carry;
        carry = digit > t->digits;
        size_t size = carry != 0 ? 2 * t->digits - digit : digit;
        EC_POINT *sum = carry != 0 ? minus : plus;
        if (size != 0 && EC_POINT_add(t->group, sum, sum, window_at(t, i)[size - 1], ctx) != 1) {
            return false;
        }
    }
    CHECK(carry == 0);
    return true;
}

/* ---- verification ---- */

/* One signature; numbers and context are p384_table_verify's, points are prove()'s. */
struct work {
    const struct p384_table *generator;
    const struct p384_table *key;
    const EC_GROUP *group;
    const BIGNUM *order;
    BN_CTX *ctx;
    BIGNUM *r;
    BIGNUM *s;
    BIGNUM *e;
    EC_POINT *plus; /* at last R */
    EC_POINT *minus;
};

static bool in_range(const struct work *w, const BIGNUM *scalar) {
    return !BN_is_zero(scalar) && BN_cmp(scalar, w->order) < 0;
}

static bool find_point(const struct work *w, BIGNUM *u1, BIGNUM *u2) {
    return BN_mod_inverse(w->s, w->s, w->order, w->ctx) != NULL &&
           BN_mod_mul(u1, w->e, w->s, w->order, w->ctx) == 1 &&
           BN_mod_mul(u2, w->r, w->s, w->order, w->ctx) == 1 &&
           EC_POINT_set_to_infinity(w->group, w->plus) == 1 &&
           EC_POINT_set_to_infinity(w->group, w->minus) == 1 &&
           add_multiple(w->generator, u1, w->plus, w->minus, w->ctx) &&
           add_multiple(w->key, u2, w->plus, w->minus, w->ctx) &&
           EC_POINT_invert(w->group, w->minus, w->ctx) == 1 &&
           EC_POINT_add(w->group, w->plus, w->plus, w->minus, w->ctx) == 1;
}

/* x of R is X / Z^2, and x mod n = r says that x is r or r + n: X = r * Z^2 or X = (r+n) * Z^2 in
 * the field. At infinity Z is zero. */
static bool has_x(const struct work *w, BIGNUM *x, BIGNUM *z, BIGNUM *product) {
    const BIGNUM *field = EC_GROUP_get0_field(w->group);
    if (EC_POINT_is_at_infinity(w->group, w->plus) != 0 ||
        EC_POINT_get_Jprojective_coordinates_GFp(w->group, w->plus, x, NULL, z, w->ctx) != 1 ||
        BN_mod_sqr(z, z, field, w->ctx) != 1) {
        return false;
    }
    while (BN_cmp(w->r, field) < 0) {
        if (BN_mod_mul(product, w->r, z, field, w->ctx) != 1) {
            return false;
        }
        if (BN_cmp(product, x) == 0) {
            return true;
        }
        if (BN_add(w->r, w->r, w->order) != 1) {
            return false;
        }
    }
    return false;
}

static bool prove(struct work *w) {
    BIGNUM *a = BN_CTX_get(w->ctx);
    BIGNUM *b = BN_CTX_get(w->ctx);
    BIGNUM *c = BN_CTX_get(w->ctx);
    w->plus = EC_POINT_new(w->group);
    w->minus = EC_POINT_new(w->group);
    bool good = c != NULL && w->plus != NULL && w->minus != NULL && in_range(w, w->r) &&
                in_range(w, w->s) && find_point(w, a, b) && has_x(w, a, b, c);
    EC_POINT_free(w->plus);
    EC_POINT_free(w->minus);
    return good;
}

bool p384_table_verify(const struct p384_table *generator, const struct p384_table *key,
                       const uint8_t digest[48], const uint8_t r[48], const uint8_t s[48]) {
    BN_CTX *ctx = BN_CTX_new();
    if (ctx == NULL) {
        return false;
    }
    BN_CTX_start(ctx);
    struct work w = {.generator = generator,
                     .key = key,
                     .group = key->group,
                     .order = EC_GROUP_get0_order(key->group),
                     .ctx = ctx,
                     .r = BN_CTX_get(ctx),
                     .s = BN_CTX_get(ctx),
                     .e = BN_CTX_get(ctx)};
    bool good = w.e != NULL && BN_lebin2bn(r, SCALAR_SIZE, w.r) != NULL &&
                BN_lebin2bn(s, SCALAR_SIZE, w.s) != NULL &&
                BN_bin2bn(digest, SCALAR_SIZE, w.e) != NULL && prove(&w);
    BN_CTX_end(ctx);
    BN_CTX_free(ctx);
    ERR_clear_error();
    return good;
}
