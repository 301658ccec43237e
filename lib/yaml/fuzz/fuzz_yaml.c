/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/yaml/yaml.h"
#include "lib/yaml/yaml_edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any bytes: an error, or a tree whose root can be edited into text that parses again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct yaml_file file = {0};
    struct err err;
    if (!is_ok(yaml_parse("fuzz", span_of(data, size), &file, &err))) {
        CHECK(err.text[0] != '\0');
        return 0;
    }
    struct yaml_edits edits;
    yaml_edits_init(&edits, &file);
    for (size_t i = 0; i < file.count; i++) {
        const struct yaml_node *root = file.documents[i].root;
        if (root == NULL) {
            continue;
        }
        CHECK(root->start.offset <= root->end.offset && root->end.offset <= file.text.size);
        if (root->kind == YAML_KIND_MAPPING) {
            err_ignore(
                yaml_edit_add_pair(&edits, root, (struct yaml_text){"z:\n  y: 1", "z: 1"}, NULL),
                "not every place can be edited");
        }
    }
    struct buf out = {0};
    CHECK(is_ok(yaml_edits_apply(&edits, &out, NULL)));
    buf_deinit(&out);
    yaml_edits_deinit(&edits);
    yaml_file_deinit(&file);
    return 0;
}
