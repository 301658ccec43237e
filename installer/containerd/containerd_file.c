/* One file of containerd: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/containerd/containerd_file.h"

#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SET_FOR CONTAINERD_MARK "set for "

/* What TOML would refuse, too: nothing else is known of a template. */
static RESULT check_template(const struct containerd_editor *e, struct err *err) {
    struct span text = e->toml.text;
    for (size_t i = 0; i < text.size; i++) {
        bool is_alone = text.data[i] == '\r' && (i + 1 == text.size || text.data[i + 1] != '\n');
        if (is_alone || text.data[i] == '\0') {
            return toml_fail(&e->toml, i, err, "a NUL or a carriage return without a line feed");
        }
    }
    return OK;
}

RESULT containerd_file_open(struct containerd_editor *e, const char *name, struct span text,
                            bool is_template, bool discard_edits, struct err *err) {
    *e = (struct containerd_editor){
        .name = name, .is_template = is_template, .discard_edits = discard_edits};
    if (is_template) {
        e->toml.name = mem_strdup(name);
        const char *copy = arena_strndup(&e->toml.arena, (const char *)text.data, text.size);
        e->toml.text = span_of(copy, text.size);
        TRY(check_template(e, err));
    } else {
        TRY(toml_parse(name, text, &e->toml, err));
    }
    toml_edits_init(&e->edits, &e->toml);
    return containerd_marks_find(name, e->toml.text, is_template ? NULL : &e->toml, &e->marks, err);
}

void containerd_file_close(struct containerd_editor *e) {
    toml_edits_deinit(&e->edits);
    containerd_marks_deinit(&e->marks);
    toml_file_deinit(&e->toml);
    *e = (struct containerd_editor){0};
}

/* Our marks must be found again: comments of others may look like ours. */
RESULT containerd_file_finish(struct containerd_editor *e, struct buf *out, struct err *err) {
    AUTO(buf_deinit)
    struct buf text = {0};
    AUTO(containerd_file_close)
    struct containerd_editor again = {0};
    TRY(e->is_template ? toml_edits_join(&e->edits, &text, err)
                       : toml_edits_apply(&e->edits, &text, err));
    TRY(containerd_file_open(&again, e->name, buf_span(&text), e->is_template, false, err));
    buf_append_span(out, buf_span(&text));
    return OK;
}

static RESULT fail_at(const struct containerd_editor *e, enum err_code code, size_t offset,
                      struct err *err, const char *text) {
    return err_set(err, code, "%.300s:%zu: %s", e->name, toml_line(&e->toml, offset), text);
}

RESULT containerd_file_refuse(const struct containerd_editor *e, size_t offset, struct err *err,
                              const char *format, ...) {
    char text[ERR_TEXT_SIZE / 2];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return fail_at(e, ERR_CONFIG, offset, err, text);
}

/* --- Lists of handlers in a mark */

static void write_list(struct containerd_editor *e, const struct containerd_mark *mark) {
    AUTO(buf_deinit)
    struct buf list = {0};
    for (size_t i = 0; i < mark->handlers.count; i++) {
        buf_appendf(&list, "%s%s", i > 0 ? " " : "", mark->handlers.names[i]);
    }
    toml_edit_range(&e->edits, mark->lists[0], buf_cstr(&list));
    if (mark->kind == CONTAINERD_MARK_SHARED) {
        toml_edit_range(&e->edits, mark->lists[1], buf_cstr(&list));
    }
}

static void drop_name(struct containerd_handlers *handlers, const char *name) {
    size_t kept = 0;
    for (size_t i = 0; i < handlers->count; i++) {
        if (strcmp(handlers->names[i], name) == 0) {
            mem_free(handlers->names[i]);
        } else {
            handlers->names[kept++] = handlers->names[i];
        }
    }
    handlers->count = kept;
}

