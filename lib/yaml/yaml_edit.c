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
    struct span text = file->text;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '\n') {
            return "\n";
        }
        if (text.data[i] == '\r') {
            return i + 1 < text.size && text.data[i + 1] == '\n' ? "\r\n" : "\r";
        }
    }
    return "\n";
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

/* --- Places */

static bool is_break(uint8_t byte) {
    return byte == '\n' || byte == '\r';
}

static size_t line_start(struct span text, size_t at) {
    size_t start = text.size >= 3 && memcmp(text.data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (at > start && !is_break(text.data[at - 1])) {
        at--;
    }
    return at;
}

static bool is_all_of(struct span text, const char *set) {
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == 0 || strchr(set, text.data[i]) == NULL) {
            return false;
        }
    }
    return true;
}

/* The start of the line before `at`, itself a start; `at` for the first line. */
static size_t line_before(struct span text, size_t at) {
    size_t end = at;
    end -= end > 0 && text.data[end - 1] == '\n' ? 1 : 0;
    end -= end > 0 && text.data[end - 1] == '\r' ? 1 : 0;
    return line_start(text, end);
}

/* Behind the line on which an entry ends, its comment included. */
static size_t line_behind(struct span text, size_t at) {
    while (at < text.size && !is_break(text.data[at])) {
        at++;
    }
    at += at < text.size && text.data[at] == '\r' ? 1 : 0;
    at += at < text.size && text.data[at] == '\n' ? 1 : 0;
    return at;
}

/* Where an entry begins, with its dash or question mark: behind the entry before it, over white
 * space and comments. */
static size_t entry_start(struct span text, const struct yaml_node *node, size_t index) {
    if (node->layout == YAML_LAYOUT_FLOW) {
        return node->ranges[index].start;
    }
    size_t at = index == 0 ? node->content.offset : node->ranges[index - 1].end;
    while (at < text.size && strchr(" \t\r\n#", text.data[at]) != NULL) {
        at = text.data[at] == '#' ? line_behind(text, at) : at + 1;
    }
    return at;
}

static bool is_comment_line(struct span text, size_t line, size_t end) {
    while (line < end && text.data[line] == ' ') {
        line++;
    }
    return line < end && text.data[line] == '#';
}

/* Over the comment lines right above a line, whatever their columns, back to the first, but not
 * above `floor`. Not over those that begin the file: they speak of all of it. */
static size_t above_comments(struct span text, size_t start, size_t floor) {
    size_t at = start;
    while (at > floor) {
        size_t line = line_before(text, at);
        if (line < floor || line >= at || !is_comment_line(text, line, at)) {
            return at;
        }
        if (line == line_before(text, line)) {
            return start;
        }
        at = line;
    }
    return at;
}

/* Where a new entry of a block collection goes. */
struct place {
    size_t at;
    size_t indent;   /* of the entries */
    bool is_on_line; /* false: `at` starts a line */
};

/* Before the second key, when the first stands behind a dash: "- name: a" stays as it is. */
static bool find_second(struct span text, const struct yaml_node *node, size_t indent,
                        struct place *out) {
    if (node->kind != YAML_KIND_MAPPING || node->count < 2) {
        return false;
    }
    size_t at = entry_start(text, node, 1);
    size_t start = line_start(text, at);
    if (at - start != indent || !is_all_of(span_of(text.data + start, indent), " ")) {
        return false;
    }
    size_t floor = node->ranges[0].end;
    *out = (struct place){above_comments(text, start, floor), indent, false};
    return true;
}

/* Behind the line of a merge key: in front of it, parsers disagree which of two keys counts. */
static RESULT find_behind_merge(const struct yaml_edits *e, const struct yaml_node *node,
                                size_t indent, struct place *out, struct err *err) {
    struct span text = e->file->text;
    size_t at = node->merge_end;
    while (is_break(text.data[at - 1])) {
        at--;
    }
    at = line_behind(text, at);
    if (!is_break(text.data[at - 1])) {
        return yaml_fail(e->file, node, err,
                         "cannot add an entry here; end the last line of the file");
    }
    *out = (struct place){at, indent, false};
    return OK;
}

