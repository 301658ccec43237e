/* AMD's certificate authorities: the nine certificates that every genuine chain hangs from, built
 * in as AMD's key service publishes them (AMD 57230 section 4.2).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SNP_ROOTS_H
#define CONTRAST_SNP_ROOTS_H

#include "attest/snp_cert.h"

/* DER, static. `kind` is SNP_CERT_ARK, _ASK or _ASVK; empty for any other kind or product. */
struct span snp_roots_der(enum snp_product product, enum snp_cert_kind kind);

#endif
