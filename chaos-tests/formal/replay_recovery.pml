/* Recovery, following a trace: the same effects, with what they assert. Owners are not in a trace;
 * that none of them signs twice shows in no epoch beginning twice.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "trace.pml"

int key_at[EPOCHS + 1]; /* with which each epoch began */
number newest;          /* epoch */

/* A survivor goes on with all that it holds, in the epoch behind its own; an empty replica with a
 * state of any epoch that there was. */
#define MAY_BEGIN(i, e, from, g)                                                                   \
    (IN(alive, i) && e <= EPOCHS && from < e && (from == 1 || begun[from] != 0) && e > newest &&   \
     (epoch[i] == 0 || (epoch[i] == from && g >= gen[i])))

active proctype replay() {
    do
    :: atomic {
        read_event();
        if
        :: what == EV_BORN && a < IDS && !IN(alive, a) -> alive = alive | BIT(a)
        :: what == EV_FOUND && newest == 0 -> newest = 1
        :: what == EV_START && a < IDS && IN(alive, a) && epoch[a] == 0 && newest == 1 ->
            join(a, 1, 0)
        :: what == EV_HOLDS && a < IDS && IN(alive, a) && d >= epoch[a] && d <= newest && d > 0 ->
            if
            :: epoch[a] == 0 && MAY_JOIN(a, d) -> join(a, d, b); WITNESS("a replica joins")
            :: epoch[a] == d -> gen[a] = b
            :: epoch[a] != 0 && d > epoch[a] && b == gen[a] -> epoch[a] = d
            :: else -> refuse()
            fi
        :: what == EV_RECOVER && a < IDS && MAY_BEGIN(a, b, c, d) ->
            begin(a, b, d);
            newest = b;
            key_at[b] = e;
            assert(e != key_at[c])
        :: what == EV_ACK -> acked[newest] = a
        :: what == EV_GONE && a < IDS && IN(alive, a) ->
            alive = alive & ~BIT(a);
            restart(a)
        :: what == EV_END || what == EV_FULL -> break
        :: what == EV_RUN || what == EV_LEAD || what == EV_WELL || what == EV_ADMIT ||
           what == EV_RETIRE || what == EV_DROP || what == EV_ADD || what == EV_PROMOTE ||
           what == EV_REMOVE || what == EV_SET || what == EV_ISSUE || what == EV_ASK ||
           what == EV_CERT || what == EV_READ
        :: else -> refuse()
        fi }
    od;
    allow()
}
