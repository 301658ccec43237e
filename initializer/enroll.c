/* Enroll: see enroll.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "initializer/enroll.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "attest/client/client.h"
#include "initializer/enroll_files.h"
#include "lib/base/log.h"
#include "lib/crypto/cert.h"
#include "lib/crypto/key.h"

#define ENROLL_TIMEOUT_MS 30000 /* connection and handshake; then between two frames */

/* What the attester's thread hands to the loop. */
struct enroll_report {
    pthread_mutex_t lock;
    uint64_t number; /* of the attempt that asked */
    bool is_ready;   /* evidence or err is set */
    struct buf evidence;
    struct err err; /* code OK: evidence */
};

struct enroll {
    uv_loop_t *loop;
    const struct enroll_config *config;
    const struct host *host;
    struct attester *attester;
    struct enroll_calls calls;
    uv_async_t async;
    struct enroll_report report;
    /* of the attempt */
    struct client *client; /* NULL between two */
    uint64_t number;
    enum enroll_purpose purpose;
    struct key key;       /* of TLS, and what will be certified */
    struct buf statement; /* over it; read by the attester's thread while is_reporting */
    struct tls_context *tls;
    struct client_verdict verdict;
    struct enroll_receipt receipt;
    bool is_done;      /* the receipt is complete */
    bool is_reporting; /* a report is pending on the attester's thread */
};

static void drop(struct enroll *e, const struct err *why) {
    client_abort(e->client, why);
}

/* ---- keys ---- */

static void drop_keys(struct enroll *e) {
    tls_context_free(e->tls);
    e->tls = NULL;
    key_deinit(&e->key);
    e->key = (struct key){0};
}

static void state_key(struct enroll *e) {
    AUTO(buf_deinit)
    struct buf spki = {0};
    key_spki(&e->key, &spki);
    struct workload_statement statement = {buf_span(&spki)};
    buf_clear(&e->statement);
    wire_encode(&workload_statement_type, &statement, &e->statement);
}

static RESULT make_keys(struct enroll *e, struct err *err) {
    AUTO(buf_deinit)
    struct buf certificate = {0};
    TRY(key_generate(KEY_P256, &e->key, err));
    TRY(cert_self_signed(&e->key, &certificate, err));
    struct tls_config config = {.key = &e->key, .certificate = buf_span(&certificate)};
    return tls_context_new(&config, &e->tls, err);
}

/* ---- the Coordinator ---- */

static RESULT judge(struct enroll *e, struct err *err) {
    const struct enroll_config *c = e->config;
    struct client_trust trust = {
        .owner_digests = c->owner_digests,
        .owner_count = c->owner_count,
        .permitted_roots = c->permitted_roots,
        .permitted_root_count = c->permitted_root_count,
        .epoch_seen = e->calls.seen->epoch,
        .cluster_seen = e->calls.seen->cluster,
        .must_have_manifest = true,
        .at = host_unix_s(e->host),
    };
    TRY(client_judge(e->client, &trust, &e->verdict, err));
    const struct replica_statement *s = &e->verdict.peer.statement.replica;
    ENSURE(s->has_confirmed, err, UNVERIFIABLE,
           "the Coordinator is genuine, but no quorum confirms that its manifest is current");
    e->receipt = (struct enroll_receipt){.seen = lineage_of(s),
                                         .simulated = e->verdict.peer.verdict.simulated};
    memcpy(e->receipt.mesh_ca, s->mesh_ca_digest, sizeof e->receipt.mesh_ca);
    TRY(e->calls.judged(e->calls.data, &e->receipt.seen, err));
    log_at(e->purpose == ENROLL_CHECK ? LOG_DEBUG : LOG_INFO,
           "Coordinator verified: epoch %" PRIu64 ", generation %" PRIu64 "%s", s->epoch,
           s->generation, e->receipt.simulated ? ", SIMULATED root" : "");
    return OK;
}

static RESULT go_on(struct enroll *e, struct err *err) {
    struct api_empty empty = {0};
    TRY(judge(e, err));
    if (e->purpose == ENROLL_CHECK) {
        e->is_done = true;
        client_close(e->client);
        return OK;
    }
    return client_send(e->client, API_CERTIFICATE, &api_empty_type, &empty, err);
}

static void on_open(struct client *c, void *data) {
    struct enroll *e = data;
    struct err err;
    (void)c;
    if (!is_ok(go_on(e, &err))) {
        drop(e, &err);
    }
}

/* ---- the report ---- */

/* On the attester's thread. */
static void on_attested(void *data, const struct attested *attested, const struct err *why) {
    struct enroll *e = data;
    struct enroll_report *report = &e->report;
    pthread_mutex_lock(&report->lock);
    buf_clear(&report->evidence);
    report->err = attested == NULL ? *why : (struct err){.code = ERR_OK};
    if (attested != NULL) {
        err_ignore(attest_evidence_encode(attested, ATTEST_WORKLOAD, buf_span(&e->statement),
                                          &report->evidence, &report->err),
                   "the error is looked at on the loop");
    }
    report->is_ready = true;
    pthread_mutex_unlock(&report->lock);
    uv_async_send(&e->async);
}

static RESULT ask_report(struct enroll *e, struct span body, struct err *err) {
    struct attest_request request;
    struct attest_channel channel = client_channel(e->client);
    uint8_t leaf[ATTEST_LEAF_SIZE];
    TRY(attest_request_decode(body, &request, err));
    ENSURE(request.purpose == ATTEST_SESSION, err, PROTOCOL, "asked for another kind of evidence");
    ENSURE(!e->is_reporting, err, BUSY, "a report of an earlier attempt is still being made");
    TRY(attest_leaf_for(&channel, ATTEST_WORKLOAD, &request, buf_span(&e->statement), leaf, err));
    e->report.number = e->number;
    TRY(attester_submit(e->attester, leaf, on_attested, e, err));
    e->is_reporting = true;
    return OK;
}

