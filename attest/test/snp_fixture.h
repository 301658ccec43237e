/* SNP fixture: a machine for tests, with its own ARK, ASK and VCEK in AMD's exact formats, made
 * when the test starts. A verifier that permits the digest of its ARK must accept its reports.
 *
 * Making two RSA-4096 keys takes seconds: one fixture per test program.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SNP_FIXTURE_H
#define CONTRAST_SNP_FIXTURE_H

#include <openssl/types.h>

#include "attest/issuer.h"
#include "attest/snp_product.h"
#include "attest/snp_report.h"
#include "lib/manifest/manifest.h"

#define SNP_FIXTURE_NOT_BEFORE INT64_C(1735689600) /* 2025-01-01 */
#define SNP_FIXTURE_NOW INT64_C(1767225600)        /* 2026-01-01: every certificate is valid */
#define SNP_FIXTURE_NOT_AFTER INT64_C(1956528000)  /* 2032-01-01 */

struct snp_fixture {
    enum snp_product product;
    EVP_PKEY *ark_key; /* RSA-4096, owned, as the two below */
    EVP_PKEY *ask_key;
    EVP_PKEY *vcek_key; /* P-384 */
    struct buf ark;     /* DER certificates */
    struct buf ask;
    struct buf vcek;
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
/* Signs with the VCEK; sets r and s. */
void snp_fixture_sign(const struct snp_fixture *f, struct snp_report *report,
                      uint8_t out[SNP_REPORT_SIZE]);
/* Fill, sign, and the certificates, as a host hands them out. `out` is empty before. */
void snp_fixture_issue(const struct snp_fixture *f, const uint8_t report_data[64],
                       const uint8_t host_data[32], struct issuer_evidence *out);

#endif
