/* Recovery: a new epoch after a majority was lost, or seemed to be.
 *
 *   replicas asked, the longest log chosen (or a checkpoint brought to an empty one) -> session,
 *   epoch e asked -> each share owner holds it against its memory, notes that it signs e, gives
 *   -> k gifts: does anybody live? -> epoch e begins here, new mesh CA key -> others join
 *
 * From coordinator/session_recover.c, recovery_desk.c, recovery_run.c, scout.c, lookout.c,
 * replica_recover.c, core/core_epoch.c; cli/cmd_recover.c, recover_check.c, recoveries.c.
 *
 * What is concrete: what each replica holds and how much of it it knows to be committed, which
 * replicas can be asked, what every owner has verified, signed and kept in a file, sessions that
 * stay open while the world changes, a quorum that was only cut off and comes back.
 *
 * What is abstract, and why that loses no bug of these rules:
 *   the log     is its newest manifest; a set is stored by a majority in one step, and whoever is
 *               not its leader does not know yet that it is committed. Logs of one epoch are
 *               prefixes of one another here; a longer tail that was never acknowledged is one more
 *               thing that may be taken over, and harms nobody
 *   signatures  and shares are the gifts: they cannot be made up. That k shares open a file and
 *               fewer say nothing is checked elsewhere (shares, checkpoint)
 *   new epochs  have a quorum while their recipient lives; later members are its learners
 *   time        sessions lapse, lookouts look, at any moment
 *
 * Three replicas of epoch 1, one empty pod, three share owners of whom two are needed, two sessions.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "common.pml"

#ifdef REPLAY
#define IDS 31
#define EPOCHS 60
#define mask int
#define number short
#else
#define IDS 4
#define EPOCHS 4
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef SETS
#define SETS 1
#endif
#define mask byte
#define number byte
#endif
#define OWNERS 3
#define SESSIONS 2
#define NEEDED 2

#define BIT(i) (1 << (i))
#define IN(set, i) (((set) >> (i)) & 1)

/* A replica. */
mask alive;
number epoch[IDS];         /* 0: it holds nothing */
number gen[IDS];           /* newest manifest in its log */
#ifdef BREAK_TAIL
number known[IDS];         /* newest that it knows to be committed */
#define KNOWN(i, g) known[i] = (g)
#else
#define KNOWN(i, g) skip
#endif

number begun[EPOCHS + 1];  /* where an epoch began: replica + 1; 0: it did not */
number acked[EPOCHS + 1];  /* newest manifest that was acknowledged in it */

/* A state of an epoch goes on in another one. */
inline begin(i, e, g) {
    SAY("epoch %d begins at replica %d with generation %d\n", e, i, g);
    assert(e > epoch[i]);       /* whoever saw an epoch refuses it and all before it */
    assert(begun[e] == 0);      /* one beginning, and one mesh CA key, an epoch */
    begun[e] = i + 1;
    epoch[i] = e;
    gen[i] = g;
    KNOWN(i, g);
    acked[e] = g;
    WITNESS("an epoch begins")
}

#define MAY_JOIN(i, e) (IN(alive, i) && epoch[i] == 0 && (begun[e] != 0 || e == 1))

inline join(i, e, g) {
    SAY("replica %d joins epoch %d\n", i, e);
    epoch[i] = e;
    gen[i] = g;
    KNOWN(i, g)
}

inline restart(i) {
    epoch[i] = 0;
    gen[i] = 0;
    KNOWN(i, 0)
}

#ifdef REPLAY
#include "replay_recovery.pml"
#else

mask off;                  /* replicas that are cut off from everybody else, and see one another */
mask live;                 /* replicas whom a quorum answers */
byte q;                    /* of loops; 0 between actions */
byte crashes, cuts, sets;  /* that may still come */

/* A share owner's workspace. */
byte seen_epoch[OWNERS], seen_gen[OWNERS]; /* verified; its checkpoint is of that */
byte highest[OWNERS];      /* epoch that it saw or signed */

