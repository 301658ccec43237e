/* PEM: the blocks of a text file (RFC 7468), whatever they hold.
 *
 * For files that a person hands to a program: bundles of certificates, revocation lists. What
 * stands between the blocks is skipped, as RFC 7468 section 2 allows. What must hold one
 * certificate and nothing else is read by cert_from_pem, keys by key_from_pem.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_PEM_H
#define CONTRAST_PEM_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/bytes.h"

/* One block: `der` is borrowed for the call. */
typedef struct result (*pem_block_cb)(void *data, struct span der, struct err *err);

/* True when the file looks like PEM and not like DER: "-----BEGIN " stands somewhere in it. */
bool pem_is_text(struct span file);

/* Hands every block with this label ("CERTIFICATE", "X509 CRL") to `on_block`, in order, and counts
 * those that it took; blocks with other labels are passed over. Stops at the first failure of
 * `on_block`, which is returned, and at a block that is damaged: what follows is not read.
 * TOO_LARGE over 2 GiB. */
RESULT pem_each(struct span file, const char *label, pem_block_cb on_block, void *data,
                size_t *count, struct err *err);

#endif
