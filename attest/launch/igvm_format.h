/* IGVM format: the headers of an Independent Guest Virtual Machine file, one after the other.
 *
 *   fixed header: "IGVM", u32 format version 1 | 2, u32 offset and u32 size of the variable
 * headers, u32 total size, u32 CRC-32; version 2 adds u32 architecture, u32 page size variable
 * header: u32 type, u32 length, content, zeros to a multiple of 8 types 0x001..0x100 platform, then
 * 0x101..0x200 initialization, then 0x301..0x400 directives; bit 31: optional, skipped by who does
 * not know it file data: anywhere behind the variable headers
 *
 * The checksum covers the fixed header (its own field zero) and the variable headers, not the data.
 * Reading checks magic, versions, sizes, checksum and that headers follow one another without a
 * gap; what a header says is judged in igvm_rules.c. Facts: igvm_defs of microsoft/igvm.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_IGVM_FORMAT_H
#define CONTRAST_IGVM_FORMAT_H

#include "attest/launch/launch_file.h"

#define IGVM_MAGIC "IGVM"
#define IGVM_OPTIONAL 0x80000000U

enum igvm_type {
    IGVM_SUPPORTED_PLATFORM = 0x001,
    IGVM_GUEST_POLICY = 0x101,
    IGVM_RELOCATABLE_REGION = 0x102,
    IGVM_PAGE_TABLE_RELOCATION = 0x103,
    IGVM_PARAMETER_AREA = 0x301,
    IGVM_PAGE_DATA = 0x302,
    IGVM_PARAMETER_INSERT = 0x303,
    IGVM_VP_CONTEXT = 0x304,
    IGVM_REQUIRED_MEMORY = 0x305,
    IGVM_VP_COUNT = 0x307,
    IGVM_SRAT = 0x308,
    IGVM_MADT = 0x309,
    IGVM_MMIO_RANGES = 0x30A,
    IGVM_SNP_ID_BLOCK = 0x30B,
    IGVM_MEMORY_MAP = 0x30C,
    IGVM_ERROR_RANGE = 0x30D,
    IGVM_COMMAND_LINE = 0x30E,
    IGVM_SLIT = 0x30F,
    IGVM_PPTT = 0x310,
    IGVM_VBS_MEASUREMENT = 0x311,
    IGVM_DEVICE_TREE = 0x312,
    IGVM_ENVIRONMENT_INFO = 0x313,
};

/* All variable headers of a file, in memory: at most LIMIT_IGVM_HEADERS bytes. */
struct igvm_headers {
    struct buf bytes;        /* owned */
    uint32_t format_version; /* 1 or 2 */
    uint64_t offset;         /* of the first one in the file */
    uint64_t file_size;      /* bytes */
};

/* One variable header. */
struct igvm_header {
    size_t index;           /* from 0 */
    uint32_t type;          /* without IGVM_OPTIONAL; often an enum igvm_type */
    bool is_optional;       /* IGVM_OPTIONAL was set */
    uint64_t offset;        /* of its first byte in the file */
    const uint8_t *content; /* borrowed from the igvm_headers */
    uint32_t length;        /* bytes of content, without padding */
};

/* Where a walk over the headers stands; zeroed: at the first. */
struct igvm_cursor {
    size_t at; /* bytes */
    size_t index;
};

/* True when these first bytes of a file (4 or more) are an IGVM file's. */
bool igvm_format_is(struct span file);

/* Reads fixed and variable headers. MALFORMED names the field; IO as the source has it. */
RESULT igvm_headers_read(const struct launch_source *source, struct igvm_headers *out,
                         struct err *err);
void igvm_headers_deinit(struct igvm_headers *h); /* accepts zeroed */

/* True and the next header in *out; false at the end. MALFORMED for one that does not fit. */
RESULT igvm_headers_next(const struct igvm_headers *h, struct igvm_cursor *cursor, bool *has,
                         struct igvm_header *out, struct err *err);

/* "PAGE_DATA"; "unknown" for another type. */
const char *igvm_format_name(uint32_t type);
/* The length that the content of a known type must have; 0 when it varies; UINT32_MAX: unknown. */
uint32_t igvm_format_length(uint32_t type);

/* CRC-32 as in IEEE 802.3 and zlib: continues `crc` (0 at first) over the bytes. */
uint32_t igvm_format_crc32(uint32_t crc, struct span bytes);

#endif
