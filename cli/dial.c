/* Dial: see dial.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/dial.h"

#include <signal.h>
#include <string.h>

#include "lib/crypto/cert.h"

#define DRAIN_BYTES (1024 * 1024) /* what may still wait for the socket when dial_send returns */

struct dial {
    struct dial_address address;
    uv_loop_t loop;
    uv_timer_t timer;
    struct key key;
    struct tls_context *tls;
    struct client *client;          /* NULL once closed */
    struct client_history *history; /* of a connection that ended; what was judged refers to it */
    bool is_open;
    bool is_expired;
    bool is_lost;
    struct err why; /* of the end of the connection */
    struct {
        uint8_t type;
        struct buf body;
    } frames[DIAL_FRAMES_MAX];
    size_t frame_count;
    struct buf current; /* the body that the last dial_wait handed out */
};

/* ---- addresses ---- */

static RESULT parse_one(const char *part, size_t size, struct dial_address *out, struct err *err) {
    ENSURE(size > 0 && size < sizeof out->text, err, USAGE,
           "--coordinator: '%.*s' is no address, want host:port", (int)(size < 80 ? size : 80),
           part);
    memcpy(out->text, part, size);
    out->text[size] = 0;
    struct result r = net_address_parse(out->text, out->host, &out->port, err);
    return is_ok(r) ? r
                    : err_set(err, ERR_USAGE, "--coordinator: '%s' is no address, want host:port",
                              out->text);
}

struct result dial_parse(const char *text, struct dial_list *out, struct err *err) {
    ENSURE(text != NULL, err, USAGE, "-c HOST:PORT is needed; see --help");
    struct dial_list list = {.count = 0};
    for (const char *at = text;; at++) {
        size_t size = strcspn(at, ",");
        ENSURE(list.count < LIMIT_MEMBERS, err, USAGE, "--coordinator: more than %d addresses",
               LIMIT_MEMBERS);
        TRY(parse_one(at, size, &list.items[list.count], err));
        list.count++;
        at += size;
        if (*at == 0) {
            break;
        }
    }
    *out = list;
    return OK;
}

/* ---- what the loop tells ---- */

static void on_open(struct client *c, void *data) {
    struct dial *d = data;
    (void)c;
    d->is_open = true;
}

static void on_frame(struct client *c, void *data, const struct frame *frame) {
    struct dial *d = data;
    if (d->frame_count == DIAL_FRAMES_MAX) {
        struct err why;
        err_ignore(err_set(&why, ERR_PROTOCOL, "more frames than were asked for"), "told on_close");
        client_abort(c, &why);
        return;
    }
    d->frames[d->frame_count].type = frame->type;
    buf_append_span(&d->frames[d->frame_count].body, frame->body);
    d->frame_count++;
}

static void on_close(struct client *c, void *data, const struct err *why) {
    struct dial *d = data;
    d->client = NULL;
    d->history = client_take_history(c);
    d->is_open = false;
    d->is_lost = true;
    d->why = *why;
    if (why->code == ERR_OK) {
        err_ignore(err_set(&d->why, ERR_CLOSED, "the connection is closed"), "kept");
    }
}

static void on_timer(uv_timer_t *timer) {
    struct dial *d = timer->data;
    d->is_expired = true;
}

/* ---- waiting ---- */

static bool is_opened(const struct dial *d) {
    return d->is_open;
}

static bool has_frame(const struct dial *d) {
    return d->frame_count > 0;
}

static bool is_drained(const struct dial *d) {
    return client_pending_bytes(d->client) <= DRAIN_BYTES;
}

/* Why the connection ended, with the address once. */
static RESULT say_why(const struct dial *d, struct err *err) {
    bool has_address = strncmp(d->why.text, d->address.text, strlen(d->address.text)) == 0;
    return has_address ? err_set(err, d->why.code, "%s", d->why.text)
                       : err_set(err, d->why.code, "%s: %.700s", d->address.text, d->why.text);
}

/* Turns the loop until `done`, the connection's end or the time is over. */
static RESULT turn(struct dial *d, bool (*done)(const struct dial *d), uint64_t timeout_ms,
                   struct err *err) {
    d->is_expired = false;
    uv_update_time(&d->loop);
    uv_timer_start(&d->timer, on_timer, timeout_ms, 0);
    while (!d->is_expired && d->client != NULL && !done(d)) {
        uv_run(&d->loop, UV_RUN_ONCE);
    }
    uv_timer_stop(&d->timer);
    if (d->client != NULL ? done(d) : has_frame(d) && done == has_frame) {
        return OK;
    }
    if (d->client == NULL) {
        return say_why(d, err);
    }
    d->is_lost = true;
    return err_set(err, ERR_TIMEOUT, "%s: no answer within %u s", d->address.text,
                   (unsigned)(timeout_ms / 1000));
}

