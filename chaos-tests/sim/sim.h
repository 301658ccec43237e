/* Sim: whole clusters of real replicas in one process, in virtual time, from one seed.
 *
 *   seed -> faults, delays, operations -> replicas (coordinator/replica.h: consensus, core,
 *   membership, the queue of session requests) -> checks after every step, and at rest
 *
 * What is real: everything behind replica.h. What is played: time, randomness, links (first in
 * first out, delayed, cut, reset), the sessions that ask, and who was attested. A replica that
 * crashes loses all memory; its pod comes back as a new replica and is admitted under its old name.
 *
 * One seed is one run, bit for bit: sim_run twice gives the same trace digest.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SIM_H
#define CONTRAST_SIM_H

#include "coordinator/replica.h"

#define SIM_SKEW_S 60                     /* that a good clock is off by, at most */
#define SIM_TIME_BASE INT64_C(1795000000) /* unix seconds of the beginning */
#define SIM_SLOTS 6                       /* pods: up to five founders and a standby */
#define SIM_TEXT 512
#define SIM_CHAOS_MS 8000 /* of the test and of contrast-sim */
#define SIM_REST_MS 20000

struct sim_options {
    uint64_t seed;
    bool is_verbose;       /* log lines of all replicas on stderr */
    uint64_t chaos_ms;     /* virtual time with faults */
    uint64_t rest_ms;      /* virtual time to recover and drain */
    struct sim_kill *kill; /* instead of faults: sim_kill.h; NULL = none */
};

struct sim_result {
    bool is_good;
    char why[SIM_TEXT]; /* the first check that failed */
    uint8_t trace[32];  /* digest over everything that happened */
    uint64_t steps;
    uint64_t sets; /* acknowledged */
    uint64_t issues;
    uint64_t confirms;
    uint64_t endorsements;
    uint64_t crashes;
    uint64_t leaves;
    uint64_t joins;
    uint64_t cuts;
    uint64_t pauses;
    uint64_t jumps; /* of clocks */
    uint64_t elections;
};

void sim_run(const struct sim_options *options, struct sim_result *out);

/* --- Inside: sim.c (loop), sim_pod.c (lives), sim_op.c (operations), sim_fault.c, sim_net.c
 * (links), sim_check.c */

struct sim;

struct sim_message {
    struct sim_message *next;
    uint64_t at_ms;
    uint8_t type;
    struct buf body;
};

/* From one slot to another. */
struct sim_link {
    bool is_up;       /* as both ends were told */
    bool is_cut;      /* by a fault, this direction: what is sent waits, then the link breaks */
    uint64_t cut_ms;  /* since then */
    uint64_t up_ms;   /* comes up then; 0 = not under way */
    uint64_t last_ms; /* delivery of the newest message: first in first out */
    struct sim_message *first;
    struct sim_message *last;
};

struct sim_pod {
    struct sim *sim;
    unsigned slot;
    char name[16];
    char address[32];
    struct host host;
    int64_t clock_skew_s;
    uint64_t wrong_ms;       /* its clock counts as wrong before that */
    struct replica *replica; /* NULL while the pod is down */
    uint64_t id;
    uint8_t spki[32];
    uint8_t host_data[32];
    uint64_t incarnation;
    bool is_gone;         /* io.gone came: the pod restarts */
    bool is_admitting;    /* an ADMIT for it is on its way */
    bool is_admitted;     /* joins at the next turn, with what pod `admitted_by` knows */
    unsigned admitted_by; /* slot */
    uint64_t join_ms;     /* next try to be admitted */
    uint64_t paused_ms;   /* handles nothing before that; 0 = awake */
    uint64_t sick_ms;     /* may look dead to others before that */
    uint64_t restart_ms;
    uint64_t led_term; /* newest term that it was seen to lead */
    uint64_t led_from; /* ledger leaves acknowledged when that began */
    uint64_t wanted[LIMIT_MEMBERS];
    size_t wanted_count;
    uint64_t checked_leaves; /* of its ledger */
    uint64_t checked_records;
    uint64_t checked_list; /* highest number of its revocation list */
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
    SIM_RECOVER
};

struct sim_op {
    struct sim_op *next;
    uint64_t ticket;
    enum sim_op_kind kind;
    unsigned slot;             /* asked there */
    uint64_t generation;       /* SET: wanted; ISSUE: verified against; RECOVER: its epoch */
    uint64_t floor_generation; /* acknowledged when it began */
    uint64_t floor_ledger;
    unsigned joiner; /* ADMIT: slot */
    uint64_t joiner_id;
    uint8_t collateral;           /* ENDORSE: enum entry_collateral_kind */
    struct entry_endorsement key; /* ENDORSE */
    uint64_t number;              /* ENDORSE, a list's */
};