/* Only spaces and dashes may stand before an entry on its line. */
static RESULT find_place(const struct yaml_edits *e, const struct yaml_node *node,
                         struct place *out, struct err *err) {
    struct span text = e->file->text;
    size_t at = node->content.offset;
    size_t start = line_start(text, at);
    struct span before = span_of(text.data + start, at - start);
    if (!is_all_of(before, " -")) {
        return yaml_fail(e->file, node, err,
                         "cannot add an entry here; start the entry on a line of its own");
    }
    if (node->has_merge) {
        return find_behind_merge(e, node, at - start, out, err);
    }
    if (is_all_of(before, " ")) {
        *out = (struct place){above_comments(text, start, 0), at - start, false};
    } else if (!find_second(text, node, at - start, out)) {
        *out = (struct place){at, at - start, true};
    }
    return OK;
}

/* --- Edits that exist already */

static bool has_edit_at(const struct yaml_edits *e, size_t at) {
    for (size_t i = 0; i < e->count; i++) {
        if (e->items[i].start == at) {
            return true;
        }
    }
    return false;
}

static bool has_edit(const struct yaml_edits *e, size_t at, const char *text) {
    for (size_t i = 0; i < e->count; i++) {
        if (e->items[i].start == at && span_equal(buf_span(&e->items[i].text), span_str(text))) {
            return true;
        }
    }
    return false;
}

/* Takes `text` over, unless a shared node has this very edit already. */
static void add_text(struct yaml_edits *e, const struct yaml_node *node, size_t at,
                     struct buf *text) {
    if (node->is_shared && has_edit(e, at, buf_cstr(text))) {
        buf_deinit(text);
        return;
    }
    *add(e, at, at) = *text;
}

static RESULT fail_shared(const struct yaml_edits *e, const struct yaml_node *node,
                          struct err *err) {
    return yaml_fail(e->file, node, err,
                     "an alias brings this to several places, which need different text; write it "
                     "out at each of them");
}

/* Two pairs with one key at the same place: only of a shared mapping. */
static RESULT check_pair(const struct yaml_edits *e, const struct yaml_node *mapping, size_t at,
                         const struct buf *text, struct err *err) {
    struct span line = buf_span(text);
    CHECK(line.data != NULL); /* "key: value" */
    const uint8_t *colon = memchr(line.data, ':', line.size);
    size_t size = colon != NULL ? (size_t)(colon - line.data) + 1 : line.size;
    for (size_t i = 0; i < e->count && mapping->is_shared; i++) {
        struct span old = buf_span(&e->items[i].text);
        if (e->items[i].start == at && old.size >= size && memcmp(old.data, line.data, size) == 0 &&
            !span_equal(old, line)) {
            return fail_shared(e, mapping, err);
        }
    }
    return OK;
}

/* Refuses to take away a range in which an anchor stands that an alias needs. */
static RESULT check_anchors(const struct yaml_edits *e, const struct yaml_node *node,
                            struct yaml_range range, struct err *err) {
    if (node->start.offset < range.start || node->start.offset >= range.end) {
        return OK; /* an alias: the node itself stands elsewhere */
    }
    if (node->is_anchored && node->is_shared && node->content.offset > range.start) {
        return yaml_fail(e->file, node, err,
                         "an alias elsewhere needs this anchor, which would go; write its value "
                         "out there");
    }
    for (size_t i = 0; i < node->count; i++) {
        if (node->kind == YAML_KIND_MAPPING) {
            TRY(check_anchors(e, node->pairs[i].key, range, err));
            TRY(check_anchors(e, node->pairs[i].value, range, err));
        } else {
            TRY(check_anchors(e, node->items[i], range, err));
        }
    }
    return OK;
}

/* --- Adding */

/* White space of the line on which the first entry starts; false when more stands before it. */
static bool is_first_on_line(struct span text, size_t at, struct span *indent) {
    size_t start = line_start(text, at);
    *indent = span_of(text.data + start, at - start);
    return is_all_of(*indent, " \t");
}

