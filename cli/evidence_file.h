/* Evidence files: what a person hands to `contrast evidence`, told apart by its first bytes.
 *
 *   1184 bytes              a report
 *   "HCLA"                  an Azure HCL blob with a report in it (attest/snp_hcl.h)
 *   a GUID that AMD defines a certificate table, auxblob of the kernel (attest/snp_certtable.h)
 *   0x30 0x82               DER: a certificate, a revocation list, or one of them damaged
 *   "-----BEGIN "           PEM: certificates and revocation lists, any number of either
 *   text                    hexadecimal, base64, JSON: refused with how to convert it
 *
 * Nothing is judged here: a damaged certificate is handed on, and the verifier says what is wrong.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_EVIDENCE_FILE_H
#define CONTRAST_EVIDENCE_FILE_H

#include "attest/snp_hcl.h"
#include "lib/base/bytes.h"
#include "lib/base/limits.h"

enum evidence_kind {
    EVIDENCE_OTHER, /* bytes of no known form */
    EVIDENCE_REPORT,
    EVIDENCE_HCL,
    EVIDENCE_TABLE,
    EVIDENCE_CERTIFICATE,
    EVIDENCE_CRL,
    EVIDENCE_DER, /* neither of the two */
    EVIDENCE_PEM,
};

struct evidence_file {
    const char *path; /* borrowed */
    struct buf bytes; /* owned */
    enum evidence_kind kind;
};

/* Reads the file ("-": standard input) and tells what it is. INVALID for text that is not PEM, with
 * the command that converts it; the errors of file_read. */
RESULT evidence_file_read(const char *path, struct evidence_file *out, struct err *err);
void evidence_file_deinit(struct evidence_file *file); /* accepts zeroed */

/* "a certificate", "a report" ... */
const char *evidence_kind_name(enum evidence_kind kind);

/* The report in an HCL blob. INVALID names the file and what is wrong. */
RESULT evidence_file_unwrap(const struct evidence_file *file, struct snp_hcl *out, struct err *err);

/* DER certificates and lists of one or more files, in order. Owned. */
struct evidence_parts {
    struct buf certificates[LIMIT_EVIDENCE_PARTS];
    size_t certificate_count;
    struct buf lists[LIMIT_EVIDENCE_PARTS];
    size_t list_count;
};

void evidence_parts_deinit(struct evidence_parts *parts); /* accepts zeroed */

/* What a file is asked for; DER that is neither is taken for it. */
enum evidence_wish { EVIDENCE_WANTS_CERTIFICATES, EVIDENCE_WANTS_LISTS, EVIDENCE_WANTS_ANY };

/* Adds what the file holds; a certificate table also gives its list. INVALID when it holds nothing
 * of what is wished, or too many. */
RESULT evidence_file_split(const struct evidence_file *file, enum evidence_wish wish,
                           struct evidence_parts *parts, struct err *err);

#endif
