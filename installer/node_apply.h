/* Applying: containerd's files swapped, containerd restarted and confirmed, or all of it put back.
 *
 * The part of a run that can hurt a node. Before the first file is replaced, the journal has what
 * each was, and a copy of it lies below NODE_BACKUP_FOLDER, named by its hash: written once, never
 * overwritten, never removed. SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_NODE_APPLY_H
#define CONTRAST_NODE_APPLY_H

#include "installer/node_plan.h"
#include "installer/node_settings.h"

struct node_apply {
    const struct node_root *root;
    const struct node_settings *settings;
    const struct node_place *place;
    const struct node_service *service;
    struct node_journal *journal;
    const volatile sig_atomic_t *stop;
};

/* The EDIT steps of the plan. CHANGED when somebody edited a file since it was read; CONFIG when
 * containerd refuses the result (then everything is back). Nothing to edit: OK. */
RESULT node_apply_edits(const struct node_apply *a, const struct node_plan *plan, struct err *err);

struct node_applied {
    bool is_rolled_back;
    bool is_pending; /* restart-systemd-unit is false, and CRI does not show the change yet */
};

/* Restart (if the plan has one) and confirmation. On failure of a run that edited files: what they
 * were, one more restart; the error tells both. A plan without CONFIRM: OK. */
RESULT node_apply_confirm(const struct node_apply *a, const struct node_plan *plan,
                          struct node_applied *out, struct err *err);

#endif