/* Before the first entry, on a line of its own when that is; else behind the bracket. */
static RESULT make_flow(const struct yaml_edits *e, const struct yaml_node *node, const char *flow,
                        struct buf *out, size_t *at, struct err *err) {
    struct span text = e->file->text;
    size_t open = node->content.offset;
    if (open >= text.size || (text.data[open] != '{' && text.data[open] != '[')) {
        return yaml_fail(e->file, node, err, "cannot add an entry here; write the braces out");
    }
    if (node->first == 0) {
        *at = open + 1;
        bool is_second = has_edit_at(e, *at) && !(node->is_shared && has_edit(e, *at, flow));
        buf_appendf(out, "%s%s", is_second ? ", " : "", flow);
        return OK;
    }
    if (node->has_merge) {
        *at = node->merge_end;
        buf_appendf(out, ", %s", flow);
        return OK;
    }
    struct span indent = {0};
    *at = node->first;
    buf_appendf(out, "%s,", flow);
    if (is_first_on_line(text, *at, &indent)) {
        buf_append_str(out, line_end(e->file));
        buf_append_span(out, indent);
    } else {
        buf_append_str(out, " ");
    }
    return OK;
}

static RESULT make_block(const struct yaml_edits *e, const struct yaml_node *node,
                         const char *prefix, const char *lines, struct buf *out, size_t *at,
                         struct err *err) {
    struct place place = {0};
    TRY(find_place(e, node, &place, err));
    *at = place.at;
    if (!place.is_on_line) {
        buf_appendf(out, "%*s", (int)place.indent, "");
    }
    buf_append_str(out, prefix);
    append_lines(e, lines, place.indent + strlen(prefix), out);
    append_break(e, place.is_on_line ? place.indent : 0, out);
    return OK;
}

static RESULT add_entry(struct yaml_edits *e, const struct yaml_node *node, const char *prefix,
                        struct yaml_text text, struct err *err) {
    struct buf new_text = {0};
    size_t at = 0;
    struct result r = node->layout == YAML_LAYOUT_FLOW
                          ? make_flow(e, node, text.flow, &new_text, &at, err)
                          : make_block(e, node, prefix, text.block, &new_text, &at, err);
    if (is_ok(r) && node->kind == YAML_KIND_MAPPING) {
        r = check_pair(e, node, at, &new_text, err);
    }
    if (!is_ok(r)) {
        buf_deinit(&new_text);
        return r;
    }
    add_text(e, node, at, &new_text);
    return OK;
}

RESULT yaml_edit_add_pair(struct yaml_edits *e, const struct yaml_node *mapping,
                          struct yaml_text pair, struct err *err) {
    if (mapping->kind != YAML_KIND_MAPPING) {
        return yaml_fail(e->file, mapping, err, "must be a mapping");
    }
    return add_entry(e, mapping, "", pair, err);
}

RESULT yaml_edit_add_item(struct yaml_edits *e, const struct yaml_node *sequence,
                          struct yaml_text item, struct err *err) {
    if (sequence->kind != YAML_KIND_SEQUENCE) {
        return yaml_fail(e->file, sequence, err, "must be a list");
    }
    return add_entry(e, sequence, "- ", item, err);
}

/* --- Replacing */

/* The column at which the lines of a block value go on: that of its first entry. */
static size_t block_indent(const struct yaml_edits *e, const struct yaml_node *node) {
    return node->content.offset - line_start(e->file->text, node->content.offset);
}

/* "key:" without a value: the text follows the colon. */
static bool is_missing(const struct yaml_node *node) {
    return node->kind == YAML_KIND_SCALAR && node->content.offset == node->end.offset;
}

static RESULT check_missing(const struct yaml_edits *e, const struct yaml_node *node,
                            struct err *err) {
    size_t at = node->content.offset;
    const uint8_t *text = e->file->text.data;
    while (at > 0 && strchr(" \t", text[at - 1]) != NULL) {
        at--;
    }
    if (node->content.offset > node->start.offset ||
        (at > 0 && (text[at - 1] == ':' || text[at - 1] == '-'))) {
        return OK;
    }
    return yaml_fail(e->file, node, err, "cannot set a value here; write the key as \"key: null\"");
}

