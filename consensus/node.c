/* Node: life, turns of the library, and what follows from them.
 *
 *   public call ──> turn (raft_step) ──> store entries, install snapshot, send messages
 *                     └─> turn (PERSISTED_*, in the same breath: rule R5)
 *              ──> settle ──> role_changed, snapshot_load, apply, CONFIGURATION, snapshot_save
 *
 * Order inside a turn: log before messages (a message may promise what was stored), messages
 * before the next raft_step (the library reuses their array), entries before apply (the commit
 * index may advance in the same step, pitfall P10).
 *
 * Fails by freezing: an error of the library that is not a plain refusal.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "consensus/node.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "consensus/node_internal.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define MIN(a, b) ((a) < (b) ? (a) : (b))

const struct node_options node_options_default = {
    .election_timeout_ms = 1000,
    .heartbeat_ms = 100,
    .snapshot_threshold = 4096,
    .snapshot_trailing = LIMIT_SNAPSHOT_TRAILING,
    .max_inflight = LIMIT_INFLIGHT_ENTRIES,
    .read_timeout_ms = 5000,
    .gone_timeout_ms = 20,
};

/* raft_version_number is not exported from the shared library. What can be compared at run time is
 * the layout: raft_init's defaults must stand where the header of 0.22.1 says. */
static RESULT check_layout(const struct raft *r, uint64_t id, struct err *err) {
    bool same = r->id == id && r->election_timeout == 1000 && r->heartbeat_timeout == 100 &&
                r->install_snapshot_timeout == 30000 && r->max_catch_up_rounds == 10 &&
                r->max_catch_up_round_duration == 5000 && r->max_inflight_entries == 32 &&
                !r->pre_vote && r->configuration.n == 0 && r->trail.offset == 0;
    ENSURE(same, err, INTERNAL, "the libraft loaded is not laid out as version 0.22.1");
    return OK;
}

static void configure(struct node *node) {
    struct raft *r = &node->raft;
    uint32_t seed;
    r->tracer = NULL; /* its messages are slow and not thread-safe */
    host_random(node->host, &seed, sizeof seed);
    raft_seed(r, seed);
    raft_set_election_timeout(r, node->options.election_timeout_ms);
    raft_set_heartbeat_timeout(r, node->options.heartbeat_ms);
    raft_set_install_snapshot_timeout(r, 5 * node->options.election_timeout_ms);
    raft_set_max_catch_up_round_duration(r, 5 * node->options.election_timeout_ms);
    raft_set_max_inflight_entries(r, node->options.max_inflight);
    raft_set_pre_vote(r, true);
}

RESULT node_new(uint64_t id, const struct node_io *io, const struct host *host,
                const struct node_options *options, struct node **out, struct err *err) {
    ENSURE(id > 0 && id <= INT64_MAX, err, INVALID, "node id %" PRIu64, id);
    ENSURE(options->snapshot_trailing >= options->max_inflight, err, INVALID,
           "%u entries kept behind a snapshot, want at least the %u in flight",
           options->snapshot_trailing, options->max_inflight);
    ENSURE(2ULL * options->gone_timeout_ms <= options->election_timeout_ms, err, INVALID,
           "%u ms after a leader is gone, want at most half of the election timeout",
           options->gone_timeout_ms);
    struct node *node = mem_zalloc(sizeof *node);
    char address[24];
    node->id = id;
    node->io = io;
    node->host = host;
    node->options = *options;
    node->raft_deadline_ms = UINT64_MAX;
    node_log_init(&node->log);
    snprintf(address, sizeof address, "%" PRIu64, id);
    CHECK(raft_init(&node->raft, NULL, NULL, id, address) == 0);
    struct result r = check_layout(&node->raft, id, err);
    if (!is_ok(r)) {
        mem_free(node); /* raft_close of an unknown layout could do anything */
        return r;
    }
    configure(node);
    *out = node;
    return OK;
}

