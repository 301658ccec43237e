/* Image: a total reader of the config, and of passwd(5) and group(5) lines.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/image.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

#define COLUMNS 7

void image_deinit(struct image *i) {
    mem_free(i->reference);
    json_decref(i->config);
    buf_deinit(&i->passwd);
    buf_deinit(&i->group);
    mem_free(i->layers);
    *i = (struct image){0};
}

void image_list_deinit(struct image_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        image_deinit(&list->items[i]);
    }
    mem_free(list->items);
    *list = (struct image_list){0};
}

const struct image *image_find(const struct image_list *list, const char *reference) {
    for (size_t i = 0; list != NULL && i < list->count; i++) {
        if (strcmp(list->items[i].reference, reference) == 0) {
            return &list->items[i];
        }
    }
    return NULL;
}

/* --- The config */

/* U+0001 is a mark of the policy's (policy_derive.h). */
static bool is_text(const json_t *value) {
    return json_is_string(value) && strchr(json_string_value(value), 1) == NULL;
}

static RESULT read_string(const json_t *config, const char *key, json_t *out, struct err *err) {
    const json_t *value = json_object_get(config, key);
    bool is_absent = value == NULL || json_is_null(value);
    ENSURE(is_absent || is_text(value), err, INVALID, "config.%s: must be a string", key);
    json_object_set_new(out, key, json_string(is_absent ? "" : json_string_value(value)));
    return OK;
}

static RESULT read_list(const json_t *config, const char *key, json_t *out, struct err *err) {
    json_t *value = json_object_get(config, key);
    json_t *list = json_array();
    json_object_set_new(out, key, list);
    if (value == NULL || json_is_null(value)) {
        return OK;
    }
    ENSURE(json_is_array(value) && json_array_size(value) <= LIMIT_IMAGE_STRINGS, err, INVALID,
           "config.%s: must be a list of at most %d strings", key, LIMIT_IMAGE_STRINGS);
    for (size_t i = 0; i < json_array_size(value); i++) {
        json_t *text = json_array_get(value, i);
        ENSURE(is_text(text), err, INVALID, "config.%s[%zu]: must be a string", key, i);
        json_array_append(list, text);
    }
    return OK;
}

static RESULT check_env(const json_t *out, struct err *err) {
    const json_t *env = json_object_get(out, "Env");
    for (size_t i = 0; i < json_array_size(env); i++) {
        const char *text = json_string_value(json_array_get(env, i));
        const char *equals = strchr(text, '=');
        ENSURE(equals != NULL && equals != text, err, INVALID,
               "config.Env[%zu]: must be NAME=VALUE", i);
    }
    return OK;
}

static int compare_strings(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static RESULT read_volumes(json_t *config, json_t *out, struct err *err) {
    json_t *value = json_object_get(config, "Volumes");
    json_t *list = json_array();
    json_object_set_new(out, "Volumes", list);
    if (value == NULL || json_is_null(value)) {
        return OK;
    }
    ENSURE(json_is_object(value) && json_object_size(value) <= LIMIT_IMAGE_VOLUMES, err, INVALID,
           "config.Volumes: must be an object of at most %d paths", LIMIT_IMAGE_VOLUMES);
    const char *paths[LIMIT_IMAGE_VOLUMES];
    size_t count = 0;
    const char *path = NULL;
    json_t *ignored = NULL;
    json_object_foreach(value, path, ignored) {
        ENSURE(path[0] == '/', err, INVALID, "config.Volumes: %.200s: must be an absolute path",
               path);
        paths[count++] = path;
    }
    qsort(paths, count, sizeof paths[0], compare_strings);
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(list, json_string(paths[i]));
    }
    return OK;
}

static RESULT read_config(json_t *config, json_t *out, struct err *err) {
    TRY(read_string(config, "User", out, err));
    TRY(read_string(config, "WorkingDir", out, err));
    TRY(read_list(config, "Env", out, err));
    TRY(read_list(config, "Cmd", out, err));
    TRY(read_list(config, "Entrypoint", out, err));
    TRY(check_env(out, err));
    return read_volumes(config, out, err);
}

static RESULT read_document(struct span config, json_t *out, struct err *err) {
    ENSURE(config.size <= LIMIT_IMAGE_CONFIG, err, INVALID, "over %d bytes", LIMIT_IMAGE_CONFIG);
    json_error_t cause;
    json_t *root =
        json_loadb((const char *)config.data, config.size, JSON_REJECT_DUPLICATES, &cause);
    ENSURE(root != NULL, err, INVALID, "line %d: %s", cause.line, cause.text);
    json_t *fields = json_object_get(root, "config");
    json_t *none = json_object();
    bool is_good = json_is_object(root) && (fields == NULL || json_is_object(fields));
    struct result r = is_good ? read_config(fields != NULL ? fields : none, out, err)
                              : err_set(err, ERR_INVALID, "config: must be an object");
    json_decref(none);
    json_decref(root);
    return r;
}

