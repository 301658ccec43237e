/* Session: connection, dispatch, evidence in both directions. See session.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/session.h"

#include <string.h>

#include "coordinator/scout.h"
#include "lib/base/limits.h"
#include "lib/base/log.h"

#define RETRY_AFTER_MS 500 /* advice where whoever failed gives none */

/* A request, who may send it, and what it needs. */
struct session_request {
    uint8_t type;
    bool on_user;
    bool on_mesh;
    /* NULL: no evidence is needed */
    struct result (*policy)(struct session *s, struct attest_policy *policy, struct err *err);
    void (*serve)(struct session *s);
};

static const struct session_request requests[] = {
    {API_ATTEST_REQUEST, true, true, NULL, session_attest},
    {API_HISTORY, true, true, NULL, session_history},
    {API_POLICY, true, true, NULL, session_policy},
    {API_STATUS, true, true, NULL, session_status},
    {API_PREPARE, true, false, NULL, session_prepare},
    {API_COMMIT, true, false, NULL, session_commit},
    {API_SET, true, false, NULL, session_set},
    {API_CHECKPOINT, true, false, NULL, session_checkpoint},
    {API_RECOVER, true, false, NULL, session_recover},
    {API_RECOVER_DATA, true, false, NULL, session_recover_data},
    {API_RECOVER_SHOW, true, false, NULL, session_recover_show},
    {API_RECOVER_GIVE, true, false, NULL, session_recover_give},
    {API_RECOVERIES, true, true, NULL, session_recoveries},
    {API_RETIRE, true, false, NULL, session_retire},
    {API_CERTIFICATE, false, true, session_certificate_policy, session_certificate},
    {API_JOIN, false, true, session_join_policy, session_join},
    {API_FOUND_PREPARE, false, true, session_found_prepare_policy, session_found_prepare},
    {API_FOUND_START, false, true, session_found_start_policy, session_found_start},
    {API_RESTART_LOOK, false, true, NULL, session_restart_look},
    {API_RESTART_GIVE, false, true, session_restart_policy, session_restart_give},
};

static const struct session_request *find_request(const struct session *s, uint8_t type) {
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        bool is_here = s->is_mesh ? requests[i].on_mesh : requests[i].on_user;
        if (requests[i].type == type && is_here) {
            return &requests[i];
        }
    }
    return NULL;
}

/* --- Answers */

void session_send(struct session *s, uint8_t type, const struct wire_type *wire_type,
                  const void *message) {
    if (!s->is_closed) {
        err_ignore(net_send_message(s->conn, type, s->request_id, wire_type, message, NULL),
                   "a connection that cannot be written to closes by itself");
    }
}

static void finish(struct session *s) {
    s->phase = SESSION_IDLE;
    buf_clear(&s->request);
}

void session_reply(struct session *s, uint8_t type, const struct wire_type *wire_type,
                   const void *message) {
    session_send(s, type, wire_type, message);
    finish(s);
}

static char *borrow(const char *text) {
    union {
        const char *in;
        char *out;
    } u = {text};
    return u.out; /* encoded, never written to */
}

/* The advice of whoever failed, or ours for what may pass by itself. */
static uint64_t retry_after_ms(const struct err *err) {
    if (err->retry_ms > 0) {
        return err->retry_ms;
    }
    return err_class_of(err->code) == ERR_CLASS_RETRY ? RETRY_AFTER_MS : 0;
}

void session_fail_verdict(struct session *s, const struct err *err, const struct verdict *verdict) {
    bool has = verdict != NULL && verdict->kind != VERDICT_ACCEPTED && verdict->code[0] != 0;
    struct api_error e = {
        .code = (uint64_t)err->code,
        .text = borrow(err->text),
        .retry_after_ms = retry_after_ms(err),
        .verdict_code = borrow(has ? verdict->code : ""),
        .field = borrow(has ? verdict->field : ""),
        .expected = borrow(has ? verdict->expected : ""),
        .actual = borrow(has ? verdict->actual : ""),
        .remedy = borrow(has ? verdict->remedy : ""),
    };
    log_info("%s: request %u refused: %s: %s", net_conn_peer_address(s->conn), s->request_type,
             err_name(err->code), err->text);
    session_reply(s, API_ERROR, &api_error_type, &e);
}

void session_fail(struct session *s, const struct err *err) {
    session_fail_verdict(s, err, NULL);
}

bool session_try(struct session *s, struct result r, const struct err *err) {
    if (!is_ok(r)) {
        session_fail(s, err);
    }
    return is_ok(r);
}

struct result session_check(const struct letter *reply, struct err *err) {
    if (reply->code == ERR_OK) {
        return OK;
    }
    struct result r =
        err_set(err, reply->code, "%s", reply->text == NULL ? err_text(reply->code) : reply->text);
    err_advise(err, reply->retry_ms);
    return r;
}

/* --- This replica's evidence */

