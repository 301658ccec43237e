/* Played keys: see played_keys.h. The functions of OpenSSL that stand here win over the library's
 * for every object of the program (ELF looks there first).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/played/played_keys.h"

#include <pthread.h>
#include <string.h>

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509.h>

#include "attest/hotkey.h"
#include "chaos-tests/played/fixed_rand.h"
#include "chaos-tests/played/played_library.h"
#include "chaos-tests/played/played_pkey.h"
#include "lib/base/mem.h"
#include "lib/crypto/digest.h"

#define SCALAR_SIZE 48    /* of P-384 */
#define SIGNATURE_MAX 112 /* DER of two such numbers */
#define NONCES 4          /* chosen by the message */
#define SETS 16384        /* a power of two */
#define WAYS 4            /* the newest takes the place of one of them, in turn */
#define FACT_SIZE 16      /* of a SHA-256: enough against accidents */

/* --- What is known to be valid */

struct fact {
    uint8_t bytes[FACT_SIZE]; /* zero: none */
};

/* One program, one memory: what is valid is so in every simulated process. */
static struct {
    pthread_mutex_t lock;
    struct fact facts[SETS][WAYS];
    uint8_t next[SETS]; /* way to be replaced */
    struct played_keys_counts counts;
    BIGNUM *order; /* of P-384; NULL before the first nonce */
    struct {
        BIGNUM *r;
        BIGNUM *inverse; /* of the nonce */
    } nonces[NONCES];
} memory = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Under the lock. */
static bool find(const uint8_t fact[SHA256_SIZE], uint32_t set) {
    for (unsigned i = 0; i < WAYS; i++) {
        if (memcmp(memory.facts[set][i].bytes, fact, FACT_SIZE) == 0) {
            return true;
        }
    }
    return false;
}

static uint32_t set_of(const uint8_t fact[SHA256_SIZE]) {
    return load_u32be(fact + FACT_SIZE) % SETS;
}

static bool is_known(const uint8_t fact[SHA256_SIZE]) {
    pthread_mutex_lock(&memory.lock);
    bool is_there = find(fact, set_of(fact));
    memory.counts.remembered += is_there;
    memory.counts.verified += !is_there;
    pthread_mutex_unlock(&memory.lock);
    return is_there;
}

static void remember(const uint8_t fact[SHA256_SIZE]) {
    uint32_t set = set_of(fact);
    pthread_mutex_lock(&memory.lock);
    if (!find(fact, set)) {
        memcpy(memory.facts[set][memory.next[set] % WAYS].bytes, fact, FACT_SIZE);
        memory.next[set]++;
    }
    pthread_mutex_unlock(&memory.lock);
}

void played_keys_count(struct played_keys_counts *out) {
    pthread_mutex_lock(&memory.lock);
    *out = memory.counts;
    pthread_mutex_unlock(&memory.lock);
}

/* --- Keys */

static bool is_p384(const EVP_PKEY *key) {
    return key != NULL && EVP_PKEY_get_base_id(key) == EVP_PKEY_EC && EVP_PKEY_get_bits(key) == 384;
}

/* Of a message under a digest and an elliptic key; false: of no kind that is remembered. */
static bool name_message(EVP_PKEY *key, const EVP_MD *md, struct span message,
                         struct span signature, uint8_t fact[SHA256_SIZE]) {
    uint8_t signer[SHA256_SIZE];
    uint8_t hashed[SHA256_SIZE];
    uint8_t kind[4];
    if (key == NULL || md == NULL || EVP_PKEY_get_base_id(key) != EVP_PKEY_EC ||
        !played_pkey_digest(key, signer)) {
        return false;
    }
    sha256(message, hashed);
    store_u32be(kind, (uint32_t)EVP_MD_get_type(md));
    const struct span parts[] = {SPAN(kind), SPAN(signer), SPAN(hashed), signature};
    sha256_parts(parts, sizeof parts / sizeof parts[0], fact);
    return true;
}

/* Of a signed DER and whoever signed it. False: of no kind that is remembered. */
static bool name_signed(const unsigned char *der, int size, EVP_PKEY *key,
                        uint8_t fact[SHA256_SIZE]) {
    uint8_t signer[SHA256_SIZE];
    CHECK(size > 0);
    if (key == NULL || !played_pkey_digest(key, signer)) {
        return false;
    }
    const struct span parts[] = {SPAN(signer), span_of(der, (size_t)size)};
    sha256_parts(parts, 2, fact);
    return true;
}

