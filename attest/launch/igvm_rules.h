/* IGVM rules: what the headers of a file may say, and what they declare for one SEV-SNP platform.
 *
 * Headers are judged one by one in file order; the state remembers what was declared before. A
 * refusal names header, type, offset and rule. Everything is judged before the first page is read.
 * Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_IGVM_RULES_H
#define CONTRAST_IGVM_RULES_H

#include "attest/launch/id_block.h"
#include "attest/launch/igvm_format.h"
#include "lib/base/limits.h"

#define IGVM_PAGE_2M_SIZE (UINT64_C(2) * 1024 * 1024)

enum igvm_data_type {
    IGVM_DATA_NORMAL = 0,
    IGVM_DATA_SECRETS = 1,
    IGVM_DATA_CPUID = 2,
    IGVM_DATA_CPUID_XF = 3,
};

#define IGVM_FLAG_2M 1
#define IGVM_FLAG_UNMEASURED 2
#define IGVM_FLAG_SHARED 4

struct igvm_page_data {
    uint64_t gpa;
    uint32_t mask;
    uint32_t file_offset; /* 0: a page of zeros */
    uint32_t flags;
    enum igvm_data_type type;
};

struct igvm_parameter_insert {
    uint64_t gpa;
    uint32_t mask;
    uint32_t area; /* index that a PARAMETER_AREA declared */
};

struct igvm_vp_context {
    uint64_t gpa;
    uint32_t mask;
    uint32_t file_offset;
    uint16_t vp_index;
};

/* The ID block of a file. */
struct igvm_id_block {
    struct id_block block; /* its policy is the GUEST_POLICY header's */
    struct id_block_auth auth;
    bool is_signed; /* false: key and signature are zero, to be filled in at launch */
};

/* Zeroed: before the first header. */
struct igvm_rules {
    uint32_t wanted;    /* compatibility mask to measure; 0: that of the only SEV-SNP platform */
    uint32_t mask;      /* the one chosen; 0 while none is declared */
    uint32_t snp_masks; /* of all SEV-SNP platforms */
    uint32_t masks;     /* of all platforms */
    unsigned section;   /* 0 platforms, 1 initialization, 2 directives */
    bool has_policy;
    uint64_t policy;
    bool is_relocatable; /* the loader may move what is measured */
    size_t skipped;      /* optional headers of unknown types */
    size_t area_count;
    struct {
        uint32_t index;
        uint64_t size; /* bytes, a multiple of 4096 */
    } areas[LIMIT_IGVM_PARAMETER_AREAS];
    uint32_t vcpus; /* VP_CONTEXTs of the chosen platform */
    uint64_t pages; /* to be measured, at most LIMIT_IGVM_PAGES */
    bool has_id_block;
    struct igvm_id_block id_block;
};

/* Judges the next header of the file. */
RESULT igvm_rules_check(struct igvm_rules *rules, const struct igvm_headers *all,
                        const struct igvm_header *h, struct err *err);
/* Judges what is missing at the end: platform, policy. */
RESULT igvm_rules_finish(struct igvm_rules *rules, struct err *err);

/* The fields of headers that were judged. */
struct igvm_page_data igvm_rules_page_data(const struct igvm_header *h);
struct igvm_parameter_insert igvm_rules_parameter_insert(const struct igvm_header *h);
struct igvm_vp_context igvm_rules_vp_context(const struct igvm_header *h);
/* Bytes of a declared parameter area; 0 for an index that none has. */
uint64_t igvm_rules_area_size(const struct igvm_rules *rules, uint32_t index);

#endif
