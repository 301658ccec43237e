/* IGVM measurement: the launch digest of a guest that a loader starts from an IGVM file.
 *
 *   headers -> rules (igvm_rules.h) -> walk the directives of the SEV-SNP platform in file order,
 *   read each page where the file has it, chain it -> compare with the file's ID block
 *
 * Memory is bounded by LIMIT_IGVM_HEADERS whatever the size of the file: pages are read one by one.
 * There are two readings of the format, that of the igvm crate (microsoft/igvm, OpenVMM) and that
 * of igvmmeasure (COCONUT-SVSM). `digest` is the crate's. Where a file would measure otherwise
 * under igvmmeasure's, `differences` says why and `other_digest` is that one.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_IGVM_H
#define CONTRAST_IGVM_H

#include "attest/launch/igvm_rules.h"
#include "attest/launch/launch_digest.h"

/* Bit per rule in which the two readings part. */
enum igvm_difference {
    IGVM_DIFFERS_AREA = 1,       /* a parameter area of several pages: igvmmeasure takes one page */
    IGVM_DIFFERS_SHARED = 2,     /* shared pages: igvmmeasure measures them */
    IGVM_DIFFERS_CONTEXT = 4,    /* VP contexts of another platform: igvmmeasure measures them */
    IGVM_DIFFERS_2M = 8,         /* 2 MiB pages: igvmmeasure measures all 512 parts of them */
    IGVM_DIFFERS_KVM_COUNT = 16, /* several VMSAs at KVM's address: KVM takes one from the file */
    IGVM_DIFFERS_KVM_ORDER = 32, /* pages behind a VMSA at KVM's address: KVM measures that last */
    IGVM_DIFFERS_MOVED = 64,     /* a relocatable region: a loader may place pages elsewhere */
};
/* Those in which the two tools part, not the hypervisors. */
#define IGVM_DIFFERS_TOOLS 15

struct igvm_measurement {
    struct launch_digest digest;       /* by the igvm crate's rules */
    struct launch_digest other_digest; /* by igvmmeasure's; equal without a difference */
    unsigned differences;              /* bits of enum igvm_difference */
    uint32_t format_version;
    uint32_t mask;   /* the SEV-SNP platform */
    uint64_t policy; /* GUEST_POLICY */
    uint32_t vcpus;  /* VMSAs in the file; under KVM further vCPUs are not in it */
    uint64_t pages;  /* in the chain of `digest` */
    size_t skipped;  /* optional headers of unknown types, which the igvm crate refuses */
    bool has_id_block;
    struct igvm_id_block id_block;
};

/* Measures the SEV-SNP platform with this compatibility mask; 0 = the only one of the file.
 * MALFORMED or INVALID name the header and the rule; IO as the source has it. Does not compare the
 * ID block: igvm_check_id_block. */
RESULT igvm_measure(const struct launch_source *source, uint32_t mask, struct igvm_measurement *out,
                    struct err *err);

/* DIFFERS with both digests when the file's ID block was made for another launch digest. OK without
 * an ID block. */
RESULT igvm_check_id_block(const struct igvm_measurement *m, struct err *err);

/* One sentence for one bit. */
const char *igvm_difference_text(enum igvm_difference difference);

#endif
