/* Fuzz: any bytes as a message; what decodes must encode to the same bytes.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/wire.h"

struct inner {
    uint8_t tag;
    struct span data;
};
static const struct wire_field inner_fields[] = {
    WIRE_U8(struct inner, tag),
    WIRE_BYTES(struct inner, data, 64),
};
static const struct wire_type inner_type = WIRE_TYPE(struct inner, inner_fields);

struct outer {
    uint64_t id;
    int64_t time;
    bool flag;
    uint8_t digest[4];
    char *name;
    struct inner one;
    struct wire_list many;
};
static const struct wire_field outer_fields[] = {
    WIRE_U64(struct outer, id),
    WIRE_I64(struct outer, time),
    WIRE_BOOL(struct outer, flag),
    WIRE_FIXED(struct outer, digest),
    WIRE_STR(struct outer, name, 16),
    WIRE_MSG(struct outer, one, &inner_type),
    WIRE_LIST(struct outer, many, 8, &inner_type),
};
static const struct wire_type outer_type = WIRE_TYPE(struct outer, outer_fields);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    AUTO(buf_deinit)
    struct buf again = {0};
    struct outer message = {0};
    if (is_ok(wire_decode(&outer_type, span_of(data, size), &arena, &message, NULL))) {
        wire_encode(&outer_type, &message, &again);
        CHECK(span_equal(buf_span(&again), span_of(data, size)));
    }
    return 0;
}
