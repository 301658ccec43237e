/* Link frames: see link_frame.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "consensus/link_frame.h"

#include <inttypes.h>

#include "lib/crypto/digest.h"

static const struct wire_field hello_fields[] = {
    WIRE_FIXED(struct link_hello, identity),
    WIRE_U64(struct link_hello, id),
    WIRE_U64(struct link_hello, connection),
    WIRE_U64(struct link_hello, version),
};
const struct wire_type link_hello_type = WIRE_TYPE(struct link_hello, hello_fields);

void link_frame_identity(const uint8_t cluster[LINK_IDENTITY_SIZE], uint64_t epoch,
                         uint8_t out[LINK_IDENTITY_SIZE]) {
    static const char label[] = "contrast-link-v1";
    uint8_t number[8];
    store_u64be(number, epoch);
    const struct span parts[] = {span_of(label, sizeof label), span_of(cluster, LINK_IDENTITY_SIZE),
                                 SPAN(number)};
    sha256_parts(parts, 3, out);
}

RESULT link_frame_check(const struct frame *frame, bool is_up, struct err *err) {
    bool is_hello = frame->type == LINK_FRAME_HELLO;
    ENSURE(is_up || is_hello, err, PROTOCOL, "a frame of type %u before HELLO", frame->type);
    ENSURE(!is_up || !is_hello, err, PROTOCOL, "a second HELLO");
    if (frame->type == LINK_FRAME_PING) {
        ENSURE(frame->body.size == 0, err, MALFORMED, "a PING of %zu bytes", frame->body.size);
        return OK;
    }
    ENSURE(is_hello || frame->type >= LINK_FRAME_USER_FIRST, err, PROTOCOL, "a frame of type %u",
           frame->type);
    return OK;
}

RESULT link_frame_parse_hello(struct span body, struct link_hello *out, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    return wire_decode(&link_hello_type, body, &arena, out, err);
}

RESULT link_frame_check_hello(const struct link_hello *hello, const struct link_expected *want,
                              struct err *err) {
    struct span identity = span_of(want->identity, LINK_IDENTITY_SIZE);
    ENSURE(span_equal(SPAN(hello->identity), identity), err, DENIED,
           "%" PRIu64 " belongs to another cluster or epoch", want->id);
    ENSURE(hello->id == want->id, err, DENIED, "%" PRIu64 " calls itself %" PRIu64, want->id,
           hello->id);
    if (want->is_dialer) {
        ENSURE(hello->connection == want->connection, err, PROTOCOL, "answers another connection");
    } else {
        ENSURE(hello->connection > want->connection, err, PROTOCOL,
               "an older connection than the present one");
    }
    return OK;
}