void node_free(struct node *node) {
    if (node == NULL) {
        return;
    }
    CHECK(!node->is_turning && !node->is_settling);
    node->is_settling = true; /* nothing more follows from what callbacks do now */
    node->health = ERR_FROZEN;
    node__read_cancel_all(node, ERR_CANCELED);
    mem_free(node->reads);
    for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
        node__outgoing_stop(&node->peers[i].out);
        node__incoming_drop(&node->peers[i].in);
    }
    for (size_t i = 0; i < node->batch_count; i++) {
        node_payload_unref(node_payload_of(node->batch[i].buf.base));
    }
    mem_free(node->batch);
    raft_close(&node->raft, NULL);
    node__snapshot_unref(node->snapshot);
    node__snapshot_unref(node->loading);
    node_log_deinit(&node->log);
    mem_free_wiped(node, sizeof *node);
}

/* --- Start --- */

static RESULT check_founders(const struct node *node, const struct node_config *c,
                             struct err *err) {
    ENSURE(node_config_is_valid(c), err, INVALID, "the first configuration is invalid");
    ENSURE(node_config_voters(c) == c->count && c->count <= LIMIT_VOTERS, err, INVALID,
           "the first configuration has %zu members, want 1..%d voters", c->count, LIMIT_VOTERS);
    ENSURE(node_config_find(c, node->id) != NULL, err, INVALID,
           "the first configuration lacks this node");
    for (size_t i = 1; i < c->count; i++) {
        ENSURE(c->members[i - 1].id < c->members[i].id, err, INVALID,
               "the first configuration is not sorted by id");
    }
    return OK;
}

RESULT node_bootstrap(struct node *node, const struct node_member *members, size_t count,
                      struct err *err) {
    CHECK(!node->started);
    struct node_config config = {.count = count};
    ENSURE(count <= LIMIT_MEMBERS, err, INVALID, "%zu founders", count);
    memcpy(config.members, members, count * sizeof members[0]);
    TRY(check_founders(node, &config, err));
    AUTO(buf_deinit)
    struct buf bytes = {0};
    node_config_encode(&config, &bytes);
    struct node_payload *payload = node_payload_new(buf_span(&bytes));
    node_log_append(&node->log, 1, RAFT_CHANGE, payload);
    struct raft_entry entry = {.term = 1,
                               .type = RAFT_CHANGE,
                               .buf = {payload->data, payload->size},
                               .batch = payload->data};
    struct raft_event event = {.type = RAFT_START};
    event.start.term = 1;
    event.start.start_index = 1;
    event.start.entries = &entry;
    event.start.n_entries = 1;
    node->started = true;
    CHECK(node__turn(node, &event) == 0);
    node__settle(node);
    return OK;
}

void node_join(struct node *node) {
    CHECK(!node->started);
    struct raft_event event = {.type = RAFT_START};
    event.start.start_index = 1;
    node->started = true;
    CHECK(node__turn(node, &event) == 0);
    node__settle(node);
}

/* --- Turns --- */

void node__clock(struct node *node) {
    node->now_ms = MAX(node->now_ms, host_monotonic_ms(node->host));
}

/* Pitfall P3: raft_timeout changes in many steps that do not say so in their flags, and may lie in
 * the past: read it after every step, and never before the next millisecond. */
static void refresh_deadline(struct node *node, unsigned flags) {
    if (node_rule_is_off(NODE_RULE_P3)) {
        if ((flags & (RAFT_UPDATE_TIMEOUT)) != 0) {
            node->raft_deadline_ms = raft_timeout(&node->raft);
        }
        return;
    }
    node->raft_deadline_ms = MAX(raft_timeout(&node->raft), node->now_ms + 1);
}

/* The library gives barriers of its own in its own memory, everything else in payloads of ours. */
static struct node_payload *payload_of_entry(const struct raft_entry *e) {
    if (e->batch == e->buf.base) {
        return node_payload_new(span_of(e->buf.base, e->buf.len));
    }
    return node_payload_ref(node_payload_of(e->buf.base));
}

