/* Policy data: what a pod makes the agent ask for, as the rules compare it.
 *
 * Every field of a pod spec is known here, either as part of the policy or as harmless to the guest
 * (scheduling, requests, ...: left out). A field that stands in no table is an error: it could
 * change what runs, unseen. Source of the names: Kubernetes API v1, PodSpec.
 *
 * From the fields, the images' configs and the ConfigMaps and Secrets that variables name comes one
 * object per container: docs/policy.md has the layout. An image that is not among the inputs leaves
 * open what only it knows (cwd, uid, gid, gids), and a container without command is never started.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_POLICY_DATA_H
#define CONTRAST_POLICY_DATA_H

#include <jansson.h>

#include "cli/policy/image.h"
#include "cli/policy/workload.h"

/* Paths of fields to leave out although they are unknown: "spec.containers[0].envFrom", or with
 * "[]" for any index. */
struct policy_exceptions {
    const char *const *paths;
    size_t count;
};

struct policy_inputs {
    struct policy_exceptions allowed;
    const struct image_list *images; /* NULL: none is known */
    const struct yaml_file *files;   /* searched for ConfigMaps and Secrets, after the pod's own */
    size_t file_count;
    bool is_partial; /* rules accept requests that leave things out: for tests of other projects */
};

/* A new reference in *out. INVALID: "file:line:column: spec.containers[0].x: ...". */
RESULT policy_data_make(const struct workload *w, const struct policy_inputs *inputs, json_t **out,
                        struct err *err);

#endif
