/* Replica: one Coordinator's deterministic heart. Consensus, core state and membership in one
 * object that takes time, randomness and links from outside; it runs on the core thread of the
 * program and by the dozen in one simulation.
 *
 *   session -> replica_propose / _issue / _confirm / _status -> io.reply, exactly once each
 *   link    -> replica_receive                               -> io.send
 *
 * Life, as docs/ARCHITECTURE.md draws it ("States of a replica"): empty -> prepared -> founder, or
 * joining -> learner -> standby, -> voter -> leaving -> gone; frozen and recovering beside them.
 *
 * A proposal is stamped with {own id, sequence}: it reaches the leader directly or through a link,
 * is sent again when the leader changes, is applied once (core dedupe), and is answered when this
 * replica has applied it. No public-key work here.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_REPLICA_H
#define CONTRAST_REPLICA_H

#include "attest/statement.h"
#include "coordinator/core/core.h"
#include "coordinator/core/entry.h"
#include "coordinator/view.h"
#include "lib/base/host.h"
#include "lib/wire/api.h"

/* Frame types on a link between members. */
enum replica_frame {
    REPLICA_RAFT = 16,       /* node.h */
    REPLICA_FORWARD = 17,    /* an entry for the leader to submit */
    REPLICA_READ = 18,       /* u64be ticket: confirm a read for me */
    REPLICA_READ_REPLY = 19, /* u64be ticket, u64be wire code, u64be index */
    REPLICA_STATE_HASH = 20, /* u64be index, hash[32]: the divergence alarm */
    REPLICA_REMOVED = 21,    /* u64be index: applied here, and you are not in the configuration */
    REPLICA_BEAT = 22,       /* this and the next three: replica_frames.h */
    REPLICA_PEER = 23,
    REPLICA_DECLINED = 24,
    REPLICA_ALARM = 25,
};

struct replica_peer {
    uint64_t id;
    const char *address; /* host:port */
    struct span spki;    /* pinned */
};

/* Answer to one request. Borrowed for the call. */
struct replica_reply {
    enum err_code code;               /* ERR_OK or why not */
    const char *text;                 /* of a failure */
    uint32_t retry_ms;                /* of a failure: ask again then; 0 = no advice */
    const struct core_result *result; /* of a proposal that was applied, also when refused */
    size_t issue;                     /* index into result's issued certificates, for an issue */
    uint64_t index;                   /* of a confirmation: everything up to here is applied */
    const struct api_status_reply *status; /* of a status request */
};

struct replica_io {
    void *data;
    void (*reply)(void *data, uint64_t ticket, const struct replica_reply *reply);
    /* Lossy, first in first out for each peer. */
    void (*send)(void *data, uint64_t peer, uint8_t type, struct span body);
    /* The links wanted from now on: every other member. */
    void (*peers)(void *data, const uint8_t cluster[32], const struct replica_peer *peers,
                  size_t count);
    /* A new view: manifest, certificates or members changed. Called before any reply that depends
     * on it. */
    void (*publish)(void *data, struct view *view);
    /* GONE: this replica's life is over; `why` says so, code OK when it left as asked. Called once.
     */
    void (*gone)(void *data, const struct err *why);
    /* The log's endorsements, the manifest or the members changed. May be NULL. */
    void (*endorsed)(void *data);
    /* A point in the log that every replica comes through in this very state: a decision (manifest,
     * member, level, recovery), the first entry in LIMIT_RESTART_BLOCK_S of the cluster's time, or
     * a new configuration. May be NULL. */
    void (*point)(void *data);
};

struct replica_options {
    uint64_t id;         /* first 63 bits of SHA-256 of spki, never 0 */
    const char *name;    /* borrowed for the life of the replica, as all below */
    const char *address; /* host:port of the Raft port */
    struct span spki;
    const uint8_t (*owner_digests)[32]; /* the first manifest must be signed by one of them */
    size_t owner_count;
    uint64_t election_timeout_ms;
    uint64_t heartbeat_ms;
    uint64_t dead_after_ms; /* no contact for this long, confirmed by a quorum: may be replaced */
    uint64_t learner_ms;    /* a learner without progress ends */
    uint64_t version;       /* highest entry version that this build knows */
    uint64_t prepared_ms;   /* a prepared founder lapses */
    uint64_t founding_ms;   /* a started one without a manifest is gone */
    uint64_t leave_ms;      /* a leaving member waits so long to be out of the configuration */
    uint64_t request_ms;    /* a proposal without outcome is answered OUTCOME_UNKNOWN */
    uint64_t snapshot_threshold; /* entries */
    uint64_t snapshot_trailing;  /* entries kept behind a snapshot; 0 = the consensus default */
};
/* The values of the program; id, name, address and spki are left to the caller. */
void replica_default_options(struct replica_options *o);

/* First 63 bits of SHA-256(spki), big-endian, or 1 where that is 0. */
uint64_t replica_id_of(struct span spki);

struct replica;

struct replica *replica_new(const struct replica_options *options, const struct host *host,
                            const struct replica_io *io);
void replica_free(struct replica *r);

