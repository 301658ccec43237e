/* Pod policy: see podpolicy.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/simulator/podpolicy.h"

#include <string.h>

#include "lib/base/file.h"
#include "lib/base/limits.h"
#include "lib/yaml/yaml.h"

/* Where the pod's metadata stands in each kind of workload (Kubernetes API, apps/v1, batch/v1). */
struct workload_kind {
    const char *kind;
    const char *metadata;
};

static const struct workload_kind kinds[] = {
    {"Pod", "metadata"},
    {"Deployment", "spec.template.metadata"},
    {"StatefulSet", "spec.template.metadata"},
    {"DaemonSet", "spec.template.metadata"},
    {"ReplicaSet", "spec.template.metadata"},
    {"ReplicationController", "spec.template.metadata"},
    {"Job", "spec.template.metadata"},
    {"CronJob", "spec.jobTemplate.spec.template.metadata"},
};

static const struct workload_kind *kind_of(const struct yaml_node *root) {
    const struct yaml_node *kind = yaml_key(root, "kind");
    for (size_t i = 0;
         kind != NULL && kind->kind == YAML_KIND_SCALAR && i < sizeof kinds / sizeof kinds[0];
         i++) {
        if (strcmp(kind->value, kinds[i].kind) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

static bool has_name(const struct yaml_node *root, const char *name) {
    const struct yaml_node *node = yaml_get(root, "metadata.name");
    return name == NULL ||
           (node != NULL && node->kind == YAML_KIND_SCALAR && strcmp(node->value, name) == 0);
}

/* The one workload that is meant. */
static RESULT choose(const struct yaml_file *file, const char *name, const struct yaml_node **out,
                     struct err *err) {
    const struct yaml_node *found = NULL;
    for (size_t i = 0; i < file->count; i++) {
        const struct yaml_node *root = file->documents[i].root;
        if (kind_of(root) == NULL || !has_name(root, name)) {
            continue;
        }
        if (found != NULL) {
            return yaml_fail(file, root, err, "a second workload (the first is in line %zu): %s",
                             found->start.line,
                             name == NULL ? "choose one with --name" : "both have this name");
        }
        found = root;
    }
    ENSURE(found != NULL, err, INVALID,
           "%s: no workload%s%s (want a Pod, Deployment, "
           "StatefulSet, DaemonSet, ReplicaSet, ReplicationController, Job or CronJob)",
           file->name, name != NULL ? " with metadata.name " : "", name != NULL ? name : "");
    *out = found;
    return OK;
}

static RESULT decode(const struct yaml_file *file, const struct yaml_node *root, struct buf *policy,
                     struct err *err) {
    const struct workload_kind *kind = kind_of(root);
    const struct yaml_node *annotations = yaml_key(yaml_get(root, kind->metadata), "annotations");
    const struct yaml_node *value = yaml_key(annotations, PODPOLICY_ANNOTATION);
    if (value == NULL || value->kind != YAML_KIND_SCALAR) {
        return yaml_fail(file, annotations != NULL ? annotations : root, err,
                         "%s.annotations has no \"" PODPOLICY_ANNOTATION
                         "\"; run `contrast generate` on this file",
                         kind->metadata);
    }
    AUTO(buf_deinit)
    struct buf bytes = {0};
    struct err reason = {0};
    if (!is_ok(base64_decode(span_of(value->value, value->size), &bytes, &reason))) {
        return yaml_fail(file, value, err, PODPOLICY_ANNOTATION ": not base64: %s", reason.text);
    }
    if (bytes.size == 0 || bytes.size > (size_t)LIMIT_POLICY) {
        return yaml_fail(file, value, err,
                         PODPOLICY_ANNOTATION ": a policy of %zu bytes, want 1 to %d", bytes.size,
                         LIMIT_POLICY);
    }
    buf_append_span(policy, buf_span(&bytes));
    return OK;
}

struct result podpolicy_find(const char *path, const char *name, struct buf *policy,
                             struct err *err) {
    AUTO(yaml_file_deinit)
    struct yaml_file file = {0};
    AUTO(buf_deinit)
    struct buf text = {0};
    const struct yaml_node *root = NULL;
    TRY(file_read(path, (size_t)LIMIT_YAML_FILE, &text, err));
    TRY(yaml_parse(path, buf_span(&text), &file, err));
    TRY(choose(&file, name, &root, err));
    return decode(&file, root, policy, err);
}
