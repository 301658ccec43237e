/* SPDX-License-Identifier: Apache-2.0 */
#include "installer/toml/toml.h"
#include "installer/toml/toml_edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_node(const struct toml_file *file, const struct toml_node *node) {
    CHECK(node->range.start <= node->range.end && node->range.end <= file->text.size);
    for (const struct toml_entry *e = node->first; e != NULL; e = e->next) {
        CHECK(e->key_range.start <= e->key_range.end && e->key_range.end <= file->text.size);
        check_node(file, e->value);
    }
}

/* A key that is set is there afterwards; lines that are appended and cut again leave no trace. */
static void check_edits(const struct toml_file *file, const char *const path[]) {
    struct toml_edits edits;
    AUTO(buf_deinit)
    struct buf out = {0};
    toml_edits_init(&edits, file);
    struct toml_file again = {0};
    if (is_ok(toml_edit_set(&edits, path, "zz", "7", NULL))) {
        CHECK(is_ok(toml_edits_apply(&edits, &out, NULL)));
        CHECK(is_ok(toml_parse("again", buf_span(&out), &again, NULL)));
        const struct toml_node *set = toml_key(toml_get(again.root, path), "zz");
        CHECK(toml_is(set, TOML_KIND_INTEGER) && set->integer == 7);
        toml_file_deinit(&again);
    }
    toml_edits_deinit(&edits);
    toml_edits_init(&edits, file);
    toml_edit_append(&edits, "# mark\n# more");
    buf_clear(&out);
    CHECK(is_ok(toml_edits_apply(&edits, &out, NULL)));
    toml_edits_deinit(&edits);
    CHECK(is_ok(toml_parse("again", buf_span(&out), &again, NULL)));
    toml_edits_init(&edits, &again);
    CHECK(again.comment_count >= 2);
    toml_edit_cut(&edits, (struct toml_range){again.comments[again.comment_count - 2].start,
                                              again.comments[again.comment_count - 1].end});
    buf_clear(&out);
    CHECK(is_ok(toml_edits_apply(&edits, &out, NULL)));
    CHECK(span_equal(buf_span(&out), file->text));
    toml_edits_deinit(&edits);
    toml_file_deinit(&again);
}

/* Any bytes: an error, or a tree that can be edited into text that parses again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct toml_file file = {0};
    struct err err;
    if (!is_ok(toml_parse("fuzz", span_of(data, size), &file, &err))) {
        CHECK(err.text[0] != '\0');
        return 0;
    }
    check_node(&file, file.root);
    const char *const root[] = {NULL};
    const char *const a[] = {"a", NULL};
    const char *const ab[] = {"a", "b", NULL};
    check_edits(&file, root);
    check_edits(&file, a);
    check_edits(&file, ab);
    toml_file_deinit(&file);
    return 0;
}
