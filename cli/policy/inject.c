/* Injection: what a pod has is held against what it should have, and the difference is edited.
 *
 * Failure: INVALID with the position; USAGE for a configuration that makes no sense.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/inject.h"

#include <string.h>

#include "cli/policy/inject_containers.h"
#include "cli/policy/inject_edit.h"
#include "cli/policy/inject_volume.h"
#include "cli/policy/pod_annotations.h"
#include "cli/policy/policy_text.h"

#define RUNTIME_CLASS "contrast-cc"

/* --- Pods */

static RESULT set_runtime_class(const struct workload *w, const struct inject_config *config,
                                struct yaml_edits *e, struct err *err) {
    const char *class = config->runtime_class != NULL ? config->runtime_class : RUNTIME_CLASS;
    const struct yaml_node *old = yaml_key(w->spec, "runtimeClassName");
    ENSURE(workload_is_runtime_class(class), err, USAGE,
           "runtime class \"%.100s\": want contrast-cc or contrast-cc-...", class);
    if (old != NULL && old->kind != YAML_KIND_SCALAR) {
        return yaml_fail(w->file, old, err, "%sspec.runtimeClassName: must be a string",
                         w->pod_path);
    }
    /* One that names its platform is the user's choice. */
    bool is_chosen = old != NULL && strncmp(old->value, RUNTIME_CLASS "-", 12) == 0;
    return is_chosen ? OK
                     : inject_edit_set(e, w->spec, "runtimeClassName", json_string(class), err);
}

static RESULT check_containers(const struct workload *w, struct err *err) {
    const struct yaml_node *list = yaml_key(w->spec, "containers");
    if (!inject_edit_is_list(list) || list->count == 0) {
        return yaml_fail(w->file, w->spec, err, "%sspec.containers: %s/%s has none", w->pod_path,
                         w->kind, w->name);
    }
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i]->kind != YAML_KIND_MAPPING || list->items[i]->count == 0) {
            return yaml_fail(w->file, list->items[i], err,
                             "%sspec.containers[%zu]: not a container", w->pod_path, i);
        }
    }
    return OK;
}

/* A variable of ours that comes from elsewhere would silently win or lose. */
static RESULT set_variable(const struct workload *w, const struct yaml_node *container,
                           json_t *variable, struct yaml_edits *e, struct err *err) {
    const char *name = json_string_value(json_object_get(variable, "name"));
    const struct yaml_node *old = inject_edit_find(yaml_key(container, "env"), "name", name);
    if (old == NULL) {
        return inject_edit_add(e, container, "env", variable, err);
    }
    if (!yaml_is_null(yaml_key(old, "valueFrom"))) {
        struct result r = yaml_fail(w->file, old, err,
                                    "%sspec.containers: env %s: generate sets this variable from "
                                    "the owners' keys; remove it here",
                                    w->pod_path, name);
        json_decref(variable);
        return r;
    }
    return inject_edit_replace(e, old, variable, err);
}

static RESULT inject_coordinator(const struct workload *w, const struct inject_config *config,
                                 struct yaml_edits *e, struct err *err) {
    const struct yaml_node *container = workload_container(w, "containers", "coordinator");
    if (container == NULL) {
        container = yaml_key(w->spec, "containers")->items[0];
    }
    json_t *trust = inject_pieces_trust(config);
    const struct yaml_node *env = yaml_key(container, "env");
    if (yaml_is_null(env) || (inject_edit_is_list(env) && env->count == 0)) {
        return inject_edit_set(e, container, "env", trust, err);
    }
    struct result r = OK;
    for (size_t i = 0; i < json_array_size(trust) && is_ok(r); i++) {
        r = set_variable(w, container, json_incref(json_array_get(trust, i)), e, err);
    }
    json_decref(trust);
    return r;
}

/* A policy that another tool wrote is not ours to replace, unless the user says so. */
static RESULT check_policy(const struct workload *w, bool is_initdata, struct err *err) {
    struct workload copy = *w;
    copy.is_initdata = is_initdata;
    copy.policy_key = is_initdata ? WORKLOAD_INITDATA_ANNOTATION : WORKLOAD_POLICY_ANNOTATION;
    copy.policy = yaml_key(yaml_get(w->pod, "metadata.annotations"), copy.policy_key);
    AUTO(buf_deinit)
    struct buf document = {0};
    if (yaml_is_null(copy.policy) || inject_edit_has_text(copy.policy, "")) {
        return OK;
    }
    if (is_ok(policy_text_decode(&copy, &document, NULL)) &&
        policy_text_is_ours(buf_span(&document))) {
        return OK;
    }
    return pod_annotations_fail(w, copy.policy, copy.policy_key, err,
                                "a policy stands here that generate did not write; remove it, or "
                                "replace it with --force");
}

/* The runtime class comes last, behind what may go again: then it stands in the same place for
 * ever. */
static RESULT inject_workload(const struct workload *w, const struct inject_config *config,
                              struct yaml_edits *e, struct err *err) {
    struct inject_containers ours;
    inject_containers_find(w, &ours);
    TRY(inject_containers_edit(w, config, e, err));
    TRY(inject_volume_add(w, ours.count, e, err));
    return set_runtime_class(w, config, e, err);
}

