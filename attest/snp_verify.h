/* SNP verification: from a report and its certificates to a verdict.
 *
 *   format -> product -> leaf profile -> chain to a permitted root -> dates -> CRL -> signature
 *   -> binding (kind, TCB, chip, provider) -> expectations -> reference value sets
 *
 * Each rule is a check with a name in verdict->checks and codes of its own; the table is in
 * docs/verdicts.md.
 *
 * Without the leaf whatever can be judged without it is judged, and the rest is unverifiable.
 * The first thing that does not hold ends it, and the verdict says what, where and what to do.
 * Without I/O, clock or global state; thread-safe; every expected value is the caller's own.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SNP_VERIFY_H
#define CONTRAST_SNP_VERIFY_H

#include "attest/snp_chain.h"
#include "attest/snp_crl.h"
#include "attest/snp_report.h"
#include "attest/verdict.h"

/* All DER, all borrowed. */
struct snp_evidence {
    struct span report;
    struct span vek;                  /* VCEK or VLEK; empty = missing */
    struct span chain[SNP_CHAIN_MAX]; /* ASK or ASVK, and ARK, in any order; others are ignored */
    size_t chain_count;
    struct span crl; /* AMD's CRL; empty = none */
};

struct snp_options {
    const struct snp_reference
        *references; /* any one set must match; none: cryptographic verdict */
    size_t reference_count;
    const uint8_t (*extra_roots)[32]; /* SPKI digests of roots that are not AMD's, from the owner's
                                         configuration. With references a root counts only for the
                                         sets that list it among their simulated roots, unless
                                         extra_roots_suffice */
    size_t extra_root_count;
    bool extra_roots_suffice; /* an extra root need not stand in a set: who asks named it by hand */
    bool only_extra_roots; /* a root that a reference set lists must be an extra root, too: the sets
                              may come from the peer */
    const uint8_t *report_data; /* 64 bytes, or NULL = any */
    const uint8_t *host_data;   /* 32 bytes, or NULL = any */
    int64_t at;                 /* unix seconds: the time to judge at */
    const struct span *crls;    /* the verifier's own lists (DER), besides the evidence's */
    size_t crl_count;           /* below SNP_CRLS_MAX */
    enum crl_policy crl;        /* without references; with them each set has its own */
    uint32_t crl_grace_hours;   /* for CRL_GRACE */
    struct snp_cache *cache;    /* of proven chains, thread-safe; NULL = none */
};

/* OK only when accepted; else DENIED or UNVERIFIABLE with the text
 * "SNP-…: field: expected …, actual …; remedy". `verdict` is always filled, `report` when the
 * format was good (zeroed otherwise).
 *
 * With or without references these are denied: POLICY.DEBUG unless a set allows it, a report that
 * the host asked for (VMPL 0xFFFFFFFF), a masked CHIP_ID under a VCEK. With references also: VMPL
 * other than 0, permissions beyond the set's, a migration agent, restrictions below the set's, ABI
 * below, any of the four TCBs below the floor, another measurement, a chip that is not listed, a
 * VLEK's report (it names no machine, and a set cannot name a provider). */
RESULT snp_verify(const struct snp_evidence *evidence, const struct snp_options *options,
                  struct snp_report *report, struct verdict *verdict, struct err *err);

/* What can be judged before the certificates are there: format, REPORT_DATA, HOST_DATA, and every
 * reference value that needs none of them. OK or DENIED. A report that fails here is not worth a
 * request to AMD's key service. */
RESULT snp_verify_before_endorsement(struct span report_bytes, const struct snp_options *options,
                                     struct snp_report *report, struct verdict *verdict,
                                     struct err *err);

#endif
