/* What stays of a manifest's policy entries when the policies are made anew.
 *
 * A person edits SANs, WorkloadSecretID and Role of an entry by hand; the next run gives the pod a
 * new hash. The entry follows its pod, found by the first of these that fits:
 *
 *   1. the pod's policy did not change
 *   2. the YAML carried the entry's policy before this run, and the entry is about this pod
 *   3. the entry's WorkloadSecretID is the one that this pod gets by default
 *   4. the YAML carried the entry's policy before this run (renamed, or edited by hand)
 *
 * No entry goes to two pods: of a pod and its copy under another name the first keeps it. Entries
 * that no pod takes are gone, with a warning that names them. Pure but for the log.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_GEN_KEEP_H
#define CONTRAST_GEN_KEEP_H

#include <jansson.h>

#include "cli/policy/workload.h"

/* Appends to `pods` what gen_keep_entries needs of a workload, as it was read before its new
 * annotation is written: {hash, name, id, old?, secret?, coordinator}; the
 * name is "" where it is none for a certificate. `hash`: 64 hex digits. */
void gen_keep_add(json_t *pods, const char *hash, const struct workload *w);

/* A new object: hash -> entry, in the order of the hashes, for each of `pods`. `before`: the
 * Policies of the manifest until now, or NULL. The annotation of a workload's secret wins over the
 * entry, its role is added to the entry; what a kept entry has beyond the YAML is logged. */
json_t *gen_keep_entries(const json_t *pods, const json_t *before);

#endif
