/* Founding: who may begin a cluster, and with whom.
 *
 *   PREPARE -> every founder prepared and listed -> the owner stores the cluster id and signs over
 *   the list -> COMMIT -> START here, passed on to the others -> first manifest -> answer
 *
 * From coordinator/session_found.c, session_mesh.c (a founder's part), passer.c, replica.c
 * (prepare, found, join), replica_life.c (lapses), cli/cmd_set.c and cli/founding.c.
 *
 * What is concrete: who is in which state, which list an attempt gathered, whose process (life) a
 * row names, what a workspace remembers, every message that can be lost, late, repeated or brought
 * by somebody else, crashes with loss of all memory, lapses.
 *
 * What is abstract, and why that loses no bug of these rules:
 *   time      lapses come at any moment, so no order that the timers permit is missing
 *   messages  START, once sent, may arrive at any time and at anybody; COMMIT and answers travel
 *             on one connection, which ends with the process that was asked
 *   Raft      the first manifest is stored by a majority of the listed founders in one step. That
 *             majorities agree on one log is Raft's promise, checked elsewhere (node_random,
 *             consensus_rules, contrast-sim); that they are majorities of one list of processes
 *             that remember what they stored is what the founding has to provide, and is checked
 *             here
 *   hello     the name of a cluster that two ends of a link compare
 *
 * FOUNDERS of PODS are wanted; two owners run `contrast set` in workspaces of their own, their
 * manifests differ, in the roots they permit as well; the host may ask for a founding, too.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "common.pml"

#ifndef PODS
#define PODS 3
#endif
#ifndef FOUNDERS
#define FOUNDERS 3
#endif
#ifndef ATTEMPTS
#define ATTEMPTS 2
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#define OWNERS 2
#define HOST 2 /* as the owner of an attempt */
#define MAJORITY (FOUNDERS / 2 + 1)

/* A pod's process. */
mtype = { EMPTY, PREPARED, FOUNDER, MEMBER };
mtype state[PODS] = EMPTY;
byte life[PODS] = 1;  /* of the process: a restart is somebody new */
byte record[PODS];    /* founding record that it runs from: attempt + 1, 0 none */
byte manifest[PODS];  /* first manifest that it stored: attempt + 1, 0 none */
bool has_key_outside; /* somebody holds a CA key who was never attested */

/* An attempt to found. */
mtype = { UNUSED, GATHERING, GATHERED, NEEDED, SENT, STARTED, OVER };
mtype step[ATTEMPTS] = UNUSED;
byte by[ATTEMPTS];              /* owner, or HOST */
byte asked[ATTEMPTS];           /* pod */
byte asked_life[ATTEMPTS];      /* its process: the connection ends with it */
byte list[ATTEMPTS * PODS];     /* life of each founder, 0: not one */
byte listed[ATTEMPTS];          /* how many */
bool is_signed[ATTEMPTS];       /* by an owner whom the replicas' environment names */
bool is_out[ATTEMPTS];          /* START was sent */
bool has_stranger[ATTEMPTS];    /* a process of the host stands in the list */
bool committed[ATTEMPTS];       /* its first manifest */
bool is_refused[ATTEMPTS];      /* the log had another one */

/* An owner's workspace. */
mtype = { IDLE, PREPARING, WAITING, UNKNOWN, DONE, REFUSED };
mtype owner_is[OWNERS] = IDLE;
byte attempt[OWNERS];  /* + 1 */
byte pending[OWNERS];  /* attempt + 1 whose cluster id is stored */
bool has_started[OWNERS]; /* NEED came: from now on the outcome may be unknown */
byte tries[OWNERS];

byte crashes; /* that may still come */
bool faults;

