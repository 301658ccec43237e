/* Node internals: the state that the node_*.c files share, and who does what.
 *
 *   node.c           life, turn (one raft_step with everything that follows), settle, tick
 *   node_receive.c   from a peer: R1 split, R3 fast-forward, R6 order, P6 late votes, P8 checks
 *   node_send.c      to a peer: R4 pre-vote replies, P7 fields, pieces of LIMIT_APPEND_BYTES
 *   node_change.c    membership: R2 gate, P1 leader stays a voter, P2 standbys, P5 catch-up
 *   node_snapshot.c  taking, sending in chunks, assembling, installing
 *   node_read.c      linearizable reads
 *   node_transfer.c  leadership to another voter
 *   node_gone.c      an early election when the leader's process is known to be gone
 *   node_epoch.c     the beginning of a new log with an old state, and the end of a log
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_NODE_INTERNAL_H
#define CONTRAST_NODE_INTERNAL_H

#include <raft.h>

#include "consensus/node.h"
#include "consensus/node_codec.h"
#include "consensus/node_config.h"
#include "consensus/node_log.h"

/* Who owns what in raft_step changed after 0.22.1, and before it the log itself was not safe. */
_Static_assert(RAFT_VERSION_NUMBER == 2201, "exactly libraft 0.22.1");

#define NODE_PEERS_MAX (2 * LIMIT_MEMBERS)
#define NODE_CHUNK_WINDOW 4 /* chunks under way to one peer */

enum node_rule {
    NODE_RULE_R1,
    NODE_RULE_R2,
    NODE_RULE_R3,
    NODE_RULE_R4,
    NODE_RULE_R5,
    NODE_RULE_R6,
    NODE_RULE_R7,
    NODE_RULE_P1,
    NODE_RULE_P3,
    NODE_RULE_P5,
    NODE_RULE_P6,
    NODE_RULE_P7,
    NODE_RULE_P8,
    NODE_RULE_READ,
};

/* Tests take a rule out to see that they notice; the product has no such switch. */
#ifdef CONSENSUS_MUTATIONS
extern unsigned node_disabled_rules;
static inline bool node_rule_is_off(enum node_rule rule) {
    return (node_disabled_rules >> rule & 1U) != 0;
}
#else
static inline bool node_rule_is_off(enum node_rule rule) {
    (void)rule;
    return false;
}
#endif

struct node_snapshot {
    size_t references;
    uint64_t index, term, config_index;
    struct node_config config;
    struct buf data; /* owned */
};

/* A snapshot on its way to a peer. */
struct node_outgoing {
    struct node_snapshot *snapshot; /* one reference; NULL: none */
    uint64_t transfer;              /* unique in this node's life */
    uint64_t term;
    uint8_t version;
    size_t sent, acked;     /* bytes */
    uint64_t progress_ms;   /* when acked last grew */
    uint64_t retry_from_ms; /* when it last went back to acked */
    bool went_back;         /* since acked last grew */
};

/* A snapshot coming from a peer. */
struct node_incoming {
    uint64_t transfer, term, index; /* transfer 0: none */
    struct buf data;                /* owned; so far */
    uint64_t progress_ms;           /* when it last grew */
};

struct node_peer {
    uint64_t id;            /* 0: free */
    uint64_t last_sequence; /* rule R6 */
    uint64_t last_contact_ms;
    uint64_t probe_round; /* the last round it acknowledged in this term */
    uint64_t told_term;   /* of the last AppendEntries sent to it */
    uint64_t told_commit; /* what it knows to be committed by that one */
    uint8_t append_version;
    /* What the library counts as sent in told_term begins behind paced_from; it has been sent up to
     * paced_next, and paced_left entries from there on have not. */
    uint64_t paced_from, paced_next;
    size_t paced_left;
    struct node_outgoing out;
    struct node_incoming in;
    uint64_t held;    /* leader: it needs the log from here on; 0: unknown */
    uint64_t held_ms; /* when that last grew, or its snapshot did */
};

struct node_pending_read {
    node_read_cb cb;
    void *data;
    uint64_t round; /* 0: waits for the next round to begin */
    uint64_t deadline_ms;
};

struct node {
    struct raft raft;
    uint64_t id;
    const struct node_io *io;
    const struct host *host;
    struct node_options options;
    bool started, is_turning, is_settling;
    enum err_code health; /* ERR_OK, ERR_FROZEN or ERR_DIVERGED */
    char reason[200];     /* why frozen */

    uint64_t now_ms;           /* of the last turn; never goes back (pitfall P4) */
    uint64_t raft_deadline_ms; /* pitfall P3 */
    uint64_t steps;            /* raft_step calls, for tests and metrics */

    struct raft_entry *batch; /* owned; submitted, and not handed to the library yet */
    size_t batch_count;
    uint64_t batch_bytes; /* of their payloads */
    bool tells_commit;    /* followers may have to hear of the commit index in this tick */

