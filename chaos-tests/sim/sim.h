/* Sim: whole clusters of real replicas in one process, in virtual time, from one seed.
 *
 *   seed -> plan of faults (sim_plan.h), delays, operations -> replicas (coordinator/replica.h:
 *   consensus, core, membership, the queue of session requests) -> checks after every step (of the
 *   service: sim_check.c, of consensus: sim_rule.c), and at rest
 *
 * What is real: everything behind replica.h. What is played: time, randomness, links (first in
 * first out, delayed, cut, reset, haunted by bytes of older ones), the sessions that ask, and who
 * was attested. A replica that crashes loses all memory; its pod comes back as a new replica and is
 * admitted under its old name.
 *
 * One seed is one run, bit for bit: sim_run twice gives the same trace digest.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SIM_H
#define CONTRAST_SIM_H

#include "chaos-tests/sim/sim_plan.h"
#include "coordinator/replica.h"

#define SIM_SKEW_S 60                     /* that a good clock is off by, at most */
#define SIM_TIME_BASE INT64_C(1795000000) /* unix seconds of the beginning */
#define SIM_SLOTS 8                       /* pods: up to five founders and three more */
#define SIM_TEXT 512
#define SIM_SECRET_MARK                                                                            \
    "sEcReT" /* every played key begins with it: no line of a log may have it                      \
              */
#define SIM_SECRET_MARK_SIZE 6
#define SIM_REST_MS 20000 /* to recover in, where the plan does not say more */

struct sim_options {
    uint64_t seed;
    bool is_verbose;        /* log lines of all replicas on stderr */
    uint64_t chaos_ms;      /* virtual time with faults; 0 = as the seed's profile says */
    uint64_t rest_ms;       /* virtual time to recover and drain; 0 = the same */
    const unsigned *faults; /* numbers of the plan's faults to play; NULL = all of them */
    size_t fault_count;
    struct sim_kill *kill; /* instead of faults: sim_kill.h; NULL = none */
    FILE *model_trace;     /* sim_model.h; NULL = none */
};

struct sim_result {
    bool is_good;
    char why[SIM_TEXT]; /* the first check that failed */
    uint8_t trace[32];  /* digest over everything that happened: to compare, not to trust */
    uint64_t steps;
    uint64_t sets; /* acknowledged */
    uint64_t issues;
    uint64_t confirms;
    uint64_t endorsements;
    uint64_t retries; /* of requests whose outcome was unknown, through another replica */
    uint64_t joins;
    uint64_t elections;
    uint64_t faults[SIM_KINDS]; /* that were played */
    uint64_t old_messages;      /* delivered although their connection was gone, or once more */
};

void sim_run(const struct sim_options *options, struct sim_result *out);

/* Sums of many results (sim_result.c). */
void sim_result_add(struct sim_result *sum, const struct sim_result *r);
void sim_result_print(const struct sim_result *sum, FILE *out);

/* --- Inside: sim.c (loop), sim_pod.c (lives), sim_op.c (operations), sim_fault.c, sim_net.c
 * (links), sim_check.c, sim_rule.c (checks) */

struct sim;

struct sim_message {
    uint64_t at_ms;
    uint64_t number;         /* order in which they were sent */
    uint64_t from_id, to_id; /* replicas */
    uint64_t connection;     /* of the link when it was sent */
    uint8_t from, to;        /* slots */
    uint8_t type;
    bool is_old; /* arrives whatever became of its connection, and not in order */
    size_t size;
    uint8_t body[];
};

/* From one slot to another. */
struct sim_link {
    bool is_up;       /* as both ends were told */
    bool is_cut;      /* by a fault, this direction: what is sent waits, then the link breaks */
    uint64_t cut_ms;  /* since then */
    uint64_t heal_ms; /* the cut ends then */
    uint64_t up_ms;   /* comes up then; 0 = not under way */
    uint64_t last_ms; /* delivery of the newest message: first in first out */
    uint64_t connection;
    uint64_t twice_ms, loss_ms, slow_ms; /* a fault lasts until then */
    uint64_t twice_by_ms, slow_by_ms;
    unsigned loss_permille;
    uint64_t heard_ms;          /* a message of consensus was delivered last */
    uint64_t taken_from, taken; /* rule R6: newest sequence that went in, of which sender */
    struct sim_chance chance;
};

