/* Played X.509: OpenSSL's slow ways between bytes and objects, remembered. A simulation reads the
 * same certificates and keys in every process, and OpenSSL 3.0 takes 100 to 350 microseconds each.
 *
 *   d2i_X509, d2i_X509_CRL,             by the SHA-256 of the bytes: one more owner of the first
 *   d2i_AutoPrivateKey, d2i_PublicKey,  object
 *   EVP_PKEY_fromdata,
 *   PEM_read_bio_PrivateKey
 *   PEM_write_bio_PKCS8PrivateKey,      what they wrote is known when it is read
 *   i2d_PKCS8PrivateKey_bio
 *   X509_set_pubkey                     P-256 and P-384 written here: RFC 5480 section 2.1.1
 *
 * As in played_keys.c, these stand before the library's own, which does all else. What it refuses
 * is not remembered. Objects are shared, so nobody may change one that was parsed; the product does
 * not. They are of no simulated process. Thread-safe.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "chaos-tests/played/played_library.h"
#include "lib/base/err.h"
#include "lib/crypto/digest.h"

#define SETS 1024 /* a power of two */
#define WAYS 4    /* in a set the one that was not used for longest gives way */
#define FACT_SIZE 16
#define P256_POINT 65 /* bytes, uncompressed */
#define P384_POINT 97
#define POINT_MAX P384_POINT

enum shelf_kind {
    SHELF_CERT,
    SHELF_LIST,
    SHELF_PRIVATE,
    SHELF_PUBLIC,
    SHELF_PEM,
    SHELF_POINT,
    SHELF_KINDS
};

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
    switch (kind) {
    case SHELF_CERT:
        return X509_up_ref(object) == 1;
    case SHELF_LIST:
        return X509_CRL_up_ref(object) == 1;
    case SHELF_PRIVATE:
    case SHELF_PUBLIC:
    case SHELF_PEM:
    case SHELF_POINT:
    case SHELF_KINDS:
        break;
    }
    return EVP_PKEY_up_ref(object) == 1;
}