static void on_evidence_made(void *owner, const struct letter *reply) {
    struct session *s = owner;
    struct err err;
    if (!session_try(s, session_check(reply, &err), &err)) {
        return;
    }
    if (!s->is_closed) {
        net_conn_set_frame_limit(s->conn, LIMIT_FRAME_BODY);
        err_ignore(net_send(s->conn, API_EVIDENCE, s->request_id, buf_span(&reply->bytes), NULL),
                   "a connection that cannot be written to closes by itself");
    }
    finish(s);
}

static RESULT start_evidence(struct session *s, const struct letter *reply, struct err *err) {
    AUTO(buf_deinit)
    struct buf statement = {0};
    worker_statement(s->worker, &reply->position, &statement);
    struct attest_channel channel = attest_channel_of_tls(net_conn_tls(s->conn));
    uint8_t leaf[ATTEST_LEAF_SIZE];
    TRY(attest_leaf_for(&channel, ATTEST_REPLICA, &s->asked, buf_span(&statement), leaf, err));
    return worker_attest(s->worker, leaf, ATTEST_REPLICA, buf_span(&statement), s, on_evidence_made,
                         err);
}

/* The position was confirmed, or could not be: attestation is served in every state. */
static void on_position(void *owner, const struct letter *reply) {
    struct session *s = owner;
    struct err err;
    session_try(s, start_evidence(s, reply, &err), &err);
}

void session_attest(struct session *s) {
    struct err err;
    struct result r = attest_request_decode(buf_span(&s->request), &s->asked, &err);
    if (is_ok(r) && s->asked.purpose != ATTEST_SESSION) {
        r = err_set(&err, ERR_PROTOCOL, "a connection gives session evidence only");
    }
    if (session_try(s, r, &err)) {
        r = worker_ask(s->worker, CORE_CONFIRM, (struct span){0}, s, on_position, &err);
        session_try(s, r, &err);
    }
}

/* --- The request's own part of judging a peer */

struct result session_policy_of(struct session *s, struct attest_policy *policy, struct err *err) {
    return find_request(s, s->request_type)->policy(s, policy, err);
}

void session_serve(struct session *s) {
    find_request(s, s->request_type)->serve(s);
}

/* --- Connection */

static void abort_session(struct session *s, enum err_code code, const char *text) {
    struct err why;
    struct result r = err_set(&why, code, "%s", text);
    (void)r;
    net_conn_abort(s->conn, &why);
}

static void start_request(struct session *s, const struct frame *frame) {
    const struct session_request *request = find_request(s, frame->type);
    if (request == NULL) {
        abort_session(s, ERR_PROTOCOL, "unknown request");
        return;
    }
    s->phase = SESSION_BUSY;
    s->request_type = frame->type;
    s->request_id = frame->request;
    buf_clear(&s->request);
    buf_append_span(&s->request, frame->body);
    if (request->policy == NULL) {
        request->serve(s);
    } else {
        session_ask_evidence(s);
    }
}

static void on_frame(struct net_conn *conn, void *data, const struct frame *frame) {
    struct session *s = data;
    (void)conn;
    switch (s->phase) {
    case SESSION_IDLE:
        start_request(s, frame);
        return;
    case SESSION_AWAIT_EVIDENCE:
        if (frame->type == API_EVIDENCE) {
            session_take_evidence(s, frame->body);
            return;
        }
        break;
    case SESSION_AWAIT_POLICIES:
        if (frame->type == API_PUT_POLICY) {
            session_put_policy(s, frame->body);
            return;
        }
        break;
    case SESSION_BUSY:
        break;
    }
    abort_session(s, ERR_PROTOCOL, "frame out of turn");
}

static void on_close(struct net_conn *conn, void *data, const struct err *why) {
    struct session *s = data;
    log_debug("%s closed: %s", net_conn_peer_address(conn), why->text);
    s->is_closed = true;
    worker_cancel(s->worker, s);
    session_set_free(s);
    session_founding_free(s);
    session_checkpoint_free(s);
    if (s->scout != NULL) {
        scout_cancel(s->scout);
    }
    attest_peer_deinit(&s->peer);
    manifest_deinit(&s->candidate);
    buf_deinit(&s->request);
    buf_deinit(&s->evidence);
    mem_free(s);
}

static void open_session(struct net_conn *conn, void *data, bool is_mesh) {
    struct session *s = mem_zalloc(sizeof *s);
    s->worker = data;
    s->conn = conn;
    s->is_mesh = is_mesh;
    net_conn_set_data(conn, s);
}

static void on_user_ready(struct net_conn *conn, void *data) {
    open_session(conn, data, false);
}

static void on_mesh_ready(struct net_conn *conn, void *data) {
    open_session(conn, data, true);
}

const struct net_callbacks session_user_calls = {on_user_ready, on_frame, on_close};
const struct net_callbacks session_mesh_calls = {on_mesh_ready, on_frame, on_close};
