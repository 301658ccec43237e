/* YAML entries: see the header.
 *
 *   - a            removed: the lines of "- a"
 *   - b            inserted: behind the line on which the item before ends
 *   [a, b]         removed: [start of a, start of b), or [end of a, end of b)
 *
 * Pure. Failure: INVALID for a place that cannot be edited safely.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/yaml/yaml_entry.h"

#include <string.h>

static RESULT check_unshared(const struct yaml_file *file, const struct yaml_node *node,
                             bool is_deep, struct err *err) {
    if (is_deep ? node->is_anchored || node->is_shared : node->is_shared) {
        return yaml_fail(file, node, err,
                         "cannot exchange what has an anchor, it may stand in several places; "
                         "write it out in each");
    }
    bool is_mapping = node->kind == YAML_KIND_MAPPING;
    for (size_t i = 0; is_deep && i < node->count; i++) {
        TRY(check_unshared(file, is_mapping ? node->pairs[i].value : node->items[i], true, err));
    }
    return OK;
}

/* --- Lines */

static bool is_break(uint8_t byte) {
    return byte == '\n' || byte == '\r';
}

/* Of the first line. */
static const char *line_end(const struct yaml_file *file) {
    struct span text = file->text;
    for (size_t i = 0; i < text.size; i++) {
        if (is_break(text.data[i])) {
            bool is_pair = i + 1 < text.size && text.data[i + 1] == '\n';
            return text.data[i] == '\n' ? "\n" : is_pair ? "\r\n" : "\r";
        }
    }
    return "\n";
}

/* Behind the line on which the range ends; that of a block scalar holds its line end already. */
static size_t behind_line(struct span text, struct yaml_range range) {
    size_t at = range.end;
    while (at > range.start && is_break(text.data[at - 1])) {
        at--;
    }
    while (at < text.size && !is_break(text.data[at])) {
        at++;
    }
    at += at < text.size && text.data[at] == '\r' ? 1 : 0;
    at += at < text.size && text.data[at] == '\n' ? 1 : 0;
    return at;
}

/* Where the line of `at` begins, if only spaces stand before. */
static bool find_line(struct span text, size_t at, size_t *out) {
    while (at > 0 && text.data[at - 1] == ' ') {
        at--;
    }
    *out = at;
    return at == 0 || is_break(text.data[at - 1]);
}

/* The line of an item's dash; only white space may stand between dash and item, and spaces before
 * the dash. */
static bool find_dash_line(struct span text, size_t start, size_t *out) {
    while (start > 0 && strchr(" \t\r\n", text.data[start - 1]) != NULL) {
        start--;
    }
    return start > 0 && text.data[start - 1] == '-' && find_line(text, start - 1, out);
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
    if (text->size == 0 || start < all.size || start == 0 || is_break(all.data[start - 1])) {
        return;
    }
    AUTO(buf_deinit)
    struct buf moved = {0};
    buf_append_str(&moved, line_end(e->file));
    buf_append(&moved, text->data, text->size - strlen(line_end(e->file)));
    buf_clear(text);
    buf_append_span(text, buf_span(&moved));
}

static RESULT splice_block(struct yaml_edits *e, const struct yaml_node *sequence,
                           const struct yaml_entry_splice *s, struct err *err) {
    struct span all = e->file->text;
    size_t first_dash = sequence->content.offset;
    size_t line = 0;
    size_t start = 0;
    bool is_clean = find_line(all, first_dash, &line);
    if (s->removed > 0) {
        is_clean = is_clean && find_dash_line(all, sequence->ranges[s->first].start, &start);
    } else {
        start = behind_line(all, sequence->ranges[s->first - 1]);
    }
    if (!is_clean) {
        return yaml_fail(e->file, sequence->items[s->first < sequence->count ? s->first : 0], err,
                         "cannot edit the items here; start each on a line of its own");
    }
    size_t end =
        s->removed > 0 ? behind_line(all, sequence->ranges[s->first + s->removed - 1]) : start;
    AUTO(buf_deinit)
    struct buf text = {0};
    for (size_t i = 0; i < s->inserted; i++) {
        append_item(e, s->items[i].block, first_dash - line, &text);
    }
    fit_to_end(e, start, &text);
    yaml_edit_range(e, start, end, buf_span(&text));
    return OK;
}

/* --- Brackets */

/* Between items: a new line when the first item has one of its own. */
static void append_separator(const struct yaml_edits *e, const struct yaml_node *sequence,
                             struct buf *out) {
    size_t first = sequence->ranges[0].start;
    size_t line = 0;
    if (find_line(e->file->text, first, &line) && line > 0) {
        buf_appendf(out, ",%s%*s", line_end(e->file), (int)(first - line), "");
    } else {
        buf_append_str(out, ", ");
    }
}

/* An item goes with the comma that joins it to the next one, or to the one before. */
static void splice_flow(struct yaml_edits *e, const struct yaml_node *sequence,
                        const struct yaml_entry_splice *s) {
    const struct yaml_range *ranges = sequence->ranges;
    bool is_first = s->first == 0;
    bool is_exchange = s->removed > 0 && s->inserted > 0;
    size_t start = is_first || is_exchange ? ranges[s->first].start : ranges[s->first - 1].end;
    size_t end = start;
    if (s->removed > 0) {
        end = is_first && !is_exchange ? ranges[s->removed].start
                                       : ranges[s->first + s->removed - 1].end;
    }
    AUTO(buf_deinit)
    struct buf text = {0};
    for (size_t i = 0; i < s->inserted; i++) {
        if (i > 0 || (!is_first && !is_exchange)) {
            append_separator(e, sequence, &text);
        }
        buf_append_str(&text, s->items[i].flow);
    }
    yaml_edit_range(e, start, end, buf_span(&text));
}

/* New first items go above the comments of the item that was first. */
static RESULT add_first(struct yaml_edits *e, const struct yaml_node *sequence,
                        const struct yaml_entry_splice *s, struct err *err) {
    for (size_t i = 0; i < s->inserted; i++) {
        TRY(yaml_edit_add_item(e, sequence, s->items[i], err));
    }
    return OK;
}

RESULT yaml_entry_splice(struct yaml_edits *e, const struct yaml_node *sequence,
                         const struct yaml_entry_splice *splice, struct err *err) {
    CHECK(sequence->kind == YAML_KIND_SEQUENCE && sequence->count > 0);
    CHECK(splice->first + splice->removed <= sequence->count);
    CHECK(sequence->count - splice->removed + splice->inserted > 0);
    TRY(check_unshared(e->file, sequence, false, err));
    for (size_t i = splice->first; i < splice->first + splice->removed; i++) {
        TRY(check_unshared(e->file, sequence->items[i], true, err));
    }
    if (splice->removed == 0 && splice->first == 0) {
        return add_first(e, sequence, splice, err);
    }
    if (splice->removed == 0 && splice->inserted == 0) {
        return OK;
    }
    if (sequence->layout == YAML_LAYOUT_FLOW) {
        splice_flow(e, sequence, splice);
        return OK;
    }
    return splice_block(e, sequence, splice, err);
}
