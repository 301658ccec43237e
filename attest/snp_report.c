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
#define PLATFORM_RESERVED (~UINT64_C(0xFF))    /* 63:8 */

/* The order n of P-384, little-endian (SEC 2 version 2 section 2.5.1). */
static const uint8_t ORDER[48] = {
    0x73, 0x29, 0xC5, 0xCC, 0x6A, 0x19, 0xEC, 0xEC, 0x7A, 0xA7, 0xB0, 0x48, 0xB2, 0x0D, 0x1A, 0x58,
    0xDF, 0x2D, 0x37, 0xF4, 0x81, 0x4D, 0x63, 0xC7, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};

/* Ranges that must be zero, [from, to); `before`: only in versions below it. */
static const struct {
    uint16_t from;
    uint16_t to;
    uint32_t before;
} RESERVED[] = {
    {0x04C, 0x050, UINT32_MAX}, {0x188, 0x1A0, 3},          {0x18B, 0x1A0, UINT32_MAX},
    {0x1EB, 0x1EC, UINT32_MAX}, {0x1EF, 0x1F0, UINT32_MAX}, {0x1F8, 0x208, 5},
    {0x208, 0x2A0, UINT32_MAX}, {0x330, 0x4A0, UINT32_MAX},
};

#define FORMAT_REMEDY "take the report again, as the 1184 bytes that the firmware wrote"

static struct result refuse(struct verdict *v, struct err *err, const char *code, const char *field,
                            const char *expected, const char *actual) {
    const struct verdict_rule rule = {"report-format", code, field, FORMAT_REMEDY};
    return verdict_deny(v, err, &rule, expected, actual);
}

static struct result check_size(struct span bytes, struct verdict *v, struct err *err) {
    if (bytes.size == SNP_REPORT_SIZE) {
        return OK;
    }
    char actual[32];
    snprintf(actual, sizeof actual, "%zu bytes", bytes.size);
    return refuse(v, err, "SNP-LENGTH", "report", "1184 bytes", actual);
}

static struct result check_head(const uint8_t *p, struct verdict *v, struct err *err) {
    char actual[32];
    uint32_t version = load_u32le(p);
    if (version < 2 || version > 5) {
        snprintf(actual, sizeof actual, "%" PRIu32, version);
        return refuse(v, err, "SNP-VERSION", "VERSION", "2, 3, 4 or 5", actual);
    }
    uint32_t algo = load_u32le(p + 0x034);
    if (algo != SNP_SIGNATURE_ECDSA_P384_SHA384) {
        snprintf(actual, sizeof actual, "%" PRIu32, algo);
        return refuse(v, err, "SNP-ALGO", "SIGNATURE_ALGO", "1 (ECDSA P-384 with SHA-384)", actual);
    }
    uint32_t vmpl = load_u32le(p + 0x030);
    if (vmpl > 3 && vmpl != SNP_VMPL_HOST) {
        snprintf(actual, sizeof actual, "%" PRIu32, vmpl);
        return refuse(v, err, "SNP-VMPL", "VMPL", "0 to 3", actual);
    }
    return OK;
}

static struct result check_key_info(uint32_t info, struct verdict *v, struct err *err) {
    char actual[32];
    snprintf(actual, sizeof actual, "0x%" PRIx32, info);
    if ((info & KEY_INFO_RESERVED) != 0) {
        return refuse(v, err, "SNP-KEY-INFO", "KEY_INFO", "bits 31:5 zero", actual);
    }
    if ((info & KEY_INFO_MASK_CHIP_KEY) != 0) {
        const struct verdict_rule rule = {"report-format", "SNP-MASK-CHIP-KEY",
                                          "KEY_INFO.MASK_CHIP_KEY",
                                          "the host masks the chip key, so the firmware signs "
                                          "nothing; ask it to clear MaskChipKey"};
        return verdict_deny(v, err, &rule, "0", "1 (not signed)");
    }
    uint32_t kind = info >> 2;
    if (kind != SNP_KEY_VCEK && kind != SNP_KEY_VLEK) {
        snprintf(actual, sizeof actual, "%" PRIu32, kind);
        return refuse(v, err, "SNP-SIGNING-KEY", "KEY_INFO.SIGNING_KEY", "0 (VCEK) or 1 (VLEK)",
                      actual);
    }
    return OK;
}

static struct result check_bits(const uint8_t *p, struct verdict *v, struct err *err) {
    char actual[32];
    uint64_t policy = load_u64le(p + 0x008);
    snprintf(actual, sizeof actual, "0x%" PRIx64, policy);
    if ((policy & POLICY_RESERVED) != 0 || (policy & SNP_POLICY_RESERVED_ONE) == 0) {
        return refuse(v, err, "SNP-POLICY-RESERVED", "POLICY", "bit 17 one, bits 63:26 zero",
                      actual);
    }
    uint64_t platform = load_u64le(p + 0x040);
    snprintf(actual, sizeof actual, "0x%" PRIx64, platform);
    if ((platform & PLATFORM_RESERVED) != 0) {
        return refuse(v, err, "SNP-PLATFORM-RESERVED", "PLATFORM_INFO", "bits 63:8 zero", actual);
    }
    return OK;
}

static struct result check_reserved(const uint8_t *p, struct verdict *v, struct err *err) {
    uint32_t version = load_u32le(p);
    for (size_t i = 0; i < sizeof RESERVED / sizeof RESERVED[0]; i++) {
        for (size_t at = RESERVED[i].from; version < RESERVED[i].before && at < RESERVED[i].to;
             at++) {
            if (p[at] != 0) {
                char field[40];
                char actual[32];
                snprintf(field, sizeof field, "reserved byte 0x%03zX", at);
                snprintf(actual, sizeof actual, "0x%02X", p[at]);
                return refuse(v, err, "SNP-RESERVED", field, "0x00", actual);
            }
        }
    }
    return OK;
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

static struct result check_signature(const uint8_t *p, struct verdict *v, struct err *err) {
    bool r_good = in_range(p + OFFSET_R);
    if (r_good && in_range(p + OFFSET_S)) {
        return OK;
    }
    return refuse(v, err, "SNP-SIGNATURE-RANGE", r_good ? "SIGNATURE.S" : "SIGNATURE.R",
                  "1 to n-1 of P-384, little-endian in 72 bytes", "outside of it");
}

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

static void read_fields(const uint8_t *p, struct snp_report *out) {
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
    TRY(check_size(bytes, verdict, err));
    TRY(check_head(bytes.data, verdict, err));
    TRY(check_key_info(load_u32le(bytes.data + 0x048), verdict, err));
    TRY(check_bits(bytes.data, verdict, err));
    TRY(check_reserved(bytes.data, verdict, err));
    TRY(check_signature(bytes.data, verdict, err));
    read_fields(bytes.data, out);
    if (verdict != NULL) {
        verdict_add_check(verdict, "report-format", true);
    }
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
