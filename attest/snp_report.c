/* SNP report: see snp_report.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define OFFSET_R 0x2A0
#define OFFSET_S 0x2E8
#define SCALAR_SIZE 72 /* R and S as they stand in the report */
#define KEY_INFO_MASK_CHIP_KEY (UINT32_C(1) << 1)
#define KEY_INFO_RESERVED (~UINT32_C(0x1F))
#define POLICY_RESERVED (~UINT64_C(0x3FFFFFF)) /* 63:26 */

/* The order n of P-384, little-endian (SEC 2 version 2 section 2.5.1). */
static const uint8_t ORDER[48] = {
    0x73, 0x29, 0xC5, 0xCC, 0x6A, 0x19, 0xEC, 0xEC, 0x7A, 0xA7, 0xB0, 0x48, 0xB2, 0x0D, 0x1A, 0x58,
    0xDF, 0x2D, 0x37, 0xF4, 0x81, 0x4D, 0x63, 0xC7, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};

/* Ranges that must be zero, [from, to); `before`: only in versions below it. */
struct zero_range {
    uint16_t from;
    uint16_t to;
    uint32_t before;
};

#define FORMAT_REMEDY "take the report again, as the 1184 bytes that the firmware wrote"

/* One report under examination. */
struct exam {
    const uint8_t *p;  /* the report; 1184 bytes once its length is checked */
    size_t size;       /* bytes */
    const char *check; /* the step under way: name in checks[] */
    struct verdict *verdict;
    struct err *err;
};

static struct result refuse(const struct exam *x, const char *code, const char *field,
                            const char *expected, const char *actual) {
    const struct verdict_rule rule = {x->check, code, field, FORMAT_REMEDY};
    return verdict_deny(x->verdict, x->err, &rule, expected, actual);
}

static struct result refuse_number(const struct exam *x, const char *code, const char *field,
                                   const char *expected, uint32_t actual) {
    char text[16];
    snprintf(text, sizeof text, "%" PRIu32, actual);
    return refuse(x, code, field, expected, text);
}

static struct result refuse_mask(const struct exam *x, const char *code, const char *field,
                                 const char *expected, uint64_t actual) {
    char text[24];
    snprintf(text, sizeof text, "0x%" PRIx64, actual);
    return refuse(x, code, field, expected, text);
}

static struct result check_length(const struct exam *x) {
    if (x->size == SNP_REPORT_SIZE) {
        return OK;
    }
    char actual[32];
    snprintf(actual, sizeof actual, "%zu bytes", x->size);
    return refuse(x, "SNP-LENGTH", "report", "1184 bytes", actual);
}

static struct result check_version(const struct exam *x) {
    uint32_t version = load_u32le(x->p);
    return version >= 2 && version <= 5
               ? OK
               : refuse_number(x, "SNP-VERSION", "VERSION", "2, 3, 4 or 5", version);
}

static struct result check_algorithm(const struct exam *x) {
    uint32_t algo = load_u32le(x->p + 0x034);
    return algo == SNP_SIGNATURE_ECDSA_P384_SHA384
               ? OK
               : refuse_number(x, "SNP-ALGO", "SIGNATURE_ALGO", "1 (ECDSA P-384 with SHA-384)",
                               algo);
}

static struct result check_vmpl(const struct exam *x) {
    uint32_t vmpl = load_u32le(x->p + 0x030);
    return vmpl <= 3 || vmpl == SNP_VMPL_HOST
               ? OK
               : refuse_number(x, "SNP-VMPL", "VMPL", "0 to 3", vmpl);
}

static struct result check_key_info(const struct exam *x) {
    uint32_t info = load_u32le(x->p + 0x048);
    return (info & KEY_INFO_RESERVED) == 0
               ? OK
               : refuse_mask(x, "SNP-KEY-INFO", "KEY_INFO", "bits 31:5 zero", info);
}

static struct result check_chip_key(const struct exam *x) {
    if ((load_u32le(x->p + 0x048) & KEY_INFO_MASK_CHIP_KEY) == 0) {
        return OK;
    }
    const struct verdict_rule rule = {x->check, "SNP-MASK-CHIP-KEY", "KEY_INFO.MASK_CHIP_KEY",
                                      "the host masks the chip key, so the firmware signs "
                                      "nothing; ask it to clear MaskChipKey"};
    return verdict_deny(x->verdict, x->err, &rule, "0", "1 (not signed)");
}

