/* YAML edits, by chance: random documents in every layout and style, random edits. After each edit
 * the text must parse to the expected tree, and every line that no edit touches must still be
 * there, in order. The tree is compared as text in which aliases and merge keys are expanded.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/yaml/yaml_edit.h"

#define CASES 4000
#define MAX_EDITS 4
#define MAX_NODES 2000

/* --- Chance: splitmix64 */

struct chance {
    uint64_t state;
};

static size_t draw(struct chance *c, size_t below) {
    uint64_t z = c->state += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return (size_t)((z ^ (z >> 31)) % below);
}

static bool is_heads(struct chance *c, size_t one_in) {
    return draw(c, one_in) == 0;
}

/* --- A document; lines end with LF here and get the file's line end at last */

enum what { WHAT_SCALAR, WHAT_MAPPING, WHAT_SEQUENCE };

struct maker {
    struct chance *chance;
    struct buf out;
    int keys;
    int anchors;
    enum what anchor_of[64]; /* of finished anchors */
    int names[64];
    int finished;
};

static void indent_by(struct maker *m, size_t indent) {
    buf_appendf(&m->out, "%*s", (int)indent, "");
}

/* What may stand behind a value, and the line end. */
static void end_line(struct maker *m) {
    static const char *const tails[] = {
        "", "", "", "", " # why", "   ", " #", " # \xc3\xbc {", "\t# tab"};
    buf_appendf(&m->out, "%s\n", tails[draw(m->chance, 9)]);
}

/* The same behind a dash or a colon, where a tab would be indentation. */
static void end_open(struct maker *m) {
    buf_append_str(&m->out, is_heads(m->chance, 3) ? " # of all below\n" : "\n");
}

static void maybe_comment(struct maker *m, size_t indent) {
    if (is_heads(m->chance, 5)) {
        buf_appendf(&m->out, "%*s# c%d\n", is_heads(m->chance, 4) ? 0 : (int)indent, "", ++m->keys);
    }
    if (is_heads(m->chance, 9)) {
        buf_append_str(&m->out, "\n");
    }
}

/* "&a1 ": the number, 0 = none. */
static int maybe_anchor(struct maker *m) {
    static const char *const gaps[] = {"", " ", "  "};
    if (!is_heads(m->chance, 5) || m->anchors >= 60) {
        return 0;
    }
    buf_appendf(&m->out, " &a%d%s", ++m->anchors, gaps[draw(m->chance, 3)]);
    return m->anchors;
}

static void finish_anchor(struct maker *m, int anchor, enum what what) {
    if (anchor != 0) {
        m->names[m->finished] = anchor;
        m->anchor_of[m->finished++] = what;
    }
}

/* " *a1" of that kind; false when there is none. */
static bool put_alias(struct maker *m, bool any, enum what what, const char *before) {
    if (m->finished == 0) {
        return false;
    }
    size_t i = draw(m->chance, (size_t)m->finished);
    if (!any && m->anchor_of[i] != what) {
        return false;
    }
    buf_appendf(&m->out, "%s*a%d", before, m->names[i]);
    return true;
}

static void put_scalar(struct maker *m) {
    static const char *const texts[] = {
        "word",       "1.5",
        "true",       "a b",
        "'it''s'",    "\"q \\\"x\\\" # no\"",
        "''",         "~",
        "x#y",        "\"\\u00e9: {\"",
        "http://h/p", "\xc3\xa4 z",
        "'- a: b'",   "-1",
        "null",       "!!str 1",
    };
    buf_append_str(&m->out, texts[draw(m->chance, sizeof texts / sizeof texts[0])]);
}

static void put_key(struct maker *m, bool is_json) {
    int n = ++m->keys;
    switch (is_json ? 1 : draw(m->chance, 8)) {
    case 0:
        buf_appendf(&m->out, "'k %d'", n);
        return;
    case 1:
        buf_appendf(&m->out, "\"k: %d\"", n);
        return;
    default:
        buf_appendf(&m->out, "k%d", n);
        return;
    }
}

static void put_flow_value(struct maker *m, size_t indent, int depth);

