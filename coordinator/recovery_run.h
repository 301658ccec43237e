/* Recovery run: the last part of a recovery, once enough share owners have contributed.
 *
 *   quorum? others? --> state: opened from the file, or asked of the core thread (survivor)
 *     --> revival_check --> own evidence, judged by the state's manifest --> RECOVER entry
 *     --> core thread: a new log, whose first command it is --> recovery_desk_finish
 *
 * It belongs to the worker, not to the session of the owner who came last: who hangs up ends
 * nothing. Any failure leaves the replica as it was; the desk keeps the reason.
 *
 * Opening and checking a state is done in one go, on this session thread: 3 s for the largest
 * state (docs/recovery.md), at a replica that serves nobody else then; the other threads go on
 * attesting.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_RECOVERY_RUN_H
#define CONTRAST_RECOVERY_RUN_H

#include "coordinator/recovery_desk.h"
#include "coordinator/worker.h"

/* The session is RECOVERY_STARTING, and this caller was told so. */
void recovery_run_start(struct worker *w, const uint8_t session[RECOVERY_SESSION_SIZE]);

/* `code` of `r` and `err` as ever. */
typedef void (*recovery_run_cb)(void *owner, struct result r, const struct err *err);

/* The same without a session, mode AUTOMATIC (restart.h): `recovery` says where `state` stands, all
 * but the recipient, which is this replica. Takes the bytes over; `done` is called once, later:
 * UNAVAILABLE when it took LIMIT_RESTART_ARMED_MS. */
void recovery_run_automatic(struct worker *w, const struct recovery *recovery, struct buf *state,
                            void *owner, recovery_run_cb done);

#endif