bool containerd_file_join(struct containerd_editor *e, size_t offset, const char *handler) {
    struct containerd_mark *mark = containerd_mark_at(&e->marks, offset);
    if (mark == NULL || mark->kind == CONTAINERD_MARK_BLOCK) {
        return false;
    }
    if (!containerd_mark_has(mark, handler)) {
        containerd_handlers_add(&mark->handlers, span_str(handler));
        write_list(e, mark);
    }
    return true;
}

/* --- Blocks */

static RESULT check_intact(const struct containerd_editor *e, const struct containerd_mark *mark,
                           struct err *err) {
    if (!mark->is_edited || e->discard_edits) {
        return OK;
    }
    return fail_at(e, ERR_CHANGED, mark->range.start, err,
                   "lines between the marks of this block were changed by hand; move your changes "
                   "out of it and put the block back, or let the installer discard them");
}

RESULT containerd_file_block(struct containerd_editor *e, const char *handler, const char *body,
                             struct err *err) {
    AUTO(buf_deinit)
    struct buf text = {0};
    containerd_mark_block(handler, body, &text);
    const struct containerd_mark *found = NULL;
    for (size_t i = 0; i < e->marks.count; i++) {
        const struct containerd_mark *mark = &e->marks.items[i];
        if (mark->kind != CONTAINERD_MARK_BLOCK || !containerd_mark_has(mark, handler)) {
            continue;
        }
        if (found != NULL) {
            return fail_at(e, ERR_CHANGED, mark->range.start, err,
                           "a second block of this handler; remove one of them");
        }
        found = mark;
    }
    if (found == NULL) {
        toml_edit_append(&e->edits, buf_cstr(&text));
        return OK;
    }
    TRY(check_intact(e, found, err));
    char digest[CONTAINERD_DIGEST_SIZE];
    AUTO(buf_deinit)
    struct buf lines = {0};
    buf_appendf(&lines, "%s\n", body);
    containerd_mark_digest(buf_span(&lines), digest);
    if (found->is_edited || strcmp(digest, found->digest) != 0) {
        toml_edit_range(&e->edits, found->range, buf_cstr(&text));
    }
    return OK;
}

void containerd_file_share(struct containerd_editor *e, const char *handler, const char *body) {
    AUTO(buf_deinit)
    struct buf label = {0};
    AUTO(buf_deinit)
    struct buf text = {0};
    buf_appendf(&label, "set for %s", handler);
    containerd_mark_block(buf_cstr(&label), body, &text);
    toml_edit_append(&e->edits, buf_cstr(&text));
}

/* --- Flags */

static bool is_blank(uint8_t byte) {
    return byte == ' ' || byte == '\t';
}

/* The line of an entry holds nothing else but blanks and a comment. */
static bool stands_alone(const struct containerd_editor *e, const struct toml_entry *entry) {
    struct span text = e->toml.text;
    struct toml_range range = {entry->key_range.start, entry->value->range.end};
    struct toml_range line = toml_lines(text, range);
    size_t start = range.start;
    while (start > line.start && is_blank(text.data[start - 1])) {
        start--;
    }
    size_t end = range.end;
    while (end < line.end && is_blank(text.data[end])) {
        end++;
    }
    return start == line.start && (end == line.end || strchr("#\r\n", text.data[end]) != NULL);
}

/* Keeps the line in a comment and writes ours below it. */
static RESULT replace_flag(struct containerd_editor *e, const struct toml_entry *entry,
                           const char *handler, struct err *err) {
    if (!stands_alone(e, entry)) {
        return containerd_file_refuse(e, entry->key_range.start, err,
                                      "%s must be false; change it, or write it on a line of its "
                                      "own",
                                      entry->key);
    }
    struct span text = e->toml.text;
    struct toml_range line =
        toml_lines(text, (struct toml_range){entry->key_range.start, entry->value->range.end});
    while (line.end > line.start && strchr("\r\n", text.data[line.end - 1]) != NULL) {
        line.end--;
    }
    const char *old = (const char *)text.data + line.start;
    AUTO(buf_deinit)
    struct buf lines = {0};
    buf_appendf(&lines, CONTAINERD_MARK "was: %.*s\n%.*sfalse " SET_FOR "%s",
                (int)(line.end - line.start), old, (int)(entry->value->range.start - line.start),
                old, handler);
    toml_edit_range(&e->edits, line, buf_cstr(&lines));
    return OK;
}