static void flow_gap(struct maker *m, size_t indent, bool is_wide) {
    if (is_wide) {
        buf_append_str(&m->out, is_heads(m->chance, 5) ? " # in\n" : "\n");
        indent_by(m, indent + 2);
    } else if (is_heads(m->chance, 3)) {
        buf_append_str(&m->out, " ");
    }
}

static void put_flow(struct maker *m, size_t indent, int depth, bool is_mapping) {
    size_t count = draw(m->chance, 4);
    bool is_wide = is_heads(m->chance, 4);
    bool is_json = is_heads(m->chance, 2);
    buf_append_str(&m->out, is_mapping ? "{" : "[");
    for (size_t i = 0; i < count; i++) {
        flow_gap(m, indent, is_wide);
        if (is_mapping && i == 0 && is_heads(m->chance, 6)) {
            if (put_alias(m, false, WHAT_MAPPING, "<<: ")) {
                buf_append_str(&m->out, ",");
                flow_gap(m, indent, is_wide);
            }
        }
        if (is_mapping) {
            put_key(m, is_json);
            buf_append_str(&m->out, ": ");
        }
        put_flow_value(m, indent + 2, depth);
        buf_append_str(&m->out, i + 1 < count ? "," : "");
    }
    if (is_wide && count > 0) {
        buf_append_str(&m->out, "\n");
        indent_by(m, indent);
    }
    buf_append_str(&m->out, is_mapping ? "}" : "]");
}

static void put_flow_value(struct maker *m, size_t indent, int depth) {
    size_t kind = draw(m->chance, depth > 0 ? 6 : 4);
    if (kind >= 4) {
        put_flow(m, indent, depth - 1, kind == 4);
    } else if (kind > 0 || !put_alias(m, true, WHAT_SCALAR, "")) {
        put_scalar(m);
    } else {
        buf_append_str(&m->out, " "); /* "*a1:" and "*a1," are names to some parsers */
    }
}

static void put_block_scalar(struct maker *m, size_t indent) {
    static const char *const heads[] = {"|", ">", "|-", ">+", "|+", "| # head"};
    buf_appendf(&m->out, " %s\n", heads[draw(m->chance, 6)]);
    size_t lines = 1 + draw(m->chance, 3);
    for (size_t i = 0; i < lines; i++) {
        indent_by(m, indent + 2);
        buf_append_str(&m->out, is_heads(m->chance, 3) ? "# text: x\n" : "text\n");
        buf_append_str(&m->out, is_heads(m->chance, 5) ? "\n" : "");
    }
}

static void put_long_scalar(struct maker *m, size_t indent) {
    bool is_quoted = is_heads(m->chance, 2);
    buf_append_str(&m->out, is_quoted ? " \"some\n" : " some\n");
    indent_by(m, indent + 2);
    buf_append_str(&m->out, is_quoted ? "text\"" : "text");
    end_line(m);
}

static void put_mapping(struct maker *m, size_t indent, int depth, bool is_inline);
static void put_sequence(struct maker *m, size_t indent, int depth, bool is_inline);

/* Behind "key:" or "-". `indent` is that of the entries of the collection which it belongs to. */
static void put_value(struct maker *m, size_t indent, int depth, bool is_item) {
    size_t kind = draw(m->chance, depth > 0 ? 14 : 8);
    if (kind == 0 && put_alias(m, true, WHAT_SCALAR, " ")) {
        end_line(m);
        return;
    }
    if (kind >= 10 && is_item && is_heads(m->chance, 2)) {
        size_t gap = 1 + draw(m->chance, 3);
        indent_by(m, gap);
        if (kind < 13) {
            put_mapping(m, indent + 1 + gap, depth - 1, true);
        } else {
            put_sequence(m, indent + 1 + gap, depth - 1, true);
        }
        return;
    }
    int anchor = kind != 1 ? maybe_anchor(m) : 0;
    if (kind == 1) {
        end_open(m); /* nothing: null */
    } else if (kind == 2) {
        put_block_scalar(m, indent);
        finish_anchor(m, anchor, WHAT_SCALAR);
    } else if (kind == 3) {
        put_long_scalar(m, indent);
        finish_anchor(m, anchor, WHAT_SCALAR);
    } else if (kind < 8) {
        buf_append_str(&m->out, " ");
        put_scalar(m);
        end_line(m);
        finish_anchor(m, anchor, WHAT_SCALAR);
    } else if (kind < 10) {
        buf_append_str(&m->out, " ");
        put_flow(m, indent + 2, depth - 1, kind == 8);
        end_line(m);
        finish_anchor(m, anchor, kind == 8 ? WHAT_MAPPING : WHAT_SEQUENCE);
    } else if (kind < 13) {
        end_open(m);
        put_mapping(m, indent + 1 + draw(m->chance, 4), depth - 1, false);
        finish_anchor(m, anchor, WHAT_MAPPING);
    } else {
        end_open(m);
        put_sequence(m, indent + (is_item ? 2 : 2 * draw(m->chance, 2)), depth - 1, false);
        finish_anchor(m, anchor, WHAT_SEQUENCE);
    }
}

