/* Members: who comes in, under which name, who votes, who goes.
 *
 *   asks -> ADMIT committed (name free, or its holder silent for a confirmed leader) -> ADD as a
 *   standby -> state -> PROMOTE ; RETIRE -> REMOVE -> its row is dropped ; a crash forgets all
 *
 * From coordinator/replica_members.c (names, liveness, planner), consensus/membership.h (the single
 * next step), replica_leave.c, replica_life.c, session_mesh.c (admission), core_apply.c.
 *
 * What is concrete: the member table, every committed configuration, how much of the log each
 * process holds and in which term it was heard last, several leaders that each believe to lead,
 * processes that crash with all memory lost, that are cut off or paused and come back with old
 * knowledge, second processes under a name whose first one lives.
 *
 * What is abstract, and why that loses no bug of these rules:
 *   the log   an entry is appended and committed in one step, by a leader to all that it reaches.
 *             Entries that were appended and got lost again have no effect on a member table nor on
 *             a key. That libraft replaces them rightly is the matter of R1 to R6 (docs/consensus.md)
 *             and of contrast-sim. Who leads, who may vote, which majority is asked is not abstract:
 *             an election and a commit each need one, of the configuration that this very process
 *             holds
 *   silence   is not being reachable, at a moment at which a majority is: three seconds in the
 *             product
 *   evidence  is what ATTESTED says
 *
 * In a replay (check-traces) the same actions under the same conditions follow a trace of
 * contrast-sim; "by" and "well" come from the trace, then.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "common.pml"

#ifdef REPLAY
#define NAMES 8
#define IDS 31
#define ENTRIES 400
#define mask int
#define number short
#else
#define NAMES 3
#define IDS 7
#define mask byte
#define number byte
#ifndef ENTRIES
#define ENTRIES 9 /* of the log */
#endif
#ifndef TERMS
#define TERMS 2
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef CUTS
#define CUTS 1
#endif
#ifndef LEAVES
#define LEAVES 1
#endif
#ifndef NEWCOMERS
#define NEWCOMERS 1
#endif
#endif

#define BIT(i) (1 << (i))
#define IN(set, i) (((set) >> (i)) & 1)

mask alive;            /* processes */
mask cut;              /* of them: cut off, or paused */
mask members, leaving; /* rows of the member table; the second are among the first */
mask ever;             /* that ever had a row */
mask standbys;         /* of the newest configuration */
mask voters[ENTRIES + 1]; /* of each configuration, by length of the log */
number length;         /* of the committed log */
number have[IDS];      /* entries that a process holds */
number term[IDS];      /* newest that it voted or was heard in */
number lead[IDS];      /* term in which it believes to lead, 0: it does not */
number top;            /* newest term */
mask named[NAMES];     /* processes that call themselves so */
byte q;                /* of loops; 0 between actions */
mask unsure;           /* leaders that were away: what they believe of others is old */

#define UP (alive & ~cut)
#define CONFIG (voters[length] | standbys)
#define NAME_OF(i) ((i) % NAMES)
#define HOLDER(n) (members & ~leaving & named[n])

#ifdef REPLAY
#define ATTESTED(i) (true) /* whom sessions let through: none of the others is in a trace */
mask by;   /* who stored the entry, says the trace */
mask well; /* nothing happened to them for a while */
bool is_lent; /* a configuration that is not written yet may be what its majority is of */
mask stated; /* they have a state */
#define HAS_STATE(i) IN(stated, i)
/* For three seconds a leader takes the dead for alive: a trace does not say for which. */
#define HEARD (alive | ever)
#define UNDER_WAY 0
#define HAS_ASKED(i) (true) /* it may have died since */
#define COUNT(m)                                                                                   \
    (COUNT8(m) + COUNT8((m) >> 8) + COUNT8((m) >> 16) + COUNT8((m) >> 24))
#define TAKES(l, q) IN(by, q)
#else
#define ATTESTED(i) ((i) != 6)
#define well UP
#define HEARD UP
#define UNDER_WAY UP
#define HAS_ASKED(i) IN(alive, i)
#define HAS_STATE(i) (have[i] != 0) /* and nearly all of the log: what it lacks comes with the log */
#define COUNT(m) COUNT8(m)
#define TAKES(l, q) (IN(UP, q) && term[q] <= lead[l])
#endif
#define COUNT8(m)                                                                                  \
    (IN(m, 0) + IN(m, 1) + IN(m, 2) + IN(m, 3) + IN(m, 4) + IN(m, 5) + IN(m, 6) + IN(m, 7))

