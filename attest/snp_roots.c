/* AMD's certificate authorities: see snp_roots.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_roots.h"

#include "attest/snp_roots_data.h"

#define ROW(product, kind, bytes)                                                                  \
    {                                                                                              \
        product, kind, {                                                                           \
            bytes, sizeof bytes                                                                    \
        }                                                                                          \
    }

static const struct {
    enum snp_product product;
    enum snp_cert_kind kind;
    struct span der;
} ROOTS[] = {
    ROW(SNP_MILAN, SNP_CERT_ARK, SNP_ROOTS_MILAN_ARK),
    ROW(SNP_MILAN, SNP_CERT_ASK, SNP_ROOTS_MILAN_ASK),
    ROW(SNP_MILAN, SNP_CERT_ASVK, SNP_ROOTS_MILAN_ASVK),
    ROW(SNP_GENOA, SNP_CERT_ARK, SNP_ROOTS_GENOA_ARK),
    ROW(SNP_GENOA, SNP_CERT_ASK, SNP_ROOTS_GENOA_ASK),
    ROW(SNP_GENOA, SNP_CERT_ASVK, SNP_ROOTS_GENOA_ASVK),
    ROW(SNP_TURIN, SNP_CERT_ARK, SNP_ROOTS_TURIN_ARK),
    ROW(SNP_TURIN, SNP_CERT_ASK, SNP_ROOTS_TURIN_ASK),
    ROW(SNP_TURIN, SNP_CERT_ASVK, SNP_ROOTS_TURIN_ASVK),
};

struct span snp_roots_der(enum snp_product product, enum snp_cert_kind kind) {
    for (size_t i = 0; i < sizeof ROOTS / sizeof ROOTS[0]; i++) {
        if (ROOTS[i].product == product && ROOTS[i].kind == kind) {
            return ROOTS[i].der;
        }
    }
    return (struct span){0};
}