RESULT image_read(const char *reference, struct span config, struct image *out, struct err *err) {
    *out = (struct image){0};
    json_t *fields = json_object();
    struct err cause = {0};
    struct result r = read_document(config, fields, &cause);
    if (!is_ok(r)) {
        json_decref(fields);
        return err_set(err, r.code, "image %.200s: config: %.300s", reference, cause.text);
    }
    out->reference = mem_strdup(reference);
    out->config = fields;
    return OK;
}

const char *image_string(const struct image *i, const char *key) {
    const char *text = json_string_value(json_object_get(i->config, key));
    return text != NULL ? text : "";
}

json_t *image_list_of(const struct image *i, const char *key) {
    json_t *list = json_object_get(i->config, key);
    CHECK(json_is_array(list));
    return list;
}

/* --- passwd and group: colons between columns; lines that are none are skipped, as in libc */

struct line {
    struct span columns[COLUMNS];
    size_t count;
};

/* The next line of *rest; false at the end. */
static bool next_line(struct span *rest, struct line *out) {
    if (rest->size == 0) {
        return false;
    }
    const uint8_t *end = memchr(rest->data, '\n', rest->size);
    size_t size = end != NULL ? (size_t)(end - rest->data) : rest->size;
    *out = (struct line){0};
    size_t start = 0;
    for (size_t i = 0; i <= size && out->count < COLUMNS; i++) {
        if (i == size || rest->data[i] == ':') {
            out->columns[out->count++] = span_of(rest->data + start, i - start);
            start = i + 1;
        }
    }
    size_t used = end != NULL ? size + 1 : size;
    *rest = span_of(rest->data + used, rest->size - used);
    return true;
}

/* Decimal digits, at most 2^32 - 1. */
static bool read_number(struct span text, int64_t *out) {
    int64_t n = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || n > UINT32_MAX) {
            return false;
        }
        n = 10 * n + (text.data[i] - '0');
    }
    *out = n;
    return text.size > 0 && n <= UINT32_MAX;
}

/* A passwd entry by name, or, with `name` NULL, by uid. */
static bool find_user(const struct image *i, const struct span *name, int64_t uid,
                      struct image_user *out) {
    struct span rest = buf_span(&i->passwd);
    struct line line;
    while (next_line(&rest, &line)) {
        struct image_user user = {0};
        if (line.count < 4 || line.columns[0].size == 0 ||
            line.columns[0].size > LIMIT_IMAGE_NAME || !read_number(line.columns[2], &user.uid) ||
            !read_number(line.columns[3], &user.gid)) {
            continue;
        }
        if (name != NULL ? span_equal(line.columns[0], *name) : user.uid == uid) {
            memcpy(user.name, line.columns[0].data, line.columns[0].size);
            *out = user;
            return true;
        }
    }
    return false;
}

static bool find_group(const struct image *i, struct span name, int64_t *gid) {
    struct span rest = buf_span(&i->group);
    struct line line;
    while (next_line(&rest, &line)) {
        if (line.count >= 3 && span_equal(line.columns[0], name) &&
            read_number(line.columns[2], gid)) {
            return true;
        }
    }
    return false;
}

struct image_user image_user_by_uid(const struct image *i, int64_t uid) {
    struct image_user user = {0};
    if (!find_user(i, NULL, uid, &user)) {
        user = (struct image_user){.uid = uid};
    }
    return user;
}

RESULT image_user_of_config(const struct image *i, bool with_group, struct image_user *out,
                            struct err *err) {
    struct span text = span_str(image_string(i, "User"));
    const uint8_t *colon = text.size > 0 ? memchr(text.data, ':', text.size) : NULL;
    struct span user = colon != NULL ? span_of(text.data, (size_t)(colon - text.data)) : text;
    int64_t uid = 0;
    if (user.size == 0 || read_number(user, &uid)) {
        *out = image_user_by_uid(i, uid);
    } else {
        ENSURE(find_user(i, &user, 0, out), err, INVALID,
               "image %.200s: its user \"%.100s\" is not in its etc/passwd; set runAsUser",
               i->reference, image_string(i, "User"));
    }
    if (colon != NULL && with_group) {
        struct span group = span_of(colon + 1, text.size - user.size - 1);
        ENSURE(read_number(group, &out->gid) || find_group(i, group, &out->gid), err, INVALID,
               "image %.200s: its group \"%.100s\" is not in its etc/group; set runAsGroup",
               i->reference, image_string(i, "User"));
    }
    return OK;
}

static bool is_member(struct span members, struct span user) {
    size_t start = 0;
    for (size_t i = 0; i <= members.size; i++) {
        if (i == members.size || members.data[i] == ',') {
            if (span_equal(span_of(members.data + start, i - start), user)) {
                return true;
            }
            start = i + 1;
        }
    }
    return false;
}

void image_each_group(const struct image *i, const char *user,
                      void (*add)(void *context, int64_t gid), void *context) {
    struct span rest = buf_span(&i->group);
    struct span name = span_str(user);
    struct line line;
    while (name.size > 0 && next_line(&rest, &line)) {
        int64_t gid = 0;
        if (line.count >= 4 && !span_equal(line.columns[0], name) &&
            read_number(line.columns[2], &gid) && is_member(line.columns[3], name)) {
            add(context, gid);
        }
    }
}
