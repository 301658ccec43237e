/* Fetching a file of the payload: from the installer's own image, or from a web server.
 *
 *   file:///payload/x   the container's file system
 *   https://, http://   the program contrast-node-fetch (node_download.c), as nobody; redirects
 *                       to https only, a proxy as the environment says
 *
 * Bytes go to a sink as they come; nothing is kept. What was torn is begun again, a bounded number
 * of times. What comes is worth nothing before its digest was compared (node_stage.h).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_NODE_FETCH_H
#define CONTRAST_NODE_FETCH_H

#include <signal.h>

#include "lib/base/bytes.h"

struct node_sink {
    void *data;
    RESULT (*feed)(void *data, struct span bytes, struct err *err);
    RESULT (*restart)(void *data, struct err *err); /* forget what came */
};

/* At most LIMIT_NODE_FILE bytes. `stop` (may be NULL) ends it: CANCELED. NOT_FOUND, INVALID (not a
 * regular file, 4xx), UNAVAILABLE (the network, 5xx), TLS, TOO_LARGE, and what the sink says. */
RESULT node_fetch(const char *url, const struct node_sink *sink, const volatile sig_atomic_t *stop,
                  struct err *err);

#endif
