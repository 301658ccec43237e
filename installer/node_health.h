/* Health: whether the node has its runtime, as a page for the kubelet's probes and for curl.
 *
 *   GET /healthz  200 {"ok":true,"phase":"idle","handler":"contrast-cc-...","reason":""}
 *                 503 {"ok":false,"phase":"restarting","handler":...,"reason":"..."}
 *
 * Each answer is looked up: the journal says which runtime is installed and whether an installer is
 * at work, CRI whether it is up and lists it. Answers are kept for a second. What asks the host is
 * bounded in time; connections are few and short.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_NODE_HEALTH_H
#define CONTRAST_NODE_HEALTH_H

#include "installer/node_settings.h"

struct node_verdict {
    bool is_healthy;
    const char *phase;          /* static text */
    char handler[64];           /* "" = none installed */
    char reason[ERR_TEXT_SIZE]; /* "" when healthy */
};

/* Looks now. */
void node_health_look(const struct node_settings *settings, struct node_verdict *out);

struct node_health;
/* Listens on "ADDRESS:PORT" (port 0: any). Borrows `settings`. CONFIG. */
RESULT node_health_open(const char *address, const struct node_settings *settings,
                        struct node_health **out, struct err *err);
void node_health_close(struct node_health *h); /* accepts NULL */
unsigned node_health_port(const struct node_health *h);

#endif
