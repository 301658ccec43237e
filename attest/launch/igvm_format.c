/* IGVM format: see igvm_format.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/launch/igvm_format.h"

#include <inttypes.h>
#include <string.h>

#include <zlib.h>

#include "lib/base/limits.h"

#define FIXED_SIZE_1 24
#define FIXED_SIZE_2 32
#define CHECKSUM_AT 20
#define HEADER_SIZE 8 /* type and length */
#define ARCHITECTURE_X64 0
#define PAGE_SIZE_4K 4096

static const struct kind {
    uint32_t type;
    uint32_t length; /* 0: varies */
    const char *name;
} KINDS[] = {
    {IGVM_SUPPORTED_PLATFORM, 16, "SUPPORTED_PLATFORM"},
    {IGVM_GUEST_POLICY, 16, "GUEST_POLICY"},
    {IGVM_RELOCATABLE_REGION, 48, "RELOCATABLE_REGION"},
    {IGVM_PAGE_TABLE_RELOCATION, 32, "PAGE_TABLE_RELOCATION_REGION"},
    {IGVM_PARAMETER_AREA, 16, "PARAMETER_AREA"},
    {IGVM_PAGE_DATA, 24, "PAGE_DATA"},
    {IGVM_PARAMETER_INSERT, 16, "PARAMETER_INSERT"},
    {IGVM_VP_CONTEXT, 20, "VP_CONTEXT"},
    {IGVM_REQUIRED_MEMORY, 24, "REQUIRED_MEMORY"},
    {IGVM_VP_COUNT, 8, "VP_COUNT_PARAMETER"},
    {IGVM_SRAT, 8, "SRAT"},
    {IGVM_MADT, 8, "MADT"},
    {IGVM_MMIO_RANGES, 8, "MMIO_RANGES"},
    {IGVM_SNP_ID_BLOCK, 696, "SNP_ID_BLOCK"},
    {IGVM_MEMORY_MAP, 8, "MEMORY_MAP"},
    {IGVM_ERROR_RANGE, 16, "ERROR_RANGE"},
    {IGVM_COMMAND_LINE, 8, "COMMAND_LINE"},
    {IGVM_SLIT, 8, "SLIT"},
    {IGVM_PPTT, 8, "PPTT"},
    {IGVM_VBS_MEASUREMENT, 0, "VBS_MEASUREMENT"},
    {IGVM_DEVICE_TREE, 8, "DEVICE_TREE"},
    {IGVM_ENVIRONMENT_INFO, 8, "ENVIRONMENT_INFO_PARAMETER"},
};

static const struct kind *find_kind(uint32_t type) {
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        if (KINDS[i].type == type) {
            return &KINDS[i];
        }
    }
    return NULL;
}

const char *igvm_format_name(uint32_t type) {
    const struct kind *kind = find_kind(type);
    return kind != NULL ? kind->name : "unknown";
}

uint32_t igvm_format_length(uint32_t type) {
    const struct kind *kind = find_kind(type);
    return kind != NULL ? kind->length : UINT32_MAX;
}

bool igvm_format_is(struct span file) {
    return file.size >= 4 && memcmp(file.data, IGVM_MAGIC, 4) == 0;
}

uint32_t igvm_format_crc32(uint32_t crc, struct span bytes) {
    return (uint32_t)crc32_z(crc, bytes.data, bytes.size);
}

/* ---- the fixed header ---- */

struct fixed {
    uint8_t bytes[FIXED_SIZE_2];
    size_t size; /* 24 or 32 */
    uint32_t version;
    uint32_t offset;
    uint32_t headers; /* bytes */
};

static RESULT read_version(const struct launch_source *source, struct fixed *f, struct err *err) {
    ENSURE(source->size >= FIXED_SIZE_1, err, MALFORMED,
           "fixed header: the file has %" PRIu64 " bytes, at least %d are needed", source->size,
           FIXED_SIZE_1);
    TRY(source->read(source->data, 0, f->bytes, FIXED_SIZE_1, err));
    ENSURE(igvm_format_is(SPAN(f->bytes)), err, MALFORMED,
           "fixed header: magic is not \"IGVM\": this is no IGVM file");
    f->version = load_u32le(f->bytes + 4);
    ENSURE(f->version == 1 || f->version == 2, err, MALFORMED,
           "fixed header: format version %u, known are 1 and 2", f->version);
    f->size = f->version == 1 ? FIXED_SIZE_1 : FIXED_SIZE_2;
    if (f->version == 1) {
        return OK;
    }
    ENSURE(source->size >= FIXED_SIZE_2, err, MALFORMED,
           "fixed header: the file has %" PRIu64 " bytes, version 2 needs %d", source->size,
           FIXED_SIZE_2);
    TRY(source->read(source->data, FIXED_SIZE_1, f->bytes + FIXED_SIZE_1,
                     FIXED_SIZE_2 - FIXED_SIZE_1, err));
    uint32_t architecture = load_u32le(f->bytes + 24);
    uint32_t page_size = load_u32le(f->bytes + 28);
    ENSURE(architecture == ARCHITECTURE_X64, err, MALFORMED,
           "fixed header: architecture %u, want 0 (x64)", architecture);
    ENSURE(page_size == PAGE_SIZE_4K, err, MALFORMED, "fixed header: page size %u, want 4096",
           page_size);
    return OK;
}

