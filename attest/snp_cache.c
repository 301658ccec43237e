/* SNP cache: see snp_cache.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_cache.h"

#include <pthread.h>
#include <string.h>

#include "attest/snp_chain_private.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

struct chain_slot {
    struct snp_chain *chain; /* counted; NULL: free */
    uint64_t used;           /* clock of the last use */
    uint8_t key[32];         /* the chain's: beside the others', a search stays in few lines */
};

struct authority_slot {
    struct snp_authority *authority; /* counted; NULL: free */
    uint64_t used;
};

struct snp_cache {
    struct hotkey_pool *pool; /* counted; has a lock of its own */
    pthread_mutex_t lock;     /* of all below */
    uint64_t clock;
    uint64_t hits;
    uint64_t misses;
    struct chain_slot chains[LIMIT_SNP_CACHE];
    struct authority_slot authorities[LIMIT_SNP_AUTHORITIES];
};

struct snp_cache *snp_cache_new(void) {
    struct snp_cache *cache = mem_zalloc(sizeof *cache);
    cache->pool = hotkey_pool_new();
    CHECK(pthread_mutex_init(&cache->lock, NULL) == 0);
    return cache;
}

void snp_cache_free(struct snp_cache *cache) {
    if (cache == NULL) {
        return;
    }
    for (size_t i = 0; i < LIMIT_SNP_CACHE; i++) {
        snp_chain_unref(cache->chains[i].chain);
    }
    for (size_t i = 0; i < LIMIT_SNP_AUTHORITIES; i++) {
        snp_authority_unref(cache->authorities[i].authority);
    }
    hotkey_pool_unref(cache->pool);
    pthread_mutex_destroy(&cache->lock);
    mem_free(cache);
}

void snp_cache_stats(struct snp_cache *cache, struct snp_cache_stats *out) {
    struct hotkey_stats keys;
    hotkey_pool_stats(cache->pool, &keys);
    *out = (struct snp_cache_stats){
        .tables = keys.tables, .table_hits = keys.hits, .tables_are_broken = keys.is_broken};
    pthread_mutex_lock(&cache->lock);
    out->hits = cache->hits;
    out->misses = cache->misses;
    for (size_t i = 0; i < LIMIT_SNP_CACHE; i++) {
        out->chains += cache->chains[i].chain != NULL;
    }
    for (size_t i = 0; i < LIMIT_SNP_AUTHORITIES; i++) {
        out->authorities += cache->authorities[i].authority != NULL;
    }
    pthread_mutex_unlock(&cache->lock);
}

/* ---- lookup ---- */

/* NULL when there is none. Locked. */
static struct chain_slot *slot_of(struct snp_cache *cache, const uint8_t key[32]) {
    for (size_t i = 0; i < LIMIT_SNP_CACHE; i++) {
        struct chain_slot *slot = &cache->chains[i];
        if (slot->chain != NULL && memcmp(slot->key, key, sizeof slot->key) == 0) {
            return slot;
        }
    }
    return NULL;
}

struct snp_chain *snp_cache__find(struct snp_cache *cache, const uint8_t key[32]) {
    struct snp_chain *found = NULL;
    pthread_mutex_lock(&cache->lock);
    struct chain_slot *slot = slot_of(cache, key);
    if (slot != NULL) {
        slot->used = ++cache->clock;
        cache->hits++;
        found = snp_chain__ref(slot->chain);
    }
    pthread_mutex_unlock(&cache->lock);
    return found;
}

void snp_cache__count_miss(struct snp_cache *cache) {
    pthread_mutex_lock(&cache->lock);
    cache->misses++;
    pthread_mutex_unlock(&cache->lock);
}

/* NULL when there is none. Locked. */
static struct authority_slot *authority_of(struct snp_cache *cache, struct span authority,
                                           struct span root) {
    for (size_t i = 0; i < LIMIT_SNP_AUTHORITIES; i++) {
        struct authority_slot *slot = &cache->authorities[i];
        if (slot->authority != NULL && snp_authority_is(slot->authority, authority, root)) {
            return slot;
        }
    }
    return NULL;
}

struct snp_authority *snp_cache__find_authority(struct snp_cache *cache, struct span authority,
                                                struct span root) {
    struct snp_authority *found = NULL;
    if (cache == NULL) {
        return NULL;
    }
    pthread_mutex_lock(&cache->lock);
    struct authority_slot *slot = authority_of(cache, authority, root);
    if (slot != NULL) {
        slot->used = ++cache->clock;
        found = snp_authority_ref(slot->authority);
    }
    pthread_mutex_unlock(&cache->lock);
    return found;
}

/* ---- keeping ---- */

/* Returns the chain that lost its place, to unref without the lock. Locked. */
static struct snp_chain *place_chain(struct snp_cache *cache, struct snp_chain *chain) {
    struct chain_slot *slot = &cache->chains[0];
    for (size_t i = 1; i < LIMIT_SNP_CACHE; i++) {
        slot = cache->chains[i].used < slot->used ? &cache->chains[i] : slot;
    }
    struct snp_chain *before = slot->chain;
    *slot = (struct chain_slot){.chain = snp_chain__ref(chain), .used = ++cache->clock};
    memcpy(slot->key, chain->priv->key, sizeof slot->key);
    return before;
}

/* As place_chain. */
static struct snp_authority *place_authority(struct snp_cache *cache, struct snp_authority *a) {
    if (authority_of(cache, buf_span(&a->authority_der), buf_span(&a->root_der)) != NULL) {
        return NULL;
    }
    struct authority_slot *slot = &cache->authorities[0];
    for (size_t i = 1; i < LIMIT_SNP_AUTHORITIES; i++) {
        slot = cache->authorities[i].used < slot->used ? &cache->authorities[i] : slot;
    }
    struct snp_authority *before = slot->authority;
    *slot = (struct authority_slot){snp_authority_ref(a), ++cache->clock};
    return before;
}

/* Two threads may have proven the same chain: the first one's is kept. */
void snp_cache_keep(struct snp_cache *cache, struct snp_chain *chain) {
    if (cache == NULL || atomic_exchange(&chain->priv->is_kept, true)) {
        return;
    }
    struct snp_chain *old_chain = NULL;
    struct snp_authority *old_authority = NULL;
    chain->priv->pool = hotkey_pool_ref(cache->pool);
    pthread_mutex_lock(&cache->lock);
    if (slot_of(cache, chain->priv->key) == NULL) {
        old_chain = place_chain(cache, chain);
        old_authority = place_authority(cache, chain->priv->above);
    }
    pthread_mutex_unlock(&cache->lock);
    snp_chain_unref(old_chain);
    snp_authority_unref(old_authority);
}