/* Returns the index of the last entry stored. */
static uint64_t store_entries(struct node *node, const struct raft_update *u) {
    CHECK(u->entries.n > 0 && u->entries.index > node->applied);
    node_log_truncate(&node->log, u->entries.index);
    CHECK(u->entries.index == node_log_last(&node->log) + 1);
    if (node__is_leader(node) && node->first_own == 0) {
        node->first_own = u->entries.index;
    }
    for (unsigned i = 0; i < u->entries.n; i++) {
        const struct raft_entry *e = &u->entries.batch[i];
        node_log_append(&node->log, e->term, (int)e->type, payload_of_entry(e));
    }
    raft_free(u->entries.batch[0].batch);
    return u->entries.index + u->entries.n - 1;
}

static void note_state(struct node *node) {
    if (!node__is_leader(node) || node->first_own_term != node_term(node)) {
        node->first_own = 0;
        node->first_own_term = node_term(node);
    }
}

/* Rule R5: entries and snapshots are stored (in memory) in this very turn and reported at once.
 * A report that came later could name entries that were truncated meanwhile, and the library would
 * count them as stored. */
static void persist(struct node *node, uint64_t index) {
    if (node_rule_is_off(NODE_RULE_R5)) {
        node->deferred_persist = MAX(node->deferred_persist, index);
        return;
    }
    struct raft_event event = {.type = RAFT_PERSISTED_ENTRIES};
    event.persisted_entries.index = index;
    CHECK(node__turn(node, &event) == 0 || node->health != ERR_OK);
}

static void persist_snapshot(struct node *node) {
    struct raft_event event = {.type = RAFT_PERSISTED_SNAPSHOT};
    struct raft_snapshot_metadata *meta = &event.persisted_snapshot.metadata;
    meta->index = node->snapshot->index;
    meta->term = node->snapshot->term;
    meta->configuration_index = node->snapshot->config_index;
    node_config_to_raft(&node->snapshot->config, &meta->configuration);
    event.persisted_snapshot.last = true;
    CHECK(node__turn(node, &event) == 0 || node->health != ERR_OK);
}

static void handle_update(struct node *node, struct raft_update *u) {
    uint64_t stored = 0;
    if ((u->flags & (RAFT_UPDATE_STATE | RAFT_UPDATE_CURRENT_TERM)) != 0) {
        note_state(node);
    }
    if ((u->flags & (RAFT_UPDATE_ENTRIES)) != 0) {
        stored = store_entries(node, u);
    }
    if ((u->flags & (RAFT_UPDATE_SNAPSHOT)) != 0) {
        node__snapshot_install(node, u);
    }
    if ((u->flags & (RAFT_UPDATE_MESSAGES)) != 0) {
        for (unsigned i = 0; i < u->messages.n; i++) {
            node__send_raft(node, &u->messages.batch[i]);
        }
    }
    if (stored != 0) {
        persist(node, stored);
    }
    if ((u->flags & (RAFT_UPDATE_SNAPSHOT)) != 0) {
        persist_snapshot(node);
    }
}

/* A plain refusal leaves the library as it was (pitfall P12). */
static bool is_refusal(int rv) {
    return rv == RAFT_NOTLEADER || rv == RAFT_CANTCHANGE || rv == RAFT_NOSPACE ||
           rv == RAFT_BADID || rv == RAFT_BADROLE || rv == RAFT_NOTFOUND || rv == RAFT_BUSY;
}

int node__turn(struct node *node, struct raft_event *event) {
    struct raft_update update = {0};
    node__hand_over(node); /* before anything changes role, term or log: its indexes are promised */
    if (node->health != ERR_OK) {
        return RAFT_SHUTDOWN;
    }
    bool outer = !node->is_turning;
    node->is_turning = true;
    event->time = node->now_ms;
    node->steps++;
    int rv = raft_step(&node->raft, event, &update);
    if (rv == 0) {
        handle_update(node, &update);
        refresh_deadline(node, update.flags);
    } else if (!is_refusal(rv)) {
        node_freeze(node, raft_strerror(rv));
        node->health = rv == RAFT_SHUTDOWN ? ERR_DIVERGED : ERR_FROZEN;
    }
    if (outer) {
        node->is_turning = false;
    }
    return rv;
}

