/* Node codec: tables of the message kinds, and what each must satisfy by itself.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "consensus/node_codec.h"

#include <raft.h>
#include <string.h>

#include "consensus/node_config.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Bytes: of a message without its lists, of an entry without its data, of a member. */
#define HINT_MESSAGE 128
#define HINT_ENTRY 17
#define HINT_MEMBER 12

static const struct wire_field entry_fields[] = {
    WIRE_U64(struct node_wire_entry, term),
    WIRE_U8(struct node_wire_entry, type),
    WIRE_BYTES(struct node_wire_entry, data, LIMIT_ENTRY),
};
static const struct wire_type entry_type = WIRE_TYPE(struct node_wire_entry, entry_fields);

static const struct wire_field append_fields[] = {
    WIRE_U64(struct node_append, term),
    WIRE_U64(struct node_append, prev_index),
    WIRE_U64(struct node_append, prev_term),
    WIRE_U64(struct node_append, commit),
    WIRE_U8(struct node_append, version),
    WIRE_LIST(struct node_append, entries, LIMIT_APPEND_ENTRIES, &entry_type),
};
static const struct wire_type append_type = WIRE_TYPE(struct node_append, append_fields);

static const struct wire_field append_result_fields[] = {
    WIRE_U64(struct node_append_result, term),       WIRE_U64(struct node_append_result, rejected),
    WIRE_U64(struct node_append_result, last_index), WIRE_U64(struct node_append_result, features),
    WIRE_U8(struct node_append_result, version),
};
static const struct wire_type append_result_type =
    WIRE_TYPE(struct node_append_result, append_result_fields);

static const struct wire_field vote_fields[] = {
    WIRE_U64(struct node_vote, term),
    WIRE_U64(struct node_vote, last_index),
    WIRE_U64(struct node_vote, last_term),
    WIRE_U8(struct node_vote, version),
    WIRE_BOOL(struct node_vote, disrupt_leader),
    WIRE_BOOL(struct node_vote, pre_vote),
};
static const struct wire_type vote_type = WIRE_TYPE(struct node_vote, vote_fields);

static const struct wire_field vote_result_fields[] = {
    WIRE_U64(struct node_vote_result, term),      WIRE_U64(struct node_vote_result, features),
    WIRE_U8(struct node_vote_result, version),    WIRE_BOOL(struct node_vote_result, granted),
    WIRE_BOOL(struct node_vote_result, pre_vote),
};
static const struct wire_type vote_result_type =
    WIRE_TYPE(struct node_vote_result, vote_result_fields);

static const struct wire_field member_fields[] = {
    WIRE_U64(struct node_wire_member, id),
    WIRE_U8(struct node_wire_member, role),
};
static const struct wire_type member_type = WIRE_TYPE(struct node_wire_member, member_fields);

static const struct wire_field chunk_fields[] = {
    WIRE_U64(struct node_chunk, term),
    WIRE_U64(struct node_chunk, transfer),
    WIRE_U64(struct node_chunk, last_index),
    WIRE_U64(struct node_chunk, last_term),
    WIRE_U64(struct node_chunk, config_index),
    WIRE_U8(struct node_chunk, version),
    WIRE_LIST(struct node_chunk, members, LIMIT_MEMBERS, &member_type),
    WIRE_U64(struct node_chunk, total),
    WIRE_U64(struct node_chunk, offset),
    WIRE_BYTES(struct node_chunk, data, LIMIT_SNAPSHOT_CHUNK),
};
static const struct wire_type chunk_type = WIRE_TYPE(struct node_chunk, chunk_fields);

static const struct wire_field chunk_ack_fields[] = {
    WIRE_U64(struct node_chunk_ack, transfer),
    WIRE_U64(struct node_chunk_ack, size),
};
static const struct wire_type chunk_ack_type = WIRE_TYPE(struct node_chunk_ack, chunk_ack_fields);

static const struct wire_field timeout_now_fields[] = {
    WIRE_U64(struct node_timeout_now, term),
    WIRE_U64(struct node_timeout_now, last_index),
    WIRE_U64(struct node_timeout_now, last_term),
    WIRE_U8(struct node_timeout_now, version),
};
static const struct wire_type timeout_now_type =
    WIRE_TYPE(struct node_timeout_now, timeout_now_fields);

