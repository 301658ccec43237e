/* Policy environment: variables and programs as image, containerd and kubelet put them together.
 *
 *   containerd    PATH, HOSTNAME and, with a terminal, TERM; then the image's ENV
 *   kubelet       envFrom in order, then env; each later one of a name wins
 *
 * Only PATH, HOSTNAME and TERM are replaced in place. Another variable of the image that the pod
 * sets again stands twice in the request, the image's first: that goes to "oldEnv". A key of
 * envFrom that is no name for older kubelets, which skip it, goes to "mayEnv". Values that only the
 * cluster knows go to "openEnv" by their form. Failure: INVALID with the field.
 *
 * Sources: k8s.io/kubernetes kubelet_pods.go (makeEnvironmentVariables), kuberuntime/helpers and
 * prober.go (who expands what), containerd internal/cri/server/container_create.go and
 * pkg/oci/spec_opts.go (replaceOrAppendEnvValues).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/policy/policy_env.h"
#include "lib/base/limits.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct env {
    const struct derive *d;
    json_t *base;       /* names that containerd sets itself: replaced in place; owned */
    json_t *all;        /* name -> text, or {"open": form}: what the process gets; owned */
    json_t *pod;        /* of the pod alone: seen by $(NAME); owned */
    json_t *written;    /* env: name -> its "value", "" for valueFrom: seen by probes; owned */
    json_t *old;        /* set of NAME=text, as keys; owned */
    json_t *may;        /* the same; owned */
    const char *prefix; /* of envFrom */
    char field[96];
};

static void put_text(json_t *map, const char *name, const char *value) {
    json_object_set_new(map, name, json_string(value));
}

/* "NAME=text" as a key of a set. */
static void put_member(json_t *set, const char *name, const char *value) {
    AUTO(buf_deinit)
    struct buf text = {0};
    buf_appendf(&text, "%s=%s", name, value);
    json_object_set_new(set, buf_cstr(&text), json_true());
}

/* --- $(NAME) */

static RESULT fail_stuck(const struct env *e, const char *name, const char *why, struct err *err) {
    return policy_derive_fail(
        e->d, e->field, err,
        "$(%.100s): %s only the cluster knows; write the value, or $$(%.100s) "
        "for the text itself",
        name, why, name);
}

struct service_check {
    const struct env *e;
    struct buf stuck;
};

static bool check_service(void *context, const char *name) {
    struct service_check *check = context;
    bool is_service =
        json_object_get(check->e->pod, name) == NULL && policy_object_is_service(check->e->d, name);
    if (is_service) {
        buf_append_str(&check->stuck, name);
    }
    return !is_service;
}

static void free_check(struct service_check *check) {
    buf_deinit(&check->stuck);
}

/* A new reference in *out. */
static RESULT expand(const struct env *e, const char *text, json_t **out, struct err *err) {
    AUTO(free_check)
    struct service_check check = {.e = e};
    if (!policy_expand_each(text, check_service, &check)) {
        return fail_stuck(e, buf_cstr(&check.stuck), "the address of a Service, which", err);
    }
    AUTO(buf_deinit)
    struct buf expanded = {0};
    AUTO(buf_deinit)
    struct buf stuck = {0};
    if (!policy_expand(e->pod, text, &expanded, &stuck)) {
        return fail_stuck(e, buf_cstr(&stuck), "a label or annotation, which", err);
    }
    if (expanded.size > LIMIT_POLICY) {
        return policy_derive_fail(e->d, e->field, err, "variables that expand to over %d bytes",
                                  LIMIT_POLICY);
    }
    *out = json_string(buf_cstr(&expanded));
    return OK;
}

static RESULT expand_list(const struct env *e, const char *field, const json_t *list, json_t *out,
                          struct err *err) {
    struct env at = *e;
    for (size_t i = 0; i < json_array_size(list); i++) {
        (void)snprintf(at.field, sizeof at.field, ".%s[%zu]", field, i);
        json_t *item = NULL;
        TRY(expand(&at, json_string_value(json_array_get(list, i)), &item, err));
        json_array_append_new(out, item);
    }
    return OK;
}

/* --- References in a circle: the kubelet would leave one of them as text, in silence */

