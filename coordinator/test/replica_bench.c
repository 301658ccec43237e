/* Bench of replicas: see replica_bench.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/test/replica_bench.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/crypto/digest.h"

/* --- What a replica is given */

static uint64_t on_monotonic(void *data) {
    return ((struct pod *)data)->bench->now_ms;
}

static int64_t on_unix(void *data) {
    const struct pod *p = data;
    return WORLD_TIME + (int64_t)(p->bench->now_ms / 1000) + p->skew_s;
}

static void on_random(void *data, void *out, size_t size) {
    struct bench *b = ((struct pod *)data)->bench;
    for (size_t i = 0; i < size; i++) {
        b->random = b->random * UINT64_C(6364136223846793005) + 1442695040888963407;
        ((uint8_t *)out)[i] = (uint8_t)(b->random >> 56);
    }
}

static void on_reply(void *data, uint64_t ticket, const struct replica_reply *reply) {
    struct pod *p = data;
    (void)ticket;
    assert_int_equal(p->reply, BENCH_NO_REPLY); /* exactly one */
    p->reply = reply->code;
    p->generation = reply->result == NULL ? 0 : reply->result->generation;
}

static void on_send(void *data, uint64_t peer, uint8_t type, struct span body) {
    struct pod *p = data;
    struct bench *b = p->bench;
    for (unsigned to = 0; to < BENCH_PODS; to++) {
        if (b->pods[to].member.id == peer && p->is_linked[to]) {
            struct message *m = mem_zalloc(sizeof *m);
            m->from = (unsigned)(p - b->pods);
            m->to = to;
            m->type = type;
            buf_append_span(&m->body, body);
            *b->last = m;
            b->last = &m->next;
        }
    }
}

static void on_peers(void *data, const uint8_t cluster[32], const struct replica_peer *peers,
                     size_t count) {
    struct pod *p = data;
    (void)cluster;
    p->early_peers += core_find_member(replica_core(p->replica), p->member.id) == NULL ? 1 : 0;
    p->wanted_count = count;
    for (size_t i = 0; i < count; i++) {
        p->wanted[i] = peers[i].id;
    }
}

static void on_publish(void *data, struct view *view) {
    (void)data;
    view_unref(view);
}

static void on_gone(void *data, const struct err *why) {
    struct pod *p = data;
    assert_false(p->is_gone);
    p->is_gone = true;
    p->gone = why->code;
}

static void silence(void *data, enum log_level level, const char *line) {
    (void)data;
    (void)level;
    (void)line;
}

/* --- The bench */

static void start(struct bench *b, unsigned slot, const struct entry_member *member) {
    struct pod *p = &b->pods[slot];
    *p = (struct pod){.bench = b, .member = *member, .reply = BENCH_NO_REPLY};
    p->host = (struct host){p, on_monotonic, on_unix, on_random};
    struct replica_options options;
    replica_default_options(&options);
    options.id = member->id;
    options.name = member->name;
    options.address = member->address;
    options.spki = member->spki;
    options.owner_digests = (const uint8_t(*)[32])b->owner;
    options.owner_count = 1;
    const struct replica_io io = {p, on_reply, on_send, on_peers, on_publish, on_gone, NULL, NULL};
    p->replica = replica_new(&options, &p->host, &io);
}

int bench_set_up(void **state) {
    struct bench *b = mem_zalloc(sizeof *b);
    log_set_sink(getenv("BENCH_LOG") == NULL ? silence : NULL, NULL);
    b->now_ms = 1000;
    b->last = &b->first;
    world_init(&b->world);
    sha256(world_owner(), b->owner[0]);
    for (unsigned i = 0; i < 3; i++) {
        start(b, i, &b->world.founders[i]);
    }
    struct entry_member newcomer = world_member(&b->world, 9, "coordinator-9", 0);
    start(b, 3, &newcomer);
    *state = b;
    return 0;
}

struct message *bench_take_message(struct bench *b) {
    struct message *m = b->first;
    b->first = m->next;
    b->last = b->first == NULL ? &b->first : b->last;
    return m;
}

int bench_tear_down(void **state) {
    struct bench *b = *state;
    for (unsigned i = 0; i < BENCH_PODS; i++) {
        replica_free(b->pods[i].replica);
    }
    while (b->first != NULL) {
        struct message *m = bench_take_message(b);
        buf_deinit(&m->body);
        mem_free(m);
    }
    buf_deinit(&b->found);
    world_deinit(&b->world);
    mem_free(b);
    log_set_sink(NULL, NULL);
    return 0;
}

static bool wants(const struct pod *p, uint64_t id) {
    for (size_t i = 0; i < p->wanted_count; i++) {
        if (p->wanted[i] == id) {
            return true;
        }
    }
    return false;
}

static void update_links(struct bench *b) {
    for (unsigned i = 0; i < BENCH_PODS; i++) {
        for (unsigned j = 0; j < BENCH_PODS; j++) {
            struct pod *p = &b->pods[i];
            struct pod *q = &b->pods[j];
            bool can = i != j && p->apart_from != q && q->apart_from != p && !p->is_stopped &&
                       !q->is_stopped && wants(p, q->member.id) && wants(q, p->member.id);
            if (can != p->is_linked[j]) {
                p->is_linked[j] = can;
                replica_link(p->replica, q->member.id, can);
            }
        }
    }
}

