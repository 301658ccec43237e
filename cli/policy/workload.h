/* Workloads: the pods that a file of Kubernetes resources describes.
 *
 *   Pod                                          -> metadata, spec
 *   Deployment, StatefulSet, DaemonSet, Job,
 *   ReplicaSet, ReplicationController            -> spec.template
 *   CronJob                                      -> spec.jobTemplate.spec.template
 *   List, PodList, DeploymentList, ...           -> each of its items
 *
 * Other kinds are no workloads and stay untouched. Objects without a kind are refused. Pure;
 * everything borrows from the yaml_file.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_WORKLOAD_H
#define CONTRAST_WORKLOAD_H

#include "lib/yaml/yaml.h"

#define WORKLOAD_ANNOTATION_PREFIX "contrast.edgeless.systems/" /* docs/annotations.md */
#define WORKLOAD_POLICY_ANNOTATION "io.katacontainers.config.agent.policy"
#define WORKLOAD_INITDATA_ANNOTATION "io.katacontainers.config.hypervisor.cc_init_data"

struct workload {
    const struct yaml_file *file;
    const char *kind;
    const char *name;      /* of the resource; a Pod's generateName when it has no name */
    const char *namespace; /* "default" when the file names none */
    const struct yaml_node *resource;
    const char *pod_path;         /* of `pod` below the resource, with a dot behind; "" = itself */
    const struct yaml_node *pod;  /* what holds metadata and spec of the pod */
    const struct yaml_node *spec; /* of the pod; a mapping */
    const char *policy_key;       /* the annotation that holds the policy, by the profile */
    const struct yaml_node *policy; /* its value; NULL = none */
    const char *secret_id;          /* annotation; NULL = none, also below */
    const char *mesh_ingress;       /* annotations servicemesh-... (mesh_spec.h) */
    const char *mesh_egress;
    const char *mesh_admin;
    bool is_name_prefix; /* `name` is a generateName */
    bool has_namespace;  /* the file names one */
    bool is_initdata;    /* annotation policy-profile: initdata (docs/policy.md) */
    bool is_coordinator; /* annotation pod-role: coordinator */
    bool is_skipping_initializer;
    bool is_renewing;     /* annotation renew-certificates: a sidecar renews (docs/renewal.md) */
    bool is_meshed;       /* one of the three is there: a sidecar speaks TLS */
    bool is_confidential; /* runtimeClassName absent, contrast-cc, contrast-cc-* or
                             kata-cc-isolation, and not pod-role: contrast-node-installer */
};

struct workload_list {
    struct workload *items; /* owned */
    size_t count;
};

void workload_list_deinit(struct workload_list *list);

/* Appends the workloads of all documents. INVALID with the position for a workload kind without
 * name or pod spec, with names that are no strings, or with a pod-role that is none. Other
 * annotations are read as far as they make sense; pod_annotations_check is strict. */
RESULT workload_find(const struct yaml_file *file, struct workload_list *list, struct err *err);

/* True for a version of somebody else's API ("batch.volcano.sh/v1alpha1"): a Job of that group is
 * no workload. "v1", "apps/v1" and "x.k8s.io/v1" are Kubernetes' own. */
bool workload_is_foreign(const char *api_version);

/* True for the runtime classes above. */
bool workload_is_runtime_class(const char *name);

/* A container of the pod: list is "initContainers" or "containers"; NULL = none with this name. */
const struct yaml_node *workload_container(const struct workload *w, const char *list,
                                           const char *name);

#endif
