/* Cluster: nodes in one process, in virtual time, over a network that delays, loses and parts.
 *
 * Each pair has one FIFO queue, as one connection gives. The state machine is a running hash over
 * the commands. The oracles note the first violation: two leaders in a term, committed entries that
 * differ, a leader that lacks a committed entry, logs that do not match.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CLUSTER_H
#define CONTRAST_CLUSTER_H

#include "consensus/node_internal.h"

#define CLUSTER_MAX 24
#define CLUSTER_INDEXES 65536
#define CLUSTER_TERMS 4096

struct cluster;
struct cluster_message;

struct machine {
    struct cluster *cluster;
    struct node *node; /* NULL: crashed */
    struct node_io io;
    uint64_t id;
    uint64_t hash, count; /* the state: commands applied */
    size_t loads;         /* snapshots loaded */
    bool paused;          /* neither ticks nor receives */
    bool deaf_to_time;    /* receives, but never ticks */
    unsigned spins;       /* ticks that left the deadline where it was */
};

struct cluster {
    struct host host;
    uint64_t now, random;
    struct machine machines[CLUSTER_MAX];
    size_t count;
    struct node_options options;
    bool links[CLUSTER_MAX][CLUSTER_MAX];
    struct cluster_message *queue[CLUSTER_MAX][CLUSTER_MAX];
    uint64_t last_due[CLUSTER_MAX][CLUSTER_MAX];
    uint64_t gone_due[CLUSTER_MAX][CLUSTER_MAX]; /* [to][dead]: node_leader_gone then; 0: none */
    unsigned loss_percent, delay_ms;             /* delay: 1..delay_ms */
    size_t snapshot_padding;                     /* bytes, to need several chunks */
    /* May drop (return false) or look at a message when it is sent. */
    bool (*filter)(struct cluster *c, size_t from, size_t to, const struct node_message *m);
    struct {
        uint64_t term, hash, commit_term;
    } committed[CLUSTER_INDEXES];
    uint64_t committed_max;
    uint64_t leaders[CLUSTER_TERMS];
    char violation[256]; /* the first one; empty: none */
    size_t chunks, chunk_bytes, appends_sent, pre_votes;
    struct node_message last; /* scalars of the last message sent; its lists are not valid */
};

void cluster_init(struct cluster *c, size_t voters, uint64_t seed);
void cluster_deinit(struct cluster *c);
size_t cluster_add(struct cluster *c);  /* a new machine whose node has not started; its place */
size_t cluster_join(struct cluster *c); /* a new machine with an empty log; its place */
void cluster_crash(struct cluster *c, size_t at);
void cluster_violate(struct cluster *c, const char *format, ...) PRINTF_LIKE(2, 3);

/* The links to `dead` report to all live machines, each 0..spread_ms from now. */
void cluster_report_gone(struct cluster *c, size_t dead, unsigned spread_ms);
void cluster_connect(struct cluster *c, unsigned mask); /* only these reach each other; rest cut */
/* One connection breaks, with what is under way on it; a new one comes up and both ends hear of it.
 */
void cluster_cut(struct cluster *c, size_t a, size_t b);
void cluster_mend(struct cluster *c, size_t a, size_t b);
void cluster_heal(struct cluster *c);
void cluster_flush(struct cluster *c); /* forgets what is under way */

void cluster_run(struct cluster *c, uint64_t ms);
/* Until `at` leads, letting only it start elections; false after 60 s. */
bool cluster_elect(struct cluster *c, size_t at, unsigned mask);
/* Until somebody leads and is settled; its place, or CLUSTER_MAX after 60 s. */
size_t cluster_wait_leader(struct cluster *c);
size_t cluster_leader(const struct cluster *c); /* of the highest term, or CLUSTER_MAX */
size_t cluster_place(const struct cluster *c, uint64_t id);
uint64_t cluster_random(struct cluster *c, uint64_t bound);

RESULT cluster_submit(struct cluster *c, size_t at, size_t size);
/* Repeats a membership call until it is accepted and committed; false after 60 s. */
typedef RESULT (*cluster_change_fn)(struct node *node, uint64_t id, struct err *err);
bool cluster_change(struct cluster *c, cluster_change_fn change, uint64_t id);
/* Delivers a message of ours as if it came from `from`. */
RESULT cluster_forge(struct cluster *c, uint64_t from, size_t to, struct node_message *m);
/* All live members applied the same and hold matching logs. */
bool cluster_is_converged(struct cluster *c);
void cluster_check_logs(struct cluster *c);

#endif
