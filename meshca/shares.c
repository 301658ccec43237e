/* Shares: see shares.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "meshca/shares.h"

#include <string.h>

#include "lib/base/mem.h"

/* --- GF(256) */

/* FIPS 197 section 4.2: shift and add; masks in place of branches. */
uint8_t shares_multiply(uint8_t a, uint8_t b) {
    unsigned product = 0;
    unsigned shifted = a;
    unsigned factor = b;
    for (unsigned bit = 0; bit < 8; bit++) {
        unsigned is_set = 0U - ((factor >> bit) & 1U);
        unsigned overflows = 0U - ((shifted >> 7) & 1U);
        product ^= shifted & is_set;
        shifted = ((shifted << 1) & 0xffU) ^ (0x1bU & overflows);
    }
    return (uint8_t)product;
}

/* a^254: the group has 255 elements. */
uint8_t shares_invert(uint8_t a) {
    uint8_t power = a; /* a^(2^i) */
    uint8_t result = 1;
    for (unsigned i = 1; i < 8; i++) {
        power = shares_multiply(power, power);
        result = shares_multiply(result, power);
    }
    return result;
}

/* --- Splitting */

/* Horner's rule at x, for one byte; `coefficients` are 32 bytes for each power from 1. */
static uint8_t evaluate(const uint8_t *coefficients, size_t threshold, size_t byte,
                        uint8_t constant, uint8_t x) {
    uint8_t value = 0;
    for (size_t power = threshold - 1; power > 0; power--) {
        uint8_t c = coefficients[(power - 1) * SHARES_SECRET_SIZE + byte];
        value = shares_multiply((uint8_t)(value ^ c), x);
    }
    return (uint8_t)(value ^ constant);
}

void shares_split(const struct host *host, const struct secret *secret, size_t threshold,
                  size_t count, struct secret **out) {
    CHECK(secret_span(secret).size == SHARES_SECRET_SIZE);
    CHECK(threshold > 0 && threshold <= count && count <= LIMIT_SHARE_OWNERS);
    const uint8_t *constant = secret_span(secret).data;
    struct secret *coefficients = secret_new(threshold * SHARES_SECRET_SIZE); /* never empty */
    uint8_t *c = secret_data(coefficients);
    host_random(host, c, (threshold - 1) * SHARES_SECRET_SIZE);
    for (size_t i = 0; i < count; i++) {
        out[i] = secret_new(SHARES_SIZE);
        uint8_t *share = secret_data(out[i]);
        share[0] = (uint8_t)(i + 1);
        for (size_t byte = 0; byte < SHARES_SECRET_SIZE; byte++) {
            share[1 + byte] = evaluate(c, threshold, byte, constant[byte], share[0]);
        }
    }
    secret_free(coefficients);
}

/* --- Joining */

static RESULT check_shares(const struct secret *const *shares, size_t count, struct err *err) {
    ENSURE(count > 0 && count <= LIMIT_SHARE_OWNERS, err, INVALID, "%zu shares, want 1 to %d",
           count, LIMIT_SHARE_OWNERS);
    bool seen[256] = {false};
    for (size_t i = 0; i < count; i++) {
        struct span share = secret_span(shares[i]);
        ENSURE(share.size == SHARES_SIZE, err, INVALID, "share %zu has %zu bytes, want %d", i + 1,
               share.size, SHARES_SIZE);
        uint8_t x = share.data[0];
        ENSURE(x > 0, err, INVALID, "share %zu has the number 0", i + 1);
        ENSURE(!seen[x], err, INVALID, "share number %u stands here twice", x);
        seen[x] = true;
    }
    return OK;
}

/* Lagrange's polynomial of share `at`, at 0: product of x_j / (x_j - x_at). Of public values. */
static uint8_t weight(const struct secret *const *shares, size_t count, size_t at) {
    uint8_t x = secret_span(shares[at]).data[0];
    uint8_t above = 1;
    uint8_t below = 1;
    for (size_t i = 0; i < count; i++) {
        uint8_t other = secret_span(shares[i]).data[0];
        if (i != at) {
            above = shares_multiply(above, other);
            below = shares_multiply(below, (uint8_t)(other ^ x));
        }
    }
    return shares_multiply(above, shares_invert(below));
}

RESULT shares_join(const struct secret *const *shares, size_t count, struct secret **out,
                   struct err *err) {
    TRY(check_shares(shares, count, err));
    struct secret *joined = secret_new(SHARES_SECRET_SIZE);
    uint8_t *secret = secret_data(joined);
    for (size_t i = 0; i < count; i++) {
        uint8_t w = weight(shares, count, i);
        const uint8_t *values = secret_span(shares[i]).data + 1;
        for (size_t byte = 0; byte < SHARES_SECRET_SIZE; byte++) {
            secret[byte] ^= shares_multiply(values[byte], w);
        }
    }
    *out = joined;
    return OK;
}
