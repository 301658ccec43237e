/* Restart: see restart.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/restart.h"

#include <inttypes.h>
#include <string.h>

#include "coordinator/prover.h"
#include "coordinator/recovery_run.h"
#include "coordinator/restart_desk.h"
#include "coordinator/restart_store.h"
#include "lib/base/log.h"

#define PAUSE_MS 300 /* between two rounds; doubles, with jitter on top */
#define PAUSE_MAX_MS 2000

/* One peer in one round. */
struct look {
    struct restart *restart;
    const struct config_peer *peer;
    struct client *client; /* NULL: closed */
    struct prover prover;
    struct restart_peer seen;
    bool is_heard; /* nothing more comes, unless a share is handed over */
};

struct restart {
    struct worker *worker;
    uv_timer_t timer;
    uint64_t pause_ms;
    struct look looks[LIMIT_MEMBERS];
    size_t look_count;
    size_t live; /* clients that are not closed */
    uint8_t cluster[32];
    uint64_t epoch; /* of the newest file */
    struct manifest manifest;
    bool has_manifest;
    bool is_round; /* looks are under way */
    bool is_planned;
    bool is_running; /* the recovery has its own ends */
    bool is_over;
    bool is_timer_closed;
    char why[RESTART_WHY_SIZE]; /* last one logged */
};

static void wait_next(struct restart *r);
static void plan(struct restart *r);

static const struct server_identity *self(const struct restart *r) {
    return worker_identity(r->worker);
}

static void free_if_done(struct restart *r) {
    if (r->is_over && r->is_timer_closed && r->live == 0 && !r->is_running) {
        manifest_deinit(&r->manifest);
        mem_free(r);
    }
}

static void say(struct restart *r) {
    char why[RESTART_WHY_SIZE];
    restart_desk_why(self(r)->restart, why);
    if (strcmp(why, r->why) != 0) {
        log_info("%s", why);
        memcpy(r->why, why, sizeof why);
    }
}

/* --- One peer */

static void drop(void *data, const struct err *why) {
    struct look *l = data;
    if (l->client != NULL) {
        client_abort(l->client, why);
    }
}

/* All that a round can bring is here. */
static void heard(struct look *l) {
    struct restart *r = l->restart;
    l->is_heard = true;
    for (size_t i = 0; i < r->look_count; i++) {
        if (!r->looks[i].is_heard) {
            return;
        }
    }
    if (!r->is_planned && !r->is_over) {
        plan(r);
    }
}

static bool holds_a_log(enum replica_state s) {
    return replica_state_is_member(s) || s == REPLICA_JOINING || s == REPLICA_RECOVERING ||
           s == REPLICA_FROZEN;
}

/* Whoever shows a history is judged by it, as a joiner would; whoever has none by our manifest. */
static RESULT judge(struct look *l, struct client_verdict *verdict, struct err *err) {
    struct restart *r = l->restart;
    struct client_trust trust;
    bool has_history = client_history(l->client)->generation > 0;
    worker_client_trust(r->worker, has_history ? NULL : &r->manifest, &trust);
    trust.must_have_manifest = has_history;
    return client_judge(l->client, &trust, verdict, err);
}

/* True when it is asked what it holds. */
static bool weigh(struct look *l, const struct replica_statement *said) {
    struct restart *r = l->restart;
    bool is_ours = memcmp(said->cluster, r->cluster, sizeof r->cluster) == 0;
    l->seen.id = said->replica_id;
    if (is_ours && holds_a_log((enum replica_state)said->state)) {
        bool counts = said->epoch >= r->epoch || said->generation == 0;
        l->seen.sight = counts ? RESTART_ALIVE : RESTART_SILENT;
        l->seen.epoch = said->epoch;
        return false;
    }
    bool is_empty = said->state == REPLICA_EMPTY || said->state == REPLICA_PREPARED;
    l->seen.sight = is_empty ? RESTART_EMPTY : RESTART_SILENT;
    return is_empty;
}