#define ROW(f, p) list[(f) * PODS + (p)]
#define SAME_LIST(f, g) (SAME_ROW(f, g, 0) && SAME_ROW(f, g, 1) && SAME_ROW(f, g, 2))
#if PODS == 3
#define SAME_ROW(f, g, p) (ROW(f, p) == ROW(g, p))
#else
#error "the macros below name three pods"
#endif
#define IS_IN(f, p) (ROW(f, p) == life[p])
#define IS_ALIVE(f) (life[asked[f]] == asked_life[f])

/* Two ends of a link talk when they are of one cluster. Its id is a hash over the list alone, and
 * the same processes may be listed for two owners at once. So either the name covers the record, or
 * (FIRST) of every list one founder, here pod 0, starts before anybody else does. */
#if defined(BREAK_HELLO) || defined(FIRST)
#define SAME_CLUSTER(f, g) (SAME_LIST(f, g))
#else
#define SAME_CLUSTER(f, g) ((f) == (g))
#endif

/* Takes part in the log of attempt f: under the very key that the list names, with its record. */
#ifdef BREAK_ROW
#define TAKES_PART(f, p) (record[p] != 0 && SAME_CLUSTER(record[p] - 1, f) && ROW(f, p) != 0)
#else
#define TAKES_PART(f, p) (record[p] != 0 && SAME_CLUSTER(record[p] - 1, f) && IS_IN(f, p))
#endif
#define STRANGER(f) (has_stranger[f])
#define PARTS(f) (TAKES_PART(f, 0) + TAKES_PART(f, 1) + TAKES_PART(f, 2) + STRANGER(f))
#define HOLDS(f, p) (TAKES_PART(f, p) && manifest[p] != 0)
#define LACKS(f, p) (TAKES_PART(f, p) && manifest[p] == 0)

/* A lapse or a lost answer is a fault only where without it things would have gone on. */
#define MIGHT(f, p) (TAKES_PART(f, p) || (state[p] == PREPARED && IS_IN(f, p)))
#define HAS_HOPE(f)                                                                                \
    (committed[f] ||                                                                               \
     (step[f] != UNUSED && step[f] != OVER &&                                                      \
      (step[f] != STARTED || MIGHT(f, 0) + MIGHT(f, 1) + MIGHT(f, 2) >= MAJORITY)))
#if ATTEMPTS == 1
#define IS_NEEDED(p) (IS_IN(0, p) && HAS_HOPE(0))
#elif ATTEMPTS == 2
#define IS_NEEDED(p) ((IS_IN(0, p) && HAS_HOPE(0)) || (IS_IN(1, p) && HAS_HOPE(1)))
#else
#define IS_NEEDED(p)                                                                               \
    ((IS_IN(0, p) && HAS_HOPE(0)) || (IS_IN(1, p) && HAS_HOPE(1)) || (IS_IN(2, p) && HAS_HOPE(2)))
#endif

#ifdef BREAK_REFOUND
#define MAY_PREPARE(p) (true)
#else
#define MAY_PREPARE(p) (state[p] == EMPTY || state[p] == PREPARED)
#endif

/* --- A pod: lapses, crashes, takes START from whoever passes it on, takes its own place */

inline forget(p) {
    state[p] = EMPTY;
    record[p] = 0;
    manifest[p] = 0
}

inline restart(p) {
    life[p]++;
    forget(p)
}

/* One list of processes is one cluster: all of it run from the same record. */
inline check_record(p, f) {
    assert(is_signed[f]); /* a cluster begins with an owner's signature, and not otherwise */
    assert(record[0] == 0 || record[0] == f + 1 || !SAME_CLUSTER(record[0] - 1, f));
    assert(record[1] == 0 || record[1] == f + 1 || !SAME_CLUSTER(record[1] - 1, f));
    assert(record[2] == 0 || record[2] == f + 1 || !SAME_CLUSTER(record[2] - 1, f))
}

inline start(p, f) {
    check_record(p, f);
    state[p] = FOUNDER;
    record[p] = f + 1;
    manifest[p] = 0;
    is_out[f] = true;
    /* No majority that could decide is without what was decided. */
    assert(!committed[f] || LACKS(f, 0) + LACKS(f, 1) + LACKS(f, 2) < MAJORITY)
}

