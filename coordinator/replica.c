/* Replica: life and death, and the way between links, consensus and core. See replica.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/replica.h"

#include <string.h>

#include "coordinator/replica_internal.h"
#include "lib/base/log.h"
#include "lib/crypto/digest.h"

void replica_default_options(struct replica_options *o) {
    *o = (struct replica_options){
        .election_timeout_ms = 300,
        .heartbeat_ms = 30,
        .dead_after_ms = 3000,
        .prepared_ms = 30000,
        .founding_ms = 60000,
        .request_ms = 10000,
        .leave_ms = 10000,
        .learner_ms = 60000,
        .version = entry_version,
        .snapshot_threshold = 4096,
    };
}

uint64_t replica_id_of(struct span spki) {
    return entry_replica_id(spki);
}

/* The first manifest must be of an owner whom this replica's own measured environment names:
 * otherwise the host could found the cluster with a key of its own. Hash comparison only. */
static void check_founder_key(struct replica *r) {
    size_t count = 0;
    const struct core_record *records = core_records(r->core, &count);
    if (count == 0 || r->options.owner_count == 0) {
        return;
    }
    uint8_t digest[32];
    sha256(records[0].signer, digest);
    for (size_t i = 0; i < r->options.owner_count; i++) {
        if (memcmp(digest, r->options.owner_digests[i], 32) == 0) {
            return;
        }
    }
    replica__end(r, ERR_DENIED,
                 "the first manifest is signed by a key that CONTRAST_OWNER_KEY_DIGESTS does not "
                 "name");
}

/* A state may end before the verified history does: the log that follows it brings the rest. */
static RESULT check_expected(const struct replica *r, const struct core *core, struct err *err) {
    ENSURE(memcmp(core_cluster(core), core_cluster(r->core), 32) == 0, err, DENIED,
           "the state is of another cluster");
    size_t count = 0;
    const struct core_record *records = core_records(core, &count);
    uint64_t generation = r->expected_generation;
    ENSURE(generation == 0 || count < generation ||
               memcmp(records[generation - 1].transition, r->expected_head, 32) == 0,
           err, FORK, "generation %llu is not that of the verified history",
           (unsigned long long)generation);
    return OK;
}

static void check_history(struct replica *r) {
    struct err err;
    if (!is_ok(check_expected(r, r->core, &err))) {
        replica__end(r, err.code, "%s", err.text);
    }
}

static void tell_endorsed(const struct replica *r) {
    if (r->io.endorsed != NULL) {
        r->io.endorsed(r->io.data);
    }
}

static void tell_point(const struct replica *r) {
    if (r->io.point != NULL) {
        r->io.point(r->io.data);
    }
}

/* `before`: the cluster's time before the entry. */
static bool is_point(const struct replica *r, bool is_new, int64_t before) {
    enum entry_type t = r->result.type;
    bool is_decision = t == ENTRY_SET_MANIFEST || t == ENTRY_ADMIT || t == ENTRY_RETIRE ||
                       t == ENTRY_LEVEL || t == ENTRY_RECOVER;
    return (is_new && is_decision) ||
           core_time(r->core) / LIMIT_RESTART_BLOCK_S != before / LIMIT_RESTART_BLOCK_S;
}

static bool is_leaving(const struct replica *r) {
    const struct core_member *own = core_find_member(r->core, r->options.id);
    return own != NULL && own->state == CORE_LEAVING;
}

/* Whom an ADMIT or RETIRE that was applied has made leave and did not ask; 0 = nobody. */
static uint64_t sent_away(struct span command) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct entry e;
    CHECK(is_ok(entry_decode(command, &arena, &e, NULL)));
    if (e.type == ENTRY_ADMIT) {
        return e.admit.replaces;
    }
    return e.retire.id == e.request.proposer ? 0 : e.retire.id;
}

