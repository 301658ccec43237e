/* Verify load: concurrent verifiers, each with a fresh nonce for every request.
 *
 *   OPEN       connect -> [pause] -> nonce -> evidence, judged -> [pause] -> nonce -> ...
 *   FRESH      connect -> nonce -> evidence, judged -> close -> [pause] -> connect -> ...
 *   HANDSHAKE  connect -> close -> connect -> ...                the floor of FRESH
 *
 * A failure is counted, its first text kept, and the slot begins again after VERIFY_RETRY_MS. Time
 * is one window behind a warm-up. One thread, the loop's.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_VERIFY_LOAD_H
#define CONTRAST_VERIFY_LOAD_H

#include "coordinator/bench/samples.h"
#include "coordinator/bench/verify_judge.h"

#define VERIFY_CONNECTIONS_MAX 1024
#define VERIFY_RETRY_MS 10

enum verify_mode { VERIFY_OPEN, VERIFY_FRESH, VERIFY_HANDSHAKE };

struct verify_load_config {
    const char *host;
    uint16_t port;
    enum verify_mode mode;
    size_t connections; /* 1..VERIFY_CONNECTIONS_MAX */
    uint64_t pause_ms;  /* before each request a random time, at most this; 0 = none */
    uint64_t warm_ms;
    uint64_t window_ms;
    const uint8_t (*roots)[32]; /* simulated roots that may be trusted; borrowed */
    size_t root_count;
};

/* Zeroed is valid. */
struct verify_load_result {
    uint64_t count;         /* answers (handshakes) inside the window */
    uint64_t failure_count; /* inside and before it */
    struct err first_failure;
    struct samples answer;     /* nonce sent to evidence received; FRESH: from the connection on */
    struct verify_judge judge; /* counts of the window and the warm-up */
};
void verify_load_result_deinit(struct verify_load_result *r); /* accepts zeroed */

/* Blocks until the window is over. Errors are of the start alone. */
RESULT verify_load_run(const struct verify_load_config *config, struct verify_load_result *out,
                       struct err *err);

#endif
