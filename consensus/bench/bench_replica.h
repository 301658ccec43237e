/* Bench replica: one member of a cluster that does nothing but agree on payloads.
 *
 *   stdout: {"spki": hex, "raft": port, "client": port}      once, when both ports are open
 *   stdin:  "peer NUMBER PORT SPKI" ...  "start COUNT"       members are 1 to COUNT
 *   stdout: {"leads": term}                                  each time it can take payloads
 *   stdin:  "state"  ->  stdout: {"applied": index, "count": payloads, "hash": hex}
 *   stdin:  end      ->  the end
 *
 * Node and links are the product's; the state is a count and a hash over the beginnings of all
 * payloads, so that a driver can compare what the replicas have agreed on. With `answers_at_once`
 * it is the floor: no node and no links, every payload is answered when it comes.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_BENCH_REPLICA_H
#define CONTRAST_BENCH_REPLICA_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"

struct bench_replica_config {
    uint64_t number; /* 1 .. BENCH_MEMBERS_MAX; also its id */
    bool answers_at_once;
};

/* Until stdin ends. CONFIG for a line of stdin that it does not understand; what the node and the
 * links fail with. */
RESULT bench_replica_run(const struct bench_replica_config *config, struct err *err);

#endif