static bool name_cert(X509 *cert, EVP_PKEY *key, uint8_t fact[SHA256_SIZE]) {
    unsigned char *der = NULL;
    int size = i2d_X509(cert, &der);
    bool has_name = name_signed(der, size, key, fact);
    OPENSSL_free(der);
    return has_name;
}

/* --- Signing */

static BIGNUM *make_order(void) {
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_secp384r1);
    CHECK(group != NULL);
    BIGNUM *order = BN_dup(EC_GROUP_get0_order(group));
    CHECK(order != NULL);
    EC_GROUP_free(group);
    return order;
}

/* x of k*G modulo the order: FIPS 186-5 section 6.4.1, step 5. */
static BIGNUM *make_r(const BIGNUM *k, BN_CTX *ctx) {
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_secp384r1);
    CHECK(group != NULL);
    EC_POINT *point = EC_POINT_new(group);
    BIGNUM *x = BN_new();
    CHECK(point != NULL && x != NULL && EC_POINT_mul(group, point, k, NULL, NULL, ctx) == 1 &&
          EC_POINT_get_affine_coordinates(group, point, x, NULL, ctx) == 1 &&
          BN_nnmod(x, x, memory.order, ctx) == 1 && !BN_is_zero(x));
    EC_POINT_free(point);
    EC_GROUP_free(group);
    return x;
}

/* Under the lock. The library's stream of randomness stays where it is. */
static void prepare_nonce(unsigned index, BN_CTX *ctx) {
    uint8_t bytes[SHA384_SIZE];
    const uint8_t label[] = {'n', 'o', 'n', 'c', 'e', (uint8_t)index};
    if (memory.nonces[index].r != NULL) {
        return;
    }
    if (memory.order == NULL) {
        memory.order = make_order();
    }
    sha384(SPAN(label), bytes);
    BIGNUM *k = BN_bin2bn(bytes, sizeof bytes, NULL);
    CHECK(k != NULL && BN_nnmod(k, k, memory.order, ctx) == 1 && !BN_is_zero(k));
    fixed_rand_begin("nonce");
    memory.nonces[index].r = make_r(k, ctx);
    memory.nonces[index].inverse = BN_mod_inverse(NULL, k, memory.order, ctx);
    fixed_rand_end();
    CHECK(memory.nonces[index].inverse != NULL);
    BN_clear_free(k);
}

/* s = k^-1 (e + r d), steps 8 and 9. Under the lock. */
static BIGNUM *make_s(unsigned index, const uint8_t digest[SHA384_SIZE], const BIGNUM *d,
                      BN_CTX *ctx) {
    BIGNUM *e = BN_bin2bn(digest, SHA384_SIZE, NULL);
    BIGNUM *s = BN_new();
    CHECK(e != NULL && s != NULL &&
          BN_mod_mul(s, memory.nonces[index].r, d, memory.order, ctx) == 1 &&
          BN_mod_add(s, s, e, memory.order, ctx) == 1 &&
          BN_mod_mul(s, s, memory.nonces[index].inverse, memory.order, ctx) == 1 && !BN_is_zero(s));
    BN_free(e);
    return s;
}

/* Ecdsa-Sig-Value in DER; 0 when the key is not private. */
static size_t sign_digest(const EVP_PKEY *key, const uint8_t digest[SHA384_SIZE],
                          uint8_t out[SIGNATURE_MAX]) {
    BIGNUM *d = NULL;
    if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &d) != 1) {
        ERR_clear_error();
        return 0;
    }
    unsigned index = digest[0] % NONCES;
    BN_CTX *ctx = BN_CTX_new();
    ECDSA_SIG *signature = ECDSA_SIG_new();
    CHECK(ctx != NULL && signature != NULL);
    pthread_mutex_lock(&memory.lock);
    prepare_nonce(index, ctx);
    BIGNUM *s = make_s(index, digest, d, ctx);
    BIGNUM *r = BN_dup(memory.nonces[index].r);
    memory.counts.cheap_signatures++;
    pthread_mutex_unlock(&memory.lock);
    CHECK(r != NULL && ECDSA_SIG_set0(signature, r, s) == 1);
    unsigned char *at = out;
    int size = i2d_ECDSA_SIG(signature, &at);
    CHECK(size > 0 && size <= SIGNATURE_MAX);
    ECDSA_SIG_free(signature);
    BN_CTX_free(ctx);
    BN_clear_free(d);
    return (size_t)size;
}

