/* Cluster: the simulated machines, network and oracles.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "consensus/test/cluster.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"

#define MAX(a, b) ((a) > (b) ? (a) : (b))

struct cluster_message {
    struct cluster_message *next;
    uint64_t due;
    size_t size;
    uint8_t bytes[];
};

void cluster_violate(struct cluster *c, const char *format, ...) {
    if (c->violation[0] != '\0') {
        return;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(c->violation, sizeof c->violation, format, args);
    va_end(args);
}

static uint64_t mix(uint64_t hash, struct span bytes) {
    for (size_t i = 0; i < bytes.size; i++) {
        hash = (hash ^ bytes.data[i]) * UINT64_C(0x100000001b3);
    }
    return hash * UINT64_C(0x9e3779b97f4a7c15) + bytes.size;
}

uint64_t cluster_random(struct cluster *c, uint64_t bound) {
    uint64_t z = c->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % bound;
}

/* --- Host --- */

static uint64_t monotonic(void *data) {
    return ((struct cluster *)data)->now;
}

static int64_t unix_time(void *data) {
    return (int64_t)(((struct cluster *)data)->now / 1000);
}

static void fill_random(void *data, void *out, size_t size) {
    uint8_t *bytes = out;
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)cluster_random(data, 256);
    }
}

/* --- A machine's callbacks --- */

static size_t place_of(const struct machine *m) {
    return (size_t)(m - m->cluster->machines);
}

static void forget(struct cluster *c, size_t from, size_t to) {
    while (c->queue[from][to] != NULL) {
        struct cluster_message *m = c->queue[from][to];
        c->queue[from][to] = m->next;
        mem_free(m);
    }
}

static void on_send(void *data, uint64_t peer, struct span bytes) {
    struct machine *m = data;
    struct cluster *c = m->cluster;
    size_t from = place_of(m);
    size_t to = cluster_place(c, peer);
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct node_message decoded;
    struct err err;
    if (!is_ok(node_codec_decode_shape(bytes, &arena, &decoded, &err))) {
        cluster_violate(c, "sent an undecodable message: %s", err.text);
        return;
    }
    if (decoded.kind == NODE_KIND_CHUNK && to != CLUSTER_MAX && c->links[from][to]) {
        c->chunks++;
        c->chunk_bytes += decoded.body.chunk.data.size;
    }
    c->pre_votes += decoded.kind == NODE_KIND_VOTE && decoded.body.vote.pre_vote;
    c->appends_sent += decoded.kind == NODE_KIND_APPEND && decoded.body.append.entries.count > 0;
    c->last = decoded;
    if (to == CLUSTER_MAX || c->machines[to].node == NULL || !c->links[from][to] ||
        cluster_random(c, 100) < c->loss_percent ||
        (c->filter != NULL && !c->filter(c, from, to, &decoded))) {
        return;
    }
    struct cluster_message *sent = mem_alloc(sizeof *sent + bytes.size);
    uint64_t due = c->now + 1 + cluster_random(c, MAX(c->delay_ms, 1U));
    *sent = (struct cluster_message){NULL, MAX(due, c->last_due[from][to]), bytes.size};
    c->last_due[from][to] = sent->due;
    memcpy(sent->bytes, bytes.data, bytes.size);
    struct cluster_message **end = &c->queue[from][to];
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = sent;
}

static void note_commit(struct cluster *c, const struct machine *m, uint64_t index, uint64_t term,
                        uint64_t hash) {
    if (index >= CLUSTER_INDEXES) {
        cluster_violate(c, "the oracle's table is full");
        return;
    }
    if (c->committed[index].term == 0) {
        c->committed[index].term = term;
        c->committed[index].hash = hash;
        c->committed[index].commit_term = node_term(m->node);
        c->committed_max = MAX(c->committed_max, index);
    } else if (c->committed[index].term != term || c->committed[index].hash != hash) {
        cluster_violate(c, "committed entry %" PRIu64 " differs on node %" PRIu64, index, m->id);
    }
}

static void on_apply(void *data, uint64_t index, uint64_t term, struct span command) {
    struct machine *m = data;
    m->hash = mix(m->hash, command);
    m->count++;
    note_commit(m->cluster, m, index, term, mix(1, command));
}