#if defined(BREAK_REFOUND)
#define MAY_START(p, f) (record[p] != f + 1)
#elif defined(BREAK_ROW)
#define MAY_START(p, f) (state[p] == EMPTY || state[p] == PREPARED)
#else
#define MAY_START(p, f) (state[p] == PREPARED)
#endif
#ifdef BREAK_ROW
#define HAS_ROW(p, f) (ROW(f, p) != 0)
#else
#define HAS_ROW(p, f) (IS_IN(f, p))
#endif
#ifdef BREAK_SIGNATURE
#define IS_GENUINE(f) (true)
#else
#define IS_GENUINE(f) (is_signed[f])
#endif
/* Each founder judges every document of the list for itself. */
#ifdef BREAK_JUDGE
#define IS_JUDGED(f) (true)
#else
#define IS_JUDGED(f) (!has_stranger[f])
#endif

/* A member that has the manifest gives a listed process its place: it never took part before. */
#define MAY_TAKE_PLACE(p, q)                                                                       \
    (p != q && (state[p] == EMPTY || state[p] == PREPARED) && manifest[q] != 0 &&                  \
     IS_IN(record[q] - 1, p))
#define MAY_LEARN(p, q)                                                                            \
    (p != q && record[p] != 0 && manifest[p] == 0 && record[q] != 0 && manifest[q] != 0 &&         \
     SAME_CLUSTER(record[p] - 1, record[q] - 1))

inline take_place(p, q) {
    SAY("pod %d takes the founder's place that is its own, from pod %d\n", p, q);
    record[p] = record[q];
    state[p] = FOUNDER
}

inline learn(p, q) {
    manifest[p] = manifest[q];
    state[p] = MEMBER
}

proctype pod(byte p) {
    byte f;
end:
    do
    :: atomic { state[p] == PREPARED ->
        SAY("pod %d: the preparation lapses\n", p);
        faults = faults || IS_NEEDED(p);
        state[p] = EMPTY }
    :: atomic { state[p] == FOUNDER && manifest[p] == 0 && life[p] < CRASHES + 2 ->
        SAY("pod %d: founded without a manifest for a minute, ends and starts anew\n", p);
        faults = faults || HAS_HOPE(record[p] - 1);
        restart(p) }
    :: atomic { crashes > 0 ->
        SAY("pod %d crashes and comes back empty\n", p);
        restart(p); crashes--; faults = true }
    :: atomic { is_out[0] && IS_GENUINE(0) && MAY_START(p, 0) && HAS_ROW(p, 0) && IS_JUDGED(0) ->
        SAY("pod %d starts from record 0\n", p); start(p, 0) }
#if ATTEMPTS > 1
    :: atomic { is_out[1] && IS_GENUINE(1) && MAY_START(p, 1) && HAS_ROW(p, 1) && IS_JUDGED(1) ->
        SAY("pod %d starts from record 1\n", p); start(p, 1) }
#endif
#if ATTEMPTS > 2
    :: atomic { is_out[2] && IS_GENUINE(2) && MAY_START(p, 2) && HAS_ROW(p, 2) && IS_JUDGED(2) ->
        SAY("pod %d starts from record 2\n", p); start(p, 2) }
#endif
#ifdef BREAK_SELF
    :: atomic { state[p] == EMPTY && step[ATTEMPTS - 1] == UNUSED ->
        f = ATTEMPTS - 1;
        SAY("pod %d finds nobody and founds by itself\n", p);
        step[f] = OVER; by[f] = HOST; ROW(f, p) = life[p]; listed[f] = 1; start(p, f) }
#endif
    :: atomic { MAY_TAKE_PLACE(p, 0) -> take_place(p, 0) }
    :: atomic { MAY_TAKE_PLACE(p, 1) -> take_place(p, 1) }
    :: atomic { MAY_TAKE_PLACE(p, 2) -> take_place(p, 2) }
    :: atomic { MAY_LEARN(p, 0) -> learn(p, 0) }
    :: atomic { MAY_LEARN(p, 1) -> learn(p, 1) }
    :: atomic { MAY_LEARN(p, 2) -> learn(p, 2) }
    od
}

