/* Inject edit: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/inject_edit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/yaml/yaml_entry.h"

/* --- JSON to YAML */

static void append_scalar(struct buf *out, const json_t *value) {
    char *text = json_dumps(value, JSON_ENCODE_ANY);
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

static void make_piece(struct piece *p, json_t *value) {
    append_block(&p->block, value, 0);
    append_scalar(&p->flow, value);
}

static struct yaml_text text_of(struct piece *p) {
    return (struct yaml_text){buf_cstr(&p->block), buf_cstr(&p->flow)};
}

/* --- Looking */

bool inject_edit_is_list(const struct yaml_node *node) {
    return node != NULL && node->kind == YAML_KIND_SEQUENCE;
}

bool inject_edit_has_text(const struct yaml_node *node, const char *text) {
    return node != NULL && node->kind == YAML_KIND_SCALAR && strcmp(node->value, text) == 0;
}

const struct yaml_node *inject_edit_find(const struct yaml_node *list, const char *key,
                                         const char *value) {
    for (size_t i = 0; inject_edit_is_list(list) && i < list->count; i++) {
        if (inject_edit_has_text(yaml_key(list->items[i], key), value)) {
            return list->items[i];
        }
    }
    return NULL;
}

static bool is_same_scalar(const struct yaml_node *node, const json_t *value) {
    enum yaml_type type = yaml_type_of(node);
    switch (json_typeof(value)) {
    case JSON_STRING:
        return type == YAML_TYPE_STRING && strcmp(node->value, json_string_value(value)) == 0;
    case JSON_INTEGER: {
        char text[32];
        (void)snprintf(text, sizeof text, "%lld", (long long)json_integer_value(value));
        return type == YAML_TYPE_INT && strcmp(node->value, text) == 0;
    }
    case JSON_TRUE:
    case JSON_FALSE:
        return type == YAML_TYPE_BOOL &&
               strcmp(node->value, json_is_true(value) ? "true" : "false") == 0;
    case JSON_NULL:
        return type == YAML_TYPE_NULL;
    case JSON_OBJECT:
    case JSON_ARRAY:
    case JSON_REAL:
    default:
        return false;
    }
}

bool inject_edit_is_same(const struct yaml_node *node, const json_t *value) {
    if (node->kind == YAML_KIND_SCALAR) {
        return is_same_scalar(node, value);
    }
    bool is_mapping = node->kind == YAML_KIND_MAPPING;
    size_t size = is_mapping ? json_object_size(value) : json_array_size(value);
    if ((is_mapping ? !json_is_object(value) : !json_is_array(value)) || size != node->count) {
        return false;
    }
    for (size_t i = 0; i < node->count; i++) {
        const struct yaml_node *own = is_mapping ? node->pairs[i].value : node->items[i];
        const json_t *other = is_mapping ? json_object_get(value, node->pairs[i].key->value)
                                         : json_array_get(value, i);
        if (other == NULL || !inject_edit_is_same(own, other)) {
            return false;
        }
    }
    return true;
}

/* --- Edits */

/* A string goes without quotes, or between single ones, where the one before did. */
static void keep_style(const struct yaml_file *file, const struct yaml_node *node,
                       const json_t *value, struct buf *out) {
    size_t at = node->content.offset;
    bool is_single = at < file->text.size && file->text.data[at] == '\'';
    bool is_plain_now = node->layout == YAML_LAYOUT_PLAIN && node->size > 0;
    if (!is_plain("", value) || (!is_plain_now && !is_single)) {
        return;
    }
    const char *quote = is_single ? "'" : "";
    buf_clear(out);
    buf_appendf(out, "%s%s%s", quote, json_string_value(value), quote);
}

static RESULT replace(struct yaml_edits *e, const struct yaml_node *node, json_t *value,
                      struct err *err) {
    if (inject_edit_is_same(node, value)) {
        return OK;
    }
    AUTO(free_piece)
    struct piece p = {0};
    make_piece(&p, value);
    if (node->kind == YAML_KIND_SCALAR) {
        keep_style(e->file, node, value, &p.flow);
    }
    return yaml_edit_replace(e, node, text_of(&p), err);
}

RESULT inject_edit_replace(struct yaml_edits *e, const struct yaml_node *node, json_t *value,
                           struct err *err) {
    struct result r = replace(e, node, value, err);
    json_decref(value);
    return r;
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

RESULT inject_edit_set(struct yaml_edits *e, const struct yaml_node *mapping, const char *key,
                       json_t *value, struct err *err) {
    const struct yaml_node *old = yaml_key(mapping, key);
    return old != NULL ? inject_edit_replace(e, old, value, err)
                       : add_pair(e, mapping, key, value, err);
}

static RESULT add_item(struct yaml_edits *e, const struct yaml_node *list, json_t *value,
                       struct err *err) {
    AUTO(free_piece)
    struct piece p = {0};
    make_piece(&p, value);
    json_decref(value);
    return yaml_edit_add_item(e, list, text_of(&p), err);
}

RESULT inject_edit_add(struct yaml_edits *e, const struct yaml_node *mapping, const char *key,
                       json_t *item, struct err *err) {
    const struct yaml_node *list = yaml_key(mapping, key);
    if (yaml_is_null(list) || (inject_edit_is_list(list) && list->count == 0)) {
        return inject_edit_set(e, mapping, key, json_pack("[o]", item), err);
    }
    return add_item(e, list, item, err);
}

RESULT inject_edit_splice(struct yaml_edits *e, const struct yaml_node *list, size_t first,
                          size_t removed, json_t *values, struct err *err) {
    size_t count = json_array_size(values);
    struct piece *pieces = mem_calloc(count + 1, sizeof *pieces);
    struct yaml_text *texts = mem_calloc(count + 1, sizeof *texts);
    for (size_t i = 0; i < count; i++) {
        make_piece(&pieces[i], json_array_get(values, i));
        texts[i] = text_of(&pieces[i]);
    }
    const struct yaml_entry_splice splice = {first, removed, texts, count};
    struct result r = yaml_entry_splice(e, list, &splice, err);
    for (size_t i = 0; i < count; i++) {
        free_piece(&pieces[i]);
    }
    mem_free(pieces);
    mem_free(texts);
    json_decref(values);
    return r;
}

RESULT inject_edit_remove(struct yaml_edits *e, const struct yaml_node *mapping,
                          const char *const *keys, size_t count, struct err *err) {
    bool *drop = mem_calloc(mapping->count + 1, sizeof *drop);
    for (size_t i = 0; i < mapping->count; i++) {
        for (size_t k = 0; k < count; k++) {
            drop[i] = drop[i] || strcmp(mapping->pairs[i].key->value, keys[k]) == 0;
        }
    }
    struct result r = yaml_edit_remove(e, mapping, drop, err);
    mem_free(drop);
    return r;
}

RESULT inject_edit_empty(struct yaml_edits *e, const struct yaml_node *mapping, const char *key,
                         bool *is_gone, struct err *err) {
    const struct yaml_node *list = yaml_key(mapping, key);
    *is_gone = mapping->layout == YAML_LAYOUT_FLOW || list->layout == YAML_LAYOUT_BLOCK;
    return *is_gone ? OK : inject_edit_replace(e, list, json_array(), err);
}