static void on_apply(void *data, uint64_t index, uint64_t term, struct span command) {
    struct replica *r = data;
    int64_t before = core_time(r->core);
    core_apply(r->core, index, term, command, &r->result);
    const struct core_result *result = &r->result;
    if (result->must_freeze) {
        replica__freeze(r, result->text);
        return;
    }
    if (result->code != ERR_OK) {
        log_info("entry %llu %s refused: %s: %s", (unsigned long long)index,
                 result->decoded ? entry_type_name(result->type) : "?", err_name(result->code),
                 result->text);
    }
    bool is_new = result->decoded && result->code == ERR_OK && !result->duplicate;
    if (is_new && result->type == ENTRY_SET_MANIFEST && !result->already) {
        if (result->generation == 1) {
            check_founder_key(r);
        }
        check_history(r);
        replica__life_manifest(r);
        replica__publish(r);
    }
    if (is_new && (result->type == ENTRY_ADMIT || result->type == ENTRY_RETIRE)) {
        replica__keep_leaving(r, sent_away(command));
        replica__publish(r);
        replica__set_peers(r);
        r->members_ms = 0;
        if (result->type == ENTRY_RETIRE && is_leaving(r)) {
            replica__retired(r);
        }
    }
    if (result->decoded && result->type == ENTRY_RECOVER) {
        replica__recovered(r);
        replica__publish(r);
        replica__set_peers(r);
    }
    if (is_point(r, is_new, before)) {
        tell_point(r);
    }
    replica__hash_applied(r, index);
    replica__applied(r);
    if (is_new && result->type != ENTRY_ISSUE && result->type != ENTRY_BLOB) {
        tell_endorsed(r);
    }
}

static void on_configured(void *data, uint64_t index, const struct node_member *members,
                          size_t count) {
    struct replica *r = data;
    (void)index;
    replica__configured(r, members, count);
    replica__life_configured(r, members, count);
    r->members_ms = 0;
    tell_point(r);
}

static void on_snapshot_save(void *data, struct buf *out) {
    const struct replica *r = data;
    core_save(r->core, out);
}

static struct result on_snapshot_load(void *data, struct span bytes, uint64_t index,
                                      struct err *err) {
    struct replica *r = data;
    struct core *core = NULL;
    TRY(core_load(bytes, &core, err));
    struct result checked = check_expected(r, core, err);
    if (!is_ok(checked)) {
        core_free(core);
        replica__end(r, checked.code, "%s", err->text);
        return checked;
    }
    core_free(r->core);
    r->core = core;
    log_info("installed the state up to entry %llu", (unsigned long long)index);
    check_founder_key(r);
    if (core_generation(r->core) > 0) {
        replica__life_manifest(r); /* a founder that was away when the first one was set */
    }
    replica__publish(r);
    replica__set_peers(r);
    tell_endorsed(r);
    replica__progress(r);
    return OK;
}

static void on_send(void *data, uint64_t peer, struct span message) {
    struct replica *r = data;
    r->io.send(r->io.data, peer, REPLICA_RAFT, message);
}

static void on_role_changed(void *data, enum node_role role, uint64_t term, uint64_t leader) {
    struct replica *r = data;
    static const char *const names[] = {"follower", "candidate", "leader"};
    log_info("replica %s: %s term=%llu leader=%llu", r->options.name, names[role],
             (unsigned long long)term, (unsigned long long)leader);
    r->members_ms = 0;
    r->led_since_ms = role == NODE_LEADER ? replica_now(r) : 0;
    replica__resend(r, true);
    replica__ask_again(r);
}

static const struct node_io node_callbacks = {
    NULL, on_send, on_apply, on_configured, on_snapshot_save, on_snapshot_load, on_role_changed,
};

struct replica *replica_new(const struct replica_options *options, const struct host *host,
                            const struct replica_io *io) {
    struct replica *r = mem_zalloc(sizeof *r);
    r->options = *options;
    r->host = host;
    r->io = *io;
    r->core = core_new();
    r->issues_last = &r->issues;
    r->next_sequence = 1;
    r->next_number = 1;
    return r;
}

static void send_nothing(void *data, uint64_t peer, uint8_t type, struct span body) {
    (void)data;
    (void)peer;
    (void)type;
    (void)body;
}

static void free_quietly(void *data, uint64_t ticket, const struct replica_reply *reply) {
    (void)data;
    (void)ticket;
    (void)reply;
}

static void end_quietly(void *data, const struct err *why) {
    (void)data;
    (void)why;
}

void replica_free(struct replica *r) {
    if (r == NULL) {
        return;
    }
    r->io.reply = free_quietly;
    r->io.send = send_nothing;
    r->io.gone = end_quietly;
    node_free(r->node); /* its pending reads end here */
    r->node = NULL;
    replica__fail_all(r, ERR_CANCELED, "the replica stops");
    replica__forget_told(r);
    core_free(r->core);
    buf_deinit(&r->found);
    mem_free(r);
}

/* --- Life */

struct result replica__start_node(struct replica *r, struct err *err) {
    r->node_io = node_callbacks;
    r->node_io.data = r;
    r->member_since_ms = replica_now(r);
    struct node_options options = node_options_default;
    options.election_timeout_ms = (unsigned)r->options.election_timeout_ms;
    options.heartbeat_ms = (unsigned)r->options.heartbeat_ms;
    options.snapshot_threshold = (unsigned)r->options.snapshot_threshold;
    options.read_timeout_ms = REPLICA_READ_MS;
    if (r->options.snapshot_trailing != 0 &&
        r->options.snapshot_trailing < options.snapshot_trailing) {
        options.snapshot_trailing = (unsigned)r->options.snapshot_trailing;
        options.max_inflight = options.snapshot_trailing < options.max_inflight
                                   ? options.snapshot_trailing
                                   : options.max_inflight; /* rule R3 */
    }
    return node_new(r->options.id, &r->node_io, r->host, &options, &r->node, err);
}

