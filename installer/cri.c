/* CRI: gRPC over nghttp2 (libcurl costs a process 6 MiB), answers through proto_read.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/cri.h"

#include <errno.h>
#include <jansson.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "installer/proto_read.h"
#include "lib/base/host.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

#define SERVICE "/runtime.v1.RuntimeService/"
#define GRPC_HEADER 5 /* bytes: compressed u8, length u32 big-endian */
#define RECEIVED_MAX                                                                               \
    (2 * LIMIT_CRI_ANSWER) /* bytes of a connection: frames without end are none of an answer */

void cri_answer_deinit(struct cri_answer *a) {
    for (size_t i = 0; i < a->handler_count; i++) {
        mem_free(a->handlers[i]);
    }
    mem_free((void *)a->handlers);
    *a = (struct cri_answer){0};
}

bool cri_has_handler(const struct cri_answer *a, const char *handler) {
    for (size_t i = 0; i < a->handler_count; i++) {
        if (strcmp(a->handlers[i], handler) == 0) {
            return true;
        }
    }
    return false;
}

/* Each once; what is no text, or too many, is left out. */
static void add_handler(struct cri_answer *a, struct span name) {
    bool is_text = name.size == 0 || memchr(name.data, 0, name.size) == NULL;
    if (a->handler_count >= LIMIT_CRI_HANDLERS || !is_text) {
        return;
    }
    char *text = mem_strndup(name.size > 0 ? (const char *)name.data : "", name.size);
    if (cri_has_handler(a, text)) {
        mem_free(text);
        return;
    }
    a->handlers = mem_realloc((void *)a->handlers, (a->handler_count + 1) * sizeof *a->handlers);
    a->handlers[a->handler_count++] = text;
}

/* --- Messages */

static void copy_text(struct span text, char *out, size_t size) {
    size_t n = text.size < size - 1 ? text.size : size - 1;
    if (n > 0) {
        memcpy(out, text.data, n);
    }
    out[n] = '\0';
    err_clean(out);
}

RESULT cri_parse_version(struct span message, struct cri_answer *out, struct err *err) {
    struct cri_answer a = {0};
    struct proto_field field = {0};
    for (bool is_end = false;;) {
        TRY(proto_read_next(&message, &field, &is_end, err));
        if (is_end) {
            break;
        }
        if (field.number == 2 && field.is_bytes) {
            copy_text(field.bytes, a.runtime, sizeof a.runtime);
        } else if (field.number == 3 && field.is_bytes) {
            copy_text(field.bytes, a.version, sizeof a.version);
        }
    }
    ENSURE(a.version[0] != '\0', err, MALFORMED, "CRI: the answer has no version");
    memcpy(out->runtime, a.runtime, sizeof out->runtime);
    memcpy(out->version, a.version, sizeof out->version);
    return OK;
}

/* The bytes of the first two fields of a message: of a condition, type and status; of an entry of a
 * map, key and value. */
struct pair {
    struct span first;
    struct span second;
    uint64_t number; /* field 2 when it is one */
};

static RESULT read_pair(struct span message, struct pair *out, struct err *err) {
    struct proto_field field = {0};
    *out = (struct pair){0};
    for (bool is_end = false;;) {
        TRY(proto_read_next(&message, &field, &is_end, err));
        if (is_end) {
            return OK;
        }
        if (field.number == 1 && field.is_bytes) {
            out->first = field.bytes;
        } else if (field.number == 2) {
            out->second = field.bytes;
            out->number = field.value;
        }
    }
}

/* RuntimeStatus: conditions = 1, {type = 1, status = 2, ...} */
static RESULT read_conditions(struct span message, struct cri_answer *a, struct err *err) {
    struct proto_field field = {0};
    for (bool is_end = false;;) {
        TRY(proto_read_next(&message, &field, &is_end, err));
        if (is_end) {
            return OK;
        }
        if (field.number == 1 && field.is_bytes) {
            struct pair condition;
            TRY(read_pair(field.bytes, &condition, err));
            if (span_equal(condition.first, span_str("RuntimeReady"))) {
                a->is_ready = condition.number == 1;
            }
        }
    }
}

/* info["config"]: {"containerd": {"runtimes": {handler: {...}}}} of every version of containerd. */
static void read_config(struct span text, struct cri_answer *a) {
    json_t *root = json_loadb((const char *)text.data, text.size, 0, NULL);
    const json_t *runtimes = json_object_get(json_object_get(root, "containerd"), "runtimes");
    json_t *object = json_incref((json_t *)(uintptr_t)runtimes);
    for (void *it = json_object_iter(object); it != NULL; it = json_object_iter_next(object, it)) {
        add_handler(a, span_str(json_object_iter_key(it)));
    }
    json_decref(object);
    json_decref(root);
}