/* The range of a block scalar, and of what ends with one, holds line ends: they stay. */
static size_t end_of(const struct yaml_edits *e, const struct yaml_node *node) {
    size_t end = node->end.offset;
    const uint8_t *text = e->file->text.data;
    while (node->layout == YAML_LAYOUT_BLOCK && end > node->content.offset &&
           is_break(text[end - 1])) {
        end--;
    }
    return end;
}

static bool has_text(const struct yaml_edits *e, const struct yaml_node *node,
                     const struct buf *text) {
    size_t start = node->content.offset;
    struct span old = span_of(e->file->text.data + start, end_of(e, node) - start);
    return span_equal(old, buf_span(text));
}

/* "key:" or "key: # why" on a line: a collection can follow in lines of its own. */
static bool can_follow(const struct yaml_edits *e, const struct yaml_node *node,
                       struct yaml_text text) {
    struct span all = e->file->text;
    size_t at = node->content.offset;
    bool is_collection = text.flow[0] == '[' || text.flow[0] == '{';
    if (node->is_in_flow || !is_collection || at == 0 || all.data[at - 1] != ':') {
        return false;
    }
    while (at < all.size && strchr(" \t", all.data[at]) != NULL) {
        at++;
    }
    return at == all.size || is_break(all.data[at]) || all.data[at] == '#';
}

static void append_below(const struct yaml_edits *e, const struct yaml_node *node,
                         const char *lines, struct buf *out) {
    struct span text = e->file->text;
    size_t start = line_start(text, node->content.offset);
    size_t indent = 0;
    while (strchr(" -", text.data[start + indent]) != NULL) {
        indent++;
    }
    append_break(e, indent + 2, out);
    append_lines(e, lines, indent + 2, out);
}

static RESULT make_replacement(const struct yaml_edits *e, const struct yaml_node *node,
                               struct yaml_text text, struct buf *out, struct err *err) {
    if (is_missing(node)) {
        TRY(check_missing(e, node, err));
        if (can_follow(e, node, text)) {
            append_below(e, node, text.block, out);
            return OK;
        }
        bool is_spaced = e->file->text.data[node->content.offset - 1] == ' ';
        buf_append_str(out, is_spaced ? "" : " ");
    }
    if (node->kind != YAML_KIND_SCALAR && node->layout == YAML_LAYOUT_BLOCK) {
        /* A list may stand in the column of its key; nothing else may. */
        bool is_deeper = node->kind == YAML_KIND_SEQUENCE && strncmp(text.block, "- ", 2) != 0;
        buf_append_str(out, is_deeper ? "  " : "");
        append_lines(e, text.block, block_indent(e, node) + (is_deeper ? 2 : 0), out);
    } else {
        buf_append_str(out, text.flow);
    }
    return OK;
}

/* Where the new text goes: of a missing value that follows in lines, the end of the line. */
static size_t start_of(const struct yaml_edits *e, const struct yaml_node *node,
                       struct yaml_text text) {
    size_t at = node->content.offset;
    bool is_below = is_missing(node) && can_follow(e, node, text);
    while (is_below && at < e->file->text.size && !is_break(e->file->text.data[at])) {
        at++;
    }
    return at;
}

/* Sets *is_known when a shared node has this very edit already. */
static RESULT find_replacement(const struct yaml_edits *e, const struct yaml_node *node,
                               struct yaml_range range, const struct buf *text, bool *is_known,
                               struct err *err) {
    for (size_t i = 0; i < e->count && node->is_shared; i++) {
        if (e->items[i].start == range.start && e->items[i].end == range.end) {
            *is_known = true;
            return span_equal(buf_span(&e->items[i].text), buf_span(text))
                       ? OK
                       : fail_shared(e, node, err);
        }
    }
    return OK;
}

