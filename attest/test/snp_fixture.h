/* SNP fixture: a machine for tests, with its own ARK, ASK and VCEK in AMD's exact formats, made
 * when the test starts. A verifier that permits the digest of its ARK must accept its reports.
 *
 * Making two RSA-4096 keys takes seconds: one fixture per test program. The provider's key (VLEK
 * with its ASVK) is made only when a test asks for it, and revocation lists for each test.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SNP_FIXTURE_H
#define CONTRAST_SNP_FIXTURE_H

#include <openssl/types.h>

#include "attest/issuer.h"
#include "attest/snp_crl.h"
#include "attest/snp_product.h"
#include "attest/snp_report.h"
#include "lib/manifest/manifest.h"

#define SNP_FIXTURE_NOT_BEFORE INT64_C(1735689600) /* 2025-01-01 */
#define SNP_FIXTURE_NOW INT64_C(1767225600)        /* 2026-01-01: every certificate is valid */
#define SNP_FIXTURE_NOT_AFTER INT64_C(1956528000)  /* 2032-01-01 */
#define SNP_FIXTURE_ARK_SERIAL 0x10000
#define SNP_FIXTURE_ASK_SERIAL 0x10001
#define SNP_FIXTURE_ASVK_SERIAL 0x10101

struct snp_fixture {
    enum snp_product product;
    EVP_PKEY *ark_key; /* RSA-4096, owned, as the two below */
    EVP_PKEY *ask_key;
    EVP_PKEY *vcek_key; /* P-384 */
    struct buf ark;     /* DER certificates */
    struct buf ask;
    struct buf vcek;
    EVP_PKEY *asvk_key; /* NULL until snp_fixture_add_vlek, as the key below */
    EVP_PKEY *vlek_key;
    struct buf asvk; /* empty until then, as the next */
    struct buf vlek;
    uint8_t root_digest[1][32]; /* SHA-256 of the ARK's SubjectPublicKeyInfo */
    uint8_t chip_id[64];
    uint8_t measurement[48];
    struct snp_tcb tcb;
    struct snp_reference reference; /* what its reports satisfy; borrows root_digest */
};

/* Aborts when OpenSSL fails. */
void snp_fixture_init(struct snp_fixture *f, enum snp_product product);
void snp_fixture_deinit(struct snp_fixture *f); /* accepts zeroed */

/* A good report, not signed: version 3 (Turin: 5), VMPL 0, all TCBs equal. */
void snp_fixture_fill(const struct snp_fixture *f, const uint8_t report_data[64],
                      const uint8_t host_data[32], struct snp_report *out);
/* Makes ASVK and VLEK of a provider, e.g. "CN=cloud.example". */
void snp_fixture_add_vlek(struct snp_fixture *f, const char *csp_id);

/* A list signed by the ARK with its serial numbers; `change` (may be NULL) alters it before. */
struct snp_fixture_list {
    int64_t this_update; /* unix seconds */
    int64_t next_update; /* 0 = none */
    long number;         /* CRLNumber */
    long revoked;        /* a serial number; 0 = nothing */
    EVP_PKEY *signer;    /* NULL = the ARK's key */
    const char *issuer;  /* CN; NULL = the ARK's */
    int salt;            /* 0 = AMD's 48 */
    void (*change)(X509_CRL *crl);
};
void snp_fixture_make_list(const struct snp_fixture *f, const struct snp_fixture_list *list,
                           struct buf *out);

/* Signs with the VLEK when KEY_INFO says so, else with the VCEK; sets r and s. */
void snp_fixture_sign(const struct snp_fixture *f, struct snp_report *report,
                      uint8_t out[SNP_REPORT_SIZE]);
/* Fill, sign, and the certificates, as a host hands them out. `out` is empty before. */
void snp_fixture_issue(const struct snp_fixture *f, const uint8_t report_data[64],
                       const uint8_t host_data[32], struct issuer_evidence *out);

#endif
