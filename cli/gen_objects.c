/* Objects of a run: collected in the order of the files, sorted by identity, neighbours compared.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/gen_objects.h"

#include <stdlib.h>
#include <string.h>

struct object {
    const struct yaml_file *file;
    const struct yaml_node *node;
    struct span group; /* "" = core */
    const char *kind;
    const char *namespace;
    const char *name;
    size_t order;
};

struct objects {
    struct object *items; /* owned */
    size_t count;
    size_t capacity;
};

static const char *text_of(const struct yaml_node *node, const char *fallback) {
    bool is_text = node != NULL && node->kind == YAML_KIND_SCALAR && !yaml_is_null(node);
    return is_text ? node->value : fallback;
}

/* "apps/v1" -> "apps", "v1" -> "". */
static struct span group_of(const char *version) {
    const char *slash = strchr(version, '/');
    return span_of(version, slash != NULL ? (size_t)(slash - version) : 0);
}

static void add(struct objects *list, const struct yaml_file *file, const struct yaml_node *node) {
    const char *kind = text_of(yaml_key(node, "kind"), NULL);
    const char *name = text_of(yaml_get(node, "metadata.name"), NULL);
    if (kind == NULL || name == NULL) {
        return;
    }
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 16 : 2 * list->capacity;
        list->items = mem_realloc(list->items, list->capacity * sizeof *list->items);
    }
    list->items[list->count] = (struct object){
        .file = file,
        .node = node,
        .group = group_of(text_of(yaml_key(node, "apiVersion"), "")),
        .kind = kind,
        .namespace = text_of(yaml_get(node, "metadata.namespace"), "default"),
        .name = name,
        .order = list->count,
    };
    list->count++;
}

static bool is_list(const struct yaml_node *node) {
    const char *kind = text_of(yaml_key(node, "kind"), "");
    size_t size = strlen(kind);
    const struct yaml_node *items = yaml_key(node, "items");
    return size >= 4 && strcmp(kind + size - 4, "List") == 0 && items != NULL &&
           items->kind == YAML_KIND_SEQUENCE;
}

static void add_file(struct objects *list, const struct yaml_file *file) {
    for (size_t i = 0; i < file->count; i++) {
        const struct yaml_node *root = file->documents[i].root;
        if (!is_list(root)) {
            add(list, file, root);
            continue;
        }
        const struct yaml_node *items = yaml_key(root, "items");
        for (size_t k = 0; k < items->count; k++) {
            add(list, file, items->items[k]);
        }
    }
}

static int compare_spans(struct span a, struct span b) {
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size > 0 ? memcmp(a.data, b.data, size) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static int compare_identity(const struct object *x, const struct object *y) {
    int order = strcmp(x->name, y->name);
    order = order != 0 ? order : strcmp(x->kind, y->kind);
    order = order != 0 ? order : strcmp(x->namespace, y->namespace);
    return order != 0 ? order : compare_spans(x->group, y->group);
}

static int compare_objects(const void *a, const void *b) {
    const struct object *x = a;
    const struct object *y = b;
    int order = compare_identity(x, y);
    return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

RESULT gen_objects_check_unique(const struct yaml_file *files, size_t count, struct err *err) {
    struct objects list = {0};
    for (size_t i = 0; i < count; i++) {
        add_file(&list, &files[i]);
    }
    if (list.count > 1) {
        qsort(list.items, list.count, sizeof *list.items, compare_objects);
    }
    struct result r = OK;
    for (size_t i = 1; i < list.count && is_ok(r); i++) {
        const struct object *a = &list.items[i - 1];
        const struct object *b = &list.items[i];
        if (compare_identity(a, b) == 0) {
            r = yaml_fail(b->file, b->node, err,
                          "%.100s %.253s/%.253s stands in %.300s:%zu:%zu already; keep one of them",
                          b->kind, b->namespace, b->name, a->file->name, a->node->start.line,
                          a->node->start.column);
        }
    }
    mem_free(list.items);
    return r;
}
