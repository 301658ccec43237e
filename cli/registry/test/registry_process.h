/* The registry of the tests (registry_server.py) as a child process on loopback.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_REGISTRY_PROCESS_H
#define CONTRAST_REGISTRY_PROCESS_H

#include <sys/types.h>

#include "cli/registry/image_ref.h"

struct registry_process {
    pid_t pid;
    int input;       /* closing it ends the server */
    int port;        /* HTTP */
    int tls_port;    /* HTTPS */
    char host[32];   /* "127.0.0.1:PORT" */
    char folder[64]; /* tls.pem; whatever a test puts there; removed by stop */
};

/* Aborts when python3, openssl(1) or the folder cannot be had. */
void registry_process_start(struct registry_process *p);
void registry_process_stop(struct registry_process *p);

/* host/MODE/app:1 */
struct image_ref registry_process_ref(const struct registry_process *p, const char *mode);
/* GET http://host/PATH, as text that the caller frees with buf_deinit. */
struct buf registry_process_get(const struct registry_process *p, const char *path);
/* How often `kind` was asked for with this mode. */
unsigned registry_process_count(const struct registry_process *p, const char *kind,
                                const char *mode);

#endif
