/* Played X.509: OpenSSL's slow ways between bytes and objects, remembered. A simulation reads the
 * same certificates and keys in every process, and OpenSSL 3.0 takes 100 to 350 microseconds each.
 *
 *   d2i_X509, d2i_AutoPrivateKey    by the SHA-256 of the bytes: one more owner of the first object
 *   i2d_PUBKEY, X509_set_pubkey     P-256 and P-384 written here: RFC 5480 section 2.1.1
 *
 * As in played_keys.c, these stand before the library's own, which does all else. What it refuses
 * is not remembered. Objects are shared, so nobody may change one that was parsed; the product does
 * not. They are of no simulated process. Thread-safe.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509.h>

#include "lib/base/err.h"
#include "lib/crypto/digest.h"

#define SETS 1024 /* a power of two */
#define WAYS 4    /* in a set the one that was not used for longest gives way */
#define FACT_SIZE 16
#define POINT_MAX 97
#define PREFIX_MAX 27

enum shelf_kind { SHELF_CERT, SHELF_KEY, SHELF_KINDS };

/* What these bytes were parsed to. */
struct entry {
    uint8_t fact[FACT_SIZE];
    void *object;  /* owned; NULL: empty */
    long size;     /* of the bytes that were used */
    uint64_t used; /* clock of the last use */
};

static struct {
    pthread_mutex_t lock;
    uint64_t clock;
    struct entry entries[SHELF_KINDS][SETS][WAYS];
} shelf = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool share(enum shelf_kind kind, void *object) {
    return (kind == SHELF_CERT ? X509_up_ref(object) : EVP_PKEY_up_ref(object)) == 1;
}

static void drop(enum shelf_kind kind, void *object) {
    if (kind == SHELF_CERT) {
        X509_free(object);
    } else {
        EVP_PKEY_free(object);
    }
}

/* The entry of these bytes, else the one to be replaced. Under the lock. */
static struct entry *place_of(enum shelf_kind kind, const uint8_t fact[SHA256_SIZE]) {
    struct entry *set = shelf.entries[kind][load_u32be(fact + FACT_SIZE) % SETS];
    struct entry *oldest = &set[0];
    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i].object != NULL && memcmp(set[i].fact, fact, FACT_SIZE) == 0) {
            return &set[i];
        }
        oldest = set[i].used < oldest->used ? &set[i] : oldest;
    }
    return oldest;
}

/* One more owner, or NULL; *size is what it was made of. */
static void *take(enum shelf_kind kind, const uint8_t fact[SHA256_SIZE], long *size) {
    void *object = NULL;
    pthread_mutex_lock(&shelf.lock);
    struct entry *e = place_of(kind, fact);
    if (e->object != NULL && memcmp(e->fact, fact, FACT_SIZE) == 0) {
        CHECK(share(kind, e->object));
        object = e->object;
        *size = e->size;
        e->used = ++shelf.clock;
    }
    pthread_mutex_unlock(&shelf.lock);
    return object;
}

static void put(enum shelf_kind kind, const uint8_t fact[SHA256_SIZE], void *object, long size) {
    CHECK(share(kind, object));
    pthread_mutex_lock(&shelf.lock);
    struct entry *e = place_of(kind, fact);
    void *before = e->object;
    *e = (struct entry){.object = object, .size = size, .used = ++shelf.clock};
    memcpy(e->fact, fact, FACT_SIZE);
    pthread_mutex_unlock(&shelf.lock);
    drop(kind, before);
}

/* --- Reading */

