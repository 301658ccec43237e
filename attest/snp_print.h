/* SNP reports, certificates and revocation lists for people and scripts: one JSON object of each;
 * the text is that object as lines.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SNP_PRINT_H
#define CONTRAST_SNP_PRINT_H

#include <jansson.h>

#include "attest/snp_cert.h"

/* Every field by AMD's name. The caller owns the objects, here and below. */
json_t *snp_report_to_json(const struct snp_report *report);
/* Subject, issuer, serial number, dates, key, digests, and what AMD's extensions say; of a leaf
 * that is not as AMD makes them "profile" says why, and "extensions" has the bytes. */
json_t *snp_cert_to_json(const struct snp_cert *cert);
/* Issuer, dates, number, and the revoked serial numbers. MALFORMED when it is no CRL in DER. */
RESULT snp_crl_to_json(struct span der, json_t **out, struct err *err);

/* "NAME value" lines, nested objects on one line; appended to `out`. */
void snp_print_text(json_t *object, struct buf *out);

#endif
