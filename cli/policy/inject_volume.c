/* Inject volume: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/inject_volume.h"

#include "cli/policy/inject_edit.h"
#include "cli/policy/inject_pieces.h"

static RESULT add_volume(const struct workload *w, struct yaml_edits *e, struct err *err) {
    const struct yaml_node *volume =
        inject_edit_find(yaml_key(w->spec, "volumes"), "name", INJECT_PIECES_VOLUME);
    if (volume == NULL) {
        return inject_edit_add(e, w->spec, "volumes", inject_pieces_volume(), err);
    }
    if (!inject_edit_has_text(yaml_get(volume, "emptyDir.medium"), "Memory")) {
        return yaml_fail(w->file, volume, err,
                         "%sspec.volumes: " INJECT_PIECES_VOLUME
                         " is where the pod's keys lie: it must be emptyDir with medium: Memory; "
                         "rename this volume",
                         w->pod_path);
    }
    return OK;
}

/* "/contrast" and "/contrast/" are one place. */
static bool is_our_place(const struct yaml_node *mount) {
    const struct yaml_node *path = yaml_key(mount, "mountPath");
    return inject_edit_has_text(path, INJECT_PIECES_PATH) ||
           inject_edit_has_text(path, INJECT_PIECES_PATH "/");
}

static RESULT add_mount(const struct workload *w, const struct yaml_node *container,
                        struct yaml_edits *e, struct err *err) {
    const struct yaml_node *list = yaml_key(container, "volumeMounts");
    for (size_t i = 0; inject_edit_is_list(list) && i < list->count; i++) {
        const struct yaml_node *mount = list->items[i];
        if (!is_our_place(mount)) {
            continue;
        }
        if (inject_edit_has_text(yaml_key(mount, "name"), INJECT_PIECES_VOLUME)) {
            return OK;
        }
        return yaml_fail(w->file, mount, err,
                         "%sspec: volumeMounts[%zu]: " INJECT_PIECES_PATH
                         " is the place of the volume " INJECT_PIECES_VOLUME
                         "; mount this volume elsewhere",
                         w->pod_path, i);
    }
    return inject_edit_add(e, container, "volumeMounts", inject_pieces_mount(), err);
}

static RESULT add_mounts(const struct workload *w, const struct yaml_node *list, size_t first,
                         struct yaml_edits *e, struct err *err) {
    for (size_t i = first; inject_edit_is_list(list) && i < list->count; i++) {
        const struct yaml_node *container = list->items[i];
        if (container->kind == YAML_KIND_MAPPING) {
            TRY(add_mount(w, container, e, err));
        }
    }
    return OK;
}

RESULT inject_volume_add(const struct workload *w, size_t own, struct yaml_edits *e,
                         struct err *err) {
    TRY(add_volume(w, e, err));
    TRY(add_mounts(w, yaml_key(w->spec, "initContainers"), own, e, err));
    return add_mounts(w, yaml_key(w->spec, "containers"), 0, e, err);
}

/* --- Taking out */

/* Takes the item out of mapping.key that equals `value`, the reference of which it takes. Counts
 * other uses of the volume; *is_gone as in inject_edit_empty. */
static RESULT remove_same(const struct yaml_node *mapping, const char *key, json_t *value,
                          size_t *others, struct yaml_edits *e, bool *is_gone, struct err *err) {
    const struct yaml_node *list = yaml_key(mapping, key);
    struct result r = OK;
    *is_gone = false;
    for (size_t i = 0; inject_edit_is_list(list) && i < list->count && is_ok(r); i++) {
        if (!inject_edit_is_same(list->items[i], value)) {
            bool is_use =
                inject_edit_has_text(yaml_key(list->items[i], "name"), INJECT_PIECES_VOLUME);
            *others += is_use ? 1 : 0;
        } else if (list->count == 1) {
            r = inject_edit_empty(e, mapping, key, is_gone, err);
        } else {
            r = inject_edit_splice(e, list, i, 1, json_array(), err);
        }
    }
    json_decref(value);
    return r;
}

static RESULT remove_mounts(const struct yaml_node *list, size_t first, size_t *others,
                            struct yaml_edits *e, struct err *err) {
    static const char *const key[] = {"volumeMounts"};
    for (size_t i = first; inject_edit_is_list(list) && i < list->count; i++) {
        bool is_gone = false;
        TRY(remove_same(list->items[i], key[0], inject_pieces_mount(), others, e, &is_gone, err));
        if (is_gone) {
            TRY(inject_edit_remove(e, list->items[i], key, 1, err));
        }
    }
    return OK;
}

RESULT inject_volume_remove(const struct workload *w, size_t own, struct yaml_edits *e,
                            bool *is_gone, struct err *err) {
    size_t others = 0;
    *is_gone = false;
    TRY(remove_mounts(yaml_key(w->spec, "initContainers"), own, &others, e, err));
    TRY(remove_mounts(yaml_key(w->spec, "containers"), 0, &others, e, err));
    return others > 0
               ? OK
               : remove_same(w->spec, "volumes", inject_pieces_volume(), &others, e, is_gone, err);
}
