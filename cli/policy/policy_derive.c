/* Policy derivation: the containers of a pod, the sandbox first.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/policy_derive.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/limits.h"

RESULT policy_derive_fail(const struct derive *d, const char *field, struct err *err,
                          const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return yaml_fail(d->w->file, d->at, err, "%s%s: %s", d->path, field, text);
}

const char *policy_text_of(const json_t *object, const char *key, const char *fallback) {
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : fallback;
}

bool policy_flag_of(const json_t *object, const char *key, bool fallback) {
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_boolean_value(value) : fallback;
}

const json_t *policy_number_of(const struct derive *d, const char *key) {
    const json_t *own = json_object_get(json_object_get(d->container, "securityContext"), key);
    return own != NULL ? own : json_object_get(json_object_get(d->spec, "securityContext"), key);
}

/* --- The image's names: as written, and as containerd normalizes them (no tag beside a digest) */

static bool has_domain(const char *reference, size_t first) {
    return memchr(reference, '.', first) != NULL || memchr(reference, ':', first) != NULL ||
           (first == 9 && memcmp(reference, "localhost", 9) == 0);
}

static void append_normal(const char *reference, struct buf *out) {
    size_t first = strcspn(reference, "/");
    if (reference[first] == '\0') {
        buf_append_str(out, "docker.io/library/");
    } else if (!has_domain(reference, first)) {
        buf_append_str(out, "docker.io/");
    }
    const char *digest = strchr(reference, '@');
    size_t size = digest != NULL ? (size_t)(digest - reference) : strlen(reference);
    const char *last = reference;
    for (size_t i = 0; i < size; i++) {
        last = reference[i] == '/' ? reference + i : last;
    }
    const char *tag = memchr(last, ':', size - (size_t)(last - reference));
    if (digest != NULL) {
        size_t bare = tag != NULL ? (size_t)(tag - reference) : size;
        buf_append(out, reference, bare);
        buf_append_str(out, digest);
    } else {
        buf_appendf(out, "%s%s", reference, tag == NULL ? ":latest" : "");
    }
}

static json_t *image_names(const char *reference) {
    AUTO(buf_deinit)
    struct buf normal = {0};
    append_normal(reference, &normal);
    int order = strcmp(reference, buf_cstr(&normal));
    if (order == 0) {
        return json_pack("[s]", reference);
    }
    return order < 0 ? json_pack("[s,s]", reference, buf_cstr(&normal))
                     : json_pack("[s,s]", buf_cstr(&normal), reference);
}

static json_t *image_layers(const struct image *image) {
    json_t *list = json_array();
    for (size_t i = 0; i < image->layer_count; i++) {
        json_array_append_new(list, json_pack("{s:s, s:s}", "id", image->layers[i].id, "root",
                                              image->layers[i].root));
    }
    return list;
}

/* --- Containers */

static json_t *sysctls(const struct derive *d) {
    const json_t *list = json_object_get(json_object_get(d->spec, "securityContext"), "sysctls");
    json_t *map = json_object();
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        json_object_set_new(map, policy_text_of(entry, "name", ""),
                            json_string(policy_text_of(entry, "value", "")));
    }
    return map;
}

/* Devices that plugins of NVIDIA hand out. */
static RESULT count_gpus(const struct derive *d, json_int_t *out, struct err *err) {
    json_t *limits = json_object_get(json_object_get(d->container, "resources"), "limits");
    const char *key = NULL;
    json_t *value = NULL;
    *out = 0;
    json_object_foreach(limits, key, value) {
        const char *text = json_string_value(value);
        if (strncmp(key, "nvidia.com/", 11) != 0 || text == NULL) {
            continue;
        }
        char *end = NULL;
        long count = strtol(text, &end, 10);
        if (text[0] == '\0' || *end != '\0' || count < 0 || count > 1024) {
            return policy_derive_fail(d, ".resources.limits", err,
                                      "%.100s: must be a number of devices", key);
        }
        *out += count;
    }
    return OK;
}

static void set_root(const struct derive *d, json_t *out) {
    const json_t *context = json_object_get(d->container, "securityContext");
    const char *folder = policy_text_of(d->container, "workingDir", "");
    if (folder[0] == '\0' && d->image != NULL) {
        folder = image_string(d->image, "WorkingDir");
    }
    if (folder[0] != '\0' || d->image != NULL) {
        json_object_set_new(out, "cwd", json_string(folder[0] != '\0' ? folder : "/"));
    }
    json_object_set_new(out, "readonlyRoot",
                        json_boolean(policy_flag_of(context, "readOnlyRootFilesystem", false)));
    json_object_set_new(out, "tty", json_boolean(policy_flag_of(d->container, "tty", false)));
}

static RESULT check_container(const struct derive *d, struct err *err) {
    const char *name = policy_text_of(d->container, "name", "");
    bool is_label = name[0] != '\0' && name[0] != '-' && strlen(name) <= LIMIT_NAME;
    for (const char *p = name; *p != '\0'; p++) {
        is_label =
            is_label && (islower((unsigned char)*p) || isdigit((unsigned char)*p) || *p == '-');
    }
    if (!is_label) {
        return policy_derive_fail(d, ".name", err,
                                  "\"%.100s\" must be lower-case letters, digits and dashes", name);
    }
    return OK;
}