static void append_key(struct buf *out, const char *key, const char *handler) {
    toml_encode_key(key, out);
    buf_appendf(out, " = false " SET_FOR "%s", handler);
}

RESULT containerd_file_table(const struct containerd_editor *e, const char *const path[],
                             const struct toml_entry **out, struct err *err) {
    const struct toml_node *table = e->toml.root;
    const struct toml_entry *entry = NULL;
    for (size_t i = 0; path[i] != NULL; i++) {
        entry = toml_entry_of(table, path[i]);
        if (entry == NULL) {
            break;
        }
        table = entry->value;
        if (table->kind != TOML_KIND_TABLE || table->origin == TOML_ORIGIN_INLINE) {
            return containerd_file_refuse(e, entry->key_range.start, err,
                                          "%.100s must be a table with a header of its own, "
                                          "[table], to be added to",
                                          entry->key);
        }
    }
    *out = entry;
    return OK;
}

static void append_header(const char *const path[], struct buf *out) {
    for (size_t i = 0; path[i] != NULL; i++) {
        buf_append_str(out, i == 0 ? "[" : ".");
        toml_encode_key(path[i], out);
    }
    buf_append_str(out, "]");
}

/* The key is missing: where depends on how its table came to be. */
static RESULT add_flag(struct containerd_editor *e, const char *const path[],
                       const struct toml_entry *table, const char *key, const char *handler,
                       struct err *err) {
    struct span text = e->toml.text;
    AUTO(buf_deinit)
    struct buf lines = {0};
    if (table == NULL || table->value->origin == TOML_ORIGIN_IMPLICIT) {
        append_header(path, &lines);
        buf_append_str(&lines, "\n");
        toml_encode_key(key, &lines);
        buf_append_str(&lines, " = false");
        containerd_file_share(e, handler, buf_cstr(&lines));
        return OK;
    }
    struct toml_range at =
        table->value->origin == TOML_ORIGIN_DOTTED ? table->key_range : table->value->range;
    size_t start = toml_lines(text, at).start;
    for (size_t i = start; i < at.start; i++) {
        if (!is_blank(text.data[i])) {
            return containerd_file_refuse(e, at.start, err,
                                          "%s must be false in this table; write "
                                          "it with a header, [table]",
                                          key);
        }
    }
    buf_append(&lines, text.data + start, at.start - start);
    if (table->value->origin == TOML_ORIGIN_DOTTED) {
        buf_append(&lines, text.data + at.start, at.end - at.start);
        buf_append_str(&lines, ".");
        append_key(&lines, key, handler);
        toml_edit_lines_before(&e->edits, at.start, buf_cstr(&lines));
    } else {
        append_key(&lines, key, handler);
        toml_edit_lines_after(&e->edits, at.start, buf_cstr(&lines));
    }
    return OK;
}

RESULT containerd_file_unset_flag(struct containerd_editor *e, const char *const path[],
                                  const char *key, bool only_if_true, const char *handler,
                                  struct err *err) {
    const struct toml_entry *table = NULL;
    TRY(containerd_file_table(e, path, &table, err));
    const struct toml_entry *entry = toml_entry_of(table != NULL ? table->value : NULL, key);
    if (entry == NULL) {
        return only_if_true ? OK : add_flag(e, path, table, key, handler, err);
    }
    if (!toml_is(entry->value, TOML_KIND_BOOL)) {
        return containerd_file_refuse(e, entry->key_range.start, err, "%s must be true or false",
                                      key);
    }
    bool is_ours = containerd_mark_at(&e->marks, entry->key_range.start) != NULL;
    if (!entry->value->boolean) {
        if (is_ours) {
            (void)containerd_file_join(e, entry->key_range.start, handler);
        }
        return OK;
    }
    if (!is_ours) {
        return replace_flag(e, entry, handler, err);
    }
    if (!e->discard_edits) {
        return fail_at(e, ERR_CHANGED, entry->key_range.start, err,
                       "this line is ours and was changed by hand; our runtimes need false here");
    }
    toml_edit_range(&e->edits, entry->value->range, "false");
    (void)containerd_file_join(e, entry->key_range.start, handler);
    return OK;
}

