/* OVMF launches: see ovmf_launch.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/launch/ovmf_launch.h"

#include <string.h>

#define GUID_SIZE 16
#define HASH_ENTRY_SIZE (GUID_SIZE + 2 + 32)
#define HASH_TABLE_SIZE (GUID_SIZE + 2 + 3 * HASH_ENTRY_SIZE) /* 0xA8 */
#define HASH_TABLE_PADDED ((HASH_TABLE_SIZE + 15) / 16 * 16)

/* As they are stored: 9438d606-..., 97d02dd8-..., 44baf731-..., 4de79437-... (QEMU, target/i386,
 * and edk2, OvmfPkg/AmdSev). */
static const uint8_t GUID_TABLE[GUID_SIZE] = {0x06, 0xd6, 0x38, 0x94, 0x22, 0x4f, 0xc9, 0x4c,
                                              0xb4, 0x79, 0xa7, 0x93, 0xd4, 0x11, 0xfd, 0x21};
static const uint8_t GUID_CMDLINE[GUID_SIZE] = {0xd8, 0x2d, 0xd0, 0x97, 0x20, 0xbd, 0x94, 0x4c,
                                                0xaa, 0x78, 0xe7, 0x71, 0x4d, 0x36, 0xab, 0x2a};
static const uint8_t GUID_INITRD[GUID_SIZE] = {0x31, 0xf7, 0xba, 0x44, 0x2f, 0x3a, 0xd7, 0x4b,
                                               0x9a, 0xf1, 0x41, 0xe2, 0x91, 0x69, 0x78, 0x1d};
static const uint8_t GUID_KERNEL[GUID_SIZE] = {0x37, 0x94, 0xe7, 0x4d, 0xd2, 0xab, 0x7f, 0x42,
                                               0xb8, 0x35, 0xd5, 0xb1, 0x72, 0xd2, 0x04, 0x5b};

static uint8_t *put_head(uint8_t *at, const uint8_t *guid, uint16_t size) {
    memcpy(at, guid, GUID_SIZE);
    at[GUID_SIZE] = (uint8_t)size;
    at[GUID_SIZE + 1] = (uint8_t)(size >> 8);
    return at + GUID_SIZE + 2;
}

static uint8_t *put_hash(uint8_t *at, const uint8_t *guid, const uint8_t hash[32]) {
    at = put_head(at, guid, HASH_ENTRY_SIZE);
    memcpy(at, hash, 32);
    return at + 32;
}

static RESULT add_kernel(const struct ovmf *o, const struct ovmf_section *section,
                         const struct ovmf_kernel *kernel, struct launch_digest *d,
                         struct err *err) {
    uint8_t page[LAUNCH_PAGE_SIZE] = {0};
    uint32_t offset = o->hash_table_gpa % LAUNCH_PAGE_SIZE;
    ENSURE(o->has_hash_table && o->hash_table_gpa - offset == section->gpa, err, INVALID,
           "the image names no place for the kernel's hashes in its KERNEL_HASHES page 0x%x",
           section->gpa);
    ENSURE(offset <= LAUNCH_PAGE_SIZE - HASH_TABLE_PADDED, err, INVALID,
           "the kernel's hashes at 0x%x do not fit their page", o->hash_table_gpa);
    uint8_t *at = put_head(page + offset, GUID_TABLE, HASH_TABLE_SIZE);
    at = put_hash(at, GUID_CMDLINE, kernel->cmdline);
    at = put_hash(at, GUID_INITRD, kernel->initrd);
    (void)put_hash(at, GUID_KERNEL, kernel->kernel);
    launch_digest_add_page(d, LAUNCH_PAGE_NORMAL, section->gpa, page);
    return OK;
}

static RESULT add_section(const struct ovmf *o, const struct ovmf_section *section,
                          const struct ovmf_launch *launch, struct launch_digest *d,
                          struct err *err) {
    enum launch_page type = LAUNCH_PAGE_ZERO;
    switch (section->type) {
    case OVMF_SEC_MEM:
        type = launch->vmsa.vmm == VMSA_GCE ? LAUNCH_PAGE_UNMEASURED : LAUNCH_PAGE_ZERO;
        break;
    case OVMF_SECRETS:
        type = LAUNCH_PAGE_SECRETS;
        break;
    case OVMF_CPUID:
        type = LAUNCH_PAGE_CPUID;
        break;
    case OVMF_KERNEL_HASHES:
        if (launch->kernel != NULL) {
            return add_kernel(o, section, launch->kernel, d, err);
        }
        break;
    case OVMF_SVSM_CAA:
        break;
    }
    launch_digest_add_range(d, type, section->gpa, section->size);
    return OK;
}

