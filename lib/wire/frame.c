/* Frames: see wire.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "lib/base/limits.h"
#include "lib/wire/wire.h"

static void store_header(uint8_t *at, size_t body_size, uint8_t type, uint16_t request) {
    CHECK(body_size <= LIMIT_FRAME_BODY);
    store_u32be(at, (uint32_t)body_size);
    at[4] = type;
    at[5] = FRAME_VERSION;
    at[6] = (uint8_t)(request >> 8);
    at[7] = (uint8_t)(request & 0xff);
}

void frame_encode(uint8_t type, uint16_t request, struct span body, struct buf *out) {
    store_header(buf_extend(out, FRAME_HEADER_SIZE), body.size, type, request);
    buf_append_span(out, body);
}

void frame_encode_message(uint8_t type, uint16_t request, const struct wire_type *wire_type,
                          const void *message, struct buf *out) {
    size_t start = out->size;
    memset(buf_extend(out, FRAME_HEADER_SIZE), 0, FRAME_HEADER_SIZE);
    wire_encode(wire_type, message, out);
    store_header(out->data + start, out->size - start - FRAME_HEADER_SIZE, type, request);
}

struct result frame_decode(struct span bytes, size_t limit, struct frame *frame, size_t *used,
                           struct err *err) {
    *used = 0;
    if (bytes.size < FRAME_HEADER_SIZE) {
        return OK;
    }
    size_t size = load_u32be(bytes.data);
    ENSURE(bytes.data[5] == FRAME_VERSION, err, MALFORMED, "frame of version %u, want %d",
           bytes.data[5], FRAME_VERSION);
    ENSURE(size <= limit, err, TOO_LARGE, "frame of type %u: body of %zu bytes, limit %zu",
           bytes.data[4], size, limit);
    if (bytes.size - FRAME_HEADER_SIZE < size) {
        return OK;
    }
    frame->type = bytes.data[4];
    frame->request = (uint16_t)(bytes.data[6] << 8 | bytes.data[7]);
    frame->body = span_of(bytes.data + FRAME_HEADER_SIZE, size);
    *used = FRAME_HEADER_SIZE + size;
    return OK;
}
