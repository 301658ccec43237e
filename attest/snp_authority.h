/* SNP authority: the ASK or ASVK and the ARK above leaves, once proven, shared by all their chains.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SNP_AUTHORITY_H
#define CONTRAST_SNP_AUTHORITY_H

#include "attest/snp_cert.h"
#include "attest/snp_crl_memo.h"

/* Counted; immutable but for its memo. */
struct snp_authority {
    struct snp_cert authority; /* owned, as the root */
    struct snp_cert root;
    struct buf authority_der; /* the exact bytes */
    struct buf root_der;
    struct snp_crl_memo crls; /* of this root */
    struct snp_authority_private *priv;
};

/* Proves that both are CAs, that the root signed itself and the authority. SNP-CERT-CA, -ISSUER,
 * -ALGORITHM, -SIGNATURE. Both certificates pass to *out when it is OK. */
RESULT snp_authority_prove(struct snp_cert *authority, struct snp_cert *root,
                           struct snp_authority **out, struct verdict *verdict, struct err *err);
struct snp_authority *snp_authority_ref(struct snp_authority *a);
void snp_authority_unref(struct snp_authority *a); /* accepts NULL */

/* True when it was proven from these very bytes. */
bool snp_authority_is(const struct snp_authority *a, struct span authority, struct span root);

#endif