static RESULT read_fixed(const struct launch_source *source, struct fixed *f, struct err *err) {
    TRY(read_version(source, f, err));
    f->offset = load_u32le(f->bytes + 8);
    f->headers = load_u32le(f->bytes + 12);
    uint32_t total = load_u32le(f->bytes + 16);
    ENSURE(total == source->size, err, MALFORMED,
           "fixed header: total_file_size %u, and the file has %" PRIu64
           " bytes: it was cut or something was added",
           total, source->size);
    ENSURE(f->offset >= f->size && f->offset % 8 == 0, err, MALFORMED,
           "fixed header: variable_header_offset %u, want a multiple of 8 from %zu up", f->offset,
           f->size);
    ENSURE((uint64_t)f->offset + f->headers <= source->size, err, MALFORMED,
           "fixed header: variable_header_size %u at %u reaches past the end, %" PRIu64, f->headers,
           f->offset, source->size);
    ENSURE(f->headers > 0, err, MALFORMED, "fixed header: variable_header_size 0: nothing to load");
    ENSURE(f->headers <= LIMIT_IGVM_HEADERS, err, MALFORMED,
           "fixed header: %u bytes of variable headers, the limit is %d", f->headers,
           LIMIT_IGVM_HEADERS);
    return OK;
}

static RESULT check_sum(struct fixed *f, struct span headers, struct err *err) {
    uint32_t want = load_u32le(f->bytes + CHECKSUM_AT);
    store_u32le(f->bytes + CHECKSUM_AT, 0);
    uint32_t have = igvm_format_crc32(0, span_of(f->bytes, f->size));
    have = igvm_format_crc32(have, headers);
    ENSURE(have == want, err, MALFORMED,
           "fixed header: checksum %08x, computed over the headers %08x: the file is damaged", want,
           have);
    return OK;
}

RESULT igvm_headers_read(const struct launch_source *source, struct igvm_headers *out,
                         struct err *err) {
    struct fixed f = {.size = 0};
    TRY(read_fixed(source, &f, err));
    struct buf bytes = {0};
    uint8_t *at = buf_extend(&bytes, f.headers);
    struct result r = source->read(source->data, f.offset, at, f.headers, err);
    if (is_ok(r)) {
        r = check_sum(&f, buf_span(&bytes), err);
    }
    if (!is_ok(r)) {
        buf_deinit(&bytes);
        return r;
    }
    *out = (struct igvm_headers){bytes, f.version, f.offset, source->size};
    return OK;
}

void igvm_headers_deinit(struct igvm_headers *h) {
    buf_deinit(&h->bytes);
}

/* ---- the variable headers ---- */

RESULT igvm_headers_next(const struct igvm_headers *h, struct igvm_cursor *cursor, bool *has,
                         struct igvm_header *out, struct err *err) {
    size_t left = h->bytes.size - cursor->at;
    *has = left > 0;
    if (left == 0) {
        return OK;
    }
    uint64_t offset = h->offset + cursor->at;
    ENSURE(left >= HEADER_SIZE, err, MALFORMED,
           "header %zu at offset 0x%" PRIx64 ": %zu bytes are left, a header has at least 8",
           cursor->index, offset, left);
    const uint8_t *p = h->bytes.data + cursor->at;
    uint32_t type = load_u32le(p);
    uint32_t length = load_u32le(p + 4);
    uint64_t padded = ((uint64_t)length + 7) / 8 * 8;
    ENSURE(padded <= left - HEADER_SIZE, err, MALFORMED,
           "header %zu (0x%x %s) at offset 0x%" PRIx64
           ": length %u reaches past the end of the headers",
           cursor->index, type, igvm_format_name(type & ~IGVM_OPTIONAL), offset, length);
    *out = (struct igvm_header){.index = cursor->index,
                                .type = type & ~IGVM_OPTIONAL,
                                .is_optional = (type & IGVM_OPTIONAL) != 0,
                                .offset = offset,
                                .content = p + HEADER_SIZE,
                                .length = length};
    cursor->at += HEADER_SIZE + (size_t)padded;
    cursor->index++;
    return OK;
}
