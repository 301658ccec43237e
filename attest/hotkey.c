/* Hot keys: see hotkey.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/hotkey.h"

#include <pthread.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "attest/p384_table.h"
#include "lib/base/limits.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/crypto/digest.h"

#define SCALAR_SIZE 48
#define POINT_MAX 97 /* bytes of an uncompressed point */

/* A table keeps its place while its key was used in the last so many verifications. */
#define IDLE_AFTER (UINT64_C(64) * LIMIT_SNP_TABLES)

/* A table and whoever reads it; the last one frees it. */
struct shared {
    atomic_uint refs;
    struct p384_table *table;
};

struct slot {
    struct shared *shared; /* NULL: free */
    uint8_t id[32];
    uint64_t used; /* clock of the last use */
};

struct hotkey_pool {
    atomic_uint refs;
    EC_GROUP *group;           /* P-384; NULL when OpenSSL has none: then always EVP */
    atomic_bool is_broken;     /* a table contradicted EVP */
    atomic_uint_fast64_t hits; /* signatures that a table accepted */
    pthread_mutex_t lock;      /* of all below */
    struct slot slots[LIMIT_SNP_TABLES];
    uint64_t clock;               /* verifications */
    struct p384_table *generator; /* made with the first key; then never changed */
};

/* ---- life ---- */

struct hotkey_pool *hotkey_pool_new(void) {
    struct hotkey_pool *pool = mem_zalloc(sizeof *pool);
    atomic_init(&pool->refs, 1);
    atomic_init(&pool->is_broken, false);
    atomic_init(&pool->hits, 0);
    pool->group = EC_GROUP_new_by_curve_name(NID_secp384r1);
    CHECK(pthread_mutex_init(&pool->lock, NULL) == 0);
    ERR_clear_error();
    return pool;
}

struct hotkey_pool *hotkey_pool_ref(struct hotkey_pool *pool) {
    atomic_fetch_add(&pool->refs, 1);
    return pool;
}

static void release(struct shared *shared) {
    if (shared != NULL && atomic_fetch_sub(&shared->refs, 1) == 1) {
        p384_table_free(shared->table);
        mem_free(shared);
    }
}

void hotkey_pool_unref(struct hotkey_pool *pool) {
    if (pool == NULL || atomic_fetch_sub(&pool->refs, 1) > 1) {
        return;
    }
    for (size_t i = 0; i < LIMIT_SNP_TABLES; i++) {
        release(pool->slots[i].shared);
    }
    p384_table_free(pool->generator);
    EC_GROUP_free(pool->group);
    pthread_mutex_destroy(&pool->lock);
    mem_free(pool);
}

void hotkey_pool_stats(struct hotkey_pool *pool, struct hotkey_stats *out) {
    *out = (struct hotkey_stats){.hits = atomic_load(&pool->hits),
                                 .is_broken = atomic_load(&pool->is_broken)};
    pthread_mutex_lock(&pool->lock);
    for (size_t i = 0; i < LIMIT_SNP_TABLES; i++) {
        out->tables += pool->slots[i].shared != NULL;
    }
    pthread_mutex_unlock(&pool->lock);
}

/* ---- EVP ---- */

/* DER Ecdsa-Sig-Value of r and s (RFC 3279 section 2.2.3). */
static unsigned char *signature_der(const uint8_t r[SCALAR_SIZE], const uint8_t s[SCALAR_SIZE],
                                    size_t *size) {
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r_number = BN_lebin2bn(r, SCALAR_SIZE, NULL);
    BIGNUM *s_number = BN_lebin2bn(s, SCALAR_SIZE, NULL);
    CHECK(sig != NULL && r_number != NULL && s_number != NULL &&
          ECDSA_SIG_set0(sig, r_number, s_number) == 1);
    unsigned char *der = NULL;
    int n = i2d_ECDSA_SIG(sig, &der);
    ECDSA_SIG_free(sig);
    CHECK(n > 0);
    *size = (size_t)n;
    return der;
}

static bool verify_by_evp(EVP_PKEY *key, struct span message, const uint8_t r[SCALAR_SIZE],
                          const uint8_t s[SCALAR_SIZE]) {
    size_t size = 0;
    unsigned char *der = signature_der(r, s, &size);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    CHECK(ctx != NULL);
    bool good = EVP_DigestVerifyInit(ctx, NULL, EVP_sha384(), NULL, key) == 1 &&
                EVP_DigestVerify(ctx, der, size, message.data, message.size) == 1;
    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    ERR_clear_error();
    return good;
}

/* ---- tables ---- */

