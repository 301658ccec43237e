/* Policy data: the tables of known fields and the walk over them; then policy_derive.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/policy_data.h"

#include "cli/policy/policy_derive.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/limits.h"

#define PATH_SIZE 512

enum field_kind {
    FIELD_IGNORED, /* concerns the host or the scheduler, not what the guest runs */
    FIELD_STRING,
    FIELD_STRINGS,
    FIELD_INT,
    FIELD_INTS,
    FIELD_BOOL,
    FIELD_OBJECT,
    FIELD_LIST,
    FIELD_SCALAR,  /* string or number, kept as text */
    FIELD_SCALARS, /* mapping of any keys to those */
};

struct table;
struct field {
    const char *name;
    enum field_kind kind;
    const struct table *table; /* OBJECT and LIST */
};

struct table {
    const struct field *fields;
    size_t count;
};

#define TABLE(name, ...)                                                                           \
    static const struct field name##_fields[] = {__VA_ARGS__};                                     \
    static const struct table name = {name##_fields, sizeof name##_fields / sizeof(struct field)}
#define IGNORED(n)                                                                                 \
    { n, FIELD_IGNORED, NULL }
#define STRING(n)                                                                                  \
    { n, FIELD_STRING, NULL }
#define STRINGS(n)                                                                                 \
    { n, FIELD_STRINGS, NULL }
#define SCALAR(n)                                                                                  \
    { n, FIELD_SCALAR, NULL }
#define SCALARS(n)                                                                                 \
    { n, FIELD_SCALARS, NULL }
#define INT(n)                                                                                     \
    { n, FIELD_INT, NULL }
#define INTS(n)                                                                                    \
    { n, FIELD_INTS, NULL }
#define BOOL(n)                                                                                    \
    { n, FIELD_BOOL, NULL }
#define OBJECT(n, t)                                                                               \
    { n, FIELD_OBJECT, &(t) }
#define LIST(n, t)                                                                                 \
    { n, FIELD_LIST, &(t) }

/* --- Tables, Kubernetes API v1 */

TABLE(field_ref, IGNORED("apiVersion"), STRING("fieldPath"));
TABLE(resource_ref, STRING("containerName"), STRING("resource"), IGNORED("divisor"));
TABLE(key_ref, STRING("name"), STRING("key"), BOOL("optional"));
TABLE(value_from, OBJECT("fieldRef", field_ref), OBJECT("resourceFieldRef", resource_ref),
      OBJECT("configMapKeyRef", key_ref), OBJECT("secretKeyRef", key_ref));
TABLE(env, STRING("name"), STRING("value"), OBJECT("valueFrom", value_from));
TABLE(env_object, STRING("name"), BOOL("optional"));
TABLE(env_from, STRING("prefix"), OBJECT("configMapRef", env_object),
      OBJECT("secretRef", env_object));
TABLE(resources, SCALARS("limits"), IGNORED("requests"), IGNORED("claims"));
TABLE(mount, STRING("name"), STRING("mountPath"), BOOL("readOnly"), STRING("recursiveReadOnly"),
      STRING("subPath"), STRING("subPathExpr"), STRING("mountPropagation"));
TABLE(device, STRING("name"), STRING("devicePath"));
TABLE(exec, STRINGS("command"));
TABLE(probe, OBJECT("exec", exec), IGNORED("httpGet"), IGNORED("tcpSocket"), IGNORED("grpc"),
      IGNORED("initialDelaySeconds"), IGNORED("timeoutSeconds"), IGNORED("periodSeconds"),
      IGNORED("successThreshold"), IGNORED("failureThreshold"),
      IGNORED("terminationGracePeriodSeconds"));
TABLE(handler, OBJECT("exec", exec), IGNORED("httpGet"), IGNORED("tcpSocket"), IGNORED("sleep"));
TABLE(lifecycle, OBJECT("postStart", handler), OBJECT("preStop", handler), IGNORED("stopSignal"));
TABLE(capabilities, STRINGS("add"), STRINGS("drop"));
TABLE(seccomp, STRING("type"), STRING("localhostProfile"));
TABLE(container_security, BOOL("allowPrivilegeEscalation"), BOOL("privileged"),
      BOOL("readOnlyRootFilesystem"), INT("runAsUser"), INT("runAsGroup"), BOOL("runAsNonRoot"),
      OBJECT("capabilities", capabilities), STRING("procMount"), OBJECT("seccompProfile", seccomp),
      IGNORED("appArmorProfile"));
TABLE(container, STRING("name"), STRING("image"), IGNORED("imagePullPolicy"), STRINGS("command"),
      STRINGS("args"), STRING("workingDir"), LIST("env", env), LIST("envFrom", env_from),
      IGNORED("ports"), LIST("volumeMounts", mount), LIST("volumeDevices", device),
      OBJECT("livenessProbe", probe), OBJECT("readinessProbe", probe),
      OBJECT("startupProbe", probe), OBJECT("lifecycle", lifecycle), OBJECT("resources", resources),
      IGNORED("resizePolicy"), OBJECT("securityContext", container_security), BOOL("stdin"),
      BOOL("stdinOnce"), BOOL("tty"), STRING("terminationMessagePath"),
      IGNORED("terminationMessagePolicy"), STRING("restartPolicy"));

/* Contents of volumes are the host's (rules.rego); what is recorded is where they come from. */
TABLE(empty_dir, STRING("medium"), IGNORED("sizeLimit"));
TABLE(config_map, STRING("name"), IGNORED("items"), INT("defaultMode"), BOOL("optional"));
TABLE(secret, STRING("secretName"), STRING("name"), IGNORED("items"), INT("defaultMode"),
      BOOL("optional"));
TABLE(downward, IGNORED("items"), INT("defaultMode"));
TABLE(token, STRING("path"), STRING("audience"), IGNORED("expirationSeconds"));
TABLE(source, OBJECT("configMap", config_map), OBJECT("secret", secret),
      OBJECT("downwardAPI", downward), OBJECT("serviceAccountToken", token));
TABLE(projected, LIST("sources", source), INT("defaultMode"));
TABLE(claim, STRING("claimName"), BOOL("readOnly"));
TABLE(volume, STRING("name"), OBJECT("emptyDir", empty_dir), OBJECT("configMap", config_map),
      OBJECT("secret", secret), OBJECT("downwardAPI", downward), OBJECT("projected", projected),
      OBJECT("persistentVolumeClaim", claim));

TABLE(sysctl, STRING("name"), SCALAR("value"));
TABLE(pod_security, INT("fsGroup"), STRING("fsGroupChangePolicy"), INT("runAsUser"),
      INT("runAsGroup"), BOOL("runAsNonRoot"), INTS("supplementalGroups"), LIST("sysctls", sysctl),
      OBJECT("seccompProfile", seccomp), IGNORED("appArmorProfile"));
TABLE(host_alias, STRING("ip"), STRINGS("hostnames"));
TABLE(pod_spec, LIST("containers", container), LIST("initContainers", container),
      LIST("volumes", volume), BOOL("hostNetwork"), BOOL("hostPID"), BOOL("hostIPC"),
      BOOL("shareProcessNamespace"), STRING("hostname"), STRING("subdomain"),
      BOOL("setHostnameAsFQDN"), OBJECT("securityContext", pod_security),
      STRING("serviceAccountName"), STRING("serviceAccount"), BOOL("automountServiceAccountToken"),
      BOOL("enableServiceLinks"), LIST("hostAliases", host_alias), IGNORED("affinity"),
      IGNORED("nodeSelector"), IGNORED("nodeName"), IGNORED("tolerations"), IGNORED("priority"),
      IGNORED("priorityClassName"), IGNORED("preemptionPolicy"), IGNORED("schedulerName"),
      IGNORED("schedulingGates"), IGNORED("topologySpreadConstraints"),
      IGNORED("terminationGracePeriodSeconds"), IGNORED("activeDeadlineSeconds"),
      IGNORED("restartPolicy"), IGNORED("dnsPolicy"), IGNORED("dnsConfig"),
      IGNORED("imagePullSecrets"), IGNORED("readinessGates"), IGNORED("overhead"),
      IGNORED("runtimeClassName"), IGNORED("os"));

/* --- The walk */

struct walk {
    const struct yaml_file *file;
    const struct policy_exceptions *allowed;
    char path[PATH_SIZE];
};

static size_t enter(struct walk *w, const char *name) {
    size_t old = strlen(w->path);
    (void)snprintf(w->path + old, PATH_SIZE - old, ".%.80s", name);
    return old;
}

static size_t enter_index(struct walk *w, size_t index) {
    size_t old = strlen(w->path);
    (void)snprintf(w->path + old, PATH_SIZE - old, "[%zu]", index);
    return old;
}

/* "[]" in the pattern stands for any index of the path. */
static bool is_path(const char *pattern, const char *path) {
    while (*pattern != '\0' && *path != '\0') {
        if (pattern[0] == '[' && pattern[1] == ']' && path[0] == '[') {
            pattern += 2;
            path += strcspn(path, "]") + 1;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return *pattern == *path;
}

static bool is_allowed(const struct walk *w) {
    for (size_t i = 0; i < w->allowed->count; i++) {
        if (is_path(w->allowed->paths[i], w->path)) {
            return true;
        }
    }
    return false;
}

static RESULT fail(const struct walk *w, const struct yaml_node *at, const char *text,
                   struct err *err) {
    return yaml_fail(w->file, at, err, "%s: %s", w->path, text);
}

/* Puts the path between position and reason of a typed read's error. */
static RESULT with_path(const struct walk *w, const struct yaml_node *at, struct result r,
                        struct err *err) {
    if (is_ok(r)) {
        return r;
    }
    struct err cause = *err;
    const char *reason = strstr(cause.text, ": ");
    return fail(w, at, reason != NULL ? reason + 2 : cause.text, err);
}

static RESULT convert_string(const struct walk *w, const struct yaml_node *node, json_t **out,
                             struct err *err) {
    const char *text = NULL;
    struct err local = {0};
    struct result r = yaml_read_string(w->file, node, &text, &local);
    if (!is_ok(r)) {
        r = with_path(w, node, r, &local);
        return err_set(err, r.code, "%s", local.text);
    }
    if (strstr(text, POLICY_MARK) != NULL) {
        return fail(w, node, "the character U+0001 is reserved", err);
    }
    *out = json_string(text);
    return OK;
}

/* Quantities and values of sysctls: people write them with and without quotes. */
static RESULT convert_scalar(const struct walk *w, const struct yaml_node *node, json_t **out,
                             struct err *err) {
    if (node->kind != YAML_KIND_SCALAR || strstr(node->value, POLICY_MARK) != NULL) {
        return fail(w, node, "must be a string or a number", err);
    }
    *out = json_string(node->value);
    return OK;
}

static RESULT convert_scalars(struct walk *w, const struct yaml_node *node, json_t **out,
                              struct err *err) {
    if (node->kind != YAML_KIND_MAPPING) {
        return fail(w, node, "must be a mapping", err);
    }
    json_t *map = json_object();
    for (size_t i = 0; i < node->count; i++) {
        size_t old = enter(w, node->pairs[i].key->value);
        json_t *value = NULL;
        struct result r = convert_scalar(w, node->pairs[i].value, &value, err);
        if (!is_ok(r)) {
            json_decref(map);
            return r;
        }
        json_object_set_new(map, node->pairs[i].key->value, value);
        w->path[old] = '\0';
    }
    *out = map;
    return OK;
}

static RESULT convert_int(struct walk *w, const struct yaml_node *node, json_t **out,
                          struct err *err) {
    int64_t n = 0;
    struct err local = {0};
    struct result r = yaml_read_int(w->file, node, &n, &local);
    if (!is_ok(r)) {
        r = with_path(w, node, r, &local);
        return err_set(err, r.code, "%s", local.text);
    }
    *out = json_integer(n);
    return OK;
}

static RESULT convert_bool(struct walk *w, const struct yaml_node *node, json_t **out,
                           struct err *err) {
    bool b = false;
    struct err local = {0};
    struct result r = yaml_read_bool(w->file, node, &b, &local);
    if (!is_ok(r)) {
        r = with_path(w, node, r, &local);
        return err_set(err, r.code, "%s", local.text);
    }
    *out = json_boolean(b);
    return OK;
}

static RESULT convert_object(struct walk *w, const struct yaml_node *node,
                             const struct table *table, json_t **out, struct err *err);

static RESULT convert_item(struct walk *w, const struct yaml_node *node, const struct field *field,
                           json_t **out, struct err *err) {
    if (field->kind == FIELD_INTS) {
        return convert_int(w, node, out, err);
    }
    return field->kind == FIELD_LIST ? convert_object(w, node, field->table, out, err)
                                     : convert_string(w, node, out, err);
}

static RESULT convert_list(struct walk *w, const struct yaml_node *node, const struct field *field,
                           json_t **out, struct err *err) {
    if (node->kind != YAML_KIND_SEQUENCE) {
        return fail(w, node, "must be a list", err);
    }
    json_t *list = json_array();
    for (size_t i = 0; i < node->count; i++) {
        size_t old = enter_index(w, i);
        json_t *item = NULL;
        struct result r = convert_item(w, node->items[i], field, &item, err);
        if (!is_ok(r)) {
            json_decref(list);
            return r;
        }
        json_array_append_new(list, item);
        w->path[old] = '\0';
    }
    *out = list;
    return OK;
}

static RESULT convert(struct walk *w, const struct yaml_node *node, const struct field *field,
                      json_t **out, struct err *err) {
    switch (field->kind) {
    case FIELD_STRING:
        return convert_string(w, node, out, err);
    case FIELD_SCALAR:
        return convert_scalar(w, node, out, err);
    case FIELD_SCALARS:
        return convert_scalars(w, node, out, err);
    case FIELD_INT:
        return convert_int(w, node, out, err);
    case FIELD_BOOL:
        return convert_bool(w, node, out, err);
    case FIELD_OBJECT:
        return convert_object(w, node, field->table, out, err);
    case FIELD_STRINGS:
    case FIELD_INTS:
    case FIELD_LIST:
        return convert_list(w, node, field, out, err);
    case FIELD_IGNORED:
    default:
        return OK;
    }
}

static const struct field *find_field(const struct table *table, const char *name) {
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->fields[i].name, name) == 0) {
            return &table->fields[i];
        }
    }
    return NULL;
}

