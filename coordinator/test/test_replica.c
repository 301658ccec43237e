/* Tests of a replica's life, in virtual time with links that deliver at once: founding, forwarding,
 * confirmation, names, lapses, the joiner's check of history, and the divergence alarm.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/core/core_state.h"
#include "coordinator/core/test/core_world.h"
#include "coordinator/replica_internal.h"
#include "lib/base/log.h"
#include "lib/crypto/digest.h"

#define PODS 4 /* three founders, one newcomer */
#define NO_REPLY ((enum err_code)1000)

struct bench;

struct message {
    struct message *next;
    unsigned from, to;
    uint8_t type;
    struct buf body;
};

struct pod {
    struct bench *bench;
    struct entry_member member;
    struct host host;
    struct replica *replica;
    uint64_t wanted[LIMIT_MEMBERS];
    size_t wanted_count;
    bool is_linked[PODS];
    const struct pod *apart_from; /* no link with this one */
    unsigned early_peers;         /* calls of on_peers before it was a row of its own table */
    bool is_stopped;              /* neither ticks nor hears nor is heard */
    enum err_code gone;
    enum err_code reply;
    uint64_t generation; /* of the last reply's result */
};

struct bench {
    struct world world;
    uint64_t now_ms;
    uint64_t random;
    struct pod pods[PODS];
    uint8_t owner[1][32];
    struct message *first, **last;
    struct buf found;
};

/* --- What a replica is given */

static uint64_t on_monotonic(void *data) {
    return ((struct pod *)data)->bench->now_ms;
}

static int64_t on_unix(void *data) {
    return WORLD_TIME + (int64_t)(((struct pod *)data)->bench->now_ms / 1000);
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
    assert_int_equal(p->reply, NO_REPLY); /* exactly one */
    p->reply = reply->code;
    p->generation = reply->result == NULL ? 0 : reply->result->generation;
}

