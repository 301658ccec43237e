/* Policies by meaning: a table says how each field of a container is compared.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/policy_diff.h"

#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 200 /* bytes of a value in a line */

struct diff {
    json_t *changes;       /* borrowed */
    const char *pod;       /* "web" */
    const char *container; /* NULL: the pod itself */
};

/* --- Values as text */

/* \u0001name\u0001 stands for what only the cluster knows, \u0001=NAME\u0001 for a variable. */
static void append_marked(struct buf *out, const char *text) {
    const char *end = NULL;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '\x01' && end != NULL) {
            buf_append_str(out, end);
            end = NULL;
        } else if (*p == '\x01') {
            end = p[1] == '=' ? ")" : ">";
            buf_append_str(out, p[1] == '=' ? "$(" : "<pod's ");
            p += p[1] == '=' ? 1 : 0;
        } else {
            buf_append(out, p, 1);
        }
    }
}

/* A long string is a list of its pieces: "args" and "env" only. */
static void append_pieces(struct buf *out, const json_t *value) {
    if (json_is_string(value)) {
        append_marked(out, json_string_value(value));
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        append_pieces(out, json_array_get(value, i));
    }
}

static void shorten(struct buf *text) {
    if (text->size > SHOWN_MAX) {
        size_t size = SHOWN_MAX;
        while (size > 0 && (text->data[size] & 0xc0) == 0x80) {
            size--;
        }
        text->size = size;
        buf_append_str(text, "...");
    }
}

/* "nothing", text in quotes, or JSON in one line. */
static void append_value(struct buf *out, const json_t *value) {
    AUTO(buf_deinit)
    struct buf marked = {0};
    if (value == NULL) {
        buf_append_str(out, "nothing");
        return;
    }
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
    CHECK(text != NULL);
    for (const char *p = text; *p != '\0'; p++) {
        if (strncmp(p, "\\u0001", 6) == 0) {
            buf_append_u8(&marked, '\x01');
            p += 5;
        } else {
            buf_append(&marked, p, 1);
        }
    }
    free(text);
    AUTO(buf_deinit)
    struct buf shown = {0};
    append_marked(&shown, buf_cstr(&marked));
    shorten(&shown);
    buf_append_span(out, buf_span(&shown));
}

/* --- Changes */

static void report(const struct diff *d, const char *field, const json_t *before,
                   const json_t *after, const char *words) {
    AUTO(buf_deinit)
    struct buf line = {0};
    buf_appendf(&line, "%s: ", d->pod);
    if (d->container != NULL) {
        buf_appendf(&line, "%s: ", d->container);
    }
    buf_append_str(&line, words);
    json_t *change = json_pack("{s:s}", "pod", d->pod);
    if (d->container != NULL) {
        json_object_set_new(change, "container", json_string(d->container));
    }
    json_object_set_new(change, "field", json_string(field));
    if (before != NULL) {
        json_object_set_new(change, "before", json_deep_copy(before));
    }
    if (after != NULL) {
        json_object_set_new(change, "after", json_deep_copy(after));
    }
    json_object_set_new(change, "text", json_string(buf_cstr(&line)));
    json_array_append_new(d->changes, change);
}

static void report_change(const struct diff *d, const char *field, const char *name,
                          const json_t *before, const json_t *after) {
    AUTO(buf_deinit)
    struct buf words = {0};
    if (before == NULL) {
        buf_appendf(&words, "+%s ", name);
        append_value(&words, after);
    } else if (after == NULL) {
        buf_appendf(&words, "-%s ", name);
        append_value(&words, before);
    } else {
        buf_appendf(&words, "%s changed ", name);
        append_value(&words, before);
        buf_append_str(&words, " -> ");
        append_value(&words, after);
    }
    report(d, field, before, after, buf_cstr(&words));
}

/* --- Ways to compare a field */

static void diff_value(const struct diff *d, const char *field, const json_t *before,
                       const json_t *after);

typedef void compare_fn(const struct diff *d, const char *field, const json_t *before,
                        const json_t *after);

static bool has_item(const json_t *list, const json_t *item) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (json_equal(json_array_get(list, i), item)) {
            return true;
        }
    }
    return false;
}

