/* Which processes of the host run from a runtime's folder: shims, virtual machines.
 *
 * Looks into /proc (hostPID: the host's), at each process's exe and first argument: a file that was
 * replaced meanwhile counts, too ("... (deleted)").
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_NODE_SHIMS_H
#define CONTRAST_NODE_SHIMS_H

#include "lib/base/bytes.h"

/* `proc`: "/proc" but in tests. `folder`: on the host, "/opt/edgeless/<handler>". Appends "pid
 * name, pid name" of at most 8 of them to `names`; *count has all. IO. */
RESULT node_shims_find(const char *proc, const char *folder, size_t *count, struct buf *names,
                       struct err *err);

#endif
