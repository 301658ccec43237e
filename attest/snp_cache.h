/* SNP cache: proven chains, and the authorities above them, for a process that judges many reports
 * of the same machines.
 *
 *   lookup     by SHA-256 over the exact bytes that were proven: any other byte is another chain
 *   keep       only by snp_verify, after it accepted the whole evidence
 *
 * So nothing that was refused is kept, and whoever wants to push a good chain out needs genuine
 * evidence that this verifier's policy accepts. A hit says what the proof said, and no more: dates,
 * the permission of the root and revocation are judged on every use.
 *
 * Bounded: LIMIT_SNP_CACHE chains (about 10 KB each) and LIMIT_SNP_AUTHORITIES pairs of authority
 * and root (about 40 KB each, with their revocation lists), the longest unused go first; tables of
 * hot keys (hotkey.h, the most memory of all). Thread-safe; one cache serves a process.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SNP_CACHE_H
#define CONTRAST_SNP_CACHE_H

#include "attest/snp_authority.h"
#include "attest/snp_chain.h"

struct snp_cache;

struct snp_cache *snp_cache_new(void);
/* Accepts NULL. Chains that were taken from it live on until they are unrefed. */
void snp_cache_free(struct snp_cache *cache);

/* Keeps a chain of evidence that was accepted. Does nothing without a cache, or when the chain was
 * kept before. */
void snp_cache_keep(struct snp_cache *cache, struct snp_chain *chain);

struct snp_cache_stats {
    uint64_t hits;      /* chains that were there */
    uint64_t misses;    /* chains to prove */
    size_t chains;      /* held now */
    size_t authorities; /* held now */
    size_t tables;      /* of hot keys, held now */
    uint64_t table_hits;
    bool tables_are_broken; /* a table contradicted OpenSSL: see the log */
};
void snp_cache_stats(struct snp_cache *cache, struct snp_cache_stats *out);

/* --- For snp_chain.c */

/* The chain that was kept under this key, counted; NULL when there is none. */
struct snp_chain *snp_cache__find(struct snp_cache *cache, const uint8_t key[32]);
void snp_cache__count_miss(struct snp_cache *cache);

/* The proven authority and root with these very bytes, for a chain to share. NULL when they are not
 * known, or the cache is NULL. */
struct snp_authority *snp_cache__find_authority(struct snp_cache *cache, struct span authority,
                                                struct span root);

#endif
