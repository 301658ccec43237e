/* Azure's HCL blob: where a confidential VM of Azure keeps its report (TPM NV index 0x01400001).
 *
 *   0x000  "HCLA"  u32 version  u32 size  u32 request type  u32 status  12 bytes   little-endian
 *   0x020  ATTESTATION_REPORT, 1184 bytes
 *   0x4C0  u32 data size  u32 version  u32 report type (2 = SEV-SNP, 4 = TDX)
 *          u32 hash type (1 = SHA-256, 2 = SHA-384, 3 = SHA-512)  u32 size of the runtime data
 *   0x4D4  runtime data: JSON with the keys of the VM's TPM; what follows is padding
 *
 * The paravisor makes the report when the VM starts: REPORT_DATA begins with the hash of the
 * runtime data and goes on with zeros, so it proves the TPM's keys and no nonce. One total parser,
 * pure; the report itself is judged by snp_verify.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SNP_HCL_H
#define CONTRAST_SNP_HCL_H

#include "lib/base/bytes.h"

enum snp_hcl_hash { SNP_HCL_SHA256 = 1, SNP_HCL_SHA384 = 2, SNP_HCL_SHA512 = 3 };

/* Borrowed from the file. */
struct snp_hcl {
    struct span report;  /* 1184 bytes, not judged */
    struct span runtime; /* the JSON, not parsed */
    enum snp_hcl_hash hash;
};

/* True when the file begins as such a blob. */
bool snp_hcl_is_blob(struct span file);

/* MALFORMED says what is wrong; TDX reports are refused by name. *out is untouched then. */
RESULT snp_hcl_parse(struct span file, struct snp_hcl *out, struct err *err);

/* True when the report's REPORT_DATA is the hash of the runtime data, padded with zeros. */
bool snp_hcl_is_bound(const struct snp_hcl *hcl);

#endif
