/* Policy derivation: from a pod's fields and its images' configs to what the agent will be asked.
 *
 *   pod_fields.c    fields of the workload, checked        policy_env.c    variables, $(NAME)
 *   policy_derive.c containers                             policy_user.c   user, groups, rights
 *   policy_mount.c  mounts                                 policy_object.c ConfigMaps and Secrets
 *   policy_volume.c volumes that mounts and devices name
 *
 * The order of the steps is that of the kubelet and containerd. Internal to cli/policy.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_POLICY_DERIVE_H
#define CONTRAST_POLICY_DERIVE_H

#include "cli/policy/policy_data.h"

/* Stands in texts around the name of what only the cluster knows: rules.rego, fill. */
#define POLICY_MARK "\x01"

struct derive {
    const struct workload *w;
    const struct policy_inputs *inputs;
    const json_t *owner;        /* spec of the controller: of the Job for a CronJob; a Pod's own */
    const json_t *pod;          /* "metadata" and "spec", as pod_fields.h leaves them */
    const json_t *spec;         /* of the pod */
    const json_t *container;    /* the one that is derived */
    const struct yaml_node *at; /* for errors */
    char path[64];              /* spec.containers[0], from the pod's beginning */
    struct pod_fields_place place;
    const struct image *image; /* NULL: not known */
};

/* The policy's data, from the checked fields of the resource and of its pod. A new reference in
 * *out. */
RESULT policy_derive(const struct workload *w, const struct policy_inputs *inputs,
                     const json_t *resource, const json_t *pod, json_t **out, struct err *err);

/* INVALID: "file:line:column: [spec.template.]spec.containers[0]<field>: text", with the field's
 * own position where it stands in the file. */
RESULT policy_derive_fail(const struct derive *d, const char *field, struct err *err,
                          const char *format, ...) PRINTF_LIKE(4, 5);

/* The same as a warning, for what is accepted and may surprise. */
void policy_derive_warn(const struct derive *d, const char *field, const char *text);

/* A string, boolean or object of an object, with what holds when it is absent. */
const char *policy_text_of(const json_t *object, const char *key, const char *fallback);
bool policy_flag_of(const json_t *object, const char *key, bool fallback);
/* A number of the container's securityContext, or else of the pod's; NULL = neither. */
const json_t *policy_number_of(const struct derive *d, const char *key);

/* Sets env, openEnv, args and commands of `out`; oldEnv and mayEnv where there are any. */
RESULT policy_env_derive(const struct derive *d, json_t *out, struct err *err);
/* Sets uid, gid, gids, caps, privileged, noNewPrivileges. */
RESULT policy_user_derive(const struct derive *d, json_t *out, struct err *err);
/* The same for the sandbox, whose image is in the guest: user 65535:65535. */
void policy_user_sandbox(const struct derive *d, json_t *out);
/* Sets mounts, rootPropagation and blocks. */
RESULT policy_mount_derive(const struct derive *d, json_t *out, struct err *err);
void policy_mount_sandbox(json_t *out);

/* A volume that containers mount. */
struct policy_volume {
    const char *kind;     /* "emptyDir", "configMap", ...: the field that is set */
    const json_t *source; /* its value; NULL for a claim template */
    const json_t *claim;  /* spec of its claim template; NULL = none */
    char path[96];        /* "spec.template.spec.volumes[2]" */
};
/* Checks all volumes of the pod. INVALID for two of a name, or two kinds in one. */
RESULT policy_volume_check(const struct derive *d, struct err *err);
/* False: the pod has none of this name. Claim templates of a StatefulSet go before its volumes. */
bool policy_volume_find(const struct derive *d, const char *name, struct policy_volume *out);
/* Tells of volumes that are mounted and come from the node (docs/fields.md). */
void policy_volume_warn(const struct derive *d);

/* A reference to a ConfigMap or Secret, or to one of its keys. */
struct policy_object_ref {
    const char *kind;
    const char *name;
    const char *key;   /* "" = all of it */
    const char *field; /* where the pod refers to it: ".env[2]" */
    bool is_optional;
};

/* A key of an object of the inputs, appended to `out`. *found is false for an optional one that is
 * missing; INVALID for others, and for a value that is no text. */
RESULT policy_object_read(const struct derive *d, const struct policy_object_ref *ref, bool *found,
                          struct buf *out, struct err *err);
/* Calls `each` with every key in the order of the file. */
typedef RESULT policy_object_fn(void *context, const char *key, const char *value, struct err *err);
RESULT policy_object_each(const struct derive *d, const struct policy_object_ref *ref,
                          policy_object_fn *each, void *context, struct err *err);
/* Does the kubelet set this variable for a Service of the inputs, or for the API server? */
bool policy_object_is_service(const struct derive *d, const char *variable);

#endif
