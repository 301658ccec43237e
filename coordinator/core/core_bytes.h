/* Core, bytes: a counted block that is filled once and then only read. Any thread may let go.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CORE_BYTES_H
#define CONTRAST_CORE_BYTES_H

#include <stdatomic.h>

#include "lib/base/bytes.h"

struct core_bytes {
    atomic_uint refs;
    size_t size;    /* bytes */
    uint8_t data[]; /* no secrets: not wiped */
};

/* One reference; the bytes are for the caller to fill, right away. */
struct core_bytes *core_bytes_new(size_t size);
struct core_bytes *core_bytes_ref(struct core_bytes *b);
void core_bytes_unref(struct core_bytes *b); /* accepts NULL */

/* Copies `s` to *at in a block and moves *at behind it: fills a block with many spans. */
struct span core_bytes_put(uint8_t **at, struct span s);

#endif