static void on_open(struct client *c, void *data) {
    struct look *l = data;
    struct restart *r = l->restart;
    struct client_verdict verdict = {0};
    struct api_restart_look ask;
    struct err err;
    if (r->is_over || r->is_planned) {
        client_close(c);
        return;
    }
    prover_init(&l->prover, r->worker, c, drop, l);
    struct result judged = judge(l, &verdict, &err);
    bool asks = is_ok(judged) && weigh(l, &verdict.peer.statement.replica);
    client_verdict_deinit(&verdict);
    memcpy(ask.cluster, r->cluster, sizeof ask.cluster);
    if (asks) {
        judged = client_send(c, API_RESTART_LOOK, &api_restart_look_type, &ask, &err);
    }
    if (!is_ok(judged)) {
        drop(l, &err);
    } else if (!asks) {
        client_close(c);
    }
}

static RESULT take_standing(struct look *l, struct span body, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_restart_standing standing;
    TRY(wire_decode(&api_restart_standing_type, body, &arena, &standing, err));
    const struct api_restart_offer *from = standing.offers.items;
    for (size_t i = 0; i < standing.offers.count && i < LIMIT_RESTART_FILES; i++) {
        struct restart_offer *to = &l->seen.offers[i];
        *to = (struct restart_offer){.epoch = from[i].epoch,
                                     .generation = from[i].generation,
                                     .index = from[i].index,
                                     .x = from[i].x,
                                     .armed = from[i].armed,
                                     .armed_for = from[i].armed_for};
        memcpy(to->digest, from[i].digest, sizeof to->digest);
        memcpy(to->head, from[i].head, sizeof to->head);
        memcpy(to->voters, from[i].voters, sizeof to->voters);
        l->seen.offer_count = i + 1;
    }
    heard(l);
    return OK;
}

/* It holds nothing of this cluster, or it refused the share. */
static RESULT take_error(struct look *l, const struct frame *frame, struct err *err) {
    struct result r = client_error(frame, err);
    if (r.code == ERR_NOT_FOUND && !l->is_heard) {
        heard(l);
        return OK;
    }
    log_at(l->is_heard ? LOG_WARN : LOG_DEBUG, "restart: %s:%u says: %s", l->peer->host,
           l->peer->port, err->text);
    return r;
}

static RESULT take_frame(struct look *l, const struct frame *frame, struct err *err) {
    switch (frame->type) {
    case API_RESTART_STANDING:
        ENSURE(!l->is_heard, err, PROTOCOL, "a second answer");
        return take_standing(l, frame->body, err);
    case API_ATTEST_REQUEST:
        return prover_answer(&l->prover, frame, err);
    case API_RESTART_TAKEN:
        log_info("restart: %s:%u has the share", l->peer->host, l->peer->port);
        client_close(l->client);
        return OK;
    default:
        return take_error(l, frame, err);
    }
}

static void on_frame(struct client *c, void *data, const struct frame *frame) {
    struct look *l = data;
    struct err err;
    (void)c;
    if (!l->restart->is_over && !is_ok(take_frame(l, frame, &err))) {
        drop(l, &err);
    }
}

static void end_round(struct restart *r) {
    if (!r->is_round) {
        return;
    }
    r->is_round = false;
    uv_timer_stop(&r->timer);
    if (!r->is_running) {
        wait_next(r);
    }
}

static void on_close(struct client *c, void *data, const struct err *why) {
    struct look *l = data;
    struct restart *r = l->restart;
    (void)c;
    log_debug("restart: looked at %s:%u: %s", l->peer->host, l->peer->port, why->text);
    l->client = NULL;
    r->live--;
    prover_deinit(&l->prover);
    if (r->is_over) {
        free_if_done(r);
        return;
    }
    if (!l->is_heard) {
        heard(l);
    }
    if (r->live == 0 && r->is_planned) {
        end_round(r);
    }
}

/* --- The step */

static void close_others(struct restart *r, const struct look *but) {
    for (size_t i = 0; i < r->look_count; i++) {
        if (r->looks[i].client != NULL && &r->looks[i] != but) {
            client_close(r->looks[i].client);
        }
    }
}

