/* Fuzz: a peer that sends and takes snapshots as it likes, over links that break, in any order.
 *
 * The input is a list of steps of six bytes: operation, four small fields, time. One node is a
 * joiner that peers 1 and 2 send chunks to; the other leads and has a snapshot under way to peer 2.
 * Nothing may crash, what is put together stays below what its sender announced, and the leader
 * holds no more transfers than it may.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "consensus/node_internal.h"
#include "lib/base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STEP_SIZE 6
#define STEPS_MAX 200
#define UNIT 700 /* bytes: offsets and sizes are multiples */
#define STATE_SIZE (LIMIT_SNAPSHOT_CHUNK + 5 * UNIT)

static uint64_t now;
static uint8_t content[256 * UNIT];

static uint64_t monotonic(void *data) {
    (void)data;
    return now;
}

static int64_t unix_time(void *data) {
    (void)data;
    return 0;
}

static void fill_random(void *data, void *out, size_t size) {
    (void)data;
    memset(out, 7, size);
}

static void drop_line(void *data, enum log_level level, const char *line) {
    (void)data;
    (void)level;
    (void)line;
}

static void on_send(void *data, uint64_t peer, struct span message) {
    (void)data;
    CHECK(peer != 0 && message.size <= LIMIT_FRAME_BODY);
}

static void on_apply(void *data, uint64_t index, uint64_t term, struct span command) {
    (void)data;
    (void)command;
    CHECK(index > 0 && term > 0);
}

static void on_configured(void *data, uint64_t index, const struct node_member *members,
                          size_t count) {
    (void)data;
    (void)index;
    CHECK(count > 0 && members[0].id != 0);
}

static void on_save(void *data, struct buf *out) {
    static const uint8_t state[STATE_SIZE];
    (void)data;
    buf_append(out, state, sizeof state);
}

static RESULT on_load(void *data, struct span bytes, uint64_t index, struct err *err) {
    (void)data;
    (void)index;
    (void)err;
    CHECK(bytes.size > 0 && bytes.size <= LIMIT_SNAPSHOT);
    return OK;
}

static void on_role(void *data, enum node_role role, uint64_t term, uint64_t leader) {
    (void)data;
    (void)role;
    (void)term;
    (void)leader;
}

static void deliver(struct node *node, uint64_t from, struct node_message *m) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    struct err err;
    static uint64_t sequence = 0;
    m->sequence = ++sequence;
    node_codec_encode(m, &bytes);
    err_ignore(node_receive(node, from, buf_span(&bytes), &err), "any answer will do");
}

static void deliver_chunk(struct node *node, uint64_t from, const uint8_t *step) {
    struct node_wire_member members[] = {{from, NODE_VOTER}, {9, NODE_STANDBY}};
    struct node_message m = {.kind = NODE_KIND_CHUNK};
    m.body.chunk = (struct node_chunk){.term = 1 + (step[4] >> 6),
                                       .transfer = 1 + (step[1] & 3),
                                       .last_index = 10 + (step[1] >> 6),
                                       .last_term = 1,
                                       .config_index = 3,
                                       .version = 1,
                                       .members = {members, 2},
                                       .total = (1ULL + (step[1] >> 2 & 15)) * UNIT,
                                       .offset = (uint64_t)step[2] * UNIT,
                                       .data = span_of(content, (size_t)(step[3] & 15) * UNIT)};
    deliver(node, from, &m);
}

static void deliver_ack(struct node *node, uint64_t from, const uint8_t *step) {
    static const size_t sizes[] = {0,          UNIT,          LIMIT_SNAPSHOT_CHUNK, STATE_SIZE - 1,
                                   STATE_SIZE, STATE_SIZE + 1};
    struct node_message m = {.kind = NODE_KIND_CHUNK_ACK};
    m.body.chunk_ack = (struct node_chunk_ack){step[1] & 3, sizes[step[2] % 6] + (step[3] >> 6)};
    deliver(node, from, &m);
}