static RESULT convert_pair(struct walk *w, const struct yaml_pair *pair, const struct table *table,
                           json_t *object, struct err *err) {
    const struct field *field = find_field(table, pair->key->value);
    if (field == NULL) {
        return is_allowed(w) ? OK
                             : fail(w, pair->key,
                                    "this version does not know the field, so the policy could "
                                    "not cover it; remove it, or name it with --allow-unknown",
                                    err);
    }
    if (yaml_is_null(pair->value) || field->kind == FIELD_IGNORED) {
        return OK;
    }
    json_t *value = NULL;
    TRY(convert(w, pair->value, field, &value, err));
    json_object_set_new(object, field->name, value);
    return OK;
}

static RESULT convert_object(struct walk *w, const struct yaml_node *node,
                             const struct table *table, json_t **out, struct err *err) {
    if (node->kind != YAML_KIND_MAPPING) {
        return fail(w, node, "must be a mapping", err);
    }
    json_t *object = json_object();
    for (size_t i = 0; i < node->count; i++) {
        size_t old = enter(w, node->pairs[i].key->value);
        struct result r = convert_pair(w, &node->pairs[i], table, object, err);
        if (!is_ok(r)) {
            json_decref(object);
            return r;
        }
        w->path[old] = '\0';
    }
    *out = object;
    return OK;
}

