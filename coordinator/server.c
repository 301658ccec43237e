/* Server: see server.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/server.h"

#include <stdio.h>
#include <string.h>

#include "coordinator/restart_desk.h"
#include "coordinator/restart_store.h"
#include "coordinator/server_internal.h"

#include "lib/base/log.h"
#include "lib/crypto/cert.h"

#define ENDORSER_TICKETS 0xffff /* in the place of a worker's index */

/* --- Replies: core thread to session threads */

static void fill_position(const struct server *s, struct position *p) {
    const struct core *core = replica_core(s->replica);
    memcpy(p->cluster, core_cluster(core), sizeof p->cluster);
    memcpy(p->head, core_head(core), sizeof p->head);
    p->epoch = core_is_founded(core) ? core_epoch(core) : 0;
    p->term = replica_term(s->replica);
    p->commit_index = replica_applied(s->replica);
    p->ledger_size = merkle_log_size(core_ledger(core));
    merkle_log_root(core_ledger(core), p->ledger_root);
    p->generation = core_generation(core);
    p->state = (uint8_t)replica_state_of(s->replica);
    p->leaderless_ms = host_monotonic_ms(s->identity.host) - s->leader_ms;
}

static void fill_outcome(const struct replica_reply *reply, struct outcome *o) {
    const struct core_result *r = reply->result;
    o->duplicate = r->duplicate;
    o->already = r->already;
    o->generation = r->generation;
    memcpy(o->transition, r->transition, sizeof o->transition);
    o->time = r->time;
    if (r->type == ENTRY_ISSUE && reply->issue < r->issued_count) {
        const struct core_issued *issued = &r->issued[reply->issue];
        o->issue_index = issued->index;
        memcpy(o->serial, issued->serial, sizeof o->serial);
        o->validity_s = issued->validity_s;
    }
}

/* The worker's index stands in the upper bits of its tickets. */
static void post_reply(struct server *s, struct letter *l) {
    unsigned index = (unsigned)(l->ticket >> 48);
    CHECK(index < s->worker_count);
    worker_post(s->workers[index], l);
}

/* What a replica waits for may be a certificate. */
static void fill_status(const struct server *s, const struct api_status_reply *status,
                        struct buf *out) {
    char missing[400];
    char waits[1000];
    char restart[RESTART_WHY_SIZE];
    struct api_status_reply said = *status;
    endorser_status(s->endorser, missing, sizeof missing);
    if (said.why == NULL || said.why[0] == 0) {
        said.why = missing;
    }
    restart_desk_why(s->identity.restart, restart);
    if (replica_state_of(s->replica) == REPLICA_EMPTY && restart[0] != 0) {
        said.why = restart;
    }
    bool is_outside = replica_state_of(s->replica) == REPLICA_EMPTY ||
                      replica_state_of(s->replica) == REPLICA_PREPARED;
    if (is_outside && s->waits[0] != 0) {
        snprintf(waits, sizeof waits, "%.450s; last try to join: %.500s", said.why, s->waits);
        said.why = waits;
    }
    wire_encode(&api_status_reply_type, &said, out);
}

/* The endorser's own proposals have no worker's ticket. */
static void on_own_reply(struct server *s, uint64_t ticket, const struct replica_reply *reply) {
    bool has = reply->result != NULL;
    const char *text = reply->text == NULL ? err_text(reply->code) : reply->text;
    endorser_result(s->endorser, ticket, reply->code, has && reply->result->already,
                    has ? reply->result->wait_ms : 0, text);
}

static void on_reply(void *data, uint64_t ticket, const struct replica_reply *reply) {
    struct server *s = data;
    if (ticket >> 48 == ENDORSER_TICKETS) {
        on_own_reply(s, ticket & ((UINT64_C(1) << 48) - 1), reply);
        return;
    }
    struct letter *l = letter_new(WORKER_REPLY, ticket);
    l->code = reply->code;
    fill_position(s, &l->position);
    if (reply->result != NULL) {
        fill_outcome(reply, &l->outcome);
        if (reply->code == ERR_OK && reply->result->type == ENTRY_ISSUE &&
            reply->issue < reply->result->issued_count) {
            l->code = reply->result->issued[reply->issue].code;
        }
    } else if (reply->code == ERR_OK && reply->status == NULL) { /* a status may be unconfirmed */
        l->position.is_confirmed = true;
        l->position.confirmed_index = reply->index;
    }
    bool is_full = reply->result != NULL && reply->result->code == ERR_BUSY; /* the state is */
    l->retry_ms = is_full ? (uint32_t)reply->result->wait_ms : reply->retry_ms;
    if (reply->status != NULL) {
        fill_status(s, reply->status, &l->bytes);
    }
    if (l->code != ERR_OK) {
        l->text = mem_strdup(reply->text == NULL ? err_text(l->code) : reply->text);
    }
    post_reply(s, l);
}