static RESULT hand_over(struct restart *r, struct look *l, const struct restart_plan *p,
                        struct err *err) {
    TRY(restart_store_mark(self(r)->store, p->digest, p->collector, p->epoch, err));
    struct secret *share = restart_desk_give(self(r)->restart, p->digest, p->collector, p->epoch);
    struct api_restart_give give = {.epoch = p->epoch, .share = secret_span(share)};
    memcpy(give.digest, p->digest, sizeof give.digest);
    struct result sent =
        client_send(l->client, API_RESTART_GIVE, &api_restart_give_type, &give, err);
    secret_free(share);
    return sent;
}

/* Only on the session on which the collector was judged in this round. */
static void give(struct restart *r, const struct restart_plan *p) {
    struct look *to = NULL;
    struct err err;
    for (size_t i = 0; i < r->look_count; i++) {
        bool is_it = r->looks[i].client != NULL && r->looks[i].seen.id == p->collector &&
                     r->looks[i].seen.sight == RESTART_EMPTY;
        to = is_it ? &r->looks[i] : to;
    }
    close_others(r, to);
    if (to != NULL && !is_ok(hand_over(r, to, p, &err))) {
        log_error("restart: the share is not handed over: %s", err.text);
        drop(to, &err);
    }
}

static void on_recovered(void *owner, struct result result, const struct err *err) {
    struct restart *r = owner;
    r->is_running = false;
    if (r->is_over) {
        free_if_done(r);
        return;
    }
    if (!is_ok(result) && err_class_of(result.code) != ERR_CLASS_RETRY) {
        char why[RESTART_WHY_SIZE];
        snprintf(why, sizeof why, "restart: it failed for good: %.300s", err->text);
        restart_desk_end(self(r)->restart, why);
        say(r);
    }
    if (!r->is_round) {
        wait_next(r);
    }
}

static void fill_recovery(const struct restart_header *h, uint64_t epoch, struct recovery *out) {
    *out = (struct recovery){.epoch = epoch,
                             .previous_epoch = h->epoch,
                             .mode = RECOVERY_AUTOMATIC,
                             .generation = h->generation,
                             .index = h->index,
                             .ledger_size = h->ledger_size};
    memcpy(out->cluster, h->cluster, sizeof out->cluster);
    memcpy(out->head, h->head, sizeof out->head);
    memcpy(out->ledger_root, h->ledger_root, sizeof out->ledger_root);
}

static RESULT open_state(struct restart *r, const struct restart_plan *p, struct buf *state,
                         struct recovery *out, struct err *err) {
    const struct restart_file *file = NULL;
    TRY(restart_store_mark(self(r)->store, p->digest, self(r)->id, p->epoch, err));
    secret_free(restart_desk_give(self(r)->restart, p->digest, self(r)->id, p->epoch));
    TRY(restart_desk_open(self(r)->restart, p->digest, state, &file, err));
    fill_recovery(&file->header, p->epoch, out);
    return OK;
}

static void run(struct restart *r, const struct restart_plan *p) {
    AUTO(buf_deinit)
    struct buf state = {0};
    struct recovery recovery;
    struct err err;
    close_others(r, NULL);
    struct result opened = open_state(r, p, &state, &recovery, &err);
    r->is_running = true;
    if (is_ok(opened)) {
        recovery_run_automatic(r->worker, &recovery, &state, r, on_recovered);
    } else {
        on_recovered(r, opened, &err);
    }
}

static void plan(struct restart *r) {
    struct restart_peer peers[LIMIT_MEMBERS];
    struct restart_plan p;
    r->is_planned = true;
    for (size_t i = 0; i < r->look_count; i++) {
        peers[i] = r->looks[i].seen;
    }
    restart_desk_plan(self(r)->restart, peers, r->look_count, &p);
    say(r);
    if (p.act == RESTART_GIVE) {
        give(r, &p);
    } else if (p.act == RESTART_RUN) {
        run(r, &p);
    } else {
        close_others(r, NULL);
    }
    if (r->live == 0) {
        end_round(r);
    }
}

/* --- A round */

