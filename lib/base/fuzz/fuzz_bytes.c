/* Fuzz target: hexadecimal and base64. What decodes must encode to the same text; what is refused
 * must leave the output alone.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

#include "lib/base/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_base64(struct span text) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    AUTO(buf_deinit)
    struct buf back = {0};
    buf_append_str(&bytes, "before");
    struct result r = base64_decode(text, &bytes, NULL);
    if (!is_ok(r)) {
        CHECK(span_equal(buf_span(&bytes), span_str("before")));
        return;
    }
    buf_consume(&bytes, 6);
    base64_encode(buf_span(&bytes), &back);
    CHECK(span_equal(buf_span(&back), text));
}

static void try_hex(struct span text) {
    uint8_t bytes[32];
    char back[65];
    if (text.size / 2 > sizeof bytes || !is_ok(hex_decode(text, bytes, text.size / 2, NULL))) {
        return;
    }
    hex_encode(span_of(bytes, text.size / 2), back);
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        CHECK(back[i] == (c >= 'A' && c <= 'F' ? c + 32 : c));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    try_base64(span_of(data, size));
    try_hex(span_of(data, size));
    return 0;
}
