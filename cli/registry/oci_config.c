/* Image configs: see oci_config.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/registry/oci_config.h"

#include <stdlib.h>
#include <string.h>

#include "cli/registry/image_ref.h"
#include "cli/registry/oci_json.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

static void free_texts(struct oci_texts *t) {
    for (size_t i = 0; i < t->count; i++) {
        mem_free(t->items[i]);
    }
    mem_free(t->items);
}

void oci_config_deinit(struct oci_config *c) {
    mem_free(c->user);
    mem_free(c->working_dir);
    free_texts(&c->env);
    free_texts(&c->entrypoint);
    free_texts(&c->cmd);
    free_texts(&c->volumes);
    mem_free(c->diff_ids);
    *c = (struct oci_config){0};
}

static size_t texts_memory(const struct oci_texts *t) {
    size_t size = 0;
    for (size_t i = 0; i < t->count; i++) {
        size += sizeof *t->items + strlen(t->items[i]) + 1;
    }
    return size;
}

size_t oci_config_memory(const struct oci_config *c) {
    return strlen(c->user) + strlen(c->working_dir) + texts_memory(&c->env) +
           texts_memory(&c->entrypoint) + texts_memory(&c->cmd) + texts_memory(&c->volumes) +
           c->diff_id_count * sizeof *c->diff_ids;
}

/* "" when it is absent or null. */
static RESULT copy_text(const json_t *object, const char *key, char **out, struct err *err) {
    const char *text = NULL;
    TRY(oci_json_text(object, key, &text, err));
    *out = mem_strdup(text != NULL ? text : "");
    return OK;
}

static RESULT copy_texts(const json_t *object, const char *key, struct oci_texts *out,
                         struct err *err) {
    const json_t *list = json_object_get(object, key);
    if (list == NULL || json_is_null(list)) {
        return OK;
    }
    ENSURE(json_is_array(list), err, MALFORMED, "'%s' is not a list", key);
    out->items = mem_calloc(json_array_size(list) + 1, sizeof *out->items);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        ENSURE(text != NULL, err, MALFORMED, "'%s' holds what is no text", key);
        out->items[out->count++] = mem_strdup(text);
    }
    return OK;
}

static int compare_texts(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static RESULT copy_keys(json_t *object, const char *key, struct oci_texts *out, struct err *err) {
    json_t *map = json_object_get(object, key);
    if (map == NULL || json_is_null(map)) {
        return OK;
    }
    ENSURE(json_is_object(map), err, MALFORMED, "'%s' is not an object", key);
    out->items = mem_calloc(json_object_size(map) + 1, sizeof *out->items);
    const char *name;
    json_t *value;
    json_object_foreach(map, name, value) {
        out->items[out->count++] = mem_strdup(name);
    }
    qsort(out->items, out->count, sizeof *out->items, compare_texts);
    return OK;
}

static RESULT check_platform(const json_t *root, struct err *err) {
    const char *os = NULL;
    const char *arch = NULL;
    const char *variant = NULL;
    TRY(oci_json_text(root, "os", &os, err));
    TRY(oci_json_text(root, "architecture", &arch, err));
    TRY(oci_json_text(root, "variant", &variant, err));
    ENSURE(os != NULL && arch != NULL, err, MALFORMED, "it names no 'os' or no 'architecture'");
    bool plain = variant == NULL || variant[0] == '\0' || strcmp(variant, "v1") == 0;
    bool is_amd64 = strcmp(arch, "amd64") == 0 || strcmp(arch, "x86_64") == 0;
    ENSURE(strcmp(os, "linux") == 0 && is_amd64 && plain, err, INVALID,
           "the image is for %.40s/%.40s%s%.40s, and the nodes are linux/amd64", os, arch,
           plain ? "" : "/", plain ? "" : variant);
    return OK;
}

static RESULT read_diff_ids(const json_t *root, struct oci_config *c, struct err *err) {
    const json_t *list = json_object_get(json_object_get(root, "rootfs"), "diff_ids");
    ENSURE(json_is_array(list), err, MALFORMED, "'rootfs.diff_ids' is not a list");
    size_t count = json_array_size(list);
    ENSURE(count <= LIMIT_REGISTRY_LAYERS, err, TOO_LARGE, "%zu layers, more than the limit of %d",
           count, LIMIT_REGISTRY_LAYERS);
    c->diff_ids = mem_calloc(count + 1, sizeof *c->diff_ids);
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        ENSURE(text != NULL, err, MALFORMED, "diff_id %zu is not a text", i);
        struct result r = image_ref_digest(span_str(text), c->diff_ids[i], err);
        if (!is_ok(r)) {
            return err_wrap(r, err, "diff_id %zu", i);
        }
    }
    c->diff_id_count = count;
    return OK;
}

static RESULT read_root(const json_t *root, struct oci_config *c, struct err *err) {
    json_t *config = json_object_get(root, "config");
    ENSURE(config == NULL || json_is_null(config) || json_is_object(config), err, MALFORMED,
           "'config' is not an object");
    TRY(check_platform(root, err));
    TRY(read_diff_ids(root, c, err));
    TRY(copy_text(config, "User", &c->user, err));
    TRY(copy_text(config, "WorkingDir", &c->working_dir, err));
    TRY(copy_texts(config, "Env", &c->env, err));
    TRY(copy_texts(config, "Entrypoint", &c->entrypoint, err));
    TRY(copy_texts(config, "Cmd", &c->cmd, err));
    return copy_keys(config, "Volumes", &c->volumes, err);
}

struct result oci_config_parse(struct span text, struct oci_config *out, struct err *err) {
    AUTO(oci_json_free)
    json_t *root = NULL;
    struct oci_config c = {0};
    TRY(oci_json_parse(text, LIMIT_REGISTRY_DOCUMENT, "image config", &root, err));
    struct result r = read_root(root, &c, err);
    if (!is_ok(r)) {
        oci_config_deinit(&c);
        return err_wrap(r, err, "image config");
    }
    *out = c;
    return OK;
}
