/* CRL policy: whether what the revocation lists say is enough for one set of reference values, and
 * the sentence that a verdict has about it.
 *
 *   off          nothing is demanded
 *   require      a valid list that is current at the time of judging
 *   grace:HOURS  the same, or one that ran out at most so long ago
 *
 * A list that is missing or of another time proves nothing: SNP-CRL-MISSING and SNP-CRL-DATE are
 * "unverifiable". Where only lists are at hand that the root did not sign, somebody made them up:
 * SNP-CRL-FORMAT, -ISSUER or -SIGNATURE. That is "denied" when the verifier passed a list itself.
 * When the evidence alone brought one it is "unverifiable": the host can put there what it likes.
 * What a valid list revokes is refused before this and under every policy (snp_verify). Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SNP_CRL_POLICY_H
#define CONTRAST_SNP_CRL_POLICY_H

#include "attest/snp_crl.h"
#include "lib/manifest/manifest.h"

#define SNP_CRL_TEXT_SIZE 160

/* One policy at one time. */
struct snp_crl_demand {
    enum crl_policy policy;
    uint32_t grace_hours; /* for CRL_GRACE */
    int64_t at;           /* unix seconds: the time to judge at */
};

bool snp_crl_policy_holds(const struct snp_crl_demand *demand, const struct snp_revocation *r);

/* Which check fails when it does not hold; *is_false when that is a denial. The code is static. */
struct verdict_rule snp_crl_policy_rule(const struct snp_revocation *r, bool *is_false);

/* "a list that is valid on 2026-07-14" */
void snp_crl_policy_want(const struct snp_crl_demand *demand, char *out, size_t size);
/* "list 9 of 2026-06-22, valid to 2026-08-08"; SNP_CRL_TEXT_SIZE bytes are enough. */
void snp_crl_policy_state(const struct snp_revocation *r, char *out, size_t size);
/* "require: " and the state. */
void snp_crl_policy_text(const struct snp_crl_demand *demand, const struct snp_revocation *r,
                         char *out, size_t size);

#endif
