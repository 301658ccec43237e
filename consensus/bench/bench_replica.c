/* Bench replica: see bench_replica.h.
 *
 *   generator's frame ──> node_submit ... apply ──> REPLY      waiting[index] says whom to answer
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "consensus/bench/bench_replica.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/bench/bench_proto.h"
#include "consensus/link.h"
#include "consensus/node.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/crypto/cert.h"

#define LINK_RAFT LINK_TYPE_FIRST
#define WAITING_MAX 4096 /* a power of two above all that one generator has outstanding */
#define HASHED_SIZE 64   /* bytes of a payload: its state is no work, agreement is */
#define LINE_SIZE (2 * LIMIT_SPKI + 64)

struct waiting {
    uint64_t index; /* 0: none */
    uint16_t request;
};

struct replica {
    const struct bench_replica_config *config;
    uv_loop_t loop;
    uv_timer_t timer;
    uv_pipe_t input;
    struct node *node;   /* NULL: the floor */
    struct links *links; /* the same */
    struct node_io io;
    struct net_listener *listener;
    struct net_conn *generator; /* or NULL */
    struct key key;
    struct buf certificate, spki;
    struct waiting waiting[WAITING_MAX];
    uint64_t count, hash;
    char line[LINE_SIZE];
    size_t line_size;
    uint64_t told_term; /* in which it said that it leads */
    bool is_ending;
    struct err why;
};

static void arm(struct replica *r);

static void stop(struct replica *r, const struct err *why) {
    if (!r->is_ending) {
        r->is_ending = true;
        r->why = *why;
        uv_stop(&r->loop);
    }
}

/* --- The generator's connection */

static void answer(struct replica *r, uint8_t type, uint16_t request) {
    if (r->generator != NULL) {
        err_ignore(net_send(r->generator, type, request, span_of(NULL, 0), NULL), "on_close tells");
    }
}

static void on_ready(struct net_conn *conn, void *data) {
    struct replica *r = data;
    memset(r->waiting, 0, sizeof r->waiting);
    r->generator = conn; /* the newest; an older one gets no answer any more */
    net_conn_set_frame_limit(conn, LIMIT_FRAME_BODY);
    net_conn_set_gathering(conn);
}

static void submit(struct replica *r, const struct frame *frame) {
    uint64_t index = 0;
    uint64_t term = 0;
    if (!is_ok(node_submit(r->node, frame->body, &index, &term, NULL))) {
        answer(r, BENCH_REFUSED, frame->request);
        return;
    }
    r->waiting[index % WAITING_MAX] = (struct waiting){index, frame->request};
}

static void on_frame(struct net_conn *conn, void *data, const struct frame *frame) {
    struct replica *r = data;
    if (conn != r->generator || frame->type != BENCH_REQUEST) {
        net_conn_abort(conn, NULL);
    } else if (r->config->answers_at_once) {
        answer(r, BENCH_REPLY, frame->request);
    } else {
        submit(r, frame);
        arm(r);
    }
}

static void on_close(struct net_conn *conn, void *data, const struct err *why) {
    struct replica *r = data;
    (void)why;
    if (r->generator == conn) {
        r->generator = NULL;
    }
}

/* --- The node's side */

static void on_send(void *data, uint64_t peer, struct span message) {
    struct replica *r = data;
    err_ignore(links_send(r->links, peer, LINK_RAFT, message, NULL), "raft sends it again");
}

