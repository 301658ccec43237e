/* SNP products: see snp_product.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_product.h"

#include <stdio.h>
#include <string.h>

/* SHA-256 of the SubjectPublicKeyInfo of the roots that AMD's key service hands out. */
static const uint8_t ROOT_MILAN[32] = {
    0x9f, 0x05, 0x6b, 0xee, 0x44, 0x37, 0x7e, 0x29, 0x30, 0x8c, 0xb5, 0xff, 0xa8, 0x95, 0xbd, 0xfb,
    0x62, 0xd1, 0x88, 0x81, 0xfa, 0x6b, 0xed, 0x8d, 0x6f, 0x07, 0x5b, 0x02, 0x04, 0x08, 0x9c, 0xb9};
static const uint8_t ROOT_GENOA[32] = {
    0x42, 0x9a, 0x69, 0xc9, 0x42, 0x2a, 0xa2, 0x58, 0xee, 0x4d, 0x8d, 0xb5, 0xfc, 0xda, 0x9c, 0x64,
    0x70, 0xef, 0x15, 0xf8, 0xcd, 0x5a, 0x9c, 0xeb, 0xd6, 0xcb, 0xc7, 0xd9, 0x0b, 0x86, 0x38, 0x31};
static const uint8_t ROOT_TURIN[32] = {
    0x4f, 0x12, 0x54, 0x10, 0x56, 0x3a, 0x2a, 0xb9, 0xa5, 0x03, 0x56, 0xf9, 0x24, 0x3f, 0x6f, 0xe0,
    0xb6, 0xf7, 0x3d, 0xe9, 0x86, 0x03, 0xf5, 0x3f, 0x90, 0x33, 0x9c, 0x70, 0xe9, 0xd7, 0xad, 0x08};

static const struct {
    enum snp_product product;
    const char *line;
    const uint8_t *root;
} PRODUCTS[] = {
    {SNP_MILAN, "Milan", ROOT_MILAN},
    {SNP_GENOA, "Genoa", ROOT_GENOA},
    {SNP_TURIN, "Turin", ROOT_TURIN},
};
#define PRODUCT_COUNT (sizeof PRODUCTS / sizeof PRODUCTS[0])

/* Display family and models, inclusive (AMD 57230 section 4.1; the PPRs of the families). */
static const struct {
    uint8_t family;
    uint8_t first;
    uint8_t last;
    enum snp_product product;
} MODELS[] = {
    {0x19, 0x00, 0x0F, SNP_MILAN},
    {0x19, 0x10, 0x1F, SNP_GENOA},
    {0x19, 0xA0, 0xAF, SNP_GENOA},
    {0x1A, 0x00, 0x11, SNP_TURIN},
};

const char *snp_product_line(enum snp_product product) {
    for (size_t i = 0; i < PRODUCT_COUNT; i++) {
        if (PRODUCTS[i].product == product) {
            return PRODUCTS[i].line;
        }
    }
    return "unknown";
}

enum snp_product snp_product_from_line(const char *name, size_t size) {
    for (size_t i = 0; i < PRODUCT_COUNT; i++) {
        if (strlen(PRODUCTS[i].line) == size && memcmp(PRODUCTS[i].line, name, size) == 0) {
            return PRODUCTS[i].product;
        }
    }
    return SNP_PRODUCT_UNKNOWN;
}

enum snp_product snp_product_from_cpuid(uint8_t family, uint8_t model) {
    for (size_t i = 0; i < sizeof MODELS / sizeof MODELS[0]; i++) {
        if (MODELS[i].family == family && MODELS[i].first <= model && model <= MODELS[i].last) {
            return MODELS[i].product;
        }
    }
    return SNP_PRODUCT_UNKNOWN;
}

enum snp_product snp_product_of_report(const struct snp_report *report) {
    if (report->version >= 3) {
        return snp_product_from_cpuid(report->cpuid_family, report->cpuid_model);
    }
    bool short_id = !span_is_zero(span_of(report->chip_id, 8)) &&
                    span_is_zero(span_of(report->chip_id + 8, sizeof report->chip_id - 8));
    return short_id ? SNP_TURIN : SNP_PRODUCT_UNKNOWN;
}

const uint8_t *snp_product_root(enum snp_product product) {
    for (size_t i = 0; i < PRODUCT_COUNT; i++) {
        if (PRODUCTS[i].product == product) {
            return PRODUCTS[i].root;
        }
    }
    return NULL;
}

/* ---- TCB ---- */

