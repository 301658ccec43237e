/* Frames between members: see replica_frames.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/replica_frames.h"

#define BEAT_SIZE 16

void replica_beat_encode(const struct replica_beat *b, struct buf *out) {
    buf_append_u64be(out, b->applied);
    buf_append_u64be(out, (uint64_t)b->time);
}

RESULT replica_beat_decode(struct span body, struct replica_beat *out, struct err *err) {
    ENSURE(body.size == BEAT_SIZE, err, MALFORMED, "a beat of %zu bytes, want %d", body.size,
           BEAT_SIZE);
    uint64_t time = load_u64be(body.data + 8);
    ENSURE(time <= (uint64_t)ENTRY_TIME_MAX, err, MALFORMED, "a clock beyond the year 9999");
    *out = (struct replica_beat){load_u64be(body.data), (int64_t)time};
    return OK;
}

static const struct wire_field declined_fields[] = {
    WIRE_U64(struct replica_declined, sequence),
    WIRE_U64(struct replica_declined, code),
    WIRE_U64(struct replica_declined, retry_ms),
    WIRE_STR(struct replica_declined, text, ERR_TEXT_SIZE),
};
static const struct wire_type declined_type = WIRE_TYPE(struct replica_declined, declined_fields);

static const struct wire_field peer_row_fields[] = {
    WIRE_U64(struct replica_peer_row, applied),
    WIRE_MSG(struct replica_peer_row, member, &entry_member_type),
};
static const struct wire_type peer_row_type = WIRE_TYPE(struct replica_peer_row, peer_row_fields);

static const struct wire_field alarm_fields[] = {
    WIRE_U64(struct replica_alarm_frame, id),
    WIRE_STR(struct replica_alarm_frame, code, LIMIT_ALARM_CODE),
    WIRE_STR(struct replica_alarm_frame, text, ERR_TEXT_SIZE),
};
static const struct wire_type alarm_type = WIRE_TYPE(struct replica_alarm_frame, alarm_fields);

void replica_declined_encode(const struct replica_declined *d, struct buf *out) {
    wire_encode(&declined_type, d, out);
}

void replica_peer_row_encode(const struct replica_peer_row *p, struct buf *out) {
    wire_encode(&peer_row_type, p, out);
}

void replica_alarm_encode(const struct replica_alarm_frame *a, struct buf *out) {
    wire_encode(&alarm_type, a, out);
}

RESULT replica_declined_decode(struct span body, struct arena *arena, struct replica_declined *out,
                               struct err *err) {
    return wire_decode(&declined_type, body, arena, out, err);
}

RESULT replica_peer_row_decode(struct span body, struct arena *arena, struct replica_peer_row *out,
                               struct err *err) {
    struct replica_peer_row row = {0};
    TRY(wire_decode(&peer_row_type, body, arena, &row, err));
    TRY(entry_member_check(&row.member, err));
    *out = row;
    return OK;
}

RESULT replica_alarm_decode(struct span body, struct arena *arena, struct replica_alarm_frame *out,
                            struct err *err) {
    return wire_decode(&alarm_type, body, arena, out, err);
}
