/* Node: one Raft replica as a sans-I/O state machine over libraft's raft_step.
 *
 *     submit, receive, tick ──> node ──> send, apply, configured, role_changed, ...
 *
 * The library decides; the node owns the log (in memory, wiped), applies committed entries, takes
 * and installs snapshots, answers linearizable reads, and guards the library with the rules R1-R6
 * and P1-P12 of docs/consensus.md, each one named function. Nothing is ever read back from a disk:
 * a replica that restarts joins as a new member with a new id.
 *
 * Single-threaded, runs to completion: every function returns with all its consequences handed to
 * the callbacks, except that from inside a callback they follow when that callback returns.
 * Callbacks may call everything but node_receive, node_tick, node_conclude and node_free; `send`
 * may call nothing. Time and randomness come from struct host. Reads no clock and no socket itself.
 *
 * Peers' bytes are bounded and checked before the library sees them. What breaks the protocol comes
 * back as an error of class PEER from node_receive and leaves the node as it was. When the node
 * cannot go on (logs diverged, a snapshot does not load) it freezes: no vote, no apply, no message,
 * memory kept for inspection and for survivor export; see node_health.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_NODE_H
#define CONTRAST_NODE_H

#include "lib/base/bytes.h"
#include "lib/base/host.h"
#include "lib/base/limits.h"

enum node_role { NODE_FOLLOWER, NODE_CANDIDATE, NODE_LEADER };
enum node_member_role { NODE_VOTER, NODE_STANDBY };

struct node_member {
    uint64_t id; /* 1..2^63-1 */
    enum node_member_role role;
};

/* All callbacks are set; spans and arrays are borrowed for the call. */
struct node_io {
    void *data;
    /* Queues one encoded message; may lose it, must keep the order per peer, must not duplicate.
     * `message` is at most LIMIT_FRAME_BODY bytes. Must not call into the node. */
    void (*send)(void *data, uint64_t peer, struct span message);
    /* A committed command, in log order, exactly once; indexes may skip (barriers, membership). */
    void (*apply)(void *data, uint64_t index, uint64_t term, struct span command);
    /* A configuration was committed, or came with a snapshot; members sorted as in the entry. */
    void (*configured)(void *data, uint64_t index, const struct node_member *members, size_t count);
    /* Appends the whole state as of the last apply to `out`: at most LIMIT_SNAPSHOT bytes. */
    void (*snapshot_save)(void *data, struct buf *out);
    /* Replaces the whole state. A failure freezes the node. */
    RESULT (*snapshot_load)(void *data, struct span bytes, uint64_t index, struct err *err);
    /* Role, term or known leader (0: none) changed, or a transfer was given up. Away from leader:
     * the outcome of every submitted command that was not applied yet is unknown. Comes before
     * later applies. */
    void (*role_changed)(void *data, enum node_role role, uint64_t term, uint64_t leader);
};

struct node_options {
    unsigned election_timeout_ms; /* 1..2 times this without a leader start an election */
    unsigned heartbeat_ms;
    unsigned snapshot_threshold; /* entries applied since the last snapshot */
    unsigned snapshot_trailing;  /* entries kept behind a snapshot; >= max_inflight (rule R3) */
    unsigned max_inflight;       /* entries sent to a follower and not acknowledged */
    unsigned read_timeout_ms;    /* a read without a quorum fails with NO_QUORUM after this */
    unsigned gone_timeout_ms;    /* 1..2 times this after node_leader_gone start an election */
};
/* 1000/100 ms, 4096 entries, LIMIT_SNAPSHOT_TRAILING, LIMIT_INFLIGHT_ENTRIES, 5000 ms, 20 ms. */
extern const struct node_options node_options_default;

struct node; /* owned by whoever called node_new */

/* `io`, `host` are borrowed until node_free; `options` is copied. INTERNAL when the libraft in this
 * process is not laid out as 0.22.1. */
RESULT node_new(uint64_t id, const struct node_io *io, const struct host *host,
                const struct node_options *options, struct node **out, struct err *err);
/* Pending reads get CANCELED. Wipes the log. Accepts NULL. */
void node_free(struct node *node);

/* Start, exactly one of the three, once. Bootstrap: a founder, with the identical first
 * configuration on every founder (1..LIMIT_VOTERS voters, this id among them, sorted by id): term
 * 1, one entry. INVALID otherwise. Join: an empty log; waits until a leader adds this id. */
RESULT node_bootstrap(struct node *node, const struct node_member *members, size_t count,
                      struct err *err);
void node_join(struct node *node);
/* Restore, for a new epoch: this replica is the only voter of a new log. It begins with a snapshot
 * of the owner's present state, taken by snapshot_save before this returns, as if that were what
 * the entry `index` of `term` (both 1..2^62-2) led to. Elects itself in term + 1; whoever joins
 * gets that snapshot. `configured` comes before this returns. INVALID otherwise. */
RESULT node_restore(struct node *node, uint64_t index, uint64_t term, struct err *err);

/* The end of a log that lost its quorum, for a survivor: applies every command that stands in the
 * log, committed or not, then freezes for good ("concluded"; again: OK). An acknowledged entry is
 * stored by a majority, and a survivor that holds it need not know that it is committed: only to
 * apply all loses none. What nobody was told about may thereby take effect; its outcome was unknown
 * to whoever sent it, and role_changed says so before the first apply. Of several survivors the one
 * with the greatest (node_last_term, node_last_index) holds all that any majority with it stored.
 * FROZEN or DIVERGED when the node is frozen for another reason; UNAVAILABLE before the start, and
 * while a snapshot has loaded nothing yet. Not from inside a callback. */