/* The library frees `batch` in some cases and reads `buf` only of a CHANGE: one byte of its own
 * memory stands for the batch, so that payloads stay ours. Takes over their references. */
static int submit_entries(struct node *node, struct raft_entry *entries, size_t count) {
    struct raft_event event = {.type = RAFT_SUBMIT};
    void *token = raft_malloc(1);
    CHECK(token != NULL);
    for (size_t i = 0; i < count; i++) {
        entries[i].batch = token;
    }
    event.submit.entries = entries;
    event.submit.n = (unsigned)count;
    int rv = node__turn(node, &event);
    if (rv != 0) {
        raft_free(token);
    }
    for (size_t i = 0; i < count; i++) {
        node_payload_unref(node_payload_of(entries[i].buf.base));
    }
    return rv;
}

static struct raft_entry entry_of(const struct node *node, int type, struct node_payload *payload) {
    return (struct raft_entry){.term = raft_current_term(&node->raft),
                               .type = (enum raft_entry_type)type,
                               .buf = {payload->data, payload->size}};
}

int node__submit_entry(struct node *node, int type, struct node_payload *payload) {
    struct raft_entry entry = entry_of(node, type, payload);
    return submit_entries(node, &entry, 1);
}

/* Group commit: all that was submitted since the last turn is one SUBMIT, so one AppendEntries to
 * each follower. The library refuses nothing here that node_submit has not refused: no turn has
 * come in between. */
void node__hand_over(struct node *node) {
    size_t count = node->batch_count;
    if (count > 0) {
        node->batch_count = 0;
        node->batch_bytes = 0;
        int rv = submit_entries(node, node->batch, count);
        CHECK(rv == 0 || node->health != ERR_OK);
    }
}

/* --- What follows --- */

/* Also where reads of a leadership that ended are refused. */
bool node__tell_role(struct node *node) {
    enum node_role role = node_role(node);
    uint64_t term = node_term(node);
    uint64_t leader = node_leader(node);
    if (role == node->told_role && term == node->told_term && leader == node->told_leader) {
        return false;
    }
    bool lost = node->told_role == NODE_LEADER && (role != NODE_LEADER || term != node->told_term);
    node->told_role = role;
    node->told_term = term;
    node->told_leader = leader;
    if (lost) {
        for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
            node__outgoing_stop(&node->peers[i].out);
            node->peers[i].held = 0;
        }
        node__read_cancel_all(node, ERR_NOT_LEADER);
    }
    node->io->role_changed(node->io->data, role, term, leader);
    return true;
}

/* The library wants to hear of each committed change, once, in log order. */
static void apply_change(struct node *node, const struct node_entry *e) {
    struct raft_event event = {.type = RAFT_CONFIGURATION};
    struct span bytes = span_of(e->payload->data, e->payload->size);
    CHECK(node_config_parse(bytes, &node->config));
    node->config_index = node->applied;
    event.configuration.index = node->applied;
    node_config_to_raft(&node->config, &event.configuration.conf);
    if (node__turn(node, &event) == 0) {
        node->io->configured(node->io->data, node->applied, node->config.members,
                             node->config.count);
    }
}

static bool apply_next(struct node *node) {
    if (node->applied >= raft_commit_index(&node->raft)) {
        return false;
    }
    const struct node_entry *e = node_log_get(&node->log, node->applied + 1);
    CHECK(e != NULL);
    struct node_entry held = *e;
    node_payload_ref(held.payload);
    node->applied++;
    if (held.type == RAFT_COMMAND) {
        node->io->apply(node->io->data, node->applied, held.term,
                        span_of(held.payload->data, held.payload->size));
    } else if (held.type == RAFT_CHANGE) {
        apply_change(node, &held);
    }
    node_payload_unref(held.payload);
    return true;
}