/* --- An attempt: the session of the replica that was asked */

inline prepare(f, p) {
    SAY("attempt %d prepares pod %d\n", f, p);
    state[p] = PREPARED;
    ROW(f, p) = life[p];
    listed[f]++
}

#define CAN_GATHER(f, p)                                                                           \
    (step[f] == GATHERING && IS_ALIVE(f) && ROW(f, p) == 0 && listed[f] < FOUNDERS && MAY_PREPARE(p))

/* Both manifests in one log would be two clusters of one id; two of one workspace, two clusters of
 * one owner. */
inline check_committed(f, g) {
    if
    :: f != g && committed[g] ->
        assert(!SAME_CLUSTER(f, g));
        assert(!SAME_LIST(f, g));
        assert(by[f] != by[g])
    :: else
    fi
}

inline store(f, p) {
    if
    :: TAKES_PART(f, p) && record[p] == f + 1 -> manifest[p] = f + 1; state[p] = MEMBER
    :: else /* of another record, whose roots do not permit this manifest: refused there */
    fi
}

/* A majority of the list takes the first manifest; whoever of it has one already keeps it. */
inline commit(f) {
    if
    :: HOLDS(f, 0) || HOLDS(f, 1) || HOLDS(f, 2) ->
        SAY("the manifest of attempt %d is refused: there is one\n", f);
        is_refused[f] = true
    :: else ->
        SAY("the manifest of attempt %d is committed\n", f);
        check_committed(f, 0);
#if ATTEMPTS > 1
        check_committed(f, 1);
#endif
#if ATTEMPTS > 2
        check_committed(f, 2);
#endif
        committed[f] = true;
        assert(!has_stranger[f]); /* the key would be at somebody who was never attested */
        if /* who is not of the majority that answered first hears of it later */
        :: true -> store(f, 0); store(f, 1); store(f, 2)
        :: PARTS(f) > MAJORITY -> store(f, 1); store(f, 2)
        :: PARTS(f) > MAJORITY -> store(f, 0); store(f, 2)
        :: PARTS(f) > MAJORITY -> store(f, 0); store(f, 1)
        fi;
        WITNESS("a first manifest is committed")
    fi;
    step[f] = OVER
}

/* The replica that was asked starts first; with FIRST, whoever is first in the list does. */
#ifdef FIRST
#define HAS_FIRST(f) (asked[f] == 0 || (record[0] == f + 1 && IS_IN(f, 0)))
#else
#define HAS_FIRST(f) (true)
#endif