static void answer(struct server *s, const struct letter *request, struct result r,
                   const struct err *err) {
    struct letter *l = letter_new(WORKER_REPLY, request->ticket);
    l->code = r.code;
    if (!is_ok(r)) {
        l->text = mem_strdup(err->text);
    }
    fill_position(s, &l->position);
    post_reply(s, l);
}

static void on_publish(void *data, struct view *view) {
    struct server *s = data;
    for (unsigned i = 0; i < s->worker_count; i++) {
        struct letter *l = letter_new(WORKER_VIEW, 0);
        l->view = view_ref(view);
        worker_post(s->workers[i], l);
    }
    view_unref(view);
}

/* --- Endorsements */

static const struct core *endorser_core(void *data) {
    const struct server *s = data;
    const struct core *core = replica_core(s->replica);
    return core_is_founded(core) ? core : NULL;
}

static bool endorser_may_propose(void *data) {
    const struct server *s = data;
    enum replica_state state = replica_state_of(s->replica);
    return replica_state_is_member(state) && state != REPLICA_LEAVING &&
           core_uses(replica_core(s->replica), ENTRY_COLLATERAL);
}

static void endorser_propose(void *data, uint64_t ticket, struct span entry) {
    struct server *s = data;
    replica_propose(s->replica, (uint64_t)ENDORSER_TICKETS << 48 | ticket, entry);
}

static struct result endorser_fetch(void *data, const struct entry_endorsement *key,
                                    struct err *err) {
    struct server *s = data;
    return endorse_source_fetch(s->source, key, err);
}

static void endorser_reply(void *data, uint64_t ticket, const struct endorser_answer *answer) {
    struct letter *l = letter_new(WORKER_REPLY, ticket);
    l->code = answer->code;
    l->retry_ms = answer->retry_ms < UINT32_MAX ? (uint32_t)answer->retry_ms : UINT32_MAX;
    l->text = answer->text == NULL ? NULL : mem_strdup(answer->text);
    if (answer->vek != NULL) {
        struct entry_collateral e = {.kind = COLLATERAL_VEK,
                                     .key = answer->vek->key,
                                     .der = answer->vek->der,
                                     .authority = answer->vek->authority,
                                     .root = answer->vek->root};
        entry_encode(ENTRY_COLLATERAL, &e, &l->bytes);
    }
    post_reply(data, l);
}

static int64_t endorser_entry_time(void *data) {
    const struct server *s = data;
    return replica_entry_time(s->replica);
}

static void endorser_publish(void *data, struct lists *lists) {
    struct server *s = data;
    for (unsigned i = 0; i < s->worker_count; i++) {
        struct letter *l = letter_new(WORKER_LISTS, 0);
        l->lists = lists_ref(lists);
        worker_post(s->workers[i], l);
    }
    lists_unref(lists);
    rejudge_hurry(&s->undecided, s->identity.host);
}

static void on_endorsed(void *data) {
    struct server *s = data;
    endorser_applied(s->endorser);
    rejudge_hurry(&s->undecided, s->identity.host); /* its certificate may be there */
}

/* What waits for a restart without people is kept here. */
static void on_point(void *data) {
    struct server *s = data;
    uint64_t voters[LIMIT_MEMBERS];
    if (s->identity.store != NULL) {
        size_t count = replica_voters(s->replica, voters);
        restart_store_point(s->identity.store, replica_core(s->replica), voters, count);
    }
}

static void on_imported(void *data, const struct entry_collateral *item) {
    struct server *s = data;
    endorser_learn(s->endorser, item, true);
}

