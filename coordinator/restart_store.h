/* Restart store: the one folder that a replica writes to, and only where the manifest permits a
 * restart without people (CONTRAST_STATE_DIR, AutoRecovery; docs/recovery.md).
 *
 *   start   chip key derived -> restart.state, restart.state.1 read, own shares unsealed -> desk
 *   point   copy of the core (core thread) -> sealed, written, fsynced, renamed (own thread)
 *   mark    restart.given: for whom and for which epoch the own share was handed over
 *
 * A thread of its own does everything that takes time. A point that comes while the last one is
 * being written replaces the one that waits. A file that ends in another manifest, epoch or set of
 * voters than the one before removes that; else two are kept, so that voters who died in the middle
 * of writing have one in common. All files 0600; nothing else ever goes to disk.
 *
 * What fails is logged once, until it works again: the cluster goes on without a file. An older one
 * that would bring back another manifest, epoch or other voters is removed then: no file means that
 * people are needed, an old one would go on from there unasked.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_RESTART_STORE_H
#define CONTRAST_RESTART_STORE_H

#include "attest/attester.h"
#include "coordinator/core/core.h"
#include "coordinator/restart_desk.h"

struct restart_store;

/* Creates the folder (0700) and starts the thread. All is borrowed. `own` is this replica's id.
 * IO, INVALID: the folder. */
RESULT restart_store_open(const char *folder, uint64_t own, struct attester *attester,
                          struct restart_desk *desk, struct restart_store **out, struct err *err);
/* Writes what waits, then ends the thread. Accepts NULL. */
void restart_store_stop(struct restart_store *s);
/* After the attester has ended. Accepts NULL. */
void restart_store_free(struct restart_store *s);

/* On the core thread, at a point that every voter has: after an entry that decides something, or
 * the first in LIMIT_RESTART_BLOCK_S of the cluster's time, or a new configuration. `voters`: ids
 * of the committed configuration, rising. Keeps a copy, or, when the manifest does not permit it,
 * has the files removed. A replica that is no voter keeps what it has. */
void restart_store_point(struct restart_store *s, const struct core *core, const uint64_t *voters,
                         size_t count);

/* Before the own share of this file counts for `collector`. IO: then it must not be handed over. */
RESULT restart_store_mark(struct restart_store *s, const uint8_t digest[32], uint64_t collector,
                          uint64_t epoch, struct err *err);

#endif