/* A guest's monotonic clock: from `base_ms` of the run on it is base_local_ms and runs ppm too
 * fast. */
struct sim_clock {
    uint64_t base_ms, base_local_ms;
    int64_t ppm;
};

/* What sim_rule.c remembers of a replica's log. */
struct sim_rule {
    uint64_t *terms; /* by index; owned */
    size_t capacity;
    uint64_t last, commit, change; /* newest CHANGE that was seen in the log */
    uint64_t config_checked;       /* 1 + index of the uncommitted configuration that was held
                                      against the log; 0 = none yet */
    uint64_t led_term;
    uint64_t match_term;
    size_t match_count;
    struct {
        uint64_t id, match;
    } matches[LIMIT_MEMBERS];
};

struct sim_pod {
    struct sim *sim;
    unsigned slot;
    char name[16];
    char address[32];
    struct host host;
    struct sim_clock clock;
    struct sim_chance chance;
    int64_t clock_skew_s;
    int64_t unix_ppm;
    uint64_t unix_base_ms;
    uint64_t wrong_ms;       /* its clock counts as wrong before that */
    struct replica *replica; /* NULL while the pod is down; to change it: sim_pod_use */
    bool is_touched;         /* may have changed in this event */
    uint64_t due_ms;         /* its next tick, in the run's time */
    uint64_t id;
    uint8_t spki[32];
    uint8_t host_data[32];
    uint64_t incarnation;
    bool is_gone;         /* io.gone came: the pod restarts */
    bool is_expelled;     /* an owner, a clone or SIGTERM wanted it out: it may end */
    bool is_admitting;    /* an ADMIT for it is on its way */
    bool is_admitted;     /* joins at the next turn, with what pod `admitted_by` knows */
    unsigned admitted_by; /* slot */
    uint64_t join_ms;     /* next try to be admitted */
    uint64_t paused_ms;   /* handles nothing before that; 0 = awake */
    bool is_still;        /* paused, and its monotonic clock with it */
    uint64_t sick_ms;     /* may look dead to others before that */
    uint64_t trouble_ms;  /* some fault was about it, or it was no member, until then */
    uint64_t restart_ms;
    uint64_t led_term; /* newest term that it was seen to lead */
    uint64_t led_from; /* ledger leaves acknowledged when that began */
    uint64_t wanted[LIMIT_MEMBERS];
    size_t wanted_count;
    uint64_t checked_leaves; /* of its ledger */
    uint64_t checked_records;
    uint64_t checked_list; /* highest number of its revocation list */
    uint64_t checked_keys; /* newest generation whose mesh CA key was looked at */
    struct sim_rule rule;
};

#define SIM_CHIPS 12 /* whose certificates are wanted: fewer than the log keeps */

enum sim_op_kind {
    SIM_BLOB,
    SIM_SET,
    SIM_ISSUE,
    SIM_CONFIRM,
    SIM_STATUS,
    SIM_ADMIT,
    SIM_ENDORSE,
    SIM_CLAIM, /* a clone wants a member's name */
    SIM_RETIREMENT,
    SIM_RECOVER
};

struct sim_op {
    struct sim_op *next;
    uint64_t ticket;
    enum sim_op_kind kind;
    unsigned slot;             /* asked there */
    bool is_retry;             /* asked elsewhere before */
    uint64_t number;           /* ISSUE: of the key; ENDORSE: a list's */
    struct buf entry;          /* SET: as it was sent */
    uint64_t generation;       /* SET: wanted; ISSUE: verified against; RECOVER: its epoch */
    uint64_t floor_generation; /* acknowledged when it began */
    uint64_t floor_ledger;
    unsigned joiner; /* ADMIT: slot; CLAIM: the victim's */
    uint64_t joiner_id;
    unsigned judge; /* CLAIM: slot of who led when it began, its term */
    uint64_t judge_term;
    uint64_t heard_ms;            /* and when that one last heard the victim */
    uint8_t collateral;           /* ENDORSE: enum entry_collateral_kind */
    struct entry_endorsement key; /* ENDORSE */
};