/* A letter of our own encoding. */
static void take_collateral(struct server *s, const struct letter *l) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct entry entry;
    CHECK(is_ok(entry_decode_own(buf_span(&l->bytes), &arena, &entry, NULL)) &&
          entry.type == ENTRY_COLLATERAL);
    if (l->kind == CORE_FETCHED) {
        endorser_fetched(s->endorser, &entry.collateral);
    } else {
        endorser_learn(s->endorser, &entry.collateral, false);
    }
}

static void endorse(struct server *s, const struct letter *l) {
    struct entry_endorsement keys[ENDORSER_KEYS];
    size_t count = l->bytes.size / sizeof keys[0];
    size_t rest = l->bytes.size % sizeof keys[0];
    CHECK(count >= 1 && count <= ENDORSER_KEYS && (rest == 0 || rest == ENDORSER_SOURCE_SIZE));
    memcpy(keys, l->bytes.data, count * sizeof keys[0]);
    endorser_want(s->endorser, l->ticket, keys, count,
                  span_of(l->bytes.data + l->bytes.size - rest, rest));
}

static void take_failure(struct server *s, const struct letter *l) {
    struct entry_endorsement key;
    CHECK(l->bytes.size == sizeof key);
    memcpy(&key, l->bytes.data, sizeof key);
    endorser_failed(s->endorser, &key, l->code, l->text, l->retry_ms);
}

static RESULT start_endorser(struct server *s, struct err *err) {
    struct endorser_io io = {.data = s,
                             .core = endorser_core,
                             .may_propose = endorser_may_propose,
                             .propose = endorser_propose,
                             .fetch = endorser_fetch,
                             .reply = endorser_reply,
                             .publish = endorser_publish,
                             .entry_time = endorser_entry_time};
    bool has_service = strcmp(s->config->kds_url, "off") != 0;
    s->endorser = endorser_new(&io, s->identity.host, has_service);
    return endorse_source_open(s->config, s->identity.host, s->box, on_imported, s, &s->source,
                               err);
}

static void on_gone(void *data, const struct err *why) {
    struct server *s = data;
    s->is_gone = true;
    s->why = *why;
    uv_stop(&s->loop);
}

/* --- Requests of session threads */

static RESULT join(struct server *s, const struct letter *l, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_join_reply reply;
    struct replica_peer peers[LIMIT_MEMBERS];
    size_t count = 0;
    CHECK(l->bytes.size >= 48);
    TRY(wire_decode(&api_join_reply_type, span_of(l->bytes.data + 48, l->bytes.size - 48), &arena,
                    &reply, err));
    const struct api_founder *members = reply.members.items;
    ENSURE(reply.members.count <= LIMIT_MEMBERS, err, MALFORMED, "%zu members",
           reply.members.count);
    for (size_t i = 0; i < reply.members.count; i++) {
        if (members[i].id != s->identity.id) {
            ENSURE(members[i].id == replica_id_of(members[i].spki), err, MALFORMED,
                   "member %zu: the id is not of its key", i);
            peers[count++] =
                (struct replica_peer){members[i].id, members[i].address, members[i].spki};
        }
    }
    struct replica_admission admission = {.found = reply.found,
                                          .members = peers,
                                          .member_count = count,
                                          .generation = load_u64be(l->bytes.data),
                                          .epoch = load_u64be(l->bytes.data + 8)};
    memcpy(admission.head, l->bytes.data + 16, sizeof admission.head);
    return replica_join(s->replica, &admission, err);
}

static void issue(struct server *s, const struct letter *l) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct entry entry;
    CHECK(is_ok(entry_decode(buf_span(&l->bytes), &arena, &entry, NULL))); /* our own encoding */
    CHECK(entry.type == ENTRY_ISSUE && entry.issue.requests.count == 1);
    replica_issue(s->replica, l->ticket, entry.issue.generation, entry.issue.requests.items);
}

/* The state itself, for a session thread. */
static void extract(struct server *s, const struct letter *request) {
    struct letter *l = letter_new(WORKER_REPLY, request->ticket);
    struct err err;
    struct result r = request->kind == CORE_SURVEY
                          ? recovery_core_survey(s->replica, &l->bytes, &err)
                          : recovery_core_checkpoint(s->replica, &l->bytes, &err);
    l->code = r.code;
    if (!is_ok(r)) {
        l->text = mem_strdup(err.text);
    }
    fill_position(s, &l->position);
    post_reply(s, l);
}