static RESULT read_status(struct span message, struct cri_answer *a, struct err *err) {
    struct proto_field field = {0};
    for (bool is_end = false;;) {
        TRY(proto_read_next(&message, &field, &is_end, err));
        if (is_end) {
            return OK;
        }
        if (!field.is_bytes) {
            continue;
        }
        struct pair pair = {0};
        if (field.number == 1) {
            TRY(read_conditions(field.bytes, a, err));
        } else if (field.number == 2 || field.number == 3) {
            TRY(read_pair(field.bytes, &pair, err));
        }
        if (field.number == 2 && span_equal(pair.first, span_str("config"))) {
            read_config(pair.second, a);
        } else if (field.number == 3) {
            add_handler(a, pair.first); /* RuntimeHandler.name */
        }
    }
}

RESULT cri_parse_status(struct span message, struct cri_answer *out, struct err *err) {
    struct cri_answer a = {0};
    struct result r = read_status(message, &a, err);
    if (!is_ok(r)) {
        cri_answer_deinit(&a);
        return r;
    }
    for (size_t i = 0; i < out->handler_count; i++) {
        mem_free(out->handlers[i]);
    }
    mem_free((void *)out->handlers);
    out->handlers = a.handlers;
    out->handler_count = a.handler_count;
    out->is_ready = a.is_ready;
    return OK;
}

/* --- One call: a client of HTTP/2 on a socket that does not block */

struct call {
    int fd;
    nghttp2_session *session;
    struct span body; /* of the request, with gRPC's header; shrinks */
    struct buf answer;
    size_t received; /* bytes of all frames */
    bool is_too_large;
    bool is_over;      /* the stream is closed, */
    bool is_whole;     /* and by its end */
    long status;       /* grpc-status; -1: none came */
    char message[256]; /* grpc-message */
};

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t size, int flags,
                       void *user) {
    (void)session;
    (void)flags;
    const struct call *c = user;
    ssize_t n = send(c->fd, data, size, MSG_NOSIGNAL);
    if (n >= 0) {
        return n;
    }
    return errno == EAGAIN || errno == EINTR ? NGHTTP2_ERR_WOULDBLOCK
                                             : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static ssize_t on_receive(nghttp2_session *session, uint8_t *out, size_t size, int flags,
                          void *user) {
    (void)session;
    (void)flags;
    struct call *c = user;
    if (c->received > RECEIVED_MAX) {
        c->is_too_large = true;
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    ssize_t n = recv(c->fd, out, size, 0);
    if (n == 0) {
        return NGHTTP2_ERR_EOF;
    }
    if (n > 0) {
        c->received += (size_t)n;
        return n;
    }
    return errno == EAGAIN || errno == EINTR ? NGHTTP2_ERR_WOULDBLOCK
                                             : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static ssize_t on_body(nghttp2_session *session, int32_t stream, uint8_t *out, size_t size,
                       uint32_t *flags, nghttp2_data_source *source, void *user) {
    (void)session;
    (void)stream;
    (void)source;
    struct call *c = user;
    size_t n = c->body.size < size ? c->body.size : size;
    memcpy(out, c->body.data, n);
    c->body = span_of(c->body.data + n, c->body.size - n);
    *flags |= c->body.size == 0 ? NGHTTP2_DATA_FLAG_EOF : NGHTTP2_DATA_FLAG_NONE;
    return (ssize_t)n;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t size, void *user) {
    (void)session;
    (void)flags;
    (void)stream;
    struct call *c = user;
    if (c->answer.size + size > LIMIT_CRI_ANSWER) {
        c->is_too_large = true;
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    buf_append(&c->answer, data, size);
    return 0;
}

/* A status of gRPC: 1 or 2 digits (statuscodes.md: 0 to 16). -1: it is none. */
static long read_code(struct span text) {
    long code = text.size == 1 || text.size == 2 ? 0 : -1;
    for (size_t i = 0; i < text.size && code >= 0; i++) {
        bool is_digit = text.data[i] >= '0' && text.data[i] <= '9';
        code = is_digit ? 10 * code + (text.data[i] - '0') : -1;
    }
    return code;
}

/* Headers and trailers alike. */
static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user) {
    (void)session;
    (void)frame;
    (void)flags;
    struct call *c = user;
    if (span_equal(span_of(name, name_size), span_str("grpc-status"))) {
        c->status = read_code(span_of(value, value_size));
    } else if (span_equal(span_of(name, name_size), span_str("grpc-message"))) {
        copy_text(span_of(value, value_size), c->message, sizeof c->message);
    }
    return 0;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t code, void *user) {
    (void)session;
    (void)stream;
    struct call *c = user;
    c->is_over = true;
    c->is_whole = code == NGHTTP2_NO_ERROR;
    return 0;
}

static void open_session(struct call *c) {
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    CHECK(nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0);
    nghttp2_option_set_max_send_header_block_length(option, 4096);
    nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
    nghttp2_session_callbacks_set_recv_callback(callbacks, on_receive);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    CHECK(nghttp2_session_client_new2(&c->session, callbacks, c, option) == 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
}

#define HEADER(n, v)                                                                               \
    {                                                                                              \
        (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v),                \
            NGHTTP2_NV_FLAG_NONE                                                                   \
    }

static void submit(struct call *c, const char *path) {
    const nghttp2_nv headers[] = {
        HEADER(":method", "POST"),
        HEADER(":scheme", "http"),
        HEADER(":authority", "localhost"),
        HEADER(":path", path),
        HEADER("content-type", "application/grpc"),
        HEADER("te", "trailers"),
    };
    const nghttp2_data_provider body = {.read_callback = on_body};
    const nghttp2_settings_entry window = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, RECEIVED_MAX};
    CHECK(nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, &window, 1) == 0);
    CHECK(nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, RECEIVED_MAX) ==
          0);
    CHECK(nghttp2_submit_request(c->session, NULL, headers, sizeof headers / sizeof headers[0],
                                 &body, NULL) > 0);
}

/* Until the stream is closed or the time is over. */
static RESULT exchange(struct call *c, uint64_t end_ms, struct err *err) {
    while (!c->is_over) {
        int r = nghttp2_session_send(c->session);
        r = r == 0 ? nghttp2_session_recv(c->session) : r;
        ENSURE(!c->is_too_large, err, TOO_LARGE, "CRI: more than %d bytes", LIMIT_CRI_ANSWER);
        if (c->is_over || r == NGHTTP2_ERR_EOF) {
            break;
        }
        ENSURE(r == 0, err, UNAVAILABLE, "CRI: %s", nghttp2_strerror(r));
        uint64_t now = host_monotonic_ms(&host_system);
        ENSURE(now < end_ms, err, TIMEOUT, "CRI does not answer in time");
        bool wants_out = nghttp2_session_want_write(c->session) != 0;
        if (!wants_out && nghttp2_session_want_read(c->session) == 0) {
            break; /* one side said GOAWAY */
        }
        struct pollfd fd = {c->fd, (short)(POLLIN | (wants_out ? POLLOUT : 0)), 0};
        int ready = poll(&fd, 1, (int)(end_ms - now));
        ENSURE(ready >= 0 || errno == EINTR, err, IO, "poll: %s", strerror(errno));
    }
    return OK;
}

static RESULT judge(const struct call *c, struct err *err) {
    ENSURE(c->is_whole && c->status >= 0, err, UNAVAILABLE,
           "CRI: the connection ended without an answer of gRPC");
    ENSURE(c->status == 0, err, UNAVAILABLE, "CRI: %s (gRPC status %ld)", c->message, c->status);
    bool is_whole = c->answer.size >= GRPC_HEADER && c->answer.data[0] == 0 &&
                    load_u32be(c->answer.data + 1) == c->answer.size - GRPC_HEADER;
    ENSURE(is_whole, err, MALFORMED, "CRI: the answer is no whole gRPC message");
    return OK;
}

static RESULT dial(const char *path, int *fd, struct err *err) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    ENSURE(strlen(path) < sizeof address.sun_path, err, CONFIG,
           "%.100s...: a socket's path has at most %zu bytes", path, sizeof address.sun_path - 1);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ENSURE(s >= 0, err, IO, "socket: %s", strerror(errno));
    if (connect(s, (const struct sockaddr *)&address, sizeof address) != 0) {
        int saved = errno;
        (void)close(s);
        return err_set(err, ERR_UNAVAILABLE, "CRI does not answer: %s: %s", path, strerror(saved));
    }
    *fd = s;
    return OK;
}