/* A request whose outcome its client does not know, on its way to another replica. */
struct sim_retry {
    uint64_t at_ms;
    enum sim_op_kind kind; /* SET or ISSUE */
    uint64_t generation, number;
    struct buf entry;
};

#define SIM_RETRIES 16

/* An entry as some log held it. */
struct sim_entry {
    uint64_t term, hash, before; /* term of the entry before it */
};

/* What is known of an index of the log. */
struct sim_index {
    struct sim_entry seen[6]; /* of different terms; term 0 = free */
    uint64_t term, hash;      /* committed; term 0 = not yet */
    uint64_t commit_term;     /* of who first knew */
};

struct sim {
    const struct sim_options *options;
    struct sim_result *result;
    struct sim_kill *kill;   /* sim_kill.h; NULL = none */
    struct sim_model *model; /* sim_model.h; NULL = none */
    struct sim_plan plan;
    struct sim_chance chance;  /* of the world */
    struct sim_chance clients; /* what they ask, when and where */
    uint64_t now_ms;
    bool is_quiet;     /* no new faults or operations */
    bool is_net_stale; /* wishes, cuts or lives changed: sim_net_update is due */
    struct sim_pod pods[SIM_SLOTS];
    unsigned pod_count;
    unsigned founder_count;
    struct sim_link links[SIM_SLOTS][SIM_SLOTS];
    struct sim_message **heap; /* owned; by time, then number */
    size_t heap_count, heap_capacity;
    struct sim_message **held; /* owned; for who is paused, or behind a cut */
    size_t held_count, held_capacity;
    uint64_t next_message;
    uint64_t net_watch; /* links that are coming up or cut: more to look at than messages */
    struct buf found;
    struct sim_op *ops;
    struct sim_retry retries[SIM_RETRIES];
    size_t retry_count;
    uint64_t next_ticket;
    uint64_t chaos_since_ms;
    unsigned next_fault; /* in the plan */
    uint64_t next_op_ms;
    uint64_t lives;             /* of replicas, so far */
    uint64_t numbers;           /* of manifests and keys, each used once */
    uint8_t policy_hash[2][32]; /* coordinator, workload */
    uint8_t owner_digest[1][32];
    struct buf more_manifest; /* JSON, behind the last field */
    uint64_t trace[4];        /* digest of all that happened so far */
    /* sim_check.c */
    uint8_t (*roots)[48]; /* ledger root at each size, as first seen */
    size_t root_count;
    uint8_t (*heads)[32]; /* transition of each generation, as first seen */
    uint64_t *mesh_keys;  /* of each generation: its first bytes; 0 = not seen */
    size_t head_count;
    uint64_t acked_generation;
    uint64_t acked_ledger;
    uint8_t *issued; /* issue index -> 1 when a client got it */
    size_t issued_count;
    uint64_t issues_unknown; /* requests that may or may not have been applied */
    uint64_t terms[4096];    /* leader of each term */
    struct entry_endorsement acked_chips[SIM_CHIPS]; /* whose certificates were acknowledged */
    size_t acked_chip_count;
    uint64_t acked_list; /* number of the newest list that was acknowledged */
    uint64_t grants;     /* acknowledged permissions to ask AMD's key service */
    int64_t first_grant_s, last_grant_s;
    bool is_time_moot; /* a single voter with a wrong clock led */
    /* sim_rule.c */
    struct sim_index *indexes; /* owned; by index of the log */
    size_t index_count;
    uint64_t committed_max;
};

void sim_trace(struct sim *s, const char *what, uint64_t a, uint64_t b);
void sim_run_for(struct sim *s, uint64_t duration_ms);
void sim_fail(struct sim *s, const char *format, ...) PRINTF_LIKE(2, 3);

/* sim_secret.c: called so that the linker takes its secret_new and not lib/base's. */
void sim_secret_link(void);