/* --- The library's own */

LIBRARY(EVP_DigestSign)
LIBRARY(EVP_DigestVerify)
LIBRARY(X509_sign)
LIBRARY(X509_verify)
LIBRARY(X509_CRL_verify)

int EVP_DigestSign(EVP_MD_CTX *ctx, unsigned char *sigret, size_t *siglen, const unsigned char *tbs,
                   size_t tbslen) {
    EVP_PKEY *key = EVP_PKEY_CTX_get0_pkey(EVP_MD_CTX_get_pkey_ctx(ctx));
    const EVP_MD *md = EVP_MD_CTX_get0_md(ctx);
    uint8_t digest[SHA384_SIZE];
    uint8_t made[SIGNATURE_MAX];
    uint8_t fact[SHA256_SIZE];
    size_t size = 0;
    if (sigret != NULL && is_p384(key) && md != NULL && EVP_MD_get_type(md) == NID_sha384) {
        sha384(span_of(tbs, tbslen), digest);
        size = sign_digest(key, digest, made);
    }
    if (size == 0 || size > *siglen) {
        int is_signed = library_EVP_DigestSign()(ctx, sigret, siglen, tbs, tbslen);
        if (sigret == NULL || is_signed != 1) {
            return is_signed;
        }
    } else {
        memcpy(sigret, made, size);
        *siglen = size;
    }
    if (name_message(key, md, span_of(tbs, tbslen), span_of(sigret, *siglen), fact)) {
        remember(fact);
    }
    return 1;
}

int EVP_DigestVerify(EVP_MD_CTX *ctx, const unsigned char *sigret, size_t siglen,
                     const unsigned char *tbs, size_t tbslen) {
    EVP_PKEY *key = EVP_PKEY_CTX_get0_pkey(EVP_MD_CTX_get_pkey_ctx(ctx));
    uint8_t fact[SHA256_SIZE];
    bool has_name = name_message(key, EVP_MD_CTX_get0_md(ctx), span_of(tbs, tbslen),
                                 span_of(sigret, siglen), fact);
    if (has_name && is_known(fact)) {
        return 1;
    }
    int verdict = library_EVP_DigestVerify()(ctx, sigret, siglen, tbs, tbslen);
    if (has_name && verdict == 1) {
        remember(fact);
    }
    return verdict;
}

/* --- Certificates and lists */

static void set_algorithm(const X509_ALGOR *algorithm) {
    union {
        const X509_ALGOR *in;
        X509_ALGOR *out;
    } at = {algorithm};
    CHECK(X509_ALGOR_set0(at.out, OBJ_nid2obj(NID_ecdsa_with_SHA384), V_ASN1_UNDEF, NULL) == 1);
}

/* What the library does in ASN1_item_sign: both algorithms, then the signature over what is left.
 * False when the key is not private. */
static bool sign_cert(X509 *cert, const EVP_PKEY *key) {
    const X509_ALGOR *outer = NULL;
    union {
        const ASN1_BIT_STRING *in;
        ASN1_BIT_STRING *out;
    } bits = {NULL};
    uint8_t digest[SHA384_SIZE];
    uint8_t made[SIGNATURE_MAX];
    unsigned char *tbs = NULL;
    X509_get0_signature(&bits.in, &outer, cert);
    set_algorithm(outer);
    set_algorithm(X509_get0_tbs_sigalg(cert));
    int size = i2d_re_X509_tbs(cert, &tbs);
    CHECK(size > 0);
    sha384(span_of(tbs, (size_t)size), digest);
    OPENSSL_free(tbs);
    size_t made_size = sign_digest(key, digest, made);
    CHECK(made_size == 0 || ASN1_STRING_set(bits.out, made, (int)made_size) == 1);
    bits.out->flags &= ~(ASN1_STRING_FLAG_BITS_LEFT | 0x07L);
    bits.out->flags |= ASN1_STRING_FLAG_BITS_LEFT;
    return made_size > 0;
}

