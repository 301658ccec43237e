/* Policy environment: the pieces of policy_env.c that have a file of their own.
 *
 *   policy_expand.c     $(NAME) and $$
 *   policy_value.c      valueFrom: fields of the pod, keys of ConfigMaps and Secrets
 *   policy_resource.c   resourceFieldRef: limits and requests, divided and rounded
 *
 * Internal to cli/policy.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_POLICY_ENV_H
#define CONTRAST_POLICY_ENV_H

#include "cli/policy/policy_derive.h"

/* A value that only the cluster knows: {"open": form}, rules_process.rego, env_forms. */
json_t *policy_value_open(const char *form);

/* The value of a valueFrom. A new reference in *out; NULL = an optional key that is missing, then
 * the variable is not set. `field` names the place in errors: ".env[2]". */
RESULT policy_value_from(const struct derive *d, const char *field, const json_t *from,
                         json_t **out, struct err *err);

/* The value of a resourceFieldRef: exact where the pod has the limit or request, open where the
 * node decides. A new reference in *out. */
RESULT policy_resource_value(const struct derive *d, const char *field, const json_t *ref,
                             json_t **out, struct err *err);

/* Appends `text` with $(NAME) replaced by the string that `scope` has for NAME, and "$$" by "$".
 * For an open value "=NAME" stands between two POLICY_MARK: the rules fill in the request's own. A
 * reference to a name that `scope` has not stays as it is. False when a value may be any text, by
 * which the cluster would write the program's arguments: then `stuck` has the name. Source:
 * k8s.io/kubernetes third_party/forked/golang/expansion. */
bool policy_expand(const json_t *scope, const char *text, struct buf *out, struct buf *stuck);

/* Calls `each` with every NAME that `text` refers to, in order; stops when it returns false. */
typedef bool policy_expand_fn(void *context, const char *name);
bool policy_expand_each(const char *text, policy_expand_fn *each, void *context);

#endif