struct circle {
    const json_t *list;  /* env */
    const char *wanted;  /* the name that must not come back */
    json_t *seen;        /* names on the way; owned */
    const json_t *known; /* set before by envFrom, or resolved: no circle */
};

static const char *value_of_name(const json_t *list, const char *name) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *variable = json_array_get(list, i);
        if (strcmp(policy_text_of(variable, "name", ""), name) == 0) {
            return policy_text_of(variable, "value", "");
        }
    }
    return "";
}

/* False: `name` leads back to where the walk began. Each name is walked once. */
static bool has_circle(void *context, const char *name) {
    struct circle *c = context;
    if (strcmp(name, c->wanted) == 0) {
        return false;
    }
    if (json_object_get(c->seen, name) != NULL || json_object_get(c->known, name) != NULL ||
        json_object_size(c->seen) >= LIMIT_POLICY_CIRCLE) {
        return true;
    }
    json_object_set_new(c->seen, name, json_true());
    return policy_expand_each(value_of_name(c->list, name), has_circle, c);
}

static RESULT check_circle(const struct env *e, const json_t *list, const char *name,
                           const char *value, struct err *err) {
    if (json_object_get(e->pod, name) != NULL) {
        return OK; /* it refers to the one of envFrom */
    }
    struct circle c = {.list = list, .wanted = name, .seen = json_object(), .known = e->pod};
    bool is_good = policy_expand_each(value, has_circle, &c);
    json_decref(c.seen);
    if (!is_good) {
        return policy_derive_fail(e->d, e->field, err,
                                  "%.100s refers to itself by $(NAME), perhaps through others; "
                                  "break the circle, or write $$(NAME) for the text itself",
                                  name);
    }
    return OK;
}

/* --- envFrom */

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* k8s.io/apimachinery IsEnvVarName. */
static bool is_name(const char *name) {
    bool is_good = is_letter(name[0]) || (name[0] != '\0' && strchr("-._", name[0]) != NULL);
    for (const char *p = name; *p != '\0'; p++) {
        is_good = is_good && (is_letter(*p) || (*p >= '0' && *p <= '9') || strchr("-._", *p));
    }
    return is_good && strcmp(name, ".") != 0 && strncmp(name, "..", 2) != 0;
}

static RESULT put_from(void *context, const char *key, const char *value, struct err *err) {
    (void)err;
    struct env *e = context;
    AUTO(buf_deinit)
    struct buf name = {0};
    buf_appendf(&name, "%s%s", e->prefix, key);
    if (is_name(buf_cstr(&name))) {
        put_text(e->pod, buf_cstr(&name), value);
    } else {
        put_member(e->may, buf_cstr(&name), value);
    }
    return OK;
}

static RESULT add_env_from(struct env *e, const json_t *entry, struct err *err) {
    const json_t *map = json_object_get(entry, "configMapRef");
    const json_t *secret = json_object_get(entry, "secretRef");
    if ((map == NULL) == (secret == NULL)) {
        return policy_derive_fail(e->d, e->field, err,
                                  "must have one of configMapRef and secretRef");
    }
    const json_t *ref = map != NULL ? map : secret;
    e->prefix = policy_text_of(entry, "prefix", "");
    const struct policy_object_ref r = {map != NULL ? "ConfigMap" : "Secret",
                                        policy_text_of(ref, "name", ""), "", e->field,
                                        policy_flag_of(ref, "optional", false)};
    return policy_object_each(e->d, &r, put_from, e, err);
}

/* --- env */

static RESULT check_variable(const struct env *e, const json_t *list, size_t index,
                             struct err *err) {
    const json_t *variable = json_array_get(list, index);
    const char *name = policy_text_of(variable, "name", "");
    const char *value = policy_text_of(variable, "value", "");
    if (!is_name(name)) {
        return policy_derive_fail(e->d, e->field, err,
                                  "\"%.100s\" is no name of a variable: letters, digits, _ - and "
                                  "dots, with no digit first",
                                  name);
    }
    if (json_object_get(e->written, name) != NULL) {
        return policy_derive_fail(e->d, e->field, err,
                                  "\"%.100s\" is set above already, and which one counts depends "
                                  "on how the file is applied; keep one",
                                  name);
    }
    if (json_object_get(variable, "valueFrom") != NULL && value[0] != '\0') {
        return policy_derive_fail(e->d, e->field, err,
                                  "\"%.100s\" has value and valueFrom; keep one", name);
    }
    return check_circle(e, list, name, value, err);
}