static void drop(enum shelf_kind kind, void *object) {
    if (kind == SHELF_CERT) {
        X509_free(object);
    } else if (kind == SHELF_LIST) {
        X509_CRL_free(object);
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

LIBRARY(d2i_X509)
LIBRARY(d2i_AutoPrivateKey)
LIBRARY(d2i_PublicKey)
LIBRARY(d2i_X509_CRL)
LIBRARY(i2d_PKCS8PrivateKey_bio)
LIBRARY(PEM_write_bio_PKCS8PrivateKey)
LIBRARY(EVP_PKEY_fromdata)
LIBRARY(PEM_read_bio_PrivateKey)
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

X509_CRL *d2i_X509_CRL(X509_CRL **a, const unsigned char **in, long len) {
    uint8_t fact[SHA256_SIZE];
    long size = 0;
    if (a != NULL || len <= 0) {
        return library_d2i_X509_CRL()(a, in, len);
    }
    const unsigned char *start = *in;
    sha256(span_of(start, (size_t)len), fact);
    X509_CRL *list = take(SHELF_LIST, fact, &size);
    if (list != NULL) {
        *in = start + size;
        return list;
    }
    list = library_d2i_X509_CRL()(NULL, in, len);
    if (list != NULL) {
        put(SHELF_LIST, fact, list, (long)(*in - start));
    }
    return list;
}

EVP_PKEY *d2i_AutoPrivateKey(EVP_PKEY **a, const unsigned char **pp, long length) {
    uint8_t fact[SHA256_SIZE];
    long size = 0;
    if (a != NULL || length <= 0) {
        return library_d2i_AutoPrivateKey()(a, pp, length);
    }
    const unsigned char *start = *pp;
    sha256(span_of(start, (size_t)length), fact);
    EVP_PKEY *key = take(SHELF_PRIVATE, fact, &size);
    if (key != NULL) {
        *pp = start + size;
        return key;
    }
    key = library_d2i_AutoPrivateKey()(NULL, pp, length);
    if (key != NULL) {
        put(SHELF_PRIVATE, fact, key, (long)(*pp - start));
    }
    return key;
}

/* Of a key type, before the bytes: none of them can be taken for another. */
static void name_typed(int type, struct span bytes, uint8_t fact[SHA256_SIZE]) {
    uint8_t name[4];
    store_u32be(name, (uint32_t)type);
    const struct span parts[] = {SPAN(name), bytes};
    sha256_parts(parts, 2, fact);
}

EVP_PKEY *d2i_PublicKey(int type, EVP_PKEY **a, const unsigned char **pp, long length) {
    uint8_t fact[SHA256_SIZE];
    long size = 0;
    if (a != NULL || length <= 0) { /* an elliptic key needs its curve from there */
        return library_d2i_PublicKey()(type, a, pp, length);
    }
    const unsigned char *start = *pp;
    name_typed(type, span_of(start, (size_t)length), fact);
    EVP_PKEY *key = take(SHELF_PUBLIC, fact, &size);
    if (key != NULL) {
        *pp = start + size;
        return key;
    }
    key = library_d2i_PublicKey()(type, NULL, pp, length);
    if (key != NULL) {
        put(SHELF_PUBLIC, fact, key, (long)(*pp - start));
    }
    return key;
}

/* The public point of a curve by its name, and nothing else. */
static bool name_point(EVP_PKEY_CTX *ctx, int selection, const OSSL_PARAM *params,
                       uint8_t fact[SHA256_SIZE]) {
    bool is_point = selection == EVP_PKEY_PUBLIC_KEY && params != NULL &&
                    EVP_PKEY_CTX_is_a(ctx, "EC") == 1 && params[0].key != NULL &&
                    strcmp(params[0].key, OSSL_PKEY_PARAM_GROUP_NAME) == 0 &&
                    params[1].key != NULL && strcmp(params[1].key, OSSL_PKEY_PARAM_PUB_KEY) == 0 &&
                    params[2].key == NULL;
    if (is_point) {
        const struct span parts[] = {span_str(params[0].data),
                                     span_of(params[1].data, params[1].data_size)};
        sha256_parts(parts, 2, fact);
    }
    return is_point;
}

int EVP_PKEY_fromdata(EVP_PKEY_CTX *ctx, EVP_PKEY **ppkey, int selection, OSSL_PARAM params[]) {
    uint8_t fact[SHA256_SIZE];
    long size = 0;
    if (ppkey == NULL || *ppkey != NULL || !name_point(ctx, selection, params, fact)) {
        return library_EVP_PKEY_fromdata()(ctx, ppkey, selection, params);
    }
    *ppkey = take(SHELF_POINT, fact, &size);
    if (*ppkey != NULL) {
        return 1;
    }
    int is_made = library_EVP_PKEY_fromdata()(ctx, ppkey, selection, params);
    if (is_made == 1) {
        put(SHELF_POINT, fact, *ppkey, 0);
    }
    return is_made;
}

static void drain(BIO *bp) {
    uint8_t piece[256];
    while (BIO_read(bp, piece, sizeof piece) > 0) {
    }
    OPENSSL_cleanse(piece, sizeof piece);
}

/* Of memory, and when the key was all that was in it. */
EVP_PKEY *PEM_read_bio_PrivateKey(BIO *bp, EVP_PKEY **x, pem_password_cb *cb, void *u) {
    uint8_t fact[SHA256_SIZE];
    char *text = NULL;
    long size = bp != NULL && BIO_method_type(bp) == BIO_TYPE_MEM ? BIO_get_mem_data(bp, &text) : 0;
    if (x != NULL || size <= 0) {
        return library_PEM_read_bio_PrivateKey()(bp, x, cb, u);
    }
    sha256(span_of(text, (size_t)size), fact);
    EVP_PKEY *key = take(SHELF_PEM, fact, &size);
    if (key != NULL) {
        drain(bp);
        return key;
    }
    key = library_PEM_read_bio_PrivateKey()(bp, NULL, cb, u);
    if (key != NULL && BIO_pending(bp) == 0) {
        put(SHELF_PEM, fact, key, 0);
    }
    return key;
}

/* --- Writing */

/* What was just written into memory that was empty before is this key. */
static void put_written(enum shelf_kind kind, BIO *bp, EVP_PKEY *key) {
    uint8_t fact[SHA256_SIZE];
    char *text = NULL;
    long size = BIO_get_mem_data(bp, &text);
    sha256(span_of(text, (size_t)size), fact);
    put(kind, fact, key, size);
}

static bool is_empty(BIO *bp) {
    return BIO_method_type(bp) == BIO_TYPE_MEM && BIO_pending(bp) == 0;
}

int PEM_write_bio_PKCS8PrivateKey(BIO *bp, const EVP_PKEY *x, const EVP_CIPHER *enc,
                                  const char *kstr, int klen, pem_password_cb *cb, void *u) {
    union {
        const EVP_PKEY *in;
        EVP_PKEY *out; /* one more owner is no change */
    } key = {x};
    bool is_known = enc == NULL && is_empty(bp);
    int is_written = library_PEM_write_bio_PKCS8PrivateKey()(bp, x, enc, kstr, klen, cb, u);
    if (is_known && is_written == 1) {
        put_written(SHELF_PEM, bp, key.out);
    }
    return is_written;
}

int i2d_PKCS8PrivateKey_bio(BIO *bp, const EVP_PKEY *x, const EVP_CIPHER *enc, const char *kstr,
                            int klen, pem_password_cb *cb, void *u) {
    union {
        const EVP_PKEY *in;
        EVP_PKEY *out;
    } key = {x};
    bool is_known = enc == NULL && is_empty(bp);
    int is_written = library_i2d_PKCS8PrivateKey_bio()(bp, x, enc, kstr, klen, cb, u);
    if (is_known && is_written == 1) {
        put_written(SHELF_PRIVATE, bp, key.out);
    }
    return is_written;
}

/* The key itself does not hang from the certificate then: who reads it parses what was written. */
int X509_set_pubkey(X509 *x, EVP_PKEY *pkey) {
    uint8_t point[POINT_MAX];
    size_t size = 0;
    bool is_ours = x != NULL && pkey != NULL && EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC &&
                   EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point, POINT_MAX,
                                                   &size) == 1 &&
                   (size == P256_POINT || size == P384_POINT);
    if (!is_ours) {
        return library_X509_set_pubkey()(x, pkey);
    }
    unsigned char *owned = OPENSSL_memdup(point, size);
    CHECK(owned != NULL);
    int nid = size == P256_POINT ? NID_X9_62_prime256v1 : NID_secp384r1;
    return X509_PUBKEY_set0_param(X509_get_X509_PUBKEY(x), OBJ_nid2obj(NID_X9_62_id_ecPublicKey),
                                  V_ASN1_OBJECT, OBJ_nid2obj(nid), owned, (int)size);
}
