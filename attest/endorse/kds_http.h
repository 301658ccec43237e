/* The transport of kds.h: one bounded GET over libcurl, for this folder alone.
 *
 * Only the scheme of the address, no redirect, no cookie, a connection for each; the
 * system's authorities or one file's; proxies by libcurl's environment (https_proxy, no_proxy).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_KDS_HTTP_H
#define CONTRAST_KDS_HTTP_H

#include "lib/base/bytes.h"

struct kds_http;

struct kds_http_config {
    const char *ca_file; /* NULL = the system's; copied */
    uint64_t connect_ms; /* more than 0, as total_ms */
    uint64_t total_ms;
};

struct kds_http_answer {
    long status;
    struct buf body;      /* owned */
    bool has_retry_after; /* the header was there */
    char retry_after[64]; /* its text, cut */
    char location[200];   /* where a redirect would lead; "" without one */
    bool is_too_large;    /* the body passed the limit and was cut; status is valid */
};
void kds_http_answer_deinit(struct kds_http_answer *a); /* accepts zeroed */

RESULT kds_http_open(const struct kds_http_config *config, struct kds_http **out, struct err *err);
void kds_http_close(struct kds_http *h); /* accepts NULL */
/* Ends the running request and all later ones with CANCELED. From any thread. */
void kds_http_cancel(struct kds_http *h);

/* Any complete answer, whatever its status, is OK. UNAVAILABLE: no connection, silence, torn.
 * TLS, MALFORMED (no HTTP, too many headers), CANCELED. `url` stands in no text. */
RESULT kds_http_get(struct kds_http *h, const char *url, size_t limit, struct kds_http_answer *out,
                    struct err *err);

#endif
