/* SRI: what a file must hash to, in the form of the W3C's Subresource Integrity.
 *
 *   "sha256-<base64>"   "sha384-<base64> sha512-<base64>"
 *
 * Of several the strongest counts, as section 3.3.4 of the recommendation says; two of the same
 * strength are refused: which of them is meant, nobody could tell. Options ("?...") are refused.
 * Pure. Source: W3C "Subresource Integrity", 3.5.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SRI_H
#define CONTRAST_SRI_H

#include "lib/base/bytes.h"

#define SRI_DIGEST_MAX 64

struct sri {
    size_t size; /* bytes of digest: 32, 48 or 64; 0 = none given */
    uint8_t digest[SRI_DIGEST_MAX];
};

/* INVALID says which part is wrong. */
RESULT sri_parse(const char *text, struct sri *out, struct err *err);

/* The strongest digest as "sha256-...", appended. */
void sri_encode(const struct sri *sri, struct buf *out);

#endif