/* --- Imports */

/* As containerd resolves it: relative to the file's folder, patterns do not cross '/'. */
static bool import_matches(const struct containerd_editor *e, const char *pattern,
                           const char *path) {
    char full[4096];
    const char *slash = strrchr(e->name, '/');
    int folder = slash != NULL ? (int)(slash - e->name) : 0;
    int size = pattern[0] == '/' ? snprintf(full, sizeof full, "%s", pattern)
                                 : snprintf(full, sizeof full, "%.*s/%s", folder, e->name,
                                            strncmp(pattern, "./", 2) == 0 ? pattern + 2 : pattern);
    if (size < 0 || (size_t)size >= sizeof full) {
        return false;
    }
    return strchr(full, '*') != NULL ? fnmatch(full, path, FNM_PATHNAME) == 0
                                     : strcmp(full, path) == 0;
}

/* The import that matches; one of the user's own before one of ours. */
static const struct toml_entry *find_import(const struct containerd_editor *e, const char *path) {
    const struct toml_node *imports = toml_key(e->toml.root, "imports");
    const struct toml_entry *ours = NULL;
    for (const struct toml_entry *item = toml_is(imports, TOML_KIND_ARRAY) ? imports->first : NULL;
         item != NULL; item = item->next) {
        const char *pattern = toml_string(item->value);
        if (pattern == NULL || !import_matches(e, pattern, path)) {
            continue;
        }
        if (containerd_mark_at(&e->marks, item->value->range.start) == NULL) {
            return item;
        }
        ours = item;
    }
    return ours;
}

bool containerd_file_imports(const struct containerd_editor *e, const char *path) {
    return find_import(e, path) != NULL;
}

/* A key of the root: behind the version, where people look for it, else first. */
static void add_imports_line(struct containerd_editor *e, const char *pattern,
                             const char *handler) {
    AUTO(buf_deinit)
    struct buf line = {0};
    buf_append_str(&line, "imports = [");
    toml_encode_string(pattern, &line);
    buf_appendf(&line, "] " SET_FOR "%s", handler);
    const struct toml_entry *version = toml_entry_of(e->toml.root, "version");
    const struct containerd_mark *first =
        e->marks.count > 0 && e->marks.items[0].kind == CONTAINERD_MARK_CREATED ? &e->marks.items[0]
                                                                                : NULL;
    if (version != NULL) {
        toml_edit_lines_after(&e->edits, version->value->range.start, buf_cstr(&line));
    } else if (first != NULL) {
        toml_edit_lines_after(&e->edits, first->range.start, buf_cstr(&line));
    } else {
        toml_edit_lines_before(&e->edits, 0, buf_cstr(&line));
    }
}

RESULT containerd_file_import(struct containerd_editor *e, const char *drop_in, const char *handler,
                              struct err *err) {
    const struct toml_entry *found = find_import(e, drop_in);
    if (found != NULL) {
        (void)containerd_file_join(e, found->value->range.start, handler);
        return OK;
    }
    AUTO(buf_deinit)
    struct buf pattern = {0};
    const char *slash = strrchr(drop_in, '/');
    buf_appendf(&pattern, "%.*s/" CONTAINERD_GLOB, (int)(slash - drop_in), drop_in);
    const struct toml_entry *imports = toml_entry_of(e->toml.root, "imports");
    if (imports == NULL) {
        add_imports_line(e, buf_cstr(&pattern), handler);
        return OK;
    }
    if (!toml_is(imports->value, TOML_KIND_ARRAY) || imports->value->origin != TOML_ORIGIN_INLINE) {
        return containerd_file_refuse(e, imports->key_range.start, err,
                                      "imports must be a list of files");
    }
    AUTO(buf_deinit)
    struct buf item = {0};
    toml_encode_string(buf_cstr(&pattern), &item);
    buf_appendf(&item, ", " SET_FOR "%s\n", handler);
    size_t at = imports->value->range.start + 1;
    toml_edit_range(&e->edits, (struct toml_range){at, at}, buf_cstr(&item));
    return OK;
}

