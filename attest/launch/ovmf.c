/* OVMF images: see ovmf.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/launch/ovmf.h"

#include <string.h>

#include "attest/launch/launch_digest.h"

#define GUID_SIZE 16
#define ENTRY_SIZE (2 + GUID_SIZE) /* without its data */
#define TABLE_TAIL 32              /* bytes between the table and the end of the file */
#define METADATA_SIZE 16
#define SECTION_SIZE 12

/* As they are stored. */
static const uint8_t GUID_FOOTER[GUID_SIZE] = {0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45,
                                               0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d};
static const uint8_t GUID_METADATA[GUID_SIZE] = {0x66, 0x65, 0x88, 0xdc, 0x4a, 0x98, 0x98, 0x47,
                                                 0xa7, 0x5e, 0x55, 0x85, 0xa7, 0xbf, 0x67, 0xcc};
static const uint8_t GUID_RESET[GUID_SIZE] = {0xde, 0x71, 0xf7, 0x00, 0x7e, 0x1a, 0xcb, 0x4f,
                                              0x89, 0x0e, 0x68, 0xc7, 0x7e, 0x2f, 0xb4, 0x4e};
static const uint8_t GUID_HASHES[GUID_SIZE] = {0x1f, 0x37, 0x55, 0x72, 0x3b, 0x3a, 0x04, 0x4b,
                                               0x92, 0x7b, 0x1d, 0xa6, 0xef, 0xa8, 0xd4, 0x54};
static const uint8_t GUID_SVSM[GUID_SIZE] = {0x12, 0xa6, 0x89, 0xa7, 0x97, 0x05, 0x4b, 0x4c,
                                             0xa4, 0x9f, 0xcb, 0xb1, 0xfe, 0x9d, 0x1d, 0xdd};

/* ---- the metadata's sections ---- */

static RESULT read_section(const uint8_t *p, size_t index, struct ovmf_section *out,
                           struct err *err) {
    uint32_t gpa = load_u32le(p);
    uint32_t size = load_u32le(p + 4);
    uint32_t type = load_u32le(p + 8);
    bool is_known = (type >= OVMF_SEC_MEM && type <= OVMF_SVSM_CAA) || type == OVMF_KERNEL_HASHES;
    ENSURE(is_known, err, MALFORMED,
           "SEV metadata: section %zu has type %u; known are 1, 2, 3, 4 and 16", index, type);
    ENSURE(gpa % LAUNCH_PAGE_SIZE == 0 && size % LAUNCH_PAGE_SIZE == 0 && size > 0, err, MALFORMED,
           "SEV metadata: section %zu (type %u): 0x%x bytes at 0x%x are not whole pages", index,
           type, size, gpa);
    ENSURE((uint64_t)gpa + size <= (uint64_t)1 << 32, err, MALFORMED,
           "SEV metadata: section %zu (type %u): 0x%x bytes at 0x%x end above 4 GiB", index, type,
           size, gpa);
    ENSURE(type == OVMF_SEC_MEM || size == LAUNCH_PAGE_SIZE, err, MALFORMED,
           "SEV metadata: section %zu (type %u) has 0x%x bytes, want one page", index, type, size);
    *out = (struct ovmf_section){gpa, size, (enum ovmf_section_type)type};
    return OK;
}

static RESULT read_sections(struct span all, struct ovmf *o, struct err *err) {
    uint64_t pages = 0;
    for (size_t i = 0; i < all.size / SECTION_SIZE; i++) {
        struct ovmf_section *section = &o->sections[i];
        TRY(read_section(all.data + i * SECTION_SIZE, i, section, err));
        pages += section->size / LAUNCH_PAGE_SIZE;
        o->section_count++;
    }
    ENSURE(pages <= LIMIT_OVMF_SECTION_PAGES, err, MALFORMED,
           "SEV metadata: the sections have more than the limit of %d pages",
           LIMIT_OVMF_SECTION_PAGES);
    return OK;
}

static RESULT read_metadata(struct span data, struct ovmf *o, struct err *err) {
    struct span image = o->image;
    uint32_t from_end = load_u32le(data.data);
    ENSURE(from_end >= METADATA_SIZE && from_end <= image.size, err, MALFORMED,
           "SEV metadata: %u bytes before the end of an image of %zu bytes", from_end, image.size);
    const uint8_t *p = image.data + (image.size - from_end);
    ENSURE(memcmp(p, "ASEV", 4) == 0, err, MALFORMED,
           "SEV metadata: no ASEV signature %u bytes before the end", from_end);
    uint32_t size = load_u32le(p + 4);
    uint32_t version = load_u32le(p + 8);
    uint32_t count = load_u32le(p + 12);
    ENSURE(version == 1, err, MALFORMED, "SEV metadata: version %u, want 1", version);
    ENSURE(count <= LIMIT_OVMF_SECTIONS, err, MALFORMED,
           "SEV metadata: %u sections, the limit is %d", count, LIMIT_OVMF_SECTIONS);
    ENSURE(size == METADATA_SIZE + count * SECTION_SIZE && size <= from_end, err, MALFORMED,
           "SEV metadata: %u bytes do not fit %u sections that begin %u bytes before the end", size,
           count, from_end);
    return read_sections(span_of(p + METADATA_SIZE, (size_t)count * SECTION_SIZE), o, err);
}

