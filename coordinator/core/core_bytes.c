/* Core, bytes: see core_bytes.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/core/core_bytes.h"

#include <string.h>

#include "lib/base/mem.h"

struct core_bytes *core_bytes_new(size_t size) {
    struct core_bytes *b = mem_alloc(sizeof *b + size);
    atomic_init(&b->refs, 1);
    b->size = size;
    return b;
}

struct core_bytes *core_bytes_ref(struct core_bytes *b) {
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void core_bytes_unref(struct core_bytes *b) {
    if (b != NULL && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1) {
        mem_free(b);
    }
}

struct span core_bytes_put(uint8_t **at, struct span s) {
    if (s.size == 0) {
        return span_of(NULL, 0);
    }
    memcpy(*at, s.data, s.size);
    struct span put = span_of(*at, s.size);
    *at += s.size;
    return put;
}