struct result replica_prepare(struct replica *r, struct err *err) {
    ENSURE(r->state == REPLICA_EMPTY || r->state == REPLICA_PREPARED, err, FOUNDED,
           "replica %s is %s: it belongs to a cluster already", r->options.name,
           replica_state_name(r->state));
    if (r->state == REPLICA_EMPTY) {
        replica__move(r, REPLICA_PREPARED);
    }
    r->lapse_ms = replica_now(r) + r->options.prepared_ms;
    return OK;
}

/* FOUND is the first thing every replica applies: founders from the founding session, joiners from
 * their admission. It stands at index 1, beside the library's own first configuration entry. */
static RESULT apply_found(struct replica *r, struct span found, struct err *err) {
    core_apply(r->core, 1, 1, found, &r->result);
    ENSURE(r->result.code == ERR_OK && r->result.type == ENTRY_FOUND, err, INVALID,
           "founding record: %s", r->result.code == ERR_OK ? "not one" : r->result.text);
    buf_clear(&r->found);
    buf_append_span(&r->found, found);
    return OK;
}

static RESULT check_own_row(const struct replica *r, struct span found, struct arena *arena,
                            struct entry *entry, struct err *err) {
    TRY(entry_decode(found, arena, entry, err));
    ENSURE(entry->type == ENTRY_FOUND, err, INVALID, "not a founding record");
    const struct entry_member *founders = entry->found.founders.items;
    for (size_t i = 0; i < entry->found.founders.count; i++) {
        if (founders[i].id == r->options.id && span_equal(founders[i].spki, r->options.spki)) {
            return OK;
        }
    }
    return err_set(err, ERR_DENIED, "the founding record does not name replica %s",
                   r->options.name);
}

struct result replica_found(struct replica *r, struct span found, struct err *err) {
    if (replica_state_is_member(r->state) && span_equal(found, buf_span(&r->found))) {
        return OK; /* another founder passed it on */
    }
    ENSURE(r->state == REPLICA_PREPARED, err, FOUNDED, "replica %s is %s, not prepared",
           r->options.name, replica_state_name(r->state));
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct entry entry;
    TRY(check_own_row(r, found, &arena, &entry, err));
    const struct entry_member *founders = entry.found.founders.items;
    struct node_member members[LIMIT_VOTERS];
    ENSURE(entry.found.founders.count <= LIMIT_VOTERS, err, INVALID, "too many founders");
    for (size_t i = 0; i < entry.found.founders.count; i++) {
        members[i] = (struct node_member){founders[i].id, NODE_VOTER};
    }
    TRY(apply_found(r, found, err));
    TRY(replica__start_node(r, err));
    replica__move(r, REPLICA_FOUNDER);
    r->lapse_ms = replica_now(r) + r->options.founding_ms;
    replica__publish(r);
    replica__set_peers(r);
    return node_bootstrap(r->node, members, entry.found.founders.count, err);
}

struct result replica_join(struct replica *r, const struct replica_admission *admission,
                           struct err *err) {
    ENSURE(r->state == REPLICA_EMPTY || r->state == REPLICA_PREPARED, err, FOUNDED,
           "replica %s is %s: it belongs to a cluster already", r->options.name,
           replica_state_name(r->state));
    TRY(apply_found(r, admission->found, err));
    TRY(replica__start_node(r, err));
    r->expected_generation = admission->generation;
    memcpy(r->expected_head, admission->head, sizeof r->expected_head);
    r->epoch = admission->epoch;
    replica__move(r, REPLICA_JOINING);
    /* A member that was admitted and never got into the configuration gives up. */
    r->lapse_ms = replica_now(r) + r->options.founding_ms;
    r->io.peers(r->io.data, core_cluster(r->core), admission->members, admission->member_count);
    node_join(r->node);
    return OK;
}

/* --- Events */

void replica__complain(struct replica *r, uint64_t peer, const char *what, const struct err *why) {
    uint64_t held_back = 0;
    if (link_notice_is_due(&r->complaints, why->code, replica_now(r), &held_back)) {
        log_warn("%s, replica %llu: %s (%llu more like it were not logged)", what,
                 (unsigned long long)peer, why->text, (unsigned long long)held_back);
    }
}