/* --- Taking out */

/* A key behind the block belongs to the last table in it. */
static RESULT check_follower(const struct containerd_editor *e, const struct containerd_mark *mark,
                             struct err *err) {
    struct span text = e->toml.text;
    size_t at = toml_lines(text, mark->range).end;
    while (at < text.size && (is_blank(text.data[at]) || strchr("#\r\n", text.data[at]) != NULL)) {
        at = text.data[at] == '#' ? toml_lines(text, (struct toml_range){at, at}).end : at + 1;
    }
    if (at == text.size || text.data[at] == '[' || (e->is_template && text.data[at] == '{')) {
        return OK;
    }
    return fail_at(e, ERR_CHANGED, at, err,
                   "this key stands behind tables of ours and so belongs to them; give it a header "
                   "of its own, or move it up");
}

static bool has_suffix(struct span text, const char *suffix) {
    size_t size = strlen(suffix);
    return text.size >= size && memcmp(text.data + text.size - size, suffix, size) == 0;
}

static RESULT strip_line(struct containerd_editor *e, const struct containerd_mark *mark,
                         struct err *err) {
    struct span text = e->toml.text;
    struct span body = span_of(text.data + mark->body.start, mark->body.end - mark->body.start);
    if (!mark->is_import && !has_suffix(body, "false") && !e->discard_edits) {
        return fail_at(e, ERR_CHANGED, mark->body.start, err,
                       "this line is ours and was changed by hand; take the comment at its end "
                       "away to keep it, or remove the line");
    }
    if (mark->was.end > mark->was.start) {
        AUTO(buf_deinit)
        struct buf old = {0};
        buf_append(&old, text.data + mark->was.start, mark->was.end - mark->was.start);
        toml_edit_range(&e->edits, mark->range, buf_cstr(&old));
    } else {
        toml_edit_cut(&e->edits, mark->range);
    }
    return OK;
}

static RESULT strip_mark(struct containerd_editor *e, const struct containerd_mark *mark,
                         struct err *err) {
    switch (mark->kind) {
    case CONTAINERD_MARK_BLOCK:
    case CONTAINERD_MARK_SHARED:
        TRY(check_intact(e, mark, err));
        TRY(check_follower(e, mark, err));
        toml_edit_cut(&e->edits, mark->range);
        return OK;
    case CONTAINERD_MARK_LINE:
        return strip_line(e, mark, err);
    case CONTAINERD_MARK_ITEM:
        toml_edit_range(&e->edits, mark->range, "");
        return OK;
    case CONTAINERD_MARK_CREATED:
        break;
    }
    return OK;
}

RESULT containerd_file_strip(struct containerd_editor *e, const char *handler, bool keep_imports,
                             struct err *err) {
    for (size_t i = 0; i < e->marks.count; i++) {
        struct containerd_mark *mark = &e->marks.items[i];
        if (!containerd_mark_has(mark, handler) || (keep_imports && mark->is_import)) {
            continue;
        }
        if (mark->handlers.count > 1) {
            drop_name(&mark->handlers, handler);
            write_list(e, mark);
        } else {
            TRY(strip_mark(e, mark, err));
        }
    }
    return OK;
}

void containerd_file_strip_imports(struct containerd_editor *e) {
    for (size_t i = 0; i < e->marks.count; i++) {
        const struct containerd_mark *mark = &e->marks.items[i];
        if (mark->is_import) {
            err_ignore(strip_mark(e, mark, NULL), "imports are never refused");
        }
    }
}
