/* contrast diff.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_diff.h"

#include <string.h>

#include "lib/base/file.h"
#include "lib/base/limits.h"
#include "lib/manifest/manifest.h"
#include "lib/manifest/manifest_diff.h"

/* Reads and checks one manifest, so that an error names its file. */
static RESULT read_manifest(const char *path, struct buf *text, char hash[65], struct err *err) {
    AUTO(manifest_deinit)
    struct manifest m = {0};
    TRY(file_read(path, LIMIT_MANIFEST, text, err));
    struct result r = manifest_parse(buf_span(text), &m, err);
    if (!is_ok(r)) {
        return err_wrap(r, err, "%s", strcmp(path, "-") == 0 ? "standard input" : path);
    }
    hex_encode(SPAN(m.hash), hash);
    return OK;
}

static json_t *value_of(const char *json) {
    return json != NULL ? json_loads(json, JSON_DECODE_ANY, NULL) : json_null();
}

static json_t *changes_to_json(const struct manifest_change_list *list) {
    json_t *changes = json_array();
    for (size_t i = 0; i < list->count; i++) {
        const struct manifest_change *c = &list->items[i];
        json_array_append_new(changes, json_pack("{s:s, s:o, s:o, s:s}", "path", c->path, "before",
                                                 value_of(c->before), "after", value_of(c->after),
                                                 "text", c->text));
    }
    return changes;
}

static void print_text(const struct manifest_change_list *list, bool same_bytes) {
    AUTO(buf_deinit)
    struct buf out = {0};
    for (size_t i = 0; i < list->count; i++) {
        buf_appendf(&out, "%s\n", list->items[i].text);
    }
    if (list->count == 0) {
        buf_append_str(&out, same_bytes ? "no difference\n"
                                        : "no difference in meaning; the bytes are others, so one "
                                          "is not the other for set and verify\n");
    }
    cli_print_text(buf_span(&out));
}

RESULT cmd_diff(struct cli *cli, int argc, char **argv, struct err *err) {
    struct cli_list paths = {0};
    char hashes[2][65];
    AUTO(buf_deinit)
    struct buf before = {0};
    AUTO(buf_deinit)
    struct buf after = {0};
    AUTO(manifest_change_list_deinit)
    struct manifest_change_list list = {0};
    TRY(cli_parse(cli, NULL, 0, argc, argv, &paths, err));
    ENSURE(paths.count == 2, err, USAGE, "name two manifests: before and after; see --help");
    TRY(read_manifest(paths.items[0], &before, hashes[0], err));
    TRY(read_manifest(paths.items[1], &after, hashes[1], err));
    TRY(manifest_diff(buf_span(&before), buf_span(&after), &list, err));
    if (cli->json) {
        cli_print_json(cli,
                       json_pack("{s:b, s:s, s:s, s:o}", "same", list.count == 0, "before",
                                 hashes[0], "after", hashes[1], "changes", changes_to_json(&list)));
    } else {
        print_text(&list, strcmp(hashes[0], hashes[1]) == 0);
    }
    ENSURE(list.count == 0, err, DIFFERS, "%zu difference%s", list.count,
           list.count == 1 ? "" : "s");
    return OK;
}