/* A recovery session, at most two ever. */
mtype = { FREE, OPEN, DONE, FAILED };
mtype stage[SESSIONS] = FREE;
byte at[SESSIONS];
byte asked[SESSIONS];      /* epoch */
byte from_epoch[SESSIONS], from_gen[SESSIONS];
bool is_survivor[SESSIONS];
byte gifts[SESSIONS];      /* owners */

#define SIDE(i) IN(off, i)
#define SEES(i, j) (IN(alive, i) && IN(alive, j) && SIDE(i) == SIDE(j))
#define CAN_BE_ASKED(i) (IN(alive, i) && !SIDE(i)) /* by owners, and by those who stayed */
#define VOTES(i, j) (SEES(i, j) && epoch[j] == 1)
/* The first epoch needs two of its three voters, a later one its recipient. */
#define LEADS(i) (epoch[i] > 1 && begun[epoch[i]] == i + 1)
#define LED_BY(i, j) (SEES(i, j) && LEADS(j) && epoch[j] == epoch[i])
#define HAS_QUORUM(i) IN(live, i)

/* Whom a quorum answers: follows from the rest, after everything that changes it. */
inline look() {
    live = 0;
    for (q : 0 .. IDS - 1) {
        if
        :: epoch[q] == 1 && VOTES(q, 0) + VOTES(q, 1) + VOTES(q, 2) >= 2 -> live = live | BIT(q)
        :: epoch[q] > 1 && (LED_BY(q, 0) || LED_BY(q, 1) || LED_BY(q, 2) || LED_BY(q, 3)) ->
            live = live | BIT(q)
        :: else
        fi
    }
    q = 0
}

#define ASKABLE_QUORUM(i) (CAN_BE_ASKED(i) && HAS_QUORUM(i))
#define LIVES ((live & ~off) != 0)

/* --- Replicas */

inline set_by(i, j) {
    SAY("generation %d is set by replicas %d and %d\n", gen[i] + 1, i, j);
    gen[i]++;
    KNOWN(i, gen[i]);
    gen[j] = gen[i];
    acked[epoch[i]] = gen[i]
}

#define MAY_SET(i, j)                                                                              \
    (sets > 0 && i != j && SEES(i, j) && epoch[i] == 1 && epoch[j] == 1 && gen[i] == acked[1] &&   \
     gen[j] <= gen[i])

/* An older one that sees a newer epoch ends, unless it holds a newer manifest than that. */
#ifdef BREAK_SUPERSEDE
#define IS_SUPERSEDED(i, j) (false)
#else
#define IS_SUPERSEDED(i, j)                                                                        \
    (SEES(i, j) && epoch[i] != 0 && epoch[j] > epoch[i] && gen[j] >= gen[i] && HAS_QUORUM(j))
#endif

#define NEEDS_SESSION(i)                                                                           \
    ((stage[0] == OPEN && at[0] == i) || (stage[1] == OPEN && at[1] == i))
#define MAY_ADMIT(i, j)                                                                            \
    (i != j && MAY_JOIN(i, epoch[j]) && SEES(i, j) && epoch[j] != 0 && HAS_QUORUM(j) &&            \
     gen[j] == acked[epoch[j]] && !NEEDS_SESSION(i))

#define ABOUT(j)                                                                                   \
    :: atomic { IS_SUPERSEDED(i, j) ->                                                             \
        SAY("replica %d is superseded by epoch %d\n", i, epoch[j]);                                \
        restart(i); look(); WITNESS("a replica is superseded") }                                           \
    :: atomic { MAY_ADMIT(i, j) -> join(i, epoch[j], gen[j]); look(); WITNESS("a replica joins") }         \
    :: atomic { MAY_SET(i, j) -> sets--; set_by(i, j) }