static void put_mapping(struct maker *m, size_t indent, int depth, bool is_inline) {
    size_t count = 1 + draw(m->chance, 4);
    if (!is_inline) {
        maybe_comment(m, indent);
        indent_by(m, indent);
    }
    if (is_heads(m->chance, 8) && put_alias(m, false, WHAT_MAPPING, "<<: ")) {
        end_line(m);
        indent_by(m, indent);
    }
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            maybe_comment(m, indent);
            indent_by(m, indent);
        }
        bool is_odd = is_heads(m->chance, 20);
        buf_append_str(&m->out, is_odd ? "? " : "");
        put_key(m, false);
        if (is_odd) {
            end_line(m);
            indent_by(m, indent);
        }
        buf_append_str(&m->out, ":");
        put_value(m, indent, depth, false);
    }
}

static void put_sequence(struct maker *m, size_t indent, int depth, bool is_inline) {
    size_t count = 1 + draw(m->chance, 3);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 || !is_inline) {
            maybe_comment(m, indent);
            indent_by(m, indent);
        }
        buf_append_str(&m->out, "-");
        put_value(m, indent, depth, true);
    }
}

static void put_document(struct maker *m, bool is_first) {
    static const char *const firsts[] = {"", "---\n", "%YAML 1.1\n---\n"};
    static const char *const others[] = {"---\n", "--- # doc\n", "...\n---\n",
                                         "...\n%YAML 1.1\n---\n"};
    m->finished = 0; /* anchors end with their document */
    m->anchors = 0;
    if (is_heads(m->chance, 3)) {
        buf_append_str(&m->out, "# about this file\n");
    }
    buf_append_str(&m->out, is_first ? firsts[draw(m->chance, 3)] : others[draw(m->chance, 4)]);
    size_t kind = draw(m->chance, 8);
    if (kind == 0) {
        put_flow(m, 0, 3, is_heads(m->chance, 2));
        end_line(m);
    } else if (kind == 1) {
        put_sequence(m, 0, 3, false);
    } else {
        put_mapping(m, 0, 4, false);
    }
}

/* The file, with its line ends. */
static void make_file(struct chance *chance, struct buf *out) {
    static const char *const ends[] = {"\n", "\n", "\r\n", "\r\n", "\r"};
    struct maker m = {.chance = chance};
    size_t documents = 1 + draw(chance, 2);
    for (size_t i = 0; i < documents; i++) {
        put_document(&m, i == 0);
    }
    const char *end = ends[draw(chance, 5)];
    buf_append_str(out, is_heads(chance, 6) ? "\xef\xbb\xbf" : "");
    size_t size = m.out.size - (is_heads(chance, 4) ? 1 : 0);
    for (size_t i = 0; i < size; i++) {
        if (m.out.data[i] == '\n') {
            buf_append_str(out, end);
        } else {
            buf_append(out, m.out.data + i, 1);
        }
    }
    buf_deinit(&m.out);
}

/* --- Edits, as the tree sees them */

enum act { ACT_ADD, ACT_REPLACE, ACT_REMOVE };

struct change {
    enum act act;
    const struct yaml_node *node;
    const bool *drop;
};

