/* AMD's certificate revocation list (RFC 5280 section 5, AMD 57230 section 4.3).
 *
 *   lists, own ones and the evidence's  ->  the newest valid one  ->  is the ASK or ASVK in it?
 *
 * The root (ARK) signs it and it names revoked ASKs, ASVKs and, though nobody has seen that, the
 * root itself. Leaves are never revoked: the TCB floor takes that place. What a valid list revokes
 * is refused under every policy, even when the list is stale or not yet due.
 *
 * Valid is: version 2 in DER with nothing behind it, the root's name byte for byte as issuer,
 * readable dates in their order, AMD's PSS parameters, the root's signature, and nothing that
 * narrows what the list means: no critical extension (of the list or of an entry), no delta
 * indicator, no issuing distribution point (RFC 5280 sections 5.2.4, 5.2.5, 5.3.3).
 *
 * Of several valid lists one that is current at the time of judging counts before one that ran out,
 * and that before one of the future; of equals the newest. So a host that adds a list cannot make a
 * good one of the verifier worse. Whether a list must be there, and how old it may be, is the
 * reference value set's (enum crl_policy). Pure but for OpenSSL; thread-safe.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SNP_CRL_H
#define CONTRAST_SNP_CRL_H

#include "attest/snp_cert.h"
#include "attest/snp_crl_memo.h"

#define SNP_CRLS_MAX 16 /* lists that one verification looks at */

enum snp_crl_state {                  /* worst first */
                     SNP_CRL_NONE,    /* no list at all */
                     SNP_CRL_INVALID, /* only lists that are not AMD's for this root: `code` says
                                         why */
                     SNP_CRL_FUTURE,  /* thisUpdate comes after the time of judging */
                     SNP_CRL_STALE,   /* nextUpdate is over */
                     SNP_CRL_CURRENT,
};

/* What the lists say at one time. */
struct snp_revocation {
    enum snp_crl_state state; /* of the list that counts */
    bool is_revoked;          /* a valid list names the ASK or ASVK, or the ARK */
    int64_t this_update;      /* unix seconds; 0 when none is valid */
    int64_t next_update;
    uint64_t number;  /* CRLNumber; 0 when absent */
    const char *code; /* INVALID: SNP-CRL-FORMAT, -ISSUER, -SIGNATURE */
    bool is_foreign;  /* INVALID: the verifier passed none, the evidence brought it */
    const char *field;
};

/* One list as it is kept: checked against `root`, not against any time. */
struct snp_crl_facts {
    int64_t this_update;
    int64_t next_update;
    uint64_t number;
};

/* OK when `der` is one list in DER that this root signed with AMD's parameters, with no critical
 * extension that is not understood and no delta indicator. DENIED names what is wrong. */
RESULT snp_crl_check(struct span der, const struct snp_cert *root, struct snp_crl_facts *out,
                     struct err *err);

/* The same without the signature: what can be said before the root's key is used. */
RESULT snp_crl__examine(struct span der, const struct snp_cert *root, struct snp_crl_facts *out,
                        struct err *err);

/* Judges `ca` (an ASK or ASVK) and `root` by the lists; never fails: what is wrong with them stands
 * in *out. `memo` is of this root, or NULL: the lists in it are not proven again, and those that
 * are proven get into it. */
void snp_crl_judge(const struct span *lists, size_t count, const struct snp_cert *root,
                   const struct snp_cert *ca, struct snp_crl_memo *memo, int64_t at,
                   struct snp_revocation *out);

#endif
