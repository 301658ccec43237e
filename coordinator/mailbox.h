/* Mailbox: the one way between threads. Bounded, many writers, one reader on a libuv loop.
 *
 *   mailbox_open(loop, on_letter) -> mailbox_post(letter) from any thread -> on_letter on the loop
 *
 * A letter carries copies; whoever receives it owns it. Nothing else is shared between threads but
 * immutable, counted views (replica.h).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_MAILBOX_H
#define CONTRAST_MAILBOX_H

#include <uv.h>

#include "lib/base/bytes.h"

struct view;
struct lists;

/* Where the replicated state stood when a reply was made; zero before founding. */
struct position {
    uint8_t cluster[32];
    uint64_t epoch;
    uint64_t term;
    uint64_t commit_index;
    uint64_t ledger_size;
    uint8_t ledger_root[48];
    uint8_t head[32];
    uint64_t generation;
    uint8_t state;          /* enum replica_state */
    uint64_t leaderless_ms; /* no leader was known for so long */
    bool is_confirmed;
    uint64_t confirmed_index;
};

/* What became of a proposal (core.h, struct core_result). */
struct outcome {
    bool duplicate;
    bool already;
    uint64_t generation;
    uint8_t transition[32];
    int64_t time;
    uint64_t issue_index;
    uint8_t serial[16];
    uint64_t validity_s;
};

struct letter {
    struct letter *next; /* the mailbox's */
    int kind;            /* the two ends' own meaning */
    uint64_t ticket;     /* matches a reply to its request */
    unsigned thread;     /* the session thread it comes from or goes to */
    enum err_code code;  /* of a reply */
    char *text;          /* of a reply that failed; owned, may be NULL */
    uint32_t retry_ms;   /* of a reply that failed: advice; 0 = none */
    struct buf bytes;    /* owned; wiped */
    struct view *view;   /* one reference, or NULL */
    struct lists *lists; /* the same */
    struct position position;
    struct outcome outcome;
};

struct letter *letter_new(int kind, uint64_t ticket);
void letter_free(struct letter *l); /* accepts NULL */

struct mailbox;

/* `on_letter` owns the letter it is given. `capacity` letters at most wait. */
struct mailbox *mailbox_open(uv_loop_t *loop, size_t capacity,
                             void (*on_letter)(void *data, struct letter *l), void *data);
/* Takes the letter; false (and the letter freed) when the box is full or closing. Any thread. */
bool mailbox_post(struct mailbox *m, struct letter *l);
/* The same without regard to the capacity: for letters that must not be lost because peers ask too
 * much, and whose number something else bounds (answers: by what was asked). */
bool mailbox_post_always(struct mailbox *m, struct letter *l);
/* On the loop's thread; nothing is delivered afterwards, what waits is freed, and the mailbox is
 * freed when the loop has closed its handle. No thread may post any more. */
void mailbox_close(struct mailbox *m);

#endif