struct changes {
    struct change items[MAX_EDITS];
    size_t count;
};

static void print_tree(const struct changes *c, const struct yaml_node *node, struct buf *out);

/* Those that were added go first, wherever they stand. */
static void print_entries(const struct changes *c, const struct yaml_node *node, const bool *drop,
                          bool is_first, struct buf *out) {
    for (size_t i = 0; i < node->count; i++) {
        bool is_new =
            node->kind == YAML_KIND_MAPPING && strcmp(node->pairs[i].key->value, "added") == 0;
        if ((drop != NULL && drop[i]) || is_new != is_first) {
            continue;
        }
        if (node->kind == YAML_KIND_MAPPING) {
            print_tree(c, node->pairs[i].key, out);
            buf_append_str(out, "=");
            print_tree(c, node->pairs[i].value, out);
        } else {
            print_tree(c, node->items[i], out);
        }
        buf_append_str(out, ";");
    }
}

static void print_tree(const struct changes *c, const struct yaml_node *node, struct buf *out) {
    const bool *drop = NULL;
    bool is_added = false;
    for (size_t i = 0; i < c->count; i++) {
        bool is_here = c->items[i].node == node;
        if (is_here && c->items[i].act == ACT_REPLACE) {
            buf_append_str(out, node->kind != YAML_KIND_SCALAR && node->layout == YAML_LAYOUT_BLOCK
                                    ? "{'A'='M';'O'='P';}"
                                    : "'new'");
            return;
        }
        is_added = is_added || (is_here && c->items[i].act == ACT_ADD);
        drop = is_here && c->items[i].act == ACT_REMOVE ? c->items[i].drop : drop;
    }
    if (node->kind == YAML_KIND_SCALAR) {
        buf_append_str(out, yaml_type_of(node) == YAML_TYPE_STRING ? "'" : "!'");
        buf_append(out, node->value, node->size);
        buf_append_str(out, "'");
        return;
    }
    bool is_mapping = node->kind == YAML_KIND_MAPPING;
    buf_append_str(out, is_mapping ? "{" : "[");
    if (is_added) {
        buf_append_str(out, is_mapping ? "'added'={'A'='M';'O'='P';};" : "{'A'='M';'O'='P';};");
    }
    print_entries(c, node, drop, true, out);
    print_entries(c, node, drop, false, out);
    buf_append_str(out, is_mapping ? "}" : "]");
}

static void print_file(const struct changes *c, const struct yaml_file *f, struct buf *out) {
    for (size_t i = 0; i < f->count; i++) {
        if (f->documents[i].root != NULL) {
            print_tree(c, f->documents[i].root, out);
        }
        buf_append_str(out, "\n");
    }
}

/* --- Nodes to choose from: not keys, each once */

struct nodes {
    const struct yaml_node *items[MAX_NODES];
    size_t count;
    bool has_merges;
};

static void collect(const struct yaml_node *node, struct nodes *n) {
    for (size_t i = 0; i < n->count; i++) {
        if (n->items[i] == node) {
            return;
        }
    }
    if (n->count == MAX_NODES) {
        return;
    }
    n->items[n->count++] = node;
    n->has_merges = n->has_merges || node->has_merge;
    for (size_t i = 0; i < node->count; i++) {
        collect(node->kind == YAML_KIND_MAPPING ? node->pairs[i].value : node->items[i], n);
    }
}

static bool is_inside(const struct yaml_node *inner, const struct yaml_node *outer) {
    return inner->start.offset >= outer->start.offset && inner->end.offset <= outer->end.offset;
}

/* Only additions may lie within each other. */
static bool fits(const struct changes *c, const struct change *next) {
    for (size_t i = 0; i < c->count; i++) {
        const struct change *old = &c->items[i];
        bool is_apart = !is_inside(old->node, next->node) && !is_inside(next->node, old->node);
        bool is_both_added = old->act == ACT_ADD && next->act == ACT_ADD && old->node != next->node;
        if (!is_apart && !is_both_added) {
            return false;
        }
    }
    return true;
}

