/* Fuzz: extensions of a leaf. The input is a choice and a list of extensions, which are put into a
 * certificate that is good apart from them:
 *
 *   u8 choice     bits 0..1: product, bit 2: VLEK
 *   entries       u8 slot, u8 size, value[size]    slot & 15: AMD's extension, bit 7: critical
 *
 * No certificate is parsed and none verified in a run, so runs are cheap and every input gets as
 * far as the profile.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509.h>

#include "attest/snp_cert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ENTRIES_MAX 24

static const char *const SLOTS[16] = {
    "1.3.6.1.4.1.3704.1.1",   "1.3.6.1.4.1.3704.1.2",   "1.3.6.1.4.1.3704.1.3.1",
    "1.3.6.1.4.1.3704.1.3.2", "1.3.6.1.4.1.3704.1.3.3", "1.3.6.1.4.1.3704.1.3.4",
    "1.3.6.1.4.1.3704.1.3.5", "1.3.6.1.4.1.3704.1.3.6", "1.3.6.1.4.1.3704.1.3.7",
    "1.3.6.1.4.1.3704.1.3.8", "1.3.6.1.4.1.3704.1.3.9", "1.3.6.1.4.1.3704.1.4",
    "1.3.6.1.4.1.3704.1.5",   "1.3.6.1.4.1.3704.1.6",   "2.5.29.19",
    "1.3.6.1.4.1.3704.1"};

static void add_name_part(X509_NAME *name, const char *key, const char *value) {
    CHECK(X509_NAME_add_entry_by_txt(name, key, MBSTRING_ASC, (const uint8_t *)value, -1, -1, 0) ==
          1);
}

static X509 *new_leaf(EVP_PKEY *key, bool vlek) {
    X509 *x509 = X509_new();
    CHECK(x509 != NULL && X509_set_version(x509, X509_VERSION_3) == 1);
    X509_NAME *name = X509_get_subject_name(x509);
    add_name_part(name, "OU", "Engineering");
    add_name_part(name, "C", "US");
    add_name_part(name, "L", "Santa Clara");
    add_name_part(name, "ST", "CA");
    add_name_part(name, "O", "Advanced Micro Devices");
    add_name_part(name, "CN", vlek ? "SEV-VLEK" : "SEV-VCEK");
    CHECK(X509_set_pubkey(x509, key) == 1);
    return x509;
}

/* Made once; the targets are single-threaded and live as long as the process. */
static X509 *leaf(bool vlek) {
    static EVP_PKEY *key;
    static X509 *leaves[2];
    if (key == NULL) {
        key = EVP_EC_gen("P-384");
        CHECK(key != NULL);
        leaves[0] = new_leaf(key, false);
        leaves[1] = new_leaf(key, true);
    }
    return leaves[vlek ? 1 : 0];
}

static void drop_extensions(X509 *x509) {
    while (X509_get_ext_count(x509) > 0) {
        X509_EXTENSION_free(X509_delete_ext(x509, 0));
    }
}

static void add_extension(X509 *x509, uint8_t slot, struct span value) {
    ASN1_OBJECT *object = OBJ_txt2obj(SLOTS[slot & 15], 1);
    ASN1_OCTET_STRING *bytes = ASN1_OCTET_STRING_new();
    CHECK(object != NULL && bytes != NULL);
    CHECK(ASN1_OCTET_STRING_set(bytes, value.data, (int)value.size) == 1);
    X509_EXTENSION *e = X509_EXTENSION_create_by_OBJ(NULL, object, slot >> 7, bytes);
    CHECK(e != NULL && X509_add_ext(x509, e, -1) == 1);
    X509_EXTENSION_free(e);
    ASN1_OCTET_STRING_free(bytes);
    ASN1_OBJECT_free(object);
}

static void fill(X509 *x509, const uint8_t *data, size_t size) {
    drop_extensions(x509);
    for (size_t at = 0, count = 0; at + 2 <= size && count < ENTRIES_MAX; count++) {
        size_t length = data[at + 1];
        length = length < size - at - 2 ? length : size - at - 2;
        add_extension(x509, data[at], span_of(data + at + 2, length));
        at += 2 + length;
    }
}

/* A leaf that passes says everything that its kind has to say. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    bool vlek = (data[0] & 4) != 0;
    enum snp_product product = (enum snp_product)(SNP_MILAN + (data[0] & 3) % 3);
    struct snp_cert cert = {
        .x509 = leaf(vlek), .kind = vlek ? SNP_CERT_VLEK : SNP_CERT_VCEK, .product = product};
    struct snp_vek out;
    struct verdict verdict;
    fill(cert.x509, data + 1, size - 1);
    verdict_init(&verdict);
    enum snp_signing_key kind = vlek ? SNP_KEY_VLEK : SNP_KEY_VCEK;
    if (!is_ok(snp_vek_parse(&cert, kind, product, &out, &verdict, NULL))) {
        CHECK(verdict.kind == VERDICT_DENIED && verdict.code[0] != '\0');
        return 0;
    }
    CHECK(X509_get_ext_count(cert.x509) == 11);
    CHECK(vlek ? out.csp_id[0] != '\0' : out.hwid_size == (product == SNP_TURIN ? 8U : 64U));
    CHECK(product == SNP_TURIN || out.tcb.fmc == 0);
    return 0;
}
