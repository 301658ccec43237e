/* Reference values: see reference.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/manifest/reference.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/limits.h"

#define TURIN_CHIP_ID_SIZE 8
#define BIT(index) (UINT64_C(1) << (index))

/* One set while it is read. */
struct draft {
    struct snp_reference set; /* first: readers of plain fields take it as their target */
    uint64_t info_allowed;    /* PLATFORM_INFO bits by PlatformInfo */
    uint64_t info_required;
    uint64_t info_forbidden;
    uint64_t mask_required; /* ... by PlatformInfoRequired */
    uint64_t mask_forbidden;
    bool has_mask_forbidden;
};

/* ---- MinimumTCB, MinimumFirmware ---- */

#define TCB_FIELD(member)                                                                          \
    static void read_tcb_##member(struct reader *r, const json_t *value, void *target) {           \
        ((struct snp_reference *)target)->minimum_tcb.member =                                     \
            (uint8_t)reader_number(r, value, UINT8_MAX);                                           \
    }
TCB_FIELD(fmc)
TCB_FIELD(bootloader)
TCB_FIELD(tee)
TCB_FIELD(snp)
TCB_FIELD(microcode)

static const struct reader_field tcb_fields[] = {
    {"BootloaderVersion", true, read_tcb_bootloader},
    {"TEEVersion", true, read_tcb_tee},
    {"SNPVersion", true, read_tcb_snp},
    {"MicrocodeVersion", true, read_tcb_microcode},
    {"FMCVersion", false, read_tcb_fmc},
};

static void read_tcb(struct reader *r, const json_t *value, void *target) {
    struct snp_reference *set = target;
    READER_OBJECT(r, value, tcb_fields, set);
    bool has_fmc = json_object_get(value, "FMCVersion") != NULL;
    if (has_fmc && set->product != SNP_TURIN) {
        reader_complain_at(r, "FMCVersion", "exists on product Turin only");
    } else if (!has_fmc && set->product == SNP_TURIN) {
        reader_complain_at(r, "FMCVersion", "must not be empty on product Turin");
    }
}

#define FIRMWARE_FIELD(member)                                                                     \
    static void read_firmware_##member(struct reader *r, const json_t *value, void *target) {      \
        ((struct snp_reference *)target)->minimum_firmware.member =                                \
            (uint8_t)reader_number(r, value, UINT8_MAX);                                           \
    }
FIRMWARE_FIELD(major)
FIRMWARE_FIELD(minor)
FIRMWARE_FIELD(build)

static const struct reader_field firmware_fields[] = {
    {"Major", true, read_firmware_major},
    {"Minor", true, read_firmware_minor},
    {"Build", true, read_firmware_build},
};

static void read_firmware(struct reader *r, const json_t *value, void *target) {
    READER_OBJECT(r, value, firmware_fields, target);
}

static void read_provisional(struct reader *r, const json_t *value, void *target) {
    ((struct snp_reference *)target)->committed_is_current = !reader_bool(r, value);
}

static void read_mitigation(struct reader *r, const json_t *value, void *target) {
    ((struct snp_reference *)target)->minimum_mitigation = reader_mask(r, value);
}

/* ---- GuestPolicy ---- */

static void read_abi_minor(struct reader *r, const json_t *value, void *target) {
    ((struct snp_reference *)target)->policy_abi_minor =
        (uint8_t)reader_number(r, value, UINT8_MAX);
}

static void read_abi_major(struct reader *r, const json_t *value, void *target) {
    ((struct snp_reference *)target)->policy_abi_major =
        (uint8_t)reader_number(r, value, UINT8_MAX);
}

static void allow_bit(struct reader *r, const json_t *value, void *target, unsigned bit) {
    if (reader_bool(r, value)) {
        ((struct snp_reference *)target)->policy_allowed |= BIT(bit);
    }
}

static void require_bit(struct reader *r, const json_t *value, void *target, unsigned bit) {
    if (reader_bool(r, value)) {
        ((struct snp_reference *)target)->policy_required |= BIT(bit);
    }
}

/* Bits of POLICY: AMD 56860, table "Guest Policy". */
#define POLICY_BIT(name, action, bit)                                                              \
    static void read_bit_##name(struct reader *r, const json_t *value, void *target) {             \
        action(r, value, target, (bit));                                                           \
    }