static void report_item(const struct diff *d, const char *field, const json_t *item, bool is_new) {
    AUTO(buf_deinit)
    struct buf words = {0};
    buf_append_str(&words, is_new ? "+" : "-");
    if (strcmp(field, "caps") != 0) {
        buf_appendf(&words, "%s ", field);
    }
    if (json_is_string(item)) {
        append_marked(&words, json_string_value(item));
    } else {
        append_value(&words, item);
    }
    report(d, field, is_new ? NULL : item, is_new ? item : NULL, buf_cstr(&words));
}

/* Lists without order. */
static void diff_set(const struct diff *d, const char *field, const json_t *before,
                     const json_t *after) {
    size_t reported = json_array_size(d->changes);
    for (size_t i = 0; i < json_array_size(after); i++) {
        if (!has_item(before, json_array_get(after, i))) {
            report_item(d, field, json_array_get(after, i), true);
        }
    }
    for (size_t i = 0; i < json_array_size(before); i++) {
        if (!has_item(after, json_array_get(before, i))) {
            report_item(d, field, json_array_get(before, i), false);
        }
    }
    if (json_array_size(d->changes) == reported) {
        report_change(d, field, field, before, after); /* order, doubles, or no list */
    }
}

/* {name: value} of a list of "name=value", pieces put together. */
static json_t *env_by_name(const json_t *list) {
    json_t *by_name = json_object();
    for (size_t i = 0; i < json_array_size(list); i++) {
        AUTO(buf_deinit)
        struct buf text = {0};
        append_pieces(&text, json_array_get(list, i));
        const char *name = buf_cstr(&text);
        const char *equals = strchr(name, '=');
        size_t size = equals != NULL ? (size_t)(equals - name) : strlen(name);
        char *key = mem_strndup(name, size);
        json_object_set_new(by_name, key, json_string(equals != NULL ? equals + 1 : ""));
        mem_free(key);
    }
    return by_name;
}

/* {key: item} of a list of objects that have one. */
static json_t *items_by(const json_t *list, const char *key) {
    json_t *by_name = json_object();
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *item = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(item, key));
        if (name == NULL || json_object_get(by_name, name) != NULL) {
            json_decref(by_name);
            return NULL;
        }
        json_object_set(by_name, name, item);
    }
    return by_name;
}

/* Members of two objects, each as "prefix name". */
static void diff_members(const struct diff *d, const char *field, const char *prefix,
                         const json_t *before, const json_t *after) {
    json_t *all = json_object();
    json_object_update(all, (json_t *)(uintptr_t)before);
    json_object_update_missing(all, (json_t *)(uintptr_t)after);
    for (void *it = json_object_iter(all); it != NULL; it = json_object_iter_next(all, it)) {
        const char *name = json_object_iter_key(it);
        const json_t *old = json_object_get(before, name);
        const json_t *new = json_object_get(after, name);
        AUTO(buf_deinit)
        struct buf words = {0};
        buf_appendf(&words, "%s%s%s", prefix, *prefix != '\0' ? " " : "", name);
        if (!json_equal(old, new)) {
            report_change(d, field, buf_cstr(&words), old, new);
        }
    }
    json_decref(all);
}

static void diff_env(const struct diff *d, const char *field, const json_t *before,
                     const json_t *after) {
    json_t *old = env_by_name(before);
    json_t *new = env_by_name(after);
    size_t reported = json_array_size(d->changes);
    diff_members(d, field, field, old, new);
    if (json_array_size(d->changes) == reported) {
        report_change(d, field, field, before, after);
    }
    json_decref(old);
    json_decref(new);
}

static void diff_mounts(const struct diff *d, const char *field, const json_t *before,
                        const json_t *after) {
    json_t *old = items_by(before, "at");
    json_t *new = items_by(after, "at");
    size_t reported = json_array_size(d->changes);
    if (old != NULL && new != NULL) {
        diff_members(d, field, "mount", old, new);
    }
    if (json_array_size(d->changes) == reported) {
        diff_set(d, field, before, after);
    }
    json_decref(old);
    json_decref(new);
}

static void diff_object(const struct diff *d, const char *field, const json_t *before,
                        const json_t *after) {
    bool are_objects = json_is_object(before) && json_is_object(after);
    if (are_objects) {
        diff_members(d, field, field, before, after);
    } else {
        report_change(d, field, field, before, after);
    }
}