static void on_configured(void *data, uint64_t index, const struct node_member *members,
                          size_t count) {
    (void)data;
    (void)index;
    CHECK(count > 0 && members[0].id != 0);
}

static void on_save(void *data, struct buf *out) {
    const struct machine *m = data;
    buf_append_u64be(out, m->hash);
    buf_append_u64be(out, m->count);
    for (size_t i = 0; i < m->cluster->snapshot_padding;) {
        uint8_t block[4096];
        size_t n = 0;
        for (; n < sizeof block && i < m->cluster->snapshot_padding; n++, i++) {
            block[n] = (uint8_t)(i * 7 + i / 251);
        }
        buf_append(out, block, n);
    }
}

static RESULT on_load(void *data, struct span bytes, uint64_t index, struct err *err) {
    struct machine *m = data;
    (void)index;
    ENSURE(bytes.size == 16 + m->cluster->snapshot_padding, err, MALFORMED, "snapshot size");
    for (size_t i = 0; i < m->cluster->snapshot_padding; i++) {
        ENSURE(bytes.data[16 + i] == (uint8_t)(i * 7 + i / 251), err, MALFORMED, "snapshot byte");
    }
    m->hash = load_u64be(bytes.data);
    m->count = load_u64be(bytes.data + 8);
    m->loads++;
    return OK;
}

/* A leader has every entry that was committed in an earlier term. */
static void check_completeness(struct cluster *c, const struct machine *m, uint64_t term) {
    for (uint64_t i = c->committed_max; i > 0 && i >= m->node->log.first; i--) {
        if (c->committed[i].term != 0 && c->committed[i].commit_term < term &&
            node_log_term(&m->node->log, i) != c->committed[i].term) {
            cluster_violate(c, "leader %" PRIu64 " of term %" PRIu64 " lacks committed %" PRIu64,
                            m->id, term, i);
            return;
        }
    }
}

static void on_role(void *data, enum node_role role, uint64_t term, uint64_t leader) {
    struct machine *m = data;
    struct cluster *c = m->cluster;
    (void)leader;
    if (role != NODE_LEADER || term >= CLUSTER_TERMS) {
        return;
    }
    if (c->leaders[term] != 0 && c->leaders[term] != m->id) {
        cluster_violate(c, "two leaders in term %" PRIu64 ": %" PRIu64 " and %" PRIu64, term,
                        c->leaders[term], m->id);
    }
    if (c->leaders[term] != m->id) {
        c->leaders[term] = m->id;
        check_completeness(c, m, term);
    }
}

/* --- Life --- */

size_t cluster_add(struct cluster *c) {
    CHECK(c->count < CLUSTER_MAX);
    size_t at = c->count++;
    struct machine *m = &c->machines[at];
    *m = (struct machine){.cluster = c, .id = at + 1};
    m->io = (struct node_io){m, on_send, on_apply, on_configured, on_save, on_load, on_role};
    struct result r = node_new(m->id, &m->io, &c->host, &c->options, &m->node, NULL);
    CHECK(is_ok(r));
    for (size_t i = 0; i < c->count; i++) {
        c->links[i][at] = c->links[at][i] = true;
    }
    return at;
}

void cluster_init(struct cluster *c, size_t voters, uint64_t seed) {
    memset(c, 0, sizeof *c);
    c->host = (struct host){c, monotonic, unix_time, fill_random};
    c->now = 1000;
    c->random = seed;
    c->options = (struct node_options){100, 20, 1000, 64, 64, 1000, 5};
    struct node_member members[CLUSTER_MAX];
    for (size_t i = 0; i < voters; i++) {
        members[i] = (struct node_member){cluster_add(c) + 1, NODE_VOTER};
    }
    for (size_t i = 0; i < voters; i++) {
        CHECK(is_ok(node_bootstrap(c->machines[i].node, members, voters, NULL)));
    }
}

void cluster_deinit(struct cluster *c) {
    cluster_flush(c);
    for (size_t i = 0; i < c->count; i++) {
        node_free(c->machines[i].node);
    }
}

size_t cluster_join(struct cluster *c) {
    size_t at = cluster_add(c);
    node_join(c->machines[at].node);
    return at;
}

void cluster_crash(struct cluster *c, size_t at) {
    node_free(c->machines[at].node);
    c->machines[at].node = NULL;
    for (size_t i = 0; i < CLUSTER_MAX; i++) {
        forget(c, i, at);
        forget(c, at, i);
    }
}

