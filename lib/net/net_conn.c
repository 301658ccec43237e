/* Connections: a TCP stream, TLS over it and frames inside, from handshake to on_close; see net.h.
 *
 *   socket -> on_read -> tls_feed -> tls_step/tls_read -> in -> frame_decode -> on_frame
 *   socket <- uv_try_write, else uv_write <- out <- tls_take_output <- tls_write <- frames <-
 * net_send
 *
 * Every failure goes through net__conn_fail: the state becomes CLOSED, the handles close, and the
 * last of their callbacks ends the connection. As libuv calls those in a later turn, nothing is
 * freed below a running callback.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/net/net_conn.h"

#include <stdio.h>
#include <string.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/sm.h"

static const struct sm_state states[] = {
    [NET_RESOLVING] = {"resolving", SM_BIT(NET_CONNECTING) | SM_BIT(NET_CLOSED)},
    [NET_CONNECTING] = {"connecting", SM_BIT(NET_HANDSHAKE) | SM_BIT(NET_CLOSED)},
    [NET_HANDSHAKE] = {"handshake", SM_BIT(NET_READY) | SM_BIT(NET_CLOSED)},
    [NET_READY] = {"ready", SM_BIT(NET_DRAINING) | SM_BIT(NET_CLOSED)},
    [NET_DRAINING] = {"draining", SM_BIT(NET_CLOSED)},
    [NET_CLOSED] = {"closed", 0},
};

void net__conn_move(struct net_conn *conn, enum net__state state) {
    conn->state = sm_move(states, conn->state, (int)state);
}

/* --- The end */

static size_t kept_capacity(const struct net_conn *conn) {
    if (conn->is_gathering) {
        return NET_KEEP_GATHERING;
    }
    return conn->listener != NULL ? NET_KEEP_ACCEPTED : NET_KEEP_CAPACITY;
}

/* Plaintext: wipes what was in use. */
static void empty(const struct net_conn *conn, struct buf *b) {
    if (b->capacity > kept_capacity(conn)) {
        buf_deinit(b);
    } else if (b->size > 0) {
        mem_wipe(b->data, b->size);
        b->size = 0;
    }
}

static void empty_ciphertext(const struct net_conn *conn, struct buf *b) {
    b->size = 0;
    if (b->capacity > kept_capacity(conn)) {
        mem_free(b->data);
        *b = (struct buf){0};
    }
}

static void finish(struct net_conn *conn) {
    if (conn->listener != NULL) {
        net__listener_forget(conn->listener, conn);
    }
    if (conn->was_ready || conn->listener == NULL) {
        conn->calls.on_close(conn, conn->data, &conn->why);
    }
    uv_freeaddrinfo(conn->addresses);
    tls_free(conn->tls);
    buf_deinit(&conn->in);
    buf_deinit(&conn->frames);
    buf_deinit(&conn->out);
    buf_deinit(&conn->writing);
    mem_free(conn);
}

void net__conn_release(struct net_conn *conn) {
    conn->pending--;
    if (conn->pending == 0 && conn->state == NET_CLOSED) {
        finish(conn);
    }
}

static void count(struct net_conn *conn) {
    if (conn->listener != NULL) {
        net__listener_count(conn->listener, conn);
    }
}

static void on_handle_closed(uv_handle_t *handle) {
    net__conn_release(handle->data);
}

static void on_tcp_closed(uv_handle_t *handle) {
    struct net_conn *conn = handle->data;
    conn->is_tcp_open = false;
    if (conn->state != NET_CLOSED) {
        net__connect_next(conn);
    }
    net__conn_release(conn);
}

void net__conn_open_tcp(struct net_conn *conn) {
    CHECK(uv_tcp_init(conn->loop, &conn->tcp) == 0);
    conn->tcp.data = conn;
    conn->is_tcp_open = true;
    conn->pending++;
}

void net__conn_close_tcp(struct net_conn *conn) {
    if (conn->is_tcp_open && !uv_is_closing((uv_handle_t *)&conn->tcp)) {
        uv_close((uv_handle_t *)&conn->tcp, on_tcp_closed);
    }
}