POLICY_BIT(smt, allow_bit, 16)
POLICY_BIT(single_socket, require_bit, 20)
POLICY_BIT(cxl, allow_bit, 21)
POLICY_BIT(aes256_xts, require_bit, 22)
POLICY_BIT(rapl, require_bit, 23)
POLICY_BIT(ciphertext, require_bit, 24)
POLICY_BIT(page_swap, require_bit, 25)

/* Bits that would let the host read or move the guest. */
static void read_forbidden(struct reader *r, const json_t *value, void *target) {
    (void)target;
    if (reader_bool(r, value)) {
        reader_complain(r, "must be false: it would open the guest to the host");
    }
}

static const struct reader_field guest_policy_fields[] = {
    {"ABIMinor", false, read_abi_minor},
    {"ABIMajor", false, read_abi_major},
    {"SMT", false, read_bit_smt},
    {"MigrateMA", false, read_forbidden},
    {"Debug", false, read_forbidden},
    {"SingleSocket", false, read_bit_single_socket},
    {"CXLAllowed", false, read_bit_cxl},
    {"MemAES256XTS", false, read_bit_aes256_xts},
    {"RAPLDis", false, read_bit_rapl},
    {"CipherTextHidingDRAM", false, read_bit_ciphertext},
    {"PageSwapDisable", false, read_bit_page_swap},
};

static void read_guest_policy(struct reader *r, const json_t *value, void *target) {
    READER_OBJECT(r, value, guest_policy_fields, target);
}

/* ---- PlatformInfo and its masks ---- */

static void permit(struct reader *r, const json_t *value, void *target, unsigned bit) {
    if (reader_bool(r, value)) {
        ((struct draft *)target)->info_allowed |= BIT(bit);
    }
}

static void demand(struct reader *r, const json_t *value, void *target, unsigned bit) {
    if (reader_bool(r, value)) {
        ((struct draft *)target)->info_required |= BIT(bit);
    }
}

/* Bits of PLATFORM_INFO: AMD 56860 table 24. */
POLICY_BIT(smt_enabled, permit, 0)
POLICY_BIT(tsme_enabled, permit, 1)
POLICY_BIT(ecc_enabled, demand, 2)
POLICY_BIT(rapl_disabled, demand, 3)
POLICY_BIT(hiding_enabled, demand, 4)
POLICY_BIT(alias_check, demand, 5)
POLICY_BIT(iommu_write_safe, demand, 6)
POLICY_BIT(tio_enabled, permit, 7)

static const struct reader_field platform_fields[] = {
    {"SMTEnabled", false, read_bit_smt_enabled},
    {"TSMEEnabled", false, read_bit_tsme_enabled},
    {"ECCEnabled", false, read_bit_ecc_enabled},
    {"RAPLDisabled", false, read_bit_rapl_disabled},
    {"CiphertextHidingDRAMEnabled", false, read_bit_hiding_enabled},
    {"AliasCheckComplete", false, read_bit_alias_check},
    {"IOMMUWriteSafe", false, read_bit_iommu_write_safe},
    {"TIOEnabled", false, read_bit_tio_enabled},
};

/* A permission that is not given is refused, as upstream has it; without the object none is asked
 * for. */
static void read_platform_info(struct reader *r, const json_t *value, void *target) {
    struct draft *d = target;
    if (json_is_null(value)) {
        return;
    }
    READER_OBJECT(r, value, platform_fields, d);
    d->info_forbidden = (BIT(0) | BIT(1) | BIT(7)) & ~d->info_allowed;
}

static void read_mask_required(struct reader *r, const json_t *value, void *target) {
    ((struct draft *)target)->mask_required = reader_mask(r, value);
}

static void read_mask_forbidden(struct reader *r, const json_t *value, void *target) {
    struct draft *d = target;
    d->mask_forbidden = reader_mask(r, value);
    d->has_mask_forbidden = true;
}

static void complain_bits(struct reader *r, const char *name, uint64_t bits, const char *text) {
    if (bits != 0) {
        size_t old = reader_enter(r, name);
        reader_complainf(r, "bits 0x%" PRIx64 " %s", bits, text);
        reader_leave(r, old);
    }
}