void node__settle(struct node *node) {
    if (node->is_settling) {
        return; /* a callback called in: the loop below goes on when it returns */
    }
    node->is_settling = true;
    node__gone_check(node);
    node__transfer_check(node);
    while (node->health == ERR_OK &&
           (node__tell_role(node) || node__settle_barrier(node) || node__snapshot_load(node) ||
            apply_next(node) || node__snapshot_take(node))) {
    }
    if (node->health != ERR_OK) {
        node__read_cancel_all(node, ERR_CANCELED);
    }
    node->is_settling = false;
}

uint64_t node_deadline(const struct node *node) {
    if (node->health != ERR_OK || !node->started) {
        return UINT64_MAX;
    }
    if (node->batch_count > 0 || node->tells_commit ||
        node->applied < raft_commit_index(&node->raft)) {
        return node->now_ms;
    }
    uint64_t own = MIN(node__read_deadline(node), node__snapshot_deadline(node));
    own = MIN(own, node__transfer_deadline(node));
    return MIN(own, node->raft_deadline_ms);
}

void node_tick(struct node *node) {
    CHECK(!node->is_turning && !node->is_settling);
    if (node->health != ERR_OK || !node->started) {
        return;
    }
    node__clock(node);
    node__hand_over(node);
    if (node->deferred_persist != 0) {
        struct raft_event event = {.type = RAFT_PERSISTED_ENTRIES};
        event.persisted_entries.index = node->deferred_persist;
        node->deferred_persist = 0;
        node__turn(node, &event);
    }
    if (node->now_ms >= node->raft_deadline_ms) {
        struct raft_event event = {.type = RAFT_TIMEOUT};
        node__turn(node, &event);
    }
    node__settle(node);
    if (node->tells_commit) {
        node->tells_commit = false;
        node__tell_commits(node);
    }
    node__snapshot_tick(node);
    node__read_tick(node);
    node__settle(node);
}

RESULT node_submit(struct node *node, struct span command, uint64_t *index, uint64_t *term,
                   struct err *err) {
    TRY(node__ensure_working(node, err));
    ENSURE(command.size > 0 && command.size <= LIMIT_ENTRY, err, TOO_LARGE,
           "command of %zu bytes, want 1..%d", command.size, LIMIT_ENTRY);
    ENSURE(node__is_leader(node), err, NOT_LEADER, "this replica does not lead");
    ENSURE(!node__is_transferring(node), err, UNAVAILABLE, "leadership is being transferred");
    uint64_t waiting =
        node_log_bytes_after(&node->log, raft_commit_index(&node->raft)) + node->batch_bytes;
    ENSURE(waiting + command.size <= LIMIT_UNCOMMITTED, err, BUSY,
           "%" PRIu64 " bytes are not committed yet", waiting);
    if (node->batch == NULL) {
        node->batch = mem_calloc(LIMIT_APPEND_ENTRIES, sizeof node->batch[0]);
    }
    node__clock(node);
    node->batch[node->batch_count++] = entry_of(node, RAFT_COMMAND, node_payload_new(command));
    node->batch_bytes += command.size;
    *index = node_last_index(node);
    *term = node_term(node);
    if (node->batch_count == LIMIT_APPEND_ENTRIES) {
        node__hand_over(node);
    }
    return OK; /* settled by the tick that node_deadline asks for: apply comes after this */
}

/* --- Peers, health, queries --- */

const struct node_peer *node__find_peer(const struct node *node, uint64_t id) {
    for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
        if (node->peers[i].id == id) {
            return &node->peers[i];
        }
    }
    return NULL;
}