/* The replica answers when the new epoch stands. */
static void recover(struct server *s, const struct letter *l) {
    struct err err;
    struct result r = recovery_core_recover(s->replica, l->ticket, buf_span(&l->bytes), &err);
    if (!is_ok(r)) {
        answer(s, l, r, &err);
    }
}

static void on_letter(void *data, struct letter *l) {
    struct server *s = data;
    struct err err;
    switch ((enum core_letter)l->kind) {
    case CORE_PROPOSE:
        replica_propose(s->replica, l->ticket, buf_span(&l->bytes));
        break;
    case CORE_ADMIT:
        replica_admit(s->replica, l->ticket, buf_span(&l->bytes));
        break;
    case CORE_ISSUE:
        issue(s, l);
        break;
    case CORE_CONFIRM:
        replica_confirm(s->replica, l->ticket);
        break;
    case CORE_POSITION:
        answer(s, l, OK, NULL);
        break;
    case CORE_STATUS:
        replica_status(s->replica, l->ticket);
        break;
    case CORE_PREPARE:
        answer(s, l, replica_prepare(s->replica, &err), &err);
        break;
    case CORE_FOUND:
        answer(s, l, replica_found(s->replica, buf_span(&l->bytes), &err), &err);
        break;
    case CORE_JOIN:
        answer(s, l, join(s, l, &err), &err);
        break;
    case CORE_JUDGED:
        server__take_judgement(s, l);
        break;
    case CORE_WAITS:
        snprintf(s->waits, sizeof s->waits, "%s", l->text);
        break;
    case CORE_CHAIN:
        server__take_chain(s, l);
        break;
    case CORE_ENDORSE:
        endorse(s, l);
        break;
    case CORE_LEARN:
    case CORE_FETCHED:
        take_collateral(s, l);
        break;
    case CORE_FETCH_FAILED:
        take_failure(s, l);
        break;
    case CORE_CHECKPOINT:
    case CORE_SURVEY:
        extract(s, l);
        break;
    case CORE_RECOVER:
        recover(s, l);
        break;
    case CORE_SUPERSEDED:
        replica_superseded(s->replica, load_u64be(l->bytes.data), l->bytes.data + 8);
        answer(s, l, OK, NULL);
        break;
    }
    letter_free(l);
    server__arm(s);
}

/* --- Time and signals */

static void on_timer(uv_timer_t *timer) {
    struct server *s = timer->data;
    replica_tick(s->replica);
    endorser_tick(s->endorser);
    server__judge_again(s);
    server__arm(s);
}

static void note_leader(struct server *s) {
    bool follows =
        replica_leader(s->replica) != 0 && replica_state_of(s->replica) != REPLICA_FROZEN;
    if (follows || s->leader_ms == 0) {
        s->leader_ms = host_monotonic_ms(s->identity.host);
    }
}

void server__arm(struct server *s) {
    note_leader(s);
    uint64_t at = replica_deadline(s->replica);
    uint64_t endorser_at = endorser_deadline(s->endorser);
    uint64_t judge_at = rejudge_deadline(&s->undecided);
    at = endorser_at < at ? endorser_at : at;
    at = judge_at < at ? judge_at : at;
    if (at == UINT64_MAX) {
        uv_timer_stop(&s->timer);
        return;
    }
    uv_update_time(&s->loop);
    uint64_t now = host_monotonic_ms(s->identity.host);
    uv_timer_start(&s->timer, on_timer, at > now ? at - now : 0, 0);
}

static void on_signal(uv_signal_t *handle, int number) {
    struct server *s = handle->data;
    if (s->is_leaving) {
        log_warn("signal %d again: stopping at once", number);
        uv_stop(&s->loop);
        return;
    }
    log_info("signal %d: leaving the cluster; once more stops at once", number);
    s->is_leaving = true;
    replica_leave(s->replica);
    server__arm(s);
}

/* --- Start and end */