/* Of the names under which an image is accepted the shortest: as people write it. */
static const json_t *short_name(const json_t *images) {
    const json_t *best = NULL;
    for (size_t i = 0; i < json_array_size(images); i++) {
        const json_t *name = json_array_get(images, i);
        if (json_is_string(name) &&
            (best == NULL || json_string_length(name) < json_string_length(best))) {
            best = name;
        }
    }
    return best;
}

static void append_image(struct buf *out, const json_t *image) {
    if (image == NULL) {
        buf_append_str(out, "nothing");
    } else {
        append_marked(out, json_string_value(image));
    }
}

static void diff_images(const struct diff *d, const char *field, const json_t *before,
                        const json_t *after) {
    const json_t *old = short_name(before);
    const json_t *new = short_name(after);
    if ((old == NULL && new == NULL) || json_equal(old, new)) {
        report_change(d, field, "names of the image", before, after);
        return;
    }
    AUTO(buf_deinit)
    struct buf words = {0};
    buf_append_str(&words, "image changed ");
    append_image(&words, old);
    buf_append_str(&words, " -> ");
    append_image(&words, new);
    report(d, field, before, after, buf_cstr(&words));
}

static void diff_command(const struct diff *d, const char *field, const json_t *before,
                         const json_t *after) {
    report_change(d, field, "command", before, after);
}

static void diff_layers(const struct diff *d, const char *field, const json_t *before,
                        const json_t *after) {
    AUTO(buf_deinit)
    struct buf words = {0};
    size_t same = 0;
    for (size_t i = 0; i < json_array_size(after); i++) {
        same += has_item(before, json_array_get(after, i)) ? 1 : 0;
    }
    buf_appendf(&words, "layers changed: %zu before, %zu after, %zu the same",
                json_array_size(before), json_array_size(after), same);
    report(d, field, before, after, buf_cstr(&words));
}

static const struct way {
    const char *field;
    compare_fn *compare;
} ways[] = {
    {"args", diff_command},   {"caps", diff_set},       {"commands", diff_set},
    {"env", diff_env},        {"gids", diff_set},       {"images", diff_images},
    {"layers", diff_layers},  {"mounts", diff_mounts},  {"openEnv", diff_object},
    {"sysctls", diff_object}, {"devices", diff_mounts},
};

static void diff_value(const struct diff *d, const char *field, const json_t *before,
                       const json_t *after) {
    if (json_equal(before, after)) {
        return;
    }
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        if (strcmp(ways[i].field, field) == 0) {
            ways[i].compare(d, field, before, after);
            return;
        }
    }
    report_change(d, field, field, before, after);
}

static void diff_fields(const struct diff *d, const json_t *before, const json_t *after,
                        const char *except) {
    json_t *all = json_object();
    json_object_update(all, (json_t *)(uintptr_t)before);
    json_object_update_missing(all, (json_t *)(uintptr_t)after);
    for (void *it = json_object_iter(all); it != NULL; it = json_object_iter_next(all, it)) {
        const char *field = json_object_iter_key(it);
        if (except == NULL || strcmp(field, except) != 0) {
            diff_value(d, field, json_object_get(before, field), json_object_get(after, field));
        }
    }
    json_decref(all);
}

/* --- Containers */

static void name_container(const json_t *c, struct buf *out) {
    const char *name = json_string_value(json_object_get(c, "name"));
    if (json_is_true(json_object_get(c, "sandbox"))) {
        buf_append_str(out, "the sandbox");
    } else {
        buf_appendf(out, "container %s", name != NULL ? name : "?");
    }
}

static const json_t *find_same(const json_t *list, const json_t *container) {
    const json_t *name = json_object_get(container, "name");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *other = json_object_get(json_array_get(list, i), "name");
        if (other != NULL && json_equal(name, other)) {
            return json_array_get(list, i);
        }
    }
    return NULL;
}

static void report_container(const struct diff *d, const json_t *c, bool is_new) {
    AUTO(buf_deinit)
    struct buf words = {0};
    buf_append_str(&words, is_new ? "+" : "-");
    name_container(c, &words);
    const json_t *image = json_array_get(json_object_get(c, "images"), 0);
    if (json_is_string(image)) {
        buf_appendf(&words, " (image %s)", json_string_value(image));
    }
    report(d, "containers", is_new ? NULL : c, is_new ? c : NULL, buf_cstr(&words));
}