/* Call at replica_deadline (monotonic ms) or later, and after any other call ask it again. */
void replica_tick(struct replica *r);
uint64_t replica_deadline(const struct replica *r);

void replica_receive(struct replica *r, uint64_t peer, uint8_t type, struct span body);
/* A link to `peer` went up (again) or down. */
void replica_link(struct replica *r, uint64_t peer, bool is_up);
/* The process of `peer` is known to have ended, or to refuse connections: no need to wait for its
 * silence. */
void replica_link_gone(struct replica *r, uint64_t peer);
/* This replica's own judgement says something that a person must know about replica `id`: all
 * members hear it, and the status of each shows it. */
void replica_reject(struct replica *r, const struct err *why); /* GONE: what it joined is false */
void replica_alarm(struct replica *r, uint64_t id, const char *code, const char *text);
/* The row of a member: in the table, or told by another member while this log is behind. NULL =
 * unknown. */
const struct entry_member *replica_find_member(const struct replica *r, uint64_t id);

/* EMPTY -> PREPARED for prepared_ms; again while PREPARED prolongs it. FOUNDED otherwise. */
RESULT replica_prepare(struct replica *r, struct err *err);
/* PREPARED -> FOUNDER with this FOUND record, which must name this replica by id and key; again
 * with the same record: success. */
RESULT replica_found(struct replica *r, struct span found, struct err *err);
/* What a joiner learned over its attested session, chain of signatures checked. Borrowed. */
struct replica_admission {
    struct span found; /* the FOUND entry */
    const struct replica_peer *members;
    size_t member_count;
    uint64_t generation; /* a history with another head in this generation is refused */
    uint8_t head[32];
    uint64_t epoch; /* of that history */
};
/* EMPTY or PREPARED -> JOINING after a member admitted this replica. */
RESULT replica_join(struct replica *r, const struct replica_admission *admission, struct err *err);

/* This process is told to end. LEARNER, STANDBY or VOTER -> LEAVING: leads elsewhere, has itself
 * retired, waits for its replacement, all at most leave_ms; then GONE with code OK. Any other state
 * is GONE at once. New requests get UNAVAILABLE meanwhile, those under way are finished. */
void replica_leave(struct replica *r);

/* Replicates one entry (entry.h, with its key zeroed: it is stamped here). */
void replica_propose(struct replica *r, uint64_t ticket, struct span entry);
/* An ADMIT entry whose `replaces` is filled in here: EXISTS when the name belongs to a member that
 * is alive as far as this replica knows. */
void replica_admit(struct replica *r, uint64_t ticket, struct span entry);
/* One certificate request; many travel in one entry. */
void replica_issue(struct replica *r, uint64_t ticket, uint64_t generation,
                   const struct entry_issue_request *request);
/* Answers when a quorum, asked after this call, has confirmed the leader, and everything committed
 * by then is applied here. */
void replica_confirm(struct replica *r, uint64_t ticket);
/* Status as this replica sees it; waits for a confirmation, but answers without one, too. */
void replica_status(struct replica *r, uint64_t ticket);

/* The state that this replica holds, with all that stands in its log (core_save_checkpoint; SECRET
 * bytes, appended): what a recovery from a survivor goes on with. Of *position, epoch, mode and
 * recipient stay zero. *last_term: of its last entry. Changes nothing. NOT_FOUND, NOT_FOUNDED. */
RESULT replica_survey(struct replica *r, struct buf *state, struct recovery *position,
                      uint64_t *last_term, struct err *err);
/* A new epoch with this replica alone: `state` from core_save_checkpoint, `entry` a RECOVER entry
 * for it, both verified by the caller (revival.h). OK: it has begun; `ticket` is answered when the
 * entry is applied. CHANGED: a survivor's state is not `state` any more. Other failures are
 * core_apply's. Nothing has happened then. */
RESULT replica_recover(struct replica *r, struct span state, struct span entry, uint64_t ticket,
                       struct err *err);
/* Somebody showed a verified history of this cluster in `epoch`, whose last recovery has this hash:
 * GONE if that is above this replica's own. */
void replica_superseded(struct replica *r, uint64_t epoch, const uint8_t recovery[32]);
/* The epoch that this replica's links belong to. */
uint64_t replica_epoch(const struct replica *r);

enum replica_state replica_state_of(const struct replica *r);
const struct core *replica_core(const struct replica *r);
bool replica_is_leader(const struct replica *r);
uint64_t replica_leader(const struct replica *r); /* 0 = none known */
uint64_t replica_term(const struct replica *r);
uint64_t replica_applied(const struct replica *r);
/* Seconds since 1970 for an own entry: the median of the voters' clocks where it is known. */
int64_t replica_entry_time(const struct replica *r);
/* Ids of the voters of the committed configuration, rising; the count, at most LIMIT_MEMBERS. */
size_t replica_voters(const struct replica *r, uint64_t out[LIMIT_MEMBERS]);
/* May `name` be taken over by a newcomer: nobody has it, or who has it is dead or leaving. `old` is
 * who has it, or 0. */
bool replica_name_is_free(const struct replica *r, const char *name, uint64_t *old);

#endif
