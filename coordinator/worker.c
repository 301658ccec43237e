/* Worker: see worker.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/worker.h"

#include <string.h>

#include "attest/client/client.h"
#include "attest/session.h"
#include "coordinator/joiner.h"
#include "coordinator/restart.h"
#include "coordinator/lookout.h"
#include "coordinator/session.h"
#include "coordinator/supplement.h"
#include "lib/base/log.h"
#include "lib/manifest/transition.h"

_Static_assert(LIMIT_COLLATERAL_CRLS < SNP_CRLS_MAX, "own lists and the evidence's are all judged");

#define LEARNED 64 /* certificates remembered as known; another costs a letter */

struct op {
    struct op *next;
    uint64_t ticket;
    void *owner;      /* NULL: nobody waits any more */
    bool is_evidence; /* the reply is this replica's own */
    op_cb done;
};

struct worker {
    const struct server_identity *identity;
    unsigned index;
    uv_loop_t loop;
    uv_thread_t thread;
    struct mailbox *box;  /* of this worker */
    struct mailbox *core; /* of the core thread */
    struct view *view;
    struct lists *lists;
    struct supplement supplement;
    struct entry_endorsement learned[LEARNED]; /* given to the core thread, a ring */
    size_t learned_at;
    struct ca_mesh mesh;
    uint64_t mesh_generation; /* of `mesh`; 0 = none loaded */
    uint64_t mesh_epoch;      /* of `mesh`: a recovery brings a new key, too */
    struct net_listener *user;
    struct net_listener *mesh_api;
    struct joiner *joiner;   /* first worker only, as the next */
    struct restart *restart; /* first worker only, too */
    struct lookout *lookout; /* once it belongs to a cluster */
    struct op *ops;
    size_t op_count; /* at most LIMIT_PENDING_REQUESTS: so many answers come */
    uint64_t next_ticket;
    size_t founding_count;
};

const struct server_identity *worker_identity(const struct worker *w) {
    return w->identity;
}

uv_loop_t *worker_loop(struct worker *w) {
    return &w->loop;
}

struct view *worker_view(struct worker *w) {
    return w->view;
}

struct lists *worker_lists(const struct worker *w) {
    return w->lists;
}

/* A list that is newer than the view moved the log's time, and this replica's clock may be behind:
 * else the list would begin only in the future. */
int64_t worker_now(const struct worker *w) {
    int64_t now = host_unix_s(w->identity->host);
    int64_t listed = lists_time(w->lists);
    now = listed > now ? listed : now;
    return w->view != NULL && w->view->time > now ? w->view->time : now;
}

/* Of the view's generation and epoch. */
static bool is_mesh_current(const struct worker *w) {
    return w->mesh_generation == w->view->generation && w->mesh_epoch == w->view->epoch;
}

struct result worker_mesh(struct worker *w, const struct ca_mesh **out, struct err *err) {
    ENSURE(w->view != NULL && w->view->generation > 0, err, NOT_FOUNDED, "no manifest is set yet");
    ENSURE(w->view->mesh_key != NULL, err, UNAVAILABLE, "the cluster is being recovered");
    if (!is_mesh_current(w)) {
        ca_mesh_deinit(&w->mesh);
        w->mesh = (struct ca_mesh){0};
        w->mesh_generation = 0;
        TRY(ca_mesh_load(secret_span(w->view->mesh_key), buf_span(&w->view->mesh_cert),
                         buf_span(&w->view->intermediate), &w->mesh, err));
        w->mesh_generation = w->view->generation;
        w->mesh_epoch = w->view->epoch;
    }
    *out = &w->mesh;
    return OK;
}

/* --- Ops */

static RESULT start_op(struct worker *w, void *owner, op_cb done, struct op **out,
                       struct err *err) {
    ENSURE(w->op_count < LIMIT_PENDING_REQUESTS, err, BUSY, "too many requests wait");
    struct op *op = mem_zalloc(sizeof *op);
    op->ticket = (uint64_t)w->index << 48 | ++w->next_ticket;
    op->owner = owner;
    op->done = done;
    op->next = w->ops;
    w->ops = op;
    w->op_count++;
    *out = op;
    return OK;
}

