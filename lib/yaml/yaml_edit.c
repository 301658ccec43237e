/* YAML edits: see the header for the picture.
 *
 * Each edit is a byte range and its text. Applying sorts them by where they start (edits at one
 * place keep their order) and copies the text between them. Failure: INVALID for a place that
 * cannot be edited safely, INTERNAL for ranges that overlap. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/yaml/yaml_edit.h"

#include <stdlib.h>
#include <string.h>

struct yaml_edit {
    size_t start; /* bytes */
    size_t end;
    size_t order;
    struct buf text; /* owned */
};

void yaml_edits_init(struct yaml_edits *e, const struct yaml_file *file) {
    *e = (struct yaml_edits){.file = file};
}

void yaml_edits_deinit(struct yaml_edits *e) {
    for (size_t i = 0; i < e->count; i++) {
        buf_deinit(&e->items[i].text);
    }
    mem_free(e->items);
    *e = (struct yaml_edits){0};
}

static struct buf *add(struct yaml_edits *e, size_t start, size_t end) {
    e->items = mem_realloc(e->items, (e->count + 1) * sizeof *e->items);
    struct yaml_edit *edit = &e->items[e->count];
    *edit = (struct yaml_edit){.start = start, .end = end, .order = e->count};
    e->count++;
    return &edit->text;
}

/* The line end of the file: that of its first line. */
static const char *line_end(const struct yaml_file *file) {
    if (file->text.size == 0) {
        return "\n";
    }
    const uint8_t *lf = memchr(file->text.data, '\n', file->text.size);
    return lf != NULL && lf > file->text.data && lf[-1] == '\r' ? "\r\n" : "\n";
}

static void append_break(const struct yaml_edits *e, size_t indent, struct buf *out) {
    buf_appendf(out, "%s%*s", line_end(e->file), (int)indent, "");
}

/* Lines joined by the file's line end; each but the first indented. */
static void append_lines(const struct yaml_edits *e, const char *lines, size_t indent,
                         struct buf *out) {
    for (const char *p = lines; *p != '\0'; p++) {
        if (*p == '\n') {
            append_break(e, indent, out);
        } else {
            buf_append(out, p, 1);
        }
    }
}

static RESULT check_editable(const struct yaml_edits *e, const struct yaml_node *node,
                             struct err *err) {
    if (node->is_anchored || node->tag != NULL) {
        return yaml_fail(e->file, node, err,
                         "cannot edit a node with an anchor or a tag; write it out here");
    }
    return OK;
}

/* Only spaces and dashes may stand before an entry on its line. */
static RESULT check_line_start(const struct yaml_edits *e, const struct yaml_node *node,
                               size_t offset, struct err *err) {
    const uint8_t *text = e->file->text.data;
    for (size_t i = offset; i > 0 && text[i - 1] != '\n'; i--) {
        bool is_bom = i <= 3 && text[0] == 0xef;
        if (text[i - 1] != ' ' && text[i - 1] != '-' && !is_bom) {
            return yaml_fail(e->file, node, err,
                             "cannot add an entry here; start the entry on a line of its own");
        }
    }
    return OK;
}

static bool has_edit_at(const struct yaml_edits *e, size_t at) {
    for (size_t i = 0; i < e->count; i++) {
        if (e->items[i].start == at) {
            return true;
        }
    }
    return false;
}

/* Behind the opening bracket of a flow collection. */
static void add_to_flow(struct yaml_edits *e, const struct yaml_node *node, const char *flow) {
    size_t at = node->start.offset + 1;
    bool is_second = node->count == 0 && has_edit_at(e, at);
    buf_appendf(add(e, at, at), "%s%s%s", is_second ? ", " : "", flow, node->count > 0 ? ", " : "");
}

RESULT yaml_edit_add_pair(struct yaml_edits *e, const struct yaml_node *mapping,
                          struct yaml_text pair, struct err *err) {
    TRY(check_editable(e, mapping, err));
    if (mapping->kind != YAML_KIND_MAPPING) {
        return yaml_fail(e->file, mapping, err, "must be a mapping");
    }
    if (mapping->layout == YAML_LAYOUT_FLOW) {
        add_to_flow(e, mapping, pair.flow);
        return OK;
    }
    const struct yaml_node *first = mapping->pairs[0].key;
    TRY(check_line_start(e, first, first->start.offset, err));
    size_t indent = first->start.column - 1;
    struct buf *out = add(e, first->start.offset, first->start.offset);
    append_lines(e, pair.block, indent, out);
    append_break(e, indent, out);
    return OK;
}