static void on_send(void *data, uint64_t peer, uint8_t type, struct span body) {
    struct pod *p = data;
    struct bench *b = p->bench;
    for (unsigned to = 0; to < PODS; to++) {
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
    assert_int_equal(p->gone, ERR_OK);
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
    *p = (struct pod){.bench = b, .member = *member, .reply = NO_REPLY};
    p->host = (struct host){p, on_monotonic, on_unix, on_random};
    struct replica_options options;
    replica_default_options(&options);
    options.id = member->id;
    options.name = member->name;
    options.address = member->address;
    options.spki = member->spki;
    options.owner_digests = (const uint8_t(*)[32])b->owner;
    options.owner_count = 1;
    const struct replica_io io = {p, on_reply, on_send, on_peers, on_publish, on_gone, NULL};
    p->replica = replica_new(&options, &p->host, &io);
}

static int set_up(void **state) {
    struct bench *b = mem_zalloc(sizeof *b);
    log_set_sink(silence, NULL);
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

static struct message *take_message(struct bench *b) {
    struct message *m = b->first;
    b->first = m->next;
    b->last = b->first == NULL ? &b->first : b->last;
    return m;
}

static int tear_down(void **state) {
    struct bench *b = *state;
    for (unsigned i = 0; i < PODS; i++) {
        replica_free(b->pods[i].replica);
    }
    while (b->first != NULL) {
        struct message *m = take_message(b);
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
    for (unsigned i = 0; i < PODS; i++) {
        for (unsigned j = 0; j < PODS; j++) {
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

static void deliver(struct bench *b) {
    while (b->first != NULL) {
        struct message *m = take_message(b);
        struct pod *to = &b->pods[m->to];
        if (!to->is_stopped && !b->pods[m->from].is_stopped) {
            replica_receive(to->replica, b->pods[m->from].member.id, m->type, buf_span(&m->body));
        }
        buf_deinit(&m->body);
        mem_free(m);
        update_links(b);
    }
}

static void run(struct bench *b, uint64_t duration_ms) {
    uint64_t end = b->now_ms + duration_ms;
    while (b->now_ms < end) {
        update_links(b);
        deliver(b);
        b->now_ms += 5;
        for (unsigned i = 0; i < PODS; i++) {
            struct pod *p = &b->pods[i];
            if (!p->is_stopped && replica_deadline(p->replica) <= b->now_ms) {
                replica_tick(p->replica);
            }
        }
    }
}

/* Runs until the pod answers, and returns what. */
static enum err_code answer(struct bench *b, struct pod *p, uint64_t limit_ms) {
    for (uint64_t end = b->now_ms + limit_ms; p->reply == NO_REPLY && b->now_ms < end;) {
        run(b, 5);
    }
    enum err_code code = p->reply;
    p->reply = NO_REPLY;
    return code;
}

static enum err_code propose(struct bench *b, struct pod *p, enum entry_type type,
                             const void *body) {
    AUTO(buf_deinit)
    struct buf entry = {0};
    entry_encode(type, body, &entry);
    if (type == ENTRY_ADMIT) {
        replica_admit(p->replica, 1, buf_span(&entry));
    } else {
        replica_propose(p->replica, 1, buf_span(&entry));
    }
    return answer(b, p, 15000);
}

static void found(struct bench *b, unsigned count) {
    struct entry_found f = world_found(&b->world);
    f.founders.count = count;
    entry_cluster_id(f.founders.items, count, f.cluster);
    entry_encode(ENTRY_FOUND, &f, &b->found);
    for (unsigned i = 0; i < count; i++) {
        assert_true(is_ok(replica_prepare(b->pods[i].replica, NULL)));
        assert_true(is_ok(replica_found(b->pods[i].replica, buf_span(&b->found), NULL)));
    }
}

static struct pod *leader(struct bench *b) {
    for (unsigned tries = 0; tries < 2000; tries++) {
        for (unsigned i = 0; i < PODS; i++) {
            struct pod *p = &b->pods[i];
            if (!p->is_stopped && p->gone == ERR_OK && replica_is_leader(p->replica) &&
                node_is_settled(p->replica->node)) {
                return p;
            }
        }
        run(b, 5);
    }
    fail_msg("nobody leads");
    return NULL;
}

static struct pod *follower(struct bench *b) {
    const struct pod *leads = leader(b);
    return leads == &b->pods[0] ? &b->pods[1] : &b->pods[0];
}

/* A cluster of the first three pods with a first manifest. */
static void set_first(struct bench *b, struct pod *p) {
    for (unsigned i = 0; i < WORLD_POLICIES; i++) {
        struct entry_blob blob = world_blob(&b->world, i);
        assert_int_equal(propose(b, p, ENTRY_BLOB, &blob), ERR_OK);
    }
    struct entry_set_manifest set = world_set(&b->world, 0xf, 0);
    assert_int_equal(propose(b, p, ENTRY_SET_MANIFEST, &set), ERR_OK);
    assert_int_equal(p->generation, 1);
}

static struct bench *begin(void **state) {
    struct bench *b = *state;
    found(b, 3);
    set_first(b, follower(b));
    run(b, 200);
    return b;
}

/* --- Founding */

static void test_one_founder_is_a_cluster(void **state) {
    struct bench *b = *state;
    found(b, 1);
    set_first(b, leader(b));
    assert_int_equal(replica_state_of(b->pods[0].replica), REPLICA_VOTER);
}

static void test_three_founders_hold_the_same(void **state) {
    struct bench *b = begin(state);
    uint8_t first[32];
    core_state_hash(replica_core(b->pods[0].replica), first);
    for (unsigned i = 0; i < 3; i++) {
        uint8_t hash[32];
        core_state_hash(replica_core(b->pods[i].replica), hash);
        assert_memory_equal(hash, first, sizeof hash);
        assert_int_equal(core_generation(replica_core(b->pods[i].replica)), 1);
    }
}

static void test_a_founder_founds_once(void **state) {
    struct bench *b = begin(state);
    struct replica *r = b->pods[0].replica;
    assert_true(is_ok(replica_found(r, buf_span(&b->found), NULL)));
    assert_int_equal(replica_prepare(r, NULL).code, ERR_FOUNDED);
    assert_int_equal(replica_found(r, span_str("another"), NULL).code, ERR_FOUNDED);
}

static void test_prepared_lapses(void **state) {
    struct bench *b = *state;
    struct replica *r = b->pods[0].replica;
    assert_true(is_ok(replica_prepare(r, NULL)));
    run(b, 29000);
    assert_int_equal(replica_state_of(r), REPLICA_PREPARED);
    run(b, 2000);
    assert_int_equal(replica_state_of(r), REPLICA_EMPTY);
}

static void test_founded_without_manifest_ends(void **state) {
    struct bench *b = *state;
    found(b, 3);
    run(b, 61000);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(b->pods[i].gone, ERR_TIMEOUT);
    }
}

/* The host paused a founder before the first manifest reached it, for longer than a founding may
 * take: it hears what came meanwhile before it is judged. */
static void test_a_paused_founder_does_not_lapse(void **state) {
    struct bench *b = *state;
    found(b, 3);
    struct pod *paused = follower(b);
    paused->is_stopped = true;
    set_first(b, leader(b));
    run(b, 70000);
    assert_int_equal(core_generation(replica_core(paused->replica)), 0);
    paused->is_stopped = false;
    run(b, 1000);
    assert_int_equal(paused->gone, ERR_OK);
    assert_int_equal(core_generation(replica_core(paused->replica)), 1);
}

static void test_a_foreign_owner_is_refused(void **state) {
    struct bench *b = *state;
    memset(b->owner, 7, sizeof b->owner);
    found(b, 1);
    struct pod *p = leader(b);
    for (unsigned i = 0; i < WORLD_POLICIES; i++) {
        struct entry_blob blob = world_blob(&b->world, i);
        assert_int_equal(propose(b, p, ENTRY_BLOB, &blob), ERR_OK);
    }
    struct entry_set_manifest set = world_set(&b->world, 0xf, 0);
    assert_int_equal(propose(b, p, ENTRY_SET_MANIFEST, &set), ERR_FROZEN);
    assert_int_equal(p->gone, ERR_DENIED);
}

/* --- Currency */

static void test_a_paused_leader_confirms_nothing(void **state) {
    struct bench *b = begin(state);
    struct pod *old = leader(b);
    old->is_stopped = true;
    run(b, 3000);
    assert_ptr_not_equal(leader(b), old);
    assert_true(replica_is_leader(old->replica)); /* as far as it knows */
    replica_confirm(old->replica, 1);
    for (unsigned i = 0; i < 300; i++) { /* awake, but alone */
        run(b, 10);
        replica_tick(old->replica);
    }
    assert_int_equal(old->reply, ERR_NO_QUORUM);
    struct pod *now = leader(b);
    replica_confirm(now->replica, 1);
    assert_int_equal(answer(b, now, 3000), ERR_OK);
}

static void test_a_follower_confirms_through_the_leader(void **state) {
    struct bench *b = begin(state);
    struct pod *p = follower(b);
    replica_confirm(p->replica, 1);
    assert_int_equal(answer(b, p, 3000), ERR_OK);
}

static void test_without_a_quorum_nothing_is_acknowledged(void **state) {
    struct bench *b = begin(state);
    struct pod *p = leader(b);
    for (unsigned i = 0; i < 3; i++) {
        b->pods[i].is_stopped = &b->pods[i] != p;
    }
    struct entry_set_manifest set = world_set(&b->world, 0xf, 1);
    memcpy(set.previous, core_head(replica_core(p->replica)), sizeof set.previous);
    set.generation = 2;
    set.root_key = set.root_cert = set.workload_secret = span_of(NULL, 0);
    assert_int_equal(propose(b, p, ENTRY_SET_MANIFEST, &set), ERR_OUTCOME_UNKNOWN);
    assert_int_equal(core_generation(replica_core(p->replica)), 1);
}

/* --- Names and joining */

static enum err_code admit(struct bench *b, struct pod *by, const char *name) {
    struct entry_admit admit = {.member = b->pods[3].member, .time = WORLD_TIME};
    admit.member.name = arena_strndup(&b->world.arena, name, strlen(name));
    return propose(b, by, ENTRY_ADMIT, &admit);
}

static void test_a_name_is_kept_while_its_holder_lives(void **state) {
    struct bench *b = begin(state);
    struct pod *by = leader(b);
    const struct pod *holder = follower(b);
    run(b, 5000);
    assert_int_equal(admit(b, by, holder->member.name), ERR_EXISTS);
    uint64_t old = 0;
    assert_false(replica_name_is_free(by->replica, holder->member.name, &old));
    assert_int_equal(old, holder->member.id);
}

static void test_a_name_of_the_dead_is_taken_over(void **state) {
    struct bench *b = begin(state);
    struct pod *by = leader(b);
    struct pod *holder = follower(b);
    holder->is_stopped = true;
    run(b, 2000);
    assert_int_equal(admit(b, by, holder->member.name), ERR_EXISTS);
    run(b, 1500);
    assert_int_equal(admit(b, by, holder->member.name), ERR_OK);
    const struct core_member *m = core_find_member(replica_core(by->replica), holder->member.id);
    assert_true(m == NULL || m->state == CORE_LEAVING);
}

static void join(struct bench *b, const uint8_t head[32]) {
    struct pod *by = leader(b);
    assert_int_equal(admit(b, by, "coordinator-9"), ERR_OK);
    struct replica_peer peers[3];
    for (unsigned i = 0; i < 3; i++) {
        const struct entry_member *m = &b->pods[i].member;
        peers[i] = (struct replica_peer){m->id, m->address, m->spki};
    }
    struct replica_admission admission = {buf_span(&b->found), peers, 3, 1, {0}};
    memcpy(admission.head, head, sizeof admission.head);
    assert_true(is_ok(replica_join(b->pods[3].replica, &admission, NULL)));
    run(b, 3000);
}

static void test_a_newcomer_stands_by(void **state) {
    struct bench *b = begin(state);
    join(b, core_head(replica_core(b->pods[0].replica)));
    struct pod *p = &b->pods[3];
    assert_int_equal(replica_state_of(p->replica), REPLICA_STANDBY);
    assert_int_equal(core_generation(replica_core(p->replica)), 1);
    struct node_member members[LIMIT_MEMBERS];
    assert_int_equal(node_members(p->replica->node, members), 4);
}

static void test_a_newcomer_refuses_another_history(void **state) {
    struct bench *b = begin(state);
    uint8_t head[32] = {1, 2, 3};
    join(b, head);
    assert_int_equal(b->pods[3].gone, ERR_FORK);
}

/* One round of heartbeats, of which `but` never answers; what the others answer is held back. */
static struct message *hold_answers(struct bench *b, unsigned to, unsigned but) {
    struct message *held = NULL;
    struct message **last = &held;
    deliver(b);
    b->now_ms += 60;
    replica_tick(b->pods[to].replica);
    while (b->first != NULL) {
        struct message *m = take_message(b);
        m->next = NULL;
        if (m->to == to && m->from != but) {
            *last = m;
            last = &m->next;
            continue;
        }
        if (m->to != to) {
            replica_receive(b->pods[m->to].replica, b->pods[m->from].member.id, m->type,
                            buf_span(&m->body));
        }
        buf_deinit(&m->body);
        mem_free(m);
    }
    return held;
}

static bool is_voter(const struct pod *by, uint64_t id) {
    struct node_member members[LIMIT_MEMBERS];
    size_t count = node_members(by->replica->node, members);
    for (size_t i = 0; i < count; i++) {
        if (members[i].id == id) {
            return members[i].role == NODE_VOTER;
        }
    }
    return false;
}

/* Its host pauses it for ten seconds. On waking it finds old answers of all but one. */
static void test_a_paused_leader_declares_nobody_dead(void **state) {
    struct bench *b = begin(state);
    join(b, core_head(replica_core(b->pods[0].replica)));
    struct pod *p = leader(b);
    struct pod *quiet = follower(b);
    struct message *held = hold_answers(b, (unsigned)(p - b->pods), (unsigned)(quiet - b->pods));
    b->now_ms += 10000;
    assert_non_null(held);
    *b->last = held;
    while (*b->last != NULL) {
        b->last = &(*b->last)->next;
    }
    deliver(b);
    replica_tick(p->replica);
    run(b, 1000);
    assert_true(is_voter(leader(b), quiet->member.id));
}

/* Its link to the leader is cut, and the leader removes it; it learns so from the others. */
static void test_a_removed_member_learns_of_it(void **state) {
    struct bench *b = begin(state);
    join(b, core_head(replica_core(b->pods[0].replica)));
    struct pod *p = &b->pods[3];
    p->apart_from = leader(b);
    run(b, 2000);
    assert_int_equal(p->gone, ERR_OK);
    run(b, 4000);
    assert_int_equal(p->gone, ERR_CANCELED);
}

/* Entries from before its admission do not take its peers away. */
static void test_a_newcomer_keeps_its_peers_in_old_history(void **state) {
    struct bench *b = begin(state);
    struct entry_admit other = {.member = world_member(&b->world, 8, "coordinator-8", 0),
                                .time = WORLD_TIME};
    assert_int_equal(propose(b, leader(b), ENTRY_ADMIT, &other), ERR_OK);
    join(b, core_head(replica_core(b->pods[0].replica)));
    assert_int_equal(replica_state_of(b->pods[3].replica), REPLICA_STANDBY);
    assert_int_equal(b->pods[3].early_peers, 1); /* those of its admission */
}

/* --- The alarm */

static void test_a_replica_that_differs_ends(void **state) {
    struct bench *b = begin(state);
    struct pod *odd = follower(b);
    odd->replica->core->issued += 1; /* as if its memory had been hurt */
    struct pod *p = leader(b);
    for (unsigned i = 0; i < REPLICA_HASH_INTERVAL + 8 && odd->gone == ERR_OK; i++) {
        struct entry_blob blob = world_blob(&b->world, 0);
        assert_int_equal(propose(b, p, ENTRY_BLOB, &blob), ERR_OK);
    }
    run(b, 200);
    assert_int_equal(odd->gone, ERR_DIVERGED);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(&b->pods[i] == odd || b->pods[i].gone == ERR_OK);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_one_founder_is_a_cluster),
        TEST(test_three_founders_hold_the_same),
        TEST(test_a_founder_founds_once),
        TEST(test_prepared_lapses),
        TEST(test_founded_without_manifest_ends),
        TEST(test_a_paused_founder_does_not_lapse),
        TEST(test_a_foreign_owner_is_refused),
        TEST(test_a_paused_leader_confirms_nothing),
        TEST(test_a_follower_confirms_through_the_leader),
        TEST(test_without_a_quorum_nothing_is_acknowledged),
        TEST(test_a_name_is_kept_while_its_holder_lives),
        TEST(test_a_name_of_the_dead_is_taken_over),
        TEST(test_a_newcomer_stands_by),
        TEST(test_a_newcomer_refuses_another_history),
        TEST(test_a_newcomer_keeps_its_peers_in_old_history),
        TEST(test_a_removed_member_learns_of_it),
        TEST(test_a_paused_leader_declares_nobody_dead),
        TEST(test_a_replica_that_differs_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