static RESULT add_variable(struct env *e, const json_t *list, size_t index, struct err *err) {
    const json_t *variable = json_array_get(list, index);
    const char *name = policy_text_of(variable, "name", "");
    const char *text = policy_text_of(variable, "value", "");
    const json_t *from = json_object_get(variable, "valueFrom");
    json_t *value = NULL;
    TRY(check_variable(e, list, index, err));
    if (from != NULL) {
        TRY(policy_value_from(e->d, e->field, from, &value, err));
    } else {
        TRY(expand(e, text, &value, err));
    }
    put_text(e->written, name, text);
    if (value != NULL) { /* else optional and missing: what envFrom set stays */
        json_object_set_new(e->pod, name, value);
    }
    return OK;
}

/* --- What the process gets */

/* As containerd appends: a variable that it has not set itself does not replace an earlier one. */
static void put_process(struct env *e, const char *name, json_t *value) {
    const char *old = json_string_value(json_object_get(e->all, name));
    if (old != NULL && json_object_get(e->base, name) == NULL) {
        put_member(e->old, name, old);
    }
    json_object_set(e->all, name, value);
}

static void add_base(struct env *e) {
    put_text(e->all, "PATH", DEFAULT_PATH);
    put_text(e->all, "HOSTNAME", POLICY_MARK "host" POLICY_MARK);
    if (policy_flag_of(e->d->container, "tty", false)) {
        put_text(e->all, "TERM", "xterm");
    }
    json_object_update(e->base, e->all);
}

static void add_image(struct env *e) {
    const json_t *list = e->d->image != NULL ? image_list_of(e->d->image, "Env") : NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        const char *equals = strchr(text, '=');
        AUTO(buf_deinit)
        struct buf name = {0};
        buf_append(&name, text, (size_t)(equals - text));
        json_t *value = json_string(equals + 1);
        put_process(e, buf_cstr(&name), value);
        json_decref(value);
    }
}

/* The job controller gives each pod of an indexed Job its index, behind the variables of the pod
 * (job controller, addCompletionIndexEnvVariable). */
static void add_index(struct env *e) {
    bool is_indexed = strcmp(policy_text_of(e->d->owner, "completionMode", ""), "Indexed") == 0;
    if (is_indexed && json_object_get(e->written, "JOB_COMPLETION_INDEX") == NULL) {
        json_object_set_new(e->pod, "JOB_COMPLETION_INDEX", policy_value_open("number"));
    }
}

static RESULT collect(struct env *e, struct err *err) {
    const json_t *from = json_object_get(e->d->container, "envFrom");
    const json_t *list = json_object_get(e->d->container, "env");
    for (size_t i = 0; i < json_array_size(from); i++) {
        (void)snprintf(e->field, sizeof e->field, ".envFrom[%zu]", i);
        TRY(add_env_from(e, json_array_get(from, i), err));
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        (void)snprintf(e->field, sizeof e->field, ".env[%zu]", i);
        TRY(add_variable(e, list, i, err));
    }
    add_index(e);
    add_base(e);
    add_image(e);
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(e->pod, name, value) {
        put_process(e, name, value);
    }
    return OK;
}

