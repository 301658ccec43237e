/* VMSA: see vmsa.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/launch/vmsa.h"

#include <string.h>
#include <strings.h>

/* AMD APM volume 2, table B-4: offsets in the page. A segment register is u16 selector, u16
 * attributes, u32 limit, u64 base. */
enum vmsa_offset {
    AT_ES = 0x00,
    AT_CS = 0x10,
    AT_SS = 0x20,
    AT_DS = 0x30,
    AT_FS = 0x40,
    AT_GS = 0x50,
    AT_GDTR = 0x60,
    AT_LDTR = 0x70,
    AT_IDTR = 0x80,
    AT_TR = 0x90,
    AT_EFER = 0xD0,
    AT_CR4 = 0x148,
    AT_CR0 = 0x158,
    AT_DR7 = 0x160,
    AT_DR6 = 0x168,
    AT_RFLAGS = 0x170,
    AT_RIP = 0x178,
    AT_G_PAT = 0x268,
    AT_RDX = 0x310,
    AT_SEV_FEATURES = 0x3B0,
    AT_XCR0 = 0x3E8,
    AT_MXCSR = 0x408,
    AT_X87_FCW = 0x410,
};

#define PAT_RESET UINT64_C(0x0007040600070406) /* APM volume 2, section 7.8.2 */
#define PAT_GCE UINT64_C(0x0000000000070106)
#define RDX_EC2 0x600
#define MXCSR_RESET 0x1F80

static void put_segment(uint8_t *page, enum vmsa_offset at, uint16_t selector, uint16_t attributes,
                        uint32_t limit, uint64_t base) {
    store_u32le(page + at, (uint32_t)attributes << 16 | selector);
    store_u32le(page + at + 4, limit);
    store_u64le(page + at + 8, base);
}

/* What every hypervisor on KVM has in common. */
static void put_common(uint8_t *page, uint64_t sev_features) {
    put_segment(page, AT_GDTR, 0, 0, 0xFFFF, 0);
    put_segment(page, AT_IDTR, 0, 0, 0xFFFF, 0);
    put_segment(page, AT_LDTR, 0, 0x82, 0xFFFF, 0);
    store_u64le(page + AT_EFER, 0x1000); /* SVME */
    store_u64le(page + AT_CR4, 0x40);    /* MCE */
    store_u64le(page + AT_DR7, 0x400);
    store_u64le(page + AT_DR6, 0xFFFF0FF0);
    store_u64le(page + AT_RFLAGS, 2);
    store_u64le(page + AT_G_PAT, PAT_RESET);
    store_u64le(page + AT_SEV_FEATURES, sev_features);
    store_u64le(page + AT_XCR0, 1);
}

static void put_fpu(uint8_t *page) {
    store_u32le(page + AT_MXCSR, MXCSR_RESET);
    store_u32le(page + AT_X87_FCW, 0x37F);
}

void vmsa_encode(const struct vmsa_config *config, uint32_t eip, uint8_t out[LAUNCH_PAGE_SIZE]) {
    bool is_ec2 = config->vmm == VMSA_EC2 || config->vmm == VMSA_EC2_RDX_ZERO;
    memset(out, 0, LAUNCH_PAGE_SIZE);
    put_common(out, config->sev_features);
    static const enum vmsa_offset data[] = {AT_ES, AT_DS, AT_FS, AT_GS};
    for (size_t i = 0; i < sizeof data / sizeof data[0]; i++) {
        put_segment(out, data[i], 0, 0x93, 0xFFFF, 0);
    }
    uint16_t code = is_ec2 && eip == VMSA_RESET_EIP ? 0x9A : 0x9B;
    put_segment(out, AT_CS, 0xF000, code, 0xFFFF, eip & 0xFFFF0000);
    put_segment(out, AT_SS, 0, is_ec2 ? 0x92 : 0x93, 0xFFFF, 0);
    put_segment(out, AT_TR, 0, is_ec2 ? 0x83 : 0x8B, 0xFFFF, 0);
    store_u64le(out + AT_CR0, 0x10); /* ET */
    store_u64le(out + AT_RIP, eip & 0xFFFF);
    switch (config->vmm) {
    case VMSA_QEMU:
        store_u64le(out + AT_RDX, config->cpu_signature);
        put_fpu(out);
        break;
    case VMSA_EC2:
        store_u64le(out + AT_RDX, RDX_EC2);
        break;
    case VMSA_EC2_RDX_ZERO:
        break;
    case VMSA_GCE:
        store_u64le(out + AT_RDX, RDX_EC2);
        store_u64le(out + AT_G_PAT, PAT_GCE);
        break;
    }
}

