/* Load: concurrent workload sessions against the mesh API of one replica.
 *
 *   slot: connect -> TLS -> the Coordinator's evidence and history, judged
 *           -> API_CERTIFICATE -> own evidence -> certificate, checked -> close -> again
 *
 * Each slot is one session at a time; all share one attester, one TLS key and one workload key, as
 * the load stands for many pods whose keys cost the replica nothing. A kept session asks for one
 * certificate after the other, each after an API_STATUS, which is a bare round of the quorum. A
 * failure is counted, its first text kept, and the slot tries again after LOAD_RETRY_MS.
 *
 * Time is cut into windows behind a warm-up; only certificates that arrive inside one are counted.
 * One thread, the loop's, and the attester's.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_LOAD_H
#define CONTRAST_LOAD_H

#include "coordinator/bench/samples.h"
#include "coordinator/config.h"

#define LOAD_CONNECTIONS_MAX 256
#define LOAD_WINDOWS_MAX 100
#define LOAD_RETRY_MS 10

struct load_config {
    const char *host;
    uint16_t port;
    size_t connections; /* 1..LOAD_CONNECTIONS_MAX */
    uint64_t warm_ms;
    uint64_t window_ms;
    size_t windows;             /* 1..LOAD_WINDOWS_MAX */
    uint64_t count;             /* ends after so many certificates; 0 = after the windows */
    bool is_kept;               /* one session for all certificates of a slot */
    const struct config *trust; /* owner digests, permitted roots, issuer; borrowed */
};

/* Zeroed is valid. */
struct load_result {
    uint64_t certificates[LOAD_WINDOWS_MAX]; /* in each window */
    uint64_t certificate_count;              /* all, warm-up included */
    uint64_t failure_count;
    struct err first_failure;
    uint64_t first_ns;   /* samples_now_ns at the first certificate; 0 = none */
    uint64_t last_ns;    /* at the last one */
    uint64_t gap_ns;     /* longest time between two certificates that came one after the other */
    uint64_t gap_end_ns; /* samples_now_ns at its end */
    struct samples session; /* connect to certificate; not of kept sessions */
    struct samples attest;  /* connect to the Coordinator's evidence and history */
    struct samples judge;   /* processor time of judging them */
    struct samples prove;   /* the request to own evidence: attester and simulated machine */
    struct samples issue;   /* own evidence sent to certificate received */
    struct samples confirm; /* API_STATUS to its reply: kept sessions only */
};
void load_result_deinit(struct load_result *r); /* accepts zeroed */

/* Blocks until the windows are over. CONFIG and UNAVAILABLE when it cannot start; TIMEOUT when
 * `count` was not reached in that time. *out is filled in every case after the start. */
RESULT load_run(const struct load_config *config, struct load_result *out, struct err *err);

#endif
