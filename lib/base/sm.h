/* State machines: the allowed edges as data, every move checked.
 *
 *     static const struct sm_state states[] = {
 *         [EMPTY]    = {"empty",    SM_BIT(PREPARED) | SM_BIT(JOINING)},
 *         [PREPARED] = {"prepared", SM_BIT(EMPTY) | SM_BIT(FOUNDER)},
 *     };
 *
 * A move along an edge that the table lacks is a broken invariant and aborts.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SM_H
#define CONTRAST_SM_H

#include <stdint.h>

#include "lib/base/err.h"

#define SM_BIT(state) (UINT32_C(1) << (state))

struct sm_state {
    const char *name;
    uint32_t next; /* SM_BIT of every state that may follow */
};

static inline int sm_move(const struct sm_state *states, int from, int to) {
    CHECK((states[from].next & SM_BIT(to)) != 0);
    return to;
}

#endif
