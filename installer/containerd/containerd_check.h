/* Checks before a plan: can this daemon with this file run our runtime at all? Private to this
 * folder. Failures say what to change: CONFIG, and EXISTS for a runtime that is not ours. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CONTAINERD_CHECK_H
#define CONTRAST_CONTAINERD_CHECK_H

#include "installer/containerd/containerd_plan.h"

bool containerd_check_older(struct containerd_version v, unsigned major, unsigned minor);

/* The daemon alone: 1.6 to 2.x, and 1.7 for a snapshotter (or a warning in the change). */
RESULT containerd_check_daemon(struct containerd_plan *p);
/* The version of the file: 1 (none), 2, 3 or 4. */
RESULT containerd_check_schema_of(const struct containerd_editor *e, int *out, struct err *err);
/* Daemon and file: 1.x ignores what version 3 says. */
RESULT containerd_check_schema(const struct containerd_plan *p, const struct containerd_editor *e,
                               int schema);
/* disabled_plugins leaves the CRI on. */
RESULT containerd_check_cri(const struct containerd_plan *p, const struct containerd_editor *e);
/* No runtime and no snapshotter of these names that we did not write. */
RESULT containerd_check_foreign(const struct containerd_plan *p, const struct containerd_editor *e);

#endif
