/* Workloads: kinds as a table of where their pod is.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/workload.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/limits.h"

struct kind {
    const char *name;
    const char *pod; /* path below the resource with a dot behind, "" = the resource itself */
};

static const struct kind kinds[] = {
    {"Pod", ""},
    {"Deployment", "spec.template."},
    {"StatefulSet", "spec.template."},
    {"DaemonSet", "spec.template."},
    {"ReplicaSet", "spec.template."},
    {"ReplicationController", "spec.template."},
    {"Job", "spec.template."},
    {"CronJob", "spec.jobTemplate.spec.template."},
};

static const char *text_of(const struct yaml_node *node) {
    return node != NULL && node->kind == YAML_KIND_SCALAR && !yaml_is_null(node) ? node->value
                                                                                 : NULL;
}

static const struct kind *find_kind(const char *name) {
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].name, name) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

bool workload_is_foreign(const char *api_version) {
    size_t size = strcspn(api_version, "/");
    if (api_version[size] == '\0' || memchr(api_version, '.', size) == NULL) {
        return false;
    }
    return size <= 7 || strncmp(api_version + size - 7, ".k8s.io", 7) != 0;
}

bool workload_is_runtime_class(const char *name) {
    return strcmp(name, "contrast-cc") == 0 || strncmp(name, "contrast-cc-", 12) == 0 ||
           strcmp(name, "kata-cc-isolation") == 0;
}

/* A string, or NULL when there is none: Kubernetes takes nothing else for a name. */
static RESULT read_string(const struct workload *w, const struct yaml_node *top, const char *path,
                          const char **out, struct err *err) {
    const struct yaml_node *node = yaml_get(top, path);
    *out = NULL;
    if (yaml_is_null(node)) {
        return OK;
    }
    if (!is_ok(yaml_read_string(w->file, node, out, NULL))) {
        return yaml_fail(w->file, node, err, "%s%s: must be a string; put the value in quotes",
                         top == w->resource ? "" : w->pod_path, path);
    }
    return OK;
}

/* RFC 1123, as the API server wants it: a prefix may end with a dash. */
static RESULT check_name(const struct workload *w, const char *path, const char *name, size_t limit,
                         bool is_prefix, struct err *err) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    size_t size = strlen(name);
    bool is_right =
        size <= limit && strspn(name, "-.abcdefghijklmnopqrstuvwxyz0123456789") == size &&
        strchr(letters, name[0]) != NULL && (is_prefix || strchr(letters, name[size - 1]) != NULL);
    if (is_right) {
        return OK;
    }
    const char *hint =
        strstr(name, "{{") != NULL ? "; this looks like a template: render it first" : "";
    return yaml_fail(w->file, yaml_get(w->resource, path), err,
                     "%s: \"%.100s\" must be lower-case letters, digits, '-' and '.', at most %zu, "
                     "with a letter or digit at both ends%s",
                     path, name, limit, hint);
}

static RESULT read_name(struct workload *w, struct err *err) {
    TRY(read_string(w, w->resource, "metadata.name", &w->name, err));
    if (w->name == NULL) {
        TRY(read_string(w, w->resource, "metadata.generateName", &w->name, err));
        w->is_name_prefix = true;
    }
    if (w->name == NULL || w->name[0] == '\0') {
        return yaml_fail(w->file, w->resource, err, "metadata.name: this %s has none", w->kind);
    }
    TRY(check_name(w, w->is_name_prefix ? "metadata.generateName" : "metadata.name", w->name,
                   LIMIT_SAN, w->is_name_prefix, err));
    TRY(read_string(w, w->resource, "metadata.namespace", &w->namespace, err));
    w->has_namespace = w->namespace != NULL;
    if (w->namespace == NULL || w->namespace[0] == '\0') {
        w->namespace = "default";
        w->has_namespace = false;
    }
    return check_name(w, "metadata.namespace", w->namespace, LIMIT_NAME, false, err);
}

