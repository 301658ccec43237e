/* SNP reports, certificates and revocation lists for people and scripts: see snp_print.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_print.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "attest/snp_roots.h"
#include "lib/base/limits.h"
#include "lib/crypto/digest.h"

static void put(json_t *object, const char *name, json_t *value) {
    CHECK(json_object_set_new(object, name, value) == 0);
}

static void put_hex(json_t *object, const char *name, struct span bytes) {
    struct buf text = {0};
    hex_encode(bytes, (char *)buf_extend(&text, 2 * bytes.size + 1));
    put(object, name, json_string(buf_cstr(&text)));
    buf_deinit(&text);
}

static void put_number(json_t *object, const char *name, uint64_t n) {
    put(object, name, json_integer((json_int_t)n));
}

static void put_mask(json_t *object, const char *name, uint64_t n) {
    char text[24];
    snprintf(text, sizeof text, "0x%" PRIx64, n);
    put(object, name, json_string(text));
}

/* ---- report ---- */

struct bit {
    const char *name;
    unsigned index;
};

static const struct bit POLICY_BITS[] = {{"SMT", 16},
                                         {"MIGRATE_MA", 18},
                                         {"DEBUG", 19},
                                         {"SINGLE_SOCKET", 20},
                                         {"CXL_ALLOW", 21},
                                         {"MEM_AES_256_XTS", 22},
                                         {"RAPL_DIS", 23},
                                         {"CIPHERTEXT_HIDING_DRAM", 24},
                                         {"PAGE_SWAP_DISABLE", 25}};
static const struct bit PLATFORM_BITS[] = {{"SMT_EN", 0},
                                           {"TSME_EN", 1},
                                           {"ECC_EN", 2},
                                           {"RAPL_DIS", 3},
                                           {"CIPHERTEXT_HIDING_DRAM_EN", 4},
                                           {"ALIAS_CHECK_COMPLETE", 5},
                                           {"IOMMU_WRITE_SAFE", 6},
                                           {"TIO_EN", 7}};

static json_t *bits_to_json(uint64_t value, const struct bit *bits, size_t count) {
    json_t *object = json_object();
    put_mask(object, "value", value);
    for (size_t i = 0; i < count; i++) {
        put(object, bits[i].name, json_boolean((value >> bits[i].index & 1) != 0));
    }
    return object;
}

static json_t *policy_to_json(uint64_t policy) {
    json_t *object = bits_to_json(policy, POLICY_BITS, sizeof POLICY_BITS / sizeof POLICY_BITS[0]);
    put_number(object, "ABI_MAJOR", policy >> 8 & 0xFF);
    put_number(object, "ABI_MINOR", policy & 0xFF);
    return object;
}

static json_t *tcb_components(enum snp_product product, const struct snp_tcb *tcb) {
    json_t *object = json_object();
    if (product == SNP_TURIN) {
        put_number(object, "fmc", tcb->fmc);
    }
    put_number(object, "bootloader", tcb->bootloader);
    put_number(object, "tee", tcb->tee);
    put_number(object, "snp", tcb->snp);
    put_number(object, "microcode", tcb->microcode);
    return object;
}

/* A version 2 report of Milan or Genoa does not say which: their layout is the same. */
static json_t *tcb_to_json(const struct snp_report *report, const uint8_t raw[8]) {
    enum snp_product product = snp_product_of_report(report);
    if (report->version == 2 && product == SNP_PRODUCT_UNKNOWN) {
        product = SNP_MILAN;
    }
    struct snp_tcb tcb = {0};
    json_t *object = json_object();
    put_hex(object, "raw", span_of(raw, 8));
    if (is_ok(snp_tcb_decode(product, raw, &tcb, NULL))) {
        json_t *parts = tcb_components(product, &tcb);
        json_object_update(object, parts);
        json_decref(parts);
    }
    return object;
}

static json_t *firmware_to_json(const struct snp_firmware *f) {
    char text[20];
    snprintf(text, sizeof text, "%u.%u.%u", f->major, f->minor, f->build);
    return json_string(text);
}

