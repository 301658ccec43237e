/* A run of the installer: facts -> plan -> steps, each of them journalled.
 *
 *   lock -> journal -> configuration -> facts -> plan -> sweep (half-written files)
 *        -> stage (FETCH, WRITE)          journal: staging
 *        -> back up, check, swap (EDIT)   journal: swapping, with what the files were
 *        -> restart                       journal: restarting, before it is asked for: on k3s it
 *                                         ends this very process, and the next one goes on
 *        -> confirm                       else roll back: files, one restart, confirm CRI; exit 1
 *        -> drop                          journal: idle
 *
 * Each step first looks whether it is done already, so a run that was killed anywhere is finished
 * by the next. A run that has nothing to do writes nothing.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_NODE_RUN_H
#define CONTRAST_NODE_RUN_H

#include <signal.h>

#include "installer/node_settings.h"

enum node_operation { NODE_INSTALL, NODE_UNINSTALL, NODE_STATUS };

struct node_request {
    enum node_operation operation;
    bool is_dry;          /* print the plan, change nothing */
    const char *platform; /* of the command line; NULL = that of the configuration */
    const char *handler;  /* to uninstall; NULL = the configuration's */
    bool is_json;
    const volatile sig_atomic_t *stop;
};

struct node_outcome {
    char handler[64];
    bool is_changed;     /* something was written, removed or restarted; dry: would be */
    bool is_rolled_back; /* then there is an error, too */
    bool is_pending;     /* the user restarts containerd himself, and has not yet */
    struct buf report;   /* what is to be printed: the plan of a dry run, or "" */
};
void node_outcome_deinit(struct node_outcome *outcome); /* accepts zeroed */

/* Errors: CONFIG, INVALID and so on about configuration and files (exit 2), DIFFERS for a payload
 * with wrong bytes (3), BUSY (a lock, a shim that runs), CANCELED (a signal), UNAVAILABLE (network,
 * restart, CRI; rolled back). The outcome is filled as far as it is known, also then. */
RESULT node_run(const struct node_settings *settings, const struct node_request *request,
                struct node_outcome *outcome, struct err *err);

#endif