proctype replica(byte i) {
end:
    do
    ABOUT(0)
    ABOUT(1)
    ABOUT(2)
    ABOUT(3)
#ifdef BREAK_TAIL
    :: atomic { epoch[i] == 1 && HAS_QUORUM(i) && gen[i] == acked[1] && known[i] < gen[i] -> known[i] = gen[i] }
#endif
    :: atomic { sets > 0 && LEADS(i) && IN(alive, i) ->
        SAY("generation %d is set in epoch %d\n", gen[i] + 1, epoch[i]);
        sets--; gen[i]++; KNOWN(i, gen[i]); acked[epoch[i]] = gen[i] }
    /* Who lags is told. */
    :: atomic { epoch[i] == 1 && HAS_QUORUM(i) && gen[i] < acked[1] &&
                ((SEES(i, 0) && gen[0] == acked[1] && epoch[0] == 1) ||
                 (SEES(i, 1) && gen[1] == acked[1] && epoch[1] == 1) ||
                 (SEES(i, 2) && gen[2] == acked[1] && epoch[2] == 1)) -> gen[i] = acked[1] }
    :: atomic { crashes > 0 && IN(alive, i) && epoch[i] != 0 ->
        SAY("replica %d crashes, its pod comes back empty\n", i);
        crashes--; restart(i); look() }
    od
}

proctype host() {
end:
    do
    :: atomic { cuts > 0 && off == 0 -> SAY("replicas 0 and 1 are cut off\n"); cuts--; off = 3; look() }
    :: atomic { cuts > 0 && off == 0 -> SAY("replica 0 is cut off\n"); cuts--; off = 1; look() }
    :: atomic { off != 0 -> SAY("they are back\n"); off = 0; look() }
    od
}

/* --- Share owners */


/* Of those that can be asked, the one whose log is longest. */
#define IS_LONGER(j, i)                                                                            \
    (CAN_BE_ASKED(j) && epoch[j] != 0 && (epoch[j] > epoch[i] || (epoch[j] == epoch[i] && gen[j] > gen[i])))
#define IS_LONGEST(i) (!IS_LONGER(0, i) && !IS_LONGER(1, i) && !IS_LONGER(2, i) && !IS_LONGER(3, i))
#ifdef BREAK_SHORT
#define IS_FIT(i) (true)
#else
#define IS_FIT(i) (IS_LONGEST(i))
#endif
#ifdef BREAK_TAIL
#define STATE_OF(i) (known[i])
#else
#define STATE_OF(i) (gen[i]) /* all that stands in its log */
#endif

inline open(s, o, i, fe, fg, survivor) {
    stage[s] = OPEN;
    at[s] = i;
    if
    :: fe > highest[o] -> asked[s] = fe + 1
    :: else -> asked[s] = highest[o] + 1
    fi;
    SAY("session %d at replica %d: epoch %d from generation %d of epoch %d\n", s, i, asked[s], fg, fe);
    from_epoch[s] = fe;
    from_gen[s] = fg;
    is_survivor[s] = survivor
}

/* All three begin alike: whoever opens the first session may be called owner 0. */
#define MAY_SURVIVE(o, s, i)                                                                       \
    (o <= s && stage[s] == FREE && CAN_BE_ASKED(i) && epoch[i] != 0 && IS_FIT(i) && !LIVES &&                \
     highest[o] < EPOCHS && epoch[i] < EPOCHS)
#define MAY_BRING(o, s, i)                                                                         \
    (o <= s && stage[s] == FREE && CAN_BE_ASKED(i) && epoch[i] == 0 && seen_epoch[o] != 0 && !LIVES &&       \
     highest[o] < EPOCHS)

#ifdef BREAK_MEMORY
#define IS_NOT_OLDER(o, s) (true)
#else
#define IS_NOT_OLDER(o, s) (from_epoch[s] >= seen_epoch[o] && from_gen[s] >= seen_gen[o])
#endif
#ifdef BREAK_TWICE
#define MAY_SIGN(o, s) (true)
#else
#define MAY_SIGN(o, s) (asked[s] > highest[o])
#endif
#define MAY_GIVE(o, s)                                                                             \
    (stage[s] == OPEN && CAN_BE_ASKED(at[s]) && !IN(gifts[s], o) && IS_NOT_OLDER(o, s) && MAY_SIGN(o, s))

