/* Manifest: what a deployment is made of. Field names are upstream Contrast's where it has them.
 *
 *   {"Policies": {"<64 hex>": {"SANs": ["web"], "WorkloadSecretID": "default/Deployment/web",
 *                              "Role": "coordinator"}},
 *    "ReferenceValues": {"snp": [{"ProductName": "Milan", "TrustedMeasurement": "<96 hex>",
 *        "MinimumTCB": {"BootloaderVersion": 4, "TEEVersion": 0, "SNPVersion": 24,
 *                       "MicrocodeVersion": 219}, "GuestPolicy": {...}, "AllowedChipIDs": [...],
 *        "SimulatedRoots": ["<64 hex: SHA-256 of an ARK's SubjectPublicKeyInfo>"]}]},
 *    "WorkloadOwnerKeyDigests": ["<64 hex: SHA-256 of the key's SubjectPublicKeyInfo>"],
 *    "SeedshareOwnerPubKeys": ["<hex of a PKCS#1 RSA public key>"]}
 *
 * The exact bytes are the manifest: they are stored, hashed and compared, never re-encoded.
 * Parsing is strict: duplicate keys, unknown fields, wrong types and values that cannot be checked
 * are errors that name the JSON path ("ReferenceValues.snp[0].MinimumTCB.SNPVersion: ...").
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_MANIFEST_H
#define CONTRAST_MANIFEST_H

#include "lib/base/bytes.h"
#include "lib/base/mem.h"

enum snp_product { SNP_PRODUCT_UNKNOWN, SNP_MILAN, SNP_GENOA, SNP_TURIN };
const char *snp_product_name(enum snp_product p); /* "Milan" ... */

/* One security version per component; fmc only on Turin (AMD 56860 section 2.2). */
struct snp_tcb {
    uint8_t fmc;
    uint8_t bootloader;
    uint8_t tee;
    uint8_t snp;
    uint8_t microcode;
};

/* One set of reference values: a report must match all of one set. */
struct snp_reference {
    enum snp_product product;
    uint8_t measurement[48];
    struct snp_tcb minimum_tcb; /* holds for REPORTED, COMMITTED, CURRENT and LAUNCH */
    uint64_t policy_allowed;    /* permission bits of POLICY that may be set: SMT 16, MIGRATE_MA 18,
                                   DEBUG 19, CXL_ALLOW 21 */
    uint64_t policy_required;   /* restriction bits that must be set: 20, 22..25 */
    uint8_t policy_abi_major;   /* minimum ABI that the guest policy must demand */
    uint8_t policy_abi_minor;
    uint8_t (*chip_ids)[64]; /* allow list; empty = any */
    size_t chip_id_count;
    uint8_t (*simulated_roots)[32]; /* SHA-256 of the SPKI of roots not AMD's; normally empty */
    size_t simulated_root_count;
};

enum policy_role { ROLE_WORKLOAD, ROLE_COORDINATOR };

struct policy_entry {
    uint8_t hash[32]; /* SHA-256 of the policy document = HOST_DATA */
    char **sans;      /* DNS names, "*", IP addresses, URIs */
    size_t san_count;
    char *workload_secret_id; /* "" = none */
    enum policy_role role;
};

struct manifest {
    struct policy_entry *policies; /* sorted by hash */
    size_t policy_count;
    struct snp_reference *references; /* at least one */
    size_t reference_count;
    uint8_t (*owner_digests)[32]; /* sorted; empty = no further updates */
    size_t owner_count;
    struct span *share_owners; /* PKCS#1 DER */
    size_t share_owner_count;
    uint8_t hash[32]; /* SHA-256 of the exact bytes */
    struct arena arena;
};

/* A zeroed manifest is valid for deinit. */
void manifest_deinit(struct manifest *m);

/* Parses and validates. MANIFEST with one line per problem joined by "; ". Refuses JSON null, empty
 * input and anything over LIMIT_MANIFEST_SET before parsing. Server and client call the same. */
RESULT manifest_parse(struct span json, struct manifest *out, struct err *err);

/* NULL when no policy has this hash. */
const struct policy_entry *manifest_find_policy(const struct manifest *m, const uint8_t hash[32]);
bool manifest_has_owner(const struct manifest *m, const uint8_t digest[32]);

/* SHA-256 over the concatenated policy hashes in ascending order. */
void manifest_policies_hash(const struct manifest *m, uint8_t out[32]);

#endif
