/* Server: one Coordinator process. The core thread (this one) runs the replica and its Raft links;
 * session threads (worker.h) serve clients; the attester's thread talks to the security processor.
 *
 *   main -> server_new -> server_run: identity key -> attester -> workers -> loop until SIGTERM or
 * the replica is gone
 *
 * The identity (key, id) is made here, lives in this process's memory and ends with it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SERVER_H
#define CONTRAST_SERVER_H

#include "coordinator/config.h"

struct server;

/* `config` is borrowed. Never freed: callbacks of the system may come until the process ends. */
struct server *server_new(const struct config *config);
/* Once. Runs until SIGTERM or SIGINT (OK) or until the replica's life is over (why in *err: start
 * again, as a new member). CONFIG, UNAVAILABLE and so on when it cannot start. */
RESULT server_run(struct server *s, struct err *err);

#endif
