/* CRI: gRPC through libcurl's HTTP/2, answers through proto_read.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/cri.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "installer/proto_read.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

#define GRPC_HEADER 5 /* bytes: compressed u8, length u32 big-endian */

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
    if (a->handler_count >= LIMIT_CRI_HANDLERS || memchr(name.data, 0, name.size) != NULL) {
        return;
    }
    char *text = mem_strndup((const char *)name.data, name.size);
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
    memcpy(out, text.data, n);
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

/* --- Calls */

struct call {
    struct buf answer;
    bool is_too_large;
    long status;       /* grpc-status; -1: none came */
    char message[256]; /* grpc-message */
};

static size_t on_bytes(char *data, size_t one, size_t size, void *user) {
    (void)one;
    struct call *c = user;
    if (c->answer.size + size > LIMIT_CRI_ANSWER) {
        c->is_too_large = true;
        return 0;
    }
    buf_append(&c->answer, data, size);
    return size;
}

/* Headers and trailers, one call per line. */
static size_t on_header(char *data, size_t one, size_t size, void *user) {
    (void)one;
    struct call *c = user;
    static const char status[] = "grpc-status:";
    static const char message[] = "grpc-message:";
    if (size > sizeof status && strncmp(data, status, sizeof status - 1) == 0) {
        char text[16];
        copy_text(span_of(data + sizeof status - 1, size - sizeof status + 1), text, sizeof text);
        c->status = strtol(text, NULL, 10);
    } else if (size > sizeof message && strncmp(data, message, sizeof message - 1) == 0) {
        copy_text(span_of(data + sizeof message - 1, size - sizeof message + 1), c->message,
                  sizeof c->message);
    }
    return size;
}

struct request {
    const char *socket;
    const char *method; /* "Version" */
    struct span body;   /* of gRPC, with its header */
    unsigned timeout_ms;
};

static bool set_up(CURL *curl, const struct request *q, struct curl_slist *headers, struct call *c,
                   char *text) {
    char url[128];
    (void)snprintf(url, sizeof url, "http://localhost/runtime.v1.RuntimeService/%s", q->method);
    return curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, q->socket) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HTTP_VERSION,
                            (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)q->timeout_ms) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, text) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)q->body.size) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, (const char *)q->body.data) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HEADERDATA, c) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEDATA, c) == CURLE_OK;
}

static RESULT judge(const struct call *c, CURLcode code, const char *text, struct err *err) {
    ENSURE(!c->is_too_large, err, TOO_LARGE, "CRI: more than %d bytes", LIMIT_CRI_ANSWER);
    ENSURE(code == CURLE_OK, err, UNAVAILABLE, "CRI does not answer: %s",
           text[0] != '\0' ? text : curl_easy_strerror(code));
    ENSURE(c->status >= 0, err, MALFORMED, "CRI: the answer is no gRPC");
    ENSURE(c->status == 0, err, UNAVAILABLE, "CRI: %s (gRPC status %ld)", c->message, c->status);
    bool is_whole = c->answer.size >= GRPC_HEADER && c->answer.data[0] == 0 &&
                    load_u32be(c->answer.data + 1) == c->answer.size - GRPC_HEADER;
    ENSURE(is_whole, err, MALFORMED, "CRI: the answer is no whole gRPC message");
    return OK;
}

/* `answer` gets the message without gRPC's header. */
static RESULT ask(const struct request *q, struct buf *answer, struct err *err) {
    CURL *curl = curl_easy_init();
    CHECK(curl != NULL);
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/grpc");
    struct curl_slist *more = curl_slist_append(headers, "TE: trailers");
    CHECK(headers != NULL && more != NULL);
    struct call call = {.status = -1};
    char text[CURL_ERROR_SIZE] = "";
    CURLcode code =
        set_up(curl, q, more, &call, text) ? curl_easy_perform(curl) : CURLE_FAILED_INIT;
    struct result r = judge(&call, code, text, err);
    if (is_ok(r)) {
        buf_append(answer, call.answer.data + GRPC_HEADER, call.answer.size - GRPC_HEADER);
    }
    buf_deinit(&call.answer);
    curl_slist_free_all(more);
    curl_easy_cleanup(curl);
    return r;
}

static RESULT call_version(const char *socket, unsigned timeout_ms, struct cri_answer *out,
                           struct err *err) {
    static const uint8_t body[] = {0, 0, 0, 0, 0}; /* VersionRequest {} */
    const struct request q = {socket, "Version", SPAN(body), timeout_ms};
    AUTO(buf_deinit)
    struct buf answer = {0};
    TRY(ask(&q, &answer, err));
    return cri_parse_version(buf_span(&answer), out, err);
}

static RESULT call_status(const char *socket, unsigned timeout_ms, struct cri_answer *out,
                          struct err *err) {
    static const uint8_t body[] = {0, 0, 0, 0, 2, 0x08, 1}; /* StatusRequest {verbose: true} */
    const struct request q = {socket, "Status", SPAN(body), timeout_ms};
    AUTO(buf_deinit)
    struct buf answer = {0};
    TRY(ask(&q, &answer, err));
    return cri_parse_status(buf_span(&answer), out, err);
}

/* libcurl without TLS: a Unix socket needs none. */
RESULT cri_ask_version(const char *socket, unsigned timeout_ms, struct cri_answer *out,
                       struct err *err) {
    CHECK(curl_global_init(CURL_GLOBAL_NOTHING) == CURLE_OK);
    struct result r = call_version(socket, timeout_ms, out, err);
    curl_global_cleanup();
    return r;
}

RESULT cri_ask(const char *socket, unsigned timeout_ms, struct cri_answer *out, struct err *err) {
    struct cri_answer a = {0};
    CHECK(curl_global_init(CURL_GLOBAL_NOTHING) == CURLE_OK);
    struct result r = call_version(socket, timeout_ms, &a, err);
    r = is_ok(r) ? call_status(socket, timeout_ms, &a, err) : r;
    curl_global_cleanup();
    if (!is_ok(r)) {
        cri_answer_deinit(&a);
        return r;
    }
    *out = a;
    return OK;
}
