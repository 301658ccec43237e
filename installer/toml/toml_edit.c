/* TOML edits: see the header for the picture.
 *
 * Each edit is a byte range and its text. Applying sorts them by where they start (edits at one
 * place keep their order), joins cuts that touch, and copies the text between them. Appended lines
 * come last. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/toml/toml_edit.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/limits.h"

struct toml_edit {
    struct toml_range range;
    size_t order;
    bool is_cut;       /* whole lines */
    bool is_append;    /* lines behind the last line of the file */
    struct buf text;   /* owned; LF between lines */
    struct buf header; /* owned; of an append that starts a table: its "[path]" */
};

void toml_edits_init(struct toml_edits *e, const struct toml_file *file) {
    *e = (struct toml_edits){.file = file};
}

void toml_edits_deinit(struct toml_edits *e) {
    for (size_t i = 0; i < e->count; i++) {
        buf_deinit(&e->items[i].text);
        buf_deinit(&e->items[i].header);
    }
    mem_free(e->items);
    *e = (struct toml_edits){0};
}

static struct toml_edit *add(struct toml_edits *e, struct toml_range range) {
    e->items = mem_realloc(e->items, (e->count + 1) * sizeof *e->items);
    struct toml_edit *edit = &e->items[e->count];
    *edit = (struct toml_edit){.range = range, .order = e->count};
    e->count++;
    return edit;
}

/* --- Lines */

const char *toml_line_end(struct span text) {
    const uint8_t *lf = text.size > 0 ? memchr(text.data, '\n', text.size) : NULL;
    return lf != NULL && lf > text.data && lf[-1] == '\r' ? "\r\n" : "\n";
}

struct toml_range toml_lines(struct span text, struct toml_range range) {
    struct toml_range out = range;
    while (out.start > 0 && text.data[out.start - 1] != '\n') {
        out.start--;
    }
    bool is_whole = out.end > range.start && text.data[out.end - 1] == '\n';
    while (!is_whole && out.end < text.size && text.data[out.end] != '\n') {
        out.end++;
    }
    if (!is_whole && out.end < text.size) {
        out.end++;
    }
    return out;
}

static bool ends_line(struct span text, size_t end) {
    return end == 0 || text.data[end - 1] == '\n';
}

static bool is_blank(uint8_t byte) {
    return byte == ' ' || byte == '\t';
}

/* Nothing but blanks stands between the start of the line and `offset`. */
static bool starts_line(struct span text, size_t offset) {
    while (offset > 0 && is_blank(text.data[offset - 1])) {
        offset--;
    }
    return ends_line(text, offset);
}

/* Nothing but blanks and a comment stands between `offset` and the end of the line. */
static bool finishes_line(struct span text, size_t offset) {
    while (offset < text.size && is_blank(text.data[offset])) {
        offset++;
    }
    return offset == text.size || strchr("#\r\n", text.data[offset]) != NULL;
}

/* --- Plain edits */

void toml_edit_range(struct toml_edits *e, struct toml_range range, const char *text) {
    buf_append_str(&add(e, range)->text, text);
}

void toml_edit_append(struct toml_edits *e, const char *lines) {
    size_t end = e->file->text.size;
    struct toml_edit *edit = add(e, (struct toml_range){end, end});
    edit->is_append = true;
    buf_append_str(&edit->text, lines);
}

void toml_edit_lines_before(struct toml_edits *e, size_t offset, const char *lines) {
    size_t start = toml_lines(e->file->text, (struct toml_range){offset, offset}).start;
    buf_appendf(&add(e, (struct toml_range){start, start})->text, "%s\n", lines);
}

void toml_edit_lines_after(struct toml_edits *e, size_t offset, const char *lines) {
    size_t end = toml_lines(e->file->text, (struct toml_range){offset, offset}).end;
    if (!ends_line(e->file->text, end)) {
        toml_edit_append(e, lines);
        return;
    }
    buf_appendf(&add(e, (struct toml_range){end, end})->text, "%s\n", lines);
}

void toml_edit_cut(struct toml_edits *e, struct toml_range range) {
    add(e, toml_lines(e->file->text, range))->is_cut = true;
}

/* --- Keys */

/* Where a path of keys leads in the file. */
struct place {
    const struct toml_node *table;  /* the deepest table that exists */
    const struct toml_entry *entry; /* of it; NULL: the root */
    size_t found;                   /* keys of the path walked */
    size_t count;                   /* keys of the path */
};

static RESULT walk(const struct toml_edits *e, const char *const path[], struct place *out,
                   struct err *err) {
    *out = (struct place){.table = e->file->root};
    while (path[out->count] != NULL) {
        out->count++;
    }
    while (out->found < out->count) {
        const struct toml_entry *entry = toml_entry_of(out->table, path[out->found]);
        if (entry == NULL) {
            return OK;
        }
        if (entry->value->kind != TOML_KIND_TABLE) {
            return toml_fail(e->file, entry->key_range.start, err,
                             "must be a table that is written as [table]");
        }
        out->table = entry->value;
        out->entry = entry;
        out->found++;
    }
    return OK;
}

