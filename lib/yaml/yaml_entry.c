/* YAML entries: see the header.
 *
 *   - a            remove [start of "- a", start of "- b")
 *   - b            insert behind the line on which the item before ends
 *   [a, b]         remove "a, ", or ", b" when it is the last
 *
 * Pure. Failure: INVALID for a place that cannot be edited safely.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/yaml/yaml_entry.h"

#include <string.h>

static RESULT fail(const struct yaml_edits *e, const struct yaml_node *node, struct err *err) {
    return yaml_fail(e->file, node, err,
                     "cannot edit the entries here; start each on a line of its own");
}

RESULT yaml_entry_check_single(const struct yaml_file *file, const struct yaml_node *node,
                               struct err *err) {
    if (node->is_anchored) {
        return yaml_fail(file, node, err,
                         "cannot edit a node with an anchor, it may stand in several places; "
                         "write it out in each");
    }
    bool is_mapping = node->kind == YAML_KIND_MAPPING;
    for (size_t i = 0; i < node->count; i++) {
        if (is_mapping) {
            TRY(yaml_entry_check_single(file, node->pairs[i].key, err));
        }
        TRY(yaml_entry_check_single(file, is_mapping ? node->pairs[i].value : node->items[i], err));
    }
    return OK;
}

static RESULT check_collection(const struct yaml_edits *e, const struct yaml_node *node,
                               struct err *err) {
    if (node->is_anchored || node->tag != NULL) {
        return yaml_fail(e->file, node, err,
                         "cannot edit a node with an anchor or a tag; write it out here");
    }
    return OK;
}

/* --- Lines */

static const char *line_end(const struct yaml_file *file) {
    const uint8_t *lf = file->text.size > 0 ? memchr(file->text.data, '\n', file->text.size) : NULL;
    return lf != NULL && lf > file->text.data && lf[-1] == '\r' ? "\r\n" : "\n";
}

/* Behind the line on which the node ends; a block scalar's range ends behind its line already. */
static size_t behind_line(const struct yaml_file *file, const struct yaml_node *node) {
    size_t at = node->end.offset;
    if (at > node->start.offset && file->text.data[at - 1] == '\n') {
        return at;
    }
    while (at < file->text.size && file->text.data[at] != '\n') {
        at++;
    }
    return at < file->text.size ? at + 1 : at;
}

static size_t count_spaces(const struct yaml_file *file, size_t at) {
    size_t count = 0;
    while (at + count < file->text.size && file->text.data[at + count] == ' ') {
        count++;
    }
    return count;
}

/* Where the line of `at` begins, if only spaces stand before. */
static bool find_line(const struct yaml_file *file, size_t at, size_t *out) {
    while (at > 0 && file->text.data[at - 1] == ' ') {
        at--;
    }
    *out = at;
    return at == 0 || file->text.data[at - 1] == '\n';
}

/* The dash of an item; only white space may stand between. */
static bool find_dash(const struct yaml_file *file, const struct yaml_node *item, size_t *out) {
    size_t at = item->start.offset;
    while (at > 0 && strchr(" \t\r\n", file->text.data[at - 1]) != NULL) {
        at--;
    }
    *out = at - 1;
    return at > 0 && file->text.data[at - 1] == '-';
}

static void append_item(const struct yaml_edits *e, const char *block, size_t indent,
                        struct buf *out) {
    buf_appendf(out, "%*s- ", (int)indent, "");
    for (const char *p = block; *p != '\0'; p++) {
        if (*p == '\n') {
            buf_appendf(out, "%s%*s", line_end(e->file), (int)indent + 2, "");
        } else {
            buf_append(out, p, 1);
        }
    }
    buf_append_str(out, line_end(e->file));
}

/* The last line of a file may have no end: then the end goes before the new lines. */
static void fit_to_end(const struct yaml_edits *e, size_t start, struct buf *text) {
    struct span all = e->file->text;
    if (text->size == 0 || start < all.size || start == 0 || all.data[start - 1] == '\n') {
        return;
    }
    AUTO(buf_deinit)
    struct buf moved = {0};
    size_t size = strlen(line_end(e->file));
    buf_append_str(&moved, line_end(e->file));
    buf_append(&moved, text->data, text->size - size);
    buf_clear(text);
    buf_append_span(text, buf_span(&moved));
}

static RESULT splice_block(struct yaml_edits *e, const struct yaml_node *sequence,
                           const struct yaml_entry_splice *s, struct err *err) {
    const struct yaml_node *at = sequence->items[s->removed > 0 || s->first == 0 ? s->first : 0];
    size_t start = 0;
    size_t dash = 0;
    if (!find_dash(e->file, at, &dash) || !find_line(e->file, dash, &start)) {
        return fail(e, at, err);
    }
    if (s->removed == 0 && s->first > 0) {
        start = behind_line(e->file, sequence->items[s->first - 1]);
    }
    size_t end = start;
    if (s->removed > 0) {
        end = behind_line(e->file, sequence->items[s->first + s->removed - 1]);
    }
    AUTO(buf_deinit)
    struct buf text = {0};
    for (size_t i = 0; i < s->inserted; i++) {
        append_item(e, s->items[i].block, sequence->start.column - 1, &text);
    }
    fit_to_end(e, start, &text);
    yaml_edit_range(e, start, end, buf_span(&text));
    return OK;
}

/* --- Braces */