void replica_tick(struct replica *r) {
    if (replica__is_over(r)) {
        return;
    }
    replica__life_tick(r);
    if (r->node != NULL && !replica__is_over(r)) {
        if (replica_now(r) >= node_deadline(r->node)) {
            node_tick(r->node);
        }
        replica__propose_tick(r);
        replica__members_tick(r);
        replica__check_health(r);
    }
}

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

uint64_t replica_deadline(const struct replica *r) {
    if (replica__is_over(r)) {
        return UINT64_MAX;
    }
    uint64_t at = r->lapse_ms == 0 ? UINT64_MAX : r->lapse_ms;
    if (r->node != NULL) {
        at = earlier(at, node_deadline(r->node));
        at = earlier(at, replica__propose_deadline(r));
        at = earlier(at, r->members_ms);
        at = r->state == REPLICA_LEAVING ? earlier(at, r->leave_ms) : at;
    }
    return at;
}

/* Until RECOVER is applied the links are still those of the old epoch, and the log is the new one:
 * its members would be followed there, or their entries taken. */
static bool has_peers(const struct replica *r) {
    return r->node != NULL && r->state != REPLICA_RECOVERING;
}

void replica_receive(struct replica *r, uint64_t peer, uint8_t type, struct span body) {
    if (!has_peers(r) || replica__is_over(r)) {
        return;
    }
    switch ((enum replica_frame)type) {
    case REPLICA_RAFT: {
        struct err err;
        r->progress_ms = body.size >= REPLICA_BULK ? replica_now(r) : r->progress_ms;
        struct result taken = node_receive(r->node, peer, body, &err);
        if (!is_ok(taken)) {
            replica__complain(r, peer, "message", &err);
        }
        break;
    }
    case REPLICA_FORWARD:
        replica__forwarded(r, peer, body);
        break;
    case REPLICA_READ:
        replica__read_asked(r, peer, body);
        break;
    case REPLICA_READ_REPLY:
        replica__read_answered(r, body);
        break;
    case REPLICA_STATE_HASH:
        replica__hash_received(r, peer, body);
        break;
    case REPLICA_REMOVED:
        replica__removed_received(r, peer, body);
        break;
    case REPLICA_BEAT:
        replica__beat_received(r, peer, body);
        break;
    case REPLICA_PEER:
        replica__peer_received(r, peer, body);
        break;
    case REPLICA_DECLINED:
        replica__declined(r, peer, body);
        break;
    case REPLICA_ALARM:
        replica__alarm_received(r, peer, body);
        break;
    default: {
        struct err err;
        err_ignore(err_set(&err, ERR_PROTOCOL, "frame %u is unknown", type), "told below");
        replica__complain(r, peer, "frame", &err);
    }
    }
    replica__check_health(r);
}

void replica_link(struct replica *r, uint64_t peer, bool is_up) {
    if (r->state == REPLICA_RECOVERING) {
        return;
    }
    replica__link_changed(r, peer, is_up);
    if (is_up && r->node != NULL) {
        node_peer_reset(r->node, peer);
        replica__resend(r, true);
        replica__ask_again(r);
        replica__beat(r, peer);
    }
}

void replica_link_gone(struct replica *r, uint64_t peer) {
    if (has_peers(r) && !replica__is_over(r)) {
        node_leader_gone(r->node, peer);
        replica__check_health(r);
    }
}

/* --- Reading */

enum replica_state replica_state_of(const struct replica *r) {
    return r->state;
}

const struct core *replica_core(const struct replica *r) {
    return r->core;
}

size_t replica_voters(const struct replica *r, uint64_t out[LIMIT_MEMBERS]) {
    struct node_member members[LIMIT_MEMBERS];
    size_t count = r->node == NULL ? 0 : node_members(r->node, members);
    size_t voters = 0;
    for (size_t i = 0; i < count; i++) {
        size_t at = voters;
        if (members[i].role != NODE_VOTER) {
            continue;
        }
        for (; at > 0 && out[at - 1] > members[i].id; at--) {
            out[at] = out[at - 1];
        }
        out[at] = members[i].id;
        voters++;
    }
    return voters;
}

bool replica_is_leader(const struct replica *r) {
    return r->node != NULL && node_role(r->node) == NODE_LEADER;
}

uint64_t replica_leader(const struct replica *r) {
    return r->node == NULL ? 0 : node_leader(r->node);
}

uint64_t replica_term(const struct replica *r) {
    return r->node == NULL ? 0 : node_term(r->node);
}

uint64_t replica_applied(const struct replica *r) {
    return r->node == NULL ? 0 : node_applied_index(r->node);
}