proctype session(byte f) {
end:
    do
    :: atomic { CAN_GATHER(f, 0) -> prepare(f, 0) }
    :: atomic { CAN_GATHER(f, 1) -> prepare(f, 1) }
    :: atomic { CAN_GATHER(f, 2) -> prepare(f, 2) }
#ifdef BREAK_JUDGE
    :: atomic { step[f] == GATHERING && IS_ALIVE(f) && listed[f] < FOUNDERS && !has_stranger[f] ->
        SAY("attempt %d lists a process of the host\n", f);
        has_stranger[f] = true; listed[f]++ }
#endif
    :: atomic { step[f] == GATHERING && IS_ALIVE(f) && listed[f] == FOUNDERS ->
        step[f] = GATHERED }
#ifdef BREAK_SIGNATURE
    :: atomic { step[f] == GATHERED && by[f] == HOST && IS_ALIVE(f) && state[asked[f]] == PREPARED ->
        SAY("the host commits attempt %d without an owner\n", f);
        start(asked[f], f); step[f] = STARTED }
#endif
    /* The policies came: this replica starts first, or nobody does. */
    :: atomic { step[f] == SENT && IS_ALIVE(f) && !HAS_FIRST(f) ->
        if
        :: MAY_START(0, f) && HAS_ROW(0, f) -> start(0, f)
        :: else -> is_refused[f] = true; step[f] = OVER
        fi }
    :: atomic { step[f] == SENT && IS_ALIVE(f) && HAS_FIRST(f) ->
        if
        :: record[asked[f]] == f + 1 -> step[f] = STARTED /* it was passed on to it meanwhile */
        :: record[asked[f]] != f + 1 && MAY_START(asked[f], f) ->
            SAY("pod %d starts from record %d, which it gathered\n", asked[f], f);
            start(asked[f], f); step[f] = STARTED
        :: else ->
            SAY("attempt %d: pod %d may not start any more\n", f, asked[f]);
            is_refused[f] = true; step[f] = OVER
        fi }
    :: atomic { step[f] == STARTED && PARTS(f) >= MAJORITY -> commit(f) }
    od
}

/* --- An owner: contrast set, again and again until it is known how it ended */

inline ask(w, p, f) {
    SAY("owner %d: PREPARE at pod %d, attempt %d\n", w, p, f);
    step[f] = GATHERING;
    by[f] = w;
    asked[f] = p;
    asked_life[f] = life[p];
    attempt[w] = f + 1;
    owner_is[w] = PREPARING;
    prepare(f, p)
}

/* A workspace that has a cluster id, stored or waiting for an answer, founds no other one. */
#define MAY_FOUND(w, p)                                                                            \
    (owner_is[w] == IDLE && tries[w] < ATTEMPTS && pending[w] == 0 && manifest[p] == 0 && MAY_PREPARE(p))

inline found(w, p) {
    tries[w]++;
    if
    :: step[0] == UNUSED -> ask(w, p, 0)
#if ATTEMPTS > 1
    :: step[0] != UNUSED && step[1] == UNUSED -> ask(w, p, 1)
#endif
#if ATTEMPTS > 2
    :: step[0] != UNUSED && step[1] != UNUSED && step[2] == UNUSED -> ask(w, p, 2)
#endif
    :: else -> owner_is[w] = REFUSED
    fi
}

/* What some replica shows as active decides, when it is of the cluster that is meant. */
inline look(w, p) {
    if
    :: pending[w] != 0 && SAME_LIST(pending[w] - 1, record[p] - 1) && by[manifest[p] - 1] == w ->
        SAY("owner %d finds its manifest at pod %d\n", w, p);
        owner_is[w] = DONE;
        WITNESS("an outcome that was unknown is found out")
    :: else ->
        SAY("owner %d finds another manifest at pod %d\n", w, p);
        owner_is[w] = REFUSED
    fi
}

#define CURRENT(w) (attempt[w] - 1)

