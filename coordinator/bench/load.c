/* Load: see load.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/bench/load.h"

#include <pthread.h>
#include <string.h>

#include "attest/client/client.h"
#include "lib/crypto/cert.h"

#define SESSION_MS 15000 /* silence of a replica in the middle of a session */

struct load;

struct slot {
    struct load *load;
    uv_timer_t retry;
    struct client *client; /* NULL between two sessions */
    uint64_t serial;       /* of the session: late evidence is of another */
    uint64_t begun_ns;
    uint64_t asked_ns;
    uint64_t proved_ns;
    bool is_served; /* this session ended with its certificate */
};

/* A leaf on its way through the attester. */
struct job {
    struct job *next;
    struct load *load;
    size_t slot;
    uint64_t serial;
    struct buf evidence;
    struct err err; /* code OK: evidence is there */
};

struct load {
    const struct load_config *config;
    struct load_result *result;
    uv_loop_t loop;
    uv_timer_t timer; /* the next edge of a window */
    uv_async_t attested;
    pthread_mutex_t mutex;
    struct job *jobs; /* under mutex: attested */
    struct issuer *issuer;
    struct attester *attester;
    struct tls_context *tls;
    struct buf spki; /* of the workload key */
    struct buf statement;
    struct slot slots[LOAD_CONNECTIONS_MAX];
    size_t window;  /* being counted; LOAD_WINDOWS_MAX = warm-up */
    bool is_ending; /* no new sessions */
};

static void begin(struct slot *s);
static void end(struct load *l);

void load_result_deinit(struct load_result *r) {
    samples_deinit(&r->session);
    samples_deinit(&r->attest);
    samples_deinit(&r->judge);
    samples_deinit(&r->prove);
    samples_deinit(&r->issue);
    samples_deinit(&r->confirm);
}

/* --- Outcomes */

static bool is_counting(const struct load *l) {
    return l->window < l->config->windows;
}

static void note(struct load *l, struct samples *samples, uint64_t since_ns) {
    if (is_counting(l)) {
        samples_add(samples, samples_now_ns() - since_ns);
    }
}

static void note_failure(struct load *l, const struct err *why) {
    if (l->is_ending) {
        return;
    }
    if (l->result->failure_count == 0) {
        l->result->first_failure = *why;
    }
    l->result->failure_count++;
}

static void on_retry(uv_timer_t *timer) {
    begin(timer->data);
}

static void try_later(struct slot *s) {
    if (!s->load->is_ending) {
        CHECK(uv_timer_start(&s->retry, on_retry, LOAD_RETRY_MS, 0) == 0);
    }
}

/* --- A session */

static RESULT ask_certificate(struct slot *s, struct err *err) {
    struct api_empty empty = {0};
    s->asked_ns = samples_now_ns();
    return client_send(s->client, API_CERTIFICATE, &api_empty_type, &empty, err);
}

static RESULT ask_next(struct slot *s, struct err *err) {
    struct api_empty empty = {0};
    if (!s->load->config->is_kept) {
        return ask_certificate(s, err);
    }
    s->asked_ns = samples_now_ns();
    return client_send(s->client, API_STATUS, &api_empty_type, &empty, err);
}

static RESULT judge(struct slot *s, struct err *err) {
    struct load *l = s->load;
    const struct config *trusted = l->config->trust;
    AUTO(client_verdict_deinit)
    struct client_verdict verdict = {0};
    struct client_trust trust = {
        .owner_digests = trusted->owner_digests,
        .owner_count = trusted->owner_count,
        .permitted_roots = trusted->permitted_roots,
        .permitted_root_count = trusted->permitted_root_count,
        .must_have_manifest = true,
        .at = host_unix_s(&host_system),
    };
    uint64_t start = samples_thread_ns();
    TRY(client_judge(s->client, &trust, &verdict, err));
    samples_add(&l->result->judge, samples_thread_ns() - start); /* kept sessions have one each */
    return OK;
}

static void on_open(struct client *c, void *data) {
    struct slot *s = data;
    struct err err;
    note(s->load, &s->load->result->attest, s->begun_ns);
    struct result r = judge(s, &err);
    r = is_ok(r) ? ask_next(s, &err) : r;
    if (!is_ok(r)) {
        client_abort(c, &err);
    }
}

/* On the attester's thread. */
static void on_attested(void *data, const struct attested *attested, const struct err *err) {
    struct job *job = data;
    struct load *l = job->load;
    if (attested == NULL) {
        job->err = *err;
    } else {
        job->err.code = ERR_OK;
        struct result r = attest_evidence_encode(attested, ATTEST_WORKLOAD, buf_span(&l->statement),
                                                 &job->evidence, &job->err);
        job->err.code = r.code;
    }
    pthread_mutex_lock(&l->mutex);
    job->next = l->jobs;
    l->jobs = job;
    pthread_mutex_unlock(&l->mutex);
    uv_async_send(&l->attested);
}

