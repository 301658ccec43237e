/* SNP report: AMD's ATTESTATION_REPORT, 1184 bytes, little-endian (AMD 56860 table 23).
 *
 *   0x000 VERSION u32   0x004 GUEST_SVN u32   0x008 POLICY u64   0x010 FAMILY_ID[16]
 *   0x020 IMAGE_ID[16]  0x030 VMPL u32        0x034 SIGNATURE_ALGO u32
 *   0x038 CURRENT_TCB   0x040 PLATFORM_INFO   0x048 KEY_INFO u32 0x050 REPORT_DATA[64]
 *   0x090 MEASUREMENT[48]    0x0C0 HOST_DATA[32]     0x0E0 ID_KEY_DIGEST[48]
 *   0x110 AUTHOR_KEY_DIGEST[48]  0x140 REPORT_ID[32] 0x160 REPORT_ID_MA[32]
 *   0x180 REPORTED_TCB  0x188 CPUID family, model, stepping (version 3 on)
 *   0x1A0 CHIP_ID[64]   0x1E0 COMMITTED_TCB   0x1E8 CURRENT build, minor, major
 *   0x1EC COMMITTED build, minor, major       0x1F0 LAUNCH_TCB
 *   0x1F8 LAUNCH_MIT_VECTOR u64, 0x200 CURRENT_MIT_VECTOR u64 (version 5)
 *   0x2A0 R[72], S[72]  everything else zero; 0x000..0x29F is what the signature covers
 *
 * Pure: no allocation, no clock. Parsing refuses whatever AMD says must be zero, also behind the
 * signed range, so that two different byte strings are never the same report but for the known
 * malleability of ECDSA (s and n - s): use REPORT_ID or the signed range as an identity, never all
 * bytes.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SNP_REPORT_H
#define CONTRAST_SNP_REPORT_H

#include "attest/verdict.h"
#include "lib/base/bytes.h"
#include "lib/manifest/manifest.h"

#define SNP_REPORT_SIZE 1184
#define SNP_REPORT_SIGNED_SIZE 0x2A0 /* the first bytes; hashed with SHA-384 */

/* POLICY (AMD 56860 section 4.3) */
#define SNP_POLICY_SMT (UINT64_C(1) << 16)
#define SNP_POLICY_RESERVED_ONE (UINT64_C(1) << 17)
#define SNP_POLICY_MIGRATE_MA (UINT64_C(1) << 18)
#define SNP_POLICY_DEBUG (UINT64_C(1) << 19)
#define SNP_POLICY_SINGLE_SOCKET (UINT64_C(1) << 20)
#define SNP_POLICY_CXL_ALLOW (UINT64_C(1) << 21)
#define SNP_POLICY_MEM_AES_256_XTS (UINT64_C(1) << 22)
#define SNP_POLICY_RAPL_DIS (UINT64_C(1) << 23)
#define SNP_POLICY_CIPHERTEXT_HIDING (UINT64_C(1) << 24)
#define SNP_POLICY_PAGE_SWAP_DISABLE (UINT64_C(1) << 25)

#define SNP_VMPL_HOST UINT32_C(0xFFFFFFFF) /* the host asked for the report */
#define SNP_SIGNATURE_ECDSA_P384_SHA384 1

enum snp_signing_key { SNP_KEY_VCEK = 0, SNP_KEY_VLEK = 1, SNP_KEY_NONE = 7 };

struct snp_report {
    uint32_t version; /* 2..5; 4 has the layout of 3 */
    uint32_t guest_svn;
    uint64_t policy;
    uint8_t family_id[16];
    uint8_t image_id[16];
    uint32_t vmpl; /* 0..3 or SNP_VMPL_HOST */
    uint32_t signature_algo;
    uint8_t current_tcb[8]; /* TCBs as in the report: snp_tcb_decode needs the product */
    uint64_t platform_info;
    uint32_t key_info;
    uint8_t report_data[64];
    uint8_t measurement[48];
    uint8_t host_data[32];
    uint8_t id_key_digest[48];
    uint8_t author_key_digest[48];
    uint8_t report_id[32];
    uint8_t report_id_ma[32]; /* all 0xFF without a migration agent */
    uint8_t reported_tcb[8];
    uint8_t cpuid_family; /* display values; zero in version 2 */
    uint8_t cpuid_model;
    uint8_t cpuid_stepping;
    uint8_t chip_id[64]; /* zero when masked or VLEK-signed; Turin uses the first 8 bytes */
    uint8_t committed_tcb[8];
    struct snp_firmware current_firmware;
    struct snp_firmware committed_firmware;
    uint8_t launch_tcb[8];
    uint64_t launch_mit_vector; /* zero before version 5 */
    uint64_t current_mit_vector;
    uint8_t r[48]; /* little-endian, in [1, n-1] of P-384 */
    uint8_t s[48];
};

/* Parses and checks the format. DENIED with a verdict (may be NULL) otherwise: SNP-LENGTH,
 * SNP-VERSION, SNP-ALGO, SNP-KEY-INFO, SNP-MASK-CHIP-KEY, SNP-SIGNING-KEY, SNP-RESERVED,
 * SNP-POLICY-RESERVED, SNP-VMPL, SNP-SIGNATURE-RANGE. PLATFORM_INFO is taken as it is: AMD adds
 * bits without a new version, so what an unknown one means is a matter of policy (snp_policy.h). */
RESULT snp_report_parse(struct span bytes, struct snp_report *out, struct verdict *verdict,
                        struct err *err);

/* Reads the fields and judges nothing: for showing a report that parse refuses. */
void snp_report_load(const uint8_t bytes[SNP_REPORT_SIZE], struct snp_report *out);

/* Writes the report as firmware does; r and s as they are (zero before signing). What parse accepts
 * comes back byte for byte. */
void snp_report_encode(const struct snp_report *report, uint8_t out[SNP_REPORT_SIZE]);

/* KEY_INFO bits 4:2. */
enum snp_signing_key snp_report_signing_key(const struct snp_report *report);

#endif