/* --- Majorities */

#ifdef REPLAY
#define MAJORITY_TAKES(l, set) (2 * COUNT(by & (set)) > COUNT(set))
#define IS_ELECTED(l) (have[l] == length)
#else
#define TAKER(l, set, q) (IN(set, q) && TAKES(l, q))
#define MAJORITY_TAKES(l, set)                                                                     \
    (2 * (TAKER(l, set, 0) + TAKER(l, set, 1) + TAKER(l, set, 2) + TAKER(l, set, 3) +              \
          TAKER(l, set, 4) + TAKER(l, set, 5) + TAKER(l, set, 6)) > COUNT(set))
/* Whoever holds more does not vote for it. */
#define VOTES(l, q) (IN(voters[have[l]], q) && IN(UP, q) && have[q] <= have[l])
#define IS_ELECTED(l)                                                                              \
    (IN(UP, l) && IN(voters[have[l]], l) &&                                                        \
     2 * (VOTES(l, 0) + VOTES(l, 1) + VOTES(l, 2) + VOTES(l, 3) + VOTES(l, 4) + VOTES(l, 5) +      \
          VOTES(l, 6)) > COUNT(voters[have[l]]))
#endif

/* Leads, was confirmed by a majority a moment ago, and can have this configuration committed. */
#define LEADS(l) (lead[l] != 0 && IN(alive, l) && IN(CONFIG, l) && have[l] == length)
#ifdef REPLAY /* who was confirmed by whom a moment ago, a trace does not say */
#define CAN(l, set) (LEADS(l) && (MAJORITY_TAKES(l, set) || is_lent))
#else
#define CAN(l, set) (LEADS(l) && MAJORITY_TAKES(l, voters[length]) && MAJORITY_TAKES(l, set))
#endif

/* What leader l takes for dead. */
#ifdef BREAK_CONFIRM
#define SILENT(l) (~well | (IN(unsure, l) * ~BIT(l)))
#else
#define SILENT(l) (~well)
#endif

/* --- Conditions: what a leader looks at before an entry enters the log */

#ifdef BREAK_NAME
#define IS_NAME_FREE(l, i, n) (true)
#else
#define IS_NAME_FREE(l, i, n) ((HOLDER(n) & ~SILENT(l)) == 0)
#endif
#ifdef BREAK_ATTEST
#define IS_GENUINE(i) (true)
#else
#define IS_GENUINE(i) (ATTESTED(i))
#endif
#define IS_NEW(i) (!IN(members, i) && !HAS_STATE(i)) /* asks only while it holds nothing */
#define IS_ADMITTING(i) ((members & ~leaving & ~CONFIG & UNDER_WAY & ~BIT(i)) != 0)

#define MAY_ADMIT(l, i, n)                                                                         \
    (IS_NEW(i) && HAS_ASKED(i) && IS_GENUINE(i) && !IS_ADMITTING(i) && IS_NAME_FREE(l, i, n) &&    \
     CAN(l, voters[length]))
#define MAY_RETIRE(l, i) (IN(members, i) && !IN(leaving, i) && CAN(l, voters[length]))

#ifdef BREAK_COMMIT
#define HAS_ROW(i) (IN(alive, i)) /* on the word of a leader that has proposed the admission */
#else
#define HAS_ROW(i) (IN(members, i) && !IN(leaving, i))
#endif
#define MAY_ADD(l, i) (HAS_ROW(i) && !IN(CONFIG, i) && IN(HEARD, i) && CAN(l, voters[length]))

#define VOTER_COUNT COUNT(voters[length])
#define IS_ODD (VOTER_COUNT % 2 == 1)
#define READY (standbys & members & ~leaving & HEARD)
#define LEAVING_VOTERS (voters[length] & (leaving | ~members))

#define MAY_PROMOTE(l, i)                                                                          \
    (IN(READY, i) && HAS_STATE(i) &&                                                               \
     ((!IS_ODD && VOTER_COUNT < TARGET) || COUNT(READY) > 1 || LEAVING_VOTERS != 0) &&                  \
     CAN(l, voters[length] | BIT(i)))

