/* Health: one page, by libmicrohttpd's own thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/node_health.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/mem.h"

#define CONNECTIONS_MAX 16
#define IDLE_SECONDS 5

struct node_health {
    struct MHD_Daemon *daemon;
    pthread_mutex_t lock; /* of the two below */
    char *page;           /* owned */
    bool is_ok;
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
    (void)pthread_mutex_lock(&h->lock);
    enum MHD_Result r = respond(connection, h->is_ok ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
                                "application/json", h->page);
    (void)pthread_mutex_unlock(&h->lock);
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

RESULT node_health_open(const char *address, struct node_health **out, struct err *err) {
    *out = NULL;
    if (address == NULL) {
        return OK;
    }
    struct sockaddr_storage where;
    TRY(parse(address, &where, err));
    struct node_health *h = mem_zalloc(sizeof *h);
    CHECK(pthread_mutex_init(&h->lock, NULL) == 0);
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_ERROR_LOG |
                     (where.ss_family == AF_INET6 ? MHD_USE_IPv6 : 0);
    node_health_set(h, true, "starting", "", "");
    h->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_request, h, MHD_OPTION_SOCK_ADDR, &where,
                                 MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
                                 MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS, MHD_OPTION_END);
    if (h->daemon == NULL) {
        int saved = errno;
        node_health_close(h);
        return err_set(err, ERR_CONFIG, "HEALTH_ADDRESS: cannot listen on %s: %s", address,
                       strerror(saved));
    }
    *out = h;
    return OK;
}

void node_health_close(struct node_health *h) {
    if (h == NULL) {
        return;
    }
    if (h->daemon != NULL) {
        MHD_stop_daemon(h->daemon);
    }
    (void)pthread_mutex_destroy(&h->lock);
    free(h->page);
    mem_free(h);
}

unsigned node_health_port(const struct node_health *h) {
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_BIND_PORT);
    return info != NULL ? info->port : 0;
}

void node_health_set(struct node_health *h, bool is_ok, const char *phase, const char *handler,
                     const char *reason) {
    if (h == NULL) {
        return;
    }
    json_t *root = json_pack("{s:b, s:s, s:s, s:s}", "ok", is_ok, "phase", phase, "handler",
                             handler, "reason", reason);
    char *page = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    CHECK(page != NULL);
    (void)pthread_mutex_lock(&h->lock);
    free(h->page);
    h->page = page;
    h->is_ok = is_ok;
    (void)pthread_mutex_unlock(&h->lock);
}