/* What generate wrote goes; an initializer that the user wrote stays, with all that it needs. */
static RESULT remove_workload(const struct workload *w, const struct inject_config *config,
                              struct yaml_edits *e, struct err *err) {
    struct inject_containers ours;
    TRY(set_runtime_class(w, config, e, err));
    inject_containers_find(w, &ours);
    if (!inject_containers_is_ours(&ours)) {
        return OK;
    }
    const char *gone[2];
    size_t count = 0;
    bool is_gone = false;
    TRY(inject_containers_remove(w, &ours, e, &is_gone, err));
    if (is_gone) {
        gone[count++] = "initContainers";
    }
    TRY(inject_volume_remove(w, ours.count, e, &is_gone, err));
    if (is_gone) {
        gone[count++] = "volumes";
    }
    return inject_edit_remove(e, w->spec, gone, count, err);
}

RESULT inject_pod(const struct workload *w, const struct inject_config *config,
                  struct yaml_edits *edits, struct err *err) {
    bool is_skipping = w->is_skipping_initializer || config->skip_initializer;
    TRY(check_containers(w, err));
    TRY(pod_annotations_check(w, config->skip_initializer, err));
    if (!config->force) {
        TRY(check_policy(w, false, err));
        TRY(check_policy(w, true, err));
    }
    if (w->is_coordinator) {
        TRY(inject_coordinator(w, config, edits, err));
        return set_runtime_class(w, config, edits, err);
    }
    return is_skipping ? remove_workload(w, config, edits, err)
                       : inject_workload(w, config, edits, err);
}

/* --- Images */

/* The text between the quotes that the file uses at this place; it must need no escapes. */
static RESULT replace_text(struct yaml_edits *e, const struct yaml_node *node, const char *plain,
                           struct err *err) {
    char first = (char)e->file->text.data[node->content.offset];
    const char *quote = first == '\'' ? "'" : first == '"' ? "\"" : "";
    AUTO(buf_deinit)
    struct buf text = {0};
    buf_appendf(&text, "%s%s%s", quote, plain, quote);
    return yaml_edit_replace(e, node, (struct yaml_text){buf_cstr(&text), buf_cstr(&text)}, err);
}

static RESULT pin_all(const struct workload *w, const char *key, inject_pin_cb *pin, void *data,
                      struct yaml_edits *e, struct err *err) {
    const struct yaml_node *list = yaml_key(w->spec, key);
    for (size_t i = 0; inject_edit_is_list(list) && i < list->count; i++) {
        const struct yaml_node *image = yaml_key(list->items[i], "image");
        if (yaml_is_null(image) || image->kind != YAML_KIND_SCALAR) {
            continue;
        }
        const char *pinned = pin(data, image->value);
        if (pinned != NULL && strcmp(pinned, image->value) != 0) {
            TRY(replace_text(e, image, pinned, err));
        }
    }
    return OK;
}

RESULT inject_pins(const struct workload *w, inject_pin_cb *pin, void *data,
                   struct yaml_edits *edits, struct err *err) {
    TRY(pin_all(w, "initContainers", pin, data, edits, err));
    return pin_all(w, "containers", pin, data, edits, err);
}

/* --- The policy */

static RESULT add_policy(const struct workload *w, json_t *value, struct yaml_edits *e,
                         struct err *err) {
    const struct yaml_node *metadata = yaml_key(w->pod, "metadata");
    const struct yaml_node *annotations = yaml_key(metadata, "annotations");
    if (!yaml_is_null(annotations)) {
        return inject_edit_set(e, annotations, w->policy_key, value, err);
    }
    json_t *map = json_pack("{s:o}", w->policy_key, value);
    if (!yaml_is_null(metadata)) {
        return inject_edit_set(e, metadata, "annotations", map, err);
    }
    return inject_edit_set(e, w->pod, "metadata", json_pack("{s:o}", "annotations", map), err);
}

/* Exchanges the other profile's policy, which the agent would look at, too. */
static RESULT exchange_policy(const struct workload *w, const struct yaml_node *annotations,
                              const char *other, json_t *value, struct yaml_edits *e,
                              struct err *err) {
    if (w->policy != NULL) {
        TRY(inject_edit_replace(e, w->policy, value, err));
        return inject_edit_remove(e, annotations, &other, 1, err);
    }
    for (size_t i = 0; i < annotations->count; i++) {
        const struct yaml_pair *pair = &annotations->pairs[i];
        if (strcmp(pair->key->value, other) == 0) {
            struct result r = replace_text(e, pair->key, w->policy_key, err);
            if (!is_ok(r)) {
                json_decref(value);
                return r;
            }
            return inject_edit_replace(e, pair->value, value, err);
        }
    }
    json_decref(value);
    return OK;
}

RESULT inject_policy(const struct workload *w, struct span policy, struct yaml_edits *edits,
                     struct err *err) {
    const char *other = w->is_initdata ? WORKLOAD_POLICY_ANNOTATION : WORKLOAD_INITDATA_ANNOTATION;
    const struct yaml_node *annotations = yaml_get(w->pod, "metadata.annotations");
    AUTO(buf_deinit)
    struct buf text = {0};
    policy_text_encode(w, policy, &text);
    json_t *value = json_string(buf_cstr(&text));
    return yaml_key(annotations, other) != NULL
               ? exchange_policy(w, annotations, other, value, edits, err)
               : add_policy(w, value, edits, err);
}
