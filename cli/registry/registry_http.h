/* The transport of a registry client: bounded requests over libcurl.
 *
 *   request -> (redirects, at most LIMIT_REGISTRY_REDIRECTS) -> answer, its body kept or streamed
 *
 * A redirect never leads from https to http, and Authorization goes to the origin (scheme, host,
 * port: RFC 6454) of the first address alone. Proxies by libcurl's environment (https_proxy,
 * no_proxy); the system's authorities or one file's. No cookie, no netrc, no content coding. One
 * request at a time; connections are kept for the next one. One thread at a time.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_REGISTRY_HTTP_H
#define CONTRAST_REGISTRY_HTTP_H

#include "cli/registry/auth_challenge.h"

struct registry_http;

struct registry_http_config {
    const char *ca_file; /* PEM, in place of the system's authorities; NULL = those; copied */
    uint64_t connect_ms; /* 0 = LIMIT_REGISTRY_CONNECT_MS */
    uint64_t total_ms;   /* of a request that is not streamed; 0 = LIMIT_REGISTRY_MS */
    unsigned stall_s;    /* 0 = LIMIT_REGISTRY_STALL_S */
};

struct registry_http_answer {
    long status;
    char content_type[128]; /* "" when absent, as location */
    struct buf location;
    bool has_retry_after;
    char retry_after[64];
    bool has_length; /* Content-Length, of a status that is no error */
    uint64_t length;
    bool has_range; /* Content-Range: bytes FROM-TO/SIZE (RFC 9110 section 14.4) */
    uint64_t range_from;
    uint64_t range_size;             /* UINT64_MAX for "*" */
    bool is_elsewhere;               /* a redirect led to another origin than the first address's */
    struct auth_challenge challenge; /* of a 401 */
    struct buf body;                 /* what was not streamed; of an error cut, never too large */
};
void registry_http_answer_deinit(struct registry_http_answer *a); /* accepts zeroed */

/* Who takes the body of a 200 or 206. Both may fail: that ends the request with their error. */
struct registry_http_sink {
    void *data;
    RESULT (*begin)(void *data, const struct registry_http_answer *head, struct err *err);
    RESULT (*write)(void *data, struct span bytes, struct err *err);
};

struct registry_http_request {
    const char *url;
    const char *accept;        /* NULL = anything */
    const char *authorization; /* the header's value; NULL = none */
    const char *form;          /* POST of such a body; NULL = GET */
    uint64_t from;             /* bytes that we have: asks for the rest (Range); 0 = all */
    size_t limit;              /* of a body that is kept */
    const struct registry_http_sink *sink; /* NULL = kept */
    bool (*is_over)(void *data); /* asked about once a second, also in silence; NULL = never */
    void *data;                  /* for it */
};

/* CONFIG when libcurl cannot start. */
RESULT registry_http_open(const struct registry_http_config *config, struct registry_http **out,
                          struct err *err);
void registry_http_close(struct registry_http *h); /* accepts NULL */

/* Any whole answer is OK, whatever its status. UNAVAILABLE: no connection, silence, torn; TLS;
 * MALFORMED: no HTTP, too many headers, a bad redirect; TOO_LARGE; CONFIG: the address; CANCELED:
 * it is over; else as the sink. Addresses stand in errors without their query, which may hold a
 * signature. */
RESULT registry_http_do(struct registry_http *h, const struct registry_http_request *request,
                        struct registry_http_answer *out, struct err *err);

/* Appends `text` percent-encoded (RFC 3986 section 2.1). */
void registry_http_escape(struct span text, struct buf *out);

/* "bytes FROM-TO/SIZE"; false for anything else. */
bool registry_http_parse_range(const char *text, uint64_t *from, uint64_t *size);

#endif
