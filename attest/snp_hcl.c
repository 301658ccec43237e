/* Azure's HCL blob: see snp_hcl.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_hcl.h"

#include <string.h>

#include "attest/snp_report.h"
#include "lib/crypto/digest.h"

#define OFFSET_REPORT 0x20
#define OFFSET_RUNTIME ((size_t)0x4C0) /* header of the runtime data */
#define OFFSET_JSON ((size_t)0x4D4)
#define OFFSET_REPORT_DATA 0x050 /* in the report */
#define REPORT_DATA_SIZE 64
#define TYPE_SNP 2
#define TYPE_TDX 4

bool snp_hcl_is_blob(struct span file) {
    return file.size >= 4 && memcmp(file.data, "HCLA", 4) == 0;
}

struct result snp_hcl_parse(struct span file, struct snp_hcl *out, struct err *err) {
    ENSURE(snp_hcl_is_blob(file), err, MALFORMED, "HCL blob: does not begin with HCLA");
    ENSURE(file.size >= OFFSET_JSON, err, MALFORMED,
           "HCL blob: %zu bytes, too short for a report and its runtime data (%zu)", file.size,
           OFFSET_JSON);
    const uint8_t *head = file.data + OFFSET_RUNTIME;
    uint32_t type = load_u32le(head + 8);
    uint32_t hash = load_u32le(head + 12);
    size_t size = load_u32le(head + 16);
    ENSURE(type == TYPE_SNP, err, MALFORMED, "HCL blob: report type %u%s, want 2 (SEV-SNP)", type,
           type == TYPE_TDX ? " (TDX)" : "");
    ENSURE(hash >= SNP_HCL_SHA256 && hash <= SNP_HCL_SHA512, err, MALFORMED,
           "HCL blob: hash type %u, want 1 to 3", hash);
    ENSURE(size <= file.size - OFFSET_JSON, err, MALFORMED,
           "HCL blob: %zu bytes of runtime data, the file has room for %zu", size,
           file.size - OFFSET_JSON);
    *out = (struct snp_hcl){.report = span_of(file.data + OFFSET_REPORT, SNP_REPORT_SIZE),
                            .runtime = span_of(file.data + OFFSET_JSON, size),
                            .hash = (enum snp_hcl_hash)hash};
    return OK;
}

bool snp_hcl_is_bound(const struct snp_hcl *hcl) {
    uint8_t expected[REPORT_DATA_SIZE] = {0};
    switch (hcl->hash) {
    case SNP_HCL_SHA256:
        sha256(hcl->runtime, expected);
        break;
    case SNP_HCL_SHA384:
        sha384(hcl->runtime, expected);
        break;
    case SNP_HCL_SHA512:
        sha512(hcl->runtime, expected);
        break;
    }
    return memcmp(hcl->report.data + OFFSET_REPORT_DATA, expected, sizeof expected) == 0;
}
