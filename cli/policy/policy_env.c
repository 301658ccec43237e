/* Policy environment: variables as image, containerd and kubelet put them together, and $(NAME).
 *
 * Sources: kubelet_pods.go (makeEnvironmentVariables), third_party/forked/golang/expansion.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/policy/policy_derive.h"
#include "lib/base/limits.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct env {
    const struct derive *d;
    json_t *all;        /* name -> text, or {"open": form}: what the process gets; owned */
    json_t *pod;        /* of the pod alone: seen by args; owned */
    json_t *list;       /* of "env" alone: seen by what follows there; owned */
    const char *prefix; /* of envFrom */
    char field[96];
};

static void put(json_t *map, const char *name, json_t *value) {
    json_object_set(map, name, value);
}

/* --- $(NAME) */

static RESULT expand_one(const struct env *e, const json_t *scope, const char *name,
                         struct buf *out, struct err *err) {
    const json_t *value = json_object_get(scope, name);
    if (value == NULL) {
        buf_appendf(out, "$(%s)", name);
        return OK;
    }
    if (!json_is_string(value)) {
        return policy_derive_fail(e->d, e->field, err,
                                  "refers to a variable with valueFrom (%.100s), whose value only "
                                  "the cluster knows; write the value",
                                  name);
    }
    buf_append_str(out, json_string_value(value));
    return OK;
}

static RESULT expand(const struct env *e, const json_t *scope, const char *text, struct buf *out,
                     struct err *err) {
    for (const char *p = text; *p != '\0'; p++) {
        const char *end = p[0] == '$' && p[1] == '(' ? strchr(p, ')') : NULL;
        if (end != NULL) {
            AUTO(buf_deinit)
            struct buf name = {0};
            buf_append(&name, p + 2, (size_t)(end - p - 2));
            TRY(expand_one(e, scope, buf_cstr(&name), out, err));
            p = end;
        } else {
            buf_append(out, p, 1);
            p += p[0] == '$' && p[1] == '$' ? 1 : 0;
        }
        if (out->size > LIMIT_POLICY) {
            return policy_derive_fail(e->d, e->field, err, "variables that expand to too much");
        }
    }
    return OK;
}

/* A new reference in *out. */
static RESULT expand_text(const struct env *e, const json_t *scope, const char *text, json_t **out,
                          struct err *err) {
    AUTO(buf_deinit)
    struct buf expanded = {0};
    TRY(expand(e, scope, text, &expanded, err));
    *out = json_string(buf_cstr(&expanded));
    return OK;
}

static RESULT expand_list(const struct env *e, const char *field, const json_t *list, json_t *out,
                          struct err *err) {
    struct env at = *e;
    for (size_t i = 0; i < json_array_size(list); i++) {
        (void)snprintf(at.field, sizeof at.field, ".%s[%zu]", field, i);
        json_t *item = NULL;
        TRY(expand_text(&at, e->pod, json_string_value(json_array_get(list, i)), &item, err));
        json_array_append_new(out, item);
    }
    return OK;
}

/* --- Where values come from */

static void put_pod(struct env *e, const char *name, json_t *value) {
    put(e->all, name, value);
    put(e->pod, name, value);
}

static bool is_name(const char *name) {
    bool is_ok = name[0] != '\0' && !isdigit((unsigned char)name[0]);
    for (const char *p = name; *p != '\0'; p++) {
        is_ok = is_ok && (isalnum((unsigned char)*p) || strchr("_-.", *p) != NULL);
    }
    return is_ok;
}

static RESULT put_from(void *context, const char *key, const char *value, struct err *err) {
    (void)err;
    struct env *e = context;
    AUTO(buf_deinit)
    struct buf name = {0};
    buf_appendf(&name, "%s%s", e->prefix, key);
    if (is_name(buf_cstr(&name))) { /* the kubelet skips the others */
        json_t *text = json_string(value);
        put_pod(e, buf_cstr(&name), text);
        json_decref(text);
    }
    return OK;
}

static RESULT missing(const struct env *e, const char *kind, const char *name, struct err *err) {
    return policy_derive_fail(e->d, e->field, err,
                              "the %s \"%.253s\" or its key is in none of the files; add its YAML, "
                              "or say \"optional: true\"",
                              kind, name);
}

static RESULT add_env_from(struct env *e, const json_t *entry, struct err *err) {
    static const char *const keys[][2] = {{"configMapRef", "ConfigMap"}, {"secretRef", "Secret"}};
    e->prefix = policy_text_of(entry, "prefix", "");
    for (size_t i = 0; i < 2; i++) {
        const json_t *ref = json_object_get(entry, keys[i][0]);
        const char *name = policy_text_of(ref, "name", "");
        bool found = true;
        if (ref != NULL) {
            TRY(policy_object_each(e->d, keys[i][1], name, &found, put_from, e, err));
        }
        if (!found && !policy_flag_of(ref, "optional", false)) {
            return missing(e, keys[i][1], name, err);
        }
    }
    return OK;
}

