/* Reading certificates: what cert.c and cert_read.c share about OpenSSL's X509.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CERT_READ_H
#define CONTRAST_CERT_READ_H

#include <openssl/types.h>

#include "lib/base/bytes.h"

/* Exactly one DER certificate of at most LIMIT_CERT bytes, no trailing bytes; *out is the caller's
 * (X509_free). MALFORMED otherwise. */
RESULT cert_parse(struct span der, X509 **out, struct err *err);

#endif