#define LIBRARY(name)                                                                              \
    static __typeof__(&(name)) library_##name(void) {                                              \
        union {                                                                                    \
            void *found;                                                                           \
            __typeof__(&(name)) function;                                                          \
        } at = {dlsym(RTLD_NEXT, #name)};                                                          \
        CHECK(at.found != NULL);                                                                   \
        return at.function;                                                                        \
    }
LIBRARY(d2i_X509)
LIBRARY(d2i_AutoPrivateKey)
LIBRARY(i2d_PUBKEY)
LIBRARY(X509_set_pubkey)

/* Only into a new object: callers that bring one get the library's way. */
X509 *d2i_X509(X509 **a, const unsigned char **in, long len) {
    uint8_t fact[SHA256_SIZE];
    long size = 0;
    if (a != NULL || len <= 0) {
        return library_d2i_X509()(a, in, len);
    }
    const unsigned char *start = *in;
    sha256(span_of(start, (size_t)len), fact);
    X509 *cert = take(SHELF_CERT, fact, &size);
    if (cert != NULL) {
        *in = start + size;
        return cert;
    }
    cert = library_d2i_X509()(NULL, in, len);
    if (cert != NULL) {
        put(SHELF_CERT, fact, cert, (long)(*in - start));
    }
    return cert;
}

EVP_PKEY *d2i_AutoPrivateKey(EVP_PKEY **a, const unsigned char **pp, long length) {
    uint8_t fact[SHA256_SIZE];
    long size = 0;
    if (a != NULL || length <= 0) {
        return library_d2i_AutoPrivateKey()(a, pp, length);
    }
    const unsigned char *start = *pp;
    sha256(span_of(start, (size_t)length), fact);
    EVP_PKEY *key = take(SHELF_KEY, fact, &size);
    if (key != NULL) {
        *pp = start + size;
        return key;
    }
    key = library_d2i_AutoPrivateKey()(NULL, pp, length);
    if (key != NULL) {
        put(SHELF_KEY, fact, key, (long)(*pp - start));
    }
    return key;
}

/* --- Writing */

struct curve {
    int bits;
    int nid;
    size_t point_size;
    size_t prefix_size;
    uint8_t prefix[PREFIX_MAX]; /* of the SubjectPublicKeyInfo, up to the point */
};

static const struct curve curves[] = {
    {256, NID_X9_62_prime256v1, 65, 26, {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                         0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                         0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00}},
    {384, NID_secp384r1, 97, 23, {0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86,
                                  0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
                                  0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00}}};

/* The curve and the uncompressed point of a key, or NULL. */
static const struct curve *read_key(const EVP_PKEY *key, uint8_t point[POINT_MAX]) {
    size_t size = 0;
    if (key == NULL || EVP_PKEY_get_base_id(key) != EVP_PKEY_EC ||
        EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, POINT_MAX, &size) !=
            1) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        if (EVP_PKEY_get_bits(key) == curves[i].bits && size == curves[i].point_size &&
            point[0] == 0x04) {
            return &curves[i];
        }
    }
    return NULL;
}

int i2d_PUBKEY(const EVP_PKEY *a, unsigned char **pp) {
    uint8_t point[POINT_MAX];
    const struct curve *c = read_key(a, point);
    if (c == NULL || pp == NULL) {
        return library_i2d_PUBKEY()(a, pp);
    }
    size_t size = c->prefix_size + c->point_size;
    unsigned char *out = *pp;
    if (out == NULL) {
        out = OPENSSL_malloc(size);
        CHECK(out != NULL);
        *pp = out;
    } else {
        *pp = out + size;
    }
    memcpy(out, c->prefix, c->prefix_size);
    memcpy(out + c->prefix_size, point, c->point_size);
    return (int)size;
}

/* The key itself does not hang from the certificate then: who reads it parses what was written. */
int X509_set_pubkey(X509 *x, EVP_PKEY *pkey) {
    uint8_t point[POINT_MAX];
    const struct curve *c = read_key(pkey, point);
    if (x == NULL || c == NULL) {
        return library_X509_set_pubkey()(x, pkey);
    }
    unsigned char *owned = OPENSSL_memdup(point, c->point_size);
    CHECK(owned != NULL);
    return X509_PUBKEY_set0_param(X509_get_X509_PUBKEY(x), OBJ_nid2obj(NID_X9_62_id_ecPublicKey),
                                  V_ASN1_OBJECT, OBJ_nid2obj(c->nid), owned, (int)c->point_size);
}
