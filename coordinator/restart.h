/* Restart: an empty replica that holds restart files looks for the others, and does what the desk
 * says (restart_desk.h) until it belongs to a cluster again.
 *
 *   round -> an attested session to each of CONTRAST_PEERS, judged by the file's manifest, or by
 *   the peer's own history when it shows one -> API_RESTART_LOOK -> plan
 *     GIVE   mark on disk -> API_RESTART_GIVE on that same session
 *     RUN    mark on disk -> file opened -> recovery_run.h, mode AUTOMATIC
 *     WAIT   the next round, with jitter
 *
 * On the first worker's thread, beside the joiner, which joins whatever lives. What the others
 * bring comes in by session_restart.c, on any thread. SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_RESTART_H
#define CONTRAST_RESTART_H

#include "coordinator/worker.h"

struct restart;

/* NULL where no folder is set. */
struct restart *restart_start(struct worker *w);
/* The replica belongs to a cluster, or the thread ends: the desk forgets all. It frees itself when
 * its connections and timer have closed. */
void restart_stop(struct restart *r);

#endif
