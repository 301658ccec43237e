/* Injection: pieces are made once as JSON and written as block or flow YAML, whichever the file
 * uses at that place.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/inject.h"

#include "cli/policy/policy_text.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define VOLUME "contrast-secrets"
#define INITIALIZER "contrast-initializer"
#define RENEWER "contrast-renewer"
#define RUNTIME_CLASS "contrast-cc"
#define COORDINATOR_HOST "coordinator-ready"

/* --- JSON to YAML */

static void append_scalar(struct buf *out, const json_t *value) {
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    CHECK(text != NULL);
    buf_append_str(out, text);
    free(text);
}

/* Names, paths and images need no quotes; values of variables always get them. */
static bool is_plain(const char *key, const json_t *value) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/";
    const char *text = json_string_value(value);
    if (text == NULL || strcmp(key, "value") == 0) {
        return false;
    }
    const struct yaml_node node = {.layout = YAML_LAYOUT_PLAIN, .value = text};
    return strspn(text, letters) > 0 && text[strcspn(text, " \t\n\r#'\"\\{}[],&*!|>%`")] == '\0' &&
           text[strlen(text) - 1] != ':' && yaml_type_of(&node) == YAML_TYPE_STRING;
}

static void append_block(struct buf *out, json_t *value, int indent);

static void append_list(struct buf *out, json_t *list, int indent) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (i > 0) {
            buf_appendf(out, "\n%*s", indent, "");
        }
        buf_append_str(out, "- ");
        append_block(out, json_array_get(list, i), indent + 2);
    }
}

static bool is_block(const json_t *value) {
    return (json_is_object(value) && json_object_size(value) > 0) ||
           (json_is_array(value) && json_is_object(json_array_get(value, 0)));
}

static void append_value(struct buf *out, const char *key, const json_t *value) {
    if (is_plain(key, value)) {
        buf_append_str(out, json_string_value(value));
    } else {
        append_scalar(out, value);
    }
}

static void append_pairs(struct buf *out, json_t *object, int indent) {
    const char *separator = "";
    for (void *it = json_object_iter(object); it != NULL; it = json_object_iter_next(object, it)) {
        json_t *value = json_object_iter_value(it);
        buf_appendf(out, "%s%*s%s:", separator, separator[0] != '\0' ? indent : 0, "",
                    json_object_iter_key(it));
        separator = "\n";
        if (is_block(value)) {
            int deeper = json_is_object(value) ? indent + 2 : indent;
            buf_appendf(out, "\n%*s", deeper, "");
            append_block(out, value, deeper);
        } else {
            buf_append_str(out, " ");
            append_value(out, json_object_iter_key(it), value);
        }
    }
}

/* The first line starts where `out` stands; the others have `indent` spaces before them. */
static void append_block(struct buf *out, json_t *value, int indent) {
    if (!is_block(value)) {
        append_scalar(out, value);
    } else if (json_is_object(value)) {
        append_pairs(out, value, indent);
    } else {
        append_list(out, value, indent);
    }
}

/* Both forms of a piece; owns the texts. */
struct piece {
    struct buf block;
    struct buf flow;
};

static void free_piece(struct piece *p) {
    buf_deinit(&p->block);
    buf_deinit(&p->flow);
}

static struct yaml_text text_of(struct piece *p) {
    return (struct yaml_text){buf_cstr(&p->block), buf_cstr(&p->flow)};
}

/* --- Edits of pairs and named items; each takes the reference of `value` */

static RESULT replace(struct yaml_edits *e, const struct yaml_node *node, json_t *value,
                      struct err *err) {
    AUTO(free_piece)
    struct piece p = {0};
    append_block(&p.block, value, 0);
    append_scalar(&p.flow, value);
    json_decref(value);
    return yaml_edit_replace(e, node, text_of(&p), err);
}

static RESULT add_pair(struct yaml_edits *e, const struct yaml_node *mapping, const char *key,
                       json_t *value, struct err *err) {
    AUTO(free_piece)
    struct piece p = {0};
    json_t *object = json_object();
    json_object_set(object, key, value);
    append_block(&p.block, object, 0);
    json_decref(object);
    buf_appendf(&p.flow, "\"%s\": ", key);
    append_scalar(&p.flow, value);
    json_decref(value);
    return yaml_edit_add_pair(e, mapping, text_of(&p), err);
}

/* Sets mapping.key, adding or replacing. */
static RESULT set_pair(struct yaml_edits *e, const struct yaml_node *mapping, const char *key,
                       json_t *value, struct err *err) {
    const struct yaml_node *old = yaml_key(mapping, key);
    return old != NULL ? replace(e, old, value, err) : add_pair(e, mapping, key, value, err);
}

static bool is_named(const struct yaml_node *item, const char *name) {
    const struct yaml_node *n = yaml_key(item, "name");
    return n != NULL && n->kind == YAML_KIND_SCALAR && strcmp(n->value, name) == 0;
}

