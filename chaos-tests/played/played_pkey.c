/* Played pkey: see played_pkey.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/played/played_pkey.h"

#include <pthread.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "chaos-tests/played/played_library.h"
#include "lib/base/err.h"
#include "lib/crypto/digest.h"

#define SETS 1024 /* a power of two */
#define WAYS 4
#define SPKI_MAX 2048 /* bytes; RSA of 8192 bits has 1062 */

enum number { NUMBER_D, NUMBER_N, NUMBER_E, NUMBERS }; /* private scalar; RSA modulus, exponent */

static const char *const number_names[NUMBERS] = {OSSL_PKEY_PARAM_PRIV_KEY, OSSL_PKEY_PARAM_RSA_N,
                                                  OSSL_PKEY_PARAM_RSA_E};

/* An object and its answers, as far as they were asked for. */
struct known {
    EVP_PKEY *key; /* owned; NULL: empty */
    uint64_t used; /* clock of the last use */
    BIGNUM *numbers[NUMBERS];
    int spki_size; /* 0: not asked yet */
    uint8_t spki[SPKI_MAX];
    bool has_digest;
    uint8_t digest[SHA256_SIZE];
};

static struct {
    pthread_mutex_t lock;
    uint64_t clock;
    struct known *all; /* SETS * WAYS, once */
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

LIBRARY(EVP_PKEY_get_bn_param)
LIBRARY(i2d_PUBKEY)

static void forget(struct known *k) {
    EVP_PKEY_free(k->key);
    for (unsigned i = 0; i < NUMBERS; i++) {
        BN_clear_free(k->numbers[i]);
    }
    *k = (struct known){0};
}

/* Under the lock. */
static struct known *find(EVP_PKEY *key) {
    if (pool.all == NULL) {
        pool.all = OPENSSL_zalloc(sizeof *pool.all * SETS * WAYS); /* of no simulated process */
        CHECK(pool.all != NULL);
    }
    struct known *set = &pool.all[((uintptr_t)key >> 4) * 0x9e3779b1u % SETS * WAYS];
    struct known *oldest = set;
    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i].key == key) {
            set[i].used = ++pool.clock;
            return &set[i];
        }
        oldest = set[i].used < oldest->used ? &set[i] : oldest;
    }
    forget(oldest);
    CHECK(EVP_PKEY_up_ref(key) == 1);
    oldest->key = key;
    oldest->used = ++pool.clock;
    return oldest;
}

/* --- Numbers */

static enum number number_of(const char *name) {
    unsigned i = 0;
    while (i < NUMBERS && strcmp(name, number_names[i]) != 0) {
        i++;
    }
    return (enum number)i;
}

/* Under the lock. */
static const BIGNUM *need_number(struct known *k, enum number number) {
    if (k->numbers[number] == NULL) {
        BIGNUM *value = NULL;
        if (library_EVP_PKEY_get_bn_param()(k->key, number_names[number], &value) == 1) {
            k->numbers[number] = value;
        }
    }
    return k->numbers[number];
}

static bool hand_out(const BIGNUM *value, BIGNUM **bn) {
    if (value != NULL && *bn == NULL) {
        *bn = BN_dup(value);
        return *bn != NULL;
    }
    return value != NULL && BN_copy(*bn, value) != NULL;
}

int EVP_PKEY_get_bn_param(const EVP_PKEY *pkey, const char *key_name, BIGNUM **bn) {
    enum number number = number_of(key_name);
    union {
        const EVP_PKEY *in;
        EVP_PKEY *out; /* one more owner is no change */
    } key = {pkey};
    if (pkey == NULL || bn == NULL || number == NUMBERS) {
        return library_EVP_PKEY_get_bn_param()(pkey, key_name, bn);
    }
    pthread_mutex_lock(&pool.lock);
    bool has_it = hand_out(need_number(find(key.out), number), bn);
    pthread_mutex_unlock(&pool.lock);
    return has_it ? 1 : 0;
}

/* --- Public halves */

/* RFC 5480 section 2.1.1: the SubjectPublicKeyInfo of a named curve up to the point. */
static const uint8_t p256_prefix[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                      0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                      0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
static const uint8_t p384_prefix[] = {0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86,
                                      0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
                                      0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00};

/* Bytes of an elliptic key's SubjectPublicKeyInfo; 0 for what is not written here. */
static size_t write_point(const EVP_PKEY *key, uint8_t out[SPKI_MAX]) {
    bool is_p256 = EVP_PKEY_get_bits(key) == 256;
    struct span prefix = is_p256 ? SPAN(p256_prefix) : SPAN(p384_prefix);
    size_t size = 0;
    bool is_written =
        EVP_PKEY_get_base_id(key) == EVP_PKEY_EC && (is_p256 || EVP_PKEY_get_bits(key) == 384) &&
        EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, out + prefix.size,
                                        SPKI_MAX - prefix.size, &size) == 1 &&
        size == (is_p256 ? 65 : 97) && out[prefix.size] == 0x04;
    ERR_clear_error();
    if (!is_written) {
        return 0;
    }
    memcpy(out, prefix.data, prefix.size);
    return prefix.size + size;
}

/* Under the lock; false when the library cannot write it, or it is too long. */
static bool need_spki(struct known *k) {
    if (k->spki_size == 0) {
        unsigned char *der = NULL;
        k->spki_size = (int)write_point(k->key, k->spki);
        int size = k->spki_size > 0 ? 0 : library_i2d_PUBKEY()(k->key, &der);
        if (size > 0 && size <= SPKI_MAX) {
            memcpy(k->spki, der, (size_t)size);
            k->spki_size = size;
        }
        OPENSSL_free(der);
    }
    return k->spki_size > 0;
}

/* As the library: into *pp, which is advanced, or into memory of its own. */
static bool copy_out(const struct known *k, unsigned char **pp) {
    if (*pp == NULL) {
        *pp = OPENSSL_memdup(k->spki, (size_t)k->spki_size);
        return *pp != NULL;
    }
    memcpy(*pp, k->spki, (size_t)k->spki_size);
    *pp += k->spki_size;
    return true;
}

int i2d_PUBKEY(const EVP_PKEY *a, unsigned char **pp) {
    union {
        const EVP_PKEY *in;
        EVP_PKEY *out;
    } key = {a};
    if (a == NULL || pp == NULL) {
        return library_i2d_PUBKEY()(a, pp);
    }
    pthread_mutex_lock(&pool.lock);
    struct known *k = find(key.out);
    bool is_known = need_spki(k);
    int size = is_known && copy_out(k, pp) ? k->spki_size : 0;
    pthread_mutex_unlock(&pool.lock);
    return is_known ? size : library_i2d_PUBKEY()(a, pp);
}

bool played_pkey_digest(EVP_PKEY *key, uint8_t out[32]) {
    int kind = key == NULL ? EVP_PKEY_NONE : EVP_PKEY_get_base_id(key);
    if (kind != EVP_PKEY_EC && kind != EVP_PKEY_RSA) {
        return false;
    }
    pthread_mutex_lock(&pool.lock);
    struct known *k = find(key);
    if (!k->has_digest && need_spki(k)) {
        sha256(span_of(k->spki, (size_t)k->spki_size), k->digest);
        k->has_digest = true;
    }
    bool has_digest = k->has_digest;
    memcpy(out, k->digest, SHA256_SIZE);
    pthread_mutex_unlock(&pool.lock);
    return has_digest;
}
