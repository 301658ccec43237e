/* Fields: each takes something off, stays inside, and its number is one.
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/proto_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span rest = span_of(data, size);
    for (;;) {
        struct proto_field field = {0};
        struct err err;
        bool is_end = false;
        size_t before = rest.size;
        if (!is_ok(proto_read_next(&rest, &field, &is_end, &err)) || is_end) {
            CHECK(rest.size == before);
            return 0;
        }
        CHECK(rest.size < before && rest.data + rest.size == data + size);
        CHECK(field.number > 0 && field.number < 1u << 29);
        if (field.is_bytes) {
            CHECK(field.bytes.data >= data && field.bytes.data + field.bytes.size <= rest.data);
        }
    }
}
