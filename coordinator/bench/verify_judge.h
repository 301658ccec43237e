/* Verify judge: whether an answer of a replica proves what it must, at the price of hashing.
 *
 *   evidence -> statement -> leaf of this connection -> path -> REPORT_DATA -> report -> chain
 *
 * One report answers many requests. Its signature, certificates and root are judged when its bytes
 * are new; leaf, path and REPORT_DATA are judged for every answer, on the connection that it came
 * by. So the generator stays cheap beside the replica that it loads, and nothing is believed.
 *
 * The last VERIFY_REPORTS reports are remembered; an older one that comes back is judged, and
 * counted, again. One thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_VERIFY_JUDGE_H
#define CONTRAST_VERIFY_JUDGE_H

#include "attest/session.h"

#define VERIFY_REPORTS 64 /* remembered at a time */

/* Zeroed is valid: no root is permitted but AMD's. */
struct verify_judge {
    const uint8_t (*roots)[32]; /* SPKI digests of simulated roots; borrowed */
    size_t root_count;
    struct snp_cache *cache;                    /* of proven chains; NULL = none; borrowed */
    uint8_t known[VERIFY_REPORTS][SHA384_SIZE]; /* of reports that hold; a ring */
    size_t known_count;
    size_t next;              /* of the ring */
    uint64_t report_count;    /* distinct reports that were judged and hold */
    uint64_t leaf_count;      /* answers that hold */
    uint64_t confirmed_count; /* of them: with a quorum's word */
    uint64_t leaf_count_most; /* leaves under one report */
    uint64_t judge_ns;        /* processor time of all judging */
    uint64_t report_ns;       /* of it: of new reports */
};

/* Judges the answer to `nonce` on this channel, from a replica. Errors of snp_verify, wire_decode
 * and merkle_path_root; DIFFERS when REPORT_DATA is not of this leaf. */
RESULT verify_judge(struct verify_judge *j, const struct attest_channel *channel,
                    const uint8_t nonce[ATTEST_NONCE_SIZE], struct span evidence, int64_t at,
                    struct err *err);

#endif
