/* IGVM rules: see igvm_rules.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/launch/igvm_rules.h"

#include <inttypes.h>
#include <string.h>

#include "attest/launch/launch_digest.h"

#define PLATFORM_SEV_SNP 2
#define GPA_END (UINT64_C(1) << 52) /* AMD64: 52 bits of physical address */

/* Offsets in the content of SNP_ID_BLOCK. */
#define ID_ENABLED 4
#define ID_DIGEST 8
#define ID_FAMILY 56
#define ID_IMAGE 72
#define ID_VERSION 88
#define ID_SVN 92
#define ID_ALGORITHM 96
#define ID_AUTHOR_ALGORITHM 100
#define ID_SIGNATURE 104
#define ID_KEY 248 /* u32 curve, u32 reserved, x[72], y[72] */
#define ID_AUTHOR_SIGNATURE 400
#define ID_AUTHOR_KEY 544
#define ID_END 696

/* ---- fields ---- */

struct igvm_page_data igvm_rules_page_data(const struct igvm_header *h) {
    const uint8_t *p = h->content;
    return (struct igvm_page_data){load_u64le(p), load_u32le(p + 8), load_u32le(p + 12),
                                   load_u32le(p + 16), (enum igvm_data_type)load_u16le(p + 20)};
}

struct igvm_parameter_insert igvm_rules_parameter_insert(const struct igvm_header *h) {
    const uint8_t *p = h->content;
    return (struct igvm_parameter_insert){load_u64le(p), load_u32le(p + 8), load_u32le(p + 12)};
}

struct igvm_vp_context igvm_rules_vp_context(const struct igvm_header *h) {
    const uint8_t *p = h->content;
    return (struct igvm_vp_context){load_u64le(p), load_u32le(p + 8), load_u32le(p + 12),
                                    load_u16le(p + 16)};
}

uint64_t igvm_rules_area_size(const struct igvm_rules *rules, uint32_t index) {
    for (size_t i = 0; i < rules->area_count; i++) {
        if (rules->areas[i].index == index) {
            return rules->areas[i].size;
        }
    }
    return 0;
}

/* ---- rules that several types share ---- */

static RESULT check_mask(uint32_t mask, struct err *err) {
    ENSURE(mask != 0, err, MALFORMED, "compatibility_mask is 0: it belongs to no platform");
    return OK;
}

static bool is_ours(const struct igvm_rules *rules, uint32_t mask) {
    return (mask & rules->mask) == rules->mask && rules->mask != 0;
}

static RESULT check_gpa(uint64_t gpa, uint64_t size, uint64_t alignment, struct err *err) {
    ENSURE(gpa % alignment == 0, err, MALFORMED,
           "gpa 0x%" PRIx64 " is not a multiple of 0x%" PRIx64, gpa, alignment);
    ENSURE(gpa < GPA_END && size <= GPA_END - gpa, err, MALFORMED,
           "gpa 0x%" PRIx64 " is beyond 52 bits", gpa);
    return OK;
}

/* File data lies behind the variable headers, inside the file. */
static RESULT check_data(const struct igvm_headers *all, uint32_t offset, uint64_t size,
                         struct err *err) {
    uint64_t start = all->offset + all->bytes.size;
    ENSURE(offset >= start, err, MALFORMED,
           "file_offset 0x%x lies before the file data, which begins at 0x%" PRIx64, offset, start);
    ENSURE(offset <= all->file_size && size <= all->file_size - offset, err, MALFORMED,
           "file_offset 0x%x: 0x%" PRIx64
           " bytes of data reach past the end of the file, 0x%" PRIx64,
           offset, size, all->file_size);
    return OK;
}

static RESULT check_zero(struct span bytes, const char *what, struct err *err) {
    ENSURE(span_is_zero(bytes), err, MALFORMED, "%s is not zero", what);
    return OK;
}

static RESULT count_pages(struct igvm_rules *rules, uint64_t pages, struct err *err) {
    ENSURE(pages <= LIMIT_IGVM_PAGES - rules->pages, err, MALFORMED,
           "more than %d pages are to be measured", LIMIT_IGVM_PAGES);
    rules->pages += pages;
    return OK;
}

/* ---- a rule per type ---- */

typedef RESULT rule_fn(struct igvm_rules *rules, const struct igvm_headers *all,
                       const struct igvm_header *h, struct err *err);