static bool is_unique(const json_t *list) {
    json_t *names = items_by(list, "name");
    bool is = names != NULL && json_is_array(list);
    json_decref(names);
    return is;
}

static void diff_order(const struct diff *d, const json_t *before, const json_t *after) {
    size_t count = json_array_size(before);
    for (size_t i = 0; i < count && count == json_array_size(after); i++) {
        const json_t *old = json_object_get(json_array_get(before, i), "name");
        const json_t *new = json_object_get(json_array_get(after, i), "name");
        if (!json_equal(old, new)) {
            report(d, "containers", old, new, "the order of the containers changed");
            return;
        }
    }
}

static void diff_containers(const struct diff *d, const json_t *before, const json_t *after) {
    if (json_equal(before, after)) {
        return;
    }
    if (!is_unique(before) || !is_unique(after)) {
        report_change(d, "containers", "containers", before, after);
        return;
    }
    for (size_t i = 0; i < json_array_size(after); i++) {
        const json_t *c = json_array_get(after, i);
        const json_t *old = find_same(before, c);
        if (old == NULL) {
            report_container(d, c, true);
            continue;
        }
        AUTO(buf_deinit)
        struct buf name = {0};
        name_container(c, &name);
        const struct diff inner = {d->changes, d->pod, buf_cstr(&name)};
        diff_fields(&inner, old, c, NULL);
    }
    for (size_t i = 0; i < json_array_size(before); i++) {
        if (find_same(after, json_array_get(before, i)) == NULL) {
            report_container(d, json_array_get(before, i), false);
        }
    }
    diff_order(d, before, after);
}

/* --- Documents */

static void diff_documents(json_t *changes, const struct policy_document *before,
                           const struct policy_document *after) {
    struct span old_rules = span_of(before->rego.data, before->rules_size);
    struct span new_rules = span_of(after->rego.data, after->rules_size);
    const struct diff d = {changes, after->name, NULL};
    if (span_equal(buf_span(&before->document), buf_span(&after->document))) {
        return;
    }
    size_t reported = json_array_size(changes);
    if (before->is_initdata != after->is_initdata) {
        report(&d, "profile", NULL, NULL,
               after->is_initdata ? "profile changed annotation -> initdata"
                                  : "profile changed initdata -> annotation");
    }
    if (!span_equal(old_rules, new_rules)) {
        report(&d, "rules", NULL, NULL,
               "the rules changed: made by another version of contrast, or another tool");
    }
    diff_fields(&d, before->data, after->data, "containers");
    diff_containers(&d, json_object_get(before->data, "containers"),
                    json_object_get(after->data, "containers"));
    if (json_array_size(changes) == reported) {
        report(&d, "document", NULL, NULL,
               "the bytes differ, and so does the hash, but nothing that they mean");
    }
}

static const struct policy_document *find_pair(const struct policy_document_list *list,
                                               const struct policy_document *wanted) {
    for (size_t i = 0; i < list->count; i++) {
        const struct policy_document *d = &list->items[i];
        if (strcmp(d->kind, wanted->kind) == 0 && strcmp(d->name, wanted->name) == 0) {
            return d;
        }
    }
    return NULL;
}

static void report_document(json_t *changes, const struct policy_document *document, bool is_new) {
    AUTO(buf_deinit)
    struct buf words = {0};
    const struct diff d = {changes, document->name, NULL};
    buf_appendf(&words, "%s%s/%s, policy %.16s...", is_new ? "+" : "-", document->kind,
                document->name, document->host_data);
    report(&d, "policy", NULL, NULL, buf_cstr(&words));
}

json_t *policy_diff(const struct policy_document_list *before,
                    const struct policy_document_list *after) {
    json_t *changes = json_array();
    if (before->count == 1 && after->count == 1) {
        diff_documents(changes, &before->items[0], &after->items[0]);
        return changes;
    }
    for (size_t i = 0; i < after->count; i++) {
        const struct policy_document *old = find_pair(before, &after->items[i]);
        if (old != NULL) {
            diff_documents(changes, old, &after->items[i]);
        } else {
            report_document(changes, &after->items[i], true);
        }
    }
    for (size_t i = 0; i < before->count; i++) {
        if (find_pair(after, &before->items[i]) == NULL) {
            report_document(changes, &before->items[i], false);
        }
    }
    return changes;
}
