/* SNP policy: a genuine report against what its verifier expects.
 *
 * First what holds for every report, then the caller's REPORT_DATA and HOST_DATA, then the
 * reference value sets (snp_assess.h): any one that matches is enough. When none does, the nearest
 * one is explained: of a set of the report's product before any other, the one with the fewest
 * false findings, and of those the one that lacks least. Its first false finding decides; a set in
 * which nothing is false but the revocation list is missing or out of date makes the verdict
 * "unverifiable".
 *
 * Without sets the verdict is cryptographic, and these are denied all the same: a report that the
 * host asked for, a masked chip, a debuggable guest, PLATFORM_INFO bits that this version does not
 * know.
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
    bool is_unendorsed; /* no certificate yet: only `report` and, if it is known, `product` are
                           filled, and what needs more is not checked */
};

/* OK, DENIED or UNVERIFIABLE; adds every check to the verdict and sets its reference, revocation
 * and, with sets, tcbs.minimum; tcbs.compared when a TCB decided. */
RESULT snp_policy_check(const struct snp_subject *subject, const struct snp_options *options,
                        struct verdict *verdict, struct err *err);

/* The same rules as far as they need no certificate: what holds for every report, REPORT_DATA,
 * HOST_DATA, and the fields of the report that sets speak of. `product` may be UNKNOWN (version 2
 * of Milan and Genoa): then each set's own is assumed. OK or DENIED; OK says only that the
 * certificates are worth a request, and leaves the kind of the verdict as it is. */
RESULT snp_policy_check_unendorsed(const struct snp_report *report, enum snp_product product,
                                   const struct snp_options *options, struct verdict *verdict,
                                   struct err *err);

#endif