/* Encrypts what was sent since. */
static RESULT seal(struct net_conn *conn, struct err *err) {
    if (conn->frames.size > 0) {
        TRY(tls_write(conn->tls, buf_span(&conn->frames), err));
        empty(conn, &conn->frames);
    }
    return OK;
}

/* What TLS still has to say (an alert, a close_notify), if the socket takes it at once. */
static void say_last_words(struct net_conn *conn) {
    if (conn->state == NET_READY) {
        err_ignore(seal(conn, NULL), "the connection ends in any case");
    }
    if (conn->why.code == ERR_CLOSED && conn->state == NET_READY) {
        tls_close_notify(conn->tls);
    }
    if (conn->is_writing || conn->state < NET_HANDSHAKE) {
        return;
    }
    tls_take_output(conn->tls, &conn->out);
    uv_buf_t b = uv_buf_init((char *)conn->out.data, (unsigned)conn->out.size);
    if (b.len > 0 && uv_try_write((uv_stream_t *)&conn->tcp, &b, 1) < 0) {
        log_debug("net: %s: no alert could be sent", conn->peer);
    }
}

void net__conn_fail(struct net_conn *conn, const struct err *why) {
    if (conn->state == NET_CLOSED) {
        return;
    }
    if (conn->state == NET_DRAINING) {
        conn->why = (struct err){.code = ERR_OK};
    } else {
        conn->why = *why;
        if (conn->listener == NULL && why->code != ERR_OK) {
            struct result r = {why->code};
            err_ignore(err_wrap(r, &conn->why, "%s", conn->peer), "goes to on_close");
        }
        say_last_words(conn);
    }
    if (conn->state == NET_RESOLVING) {
        (void)uv_cancel((uv_req_t *)&conn->resolve); /* its callback comes in any case */
    }
    net__conn_move(conn, NET_CLOSED);
    uv_close((uv_handle_t *)&conn->timer, on_handle_closed);
    uv_close((uv_handle_t *)&conn->prepare, on_handle_closed);
    net__conn_close_tcp(conn);
}

static void fail(struct net_conn *conn, enum err_code code, const char *text) {
    struct err err;
    err_ignore(err_set(&err, code, "%s", text), "passed on");
    net__conn_fail(conn, &err);
}

void net__conn_note_status(struct net_conn *conn, int status) {
    if (conn->state < NET_DRAINING) {
        conn->is_peer_gone = status == UV_EOF || status == UV_ECONNRESET || status == UV_EPIPE ||
                             status == UV_ECONNREFUSED;
    }
}

static void fail_status(struct net_conn *conn, int status) {
    net__conn_note_status(conn, status);
    fail(conn, ERR_CLOSED, uv_strerror(status));
}

/* --- Time */

static void on_timer(uv_timer_t *timer) {
    struct net_conn *conn = timer->data;
    struct err err = {.code = ERR_OK};
    if (conn->state < NET_READY) {
        err_ignore(err_set(&err, ERR_TIMEOUT, "no connection within %llu ms (%s)",
                           (unsigned long long)conn->handshake_ms, states[conn->state].name),
                   "passed on");
    } else if (conn->state == NET_READY) {
        err_ignore(err_set(&err, ERR_TIMEOUT, "nothing moved for %llu ms",
                           (unsigned long long)conn->idle_ms),
                   "passed on");
    }
    net__conn_fail(conn, &err);
}

static void set_timer(struct net_conn *conn, uint64_t ms) {
    CHECK(uv_timer_start(&conn->timer, on_timer, ms, 0) == 0);
}

static void rearm_idle(struct net_conn *conn) {
    if (conn->state == NET_READY && conn->idle_ms > 0) {
        set_timer(conn, conn->idle_ms);
    } else if (conn->state == NET_READY) {
        CHECK(uv_timer_stop(&conn->timer) == 0);
    }
}

void net__conn_start_timer(struct net_conn *conn) {
    uv_update_time(conn->loop);
    set_timer(conn, conn->handshake_ms);
}

/* --- Output */

static void flush(struct net_conn *conn);

