/* Lookout: a member looks whether its deployment went on without it, above all without a leader.
 *
 *   no leader for LOOKOUT_AFTER_MS, or LOOKOUT_LED_MS since the last look -> the configured peers
 *   are asked (scout.h) -> one of them shows a verified history of this very cluster in a higher
 *   epoch, not shorter than this member's own -> CORE_SUPERSEDED -> GONE
 *
 * A member that was paused, or cut off, while share owners recovered the deployment elsewhere would
 * otherwise wait for ever for a quorum that is no more; a whole quorum that was cut off would go on
 * beside the new epoch. The proof is the recovery itself: signed by
 * enough share owners of the manifest that this history has, checked with the whole chain. The
 * process ends; the one that starts in its place joins the new epoch.
 *
 * On a worker's thread; ends with it. SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_LOOKOUT_H
#define CONTRAST_LOOKOUT_H

#include "coordinator/worker.h"

struct lookout;

/* NULL without configured peers. */
struct lookout *lookout_start(struct worker *w);
void lookout_stop(struct lookout *l);

#endif
