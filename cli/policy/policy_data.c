/* Policy data: the tables of known fields and the walk over them.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/policy_data.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/limits.h"

#define PATH_SIZE 512
#define EXPANSION_DEPTH 16 /* variables in variables */
#define PIECE_SIZE 800     /* bytes of JSON text per line, quotes and indentation apart */

enum field_kind {
    FIELD_IGNORED, /* concerns the host or the scheduler, not what the guest runs */
    FIELD_STRING,
    FIELD_STRINGS,
    FIELD_EXPANDED,  /* string in which the kubelet expands $(NAME) */
    FIELD_EXPANDEDS, /* list of those */
    FIELD_INT,
    FIELD_INTS,
    FIELD_BOOL,
    FIELD_OBJECT,
    FIELD_LIST,
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
#define EXPANDED(n)                                                                                \
    { n, FIELD_EXPANDED, NULL }
#define EXPANDEDS(n)                                                                               \
    { n, FIELD_EXPANDEDS, NULL }
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
TABLE(env, STRING("name"), EXPANDED("value"), OBJECT("valueFrom", value_from));
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
TABLE(container, STRING("name"), STRING("image"), IGNORED("imagePullPolicy"), EXPANDEDS("command"),
      EXPANDEDS("args"), STRING("workingDir"), LIST("env", env), IGNORED("ports"),
      LIST("volumeMounts", mount), LIST("volumeDevices", device), OBJECT("livenessProbe", probe),
      OBJECT("readinessProbe", probe), OBJECT("startupProbe", probe),
      OBJECT("lifecycle", lifecycle), IGNORED("resources"), IGNORED("resizePolicy"),
      OBJECT("securityContext", container_security), BOOL("stdin"), BOOL("stdinOnce"), BOOL("tty"),
      STRING("terminationMessagePath"), IGNORED("terminationMessagePolicy"),
      STRING("restartPolicy"));

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

TABLE(sysctl, STRING("name"), STRING("value"));
TABLE(pod_security, INT("fsGroup"), IGNORED("fsGroupChangePolicy"), INT("runAsUser"),
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
    const struct yaml_node *container; /* the one that is being read; NULL outside */
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

static size_t json_size(char c) {
    return (unsigned char)c < 0x20 ? 6 : c == '"' || c == '\\' ? 2 : 1;
}

/* Bytes of the next piece: whole characters that fill at most PIECE_SIZE in JSON. */
static size_t piece_size(const char *text) {
    size_t used = 0;
    size_t i = 0;
    while (text[i] != '\0' && used < PIECE_SIZE) {
        used += json_size(text[i++]);
        while (((unsigned char)text[i] & 0xc0) == 0x80) {
            used++;
            i++;
        }
    }
    return i;
}

static json_t *make_text(const char *text) {
    size_t size = piece_size(text);
    if (text[size] == '\0') {
        return json_string(text);
    }
    json_t *pieces = json_array();
    for (; *text != '\0'; text += size) {
        size = piece_size(text);
        json_array_append_new(pieces, json_stringn(text, size));
    }
    return pieces;
}

/* The last variable with this name among those that end before byte `limit` of the file. */
static const struct yaml_node *find_variable(const struct walk *w, const char *name, size_t size,
                                             size_t limit) {
    const struct yaml_node *list = yaml_key(w->container, "env");
    const struct yaml_node *found = NULL;
    for (size_t i = 0; list != NULL && list->kind == YAML_KIND_SEQUENCE && i < list->count; i++) {
        const struct yaml_node *n = yaml_key(list->items[i], "name");
        if (n != NULL && n->kind == YAML_KIND_SCALAR && n->size == size &&
            memcmp(n->value, name, size) == 0 && list->items[i]->end.offset < limit) {
            found = list->items[i];
        }
    }
    return found;
}

static RESULT expand(const struct walk *w, const struct yaml_node *node, size_t limit, int depth,
                     struct buf *out, struct err *err);

/* "$(NAME)" at `p`: the value of the variable, or the very text when there is none. *size is what
 * was read. */
static RESULT expand_one(const struct walk *w, const struct yaml_node *node, const char *p,
                         size_t limit, int depth, size_t *size, struct buf *out, struct err *err) {
    size_t name_size = strcspn(p + 2, ")");
    const struct yaml_node *variable =
        p[2 + name_size] == ')' ? find_variable(w, p + 2, name_size, limit) : NULL;
    if (variable == NULL) {
        buf_append_str(out, "$(");
        *size = 2;
        return OK;
    }
    *size = name_size + 3;
    const struct yaml_node *value = yaml_key(variable, "value");
    if (!yaml_is_null(yaml_key(variable, "valueFrom"))) {
        return fail(w, node, "refers to a variable with valueFrom; this version needs its value",
                    err);
    }
    if (yaml_is_null(value)) {
        return OK;
    }
    return expand(w, value, variable->start.offset, depth + 1, out, err);
}

/* As the kubelet does it: k8s.io/kubernetes/third_party/forked/golang/expansion. */
static RESULT expand(const struct walk *w, const struct yaml_node *node, size_t limit, int depth,
                     struct buf *out, struct err *err) {
    if (depth > EXPANSION_DEPTH || out->size > LIMIT_POLICY || node->kind != YAML_KIND_SCALAR) {
        return fail(w, node, "variables that expand to too much", err);
    }
    for (const char *p = node->value; *p != '\0';) {
        size_t size = 1;
        if (p[0] == '$' && p[1] == '(') {
            TRY(expand_one(w, node, p, limit, depth, &size, out, err));
        } else {
            size = p[0] == '$' && p[1] == '$' ? 2 : 1;
            buf_append(out, p, 1);
        }
        p += size;
    }
    return OK;
}

/* Commands and arguments see all variables, a variable those before it. */
static size_t limit_of(const struct walk *w, const struct yaml_node *node) {
    return strstr(w->path, ".env[") != NULL ? node->start.offset : SIZE_MAX;
}

static RESULT convert_string(struct walk *w, const struct yaml_node *node, bool is_expanded,
                             json_t **out, struct err *err) {
    const char *text = NULL;
    struct err local = {0};
    struct result r = yaml_read_string(w->file, node, &text, &local);
    if (!is_ok(r)) {
        r = with_path(w, node, r, &local);
        return err_set(err, r.code, "%s", local.text);
    }
    if (is_expanded) {
        AUTO(buf_deinit)
        struct buf expanded = {0};
        TRY(expand(w, node, limit_of(w, node), 0, &expanded, err));
        *out = make_text(buf_cstr(&expanded));
        return OK;
    }
    *out = make_text(text);
    if (json_is_array(*out) && strstr(w->path, ".command[") == NULL) {
        json_decref(*out);
        *out = NULL;
        return fail(w, node, "longer than 800 bytes", err);
    }
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
    switch (field->kind) {
    case FIELD_INTS:
        return convert_int(w, node, out, err);
    case FIELD_LIST:
        return convert_object(w, node, field->table, out, err);
    case FIELD_EXPANDEDS:
        return convert_string(w, node, true, out, err);
    case FIELD_STRINGS:
    case FIELD_IGNORED:
    case FIELD_STRING:
    case FIELD_EXPANDED:
    case FIELD_INT:
    case FIELD_BOOL:
    case FIELD_OBJECT:
    default:
        return convert_string(w, node, false, out, err);
    }
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
    case FIELD_EXPANDED:
        return convert_string(w, node, field->kind == FIELD_EXPANDED, out, err);
    case FIELD_INT:
        return convert_int(w, node, out, err);
    case FIELD_BOOL:
        return convert_bool(w, node, out, err);
    case FIELD_OBJECT:
        return convert_object(w, node, field->table, out, err);
    case FIELD_STRINGS:
    case FIELD_EXPANDEDS:
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
    if (table == &container) {
        w->container = node;
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
    json_object_set_new(data, "namespace", json_string(w->namespace));
    json_object_set_new(data, "namePattern", json_string(buf_cstr(&pattern)));
}

RESULT policy_data_make(const struct workload *w, const struct policy_exceptions *allowed,
                        json_t **out, struct err *err) {
    struct walk walk = {.file = w->file, .allowed = allowed, .path = "spec"};
    json_t *data = NULL;
    TRY(convert_object(&walk, w->spec, &pod_spec, &data, err));
    if (json_array_size(json_object_get(data, "containers")) == 0) {
        json_decref(data);
        return yaml_fail(w->file, w->spec, err, "spec.containers: %s/%s has none", w->kind,
                         w->name);
    }
    set_identity(w, data);
    *out = data;
    return OK;
}
