/* Keys, following a trace: the same conditions, the same effects.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "trace.pml"

number floor[REQUESTS]; /* what had returned when a request was asked for */
byte i;                 /* of loops */


/* Generation g goes on with a new key; what stood behind it never happened. */
inline recover(p, g, k) {
    assert(k != 0 && key_of[g] != k);
    i = g + 1;
    do
    :: i <= GENERATIONS && key_of[i] != 0 ->
        key_of[i] = 0;
        setter[i] = 0;
        i++
    :: else -> break
    od;
    i = 0;
    head = g;
    key_of[g] = k;
    setter[g] = k + 1;
    if
    :: acked > g -> acked = g
    :: else
    fi;
    admitted = BIT(p);
    configured = BIT(p);
    gen[p] = 0
}

active proctype replay() {
    do
    :: atomic {
        read_event();
        if
        :: what == EV_FOUND -> admitted = a; configured = a
        :: what == EV_ADMIT && b < IDS -> admitted = admitted | BIT(b)
        :: what == EV_ADD && b < IDS && IN(admitted, b) -> configured = configured | BIT(b)
        :: what == EV_SET && a <= GENERATIONS && c < 2 ->
            if
            :: IS_AFTER_HEAD(a) && c == 1 -> commit_set(a, b, b)
            :: c == 0 /* also for policies that are missing */
            :: else -> refuse()
            fi
        :: what == EV_ISSUE && b < 2 ->
            if
            :: IS_OF_HEAD(a) && b == 1
            :: !IS_OF_HEAD(a) && b == 0
            :: else -> refuse()
            fi
        :: what == EV_HOLDS && a < IDS && b <= GENERATIONS -> hold(a, b, c)
        :: what == EV_ASK -> floor[a % REQUESTS] = acked
        :: what == EV_ACK && a <= GENERATIONS && a > 0 ->
            if
            :: b != 0 -> answer_set(a, b)
            :: b == 0 -> /* that manifest was active already */
                assert(a <= head);
                if
                :: a > acked -> acked = a
                :: else
                fi
            fi
        :: what == EV_CERT -> certify(b, floor[a % REQUESTS])
        :: what == EV_READ -> reveal(b, floor[a % REQUESTS])
        :: what == EV_GONE && a < IDS ->
            gen[a] = 0;
            key[a] = 0
        :: what == EV_RECOVER && a < IDS && d <= GENERATIONS -> recover(a, d, e)
        :: what == EV_END || what == EV_FULL -> break
        :: what == EV_RUN || what == EV_BORN || what == EV_START || what == EV_LEAD ||
           what == EV_WELL || what == EV_RETIRE || what == EV_DROP || what == EV_PROMOTE ||
           what == EV_REMOVE
        :: else -> refuse()
        fi }
    od;
    allow()
}