static void on_async(uv_async_t *async) {
    struct enroll *e = async->data;
    struct enroll_report *report = &e->report;
    AUTO(buf_deinit)
    struct buf evidence = {0};
    struct err err;
    pthread_mutex_lock(&report->lock);
    bool is_ready = report->is_ready;
    report->is_ready = false;
    err = report->err;
    buf_append_span(&evidence, buf_span(&report->evidence));
    pthread_mutex_unlock(&report->lock);
    if (!is_ready) {
        return;
    }
    e->is_reporting = false;
    if (e->client == NULL || report->number != e->number) {
        return; /* the attempt that asked is over */
    }
    if (err.code != ERR_OK ||
        !is_ok(client_send_bytes(e->client, API_EVIDENCE, buf_span(&evidence), &err))) {
        drop(e, &err);
    }
}

/* ---- the certificate ---- */

static RESULT take_certificate(struct enroll *e, struct span body, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0}; /* wiped: it holds the secret */
    struct api_certificate_reply reply;
    TRY(wire_decode(&api_certificate_reply_type, body, &arena, &reply, err));
    TRY(enroll_files_check(&reply, &e->key, &e->verdict.peer.statement.replica,
                           host_unix_s(e->host), err));
    TRY(enroll_files_write(e->config->dir, &reply, &e->key, err));
    e->receipt.is_issued = true;
    e->receipt.generation = reply.generation;
    e->receipt.issue_index = reply.issue_index;
    e->receipt.not_after = reply.not_after;
    memcpy(e->receipt.serial, reply.serial, sizeof e->receipt.serial);
    e->is_done = true;
    return OK;
}

static RESULT take_frame(struct enroll *e, const struct frame *frame, struct err *err) {
    switch (frame->type) {
    case API_ATTEST_REQUEST:
        return ask_report(e, frame->body, err);
    case API_CERTIFICATE_REPLY:
        TRY(take_certificate(e, frame->body, err));
        client_close(e->client);
        return OK;
    default:
        return client_error(frame, err);
    }
}

static void on_frame(struct client *c, void *data, const struct frame *frame) {
    struct enroll *e = data;
    struct err err;
    (void)c;
    if (!is_ok(take_frame(e, frame, &err))) {
        drop(e, &err);
    }
}

static void on_close(struct client *c, void *data, const struct err *why) {
    struct enroll *e = data;
    struct err err = *why;
    (void)c;
    e->client = NULL;
    client_verdict_deinit(&e->verdict);
    e->verdict = (struct client_verdict){0};
    if (err.code == ERR_OK) {
        err_ignore(err_set(&err, ERR_CLOSED, "the Coordinator closed the connection"), "handed on");
    }
    drop_keys(e);
    e->calls.done(e->calls.data, e->is_done ? &e->receipt : NULL, &err);
}

/* ---- life ---- */

static void on_freed(uv_handle_t *handle) {
    struct enroll *e = handle->data;
    pthread_mutex_destroy(&e->report.lock);
    buf_deinit(&e->report.evidence);
    buf_deinit(&e->statement);
    drop_keys(e);
    mem_free(e);
}

struct result enroll_new(uv_loop_t *loop, const struct enroll_config *config,
                         const struct host *host, struct attester *attester,
                         const struct enroll_calls *calls, struct enroll **out, struct err *err) {
    struct enroll *e = mem_zalloc(sizeof *e);
    e->loop = loop;
    e->config = config;
    e->host = host;
    e->attester = attester;
    e->calls = *calls;
    e->async.data = e;
    CHECK(pthread_mutex_init(&e->report.lock, NULL) == 0);
    if (uv_async_init(loop, &e->async, on_async) != 0) {
        pthread_mutex_destroy(&e->report.lock);
        mem_free(e);
        return err_set(err, ERR_UNAVAILABLE, "no descriptor is left for an event loop");
    }
    *out = e;
    return OK;
}

static RESULT open_client(struct enroll *e, struct err *err) {
    struct client_config config = {
        .host = e->config->host,
        .port = e->config->port,
        .tls = e->tls,
        .clock = e->host,
        .timeout_ms = ENROLL_TIMEOUT_MS,
        .calls = {on_open, on_frame, on_close},
        .data = e,
    };
    return client_open(e->loop, &config, &e->client, err);
}

struct result enroll_start(struct enroll *e, enum enroll_purpose purpose, struct err *err) {
    CHECK(e->client == NULL);
    ENSURE(purpose == ENROLL_CHECK || !e->is_reporting, err, BUSY,
           "a report of an earlier attempt is still being made");
    e->purpose = purpose;
    e->is_done = false;
    e->number++;
    struct result r = make_keys(e, err);
    if (is_ok(r) && purpose == ENROLL_ISSUE) {
        state_key(e);
    }
    r = is_ok(r) ? open_client(e, err) : r;
    if (!is_ok(r)) {
        drop_keys(e);
    }
    return r;
}

void enroll_stop(struct enroll *e) {
    struct err why;
    if (e->client != NULL) {
        err_ignore(err_set(&why, ERR_CANCELED, "stopped"), "handed on");
        drop(e, &why);
    }
}

bool enroll_is_reporting(const struct enroll *e) {
    return e->is_reporting;
}

void enroll_free(struct enroll *e) {
    if (e != NULL) {
        CHECK(e->client == NULL);
        uv_close((uv_handle_t *)&e->async, on_freed);
    }
}
