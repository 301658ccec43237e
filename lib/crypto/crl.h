/* Revocation lists, as far as one may take the place of another (RFC 5280 section 5).
 *
 * Two lists of one issuer may be numbered apart, so a higher number does not say that a list knows
 * what the other one does. What they revoke says it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CRL_H
#define CONTRAST_CRL_H

#include <stdbool.h>

#include "lib/base/bytes.h"

/* True when every serial number that the list `old` revokes is also revoked by the list `by`; both
 * X.509 CRLs in DER, of one issuer, proven before. Bytes that are no CRL, or over LIMIT_CRL, revoke
 * nothing. Says nothing of signatures and dates. */
bool crl_covers(struct span by, struct span old);

#endif