/* {"open": form}: rules_process.rego, env_forms. */
static json_t *open_value(const char *form) {
    return json_pack("{s:s}", "open", form);
}

/* metadata.labels['x'] or metadata.annotations['x']: what the pod's own YAML says. */
static json_t *value_of_metadata(const struct derive *d, const char *path) {
    const char *kind = strncmp(path, "metadata.labels['", 17) == 0 ? "metadata.labels" : NULL;
    kind = strncmp(path, "metadata.annotations['", 22) == 0 ? "metadata.annotations" : kind;
    const char *start = strchr(path, '\'');
    const char *end = strrchr(path, '\'');
    if (kind == NULL || start == end || strcmp(end, "']") != 0) {
        return NULL;
    }
    AUTO(buf_deinit)
    struct buf key = {0};
    buf_append(&key, start + 1, (size_t)(end - start - 1));
    const struct yaml_node *node = yaml_key(yaml_get(d->w->pod, kind), buf_cstr(&key));
    if (node == NULL || node->kind != YAML_KIND_SCALAR) {
        return open_value("any"); /* a controller or an admission plugin sets it */
    }
    return json_string(node->value);
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
            return rows[i][1] != NULL ? json_string(rows[i][1]) : open_value(rows[i][2]);
        }
    }
    if (strcmp(path, "spec.serviceAccountName") == 0) {
        const char *old = policy_text_of(d->spec, "serviceAccount", "default");
        return json_string(policy_text_of(d->spec, "serviceAccountName", old));
    }
    return value_of_metadata(d, path);
}

/* *out stays NULL for an optional value that is missing. */
static RESULT value_of_key(const struct env *e, const char *kind, const json_t *ref, json_t **out,
                           struct err *err) {
    const char *name = policy_text_of(ref, "name", "");
    AUTO(buf_deinit)
    struct buf text = {0};
    bool found = false;
    TRY(policy_object_read(e->d, kind, name, policy_text_of(ref, "key", ""), &found, &text, err));
    if (!found && !policy_flag_of(ref, "optional", false)) {
        return missing(e, kind, name, err);
    }
    *out = found ? json_string(buf_cstr(&text)) : NULL;
    return OK;
}

static RESULT value_from(const struct env *e, const json_t *from, json_t **out, struct err *err) {
    const json_t *field = json_object_get(from, "fieldRef");
    const json_t *map = json_object_get(from, "configMapKeyRef");
    const json_t *secret = json_object_get(from, "secretKeyRef");
    if (map != NULL || secret != NULL) {
        return value_of_key(e, map != NULL ? "ConfigMap" : "Secret", map != NULL ? map : secret,
                            out, err);
    }
    *out = field != NULL ? value_of_field(e->d, policy_text_of(field, "fieldPath", ""))
                         : open_value("number");
    if (*out == NULL) {
        return policy_derive_fail(e->d, e->field, err, "fieldPath: this version does not know it");
    }
    return OK;
}

static RESULT add_variable(struct env *e, const json_t *variable, struct err *err) {
    const char *name = policy_text_of(variable, "name", "");
    const json_t *from = json_object_get(variable, "valueFrom");
    json_t *value = NULL;
    if (!is_name(name)) {
        return policy_derive_fail(e->d, e->field, err, "\"%.100s\" is no name of a variable", name);
    }
    if (from != NULL) {
        TRY(value_from(e, from, &value, err));
    } else {
        TRY(expand_text(e, e->list, policy_text_of(variable, "value", ""), &value, err));
    }
    if (value != NULL) {
        put_pod(e, name, value);
        put(e->list, name, value);
        json_decref(value);
    }
    return OK;
}

/* --- All of it */

static void put_text(json_t *map, const char *name, const char *value) {
    json_object_set_new(map, name, json_string(value));
}

static void add_image(struct env *e) {
    put_text(e->all, "PATH", DEFAULT_PATH);
    const json_t *list = e->d->image != NULL ? image_list_of(e->d->image, "Env") : NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        const char *equals = strchr(text, '=');
        AUTO(buf_deinit)
        struct buf name = {0};
        buf_append(&name, text, (size_t)(equals - text));
        put_text(e->all, buf_cstr(&name), equals + 1);
    }
}

/* The job controller gives each pod of an indexed Job its index, in the annotation
 * batch.kubernetes.io/job-completion-index (addCompletionIndexEnvVariable). */
