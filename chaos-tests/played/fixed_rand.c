/* Fixed randomness: see fixed_rand.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define OPENSSL_SUPPRESS_DEPRECATED /* RAND_set_rand_method: one stream for all of the library */
#include "chaos-tests/played/fixed_rand.h"

#include <stdio.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>

#include "lib/base/mem.h"
#include "lib/crypto/digest.h"

#define PRIME_SIZE 256 /* bytes; two make a modulus of 4096 bits */
#define EXPONENT 65537

/* --- The stream: SHA-256 of seed and counter */

struct stream {
    const RAND_METHOD *before; /* what it stands in for */
    uint8_t seed[SHA256_SIZE];
    uint64_t counter;
};

static struct stream streams[FIXED_RAND_DEPTH]; /* the last one is drawn from */
static size_t depth;

static void draw(const uint8_t seed[SHA256_SIZE], uint64_t counter, uint8_t out[SHA256_SIZE]) {
    uint8_t number[8];
    store_u64be(number, counter);
    const struct span parts[] = {span_of(seed, SHA256_SIZE), SPAN(number)};
    sha256_parts(parts, 2, out);
}

static int on_bytes(unsigned char *buf, int num) {
    uint8_t block[SHA256_SIZE];
    struct stream *stream = &streams[depth - 1];
    for (int done = 0; done < num; done += SHA256_SIZE) {
        int left = num - done;
        draw(stream->seed, stream->counter++, block);
        memcpy(buf + done, block, (size_t)(left < SHA256_SIZE ? left : SHA256_SIZE));
    }
    return 1;
}

static int on_status(void) {
    return 1;
}

static const RAND_METHOD fixed = {.bytes = on_bytes, .pseudorand = on_bytes, .status = on_status};

void fixed_rand_begin(const char *label) {
    CHECK(depth < FIXED_RAND_DEPTH);
    struct stream *stream = &streams[depth++];
    *stream = (struct stream){.before = RAND_get_rand_method()};
    sha256(span_str(label), stream->seed);
    CHECK(RAND_set_rand_method(&fixed) == 1);
}

void fixed_rand_end(void) {
    CHECK(depth > 0 && RAND_set_rand_method(streams[depth - 1].before) == 1);
    depth--;
}

/* --- RSA */

/* How far, in steps of two, the first prime lies behind the number that its label gives; for p and
 * q. The prime less one has no factor 65537. */
static const uint16_t steps[FIXED_RAND_RSA][2] = {{475, 259}, {519, 366},   {644, 575},
                                                  {451, 443}, {1325, 1438}, {686, 63}};

static BIGNUM *make_prime(unsigned index, unsigned side) {
    char label[64];
    uint8_t bytes[PRIME_SIZE];
    snprintf(label, sizeof label, "contrast machine room prime %u %c", index, "pq"[side]);
    for (uint8_t i = 0; i < PRIME_SIZE / SHA256_SIZE; i++) {
        const struct span parts[] = {span_str(label), span_of(&i, 1)};
        sha256_parts(parts, 2, bytes + (size_t)i * SHA256_SIZE);
    }
    bytes[0] |= 0xC0; /* so that the product of two has 4096 bits */
    bytes[PRIME_SIZE - 1] |= 1;
    BIGNUM *prime = BN_bin2bn(bytes, sizeof bytes, NULL);
    CHECK(prime != NULL && BN_add_word(prime, 2 * (BN_ULONG)steps[index][side]) == 1);
    return prime;
}

/* What RFC 8017 section 3.2 calls them. */
struct numbers {
    BIGNUM *n, *e, *d, *p, *q, *dp, *dq, *qinv;
};

/* d, dP, dQ, qInv from p, q and e. */
static void derive(struct numbers *k, BN_CTX *ctx) {
    BIGNUM *p1 = BN_dup(k->p);
    BIGNUM *q1 = BN_dup(k->q);
    BIGNUM *phi = BN_new();
    CHECK(p1 != NULL && q1 != NULL && phi != NULL && BN_sub_word(p1, 1) == 1 &&
          BN_sub_word(q1, 1) == 1 && BN_mul(phi, p1, q1, ctx) == 1);
    k->n = BN_new();
    k->dp = BN_new();
    k->dq = BN_new();
    k->d = BN_mod_inverse(NULL, k->e, phi, ctx);
    k->qinv = BN_mod_inverse(NULL, k->q, k->p, ctx);
    CHECK(k->n != NULL && k->dp != NULL && k->dq != NULL && k->d != NULL && k->qinv != NULL &&
          BN_mul(k->n, k->p, k->q, ctx) == 1 && BN_mod(k->dp, k->d, p1, ctx) == 1 &&
          BN_mod(k->dq, k->d, q1, ctx) == 1);
    BN_clear_free(p1);
    BN_clear_free(q1);
    BN_clear_free(phi);
}

static EVP_PKEY *build(const struct numbers *k) {
    const struct {
        const char *name;
        const BIGNUM *value;
    } parts[] = {
        {OSSL_PKEY_PARAM_RSA_N, k->n},          {OSSL_PKEY_PARAM_RSA_E, k->e},
        {OSSL_PKEY_PARAM_RSA_D, k->d},          {OSSL_PKEY_PARAM_RSA_FACTOR1, k->p},
        {OSSL_PKEY_PARAM_RSA_FACTOR2, k->q},    {OSSL_PKEY_PARAM_RSA_EXPONENT1, k->dp},
        {OSSL_PKEY_PARAM_RSA_EXPONENT2, k->dq}, {OSSL_PKEY_PARAM_RSA_COEFFICIENT1, k->qinv}};
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *key = NULL;
    CHECK(builder != NULL && ctx != NULL);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        CHECK(OSSL_PARAM_BLD_push_BN(builder, parts[i].name, parts[i].value) == 1);
    }
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    CHECK(params != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
          EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) == 1);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

void fixed_rand_rsa(unsigned index, struct key *out) {
    CHECK(index < FIXED_RAND_RSA);
    struct numbers k = {.e = BN_new(), .p = make_prime(index, 0), .q = make_prime(index, 1)};
    BN_CTX *ctx = BN_CTX_new();
    CHECK(ctx != NULL && k.e != NULL && BN_set_word(k.e, EXPONENT) == 1);
    derive(&k, ctx);
    out->pkey = build(&k);
    BIGNUM *all[] = {k.n, k.e, k.d, k.p, k.q, k.dp, k.dq, k.qinv};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        BN_clear_free(all[i]);
    }
    BN_CTX_free(ctx);
}
