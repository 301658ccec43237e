/* Plain nodes: config.toml in place for containerd 1.x, a drop-in and an import from 2.0 on; see
 * containerd_config.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/containerd/containerd_check.h"
#include "installer/containerd/containerd_plan.h"
#include "installer/containerd/containerd_tables.h"

/* --- config.toml of containerd 1.x */

/* Only tables of ours stand among the runtimes. */
static bool names_no_runtime(const struct containerd_editor *e, const struct toml_entry *runtimes) {
    const struct toml_entry *item = runtimes != NULL ? runtimes->value->first : NULL;
    for (; item != NULL; item = item->next) {
        const struct containerd_mark *mark = containerd_mark_at(&e->marks, item->key_range.start);
        if (mark == NULL || mark->kind == CONTAINERD_MARK_SHARED) {
            return false;
        }
    }
    return true;
}

/* A file that names no runtime has runc by default, until it names one of ours. */
static RESULT keep_runc(struct containerd_plan *p, struct containerd_editor *e, int schema) {
    const char *const path[] = {"plugins", containerd_tables_runtimes(schema), "containerd",
                                "runtimes", NULL};
    const struct toml_entry *runtimes = NULL;
    TRY(containerd_file_table(e, path, &runtimes, p->err));
    const struct toml_entry *runc =
        runtimes != NULL ? toml_entry_of(runtimes->value, "runc") : NULL;
    if (runc != NULL) {
        (void)containerd_file_join(e, runc->key_range.start, p->handler);
    } else if (names_no_runtime(e, runtimes)) {
        AUTO(buf_deinit)
        struct buf body = {0};
        containerd_tables_runc(schema, &body);
        containerd_file_share(e, p->handler, buf_cstr(&body));
    }
    return OK;
}

static RESULT set_flags(struct containerd_plan *p, struct containerd_editor *e, int schema) {
    const char *const path[] = {"plugins", containerd_tables_images(schema), "containerd", NULL};
    if (p->runtime->snapshotter == NULL) {
        return OK;
    }
    TRY(containerd_file_unset_flag(e, path, "disable_snapshot_annotations", false, p->handler,
                                   p->err));
    return containerd_file_unset_flag(e, path, "discard_unpacked_layers", true, p->handler, p->err);
}

static RESULT edit_in_place(struct containerd_plan *p, struct containerd_editor *e, int schema) {
    AUTO(buf_deinit)
    struct buf body = {0};
    containerd_tables_encode(schema, p->runtime, CONTAINERD_TABLE_1X, &body);
    containerd_file_strip_imports(e); /* of a newer daemon; here they would end runc */
    TRY(set_flags(p, e, schema));
    TRY(keep_runc(p, e, schema));
    return containerd_file_block(e, p->handler, buf_cstr(&body), p->err);
}

static RESULT edit_imports(struct containerd_plan *p, struct containerd_editor *e) {
    AUTO(containerd_plan_free_path)
    char *drop_in = containerd_plan_path(p, CONTAINERD_DROP_IN);
    TRY(containerd_file_strip(e, p->handler, true, p->err)); /* of an older daemon */
    return containerd_file_import(e, drop_in, p->handler, p->err);
}

/* The text that we start from: what stands there, or containerd's own default. */
static RESULT start_main(struct containerd_plan *p, struct buf *out) {
    const struct containerd_file *file = containerd_plan_file(p, CONTAINERD_MAIN);
    if (file->exists) {
        buf_append_span(out, file->text);
        return OK;
    }
    ENSURE(p->facts->default_text.size > 0, p->err, CONFIG,
           "%.300s does not exist, and `containerd config default` gave nothing to start from; "
           "write that output to the file and try again",
           p->facts->path);
    containerd_plan_created(p->facts->default_text, out);
    return OK;
}

RESULT containerd_plain_install(struct containerd_plan *p) {
    AUTO(buf_deinit)
    struct buf start = {0};
    AUTO(buf_deinit)
    struct buf text = {0};
    AUTO(containerd_file_close)
    struct containerd_editor e = {0};
    int schema = 0;
    bool is_old = containerd_check_older(p->facts->daemon, 2, 0);
    TRY(start_main(p, &start));
    TRY(containerd_file_open(&e, p->facts->path, buf_span(&start), false, p->facts->discard_edits,
                             p->err));
    TRY(containerd_check_schema_of(&e, &schema, p->err));
    TRY(containerd_check_schema(p, &e, schema));
    TRY(containerd_check_cri(p, &e));
    TRY(containerd_check_foreign(p, &e));
    if (!is_old) {
        TRY(containerd_plan_drop_in(p, schema));
    }
    TRY(is_old ? edit_in_place(p, &e, schema) : edit_imports(p, &e));
    TRY(containerd_file_finish(&e, &text, p->err));
    containerd_plan_put(p, CONTAINERD_MAIN, buf_span(&text));
    return is_old ? containerd_plan_no_drop_in(p) : OK;
}
