/* IGVM measurement: see igvm.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/launch/igvm.h"

#include <inttypes.h>
#include <string.h>

#include "lib/crypto/digest.h"

struct walk {
    const struct launch_source *source;
    const struct igvm_rules *rules;
    struct igvm_measurement *m;
    uint8_t zero_contents[LAUNCH_DIGEST_SIZE];
    uint32_t kvm_contexts; /* VMSAs at KVM's address met so far */
};

/* Which of the two chains a page belongs to. */
enum chain { CHAIN_CRATE = 1, CHAIN_OTHER = 2, CHAIN_BOTH = 3 };

static void add(struct walk *w, enum chain chain, enum launch_page type, uint64_t gpa,
                const uint8_t *contents) {
    if ((chain & CHAIN_CRATE) != 0) {
        launch_digest_add(&w->m->digest, type, gpa, contents);
        w->m->pages++;
    }
    if ((chain & CHAIN_OTHER) != 0) {
        launch_digest_add(&w->m->other_digest, type, gpa, contents);
    }
}

static RESULT read_contents(struct walk *w, uint64_t offset, uint8_t out[LAUNCH_DIGEST_SIZE],
                            struct err *err) {
    uint8_t page[LAUNCH_PAGE_SIZE];
    TRY(w->source->read(w->source->data, offset, page, sizeof page, err));
    sha384(SPAN(page), out);
    return OK;
}

/* What fills the page decides before the flag "unmeasured". */
static enum launch_page type_of(const struct igvm_page_data *page) {
    switch (page->type) {
    case IGVM_DATA_SECRETS:
        return LAUNCH_PAGE_SECRETS;
    case IGVM_DATA_CPUID:
    case IGVM_DATA_CPUID_XF:
        return LAUNCH_PAGE_CPUID;
    case IGVM_DATA_NORMAL:
        break;
    }
    return (page->flags & IGVM_FLAG_UNMEASURED) != 0 ? LAUNCH_PAGE_UNMEASURED : LAUNCH_PAGE_NORMAL;
}

/* One 4 KiB part of a PAGE_DATA, `at` bytes from its start. */
static RESULT add_part(struct walk *w, const struct igvm_page_data *page, uint64_t at,
                       enum chain chain, struct err *err) {
    enum launch_page type = type_of(page);
    if (type != LAUNCH_PAGE_NORMAL) {
        add(w, chain, type, page->gpa + at, NULL);
        return OK;
    }
    uint8_t contents[LAUNCH_DIGEST_SIZE];
    if (page->file_offset == 0) {
        memcpy(contents, w->zero_contents, sizeof contents);
    } else {
        TRY(read_contents(w, page->file_offset + at, contents, err));
    }
    add(w, chain, type, page->gpa + at, contents);
    return OK;
}

static RESULT walk_page(struct walk *w, const struct igvm_header *h, struct err *err) {
    struct igvm_page_data page = igvm_rules_page_data(h);
    if ((page.mask & w->rules->mask) == 0) {
        return OK;
    }
    bool is_shared = (page.flags & IGVM_FLAG_SHARED) != 0;
    bool is_2m = (page.flags & IGVM_FLAG_2M) != 0;
    w->m->differences |= is_shared ? IGVM_DIFFERS_SHARED : 0;
    w->m->differences |= is_2m ? IGVM_DIFFERS_2M : 0;
    w->m->differences |= w->kvm_contexts > 0 ? IGVM_DIFFERS_KVM_ORDER : 0;
    TRY(add_part(w, &page, 0, is_shared ? CHAIN_OTHER : CHAIN_BOTH, err));
    for (uint64_t at = LAUNCH_PAGE_SIZE; is_2m && at < IGVM_PAGE_2M_SIZE; at += LAUNCH_PAGE_SIZE) {
        TRY(add_part(w, &page, at, CHAIN_OTHER, err));
    }
    return OK;
}

static void walk_insert(struct walk *w, const struct igvm_header *h) {
    struct igvm_parameter_insert insert = igvm_rules_parameter_insert(h);
    if ((insert.mask & w->rules->mask) == 0) {
        return;
    }
    uint64_t size = igvm_rules_area_size(w->rules, insert.area);
    w->m->differences |= size > LAUNCH_PAGE_SIZE ? IGVM_DIFFERS_AREA : 0;
    w->m->differences |= w->kvm_contexts > 0 ? IGVM_DIFFERS_KVM_ORDER : 0;
    add(w, CHAIN_BOTH, LAUNCH_PAGE_UNMEASURED, insert.gpa, NULL);
    for (uint64_t at = LAUNCH_PAGE_SIZE; at < size; at += LAUNCH_PAGE_SIZE) {
        add(w, CHAIN_CRATE, LAUNCH_PAGE_UNMEASURED, insert.gpa + at, NULL);
    }
}

static RESULT walk_context(struct walk *w, const struct igvm_header *h, struct err *err) {
    struct igvm_vp_context vp = igvm_rules_vp_context(h);
    bool is_ours = (vp.mask & w->rules->mask) != 0;
    if ((vp.mask & w->rules->snp_masks) == 0) {
        return OK; /* the context of a native or VSM guest: no page */
    }
    uint8_t contents[LAUNCH_DIGEST_SIZE];
    TRY(read_contents(w, vp.file_offset, contents, err));
    w->m->differences |= is_ours ? 0 : IGVM_DIFFERS_CONTEXT;
    if (is_ours && vp.gpa == LAUNCH_VMSA_GPA) {
        w->m->differences |= w->kvm_contexts > 0 ? IGVM_DIFFERS_KVM_COUNT : 0;
        w->kvm_contexts++;
    }
    add(w, is_ours ? CHAIN_BOTH : CHAIN_OTHER, LAUNCH_PAGE_VMSA, vp.gpa, contents);
    return OK;
}

