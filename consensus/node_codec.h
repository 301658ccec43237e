/* Node codec: the messages between replicas.
 *
 *   0: u8 kind    1: u64 sequence number, big-endian    9: msgpack array of that kind (wire.h)
 *
 * The sequence number grows with every message a replica sends to anybody in its life; a receiver
 * takes only growing ones from each peer (rule R6). Every field is encoded by name, never a struct
 * of the library (pitfall P7). Decoding checks everything that can be judged without the receiver's
 * state (pitfall P8); node_receive.c checks the rest.
 *
 * Pure: no I/O, no clock.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_NODE_CODEC_H
#define CONTRAST_NODE_CODEC_H

#include "lib/base/limits.h"
#include "lib/wire/wire.h"

#define NODE_CODEC_HEADER_SIZE 9
/* Terms and indexes a peer may name: far above any real one, far below an overflow. */
#define NODE_CODEC_NUMBER_MAX (UINT64_C(1) << 62)

enum node_kind {
    NODE_KIND_APPEND = 1,
    NODE_KIND_APPEND_RESULT,
    NODE_KIND_VOTE,
    NODE_KIND_VOTE_RESULT,
    NODE_KIND_CHUNK,
    NODE_KIND_CHUNK_ACK,
    NODE_KIND_TIMEOUT_NOW,
    NODE_KIND_PROBE,
    NODE_KIND_PROBE_ACK,
    NODE_KIND_COUNT,
};

struct node_wire_entry {
    uint64_t term;
    uint8_t type; /* enum raft_entry_type */
    struct span data;
};
struct node_append {
    uint64_t term, prev_index, prev_term, commit;
    uint8_t version;
    struct wire_list entries; /* struct node_wire_entry */
};
struct node_append_result {
    uint64_t term, rejected, last_index, features;
    uint8_t version;
};
struct node_vote {
    uint64_t term, last_index, last_term;
    uint8_t version;
    bool disrupt_leader, pre_vote;
};
struct node_vote_result {
    uint64_t term, features;
    uint8_t version;
    bool granted, pre_vote;
};
struct node_wire_member {
    uint64_t id;
    uint8_t role; /* enum node_member_role */
};
/* One piece of a snapshot; every piece repeats what the snapshot is. */
struct node_chunk {
    uint64_t term, transfer, last_index, last_term, config_index;
    uint8_t version;
    struct wire_list members; /* struct node_wire_member */
    uint64_t total, offset;   /* bytes */
    struct span data;
};
/* What the receiver of chunks holds of this transfer. */
struct node_chunk_ack {
    uint64_t transfer, size;
};
struct node_timeout_now {
    uint64_t term, last_index, last_term;
    uint8_t version;
};
/* A leader asks who still follows it in `term`; see node_read.c. */
struct node_probe {
    uint64_t term, round;
};

struct node_message {
    enum node_kind kind;
    uint64_t sequence;
    union {
        struct node_append append;
        struct node_append_result append_result;
        struct node_vote vote;
        struct node_vote_result vote_result;
        struct node_chunk chunk;
        struct node_chunk_ack chunk_ack;
        struct node_timeout_now timeout_now;
        struct node_probe probe; /* PROBE and PROBE_ACK */
    } body;
};

/* Bytes that its encoding may have, or a few more: to reserve once, as growing copies and wipes. */
size_t node_codec_size_hint(const struct node_message *message);
void node_codec_encode(const struct node_message *message, struct buf *out);
/* Byte fields and lists lie in `arena`. MALFORMED or TOO_LARGE names the field. */
RESULT node_codec_decode(struct span bytes, struct arena *arena, struct node_message *message,
                         struct err *err);
/* Shape alone, without the checks of P8: what node_codec_decode does first. */
RESULT node_codec_decode_shape(struct span bytes, struct arena *arena, struct node_message *message,
                               struct err *err);
/* Pitfall P8, the part that needs no state. */
RESULT node_codec_check(const struct node_message *message, struct err *err);

#endif
