/* Joiner: see joiner.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/joiner.h"

#include <stdio.h>
#include <string.h>

#include "coordinator/prover.h"
#include "lib/base/log.h"
#include "lib/crypto/digest.h"

#define JOIN_PAUSE_MS 100      /* between the first two tries; doubles, with jitter on top */
#define JOIN_PAUSE_MAX_MS 2000 /* every try costs both ends a report */
#define JOIN_TIMEOUT_MS 20000
#define JOIN_WHY 512              /* bytes of a reason */
#define JOIN_ADVISED_MAX_MS 60000 /* of a pause that a peer asked for */

struct joiner {
    struct worker *worker;
    uv_timer_t timer;
    size_t next_peer;
    uint64_t pause_ms;
    struct client *client;
    struct prover prover;
    uint64_t generation; /* of the history that was judged */
    uint64_t epoch;      /* of it */
    uint8_t head[32];
    bool is_joined; /* the core thread has it */
    bool is_over;
    bool is_timer_closed;
    uint8_t said[LIMIT_MEMBERS][SHA256_SIZE]; /* of each peer's last reason */
    uint64_t advised_ms;                      /* the next pause is no shorter */
};

static void wait_next(struct joiner *j);

static const struct server_identity *self(const struct joiner *j) {
    return worker_identity(j->worker);
}

static void free_if_done(struct joiner *j) {
    if (j->is_over && j->is_timer_closed && j->client == NULL) {
        mem_free(j);
    }
}

/* Each peer's reason is logged when it changes; the status shows the newest. */
static void say(struct joiner *j, const struct err *why) {
    const struct config_peer *peer = &self(j)->config->peers[j->next_peer];
    char text[JOIN_WHY];
    uint8_t digest[SHA256_SIZE];
    snprintf(text, sizeof text, "%.100s:%u: %.300s", peer->host, peer->port, why->text);
    sha256(span_str(text), digest);
    if (memcmp(digest, j->said[j->next_peer], sizeof digest) != 0) {
        log_info("not joined yet: %s", text);
        memcpy(j->said[j->next_peer], digest, sizeof digest);
    }
    worker_waits(j->worker, text);
}

static void drop(struct joiner *j, const struct err *why) {
    if (j->client != NULL) {
        client_abort(j->client, why);
    }
}

/* --- One try, last step first */

static void on_installed(void *owner, const struct letter *reply) {
    struct joiner *j = owner;
    if (reply->code == ERR_OK) {
        j->is_joined = true;
        log_info("admitted: catching up");
    } else {
        log_warn("admitted, but could not join: %s", reply->text == NULL ? "" : reply->text);
    }
    if (j->client != NULL) {
        client_close(j->client);
    }
}

/* The founding record must be of the cluster whose history was judged. */
static RESULT check_cluster(const struct joiner *j, struct span body, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_join_reply reply;
    struct entry entry;
    TRY(wire_decode(&api_join_reply_type, body, &arena, &reply, err));
    TRY(entry_decode(reply.found, &arena, &entry, err));
    ENSURE(entry.type == ENTRY_FOUND &&
               memcmp(entry.found.cluster, client_history(j->client)->cluster, 32) == 0,
           err, DENIED, "the founding record is not of the cluster that was verified");
    return OK;
}

static RESULT take_reply(struct joiner *j, struct span body, struct err *err) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    TRY(check_cluster(j, body, err));
    buf_append_u64be(&bytes, j->generation);
    buf_append_u64be(&bytes, j->epoch);
    buf_append(&bytes, j->head, sizeof j->head);
    buf_append_span(&bytes, body);
    return worker_ask(j->worker, CORE_JOIN, buf_span(&bytes), j, on_installed, err);
}

static void on_unproven(void *data, const struct err *why) {
    drop(data, why);
}

static RESULT take_frame(struct joiner *j, const struct frame *frame, struct err *err) {
    switch (frame->type) {
    case API_ATTEST_REQUEST:
        return prover_answer(&j->prover, frame, err);
    case API_JOIN_REPLY:
        return take_reply(j, frame->body, err);
    default:
        return client_error(frame, err);
    }
}

static void on_frame(struct client *c, void *data, const struct frame *frame) {
    struct joiner *j = data;
    struct err err;
    (void)c;
    if (!j->is_over && !is_ok(take_frame(j, frame, &err))) {
        drop(j, &err);
    }
}

static void on_document(void *owner, const struct letter *reply) {
    struct joiner *j = owner;
    AUTO(arena_deinit)
    struct arena arena = {0};
    const struct config *config = self(j)->config;
    struct api_join join = {
        .name = arena_strndup(&arena, config->name, strlen(config->name)),
        .address = arena_strndup(&arena, config->address, strlen(config->address)),
        .version = entry_version,
        .evidence = buf_span(&reply->bytes),
    };
    struct err err;
    struct result r = reply->code == ERR_OK
                          ? client_send(j->client, API_JOIN, &api_join_type, &join, &err)
                          : err_set(&err, reply->code, "own evidence: %s", reply->text);
    if (!is_ok(r)) {
        drop(j, &err);
    }
}

