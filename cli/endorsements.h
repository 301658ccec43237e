/* Endorsements: where a command gets the certificate of a report's signing key when nobody handed
 * it over.
 *
 *   evidence -> WORKSPACE/endorsements/ (any file names; import.h) -> AMD's key service -> kept
 * there
 *
 * CONTRAST_KDS_URL is the service's address (default AMD's; "off": it is never asked),
 * CONTRAST_KDS_CA_FILE the authorities that vouch for it. A certificate is kept by product, chip
 * and TCB, and old ones stay: reports of before an update remain verifiable, and the service is
 * asked once for each. A report that is false by itself is not asked for.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_ENDORSEMENTS_H
#define CONTRAST_ENDORSEMENTS_H

#include "attest/snp_verify.h"
#include "lib/base/bytes.h"

#define ENDORSEMENTS_FOLDER "endorsements" /* in the workspace */

/* What was added to evidence: it borrows from here. Zeroed is valid. */
struct endorsements {
    struct buf vek;
};
void endorsements_deinit(struct endorsements *e);

/* Fills evidence->vek when it is empty, for at most about LIMIT_KDS_MS for each product that the
 * report may be of. OK also when nothing can be had and nothing is wrong (a VLEK, a masked chip,
 * the service is off): snp_verify says then what is missing. `report` and `verdict` are those of
 * snp_verify, filled on a failure with a verdict:
 *
 *   DENIED        the report is false by itself (snp_verify_before_endorsement)
 *   UNVERIFIABLE  SNP-KDS-BUSY (err's advice says until when), SNP-KDS-UNAVAILABLE,
 *                 SNP-KDS-UNKNOWN-CHIP, SNP-KDS-ANSWER (a false or foreign answer)
 *   CONFIG        an environment variable, without a verdict (its code is empty) */
RESULT endorsements_complete(const char *workspace, const struct snp_options *options,
                             struct snp_evidence *evidence, struct endorsements *own,
                             struct snp_report *report, struct verdict *verdict, struct err *err);

#endif
