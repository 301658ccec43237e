/* policy-maker: the policy of the first pod of a file, for tests that judge it.
 *
 *   policy-maker [--partial] [--initdata] POD.yaml IMAGES.json [OBJECTS.yaml...]
 *
 * IMAGES.json: {"name[:tag]": {"config": {...}, "passwd": "...", "group": "...", "layers": [...]}};
 * the entry "pause" is what nodes run as sandbox. An image of the
 * pod takes the first entry that its reference equals, without the digest, or that it ends in the
 * name of. OBJECTS: ConfigMaps and Secrets. Prints the document; exit 1 with one line of error.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "cli/policy/policy_text.h"
#include "lib/base/file.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

#define FILES 16

struct maker {
    struct yaml_file pod;
    struct yaml_file objects[FILES];
    size_t object_count;
    struct workload_list workloads;
    struct image_list images;
    json_t *table;
};

static void maker_deinit(struct maker *m) {
    workload_list_deinit(&m->workloads);
    image_list_deinit(&m->images);
    json_decref(m->table);
    yaml_file_deinit(&m->pod);
    for (size_t i = 0; i < m->object_count; i++) {
        yaml_file_deinit(&m->objects[i]);
    }
}

static RESULT parse(const char *path, struct yaml_file *out, struct err *err) {
    AUTO(buf_deinit)
    struct buf text = {0};
    TRY(file_read(path, LIMIT_YAML_FILE, &text, err));
    return yaml_parse(path, buf_span(&text), out, err);
}

/* The whole key before a digest, or its name without tag as the end of the reference's. */
static bool is_entry(const char *key, const char *reference) {
    size_t key_name = strcspn(key, "@");
    size_t size = strcspn(reference, "@");
    if (key_name == size && strncmp(key, reference, size) == 0) {
        return true;
    }
    const char *key_tag = strrchr(key, ':');
    size_t bare =
        key_tag != NULL && strchr(key_tag, '/') == NULL ? (size_t)(key_tag - key) : strlen(key);
    const char *slash = strrchr(reference, '/');
    const char *tag = strchr(slash != NULL ? slash : reference, ':');
    size_t reference_bare = tag != NULL ? (size_t)(tag - reference) : size;
    return reference_bare >= bare && strncmp(reference + reference_bare - bare, key, bare) == 0;
}

/* "layers": [{"id": hex, "root": hex}], topmost first */
static RESULT add_layers(const json_t *list, struct image *image, struct err *err) {
    image->layers = mem_calloc(json_array_size(list) + 1, sizeof *image->layers);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *id = NULL;
        const char *root = NULL;
        struct image_layer *layer = &image->layers[i];
        ENSURE(json_unpack(json_array_get(list, i), "{s:s, s:s}", "id", &id, "root", &root) == 0 &&
                   strlen(id) < sizeof layer->id && strlen(root) < sizeof layer->root,
               err, INVALID, "layers[%zu]: no id and root", i);
        memcpy(layer->id, id, strlen(id) + 1);
        memcpy(layer->root, root, strlen(root) + 1);
        image->layer_count++;
    }
    return OK;
}

static RESULT add_image(struct maker *m, const char *reference, const json_t *entry,
                        struct err *err) {
    json_t *document = json_pack("{s:O}", "config", json_object_get(entry, "config"));
    char *text = json_dumps(document, JSON_COMPACT);
    json_decref(document);
    struct image image = {0};
    struct result r = image_read(reference, span_str(text), &image, err);
    mem_free(text);
    TRY(r);
    const char *passwd = json_string_value(json_object_get(entry, "passwd"));
    const char *group = json_string_value(json_object_get(entry, "group"));
    buf_append_str(&image.passwd, passwd != NULL ? passwd : "");
    buf_append_str(&image.group, group != NULL ? group : "");
    m->images.items = mem_realloc(m->images.items, (m->images.count + 1) * sizeof *m->images.items);
    m->images.items[m->images.count++] = image;
    return add_layers(json_object_get(entry, "layers"), &m->images.items[m->images.count - 1], err);
}

static RESULT add_images(struct maker *m, const char *list_name, struct err *err) {
    const struct yaml_node *list = yaml_key(m->workloads.items[0].spec, list_name);
    bool is_list = list != NULL && list->kind == YAML_KIND_SEQUENCE;
    for (size_t i = 0; is_list && i < list->count; i++) {
        const struct yaml_node *node = yaml_key(list->items[i], "image");
        const char *key = NULL;
        json_t *entry = NULL;
        json_object_foreach(m->table, key, entry) {
            if (node != NULL && node->kind == YAML_KIND_SCALAR && is_entry(key, node->value) &&
                image_find(&m->images, node->value) == NULL) {
                TRY(add_image(m, node->value, entry, err));
            }
        }
    }
    return OK;
}

static RESULT make(struct maker *m, int argc, char **argv, struct buf *out, struct err *err) {
    bool is_partial = argc > 1 && strcmp(argv[1], "--partial") == 0;
    bool is_initdata = argc > 1 + is_partial && strcmp(argv[1 + is_partial], "--initdata") == 0;
    int first = 1 + is_partial + is_initdata;
    ENSURE(argc >= first + 2 && argc <= first + 2 + FILES, err, USAGE,
           "policy-maker [--partial] [--initdata] POD.yaml IMAGES.json [OBJECTS.yaml...]");
    TRY(parse(argv[first], &m->pod, err));
    TRY(workload_find(&m->pod, &m->workloads, err));
    ENSURE(m->workloads.count > 0, err, INVALID, "%s: no pod", argv[first]);
    m->workloads.items[0].is_initdata = is_initdata;
    m->table = json_load_file(argv[first + 1], 0, NULL);
    ENSURE(json_is_object(m->table), err, INVALID, "%s: no object of images", argv[first + 1]);
    for (int i = first + 2; i < argc; i++) {
        TRY(parse(argv[i], &m->objects[m->object_count], err));
        m->object_count++;
    }
    TRY(add_images(m, "initContainers", err));
    TRY(add_images(m, "containers", err));
    const json_t *pause = json_object_get(m->table, "pause");
    if (pause != NULL) {
        TRY(add_image(m, "pause", pause, err));
    }
    const struct policy_inputs inputs = {.images = &m->images,
                                         .pause_image = pause != NULL ? "pause" : NULL,
                                         .files = m->objects,
                                         .file_count = m->object_count,
                                         .is_partial = is_partial};
    return policy_text_make(&m->workloads.items[0], &inputs, out, err);
}

int main(int argc, char **argv) {
    struct maker maker = {0};
    struct err err = {0};
    struct buf out = {0};
    bool is_made = is_ok(make(&maker, argc, argv, &out, &err));
    if (is_made) {
        is_made = fwrite(out.data, 1, out.size, stdout) == out.size;
    } else {
        (void)fprintf(stderr, "policy-maker: %s\n", err.text);
    }
    buf_deinit(&out);
    maker_deinit(&maker);
    return is_made ? 0 : 1;
}
