/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/yaml/yaml.h"
#include "lib/yaml/yaml_edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FLAGS 64

static const struct yaml_text piece = {"z:\n  y: 1", "z: 1"};

static void check_node(const struct yaml_file *file, const struct yaml_node *node) {
    CHECK(node->start.offset <= node->content.offset);
    CHECK(node->content.offset <= node->end.offset && node->end.offset <= file->text.size);
    for (size_t i = 0; i < node->count; i++) {
        CHECK(node->ranges[i].start <= node->ranges[i].end);
    }
}

static void apply(struct yaml_edits *edits, struct result r) {
    struct buf out = {0};
    err_ignore(r, "not every place can be edited");
    CHECK(is_ok(yaml_edits_apply(edits, &out, NULL)));
    buf_deinit(&out);
    yaml_edits_deinit(edits);
}

/* One edit of each kind, each for itself. */
static void edit(const struct yaml_file *file, const struct yaml_node *node) {
    struct yaml_edits edits;
    yaml_edits_init(&edits, file);
    apply(&edits, yaml_edit_replace(&edits, node, piece, NULL));
    yaml_edits_init(&edits, file);
    apply(&edits, yaml_edit_add_pair(&edits, node, piece, NULL));
    yaml_edits_init(&edits, file);
    apply(&edits, yaml_edit_add_item(&edits, node, piece, NULL));
    bool drop[FLAGS] = {true, false, true};
    if (node->kind != YAML_KIND_SCALAR && node->count <= FLAGS) {
        yaml_edits_init(&edits, file);
        apply(&edits, yaml_edit_remove(&edits, node, drop, NULL));
    }
}

/* Any bytes: an error, or a tree of which some nodes can be edited. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct yaml_file file = {0};
    struct err err;
    if (!is_ok(yaml_parse("fuzz", span_of(data, size), &file, &err))) {
        CHECK(err.text[0] != '\0');
        return 0;
    }
    for (size_t i = 0; i < file.count; i++) {
        const struct yaml_node *node = file.documents[i].root;
        for (size_t depth = 0; node != NULL && depth < 8; depth++) {
            check_node(&file, node);
            edit(&file, node);
            bool is_mapping = node->kind == YAML_KIND_MAPPING;
            bool is_leaf = node->kind == YAML_KIND_SCALAR || node->count == 0;
            node = is_leaf      ? NULL
                   : is_mapping ? node->pairs[node->count - 1].value
                                : node->items[0];
        }
    }
    yaml_file_deinit(&file);
    return 0;
}
