/* Endorsement keys: what names the VCEK that a report needs, in caches and at AMD's key service.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SNP_ENDORSEMENT_H
#define CONTRAST_SNP_ENDORSEMENT_H

#include "attest/snp_chain.h"
#include "attest/snp_report.h"

/* (product, chip, TCB): a chip has one VCEK for each TCB; certificates of the same key are reissued
 * with other dates (AMD 57230 section 3). Compare with snp_endorsement_same. */
struct snp_endorsement_key {
    enum snp_product product; /* never UNKNOWN */
    uint8_t chip_id[64];      /* Turin: 8 bytes, then zeros */
    uint8_t tcb[8];           /* REPORTED_TCB as in the report */
};

bool snp_endorsement_same(const struct snp_endorsement_key *a, const struct snp_endorsement_key *b);

/* The keys that a report may need: one, or for version 2 of Milan and Genoa, which do not say what
 * they are, both. 0: none can be named (masked chip, VLEK, unknown product). */
size_t snp_endorsement_keys(const struct snp_report *report, struct snp_endorsement_key out[2]);

/* OK when `vek` is the VCEK of this key below AMD's root or one of `extra_roots` (SPKI digests),
 * with `certificates` (may be none) as its authorities; valid at `at`. DENIED says why. */
RESULT snp_endorsement_check(const struct snp_endorsement_key *key, struct span vek,
                             const struct span *certificates, size_t certificate_count,
                             const uint8_t (*extra_roots)[32], size_t extra_root_count, int64_t at,
                             struct err *err);

#endif
