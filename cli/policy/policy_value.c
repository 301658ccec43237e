/* Policy value: what valueFrom gives a variable.
 *
 * Exact where the YAML or the pod's identity says it; open, with the form that it must have, where
 * only the cluster knows. A label or annotation that the YAML has not is empty for the kubelet;
 * those below the domains of Kubernetes are set by controllers and stay open. Source:
 * kubelet_pods.go (podFieldSelectorRuntimeValue), pkg/fieldpath, and the API's list of fields for
 * variables.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/policy/policy_env.h"

json_t *policy_value_open(const char *form) {
    return json_pack("{s:s}", "open", form);
}

static bool has_suffix(const char *text, size_t size, const char *suffix) {
    size_t length = strlen(suffix);
    return size >= length && memcmp(text + size - length, suffix, length) == 0;
}

/* Controllers, the API server and network plugins set these. */
static bool is_of_cluster(const char *key) {
    static const char *const names[] = {"pod-template-hash", "controller-revision-hash",
                                        "controller-uid", "job-name", "pod-template-generation"};
    static const char *const domains[] = {"kubernetes.io", "k8s.io", "cncf.io"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(key, names[i]) == 0) {
            return true;
        }
    }
    const char *slash = strchr(key, '/');
    size_t size = slash != NULL ? (size_t)(slash - key) : 0;
    for (size_t i = 0; i < sizeof domains / sizeof domains[0]; i++) {
        if (has_suffix(key, size, domains[i])) {
            return true;
        }
    }
    return false;
}

static bool is_own_policy(const char *key) {
    return strcmp(key, WORKLOAD_POLICY_ANNOTATION) == 0 ||
           strcmp(key, WORKLOAD_INITDATA_ANNOTATION) == 0;
}

/* "metadata.labels['key']": NULL when the path is none of these. */
static json_t *value_of_metadata(const struct derive *d, const char *path) {
    static const char *const maps[] = {"labels", "annotations"};
    for (size_t i = 0; i < 2; i++) {
        AUTO(buf_deinit)
        struct buf head = {0};
        buf_appendf(&head, "metadata.%s['", maps[i]);
        size_t size = strlen(path);
        if (strncmp(path, buf_cstr(&head), head.size) != 0 || size < head.size + 3 ||
            !has_suffix(path, size, "']")) {
            continue;
        }
        AUTO(buf_deinit)
        struct buf key = {0};
        buf_append(&key, path + head.size, size - head.size - 2);
        const json_t *map = json_object_get(json_object_get(d->pod, "metadata"), maps[i]);
        const char *value = policy_text_of(map, buf_cstr(&key), NULL);
        if (is_own_policy(buf_cstr(&key))) {
            return NULL;
        }
        if (strcmp(buf_cstr(&key), "statefulset.kubernetes.io/pod-name") == 0) {
            return json_string(POLICY_MARK "name" POLICY_MARK);
        }
        if (value == NULL && is_of_cluster(buf_cstr(&key))) {
            return policy_value_open("any");
        }
        return json_string(value != NULL ? value : "");
    }
    return NULL;
}

static const char *account_of(const struct derive *d) {
    const char *name = policy_text_of(d->spec, "serviceAccountName", "");
    const char *old = policy_text_of(d->spec, "serviceAccount", "");
    if (name[0] == '\0') {
        name = old;
    }
    return name[0] != '\0' ? name : "default";
}

static json_t *value_of_field(const struct derive *d, const char *path) {
    static const char *const rows[][3] = {
        {"metadata.name", POLICY_MARK "name" POLICY_MARK, NULL},
        {"metadata.namespace", POLICY_MARK "namespace" POLICY_MARK, NULL},
        {"metadata.uid", POLICY_MARK "uid" POLICY_MARK, NULL},
        {"status.podIP", NULL, "pod-ip"},
        {"status.hostIP", NULL, "host-ip"},
        {"status.podIPs", NULL, "pod-ips"},
        {"status.hostIPs", NULL, "host-ips"},
        {"spec.nodeName", NULL, "node"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i][0], path) == 0) {
            return rows[i][1] != NULL ? json_string(rows[i][1]) : policy_value_open(rows[i][2]);
        }
    }
    return strcmp(path, "spec.serviceAccountName") == 0 ? json_string(account_of(d))
                                                        : value_of_metadata(d, path);
}

static RESULT read_field(const struct derive *d, const char *field, const json_t *ref, json_t **out,
                         struct err *err) {
    const char *path = policy_text_of(ref, "fieldPath", "");
    json_t *value = value_of_field(d, path);
    if (value == NULL) {
        return policy_derive_fail(
            d, field, err,
            "fieldPath \"%.100s\": variables take metadata.name, .namespace, .uid, .labels['x'], "
            ".annotations['x'], spec.nodeName, .serviceAccountName, status.podIP, .podIPs, .hostIP "
            "and .hostIPs, but not the policy itself",
            path);
    }
    *out = value;
    return OK;
}

static RESULT read_key(const struct derive *d, const char *field, const char *kind,
                       const json_t *ref, json_t **out, struct err *err) {
    const struct policy_object_ref r = {kind, policy_text_of(ref, "name", ""),
                                        policy_text_of(ref, "key", ""), field,
                                        policy_flag_of(ref, "optional", false)};
    AUTO(buf_deinit)
    struct buf text = {0};
    bool found = false;
    TRY(policy_object_read(d, &r, &found, &text, err));
    *out = found ? json_string(buf_cstr(&text)) : NULL;
    return OK;
}

RESULT policy_value_from(const struct derive *d, const char *field, const json_t *from,
                         json_t **out, struct err *err) {
    static const char *const keys[] = {"fieldRef", "resourceFieldRef", "configMapKeyRef",
                                       "secretKeyRef"};
    const json_t *ref = NULL;
    size_t which = 0;
    for (size_t i = 0; i < 4; i++) {
        const json_t *at = json_object_get(from, keys[i]);
        if (at != NULL && ref != NULL) {
            return policy_derive_fail(d, field, err, "valueFrom: %s beside %s; keep one of them",
                                      keys[which], keys[i]);
        }
        which = at != NULL ? i : which;
        ref = at != NULL ? at : ref;
    }
    if (ref == NULL) {
        return policy_derive_fail(d, field, err,
                                  "valueFrom: names no source; take fieldRef, resourceFieldRef, "
                                  "configMapKeyRef or secretKeyRef");
    }
    if (which == 0) {
        return read_field(d, field, ref, out, err);
    }
    return which == 1 ? policy_resource_value(d, field, ref, out, err)
                      : read_key(d, field, which == 2 ? "ConfigMap" : "Secret", ref, out, err);
}
