/* SNP products: which machine a report comes from, its root, and how it writes a TCB version.
 *
 *   byte           0          1            2     3     4..5   6     7
 *   Milan, Genoa   bootloader TEE          0     0     0      SNP   microcode
 *   Turin          FMC        bootloader   TEE   SNP   0      0     microcode
 *
 * AMD 56860 section 2.2, AMD 57230 table 8. Bergamo and Siena are Genoa.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SNP_PRODUCT_H
#define CONTRAST_SNP_PRODUCT_H

#include "attest/snp_report.h"
#include "lib/manifest/manifest.h"

/* "Milan", "Genoa", "Turin"; "unknown" otherwise. Also the name in AMD's KDS addresses. */
const char *snp_product_line(enum snp_product product);
/* The product of exactly this name, e.g. the tail of an issuer's CN; UNKNOWN for any other. */
enum snp_product snp_product_from_line(const char *name, size_t size);

/* From display family and model (version 3 on). UNKNOWN for a machine whose root is not known. */
enum snp_product snp_product_from_cpuid(uint8_t family, uint8_t model);
/* The report's own word: CPUID, or for version 2 a CHIP_ID of eight bytes (Turin); else UNKNOWN. */
enum snp_product snp_product_of_report(const struct snp_report *report);

/* SHA-256 of the SubjectPublicKeyInfo of AMD's root (ARK); NULL for UNKNOWN. 32 bytes, static. */
const uint8_t *snp_product_root(enum snp_product product);

/* MALFORMED when a reserved byte is not zero or the product is UNKNOWN. */
RESULT snp_tcb_decode(enum snp_product product, const uint8_t raw[8], struct snp_tcb *out,
                      struct err *err);
void snp_tcb_encode(enum snp_product product, const struct snp_tcb *tcb, uint8_t raw[8]);

/* True when no component of `a` is below that of `b`. On false *component (may be NULL) names the
 * first one that is, as in "SNP". Never compare a TCB as one number. */
bool snp_tcb_at_least(const struct snp_tcb *a, const struct snp_tcb *b, const char **component);
bool snp_tcb_equal(const struct snp_tcb *a, const struct snp_tcb *b, const char **component);
/* "bootloader 4, TEE 0, SNP 24, microcode 219", with FMC first on Turin. */
void snp_tcb_format(enum snp_product product, const struct snp_tcb *tcb, char *out, size_t size);

/* Addresses at AMD's key distribution service (AMD 57230 section 4), SNP_KDS_BASE first; nothing is
 * fetched here. */
#define SNP_KDS_BASE "https://kdsintf.amd.com"
void snp_kds_vcek_url(enum snp_product product, const struct snp_report *report, char *out,
                      size_t size);
void snp_kds_chain_url(enum snp_product product, enum snp_signing_key kind, char *out, size_t size);

#endif