static const struct yaml_node *find_named(const struct yaml_node *list, const char *name) {
    for (size_t i = 0; i < list->count && list->kind == YAML_KIND_SEQUENCE; i++) {
        if (is_named(list->items[i], name)) {
            return list->items[i];
        }
    }
    return NULL;
}

/* Sets the items of mapping.key (a list) that have the names of `items`, adding or replacing. */
static RESULT set_items(struct yaml_edits *e, const struct yaml_node *mapping, const char *key,
                        json_t *items, struct err *err) {
    const struct yaml_node *list = yaml_key(mapping, key);
    if (yaml_is_null(list)) {
        return set_pair(e, mapping, key, items, err);
    }
    struct result r = OK;
    for (size_t i = 0; i < json_array_size(items) && is_ok(r); i++) {
        json_t *item = json_array_get(items, i);
        const struct yaml_node *old =
            find_named(list, json_string_value(json_object_get(item, "name")));
        if (old != NULL) {
            r = replace(e, old, json_incref(item), err);
            continue;
        }
        AUTO(free_piece)
        struct piece p = {0};
        append_block(&p.block, item, 0);
        append_scalar(&p.flow, item);
        r = yaml_edit_add_item(e, list, text_of(&p), err);
    }
    json_decref(items);
    return r;
}

/* --- Pieces */

static json_t *make_variable(const char *name, const char *value) {
    return json_pack("{s:s, s:s}", "name", name, "value", value);
}

static json_t *make_trust(const struct inject_config *config) {
    return json_pack("[o, o]", make_variable("CONTRAST_OWNER_KEY_DIGESTS", config->owner_digests),
                     make_variable("CONTRAST_PERMITTED_ROOTS", config->permitted_roots));
}

static json_t *make_mount(void) {
    return json_pack("[{s:s, s:s}]", "name", VOLUME, "mountPath", "/contrast");
}

static json_t *make_volume(void) {
    return json_pack("[{s:s, s:{s:s}}]", "name", VOLUME, "emptyDir", "medium", "Memory");
}

static json_t *make_container(const struct inject_config *config, const char *name) {
    const char *host = config->coordinator_host;
    json_t *env = make_trust(config);
    json_array_insert_new(
        env, 0, make_variable("COORDINATOR_HOST", host != NULL ? host : COORDINATOR_HOST));
    return json_pack("{s:s, s:s, s:[s], s:o, s:o}", "name", name, "image",
                     config->initializer_image, "command", "/usr/bin/contrast-initializer", "env",
                     env, "volumeMounts", make_mount());
}

/* The init container, and after it the sidecar: Kubernetes 1.29 and later keep an init container
 * with restartPolicy Always running beside the others, and end it with them (also in a Job). */
static json_t *make_init_containers(const struct workload *w, const struct inject_config *config) {
    json_t *list = json_pack("[o]", make_container(config, INITIALIZER));
    if (w->is_renewing) {
        json_t *renewer = make_container(config, RENEWER);
        json_array_append_new(json_object_get(renewer, "env"),
                              make_variable("CONTRAST_RENEW", "true"));
        json_object_set_new(renewer, "restartPolicy", json_string("Always"));
        json_array_append_new(list, renewer);
    }
    return list;
}

/* --- Pods */

static RESULT set_runtime_class(const struct workload *w, const struct inject_config *config,
                                struct yaml_edits *e, struct err *err) {
    const char *class = config->runtime_class != NULL ? config->runtime_class : RUNTIME_CLASS;
    const struct yaml_node *old = yaml_key(w->spec, "runtimeClassName");
    if (old != NULL && old->kind != YAML_KIND_SCALAR) {
        return yaml_fail(w->file, old, err, "spec.runtimeClassName: must be a string");
    }
    bool is_chosen = old != NULL && strncmp(old->value, "contrast-cc-", 12) == 0;
    if (is_chosen || (old != NULL && strcmp(old->value, class) == 0)) {
        return OK;
    }
    return set_pair(e, w->spec, "runtimeClassName", json_string(class), err);
}

static RESULT check_containers(const struct workload *w, struct err *err) {
    const struct yaml_node *list = yaml_key(w->spec, "containers");
    if (list == NULL || list->kind != YAML_KIND_SEQUENCE || list->count == 0) {
        return yaml_fail(w->file, w->spec, err, "spec.containers: %s/%s has none", w->kind,
                         w->name);
    }
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i]->kind != YAML_KIND_MAPPING || list->items[i]->count == 0) {
            return yaml_fail(w->file, list->items[i], err, "spec.containers[%zu]: not a container",
                             i);
        }
    }
    return OK;
}

static RESULT mount_all(const struct workload *w, const char *key, struct yaml_edits *e,
                        struct err *err) {
    const struct yaml_node *list = yaml_key(w->spec, key);
    if (list == NULL || list->kind != YAML_KIND_SEQUENCE) {
        return OK;
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct yaml_node *container = list->items[i];
        if (container->kind == YAML_KIND_MAPPING && !is_named(container, INITIALIZER) &&
            !is_named(container, RENEWER)) {
            TRY(set_items(e, container, "volumeMounts", make_mount(), err));
        }
    }
    return OK;
}