static RESULT perform(struct yaml_edits *e, const struct change *c, struct err *err) {
    static const struct yaml_text pair = {"added:\n  A: M\n  O: P",
                                          "\"added\": {\"A\": \"M\", \"O\": \"P\"}"};
    static const struct yaml_text item = {"A: M\nO: P", "{\"A\": \"M\", \"O\": \"P\"}"};
    static const struct yaml_text value = {"A: M\nO: P", "\"new\""};
    if (c->act == ACT_REMOVE) {
        return yaml_edit_remove(e, c->node, c->drop, err);
    }
    if (c->act == ACT_REPLACE) {
        return yaml_edit_replace(e, c->node, value, err);
    }
    return c->node->kind == YAML_KIND_MAPPING ? yaml_edit_add_pair(e, c->node, pair, err)
                                              : yaml_edit_add_item(e, c->node, item, err);
}

/* --- Lines that stay */

static void mark(const struct yaml_file *f, size_t start, size_t end, bool *touched) {
    size_t line = 0;
    for (size_t i = 0; i < f->text.size && i < end; i++) {
        uint8_t b = f->text.data[i];
        if (i >= start) {
            touched[line] = true;
        }
        bool is_crlf = b == '\r' && i + 1 < f->text.size && f->text.data[i + 1] == '\n';
        line += (b == '\n' || b == '\r') && !is_crlf ? 1 : 0;
    }
    touched[line] = touched[line] || end >= f->text.size;
}

static void mark_change(const struct yaml_file *f, const struct change *c, bool *touched) {
    const struct yaml_node *n = c->node;
    if (c->act == ACT_REPLACE) {
        mark(f, n->content.offset, n->end.offset + 1, touched);
    }
    for (size_t i = 0; c->act == ACT_REMOVE && i < n->count; i++) {
        if (c->drop[i]) {
            mark(f, i > 0 ? n->ranges[i - 1].end : n->content.offset, n->ranges[i].end + 1,
                 touched);
        }
    }
    if (c->act == ACT_ADD) {
        mark(f, n->content.offset, n->content.offset + 1, touched); /* dash or bracket */
        mark(f, n->first, n->first + 1, touched);
    }
}

static struct span next_line(struct span *rest) {
    size_t i = 0;
    while (i < rest->size && rest->data[i] != '\n' && rest->data[i] != '\r') {
        i++;
    }
    struct span line = span_of(rest->data, i);
    i += i < rest->size && rest->data[i] == '\r' ? 1 : 0;
    i += i < rest->size && rest->data[i] == '\n' ? 1 : 0;
    *rest = span_of(rest->data + i, rest->size - i);
    return line;
}

/* Behind spaces, dashes and a BOM: what a removed first entry leaves takes its place. */
static struct span stripped(struct span line) {
    while (line.size > 0 && memchr(" -\xef\xbb\xbf", line.data[0], 5) != NULL) {
        line = span_of(line.data + 1, line.size - 1);
    }
    return line;
}

/* Every untouched line of the file is in `after`, in order. */
static bool keeps_lines(const struct yaml_file *f, const bool *touched, bool is_removal,
                        struct span after) {
    struct span rest = f->text;
    for (size_t line = 0; rest.size > 0; line++) {
        struct span old = next_line(&rest);
        bool is_found = touched[line] || (is_removal && old.size == 0);
        while (!is_found && after.size > 0) {
            struct span new_line = next_line(&after);
            is_found = span_equal(new_line, old) ||
                       (is_removal && span_equal(stripped(new_line), stripped(old)));
        }
        if (!is_found) {
            return old.size == 0 && rest.size == 0;
        }
    }
    return true;
}

/* --- One case */

struct score {
    size_t edited;
    size_t refused;
    size_t bytes;
};

