/* VCEK and VLEK: the profile of the leaf (AMD 57230 section 3), see snp_cert.h.
 *
 * Exactly eleven extensions below 1.3.6.1.4.1.3704.1, none critical, each once; a certificate with
 * one more or one less is none of AMD's. INTEGERs are read whole: a reader of the last byte alone
 * would take 0x01DE for 0xDE. hwID stands raw in the extension; the same wrapped in a DER OCTET
 * STRING is refused, for AMD never issued it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_cert.h"

#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509.h>

#define POINT_SIZE 97 /* of P-384, uncompressed (SEC 1 section 2.3.3) */
#define POINT_UNCOMPRESSED 0x04

enum slot {
    SLOT_STRUCT_VERSION,
    SLOT_PRODUCT,
    SLOT_BOOTLOADER,
    SLOT_TEE,
    SLOT_SNP,
    SLOT_SPL4,
    SLOT_SPL5,
    SLOT_SPL6,
    SLOT_SPL7,
    SLOT_MICROCODE,
    SLOT_FMC,
    SLOT_HWID,
    SLOT_CSPID,
    SLOT_COUNT
};

enum where { EVERYWHERE, ON_TURIN, NOT_ON_TURIN, IN_VCEK, IN_VLEK };

static const struct {
    const char *oid;
    const char *name;
    enum where where;
} SLOTS[SLOT_COUNT] = {
    [SLOT_STRUCT_VERSION] = {"1.3.6.1.4.1.3704.1.1", "structVersion", EVERYWHERE},
    [SLOT_PRODUCT] = {"1.3.6.1.4.1.3704.1.2", "productName", EVERYWHERE},
    [SLOT_BOOTLOADER] = {"1.3.6.1.4.1.3704.1.3.1", "blSPL", EVERYWHERE},
    [SLOT_TEE] = {"1.3.6.1.4.1.3704.1.3.2", "teeSPL", EVERYWHERE},
    [SLOT_SNP] = {"1.3.6.1.4.1.3704.1.3.3", "snpSPL", EVERYWHERE},
    [SLOT_SPL4] = {"1.3.6.1.4.1.3704.1.3.4", "spl4", NOT_ON_TURIN},
    [SLOT_SPL5] = {"1.3.6.1.4.1.3704.1.3.5", "spl5", EVERYWHERE},
    [SLOT_SPL6] = {"1.3.6.1.4.1.3704.1.3.6", "spl6", EVERYWHERE},
    [SLOT_SPL7] = {"1.3.6.1.4.1.3704.1.3.7", "spl7", EVERYWHERE},
    [SLOT_MICROCODE] = {"1.3.6.1.4.1.3704.1.3.8", "ucodeSPL", EVERYWHERE},
    [SLOT_FMC] = {"1.3.6.1.4.1.3704.1.3.9", "fmcSPL", ON_TURIN},
    [SLOT_HWID] = {"1.3.6.1.4.1.3704.1.4", "hwID", IN_VCEK},
    [SLOT_CSPID] = {"1.3.6.1.4.1.3704.1.5", "cspID", IN_VLEK},
};

/* What one leaf is held against. */
struct profile {
    enum snp_signing_key kind;
    enum snp_product product;
    struct span values[SLOT_COUNT]; /* borrowed from the certificate */
    bool seen[SLOT_COUNT];
    const struct snp_cert *cert;
    struct snp_vek *out;
    const char *check; /* the step under way: name in checks[] */
    struct verdict *verdict;
    struct err *err;
};

static const char *label(const struct profile *p) {
    return p->kind == SNP_KEY_VLEK ? "VLEK" : "VCEK";
}

static struct result refuse(const struct profile *p, const char *code, const char *what,
                            const char *expected, const char *actual) {
    char field[64];
    snprintf(field, sizeof field, "%s.%s", label(p), what);
    const struct verdict_rule rule = {
        p->check, code, field,
        "this is not a certificate that AMD issues for this report; get the one of this chip, "
        "product and TCB"};
    return verdict_deny(p->verdict, p->err, &rule, expected, actual);
}

