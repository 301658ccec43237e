/* Recovery, the core thread's end: hands the state out, takes a recovered one over.
 *
 *   CORE_CHECKPOINT, CORE_SURVEY   struct core_extract, then the state (core_save_checkpoint)
 *   CORE_RECOVER                   size of the state u64be, the state, a RECOVER entry
 *
 * The bytes pass between threads of this process only; letters wipe what they carry.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_RECOVERY_CORE_H
#define CONTRAST_RECOVERY_CORE_H

#include "coordinator/replica.h"
#include "coordinator/worker.h"

/* Appends to `out`. What is applied here was committed: after a confirmation it holds all that the
 * quorum confirmed. NOT_FOUNDED without a manifest. */
RESULT recovery_core_checkpoint(const struct replica *r, struct buf *out, struct err *err);
/* The same of replica_survey. */
RESULT recovery_core_survey(struct replica *r, struct buf *out, struct err *err);
/* CORE_RECOVER: OK = replica_recover began and will answer the ticket itself. */
RESULT recovery_core_recover(struct replica *r, uint64_t ticket, struct span bytes,
                             struct err *err);

/* Splits what the first two appended; `state` points into `bytes`. */
struct span recovery_core_state(struct span bytes, struct core_extract *out);

#endif
