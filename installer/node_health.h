/* Health: a page for the kubelet's probes and for curl.
 *
 *   GET /healthz  200 {"ok":true,"phase":"installed","handler":"contrast-cc-...","reason":""}
 *                 503 {"ok":false,"phase":"failed","handler":...,"reason":"..."}
 *
 * Its thread only reads what node_health_set last wrote. SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_NODE_HEALTH_H
#define CONTRAST_NODE_HEALTH_H

#include "lib/base/err.h"

struct node_health;

/* `address` is "ADDRESS:PORT" (port 0: any), or NULL: no page, and *out is NULL. CONFIG. */
RESULT node_health_open(const char *address, struct node_health **out, struct err *err);
void node_health_close(struct node_health *h); /* accepts NULL */
unsigned node_health_port(const struct node_health *h);

/* Copies its texts; `h` may be NULL. */
void node_health_set(struct node_health *h, bool is_ok, const char *phase, const char *handler,
                     const char *reason);

#endif
