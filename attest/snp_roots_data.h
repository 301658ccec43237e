/* The bytes behind snp_roots.h, a file for each product.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SNP_ROOTS_DATA_H
#define CONTRAST_SNP_ROOTS_DATA_H

#include <stdint.h>

extern const uint8_t SNP_ROOTS_MILAN_ARK[1639];
extern const uint8_t SNP_ROOTS_MILAN_ASK[1677];
extern const uint8_t SNP_ROOTS_MILAN_ASVK[1683];
extern const uint8_t SNP_ROOTS_GENOA_ARK[1639];
extern const uint8_t SNP_ROOTS_GENOA_ASK[1677];
extern const uint8_t SNP_ROOTS_GENOA_ASVK[1683];
extern const uint8_t SNP_ROOTS_TURIN_ARK[1639];
extern const uint8_t SNP_ROOTS_TURIN_ASK[1677];
extern const uint8_t SNP_ROOTS_TURIN_ASVK[1683];

#endif