RESULT node_conclude(struct node *node, struct err *err);

/* Call node_tick when host monotonic time >= node_deadline (ms), and re-read the deadline after
 * every call into the node. UINT64_MAX: nothing to wait for (frozen or not started). */
uint64_t node_deadline(const struct node *node);
void node_tick(struct node *node);

/* A message from the peer that the link authenticated. MALFORMED, TOO_LARGE or PROTOCOL: drop the
 * link. Other errors freeze the node first (see node_health). Messages of peers that are not
 * members are legal (joiners and removed members talk too). */
RESULT node_receive(struct node *node, uint64_t peer, struct span bytes, struct err *err);
/* The link to `peer` was re-established, and can be sent to: a snapshot that was under way goes on
 * where both sides have it. */
void node_peer_reset(struct node *node, uint64_t peer);
/* The link knows that the process of `peer` closed the connection or refuses new ones; silence
 * alone is no reason. If it is the leader that this node follows, it is forgotten at once and an
 * election starts after a short random pause (gone_timeout_ms) unless a leader shows up before. At
 * most LIMIT_GONE_CAMPAIGNS such elections begin in one election timeout; pre-vote keeps them from
 * disturbing a leader that a majority still hears. May come from inside `send`. */
void node_leader_gone(struct node *node, uint64_t peer);

/* Proposes a command of 1..LIMIT_ENTRY bytes (copied). On success it is at *index, *term and
 * commits if `apply` comes with this index and this term; never from inside this call, also with a
 * single voter: re-read node_deadline. What is proposed before the next node_tick, or any other
 * call that changes something, goes to the peers together. NOT_LEADER; TOO_LARGE; BUSY with more
 * than LIMIT_UNCOMMITTED bytes uncommitted; UNAVAILABLE while leadership is being transferred. */
RESULT node_submit(struct node *node, struct span command, uint64_t *index, uint64_t *term,
                   struct err *err);

/* Linearizable read: `cb` is called once, never from inside this call. OK: a quorum of voters
 * confirmed, after this call, that this node still led; everything committed before the call has
 * been applied here, up to `index`. Else index 0 and NOT_LEADER (lost leadership), NO_QUORUM (after
 * read_timeout_ms) or CANCELED. The call itself fails with NOT_LEADER, or BUSY over
 * LIMIT_PENDING_READS; then there is no callback. */
typedef void (*node_read_cb)(void *data, struct result result, uint64_t index);
RESULT node_read(struct node *node, node_read_cb cb, void *data, struct err *err);

/* Membership, one server per change, leader only. OK: the change is in the log (it took effect) but
 * may still be lost with the leader: `configured` tells. NOT_LEADER; UNAVAILABLE "retry" while no
 * entry of this term is committed (rule R2), another change is uncommitted, a transfer runs, or the
 * standby to promote has not caught up (promote starts the catch-up, later calls poll it);
 * EXISTS, NOT_FOUND, INVALID (would leave one voter that does not lead, rule P1; too many). */
RESULT node_add_standby(struct node *node, uint64_t id, struct err *err);
RESULT node_promote(struct node *node, uint64_t id, struct err *err);
RESULT node_remove(struct node *node, uint64_t id, struct err *err);
/* Hands leadership to voter `id`, or with 0 to the one that has most of those that answer (the
 * better choice, if any will do). OK: started; submits are UNAVAILABLE until role_changed. If it
 * does not take over in half an election timeout, or is reported gone, this replica leads on, and
 * role_changed comes with what it said before. UNAVAILABLE when the voter was silent for so long,
 * or lacks entries that only a snapshot holds. */
RESULT node_transfer(struct node *node, uint64_t id, struct err *err);

/* Stops for good, keeps memory; `why` for node_health. Pending reads get CANCELED. */
void node_freeze(struct node *node, const char *why);
/* OK while the node works; FROZEN or DIVERGED with the reason. */
RESULT node_health(const struct node *node, struct err *err);

uint64_t node_id(const struct node *node);
enum node_role node_role(const struct node *node);
uint64_t node_term(const struct node *node);
uint64_t node_leader(const struct node *node); /* 0: none known */
uint64_t node_commit_index(const struct node *node);
uint64_t node_applied_index(const struct node *node);
uint64_t node_last_index(const struct node *node);
uint64_t node_last_term(const struct node *node);
/* Leader only: an entry of its own term is committed, so changes and reads may proceed (R2). */
bool node_is_settled(const struct node *node);
/* A membership change is in the log and not committed, or a transfer or catch-up runs. */
bool node_is_changing(const struct node *node);
/* Every command that stands in the log and was not applied here, committed or not, oldest first.
 * The node stays as it is, and may be frozen. `command` is borrowed for the call. */
void node_each_unapplied(const struct node *node,
                         void (*cb)(void *data, uint64_t index, uint64_t term, struct span command),
                         void *data);
/* The committed configuration; returns the count (0: none yet), at most LIMIT_MEMBERS. */
size_t node_members(const struct node *node, struct node_member out[LIMIT_MEMBERS]);
bool node_is_configured(const struct node *node, uint64_t id); /* in the committed configuration */

struct node_progress {
    uint64_t match;           /* highest index known to be stored there; 0 unless this node leads */
    uint64_t last_contact_ms; /* monotonic time of its last valid message; 0: never */
};
/* False when nothing is known about this id. */
bool node_peer_progress(const struct node *node, uint64_t id, struct node_progress *out);

#endif