static RESULT check_platform(struct igvm_rules *rules, const struct igvm_headers *all,
                             const struct igvm_header *h, struct err *err) {
    (void)all;
    uint32_t mask = load_u32le(h->content);
    TRY(check_mask(mask, err));
    ENSURE((mask & (mask - 1)) == 0, err, MALFORMED, "compatibility_mask 0x%x is not a single bit",
           mask);
    ENSURE((rules->masks & mask) == 0, err, MALFORMED,
           "compatibility_mask 0x%x is another platform's already", mask);
    rules->masks |= mask;
    if (h->content[5] != PLATFORM_SEV_SNP) {
        return OK;
    }
    rules->snp_masks |= mask;
    if (rules->wanted != 0) {
        rules->mask = rules->wanted == mask ? mask : rules->mask;
        return OK;
    }
    ENSURE(rules->mask == 0, err, INVALID,
           "a second SEV-SNP platform, mask 0x%x beside 0x%x: which one is meant must be said "
           "(contrast measure igvm --mask N)",
           mask, rules->mask);
    rules->mask = mask;
    return OK;
}

static RESULT check_policy(struct igvm_rules *rules, const struct igvm_headers *all,
                           const struct igvm_header *h, struct err *err) {
    (void)all;
    uint32_t mask = load_u32le(h->content + 8);
    TRY(check_mask(mask, err));
    TRY(check_zero(span_of(h->content + 12, 4), "the reserved field", err));
    if (!is_ours(rules, mask)) {
        return OK;
    }
    ENSURE(!rules->has_policy, err, MALFORMED, "a second policy for the platform 0x%x",
           rules->mask);
    rules->has_policy = true;
    rules->policy = load_u64le(h->content);
    return OK;
}

static RESULT check_relocation(struct igvm_rules *rules, const struct igvm_headers *all,
                               const struct igvm_header *h, struct err *err) {
    (void)all;
    uint32_t mask = load_u32le(h->content);
    TRY(check_mask(mask, err));
    rules->is_relocatable = rules->is_relocatable || is_ours(rules, mask);
    return OK;
}

static RESULT check_area(struct igvm_rules *rules, const struct igvm_headers *all,
                         const struct igvm_header *h, struct err *err) {
    uint64_t size = load_u64le(h->content);
    uint32_t index = load_u32le(h->content + 8);
    uint32_t file_offset = load_u32le(h->content + 12);
    ENSURE(size > 0 && size % LAUNCH_PAGE_SIZE == 0, err, MALFORMED,
           "number_of_bytes 0x%" PRIx64 " is no number of whole pages", size);
    ENSURE(size / LAUNCH_PAGE_SIZE <= LIMIT_IGVM_AREA_PAGES, err, MALFORMED,
           "number_of_bytes 0x%" PRIx64 ": the limit is %d pages", size, LIMIT_IGVM_AREA_PAGES);
    ENSURE(igvm_rules_area_size(rules, index) == 0, err, MALFORMED,
           "parameter_area_index %u is declared already", index);
    ENSURE(rules->area_count < LIMIT_IGVM_PARAMETER_AREAS, err, MALFORMED,
           "more than %d parameter areas", LIMIT_IGVM_PARAMETER_AREAS);
    if (file_offset != 0) {
        TRY(check_data(all, file_offset, size, err));
    }
    rules->areas[rules->area_count].index = index;
    rules->areas[rules->area_count].size = size;
    rules->area_count++;
    return OK;
}

static RESULT check_page(struct igvm_rules *rules, const struct igvm_headers *all,
                         const struct igvm_header *h, struct err *err) {
    uint16_t type = load_u16le(h->content + 20);
    ENSURE(type <= IGVM_DATA_CPUID_XF, err, MALFORMED, "data_type %u, known are 0 to 3", type);
    TRY(check_zero(span_of(h->content + 22, 2), "the reserved field", err));
    struct igvm_page_data page = igvm_rules_page_data(h);
    const uint32_t known = IGVM_FLAG_2M | IGVM_FLAG_UNMEASURED | IGVM_FLAG_SHARED;
    ENSURE((page.flags & ~known) == 0, err, MALFORMED, "flags 0x%x, known are 1, 2 and 4",
           page.flags);
    TRY(check_mask(page.mask, err));
    uint64_t size = (page.flags & IGVM_FLAG_2M) != 0 ? IGVM_PAGE_2M_SIZE : LAUNCH_PAGE_SIZE;
    TRY(check_gpa(page.gpa, size, size, err));
    if (page.file_offset != 0) {
        TRY(check_data(all, page.file_offset, size, err));
    }
    return is_ours(rules, page.mask) ? count_pages(rules, size / LAUNCH_PAGE_SIZE, err) : OK;
}

static RESULT check_insert(struct igvm_rules *rules, const struct igvm_headers *all,
                           const struct igvm_header *h, struct err *err) {
    (void)all;
    struct igvm_parameter_insert insert = igvm_rules_parameter_insert(h);
    uint64_t size = igvm_rules_area_size(rules, insert.area);
    ENSURE(size > 0, err, MALFORMED,
           "parameter_area_index %u: no PARAMETER_AREA before it declares that", insert.area);
    TRY(check_mask(insert.mask, err));
    TRY(check_gpa(insert.gpa, size, LAUNCH_PAGE_SIZE, err));
    return is_ours(rules, insert.mask) ? count_pages(rules, size / LAUNCH_PAGE_SIZE, err) : OK;
}