static const char *signing_key_name(enum snp_signing_key key) {
    switch (key) {
    case SNP_KEY_VCEK:
        return "VCEK";
    case SNP_KEY_VLEK:
        return "VLEK";
    case SNP_KEY_NONE:
        return "none";
    }
    return "reserved";
}

static json_t *key_info_to_json(const struct snp_report *report) {
    return json_pack("{s:b,s:b,s:s}", "AUTHOR_KEY_EN", (int)(report->key_info & 1), "MASK_CHIP_KEY",
                     (int)(report->key_info >> 1 & 1), "SIGNING_KEY",
                     signing_key_name(snp_report_signing_key(report)));
}

/* Only the certificate tells: TCBs are shown all the same, their layout is one for both. */
static void put_product(json_t *object, const struct snp_report *report) {
    enum snp_product product = snp_product_of_report(report);
    put(object, "product", json_string(snp_product_line(product)));
    if (report->version == 2 && product == SNP_PRODUCT_UNKNOWN) {
        put(object, "note",
            json_string("version 2 does not tell Milan from Genoa: the issuer of the VCEK does; "
                        "the TCBs are written alike on both"));
    } else if (product == SNP_PRODUCT_UNKNOWN) {
        put(object, "note", json_string("a processor whose root and TCB layout are not known"));
    }
}

static void put_head(json_t *object, const struct snp_report *report) {
    put_number(object, "VERSION", report->version);
    put_product(object, report);
    put_number(object, "GUEST_SVN", report->guest_svn);
    put(object, "POLICY", policy_to_json(report->policy));
    put_hex(object, "FAMILY_ID", SPAN(report->family_id));
    put_hex(object, "IMAGE_ID", SPAN(report->image_id));
    put_number(object, "VMPL", report->vmpl);
    put_number(object, "SIGNATURE_ALGO", report->signature_algo);
    put(object, "CURRENT_TCB", tcb_to_json(report, report->current_tcb));
    put(object, "PLATFORM_INFO",
        bits_to_json(report->platform_info, PLATFORM_BITS,
                     sizeof PLATFORM_BITS / sizeof PLATFORM_BITS[0]));
    put(object, "KEY_INFO", key_info_to_json(report));
    put_hex(object, "REPORT_DATA", SPAN(report->report_data));
    put_hex(object, "MEASUREMENT", SPAN(report->measurement));
    put_hex(object, "HOST_DATA", SPAN(report->host_data));
    put_hex(object, "ID_KEY_DIGEST", SPAN(report->id_key_digest));
    put_hex(object, "AUTHOR_KEY_DIGEST", SPAN(report->author_key_digest));
    put_hex(object, "REPORT_ID", SPAN(report->report_id));
    put_hex(object, "REPORT_ID_MA", SPAN(report->report_id_ma));
}

json_t *snp_report_to_json(const struct snp_report *report) {
    json_t *object = json_object();
    put_head(object, report);
    put(object, "REPORTED_TCB", tcb_to_json(report, report->reported_tcb));
    put_number(object, "CPUID_FAM_ID", report->cpuid_family);
    put_number(object, "CPUID_MOD_ID", report->cpuid_model);
    put_number(object, "CPUID_STEP", report->cpuid_stepping);
    put_hex(object, "CHIP_ID", SPAN(report->chip_id));
    put(object, "COMMITTED_TCB", tcb_to_json(report, report->committed_tcb));
    put(object, "CURRENT_VERSION", firmware_to_json(&report->current_firmware));
    put(object, "COMMITTED_VERSION", firmware_to_json(&report->committed_firmware));
    put(object, "LAUNCH_TCB", tcb_to_json(report, report->launch_tcb));
    put_mask(object, "LAUNCH_MIT_VECTOR", report->launch_mit_vector);
    put_mask(object, "CURRENT_MIT_VECTOR", report->current_mit_vector);
    put_hex(object, "SIGNATURE_R", SPAN(report->r));
    put_hex(object, "SIGNATURE_S", SPAN(report->s));
    return object;
}

/* ---- text ---- */

