/* Completion: what evidence lacks is put into it.
 *
 * A host need not hand out certificates. The report says which VCEK it needs; a verifier that has
 * it judges the evidence with it, an attester that has it sends it along. Nothing in the evidence
 * but these fields is touched: nobody signed them, and whoever judges proves them.
 *
 * Pure: bytes in, bytes out.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_COMPLETION_H
#define CONTRAST_COMPLETION_H

#include "attest/snp_endorsement.h"
#include "coordinator/core/core.h"

/* An evidence message, as far as completing it goes. Spans into the arena. */
struct completion {
    struct span report;
    bool has_vek;
    bool has_crl;
    size_t key_count; /* 0: a masked chip, a VLEK, an unknown product: nothing to look for */
    struct entry_endorsement keys[2];
    struct entry_endorsement list; /* product and signing key of its revocation list; product 0:
                                      not known */
    struct span vek;
    struct span chain[LIMIT_EVIDENCE_CHAIN];
    size_t chain_count;
    struct span authority; /* ASK or ASVK, and ARK; empty before completion_authorities, or when */
    struct span root;      /* they are not there */
};

/* MALFORMED, TOO_LARGE: not evidence. A report that cannot be read has no keys. */
RESULT completion_read(struct span evidence, struct arena *arena, struct completion *out,
                       struct err *err);

/* Finds authority and root among the chain, and the product where the report does not say it. */
void completion_authorities(struct completion *c);

/* Appends the evidence with these certificates and this list where it has none; empty spans, and
 * a NULL `vek`, add nothing. */
RESULT completion_fill(struct span evidence, const struct core_vek *vek, struct span crl,
                       struct buf *out, struct err *err);

/* The same key in the two vocabularies. */
void completion_to_entry(const struct snp_endorsement_key *key, struct entry_endorsement *out);
void completion_from_entry(const struct entry_endorsement *key, struct snp_endorsement_key *out);

#endif
