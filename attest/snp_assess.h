/* Assessment: one report against one set of reference values, every check of it.
 *
 * Nothing ends early: the findings are the whole difference between the two, so that the nearest of
 * several sets can be told and explained. Texts are made only for what does not hold. Checks and
 * codes are listed in docs/verdicts.md; what they compare is AMD 56860 table 23 against
 * struct snp_reference. Pure, no allocation.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SNP_ASSESS_H
#define CONTRAST_SNP_ASSESS_H

#include "attest/snp_policy.h"

#define SNP_FINDINGS_MAX 48

enum snp_outcome {
    SNP_HOLDS,
    SNP_LACKS, /* something is missing to decide */
    SNP_FALSE,
};

/* One check. */
struct snp_finding {
    struct verdict_rule rule; /* static text, but for `field` below */
    enum snp_outcome outcome;
    const char *tcb; /* "LAUNCH_TCB" when the check compares one; else NULL */
    char field[64];  /* "" = the rule's; like the two below only when it does not hold */
    char expected[200];
    char actual[200];
};

/* All checks of one set, in order. Not initialized beyond `count`. */
struct snp_assessment {
    struct snp_finding findings[SNP_FINDINGS_MAX];
    size_t count;
    size_t distance; /* 0 = the set matches; a set of another product is further than any of the
                        same, a false finding further than any number of lacking ones; findings
                        of one code count once, and the image decides between equals */
};

/* Fills *out. `at`: unix seconds, for the revocation list. */
void snp_assess(const struct snp_reference *set, const struct snp_subject *subject, int64_t at,
                struct snp_assessment *out);

#endif