static void on_written(uv_write_t *write, int status) {
    struct net_conn *conn = write->data;
    conn->is_writing = false;
    empty_ciphertext(conn, &conn->writing);
    if (status < 0) {
        fail_status(conn, status);
    } else {
        rearm_idle(conn);
        flush(conn);
    }
    count(conn);
    net__conn_release(conn);
}

static void on_shut(uv_shutdown_t *shutdown, int status) {
    struct net_conn *conn = shutdown->data;
    if (status < 0) {
        fail_status(conn, status);
    }
    net__conn_release(conn);
}

/* Everything is out: says so to the peer, whose own end then ends the connection. */
static void shut(struct net_conn *conn) {
    conn->is_shut = true;
    conn->shutdown.data = conn;
    if (uv_shutdown(&conn->shutdown, (uv_stream_t *)&conn->tcp, on_shut) == 0) {
        conn->pending++;
    } else {
        fail(conn, ERR_CLOSED, "shutdown failed");
    }
}

/* Gives the system what it does not take at once, to be written when it can. */
static void write_rest(struct net_conn *conn, size_t offset) {
    struct buf empty_one = conn->writing;
    conn->writing = conn->out;
    conn->out = empty_one;
    conn->write.data = conn;
    uv_buf_t b =
        uv_buf_init((char *)conn->writing.data + offset, (unsigned)(conn->writing.size - offset));
    int status = uv_write(&conn->write, (uv_stream_t *)&conn->tcp, &b, 1, on_written);
    if (status < 0) {
        fail(conn, ERR_CLOSED, uv_strerror(status));
        return;
    }
    conn->is_writing = true;
    conn->pending++;
}

static void flush(struct net_conn *conn) {
    struct err err;
    if (conn->state < NET_HANDSHAKE || conn->state == NET_CLOSED || conn->is_corked) {
        return;
    }
    if (!is_ok(seal(conn, &err))) {
        net__conn_fail(conn, &err);
        return;
    }
    tls_take_output(conn->tls, &conn->out);
    if (conn->is_writing) {
        return;
    }
    if (conn->out.size > 0) {
        uv_buf_t b = uv_buf_init((char *)conn->out.data, (unsigned)conn->out.size);
        int n = uv_try_write((uv_stream_t *)&conn->tcp, &b, 1);
        if (n < 0 && n != UV_EAGAIN) {
            fail_status(conn, n);
            return;
        }
        size_t taken = n < 0 ? 0 : (size_t)n;
        if (taken < conn->out.size) {
            write_rest(conn, taken);
            return;
        }
        empty_ciphertext(conn, &conn->out);
    }
    if (conn->state == NET_DRAINING && !conn->is_shut) {
        shut(conn);
    }
}

size_t net_conn_pending_bytes(const struct net_conn *conn) {
    return conn->frames.size + conn->out.size + conn->writing.size;
}

static void on_prepare(uv_prepare_t *prepare) {
    CHECK(uv_prepare_stop(prepare) == 0);
    flush(prepare->data);
}

/* What was sent leaves now, or with what comes until the loop waits. */
static void flush_or_gather(struct net_conn *conn) {
    if (!conn->is_gathering || conn->state != NET_READY || conn->frames.size >= NET_GATHER_MAX ||
        tls_has_output(conn->tls)) {
        flush(conn);
    } else if (conn->frames.size > 0) {
        CHECK(uv_prepare_start(&conn->prepare, on_prepare) == 0);
    }
}

static RESULT ensure_room(struct net_conn *conn, size_t size, struct err *err) {
    size_t waiting = net_conn_pending_bytes(conn) + size;
    if (waiting <= LIMIT_CONN_WRITE_QUEUE) {
        return OK;
    }
    struct err why;
    struct result r = err_set(&why, ERR_BUSY, "the peer does not read: %zu bytes wait, limit %d",
                              waiting, LIMIT_CONN_WRITE_QUEUE);
    net__conn_fail(conn, &why);
    return err_set(err, r.code, "%s", why.text);
}

static RESULT check_open(const struct net_conn *conn, struct err *err) {
    ENSURE(conn->state >= NET_READY, err, PROTOCOL, "%s: not connected yet", conn->peer);
    ENSURE(conn->state == NET_READY, err, CLOSED, "%s: connection is closed", conn->peer);
    return OK;
}