static RESULT prove(struct slot *s, const struct frame *frame, struct err *err) {
    struct load *l = s->load;
    struct attest_request request;
    struct attest_channel channel = client_channel(s->client);
    uint8_t leaf[ATTEST_LEAF_SIZE];
    TRY(attest_request_decode(frame->body, &request, err));
    TRY(attest_leaf_for(&channel, ATTEST_WORKLOAD, &request, buf_span(&l->statement), leaf, err));
    struct job *job = mem_zalloc(sizeof *job);
    *job = (struct job){.load = l, .slot = (size_t)(s - l->slots), .serial = s->serial};
    struct result r = attester_submit(l->attester, leaf, on_attested, job, err);
    if (!is_ok(r)) {
        mem_free(job);
    }
    return r;
}

static void send_evidence(struct load *l, const struct job *job) {
    struct slot *s = &l->slots[job->slot];
    if (s->client == NULL || s->serial != job->serial || l->is_ending) {
        return;
    }
    struct err err = job->err;
    struct result r = {job->err.code};
    note(l, &l->result->prove, s->asked_ns);
    s->proved_ns = samples_now_ns();
    r = is_ok(r) ? client_send_bytes(s->client, API_EVIDENCE, buf_span(&job->evidence), &err) : r;
    if (!is_ok(r)) {
        client_abort(s->client, &err);
    }
}

static void take_jobs(struct load *l) {
    pthread_mutex_lock(&l->mutex);
    struct job *job = l->jobs;
    l->jobs = NULL;
    pthread_mutex_unlock(&l->mutex);
    while (job != NULL) {
        struct job *next = job->next;
        send_evidence(l, job);
        buf_deinit(&job->evidence);
        mem_free(job);
        job = next;
    }
}

static void on_async(uv_async_t *async) {
    take_jobs(async->data);
}

/* The leaf is of the key that was attested, and the chain has the two certificates it should. */
static RESULT check_certificate(const struct load *l, struct span body, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    AUTO(buf_deinit)
    struct buf leaf = {0};
    AUTO(buf_deinit)
    struct buf spki = {0};
    struct api_certificate_reply reply;
    TRY(wire_decode(&api_certificate_reply_type, body, &arena, &reply, err));
    struct buf chain[2] = {{0}, {0}};
    struct result r = cert_from_pem(span_str(reply.chain_pem), 2, chain, err);
    leaf = chain[0];
    buf_deinit(&chain[1]);
    TRY(r);
    TRY(cert_spki(buf_span(&leaf), &spki, err));
    ENSURE(span_equal(buf_span(&spki), buf_span(&l->spki)), err, DIFFERS,
           "the certificate is of another key");
    return OK;
}

static void note_arrival(struct load_result *r) {
    uint64_t now = samples_now_ns();
    if (r->certificate_count == 0) {
        r->first_ns = now;
    } else if (now - r->last_ns > r->gap_ns) {
        r->gap_ns = now - r->last_ns;
        r->gap_end_ns = now;
    }
    r->last_ns = now;
}

static RESULT take_certificate(struct slot *s, const struct frame *frame, struct err *err) {
    struct load *l = s->load;
    struct load_result *result = l->result;
    TRY(check_certificate(l, frame->body, err));
    note(l, &result->issue, s->proved_ns);
    if (!l->config->is_kept) {
        note(l, &result->session, s->begun_ns);
    }
    note_arrival(result);
    result->certificate_count++;
    if (is_counting(l)) {
        result->certificates[l->window]++;
    }
    if (l->config->count > 0 && result->certificate_count >= l->config->count) {
        end(l);
        return OK;
    }
    if (l->config->is_kept) {
        return ask_next(s, err);
    }
    s->is_served = true;
    client_close(s->client);
    return OK;
}

static RESULT take_frame(struct slot *s, const struct frame *frame, struct err *err) {
    switch (frame->type) {
    case API_ATTEST_REQUEST:
        return prove(s, frame, err);
    case API_CERTIFICATE_REPLY:
        return take_certificate(s, frame, err);
    case API_STATUS_REPLY:
        note(s->load, &s->load->result->confirm, s->asked_ns);
        return ask_certificate(s, err);
    default:
        return client_error(frame, err);
    }
}

static void on_frame(struct client *c, void *data, const struct frame *frame) {
    struct slot *s = data;
    struct err err;
    if (s->load->is_ending) {
        return;
    }
    struct result r = take_frame(s, frame, &err);
    if (!is_ok(r)) {
        client_abort(c, &err);
    }
}

static void on_close(struct client *c, void *data, const struct err *why) {
    struct slot *s = data;
    (void)c;
    s->client = NULL;
    if (s->is_served) {
        begin(s);
        return;
    }
    note_failure(s->load, why);
    try_later(s);
}