/* Reachable voters of the rest are a majority of it. */
#define REST(i) (COUNT(voters[length] & HEARD & ~BIT(i)))
#define IS_REST_ENOUGH(i) (REST(i) > (VOTER_COUNT - 1) / 2)
#define IS_LOST(l, i) (IN(SILENT(l), i) || IN(leaving, i) || !IN(members, i))
#define MAY_REMOVE_VOTER(l, i)                                                                     \
    (IN(voters[length], i) && i != l && IS_REST_ENOUGH(i) &&                                       \
     (IS_LOST(l, i) || VOTER_COUNT > TARGET) &&                                                    \
     (IN(leaving, i) || !IN(members, i) || !IS_ODD || READY != 0 || VOTER_COUNT > TARGET) &&       \
     CAN(l, voters[length] & ~BIT(i)))
#define MAY_REMOVE_STANDBY(l, i)                                                                   \
    (IN(standbys, i) && (IS_LOST(l, i)) && CAN(l, voters[length]))
#define MAY_DROP(l, i) (IN(leaving, i) && !IN(CONFIG, i) && CAN(l, voters[length]))

#ifdef REPLAY
byte target; /* voters wanted */
#define TARGET target
#else
#define TARGET 3
#endif

/* --- Effects */

inline append(l) {
    assert(have[l] == length); /* no committed entry is overwritten */
    length++;
    voters[length] = voters[length - 1]
}

/* Whoever takes it holds it, and knows the leader's term. */
inline store(l) {
    for (q : 0 .. IDS - 1) {
        if
        :: IN(CONFIG, q) && TAKES(l, q) ->
            have[q] = length;
            term[q] = lead[l];
            if
            :: q != l -> lead[q] = 0
            :: else
            fi
        :: else
        fi
    }
    q = 0
}

inline elect(l) {
    SAY("process %d leads in term %d\n", l, top + 1);
    assert(have[l] == length); /* whoever is elected holds all that was committed */
    top++;
    lead[l] = top;
    term[l] = top;
    unsure = unsure & ~BIT(l)
}

inline admit(l, i, n) {
    SAY("leader %d: ADMIT %d as name %d\n", l, i, n);
    assert((HOLDER(n) & well) == 0); /* nobody loses its name while it lives and is heard */
    append(l);
    leaving = leaving | HOLDER(n);
    members = members | BIT(i);
    ever = ever | BIT(i);
    store(l)
}

inline retire(l, i) {
    SAY("leader %d: RETIRE %d\n", l, i);
    append(l);
    leaving = leaving | BIT(i);
    store(l)
}

inline add(l, i) {
    SAY("leader %d: ADD %d\n", l, i);
    append(l);
    standbys = standbys | BIT(i);
    store(l)
}

inline promote(l, i) {
    SAY("leader %d: PROMOTE %d\n", l, i);
    append(l);
    standbys = standbys & ~BIT(i);
    voters[length] = voters[length] | BIT(i);
    WITNESS("a newcomer votes");
    store(l)
}

inline remove(l, i) {
    SAY("leader %d: REMOVE %d\n", l, i);
    append(l);
    standbys = standbys & ~BIT(i);
    voters[length] = voters[length] & ~BIT(i);
    store(l)
}

inline drop(l, i) {
    SAY("leader %d: %d left the table\n", l, i);
    append(l);
    members = members & ~BIT(i);
    leaving = leaving & ~BIT(i);
    WITNESS("a row is dropped");
    store(l)
}

/* State, and with it every key, goes to whoever stands in the configuration. */
inline take_state(i) {
    SAY("process %d gets the state\n", i);
    assert(ATTESTED(i));
    assert(IN(ever, i));
    have[i] = length
}

inline crash(i) {
    SAY("process %d crashes\n", i);
#ifdef BREAK_OLD_ID
    have[i] = 0; /* and comes back under its old id */
    term[i] = 0;
#else
    alive = alive & ~BIT(i);
    have[i] = 0;
    term[i] = 0;
#endif
    lead[i] = 0;
    cut = cut & ~BIT(i)
}

#ifdef REPLAY
#include "replay_members.pml"
#else

byte terms, crashes, cuts, leaves, newcomers; /* that may still come */
bool had_majority;

#define ROOM (length < ENTRIES)

/* Of leader l about process i. */
#define ACTIONS(l)                                                                                 \
    :: atomic { ROOM && MAY_ADMIT(l, i, NAME_OF(i)) -> admit(l, i, NAME_OF(i)) }                   \
    :: atomic { ROOM && leaves > 0 && i < 3 && MAY_RETIRE(l, i) -> leaves--; retire(l, i) }        \
    :: atomic { ROOM && MAY_ADD(l, i) -> add(l, i) }                                               \
    :: atomic { ROOM && MAY_PROMOTE(l, i) -> promote(l, i) }                                       \
    :: atomic { ROOM && MAY_REMOVE_VOTER(l, i) -> remove(l, i) }                                   \
    :: atomic { ROOM && MAY_REMOVE_STANDBY(l, i) -> remove(l, i) }                                 \
    :: atomic { ROOM && MAY_DROP(l, i) -> drop(l, i) }

