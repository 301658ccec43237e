/* SNP certificates: the chain VCEK <- ASK <- ARK or VLEK <- ASVK <- ARK of AMD's key service.
 *
 *   leaf    CN SEV-VCEK | SEV-VLEK, P-384, eleven extensions 1.3.6.1.4.1.3704.1.* (AMD 57230
 *           section 3): product, one security version per TCB component, hwID or cspID
 *   issuer  CN SEV-<product> | SEV-VLEK-<product>, RSA-4096, CA, path length 0
 *   root    CN ARK-<product>, RSA-4096, CA, self-signed, known by the digest of its key
 *
 * All signatures RSASSA-PSS with SHA-384, MGF1-SHA-384, salt 48. Checked one by one, not by
 * X509_verify_cert, which takes other PSS parameters, CA leaves and leaves signed by the root.
 * Dates are judged at a time that the caller gives; no clock, no I/O; thread-safe.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SNP_CERT_H
#define CONTRAST_SNP_CERT_H

#include <openssl/types.h>

#include "attest/snp_product.h"

enum snp_cert_kind {
    SNP_CERT_OTHER,
    SNP_CERT_VCEK,
    SNP_CERT_VLEK,
    SNP_CERT_ASK,
    SNP_CERT_ASVK,
    SNP_CERT_ARK,
};

struct snp_cert {
    X509 *x509;               /* owned; NULL in a zeroed struct */
    enum snp_cert_kind kind;  /* by the subject's CN */
    enum snp_product product; /* CA: by the subject's CN; leaf: by the issuer's */
    uint8_t spki_digest[32];  /* SHA-256 of the SubjectPublicKeyInfo */
    int64_t not_before; /* unix seconds, both inclusive; the certificate of unreadable dates */
    int64_t not_after;  /* was never valid */
};

/* What the extensions of a leaf say. */
struct snp_vek {
    struct snp_tcb tcb;
    uint8_t hwid[64]; /* VCEK: 64 bytes, on Turin 8 */
    size_t hwid_size;
    char csp_id[128];      /* VLEK: the cloud's name; else empty */
    char product_name[32]; /* "Milan-B0": the stepping says nothing about the silicon */
};

void snp_cert_deinit(struct snp_cert *c); /* accepts zeroed */

/* One DER certificate, nothing behind it, at most LIMIT_CERT bytes. DENIED (SNP-CERT-FORMAT) with
 * `label` ("VCEK") as the field; `verdict` may be NULL here and below. */
RESULT snp_cert_parse(struct span der, const char *label, struct snp_cert *out,
                      struct verdict *verdict, struct err *err);
const char *snp_cert_kind_name(enum snp_cert_kind kind); /* "VCEK" ... "certificate" */

/* Reads and checks the profile of a leaf of this kind and product: version, subject, issuer, key,
 * extensions. SNP-VEK-* codes; adds the checks that held and the one that failed. */
RESULT snp_vek_parse(const struct snp_cert *cert, enum snp_signing_key kind,
                     enum snp_product product, struct snp_vek *out, struct verdict *verdict,
                     struct err *err);

/* Adds the checks of snp_vek_parse, as held, for a leaf that was proven before: leaf-version,
 * leaf-subject, leaf-key, leaf-extensions, leaf-security-versions, leaf-product, and leaf-hwid or
 * leaf-csp-id. */
void snp_vek_add_checks(enum snp_signing_key kind, struct verdict *verdict);

/* `child` was signed by `issuer` with AMD's PSS parameters and names it. A root is its own issuer.
 * SNP-CERT-ISSUER, SNP-CERT-ALGORITHM, SNP-CERT-SIGNATURE. */
RESULT snp_cert_signed_by(const struct snp_cert *child, const struct snp_cert *issuer,
                          struct verdict *verdict, struct err *err);
/* RSA-4096, CA, key usage, no unknown critical extension; path length 0 but for the root.
 * SNP-CERT-CA. */
RESULT snp_cert_check_ca(const struct snp_cert *ca, struct verdict *verdict, struct err *err);
/* notBefore <= at <= notAfter. SNP-CERT-DATE. */
RESULT snp_cert_check_dates(const struct snp_cert *cert, int64_t at, struct verdict *verdict,
                            struct err *err);

/* Adds the checks of a whole chain, as held: certificate-format, -authority, -issuer, -algorithm,
 * -signature. */
void snp_cert_add_checks(struct verdict *verdict);

/* Byte for byte; X509_NAME_cmp would fold case and spaces. */
bool snp_cert__same_name(const X509_NAME *a, const X509_NAME *b);

/* The product whose ARK has this name; UNKNOWN for any other name. */
enum snp_product snp_cert__root_of_name(const X509_NAME *name);

/* The AlgorithmIdentifier is RSASSA-PSS with AMD's parameters; the trailer field may be left out.
 */
bool snp_cert__is_amd_pss(const X509_ALGOR *algorithm);

#endif
