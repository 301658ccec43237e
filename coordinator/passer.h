/* Passer: a founder passes the founding record on (ARCHITECTURE section 6).
 *
 * The replica that the owner asked sends FOUND to every founder. Should it die half-way, some have
 * started and some have not: every one that has waits a moment, and while no manifest is committed
 * yet it hands the record to its configured peers, over attested sessions in both directions. Who
 * was named in it checks it as if it came first hand; who has it already says so.
 *
 * Ends by itself with the first manifest, or with the process (a founder without one lapses).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_PASSER_H
#define CONTRAST_PASSER_H

#include "coordinator/worker.h"
#include "lib/wire/api.h"

/* What this replica started by; copied. */
void passer_start(struct worker *w, const struct api_found_start *start);

#endif