static void append_pair(struct buf *out, const char *key, const char *value) {
    toml_encode_key(key, out);
    buf_appendf(out, " = %s", value);
}

static void append_header(struct buf *out, const char *const path[]) {
    for (size_t i = 0; path[i] != NULL; i++) {
        buf_append_str(out, i == 0 ? "[" : ".");
        toml_encode_key(path[i], out);
    }
    buf_append_str(out, "]");
}

/* Into a table that this edit list adds at the end of the file. */
static void add_to_new_table(struct toml_edits *e, const char *const path[], const char *key,
                             const char *value) {
    AUTO(buf_deinit)
    struct buf header = {0};
    append_header(&header, path);
    struct toml_edit *edit = NULL;
    for (size_t i = 0; i < e->count; i++) {
        if (span_equal(buf_span(&e->items[i].header), buf_span(&header))) {
            edit = &e->items[i];
        }
    }
    if (edit == NULL) {
        toml_edit_append(e, buf_cstr(&header));
        edit = &e->items[e->count - 1];
        buf_append_span(&edit->header, buf_span(&header));
    }
    buf_append_str(&edit->text, "\n");
    append_pair(&edit->text, key, value);
}

/* "a.b.key = value" on a line before the one that made a.b. */
static RESULT add_to_dotted(struct toml_edits *e, const struct toml_entry *entry, const char *key,
                            const char *value, struct err *err) {
    struct span text = e->file->text;
    struct toml_range range = entry->key_range;
    if (!starts_line(text, range.start)) {
        return toml_fail(e->file, range.start, err, "cannot be added to; write it as [table]");
    }
    AUTO(buf_deinit)
    struct buf line = {0};
    buf_append(&line, text.data + range.start, range.end - range.start);
    buf_append_str(&line, ".");
    append_pair(&line, key, value);
    toml_edit_lines_before(e, range.start, buf_cstr(&line));
    return OK;
}

static void add_to_inline(struct toml_edits *e, const struct toml_node *table, const char *key,
                          const char *value) {
    size_t at = table->range.start + 1;
    struct buf *text = &add(e, (struct toml_range){at, at})->text;
    buf_append_str(text, " ");
    append_pair(text, key, value);
    buf_append_str(text, table->count > 0 ? "," : " ");
}

/* Behind the header, with its indentation; for the root at the start of the file. */
static void add_to_header(struct toml_edits *e, const struct place *place, const char *key,
                          const char *value) {
    AUTO(buf_deinit)
    struct buf line = {0};
    if (place->entry == NULL) {
        append_pair(&line, key, value);
        toml_edit_lines_before(e, 0, buf_cstr(&line));
        return;
    }
    struct span text = e->file->text;
    size_t start = toml_lines(text, place->table->range).start;
    buf_append(&line, text.data + start, place->table->range.start - start);
    append_pair(&line, key, value);
    toml_edit_lines_after(e, place->table->range.start, buf_cstr(&line));
}

static RESULT add_key(struct toml_edits *e, const char *const path[], const struct place *place,
                      const char *key, const char *value, struct err *err) {
    enum toml_origin origin = place->table->origin;
    if (place->found < place->count && origin == TOML_ORIGIN_INLINE) {
        return toml_fail(e->file, place->table->range.start, err,
                         "a table on one line cannot get new tables; write it as [table]");
    }
    if (place->found < place->count || (origin == TOML_ORIGIN_IMPLICIT && place->entry != NULL)) {
        add_to_new_table(e, path, key, value);
    } else if (origin == TOML_ORIGIN_DOTTED) {
        return add_to_dotted(e, place->entry, key, value, err);
    } else if (origin == TOML_ORIGIN_INLINE) {
        add_to_inline(e, place->table, key, value);
    } else {
        add_to_header(e, place, key, value);
    }
    return OK;
}

static bool is_section(const struct toml_node *node) {
    bool is_collection = node->kind == TOML_KIND_TABLE || node->kind == TOML_KIND_ARRAY;
    return is_collection && node->origin != TOML_ORIGIN_INLINE;
}

RESULT toml_edit_set(struct toml_edits *e, const char *const path[], const char *key,
                     const char *value, struct err *err) {
    struct place place;
    TRY(walk(e, path, &place, err));
    const struct toml_entry *entry = NULL;
    if (place.found == place.count) {
        entry = toml_entry_of(place.table, key);
    }
    if (entry == NULL) {
        return add_key(e, path, &place, key, value, err);
    }
    if (is_section(entry->value)) {
        return toml_fail(e->file, entry->key_range.start, err, "is a table; it cannot get a value");
    }
    struct toml_range range = entry->value->range;
    struct span old = span_of(e->file->text.data + range.start, range.end - range.start);
    if (!span_equal(old, span_str(value))) {
        toml_edit_range(e, range, value);
    }
    return OK;
}

