/* DER: whether bytes are in the one encoding (ITU-T X.690 section 10) that X.509 allows.
 *
 * OpenSSL reads BER where a certificate must be DER, and keeps the bytes that it read, so encoding
 * again proves nothing about them. This walks the values themselves; it interprets nothing.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_DER_H
#define CONTRAST_DER_H

#include <stdbool.h>

#include "lib/base/bytes.h"

/* True when `bytes` is exactly one value, and it and all values within are as X.509 wants them
 * (X.690 sections 8 and 10, RFC 5280 section 4.1.2.5):
 * - tags below 31, lengths definite and as short as they can be, nothing behind;
 * - SEQUENCE, SET and tagged values may be constructed, nothing else; the first two must be;
 * - INTEGER, OBJECT IDENTIFIER, BIT STRING and NULL in their shortest form;
 * - BOOLEAN only as TRUE: FALSE is the default wherever X.509 has one, and DER leaves it out;
 * - UTCTime with seconds, GeneralizedTime without fractions, both in Z.
 * What stands in an OCTET STRING or BIT STRING is not looked at. Total: false for any other bytes,
 * and for values nested deeper than LIMIT_DER_DEPTH. */
bool der_is_exact(struct span bytes);

#endif