/* The two sources become one; no bit may be wanted and refused. */
static void settle_platform(struct reader *r, struct draft *d) {
    complain_bits(r, "PlatformInfoForbidden", d->mask_forbidden & d->mask_required,
                  "stand in PlatformInfoRequired, too");
    complain_bits(r, "PlatformInfoForbidden",
                  d->mask_forbidden & (d->info_required | d->info_allowed),
                  "are true in PlatformInfo");
    complain_bits(r, "PlatformInfoRequired", d->mask_required & d->info_forbidden,
                  "are false in PlatformInfo, which forbids them");
    d->set.platform_required = d->info_required | d->mask_required;
    d->set.platform_forbidden = d->info_forbidden | d->mask_forbidden;
    if (!d->has_mask_forbidden) {
        d->set.platform_forbidden |= ~SNP_PLATFORM_KNOWN & ~d->mask_required;
    }
}

/* ---- what the guest is ---- */

const char *snp_product_name(enum snp_product p) {
    static const char *const names[] = {
        [SNP_PRODUCT_UNKNOWN] = "unknown",
        [SNP_MILAN] = "Milan",
        [SNP_GENOA] = "Genoa",
        [SNP_TURIN] = "Turin",
    };
    return (size_t)p < sizeof names / sizeof names[0] ? names[p] : names[SNP_PRODUCT_UNKNOWN];
}

static void read_product(struct reader *r, const json_t *value, void *target) {
    struct snp_reference *set = target;
    const char *text = reader_string(r, value);
    for (enum snp_product p = SNP_MILAN; text != NULL && p <= SNP_TURIN; p++) {
        if (strcmp(text, snp_product_name(p)) == 0) {
            set->product = p;
            return;
        }
    }
    reader_complain(r, "must be \"Milan\", \"Genoa\" or \"Turin\"");
}

static void read_measurement(struct reader *r, const json_t *value, void *target) {
    struct snp_reference *set = target;
    const char *text = reader_string(r, value);
    if (text == NULL) {
        return;
    }
    reader_decode_hex(r, text, set->measurement, sizeof set->measurement);
    if (strlen(text) == 96 && strspn(text, "0") == 96) {
        reader_complain(r, "is all zero, no guest measures to that");
    }
}

static void read_vmpl(struct reader *r, const json_t *value, void *target) {
    ((struct snp_reference *)target)->vmpl = (uint32_t)reader_number(r, value, 3);
}

static void read_guest_svn(struct reader *r, const json_t *value, void *target) {
    ((struct snp_reference *)target)->minimum_guest_svn =
        (uint32_t)reader_number(r, value, UINT32_MAX);
}

static void read_family_id(struct reader *r, const json_t *value, void *target) {
    struct snp_reference *set = target;
    set->has_family_id = true;
    reader_hex(r, value, set->family_id, sizeof set->family_id);
}

static void read_image_id(struct reader *r, const json_t *value, void *target) {
    struct snp_reference *set = target;
    set->has_image_id = true;
    reader_hex(r, value, set->image_id, sizeof set->image_id);
}

/* A list whose items may be anything but zeros: `meaning` says what zeros stand for. */
static uint8_t *read_id_list(struct reader *r, const json_t *value, size_t size, size_t limit,
                             const char *meaning, size_t *count) {
    size_t before = r->problems.size;
    uint8_t *items = reader_hex_list(r, value, size, limit, count);
    for (size_t i = 0; i < *count && r->problems.size == before; i++) {
        if (span_is_zero(span_of(items + i * size, size))) {
            size_t old = reader_enter_index(r, i);
            reader_complain(r, meaning);
            reader_leave(r, old);
        }
    }
    return items;
}

static void read_id_keys(struct reader *r, const json_t *value, void *target) {
    struct snp_reference *set = target;
    set->id_key_digests = (uint8_t(*)[48])read_id_list(
        r, value, 48, LIMIT_ID_KEYS, "is all zero, which stands for a guest without ID block",
        &set->id_key_digest_count);
}

static void read_author_keys(struct reader *r, const json_t *value, void *target) {
    struct snp_reference *set = target;
    set->author_key_digests = (uint8_t(*)[48])read_id_list(
        r, value, 48, LIMIT_ID_KEYS, "is all zero, which stands for a guest without author key",
        &set->author_key_digest_count);
}

