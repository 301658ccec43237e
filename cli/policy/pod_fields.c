/* Pod fields: the walk. What the tables say stands in pod_tables_*.c.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/pod_fields.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/policy/policy_derive.h"

#define PATH_SIZE 512
#define NAME_SIZE 64 /* of a field that is worth a guess */

struct walk {
    const struct yaml_file *file;
    const struct policy_exceptions *allowed;
    char path[PATH_SIZE];
    char pod[64]; /* what paths of the pod begin with: "spec.template." */
};

/* --- Paths */

static size_t enter(struct walk *w, const char *name) {
    size_t old = strlen(w->path);
    const char *dot = old > 0 && w->path[old - 1] != '.' ? "." : "";
    (void)snprintf(w->path + old, PATH_SIZE - old, "%s%.80s", dot, name);
    return old;
}

static size_t enter_index(struct walk *w, size_t index) {
    size_t old = strlen(w->path);
    (void)snprintf(w->path + old, PATH_SIZE - old, "[%zu]", index);
    return old;
}

/* "[]" in the pattern stands for any index of the path. */
static bool is_path(const char *pattern, const char *path) {
    while (*pattern != '\0' && *path != '\0') {
        if (pattern[0] == '[' && pattern[1] == ']' && path[0] == '[') {
            pattern += 2;
            path += strcspn(path, "]") + 1;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return *pattern == *path;
}

static bool is_allowed(const struct walk *w) {
    size_t size = strlen(w->pod);
    const char *in_pod = strncmp(w->path, w->pod, size) == 0 ? w->path + size : w->path;
    for (size_t i = 0; i < w->allowed->count; i++) {
        if (is_path(w->allowed->paths[i], w->path) || is_path(w->allowed->paths[i], in_pod)) {
            return true;
        }
    }
    return false;
}

static RESULT fail(const struct walk *w, const struct yaml_node *at, const char *text,
                   struct err *err) {
    return yaml_fail(w->file, at, err, "%s: %s", w->path, text);
}

/* Puts the path between position and reason of a typed read's error. */
static RESULT with_path(const struct walk *w, const struct yaml_node *at, const struct err *cause,
                        struct err *err) {
    const char *reason = cause->text + strnlen(w->file->name, 300);
    for (int colons = 0; colons < 3 && *reason != '\0'; reason++) {
        colons += *reason == ':' ? 1 : 0;
    }
    return fail(w, at, reason[0] == ' ' ? reason + 1 : cause->text, err);
}

void pod_fields_warn(const struct policy_warner *warner, const struct yaml_file *file,
                     const struct yaml_node *at, const char *format, ...) {
    if (warner == NULL || warner->warn == NULL) {
        return;
    }
    char text[ERR_TEXT_SIZE];
    struct err line = {0};
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    err_ignore(yaml_fail(file, at, &line, "%s", text), "it writes the position before the text");
    warner->warn(warner->context, line.text);
}

/* --- What an unknown name may have meant */

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Levenshtein's distance, without regard to case. */
static size_t distance(const char *a, const char *b) {
    size_t row[NAME_SIZE + 1];
    size_t width = strlen(b);
    for (size_t k = 0; k <= width; k++) {
        row[k] = k;
    }
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t corner = row[0]++;
        for (size_t k = 0; k < width; k++) {
            bool same = tolower((unsigned char)a[i]) == tolower((unsigned char)b[k]);
            size_t replaced = corner + (same ? 0 : 1);
            corner = row[k + 1];
            row[k + 1] = least(replaced, least(corner, row[k]) + 1);
        }
    }
    return row[width];
}

static const char *nearest(const struct pod_table *table, const char *name) {
    const char *best = NULL;
    size_t best_distance = strlen(name) < 5 ? 2 : 3;
    for (size_t i = 0; i < table->count && strlen(name) < NAME_SIZE; i++) {
        size_t d = distance(name, table->fields[i].name);
        if (d < best_distance) {
            best_distance = d;
            best = table->fields[i].name;
        }
    }
    return best;
}

/* A field of this very name one level down: "securityContext" for runAsUser. */
static const struct pod_field *owner_of(const struct pod_table *table, const char *name) {
    for (size_t i = 0; i < table->count; i++) {
        const struct pod_field *field = &table->fields[i];
        if (field->table != NULL && pod_fields_find(field->table, name) != NULL) {
            return field;
        }
    }
    return NULL;
}

static void append_guess(const struct pod_table *table, const char *name, struct buf *out) {
    const char *guess = nearest(table, name);
    const struct pod_field *owner = owner_of(table, name);
    if (guess == NULL && owner == NULL) {
        return;
    }
    buf_append_str(out, "did you mean \"");
    if (guess != NULL) {
        buf_append_str(out, guess);
    } else {
        buf_appendf(out, "%s%s.%s", owner->name, owner->type == POD_FIELD_LIST ? "[]" : "", name);
    }
    buf_append_str(out, "\"? Otherwise ");
}

static RESULT fail_unknown(const struct walk *w, const struct yaml_node *key,
                           const struct pod_table *table, struct err *err) {
    AUTO(buf_deinit)
    struct buf guess = {0};
    append_guess(table, key->value, &guess);
    return yaml_fail(w->file, key, err,
                     "%s: this version does not know the field, so the policy could not cover it; "
                     "%sremove it, or name it with --allow-unknown",
                     w->path, buf_cstr(&guess));
}

/* --- Scalars */

static RESULT convert_string(const struct walk *w, const struct yaml_node *node, json_t **out,
                             struct err *err) {
    const char *text = NULL;
    struct err cause = {0};
    if (!is_ok(yaml_read_string(w->file, node, &text, &cause))) {
        return with_path(w, node, &cause, err);
    }
    if (strstr(text, POLICY_MARK) != NULL) {
        return fail(w, node, "the character U+0001 is reserved", err);
    }
    *out = json_string(text);
    return OK;
}

static RESULT convert_scalar(const struct walk *w, const struct yaml_node *node, json_t **out,
                             struct err *err) {
    if (node->kind != YAML_KIND_SCALAR || strstr(node->value, POLICY_MARK) != NULL) {
        return fail(w, node, "must be a string or a number", err);
    }
    *out = json_string(node->value);
    return OK;
}

static RESULT convert_int(const struct walk *w, const struct yaml_node *node, json_t **out,
                          struct err *err) {
    int64_t n = 0;
    struct err cause = {0};
    if (!is_ok(yaml_read_int(w->file, node, &n, &cause))) {
        return with_path(w, node, &cause, err);
    }
    *out = json_integer(n);
    return OK;
}

static RESULT convert_bool(const struct walk *w, const struct yaml_node *node, json_t **out,
                           struct err *err) {
    bool b = false;
    struct err cause = {0};
    if (!is_ok(yaml_read_bool(w->file, node, &b, &cause))) {
        return with_path(w, node, &cause, err);
    }
    *out = json_boolean(b);
    return OK;
}

/* --- Collections */

typedef RESULT convert_fn(struct walk *w, const struct yaml_node *node,
                          const struct pod_field *field, json_t **out, struct err *err);

static RESULT convert(struct walk *w, const struct yaml_node *node, const struct pod_field *field,
                      json_t **out, struct err *err);
static RESULT convert_object(struct walk *w, const struct yaml_node *node,
                             const struct pod_table *table, json_t **out, struct err *err);

static RESULT convert_item(struct walk *w, const struct yaml_node *node,
                           const struct pod_field *field, json_t **out, struct err *err) {
    if (field->type == POD_FIELD_INTS) {
        return convert_int(w, node, out, err);
    }
    return field->type == POD_FIELD_LIST ? convert_object(w, node, field->table, out, err)
                                         : convert_string(w, node, out, err);
}

static RESULT convert_list(struct walk *w, const struct yaml_node *node,
                           const struct pod_field *field, json_t **out, struct err *err) {
    if (node->kind != YAML_KIND_SEQUENCE) {
        return fail(w, node, "must be a list", err);
    }
    json_t *list = json_array();
    for (size_t i = 0; i < node->count; i++) {
        size_t old = enter_index(w, i);
        json_t *item = NULL;
        struct result r = convert_item(w, node->items[i], field, &item, err);
        if (!is_ok(r)) {
            json_decref(list);
            return r;
        }
        json_array_append_new(list, item);
        w->path[old] = '\0';
    }
    *out = list;
    return OK;
}

/* Any keys; strings for TEXTS, else strings and numbers. Null values are left out. */
static RESULT convert_map(struct walk *w, const struct yaml_node *node,
                          const struct pod_field *field, json_t **out, struct err *err) {
    if (node->kind != YAML_KIND_MAPPING) {
        return fail(w, node, "must be a mapping", err);
    }
    json_t *map = json_object();
    for (size_t i = 0; i < node->count; i++) {
        const struct yaml_node *item = node->pairs[i].value;
        size_t old = enter(w, node->pairs[i].key->value);
        json_t *value = NULL;
        struct result r = OK;
        if (!yaml_is_null(item)) {
            r = field->type == POD_FIELD_TEXTS ? convert_string(w, item, &value, err)
                                               : convert_scalar(w, item, &value, err);
        }
        if (!is_ok(r)) {
            json_decref(map);
            return r;
        }
        if (value != NULL) {
            json_object_set_new(map, node->pairs[i].key->value, value);
        }
        w->path[old] = '\0';
    }
    *out = map;
    return OK;
}

static RESULT convert_any(const struct walk *w, const struct yaml_node *node,
                          const struct pod_field *field, json_t **out, struct err *err) {
    bool is_list = field->type == POD_FIELD_LIST;
    if (node->kind != (is_list ? YAML_KIND_SEQUENCE : YAML_KIND_MAPPING)) {
        return fail(w, node, is_list ? "must be a list" : "must be a mapping", err);
    }
    *out = is_list ? json_array() : json_object();
    return OK;
}

static RESULT convert(struct walk *w, const struct yaml_node *node, const struct pod_field *field,
                      json_t **out, struct err *err) {
    switch (field->type) {
    case POD_FIELD_STRING:
        return convert_string(w, node, out, err);
    case POD_FIELD_SCALAR:
    case POD_FIELD_TIME:
        return convert_scalar(w, node, out, err);
    case POD_FIELD_INT:
        return convert_int(w, node, out, err);
    case POD_FIELD_BOOL:
        return convert_bool(w, node, out, err);
    case POD_FIELD_TEXTS:
    case POD_FIELD_SCALARS:
        return convert_map(w, node, field, out, err);
    case POD_FIELD_OBJECT:
        return field->table != NULL ? convert_object(w, node, field->table, out, err)
                                    : convert_any(w, node, field, out, err);
    case POD_FIELD_LIST:
        return field->table != NULL ? convert_list(w, node, field, out, err)
                                    : convert_any(w, node, field, out, err);
    case POD_FIELD_STRINGS:
    case POD_FIELD_INTS:
    default:
        return convert_list(w, node, field, out, err);
    }
}

/* --- Fields */

/* "a|b" has `text`. */
static bool is_one_of(const char *values, const char *text) {
    size_t size = strlen(text);
    for (const char *p = values; p != NULL; p = strchr(p, '|')) {
        p += p != values ? 1 : 0;
        if (strcspn(p, "|") == size && strncmp(p, text, size) == 0) {
            return true;
        }
    }
    return false;
}

static const char *shown(const json_t *value) {
    const char *text = json_string_value(value);
    return text != NULL ? text : (json_is_true(value) ? "true" : "false");
}

static RESULT check_value(const struct walk *w, const struct yaml_node *node,
                          const struct pod_field *field, const json_t *value, struct err *err) {
    if (field->values == NULL || is_one_of(field->values, shown(value))) {
        return OK;
    }
    const char *quote = json_is_string(value) ? "\"" : "";
    if (field->class == POD_FIELD_REFUSED) {
        return yaml_fail(w->file, node, err, "%s: %s%.100s%s is refused: %s", w->path, quote,
                         shown(value), quote, field->why);
    }
    return yaml_fail(w->file, node, err, "%s: %s%.100s%s is none of %s", w->path, quote,
                     shown(value), quote, field->values);
}

/* Fields that say nothing: an empty list or mapping of something refused. */
static bool is_empty(const struct yaml_node *node) {
    return node->kind != YAML_KIND_SCALAR && node->count == 0;
}

static RESULT take(struct walk *w, const struct yaml_pair *pair, const struct pod_field *field,
                   json_t *object, struct err *err) {
    bool is_refused = field->class == POD_FIELD_REFUSED;
    if (is_refused && field->values == NULL) {
        return is_empty(pair->value)
                   ? OK
                   : yaml_fail(w->file, pair->key, err, "%s: refused: %s", w->path, field->why);
    }
    json_t *value = NULL;
    TRY(convert(w, pair->value, field, &value, err));
    struct result r = check_value(w, pair->value, field, value, err);
    if (is_ok(r) && field->class != POD_FIELD_IGNORED) {
        json_object_set(object, field->name, value);
    }
    json_decref(value);
    return r;
}

static RESULT convert_pair(struct walk *w, const struct yaml_pair *pair,
                           const struct pod_table *table, json_t *object, struct err *err) {
    const struct pod_field *field = pod_fields_find(table, pair->key->value);
    if (field == NULL) {
        return is_allowed(w) ? OK : fail_unknown(w, pair->key, table, err);
    }
    return yaml_is_null(pair->value) ? OK : take(w, pair, field, object, err);
}

static RESULT convert_pairs(struct walk *w, const struct yaml_node *node,
                            const struct pod_table *table, json_t *object, struct err *err) {
    for (size_t i = 0; i < node->count; i++) {
        size_t old = enter(w, node->pairs[i].key->value);
        TRY(convert_pair(w, &node->pairs[i], table, object, err));
        w->path[old] = '\0';
    }
    return OK;
}

static RESULT convert_object(struct walk *w, const struct yaml_node *node,
                             const struct pod_table *table, json_t **out, struct err *err) {
    if (node->kind != YAML_KIND_MAPPING) {
        return fail(w, node, "must be a mapping", err);
    }
    json_t *object = json_object();
    struct result r = convert_pairs(w, node, table, object, err);
    if (!is_ok(r)) {
        json_decref(object);
        return r;
    }
    *out = object;
    return OK;
}

/* --- Public */

const struct pod_field *pod_fields_find(const struct pod_table *table, const char *name) {
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->fields[i].name, name) == 0) {
            return &table->fields[i];
        }
    }
    return NULL;
}