RESULT yaml_edit_replace(struct yaml_edits *e, const struct yaml_node *node, struct yaml_text text,
                         struct err *err) {
    struct yaml_range range = {node->content.offset, node->end.offset};
    for (size_t i = 0; i < node->count; i++) {
        TRY(node->kind == YAML_KIND_MAPPING ? check_anchors(e, node->pairs[i].value, range, err)
                                            : check_anchors(e, node->items[i], range, err));
    }
    struct buf new_text = {0};
    bool is_known = false;
    struct result r = make_replacement(e, node, text, &new_text, err);
    if (is_ok(r)) {
        range.start = start_of(e, node, text);
        range.end = range.start > end_of(e, node) ? range.start : end_of(e, node);
        r = find_replacement(e, node, range, &new_text, &is_known, err);
    }
    if (!is_ok(r) || is_known || has_text(e, node, &new_text)) {
        buf_deinit(&new_text);
        return r;
    }
    size_t end = range.end;
    if (end < e->file->text.size && e->file->text.data[end] == '#') {
        buf_append_str(&new_text, " "); /* behind brackets and quotes a comment needs no space */
    }
    *add(e, range.start, range.end) = new_text;
    return OK;
}

void yaml_edit_range(struct yaml_edits *e, size_t start, size_t end, struct span text) {
    CHECK(start <= end && end <= e->file->text.size);
    buf_append_span(add(e, start, end), text);
}

/* --- Removing */

/* The end of an entry without the line ends that a block scalar takes in. */
static size_t entry_end(struct span text, const struct yaml_node *node, size_t index) {
    size_t end = node->ranges[index].end;
    while (end > node->ranges[index].start && is_break(text.data[end - 1])) {
        end--;
    }
    return end;
}

/* Entries first..last of a block collection: whole lines, unless the first shares its line with
 * what is around it: then the next entry, or the comment above that, takes its place. */
static void remove_lines(struct yaml_edits *e, const struct yaml_node *node, size_t first,
                         size_t last) {
    struct span text = e->file->text;
    size_t start = entry_start(text, node, first);
    size_t line = line_start(text, start);
    size_t end = line_behind(text, entry_end(text, node, last));
    if (!is_all_of(span_of(text.data + line, start - line), " ")) {
        while (end < text.size && strchr(" \t\r\n", text.data[end]) != NULL) {
            end++;
        }
        add(e, start, end);
        return;
    }
    /* A block scalar before them must not take over the empty lines behind them. */
    bool is_greedy = first > 0 && is_break(text.data[node->ranges[first - 1].end - 1]);
    size_t next = line_behind(text, end);
    while (is_greedy && next > end && is_all_of(span_of(text.data + end, next - end), " \r\n")) {
        end = next;
        next = line_behind(text, end);
    }
    add(e, line, end);
}

static void remove_flow(struct yaml_edits *e, const struct yaml_node *node, size_t first,
                        size_t last) {
    size_t start = first > 0 ? node->ranges[first - 1].end : node->ranges[0].start;
    size_t end = first == 0 && last + 1 < node->count ? node->ranges[last + 1].start
                                                      : node->ranges[last].end;
    add(e, start, end);
}

static RESULT check_removal(const struct yaml_edits *e, const struct yaml_node *node,
                            const bool *drop, struct err *err) {
    size_t count = 0;
    for (size_t i = 0; i < node->count; i++) {
        count += drop[i] ? 1 : 0;
        if (drop[i]) {
            TRY(node->kind == YAML_KIND_MAPPING
                    ? check_anchors(e, node->pairs[i].value, node->ranges[i], err)
                    : check_anchors(e, node->items[i], node->ranges[i], err));
        }
    }
    if (count > 0 && node->has_merge) {
        return yaml_fail(e->file, node, err, "cannot remove entries beside <<; do it by hand");
    }
    if (count == node->count && node->layout != YAML_LAYOUT_FLOW) {
        return yaml_fail(e->file, node, err, "nothing would be left here; remove it by hand");
    }
    return OK;
}

RESULT yaml_edit_remove(struct yaml_edits *e, const struct yaml_node *collection, const bool *drop,
                        struct err *err) {
    TRY(check_removal(e, collection, drop, err));
    bool is_flow = collection->layout == YAML_LAYOUT_FLOW;
    for (size_t i = 0; i < collection->count; i++) {
        size_t last = i;
        while (drop[i] && last + 1 < collection->count && drop[last + 1]) {
            last++;
        }
        if (drop[i] && !has_edit_at(e, entry_start(e->file->text, collection, i))) {
            (is_flow ? remove_flow : remove_lines)(e, collection, i, last);
        }
        i = last;
    }
    return OK;
}

/* --- Applying */

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