/* Without an ID block firmware reports zeros for all that comes from it (SNP_LAUNCH_FINISH),
 * and an author key signs nothing but an ID key. */
static void check_id_block(struct reader *r, const struct snp_reference *set) {
    static const char text[] =
        "comes from an ID block, so it needs TrustedIDKeyDigests; no report satisfies this set";
    if (set->id_key_digest_count > 0) {
        return;
    }
    if (set->author_key_digest_count > 0) {
        reader_complain_at(r, "TrustedAuthorKeyDigests", text);
    }
    if (set->minimum_guest_svn > 0) {
        reader_complain_at(r, "MinimumGuestSVN", text);
    }
    if (set->has_family_id && !span_is_zero(SPAN(set->family_id))) {
        reader_complain_at(r, "FamilyID", text);
    }
    if (set->has_image_id && !span_is_zero(SPAN(set->image_id))) {
        reader_complain_at(r, "ImageID", text);
    }
}

/* ---- which machine ---- */

static void check_turin_chips(struct reader *r, const struct snp_reference *set) {
    for (size_t i = 0; i < set->chip_id_count && set->product == SNP_TURIN; i++) {
        const uint8_t *rest = set->chip_ids[i] + TURIN_CHIP_ID_SIZE;
        if (!span_is_zero(span_of(rest, sizeof set->chip_ids[i] - TURIN_CHIP_ID_SIZE))) {
            size_t old = reader_enter_index(r, i);
            reader_complain(r, "on product Turin only the first 16 digits may be other than 0");
            reader_leave(r, old);
        }
    }
}

static void read_chip_ids(struct reader *r, const json_t *value, void *target) {
    struct snp_reference *set = target;
    set->chip_ids = (uint8_t(*)[64])read_id_list(r, value, 64, LIMIT_CHIP_IDS,
                                                 "is all zero, which stands for a masked chip",
                                                 &set->chip_id_count);
    check_turin_chips(r, set);
}

static void read_masked(struct reader *r, const json_t *value, void *target) {
    ((struct snp_reference *)target)->masked_chip_allowed = reader_bool(r, value);
}

/* What an IA5String of a VLEK can hold: printable ASCII. */
static bool is_csp_id(const char *text) {
    size_t size = strlen(text);
    for (size_t i = 0; i < size; i++) {
        if (text[i] < ' ' || text[i] > '~') {
            return false;
        }
    }
    return size > 0 && size <= LIMIT_CSP_ID;
}

static void read_csp_ids(struct reader *r, const json_t *value, void *target) {
    struct snp_reference *set = target;
    size_t count = reader_list(r, value, LIMIT_CSP_IDS);
    set->csp_ids = arena_alloc(r->arena, (count + 1) * sizeof *set->csp_ids);
    set->csp_id_count = count;
    for (size_t i = 0; i < count; i++) {
        size_t old = reader_enter_index(r, i);
        const char *text = reader_string(r, json_array_get(value, i));
        if (text != NULL && !is_csp_id(text)) {
            reader_complainf(r,
                             "must be 1 to %d printable ASCII characters, as in "
                             "\"CN=cc-us-east-2.amazonaws.com\"",
                             LIMIT_CSP_ID);
        } else if (text != NULL) {
            set->csp_ids[i] = arena_strndup(r->arena, text, strlen(text));
        }
        reader_leave(r, old);
    }
}

static void check_machine(struct reader *r, const struct snp_reference *set) {
    if (set->chip_id_count > 0 && set->csp_id_count > 0) {
        reader_complain_at(
            r, "AllowedCSPIDs",
            "a VLEK names no chip, so it cannot be in AllowedChipIDs; make two sets");
    }
}

/* ---- revocation ---- */

/* Hours without sign or leading zero; 0 when it is anything else or out of bounds. */
static uint32_t parse_hours(const char *text) {
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 4 || text[digits] != '\0' || text[0] == '0') {
        return 0;
    }
    unsigned long hours = strtoul(text, NULL, 10);
    return hours <= LIMIT_CRL_GRACE_HOURS ? (uint32_t)hours : 0;
}

