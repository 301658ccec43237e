/* Joiner: an empty replica looks for a cluster to join, for ever, with jitter.
 *
 *   wait -> next configured peer -> attested session -> judge: chain from an owner key of this
 *   replica's own environment, evidence against the newest manifest -> API_JOIN with evidence in
 *   both forms -> API_JOIN_REPLY -> CORE_JOIN
 *
 * A peer that is empty too, or refuses, is asked again later, no sooner than it advises; its reason
 * is logged when it changes, and stands in the status. Stops by itself when the replica belongs to
 * a cluster, by joining or by founding.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_JOINER_H
#define CONTRAST_JOINER_H

#include "coordinator/worker.h"

struct joiner;

struct joiner *joiner_start(struct worker *w);
/* Ends it; it frees itself when its connection and timer have closed. */
void joiner_stop(struct joiner *j);

#endif