void cluster_report_gone(struct cluster *c, size_t dead, unsigned spread_ms) {
    for (size_t i = 0; i < c->count; i++) {
        c->gone_due[i][dead] = i == dead ? 0 : c->now + 1 + cluster_random(c, spread_ms + 1ULL);
    }
}

void cluster_connect(struct cluster *c, unsigned mask) {
    for (size_t i = 0; i < CLUSTER_MAX; i++) {
        for (size_t j = 0; j < CLUSTER_MAX; j++) {
            c->links[i][j] = (mask >> i & 1U) != 0 && (mask >> j & 1U) != 0;
        }
    }
}

void cluster_cut(struct cluster *c, size_t a, size_t b) {
    c->links[a][b] = c->links[b][a] = false;
    forget(c, a, b);
    forget(c, b, a);
}

void cluster_mend(struct cluster *c, size_t a, size_t b) {
    c->links[a][b] = c->links[b][a] = true;
    node_peer_reset(c->machines[a].node, c->machines[b].id);
    node_peer_reset(c->machines[b].node, c->machines[a].id);
}

void cluster_heal(struct cluster *c) {
    cluster_connect(c, (1U << CLUSTER_MAX) - 1U);
}

void cluster_flush(struct cluster *c) {
    for (size_t i = 0; i < CLUSTER_MAX; i++) {
        for (size_t j = 0; j < CLUSTER_MAX; j++) {
            forget(c, i, j);
        }
    }
}

/* --- Time --- */

static bool is_live(const struct machine *m) {
    return m->node != NULL && !m->paused;
}

static void deliver_pair(struct cluster *c, size_t from, size_t to) {
    while (is_live(&c->machines[to]) && c->queue[from][to] != NULL &&
           c->queue[from][to]->due <= c->now) {
        struct cluster_message *m = c->queue[from][to];
        struct err err = {0};
        c->queue[from][to] = m->next;
        if (c->links[from][to] && !is_ok(node_receive(c->machines[to].node, c->machines[from].id,
                                                      span_of(m->bytes, m->size), &err))) {
            cluster_violate(c, "node %zu refuses a message of %zu: %s", to + 1, from + 1, err.text);
        }
        mem_free(m);
    }
}

static void tick_machine(struct cluster *c, struct machine *m) {
    unsigned rounds = 0;
    while (is_live(m) && !m->deaf_to_time && node_deadline(m->node) <= c->now) {
        node_tick(m->node);
        if (++rounds > 1000) {
            cluster_violate(c, "node %" PRIu64 " spins", m->id);
            return;
        }
    }
}

static void report_gone(struct cluster *c, size_t to, size_t dead) {
    if (c->gone_due[to][dead] != 0 && c->gone_due[to][dead] <= c->now &&
        is_live(&c->machines[to])) {
        c->gone_due[to][dead] = 0;
        node_leader_gone(c->machines[to].node, c->machines[dead].id);
    }
}

static void run_now(struct cluster *c) {
    for (size_t i = 0; i < c->count; i++) {
        for (size_t j = 0; j < c->count; j++) {
            deliver_pair(c, j, i);
            report_gone(c, i, j);
        }
        tick_machine(c, &c->machines[i]);
    }
}

void cluster_run(struct cluster *c, uint64_t ms) {
    uint64_t end = c->now + ms;
    while (c->now < end && c->violation[0] == '\0') {
        c->now++;
        run_now(c);
    }
}

size_t cluster_place(const struct cluster *c, uint64_t id) {
    return id >= 1 && id <= c->count ? (size_t)id - 1 : CLUSTER_MAX;
}

size_t cluster_leader(const struct cluster *c) {
    size_t best = CLUSTER_MAX;
    for (size_t i = 0; i < c->count; i++) {
        const struct machine *m = &c->machines[i];
        if (is_live(m) && node_role(m->node) == NODE_LEADER &&
            (best == CLUSTER_MAX || node_term(m->node) > node_term(c->machines[best].node))) {
            best = i;
        }
    }
    return best;
}

size_t cluster_wait_leader(struct cluster *c) {
    for (int i = 0; i < 6000 && c->violation[0] == '\0'; i++) {
        size_t at = cluster_leader(c);
        if (at != CLUSTER_MAX && node_is_settled(c->machines[at].node)) {
            return at;
        }
        cluster_run(c, 10);
    }
    return CLUSTER_MAX;
}

