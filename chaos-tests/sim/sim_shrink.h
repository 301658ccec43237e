/* Sim, fewer faults: the smallest part of a failing seed's plan that still fails in the same way.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SIM_SHRINK_H
#define CONTRAST_SIM_SHRINK_H

#include "chaos-tests/sim/sim_batch.h"

/* Delta debugging (Zeller and Hildebrandt 2002) over the fault numbers `list`, *count of them, with
 * which `options` (its faults are not used) fails for the reason `why`. No single fault of what is
 * left can be left out. A run counts as the same failure when its reason begins with the same
 * words, numbers aside; each is a process of its own. `last` is the result with the smallest list.
 */
void sim_shrink(const struct sim_options *options, const char *why, unsigned *list, size_t *count,
                struct sim_result *last);

/* The first words of a reason without the time and with # for each number: "pod #: another
 * ledger". At most size - 1 characters. */
void sim_shrink_words(const char *why, char *out, size_t size);

#endif