void bench_deliver(struct bench *b) {
    while (b->first != NULL) {
        struct message *m = bench_take_message(b);
        struct pod *to = &b->pods[m->to];
        if (!to->is_stopped && !b->pods[m->from].is_stopped) {
            replica_receive(to->replica, b->pods[m->from].member.id, m->type, buf_span(&m->body));
        }
        buf_deinit(&m->body);
        mem_free(m);
        update_links(b);
    }
}

void bench_run(struct bench *b, uint64_t duration_ms) {
    uint64_t end = b->now_ms + duration_ms;
    while (b->now_ms < end) {
        update_links(b);
        bench_deliver(b);
        b->now_ms += 5;
        for (unsigned i = 0; i < BENCH_PODS; i++) {
            struct pod *p = &b->pods[i];
            if (!p->is_stopped && replica_deadline(p->replica) <= b->now_ms) {
                replica_tick(p->replica);
            }
        }
    }
}

/* Runs until the pod answers, and returns what. */
enum err_code bench_answer(struct bench *b, struct pod *p, uint64_t limit_ms) {
    for (uint64_t end = b->now_ms + limit_ms; p->reply == BENCH_NO_REPLY && b->now_ms < end;) {
        bench_run(b, 5);
    }
    enum err_code code = p->reply;
    p->reply = BENCH_NO_REPLY;
    return code;
}

enum err_code bench_propose(struct bench *b, struct pod *p, enum entry_type type,
                            const void *body) {
    AUTO(buf_deinit)
    struct buf entry = {0};
    entry_encode(type, body, &entry);
    if (type == ENTRY_ADMIT) {
        replica_admit(p->replica, 1, buf_span(&entry));
    } else {
        replica_propose(p->replica, 1, buf_span(&entry));
    }
    return bench_answer(b, p, 15000);
}

void bench_found(struct bench *b, unsigned count) {
    struct entry_found f = world_found(&b->world);
    f.founders.count = count;
    entry_cluster_id(f.founders.items, count, f.cluster);
    entry_encode(ENTRY_FOUND, &f, &b->found);
    for (unsigned i = 0; i < count; i++) {
        assert_true(is_ok(replica_prepare(b->pods[i].replica, NULL)));
        assert_true(is_ok(replica_found(b->pods[i].replica, buf_span(&b->found), NULL)));
    }
}

struct pod *bench_leader(struct bench *b) {
    for (unsigned tries = 0; tries < 2000; tries++) {
        for (unsigned i = 0; i < BENCH_PODS; i++) {
            struct pod *p = &b->pods[i];
            if (!p->is_stopped && p->gone == ERR_OK && replica_is_leader(p->replica) &&
                node_is_settled(p->replica->node)) {
                return p;
            }
        }
        bench_run(b, 5);
    }
    fail_msg("nobody leads");
    return NULL;
}

struct pod *bench_follower(struct bench *b) {
    const struct pod *leads = bench_leader(b);
    return leads == &b->pods[0] ? &b->pods[1] : &b->pods[0];
}

/* A cluster of the first three pods with a first manifest. */
void bench_set_first(struct bench *b, struct pod *p) {
    for (unsigned i = 0; i < WORLD_POLICIES; i++) {
        struct entry_blob blob = world_blob(&b->world, i);
        assert_int_equal(bench_propose(b, p, ENTRY_BLOB, &blob), ERR_OK);
    }
    struct entry_set_manifest set = world_set(&b->world, 0xf, 0);
    assert_int_equal(bench_propose(b, p, ENTRY_SET_MANIFEST, &set), ERR_OK);
    assert_int_equal(p->generation, 1);
}

struct bench *bench_begin(void **state) {
    struct bench *b = *state;
    bench_found(b, 3);
    bench_set_first(b, bench_follower(b));
    bench_run(b, 200);
    return b;
}

/* --- Joining */

enum err_code bench_admit(struct bench *b, struct pod *by, const char *name) {
    struct entry_admit admit = {.member = b->pods[3].member, .time = WORLD_TIME};
    admit.member.name = arena_strndup(&b->world.arena, name, strlen(name));
    return bench_propose(b, by, ENTRY_ADMIT, &admit);
}

void bench_join_begin(struct bench *b, const uint8_t head[32]) {
    struct pod *by = bench_leader(b);
    assert_int_equal(bench_admit(b, by, "coordinator-9"), ERR_OK);
    struct replica_peer peers[3];
    for (unsigned i = 0; i < 3; i++) {
        const struct entry_member *m = &b->pods[i].member;
        peers[i] = (struct replica_peer){m->id, m->address, m->spki};
    }
    struct replica_admission admission = {buf_span(&b->found), peers, 3, 1, {0}, 1};
    memcpy(admission.head, head, sizeof admission.head);
    assert_true(is_ok(replica_join(b->pods[3].replica, &admission, NULL)));
}

void bench_join(struct bench *b, const uint8_t head[32]) {
    bench_join_begin(b, head);
    bench_run(b, 3000);
}

bool bench_is_voter(const struct pod *by, uint64_t id) {
    struct node_member members[LIMIT_MEMBERS];
    size_t count = node_members(by->replica->node, members);
    for (size_t i = 0; i < count; i++) {
        if (members[i].id == id) {
            return members[i].role == NODE_VOTER;
        }
    }
    return false;
}
