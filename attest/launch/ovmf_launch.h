/* OVMF launches: the digest of a guest that starts from a firmware image, as sev-snp-measure and
 * its relatives compute it.
 *
 *   image's pages -> sections of the SEV metadata in order -> one VMSA per vCPU
 *
 * With a kernel, the hypervisor puts the SHA-256 of kernel, initrd and command line into the page
 * of the KERNEL_HASHES section, so that they are measured too. With an SVSM its pages follow those
 * of the firmware, and sections and VMSA are the SVSM's. EC2 places CPUID pages last; GCE leaves
 * SEC_MEM unmeasured. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_OVMF_LAUNCH_H
#define CONTRAST_OVMF_LAUNCH_H

#include "attest/launch/ovmf.h"
#include "attest/launch/vmsa.h"

/* SHA-256 of each; an absent initrd counts as empty, a command line has its NUL. */
struct ovmf_kernel {
    uint8_t kernel[32];
    uint8_t initrd[32];
    uint8_t cmdline[32];
};

struct ovmf_launch {
    uint32_t vcpus; /* 1..LIMIT_LAUNCH_VCPUS */
    struct vmsa_config vmsa;
    const struct ovmf_kernel *kernel; /* NULL: booted from a disk */
    const struct ovmf *svsm;          /* NULL: none */
    /* Digest of the image's pages alone, in place of the image; NULL: computed. */
    const uint8_t *image_digest;
};

/* INVALID when the image cannot be launched so: a kernel without a place for its hashes, several
 * vCPUs without a reset vector, an SVSM without an entry point. */
RESULT ovmf_launch_digest(const struct ovmf *o, const struct ovmf_launch *launch,
                          struct launch_digest *out, struct err *err);

#endif
