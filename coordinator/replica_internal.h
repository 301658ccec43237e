/* Replica, inside: what the replica*.c files share.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_REPLICA_INTERNAL_H
#define CONTRAST_REPLICA_INTERNAL_H

#include "consensus/link_notice.h"
#include "consensus/node.h"
#include "coordinator/admissions.h"
#include "coordinator/core/core_rule.h"
#include "attest/snp_report.h"
#include "coordinator/replica.h"

#define REPLICA_TEND_MS 20     /* pace of what waits */
#define REPLICA_RESEND_MS 500  /* a proposal without outcome goes to the leader again */
#define REPLICA_MEMBERS_MS 100 /* pace of the membership planner */
#define REPLICA_ISSUES_IN_FLIGHT 2
#define REPLICA_REMOVED_MS 1000    /* pace of telling removed members so */
#define REPLICA_CONFIRM_MS 500     /* a leader confirms itself before it calls members dead */
#define REPLICA_PAUSE_MS 500       /* between two ticks: this process was stopped */
#define REPLICA_CAUGHT_UP 64       /* entries behind which a standby may be promoted */
#define REPLICA_HASH_INTERVAL 1024 /* entries between two comparisons of state hashes */
#define REPLICA_HASHES 4           /* comparisons remembered */
#define REPLICA_READ_MS 2000       /* a confirmation without a quorum ends */
#define REPLICA_RETIRE_MS 3000     /* for a quorum to hear that this replica leaves */
#define REPLICA_LEADERLESS_MS 2000 /* a leaving replica waits so long for somebody to lead */
#define REPLICA_DRAIN_MS 1000      /* for requests that were under way when it began to leave */
#define REPLICA_BEAT_MS 1000       /* pace of beats */
#define REPLICA_CLOCK_MS 10000     /* a clock that was heard counts so long */
#define REPLICA_TELL_MS 5000       /* a member is told again of rows that it may have missed */
#define REPLICA_TOLD_MS 60000      /* such a row is forgotten when nobody speaks of it */
#define REPLICA_ADMITTING_MS 5000  /* an admission is under way for so long at most */
#define REPLICA_LONELY_MS 1000     /* without links to a majority: no quorum answers */
#define REPLICA_BULK (16 * 1024)   /* bytes of a frame that is progress for a learner */
#define REPLICA_AGAIN_MS 500       /* advice: when a refused request may be sent again */

/* A proposal on its way. */
struct pending {
    struct pending *next;
    uint64_t sequence;
    uint64_t sent_ms; /* 0 = not to the leader of now */
    unsigned tries;   /* times that it was sent to one, or submitted */
    uint64_t deadline_ms;
    bool is_issue;
    size_t ticket_count;
    uint64_t *tickets; /* owned; one, or one per certificate request */
    struct buf entry;
};

/* A certificate request that waits for the next ISSUE entry. */
struct waiting_issue {
    struct waiting_issue *next;
    uint64_t ticket;
    uint64_t generation;
    uint64_t deadline_ms;               /* to be in an entry */
    struct entry_issue_request request; /* spki points into `spki` */
    struct buf spki;
};

enum waiter_kind {
    WAITER_CONFIRM,
    WAITER_STATUS,
    WAITER_LEARNER, /* this replica itself: no ticket, no reply */
};

/* Somebody who waits for a quorum's confirmation, then for its index to be applied. */
struct waiter {
    struct waiter *next;
    enum waiter_kind kind;
    uint64_t ticket; /* the session's */
    uint64_t number; /* this replica's, also on the wire */
    bool is_confirmed;
    uint64_t index;    /* confirmed */
    uint64_t asked_ms; /* 0 = nobody to ask yet */
    uint64_t deadline_ms;
};

struct state_hash {
    uint64_t index;
    uint8_t hash[32];
    uint64_t differs[LIMIT_MEMBERS]; /* ids that sent another one */
    size_t differ_count;
};

struct link_state {
    uint64_t id;
    bool is_up;
    uint64_t changed_ms;
    uint64_t told_ms; /* rows that it may have missed went there; 0 = not since it came up */
};

/* A member that another member told of, and that this log does not know yet; or one that is leaving
 * or has left, and may not know. */
struct told_member {
    struct arena arena;
    bool is_leaving;
    struct entry_member member; /* in the arena */
    uint64_t heard_ms;
};

struct heard_clock {
    uint64_t id; /* 0 = free */
    int64_t time;
    uint64_t heard_ms;
};

struct alarm {
    uint64_t id, by; /* replicas; 0 = none */
    char name[LIMIT_NAME + 1];
    char by_name[LIMIT_NAME + 1];
    char code[LIMIT_ALARM_CODE + 1];
    char text[LIMIT_ALARM_TEXT + 1];
    int64_t time;
};

