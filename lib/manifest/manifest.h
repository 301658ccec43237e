/* Manifest: what a deployment is made of. Field names are upstream Contrast's where it has them.
 *
 *   {"Policies": {"<64 hex>": {"SANs": ["web"], "WorkloadSecretID": "default/Deployment/web",
 *                              "Role": "coordinator"}},
 *    "ReferenceValues": {"snp": [{"ProductName": "Milan", "TrustedMeasurement": "<96 hex>",
 *        "MinimumTCB": {"BootloaderVersion": 4, "TEEVersion": 0, "SNPVersion": 24,
 *                       "MicrocodeVersion": 219}, "GuestPolicy": {...}, "AllowedChipIDs": [...],
 *        "SimulatedRoots": ["<64 hex: SHA-256 of an ARK's SubjectPublicKeyInfo>"]}]},
 *    "WorkloadOwnerKeyDigests": ["<64 hex: SHA-256 of the key's SubjectPublicKeyInfo>"],
 *    "SeedshareOwnerPubKeys": ["<hex of a PKCS#1 RSA public key>"], "SeedShareOwnerThreshold": 1,
 *    "AutoRecovery": false}
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
enum crl_policy {
    CRL_OFF,     /* a list is not demanded; what a valid one revokes is refused all the same */
    CRL_REQUIRE, /* a valid list, current at the time of judging */
    CRL_GRACE,   /* one that ran out at most crl_grace_hours ago */
};

/* PLATFORM_INFO bits whose meaning this version knows (AMD 56860 table 24): 7:0. */
#define SNP_PLATFORM_KNOWN UINT64_C(0xFF)

/* Firmware version as CURRENT_MAJOR.CURRENT_MINOR.CURRENT_BUILD. */
struct snp_firmware {
    uint8_t build;
    uint8_t minor;
    uint8_t major;
};

/* In the order of the checks, not of alignment: there are at most LIMIT_REFERENCE_VALUES.
 * NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding) */
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
    bool masked_chip_allowed; /* a VCEK's report with a zero CHIP_ID; its hwID is the machine */
    char **csp_ids;           /* providers whose VLEK is taken; empty = no VLEK at all */
    size_t csp_id_count;
    uint64_t platform_required;  /* PLATFORM_INFO bits that must be set */
    uint64_t platform_forbidden; /* ... that must be clear; by default those this version does not
                                    know */
    uint64_t minimum_mitigation; /* bits of LAUNCH_ and CURRENT_MIT_VECTOR that must be set */
    uint32_t vmpl;               /* exactly; 0..3 */
    uint32_t minimum_guest_svn;
    bool has_family_id;
    uint8_t family_id[16];
    bool has_image_id;
    uint8_t image_id[16];
    uint8_t (*id_key_digests)[48]; /* any one; empty = the report's must be zero: no ID block */
    size_t id_key_digest_count;
    uint8_t (*author_key_digests)[48]; /* the same for the author key */
    size_t author_key_digest_count;
    struct snp_firmware minimum_firmware; /* for CURRENT and COMMITTED */
    bool committed_is_current;            /* refuse provisional firmware */
    enum crl_policy crl;
    uint32_t crl_grace_hours;
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
    size_t share_threshold; /* so many of them together may recover: 1..count, n / 2 + 1 where the
                               manifest does not say; 0 without share owners */
    bool auto_recovery;     /* a whole cluster may restart without people */
    uint8_t hash[32];       /* SHA-256 of the exact bytes */
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