/* sim_pod.c */
void sim_pod_found(struct sim *s); /* all founders, and the spare pods */
void sim_pod_add(struct sim *s);   /* one more */
/* Its replica, about to be changed: it is looked at after this event. */
struct replica *sim_pod_use(struct sim_pod *p);
void sim_pod_stop(struct sim *s, struct sim_pod *p, uint64_t down_ms); /* memory is lost */
void sim_pod_tend(struct sim *s); /* ends, restarts, admissions that are due */
uint64_t sim_pod_next(const struct sim *s);
void sim_pod_settle(struct sim_pod *p); /* after an event: when it wants to tick */
bool sim_pod_is_member(const struct sim_pod *p);
bool sim_pod_is_settled(const struct sim_pod *p); /* caught up, and stays */
void sim_pod_pause(struct sim_pod *p, uint64_t until_ms, bool is_still);
void sim_pod_drift(struct sim_pod *p, int64_t ppm);
void sim_pod_deinit(struct sim *s);

/* sim_op.c */
struct sim_op *sim_op_new(struct sim *s, enum sim_op_kind kind, unsigned slot); /* owned by s */
void sim_op_begin(struct sim *s, enum sim_op_kind kind, unsigned slot);
void sim_op_blob(struct sim *s, unsigned slot, unsigned policy);
void sim_op_admit(struct sim *s, unsigned slot, unsigned joiner);
void sim_op_random(struct sim *s);
void sim_op_retry(struct sim *s); /* those that are due */
void sim_op_retire(struct sim *s, unsigned slot, uint64_t id);
void sim_op_clone(struct sim *s, unsigned slot, const struct sim_pod *victim);
void sim_op_replied(struct sim *s, uint64_t ticket, const struct replica_reply *reply);
void sim_op_forget(struct sim *s, unsigned slot);
void sim_op_fill_member(const struct sim *s, const struct sim_pod *p, struct arena *arena,
                        struct entry_member *out);
void sim_op_init(struct sim *s);
void sim_op_deinit(struct sim *s);

/* sim_fault.c */
/* Without this pod, too, a majority of every configuration that somebody knows is sound. */
bool sim_fault_may_die(const struct sim *s, const struct sim_pod *p);
uint64_t sim_fault_next(const struct sim *s); /* when the next one is due; UINT64_MAX = none */
void sim_fault_play(struct sim *s);           /* those that are due */
void sim_fault_heal(struct sim *s);           /* everything */

/* sim_net.c */
void sim_net_send(struct sim *s, unsigned from, uint64_t to_id, uint8_t type, struct span body);
void sim_net_init(struct sim *s);
void sim_net_update(struct sim *s); /* after wishes, crashes or cuts changed */
uint64_t sim_net_next(const struct sim *s);
bool sim_net_deliver(struct sim *s);             /* one event that is due; false when none is */
void sim_net_drop(struct sim *s, unsigned slot); /* all links of a pod */
void sim_net_reset(struct sim *s, unsigned a, unsigned b);
/* The same, and what is on its way arrives all the same, up to late_ms later. */
void sim_net_reset_late(struct sim *s, unsigned a, unsigned b, uint64_t late_ms);
void sim_net_cut(struct sim *s, unsigned from, unsigned to, uint64_t heal_ms);
void sim_net_heal(struct sim *s);                            /* every cut, loss and delay */
void sim_net_release(struct sim *s);                         /* somebody woke, or a cut ended */
bool sim_net_is_healthy(const struct sim *s, unsigned slot); /* no fault on its links */
void sim_net_deinit(struct sim *s);

/* sim_check.c */
void sim_check_step(struct sim *s);
void sim_check_leaders(struct sim *s); /* between events: leader completeness */
bool sim_check_is_resting(const struct sim *s);
/* A member that has lived without any fault for longer than it takes to be called dead. */
bool sim_check_is_healthy(const struct sim_pod *p);
void sim_check_rest(struct sim *s);
void sim_check_reply(struct sim *s, const struct sim_op *op, const struct replica_reply *reply);
void sim_check_issues(struct sim *s, const struct core *core);
void sim_check_deinit(struct sim *s);

/* sim_rule.c */
void sim_rule_step(struct sim *s); /* what changed in this event */
void sim_rule_sent(struct sim_pod *p, uint8_t type, struct span body);
void sim_rule_deliver(struct sim *s, const struct sim_message *m); /* into its replica */
void sim_rule_begin(struct sim_pod *p);                            /* a new life */
void sim_rule_deinit(struct sim *s);

#endif