void vmsa_encode_svsm(uint32_t cpu_signature, uint32_t eip, uint8_t out[LAUNCH_PAGE_SIZE]) {
    memset(out, 0, LAUNCH_PAGE_SIZE);
    put_common(out, VMSA_SVSM_FEATURES);
    static const enum vmsa_offset data[] = {AT_ES, AT_SS, AT_DS, AT_FS};
    for (size_t i = 0; i < sizeof data / sizeof data[0]; i++) {
        put_segment(out, data[i], 0x10, 0xC93, 0xFFFFFFFF, 0);
    }
    put_segment(out, AT_CS, 0x08, 0xC9B, 0xFFFFFFFF, 0);
    put_segment(out, AT_GS, 0, 0x93, 0xFFFF, 0);
    put_segment(out, AT_TR, 0, 0x8B, 0xFFFF, 0);
    store_u64le(out + AT_CR0, 0x11); /* ET, PE */
    store_u64le(out + AT_RIP, eip);
    store_u64le(out + AT_RDX, cpu_signature);
    store_u32le(out + AT_MXCSR, MXCSR_RESET);
}

uint32_t vmsa_cpu_signature(uint32_t family, uint32_t model, uint32_t stepping) {
    uint32_t base = family > 0xF ? 0xF : family;
    uint32_t extended = family > 0xF ? (family - 0xF) & 0xFF : 0;
    return extended << 20 | (model >> 4 & 0xF) << 16 | base << 8 | (model & 0xF) << 4 |
           (stepping & 0xF);
}

/* QEMU's models of EPYC and what they answer to CPUID: a version of a model has other features, and
 * the same signature. */
static const struct cpu {
    const char *name;
    uint8_t family;
    uint8_t model;
    uint8_t stepping;
} CPUS[] = {
    {"EPYC", 23, 1, 2},           {"EPYC-v1", 23, 1, 2},        {"EPYC-v2", 23, 1, 2},
    {"EPYC-IBPB", 23, 1, 2},      {"EPYC-v3", 23, 1, 2},        {"EPYC-v4", 23, 1, 2},
    {"EPYC-v5", 23, 1, 2},        {"EPYC-Rome", 23, 49, 0},     {"EPYC-Rome-v1", 23, 49, 0},
    {"EPYC-Rome-v2", 23, 49, 0},  {"EPYC-Rome-v3", 23, 49, 0},  {"EPYC-Rome-v4", 23, 49, 0},
    {"EPYC-Rome-v5", 23, 49, 0},  {"EPYC-Milan", 25, 1, 1},     {"EPYC-Milan-v1", 25, 1, 1},
    {"EPYC-Milan-v2", 25, 1, 1},  {"EPYC-Milan-v3", 25, 1, 1},  {"EPYC-Genoa", 25, 17, 0},
    {"EPYC-Genoa-v1", 25, 17, 0}, {"EPYC-Genoa-v2", 25, 17, 0}, {"EPYC-Turin", 26, 0, 0},
    {"EPYC-Turin-v1", 26, 0, 0},
};

RESULT vmsa_cpu_find(const char *name, uint32_t *signature, struct err *err) {
    AUTO(buf_deinit)
    struct buf names = {0};
    for (size_t i = 0; i < sizeof CPUS / sizeof CPUS[0]; i++) {
        if (strcasecmp(CPUS[i].name, name) == 0) {
            *signature = vmsa_cpu_signature(CPUS[i].family, CPUS[i].model, CPUS[i].stepping);
            return OK;
        }
        buf_appendf(&names, "%s%s", i > 0 ? ", " : "", CPUS[i].name);
    }
    return err_set(err, ERR_USAGE,
                   "'%s' is no CPU model that is known here (%s); give the signature that the "
                   "guest sees in CPUID leaf 1, EAX",
                   name, buf_cstr(&names));
}

RESULT vmsa_vmm_find(const char *name, enum vmsa_vmm *vmm, struct err *err) {
    static const struct {
        const char *name;
        enum vmsa_vmm vmm;
    } rows[] = {{"qemu", VMSA_QEMU}, {"ec2", VMSA_EC2}, {"gce", VMSA_GCE}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcasecmp(rows[i].name, name) == 0) {
            *vmm = rows[i].vmm;
            return OK;
        }
    }
    return err_set(err, ERR_USAGE, "'%s' is no hypervisor that is known here: qemu, ec2 or gce",
                   name);
}