static void look_at(struct restart *r, const struct config_peer *peer) {
    struct look *l = &r->looks[r->look_count++];
    *l = (struct look){.restart = r, .peer = peer};
    struct client_config config = {
        .host = peer->host,
        .port = peer->port,
        .tls = self(r)->client_tls,
        .clock = self(r)->host,
        .timeout_ms = LIMIT_RESTART_LOOK_MS,
        .calls = {on_open, on_frame, on_close},
        .data = l,
    };
    struct err err;
    if (is_ok(client_open(worker_loop(r->worker), &config, &l->client, &err))) {
        r->live++;
    } else {
        l->is_heard = true;
    }
}

static void on_round_over(uv_timer_t *timer) {
    struct restart *r = timer->data;
    if (!r->is_planned) {
        plan(r);
    } else {
        close_others(r, NULL); /* whoever got a share and does not answer */
    }
    if (r->is_round) {
        uv_timer_start(&r->timer, on_round_over, LIMIT_RESTART_LOOK_MS, 0);
    }
}

static RESULT read_files(struct restart *r, struct err *err) {
    AUTO(buf_deinit)
    struct buf manifest = {0};
    struct restart_offer offers[LIMIT_RESTART_FILES];
    size_t count = 0;
    TRY(restart_desk_offers(self(r)->restart, r->cluster, offers, &count, err));
    for (size_t i = 0; i < count; i++) {
        r->epoch = offers[i].epoch > r->epoch ? offers[i].epoch : r->epoch;
    }
    if (!r->has_manifest) {
        TRY(restart_desk_manifest(self(r)->restart, &manifest, err));
        TRY(manifest_parse(buf_span(&manifest), &r->manifest, err));
        r->has_manifest = true;
    }
    return OK;
}

static void begin_round(struct restart *r) {
    const struct config *config = self(r)->config;
    struct err err;
    if (!is_ok(read_files(r, &err))) {
        log_error("restart: %s", err.text);
        restart_desk_end(self(r)->restart, err.text);
        wait_next(r);
        return;
    }
    r->is_round = true;
    r->is_planned = false;
    r->look_count = 0;
    uv_timer_start(&r->timer, on_round_over, LIMIT_RESTART_LOOK_MS, 0);
    for (size_t i = 0; i < config->peer_count && i < LIMIT_MEMBERS; i++) {
        look_at(r, &config->peers[i]);
    }
    if (r->live == 0) {
        plan(r);
    }
}

static void on_state(void *owner, const struct letter *reply) {
    struct restart *r = owner;
    if (reply->position.state == REPLICA_EMPTY) {
        begin_round(r);
    } else {
        wait_next(r);
    }
}

static void on_timer(uv_timer_t *timer) {
    struct restart *r = timer->data;
    struct err err;
    say(r);
    bool is_armed = restart_desk_is_armed(self(r)->restart);
    if (!is_armed ||
        !is_ok(worker_ask(r->worker, CORE_POSITION, (struct span){0}, r, on_state, &err))) {
        wait_next(r);
    }
}

static void wait_next(struct restart *r) {
    if (!r->is_over) {
        uint64_t jitter = host_random_below(self(r)->host, r->pause_ms);
        uv_timer_start(&r->timer, on_timer, r->pause_ms + jitter, 0);
        r->pause_ms = r->pause_ms * 2 < PAUSE_MAX_MS ? r->pause_ms * 2 : PAUSE_MAX_MS;
    }
}

struct restart *restart_start(struct worker *w) {
    if (worker_identity(w)->store == NULL) {
        return NULL;
    }
    struct restart *r = mem_zalloc(sizeof *r);
    r->worker = w;
    r->pause_ms = PAUSE_MS;
    uv_timer_init(worker_loop(w), &r->timer);
    r->timer.data = r;
    wait_next(r);
    return r;
}

static void on_timer_closed(uv_handle_t *handle) {
    struct restart *r = handle->data;
    r->is_timer_closed = true;
    free_if_done(r);
}

void restart_stop(struct restart *r) {
    r->is_over = true;
    restart_desk_close(self(r)->restart);
    worker_cancel(r->worker, r);
    close_others(r, NULL);
    uv_close((uv_handle_t *)&r->timer, on_timer_closed);
}