static RESULT make_identity(struct server *s, struct err *err) {
    struct server_identity *id = &s->identity;
    id->config = s->config;
    id->host = &host_system;
    TRY(key_generate(KEY_P256, &id->key, err));
    key_spki(&id->key, &id->spki);
    id->cache = snp_cache_new();
    id->desk = recovery_desk_new(id->host);
    id->id = replica_id_of(buf_span(&id->spki));
    id->restart = restart_desk_new(id->host, id->id);
    TRY(cert_self_signed(&id->key, &s->certificate, err));
    struct tls_config tls = {.is_server = true,
                             .key = &id->key,
                             .certificate = buf_span(&s->certificate),
                             .require_peer_certificate = true};
    TRY(tls_context_new(&tls, &id->server_tls, err));
    tls.is_server = false;
    TRY(tls_context_new(&tls, &id->client_tls, err));
    TRY(issuer_open(s->config->issuer, &s->issuer, err));
    TRY(attester_new(s->issuer, &id->attester, err));
    return s->config->state_dir[0] == 0
               ? OK
               : restart_store_open(s->config->state_dir, id->id, id->attester, id->restart,
                                    &id->store, err);
}

static void start_replica(struct server *s) {
    struct replica_options options;
    replica_default_options(&options);
    options.leave_ms = s->config->leave_ms;
    options.id = s->identity.id;
    options.name = s->config->name;
    options.address = s->config->address;
    options.spki = buf_span(&s->identity.spki);
    options.owner_digests = s->config->owner_digests;
    options.owner_count = s->config->owner_count;
    struct replica_io io = {s,          on_reply, server__send, server__peers,
                            on_publish, on_gone,  on_endorsed,  on_point};
    s->replica = replica_new(&options, s->identity.host, &io);
}

static RESULT start(struct server *s, struct err *err) {
    CHECK(uv_loop_init(&s->loop) == 0);
    CHECK(uv_timer_init(&s->loop, &s->timer) == 0);
    CHECK(uv_signal_init(&s->loop, &s->sigterm) == 0 && uv_signal_init(&s->loop, &s->sigint) == 0);
    s->timer.data = s;
    s->sigterm.data = s;
    s->sigint.data = s;
    uv_signal_start(&s->sigterm, on_signal, SIGTERM);
    uv_signal_start(&s->sigint, on_signal, SIGINT);
    s->box = mailbox_open(&s->loop, LIMIT_PENDING_REQUESTS, on_letter, s);
    TRY(make_identity(s, err));
    start_replica(s);
    for (unsigned i = 0; i < s->config->session_threads && i < SERVER_WORKERS; i++) {
        TRY(worker_start(i, &s->identity, s->box, &s->workers[i], err));
        s->worker_count++;
    }
    return start_endorser(s, err);
}

/* Ends the threads, askers first: a session thread submits to the attester until it has ended, and
 * the attester's last answers go to mailboxes that stay. Then wipes what is secret. The loops'
 * sockets end with the process. */
static void stop(struct server *s) {
    for (unsigned i = 0; i < s->worker_count; i++) {
        worker_stop(s->workers[i]);
    }
    endorse_source_close(s->source);
    s->source = NULL;
    restart_store_stop(s->identity.store);
    attester_free(s->identity.attester);
    s->identity.attester = NULL;
    restart_store_free(s->identity.store);
    s->identity.store = NULL;
    restart_desk_free(s->identity.restart);
    s->identity.restart = NULL;
    snp_cache_free(s->identity.cache);
    s->identity.cache = NULL;
    recovery_desk_free(s->identity.desk);
    s->identity.desk = NULL;
    key_deinit(&s->identity.key);
    buf_deinit(&s->identity.spki);
    issuer_close(s->issuer);
}

struct server *server_new(const struct config *config) {
    struct server *s = mem_zalloc(sizeof *s);
    s->config = config;
    return s;
}

struct result server_run(struct server *s, struct err *err) {
    const struct config *config = s->config;
    struct result r = start(s, err);
    if (is_ok(r)) {
        log_info("replica %s id=%llu: user API :%u, mesh API :%u, raft :%u", config->name,
                 (unsigned long long)s->identity.id, config->user_port, config->mesh_port,
                 config->raft_port);
        server__arm(s);
        uv_run(&s->loop, UV_RUN_DEFAULT);
    }
    stop(s);
    if (is_ok(r) && s->is_gone) {
        r = err_set(err, s->why.code, "%s", s->why.text);
    }
    return r;
}
