/* VMSA: the page with a vCPU's first registers, as each hypervisor writes it, and the names under
 * which QEMU knows AMD's processors.
 *
 * Only what a launch measures; the layout is AMD APM volume 2, table B-4, offsets in vmsa.c. One
 * hypervisor's registers differ from another's, so the digest depends on all of: number of vCPUs,
 * CPU signature (rdx under QEMU), SEV features, hypervisor. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_VMSA_H
#define CONTRAST_VMSA_H

#include "attest/launch/launch_digest.h"

enum vmsa_vmm {
    VMSA_QEMU,
    VMSA_EC2,          /* rdx 0x600, as sev-snp-measure has it */
    VMSA_EC2_RDX_ZERO, /* rdx 0, as the Rust crate sev has it: two tools, one of them wrong */
    VMSA_GCE,
};

/* EIP of the first processor after reset. */
#define VMSA_RESET_EIP 0xFFFFFFF0U

struct vmsa_config {
    enum vmsa_vmm vmm;
    uint32_t cpu_signature; /* CPUID Fn0000_0001_EAX; counts under QEMU only */
    uint64_t sev_features;  /* SEV_FEATURES of the guest: bit 0 SNP, bit 5 debug swap */
};

/* The 4096 bytes of a processor that starts at `eip` in real mode. */
void vmsa_encode(const struct vmsa_config *config, uint32_t eip, uint8_t out[LAUNCH_PAGE_SIZE]);
/* The page of a processor that starts an SVSM under QEMU: protected mode, paging off, at `eip`. Its
 * SEV features are always these, whatever the guest behind the SVSM gets. */
#define VMSA_SVSM_FEATURES 1
void vmsa_encode_svsm(uint32_t cpu_signature, uint32_t eip, uint8_t out[LAUNCH_PAGE_SIZE]);

/* CPUID Fn0000_0001_EAX of family, model and stepping (AMD 25481). */
uint32_t vmsa_cpu_signature(uint32_t family, uint32_t model, uint32_t stepping);
/* The signature of a CPU model of QEMU: "EPYC", "EPYC-v4", "EPYC-Milan-v2" ... Upper and lower case
 * are the same. USAGE with all names for another one. */
RESULT vmsa_cpu_find(const char *name, uint32_t *signature, struct err *err);
/* "qemu", "ec2" or "gce"; USAGE for another one. */
RESULT vmsa_vmm_find(const char *name, enum vmsa_vmm *vmm, struct err *err);

#endif