/* ---- the table ---- */

/* Which of the entries below were met. */
struct met {
    struct span metadata; /* data NULL until met; the sections are read when the table is whole */
};

static RESULT take_u32(struct span data, const char *what, bool *has, uint32_t *out,
                       struct err *err) {
    ENSURE(!*has, err, MALFORMED, "table of the image: two entries with the %s", what);
    ENSURE(data.size >= 4, err, MALFORMED, "table of the image: the %s has %zu bytes, want 4", what,
           data.size);
    *has = true;
    *out = load_u32le(data.data);
    return OK;
}

static bool is_guid(const uint8_t *guid, const uint8_t *want) {
    return memcmp(guid, want, GUID_SIZE) == 0;
}

static RESULT take_entry(const uint8_t *guid, struct span data, struct ovmf *o, struct met *met,
                         struct err *err) {
    if (is_guid(guid, GUID_METADATA)) {
        ENSURE(met->metadata.data == NULL && data.size >= 4, err, MALFORMED,
               "table of the image: the SEV metadata's entry stands twice or is short");
        met->metadata = data;
        return OK;
    }
    if (is_guid(guid, GUID_RESET)) {
        return take_u32(data, "reset vector", &o->has_reset_eip, &o->reset_eip, err);
    }
    if (is_guid(guid, GUID_HASHES)) {
        return take_u32(data, "kernel hash table", &o->has_hash_table, &o->hash_table_gpa, err);
    }
    if (is_guid(guid, GUID_SVSM)) {
        return take_u32(data, "SVSM entry", &o->has_svsm_entry, &o->svsm_entry, err);
    }
    return OK; /* for somebody else */
}

static RESULT read_table(struct span table, struct ovmf *o, struct err *err) {
    struct met met = {0};
    while (table.size > 0) {
        ENSURE(table.size >= ENTRY_SIZE, err, MALFORMED,
               "table of the image: %zu bytes left at its start, an entry has at least %d",
               table.size, ENTRY_SIZE);
        const uint8_t *end = table.data + table.size;
        size_t size = load_u16le(end - ENTRY_SIZE);
        ENSURE(size >= ENTRY_SIZE && size <= table.size, err, MALFORMED,
               "table of the image: an entry of %zu bytes where %zu are left", size, table.size);
        TRY(take_entry(end - GUID_SIZE, span_of(end - size, size - ENTRY_SIZE), o, &met, err));
        table.size -= size;
    }
    return met.metadata.data == NULL ? OK : read_metadata(met.metadata, o, err);
}

RESULT ovmf_parse(struct span image, uint64_t end_gpa, struct ovmf *out, struct err *err) {
    ENSURE(image.size > 0 && image.size % LAUNCH_PAGE_SIZE == 0 && image.size <= LIMIT_OVMF, err,
           MALFORMED, "%zu bytes; a firmware image has whole pages of 4096 and at most %d bytes",
           image.size, LIMIT_OVMF);
    ENSURE(image.size <= end_gpa, err, MALFORMED, "%zu bytes do not fit below address 0x%llx",
           image.size, (unsigned long long)end_gpa);
    const uint8_t *end = image.data + image.size - TABLE_TAIL;
    ENSURE(is_guid(end - GUID_SIZE, GUID_FOOTER), err, MALFORMED,
           "no OVMF table before the last 32 bytes: this is no firmware built for SEV");
    size_t size = load_u16le(end - ENTRY_SIZE);
    ENSURE(size >= ENTRY_SIZE && size <= image.size - TABLE_TAIL, err, MALFORMED,
           "table of the image: %zu bytes do not fit an image of %zu", size, image.size);
    struct ovmf o = {.image = image, .gpa = end_gpa - image.size};
    TRY(read_table(span_of(end - size, size - ENTRY_SIZE), &o, err));
    *out = o;
    return OK;
}

const struct ovmf_section *ovmf_find_section(const struct ovmf *o, enum ovmf_section_type type) {
    for (size_t i = 0; i < o->section_count; i++) {
        if (o->sections[i].type == type) {
            return &o->sections[i];
        }
    }
    return NULL;
}