proctype owner(byte w) {
end:
    do
    :: atomic { MAY_FOUND(w, 0) -> found(w, 0) }
    :: atomic { MAY_FOUND(w, 1) -> found(w, 1) }
    :: atomic { MAY_FOUND(w, 2) -> found(w, 2) }
    :: atomic { owner_is[w] == PREPARING && !IS_ALIVE(CURRENT(w)) ->
        owner_is[w] = IDLE; step[CURRENT(w)] = OVER }
    :: atomic { owner_is[w] == PREPARING && step[CURRENT(w)] == GATHERING -> /* the time is over */
        SAY("owner %d: not all founders answer\n", w);
        faults = faults || listed[CURRENT(w)] == FOUNDERS || CAN_GATHER(CURRENT(w), 0) ||
                 CAN_GATHER(CURRENT(w), 1) || CAN_GATHER(CURRENT(w), 2);
        owner_is[w] = IDLE; step[CURRENT(w)] = OVER }
    /* The list is checked, its hash stored, the first transition signed over it. */
    :: atomic { owner_is[w] == PREPARING && step[CURRENT(w)] == GATHERED && IS_ALIVE(CURRENT(w)) ->
        SAY("owner %d signs attempt %d\n", w, CURRENT(w));
        is_signed[CURRENT(w)] = true;
#ifndef BREAK_PENDING
        pending[w] = attempt[w];
#endif
        has_started[w] = false;
        owner_is[w] = WAITING }
    :: atomic { owner_is[w] == WAITING && step[CURRENT(w)] == GATHERED && IS_ALIVE(CURRENT(w)) ->
        SAY("attempt %d: COMMIT arrives\n", CURRENT(w));
        step[CURRENT(w)] = NEEDED }
    :: atomic { owner_is[w] == WAITING && step[CURRENT(w)] == NEEDED && IS_ALIVE(CURRENT(w)) ->
        has_started[w] = true;
        step[CURRENT(w)] = SENT }
    /* The connection is lost. Before NEED nothing can have begun; afterwards nobody knows. */
    :: atomic { owner_is[w] == WAITING && !has_started[w] ->
        SAY("owner %d: the connection is lost before NEED\n", w);
        pending[w] = 0; owner_is[w] = IDLE; faults = true;
        step[CURRENT(w)] = OVER }
    :: atomic { owner_is[w] == WAITING && has_started[w] ->
        SAY("owner %d: no answer, outcome unknown\n", w);
        faults = faults || HAS_HOPE(CURRENT(w));
        owner_is[w] = UNKNOWN;
        WITNESS("an outcome is unknown") }
    :: atomic { owner_is[w] == WAITING && step[CURRENT(w)] == OVER && IS_ALIVE(CURRENT(w)) ->
        if
        :: committed[CURRENT(w)] ->
            SAY("owner %d hears success\n", w);
            owner_is[w] = DONE; WITNESS("an owner hears success")
        :: is_refused[CURRENT(w)] ->
            SAY("owner %d is refused\n", w);
            pending[w] = 0; owner_is[w] = IDLE; WITNESS("an owner is refused")
        fi }
    :: atomic { owner_is[w] == UNKNOWN && pending[w] == 0 ->
        SAY("owner %d: contrast set again\n", w);
        owner_is[w] = IDLE }
    :: atomic { (owner_is[w] == UNKNOWN || owner_is[w] == IDLE) && manifest[0] != 0 -> look(w, 0) }
    :: atomic { (owner_is[w] == UNKNOWN || owner_is[w] == IDLE) && manifest[1] != 0 -> look(w, 1) }
    :: atomic { (owner_is[w] == UNKNOWN || owner_is[w] == IDLE) && manifest[2] != 0 -> look(w, 2) }
    /* Nothing can move any more. Without a fault one of the two owners has its cluster. */
    :: atomic { timeout ->
        assert(faults || owner_is[0] == DONE || owner_is[1] == DONE);
        if
        :: !faults -> WITNESS("rest without a fault")
        :: else
        fi;
        break }
    od
}

#ifdef WITH_HOST
proctype host() {
end:
    do
    :: atomic { step[ATTEMPTS - 1] == UNUSED && MAY_PREPARE(0) ->
        SAY("the host asks pod 0 to found\n");
        step[ATTEMPTS - 1] = GATHERING; by[ATTEMPTS - 1] = HOST;
        asked[ATTEMPTS - 1] = 0; asked_life[ATTEMPTS - 1] = life[0];
        prepare(ATTEMPTS - 1, 0) }
    od
}
#endif

init {
    atomic {
        byte i;
        select(crashes : 0 .. CRASHES);
        for (i : 0 .. PODS - 1) { run pod(i) }
        for (i : 0 .. ATTEMPTS - 1) { run session(i) }
        for (i : 0 .. OWNERS - 1) { run owner(i) }
#ifdef WITH_HOST
        run host()
#endif
    }
}