bool cluster_elect(struct cluster *c, size_t at, unsigned mask) {
    bool won = false;
    cluster_flush(c);
    cluster_connect(c, 0); /* until everybody has given up the old leader, and it itself */
    cluster_run(c, 3ULL * c->options.election_timeout_ms);
    cluster_flush(c);
    cluster_connect(c, mask);
    for (size_t i = 0; i < c->count; i++) {
        c->machines[i].deaf_to_time = i != at;
    }
    for (int i = 0; i < 60000 && !won && c->violation[0] == '\0'; i++) {
        cluster_run(c, 1);
        won = node_role(c->machines[at].node) == NODE_LEADER;
    }
    for (size_t i = 0; i < c->count; i++) {
        c->machines[i].deaf_to_time = false;
    }
    return won;
}

/* --- Doing and checking --- */

RESULT cluster_submit(struct cluster *c, size_t at, size_t size) {
    AUTO(buf_deinit)
    struct buf command = {0};
    uint64_t index;
    uint64_t term;
    while (command.size < size) {
        buf_append_u64be(&command, cluster_random(c, UINT64_MAX));
    }
    return node_submit(c->machines[at].node, span_of(command.data, size), &index, &term, NULL);
}

bool cluster_change(struct cluster *c, cluster_change_fn change, uint64_t id) {
    for (int i = 0; i < 6000 && c->violation[0] == '\0'; i++) {
        size_t at = cluster_leader(c);
        if (at != CLUSTER_MAX && is_ok(change(c->machines[at].node, id, NULL))) {
            while (c->violation[0] == '\0' && i++ < 6000) {
                cluster_run(c, 10);
                if (c->machines[at].node == NULL || !node_is_changing(c->machines[at].node)) {
                    return true;
                }
            }
        }
        cluster_run(c, 10);
    }
    return false;
}

RESULT cluster_forge(struct cluster *c, uint64_t from, size_t to, struct node_message *m) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    struct node_peer *peer = node__peer(c->machines[to].node, from, true);
    if (m->sequence == 0) {
        m->sequence = peer->last_sequence + 1;
    }
    node_codec_encode(m, &bytes);
    return node_receive(c->machines[to].node, from, buf_span(&bytes), NULL);
}

static void check_pair(struct cluster *c, const struct node *a, const struct node *b) {
    bool matched = false;
    for (uint64_t i = node_log_last(&a->log); i >= a->log.first; i--) {
        const struct node_entry *x = node_log_get(&a->log, i);
        const struct node_entry *y = node_log_get(&b->log, i);
        if (y == NULL) {
            continue;
        }
        if (x->term == y->term) {
            matched = true;
            if (x->type != y->type || !span_equal(span_of(x->payload->data, x->payload->size),
                                                  span_of(y->payload->data, y->payload->size))) {
                cluster_violate(c, "entry %" PRIu64 " of term %" PRIu64 " differs", i, x->term);
            }
        } else if (matched) {
            cluster_violate(c, "logs match after a difference at %" PRIu64, i);
        }
    }
}

void cluster_check_logs(struct cluster *c) {
    for (size_t i = 0; i < c->count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (c->machines[i].node != NULL && c->machines[j].node != NULL) {
                check_pair(c, c->machines[i].node, c->machines[j].node);
            }
        }
    }
}

static bool is_same(const struct machine *a, const struct machine *b) {
    const struct raft *x = &a->node->raft;
    const struct raft *y = &b->node->raft;
    return a->hash == b->hash && a->count == b->count && a->node->applied == b->node->applied &&
           x->configuration_committed_index == y->configuration_committed_index &&
           x->configuration_uncommitted_index == y->configuration_uncommitted_index;
}

bool cluster_is_converged(struct cluster *c) {
    size_t leader = cluster_leader(c);
    cluster_check_logs(c);
    if (leader == CLUSTER_MAX || c->violation[0] != '\0') {
        return false;
    }
    const struct node *node = c->machines[leader].node;
    for (size_t i = 0; i < node->config.count; i++) {
        size_t at = cluster_place(c, node->config.members[i].id);
        if (c->machines[at].node != NULL && !is_same(&c->machines[at], &c->machines[leader])) {
            return false;
        }
    }
    return true;
}