static const struct wire_field probe_fields[] = {
    WIRE_U64(struct node_probe, term),
    WIRE_U64(struct node_probe, round),
};
static const struct wire_type probe_type = WIRE_TYPE(struct node_probe, probe_fields);

static const struct wire_type *const kinds[NODE_KIND_COUNT] = {
    [NODE_KIND_APPEND] = &append_type,
    [NODE_KIND_APPEND_RESULT] = &append_result_type,
    [NODE_KIND_VOTE] = &vote_type,
    [NODE_KIND_VOTE_RESULT] = &vote_result_type,
    [NODE_KIND_CHUNK] = &chunk_type,
    [NODE_KIND_CHUNK_ACK] = &chunk_ack_type,
    [NODE_KIND_TIMEOUT_NOW] = &timeout_now_type,
    [NODE_KIND_PROBE] = &probe_type,
    [NODE_KIND_PROBE_ACK] = &probe_type,
};

static RESULT check_number(uint64_t v, const char *name, struct err *err) {
    ENSURE(v < NODE_CODEC_NUMBER_MAX, err, MALFORMED, "%s is %llu, want less than 2^62", name,
           (unsigned long long)v);
    return OK;
}

static RESULT check_term(uint64_t term, struct err *err) {
    ENSURE(term != 0, err, MALFORMED, "term is 0");
    return check_number(term, "term", err);
}

/* A position in a log: index 0 and term 0 belong together. */
static RESULT check_position(uint64_t index, uint64_t term, uint64_t newest_term, struct err *err) {
    TRY(check_number(index, "index", err));
    ENSURE((index == 0) == (term == 0), err, MALFORMED, "index %llu with term %llu",
           (unsigned long long)index, (unsigned long long)term);
    ENSURE(term <= newest_term, err, MALFORMED, "entry of term %llu in a message of term %llu",
           (unsigned long long)term, (unsigned long long)newest_term);
    return OK;
}

static RESULT check_entry(const struct node_wire_entry *e, struct err *err) {
    struct node_config config;
    switch (e->type) {
    case RAFT_COMMAND:
        ENSURE(e->data.size > 0, err, MALFORMED, "empty command");
        return OK;
    case RAFT_BARRIER:
        ENSURE(e->data.size == 8, err, MALFORMED, "barrier of %zu bytes, want 8", e->data.size);
        return OK;
    case RAFT_CHANGE:
        ENSURE(node_config_parse(e->data, &config), err, MALFORMED, "not a configuration");
        return OK;
    default:
        return err_set(err, ERR_MALFORMED, "type %u", e->type);
    }
}

static RESULT check_append(const struct node_append *a, struct err *err) {
    TRY(check_term(a->term, err));
    TRY(check_number(a->commit, "commit", err));
    TRY(check_position(a->prev_index, a->prev_term, a->term, err));
    const struct node_wire_entry *entries = a->entries.items;
    uint64_t term = a->prev_term;
    for (size_t i = 0; i < a->entries.count; i++) {
        ENSURE(entries[i].term != 0 && entries[i].term >= term && entries[i].term <= a->term, err,
               MALFORMED, "entry %zu has term %llu between %llu and %llu", i,
               (unsigned long long)entries[i].term, (unsigned long long)term,
               (unsigned long long)a->term);
        term = entries[i].term;
        struct result r = check_entry(&entries[i], err);
        if (!is_ok(r)) {
            return err_wrap(r, err, "entry %zu", i);
        }
    }
    return OK;
}

static RESULT check_append_result(const struct node_append_result *a, struct err *err) {
    TRY(check_term(a->term, err));
    TRY(check_number(a->rejected, "rejected", err));
    TRY(check_number(a->last_index, "last index", err));
    ENSURE(a->features <= UINT16_MAX, err, MALFORMED, "features");
    return OK;
}

