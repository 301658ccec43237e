/* What snp_chain.c and snp_cache.c share about a chain; nobody else's.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SNP_CHAIN_PRIVATE_H
#define CONTRAST_SNP_CHAIN_PRIVATE_H

#include "attest/hotkey.h"
#include "attest/snp_authority.h"
#include "attest/snp_chain.h"

struct snp_chain_private {
    atomic_uint refs;
    atomic_bool is_kept;
    uint8_t key[32];             /* in a cache; set when the chain is proven */
    struct snp_authority *above; /* counted; the chain's authority and root are its */
    struct hotkey leaf;          /* the leaf's key */
    struct hotkey_pool *pool;    /* counted; NULL until the chain is kept, before others see it */
};

struct snp_chain *snp_chain__ref(struct snp_chain *chain);

#endif
