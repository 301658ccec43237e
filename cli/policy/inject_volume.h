/* Inject volume: the memory volume of keys and certificates, and its mount in every container.
 *
 * A mount of the volume at its place stays as it is (readOnly, too). Containers may write there:
 * the renewing sidecar does, and all containers of a pod trust one another. Failure: INVALID with
 * the position when the name or the place belongs to something else.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_INJECT_VOLUME_H
#define CONTRAST_INJECT_VOLUME_H

#include "cli/policy/workload.h"
#include "lib/yaml/yaml_edit.h"

/* `own`: so many init containers are ours and have the mount. */
RESULT inject_volume_add(const struct workload *w, size_t own, struct yaml_edits *e,
                         struct err *err);

/* Takes out mounts and volume that stand there as generate wrote them. The volume stays when
 * another container than the first `own` uses it otherwise. *is_gone: no volume is left, the caller
 * takes spec.volumes out. */
RESULT inject_volume_remove(const struct workload *w, size_t own, struct yaml_edits *e,
                            bool *is_gone, struct err *err);

#endif