static const char *pod_path(const char *kind) {
    if (strcmp(kind, "Pod") == 0) {
        return "";
    }
    return strcmp(kind, "CronJob") == 0 ? "spec.jobTemplate.spec.template." : "spec.template.";
}

struct pod_fields_place pod_fields_place_of(const struct workload *w) {
    struct pod_fields_place place = {.pod = pod_path(w->kind)};
    for (size_t i = 0; i < w->file->count; i++) {
        const struct yaml_node *items = yaml_key(w->file->documents[i].root, "items");
        for (size_t k = 0; items != NULL && items->kind == YAML_KIND_SEQUENCE && k < items->count;
             k++) {
            if (items->items[k] == w->resource) {
                (void)snprintf(place.item, sizeof place.item, "items[%zu].", k);
                return place;
            }
        }
    }
    return place;
}

static const json_t *pod_of(const json_t *resource, const char *kind) {
    if (strcmp(kind, "Pod") == 0) {
        return resource;
    }
    const json_t *spec = json_object_get(resource, "spec");
    if (strcmp(kind, "CronJob") == 0) {
        spec = json_object_get(json_object_get(spec, "jobTemplate"), "spec");
    }
    return json_object_get(spec, "template");
}

RESULT pod_fields_read(const struct workload *w, const struct policy_exceptions *allowed,
                       json_t **out, const json_t **pod, struct err *err) {
    const struct pod_table *table = pod_fields_table(w->kind);
    CHECK(table != NULL);
    const struct pod_fields_place place = pod_fields_place_of(w);
    struct walk walk = {.file = w->file, .allowed = allowed};
    (void)snprintf(walk.path, sizeof walk.path, "%s", place.item);
    (void)snprintf(walk.pod, sizeof walk.pod, "%s%s", place.item, place.pod);
    TRY(convert_object(&walk, w->resource, table, out, err));
    *pod = pod_of(*out, w->kind);
    CHECK(*pod != NULL && json_object_get(*pod, "spec") != NULL);
    return OK;
}
