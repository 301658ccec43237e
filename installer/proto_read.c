/* Protocol Buffers, reading: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/proto_read.h"

#define VARINT_BYTES 10

static void skip(struct span *s, size_t size) {
    s->data += size;
    s->size -= size;
}

static RESULT read_varint(struct span *rest, uint64_t *out, struct err *err) {
    uint64_t value = 0;
    for (size_t i = 0; i < VARINT_BYTES && i < rest->size; i++) {
        uint8_t byte = rest->data[i];
        ENSURE(i < VARINT_BYTES - 1 || byte <= 1, err, MALFORMED, "protobuf: number over 64 bits");
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) == 0) {
            skip(rest, i + 1);
            *out = value;
            return OK;
        }
    }
    return err_set(err, ERR_MALFORMED, "protobuf: a number is cut off");
}

static RESULT read_fixed(struct span *rest, size_t size, uint64_t *out, struct err *err) {
    ENSURE(rest->size >= size, err, MALFORMED, "protobuf: a number is cut off");
    *out = size == 8 ? load_u64le(rest->data) : load_u32le(rest->data);
    skip(rest, size);
    return OK;
}

static RESULT read_bytes(struct span *rest, struct span *out, struct err *err) {
    uint64_t size = 0;
    TRY(read_varint(rest, &size, err));
    ENSURE(size <= rest->size, err, MALFORMED, "protobuf: a field is longer than its message");
    *out = span_of(rest->data, (size_t)size);
    skip(rest, (size_t)size);
    return OK;
}

RESULT proto_read_next(struct span *rest, struct proto_field *out, bool *is_end, struct err *err) {
    *is_end = rest->size == 0;
    if (*is_end) {
        return OK;
    }
    struct span left = *rest;
    struct proto_field field = {0};
    uint64_t tag = 0;
    TRY(read_varint(&left, &tag, err));
    ENSURE(tag >> 3 > 0 && tag >> 3 < UINT64_C(1) << 29, err, MALFORMED,
           "protobuf: no such field number");
    field.number = (uint32_t)(tag >> 3);
    switch (tag & 7) {
    case 0:
        TRY(read_varint(&left, &field.value, err));
        break;
    case 1:
        TRY(read_fixed(&left, 8, &field.value, err));
        break;
    case 2:
        field.is_bytes = true;
        TRY(read_bytes(&left, &field.bytes, err));
        break;
    case 5:
        TRY(read_fixed(&left, 4, &field.value, err));
        break;
    default:
        return err_set(err, ERR_MALFORMED, "protobuf: no such type of field");
    }
    *rest = left;
    *out = field;
    return OK;
}