struct configured_member {
    uint64_t id;
    uint64_t since_ms;
};

struct early_hash {
    uint64_t peer;
    uint64_t index;
    uint8_t hash[32];
};

struct replica {
    struct replica_options options;
    const struct host *host;
    struct replica_io io;
    enum replica_state state;
    struct err why; /* of FROZEN and GONE */
    struct node_io node_io;
    struct node *node; /* NULL until FOUNDER or JOINING */
    struct core *core;
    struct core_result result; /* of the entry being applied */
    struct buf found;
    uint64_t expected_generation; /* of a joiner */
    uint8_t expected_head[32];
    uint64_t ticked_ms; /* last replica_tick; 0 = none */
    uint64_t lapse_ms;  /* PREPARED lapses, or a founder without a manifest ends */
    uint64_t epoch;     /* at least: of the history that was joined, or recovered */
    /* replica_recover.c */
    bool has_recover_ticket;
    uint64_t recover_ticket;
    /* replica_leave.c */
    bool is_leave_asked; /* by this process' end, not by the cluster */
    bool is_retire_proposed;
    uint64_t leave_since_ms; /* LEAVING since then */
    uint64_t leave_led_ms;   /* somebody led then */
    uint64_t leave_ms;       /* next look */
                             /* replica_propose.c */
    uint64_t next_sequence;
    struct pending *pending; /* in order of sequence */
    size_t pending_count;    /* requests of sessions, of all kinds */
    size_t pending_bytes;    /* of entries in `pending` */
    struct waiting_issue *issues;
    struct waiting_issue **issues_last;
    size_t issues_waiting;
    size_t issues_in_flight;
    struct waiter *waiters;
    uint64_t next_number;
    uint64_t tended_ms; /* the last time that what waits was tended */
    /* replica_beat.c, replica_peers.c, replica_alarm.c */
    uint64_t beat_ms; /* next */
    struct heard_clock clocks[LIMIT_MEMBERS];
    struct told_member *told[LIMIT_MEMBERS]; /* owned */
    size_t told_count;
    struct alarm alarms[LIMIT_ALARMS]; /* oldest first */
    size_t alarm_count;
    /* replica_members.c */
    struct admissions admissions;
    uint64_t admitting_id; /* the newest admission that this leader let into the log */
    uint64_t admitting_ms;
    uint64_t lonely_ms; /* fewer than a majority of the voters are linked since then; 0 = enough */
    uint64_t progress_index; /* applied by a learner, when that last grew */
    uint64_t progress_ms;
    uint64_t members_ms;      /* next planning */
    uint64_t removed_ms;      /* next word to those who were removed */
    uint64_t member_since_ms; /* has a node since */
    uint64_t confirmed_ms;    /* a quorum confirmed this leader; 0 = not this term */
    uint64_t confirm_asked_ms;
    bool is_confirming;
    uint64_t led_since_ms; /* leads since then, or woke; 0 = does not lead */
    uint64_t awake_ms;     /* last tick */
    struct link_state links[LIMIT_MEMBERS];
    size_t link_count;
    struct configured_member configured[LIMIT_MEMBERS]; /* the committed configuration */
    size_t configured_count;
    uint64_t hashed_interval;
    struct link_notices complaints;
    struct early_hash early[LIMIT_MEMBERS]; /* of peers ahead of this replica */
    size_t early_count;
    struct state_hash hashes[REPLICA_HASHES];
};

static inline uint64_t replica_now(const struct replica *r) {
    return host_monotonic_ms(r->host);
}

/* replica_life.c */
void replica__move(struct replica *r, enum replica_state to); /* along an edge of the table */
bool replica__is_over(const struct replica *r);               /* FROZEN or GONE */

void replica__end(struct replica *r, enum err_code code, const char *format, ...) PRINTF_LIKE(3, 4);
void replica__freeze(struct replica *r, const char *text);
void replica__check_health(struct replica *r);
void replica__caught_up(struct replica *r);
void replica__life_configured(struct replica *r, const struct node_member *members, size_t count);
void replica__life_manifest(struct replica *r); /* one was applied */
void replica__life_tick(struct replica *r);

/* replica.c */
/* A line of the log about what a peer sent, or what could not be done with it; of each kind of
 * trouble one in LIMIT_LINK_NOTICE_MS, whoever brings it. */
void replica__complain(struct replica *r, uint64_t peer, const char *what, const struct err *why);
RESULT replica__start_node(struct replica *r, struct err *err);

/* replica_recover.c */
void replica__recovered(struct replica *r); /* a RECOVER entry came out of the log: r->result */