/* A free place, or that of the stranger heard of longest ago: members never give way. */
static struct node_peer *place_for_peer(struct node *node) {
    struct node_peer *oldest = NULL;
    for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
        struct node_peer *p = &node->peers[i];
        if (p->id == 0) {
            return p;
        }
        if (!node_is_configured(node, p->id) &&
            (oldest == NULL || p->last_contact_ms < oldest->last_contact_ms)) {
            oldest = p;
        }
    }
    CHECK(oldest != NULL); /* there are twice as many places as members */
    return oldest;
}

struct node_peer *node__peer(struct node *node, uint64_t id, bool create) {
    for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
        if (node->peers[i].id == id) {
            return &node->peers[i];
        }
    }
    if (!create) {
        return NULL;
    }
    struct node_peer *p = place_for_peer(node);
    node__outgoing_stop(&p->out);
    node__incoming_drop(&p->in);
    *p = (struct node_peer){.id = id};
    return p;
}

void node_freeze(struct node *node, const char *why) {
    if (node->health != ERR_OK) {
        return;
    }
    node->health = ERR_FROZEN;
    snprintf(node->reason, sizeof node->reason, "%s", why);
    log_error("raft: node %" PRIu64 " stops: %s", node->id, why);
    if (!node->is_turning) {
        node__read_cancel_all(node, ERR_CANCELED);
    }
}

RESULT node_health(const struct node *node, struct err *err) {
    if (node->health == ERR_OK) {
        return OK;
    }
    return err_set(err, node->health, "raft: %s", node->reason);
}

RESULT node__ensure_working(const struct node *node, struct err *err) {
    TRY(node_health(node, err));
    ENSURE(node->started, err, UNAVAILABLE, "raft has not started");
    return OK;
}

/* raft_state and its like take no const pointer but change nothing. */
static struct raft *mutable_raft(const struct node *node) {
    return (struct raft *)(uintptr_t)&node->raft;
}

bool node__is_leader(const struct node *node) {
    return node->started && node->health == ERR_OK && raft_state(mutable_raft(node)) == RAFT_LEADER;
}

uint64_t node_id(const struct node *node) {
    return node->id;
}

enum node_role node_role(const struct node *node) {
    if (node__is_leader(node)) {
        return NODE_LEADER;
    }
    bool campaigns = node->health == ERR_OK && node->raft.state == RAFT_CANDIDATE;
    return campaigns ? NODE_CANDIDATE : NODE_FOLLOWER;
}

uint64_t node_term(const struct node *node) {
    return raft_current_term(&node->raft);
}

/* The library keeps the leader of an earlier term until it hears the next one: ours is exact. */
uint64_t node_leader(const struct node *node) {
    if (node__is_leader(node)) {
        return node->id;
    }
    bool heard = node->heard_term == node_term(node) && node_role(node) == NODE_FOLLOWER &&
                 node->health == ERR_OK && !node->leader_is_gone;
    return heard ? node->heard_leader : 0;
}

uint64_t node_commit_index(const struct node *node) {
    return raft_commit_index(&node->raft);
}

uint64_t node_applied_index(const struct node *node) {
    return node->applied;
}

uint64_t node_last_index(const struct node *node) {
    return node_log_last(&node->log) + node->batch_count;
}

uint64_t node_last_term(const struct node *node) {
    return node->batch_count > 0 ? node_term(node)
                                 : node_log_term(&node->log, node_log_last(&node->log));
}

size_t node_members(const struct node *node, struct node_member out[LIMIT_MEMBERS]) {
    memcpy(out, node->config.members, node->config.count * sizeof out[0]);
    return node->config.count;
}

bool node_is_configured(const struct node *node, uint64_t id) {
    return node_config_find(&node->config, id) != NULL;
}

bool node_peer_progress(const struct node *node, uint64_t id, struct node_progress *out) {
    const struct node_peer *peer = node__find_peer(node, id);
    raft_index match = 0;
    bool known = node__is_leader(node) && raft_match_index(&node->raft, id, &match) == 0;
    if (peer == NULL && !known) {
        return false;
    }
    *out = (struct node_progress){known ? match : 0, peer == NULL ? 0 : peer->last_contact_ms};
    return true;
}
