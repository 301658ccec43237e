/* Inject containers: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/inject_containers.h"

#include <string.h>

#include "cli/policy/inject_edit.h"
#include "lib/base/log.h"

void inject_containers_find(const struct workload *w, struct inject_containers *out) {
    *out = (struct inject_containers){.list = yaml_key(w->spec, "initContainers")};
    for (size_t kind = 0; inject_edit_is_list(out->list) && kind < INJECT_PIECES_KINDS; kind++) {
        if (out->count < out->list->count &&
            inject_edit_has_text(yaml_key(out->list->items[out->count], "name"),
                                 inject_pieces_name((enum inject_pieces_kind)kind))) {
            out->items[kind] = out->list->items[out->count++];
        }
    }
}

/* One of this name, but the user's own: it runs another command. */
static RESULT check_own(const struct workload *w, const struct yaml_node *item,
                        enum inject_pieces_kind kind, struct err *err) {
    const struct yaml_node *command = yaml_key(item, "command");
    const char *want = inject_pieces_command(kind);
    if (!inject_edit_is_list(command) || command->count == 0 ||
        (want != NULL && inject_edit_has_text(command->items[0], want))) {
        return OK;
    }
    return yaml_fail(w->file, item, err,
                     "%sspec.initContainers: the name %s is for the container that generate adds; "
                     "rename this one, it runs another command",
                     w->pod_path, inject_pieces_name(kind));
}

static RESULT check_name_is_free(const struct workload *w, const struct inject_containers *ours,
                                 enum inject_pieces_kind kind, struct err *err) {
    const char *name = inject_pieces_name(kind);
    const struct yaml_node *other = workload_container(w, "containers", name);
    if (other != NULL) {
        return yaml_fail(w->file, other, err,
                         "%sspec.containers: the name %s is for the init container that generate "
                         "adds; rename this one",
                         w->pod_path, name);
    }
    if (ours->items[kind] != NULL) {
        return check_own(w, ours->items[kind], kind, err);
    }
    other = workload_container(w, "initContainers", name);
    if (other == NULL) {
        return OK;
    }
    return yaml_fail(
        w->file, other, err, "%sspec.initContainers: %s must be %s; remove it here and run again",
        w->pod_path, name,
        kind == INJECT_PIECES_INITIALIZER ? "the first" : "right behind contrast-initializer");
}

/* A digest that an earlier run wrote behind the same image stays. */
static void keep_digest(json_t *container, const struct yaml_node *old) {
    const struct yaml_node *image = yaml_key(old, "image");
    const char *wanted = json_string_value(json_object_get(container, "image"));
    size_t size = strlen(wanted);
    if (image != NULL && image->kind == YAML_KIND_SCALAR &&
        strncmp(image->value, wanted, size) == 0 &&
        strncmp(image->value + size, "@sha256:", 8) == 0) {
        json_object_set_new(container, "image", json_string(image->value));
    }
}

static void warn_removal(const struct workload *w, const struct yaml_node *item,
                         enum inject_pieces_kind kind) {
    log_warn("%s:%zu: %s/%s: %s is taken out, the annotations do not ask for it", w->file->name,
             item->start.line, w->kind, w->name, inject_pieces_name(kind));
}

/* What is wanted from kind `from` to before kind `to`; owned by the caller. */
static json_t *collect(json_t *const *wanted, size_t from, size_t to) {
    json_t *list = json_array();
    for (size_t kind = from; kind < to; kind++) {
        if (wanted[kind] != NULL) {
            json_array_append(list, wanted[kind]);
        }
    }
    return list;
}

/* What is there and wanted stays or is replaced, at both ends; what lies between is exchanged. */
static RESULT edit_items(struct yaml_edits *e, const struct inject_containers *ours,
                         json_t *const *wanted, struct err *err) {
    size_t from = 0;
    size_t to = INJECT_PIECES_KINDS;
    size_t first = 0;
    size_t behind = ours->count;
    while (from < to && (ours->items[from] == NULL) == (wanted[from] == NULL)) {
        first += ours->items[from++] != NULL ? 1 : 0;
    }
    while (to > from && (ours->items[to - 1] == NULL) == (wanted[to - 1] == NULL)) {
        behind -= ours->items[--to] != NULL ? 1 : 0;
    }
    for (size_t kind = 0; kind < INJECT_PIECES_KINDS; kind++) {
        bool is_outside = kind < from || kind >= to;
        if (is_outside && wanted[kind] != NULL) {
            TRY(inject_edit_replace(e, ours->items[kind], json_incref(wanted[kind]), err));
        }
    }
    return from == to ? OK
                      : inject_edit_splice(e, ours->list, first, behind - first,
                                           collect(wanted, from, to), err);
}

