/* Fuzz: any bytes as what a peer sends over a link, before and after its HELLO. Each frame is
 * refused or allowed, HELLO is judged, and one that is accepted has no other encoding.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "consensus/link_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool take_hello(struct span body) {
    static const uint8_t cluster[LINK_IDENTITY_SIZE] = {7};
    uint8_t identity[LINK_IDENTITY_SIZE];
    struct link_hello hello;
    struct err err;
    if (!is_ok(link_frame_parse_hello(body, &hello, &err))) {
        CHECK(err_class_of(err.code) == ERR_CLASS_PEER);
        return false;
    }
    AUTO(buf_deinit)
    struct buf again = {0};
    wire_encode(&link_hello_type, &hello, &again);
    CHECK(span_equal(buf_span(&again), body));
    link_frame_identity(cluster, 1, identity);
    struct link_expected want = {identity, 1, 0, false};
    return is_ok(link_frame_check_hello(&hello, &want, &err));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span rest = span_of(data, size);
    bool is_up = false;
    for (;;) {
        struct frame frame;
        struct err err;
        size_t used = 0;
        size_t limit = is_up ? LIMIT_FRAME_BODY : LIMIT_FRAME_BODY_UNAUTHENTICATED;
        if (!is_ok(frame_decode(rest, limit, &frame, &used, &err)) || used == 0 ||
            !is_ok(link_frame_check(&frame, is_up, &err))) {
            return 0;
        }
        CHECK(is_up || frame.type == LINK_FRAME_HELLO);
        if (frame.type == LINK_FRAME_HELLO && !take_hello(frame.body)) {
            return 0;
        }
        is_up = true;
        rest = span_of(rest.data + used, rest.size - used);
    }
}
