/* Kind notes: the kinds of the Kubernetes API, and pod templates in others.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/kind_note.h"

#include <stdio.h>
#include <string.h>

#include "cli/policy/pod_fields.h"

#define PATH_SIZE 256

/* Kubernetes v1.33 and some of before. None of them starts pods. */
static const char *const builtin[] = {
    "APIService",
    "CSIDriver",
    "CSINode",
    "CSIStorageCapacity",
    "CertificateSigningRequest",
    "ClusterRole",
    "ClusterRoleBinding",
    "ClusterTrustBundle",
    "ConfigMap",
    "ControllerRevision",
    "CustomResourceDefinition",
    "DeviceClass",
    "EndpointSlice",
    "Endpoints",
    "Event",
    "FlowSchema",
    "HorizontalPodAutoscaler",
    "IPAddress",
    "Ingress",
    "IngressClass",
    "Lease",
    "LimitRange",
    "List",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "MutatingWebhookConfiguration",
    "Namespace",
    "NetworkPolicy",
    "Node",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "PodDisruptionBudget",
    "PodSecurityPolicy",
    "PodTemplate",
    "PriorityClass",
    "PriorityLevelConfiguration",
    "ResourceClaim",
    "ResourceClaimTemplate",
    "ResourceQuota",
    "ResourceSlice",
    "Role",
    "RoleBinding",
    "RuntimeClass",
    "Secret",
    "Service",
    "ServiceAccount",
    "ServiceCIDR",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
    "VolumeAttachment",
    "VolumeAttributesClass",
};

static const char *text_of(const struct yaml_node *node, const char *fallback) {
    return node != NULL && node->kind == YAML_KIND_SCALAR && !yaml_is_null(node) ? node->value
                                                                                 : fallback;
}

static bool is_builtin(const char *kind, const char *version) {
    bool is_one = pod_fields_table(kind) != NULL;
    for (size_t i = 0; i < sizeof builtin / sizeof builtin[0]; i++) {
        is_one = is_one || strcmp(builtin[i], kind) == 0;
    }
    return is_one && !workload_is_foreign(version);
}

/* --- Pod templates */

static bool has_containers(const struct yaml_node *node) {
    const struct yaml_node *list = yaml_key(node, "containers");
    return list != NULL && list->kind == YAML_KIND_SEQUENCE && list->count > 0 &&
           yaml_key(list->items[0], "image") != NULL;
}

/* The path of the first mapping with containers, appended to `path`. Aliases are no cycles
 * (yaml.h), and the whole tree has LIMIT_YAML_NODES. */
static bool find_template(const struct yaml_node *node, char *path) {
    if (has_containers(node)) {
        return true;
    }
    size_t old = strlen(path);
    bool is_map = node->kind == YAML_KIND_MAPPING;
    for (size_t i = 0; node->kind != YAML_KIND_SCALAR && i < node->count; i++) {
        if (is_map) {
            (void)snprintf(path + old, PATH_SIZE - old, "%s%.63s", old > 0 ? "." : "",
                           node->pairs[i].key->value);
        } else {
            (void)snprintf(path + old, PATH_SIZE - old, "[%zu]", i);
        }
        if (find_template(is_map ? node->pairs[i].value : node->items[i], path)) {
            return true;
        }
        path[old] = '\0';
    }
    return false;
}

/* --- Notes */

/* Kubernetes would refuse it; maybe a line is missing, or "---" stands in the wrong place. */
static void note_nameless(const struct yaml_file *file, const struct yaml_node *resource,
                          kind_note_fn *note, void *context) {
    if (resource == NULL || yaml_is_null(resource)) {
        return; /* an empty document */
    }
    struct err line = {0};
    err_ignore(yaml_fail(file, resource, &line,
                         "no kind: this is no Kubernetes resource and stays "
                         "as it is"),
               "it writes the position before the text");
    note(context, line.text);
}

static void note_one(const struct yaml_file *file, const struct yaml_node *resource,
                     kind_note_fn *note, void *context) {
    const char *kind = text_of(yaml_key(resource, "kind"), NULL);
    const char *version = text_of(yaml_key(resource, "apiVersion"), "");
    if (kind == NULL) {
        note_nameless(file, resource, note, context);
        return;
    }
    if (is_builtin(kind, version)) {
        return;
    }
    char path[PATH_SIZE] = "";
    bool has_template = find_template(resource, path);
    struct err line = {0};
    err_ignore(yaml_fail(file, resource, &line,
                         "%.100s/%.253s (%.100s) stays as it is: this version does not know the "
                         "kind. %s%s%s",
                         kind, text_of(yaml_get(resource, "metadata.name"), "?"), version,
                         has_template ? "It has containers at "
                                      : "If it makes pods, they have no "
                                        "policy",
                         path,
                         has_template ? ": pods made from them have no policy, and a Coordinator "
                                        "does not know them"
                                      : ""),
               "it writes the position before the text");
    note(context, line.text);
}

/* "List", "PodList", "DeploymentList": their items are told of one by one. */
static bool is_list(const char *kind) {
    size_t size = strlen(kind);
    char item[64] = "";
    if (size < 4 || size >= sizeof item || strcmp(kind + size - 4, "List") != 0) {
        return false;
    }
    memcpy(item, kind, size - 4);
    return size == 4 || is_builtin(item, "");
}

void kind_note_each(const struct yaml_file *file, kind_note_fn *note, void *context) {
    for (size_t i = 0; i < file->count; i++) {
        const struct yaml_node *root = file->documents[i].root;
        const struct yaml_node *items = yaml_key(root, "items");
        const char *kind = text_of(yaml_key(root, "kind"), "");
        if (!is_list(kind) || items == NULL || items->kind != YAML_KIND_SEQUENCE) {
            note_one(file, root, note, context);
            continue;
        }
        bool is_mixed = strcmp(kind, "List") == 0;
        for (size_t k = 0; k < items->count; k++) {
            if (is_mixed || yaml_key(items->items[k], "kind") != NULL) {
                note_one(file, items->items[k], note, context);
            }
        }
    }
}
