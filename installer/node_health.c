/* Health: one page, by libmicrohttpd's own thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/node_health.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "installer/cri.h"
#include "installer/node_journal.h"
#include "lib/base/host.h"
#include "lib/base/mem.h"

#define CONNECTIONS_MAX 16
#define IDLE_SECONDS 5
#define ASK_MS 2000
#define KEEP_MS 1000 /* an answer */

/* --- Looking */

static void set(struct node_verdict *v, bool is_healthy, const char *reason) {
    v->is_healthy = is_healthy;
    (void)snprintf(v->reason, sizeof v->reason, "%s", reason);
}

/* The newest runtime of a node on which nobody works, in the words of CRI. */
static void look_at_cri(const struct node_settings *settings, const struct node_root *root,
                        struct node_verdict *v) {
    struct node_place place;
    struct err err = {0};
    if (!is_ok(node_place_find(settings, root, NULL, &place, &err))) {
        set(v, false, err.text);
        return;
    }
    char socket[PATH_MAX];
    (void)snprintf(socket, sizeof socket, "%.2000s%.2000s", root->path, place.socket);
    AUTO(cri_answer_deinit)
    struct cri_answer answer = {0};
    if (!is_ok(cri_ask(socket, ASK_MS, &answer, &err))) {
        set(v, false, err.text);
    } else if (!answer.is_ready) {
        set(v, false, "CRI says that the runtime is not ready");
    } else if (!cri_has_handler(&answer, v->handler)) {
        set(v, false, "CRI is up, but does not list the handler: restart containerd");
    } else {
        set(v, true, "");
    }
}

static void look_at_root(const struct node_settings *settings, const struct node_root *root,
                         struct node_verdict *v) {
    AUTO(node_journal_deinit)
    struct node_journal journal = {0};
    struct err err = {0};
    if (!is_ok(node_journal_load(root, &journal, &err))) {
        set(v, false, err.text);
        return;
    }
    v->phase = node_phase_name(journal.phase);
    if (journal.runtime_count == 0) {
        set(v, false, "no runtime is installed");
        return;
    }
    (void)snprintf(v->handler, sizeof v->handler, "%s",
                   journal.runtimes[journal.runtime_count - 1].handler);
    if (journal.phase != NODE_PHASE_IDLE) {
        set(v, false, "an installer is at work, or was interrupted");
        return;
    }
    look_at_cri(settings, root, v);
}

void node_health_look(const struct node_settings *settings, struct node_verdict *out) {
    *out = (struct node_verdict){.phase = "unknown"};
    AUTO(node_root_close)
    struct node_root root = {.fd = -1};
    struct err err = {0};
    if (is_ok(node_root_open(settings->host_mount, &root, &err))) {
        look_at_root(settings, &root, out);
    } else {
        set(out, false, err.text);
    }
}

/* --- The page */

struct node_health {
    struct MHD_Daemon *daemon;
    const struct node_settings *settings;
    struct node_verdict verdict; /* of its thread, as the time */
    uint64_t looked_ms;          /* 0 = never */
};

static enum MHD_Result respond(struct MHD_Connection *connection, unsigned status, const char *type,
                               const char *text) {
    union {
        const char *in;
        void *out;
    } copied = {text}; /* MHD_RESPMEM_MUST_COPY: read only */
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), copied.out, MHD_RESPMEM_MUST_COPY);
    if (response == NULL) {
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    enum MHD_Result r = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return r;
}

static enum MHD_Result on_request(void *data, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **state) {
    (void)version;
    (void)upload;
    (void)upload_size;
    static int seen;
    if (*state == NULL) { /* headers are there, a body may follow */
        *state = &seen;
        return MHD_YES;
    }
    struct node_health *h = data;
    if (strcmp(method, "GET") != 0) {
        return respond(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", "GET only\n");
    }
    if (strcmp(url, "/healthz") != 0) {
        return respond(connection, MHD_HTTP_NOT_FOUND, "text/plain", "there is /healthz\n");
    }
    uint64_t now = host_monotonic_ms(&host_system);
    if (h->looked_ms == 0 || now - h->looked_ms > KEEP_MS) {
        node_health_look(h->settings, &h->verdict);
        h->looked_ms = now;
    }
    const struct node_verdict *v = &h->verdict;
    json_t *root = json_pack("{s:b, s:s, s:s, s:s}", "ok", v->is_healthy, "phase", v->phase,
                             "handler", v->handler, "reason", v->reason);
    char *page = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    CHECK(page != NULL);
    enum MHD_Result r =
        respond(connection, v->is_healthy ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
                "application/json", page);
    free(page);
    return r;
}

/* "0.0.0.0:9103", "[::]:9103" */
static RESULT parse(const char *text, struct sockaddr_storage *out, struct err *err) {
    char host[64] = "";
    const char *colon = strrchr(text, ':');
    size_t size = colon != NULL ? (size_t)(colon - text) : 0;
    char *end = NULL;
    errno = 0;
    unsigned long port = colon != NULL ? strtoul(colon + 1, &end, 10) : 0;
    bool is_good = colon != NULL && size < sizeof host && end != colon + 1 && *end == '\0' &&
                   port <= 65535 && colon[1] != '-' && colon[1] != '+';
    ENSURE(is_good, err, CONFIG, "HEALTH_ADDRESS: want ADDRESS:PORT, got \"%.80s\"", text);
    bool is_v6 = size > 2 && text[0] == '[' && text[size - 1] == ']';
    (void)snprintf(host, sizeof host, "%.*s", (int)(is_v6 ? size - 2 : size),
                   is_v6 ? text + 1 : text);
    *out = (struct sockaddr_storage){0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    if (is_v6) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        is_good = inet_pton(AF_INET6, host, &v6->sin6_addr) == 1;
    } else {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        is_good = inet_pton(AF_INET, host, &v4->sin_addr) == 1;
    }
    ENSURE(is_good, err, CONFIG, "HEALTH_ADDRESS: \"%s\" is no IP address", host);
    return OK;
}

RESULT node_health_open(const char *address, const struct node_settings *settings,
                        struct node_health **out, struct err *err) {
    struct sockaddr_storage where = {0};
    TRY(parse(address, &where, err));
    struct node_health *h = mem_zalloc(sizeof *h);
    h->settings = settings;
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_ERROR_LOG |
                     (where.ss_family == AF_INET6 ? MHD_USE_IPv6 : 0);
    h->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_request, h, MHD_OPTION_SOCK_ADDR, &where,
                                 MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
                                 MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS, MHD_OPTION_END);
    if (h->daemon == NULL) {
        int saved = errno;
        mem_free(h);
        return err_set(err, ERR_CONFIG, "HEALTH_ADDRESS: cannot listen on %s: %s", address,
                       strerror(saved));
    }
    *out = h;
    return OK;
}

void node_health_close(struct node_health *h) {
    if (h != NULL) {
        MHD_stop_daemon(h->daemon);
        mem_free(h);
    }
}

unsigned node_health_port(const struct node_health *h) {
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_BIND_PORT);
    return info != NULL ? info->port : 0;
}