/* replica_leave.c */
void replica__retired(struct replica *r); /* its own row says leaving */
void replica__left(struct replica *r);    /* LEAVING, and out of the configuration */
void replica__leave_tick(struct replica *r);

/* replica_confirm.c */
void replica__tend_waiters(struct replica *r, uint64_t now);
void replica__fail_waiters(struct replica *r, enum err_code code);
void replica__read_asked(struct replica *r, uint64_t peer, struct span body);
void replica__read_answered(struct replica *r, struct span body);
void replica__progress(struct replica *r); /* something was applied: waiters may be done */
/* Asks a quorum how far the log is, unless that is under way: replica__caught_up when it is
 * applied here. */
void replica__prove_caught_up(struct replica *r);

/* replica_beat.c */
void replica__beat(struct replica *r, uint64_t peer);
void replica__beat_tick(struct replica *r);
void replica__beat_received(struct replica *r, uint64_t peer, struct span body);
/* NOT_LEADER: not known yet, ask again. UNAVAILABLE, and an alarm, when an entry would drag the
 * cluster's time ahead. */
RESULT replica__check_time(struct replica *r, const struct entry *e, struct err *err);

/* replica_peers.c */
void replica__peer_is_at(struct replica *r, uint64_t peer, uint64_t applied);
void replica__peer_received(struct replica *r, uint64_t peer, struct span body);
void replica__told_tick(struct replica *r);
/* A member that leaves unasked stays linked for a while; 0 and whoever has no row: nobody. */
void replica__keep_leaving(struct replica *r, uint64_t id);
void replica__forget_told(struct replica *r);

/* replica_alarm.c */
void replica__alarm(struct replica *r, uint64_t id, const char *code, const char *text);
void replica__alarm_received(struct replica *r, uint64_t peer, struct span body);
void replica__alarms_fill(const struct replica *r, struct arena *arena, struct wire_list *out);

/* replica_hash.c */
void replica__hash_applied(struct replica *r, uint64_t index);
void replica__hash_received(struct replica *r, uint64_t peer, struct span body);

/* replica_status.c */
/* The report in a member's evidence, as it stands there; false: none can be read. */
bool replica__report_of(struct span evidence, struct snp_report *out);
void replica__status_fill(struct replica *r, bool is_confirmed, struct arena *arena,
                          struct api_status_reply *out);

/* replica_propose.c */
void replica__reply_error(struct replica *r, uint64_t ticket, enum err_code code, const char *text);
/* Whether a request may begin; else it is answered here. */
bool replica__admit_request(struct replica *r, uint64_t ticket, bool is_read);
void replica__applied(struct replica *r);          /* r->result is the newest */
void replica__resend(struct replica *r, bool all); /* to the leader of now */
void replica__ask_again(struct replica *r); /* the leader of now: who was asked may be gone */
void replica__propose_tick(struct replica *r);
uint64_t replica__propose_deadline(const struct replica *r);
void replica__fail_all(struct replica *r, enum err_code code, const char *text);
void replica__forwarded(struct replica *r, uint64_t peer, struct span body);
void replica__declined(struct replica *r, uint64_t peer, struct span body);
/* Proposes for this replica itself: nobody waits. */
void replica__propose_own(struct replica *r, enum entry_type type, const void *body);

/* replica_members.c */
void replica__members_tick(struct replica *r);
void replica__configured(struct replica *r, const struct node_member *members, size_t count);
void replica__publish(struct replica *r);
void replica__set_peers(struct replica *r);
void replica__removed_received(struct replica *r, uint64_t peer, struct span body);
void replica__link_changed(struct replica *r, uint64_t id, bool is_up);
/* Leader: may this admission enter the log? EXISTS: the name's holder lives; UNAVAILABLE: not now.
 */
RESULT replica__check_admit(struct replica *r, const struct entry_admit *admit, struct err *err);
bool replica__is_silent(const struct replica *r, uint64_t id);
/* Fewer than a majority of the voters have been linked for REPLICA_LONELY_MS; says so in `text`. */
bool replica__is_lonely(const struct replica *r, char *text, size_t size);
size_t replica__linked_voters(const struct replica *r);       /* with itself */
bool replica__is_voter(const struct replica *r, uint64_t id); /* in the committed configuration */
size_t replica__voter_count(const struct replica *r);
size_t replica__voter_target(const struct replica *r); /* as many as founded the cluster */
/* The voter to hand leadership to: linked, heard of, not leaving, furthest in the log; 0 = none. */
uint64_t replica__fittest_follower(const struct replica *r);
bool replica__is_linked(const struct replica *r, uint64_t id);

#endif
