/* contrast evidence: verdicts on SEV-SNP reports, and what is in evidence files.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CMD_EVIDENCE_H
#define CONTRAST_CMD_EVIDENCE_H

#include "cli/cli.h"

extern const char CMD_EVIDENCE_VERIFY_HELP[];
extern const char CMD_EVIDENCE_SHOW_HELP[];

/* Prints the verdict; DENIED (exit 3) or UNVERIFIABLE (exit 1) unless accepted. */
RESULT cmd_evidence_verify(struct cli *cli, int argc, char **argv, struct err *err);
/* Prints a report, a certificate table, certificates or a CRL; INVALID for anything else. */
RESULT cmd_evidence_show(struct cli *cli, int argc, char **argv, struct err *err);

#endif
