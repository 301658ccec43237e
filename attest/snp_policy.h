/* SNP policy: a genuine report against what its verifier expects.
 *
 * First what holds for every report, then the caller's REPORT_DATA and HOST_DATA, then the
 * reference value sets: any one that matches is enough, and when none does the nearest one (fewest
 * failed checks, a set of the same product before any other) is explained by its first failed
 * check.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SNP_POLICY_H
#define CONTRAST_SNP_POLICY_H

#include "attest/snp_verify.h"

/* The four TCBs of a report, decoded for its product. */
struct snp_tcbs {
    struct snp_tcb reported;
    struct snp_tcb committed;
    struct snp_tcb current;
    struct snp_tcb launch;
};

/* What the chain proved. */
struct snp_subject {
    const struct snp_report *report;
    enum snp_product product;
    struct snp_tcbs tcbs;
    const uint8_t *simulated_root; /* SPKI digest, 32 bytes; NULL = AMD's root */
    const struct snp_vek *claims;  /* of the leaf: hwID or cspID */
    struct snp_revocation revocation;
};

/* OK or DENIED; adds every check to the verdict and sets verdict->reference. */
RESULT snp_policy_check(const struct snp_subject *subject, const struct snp_options *options,
                        struct verdict *verdict, struct err *err);

#endif
