/* Policy data: what of a pod spec the runtime policy says.
 *
 * Every field of a pod spec is known here, either as part of the policy (copied under its own name,
 * nulls left out) or as harmless to the guest (scheduling, resources, ...: left out). A field that
 * stands in no table is an error: it could change what runs, unseen. Source of the names:
 * Kubernetes API v1, PodSpec.
 *
 * Commands, arguments and variables are expanded as the kubelet does it: "$(NAME)" becomes the
 * value of the pod's variable, "$$" becomes "$". Strings that would make long lines become arrays
 * of pieces (rules.rego: text).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_POLICY_DATA_H
#define CONTRAST_POLICY_DATA_H

#include <jansson.h>

#include "cli/policy/workload.h"

/* Paths of fields to leave out although they are unknown: "spec.containers[0].envFrom", or with
 * "[]" for any index. */
struct policy_exceptions {
    const char *const *paths;
    size_t count;
};

/* A new reference in *out. INVALID: "file:line:column: spec.containers[0].x: ...". */
RESULT policy_data_make(const struct workload *w, const struct policy_exceptions *allowed,
                        json_t **out, struct err *err);

#endif
