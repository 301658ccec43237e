/* OVMF images: the table at the end of a firmware file that tells a hypervisor how to launch it
 * under SEV-SNP. The SVSM of COCONUT ends with the same table.
 *
 *   ... entries | u16 size of all, GUID 96b582de-... | 32 bytes        <- end of the file
 *   entry = data, u16 size of the entry, GUID; read from the last to the first
 *
 *   dc886566-...  u32 offset from the end of the file of {"ASEV", u32 size, u32 version 1,
 *                 u32 count, count of {u32 gpa, u32 size, u32 type}}: the pages to prepare
 *   00f771de-...  u32 EIP of the application processors
 *   7255371f-...  u32 gpa, u32 size of the table with the hashes of kernel, initrd, command line
 *   a789a612-...  u32 entry point of an SVSM, from its start
 *
 * GUIDs are stored with their first three numbers little-endian (UEFI 2.10, appendix A). Total and
 * pure: any bytes give a value or MALFORMED. What a hypervisor could not do is refused: pages
 * beside page boundaries or above 4 GiB, two entries of one kind, more than LIMIT_OVMF_SECTIONS.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_OVMF_H
#define CONTRAST_OVMF_H

#include "lib/base/bytes.h"
#include "lib/base/limits.h"

enum ovmf_section_type {
    OVMF_SEC_MEM = 1,
    OVMF_SECRETS = 2,
    OVMF_CPUID = 3,
    OVMF_SVSM_CAA = 4,
    OVMF_KERNEL_HASHES = 0x10,
};

struct ovmf_section {
    uint32_t gpa;  /* multiple of 4096 */
    uint32_t size; /* bytes: a multiple of 4096, not 0; one page but for SEC_MEM */
    enum ovmf_section_type type;
};

struct ovmf {
    struct span image;                                 /* borrowed; a multiple of 4096 bytes */
    uint64_t gpa;                                      /* where its first byte lies */
    struct ovmf_section sections[LIMIT_OVMF_SECTIONS]; /* in file order */
    size_t section_count;
    bool has_reset_eip;
    uint32_t reset_eip;
    bool has_hash_table;
    uint32_t hash_table_gpa;
    bool has_svsm_entry;
    uint32_t svsm_entry; /* bytes from the start of the image */
};

/* Reads the table of an image that ends at `end_gpa` (4 GiB for firmware). Borrows `image`. */
RESULT ovmf_parse(struct span image, uint64_t end_gpa, struct ovmf *out, struct err *err);

/* The first section of a type; NULL without one. */
const struct ovmf_section *ovmf_find_section(const struct ovmf *o, enum ovmf_section_type type);

#endif
