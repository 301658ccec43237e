/* Fuzz: any bytes as a stream of frames.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span rest = span_of(data, size);
    for (;;) {
        struct frame frame;
        size_t used = 0;
        if (!is_ok(frame_decode(rest, 256, &frame, &used, NULL)) || used == 0) {
            return 0;
        }
        CHECK(used == FRAME_HEADER_SIZE + frame.body.size && used <= rest.size);
        AUTO(buf_deinit)
        struct buf again = {0};
        frame_encode(frame.type, frame.request, frame.body, &again);
        CHECK(span_equal(buf_span(&again), span_of(rest.data, used)));
        rest = span_of(rest.data + used, rest.size - used);
    }
}