static int compare_keys(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The keys, sorted; the caller frees the list, not the keys. */
static const char **sorted_keys(json_t *object) {
    const char **keys = mem_calloc(json_object_size(object) + 1, sizeof *keys);
    size_t count = 0;
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(object, key, value) {
        keys[count++] = key;
    }
    if (count > 1) {
        qsort((void *)keys, count, sizeof *keys, compare_keys);
    }
    return keys;
}

/* "NAME=text" for each text, sorted by name, and an object of the open ones. */
static void write_env(const struct env *e, json_t *out) {
    json_t *texts = json_array();
    json_t *open = json_object();
    const char **names = sorted_keys(e->all);
    for (size_t i = 0; names[i] != NULL; i++) {
        json_t *value = json_object_get(e->all, names[i]);
        if (json_is_string(value)) {
            AUTO(buf_deinit)
            struct buf text = {0};
            buf_appendf(&text, "%s=%s", names[i], json_string_value(value));
            json_array_append_new(texts, json_string(buf_cstr(&text)));
        } else {
            json_object_set(open, names[i], json_object_get(value, "open"));
        }
    }
    mem_free((void *)names);
    json_object_set_new(out, "env", texts);
    json_object_set_new(out, "openEnv", open);
}

static void write_set(json_t *set, const char *key, json_t *out) {
    if (json_object_size(set) == 0) {
        return;
    }
    json_t *list = json_array();
    const char **names = sorted_keys(set);
    for (size_t i = 0; names[i] != NULL; i++) {
        json_array_append_new(list, json_string(names[i]));
    }
    mem_free((void *)names);
    json_object_set_new(out, key, list);
}

/* --- Programs */

/* An Entrypoint of one empty string is none, for containerd. */
static void add_entrypoint(const struct image *image, json_t *all) {
    json_t *list = image_list_of(image, "Entrypoint");
    bool is_empty =
        json_array_size(list) == 1 && json_string_value(json_array_get(list, 0))[0] == '\0';
    if (!is_empty) {
        json_array_extend(all, list);
    }
}

/* command and args; the image's Entrypoint and Cmd stand in as containerd does it. */
static RESULT write_args(const struct env *e, json_t *out, struct err *err) {
    const json_t *command = json_object_get(e->d->container, "command");
    const json_t *args = json_object_get(e->d->container, "args");
    bool has_command = json_array_size(command) > 0;
    json_t *all = json_array();
    if (!has_command && e->d->image != NULL) {
        add_entrypoint(e->d->image, all);
    }
    struct result r = expand_list(e, "command", command, all, err);
    if (is_ok(r)) {
        r = expand_list(e, "args", args, all, err);
    }
    if (!is_ok(r) || (!has_command && e->d->image == NULL)) {
        json_decref(all); /* no "args": the rules never start it */
        return r;
    }
    json_object_set_new(out, "args", all);
    if (!has_command && json_array_size(args) == 0) {
        json_array_extend(all, image_list_of(e->d->image, "Cmd"));
    }
    if (json_array_size(all) == 0) {
        return policy_derive_fail(e->d, "", err, "neither pod nor image say what to run");
    }
    return OK;
}

static json_t *expand_static(const struct env *e, const json_t *command) {
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(command); i++) {
        AUTO(buf_deinit)
        struct buf text = {0};
        AUTO(buf_deinit)
        struct buf stuck = {0};
        CHECK(policy_expand(e->written, json_string_value(json_array_get(command, i)), &text,
                            &stuck));
        json_array_append_new(list, json_string(buf_cstr(&text)));
    }
    return list;
}

/* Commands that the kubelet runs in the container. In probes it puts in what "env" says as it
 * stands there, in hooks nothing. */
static void write_commands(const struct env *e, json_t *out) {
    static const char *const paths[][2] = {
        {"livenessProbe", NULL},    {"readinessProbe", NULL}, {"startupProbe", NULL},
        {"lifecycle", "postStart"}, {"lifecycle", "preStop"},
    };
    json_t *commands = json_array();
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        json_t *at = json_object_get(e->d->container, paths[i][0]);
        at = paths[i][1] != NULL ? json_object_get(at, paths[i][1]) : at;
        json_t *command = json_object_get(json_object_get(at, "exec"), "command");
        if (json_array_size(command) > 0) {
            json_array_append_new(commands, paths[i][1] == NULL ? expand_static(e, command)
                                                                : json_copy(command));
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
    write_set(e->old, "oldEnv", out);
    write_set(e->may, "mayEnv", out);
    write_commands(e, out);
    return write_args(e, out, err);
}

RESULT policy_env_derive(const struct derive *d, json_t *out, struct err *err) {
    struct env e = {.d = d,
                    .base = json_object(),
                    .all = json_object(),
                    .pod = json_object(),
                    .written = json_object(),
                    .old = json_object(),
                    .may = json_object()};
    struct result r = derive(&e, out, err);
    json_decref(e.base);
    json_decref(e.all);
    json_decref(e.pod);
    json_decref(e.written);
    json_decref(e.old);
    json_decref(e.may);
    return r;
}