static struct op *take_op(struct worker *w, uint64_t ticket) {
    struct op **at = &w->ops;
    while (*at != NULL && (*at)->ticket != ticket) {
        at = &(*at)->next;
    }
    struct op *op = *at;
    if (op != NULL) {
        *at = op->next;
        w->op_count--;
    }
    return op;
}

static void finish_op(struct worker *w, const struct letter *reply) {
    struct op *op = take_op(w, reply->ticket);
    if (op == NULL) {
        return;
    }
    if (op->owner != NULL) {
        op->done(op->owner, reply);
    }
    mem_free(op);
}

void worker_cancel(struct worker *w, const void *owner) {
    for (struct op *op = w->ops; op != NULL; op = op->next) {
        if (op->owner == owner) {
            op->owner = NULL;
        }
    }
}

struct result worker_ask(struct worker *w, enum core_letter kind, struct span bytes, void *owner,
                         op_cb done, struct err *err) {
    struct op *op = NULL;
    TRY(start_op(w, owner, done, &op, err));
    CHECK(op != NULL);
    struct letter *l = letter_new((int)kind, op->ticket);
    l->thread = w->index;
    buf_append_span(&l->bytes, bytes);
    uint64_t ticket = op->ticket;
    if (!mailbox_post(w->core, l)) {
        mem_free(take_op(w, ticket));
        return err_set(err, ERR_BUSY, "too many requests wait");
    }
    return OK;
}

void worker_learn(struct worker *w, const struct entry_collateral *c) {
    for (size_t i = 0; i < LEARNED; i++) {
        if (entry_endorsement_same(&w->learned[i], &c->key)) {
            return;
        }
    }
    struct letter *l = letter_new(CORE_LEARN, 0);
    entry_encode(ENTRY_COLLATERAL, c, &l->bytes);
    if (mailbox_post(w->core, l)) { /* else another time */
        w->learned[w->learned_at] = c->key;
        w->learned_at = (w->learned_at + 1) % LEARNED;
    }
}

void worker_waits(struct worker *w, const char *why) {
    struct letter *l = letter_new(CORE_WAITS, 0);
    l->text = mem_strdup(why);
    err_ignore((struct result){mailbox_post(w->core, l) ? ERR_OK : ERR_BUSY},
               "the next try says it");
}

/* --- Attesting */

static void finish_evidence(struct worker *w, struct letter *l) {
    finish_op(w, l);
    letter_free(l);
}

/* Takes the letter over when it is this replica's evidence. */
static bool supplement(struct worker *w, struct letter *l) {
    const struct op *op = w->ops;
    while (op != NULL && op->ticket != l->ticket) {
        op = op->next;
    }
    if (op == NULL || !op->is_evidence || l->code != ERR_OK) {
        return false;
    }
    supplement_start(&w->supplement, l);
    return true;
}

/* What the attester's thread needs to answer this worker. */
struct attest_job {
    struct worker *worker;
    uint64_t ticket;
    enum attest_kind kind;
    struct buf statement;
};

/* LOST is this replica's own end: another may answer, so the peer is told to try again. */
static void refuse_attestation(struct letter *l, const struct err *err) {
    l->code = err->code == ERR_LOST ? ERR_UNAVAILABLE : err->code;
    l->text = mem_strdup(err->text);
    l->retry_ms = err->retry_ms;
}

static void on_attested(void *data, const struct attested *attested, const struct err *why) {
    struct attest_job *job = data;
    struct letter *l = letter_new(WORKER_REPLY, job->ticket);
    struct err err;
    struct result made = OK;
    if (attested == NULL) {
        err = *why;
        made.code = why->code;
    } else {
        made =
            attest_evidence_encode(attested, job->kind, buf_span(&job->statement), &l->bytes, &err);
    }
    if (!is_ok(made)) {
        refuse_attestation(l, &err);
    }
    mailbox_post_always(job->worker->box, l);
    buf_deinit(&job->statement);
    mem_free(job);
}