static void choose(struct chance *chance, const struct nodes *n, bool *drop, struct changes *out) {
    size_t wanted = 1 + draw(chance, MAX_EDITS);
    for (size_t i = 0; i < 4 * wanted && out->count < wanted; i++) {
        const struct yaml_node *node = n->items[draw(chance, n->count)];
        struct change c = {.node = node, .act = ACT_ADD, .drop = drop};
        if (node->kind == YAML_KIND_SCALAR || is_heads(chance, 4)) {
            c.act = ACT_REPLACE;
        } else if (node->count > 0 && node->count < 64 && out->count == 0 && is_heads(chance, 4)) {
            c.act = ACT_REMOVE;
            for (size_t k = 0; k < node->count; k++) {
                drop[k] = is_heads(chance, 3);
            }
        }
        /* What changes in a merged mapping changes elsewhere, too: not in print_tree. */
        bool is_merged = n->has_merges && node->is_shared && node->kind == YAML_KIND_MAPPING;
        if (!is_merged && fits(out, &c)) {
            out->items[out->count++] = c;
        }
    }
}

static void check_edited(const struct yaml_file *f, const struct changes *c, struct span after,
                         uint64_t seed) {
    struct yaml_file again = {0};
    struct err err;
    bool *touched = mem_calloc(f->text.size + 2, sizeof *touched);
    AUTO(buf_deinit)
    struct buf want = {0};
    AUTO(buf_deinit)
    struct buf got = {0};
    for (size_t i = 0; i < c->count; i++) {
        mark_change(f, &c->items[i], touched);
    }
    const struct changes nothing = {0};
    bool is_parsed = is_ok(yaml_parse("after", after, &again, &err));
    print_file(c, f, &want);
    print_file(&nothing, &again, &got);
    bool is_kept = keeps_lines(f, touched, c->items[0].act == ACT_REMOVE, after);
    if (!is_parsed || !span_equal(buf_span(&want), buf_span(&got)) || !is_kept) {
        fail_msg("seed %llu: %s\n--- before\n%.*s\n--- after\n%.*s\n--- want\n%s\n--- got\n%s",
                 (unsigned long long)seed,
                 !is_parsed ? err.text
                 : is_kept  ? "another tree"
                            : "a line is lost",
                 (int)f->text.size, (const char *)f->text.data, (int)after.size,
                 (const char *)after.data, buf_cstr(&want), buf_cstr(&got));
    }
    mem_free(touched);
    yaml_file_deinit(&again);
}

static void run_case(uint64_t seed, struct score *score) {
    struct chance chance = {seed};
    AUTO(buf_deinit)
    struct buf text = {0};
    AUTO(buf_deinit)
    struct buf after = {0};
    struct yaml_file f = {0};
    struct err err = {0};
    make_file(&chance, &text);
    if (!is_ok(yaml_parse("f", buf_span(&text), &f, &err))) {
        fail_msg("seed %llu: %s\n%s", (unsigned long long)seed, err.text, buf_cstr(&text));
    }
    struct nodes *nodes = mem_zalloc(sizeof *nodes);
    for (size_t i = 0; i < f.count; i++) {
        if (f.documents[i].root != NULL) {
            collect(f.documents[i].root, nodes);
        }
    }
    bool drop[64] = {false};
    struct changes wanted = {0};
    struct changes done = {0};
    AUTO(yaml_edits_deinit)
    struct yaml_edits edits;
    yaml_edits_init(&edits, &f);
    choose(&chance, nodes, drop, &wanted);
    for (size_t i = 0; i < wanted.count; i++) {
        bool is_done = is_ok(perform(&edits, &wanted.items[i], &err));
        done.items[done.count] = wanted.items[i];
        done.count += is_done ? 1 : 0;
        score->edited += is_done ? 1 : 0;
        score->refused += is_done ? 0 : 1;
    }
    if (!is_ok(yaml_edits_apply(&edits, &after, &err))) {
        fail_msg("seed %llu: %s\n%s", (unsigned long long)seed, err.text, buf_cstr(&text));
    }
    check_edited(&f, &done, buf_span(&after), seed);
    score->bytes += text.size;
    mem_free(nodes);
    yaml_file_deinit(&f);
}

static void test_random_edits(void **state) {
    (void)state;
    struct score score = {0};
    for (uint64_t seed = 1; seed <= CASES; seed++) {
        run_case(seed, &score);
    }
    print_message("%d files, %zu bytes: %zu edits, %zu refused\n", CASES, score.bytes, score.edited,
                  score.refused);
    assert_true(score.edited > 10 * score.refused);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_edits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