inline note(o, e) {
    if
    :: e > highest[o] -> highest[o] = e
    :: else
    fi
}

inline give(o, s) {
    SAY("owner %d gives to session %d\n", o, s);
    assert(from_epoch[s] >= seen_epoch[o] && from_gen[s] >= seen_gen[o]);
    note(o, asked[s]);
    gifts[s] = gifts[s] | BIT(o)
}

/* A confirmed answer is held against what was verified before. */
#ifdef BREAK_OLD_EPOCH
#define IS_ACCEPTED(o, i) (true)
#else
#define IS_ACCEPTED(o, i) (epoch[i] >= seen_epoch[o] && gen[i] >= seen_gen[o])
#endif
#define IS_NEWS(o, i) (epoch[i] != seen_epoch[o] || gen[i] != seen_gen[o])
/* Owner 2 never looks again: of all memories of an owner the one that refuses least. */
#define MAY_VERIFY(o, i)                                                                           \
    (o < 2 && ASKABLE_QUORUM(i) && epoch[i] != 0 && gen[i] == acked[epoch[i]] && IS_NEWS(o, i) &&           \
     IS_ACCEPTED(o, i))

inline verify(o, i) {
    SAY("owner %d accepts epoch %d, generation %d\n", o, epoch[i], gen[i]);
    assert(epoch[i] >= seen_epoch[o]); /* whoever has seen an epoch refuses the ones before */
    seen_epoch[o] = epoch[i];
    seen_gen[o] = gen[i];
    note(o, epoch[i])
}

#define WITH_REPLICA(i)                                                                            \
    :: atomic { MAY_VERIFY(o, i) -> verify(o, i) }                                                 \
    :: atomic { MAY_SURVIVE(o, 0, i) -> survive(o, 0, i) }                                         \
    :: atomic { MAY_BRING(o, 0, i) -> bring(o, 0, i) }                                             \
    :: atomic { stage[0] != FREE && MAY_SURVIVE(o, 1, i) -> survive(o, 1, i) }                     \
    :: atomic { stage[0] != FREE && MAY_BRING(o, 1, i) -> bring(o, 1, i) }

#define HOLDS_MORE(j, i) (CAN_BE_ASKED(j) && epoch[j] == epoch[i] && gen[j] > gen[i])

/* Nothing that somebody who was asked holds is left behind. */
inline check_survivor(i) {
    assert(!HOLDS_MORE(0, i) && !HOLDS_MORE(1, i) && !HOLDS_MORE(2, i) && !HOLDS_MORE(3, i));
    assert(gen[i] < acked[epoch[i]] || STATE_OF(i) >= acked[epoch[i]])
}

inline survive(o, s, i) {
    check_survivor(i);
    open(s, o, i, epoch[i], STATE_OF(i), true)
}

inline bring(o, s, i) {
    open(s, o, i, seen_epoch[o], seen_gen[o], false)
}

proctype owner(byte o) {
end:
    do
    WITH_REPLICA(0)
    WITH_REPLICA(1)
    WITH_REPLICA(2)
    WITH_REPLICA(3)
    :: atomic { MAY_GIVE(o, 0) -> give(o, 0) }
    :: atomic { MAY_GIVE(o, 1) -> give(o, 1) }
    od
}

/* --- The last step, at the recipient */

#define GIVEN(s) (IN(gifts[s], 0) + IN(gifts[s], 1) + IN(gifts[s], 2))
#ifdef BREAK_K
#define IS_ENOUGH(s) (GIVEN(s) > 0)
#else
#define IS_ENOUGH(s) (GIVEN(s) >= NEEDED)
#endif
#define HAS_MOVED(s)                                                                               \
    (is_survivor[s] && (epoch[at[s]] != from_epoch[s] || STATE_OF(at[s]) != from_gen[s]))
