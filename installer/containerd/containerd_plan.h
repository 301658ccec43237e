/* Plans: the change that grows while we look at the files of a node. Private to this folder.
 *
 * Everything goes into a change of the plan's own; containerd_config.c hands it out only when all
 * of it succeeded. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CONTAINERD_PLAN_H
#define CONTRAST_CONTAINERD_PLAN_H

#include "installer/containerd/containerd_file.h"

struct containerd_plan {
    const struct containerd_facts *facts;     /* borrowed */
    const struct containerd_runtime *runtime; /* borrowed; NULL: removal */
    const char *handler;                      /* borrowed */
    struct containerd_change change;          /* owned until it is handed out */
    struct err *err;                          /* of the caller */
};

/* The caller frees the path; NULL where the flavor has no such place. */
char *containerd_plan_path(const struct containerd_plan *p, enum containerd_place place);
void containerd_plan_free_path(char **path);
const struct containerd_file *containerd_plan_file(const struct containerd_plan *p,
                                                   enum containerd_place place);

/* The file shall hold `text`; no edit when it does. */
void containerd_plan_put(struct containerd_plan *p, enum containerd_place place, struct span text);
void containerd_plan_delete(struct containerd_plan *p, enum containerd_place place);

/* Appends a file that did not exist: its first line says who made it. */
void containerd_plan_created(struct span text, struct buf *out);
/* Takes the handler out of a file that may hold it; what we made and nobody changed goes whole. */
RESULT containerd_plan_strip(struct containerd_plan *p, enum containerd_place place,
                             bool is_template);

/* The handler's own file, for an importer of this schema; or none. EXISTS, CHANGED for a file of
 * that name that is not ours, or not as we wrote it. */
RESULT containerd_plan_drop_in(struct containerd_plan *p, int schema);
RESULT containerd_plan_no_drop_in(struct containerd_plan *p);

/* The two kinds of nodes. */
RESULT containerd_plain_install(struct containerd_plan *p);
RESULT containerd_rancher_install(struct containerd_plan *p);

#endif