static bool has_text(const struct yaml_node *node, const char *want) {
    const char *text = text_of(node);
    return text != NULL && strcmp(text, want) == 0;
}

static const struct yaml_node *annotation(const struct workload *w, const char *name) {
    const struct yaml_node *all = yaml_get(w->pod, "metadata.annotations");
    char key[128];
    (void)snprintf(key, sizeof key, WORKLOAD_ANNOTATION_PREFIX "%s", name);
    return yaml_key(all, key);
}

/* A text without a character counts, too; null does not. */
static void read_mesh(struct workload *w) {
    w->mesh_ingress = text_of(annotation(w, "servicemesh-ingress"));
    w->mesh_egress = text_of(annotation(w, "servicemesh-egress"));
    w->mesh_admin = text_of(annotation(w, "servicemesh-admin-interface-port"));
    w->is_meshed = w->mesh_ingress != NULL || w->mesh_egress != NULL || w->mesh_admin != NULL;
}

static RESULT read_role(struct workload *w, struct err *err) {
    const struct yaml_node *role = annotation(w, "pod-role");
    bool is_installer = has_text(role, "contrast-node-installer");
    w->is_coordinator = has_text(role, "coordinator");
    const char *class = NULL;
    TRY(read_string(w, w->pod, "spec.runtimeClassName", &class, err));
    if (is_installer && class != NULL && workload_is_runtime_class(class)) {
        return yaml_fail(w->file, role, err,
                         "pod-role: a contrast-node-installer prepares nodes for the runtime class "
                         "\"%.100s\" and cannot run in it; remove one of the two",
                         class);
    }
    w->is_confidential = !is_installer && (class == NULL || workload_is_runtime_class(class));
    if (!yaml_is_null(role) && !w->is_coordinator && !is_installer) {
        return yaml_fail(
            w->file, role, err,
            "pod-role: must be \"coordinator\", \"contrast-node-installer\" or absent");
    }
    return OK;
}

static RESULT read_annotations(struct workload *w, struct err *err) {
    w->is_initdata = has_text(annotation(w, "policy-profile"), "initdata");
    w->policy_key = w->is_initdata ? WORKLOAD_INITDATA_ANNOTATION : WORKLOAD_POLICY_ANNOTATION;
    w->policy = yaml_key(yaml_get(w->pod, "metadata.annotations"), w->policy_key);
    w->secret_id = text_of(annotation(w, "workload-secret-id"));
    w->is_skipping_initializer = has_text(annotation(w, "skip-initializer"), "true");
    w->is_renewing = has_text(annotation(w, "renew-certificates"), "true");
    read_mesh(w);
    return read_role(w, err);
}

/* What "spec.template." names. */
static const struct yaml_node *find_pod(const struct yaml_node *resource, const char *pod_path) {
    char path[64];
    (void)snprintf(path, sizeof path, "%.*s", (int)strlen(pod_path) - 1, pod_path);
    return yaml_get(resource, path);
}

static RESULT add(const struct yaml_file *file, const struct yaml_node *resource,
                  const struct kind *kind, struct workload_list *list, struct err *err) {
    struct workload w = {
        .file = file, .kind = kind->name, .resource = resource, .pod_path = kind->pod};
    TRY(read_name(&w, err));
    w.pod = kind->pod[0] == '\0' ? resource : find_pod(resource, kind->pod);
    w.spec = yaml_key(w.pod, "spec");
    if (w.spec == NULL || w.spec->kind != YAML_KIND_MAPPING || w.spec->count == 0) {
        return yaml_fail(file, resource, err, "%sspec: %s/%s has no pod spec", kind->pod, w.kind,
                         w.name);
    }
    TRY(read_annotations(&w, err));
    list->items = mem_realloc(list->items, (list->count + 1) * sizeof *list->items);
    list->items[list->count++] = w;
    return OK;
}