RESULT yaml_edit_add_item(struct yaml_edits *e, const struct yaml_node *sequence,
                          struct yaml_text item, struct err *err) {
    TRY(check_editable(e, sequence, err));
    if (sequence->kind != YAML_KIND_SEQUENCE) {
        return yaml_fail(e->file, sequence, err, "must be a list");
    }
    if (sequence->layout == YAML_LAYOUT_FLOW) {
        add_to_flow(e, sequence, item.flow);
        return OK;
    }
    TRY(check_line_start(e, sequence, sequence->start.offset, err));
    size_t indent = sequence->start.column - 1;
    struct buf *out = add(e, sequence->start.offset, sequence->start.offset);
    buf_append_str(out, "- ");
    append_lines(e, item.block, indent + 2, out);
    append_break(e, indent, out);
    return OK;
}

/* The column at which the lines of a block value go on: that of its first entry. */
static size_t block_indent(const struct yaml_node *node) {
    bool is_mapping = node->kind == YAML_KIND_MAPPING && node->count > 0;
    return (is_mapping ? node->pairs[0].key->start.column : node->start.column) - 1;
}

static bool has_text(const struct yaml_edits *e, const struct yaml_node *node,
                     const struct buf *text) {
    struct span old =
        span_of(e->file->text.data + node->start.offset, node->end.offset - node->start.offset);
    return span_equal(old, buf_span(text));
}

/* "key:" without a value: the text follows the colon. */
static bool is_missing(const struct yaml_node *node) {
    return node->kind == YAML_KIND_SCALAR && node->start.offset == node->end.offset;
}

/* A block scalar's range holds the line end; keep one behind the new text. */
static size_t end_of(const struct yaml_edits *e, const struct yaml_node *node) {
    size_t end = node->end.offset;
    const uint8_t *text = e->file->text.data;
    if (node->kind == YAML_KIND_SCALAR && node->layout == YAML_LAYOUT_BLOCK) {
        while (end > node->start.offset && (text[end - 1] == '\n' || text[end - 1] == '\r')) {
            end--;
        }
    }
    return end;
}

RESULT yaml_edit_replace(struct yaml_edits *e, const struct yaml_node *node, struct yaml_text text,
                         struct err *err) {
    TRY(check_editable(e, node, err));
    bool is_block = node->kind != YAML_KIND_SCALAR && node->layout == YAML_LAYOUT_BLOCK;
    struct buf new_text = {0};
    if (is_missing(node)) {
        buf_append_str(&new_text, " ");
    }
    if (is_block) {
        append_lines(e, text.block, block_indent(node), &new_text);
    } else {
        buf_append_str(&new_text, text.flow);
    }
    if (has_text(e, node, &new_text)) {
        buf_deinit(&new_text);
        return OK;
    }
    struct buf *out = add(e, node->start.offset, end_of(e, node));
    *out = new_text;
    return OK;
}

void yaml_edit_range(struct yaml_edits *e, size_t start, size_t end, struct span text) {
    CHECK(start <= end && end <= e->file->text.size);
    buf_append_span(add(e, start, end), text);
}

static int compare_edits(const void *a, const void *b) {
    const struct yaml_edit *x = a;
    const struct yaml_edit *y = b;
    if (x->start != y->start) {
        return x->start < y->start ? -1 : 1;
    }
    return (x->order > y->order) - (x->order < y->order);
}

RESULT yaml_edits_apply(struct yaml_edits *e, struct buf *out, struct err *err) {
    if (e->count > 1) {
        qsort(e->items, e->count, sizeof *e->items, compare_edits);
    }
    struct span text = e->file->text;
    size_t at = 0;
    for (size_t i = 0; i < e->count; i++) {
        ENSURE(e->items[i].start >= at, err, INTERNAL, "%.300s: edits overlap at byte %zu",
               e->file->name, at);
        at = e->items[i].end;
    }
    at = 0;
    for (size_t i = 0; i < e->count; i++) {
        buf_append(out, text.data + at, e->items[i].start - at);
        buf_append_span(out, buf_span(&e->items[i].text));
        at = e->items[i].end;
    }
    buf_append(out, text.data + at, text.size - at);
    return OK;
}