static RESULT judge(struct joiner *j, struct err *err) {
    struct client_trust trust;
    worker_client_trust(j->worker, NULL, &trust);
    trust.must_have_manifest = true;
    struct client_verdict verdict = {0};
    struct result r = client_judge(j->client, &trust, &verdict, err);
    j->generation = client_history(j->client)->generation;
    j->epoch = verdict.epoch;
    memcpy(j->head, verdict.head, sizeof j->head);
    client_verdict_deinit(&verdict);
    return r;
}

static void on_open(struct client *c, void *data) {
    struct joiner *j = data;
    struct position nowhere = {.state = REPLICA_EMPTY};
    struct err err;
    if (j->is_over) {
        client_close(c);
        return;
    }
    prover_init(&j->prover, j->worker, c, on_unproven, j);
    struct result r = judge(j, &err);
    r = is_ok(r)
            ? worker_document(j->worker, client_history(c)->cluster, &nowhere, j, on_document, &err)
            : r;
    if (!is_ok(r)) {
        drop(j, &err);
    }
}

static void on_close(struct client *c, void *data, const struct err *why) {
    struct joiner *j = data;
    (void)c;
    j->client = NULL;
    worker_cancel(j->worker, j);
    prover_deinit(&j->prover);
    if (j->is_over) {
        free_if_done(j);
        return;
    }
    if (!j->is_joined) {
        say(j, why);
        j->advised_ms = why->retry_ms < JOIN_ADVISED_MAX_MS ? why->retry_ms : JOIN_ADVISED_MAX_MS;
    }
    wait_next(j);
}

static void call(struct joiner *j) {
    const struct config *config = self(j)->config;
    j->next_peer = (j->next_peer + 1) % config->peer_count;
    struct client_config connect = {
        .host = config->peers[j->next_peer].host,
        .port = config->peers[j->next_peer].port,
        .tls = self(j)->client_tls,
        .clock = self(j)->host,
        .timeout_ms = JOIN_TIMEOUT_MS,
        .calls = {on_open, on_frame, on_close},
        .data = j,
    };
    struct err err;
    struct result r = client_open(worker_loop(j->worker), &connect, &j->client, &err);
    if (!is_ok(r)) {
        say(j, &err);
        wait_next(j);
    }
}

/* A prepared replica looks around, too: it may have been left over when the others were founded, or
 * it is a founder whom the record did not reach, and whose place is kept (session_mesh.c). */
static void on_state(void *owner, const struct letter *reply) {
    struct joiner *j = owner;
    uint8_t state = reply->position.state;
    if (state == REPLICA_EMPTY || state == REPLICA_PREPARED) {
        call(j);
    } else {
        wait_next(j);
    }
}

static void on_timer(uv_timer_t *timer) {
    struct joiner *j = timer->data;
    struct err err;
    if (!is_ok(worker_ask(j->worker, CORE_POSITION, (struct span){0}, j, on_state, &err))) {
        wait_next(j);
    }
}

static void wait_next(struct joiner *j) {
    if (!j->is_joined) {
        uint64_t pause = j->advised_ms > j->pause_ms ? j->advised_ms : j->pause_ms;
        uint64_t jitter = host_random_below(self(j)->host, j->pause_ms);
        j->advised_ms = 0;
        uv_timer_start(&j->timer, on_timer, pause + jitter, 0);
        j->pause_ms = j->pause_ms * 2 < JOIN_PAUSE_MAX_MS ? j->pause_ms * 2 : JOIN_PAUSE_MAX_MS;
    }
}

struct joiner *joiner_start(struct worker *w) {
    if (worker_identity(w)->config->peer_count == 0) {
        log_info("CONTRAST_PEERS is empty: this replica joins nobody, it can only be founded");
        return NULL;
    }
    struct joiner *j = mem_zalloc(sizeof *j);
    j->worker = w;
    j->pause_ms = JOIN_PAUSE_MS;
    uv_timer_init(worker_loop(w), &j->timer);
    j->timer.data = j;
    wait_next(j);
    return j;
}

static void on_timer_closed(uv_handle_t *handle) {
    struct joiner *j = handle->data;
    j->is_timer_closed = true;
    free_if_done(j);
}

void joiner_stop(struct joiner *j) {
    j->is_over = true;
    worker_cancel(j->worker, j);
    if (j->client != NULL) {
        client_close(j->client);
    }
    uv_close((uv_handle_t *)&j->timer, on_timer_closed);
}
