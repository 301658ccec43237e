/* Policy object: ConfigMaps and Secrets among the given files, as variables take them.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/policy/policy_derive.h"

static const char *scalar(const struct yaml_node *node, const char *fallback) {
    return node != NULL && node->kind == YAML_KIND_SCALAR ? node->value : fallback;
}

static bool is_object(const struct derive *d, const struct yaml_node *root, const char *kind,
                      const char *name) {
    return strcmp(scalar(yaml_key(root, "kind"), ""), kind) == 0 &&
           strcmp(scalar(yaml_get(root, "metadata.name"), ""), name) == 0 &&
           strcmp(scalar(yaml_get(root, "metadata.namespace"), "default"), d->w->namespace) == 0;
}

static const struct yaml_node *find_in(const struct derive *d, const struct yaml_file *file,
                                       const char *kind, const char *name) {
    for (size_t i = 0; i < file->count; i++) {
        const struct yaml_node *root = file->documents[i].root;
        if (is_object(d, root, kind, name)) {
            return root;
        }
        const struct yaml_node *items = yaml_key(root, "items");
        for (size_t k = 0; items != NULL && items->kind == YAML_KIND_SEQUENCE && k < items->count;
             k++) {
            if (is_object(d, items->items[k], kind, name)) {
                return items->items[k];
            }
        }
    }
    return NULL;
}

struct found {
    const struct yaml_file *file;
    const struct yaml_node *node; /* NULL = none */
};

static struct found find(const struct derive *d, const char *kind, const char *name) {
    struct found f = {d->w->file, find_in(d, d->w->file, kind, name)};
    for (size_t i = 0; f.node == NULL && i < d->inputs->file_count; i++) {
        f.file = &d->inputs->files[i];
        f.node = find_in(d, f.file, kind, name);
    }
    return f;
}

static RESULT check_text(const struct found *f, const struct yaml_node *at, struct span text,
                         struct err *err) {
    for (size_t i = 0; i < text.size;) {
        size_t size = utf8_size(span_of(text.data + i, text.size - i));
        if (size == 0 || text.data[i] == 0 || text.data[i] == 1) {
            return yaml_fail(f->file, at, err, "a variable takes it, but it is no UTF-8 text");
        }
        i += size;
    }
    return OK;
}

static RESULT read_value(const struct found *f, const struct yaml_node *node, bool is_base64,
                         struct buf *out, struct err *err) {
    const char *text = NULL;
    TRY(yaml_read_string(f->file, node, &text, err));
    size_t start = out->size;
    if (is_base64) {
        struct err cause;
        if (!is_ok(base64_decode(span_str(text), out, &cause))) {
            return yaml_fail(f->file, node, err, "not base64: %.200s", cause.text);
        }
    } else {
        buf_append_str(out, text);
    }
    return check_text(f, node, span_of(out->data + start, out->size - start), err);
}

/* stringData goes before data, as the API server merges them. */
static const struct yaml_node *map_of(const struct found *f, const char *name) {
    const struct yaml_node *map = yaml_key(f->node, name);
    return map != NULL && map->kind == YAML_KIND_MAPPING ? map : NULL;
}

RESULT policy_object_read(const struct derive *d, const char *kind, const char *name,
                          const char *key, bool *found, struct buf *out, struct err *err) {
    struct found f = find(d, kind, name);
    bool is_secret = strcmp(kind, "Secret") == 0;
    const struct yaml_node *plain = is_secret ? yaml_key(map_of(&f, "stringData"), key) : NULL;
    const struct yaml_node *node = plain != NULL ? plain : yaml_key(map_of(&f, "data"), key);
    *found = node != NULL;
    return node != NULL ? read_value(&f, node, is_secret && plain == NULL, out, err) : OK;
}

static RESULT each_of(const struct found *f, const struct yaml_node *map, bool is_base64,
                      policy_object_fn *each, void *context, struct err *err) {
    for (size_t i = 0; map != NULL && i < map->count; i++) {
        AUTO(buf_deinit)
        struct buf value = {0};
        TRY(read_value(f, map->pairs[i].value, is_base64, &value, err));
        TRY(each(context, map->pairs[i].key->value, buf_cstr(&value), err));
    }
    return OK;
}

RESULT policy_object_each(const struct derive *d, const char *kind, const char *name, bool *found,
                          policy_object_fn *each, void *context, struct err *err) {
    struct found f = find(d, kind, name);
    bool is_secret = strcmp(kind, "Secret") == 0;
    *found = f.node != NULL;
    TRY(each_of(&f, map_of(&f, "data"), is_secret, each, context, err));
    return is_secret ? each_of(&f, map_of(&f, "stringData"), false, each, context, err) : OK;
}