struct result net_send(struct net_conn *conn, uint8_t type, uint16_t request, struct span body,
                       struct err *err) {
    TRY(check_open(conn, err));
    TRY(ensure_room(conn, FRAME_HEADER_SIZE + body.size, err));
    frame_encode(type, request, body, &conn->frames);
    rearm_idle(conn);
    flush_or_gather(conn);
    count(conn);
    return OK;
}

struct result net_send_message(struct net_conn *conn, uint8_t type, uint16_t request,
                               const struct wire_type *wire_type, const void *message,
                               struct err *err) {
    TRY(check_open(conn, err));
    AUTO(buf_deinit)
    struct buf bytes = {0};
    frame_encode_message(type, request, wire_type, message, &bytes);
    TRY(ensure_room(conn, bytes.size, err));
    buf_append_span(&conn->frames, buf_span(&bytes));
    rearm_idle(conn);
    flush_or_gather(conn);
    count(conn);
    return OK;
}

/* --- Input */

static RESULT take_frames(struct net_conn *conn, struct err *err) {
    size_t at = 0;
    struct result r = OK;
    while (conn->state == NET_READY) {
        struct frame frame;
        size_t used = 0;
        struct span rest = span_of(conn->in.data + at, conn->in.size - at);
        r = frame_decode(rest, conn->frame_limit, &frame, &used, err);
        if (!is_ok(r) || used == 0) {
            break;
        }
        at += used;
        rearm_idle(conn);
        conn->calls.on_frame(conn, conn->data, &frame);
    }
    if (at == conn->in.size) {
        empty(conn, &conn->in);
    } else if (at > 0) {
        buf_consume(&conn->in, at);
    }
    return r;
}

static void become_ready(struct net_conn *conn) {
    net__conn_move(conn, NET_READY);
    conn->was_ready = true;
    if (conn->listener != NULL) {
        net__listener_ready(conn->listener);
    }
    rearm_idle(conn);
    conn->calls.on_ready(conn, conn->data);
}

static RESULT end_of_input(struct net_conn *conn, struct err *err) {
    net__conn_note_status(conn, UV_EOF);
    if (conn->state < NET_READY) {
        return err_set(err, ERR_CLOSED, "the peer closed the connection in the handshake");
    }
    TRY(tls_eof(conn->tls, err));
    ENSURE(conn->in.size == 0, err, CLOSED,
           "the peer closed the connection inside a frame, after %zu bytes of it", conn->in.size);
    return err_set(err, ERR_CLOSED, "the peer closed the connection");
}

/* What was decrypted before a failure is delivered before the failure. */
static RESULT take_input(struct net_conn *conn, struct err *err) {
    TRY(tls_step(conn->tls, err));
    if (conn->state == NET_HANDSHAKE && tls_is_ready(conn->tls)) {
        become_ready(conn);
    }
    if (conn->state != NET_READY) {
        return OK;
    }
    bool is_closed = false;
    struct err read_err;
    struct result read = tls_read(conn->tls, &conn->in, &is_closed, &read_err);
    TRY(take_frames(conn, err));
    if (!is_ok(read)) {
        return err_set(err, read.code, "%s", read_err.text);
    }
    return is_closed && conn->state == NET_READY ? end_of_input(conn, err) : OK;
}

/* TLS answers by itself (a KeyUpdate, RFC 8446 section 4.6.3): a peer that asks and never reads
 * must not fill our memory. A full queue of frames leaves room for some. */
static RESULT check_answers(const struct net_conn *conn, struct err *err) {
    ENSURE(net_conn_pending_bytes(conn) <= LIMIT_CONN_WRITE_QUEUE + LIMIT_FRAME_BODY, err, BUSY,
           "the peer does not read what TLS answers: %zu bytes wait", net_conn_pending_bytes(conn));
    return OK;
}

