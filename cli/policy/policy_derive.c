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

/* Where "spec.containers[0].env[2]" stands, or what is around it. */
static const struct yaml_node *find_node(const struct derive *d, const char *field) {
    char path[192];
    (void)snprintf(path, sizeof path, "%s%s", d->path, field);
    const struct yaml_node *node = yaml_get(d->w->pod, path);
    return node != NULL ? node : d->at;
}

RESULT policy_derive_fail(const struct derive *d, const char *field, struct err *err,
                          const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return yaml_fail(d->w->file, find_node(d, field), err, "%s%s%s%s: %s", d->place.item,
                     d->place.pod, d->path, field, text);
}

void policy_derive_warn(const struct derive *d, const char *field, const char *text) {
    pod_fields_warn(&d->inputs->warner, d->w->file, find_node(d, field), "%s%s%s%s: %s",
                    d->place.item, d->place.pod, d->path, field, text);
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

/* With a slash as its first separator, slashes and dots stand for each other (sysctl.d(5)). */
static void append_sysctl(const char *name, struct buf *out) {
    bool is_swapped = name[strcspn(name, "./")] == '/';
    for (const char *p = name; *p != '\0'; p++) {
        bool is_separator = is_swapped && (*p == '/' || *p == '.');
        buf_append_str(out, is_separator && *p == '/' ? "." : "");
        buf_append_str(out, is_separator && *p == '.' ? "/" : "");
        buf_append(out, p, is_separator ? 0 : 1);
    }
}

static json_t *sysctls(const struct derive *d) {
    const json_t *list = json_object_get(json_object_get(d->spec, "securityContext"), "sysctls");
    json_t *map = json_object();
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        AUTO(buf_deinit)
        struct buf name = {0};
        append_sysctl(policy_text_of(entry, "name", ""), &name);
        json_object_set_new(map, buf_cstr(&name), json_string(policy_text_of(entry, "value", "")));
    }
    return map;
}