/* The context of another kind of platform is not a page: only those of SEV-SNP are judged. */
static RESULT check_context(struct igvm_rules *rules, const struct igvm_headers *all,
                            const struct igvm_header *h, struct err *err) {
    struct igvm_vp_context vp = igvm_rules_vp_context(h);
    TRY(check_mask(vp.mask, err));
    TRY(check_zero(span_of(h->content + 18, 2), "the reserved field", err));
    if ((vp.mask & rules->snp_masks) == 0) {
        return OK;
    }
    TRY(check_gpa(vp.gpa, LAUNCH_PAGE_SIZE, LAUNCH_PAGE_SIZE, err));
    TRY(check_data(all, vp.file_offset, LAUNCH_PAGE_SIZE, err));
    rules->vcpus += is_ours(rules, vp.mask) ? 1 : 0;
    return count_pages(rules, 1, err);
}

static RESULT check_parameter(struct igvm_rules *rules, const struct igvm_headers *all,
                              const struct igvm_header *h, struct err *err) {
    (void)all;
    uint32_t area = load_u32le(h->content);
    uint32_t offset = load_u32le(h->content + 4);
    uint64_t size = igvm_rules_area_size(rules, area);
    ENSURE(size > 0, err, MALFORMED,
           "parameter_area_index %u: no PARAMETER_AREA before it declares that", area);
    ENSURE(offset < size, err, MALFORMED, "byte_offset 0x%x is outside of its area of 0x%" PRIx64,
           offset, size);
    return OK;
}

/* A key without the reserved field that this file format puts behind the curve. */
static void take_key(const uint8_t *in, uint8_t out[ID_BLOCK_KEY_SIZE]) {
    memset(out, 0, ID_BLOCK_KEY_SIZE);
    memcpy(out, in, 4);
    memcpy(out + 4, in + 8, (size_t)2 * ID_BLOCK_NUMBER_SIZE);
}

static RESULT take_signatures(const uint8_t *p, struct igvm_id_block *id, struct err *err) {
    uint8_t bytes[ID_BLOCK_AUTH_SIZE];
    id->auth.has_author = p[ID_ENABLED] == 1;
    memcpy(id->auth.signature, p + ID_SIGNATURE, ID_BLOCK_SIGNATURE_SIZE);
    take_key(p + ID_KEY, id->auth.id_key);
    memcpy(id->auth.author_signature, p + ID_AUTHOR_SIGNATURE, ID_BLOCK_SIGNATURE_SIZE);
    take_key(p + ID_AUTHOR_KEY, id->auth.author_key);
    id_block_auth_encode(&id->auth, bytes);
    id->is_signed = true;
    return id_block_auth_parse(SPAN(bytes), &id->auth, err); /* its rules on keys and numbers */
}

static RESULT check_id_block(struct igvm_rules *rules, const struct igvm_headers *all,
                             const struct igvm_header *h, struct err *err) {
    (void)all;
    const uint8_t *p = h->content;
    uint32_t mask = load_u32le(p);
    TRY(check_mask(mask, err));
    if (!is_ours(rules, mask)) {
        return OK;
    }
    ENSURE(!rules->has_id_block, err, MALFORMED, "a second ID block for the platform 0x%x",
           rules->mask);
    ENSURE(p[ID_ENABLED] <= 1, err, MALFORMED, "author_key_enabled is %u, want 0 or 1",
           p[ID_ENABLED]);
    TRY(check_zero(span_of(p + ID_ENABLED + 1, 3), "the reserved field", err));
    ENSURE(load_u32le(p + ID_VERSION) == 1, err, MALFORMED, "version %u, want 1",
           load_u32le(p + ID_VERSION));
    ENSURE(load_u32le(p + ID_ALGORITHM) == 1 && load_u32le(p + ID_AUTHOR_ALGORITHM) <= 1, err,
           MALFORMED, "algorithms %u and %u, want 1 (ECDSA P-384) and 0 or 1",
           load_u32le(p + ID_ALGORITHM), load_u32le(p + ID_AUTHOR_ALGORITHM));
    struct igvm_id_block *id = &rules->id_block;
    memcpy(id->block.launch_digest, p + ID_DIGEST, sizeof id->block.launch_digest);
    memcpy(id->block.family_id, p + ID_FAMILY, sizeof id->block.family_id);
    memcpy(id->block.image_id, p + ID_IMAGE, sizeof id->block.image_id);
    id->block.guest_svn = load_u32le(p + ID_SVN);
    id->block.policy = rules->policy;
    rules->has_id_block = true;
    bool is_empty = span_is_zero(span_of(p + ID_SIGNATURE, ID_END - ID_SIGNATURE));
    return is_empty ? OK : take_signatures(p, id, err);
}

