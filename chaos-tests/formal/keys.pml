/* Keys: manifests, CA keys and certificates through one log.
 *
 *   set      read the head -> SET(after it, new key) committed -> applied where it was asked -> answer
 *   issue    judged by the manifest that is seen here -> ISSUE(its generation) committed -> applied
 *            here -> signed here with the key of now
 *   read     a quorum is asked -> what was committed then is applied here -> answer
 *   joiner   ADMIT, ADD committed -> state, keys in it
 *
 * From coordinator/session_set.c, session_mesh.c (certificates), replica_propose.c,
 * replica_confirm.c, coordinator/core/core_apply.c (SET_MANIFEST, ISSUE), consensus/node_read.c.
 *
 * What is concrete: what each process has applied and which keys it holds, requests under way to a
 * leader while others are committed, answers that are lost, processes that lag, crash, are paused
 * or cut off and still answer.
 *
 * What is abstract, and why that loses no bug of these rules: an entry is appended and committed in
 * one step, while a majority of three fixed voters lives: one of them holds everything, and whoever
 * lacks something is never elected (members.pml). A process that is paused or cut off is one that
 * does nothing for a while, and any process may do nothing for as long as it likes. What is decided
 * about an entry core_apply decides from the log alone, so it is decided here once. A proposal that
 * is never committed changes nothing.
 *
 * A certificate is of the generation whose key signs it. "After its set returned" means: asked for
 * after that. What was asked for before may still be answered, and stands before it in the log.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "common.pml"

#ifdef REPLAY
#define IDS 31
#define GENERATIONS 250
#define REQUESTS 64
#define number short
#define mask int
#else
#define IDS 5      /* three voters, a joiner, somebody outside */
#define OUTSIDE 4
#ifndef GENERATIONS
#define GENERATIONS 3
#endif
#define REQUESTS 3
#define ENTRIES REQUESTS
#ifndef CRASHES
#define CRASHES 1
#endif
#define OWNERS 2
#define number byte
#define mask byte
#endif
#define FRESH GENERATIONS /* keys beyond: made by one process for itself */

#define BIT(i) (1 << (i))
#define IN(set, i) (((set) >> (i)) & 1)

/* What the log says. */
number head;                     /* newest generation */
number key_of[GENERATIONS + 2];  /* number of the CA key that came with each */
number setter[GENERATIONS + 2];  /* request that set it, + 1 */
mask admitted;                   /* processes with a row: founders, and whose ADMIT is committed */
mask configured;                 /* of them those in a configuration, committed or not */
number acked;                    /* newest generation whose set returned */
number keys;                     /* made so far */

/* What a process has. */
number gen[IDS];                 /* generation that it applied */
number key[IDS];                 /* CA key that it holds, 0: none */
bool has_old[IDS];               /* and one that it should have wiped */

/* --- Conditions and effects, here and in a replay */

#ifdef BREAK_CAS
#define IS_AFTER_HEAD(g) ((g) > 0)
#else
#define IS_AFTER_HEAD(g) ((g) == head + 1)
#endif
#ifdef BREAK_FENCE
#define IS_OF_HEAD(g) (true)
#define MAY_SIGN(p, g) (true)
#else
#define IS_OF_HEAD(g) ((g) == head)
#define MAY_SIGN(p, g) (gen[p] == (g))
#endif
#ifdef BREAK_LINK
#define MAY_GET_STATE(i) (true)
#elif defined(BREAK_EARLY)
#define MAY_GET_STATE(i) (i != OUTSIDE) /* it proved itself, and its admission is under way */
#else
#define MAY_GET_STATE(i) (IN(admitted & configured, i))
#endif

/* The set of generation g enters the log. */
inline commit_set(g, r, k) {
    assert(g > acked || setter[g] == r + 1); /* what returned stays */
    assert(setter[g] == 0);                  /* one manifest and one key a generation */
    head = g;
    key_of[g] = k;
    setter[g] = r + 1
}

inline answer_set(g, r) {
    SAY("the set of generation %d returns\n", g);
    assert(setter[g] == r + 1);
    if
    :: g > acked -> acked = g
    :: else
    fi
}

/* A process has applied generation g, and has key k. */
inline hold(i, g, k) {
    assert(IN(admitted, i)); /* no key outside */
    assert(key_of[g] == k);               /* one key a generation */
    assert(g >= gen[i]);
    gen[i] = g;
#ifdef BREAK_WIPE
    has_old[i] = has_old[i] || (key[i] != 0 && key[i] != k);
#endif
    key[i] = k;
    assert(!has_old[i])
}