struct result worker_attest(struct worker *w, const uint8_t leaf[ATTEST_LEAF_SIZE],
                            enum attest_kind kind, struct span statement, void *owner, op_cb done,
                            struct err *err) {
    struct op *op = NULL;
    TRY(start_op(w, owner, done, &op, err));
    CHECK(op != NULL);
    struct attest_job *job = mem_zalloc(sizeof *job);
    job->worker = w;
    op->is_evidence = true;
    job->ticket = op->ticket;
    job->kind = kind;
    buf_append_span(&job->statement, statement);
    struct result r = attester_submit(w->identity->attester, leaf, on_attested, job, err);
    if (!is_ok(r)) {
        mem_free(take_op(w, job->ticket));
        buf_deinit(&job->statement);
        mem_free(job);
    }
    return r;
}

struct result worker_founding_begin(struct worker *w, struct err *err) {
    ENSURE(w->founding_count < LIMIT_FOUNDINGS, err, BUSY, "%d foundings are being prepared here",
           LIMIT_FOUNDINGS);
    w->founding_count++;
    return OK;
}

void worker_founding_end(struct worker *w) {
    CHECK(w->founding_count > 0);
    w->founding_count--;
}

static void digest_pem(const struct buf *pem, uint8_t out[48]) {
    sha384(buf_span(pem), out);
}

void worker_statement(const struct worker *w, const struct position *position, struct buf *out) {
    struct replica_statement s = {
        .epoch = position->epoch,
        .replica_id = w->identity->id,
        .public_key = buf_span(&w->identity->spki),
        .term = position->term,
        .commit_index = position->commit_index,
        .ledger_size = position->ledger_size,
        .generation = position->generation,
        .state = position->state,
        .has_confirmed = position->is_confirmed,
        .confirmed_index = position->confirmed_index,
    };
    memcpy(s.cluster, position->cluster, sizeof s.cluster);
    memcpy(s.ledger_root, position->ledger_root, sizeof s.ledger_root);
    memcpy(s.head, position->head, sizeof s.head);
    if (w->view != NULL && w->view->generation > 0) {
        digest_pem(&w->view->root_cert, s.root_ca_digest);
        digest_pem(&w->view->mesh_cert, s.mesh_ca_digest);
    }
    wire_encode(&replica_statement_type, &s, out);
}

struct result worker_document(struct worker *w, const uint8_t nonce[ATTEST_NONCE_SIZE],
                              const struct position *position, void *owner, op_cb done,
                              struct err *err) {
    AUTO(buf_deinit)
    struct buf statement = {0};
    struct attest_request request = {.purpose = ATTEST_DOCUMENT};
    memcpy(request.nonce, nonce, sizeof request.nonce);
    worker_statement(w, position, &statement);
    uint8_t leaf[ATTEST_LEAF_SIZE];
    TRY(attest_leaf_for(NULL, ATTEST_REPLICA, &request, buf_span(&statement), leaf, err));
    return worker_attest(w, leaf, ATTEST_REPLICA, buf_span(&statement), owner, done, err);
}

void worker_attest_policy(const struct worker *w, const struct manifest *manifest,
                          enum attest_kind kind, enum policy_role role, struct attest_policy *out) {
    const struct config *config = w->identity->config;
    size_t list_count = 0;
    const struct span *lists = lists_spans(w->lists, &list_count);
    *out = (struct attest_policy){
        .kinds = ATTEST_KIND_BIT(kind),
        .manifest = manifest,
        .role = role,
        .extra_roots = config->permitted_roots,
        .extra_root_count = config->permitted_root_count,
        .crls = lists,
        .crl_count = list_count,
        .at = worker_now(w),
        .cache = w->identity->cache,
    };
}