int X509_sign(X509 *x, EVP_PKEY *pkey, const EVP_MD *md) {
    uint8_t fact[SHA256_SIZE];
    const ASN1_BIT_STRING *bits = NULL;
    bool is_cheap = is_p384(pkey) && md != NULL && EVP_MD_get_type(md) == NID_sha384;
    if (!is_cheap || !sign_cert(x, pkey)) {
        int size = library_X509_sign()(x, pkey, md);
        if (size <= 0) {
            return size;
        }
    }
    if (name_cert(x, pkey, fact)) {
        remember(fact);
    }
    X509_get0_signature(&bits, NULL, x);
    return ASN1_STRING_length(bits);
}

/* The contrary of a fact: that the signature is false. */
static void negate(const uint8_t fact[SHA256_SIZE], uint8_t out[SHA256_SIZE]) {
    for (unsigned i = 0; i < SHA256_SIZE; i++) {
        out[i] = fact[i] ^ 0xFF;
    }
}

/* Every evidence of a simulated root is tried under AMD's own authority first: that no comes as
 * often as a yes. */
int X509_verify(X509 *a, EVP_PKEY *r) {
    uint8_t fact[SHA256_SIZE];
    uint8_t contrary[SHA256_SIZE];
    if (!name_cert(a, r, fact)) {
        return library_X509_verify()(a, r);
    }
    negate(fact, contrary);
    if (is_known(fact)) {
        return 1;
    }
    if (is_known(contrary)) {
        return 0;
    }
    int verdict = library_X509_verify()(a, r);
    if (verdict == 0 || verdict == 1) {
        remember(verdict == 1 ? fact : contrary);
    }
    return verdict;
}

int X509_CRL_verify(X509_CRL *a, EVP_PKEY *r) {
    uint8_t fact[SHA256_SIZE];
    unsigned char *der = NULL;
    int size = i2d_X509_CRL(a, &der);
    bool has_name = name_signed(der, size, r, fact);
    OPENSSL_free(der);
    if (has_name && is_known(fact)) {
        return 1;
    }
    int verdict = library_X509_CRL_verify()(a, r);
    if (has_name && verdict == 1) {
        remember(fact);
    }
    return verdict;
}

/* --- Hot keys: without tables */

struct hotkey_pool {
    atomic_uint refs;
};

struct hotkey_pool *hotkey_pool_new(void) {
    struct hotkey_pool *pool = mem_zalloc(sizeof *pool);
    atomic_init(&pool->refs, 1);
    return pool;
}

struct hotkey_pool *hotkey_pool_ref(struct hotkey_pool *pool) {
    atomic_fetch_add(&pool->refs, 1);
    return pool;
}

void hotkey_pool_unref(struct hotkey_pool *pool) {
    if (pool != NULL && atomic_fetch_sub(&pool->refs, 1) == 1) {
        mem_free(pool);
    }
}

void hotkey_pool_stats(struct hotkey_pool *pool, struct hotkey_stats *out) {
    (void)pool;
    *out = (struct hotkey_stats){0};
}

static BIGNUM *number_of(const uint8_t bytes[SCALAR_SIZE]) {
    BIGNUM *number = BN_lebin2bn(bytes, SCALAR_SIZE, NULL);
    CHECK(number != NULL);
    return number;
}

bool hotkey_verify(struct hotkey_pool *pool, struct hotkey *key, struct span message,
                   const uint8_t r[SCALAR_SIZE], const uint8_t s[SCALAR_SIZE]) {
    (void)pool;
    uint8_t der[SIGNATURE_MAX];
    unsigned char *at = der;
    ECDSA_SIG *signature = ECDSA_SIG_new();
    CHECK(signature != NULL && ECDSA_SIG_set0(signature, number_of(r), number_of(s)) == 1);
    int size = i2d_ECDSA_SIG(signature, &at);
    ECDSA_SIG_free(signature);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    CHECK(ctx != NULL && size > 0 && size <= SIGNATURE_MAX);
    bool is_good = EVP_DigestVerifyInit(ctx, NULL, EVP_sha384(), NULL, key->key) == 1 &&
                   EVP_DigestVerify(ctx, der, (size_t)size, message.data, message.size) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return is_good;
}