static void print_scalar(const json_t *value, struct buf *out) {
    if (json_is_string(value)) {
        buf_append_str(out, json_string_value(value));
    } else if (json_is_integer(value)) {
        buf_appendf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_boolean(value)) {
        buf_append_str(out, json_is_true(value) ? "yes" : "no");
    } else {
        buf_append_str(out, "none");
    }
}

static void print_object(json_t *object, struct buf *out) {
    const char *name = NULL;
    json_t *value = NULL;
    const char *separator = "";
    json_object_foreach(object, name, value) {
        buf_appendf(out, "%s%s ", separator, name);
        print_scalar(value, out);
        separator = ", ";
    }
}

/* Scalars on one line, objects on a line each. */
static void print_list(const json_t *list, struct buf *out) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *item = json_array_get(list, i);
        bool nested = json_is_object(item);
        buf_append_str(out, i == 0 ? "" : nested ? "\n                   " : ", ");
        if (nested) {
            print_object(item, out);
        } else {
            print_scalar(item, out);
        }
    }
    buf_append_str(out, json_array_size(list) == 0 ? "none" : "");
}

void snp_print_text(json_t *object, struct buf *out) {
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(object, name, value) {
        buf_appendf(out, "%-18s ", name);
        if (json_is_object(value)) {
            print_object(value, out);
        } else if (json_is_array(value)) {
            print_list(value, out);
        } else {
            print_scalar(value, out);
        }
        buf_append_u8(out, '\n');
    }
}

/* ---- certificates ---- */

static json_t *bio_to_json(BIO *bio) {
    char *data = NULL;
    long size = BIO_get_mem_data(bio, &data);
    json_t *text = json_stringn(data, size > 0 ? (size_t)size : 0);
    BIO_free(bio);
    return text != NULL ? text : json_string("(not UTF-8)");
}

static json_t *name_to_json(const X509_NAME *name) {
    BIO *bio = BIO_new(BIO_s_mem());
    CHECK(bio != NULL);
    X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253);
    return bio_to_json(bio);
}

static json_t *time_to_json(const ASN1_TIME *time) {
    BIO *bio = BIO_new(BIO_s_mem());
    CHECK(bio != NULL);
    ASN1_TIME_print_ex(bio, time, ASN1_DTFLGS_ISO8601);
    return bio_to_json(bio);
}

static json_t *serial_to_json(const ASN1_INTEGER *serial) {
    BIGNUM *n = ASN1_INTEGER_to_BN(serial, NULL);
    char *hex = n != NULL ? BN_bn2hex(n) : NULL;
    json_t *text = json_string(hex != NULL ? hex : "?");
    OPENSSL_free(hex);
    BN_free(n);
    return text;
}

static json_t *extension_to_json(X509_EXTENSION *extension) {
    char oid[80];
    const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(extension);
    json_t *object = json_object();
    OBJ_obj2txt(oid, sizeof oid, X509_EXTENSION_get_object(extension), 1);
    put(object, "oid", json_string(oid));
    put(object, "critical", json_boolean(X509_EXTENSION_get_critical(extension)));
    put_hex(object, "value",
            span_of(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value)));
    return object;
}

/* Of a leaf that is not as AMD makes them: whoever looks for the reason sees the bytes. */
static json_t *extensions_to_json(const X509 *x509) {
    json_t *list = json_array();
    for (int i = 0; i < X509_get_ext_count(x509); i++) {
        json_array_append_new(list, extension_to_json(X509_get_ext(x509, i)));
    }
    return list;
}

static json_t *key_to_json(X509 *x509) {
    char text[64] = "unreadable";
    char group[32] = "";
    const EVP_PKEY *key = X509_get0_pubkey(x509);
    if (key != NULL && EVP_PKEY_is_a(key, "EC") &&
        EVP_PKEY_get_group_name(key, group, sizeof group, NULL) == 1) {
        snprintf(text, sizeof text, "EC %s", group);
    } else if (key != NULL) {
        const char *type = EVP_PKEY_get0_type_name(key);
        snprintf(text, sizeof text, "%s %d", type != NULL ? type : "?", EVP_PKEY_get_bits(key));
    }
    ERR_clear_error();
    return json_string(text);
}