/* A resource of another plugin: whether it brings devices, only its node knows. */
static void warn_resource(const struct derive *d, const char *key) {
    if (strchr(key, '/') != NULL && strncmp(key, "kubernetes.io/", 14) != 0) {
        pod_fields_warn(
            &d->inputs->warner, d->w->file, d->at,
            "%s%s%s.resources.limits: %.100s: if a device plugin adds devices or variables "
            "for it, the policy denies the container",
            d->place.item, d->place.pod, d->path, key);
    }
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
            warn_resource(d, key);
            continue;
        }
        char *end = NULL;
        long count = strtol(text, &end, 10);
        if (text[0] == '\0' || *end != '\0' || count < 0 || count > 1024) {
            return policy_derive_fail(d, ".resources.limits", err,
                                      "%.100s: must be a number of devices up to 1024", key);
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

/* The name of a Localhost profile; "" = none. Container before pod before the older annotation. */
static const char *apparmor(const struct derive *d) {
    const json_t *own =
        json_object_get(json_object_get(d->container, "securityContext"), "appArmorProfile");
    const json_t *context = json_object_get(d->spec, "securityContext");
    own = own != NULL ? own : json_object_get(context, "appArmorProfile");
    if (own != NULL) {
        bool is_local = strcmp(policy_text_of(own, "type", ""), "Localhost") == 0;
        return is_local ? policy_text_of(own, "localhostProfile", "") : "";
    }
    char key[128];
    (void)snprintf(key, sizeof key, "container.apparmor.security.beta.kubernetes.io/%.63s",
                   policy_text_of(d->container, "name", ""));
    const json_t *annotations = json_object_get(json_object_get(d->pod, "metadata"), "annotations");
    const char *text = policy_text_of(annotations, key, "");
    return strncmp(text, "localhost/", 10) == 0 ? text + 10 : "";
}

static RESULT check_container(const struct derive *d, struct err *err) {
    const char *name = policy_text_of(d->container, "name", "");
    size_t size = strlen(name);
    bool is_label = size > 0 && size <= LIMIT_NAME && name[0] != '-' && name[size - 1] != '-';
    for (const char *p = name; *p != '\0'; p++) {
        is_label =
            is_label && (islower((unsigned char)*p) || isdigit((unsigned char)*p) || *p == '-');
    }
    if (!is_label) {
        return policy_derive_fail(
            d, ".name", err,
            "\"%.100s\" must be lower-case letters, digits and, inside, dashes: at "
            "most %d",
            name, LIMIT_NAME);
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
    if (apparmor(d)[0] != '\0') {
        json_object_set_new(out, "apparmor", json_string(apparmor(d)));
    }
    if (d->image != NULL && d->image->layer_count > 0) {
        json_object_set_new(out, "layers", image_layers(d->image));
    }
    set_root(d, out);
    TRY(policy_env_derive(d, out, err));
    TRY(policy_user_derive(d, out, err));
    return policy_mount_derive(d, out, err);
}

/* The pause container: its image is part of the guest, or it has known layers. */
static json_t *derive_sandbox(const struct derive *d) {
    json_t *out = json_pack("{s:[s], s:[], s:s, s:[s], s:{}, s:i, s:s, s:b, s:b, s:b, s:b, s:o}",
                            "args", "/pause", "commands", "cwd", "/", "env",
                            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                            "openEnv", "gpus", 0, "name", "", "readonlyRoot", 1, "sandbox", 1,
                            "serviceLinks", 0, "tty", 0, "sysctls", sysctls(d));
    CHECK(out != NULL);
    const char *pause = d->inputs->pause_image;
    const struct image *image = pause != NULL ? image_find(d->inputs->images, pause) : NULL;
    if (image != NULL && image->layer_count > 0) {
        json_object_set_new(out, "layers", image_layers(image));
    }
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
        if (strcmp(key, "initContainers") == 0) {
            json_object_set_new(out, "init", json_true());
        }
        TRY(derive_container(d, out, err));
    }
    return OK;
}

/* --- The pod */

static bool is_indexed(const struct derive *d) {
    return strcmp(policy_text_of(d->owner, "completionMode", ""), "Indexed") == 0;
}

/* hostname, fqdn, indexed: what the rules need to know the host name. A StatefulSet names its pods
 * itself, and an indexed Job, too: "<job>-<index>". */
static void set_hostname(const struct derive *d, json_t *out) {
    bool is_set = strcmp(d->w->kind, "StatefulSet") == 0;
    const char *hostname = policy_text_of(d->spec, "hostname", "");
    const char *domain = is_set ? policy_text_of(d->owner, "serviceName", "")
                                : policy_text_of(d->spec, "subdomain", "");
    if (is_indexed(d)) {
        json_object_set_new(out, "indexed", json_true());
    } else if (hostname[0] != '\0' && !is_set) {
        json_object_set_new(out, "hostname", json_string(hostname));
    }
    if (policy_flag_of(d->spec, "setHostnameAsFQDN", false) && domain[0] != '\0') {
        json_object_set_new(out, "fqdn", json_string(domain));
    }
}

/* What the pod tells Kata's shim; containerd may hand it on to the guest. */
static void set_annotations(const struct derive *d, json_t *out) {
    static const char prefix[] = "io.katacontainers.";
    json_t *all = json_object_get(json_object_get(d->pod, "metadata"), "annotations");
    json_t *map = json_object();
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(all, key, value) {
        bool is_policy = strcmp(key, WORKLOAD_POLICY_ANNOTATION) == 0 ||
                         strcmp(key, WORKLOAD_INITDATA_ANNOTATION) == 0;
        if (strncmp(key, prefix, sizeof prefix - 1) == 0 && !is_policy) {
            json_object_set(map, key, value);
        }
    }
    if (json_object_size(map) > 0) {
        json_object_set(out, "annotations", map);
    }
    json_decref(map);
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
    set_hostname(d, out);
    set_annotations(d, out);
    if (d->inputs->is_partial) {
        json_object_set_new(out, "partial", json_true());
    }
}

/* Init containers and containers share one set of names. */
static RESULT check_names(const struct derive *d, const json_t *containers, struct err *err) {
    for (size_t i = 0; i < json_array_size(containers); i++) {
        const char *name = policy_text_of(json_array_get(containers, i), "name", "");
        for (size_t k = 0; k < i; k++) {
            if (strcmp(policy_text_of(json_array_get(containers, k), "name", ""), name) == 0) {
                return policy_derive_fail(d, ".containers", err,
                                          "two containers are called \"%.63s\"; rename one", name);
            }
        }
    }
    return OK;
}

static RESULT derive_pod(struct derive *d, json_t *containers, struct err *err) {
    TRY(policy_volume_check(d, err));
    json_array_append_new(containers, derive_sandbox(d));
    TRY(derive_list(d, "initContainers", containers, err));
    TRY(derive_list(d, "containers", containers, err));
    d->at = d->w->spec;
    (void)snprintf(d->path, sizeof d->path, "spec");
    policy_volume_warn(d);
    return check_names(d, containers, err);
}

static const json_t *owner_of(const json_t *resource, const char *kind) {
    const json_t *spec = json_object_get(resource, "spec");
    return strcmp(kind, "CronJob") == 0
               ? json_object_get(json_object_get(spec, "jobTemplate"), "spec")
               : spec;
}

RESULT policy_derive(const struct workload *w, const struct policy_inputs *inputs,
                     const json_t *resource, const json_t *pod, json_t **out, struct err *err) {
    struct derive d = {.w = w,
                       .inputs = inputs,
                       .owner = owner_of(resource, w->kind),
                       .pod = pod,
                       .spec = json_object_get(pod, "spec"),
                       .at = w->spec,
                       .path = "spec",
                       .place = pod_fields_place_of(w)};
    json_t *data = json_object();
    json_t *containers = json_array();
    json_object_set_new(data, "containers", containers);
    set_pod(&d, data);
    struct result r = derive_pod(&d, containers, err);
    if (!is_ok(r)) {
        json_decref(data);
        return r;
    }
    *out = data;
    return OK;
}