static void on_apply(void *data, uint64_t index, uint64_t term, struct span command) {
    struct replica *r = data;
    struct waiting *w = &r->waiting[index % WAITING_MAX];
    (void)term;
    r->count++;
    for (size_t i = 0; i + 8 <= command.size && i < HASHED_SIZE; i += 8) {
        uint64_t word = 0;
        memcpy(&word, command.data + i, sizeof word);
        r->hash = (r->hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        r->hash ^= r->hash >> 29;
    }
    if (w->index == index) {
        w->index = 0;
        answer(r, BENCH_REPLY, w->request);
    }
}

static void on_configured(void *data, uint64_t index, const struct node_member *members,
                          size_t count) {
    (void)data;
    (void)index;
    (void)members;
    (void)count;
}

static void on_save(void *data, struct buf *out) {
    const struct replica *r = data;
    buf_append_u64be(out, r->count);
    buf_append_u64be(out, r->hash);
}

static RESULT on_load(void *data, struct span bytes, uint64_t index, struct err *err) {
    struct replica *r = data;
    (void)index;
    ENSURE(bytes.size == 16, err, MALFORMED, "a snapshot of %zu bytes", bytes.size);
    r->count = load_u64be(bytes.data);
    r->hash = load_u64be(bytes.data + 8);
    return OK;
}

static void on_role(void *data, enum node_role role, uint64_t term, uint64_t leader) {
    struct replica *r = data;
    (void)term;
    (void)leader;
    for (size_t i = 0; i < WAITING_MAX && role != NODE_LEADER; i++) {
        if (r->waiting[i].index != 0) {
            r->waiting[i].index = 0;
            answer(r, BENCH_REFUSED, r->waiting[i].request);
        }
    }
}

static void tell_leading(struct replica *r) {
    if (node_is_settled(r->node) && r->told_term != node_term(r->node)) {
        r->told_term = node_term(r->node);
        printf("{\"leads\": %" PRIu64 "}\n", r->told_term);
        fflush(stdout);
    }
}

static void on_timer(uv_timer_t *timer) {
    struct replica *r = timer->data;
    node_tick(r->node);
    tell_leading(r);
    arm(r);
}

static void arm(struct replica *r) {
    uint64_t at = r->node == NULL ? UINT64_MAX : node_deadline(r->node);
    if (at == UINT64_MAX) {
        uv_timer_stop(&r->timer);
        return;
    }
    uv_update_time(&r->loop);
    uint64_t now = host_monotonic_ms(&host_system);
    CHECK(uv_timer_start(&r->timer, on_timer, at > now ? at - now : 0, 0) == 0);
}

/* --- The links' side */

static void on_link_frame(void *data, uint64_t peer, uint8_t type, struct span body) {
    struct replica *r = data;
    struct err err;
    (void)type;
    if (!is_ok(node_receive(r->node, peer, body, &err))) {
        stop(r, &err);
    }
    tell_leading(r);
    arm(r);
}

static void on_link_up(void *data, uint64_t peer, uint64_t version) {
    struct replica *r = data;
    (void)version;
    node_peer_reset(r->node, peer);
}

static void on_link_down(void *data, uint64_t peer, bool is_gone) {
    (void)data;
    (void)peer;
    (void)is_gone;
}

/* --- Commands */

/* The number at *text, up to `most`, and what follows it and one space. */
static RESULT take_number(const char **text, uint64_t most, uint64_t *out, struct err *err) {
    char *end = NULL;
    unsigned long long value = strtoull(*text, &end, 10);
    ENSURE(end != *text && value > 0 && value <= most && (*end == ' ' || *end == 0), err, CONFIG,
           "want a number from 1 to %" PRIu64 ": '%.40s'", most, *text);
    *text = *end == 0 ? end : end + 1;
    *out = value;
    return OK;
}

static RESULT add_peer(struct replica *r, const char *text, struct err *err) {
    uint64_t number = 0;
    uint64_t port = 0;
    uint8_t spki[LIMIT_SPKI];
    TRY(take_number(&text, BENCH_MEMBERS_MAX, &number, err));
    TRY(take_number(&text, UINT16_MAX, &port, err));
    size_t size = strlen(text) / 2;
    ENSURE(size > 0 && size <= sizeof spki, err, CONFIG, "want: peer NUMBER PORT SPKI");
    TRY(hex_decode(span_str(text), spki, size, err));
    return links_set_peer(r->links, number, BENCH_ADDRESS, (uint16_t)port, span_of(spki, size),
                          err);
}

static RESULT start(struct replica *r, const char *text, struct err *err) {
    struct node_member members[BENCH_MEMBERS_MAX];
    uint64_t count = 0;
    TRY(take_number(&text, BENCH_MEMBERS_MAX, &count, err));
    for (size_t i = 0; i < count; i++) {
        members[i] = (struct node_member){i + 1, NODE_VOTER};
    }
    TRY(node_bootstrap(r->node, members, count, err));
    arm(r);
    return OK;
}

static RESULT obey(struct replica *r, const char *line, struct err *err) {
    if (r->node != NULL && strncmp(line, "peer ", 5) == 0) {
        return add_peer(r, line + 5, err);
    }
    if (r->node != NULL && strncmp(line, "start ", 6) == 0) {
        return start(r, line + 6, err);
    }
    ENSURE(r->node != NULL && strcmp(line, "state") == 0, err, CONFIG, "what is '%.40s'?", line);
    printf("{\"applied\": %" PRIu64 ", \"count\": %" PRIu64 ", \"hash\": \"%016" PRIx64 "\"}\n",
           node_applied_index(r->node), r->count, r->hash);
    fflush(stdout);
    return OK;
}

static void take_byte(struct replica *r, char c) {
    struct err err;
    struct result got = OK;
    if (c == '\n') {
        r->line[r->line_size] = 0;
        r->line_size = 0;
        got = obey(r, r->line, &err);
    } else if (r->line_size + 1 < sizeof r->line) {
        r->line[r->line_size++] = c;
    } else {
        got = err_set(&err, ERR_CONFIG, "a line of stdin is longer than %zu", sizeof r->line);
    }
    if (!is_ok(got)) {
        stop(r, &err);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out) {
    (void)handle;
    *out = uv_buf_init(mem_alloc(suggested), (unsigned)suggested);
}

static void on_input(uv_stream_t *stream, ssize_t n, const uv_buf_t *in) {
    struct replica *r = stream->data;
    for (ssize_t i = 0; i < n && !r->is_ending; i++) {
        take_byte(r, in->base[i]);
    }
    if (n < 0) {
        stop(r, &(struct err){.code = ERR_OK});
    }
    mem_free(in->base);
}

/* --- Open and close */

static RESULT open_consensus(struct replica *r, struct err *err) {
    struct links_config config = {
        .loop = &r->loop,
        .host = &host_system,
        .id = r->config->number,
        .cluster = {1},
        .epoch = 1,
        .version = 1,
        .key = &r->key,
        .certificate = buf_span(&r->certificate),
        .listen_host = BENCH_ADDRESS,
        .calls = {on_link_frame, on_link_up, on_link_down, NULL},
        .data = r,
    };
    r->io = (struct node_io){r, on_send, on_apply, on_configured, on_save, on_load, on_role};
    TRY(links_new(&config, &r->links, err));
    return node_new(r->config->number, &r->io, &host_system, &node_options_default, &r->node, err);
}

static RESULT open_listener(struct replica *r, struct err *err) {
    struct tls_context *tls = NULL;
    struct tls_config config = {.is_server = true,
                                .key = &r->key,
                                .certificate = buf_span(&r->certificate),
                                .require_peer_certificate = true};
    TRY(tls_context_new(&config, &tls, err));
    struct net_listen_config listen = {.host = BENCH_ADDRESS,
                                       .tls = tls,
                                       .max_connections = 8,
                                       .handshake_ms = BENCH_HANDSHAKE_MS,
                                       .calls = {on_ready, on_frame, on_close},
                                       .data = r};
    struct result opened = net_listen(&r->loop, &listen, &r->listener, err);
    tls_context_free(tls);
    return opened;
}

static RESULT open_all(struct replica *r, struct err *err) {
    char hex[2 * LIMIT_SPKI + 1];
    TRY(key_generate(KEY_P256, &r->key, err));
    TRY(cert_self_signed(&r->key, &r->certificate, err));
    key_spki(&r->key, &r->spki);
    if (!r->config->answers_at_once) {
        TRY(open_consensus(r, err));
    }
    TRY(open_listener(r, err));
    hex_encode(buf_span(&r->spki), hex);
    printf("{\"spki\": \"%s\", \"raft\": %u, \"client\": %u}\n", hex,
           r->links == NULL ? 0U : links_port(r->links), net_listener_port(r->listener));
    fflush(stdout);
    return OK;
}

static void close_all(struct replica *r) {
    if (r->links != NULL) {
        links_close(r->links, NULL, NULL);
    }
    if (r->listener != NULL) {
        net_listener_close(r->listener, NULL, NULL);
    }
    if (r->generator != NULL) {
        net_conn_abort(r->generator, NULL);
    }
    uv_close((uv_handle_t *)&r->timer, NULL);
    uv_close((uv_handle_t *)&r->input, NULL);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&r->loop) == 0);
    node_free(r->node);
    key_deinit(&r->key);
    buf_deinit(&r->certificate);
    buf_deinit(&r->spki);
}

struct result bench_replica_run(const struct bench_replica_config *config, struct err *err) {
    struct replica *r = mem_zalloc(sizeof *r);
    r->config = config;
    CHECK(uv_loop_init(&r->loop) == 0);
    CHECK(uv_timer_init(&r->loop, &r->timer) == 0);
    CHECK(uv_pipe_init(&r->loop, &r->input, 0) == 0);
    r->timer.data = r->input.data = r;
    struct result opened = open_all(r, err);
    if (is_ok(opened)) {
        CHECK(uv_pipe_open(&r->input, 0) == 0);
        CHECK(uv_read_start((uv_stream_t *)&r->input, on_alloc, on_input) == 0);
        uv_run(&r->loop, UV_RUN_DEFAULT);
        opened = (struct result){r->why.code};
        if (!is_ok(opened)) {
            *err = r->why;
        }
    }
    close_all(r);
    mem_free(r);
    return opened;
}