inline certify(g, floor) {
    SAY("a certificate of generation %d\n", g);
    assert(g >= floor); /* not under a manifest that was superseded before it was asked for */
    WITNESS("a certificate")
}

inline reveal(g, floor) {
    assert(g >= floor); /* a confirmed answer knows all that had returned when it was asked for */
    WITNESS("a confirmed answer")
}

#ifdef REPLAY
#include "replay_keys.pml"
#else

/* --- The log, as processes go through it */

byte set_to[ENTRIES + 1]; /* of each entry that took effect: the generation that it set, or 0 */
byte length;
byte applied[IDS];
bool alive[IDS] = true;
byte crashes;

#define MAY_APPLY(p) (alive[p] && p < 3 && applied[p] < length)
/* Somebody leads, or could: of a majority one holds everything. */
#define QUORUM (alive[0] + alive[1] + alive[2] >= 2)

/* A request: an owner's set, or a pod's certificate. */
mtype = { IDLE, ASKED, IN_LOG, ANSWERED, LOST };
mtype is[REQUESTS] = IDLE;
byte at[REQUESTS];    /* process */
byte wants[REQUESTS];    /* generation that it saw, or wants */
byte floor[REQUESTS]; /* acked when it was asked for */
byte entry[REQUESTS]; /* its place in the log, when it was granted */
bool granted[REQUESTS];

inline append(what) {
    length++;
    set_to[length] = what
}

inline decide_set(r) {
    if
    :: IS_AFTER_HEAD(wants[r]) ->
        SAY("request %d: generation %d is set\n", r, wants[r]);
        keys++;
        commit_set(wants[r], r, keys);
        granted[r] = true;
        append(wants[r])
    :: else ->
        SAY("request %d: the manifest changed meanwhile\n", r);
        WITNESS("a set that came second")
    fi;
    entry[r] = length;
    is[r] = IN_LOG
}

inline decide_issue(r) {
    if
    :: IS_OF_HEAD(wants[r]) ->
        SAY("request %d: a certificate is granted under generation %d\n", r, wants[r]);
        granted[r] = true;
        append(0)
    :: else ->
        SAY("request %d: generation %d is stale\n", r, wants[r]);
        WITNESS("a stale request is refused")
    fi;
    entry[r] = length;
    is[r] = IN_LOG
}

inline apply(p) {
    applied[p]++;
    if
    :: set_to[applied[p]] != 0 ->
        SAY("process %d applies generation %d\n", p, set_to[applied[p]]);
#ifdef BREAK_KEY
        keys++; /* the entry has the manifest alone, each makes a key for it */
        hold(p, set_to[applied[p]], FRESH + keys)
#else
        hold(p, set_to[applied[p]], key_of[set_to[applied[p]]])
#endif
    :: else
    fi
}

inline crash(p) {
    SAY("process %d crashes\n", p);
    alive[p] = false;
    applied[p] = 0;
    gen[p] = 0;
    key[p] = 0;
    has_old[p] = false
}

proctype process(byte p) {
end:
    do
    :: atomic { MAY_APPLY(p) -> apply(p) }
    :: atomic { crashes > 0 && p < 3 && alive[p] -> crashes--; crash(p) }
    /* All state at once, keys in it. */
    :: atomic { p >= 3 && QUORUM && head > 0 && gen[p] != head && MAY_GET_STATE(p) ->
        SAY("process %d gets the state\n", p);
        hold(p, head, key_of[head]); WITNESS("a joiner has the key") }
    :: atomic { p == 3 && QUORUM && head > 0 && !IN(admitted, p) ->
        SAY("ADMIT %d\n", p);
        admitted = admitted | BIT(p) }
    :: atomic { p == 3 && QUORUM && IN(admitted, p) && !IN(configured, p) ->
        SAY("ADD %d\n", p);
        configured = configured | BIT(p) }
    od
}

/* Each is asked at one process; whoever gets no answer may ask once more, elsewhere. */
inline ask(r, p, g) {
    SAY("request %d at process %d, of generation %d\n", r, p, g);
    is[r] = ASKED;
    at[r] = p;
    wants[r] = g;
    floor[r] = acked;
    granted[r] = false
}