/* True when these are the very bytes of one of AMD's authorities. */
static bool is_built_in(const struct snp_cert *cert) {
    unsigned char *der = NULL;
    int n = i2d_X509(cert->x509, &der);
    struct span own = snp_roots_der(cert->product, cert->kind);
    bool same = n > 0 && own.size > 0 && span_equal(span_of(der, (size_t)n), own);
    OPENSSL_free(der);
    return same;
}

static void put_claims(json_t *object, const struct snp_cert *cert) {
    bool leaf = cert->kind == SNP_CERT_VCEK || cert->kind == SNP_CERT_VLEK;
    enum snp_signing_key kind = cert->kind == SNP_CERT_VLEK ? SNP_KEY_VLEK : SNP_KEY_VCEK;
    struct snp_vek vek = {0};
    struct err err = {0};
    if (!leaf) {
        put(object, "builtIn", json_boolean(is_built_in(cert)));
        return;
    }
    if (!is_ok(snp_vek_parse(cert, kind, cert->product, &vek, NULL, &err))) {
        put(object, "profile", json_string(err.text));
        put(object, "extensions", extensions_to_json(cert->x509));
        return;
    }
    put(object, "productName", json_string(vek.product_name));
    put(object, "TCB", tcb_components(cert->product, &vek.tcb));
    if (kind == SNP_KEY_VLEK) {
        put(object, "cspID", json_string(vek.csp_id));
    } else {
        put_hex(object, "hwID", span_of(vek.hwid, vek.hwid_size));
    }
}

json_t *snp_cert_to_json(const struct snp_cert *cert) {
    uint8_t fingerprint[32] = {0};
    unsigned int size = sizeof fingerprint;
    json_t *object = json_object();
    put(object, "kind", json_string(snp_cert_kind_name(cert->kind)));
    put(object, "product", json_string(snp_product_line(cert->product)));
    put(object, "subject", name_to_json(X509_get_subject_name(cert->x509)));
    put(object, "issuer", name_to_json(X509_get_issuer_name(cert->x509)));
    put(object, "serialNumber", serial_to_json(X509_get0_serialNumber(cert->x509)));
    put(object, "notBefore", time_to_json(X509_get0_notBefore(cert->x509)));
    put(object, "notAfter", time_to_json(X509_get0_notAfter(cert->x509)));
    put(object, "publicKey", key_to_json(cert->x509));
    put_hex(object, "spkiSHA256", SPAN(cert->spki_digest));
    if (X509_digest(cert->x509, EVP_sha256(), fingerprint, &size) == 1) {
        put_hex(object, "SHA256", SPAN(fingerprint));
    }
    put_claims(object, cert);
    return object;
}

/* ---- revocation lists ---- */

static json_t *revoked_to_json(X509_CRL *crl) {
    json_t *serials = json_array();
    STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(crl);
    for (int i = 0; i < sk_X509_REVOKED_num(entries); i++) {
        json_array_append_new(serials, serial_to_json(X509_REVOKED_get0_serialNumber(
                                           sk_X509_REVOKED_value(entries, i))));
    }
    return serials;
}

struct result snp_crl_to_json(struct span der, json_t **out, struct err *err) {
    const unsigned char *at = der.data;
    X509_CRL *crl = der.size <= LIMIT_CRL ? d2i_X509_CRL(NULL, &at, (long)der.size) : NULL;
    ERR_clear_error();
    if (crl == NULL || at != der.data + der.size) {
        X509_CRL_free(crl);
        return err_set(err, ERR_MALFORMED, "not one X.509 CRL in DER");
    }
    json_t *object = json_object();
    put(object, "issuer", name_to_json(X509_CRL_get_issuer(crl)));
    put(object, "thisUpdate", time_to_json(X509_CRL_get0_lastUpdate(crl)));
    const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl);
    put(object, "nextUpdate", next != NULL ? time_to_json(next) : json_null());
    ASN1_INTEGER *number = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
    put(object, "CRLNumber", number != NULL ? serial_to_json(number) : json_null());
    ASN1_INTEGER_free(number);
    put(object, "revoked", revoked_to_json(crl));
    X509_CRL_free(crl);
    *out = object;
    return OK;
}