/* ---- opening and closing ---- */

static RESULT make_tls(struct dial *d, struct err *err) {
    AUTO(buf_deinit)
    struct buf certificate = {0};
    TRY(key_generate(KEY_P256, &d->key, err));
    TRY(cert_self_signed(&d->key, &certificate, err));
    struct tls_config config = {.key = &d->key, .certificate = buf_span(&certificate)};
    return tls_context_new(&config, &d->tls, err);
}

static RESULT start(struct dial *d, struct err *err) {
    TRY(make_tls(d, err));
    struct client_config config = {
        .host = d->address.host,
        .port = d->address.port,
        .tls = d->tls,
        .clock = &host_system,
        .timeout_ms = 2 * DIAL_WAIT_MS, /* the timer here ends a wait earlier */
        .calls = {on_open, on_frame, on_close},
        .data = d,
    };
    TRY(client_open(&d->loop, &config, &d->client, err));
    return turn(d, is_opened, DIAL_OPEN_MS, err);
}

struct result dial_open(const struct dial_address *address, struct dial **out, struct err *err) {
    struct dial *d = mem_zalloc(sizeof *d);
    signal(SIGPIPE, SIG_IGN); /* net.h: a lost connection is an error, not the end */
    d->address = *address;
    CHECK(uv_loop_init(&d->loop) == 0);
    CHECK(uv_timer_init(&d->loop, &d->timer) == 0);
    d->timer.data = d;
    struct result r = start(d, err);
    if (!is_ok(r)) {
        dial_close(d);
        return r;
    }
    *out = d;
    return OK;
}

void dial_close(struct dial *d) {
    if (d == NULL) {
        return;
    }
    if (d->client != NULL) {
        if (d->is_lost) {
            client_abort(d->client, NULL);
        } else {
            client_close(d->client);
        }
    }
    uv_close((uv_handle_t *)&d->timer, NULL);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&d->loop) == 0);
    tls_context_free(d->tls);
    key_deinit(&d->key);
    for (size_t i = 0; i < d->frame_count; i++) {
        buf_deinit(&d->frames[i].body);
    }
    buf_deinit(&d->current);
    client_history_free(d->history);
    mem_free(d);
}

struct client *dial_client(struct dial *d) {
    return d->client;
}

const struct client_history *dial_history(const struct dial *d) {
    return d->client != NULL ? client_history(d->client) : d->history;
}

const char *dial_text(const struct dial *d) {
    return d->address.text;
}

bool dial_is_lost(const struct dial *d) {
    return d->is_lost;
}

/* ---- requests ---- */

struct result dial_send(struct dial *d, uint8_t type, const struct wire_type *wire_type,
                        const void *message, struct err *err) {
    if (d->client == NULL) {
        return say_why(d, err);
    }
    struct result r = client_send(d->client, type, wire_type, message, err);
    d->is_lost = d->is_lost || !is_ok(r);
    TRY(r);
    return turn(d, is_drained, DIAL_WAIT_MS, err);
}

static void take_frame(struct dial *d, struct dial_reply *out) {
    buf_deinit(&d->current);
    d->current = d->frames[0].body;
    *out = (struct dial_reply){d->frames[0].type, buf_span(&d->current)};
    d->frame_count--;
    memmove(&d->frames[0], &d->frames[1], d->frame_count * sizeof d->frames[0]);
    d->frames[d->frame_count].body = (struct buf){0};
}

struct result dial_wait(struct dial *d, struct dial_reply *out, struct err *err) {
    struct dial_reply reply = {0};
    TRY(turn(d, has_frame, DIAL_WAIT_MS, err));
    take_frame(d, &reply);
    if (reply.type == API_ERROR) {
        struct frame frame = {.type = API_ERROR, .body = reply.body};
        struct result r = client_error(&frame, err);
        return err_wrap(r, err, "%s", d->address.text);
    }
    *out = reply;
    return OK;
}

struct result dial_ask(struct dial *d, const struct dial_call *call, struct arena *arena,
                       struct err *err) {
    struct dial_reply reply = {0};
    TRY(dial_send(d, call->type, call->message_type, call->message, err));
    TRY(dial_wait(d, &reply, err));
    ENSURE(reply.type == call->want, err, PROTOCOL, "%s: frame %u in place of %u", d->address.text,
           reply.type, call->want);
    struct result r = wire_decode(call->reply_type, reply.body, arena, call->reply, err);
    return is_ok(r) ? r : err_wrap(r, err, "%s", d->address.text);
}