inline forget(r) {
    at[r] = 0;
    wants[r] = 0;
    floor[r] = 0;
    entry[r] = 0;
    granted[r] = false
}

#define CAN_ASK(r, p) (is[r] == IDLE && alive[p])
/* A set reads the head confirmed; a certificate is judged by whatever is seen here. */
#define HEAD_HERE(p) (gen[p])

proctype owner(byte r) {
end:
    do
    :: atomic { CAN_ASK(r, 0) && gen[0] < GENERATIONS -> ask(r, 0, gen[0] + 1) }
    :: atomic { CAN_ASK(r, 1) && gen[1] < GENERATIONS -> ask(r, 1, gen[1] + 1) }
    :: atomic { is[r] == ASKED && QUORUM -> decide_set(r) }
#ifdef BREAK_ACK
    :: atomic { is[r] == ASKED && alive[at[r]] && IS_AFTER_HEAD(wants[r]) && setter[wants[r]] == 0 ->
        SAY("request %d is answered when it stands in process %d's own log\n", r, at[r]);
        acked = wants[r]; forget(r); is[r] = ANSWERED }
#endif
    :: atomic { is[r] == IN_LOG && alive[at[r]] && applied[at[r]] >= entry[r] ->
        if
        :: granted[r] -> answer_set(wants[r], r); WITNESS("a set returns")
        :: else
        fi;
        forget(r); is[r] = ANSWERED }
    :: atomic { (is[r] == ASKED || is[r] == IN_LOG) && !alive[at[r]] -> forget(r); is[r] = LOST }
    od
}

proctype pod(byte r) {
end:
    do
    :: atomic { CAN_ASK(r, 0) && gen[0] > 0 -> ask(r, 0, gen[0]) }
    :: atomic { CAN_ASK(r, 2) && gen[2] > 0 -> ask(r, 2, gen[2]) }
    :: atomic { is[r] == ASKED && QUORUM -> decide_issue(r) }
    :: atomic { is[r] == IN_LOG && alive[at[r]] && applied[at[r]] >= entry[r] ->
        if
        :: granted[r] && MAY_SIGN(at[r], wants[r]) -> certify(wants[r], floor[r])
        :: else
        fi;
        forget(r); is[r] = ANSWERED }
    :: atomic { (is[r] == ASKED || is[r] == IN_LOG) && !alive[at[r]] -> forget(r); is[r] = LOST }
    od
}

byte ask_floor, ask_index;
mtype reading = IDLE;

/* A verifier at process 2: it may lag, and once led, for all that it knows. */
proctype verifier() {
end:
    do
    :: atomic { reading == IDLE && alive[2] -> reading = ASKED; ask_floor = acked }
#ifdef BREAK_READ
    :: atomic { reading == ASKED && alive[2] -> reveal(gen[2], ask_floor); ask_floor = 0; ask_index = 0; reading = ANSWERED }
#else
    :: atomic { reading == ASKED && alive[2] && QUORUM ->
        ask_index = length; reading = IN_LOG }
#endif
    :: atomic { reading == IN_LOG && alive[2] && applied[2] >= ask_index ->
        reveal(gen[2], ask_floor); ask_floor = 0; ask_index = 0; reading = ANSWERED }
    :: atomic { (reading == ASKED || reading == IN_LOG) && !alive[2] -> ask_floor = 0; ask_index = 0; reading = LOST }
    od
}

/* Nothing moves: who was not lost with its process was answered, and everybody has the same key. */
proctype rest() {
end:
    atomic { timeout ->
        byte i;
        for (i : 0 .. REQUESTS - 1) {
            assert(is[i] == ANSWERED || is[i] == LOST || is[i] == IDLE)
        }
        assert(head == 0 || (is[0] != IDLE && is[1] != IDLE) || head == GENERATIONS);
        for (i : 0 .. 3) {
            assert(!alive[i] || gen[i] == head || i == 3)
        }
        i = 0;
        if
        :: acked > 1 -> WITNESS("rest with everything done")
        :: else
        fi }
}

init {
    atomic {
        byte i;
        select(crashes : 0 .. CRASHES);
        admitted = 7;
        configured = 7;
        for (i : 0 .. 2) { run process(i) }
        run owner(0);
        run owner(1);
        /* The other three only look on, and change nothing for one another: one at a time. */
        if
        :: true -> run pod(2)
        :: true -> run verifier()
        :: true -> run process(3); run process(4)
        fi;
        run rest()
    }
}
#endif