static void add_index(struct env *e) {
    bool is_indexed = strcmp(policy_text_of(e->d->owner, "completionMode", ""), "Indexed") == 0;
    if (is_indexed && json_object_get(e->list, "JOB_COMPLETION_INDEX") == NULL) {
        json_t *index = open_value("number");
        put_pod(e, "JOB_COMPLETION_INDEX", index);
        json_decref(index);
    }
}

static RESULT collect(struct env *e, struct err *err) {
    const json_t *from = json_object_get(e->d->container, "envFrom");
    const json_t *env = json_object_get(e->d->container, "env");
    add_image(e);
    put_text(e->all, "HOSTNAME", POLICY_MARK "host" POLICY_MARK);
    if (policy_flag_of(e->d->container, "tty", false)) {
        put_text(e->all, "TERM", "xterm");
    }
    for (size_t i = 0; i < json_array_size(from); i++) {
        (void)snprintf(e->field, sizeof e->field, ".envFrom[%zu]", i);
        TRY(add_env_from(e, json_array_get(from, i), err));
    }
    for (size_t i = 0; i < json_array_size(env); i++) {
        (void)snprintf(e->field, sizeof e->field, ".env[%zu]", i);
        TRY(add_variable(e, json_array_get(env, i), err));
    }
    add_index(e);
    return OK;
}

static int compare_keys(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "NAME=text" for each text, sorted by name, and an object of the open ones. */
static void write_env(const struct env *e, json_t *out) {
    json_t *texts = json_array();
    json_t *open = json_object();
    const char *names[LIMIT_IMAGE_STRINGS];
    size_t count = 0;
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(e->all, name, value) {
        CHECK(count < LIMIT_IMAGE_STRINGS);
        names[count++] = name;
    }
    qsort(names, count, sizeof names[0], compare_keys);
    for (size_t i = 0; i < count; i++) {
        value = json_object_get(e->all, names[i]);
        if (json_is_string(value)) {
            AUTO(buf_deinit)
            struct buf text = {0};
            buf_appendf(&text, "%s=%s", names[i], json_string_value(value));
            json_array_append_new(texts, json_string(buf_cstr(&text)));
        } else {
            json_object_set(open, names[i], json_object_get(value, "open"));
        }
    }
    json_object_set_new(out, "env", texts);
    json_object_set_new(out, "openEnv", open);
}

/* command and args; the image's Entrypoint and Cmd stand in as containerd does it. */
static RESULT write_args(const struct env *e, json_t *out, struct err *err) {
    const json_t *command = json_object_get(e->d->container, "command");
    const json_t *args = json_object_get(e->d->container, "args");
    bool has_command = json_array_size(command) > 0;
    if (!has_command && e->d->image == NULL) {
        return OK; /* no "args": the rules never start it */
    }
    json_t *all = json_array();
    json_object_set_new(out, "args", all);
    if (!has_command) {
        json_array_extend(all, image_list_of(e->d->image, "Entrypoint"));
    }
    TRY(expand_list(e, "command", command, all, err));
    TRY(expand_list(e, "args", args, all, err));
    if (!has_command && json_array_size(args) == 0) {
        json_array_extend(all, image_list_of(e->d->image, "Cmd"));
    }
    if (json_array_size(all) == 0) {
        return policy_derive_fail(e->d, "", err, "neither pod nor image say what to run");
    }
    return OK;
}

/* Commands that the kubelet runs in the container; it expands no variables in them. */
static void write_commands(const struct derive *d, json_t *out) {
    static const char *const paths[][2] = {
        {"livenessProbe", NULL},    {"readinessProbe", NULL}, {"startupProbe", NULL},
        {"lifecycle", "postStart"}, {"lifecycle", "preStop"},
    };
    json_t *commands = json_array();
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        json_t *at = json_object_get(d->container, paths[i][0]);
        at = paths[i][1] != NULL ? json_object_get(at, paths[i][1]) : at;
        json_t *command = json_object_get(json_object_get(at, "exec"), "command");
        if (json_array_size(command) > 0) {
            json_array_append_new(commands, json_copy(command));
        }
    }
    json_object_set_new(out, "commands", commands);
}

static RESULT derive(struct env *e, json_t *out, struct err *err) {
    TRY(collect(e, err));
    if (json_object_size(e->all) > LIMIT_IMAGE_STRINGS) {
        return policy_derive_fail(e->d, ".env", err, "over %d variables", LIMIT_IMAGE_STRINGS);
    }
    write_env(e, out);
    write_commands(e->d, out);
    return write_args(e, out, err);
}

RESULT policy_env_derive(const struct derive *d, json_t *out, struct err *err) {
    struct env e = {.d = d, .all = json_object(), .pod = json_object(), .list = json_object()};
    struct result r = derive(&e, out, err);
    json_decref(e.all);
    json_decref(e.pod);
    json_decref(e.list);
    return r;
}