static RESULT walk_header(struct walk *w, const struct igvm_header *h, struct err *err) {
    if (h->type == IGVM_PAGE_DATA) {
        return walk_page(w, h, err);
    }
    if (h->type == IGVM_PARAMETER_INSERT) {
        walk_insert(w, h);
    }
    return h->type == IGVM_VP_CONTEXT ? walk_context(w, h, err) : OK;
}

static RESULT check_all(const struct igvm_headers *headers, struct igvm_rules *rules,
                        struct err *err) {
    struct igvm_cursor cursor = {0};
    struct igvm_header h;
    bool has = true;
    while (has) {
        TRY(igvm_headers_next(headers, &cursor, &has, &h, err));
        if (has) {
            TRY(igvm_rules_check(rules, headers, &h, err));
        }
    }
    return igvm_rules_finish(rules, err);
}

static RESULT walk_all(struct walk *w, const struct igvm_headers *headers, struct err *err) {
    struct igvm_cursor cursor = {0};
    struct igvm_header h;
    bool has = true;
    while (has) {
        TRY(igvm_headers_next(headers, &cursor, &has, &h, err));
        struct result r = has ? walk_header(w, &h, err) : OK;
        if (!is_ok(r)) {
            return err_wrap(r, err, "data of header %zu (0x%x %s) at offset 0x%" PRIx64, h.index,
                            h.type, igvm_format_name(h.type), h.offset);
        }
    }
    return OK;
}

static RESULT measure(const struct launch_source *source, const struct igvm_headers *headers,
                      uint32_t mask, struct igvm_measurement *out, struct err *err) {
    struct igvm_rules rules = {.wanted = mask};
    TRY(check_all(headers, &rules, err));
    struct igvm_measurement m = {.format_version = headers->format_version,
                                 .mask = rules.mask,
                                 .policy = rules.policy,
                                 .vcpus = rules.vcpus,
                                 .skipped = rules.skipped,
                                 .has_id_block = rules.has_id_block,
                                 .id_block = rules.id_block,
                                 .differences = rules.is_relocatable ? IGVM_DIFFERS_MOVED : 0};
    struct walk w = {.source = source, .rules = &rules, .m = &m};
    launch_digest_zero_contents(w.zero_contents);
    TRY(walk_all(&w, headers, err));
    *out = m;
    return OK;
}

RESULT igvm_measure(const struct launch_source *source, uint32_t mask, struct igvm_measurement *out,
                    struct err *err) {
    AUTO(igvm_headers_deinit)
    struct igvm_headers headers = {0};
    TRY(igvm_headers_read(source, &headers, err));
    return measure(source, &headers, mask, out, err);
}

RESULT igvm_check_id_block(const struct igvm_measurement *m, struct err *err) {
    if (!m->has_id_block) {
        return OK;
    }
    char ours[2 * LAUNCH_DIGEST_SIZE + 1];
    char theirs[2 * LAUNCH_DIGEST_SIZE + 1];
    hex_encode(SPAN(m->digest.value), ours);
    hex_encode(SPAN(m->id_block.block.launch_digest), theirs);
    bool is_other = memcmp(m->other_digest.value, m->id_block.block.launch_digest,
                           sizeof m->other_digest.value) == 0;
    ENSURE(strcmp(ours, theirs) == 0, err, DIFFERS,
           "the file's ID block was made for the launch digest %s%s, and the file measures to %s: "
           "the security processor will refuse to start it",
           theirs, is_other ? " (by igvmmeasure's rules)" : "", ours);
    return OK;
}

const char *igvm_difference_text(enum igvm_difference difference) {
    switch (difference) {
    case IGVM_DIFFERS_AREA:
        return "a parameter area has several pages: the igvm crate measures all of them, "
               "igvmmeasure only the first";
    case IGVM_DIFFERS_SHARED:
        return "there are shared pages: the igvm crate leaves them out, igvmmeasure measures them";
    case IGVM_DIFFERS_CONTEXT:
        return "there are VP contexts of another SEV-SNP platform: the igvm crate leaves them out, "
               "igvmmeasure measures them";
    case IGVM_DIFFERS_2M:
        return "there are 2 MiB pages: the igvm crate reads 4 KiB of each, igvmmeasure measures "
               "all 512 parts, as a security processor does when it gets the page whole";
    case IGVM_DIFFERS_KVM_COUNT:
        return "several VMSAs lie at KVM's address 0xfffffffff000: KVM takes only the first vCPU's "
               "from a file, and measures other registers";
    case IGVM_DIFFERS_KVM_ORDER:
        return "pages follow a VMSA at KVM's address 0xfffffffff000: KVM measures the VMSA last, "
               "and gets another digest";
    case IGVM_DIFFERS_MOVED:
        return "the file has a relocatable region: the digest holds only while the loader moves "
               "nothing";
    }
    return "";
}