#define IS_TAKEN(s) (!is_survivor[s] && epoch[at[s]] != 0)
/* A peer that it sees and that lives, or is in a newer epoch already. */
#define SPEAKS_AGAINST(s, j)                                                                       \
    (j != at[s] && SEES(at[s], j) && epoch[j] != 0 && (epoch[j] > from_epoch[s] || HAS_QUORUM(j)))
#define IS_AGAINST(s)                                                                              \
    (SPEAKS_AGAINST(s, 0) || SPEAKS_AGAINST(s, 1) || SPEAKS_AGAINST(s, 2) || SPEAKS_AGAINST(s, 3))
#ifdef BREAK_SCOUT
#define MAY_BEGIN(s) (!HAS_MOVED(s) && !IS_TAKEN(s) && IN(alive, at[s]))
#else
#define MAY_BEGIN(s) (!HAS_MOVED(s) && !IS_TAKEN(s) && !IS_AGAINST(s) && IN(alive, at[s]) && !HAS_QUORUM(at[s]))
#endif

inline close(s) {
    gifts[s] = 0;
    at[s] = 0;
    asked[s] = 0;
    from_epoch[s] = 0;
    from_gen[s] = 0;
    is_survivor[s] = false
}

proctype session(byte s) {
end:
    do
    :: atomic { stage[s] == OPEN && IS_ENOUGH(s) ->
        if
        :: MAY_BEGIN(s) ->
            assert(GIVEN(s) >= NEEDED);
            assert(!IS_AGAINST(s) && !HAS_QUORUM(at[s])); /* nobody who can be seen lives */
            begin(at[s], asked[s], from_gen[s]);
            stage[s] = DONE;
            look();
            if
            :: is_survivor[s] -> WITNESS("a survivor goes on")
            :: else -> WITNESS("a checkpoint comes back")
            fi
        :: else ->
            SAY("session %d: somebody lives, or the state has moved\n", s);
            stage[s] = FAILED; WITNESS("a recovery is refused")
        fi;
        close(s) }
    /* Its process is another one, or nobody gives any more. */
    :: atomic { stage[s] == OPEN && (HAS_MOVED(s) || IS_TAKEN(s)) -> stage[s] = FAILED; close(s) }
    od
}

#define IS_LEFT(i, j)                                                                              \
    (HAS_QUORUM(i) && HAS_QUORUM(j) && epoch[i] < epoch[j] && gen[i] <= gen[j])
#define LEFT(j) (IS_LEFT(0, j) || IS_LEFT(1, j) || IS_LEFT(2, j) || IS_LEFT(3, j))

/* Nothing moves: everybody sees everybody. One epoch lives; an older one beside it only where that
 * holds a newer manifest, and says so. */
proctype rest() {
end:
    atomic { timeout ->
        assert(!LEFT(0) && !LEFT(1) && !LEFT(2) && !LEFT(3));
        if
        :: begun[2] != 0 && LIVES -> WITNESS("rest in a later epoch")
        :: else
        fi }
}

init {
    atomic {
        byte i;
        if /* a majority dies, or is only cut off and somebody dies meanwhile */
        :: select(crashes : 0 .. CRASHES)
        :: cuts = 1; select(crashes : 0 .. CRASHES - 1)
        fi;
        select(sets : 0 .. SETS);
        alive = 15;
        for (i : 0 .. 2) { epoch[i] = 1; gen[i] = 1; KNOWN(i, 1) }
        acked[1] = 1;
        look();
        for (i : 0 .. 2) {
            highest[i] = 1;
            seen_epoch[i] = 1; seen_gen[i] = 1
        }
        for (i : 0 .. 3) { run replica(i) }
        for (i : 0 .. 2) { run owner(i) }
        run session(0);
        run session(1);
        run host();
        run rest()
    }
}
#endif