static RESULT add_sections(const struct ovmf *o, const struct ovmf_launch *launch,
                           struct launch_digest *d, struct err *err) {
    bool cpuid_last = launch->vmsa.vmm == VMSA_EC2 || launch->vmsa.vmm == VMSA_EC2_RDX_ZERO;
    for (size_t i = 0; i < o->section_count; i++) {
        if (!cpuid_last || o->sections[i].type != OVMF_CPUID) {
            TRY(add_section(o, &o->sections[i], launch, d, err));
        }
    }
    for (size_t i = 0; cpuid_last && i < o->section_count; i++) {
        if (o->sections[i].type == OVMF_CPUID) {
            TRY(add_section(o, &o->sections[i], launch, d, err));
        }
    }
    return OK;
}

static void add_vmsas(const struct ovmf *o, const struct ovmf_launch *launch,
                      struct launch_digest *d) {
    uint8_t page[LAUNCH_PAGE_SIZE];
    vmsa_encode(&launch->vmsa, VMSA_RESET_EIP, page);
    launch_digest_add_page(d, LAUNCH_PAGE_VMSA, LAUNCH_VMSA_GPA, page);
    vmsa_encode(&launch->vmsa, o->reset_eip, page);
    for (uint32_t i = 1; i < launch->vcpus; i++) {
        launch_digest_add_page(d, LAUNCH_PAGE_VMSA, LAUNCH_VMSA_GPA, page);
    }
}

/* Every processor of an SVSM starts at its entry point. */
static void add_svsm_vmsas(const struct ovmf *svsm, const struct ovmf_launch *launch,
                           struct launch_digest *d) {
    uint8_t page[LAUNCH_PAGE_SIZE];
    vmsa_encode_svsm(launch->vmsa.cpu_signature, (uint32_t)(svsm->gpa + svsm->svsm_entry), page);
    for (uint32_t i = 0; i < launch->vcpus; i++) {
        launch_digest_add_page(d, LAUNCH_PAGE_VMSA, LAUNCH_VMSA_GPA, page);
    }
}

static RESULT check_launch(const struct ovmf *o, const struct ovmf_launch *launch,
                           struct err *err) {
    ENSURE(launch->vcpus >= 1 && launch->vcpus <= LIMIT_LAUNCH_VCPUS, err, INVALID,
           "%u vCPUs, want 1 to %d", launch->vcpus, LIMIT_LAUNCH_VCPUS);
    if (launch->svsm != NULL) {
        ENSURE(launch->vmsa.vmm == VMSA_QEMU, err, INVALID, "an SVSM is known under QEMU only");
        ENSURE(launch->kernel == NULL, err, INVALID,
               "no place for a kernel's hashes is known in a launch with an SVSM");
        ENSURE(launch->svsm->has_svsm_entry, err, INVALID,
               "the SVSM's table has no entry point (a789a612-...): is it an SVSM?");
        ENSURE(launch->svsm->svsm_entry < launch->svsm->image.size, err, INVALID,
               "the SVSM's entry point 0x%x is outside of it", launch->svsm->svsm_entry);
        return OK;
    }
    ENSURE(launch->vcpus == 1 || (o->has_reset_eip && o->reset_eip != 0), err, INVALID,
           "the image has no reset vector for a second vCPU (00f771de-...): it knows no SEV-ES");
    ENSURE(launch->kernel == NULL || ovmf_find_section(o, OVMF_KERNEL_HASHES) != NULL, err, INVALID,
           "a kernel is given, and the image has no KERNEL_HASHES section: take an image built "
           "from OvmfPkg/AmdSev, or leave the kernel out");
    return OK;
}

RESULT ovmf_launch_digest(const struct ovmf *o, const struct ovmf_launch *launch,
                          struct launch_digest *out, struct err *err) {
    TRY(check_launch(o, launch, err));
    struct launch_digest d = {{0}};
    if (launch->image_digest != NULL) {
        memcpy(d.value, launch->image_digest, LAUNCH_DIGEST_SIZE);
    } else {
        launch_digest_add_image(&d, o->gpa, o->image);
    }
    if (launch->svsm != NULL) {
        launch_digest_add_image(&d, launch->svsm->gpa, launch->svsm->image);
        TRY(add_sections(launch->svsm, launch, &d, err));
        add_svsm_vmsas(launch->svsm, launch, &d);
    } else {
        TRY(add_sections(o, launch, &d, err));
        add_vmsas(o, launch, &d);
    }
    *out = d;
    return OK;
}