#define KNOWS_LEADER(i, l)                                                                         \
    (l != i && lead[l] != 0 && lead[l] == top && IN(UP, l) && IN(UP, i) && IN(CONFIG, i) &&        \
     have[l] == length && have[i] < length)

/* Nobody has it in a table or configuration any more, and a member that it reaches says so. */
#define IS_OUT(i) (IN(UP, i) && IN(ever, i) && !IN(CONFIG, i) && !IN(members, i))

#define IS_GOOD(i) (!IN(alive, i) || IN(members & CONFIG, i) || (HOLDER(NAME_OF(i)) & UP) != 0)

proctype process(byte i) {
end:
    do
    ACTIONS(0)
    ACTIONS(1)
    ACTIONS(2)
    ACTIONS(3)
    ACTIONS(4)
    ACTIONS(5)
    :: atomic { terms > 0 && lead[i] == 0 && IS_ELECTED(i) ->
        terms--;
        elect(i);
        for (q : 0 .. IDS - 1) {
            if
            :: q != i && VOTES(i, q) -> term[q] = top; lead[q] = 0
            :: else
            fi
        }
        q = 0 }
    :: atomic { KNOWS_LEADER(i, 0) || KNOWS_LEADER(i, 1) || KNOWS_LEADER(i, 2) ||
                KNOWS_LEADER(i, 3) || KNOWS_LEADER(i, 4) || KNOWS_LEADER(i, 5) ->
        take_state(i);
        term[i] = top;
        lead[i] = 0 }
    :: atomic { crashes > 0 && IN(alive, i) -> crashes--; crash(i) }
    :: atomic { cuts > 0 && IN(UP, i) ->
        SAY("process %d is cut off\n", i);
        cuts--; cut = cut | BIT(i) }
    :: atomic { IN(cut, i) ->
        SAY("process %d is back\n", i);
        cut = cut & ~BIT(i);
        if
        :: lead[i] != 0 -> unsure = unsure | BIT(i)
        :: else
        fi }
    :: atomic { IS_OUT(i) ->
        SAY("process %d hears that it was removed, and ends\n", i);
        crash(i); WITNESS("a removed process ends") }
    :: atomic { newcomers > 0 && i >= 3 && !IN(alive | ever, i) && (i < 6 || !ATTESTED(i)) ->
        SAY("process %d starts under name %d\n", i, NAME_OF(i));
        newcomers--; alive = alive | BIT(i);
        have[i] = 0; term[i] = 0 }
    od
}

/* Nothing moves any more: whoever lives is a member, unless its name is taken by somebody alive;
 * nobody waits for a place or for its end; and the majority that lived to the end can still act. */
proctype rest() {
end:
    atomic { timeout ->
        byte l;
        bool can = false;
        for (l : 0 .. 5) {
            can = can || CAN(l, voters[length])
        }
        l = 0;
        if
        :: can && length < ENTRIES ->
            WITNESS("rest with a leader");
            assert(IS_GOOD(0) && IS_GOOD(1) && IS_GOOD(2) && IS_GOOD(3) && IS_GOOD(4) && IS_GOOD(5));
            assert((leaving & ~CONFIG) == 0);
            assert(IS_ODD || (READY == 0));
            if
            :: (alive & 7) == 7 && newcomers == 0 -> WITNESS("a second process stays outside")
            :: (alive & 7) != 7 && VOTER_COUNT == 3 && (voters[length] & ~alive) == 0 ->
                WITNESS("a crashed voter is replaced")
            :: else
            fi
        :: else
        fi }
}

init {
    atomic {
        byte i;
        select(crashes : 0 .. CRASHES);
        select(cuts : 0 .. CUTS);
        select(leaves : 0 .. LEAVES);
        newcomers = NEWCOMERS;
        terms = TERMS;
        alive = 7; members = 7; ever = 7;
        voters[0] = 7;
        for (i : 0 .. NAMES - 1) { named[i] = BIT(i) | BIT(i + 3) }
        named[0] = named[0] | BIT(6);
#ifdef BREAK_ATTEST
        for (i : 0 .. IDS - 1) { run process(i) }
#else
        for (i : 0 .. IDS - 2) { run process(i) }
#endif
        run rest()
    }
}
#endif
