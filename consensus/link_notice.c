/* Link notices: see link_notice.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "consensus/link_notice.h"

bool link_notice_is_due(struct link_notices *notices, enum err_code code, uint64_t now_ms,
                        uint64_t *held_back) {
    size_t at = 0;
    while (at + 1 < LIMIT_LINK_NOTICES && notices->kinds[at].code != ERR_OK &&
           notices->kinds[at].code != code) {
        at++;
    }
    bool is_first = notices->kinds[at].code == ERR_OK;
    if (!is_first && now_ms < notices->kinds[at].logged_ms + LIMIT_LINK_NOTICE_MS) {
        notices->kinds[at].held_back++;
        return false;
    }
    *held_back = notices->kinds[at].held_back;
    notices->kinds[at].code = code;
    notices->kinds[at].logged_ms = now_ms;
    notices->kinds[at].held_back = 0;
    return true;
}