struct sim {
    const struct sim_options *options;
    struct sim_result *result;
    struct sim_kill *kill; /* sim_kill.h; NULL = none */
    uint64_t random[4];
    uint64_t now_ms;
    bool is_quiet;     /* no new faults or operations */
    bool is_net_stale; /* wishes, cuts or lives changed: sim_net_update is due */
    struct sim_pod pods[SIM_SLOTS];
    unsigned pod_count;
    unsigned founder_count;
    uint64_t snapshot_threshold; /* entries: small ones make snapshots travel */
    uint64_t snapshot_trailing;
    struct sim_link links[SIM_SLOTS][SIM_SLOTS];
    struct buf found;
    struct sim_op *ops;
    uint64_t next_ticket;
    uint64_t next_fault_ms;
    uint64_t next_op_ms;
    uint64_t numbers;           /* of manifests and keys, each used once */
    uint8_t policy_hash[2][32]; /* coordinator, workload */
    uint8_t owner_digest[1][32];
    struct buf more_manifest; /* JSON, behind the last field */
    struct buf trace;
    /* sim_check.c */
    uint8_t (*roots)[48]; /* ledger root at each size, as first seen */
    size_t root_count;
    uint8_t (*heads)[32]; /* transition of each generation, as first seen */
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
    int64_t first_grant_s;
};

uint64_t sim_random(struct sim *s);
uint64_t sim_below(struct sim *s, uint64_t bound);
void sim_trace(struct sim *s, const char *what, uint64_t a, uint64_t b);
void sim_run_for(struct sim *s, uint64_t duration_ms);
void sim_fail(struct sim *s, const char *format, ...) PRINTF_LIKE(2, 3);

/* sim_pod.c */
void sim_pod_found(struct sim *s); /* all founders, and the spare pods */
void sim_pod_add(struct sim *s);   /* one more */
void sim_pod_stop(struct sim *s, struct sim_pod *p, uint64_t down_ms); /* memory is lost */
void sim_pod_tend(struct sim *s); /* ends, restarts, admissions that are due */
uint64_t sim_pod_next(const struct sim *s);
bool sim_pod_is_member(const struct sim_pod *p);
bool sim_pod_is_settled(const struct sim_pod *p); /* caught up, and stays */
void sim_pod_deinit(struct sim *s);

/* sim_op.c */
struct sim_op *sim_op_new(struct sim *s, enum sim_op_kind kind, unsigned slot); /* owned by s */
void sim_op_begin(struct sim *s, enum sim_op_kind kind, unsigned slot);
void sim_op_blob(struct sim *s, unsigned slot, unsigned policy);
void sim_op_admit(struct sim *s, unsigned slot, unsigned joiner);
void sim_op_random(struct sim *s);
void sim_op_replied(struct sim *s, uint64_t ticket, const struct replica_reply *reply);
void sim_op_forget(struct sim *s, unsigned slot);
void sim_op_fill_member(const struct sim *s, const struct sim_pod *p, struct arena *arena,
                        struct entry_member *out);
void sim_op_init(struct sim *s);

/* sim_fault.c */
/* Without this pod, too, a majority of every configuration that somebody knows is sound. */
bool sim_fault_may_die(const struct sim *s, const struct sim_pod *p);
void sim_fault_random(struct sim *s);
void sim_fault_heal(struct sim *s);

/* sim_net.c */
void sim_net_send(struct sim *s, unsigned from, uint64_t to_id, uint8_t type, struct span body);
void sim_net_update(struct sim *s); /* after wishes, crashes or cuts changed */
uint64_t sim_net_next(const struct sim *s);
bool sim_net_deliver(struct sim *s);             /* one event that is due; false when none is */
void sim_net_drop(struct sim *s, unsigned slot); /* all links of a pod */
void sim_net_reset(struct sim *s, unsigned a, unsigned b);
void sim_net_deinit(struct sim *s);

/* sim_check.c */
void sim_check_step(struct sim *s);
void sim_check_leaders(struct sim *s); /* between events: leader completeness */
bool sim_check_is_resting(const struct sim *s);
void sim_check_rest(struct sim *s);
void sim_check_reply(struct sim *s, const struct sim_op *op, const struct replica_reply *reply);
void sim_check_issues(struct sim *s, const struct core *core);
void sim_check_deinit(struct sim *s);

#endif
