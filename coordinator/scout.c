/* Scout: see scout.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/scout.h"

#include <inttypes.h>
#include <string.h>

#include "attest/client/client.h"
#include "lib/base/log.h"

struct glance {
    struct scout *scout;
    const struct config_peer *peer;
    struct client *client; /* NULL: nothing under way */
};

struct scout {
    struct worker *worker;
    enum scout_question question;
    uint8_t cluster[32];
    uint64_t epoch; /* ours */
    uint64_t generation;
    void *owner;
    scout_cb done; /* NULL: canceled, or called */
    struct glance glances[LIMIT_MEMBERS];
    size_t count;
    size_t live; /* clients that are not closed yet */
    uv_timer_t timer;
    bool is_timer_closed;
    bool is_over; /* the timer is closing */
    struct scout_report report;
};

static void free_if_done(struct scout *s) {
    if (s->live == 0 && s->is_timer_closed) {
        mem_free(s);
    }
}

static void on_timer_closed(uv_handle_t *handle) {
    struct scout *s = handle->data;
    s->is_timer_closed = true;
    free_if_done(s);
}

static void close_all(struct scout *s) {
    for (size_t i = 0; i < s->count; i++) {
        if (s->glances[i].client != NULL) {
            client_close(s->glances[i].client);
        }
    }
    if (!s->is_over) {
        s->is_over = true;
        uv_close((uv_handle_t *)&s->timer, on_timer_closed);
    }
}

static void report(struct scout *s) {
    scout_cb done = s->done;
    s->done = NULL;
    close_all(s);
    if (done != NULL) {
        struct scout_report said = s->report; /* the scout may go meanwhile */
        done(s->owner, &said);
    }
}

/* --- One peer */

static void note_epoch(struct scout_report *report, const struct client_history *h,
                       uint64_t epoch) {
    report->epoch = epoch;
    if (h->recovery_count > 0) {
        recovery_hash(&h->recoveries[h->recovery_count - 1].recovery, report->recovery);
    }
}

static bool is_shorter(const struct glance *g, const struct client_verdict *v) {
    const struct scout *s = g->scout;
    uint64_t generation = client_history(g->client)->generation;
    if (v->epoch > s->epoch && generation < s->generation) {
        log_warn("%s:%u is in epoch %" PRIu64 ", recovered from an older state: generation %" PRIu64
                 ", this replica holds %" PRIu64 " and keeps it",
                 g->peer->host, g->peer->port, v->epoch, generation, s->generation);
    }
    return generation < s->generation;
}

static RESULT weigh(const struct glance *g, const struct client_verdict *v, struct err *err) {
    struct scout *s = g->scout;
    const struct replica_statement *said = &v->peer.statement.replica;
    const char *host = g->peer->host;
    unsigned port = g->peer->port;
    if (memcmp(said->cluster, s->cluster, sizeof s->cluster) != 0) {
        return OK; /* another deployment's */
    }
    if (s->question == SCOUT_EPOCHS && is_shorter(g, v)) {
        return OK;
    }
    note_epoch(&s->report, client_history(g->client), v->epoch);
    ENSURE(v->epoch <= s->epoch, err, DENIED,
           "%s:%u is in epoch %" PRIu64 " of this deployment already, this replica's state is "
           "of epoch %" PRIu64 ": it was recovered before; replicas that start now join it",
           host, port, v->epoch, s->epoch);
    ENSURE(!said->has_confirmed || s->question == SCOUT_EPOCHS, err, DENIED,
           "a quorum answers at %s:%u, in epoch %" PRIu64 ", generation %" PRIu64
           ": nothing is to be recovered; replicas that start now join it",
           host, port, v->epoch, said->generation);
    return OK;
}

static void on_open(struct client *c, void *data) {
    struct glance *g = data;
    struct scout *s = g->scout;
    struct client_trust trust;
    struct client_verdict verdict = {0};
    struct err err;
    if (s->done == NULL) {
        client_close(c);
        return;
    }
    worker_client_trust(s->worker, NULL, &trust);
    trust.must_have_manifest = true;
    struct result r = client_judge(c, &trust, &verdict, &err);
    if (is_ok(r)) {
        struct result weighed = weigh(g, &verdict, &s->report.against);
        s->report.against.code = weighed.code;
    } else {
        log_debug("scout: %s:%u says nothing that counts: %s", g->peer->host, g->peer->port,
                  err.text);
    }
    client_verdict_deinit(&verdict);
    if (s->report.against.code != ERR_OK) {
        report(s);
    } else {
        client_close(c);
    }
}

static void on_frame(struct client *c, void *data, const struct frame *frame) {
    (void)data;
    (void)frame;
    client_close(c); /* nothing was asked */
}

static void on_close(struct client *c, void *data, const struct err *why) {
    struct glance *g = data;
    struct scout *s = g->scout;
    (void)c;
    log_debug("scout: looked at %s:%u: %s", g->peer->host, g->peer->port, why->text);
    g->client = NULL;
    s->live--;
    if (s->is_over) {
        free_if_done(s);
    } else if (s->live == 0) {
        report(s);
    }
}

static void look(struct glance *g) {
    struct scout *s = g->scout;
    struct client_config config = {
        .host = g->peer->host,
        .port = g->peer->port,
        .tls = worker_identity(s->worker)->client_tls,
        .clock = worker_identity(s->worker)->host,
        .timeout_ms = SCOUT_MS,
        .calls = {on_open, on_frame, on_close},
        .data = g,
    };
    struct err err;
    if (is_ok(client_open(worker_loop(s->worker), &config, &g->client, &err))) {
        s->live++;
    } else {
        log_debug("scout: %s:%u cannot be asked: %s", g->peer->host, g->peer->port, err.text);
    }
}

/* The time is over, or there was nobody to ask. */
static void on_timer(uv_timer_t *timer) {
    report(timer->data);
}

struct scout *scout_start(struct worker *w, enum scout_question question, const uint8_t cluster[32],
                          uint64_t epoch, uint64_t generation, void *owner, scout_cb done) {
    struct scout *s = mem_zalloc(sizeof *s);
    const struct config *config = worker_identity(w)->config;
    s->worker = w;
    s->question = question;
    s->epoch = epoch;
    s->generation = generation;
    s->owner = owner;
    s->done = done;
    memcpy(s->cluster, cluster, sizeof s->cluster);
    uv_timer_init(worker_loop(w), &s->timer);
    s->timer.data = s;
    for (size_t i = 0; i < config->peer_count; i++) {
        s->glances[i] = (struct glance){.scout = s, .peer = &config->peers[i]};
        s->count = i + 1;
        look(&s->glances[i]);
    }
    uv_timer_start(&s->timer, on_timer, s->live == 0 ? 0 : SCOUT_MS, 0);
    return s;
}

void scout_cancel(struct scout *s) {
    s->done = NULL;
    close_all(s);
}
