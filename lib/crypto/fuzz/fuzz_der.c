/* Fuzz: any bytes as DER. What is taken is whole: neither a part of it nor more than it is taken.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/crypto/der.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    AUTO(buf_deinit)
    struct buf longer = {0};
    if (!der_is_exact(span_of(data, size))) {
        return 0;
    }
    CHECK(size >= 2 && !der_is_exact(span_of(data, size - 1)));
    buf_append(&longer, data, size);
    buf_append_u8(&longer, 0);
    CHECK(!der_is_exact(buf_span(&longer)));
    return 0;
}