/* NULL unless there is one. The caller's to release. */
static struct shared *find_table(struct hotkey_pool *pool, const uint8_t id[32]) {
    struct shared *found = NULL;
    pthread_mutex_lock(&pool->lock);
    pool->clock++;
    for (size_t i = 0; i < LIMIT_SNP_TABLES && found == NULL; i++) {
        struct slot *slot = &pool->slots[i];
        if (slot->shared != NULL && memcmp(slot->id, id, sizeof slot->id) == 0) {
            slot->used = pool->clock;
            found = slot->shared;
            atomic_fetch_add(&found->refs, 1);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return found;
}

/* A free slot, or the one that was idle longest, if that is long enough; else NULL. Locked. */
static struct slot *find_room(struct hotkey_pool *pool) {
    struct slot *oldest = &pool->slots[0];
    for (size_t i = 0; i < LIMIT_SNP_TABLES; i++) {
        struct slot *slot = &pool->slots[i];
        if (slot->shared == NULL) {
            return slot;
        }
        oldest = slot->used < oldest->used ? slot : oldest;
    }
    return pool->clock - oldest->used > IDLE_AFTER ? oldest : NULL;
}

/* Whether a table would find room; makes G's for it. Others wait for that: it happens once. */
static bool prepare(struct hotkey_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    bool room = find_room(pool) != NULL;
    if (room && pool->generator == NULL) {
        pool->generator = p384_table_new(pool->group, EC_GROUP_get0_generator(pool->group),
                                         HOTKEY_WINDOW_GENERATOR);
    }
    room = room && pool->generator != NULL;
    pthread_mutex_unlock(&pool->lock);
    return room;
}

static struct p384_table *make_table(const struct hotkey_pool *pool, EVP_PKEY *key) {
    unsigned char bytes[POINT_MAX];
    size_t size = 0;
    struct p384_table *table = NULL;
    EC_POINT *point = EC_POINT_new(pool->group);
    if (point != NULL &&
        EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, bytes, sizeof bytes, &size) ==
            1 &&
        EC_POINT_oct2point(pool->group, point, bytes, size, NULL) == 1) {
        table = p384_table_new(pool->group, point, HOTKEY_WINDOW_KEY);
    }
    EC_POINT_free(point);
    ERR_clear_error();
    return table;
}

/* Another thread may have made the same one meanwhile, or taken the room: then this one goes. */
static void keep_table(struct hotkey_pool *pool, const uint8_t id[32], struct p384_table *table) {
    struct shared *now = mem_alloc(sizeof *now);
    struct shared *before = NULL;
    *now = (struct shared){.table = table};
    atomic_init(&now->refs, 1);
    pthread_mutex_lock(&pool->lock);
    struct slot *slot = find_room(pool);
    for (size_t i = 0; i < LIMIT_SNP_TABLES; i++) {
        bool same = pool->slots[i].shared != NULL && memcmp(pool->slots[i].id, id, 32) == 0;
        slot = same ? NULL : slot;
    }
    if (slot != NULL) {
        before = slot->shared;
        *slot = (struct slot){.shared = now, .used = pool->clock};
        memcpy(slot->id, id, sizeof slot->id);
        now = NULL;
    }
    pthread_mutex_unlock(&pool->lock);
    release(now);
    release(before);
}

static void give_up(struct hotkey_pool *pool) {
    atomic_store(&pool->is_broken, true);
    log_error("attest: a table of multiples contradicts OpenSSL about a report's signature: "
              "OpenSSL's answer counts, no table is used any more; please report this with the "
              "version of OpenSSL and the processor");
}

/* EVP just accepted this signature: so must the table. */
static void warm_up(struct hotkey_pool *pool, const struct hotkey *key, const uint8_t digest[48],
                    const uint8_t r[SCALAR_SIZE], const uint8_t s[SCALAR_SIZE]) {
    if (!prepare(pool)) {
        return;
    }
    struct p384_table *table = make_table(pool, key->key);
    if (table == NULL) {
        return;
    }
    if (p384_table_verify(pool->generator, table, digest, r, s)) {
        keep_table(pool, key->id, table);
        return;
    }
    give_up(pool);
    p384_table_free(table);
}

bool hotkey_verify(struct hotkey_pool *pool, struct hotkey *key, struct span message,
                   const uint8_t r[SCALAR_SIZE], const uint8_t s[SCALAR_SIZE]) {
    if (pool == NULL || pool->group == NULL || atomic_load(&pool->is_broken)) {
        return verify_by_evp(key->key, message, r, s);
    }
    uint8_t digest[SHA384_SIZE];
    sha384(message, digest);
    struct shared *shared = find_table(pool, key->id);
    bool known = shared != NULL;
    bool good = known && p384_table_verify(pool->generator, shared->table, digest, r, s);
    release(shared);
    if (good) {
        atomic_fetch_add(&pool->hits, 1);
        return true;
    }
    good = verify_by_evp(key->key, message, r, s);
    if (good && known) {
        give_up(pool);
    } else if (good && (atomic_fetch_add(&key->count, 1) + 1) % HOTKEY_AFTER == 0) {
        warm_up(pool, key, digest, r, s);
    }
    return good;
}