/* ---- one header ---- */

static rule_fn *find_rule(uint32_t type) {
    switch ((enum igvm_type)type) {
    case IGVM_SUPPORTED_PLATFORM:
        return check_platform;
    case IGVM_GUEST_POLICY:
        return check_policy;
    case IGVM_RELOCATABLE_REGION:
    case IGVM_PAGE_TABLE_RELOCATION:
        return check_relocation;
    case IGVM_PARAMETER_AREA:
        return check_area;
    case IGVM_PAGE_DATA:
        return check_page;
    case IGVM_PARAMETER_INSERT:
        return check_insert;
    case IGVM_VP_CONTEXT:
        return check_context;
    case IGVM_SNP_ID_BLOCK:
        return check_id_block;
    case IGVM_VP_COUNT:
    case IGVM_SRAT:
    case IGVM_MADT:
    case IGVM_MMIO_RANGES:
    case IGVM_MEMORY_MAP:
    case IGVM_COMMAND_LINE:
    case IGVM_SLIT:
    case IGVM_PPTT:
    case IGVM_DEVICE_TREE:
    case IGVM_ENVIRONMENT_INFO:
        return check_parameter;
    case IGVM_REQUIRED_MEMORY:
    case IGVM_ERROR_RANGE:
    case IGVM_VBS_MEASUREMENT:
        return NULL; /* nothing of them is measured */
    }
    return NULL;
}

/* 0 platforms, 1 initialization, 2 directives; 3 for a type of no section. */
static unsigned section_of(uint32_t type) {
    if (type >= 0x001 && type <= 0x100) {
        return 0;
    }
    if (type >= 0x101 && type <= 0x200) {
        return 1;
    }
    return type >= 0x301 && type <= 0x400 ? 2 : 3;
}

static RESULT check_section(struct igvm_rules *rules, const struct igvm_header *h,
                            struct err *err) {
    static const char *const names[] = {"a platform header", "an initialization header",
                                        "a directive"};
    unsigned section = section_of(h->type);
    ENSURE(section < 3, err, MALFORMED, "the type belongs to no section of the format");
    ENSURE(section >= rules->section, err, MALFORMED, "%s after %s: sections are out of order",
           names[section], names[rules->section]);
    if (section > 0 && rules->section == 0) {
        ENSURE(rules->mask != 0, err, INVALID,
               rules->snp_masks == 0
                   ? "no SEV-SNP platform is declared before it: the image is for "
                     "another kind of guest"
                   : "no SEV-SNP platform has the compatibility mask that was asked for");
    }
    if (section == 2 && rules->section < 2) {
        ENSURE(rules->has_policy, err, MALFORMED,
               "no GUEST_POLICY for the SEV-SNP platform 0x%x before the directives", rules->mask);
    }
    rules->section = section;
    return OK;
}

static RESULT check_header(struct igvm_rules *rules, const struct igvm_headers *all,
                           const struct igvm_header *h, struct err *err) {
    uint32_t length = igvm_format_length(h->type);
    if (length == UINT32_MAX && h->is_optional) {
        rules->skipped++;
        return OK;
    }
    TRY(check_section(rules, h, err));
    ENSURE(length != UINT32_MAX, err, MALFORMED,
           "the type is unknown, and not marked optional: this file needs a newer reader");
    ENSURE(length == 0 || h->length == length, err, MALFORMED, "length %u, want %u", h->length,
           length);
    rule_fn *rule = find_rule(h->type);
    return rule == NULL ? OK : rule(rules, all, h, err);
}

RESULT igvm_rules_check(struct igvm_rules *rules, const struct igvm_headers *all,
                        const struct igvm_header *h, struct err *err) {
    struct result r = check_header(rules, all, h, err);
    return is_ok(r) ? r
                    : err_wrap(r, err, "header %zu (0x%x %s) at offset 0x%" PRIx64, h->index,
                               h->type | (h->is_optional ? IGVM_OPTIONAL : 0),
                               igvm_format_name(h->type), h->offset);
}

RESULT igvm_rules_finish(struct igvm_rules *rules, struct err *err) {
    ENSURE(rules->mask != 0, err, INVALID,
           rules->snp_masks == 0
               ? "no SEV-SNP platform is declared: the image is for another kind of guest"
               : "no SEV-SNP platform has the compatibility mask that was asked for");
    ENSURE(rules->has_policy, err, MALFORMED, "no GUEST_POLICY for the SEV-SNP platform 0x%x",
           rules->mask);
    return OK;
}