/* --- The pod's name */

/* What the controllers append: k8s.io/apimachinery/pkg/util/rand's alphabet. */
#define NAME_RANDOM "[bcdfghjklmnpqrstvwxz2456789]+"

static void append_escaped(struct buf *out, const char *name) {
    for (const char *p = name; *p != '\0'; p++) {
        if (!isalnum((unsigned char)*p) && *p != '-') {
            buf_append_str(out, "\\");
        }
        buf_append(out, p, 1);
    }
}

static const char *name_suffix(const struct workload *w) {
    if (strcmp(w->kind, "Pod") == 0) {
        return w->is_name_prefix ? NAME_RANDOM : "";
    }
    if (strcmp(w->kind, "Deployment") == 0) {
        return "-" NAME_RANDOM "-" NAME_RANDOM;
    }
    if (strcmp(w->kind, "StatefulSet") == 0) {
        return "-[0-9]+";
    }
    if (strcmp(w->kind, "CronJob") == 0) {
        return "-[0-9]+-" NAME_RANDOM;
    }
    return "(-[0-9]+)?-" NAME_RANDOM; /* an indexed Job has its index in between */
}

static void set_identity(const struct workload *w, json_t *data) {
    AUTO(buf_deinit)
    struct buf pattern = {0};
    buf_append_str(&pattern, "^");
    append_escaped(&pattern, w->name);
    buf_appendf(&pattern, "%s$", name_suffix(w));
    json_object_set_new(data, "kind", json_string(w->kind));
    json_object_set_new(data, "name", json_string(w->name));
    json_object_set_new(data, "namePattern", json_string(buf_cstr(&pattern)));
    if (w->has_namespace) {
        json_object_set_new(data, "namespace", json_string(w->namespace));
    }
}

RESULT policy_data_make(const struct workload *w, const struct policy_inputs *inputs, json_t **out,
                        struct err *err) {
    struct walk walk = {.file = w->file, .allowed = &inputs->allowed, .path = "spec"};
    json_t *spec = NULL;
    TRY(convert_object(&walk, w->spec, &pod_spec, &spec, err));
    if (json_array_size(json_object_get(spec, "containers")) == 0) {
        json_decref(spec);
        return yaml_fail(w->file, w->spec, err, "spec.containers: %s/%s has none", w->kind,
                         w->name);
    }
    json_t *data = NULL;
    struct result r = policy_derive(w, inputs, spec, &data, err);
    json_decref(spec);
    TRY(r);
    set_identity(w, data);
    *out = data;
    return OK;
}
