/* Bench load: one connection with a fixed number of requests outstanding, for some seconds.
 *
 * A reply is answered with the next request. Time runs from the moment a request is handed to the
 * connection until its reply is read. Any refusal ends the load.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_BENCH_LOAD_H
#define CONTRAST_BENCH_LOAD_H

#include <stddef.h>
#include <stdint.h>

#include "coordinator/bench/samples.h"
#include "lib/base/bytes.h"

struct bench_load_config {
    uint16_t port;      /* on loopback */
    struct span spki;   /* of the replica: pinned */
    size_t outstanding; /* 1 .. BENCH_OUTSTANDING_MAX */
    size_t size;        /* bytes of one payload, 8 .. BENCH_PAYLOAD_MAX */
    uint64_t warm_ms;   /* before the window */
    uint64_t window_ms;
};

struct bench_load_result {
    uint64_t count; /* replies inside the window */
    uint64_t ns;    /* of the window */
    struct samples latency;
};

/* UNAVAILABLE, TLS or CLOSED with the connection; NOT_LEADER after a refusal. The result is the
 * caller's to deinit in any case. */
RESULT bench_load_run(const struct bench_load_config *config, struct bench_load_result *result,
                      struct err *err);
void bench_load_result_deinit(struct bench_load_result *result); /* accepts zeroed */

#endif
