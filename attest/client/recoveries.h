/* Recoveries of a history as a server shows them: pages of API_RECOVERIES_REPLY become the list
 * that transition_verify_chain takes.
 *
 * Happy path: recoveries_take for each page, in order, until it says that it is done. Failure:
 * MALFORMED, TOO_LARGE or PROTOCOL, and what was taken before stays as it was. Nothing is judged
 * here but sizes and order: signatures are the chain's business. No I/O, no clock.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_RECOVERIES_H
#define CONTRAST_RECOVERIES_H

#include "lib/base/mem.h"
#include "lib/manifest/transition.h"

/* Zeroed is valid and empty. Everything lies in the arena of recoveries_take. */
struct recoveries {
    struct transition_recovery *items;
    size_t count;
    size_t total; /* as the first page said; 0 before it */
};

/* `body` is one API_RECOVERIES_REPLY, asked for from index r->count. Recoveries beyond the total
 * that the first page named are dropped, as those of a history that grows while it is read. */
RESULT recoveries_take(struct recoveries *r, struct span body, struct arena *arena, bool *done,
                       struct err *err);

#endif