static bool belongs(const struct profile *p, enum slot slot) {
    switch (SLOTS[slot].where) {
    case EVERYWHERE:
        return true;
    case ON_TURIN:
        return p->product == SNP_TURIN;
    case NOT_ON_TURIN:
        return p->product != SNP_TURIN;
    case IN_VCEK:
        return p->kind == SNP_KEY_VCEK;
    case IN_VLEK:
        return p->kind == SNP_KEY_VLEK;
    }
    return false;
}

static enum slot slot_of(const char *oid) {
    for (int i = 0; i < SLOT_COUNT; i++) {
        if (strcmp(SLOTS[i].oid, oid) == 0) {
            return (enum slot)i;
        }
    }
    return SLOT_COUNT;
}

static struct result collect_one(struct profile *p, X509_EXTENSION *extension) {
    char oid[64];
    OBJ_obj2txt(oid, sizeof oid, X509_EXTENSION_get_object(extension), 1);
    enum slot slot = slot_of(oid);
    if (slot == SLOT_COUNT || !belongs(p, slot)) {
        return refuse(p, "SNP-VEK-EXTENSION", "extensions", "only AMD's for this product and kind",
                      oid);
    }
    if (p->seen[slot] || X509_EXTENSION_get_critical(extension)) {
        return refuse(p, "SNP-VEK-EXTENSION", SLOTS[slot].name, "once and not critical",
                      "twice or critical");
    }
    const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(extension);
    p->seen[slot] = true;
    p->values[slot] = span_of(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
    return OK;
}

static struct result collect(struct profile *p) {
    const X509 *x509 = p->cert->x509;
    for (int i = 0; i < X509_get_ext_count(x509); i++) {
        TRY(collect_one(p, X509_get_ext(x509, i)));
    }
    for (int i = 0; i < SLOT_COUNT; i++) {
        if (belongs(p, (enum slot)i) && p->values[i].size == 0) {
            return refuse(p, "SNP-VEK-EXTENSION", SLOTS[i].name, "present", "missing or empty");
        }
    }
    return OK;
}

/* DER INTEGER 0..255 in its only encoding (X.690 section 8.3). */
static struct result read_u8(const struct profile *p, enum slot slot, uint8_t *out) {
    struct span v = p->values[slot];
    bool small = v.size == 3 && v.data[0] == 0x02 && v.data[1] == 1 && v.data[2] < 0x80;
    bool large =
        v.size == 4 && v.data[0] == 0x02 && v.data[1] == 2 && v.data[2] == 0 && v.data[3] >= 0x80;
    if (!small && !large) {
        return refuse(p, "SNP-VEK-SPL", SLOTS[slot].name, "a DER INTEGER 0 to 255", "other bytes");
    }
    *out = v.data[v.size - 1];
    return OK;
}

static struct result expect_u8(const struct profile *p, enum slot slot, uint8_t expected) {
    uint8_t actual = 0;
    TRY(read_u8(p, slot, &actual));
    if (actual == expected) {
        return OK;
    }
    char want[8];
    char have[8];
    snprintf(want, sizeof want, "%u", expected);
    snprintf(have, sizeof have, "%u", actual);
    return refuse(p, "SNP-VEK-SPL", SLOTS[slot].name, want, have);
}

static struct result read_tcb(struct profile *p) {
    struct snp_tcb *out = &p->out->tcb;
    bool turin = p->product == SNP_TURIN;
    TRY(expect_u8(p, SLOT_STRUCT_VERSION, turin ? 1 : 0));
    TRY(read_u8(p, SLOT_BOOTLOADER, &out->bootloader));
    TRY(read_u8(p, SLOT_TEE, &out->tee));
    TRY(read_u8(p, SLOT_SNP, &out->snp));
    TRY(read_u8(p, SLOT_MICROCODE, &out->microcode));
    if (turin) {
        TRY(read_u8(p, SLOT_FMC, &out->fmc));
    } else {
        TRY(expect_u8(p, SLOT_SPL4, 0));
    }
    for (int i = SLOT_SPL5; i <= SLOT_SPL7; i++) {
        TRY(expect_u8(p, (enum slot)i, 0));
    }
    return OK;
}

/* IA5String with a short length, printable; data NULL when it is anything else. */
static struct span ia5(struct span v) {
    if (v.size < 3 || v.data[0] != V_ASN1_IA5STRING || v.data[1] >= 0x80 ||
        v.data[1] != v.size - 2) {
        return (struct span){0};
    }
    for (size_t i = 2; i < v.size; i++) {
        if (v.data[i] < ' ' || v.data[i] > '~') {
            return (struct span){0};
        }
    }
    return span_of(v.data + 2, v.size - 2);
}

/* "Milan-B0" is Milan: what follows the dash is a stepping. */
static struct result check_product(struct profile *p) {
    struct span name = ia5(p->values[SLOT_PRODUCT]);
    const uint8_t *dash = name.data != NULL ? memchr(name.data, '-', name.size) : NULL;
    size_t size = dash != NULL ? (size_t)(dash - name.data) : name.size;
    if (name.data != NULL && name.size < sizeof p->out->product_name &&
        snp_product_from_line((const char *)name.data, size) == p->product) {
        memcpy(p->out->product_name, name.data, name.size);
        return OK;
    }
    char actual[40];
    snprintf(actual, sizeof actual, "%.*s", (int)(name.size < 32 ? name.size : 32),
             name.data == NULL ? "" : (const char *)name.data);
    return refuse(p, "SNP-VEK-PRODUCT", "productName", snp_product_line(p->product),
                  name.data == NULL ? "not an IA5String" : actual);
}

static struct result read_hwid(struct profile *p) {
    struct snp_vek *out = p->out;
    struct span id = p->values[SLOT_HWID];
    size_t size = p->product == SNP_TURIN ? 8 : sizeof out->hwid;
    if (id.size != size) {
        char expected[24];
        char actual[24];
        snprintf(expected, sizeof expected, "%zu bytes", size);
        snprintf(actual, sizeof actual, "%zu bytes", id.size);
        return refuse(p, "SNP-VEK-HWID", "hwID", expected, actual);
    }
    memcpy(out->hwid, id.data, id.size);
    out->hwid_size = id.size;
    return OK;
}

static struct result read_csp_id(struct profile *p) {
    struct snp_vek *out = p->out;
    struct span name = ia5(p->values[SLOT_CSPID]);
    if (name.data == NULL || name.size >= sizeof out->csp_id) {
        return refuse(p, "SNP-VEK-CSPID", "cspID", "an IA5String of 1 to 127 bytes", "other bytes");
    }
    memcpy(out->csp_id, name.data, name.size);
    return OK;
}

/* An EC key on a named curve with an uncompressed point, as AMD encodes it (RFC 5480 section 2): a
 * curve given by its parameters, or the short form of a point, is another certificate. */
static struct result check_key(struct profile *p) {
    const unsigned char *point = NULL;
    int point_size = 0;
    X509_ALGOR *algorithm = NULL;
    const ASN1_OBJECT *type = NULL;
    const void *curve = NULL;
    int curve_type = V_ASN1_UNDEF;
    X509_PUBKEY *spki = X509_get_X509_PUBKEY(p->cert->x509);
    X509_PUBKEY_get0_param(NULL, &point, &point_size, &algorithm, spki);
    X509_ALGOR_get0(&type, &curve_type, &curve, algorithm);
    bool good = OBJ_obj2nid(type) == NID_X9_62_id_ecPublicKey && curve_type == V_ASN1_OBJECT &&
                OBJ_obj2nid(curve) == NID_secp384r1 && point_size == POINT_SIZE &&
                point[0] == POINT_UNCOMPRESSED && X509_get0_pubkey(p->cert->x509) != NULL;
    ERR_clear_error();
    if (!good) {
        return refuse(p, "SNP-VEK-KEY", "subjectPublicKeyInfo",
                      "EC on the named curve secp384r1, uncompressed", "another key");
    }
    return OK;
}

static struct result check_version(struct profile *p) {
    if (X509_get_version(p->cert->x509) != X509_VERSION_3) {
        return refuse(p, "SNP-VEK-VERSION", "version", "3", "another");
    }
    return OK;
}

static const struct {
    int nid;
    const char *value;
} SUBJECT[] = {
    {NID_organizationalUnitName, "Engineering"},
    {NID_countryName, "US"},
    {NID_localityName, "Santa Clara"},
    {NID_stateOrProvinceName, "CA"},
    {NID_organizationName, "Advanced Micro Devices"},
};
#define SUBJECT_COUNT ((int)(sizeof SUBJECT / sizeof SUBJECT[0]))

/* AMD's name before the CN, part by part (AMD 57230 section 3). */
static bool has_amd_subject(const X509_NAME *name) {
    bool good = X509_NAME_entry_count(name) == SUBJECT_COUNT + 1;
    for (int i = 0; good && i < SUBJECT_COUNT; i++) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, i);
        const ASN1_STRING *value = X509_NAME_ENTRY_get_data(entry);
        struct span text = span_of(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
        good = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry)) == SUBJECT[i].nid &&
               span_equal(text, span_str(SUBJECT[i].value));
    }
    return good;
}