/* `answer` gets the message without gRPC's header. */
static RESULT ask(const char *socket_path, const char *path, struct span body, unsigned timeout_ms,
                  struct buf *answer, struct err *err) {
    struct call call = {.fd = -1, .body = body, .status = -1};
    TRY(dial(socket_path, &call.fd, err));
    open_session(&call);
    submit(&call, path);
    struct result r = exchange(&call, host_monotonic_ms(&host_system) + timeout_ms, err);
    r = is_ok(r) ? judge(&call, err) : r;
    if (is_ok(r)) {
        buf_append(answer, call.answer.data + GRPC_HEADER, call.answer.size - GRPC_HEADER);
    }
    buf_deinit(&call.answer);
    nghttp2_session_del(call.session);
    (void)close(call.fd);
    return r;
}

RESULT cri_ask_version(const char *socket, unsigned timeout_ms, struct cri_answer *out,
                       struct err *err) {
    static const uint8_t body[] = {0, 0, 0, 0, 0}; /* VersionRequest {} */
    AUTO(buf_deinit)
    struct buf answer = {0};
    TRY(ask(socket, SERVICE "Version", SPAN(body), timeout_ms, &answer, err));
    return cri_parse_version(buf_span(&answer), out, err);
}

RESULT cri_ask(const char *socket, unsigned timeout_ms, struct cri_answer *out, struct err *err) {
    static const uint8_t body[] = {0, 0, 0, 0, 2, 0x08, 1}; /* StatusRequest {verbose: true} */
    struct cri_answer a = {0};
    TRY(cri_ask_version(socket, timeout_ms, &a, err));
    AUTO(buf_deinit)
    struct buf answer = {0};
    TRY(ask(socket, SERVICE "Status", SPAN(body), timeout_ms, &answer, err));
    TRY(cri_parse_status(buf_span(&answer), &a, err));
    *out = a;
    return OK;
}