/* Behind the comma that follows `at`, and one space. */
static bool find_comma(const struct yaml_file *file, size_t at, size_t *out) {
    while (at < file->text.size && strchr(" \t\r\n", file->text.data[at]) != NULL) {
        at++;
    }
    if (at == file->text.size || file->text.data[at] != ',') {
        return false;
    }
    *out = at + 1 + (count_spaces(file, at + 1) > 0 ? 1 : 0);
    return true;
}

/* What goes with entries that nothing replaces: the comma behind them, or that before the last. */
static RESULT widen(const struct yaml_edits *e, const struct yaml_node *at, bool is_last,
                    size_t before, size_t *start, size_t *end, struct err *err) {
    size_t comma = 0;
    if (!is_last) {
        return find_comma(e->file, *end, end) ? OK : fail(e, at, err);
    }
    if (!find_comma(e->file, before, &comma) || comma > *start) {
        return fail(e, at, err);
    }
    *start = before;
    return OK;
}

static void append_flow(const struct yaml_entry_splice *s, struct buf *out) {
    for (size_t i = 0; i < s->inserted; i++) {
        buf_appendf(out, "%s%s", i > 0 ? ", " : "", s->items[i].flow);
    }
}

static RESULT splice_flow(struct yaml_edits *e, const struct yaml_node *sequence,
                          const struct yaml_entry_splice *s, struct err *err) {
    struct yaml_node *const *items = sequence->items;
    bool is_last = s->first + s->removed == sequence->count;
    size_t before = s->first > 0 ? items[s->first - 1]->end.offset : sequence->start.offset + 1;
    size_t start = s->removed > 0 ? items[s->first]->start.offset : before;
    size_t end = s->removed > 0 ? items[s->first + s->removed - 1]->end.offset : start;
    AUTO(buf_deinit)
    struct buf text = {0};
    if (s->inserted == 0) {
        TRY(widen(e, items[s->first], is_last, before, &start, &end, err));
    }
    if (s->removed == 0 && s->first > 0) {
        buf_append_str(&text, ", ");
    }
    append_flow(s, &text);
    if (s->removed == 0 && s->first == 0) {
        buf_append_str(&text, ", ");
    }
    yaml_edit_range(e, start, end, buf_span(&text));
    return OK;
}

RESULT yaml_entry_splice(struct yaml_edits *e, const struct yaml_node *sequence,
                         const struct yaml_entry_splice *splice, struct err *err) {
    CHECK(sequence->kind == YAML_KIND_SEQUENCE && sequence->count > 0);
    CHECK(splice->first + splice->removed <= sequence->count);
    CHECK(sequence->count - splice->removed + splice->inserted > 0);
    TRY(check_collection(e, sequence, err));
    size_t from = splice->first > 0 ? splice->first - 1 : 0;
    for (size_t i = from; i < splice->first + splice->removed; i++) {
        TRY(yaml_entry_check_single(e->file, sequence->items[i], err));
    }
    if (splice->removed == 0 && splice->inserted == 0) {
        return OK;
    }
    return sequence->layout == YAML_LAYOUT_FLOW ? splice_flow(e, sequence, splice, err)
                                                : splice_block(e, sequence, splice, err);
}

/* --- Pairs */

/* From the key to the text of the next line when that stands in the key's column, else the lines.
 * A key behind "- " needs the next pair in its place. */
static RESULT remove_lines(struct yaml_edits *e, const struct yaml_pair *pair, struct err *err) {
    const struct yaml_node *key = pair->key;
    size_t start = key->start.offset;
    size_t line = 0;
    size_t end =
        behind_line(e->file, pair->value->end.offset > key->end.offset ? pair->value : key);
    size_t column = key->start.column - 1;
    bool is_alone = find_line(e->file, start, &line);
    if (count_spaces(e->file, end) == column && end + column < e->file->text.size) {
        end += column;
    } else if (is_alone) {
        start = line;
    } else {
        return fail(e, key, err);
    }
    yaml_edit_range(e, start, end, span_of("", 0));
    return OK;
}

static RESULT remove_flow(struct yaml_edits *e, const struct yaml_node *mapping, size_t index,
                          struct err *err) {
    const struct yaml_pair *pair = &mapping->pairs[index];
    size_t start = pair->key->start.offset;
    size_t end = pair->value->end.offset;
    size_t before = index > 0 ? mapping->pairs[index - 1].value->end.offset : 0;
    TRY(widen(e, pair->key, index + 1 == mapping->count, before, &start, &end, err));
    yaml_edit_range(e, start, end, span_of("", 0));
    return OK;
}

RESULT yaml_entry_remove_pair(struct yaml_edits *e, const struct yaml_node *mapping,
                              const char *key, struct err *err) {
    CHECK(mapping->kind == YAML_KIND_MAPPING);
    TRY(check_collection(e, mapping, err));
    size_t index = 0;
    while (index < mapping->count && strcmp(mapping->pairs[index].key->value, key) != 0) {
        index++;
    }
    CHECK(index < mapping->count);
    if (mapping->count == 1) {
        return yaml_fail(e->file, mapping, err, "cannot remove the only key \"%.100s\"", key);
    }
    for (size_t i = index > 0 ? index - 1 : 0; i <= index; i++) {
        TRY(yaml_entry_check_single(e->file, mapping->pairs[i].key, err));
        TRY(yaml_entry_check_single(e->file, mapping->pairs[i].value, err));
    }
    return mapping->layout == YAML_LAYOUT_FLOW ? remove_flow(e, mapping, index, err)
                                               : remove_lines(e, &mapping->pairs[index], err);
}