static RESULT derive_container(const struct derive *d, json_t *out, struct err *err) {
    json_int_t gpus = 0;
    TRY(check_container(d, err));
    TRY(count_gpus(d, &gpus, err));
    json_object_set_new(out, "name", json_string(policy_text_of(d->container, "name", "")));
    json_object_set_new(out, "images", image_names(policy_text_of(d->container, "image", "")));
    json_object_set_new(out, "sandbox", json_false());
    json_object_set_new(out, "gpus", json_integer(gpus));
    json_object_set_new(out, "sysctls", json_object());
    json_object_set_new(out, "serviceLinks",
                        json_boolean(policy_flag_of(d->spec, "enableServiceLinks", true)));
    if (d->image != NULL && d->image->layer_count > 0) {
        json_object_set_new(out, "layers", image_layers(d->image));
    }
    set_root(d, out);
    TRY(policy_env_derive(d, out, err));
    TRY(policy_user_derive(d, out, err));
    return policy_mount_derive(d, out, err);
}

/* The pause container: its image is part of the guest. */
static json_t *derive_sandbox(const struct derive *d) {
    json_t *out = json_pack("{s:[s], s:[], s:s, s:[s], s:{}, s:i, s:s, s:b, s:b, s:b, s:b, s:o}",
                            "args", "/pause", "commands", "cwd", "/", "env",
                            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                            "openEnv", "gpus", 0, "name", "", "readonlyRoot", 1, "sandbox", 1,
                            "serviceLinks", 0, "tty", 0, "sysctls", sysctls(d));
    CHECK(out != NULL);
    policy_user_sandbox(d, out);
    policy_mount_sandbox(out);
    return out;
}

static const struct yaml_node *node_of(const struct workload *w, const char *key, size_t index) {
    const struct yaml_node *list = yaml_key(w->spec, key);
    return list != NULL && list->kind == YAML_KIND_SEQUENCE && index < list->count
               ? list->items[index]
               : w->spec;
}

static RESULT derive_list(struct derive *d, const char *key, json_t *containers, struct err *err) {
    const json_t *list = json_object_get(d->spec, key);
    for (size_t i = 0; i < json_array_size(list); i++) {
        d->container = json_array_get(list, i);
        d->at = node_of(d->w, key, i);
        d->image = image_find(d->inputs->images, policy_text_of(d->container, "image", ""));
        (void)snprintf(d->path, sizeof d->path, "spec.%s[%zu]", key, i);
        json_t *out = json_object();
        json_array_append_new(containers, out);
        TRY(derive_container(d, out, err));
    }
    return OK;
}

/* --- The pod */

/* What a policy cannot cover: it would share what belongs to other pods, or to the host. */
static RESULT check_pod(const struct derive *d, struct err *err) {
    static const char *const keys[] = {"hostNetwork", "hostPID", "hostIPC",
                                       "shareProcessNamespace"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (policy_flag_of(d->spec, keys[i], false)) {
            return policy_derive_fail(
                d, "", err, "%s: a confidential pod has its own machine; remove it", keys[i]);
        }
    }
    return OK;
}

static void set_pod(const struct derive *d, json_t *out) {
    const json_t *context = json_object_get(d->spec, "securityContext");
    const json_t *group = json_object_get(context, "fsGroup");
    const char *change = policy_text_of(context, "fsGroupChangePolicy", "Always");
    if (group != NULL) {
        json_int_t gid = json_integer_value(group);
        json_object_set_new(out, "fsGroup", json_integer(gid));
        json_object_set_new(out, "fsGroupOption", json_sprintf("fsgid=%" JSON_INTEGER_FORMAT, gid));
        json_object_set_new(out, "fsGroupChange",
                            json_integer(strcmp(change, "OnRootMismatch") == 0 ? 1 : 0));
    }
    const json_t *hostname = json_object_get(d->spec, "hostname");
    if (hostname != NULL) {
        json_object_set_new(out, "hostname", json_string(json_string_value(hostname)));
    }
    if (d->inputs->is_partial) {
        json_object_set_new(out, "partial", json_true());
    }
}

RESULT policy_derive(const struct workload *w, const struct policy_inputs *inputs,
                     const json_t *spec, json_t **out, struct err *err) {
    struct derive d = {.w = w, .inputs = inputs, .spec = spec, .at = w->spec, .path = "spec"};
    TRY(check_pod(&d, err));
    json_t *data = json_object();
    json_t *containers = json_array();
    json_object_set_new(data, "containers", containers);
    set_pod(&d, data);
    json_array_append_new(containers, derive_sandbox(&d));
    struct result r = derive_list(&d, "initContainers", containers, err);
    if (is_ok(r)) {
        r = derive_list(&d, "containers", containers, err);
    }
    if (!is_ok(r)) {
        json_decref(data);
        return r;
    }
    *out = data;
    return OK;
}