void worker_client_trust(const struct worker *w, const struct manifest *manifest,
                         struct client_trust *out) {
    const struct config *config = w->identity->config;
    size_t list_count = 0;
    const struct span *lists = lists_spans(w->lists, &list_count);
    *out = (struct client_trust){
        .manifest = manifest,
        .owner_digests = config->owner_digests,
        .owner_count = config->owner_count,
        .permitted_roots = config->permitted_roots,
        .permitted_root_count = config->permitted_root_count,
        .crls = lists,
        .crl_count = list_count,
        .at = worker_now(w),
    };
}

/* A member that the leader admitted: this replica judges the evidence itself before it opens a link
 * (ARCHITECTURE section 6). A refusal alarms and changes no state. */
static void judge(struct worker *w, const struct letter *l) {
    struct letter *reply = letter_new(CORE_JUDGED, 0);
    struct attest_policy policy;
    struct attest_peer peer = {0};
    struct err err;
    buf_append(&reply->bytes, l->bytes.data, 8);
    struct result r = err_set(&err, ERR_NOT_FOUNDED, "no manifest");
    if (w->view != NULL && w->view->generation > 0) {
        worker_attest_policy(w, &w->view->manifest, ATTEST_REPLICA, ROLE_COORDINATOR, &policy);
        struct span evidence = span_of(l->bytes.data + 40, l->bytes.size - 40);
        r = attest_document_verify(l->bytes.data + 8, evidence, &policy, &peer, &err);
    }
    if (is_ok(r) && peer.statement.replica.replica_id != load_u64be(l->bytes.data)) {
        r = err_set(&err, ERR_DENIED, "the evidence is of another replica");
    }
    if (!is_ok(r)) {
        reply->code = r.code;
        reply->text = mem_strdup(err.text);
    }
    attest_peer_deinit(&peer);
    mailbox_post_always(w->core, reply);
}

/* The manifests and recoveries of the view, from an owner of this replica's own environment on. */
static RESULT check_chain(const struct worker *w, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct transition_history history;
    struct manifest latest = {0};
    uint8_t head[32];
    uint64_t epoch = 0;
    uint8_t digests[LIMIT_OWNER_KEYS][32];
    const struct config *config = w->identity->config;
    struct manifest trusted = {.owner_digests = digests, .owner_count = config->owner_count};
    memcpy(digests, config->owner_digests, sizeof digests);
    view_history(w->view, &arena, &history);
    struct result r = transition_verify_chain(&history, &trusted, &latest, head, &epoch, err);
    manifest_deinit(&latest);
    TRY(r);
    ENSURE(memcmp(head, w->view->head, sizeof head) == 0 && epoch == w->view->epoch, err, DENIED,
           "it ends elsewhere than the state");
    return OK;
}

static void judge_chain(struct worker *w) {
    struct letter *reply = letter_new(CORE_CHAIN, 0);
    struct err err;
    struct result r = w->view == NULL ? OK : check_chain(w, &err);
    if (!is_ok(r)) {
        reply->code = r.code;
        reply->text = mem_strdup(err.text);
    }
    mailbox_post_always(w->core, reply);
}

/* --- Life */

static void stop_restart(struct worker *w) {
    if (w->restart != NULL) {
        restart_stop(w->restart);
        w->restart = NULL;
    }
}

static void stop(struct worker *w) {
    stop_restart(w);
    if (w->joiner != NULL) {
        joiner_stop(w->joiner);
        w->joiner = NULL;
    }
    if (w->lookout != NULL) {
        lookout_stop(w->lookout);
        w->lookout = NULL;
    }
    if (w->user != NULL) {
        net_listener_close(w->user, NULL, NULL);
    }
    if (w->mesh_api != NULL) {
        net_listener_close(w->mesh_api, NULL, NULL);
    }
    uv_stop(&w->loop);
}

