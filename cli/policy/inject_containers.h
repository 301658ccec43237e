/* Inject containers: ours among a pod's init containers.
 *
 * They are the first items of spec.initContainers, in the order of inject_pieces.h. Items that are
 * right already stay byte for byte, others are exchanged, and those whose annotation is gone go,
 * with a warning. Failure: INVALID with the position for names that are taken, containers that
 * stand in another place, and lists that cannot be edited.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_INJECT_CONTAINERS_H
#define CONTRAST_INJECT_CONTAINERS_H

#include "cli/policy/inject_pieces.h"

struct inject_containers {
    const struct yaml_node *list;                       /* spec.initContainers; NULL = none */
    const struct yaml_node *items[INJECT_PIECES_KINDS]; /* NULL = not among the first */
    size_t count;                                       /* of items: as many are the first */
};

void inject_containers_find(const struct workload *w, struct inject_containers *out);

/* Adds the edits that bring them to what annotations and configuration say. */
RESULT inject_containers_edit(const struct workload *w, const struct inject_config *config,
                              struct yaml_edits *e, struct err *err);

/* True when the initializer stands there as generate wrote it, for whatever configuration. */
bool inject_containers_is_ours(const struct inject_containers *ours);

/* Adds the edits that take all of them out. *is_gone: no init container is left, the caller takes
 * spec.initContainers out. */
RESULT inject_containers_remove(const struct workload *w, const struct inject_containers *ours,
                                struct yaml_edits *e, bool *is_gone, struct err *err);

#endif
