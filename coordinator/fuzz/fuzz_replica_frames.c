/* Frames between members: the first byte picks the frame, the rest is its body. Whatever it is,
 * decoding returns, and what was decoded encodes to something that decodes again.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/replica_frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_beat(struct span body) {
    struct replica_beat beat;
    AUTO(buf_deinit)
    struct buf again = {0};
    if (is_ok(replica_beat_decode(body, &beat, NULL))) {
        replica_beat_encode(&beat, &again);
        CHECK(span_equal(body, buf_span(&again)));
    }
}

static void try_declined(struct span body, struct arena *arena, struct buf *again) {
    struct replica_declined d;
    if (is_ok(replica_declined_decode(body, arena, &d, NULL))) {
        replica_declined_encode(&d, again);
        CHECK(is_ok(replica_declined_decode(buf_span(again), arena, &d, NULL)));
    }
}

static void try_row(struct span body, struct arena *arena, struct buf *again) {
    struct replica_peer_row row;
    if (is_ok(replica_peer_row_decode(body, arena, &row, NULL))) {
        replica_peer_row_encode(&row, again);
        CHECK(is_ok(replica_peer_row_decode(buf_span(again), arena, &row, NULL)));
    }
}

static void try_alarm(struct span body, struct arena *arena, struct buf *again) {
    struct replica_alarm_frame alarm;
    if (is_ok(replica_alarm_decode(body, arena, &alarm, NULL))) {
        replica_alarm_encode(&alarm, again);
        CHECK(is_ok(replica_alarm_decode(buf_span(again), arena, &alarm, NULL)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    AUTO(buf_deinit)
    struct buf again = {0};
    if (size == 0) {
        return 0;
    }
    struct span body = span_of(data + 1, size - 1);
    switch (data[0] % 4) {
    case 0:
        try_beat(body);
        break;
    case 1:
        try_declined(body, &arena, &again);
        break;
    case 2:
        try_row(body, &arena, &again);
        break;
    default:
        try_alarm(body, &arena, &again);
    }
    return 0;
}