static void begin(struct slot *s) {
    struct load *l = s->load;
    if (l->is_ending) {
        return;
    }
    struct client_config config = {
        .host = l->config->host,
        .port = l->config->port,
        .tls = l->tls,
        .clock = &host_system,
        .timeout_ms = SESSION_MS,
        .calls = {on_open, on_frame, on_close},
        .data = s,
    };
    struct err err;
    s->is_served = false;
    s->serial++;
    s->begun_ns = samples_now_ns();
    if (!is_ok(client_open(&l->loop, &config, &s->client, &err))) {
        s->client = NULL;
        note_failure(l, &err);
        try_later(s);
    }
}

/* --- Windows */

static void end(struct load *l) {
    l->is_ending = true;
    uv_timer_stop(&l->timer);
    for (size_t i = 0; i < l->config->connections; i++) {
        uv_timer_stop(&l->slots[i].retry);
        if (l->slots[i].client != NULL) {
            client_abort(l->slots[i].client, NULL);
        }
    }
    uv_stop(&l->loop);
}

static void on_edge(uv_timer_t *timer) {
    struct load *l = timer->data;
    l->window = is_counting(l) ? l->window + 1 : 0;
    if (l->window == l->config->windows) {
        end(l);
    }
}

static void start_windows(struct load *l) {
    const struct load_config *c = l->config;
    uint64_t first = c->warm_ms > 0 ? c->warm_ms : c->window_ms;
    l->window = c->warm_ms > 0 ? LOAD_WINDOWS_MAX : 0;
    uv_update_time(&l->loop);
    CHECK(uv_timer_start(&l->timer, on_edge, first, c->window_ms) == 0);
}

/* --- Start and end */

static RESULT make_keys(struct load *l, struct err *err) {
    AUTO(key_deinit)
    struct key key = {0};
    AUTO(key_deinit)
    struct key workload = {0};
    AUTO(buf_deinit)
    struct buf certificate = {0};
    TRY(key_generate(KEY_P256, &key, err));
    TRY(key_generate(KEY_P256, &workload, err));
    TRY(cert_self_signed(&key, &certificate, err));
    key_spki(&workload, &l->spki);
    struct workload_statement statement = {buf_span(&l->spki)};
    wire_encode(&workload_statement_type, &statement, &l->statement);
    struct tls_config tls = {.key = &key, .certificate = buf_span(&certificate)};
    return tls_context_new(&tls, &l->tls, err);
}

static void open_loop(struct load *l) {
    CHECK(uv_loop_init(&l->loop) == 0 && uv_timer_init(&l->loop, &l->timer) == 0);
    CHECK(uv_async_init(&l->loop, &l->attested, on_async) == 0);
    CHECK(pthread_mutex_init(&l->mutex, NULL) == 0);
    l->timer.data = l;
    l->attested.data = l;
    for (size_t i = 0; i < l->config->connections; i++) {
        l->slots[i].load = l;
        CHECK(uv_timer_init(&l->loop, &l->slots[i].retry) == 0);
        l->slots[i].retry.data = &l->slots[i];
    }
}

/* The attester first: it posts to the loop. */
static void close_loop(struct load *l) {
    attester_free(l->attester);
    take_jobs(l);
    uv_close((uv_handle_t *)&l->timer, NULL);
    uv_close((uv_handle_t *)&l->attested, NULL);
    for (size_t i = 0; i < l->config->connections; i++) {
        uv_close((uv_handle_t *)&l->slots[i].retry, NULL);
    }
    uv_run(&l->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&l->loop) == 0);
    pthread_mutex_destroy(&l->mutex);
    tls_context_free(l->tls);
    issuer_close(l->issuer);
    buf_deinit(&l->spki);
    buf_deinit(&l->statement);
}

static RESULT start(struct load *l, struct err *err) {
    TRY(make_keys(l, err));
    TRY(issuer_open(l->config->trust->issuer, &l->issuer, err));
    return attester_new(l->issuer, &l->attester, err);
}

static void work(struct load *l) {
    start_windows(l);
    for (size_t i = 0; i < l->config->connections; i++) {
        begin(&l->slots[i]);
    }
    uv_run(&l->loop, UV_RUN_DEFAULT);
}

struct result load_run(const struct load_config *config, struct load_result *out, struct err *err) {
    CHECK(config->connections >= 1 && config->connections <= LOAD_CONNECTIONS_MAX);
    CHECK(config->windows >= 1 && config->windows <= LOAD_WINDOWS_MAX);
    struct load *l = mem_zalloc(sizeof *l);
    l->config = config;
    l->result = out;
    open_loop(l);
    struct result r = start(l, err);
    if (is_ok(r)) {
        work(l);
    }
    close_loop(l);
    mem_free(l);
    if (is_ok(r) && config->count > out->certificate_count) {
        r = err_set(err, ERR_TIMEOUT, "%llu of %llu certificates in time; first failure: %.800s",
                    (unsigned long long)out->certificate_count, (unsigned long long)config->count,
                    out->failure_count > 0 ? out->first_failure.text : "none");
    }
    return r;
}