/* A VCEK comes from SEV-<product>, a VLEK from SEV-VLEK-<product>. */
static struct result check_names(struct profile *p) {
    const struct snp_cert *cert = p->cert;
    bool vlek = p->kind == SNP_KEY_VLEK;
    if (cert->kind != (vlek ? SNP_CERT_VLEK : SNP_CERT_VCEK)) {
        return refuse(p, "SNP-VEK-KIND", "subject", vlek ? "CN=SEV-VLEK" : "CN=SEV-VCEK",
                      snp_cert_kind_name(cert->kind));
    }
    if (!has_amd_subject(X509_get_subject_name(cert->x509))) {
        return refuse(p, "SNP-VEK-SUBJECT", "subject",
                      "OU=Engineering, C=US, L=Santa Clara, ST=CA, O=Advanced Micro Devices, CN",
                      "another name");
    }
    if (cert->product != p->product) {
        return refuse(p, "SNP-PRODUCT", "issuer", snp_product_line(p->product),
                      snp_product_line(cert->product));
    }
    return OK;
}

static struct result read_identity(struct profile *p) {
    return p->kind == SNP_KEY_VLEK ? read_csp_id(p) : read_hwid(p);
}

static const struct {
    const char *check;
    const char *vlek_check; /* NULL = the same */
    RESULT (*run)(struct profile *p);
} STEPS[] = {
    {"leaf-version", NULL, check_version},
    {"leaf-subject", NULL, check_names},
    {"leaf-key", NULL, check_key},
    {"leaf-extensions", NULL, collect},
    {"leaf-security-versions", NULL, read_tcb},
    {"leaf-product", NULL, check_product},
    {"leaf-hwid", "leaf-csp-id", read_identity},
};
#define STEP_COUNT (sizeof STEPS / sizeof STEPS[0])

static const char *check_of(size_t step, enum snp_signing_key kind) {
    bool other = kind == SNP_KEY_VLEK && STEPS[step].vlek_check != NULL;
    return other ? STEPS[step].vlek_check : STEPS[step].check;
}

struct result snp_vek_parse(const struct snp_cert *cert, enum snp_signing_key kind,
                            enum snp_product product, struct snp_vek *out, struct verdict *verdict,
                            struct err *err) {
    struct snp_vek vek = {0};
    struct profile p = {.kind = kind,
                        .product = product,
                        .cert = cert,
                        .out = &vek,
                        .verdict = verdict,
                        .err = err};
    for (size_t i = 0; i < STEP_COUNT; i++) {
        p.check = check_of(i, kind);
        TRY(STEPS[i].run(&p));
        if (verdict != NULL) {
            verdict_add_check(verdict, p.check, true);
        }
    }
    *out = vek;
    return OK;
}

void snp_vek_add_checks(enum snp_signing_key kind, struct verdict *verdict) {
    for (size_t i = 0; i < STEP_COUNT; i++) {
        verdict_add_check(verdict, check_of(i, kind), true);
    }
}