static void read_crl(struct reader *r, const json_t *value, void *target) {
    struct snp_reference *set = target;
    const char *text = reader_string(r, value);
    if (text == NULL || strcmp(text, "off") == 0) {
        return;
    }
    if (strcmp(text, "require") == 0) {
        set->crl = CRL_REQUIRE;
        return;
    }
    set->crl_grace_hours = strncmp(text, "grace:", 6) == 0 ? parse_hours(text + 6) : 0;
    set->crl = CRL_GRACE;
    if (set->crl_grace_hours == 0) {
        reader_complainf(r, "must be \"off\", \"require\" or \"grace:<hours>\" with 1 to %d hours",
                         LIMIT_CRL_GRACE_HOURS);
    }
}

static void read_simulated_roots(struct reader *r, const json_t *value, void *target) {
    struct snp_reference *set = target;
    set->simulated_roots = (uint8_t(*)[32])reader_hex_list(r, value, 32, LIMIT_REFERENCE_VALUES,
                                                           &set->simulated_root_count);
}

/* ---- one set ---- */

static void read_platform(struct reader *r, const json_t *value, void *target) {
    (void)target;
    (void)reader_string(r, value);
}

static void read_cpus(struct reader *r, const json_t *value, void *target) {
    (void)target;
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        reader_complain(r, "must be a whole number");
    }
}

/* ProductName first: MinimumTCB and AllowedChipIDs depend on it. */
static const struct reader_field snp_fields[] = {
    {"ProductName", true, read_product},
    {"Platform", false, read_platform},
    {"TrustedMeasurement", true, read_measurement},
    {"MinimumTCB", true, read_tcb},
    {"GuestPolicy", true, read_guest_policy},
    {"PlatformInfo", false, read_platform_info},
    {"PlatformInfoRequired", false, read_mask_required},
    {"PlatformInfoForbidden", false, read_mask_forbidden},
    {"MinimumMitigationVector", false, read_mitigation},
    {"VMPL", false, read_vmpl},
    {"MinimumGuestSVN", false, read_guest_svn},
    {"FamilyID", false, read_family_id},
    {"ImageID", false, read_image_id},
    {"TrustedIDKeyDigests", false, read_id_keys},
    {"TrustedAuthorKeyDigests", false, read_author_keys},
    {"MinimumFirmware", false, read_firmware},
    {"PermitProvisionalFirmware", false, read_provisional},
    {"AllowedChipIDs", false, read_chip_ids},
    {"AllowMaskedChips", false, read_masked},
    {"AllowedCSPIDs", false, read_csp_ids},
    {"CRL", false, read_crl},
    {"SimulatedRoots", false, read_simulated_roots},
    {"CPUs", false, read_cpus},
};

static void read_set(struct reader *r, const json_t *value, struct snp_reference *out) {
    struct draft draft = {0};
    READER_OBJECT(r, value, snp_fields, &draft);
    settle_platform(r, &draft);
    check_id_block(r, &draft.set);
    check_machine(r, &draft.set);
    *out = draft.set;
}

static void read_snp(struct reader *r, const json_t *value, void *target) {
    struct manifest *m = target;
    size_t count = reader_list(r, value, LIMIT_REFERENCE_VALUES);
    m->references = arena_alloc(r->arena, (count + 1) * sizeof *m->references);
    m->reference_count = count;
    for (size_t i = 0; i < count; i++) {
        size_t old = reader_enter_index(r, i);
        read_set(r, json_array_get(value, i), &m->references[i]);
        reader_leave(r, old);
    }
}

static void refuse_tdx(struct reader *r, const json_t *value, void *target) {
    (void)target;
    if (!json_is_null(value) && (!json_is_array(value) || json_array_size(value) > 0)) {
        reader_complain(r, "TDX is not supported by this version; remove it");
    }
}

static const struct reader_field reference_fields[] = {
    {"snp", false, read_snp},
    {"tdx", false, refuse_tdx},
};

void reference_read(struct reader *r, const json_t *value, void *target) {
    struct manifest *m = target;
    size_t before = r->problems.size;
    READER_OBJECT(r, value, reference_fields, m);
    if (m->reference_count == 0 && r->problems.size == before) {
        reader_complain(r, "must hold at least one set of reference values in \"snp\"");
    }
}