struct result snp_tcb_decode(enum snp_product product, const uint8_t raw[8], struct snp_tcb *out,
                             struct err *err) {
    ENSURE(product != SNP_PRODUCT_UNKNOWN, err, MALFORMED, "TCB of an unknown product");
    struct snp_tcb tcb = {.bootloader = raw[0], .tee = raw[1], .snp = raw[6], .microcode = raw[7]};
    if (product == SNP_TURIN) {
        tcb = (struct snp_tcb){
            .fmc = raw[0], .bootloader = raw[1], .tee = raw[2], .snp = raw[3], .microcode = raw[7]};
    }
    uint8_t back[8];
    snp_tcb_encode(product, &tcb, back);
    ENSURE(memcmp(raw, back, sizeof back) == 0, err, MALFORMED,
           "a reserved byte of the TCB is not zero");
    *out = tcb;
    return OK;
}

void snp_tcb_encode(enum snp_product product, const struct snp_tcb *tcb, uint8_t raw[8]) {
    memset(raw, 0, 8);
    raw[7] = tcb->microcode;
    if (product == SNP_TURIN) {
        raw[0] = tcb->fmc;
        raw[1] = tcb->bootloader;
        raw[2] = tcb->tee;
        raw[3] = tcb->snp;
        return;
    }
    raw[0] = tcb->bootloader;
    raw[1] = tcb->tee;
    raw[6] = tcb->snp;
}

#define COMPONENT_COUNT 5

static void components(const struct snp_tcb *tcb, uint8_t out[COMPONENT_COUNT]) {
    out[0] = tcb->fmc;
    out[1] = tcb->bootloader;
    out[2] = tcb->tee;
    out[3] = tcb->snp;
    out[4] = tcb->microcode;
}

static const char *const COMPONENT_NAMES[COMPONENT_COUNT] = {"FMC", "bootloader", "TEE", "SNP",
                                                             "microcode"};

bool snp_tcb_at_least(const struct snp_tcb *a, const struct snp_tcb *b, const char **component) {
    uint8_t have[COMPONENT_COUNT];
    uint8_t want[COMPONENT_COUNT];
    components(a, have);
    components(b, want);
    for (size_t i = 0; i < COMPONENT_COUNT; i++) {
        if (have[i] < want[i]) {
            if (component != NULL) {
                *component = COMPONENT_NAMES[i];
            }
            return false;
        }
    }
    return true;
}

bool snp_tcb_equal(const struct snp_tcb *a, const struct snp_tcb *b, const char **component) {
    return snp_tcb_at_least(a, b, component) && snp_tcb_at_least(b, a, component);
}

void snp_tcb_format(enum snp_product product, const struct snp_tcb *tcb, char *out, size_t size) {
    char fmc[16] = "";
    if (product == SNP_TURIN) {
        snprintf(fmc, sizeof fmc, "FMC %u, ", tcb->fmc);
    }
    snprintf(out, size, "%sbootloader %u, TEE %u, SNP %u, microcode %u", fmc, tcb->bootloader,
             tcb->tee, tcb->snp, tcb->microcode);
}

/* ---- AMD's key distribution service ---- */

void snp_kds_vcek_url(enum snp_product product, const struct snp_report *report, char *out,
                      size_t size) {
    struct snp_tcb tcb = {0};
    if (product == SNP_PRODUCT_UNKNOWN ||
        !is_ok(snp_tcb_decode(product, report->reported_tcb, &tcb, NULL))) {
        snprintf(out, size,
                 SNP_KDS_BASE "/vcek/v1/PRODUCT/CHIP_ID?blSPL=..&teeSPL=..&snpSPL=..&ucodeSPL=..");
        return;
    }
    char hwid[2 * sizeof report->chip_id + 1];
    char fmc[20] = "";
    hex_encode(span_of(report->chip_id, product == SNP_TURIN ? 8 : sizeof report->chip_id), hwid);
    if (product == SNP_TURIN) {
        snprintf(fmc, sizeof fmc, "fmcSPL=%02u&", tcb.fmc);
    }
    snprintf(out, size,
             SNP_KDS_BASE "/vcek/v1/%s/%s?%sblSPL=%02u&teeSPL=%02u&snpSPL=%02u&ucodeSPL=%02u",
             snp_product_line(product), hwid, fmc, tcb.bootloader, tcb.tee, tcb.snp, tcb.microcode);
}

void snp_kds_chain_url(enum snp_product product, enum snp_signing_key kind, char *out,
                       size_t size) {
    snprintf(out, size, SNP_KDS_BASE "/%s/v1/%s/cert_chain", kind == SNP_KEY_VLEK ? "vlek" : "vcek",
             product == SNP_PRODUCT_UNKNOWN ? "{Milan|Genoa|Turin}" : snp_product_line(product));
}
