/* Plans: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/containerd/containerd_plan.h"

#include <string.h>

#include "installer/containerd/containerd_tables.h"

/* --- Places */

char *containerd_config_path(enum containerd_flavor flavor, const char *main_path,
                             enum containerd_place place, const char *handler) {
    const char *slash = strrchr(main_path, '/');
    int folder = slash != NULL ? (int)(slash - main_path) : 0;
    AUTO(buf_deinit)
    struct buf path = {0};
    buf_appendf(&path, "%.*s/", folder, main_path);
    switch (place) {
    case CONTAINERD_MAIN:
        return mem_strdup(main_path);
    case CONTAINERD_TEMPLATE:
    case CONTAINERD_TEMPLATE_V3:
        if (flavor == CONTAINERD_PLAIN) {
            return NULL;
        }
        buf_append_str(&path,
                       place == CONTAINERD_TEMPLATE ? "config.toml.tmpl" : "config-v3.toml.tmpl");
        break;
    case CONTAINERD_DROP_IN:
        buf_appendf(&path, "%s/%s.toml", flavor == CONTAINERD_PLAIN ? "conf.d" : "config-v3.toml.d",
                    handler);
        break;
    case CONTAINERD_PLACES:
        return NULL;
    }
    return mem_strdup(buf_cstr(&path));
}

char *containerd_plan_path(const struct containerd_plan *p, enum containerd_place place) {
    return containerd_config_path(p->facts->flavor, p->facts->path, place, p->handler);
}

void containerd_plan_free_path(char **path) {
    mem_free(*path);
}

const struct containerd_file *containerd_plan_file(const struct containerd_plan *p,
                                                   enum containerd_place place) {
    return &p->facts->files[place];
}

/* The file shall hold `text`; no edit when it does. */
void containerd_plan_put(struct containerd_plan *p, enum containerd_place place, struct span text) {
    const struct containerd_file *file = containerd_plan_file(p, place);
    if (file->exists && span_equal(file->text, text)) {
        return;
    }
    struct containerd_edit *edit = &p->change.edits[p->change.count++];
    edit->place = place;
    edit->path = containerd_plan_path(p, place);
    buf_append_span(&edit->text, text);
}

void containerd_plan_delete(struct containerd_plan *p, enum containerd_place place) {
    struct containerd_edit *edit = &p->change.edits[p->change.count++];
    edit->place = place;
    edit->path = containerd_plan_path(p, place);
    edit->is_deletion = true;
}

/* --- Files that we make */

void containerd_plan_created(struct span text, struct buf *out) {
    char digest[CONTAINERD_DIGEST_SIZE];
    containerd_mark_digest(text, digest);
    buf_appendf(out, CONTAINERD_MARK "created this file %s\n", digest);
    buf_append_span(out, text);
}

/* Only the line that says who made it is left of ours: the file goes when nothing else changed. */
static RESULT drop_created(struct containerd_plan *p, enum containerd_place place, bool is_template,
                           struct span text) {
    AUTO(containerd_plan_free_path)
    char *path = containerd_plan_path(p, place);
    AUTO(containerd_file_close)
    struct containerd_editor e = {0};
    TRY(containerd_file_open(&e, path, text, is_template, p->facts->discard_edits, p->err));
    if (e.marks.count != 1 || e.marks.items[0].kind != CONTAINERD_MARK_CREATED) {
        containerd_plan_put(p, place, text);
        return OK;
    }
    size_t end = toml_lines(text, e.marks.items[0].range).end;
    struct span rest = span_of(text.data + end, text.size - end);
    char digest[CONTAINERD_DIGEST_SIZE];
    containerd_mark_digest(rest, digest);
    if (strcmp(digest, e.marks.items[0].digest) == 0) {
        containerd_plan_delete(p, place);
    } else {
        containerd_plan_put(p, place, rest);
    }
    return OK;
}

/* Takes the handler out of a file that may hold it. */
RESULT containerd_plan_strip(struct containerd_plan *p, enum containerd_place place,
                             bool is_template) {
    const struct containerd_file *file = containerd_plan_file(p, place);
    if (!file->exists) {
        return OK;
    }
    AUTO(containerd_plan_free_path)
    char *path = containerd_plan_path(p, place);
    AUTO(containerd_file_close)
    struct containerd_editor e = {0};
    TRY(containerd_file_open(&e, path, file->text, is_template, p->facts->discard_edits, p->err));
    TRY(containerd_file_strip(&e, p->handler, false, p->err));
    if (e.edits.count == 0) {
        return OK;
    }
    AUTO(buf_deinit)
    struct buf text = {0};
    TRY(containerd_file_finish(&e, &text, p->err));
    return drop_created(p, place, is_template, buf_span(&text));
}

/* --- Drop-ins: files of ours alone */

static bool is_ours_alone(const struct containerd_plan *p, const struct containerd_editor *e) {
    if (e->marks.count != 1 || !containerd_mark_has(&e->marks.items[0], p->handler)) {
        return false;
    }
    const struct containerd_mark *mark = &e->marks.items[0];
    size_t end = toml_lines(e->toml.text, mark->range).end;
    return mark->kind == CONTAINERD_MARK_BLOCK && mark->range.start == 0 &&
           end == e->toml.text.size && !mark->is_edited;
}

/* A file of that name that we did not write, or not like this, is not ours to touch. */
static RESULT check_drop_in(const struct containerd_plan *p) {
    const struct containerd_file *file = containerd_plan_file(p, CONTAINERD_DROP_IN);
    if (!file->exists) {
        return OK;
    }
    AUTO(containerd_plan_free_path)
    char *path = containerd_plan_path(p, CONTAINERD_DROP_IN);
    AUTO(containerd_file_close)
    struct containerd_editor e = {0};
    TRY(containerd_file_open(&e, path, file->text, true, true, p->err));
    bool is_ours = false;
    for (size_t i = 0; i < e.marks.count; i++) {
        is_ours = is_ours || containerd_mark_has(&e.marks.items[i], p->handler);
    }
    ENSURE(is_ours, p->err, EXISTS,
           "%.300s exists, and not from this installer; move it out of the way", path);
    ENSURE(p->facts->discard_edits || is_ours_alone(p, &e), p->err, CHANGED,
           "%.300s is ours and was changed by hand; move your changes into a file of their own, or "
           "let the installer discard them",
           path);
    return OK;
}

RESULT containerd_plan_drop_in(struct containerd_plan *p, int schema) {
    AUTO(buf_deinit)
    struct buf body = {0};
    AUTO(buf_deinit)
    struct buf text = {0};
    TRY(check_drop_in(p));
    containerd_tables_encode(schema, p->runtime, CONTAINERD_TABLE_DROP_IN, &body);
    containerd_mark_block(p->handler, buf_cstr(&body), &text);
    buf_append_str(&text, "\n");
    containerd_plan_put(p, CONTAINERD_DROP_IN, buf_span(&text));
    return OK;
}

RESULT containerd_plan_no_drop_in(struct containerd_plan *p) {
    TRY(check_drop_in(p));
    if (containerd_plan_file(p, CONTAINERD_DROP_IN)->exists) {
        containerd_plan_delete(p, CONTAINERD_DROP_IN);
    }
    return OK;
}