/* What starts and ends a transfer on the leader, and shows the joiner a leader. */
static void deliver_append(struct node *node, uint64_t from, const uint8_t *step) {
    struct node_message m = {.kind = NODE_KIND_APPEND_RESULT};
    uint64_t last = node_last_index(node);
    m.body.append_result = (struct node_append_result){
        .term = node_term(node) + (step[1] == 255),
        .rejected = (step[1] & 1) != 0 && last > step[2] ? last - step[2] : 0,
        .last_index = step[3] > last ? 0 : last - step[3],
        .version = 1};
    if ((step[1] & 2) != 0) {
        m.kind = NODE_KIND_APPEND;
        m.body.append = (struct node_append){.term = 1 + (step[4] >> 6), .version = 1};
    }
    if (m.kind == NODE_KIND_APPEND || m.body.append_result.term > 0) {
        deliver(node, from, &m);
    }
}

static void check(const struct node *node) {
    size_t sending = 0;
    size_t receiving = 0;
    for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
        const struct node_peer *p = &node->peers[i];
        sending += p->out.snapshot != NULL;
        receiving += p->in.transfer != 0;
        CHECK(p->in.data.size <= 16 * UNIT);
        CHECK(p->out.snapshot == NULL ||
              (p->out.acked <= p->out.sent && p->out.sent <= p->out.snapshot->data.size));
    }
    CHECK(sending <= LIMIT_TRANSFERS && receiving <= 1);
}

static void act(struct node *node, const uint8_t *step) {
    uint64_t from = 1 + (step[4] & 1);
    struct err err;
    uint64_t index;
    uint64_t term;
    switch (step[0] % 8) {
    case 0:
    case 1:
        deliver_chunk(node, from, step);
        break;
    case 2:
        deliver_ack(node, from, step);
        break;
    case 3:
        deliver_append(node, from, step);
        break;
    case 4:
        node_peer_reset(node, from);
        break;
    case 5:
        node_leader_gone(node, from);
        break;
    case 6:
        err_ignore(node_submit(node, SPAN("command"), &index, &term, &err), "any answer will do");
        break;
    default:
        err_ignore(node_transfer(node, from, &err), "any answer will do");
    }
    now += (uint64_t)step[5] * step[5]; /* up to 65 s */
    if (node_deadline(node) <= now) {
        node_tick(node);
    }
    check(node);
}

static const struct host host = {NULL, monotonic, unix_time, fill_random};
static const struct node_io io = {NULL,    on_send, on_apply, on_configured,
                                  on_save, on_load, on_role};

static struct node *make(uint64_t id) {
    struct node_options options = node_options_default;
    struct node *node;
    options.snapshot_threshold = 4;
    options.snapshot_trailing = options.max_inflight = 2;
    if (!is_ok(node_new(id, &io, &host, &options, &node, NULL))) {
        abort();
    }
    return node;
}

static struct node *make_leader(void) {
    static const uint8_t reject[] = {3, 1, 0, 255, 1, 0};
    struct node *node = make(5);
    if (!is_ok(node_restore(node, 100, 3, NULL)) || !is_ok(node_add_standby(node, 2, NULL))) {
        abort();
    }
    node_tick(node);
    for (int i = 0; i < 3; i++) {
        deliver_append(node, 2, reject);
    }
    CHECK(node__peer(node, 2, true)->out.snapshot != NULL);
    return node;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    log_set_sink(drop_line, NULL);
    now = 1000;
    struct node *joiner = make(9);
    struct node *leader = make_leader();
    static const uint8_t heartbeat[] = {3, 2, 0, 0, 0, 0};
    node_join(joiner);
    deliver_append(joiner, 1, heartbeat);
    CHECK(node_leader(joiner) == 1);
    for (size_t i = 0; i < STEPS_MAX && (i + 1) * STEP_SIZE <= size; i++) {
        act(joiner, data + i * STEP_SIZE);
        act(leader, data + i * STEP_SIZE);
    }
    node_free(joiner);
    node_free(leader);
    return 0;
}