static RESULT check_chunk(const struct node_chunk *c, struct err *err) {
    struct node_config config;
    TRY(check_term(c->term, err));
    ENSURE(c->last_index != 0, err, MALFORMED, "snapshot at index 0");
    TRY(check_position(c->last_index, c->last_term, c->term, err));
    ENSURE(c->config_index != 0 && c->config_index <= c->last_index, err, MALFORMED,
           "configuration index");
    ENSURE(node_config_from_wire(&c->members, &config), err, MALFORMED, "members");
    ENSURE(c->total > 0 && c->total <= LIMIT_SNAPSHOT, err, TOO_LARGE,
           "snapshot of %llu bytes, limit %d", (unsigned long long)c->total, LIMIT_SNAPSHOT);
    ENSURE(c->data.size > 0 && c->offset < c->total && c->data.size <= c->total - c->offset, err,
           MALFORMED, "chunk outside of its snapshot");
    return OK;
}

RESULT node_codec_check(const struct node_message *m, struct err *err) {
    switch (m->kind) {
    case NODE_KIND_APPEND:
        return check_append(&m->body.append, err);
    case NODE_KIND_APPEND_RESULT:
        return check_append_result(&m->body.append_result, err);
    case NODE_KIND_VOTE:
        TRY(check_term(m->body.vote.term, err));
        return check_position(m->body.vote.last_index, m->body.vote.last_term, m->body.vote.term,
                              err);
    case NODE_KIND_VOTE_RESULT:
        ENSURE(m->body.vote_result.features <= UINT16_MAX, err, MALFORMED, "features");
        ENSURE(m->body.vote_result.version > 1, err, MALFORMED, "version");
        return check_term(m->body.vote_result.term, err);
    case NODE_KIND_CHUNK:
        return check_chunk(&m->body.chunk, err);
    case NODE_KIND_CHUNK_ACK:
        ENSURE(m->body.chunk_ack.size <= LIMIT_SNAPSHOT, err, MALFORMED, "size");
        return OK;
    case NODE_KIND_TIMEOUT_NOW:
        TRY(check_term(m->body.timeout_now.term, err));
        return check_position(m->body.timeout_now.last_index, m->body.timeout_now.last_term,
                              m->body.timeout_now.term, err);
    case NODE_KIND_PROBE:
    case NODE_KIND_PROBE_ACK:
        return check_term(m->body.probe.term, err);
    case NODE_KIND_COUNT:
    default:
        return err_set(err, ERR_MALFORMED, "message kind %d", (int)m->kind);
    }
}

size_t node_codec_size_hint(const struct node_message *m) {
    size_t size = HINT_MESSAGE;
    if (m->kind == NODE_KIND_CHUNK) {
        size += m->body.chunk.members.count * HINT_MEMBER + m->body.chunk.data.size;
    } else if (m->kind == NODE_KIND_APPEND) {
        const struct node_wire_entry *entries = m->body.append.entries.items;
        for (size_t i = 0; i < m->body.append.entries.count; i++) {
            size += HINT_ENTRY + entries[i].data.size;
        }
    }
    return size;
}

void node_codec_encode(const struct node_message *m, struct buf *out) {
    CHECK(m->kind > 0 && m->kind < NODE_KIND_COUNT);
    buf_append_u8(out, (uint8_t)m->kind);
    buf_append_u64be(out, m->sequence);
    wire_encode(kinds[m->kind], &m->body, out);
}

RESULT node_codec_decode_shape(struct span bytes, struct arena *arena, struct node_message *m,
                               struct err *err) {
    ENSURE(bytes.size > NODE_CODEC_HEADER_SIZE, err, MALFORMED, "message of %zu bytes", bytes.size);
    uint8_t kind = bytes.data[0];
    ENSURE(kind > 0 && kind < NODE_KIND_COUNT, err, MALFORMED, "message kind %u", kind);
    struct node_message found = {.kind = kind, .sequence = load_u64be(bytes.data + 1)};
    struct span body =
        span_of(bytes.data + NODE_CODEC_HEADER_SIZE, bytes.size - NODE_CODEC_HEADER_SIZE);
    TRY(wire_decode(kinds[kind], body, arena, &found.body, err));
    *m = found;
    return OK;
}

RESULT node_codec_decode(struct span bytes, struct arena *arena, struct node_message *message,
                         struct err *err) {
    struct node_message found = {0};
    TRY(node_codec_decode_shape(bytes, arena, &found, err));
    struct result r = node_codec_check(&found, err);
    if (!is_ok(r)) {
        CHECK(found.kind > 0 && found.kind < NODE_KIND_COUNT);
        return err_wrap(r, err, "%s", kinds[found.kind]->name);
    }
    *message = found;
    return OK;
}
