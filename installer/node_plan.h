/* Plan: from what a node is to what is to be done. Pure: facts in, steps out.
 *
 *   install     FETCH, WRITE (runtime's folder)     what is missing or different
 *               EDIT (containerd's files)           the handler in, handlers nobody needs out
 *               RESTART                             if a file changed or the unit is older than one
 *               CONFIRM                             CRI is up and lists the handler
 *               DROP                                folders of the handlers that went
 *   uninstall   EDIT, RESTART, CONFIRM (absent), DROP
 *
 * A node where all is done gets CONFIRM alone, or for uninstall an empty plan: nothing is written
 * and nothing restarted.
 *
 * Old handlers stay as long as a process runs from their folder, and the newest `keep` of each
 * platform (names that differ in what follows the last hyphen) stay in any case: pods may still be
 * scheduled to them. A runtime of the journal that no file of containerd names is no runtime: its
 * installation was killed or rolled back, or its removal was killed; its folder goes.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_NODE_PLAN_H
#define CONTRAST_NODE_PLAN_H

#include "installer/handler_name.h"
#include "installer/node_journal.h"
#include "installer/node_service.h"
#include "installer/node_texts.h"

enum node_step_kind {
    NODE_FETCH,   /* a file of the payload: path, url, digest, mode */
    NODE_WRITE,   /* bytes: path, after, mode */
    NODE_EDIT,    /* a file of containerd: text */
    NODE_RESTART, /* reason */
    NODE_CONFIRM, /* handler, is_absent */
    NODE_DROP,    /* handler: its folder and its entry in the journal */
};

struct node_step {
    enum node_step_kind kind;
    char *path;                   /* owned; on the host */
    const char *url;              /* of the config */
    const struct sri *digest;     /* of the facts */
    mode_t mode;                  /* permission bits */
    struct buf before;            /* owned; WRITE: what is there */
    struct buf after;             /* owned; WRITE */
    const struct node_text *text; /* EDIT: borrowed from the plan's texts */
    char *handler;                /* owned */
    bool is_absent;               /* CONFIRM: that it is gone */
    const char *reason;           /* static text */
};

/* Whether CRI lists our handler now. */
enum node_listed { NODE_LISTED_UNKNOWN, NODE_LISTED_YES, NODE_LISTED_NO };

struct node_facts {
    const struct node_config *config; /* NULL for uninstall of a named handler */
    const char *handler;              /* ours */
    const struct sri *digests;        /* one per file of the config */
    const bool *is_there;             /* one per file of the config */
    struct span kata;                 /* the configuration on the host; empty: none */
    bool has_kata;
    struct containerd_version daemon;
    enum node_listed listed;
    struct span default_text; /* containerd config default; empty: unknown */
    bool discard_edits;       /* the user said so */
    bool accept_old_daemon;   /* so did the user */
    bool has_folder;          /* the runtime's folder is on the host */
    struct node_service service;
    const struct node_journal *journal;
    const size_t *shim_counts;  /* one per runtime of the journal */
    size_t own_shims;           /* processes of the handler that is uninstalled */
    struct span own_shim_names; /* text for people */
    size_t keep;                /* at least 1 */
};

struct node_plan {
    struct node_step *steps; /* owned */
    size_t count;
    char warning[256]; /* of containerd_config; "" = none */
};
void node_plan_deinit(struct node_plan *plan); /* accepts zeroed */

/* `texts` hold the places of the handler and of all in the journal; they are changed to what they
 * will be. CONFIG, INVALID, CHANGED, EXISTS: containerd_config.h. */
RESULT node_plan_install(const struct node_facts *facts, struct node_texts *texts,
                         struct node_plan *out, struct err *err);
/* BUSY when a process runs from the handler's folder, with their names. */
RESULT node_plan_uninstall(const struct node_facts *facts, struct node_texts *texts,
                           struct node_plan *out, struct err *err);

/* Whether anything would be written, removed or restarted. */
bool node_plan_changes(const struct node_plan *plan);
/* For people: one line for each step, and a unified diff of each text. */
void node_plan_print(const struct node_plan *plan, struct buf *out);

const char *node_step_name(enum node_step_kind kind); /* "fetch" */

#endif