static struct result check_signing_key(const struct exam *x) {
    uint32_t kind = load_u32le(x->p + 0x048) >> 2 & 7;
    return kind == SNP_KEY_VCEK || kind == SNP_KEY_VLEK
               ? OK
               : refuse_number(x, "SNP-SIGNING-KEY", "KEY_INFO.SIGNING_KEY", "0 (VCEK) or 1 (VLEK)",
                               kind);
}

static struct result check_policy(const struct exam *x) {
    uint64_t policy = load_u64le(x->p + 0x008);
    return (policy & POLICY_RESERVED) == 0 && (policy & SNP_POLICY_RESERVED_ONE) != 0
               ? OK
               : refuse_mask(x, "SNP-POLICY-RESERVED", "POLICY", "bit 17 one, bits 63:26 zero",
                             policy);
}

static struct result check_zero(const struct exam *x, const struct zero_range *ranges,
                                size_t count) {
    uint32_t version = load_u32le(x->p);
    for (size_t i = 0; i < count; i++) {
        for (size_t at = ranges[i].from; version < ranges[i].before && at < ranges[i].to; at++) {
            if (x->p[at] != 0) {
                char field[40];
                char actual[8];
                snprintf(field, sizeof field, "reserved byte 0x%03zX", at);
                snprintf(actual, sizeof actual, "0x%02X", x->p[at]);
                return refuse(x, "SNP-RESERVED", field, "0x00", actual);
            }
        }
    }
    return OK;
}

static struct result check_reserved(const struct exam *x) {
    static const struct zero_range ranges[] = {
        {0x04C, 0x050, UINT32_MAX}, {0x18B, 0x1A0, UINT32_MAX}, {0x1EB, 0x1EC, UINT32_MAX},
        {0x1EF, 0x1F0, UINT32_MAX}, {0x208, 0x2A0, UINT32_MAX},
    };
    return check_zero(x, ranges, sizeof ranges / sizeof ranges[0]);
}

/* CPUID_FAM_ID, CPUID_MOD_ID, CPUID_STEP exist from version 3 on. */
static struct result check_cpuid(const struct exam *x) {
    static const struct zero_range cpuid = {0x188, 0x18B, 3};
    return check_zero(x, &cpuid, 1);
}

/* LAUNCH_MIT_VECTOR and CURRENT_MIT_VECTOR exist from version 5 on. */
static struct result check_mitigations(const struct exam *x) {
    static const struct zero_range vectors = {0x1F8, 0x208, 5};
    return check_zero(x, &vectors, 1);
}

/* Behind R and S nothing is signed: whoever carries the report could write there. */
static struct result check_tail(const struct exam *x) {
    static const struct zero_range tail = {0x330, 0x4A0, UINT32_MAX};
    return check_zero(x, &tail, 1);
}

/* 0 < scalar < n */
static bool in_range(const uint8_t *scalar) {
    if (!span_is_zero(span_of(scalar + 48, SCALAR_SIZE - 48)) ||
        span_is_zero(span_of(scalar, 48))) {
        return false;
    }
    for (size_t i = 48; i-- > 0;) {
        if (scalar[i] != ORDER[i]) {
            return scalar[i] < ORDER[i];
        }
    }
    return false;
}

static struct result check_signature(const struct exam *x) {
    bool r_good = in_range(x->p + OFFSET_R);
    if (r_good && in_range(x->p + OFFSET_S)) {
        return OK;
    }
    return refuse(x, "SNP-SIGNATURE-RANGE", r_good ? "SIGNATURE.S" : "SIGNATURE.R",
                  "1 to n-1 of P-384, little-endian in 72 bytes", "outside of it");
}

/* In this order: the length first, for all others read the whole report. */
static const struct {
    const char *check;
    RESULT (*run)(const struct exam *x);
} STEPS[] = {
    {"report-length", check_length},
    {"report-version", check_version},
    {"report-algorithm", check_algorithm},
    {"report-vmpl", check_vmpl},
    {"report-key-info", check_key_info},
    {"report-chip-key", check_chip_key},
    {"report-signing-key", check_signing_key},
    {"report-policy-reserved", check_policy},
    {"report-reserved", check_reserved},
    {"report-cpuid-reserved", check_cpuid},
    {"report-mitigation-reserved", check_mitigations},
    {"report-signature-tail", check_tail},
    {"report-signature-range", check_signature},
};

