/* Members, following a trace: the same conditions, the same effects. What the trace does not say is
 * left out: elections are those that happened, cuts are what keeps a replica from being well.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "trace.pml"

bool is_owed; /* an entry that only the next configuration can have committed */
mask owed_by; /* who had stored it */

/* An entry is committed under the newest configuration of its leader's log, also one that stands
 * behind it: then a majority of that one had stored both, and the change follows in the trace. */
inline lend() {
    is_lent = true;
    if
    :: MAJORITY_TAKES(a, voters[length])
    :: !MAJORITY_TAKES(a, voters[length]) && is_owed -> owed_by = owed_by & by
    :: else -> is_owed = true; owed_by = by
    fi
}

inline pay() {
    if
    :: is_owed && 2 * COUNT(owed_by & voters[length]) <= COUNT(voters[length]) -> refuse()
    :: else
    fi;
    is_owed = false
}

#define ROOM (length < ENTRIES && a < IDS && b < IDS)

/* The recipient alone; who else lives is of an epoch that is over. */
inline recover(i) {
    length++;
    members = BIT(i);
    leaving = 0;
    standbys = 0;
    ever = ever | BIT(i);
    voters[length] = BIT(i);
    for (q : 0 .. IDS - 1) {
        lead[q] = 0
    }
    q = 0;
    lead[i] = 1;
    have[i] = length
}

active proctype replay() {
    do
    :: atomic {
        read_event();
        if
        :: what == EV_BORN && a < IDS && b < NAMES && !IN(alive | ever, a) ->
            alive = alive | BIT(a);
            named[b] = named[b] | BIT(a)
        :: what == EV_FOUND && members == 0 && (a & ~alive) == 0 ->
            members = a; ever = a; voters[0] = a; target = COUNT(a)
        :: what == EV_START && a < IDS && IN(members & alive, a) && !HAS_STATE(a) /* its own place */
        :: what == EV_LEAD && a < IDS && IN(alive, a) && IN(CONFIG, a) && c == length ->
            have[a] = length; lead[a] = 1
        :: what == EV_WELL -> well = a
        :: what == EV_ADMIT && ROOM && c < NAMES && IN(named[c], b) ->
            by = d;
            lend();
            if
            :: MAY_ADMIT(a, b, c) -> admit(a, b, c)
            :: else -> refuse()
            fi
        :: what == EV_RETIRE && ROOM ->
            by = c;
            lend();
            if
            :: MAY_RETIRE(a, b) -> retire(a, b)
            :: else -> refuse()
            fi
        :: what == EV_DROP && ROOM ->
            by = c;
            lend();
            if
            :: MAY_DROP(a, b) -> drop(a, b)
            :: else -> refuse()
            fi
        :: what == EV_ADD && ROOM ->
            by = c;
            is_lent = false;
            if
            :: MAY_ADD(a, b) -> add(a, b); pay()
            :: else -> refuse()
            fi
        :: what == EV_PROMOTE && ROOM ->
            by = c;
            is_lent = false;
            if
            :: MAY_PROMOTE(a, b) -> promote(a, b); pay()
            :: else -> refuse()
            fi
        :: what == EV_REMOVE && ROOM ->
            by = c;
            is_lent = false;
            if
            :: MAY_REMOVE_VOTER(a, b) || MAY_REMOVE_STANDBY(a, b) -> remove(a, b); pay()
            :: else -> refuse()
            fi
        :: what == EV_RECOVER && ROOM && IN(alive, a) -> recover(a)
        :: what == EV_GONE && a < IDS && IN(alive, a) -> crash(a)
        :: what == EV_HOLDS && a < IDS && IN(alive, a) ->
            assert(IN(ever, a)); /* a state, and keys in it */
            stated = stated | BIT(a)
        :: what == EV_END && !is_owed -> break
        :: what == EV_FULL -> break
        :: what == EV_RUN || what == EV_SET || what == EV_ISSUE ||
           what == EV_ASK || what == EV_ACK || what == EV_CERT || what == EV_READ
        :: else -> refuse()
        fi }
    od;
    allow()
}