static RESULT check_first(const struct workload *w, struct err *err) {
    const struct yaml_node *list = yaml_key(w->spec, "initContainers");
    const struct yaml_node *ours = workload_container(w, "initContainers", INITIALIZER);
    if (ours != NULL && list->items[0] != ours) {
        return yaml_fail(w->file, ours, err,
                         "spec.initContainers: " INITIALIZER
                         " must be the first; remove it here and run again");
    }
    if (w->is_renewing && ours != NULL &&
        workload_container(w, "initContainers", RENEWER) == NULL) {
        return yaml_fail(w->file, ours, err,
                         "spec.initContainers: " RENEWER " must come after " INITIALIZER
                         "; remove that here and run again");
    }
    return OK;
}

static RESULT inject_workload(const struct workload *w, const struct inject_config *config,
                              struct yaml_edits *e, struct err *err) {
    TRY(check_first(w, err));
    TRY(set_items(e, w->spec, "initContainers", make_init_containers(w, config), err));
    TRY(set_items(e, w->spec, "volumes", make_volume(), err));
    TRY(mount_all(w, "initContainers", e, err));
    return mount_all(w, "containers", e, err);
}

static RESULT inject_coordinator(const struct workload *w, const struct inject_config *config,
                                 struct yaml_edits *e, struct err *err) {
    const struct yaml_node *container = workload_container(w, "containers", "coordinator");
    if (container == NULL) {
        container = yaml_key(w->spec, "containers")->items[0];
    }
    return set_items(e, container, "env", make_trust(config), err);
}

RESULT inject_pod(const struct workload *w, const struct inject_config *config,
                  struct yaml_edits *edits, struct err *err) {
    TRY(check_containers(w, err));
    TRY(set_runtime_class(w, config, edits, err));
    if (w->is_coordinator) {
        return inject_coordinator(w, config, edits, err);
    }
    bool is_skipping = w->is_skipping_initializer || config->skip_initializer;
    return is_skipping ? OK : inject_workload(w, config, edits, err);
}

/* --- Images */

/* The text between the quotes that the file uses at this place; references need no escapes. */
static RESULT replace_reference(struct yaml_edits *e, const struct yaml_node *node,
                                const char *reference, struct err *err) {
    char first = (char)e->file->text.data[node->start.offset];
    const char *quote = first == '\'' ? "'" : first == '"' ? "\"" : "";
    AUTO(buf_deinit)
    struct buf text = {0};
    buf_appendf(&text, "%s%s%s", quote, reference, quote);
    return yaml_edit_replace(e, node, (struct yaml_text){buf_cstr(&text), buf_cstr(&text)}, err);
}

static RESULT pin_all(const struct workload *w, const char *key, inject_pin_cb *pin, void *data,
                      struct yaml_edits *e, struct err *err) {
    const struct yaml_node *list = yaml_key(w->spec, key);
    if (list == NULL || list->kind != YAML_KIND_SEQUENCE) {
        return OK;
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct yaml_node *image = yaml_key(list->items[i], "image");
        if (!yaml_is_null(image) && image->kind == YAML_KIND_SCALAR) {
            const char *pinned = pin(data, image->value);
            if (pinned != NULL && strcmp(pinned, image->value) != 0) {
                TRY(replace_reference(e, image, pinned, err));
            }
        }
    }
    return OK;
}

RESULT inject_pins(const struct workload *w, inject_pin_cb *pin, void *data,
                   struct yaml_edits *edits, struct err *err) {
    TRY(pin_all(w, "initContainers", pin, data, edits, err));
    return pin_all(w, "containers", pin, data, edits, err);
}

RESULT inject_policy(const struct workload *w, struct span policy, struct yaml_edits *edits,
                     struct err *err) {
    AUTO(buf_deinit)
    struct buf text = {0};
    policy_text_encode(w, policy, &text);
    const char *value = buf_cstr(&text);
    if (w->policy != NULL && w->policy->kind == YAML_KIND_SCALAR &&
        strcmp(w->policy->value, value) == 0) {
        return OK;
    }
    json_t *json = json_string(value);
    const struct yaml_node *metadata = yaml_key(w->pod, "metadata");
    const struct yaml_node *annotations = yaml_key(metadata, "annotations");
    if (!yaml_is_null(annotations)) {
        return set_pair(edits, annotations, w->policy_key, json, err);
    }
    json = json_pack("{s:o}", w->policy_key, json);
    if (!yaml_is_null(metadata)) {
        return set_pair(edits, metadata, "annotations", json, err);
    }
    return set_pair(edits, w->pod, "metadata", json_pack("{s:o}", "annotations", json), err);
}