static void pump(struct net_conn *conn, struct span ciphertext) {
    struct err err;
    struct result r = tls_feed(conn->tls, ciphertext, &err);
    if (is_ok(r)) {
        conn->is_corked = true;
        r = take_input(conn, &err);
        conn->is_corked = false;
    }
    if (is_ok(r)) {
        flush_or_gather(conn);
        r = check_answers(conn, &err);
    }
    if (!is_ok(r)) {
        net__conn_fail(conn, &err);
    }
    count(conn);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out) {
    (void)handle;
    (void)suggested;
    *out = uv_buf_init(mem_alloc(LIMIT_TLS_READ_CHUNK), LIMIT_TLS_READ_CHUNK);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *in) {
    struct net_conn *conn = stream->data;
    struct err err;
    if (n == UV_EOF) {
        err_ignore(end_of_input(conn, &err), "passed on");
        net__conn_fail(conn, &err);
    } else if (n < 0) {
        fail_status(conn, (int)n);
    } else if (n > 0 && conn->state != NET_DRAINING) {
        pump(conn, span_of(in->base, (size_t)n));
    }
    mem_free(in->base);
}

/* --- The start */

static void set_options(struct net_conn *conn) {
    uv_os_fd_t fd = -1;
    unsigned ms = NET_USER_TIMEOUT_MS;
    bool is_set = uv_tcp_nodelay(&conn->tcp, 1) == 0 &&
                  uv_tcp_keepalive(&conn->tcp, 1, NET_KEEPALIVE_S) == 0 &&
                  uv_fileno((uv_handle_t *)&conn->tcp, &fd) == 0 &&
                  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms) == 0;
    if (!is_set) {
        log_debug("net: %s: not all socket options could be set", conn->peer);
    }
}

void net__conn_start(struct net_conn *conn) {
    set_options(conn);
    int status = uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read);
    if (status < 0) {
        fail(conn, ERR_CLOSED, uv_strerror(status));
        return;
    }
    pump(conn, (struct span){0}); /* a client speaks first */
}

struct result net__conn_new(uv_loop_t *loop, struct tls_context *tls, struct net_conn **out,
                            struct err *err) {
    struct tls *engine = NULL;
    TRY(tls_new(tls, &engine, err));
    struct net_conn *conn = mem_zalloc(sizeof *conn);
    conn->loop = loop;
    conn->tls = engine;
    conn->frame_limit = LIMIT_FRAME_BODY_UNAUTHENTICATED;
    CHECK(uv_timer_init(loop, &conn->timer) == 0);
    conn->timer.data = conn;
    CHECK(uv_prepare_init(loop, &conn->prepare) == 0);
    conn->prepare.data = conn;
    conn->pending = 2; /* timer and prepare */
    *out = conn;
    return OK;
}

/* --- What the user may ask */

void net_conn_close(struct net_conn *conn) {
    struct err err;
    if (conn->state == NET_READY && !is_ok(seal(conn, &err))) {
        net__conn_fail(conn, &err);
    } else if (conn->state == NET_READY) {
        net__conn_move(conn, NET_DRAINING);
        tls_close_notify(conn->tls);
        set_timer(conn, LIMIT_CLOSE_MS);
        flush(conn);
    } else if (conn->state != NET_DRAINING) {
        net__conn_fail(conn, &(struct err){.code = ERR_OK});
    }
}

void net_conn_abort(struct net_conn *conn, const struct err *why) {
    static const struct err closed_here = {.code = ERR_OK};
    net__conn_fail(conn, why == NULL ? &closed_here : why);
}

void net_conn_set_data(struct net_conn *conn, void *data) {
    conn->data = data;
}

void *net_conn_data(const struct net_conn *conn) {
    return conn->data;
}

struct tls *net_conn_tls(struct net_conn *conn) {
    return conn->tls;
}

void net_conn_set_frame_limit(struct net_conn *conn, size_t bytes) {
    CHECK(bytes > 0 && bytes <= LIMIT_FRAME_BODY);
    conn->frame_limit = bytes;
}

void net_conn_set_gathering(struct net_conn *conn) {
    conn->is_gathering = true;
}

void net_conn_set_idle_timeout(struct net_conn *conn, uint64_t idle_ms) {
    conn->idle_ms = idle_ms;
    rearm_idle(conn);
}

const char *net_conn_peer_address(const struct net_conn *conn) {
    return conn->peer;
}

bool net_conn_is_peer_gone(const struct net_conn *conn) {
    return conn->is_peer_gone;
}
