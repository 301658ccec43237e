/* Verify floor: what no replica can do better, measured beside the load.
 *
 * hashing  The leaf, its place in the tree and its path, for requests that come in rounds of
 *          VERIFY_FLOOR_LEAVES: the batch of the product without a report, a connection or a
 *          message. Processor time of one thread.
 * report   One report of the simulated processor and its certificates, asked for by this process
 *          alone: the report time that waiting is counted in. Wall clock.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_VERIFY_FLOOR_H
#define CONTRAST_VERIFY_FLOOR_H

#include "coordinator/bench/samples.h"
#include "lib/base/err.h"

#define VERIFY_FLOOR_LEAVES 64

/* Nanoseconds of one leaf, hashing alone, the median of `rounds` >= 1 rounds. */
uint64_t verify_floor_hash(size_t rounds);

/* `count` reports of this source (issuer_open), one after the other. Errors are the issuer's. */
RESULT verify_floor_report(const char *issuer_spec, size_t count, struct samples *out,
                           struct err *err);

#endif
