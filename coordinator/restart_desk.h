/* Restart desk: whether and how a cluster whose replicas all died goes on without people
 * (docs/recovery.md, "Without people"). What this replica has on disk, what it saw of the others,
 * the shares that were handed to it; from that, the one next step:
 *
 *   OFF    nothing to restart from
 *   WAIT   for others, or for the member that lives and that this replica will join; why says it
 *   GIVE   hand the own share to the collector
 *   RUN    enough shares are here: recover, mode AUTOMATIC
 *
 * The rules. Nothing is restarted while a member of the cluster is seen alive. Of all files that
 * returned, only one with the newest epoch, manifest and voters is ever opened, and only if a
 * majority of the voters in it returned with that very file; of two such, the newer, and an older
 * one than somebody has only after a pause. Two processes with one share count once. The replica
 * with the lowest id collects; whoever has received a share goes on collecting. A share is handed
 * to one collector; it counts there for LIMIT_RESTART_ARMED_MS, and is handed to another, or used
 * here, only LIMIT_RESTART_REARM_MS later, also by the next process (the caller keeps that mark on
 * disk). So two collectors never hold the same share, unless the host revives one that it stopped.
 *
 * Shared by session threads, a mutex inside. No I/O, no clock of its own.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_RESTART_DESK_H
#define CONTRAST_RESTART_DESK_H

#include "coordinator/restart_file.h"
#include "lib/base/host.h"

#define RESTART_WHY_SIZE 400

struct restart_desk;

/* `host` is borrowed; `own` is this replica's id. */
struct restart_desk *restart_desk_new(const struct host *host, uint64_t own);
/* Wipes; accepts NULL. No thread may use it any more. */
void restart_desk_free(struct restart_desk *d);

/* A file, as its owner tells others. */
struct restart_offer {
    uint8_t digest[32];
    uint64_t epoch;
    uint64_t generation;
    uint64_t index;
    uint8_t head[32];
    uint8_t voters[32]; /* restart_file.h */
    uint8_t x;          /* the share that it has of it */
    uint64_t armed;     /* the highest epoch for which that was handed over; 0 = never */
    uint64_t armed_for; /* id of the collector, the last one; 0 = never */
};

/* A file of this replica's disk with its share: both are the desk's from then on. At most
 * LIMIT_RESTART_FILES, of one cluster: INVALID; MALFORMED. `armed` as above, by an earlier process:
 * then the share rests. On failure they are freed, too. */
RESULT restart_desk_put(struct restart_desk *d, struct buf *file, struct secret *share,
                        uint64_t armed, uint64_t armed_for, struct err *err);
/* No restart from what is here, because of `why`: all is wiped. */
void restart_desk_end(struct restart_desk *d, const char *why);
/* No restart any more: the replica belongs to a cluster. What is put later is CANCELED. */
void restart_desk_close(struct restart_desk *d);
bool restart_desk_is_armed(struct restart_desk *d);

/* What to tell others: the cluster, the count of offers. NOT_FOUND when there is nothing. */
RESULT restart_desk_offers(struct restart_desk *d, uint8_t cluster[32],
                           struct restart_offer out[LIMIT_RESTART_FILES], size_t *count,
                           struct err *err);
/* Appends the manifest of the newest file: what peers are judged by before a state is open. */
RESULT restart_desk_manifest(struct restart_desk *d, struct buf *out, struct err *err);

enum restart_sight {
    RESTART_SILENT, /* nobody there, or nobody who counts */
    RESTART_ALIVE,  /* holds a log of the cluster, in the same epoch or a later one */
    RESTART_EMPTY,  /* genuine, belongs to nothing */
};

/* What the last look at one peer showed. */
struct restart_peer {
    enum restart_sight sight;
    uint64_t id;    /* of the replica; unless silent */
    uint64_t epoch; /* of who is alive */
    struct restart_offer offers[LIMIT_RESTART_FILES];
    size_t offer_count;
};

enum restart_act { RESTART_OFF, RESTART_WAIT, RESTART_GIVE, RESTART_RUN };

struct restart_plan {
    enum restart_act act;
    uint8_t digest[32]; /* GIVE, RUN: of the file */
    uint64_t collector; /* GIVE: id of who gets the share */
    uint64_t epoch;     /* GIVE, RUN: the new one; the mark on disk keeps it */
};

/* The next step; `peers` are all that CONTRAST_PEERS names. */
void restart_desk_plan(struct restart_desk *d, const struct restart_peer *peers, size_t count,
                       struct restart_plan *out);

/* The own share of this file is armed for `collector` from now on; before it leaves this replica,
 * and after the mark is on disk. A copy of it; the caller frees it. */
struct secret *restart_desk_give(struct restart_desk *d, const uint8_t digest[32],
                                 uint64_t collector, uint64_t epoch);

/* A share that replica `from` handed over for this epoch, or a higher one. NOT_FOUND: not a file of
 * this replica; DENIED: not its share; BUSY: this replica's own share went to another collector. */
RESULT restart_desk_take(struct restart_desk *d, uint64_t from, const uint8_t digest[32],
                         uint64_t epoch, struct span share, struct err *err);

/* After RUN, on the thread that plans: opens the file with the shares that count. Appends the state
 * to `state`; `file` is the desk's until restart_desk_end. DENIED. */
RESULT restart_desk_open(struct restart_desk *d, const uint8_t digest[32], struct buf *state,
                         const struct restart_file **file, struct err *err);

/* What it waits for; "" when there is nothing to say. */
void restart_desk_why(struct restart_desk *d, char out[RESTART_WHY_SIZE]);

#endif
