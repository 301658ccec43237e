/* Policy data: what a pod makes the agent ask for, as the rules compare it.
 *
 * From the fields (pod_fields.h), the images' configs and the ConfigMaps and Secrets that variables
 * name comes one object per container: docs/policy.md has the layout. An image that is not among
 * the inputs leaves open what only it knows (cwd, uid, gid, gids), and a container without command
 * is never started.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_POLICY_DATA_H
#define CONTRAST_POLICY_DATA_H

#include <jansson.h>

#include "cli/policy/image.h"
#include "cli/policy/pod_fields.h"

struct policy_inputs {
    struct policy_exceptions allowed;
    struct policy_warner warner;     /* zeroed: nobody wants to know */
    const struct image_list *images; /* NULL: none is known */
    const struct yaml_file *files;   /* searched for ConfigMaps and Secrets, after the pod's own */
    size_t file_count;
    bool is_partial; /* rules accept requests that leave things out: for tests of other projects */
    /* Reference, among the images, of what nodes run as sandbox where layers come from the host
     * (tardev); NULL: the guest has its own, and no other is accepted. */
    const char *pause_image;
};

/* A new reference in *out. INVALID: "file:line:column: spec.containers[0].x: ...". */
RESULT policy_data_make(const struct workload *w, const struct policy_inputs *inputs, json_t **out,
                        struct err *err);

#endif