static RESULT find_in(const struct yaml_file *file, const struct yaml_node *resource,
                      const struct kind *fallback, struct workload_list *list, struct err *err) {
    const char *name = text_of(yaml_key(resource, "kind"));
    const char *version = text_of(yaml_key(resource, "apiVersion"));
    const struct kind *kind = name != NULL ? find_kind(name) : fallback;
    if (version != NULL && workload_is_foreign(version)) {
        return OK;
    }
    return kind != NULL ? add(file, resource, kind, list, err) : OK;
}

/* What the items of a "PodList" are, which need not say so: the API server's lists of one kind. */
static const struct kind *find_kind_of_list(const char *name) {
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t size = strlen(kinds[i].name);
        if (strncmp(name, kinds[i].name, size) == 0 && strcmp(name + size, "List") == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

/* What kubectl would refuse must not pass as something that has no pods: an object without kind
 * (other files in a folder have neither metadata nor spec), and a bare list of objects. */
static RESULT check_kind(const struct yaml_file *file, const struct yaml_node *root,
                         struct err *err) {
    for (size_t i = 0; root->kind == YAML_KIND_SEQUENCE && i < root->count; i++) {
        if (yaml_key(root->items[i], "kind") != NULL) {
            return yaml_fail(file, root->items[i], err,
                             "[%zu]: objects in a bare list; put them below \"items\" of \"kind: "
                             "List\", or write each as a document",
                             i);
        }
    }
    bool is_object = yaml_key(root, "metadata") != NULL || yaml_key(root, "spec") != NULL;
    if (!is_object || !yaml_is_null(yaml_key(root, "kind"))) {
        return OK;
    }
    for (size_t i = 0; i < root->count; i++) {
        const char *value = text_of(root->pairs[i].value);
        if (value != NULL && find_kind(value) != NULL) {
            return yaml_fail(file, root->pairs[i].key, err,
                             "kind: this object has none; did you mean \"kind: %s\" here?", value);
        }
    }
    return yaml_fail(file, root, err, "kind: this object has none; add it");
}

static RESULT find_in_document(const struct yaml_file *file, const struct yaml_node *root,
                               struct workload_list *list, struct err *err) {
    const struct yaml_node *items = yaml_key(root, "items");
    const char *name = text_of(yaml_key(root, "kind"));
    const char *version = text_of(yaml_key(root, "apiVersion"));
    bool is_foreign = version != NULL && workload_is_foreign(version);
    const struct kind *kind = name != NULL && !is_foreign ? find_kind_of_list(name) : NULL;
    bool is_list = kind != NULL || (name != NULL && strcmp(name, "List") == 0);
    if (!is_list || items == NULL || items->kind != YAML_KIND_SEQUENCE) {
        return find_in(file, root, NULL, list, err);
    }
    for (size_t i = 0; i < items->count; i++) {
        TRY(find_in(file, items->items[i], kind, list, err));
    }
    return OK;
}

void workload_list_deinit(struct workload_list *list) {
    mem_free(list->items);
    *list = (struct workload_list){0};
}

RESULT workload_find(const struct yaml_file *file, struct workload_list *list, struct err *err) {
    for (size_t i = 0; i < file->count; i++) {
        if (file->documents[i].root != NULL) {
            TRY(check_kind(file, file->documents[i].root, err));
        }
        TRY(find_in_document(file, file->documents[i].root, list, err));
    }
    return OK;
}

const struct yaml_node *workload_container(const struct workload *w, const char *list,
                                           const char *name) {
    const struct yaml_node *items = yaml_key(w->spec, list);
    if (items == NULL || items->kind != YAML_KIND_SEQUENCE) {
        return NULL;
    }
    for (size_t i = 0; i < items->count; i++) {
        if (has_text(yaml_key(items->items[i], "name"), name)) {
            return items->items[i];
        }
    }
    return NULL;
}
