/* Frames between members that are not Raft's: what they carry, and their one parser each.
 *
 *   BEAT      applied u64be, unix seconds i64be          every REPLICA_BEAT_MS, and when a link
 * comes up PEER      a row of the member table                  to a member that may have missed
 * its ADMIT DECLINED  sequence, code, retry, text                the leader took a forwarded entry
 * not ALARM     id, code, text                             something that a person must know
 *
 * Decoding is total: MALFORMED or TOO_LARGE. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_REPLICA_FRAMES_H
#define CONTRAST_REPLICA_FRAMES_H

#include "coordinator/core/entry.h"

struct replica_beat {
    uint64_t applied;
    int64_t time; /* unix seconds, the sender's clock */
};

struct replica_declined {
    uint64_t sequence; /* of the receiver's proposal */
    uint64_t code;     /* enum err_code, the wire number */
    uint64_t retry_ms;
    char *text;
};

struct replica_peer_row {
    uint64_t applied; /* of the sender: the row is from there */
    struct entry_member member;
};

struct replica_alarm_frame {
    uint64_t id; /* of the replica that it is about; 0 = none */
    char *code;
    char *text;
};

void replica_beat_encode(const struct replica_beat *b, struct buf *out);
RESULT replica_beat_decode(struct span body, struct replica_beat *out, struct err *err);

void replica_declined_encode(const struct replica_declined *d, struct buf *out);
void replica_peer_row_encode(const struct replica_peer_row *p, struct buf *out);
void replica_alarm_encode(const struct replica_alarm_frame *a, struct buf *out);

/* What *out points to lies in `arena`. */
RESULT replica_declined_decode(struct span body, struct arena *arena, struct replica_declined *out,
                               struct err *err);
/* With entry_member_check. */
RESULT replica_peer_row_decode(struct span body, struct arena *arena, struct replica_peer_row *out,
                               struct err *err);
RESULT replica_alarm_decode(struct span body, struct arena *arena, struct replica_alarm_frame *out,
                            struct err *err);

#endif
