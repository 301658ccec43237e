/* Policy volume: which volumes a pod has, and what they are.
 *
 * A volume of no kind is an emptyDir (Kubernetes: SetDefaults_Volume). A claim template of a
 * StatefulSet is a persistentVolumeClaim of its name, also where the pod has a volume of that name
 * (stateful_set_utils.go, updateStorage).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "cli/policy/pod_tables.h"
#include "cli/policy/policy_derive.h"
#include "lib/base/limits.h"

#define CLAIM "persistentVolumeClaim"

static const json_t *templates(const struct derive *d) {
    return json_object_get(d->owner, "volumeClaimTemplates");
}

static const char *name_of_template(const json_t *template) {
    return policy_text_of(json_object_get(template, "metadata"), "name", "");
}

static bool find_template(const struct derive *d, const char *name, struct policy_volume *out) {
    const json_t *list = templates(d);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *template = json_array_get(list, i);
        if (strcmp(name_of_template(template), name) == 0) {
            *out =
                (struct policy_volume){.kind = CLAIM, .claim = json_object_get(template, "spec")};
            (void)snprintf(out->path, sizeof out->path, "spec.volumeClaimTemplates[%zu]", i);
            return true;
        }
    }
    return false;
}

/* The kinds that a volume has, in *kind the first of them in the order of the table. */
static size_t count_kinds(const json_t *volume, const char **kind) {
    size_t count = 0;
    for (size_t i = 0; i < pod_tables_volume.count; i++) {
        const char *name = pod_tables_volume.fields[i].name;
        if (strcmp(name, "name") != 0 && json_object_get(volume, name) != NULL) {
            *kind = count++ == 0 ? name : *kind;
        }
    }
    return count;
}

static void read_volume(const struct derive *d, const json_t *volume, size_t index,
                        struct policy_volume *out) {
    *out = (struct policy_volume){.kind = "emptyDir"};
    if (count_kinds(volume, &out->kind) > 0) {
        out->source = json_object_get(volume, out->kind);
    }
    out->claim = json_object_get(json_object_get(out->source, "volumeClaimTemplate"), "spec");
    (void)snprintf(out->path, sizeof out->path, "%sspec.volumes[%zu]", d->place.pod, index);
}

bool policy_volume_find(const struct derive *d, const char *name, struct policy_volume *out) {
    if (find_template(d, name, out)) {
        return true;
    }
    const json_t *list = json_object_get(d->spec, "volumes");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *volume = json_array_get(list, i);
        if (strcmp(policy_text_of(volume, "name", ""), name) == 0) {
            read_volume(d, volume, i, out);
            return true;
        }
    }
    return false;
}

/* Names of volumes stand in paths of the guest. */
static RESULT check_name(const struct derive *d, const char *field, const char *name,
                         struct err *err) {
    size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
    if (size == 0 || name[size] != '\0' || size > LIMIT_NAME) {
        return policy_derive_fail(
            d, field, err, "the name \"%.100s\" must be lower-case letters, digits and dashes",
            name);
    }
    return OK;
}

static RESULT check_medium(const struct derive *d, const char *field, const json_t *volume,
                           struct err *err) {
    const char *medium = policy_text_of(json_object_get(volume, "emptyDir"), "medium", "");
    if (medium[0] != '\0' && strcmp(medium, "Memory") != 0 &&
        strncmp(medium, "HugePages", 9) != 0) {
        return policy_derive_fail(
            d, field, err, "emptyDir.medium: \"%.100s\" is neither Memory nor HugePages-SIZE",
            medium);
    }
    return OK;
}

static RESULT check_volume(const struct derive *d, const json_t *list, size_t index,
                           struct err *err) {
    const json_t *volume = json_array_get(list, index);
    const char *name = policy_text_of(volume, "name", "");
    const char *kind = NULL;
    char field[64];
    (void)snprintf(field, sizeof field, ".volumes[%zu]", index);
    TRY(check_name(d, field, name, err));
    TRY(check_medium(d, field, volume, err));
    for (size_t i = 0; i < index; i++) {
        if (strcmp(policy_text_of(json_array_get(list, i), "name", ""), name) == 0) {
            return policy_derive_fail(d, field, err, "a second volume \"%.63s\"; rename one", name);
        }
    }
    if (count_kinds(volume, &kind) > 1) {
        return policy_derive_fail(
            d, field, err, "\"%.63s\" is of two kinds, %s and another; keep one", name, kind);
    }
    return OK;
}

RESULT policy_volume_check(const struct derive *d, struct err *err) {
    const json_t *list = json_object_get(d->spec, "volumes");
    for (size_t i = 0; i < json_array_size(list); i++) {
        TRY(check_volume(d, list, i, err));
    }
    for (size_t i = 0; i < json_array_size(templates(d)); i++) {
        if (name_of_template(json_array_get(templates(d), i))[0] == '\0') {
            return yaml_fail(d->w->file, d->w->resource, err,
                             "%sspec.volumeClaimTemplates[%zu].metadata.name: has none",
                             d->place.item, i);
        }
    }
    return OK;
}

/* --- Warnings */

/* Kinds whose files the kubelet writes, or that are the guest's own. */
static bool is_expected(const char *kind) {
    static const char *const kinds[] = {"emptyDir", "configMap", "secret", "downwardAPI",
                                        "projected"};
    bool is_one = false;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        is_one = is_one || strcmp(kinds[i], kind) == 0;
    }
    return is_one;
}

static void warn_mounts(const struct derive *d, const json_t *container, json_t *told) {
    const json_t *mounts = json_object_get(container, "volumeMounts");
    for (size_t i = 0; i < json_array_size(mounts); i++) {
        const char *name = policy_text_of(json_array_get(mounts, i), "name", "");
        struct policy_volume volume = {.kind = ""};
        if (!policy_volume_find(d, name, &volume) || is_expected(volume.kind) ||
            json_object_get(told, name) != NULL) {
            continue;
        }
        json_object_set_new(told, name, json_true());
        const struct yaml_node *node = yaml_get(d->w->resource, volume.path);
        const char *dot = volume.source != NULL ? "." : "";
        pod_fields_warn(&d->inputs->warner, d->w->file, node != NULL ? node : d->w->spec,
                        "%s%s%s%s: %s", d->place.item, volume.path, dot,
                        volume.source != NULL ? volume.kind : "",
                        pod_fields_find(&pod_tables_volume, volume.kind)->why);
    }
}

void policy_volume_warn(const struct derive *d) {
    static const char *const lists[] = {"initContainers", "containers"};
    json_t *told = json_object();
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        const json_t *list = json_object_get(d->spec, lists[i]);
        for (size_t k = 0; k < json_array_size(list); k++) {
            warn_mounts(d, json_array_get(list, k), told);
        }
    }
    json_decref(told);
}