static RESULT edit_list(const struct workload *w, struct yaml_edits *e,
                        const struct inject_containers *ours, json_t *const *wanted,
                        struct err *err) {
    if (!yaml_is_null(ours->list) && !inject_edit_is_list(ours->list)) {
        return yaml_fail(w->file, ours->list, err, "%sspec.initContainers: must be a list",
                         w->pod_path);
    }
    if (yaml_is_null(ours->list) || ours->list->count == 0) {
        return inject_edit_set(e, w->spec, "initContainers",
                               collect(wanted, 0, INJECT_PIECES_KINDS), err);
    }
    return edit_items(e, ours, wanted, err);
}

static void make_wanted(const struct workload *w, const struct inject_config *config,
                        const struct inject_containers *ours, json_t **wanted) {
    const bool is_wanted[INJECT_PIECES_KINDS] = {true, w->is_meshed, w->is_renewing};
    for (size_t i = 0; i < INJECT_PIECES_KINDS; i++) {
        enum inject_pieces_kind kind = (enum inject_pieces_kind)i;
        if (is_wanted[i]) {
            wanted[i] = inject_pieces_container(kind, w, config);
            keep_digest(wanted[i], ours->items[i]);
        } else if (ours->items[i] != NULL) {
            warn_removal(w, ours->items[i], kind);
        }
    }
}

static RESULT check_ours(const struct workload *w, const struct inject_containers *ours,
                         json_t *const *wanted, struct err *err) {
    for (size_t kind = 0; kind < INJECT_PIECES_KINDS; kind++) {
        if (wanted[kind] != NULL) {
            TRY(check_name_is_free(w, ours, (enum inject_pieces_kind)kind, err));
        }
    }
    return OK;
}

RESULT inject_containers_edit(const struct workload *w, const struct inject_config *config,
                              struct yaml_edits *e, struct err *err) {
    struct inject_containers ours;
    inject_containers_find(w, &ours);
    json_t *wanted[INJECT_PIECES_KINDS] = {NULL};
    make_wanted(w, config, &ours, wanted);
    struct result r = check_ours(w, &ours, wanted, err);
    if (is_ok(r)) {
        r = edit_list(w, e, &ours, wanted, err);
    }
    for (size_t kind = 0; kind < INJECT_PIECES_KINDS; kind++) {
        json_decref(wanted[kind]);
    }
    return r;
}

/* --- Taking out */

static bool has_only(const struct yaml_node *mapping, const char *const *keys, size_t count) {
    for (size_t i = 0; i < mapping->count; i++) {
        bool is_known = false;
        for (size_t k = 0; k < count; k++) {
            is_known = is_known || strcmp(mapping->pairs[i].key->value, keys[k]) == 0;
        }
        if (!is_known) {
            return false;
        }
    }
    return true;
}

static bool has_only_our_variables(const struct yaml_node *env) {
    static const char *const names[] = {"COORDINATOR_HOST", "CONTRAST_OWNER_KEY_DIGESTS",
                                        "CONTRAST_PERMITTED_ROOTS",
                                        "CONTRAST_DISABLE_SERVICE_MESH"};
    for (size_t i = 0; inject_edit_is_list(env) && i < env->count; i++) {
        bool is_known = false;
        for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
            is_known = is_known || inject_edit_has_text(yaml_key(env->items[i], "name"), names[k]);
        }
        if (!is_known) {
            return false;
        }
    }
    return inject_edit_is_list(env);
}

bool inject_containers_is_ours(const struct inject_containers *ours) {
    static const char *const keys[] = {"name", "image", "command", "env", "volumeMounts"};
    const struct yaml_node *item = ours->items[INJECT_PIECES_INITIALIZER];
    return item != NULL && has_only(item, keys, sizeof keys / sizeof keys[0]) &&
           inject_edit_has_text(yaml_get(item, "command[0]"), INJECT_PIECES_COMMAND) &&
           has_only_our_variables(yaml_key(item, "env"));
}

RESULT inject_containers_remove(const struct workload *w, const struct inject_containers *ours,
                                struct yaml_edits *e, bool *is_gone, struct err *err) {
    *is_gone = false;
    for (size_t kind = 0; kind < INJECT_PIECES_KINDS; kind++) {
        if (ours->items[kind] != NULL) {
            warn_removal(w, ours->items[kind], (enum inject_pieces_kind)kind);
        }
    }
    return ours->count == ours->list->count
               ? inject_edit_empty(e, w->spec, "initContainers", is_gone, err)
               : inject_edit_splice(e, ours->list, 0, ours->count, json_array(), err);
}