static void take_view(struct worker *w, struct letter *l) {
    view_unref(w->view);
    w->view = l->view;
    l->view = NULL;
    supplement_retry(&w->supplement);
    if (!is_mesh_current(w)) { /* the old key goes at once */
        ca_mesh_deinit(&w->mesh);
        w->mesh = (struct ca_mesh){0};
        w->mesh_generation = 0;
    }
    if (w->view->is_founded) {
        stop_restart(w);
    }
    if (w->joiner != NULL && w->view->is_founded) {
        joiner_stop(w->joiner);
        w->joiner = NULL;
    }
    if (w->index == 0 && w->lookout == NULL && w->view->is_founded) {
        w->lookout = lookout_start(w);
    }
}

static void on_letter(void *data, struct letter *l) {
    struct worker *w = data;
    switch ((enum worker_letter)l->kind) {
    case WORKER_REPLY:
        if (supplement(w, l)) {
            return;
        }
        finish_op(w, l);
        break;
    case WORKER_LISTS:
        lists_unref(w->lists);
        w->lists = l->lists;
        l->lists = NULL;
        break;
    case WORKER_VIEW:
        take_view(w, l);
        break;
    case WORKER_JUDGE:
        judge(w, l);
        break;
    case WORKER_CHAIN:
        judge_chain(w);
        break;
    case WORKER_STOP:
        stop(w);
        break;
    }
    letter_free(l);
}

static void on_refused(void *data, const char *peer_address, const struct err *why) {
    (void)data;
    log_debug("%s: %s", peer_address, why->text);
}

static RESULT listen_on(struct worker *w, uint16_t port, bool is_mesh, struct net_listener **out,
                        struct err *err) {
    struct net_listen_config config = {
        .host = w->identity->config->listen,
        .port = port,
        .reuse_port = true,
        .tls = w->identity->server_tls,
        .max_connections = LIMIT_CONNECTIONS,
        .max_buffered = LIMIT_LISTENER_BYTES,
        .handshake_ms = LIMIT_HANDSHAKE_MS,
        .idle_ms = LIMIT_IDLE_MS,
        .calls = is_mesh ? session_mesh_calls : session_user_calls,
        .data = w,
        .on_refused = on_refused,
    };
    return net_listen(&w->loop, &config, out, err);
}

static void run(void *data) {
    struct worker *w = data;
    uv_run(&w->loop, UV_RUN_DEFAULT);
}

struct result worker_start(unsigned index, const struct server_identity *identity,
                           struct mailbox *core, struct worker **out, struct err *err) {
    struct worker *w = mem_zalloc(sizeof *w);
    w->identity = identity;
    w->index = index;
    w->core = core;
    supplement_init(&w->supplement, w, finish_evidence);
    CHECK(uv_loop_init(&w->loop) == 0);
    w->box = mailbox_open(&w->loop, LIMIT_PENDING_REQUESTS, on_letter, w);
    struct result r = listen_on(w, identity->config->user_port, false, &w->user, err);
    r = is_ok(r) ? listen_on(w, identity->config->mesh_port, true, &w->mesh_api, err) : r;
    if (is_ok(r) && index == 0) {
        w->joiner = joiner_start(w);
        w->restart = restart_start(w);
    }
    CHECK(!is_ok(r) || uv_thread_create(&w->thread, run, w) == 0);
    *out = is_ok(r) ? w : NULL;
    return r; /* a worker that could not listen ends with the process */
}

void worker_post(struct worker *w, struct letter *l) {
    mailbox_post_always(w->box, l);
}

/* Connections end with the process; what is secret is wiped now. */
void worker_stop(struct worker *w) {
    worker_post(w, letter_new(WORKER_STOP, 0));
    uv_thread_join(&w->thread);
    view_unref(w->view);
    w->view = NULL;
    lists_unref(w->lists);
    w->lists = NULL;
    supplement_deinit(&w->supplement);
    ca_mesh_deinit(&w->mesh);
}