    struct node_log log;
    struct node_snapshot *snapshot; /* the newest, or NULL */
    struct node_snapshot *arriving; /* while the library decides on it, else NULL */
    struct node_snapshot *loading;  /* installed, not handed to snapshot_load yet, or NULL */
    struct node_config config;      /* committed */
    uint64_t config_index;          /* 0: none */
    uint64_t applied;
    uint64_t first_own; /* first index of the leader's own term, 0: none yet (rule R2) */
    uint64_t first_own_term;
    uint64_t heard_leader, heard_term; /* whom we follow, and in which term */
    uint64_t heard_ms;                 /* when it last spoke */
    uint64_t append_term;              /* of the request being handled (pitfall P7) */
    bool rejected;                     /* it was answered with a rejection (rule R1) */
    bool leader_is_gone;               /* node_leader_gone, and no leader since */
    bool is_concluded;
    unsigned gone_campaigns; /* early timers since gone_since_ms */
    uint64_t gone_since_ms;
    uint64_t transfer_to; /* leader: this voter shall lead; 0: none */
    uint64_t transfer_term, transfer_until_ms;
    uint64_t gone_report; /* a peer reported from inside `send`; 0: none */

    enum node_role told_role;
    uint64_t told_term, told_leader;

    uint64_t sequence; /* of the last message sent, to anybody */
    uint64_t transfers;
    struct node_peer peers[NODE_PEERS_MAX];

    struct node_pending_read *reads; /* owned */
    size_t read_count, read_capacity;
    uint64_t read_round;       /* of the last round begun */
    uint64_t read_round_index; /* commit index when it began */
    bool read_round_open;
    uint64_t read_probe_ms; /* when probes were last sent */

    uint64_t deferred_persist; /* rule R5 taken out: a stored index not yet reported */
};

/* node.c */
/* One raft_step and everything that follows from it but apply and callbacks of the owner; 0 or
 * libraft's error. Freezes on an error that leaves the library in an unknown state. */
int node__turn(struct node *node, struct raft_event *event);
/* Everything else, until nothing is left: role_changed, barrier, snapshots, apply. */
void node__settle(struct node *node);
bool node__tell_role(struct node *node); /* true: it changed */
void node__clock(struct node *node);     /* now_ms = the host's time, never back (P4) */
RESULT node__ensure_working(const struct node *node, struct err *err);
/* Submits one entry (takes over the reference); the index is raft_last_index afterwards. */
int node__submit_entry(struct node *node, int type, struct node_payload *payload);
void node__hand_over(struct node *node); /* what was submitted and waits to leave together */
bool node__is_leader(const struct node *node);
/* NULL when unknown and `create` is false. */
struct node_peer *node__peer(struct node *node, uint64_t id, bool create);
const struct node_peer *node__find_peer(const struct node *node, uint64_t id);

/* node_send.c */
void node__send(struct node *node, uint64_t peer, struct node_message *message);
void node__send_raft(struct node *node, const struct raft_message *message);
/* Leader: sends each follower the entries that waited for its answers, and tells it what it has and
 * does not know to be committed. */
void node__tell_commits(struct node *node);

/* node_receive.c */
/* Gives a complete snapshot to the library as if it had come in one message. */
RESULT node__receive_snapshot(struct node *node, uint64_t peer, const struct node_chunk *chunk,
                              struct node_snapshot *snapshot, struct err *err);

/* node_snapshot.c */
/* Of the owner's present state; the caller fills in the place in the log. */
struct node_snapshot *node__snapshot_save(struct node *node);
void node__snapshot_unref(struct node_snapshot *snapshot); /* accepts NULL */
void node__snapshot_install(struct node *node, struct raft_update *update);
bool node__snapshot_load(struct node *node); /* true: did something */
bool node__snapshot_take(struct node *node); /* true: did something */
void node__snapshot_start(struct node *node, const struct raft_message *message);
RESULT node__snapshot_chunk(struct node *node, struct node_peer *peer, const struct node_chunk *c,
                            struct err *err);
void node__snapshot_ack(struct node *node, struct node_peer *peer, const struct node_chunk_ack *a);
void node__snapshot_tick(struct node *node);
uint64_t node__snapshot_deadline(const struct node *node);
void node__outgoing_stop(struct node_outgoing *out);
void node__incoming_drop(struct node_incoming *in);
void node__snapshot_resume(struct node *node, struct node_peer *peer);

/* node_change.c */
bool node__settle_barrier(struct node *node); /* true: submitted one */
RESULT node__ensure_may_change(const struct node *node, struct err *err);
RESULT node__ensure_no_catch_up(const struct node *node, struct err *err);

/* node_transfer.c */
bool node__is_transferring(const struct node *node);
void node__transfer_check(struct node *node); /* after every step */
void node__transfer_gone(struct node *node, uint64_t peer);
uint64_t node__transfer_deadline(const struct node *node);

/* node_gone.c */
void node__gone_check(struct node *node); /* after every step */
void node__leader_seen(struct node *node);

/* node_read.c */
void node__read_cancel_all(struct node *node, enum err_code code);
void node__read_tick(struct node *node);
void node__read_ack(struct node *node, struct node_peer *peer, const struct node_probe *ack);
void node__read_probe(struct node *node, uint64_t peer, const struct node_probe *probe);
uint64_t node__read_deadline(const struct node *node);

#endif