RESULT toml_edit_unset(struct toml_edits *e, const char *const path[], const char *key,
                       struct err *err) {
    struct place place;
    TRY(walk(e, path, &place, err));
    const struct toml_entry *entry = NULL;
    if (place.found == place.count) {
        entry = toml_entry_of(place.table, key);
    }
    if (entry == NULL) {
        return OK;
    }
    struct span text = e->file->text;
    if (is_section(entry->value) || !starts_line(text, entry->key_range.start) ||
        !finishes_line(text, entry->value->range.end)) {
        return toml_fail(e->file, entry->key_range.start, err,
                         "cannot be removed alone; remove it by hand");
    }
    toml_edit_cut(e, (struct toml_range){entry->key_range.start, entry->value->range.end});
    return OK;
}

/* --- Applying */

static int compare_edits(const void *a, const void *b) {
    const struct toml_edit *x = a;
    const struct toml_edit *y = b;
    if (x->is_append != y->is_append) {
        return x->is_append ? 1 : -1;
    }
    if (x->range.start != y->range.start) {
        return x->range.start < y->range.start ? -1 : 1;
    }
    return (x->order > y->order) - (x->order < y->order);
}

/* The end of the cut that starts with edit `first`, joined with those that touch it. */
static size_t cut_end(const struct toml_edits *e, size_t first, size_t *next) {
    size_t end = e->items[first].range.end;
    size_t i = first + 1;
    while (i < e->count && e->items[i].is_cut && e->items[i].range.start <= end) {
        end = e->items[i].range.end > end ? e->items[i].range.end : end;
        i++;
    }
    *next = i;
    return end;
}

/* A cut that takes the last, unfinished line: the line end before it goes, too, as append_last
 * wrote it. */
static size_t cut_start(struct span text, size_t start) {
    size_t size = strlen(toml_line_end(text));
    if (start > 0) {
        start--;
    }
    return start > 0 && size == 2 && text.data[start - 1] == '\r' ? start - 1 : start;
}

static void append_text(const struct toml_edits *e, const struct buf *lines, struct buf *out) {
    const char *end = toml_line_end(e->file->text);
    for (size_t i = 0; i < lines->size; i++) {
        if (lines->data[i] == '\n') {
            buf_append_str(out, end);
        } else {
            buf_append_u8(out, lines->data[i]);
        }
    }
}

/* A file without a last line feed is left so; one whose last lines are all cut, too. */
static void append_last(const struct toml_edits *e, const struct toml_edit *edit, struct buf *out) {
    bool is_open = !ends_line(e->file->text, e->file->text.size);
    if (is_open && out->size > 0) {
        buf_append_str(out, toml_line_end(e->file->text));
    }
    append_text(e, &edit->text, out);
    if (!is_open) {
        buf_append_str(out, toml_line_end(e->file->text));
    }
}

static RESULT copy_edited(const struct toml_edits *e, struct buf *out, struct err *err) {
    struct span text = e->file->text;
    size_t at = 0;
    size_t i = 0;
    while (i < e->count && !e->items[i].is_append) {
        const struct toml_edit *edit = &e->items[i];
        struct toml_range range = edit->range;
        size_t next = i + 1;
        if (edit->is_cut) {
            range.end = cut_end(e, i, &next);
            if (range.end == text.size && !ends_line(text, range.end)) {
                range.start = cut_start(text, range.start);
            }
        }
        ENSURE(range.start >= at && range.end >= range.start && range.end <= text.size, err,
               INTERNAL, "%.300s: edits overlap at byte %zu", e->file->name, at);
        buf_append(out, text.data + at, range.start - at);
        append_text(e, &edit->text, out);
        at = range.end;
        i = next;
    }
    buf_append(out, text.data + at, text.size - at);
    for (; i < e->count; i++) {
        append_last(e, &e->items[i], out);
    }
    return OK;
}

RESULT toml_edits_join(struct toml_edits *e, struct buf *out, struct err *err) {
    if (e->count > 1) {
        qsort(e->items, e->count, sizeof *e->items, compare_edits);
    }
    AUTO(buf_deinit)
    struct buf edited = {0};
    TRY(copy_edited(e, &edited, err));
    buf_append_span(out, buf_span(&edited));
    return OK;
}

RESULT toml_edits_apply(struct toml_edits *e, struct buf *out, struct err *err) {
    AUTO(buf_deinit)
    struct buf edited = {0};
    TRY(toml_edits_join(e, &edited, err));
    struct toml_file check = {0};
    struct err why;
    if (!is_ok(toml_parse(e->file->name, buf_span(&edited), &check, &why))) {
        return err_set(err, ERR_INTERNAL, "edited text is no TOML: %.500s", why.text);
    }
    toml_file_deinit(&check);
    buf_append_span(out, buf_span(&edited));
    return OK;
}