static struct snp_firmware firmware_at(const uint8_t *p) {
    return (struct snp_firmware){.build = p[0], .minor = p[1], .major = p[2]};
}

/* Every array of the report that is copied as it is. One list for both directions. */
#define BYTE_FIELDS(X)                                                                             \
    X(family_id, 0x010)                                                                            \
    X(image_id, 0x020)                                                                             \
    X(current_tcb, 0x038)                                                                          \
    X(report_data, 0x050)                                                                          \
    X(measurement, 0x090)                                                                          \
    X(host_data, 0x0C0)                                                                            \
    X(id_key_digest, 0x0E0)                                                                        \
    X(author_key_digest, 0x110)                                                                    \
    X(report_id, 0x140)                                                                            \
    X(report_id_ma, 0x160)                                                                         \
    X(reported_tcb, 0x180)                                                                         \
    X(chip_id, 0x1A0)                                                                              \
    X(committed_tcb, 0x1E0)                                                                        \
    X(launch_tcb, 0x1F0)                                                                           \
    X(r, OFFSET_R)                                                                                 \
    X(s, OFFSET_S)

void snp_report_load(const uint8_t p[SNP_REPORT_SIZE], struct snp_report *out) {
    out->version = load_u32le(p);
    out->guest_svn = load_u32le(p + 0x004);
    out->policy = load_u64le(p + 0x008);
    out->vmpl = load_u32le(p + 0x030);
    out->signature_algo = load_u32le(p + 0x034);
    out->platform_info = load_u64le(p + 0x040);
    out->key_info = load_u32le(p + 0x048);
    out->cpuid_family = p[0x188];
    out->cpuid_model = p[0x189];
    out->cpuid_stepping = p[0x18A];
    out->current_firmware = firmware_at(p + 0x1E8);
    out->committed_firmware = firmware_at(p + 0x1EC);
    out->launch_mit_vector = load_u64le(p + 0x1F8);
    out->current_mit_vector = load_u64le(p + 0x200);
#define X(name, offset) memcpy(out->name, p + (offset), sizeof out->name);
    BYTE_FIELDS(X)
#undef X
}

struct result snp_report_parse(struct span bytes, struct snp_report *out, struct verdict *verdict,
                               struct err *err) {
    struct exam x = {.p = bytes.data, .size = bytes.size, .verdict = verdict, .err = err};
    for (size_t i = 0; i < sizeof STEPS / sizeof STEPS[0]; i++) {
        x.check = STEPS[i].check;
        TRY(STEPS[i].run(&x));
        if (verdict != NULL) {
            verdict_add_check(verdict, x.check, true);
        }
    }
    snp_report_load(bytes.data, out);
    return OK;
}

static void store_firmware(const struct snp_firmware *f, uint8_t *p) {
    p[0] = f->build;
    p[1] = f->minor;
    p[2] = f->major;
}

void snp_report_encode(const struct snp_report *report, uint8_t out[SNP_REPORT_SIZE]) {
    memset(out, 0, SNP_REPORT_SIZE);
    store_u32le(out, report->version);
    store_u32le(out + 0x004, report->guest_svn);
    store_u64le(out + 0x008, report->policy);
    store_u32le(out + 0x030, report->vmpl);
    store_u32le(out + 0x034, report->signature_algo);
    store_u64le(out + 0x040, report->platform_info);
    store_u32le(out + 0x048, report->key_info);
    out[0x188] = report->cpuid_family;
    out[0x189] = report->cpuid_model;
    out[0x18A] = report->cpuid_stepping;
    store_firmware(&report->current_firmware, out + 0x1E8);
    store_firmware(&report->committed_firmware, out + 0x1EC);
    store_u64le(out + 0x1F8, report->launch_mit_vector);
    store_u64le(out + 0x200, report->current_mit_vector);
#define X(name, offset) memcpy(out + (offset), report->name, sizeof report->name);
    BYTE_FIELDS(X)
#undef X
}

enum snp_signing_key snp_report_signing_key(const struct snp_report *report) {
    return (enum snp_signing_key)((report->key_info >> 2) & 7);
}
