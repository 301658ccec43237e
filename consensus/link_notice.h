/* Link notices: which trouble with one peer is worth a line of the log now.
 *
 * The first of a kind is; more of them within LIMIT_LINK_NOTICE_MS are counted, and the next line
 * says how many. So neither a peer that tries again for ever nor one that tries in many ways fills
 * a disk: LIMIT_LINK_NOTICES kinds are told apart, the last place stands for all others.
 *
 * Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_LINK_NOTICE_H
#define CONTRAST_LINK_NOTICE_H

#include "lib/base/err.h"
#include "lib/base/limits.h"

/* Zeroed is valid and empty. */
struct link_notices {
    struct {
        enum err_code code; /* ERR_OK: free */
        uint64_t logged_ms; /* monotonic */
        uint64_t held_back; /* since then */
    } kinds[LIMIT_LINK_NOTICES];
};

/* True: log it; *held_back of its kind were not logged since the last line. `now_ms` is monotonic.
 */
bool link_notice_is_due(struct link_notices *notices, enum err_code code, uint64_t now_ms,
                        uint64_t *held_back);

#endif
