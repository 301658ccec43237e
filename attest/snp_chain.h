/* SNP chain: a VCEK or VLEK with the authority and the root that it hangs from, once proven.
 *
 *   VEK bytes, certificates at hand, kind and product
 *     -> leaf profile -> ASK|ASVK -> ARK -> names, CA rules, every signature   = struct snp_chain
 *
 * Certificates are taken from the nine of AMD that are built in (snp_roots.h) or, for other roots,
 * from the evidence. What depends on the moment or on the verifier is not decided here: dates,
 * whether this root is permitted, revocation. So a chain is the same for everybody and is proven
 * once: a cache keeps it (snp_cache.h), by the SHA-256 of the exact bytes it was proven from.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SNP_CHAIN_H
#define CONTRAST_SNP_CHAIN_H

#include "attest/snp_cert.h"
#include "attest/snp_crl_memo.h"

#define SNP_CHAIN_MAX 8

/* Immutable and counted. */
struct snp_chain {
    enum snp_signing_key kind;
    enum snp_product product;
    struct snp_vek claims;     /* TCB, hwID or cspID of the leaf */
    struct snp_cert vek;       /* owned, as the two below */
    struct snp_cert authority; /* ASK or ASVK; shared with other chains, as the root */
    struct snp_cert root;      /* ARK; permitted or not */
    /* the rest is snp_chain.c's */
    struct snp_chain_private *priv;
};

struct snp_chain_input {
    struct span vek;                 /* DER */
    const struct span *certificates; /* DER, any order; others than ASK, ASVK, ARK are ignored */
    size_t certificate_count;        /* at most SNP_CHAIN_MAX */
    enum snp_signing_key kind;       /* the report's */
    enum snp_product by_report;      /* UNKNOWN: version 2 of Milan or Genoa, the issuer decides */
    bool may_be_foreign; /* the verifier permits roots that are not AMD's: a leaf that AMD
                            did not sign, without its authority, lacks a certificate;
                            otherwise it is false */
};

struct snp_cache; /* snp_cache.h */

/* Proves the chain, or takes it from the cache (NULL = none; thread-safe). DENIED with SNP-CERT-*,
 * SNP-VEK-*, SNP-PRODUCT. A leaf that AMD's own authorities did not sign needs its ASK or ASVK and
 * its ARK among the certificates; without them the signature is what fails. Adds to the verdict,
 * proven now or cached, the checks "product", those of snp_vek_add_checks and those of
 * snp_cert_add_checks. *out is counted: unref. */
RESULT snp_chain_establish(struct snp_cache *cache, const struct snp_chain_input *input,
                           struct snp_chain **out, struct verdict *verdict, struct err *err);
void snp_chain_unref(struct snp_chain *chain); /* accepts NULL */

/* Lists of this chain's root that were checked before; lives as long as the chain. */
struct snp_crl_memo *snp_chain_crls(struct snp_chain *chain);

/* True when R and S are the signature of the leaf's key over `signed_bytes` (ECDSA P-384, SHA-384;
 * AMD 56860 section 7.3). r, s: 48 bytes little-endian each. Fast for the key of a cached chain
 * that comes again (hotkey.h). */
bool snp_chain_verify(struct snp_chain *chain, struct span signed_bytes, const uint8_t r[48],
                      const uint8_t s[48]);

#endif
