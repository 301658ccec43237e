/* YAML: from libyaml's events to the tree.
 *
 * The bytes are checked first (UTF-8, NUL, size), so that libyaml sees only clean text. Its marks
 * count characters; a cursor that walks along turns them into byte offsets. Open collections lie
 * on a stack of LIMIT_YAML_DEPTH frames: no recursion. Failure: INVALID with the position; nothing
 * of the half-built tree survives.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/yaml/yaml.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "lib/base/limits.h"

struct child {
    struct yaml_node *node;
    struct yaml_mark start; /* of the node, or of the alias that stands for it */
    struct yaml_mark end;
};

struct frame {
    struct yaml_node *node;
    struct child *children; /* owned; key, value, key, ... for a mapping */
    size_t count;
    size_t capacity;
};

struct anchor {
    const char *name;
    struct yaml_node *node;
};

struct loader {
    yaml_parser_t parser;
    struct yaml_file *file;
    size_t char_index;  /* cursor: characters ... */
    size_t byte_offset; /* ... and bytes from the start */
    struct frame stack[LIMIT_YAML_DEPTH];
    size_t depth;
    struct anchor anchors[LIMIT_YAML_ANCHORS]; /* of this document */
    size_t anchor_count;
    size_t node_count; /* of the file, merged pairs included */
    size_t weight;     /* of the documents so far */
    size_t document_capacity;
    struct yaml_document *documents; /* owned until the end */
    size_t document_count;
};

/* --- Errors */

RESULT yaml_fail(const struct yaml_file *file, const struct yaml_node *at, struct err *err,
                 const char *format, ...) {
    char text[ERR_TEXT_SIZE];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return err_set(err, ERR_INVALID, "%.300s:%zu:%zu: %.700s", file->name, at->start.line,
                   at->start.column, text);
}

static RESULT fail_at(const struct loader *l, struct yaml_mark at, struct err *err,
                      const char *text) {
    return err_set(err, ERR_INVALID, "%.300s:%zu:%zu: %s", l->file->name, at.line, at.column, text);
}

/* --- Bytes */

static RESULT check_bytes(const char *name, struct span text, struct err *err) {
    size_t line = 1;
    size_t column = 1;
    for (size_t i = 0; i < text.size;) {
        size_t size = utf8_size(span_of(text.data + i, text.size - i));
        ENSURE(size > 0, err, INVALID, "%.300s:%zu:%zu: not UTF-8; save the file as UTF-8", name,
               line, column);
        ENSURE(text.data[i] != 0, err, INVALID, "%.300s:%zu:%zu: a NUL byte; is this a text file?",
               name, line, column);
        column++;
        if (text.data[i] == '\n') {
            line++;
            column = 1;
        }
        i += size;
    }
    return OK;
}

static bool has_bom(struct span text) {
    return text.size >= 3 && memcmp(text.data, "\xef\xbb\xbf", 3) == 0;
}

static bool is_continuation(uint8_t byte) {
    return (byte & 0xc0) == 0x80;
}

/* Characters to bytes; marks come nearly in order, so the walk is short. */
static struct yaml_mark mark_of(struct loader *l, yaml_mark_t m) {
    struct span text = l->file->text;
    while (l->char_index < m.index && l->byte_offset < text.size) {
        do {
            l->byte_offset++;
        } while (l->byte_offset < text.size && is_continuation(text.data[l->byte_offset]));
        l->char_index++;
    }
    while (l->char_index > m.index) {
        do {
            l->byte_offset--;
        } while (is_continuation(text.data[l->byte_offset]));
        l->char_index--;
    }
    return (struct yaml_mark){l->byte_offset, m.line + 1, m.column + 1};
}

/* "{{ .Values.x }}" and "{% if %}" of charts and the like, where YAML sees no value. */
static bool is_template(const struct loader *l, struct yaml_mark at) {
    struct span text = l->file->text;
    size_t start = at.offset;
    while (start > 0 && text.data[start - 1] != '\n') {
        start--;
    }
    bool is_found = false;
    for (size_t i = start; i + 1 < text.size && text.data[i] != '\n'; i++) {
        is_found = is_found ||
                   (text.data[i] == '{' && (text.data[i + 1] == '{' || text.data[i + 1] == '%'));
    }
    return is_found;
}

static RESULT fail_template(const struct loader *l, struct yaml_mark at, struct err *err) {
    return fail_at(l, at, err,
                   "this looks like a template; render it first: helm template ... | contrast "
                   "generate -");
}

static RESULT fail_parser(struct loader *l, struct err *err) {
    const yaml_parser_t *p = &l->parser;
    if (p->error == YAML_READER_ERROR) {
        return err_set(err, ERR_INVALID, "%.300s: byte %zu: %s", l->file->name, p->problem_offset,
                       p->problem);
    }
    struct yaml_mark at = mark_of(l, p->problem_mark);
    if (is_template(l, at)) {
        return fail_template(l, at, err);
    }
    if (at.offset < l->file->text.size && l->file->text.data[at.offset] == '\t') {
        return fail_at(l, at, err, "a tab where YAML wants spaces; indent with spaces");
    }
    char text[400];
    (void)snprintf(text, sizeof text, "%s%s%s; mend the YAML here or in the lines above",
                   p->problem != NULL ? p->problem : "not YAML", p->context != NULL ? " " : "",
                   p->context != NULL ? p->context : "");
    return fail_at(l, at, err, text);
}

/* --- Nodes */

static RESULT new_node(struct loader *l, const yaml_event_t *event, enum yaml_kind kind,
                       struct yaml_node **out, struct err *err) {
    struct yaml_mark start = mark_of(l, event->start_mark);
    if (++l->node_count > LIMIT_YAML_NODES) {
        return fail_at(l, start, err, "more nodes than this program reads");
    }
    struct yaml_node *node = arena_alloc(&l->file->arena, sizeof *node);
    node->kind = kind;
    node->start = start;
    node->end = mark_of(l, event->end_mark);
    node->content = start;
    node->weight = 1;
    node->is_in_flow = l->depth > 0 && l->stack[l->depth - 1].node->layout == YAML_LAYOUT_FLOW;
    *out = node;
    return OK;
}

static void step(struct span text, struct yaml_mark *at) {
    at->column++;
    if (text.data[at->offset] == '\n') {
        at->line++;
        at->column = 1;
    }
    do {
        at->offset++;
    } while (at->offset < text.size && is_continuation(text.data[at->offset]));
}

static bool is_at(struct span text, const struct yaml_mark *at, const char *set) {
    return at->offset < text.size && text.data[at->offset] != 0 &&
           strchr(set, text.data[at->offset]) != NULL;
}

/* Over white space, line breaks and comments. */
static void skip_space(struct span text, struct yaml_mark *at) {
    while (is_at(text, at, " \t\r\n#")) {
        bool is_comment = is_at(text, at, "#");
        do {
            step(text, at);
        } while (is_comment && at->offset < text.size && !is_at(text, at, "\r\n"));
    }
}

/* Sets node->content, once tag and anchor are known: both stand before it, in any order. */
static void find_content(const struct loader *l, struct yaml_node *node) {
    struct span text = l->file->text;
    struct yaml_mark at = node->start;
    int properties = (node->tag != NULL ? 1 : 0) + (node->is_anchored ? 1 : 0);
    for (; properties > 0 && is_at(text, &at, "&!"); properties--) {
        while (at.offset < text.size && !is_at(text, &at, " \t\r\n,]}")) {
            step(text, &at);
        }
        struct yaml_mark behind = at;
        skip_space(text, &at);
        bool is_empty = node->kind == YAML_KIND_SCALAR && node->end.offset <= at.offset;
        at = is_empty ? behind : at;
    }
    /* "&a: x": the anchor of an empty key ends before the colon. */
    bool is_past = node->kind == YAML_KIND_SCALAR && at.offset > node->end.offset;
    node->content = is_past ? node->end : at;
}

static RESULT add_anchor(struct loader *l, const yaml_char_t *name, struct yaml_node *node,
                         struct err *err) {
    if (name == NULL) {
        return OK;
    }
    if (l->anchor_count == LIMIT_YAML_ANCHORS) {
        return fail_at(l, node->start, err, "more anchors than this program reads");
    }
    const char *text = (const char *)name;
    l->anchors[l->anchor_count++] =
        (struct anchor){arena_strndup(&l->file->arena, text, strlen(text)), node};
    node->is_anchored = true;
    return OK;
}

static const char *copy_tag(struct loader *l, const yaml_char_t *tag) {
    const char *text = (const char *)tag;
    return tag != NULL ? arena_strndup(&l->file->arena, text, strlen(text)) : NULL;
}

static bool is_open(const struct loader *l, const struct yaml_node *node) {
    for (size_t i = 0; i < l->depth; i++) {
        if (l->stack[i].node == node) {
            return true;
        }
    }
    return false;
}

static RESULT find_alias(struct loader *l, const yaml_event_t *event, struct yaml_node **out,
                         struct err *err) {
    const char *name = (const char *)event->data.alias.anchor;
    struct yaml_mark at = mark_of(l, event->start_mark);
    for (size_t i = l->anchor_count; i > 0; i--) {
        struct anchor *a = &l->anchors[i - 1];
        if (strcmp(a->name, name) == 0) {
            if (is_open(l, a->node)) {
                return fail_at(l, at, err, "an alias of a node that contains it");
            }
            *out = a->node;
            return OK;
        }
    }
    return fail_at(l, at, err, "an alias without its anchor before it");
}

static void push_child(struct frame *f, struct child child) {
    if (f->count == f->capacity) {
        f->capacity = f->capacity == 0 ? 8 : 2 * f->capacity;
        f->children = mem_realloc(f->children, f->capacity * sizeof *f->children);
    }
    f->children[f->count++] = child;
}

static RESULT add_root(struct loader *l, struct yaml_node *node, struct err *err) {
    l->weight += node->weight;
    if (l->weight > LIMIT_YAML_NODES) {
        return fail_at(l, node->start, err, "aliases expand to more nodes than this program reads");
    }
    l->documents[l->document_count - 1].root = node;
    return OK;
}

/* Hangs a finished node (or an alias's target) into the collection on top, or makes it the root. */
static RESULT attach(struct loader *l, struct child child, struct err *err) {
    struct yaml_node *node = child.node;
    if (l->depth == 0) {
        return add_root(l, node, err);
    }
    struct frame *top = &l->stack[l->depth - 1];
    bool is_key = top->node->kind == YAML_KIND_MAPPING && top->count % 2 == 0;
    if (is_key && node->kind != YAML_KIND_SCALAR && is_template(l, child.start)) {
        return fail_template(l, child.start, err);
    }
    if (is_key && node->kind != YAML_KIND_SCALAR) {
        return fail_at(l, child.start, err, "a mapping key that is not a scalar");
    }
    top->node->weight += node->weight;
    if (top->node->weight > LIMIT_YAML_NODES) {
        return fail_at(l, child.start, err, "aliases expand to more nodes than this program reads");
    }
    push_child(top, child);
    return OK;
}

/* The value of "? key" without a colon has the mark of the next token: it ends with its key. */
static struct yaml_mark own_end(const struct loader *l, const struct yaml_node *node) {
    size_t at = node->start.offset;
    bool is_nothing = node->kind == YAML_KIND_SCALAR && at == node->end.offset;
    const struct frame *top = l->depth > 0 ? &l->stack[l->depth - 1] : NULL;
    bool has_key = top != NULL && top->node->kind == YAML_KIND_MAPPING && top->count % 2 == 1;
    while (at > 0 && strchr(" \t", l->file->text.data[at - 1]) != NULL) {
        at--;
    }
    bool is_behind = at > 0 && l->file->text.data[at - 1] == ':';
    return is_nothing && has_key && !is_behind ? top->children[top->count - 1].end : node->end;
}

static RESULT attach_own(struct loader *l, struct yaml_node *node, struct err *err) {
    return attach(l, (struct child){node, node->start, own_end(l, node)}, err);
}

static enum yaml_layout layout_of(yaml_scalar_style_t style) {
    if (style == YAML_SINGLE_QUOTED_SCALAR_STYLE || style == YAML_DOUBLE_QUOTED_SCALAR_STYLE) {
        return YAML_LAYOUT_QUOTED;
    }
    bool is_block = style == YAML_LITERAL_SCALAR_STYLE || style == YAML_FOLDED_SCALAR_STYLE;
    return is_block ? YAML_LAYOUT_BLOCK : YAML_LAYOUT_PLAIN;
}

static RESULT on_scalar(struct loader *l, const yaml_event_t *event, struct err *err) {
    struct yaml_node *node = NULL;
    TRY(new_node(l, event, YAML_KIND_SCALAR, &node, err));
    const char *value = (const char *)event->data.scalar.value;
    node->size = event->data.scalar.length;
    node->value = arena_strndup(&l->file->arena, value, node->size);
    node->layout = layout_of(event->data.scalar.style);
    node->tag = copy_tag(l, event->data.scalar.tag);
    if (strlen(node->value) != node->size) {
        return fail_at(l, node->start, err, "a NUL character in a value");
    }
    TRY(add_anchor(l, event->data.scalar.anchor, node, err));
    find_content(l, node);
    return attach_own(l, node, err);
}

/* Marks a node and all below; what is marked already has been walked. */
static void share(struct yaml_node *node) {
    if (node->is_shared) {
        return;
    }
    node->is_shared = true;
    for (size_t i = 0; i < node->count; i++) {
        if (node->kind == YAML_KIND_MAPPING) {
            share(node->pairs[i].key);
            share(node->pairs[i].value);
        } else {
            share(node->items[i]);
        }
    }
}

static RESULT on_alias(struct loader *l, const yaml_event_t *event, struct err *err) {
    struct yaml_node *node = NULL;
    TRY(find_alias(l, event, &node, err));
    share(node);
    struct yaml_mark start = mark_of(l, event->start_mark);
    return attach(l, (struct child){node, start, mark_of(l, event->end_mark)}, err);
}

static RESULT on_start(struct loader *l, const yaml_event_t *event, struct err *err) {
    bool is_mapping = event->type == YAML_MAPPING_START_EVENT;
    struct yaml_node *node = NULL;
    TRY(new_node(l, event, is_mapping ? YAML_KIND_MAPPING : YAML_KIND_SEQUENCE, &node, err));
    if (l->depth == LIMIT_YAML_DEPTH) {
        return fail_at(l, node->start, err, "nested deeper than this program reads");
    }
    bool is_flow = is_mapping ? event->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE
                              : event->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE;
    node->layout = is_flow ? YAML_LAYOUT_FLOW : YAML_LAYOUT_BLOCK;
    node->tag =
        copy_tag(l, is_mapping ? event->data.mapping_start.tag : event->data.sequence_start.tag);
    l->stack[l->depth++] = (struct frame){.node = node};
    TRY(add_anchor(
        l, is_mapping ? event->data.mapping_start.anchor : event->data.sequence_start.anchor, node,
        err));
    find_content(l, node);
    return OK;
}

static int compare_keys(const void *a, const void *b) {
    const struct yaml_node *const *x = a;
    const struct yaml_node *const *y = b;
    int order = strcmp((*x)->value, (*y)->value);
    if (order != 0) {
        return order;
    }
    return ((*x)->start.offset > (*y)->start.offset) - ((*x)->start.offset < (*y)->start.offset);
}

static RESULT refuse_duplicates(const struct loader *l, const struct yaml_node *mapping,
                                struct err *err) {
    if (mapping->count < 2) {
        return OK;
    }
    struct yaml_node **keys = mem_calloc(mapping->count, sizeof(struct yaml_node *));
    for (size_t i = 0; i < mapping->count; i++) {
        keys[i] = mapping->pairs[i].key;
    }
    qsort(keys, mapping->count, sizeof(struct yaml_node *), compare_keys);
    struct result r = OK;
    for (size_t i = 1; i < mapping->count && is_ok(r); i++) {
        if (strcmp(keys[i - 1]->value, keys[i]->value) == 0) {
            r = yaml_fail(l->file, keys[i], err, "key \"%.100s\" stands in line %zu already",
                          keys[i]->value, keys[i - 1]->start.line);
        }
    }
    mem_free((void *)keys);
    return r;
}

/* Moves the children of a frame into its node. */
static void settle(struct loader *l, const struct frame *f) {
    struct yaml_node *node = f->node;
    bool is_mapping = node->kind == YAML_KIND_MAPPING;
    size_t step_size = is_mapping ? 2 : 1;
    node->count = f->count / step_size;
    node->first = f->count > 0 ? f->children[0].start.offset : 0;
    node->ranges = arena_alloc(&l->file->arena, (node->count + 1) * sizeof *node->ranges);
    node->pairs =
        is_mapping ? arena_alloc(&l->file->arena, (node->count + 1) * sizeof *node->pairs) : NULL;
    node->items = !is_mapping
                      ? arena_alloc(&l->file->arena, (node->count + 1) * sizeof(struct yaml_node *))
                      : NULL;
    for (size_t i = 0; i < node->count; i++) {
        const struct child *first = &f->children[step_size * i];
        const struct child *last = &f->children[step_size * i + step_size - 1];
        node->ranges[i] = (struct yaml_range){first->start.offset, last->end.offset};
        if (is_mapping) {
            node->pairs[i] = (struct yaml_pair){first->node, last->node};
        } else {
            node->items[i] = first->node;
        }
    }
}

/* A block collection ends where its last own child ends; libyaml's mark lies at the next token. */
static struct yaml_mark last_end(const struct frame *f) {
    struct yaml_mark end = f->node->start;
    for (size_t i = 0; i < f->count; i++) {
        if (f->children[i].end.offset > end.offset) {
            end = f->children[i].end;
        }
    }
    return end;
}

/* --- Merge keys, https://yaml.org/type/merge.html */

struct merge {
    struct loader *l;
    struct yaml_node *into;
    struct yaml_pair *pairs; /* in the arena, as the ranges */
    struct yaml_range *ranges;
    size_t count;
    size_t at; /* of the merge key: bytes from the start */
};

static bool is_merge_key(const struct yaml_node *key) {
    bool is_plain = key->layout == YAML_LAYOUT_PLAIN && key->tag == NULL;
    return strcmp(key->value, "<<") == 0 &&
           (is_plain || (key->tag != NULL && strcmp(key->tag, "tag:yaml.org,2002:merge") == 0));
}

static RESULT add_merged(struct merge *m, const struct yaml_pair *pair, struct err *err) {
    for (size_t i = 0; i < m->count; i++) {
        if (strcmp(m->pairs[i].key->value, pair->key->value) != 0) {
            continue;
        }
        if (m->ranges[i].end != 0 && m->ranges[i].start < m->at) {
            return yaml_fail(m->l->file, m->pairs[i].key, err,
                             "parsers disagree whether this key or that of the << below it counts; "
                             "move << to the top");
        }
        return OK;
    }
    m->ranges[m->count] = (struct yaml_range){0, 0};
    m->pairs[m->count++] = *pair;
    return OK;
}

static RESULT merge_mapping(struct merge *m, const struct yaml_node *from, struct err *err) {
    for (size_t i = 0; i < from->count; i++) {
        share(from->pairs[i].key);
        share(from->pairs[i].value);
        TRY(add_merged(m, &from->pairs[i], err));
    }
    return OK;
}

/* Adds the keys of a merge key's value to *count. */
static RESULT count_merged(const struct merge *m, const struct yaml_node *value, size_t *count,
                           struct err *err) {
    bool is_list = value->kind == YAML_KIND_SEQUENCE;
    for (size_t i = 0; i < (is_list ? value->count : 1); i++) {
        const struct yaml_node *from = is_list ? value->items[i] : value;
        if (from->kind != YAML_KIND_MAPPING) {
            return yaml_fail(m->l->file, from, err, "<< wants a mapping or a list of mappings");
        }
        *count += from->count;
    }
    m->l->node_count += *count;
    if (*count > LIMIT_YAML_MERGE || m->l->node_count > LIMIT_YAML_NODES) {
        return yaml_fail(m->l->file, m->into, err, "<< brings more keys than this program reads");
    }
    return OK;
}

/* The first of a list counts most. */
static RESULT merge_value(struct merge *m, const struct yaml_node *value, struct err *err) {
    if (value->kind == YAML_KIND_MAPPING) {
        return merge_mapping(m, value, err);
    }
    for (size_t i = 0; i < value->count; i++) {
        TRY(merge_mapping(m, value->items[i], err));
    }
    return OK;
}

static RESULT resolve_merge(struct loader *l, struct yaml_node *node, size_t index,
                            struct err *err) {
    struct merge m = {.l = l, .into = node, .at = node->ranges[index].start};
    size_t room = node->count;
    TRY(count_merged(&m, node->pairs[index].value, &room, err));
    m.pairs = arena_alloc(&l->file->arena, room * sizeof *m.pairs);
    m.ranges = arena_alloc(&l->file->arena, room * sizeof *m.ranges);
    for (size_t i = 0; i < node->count; i++) {
        if (i != index) {
            m.ranges[m.count] = node->ranges[i];
            m.pairs[m.count++] = node->pairs[i];
        }
    }
    TRY(merge_value(&m, node->pairs[index].value, err));
    node->has_merge = true;
    node->merge_end = node->ranges[index].end;
    node->pairs = m.pairs;
    node->ranges = m.ranges;
    node->count = m.count;
    return OK;
}

static RESULT resolve_merges(struct loader *l, struct yaml_node *node, struct err *err) {
    for (size_t i = 0; i < node->count; i++) {
        if (is_merge_key(node->pairs[i].key)) {
            return resolve_merge(l, node, i, err); /* there is one at most: no duplicate keys */
        }
    }
    return OK;
}

static RESULT on_end(struct loader *l, const yaml_event_t *event, struct err *err) {
    struct frame *f = &l->stack[l->depth - 1];
    struct yaml_node *node = f->node;
    settle(l, f);
    node->end = node->layout == YAML_LAYOUT_FLOW ? mark_of(l, event->end_mark) : last_end(f);
    mem_free(f->children);
    *f = (struct frame){0};
    l->depth--;
    if (node->kind == YAML_KIND_MAPPING) {
        TRY(refuse_duplicates(l, node, err));
        TRY(resolve_merges(l, node, err));
    }
    return attach_own(l, node, err);
}

static void on_document(struct loader *l) {
    if (l->document_count == l->document_capacity) {
        l->document_capacity = l->document_capacity == 0 ? 4 : 2 * l->document_capacity;
        l->documents = mem_realloc(l->documents, l->document_capacity * sizeof *l->documents);
    }
    l->documents[l->document_count++] = (struct yaml_document){0};
    l->anchor_count = 0;
}

static RESULT on_event(struct loader *l, const yaml_event_t *event, struct err *err) {
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        on_document(l);
        return OK;
    case YAML_SCALAR_EVENT:
        return on_scalar(l, event, err);
    case YAML_ALIAS_EVENT:
        return on_alias(l, event, err);
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        return on_start(l, event, err);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        return on_end(l, event, err);
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
    default:
        return OK;
    }
}

static RESULT load(struct loader *l, struct err *err) {
    bool is_end = false;
    while (!is_end) {
        yaml_event_t event;
        if (yaml_parser_parse(&l->parser, &event) == 0) {
            return fail_parser(l, err);
        }
        is_end = event.type == YAML_STREAM_END_EVENT;
        struct result r = on_event(l, &event, err);
        yaml_event_delete(&event);
        TRY(r);
    }
    return OK;
}

static void finish(struct loader *l) {
    struct yaml_file *file = l->file;
    file->count = l->document_count;
    file->documents = arena_alloc(&file->arena, (file->count + 1) * sizeof *file->documents);
    for (size_t i = 0; i < file->count; i++) {
        struct yaml_node *root = l->documents[i].root;
        bool is_empty =
            root != NULL && root->kind == YAML_KIND_SCALAR && root->size == 0 && root->tag == NULL;
        file->documents[i].root = is_empty && root->layout == YAML_LAYOUT_PLAIN ? NULL : root;
    }
}

static RESULT run(struct yaml_file *file, struct err *err) {
    struct loader *l = mem_zalloc(sizeof *l);
    l->file = file;
    l->byte_offset = has_bom(file->text) ? 3 : 0;
    CHECK(yaml_parser_initialize(&l->parser) == 1);
    yaml_parser_set_encoding(&l->parser, YAML_UTF8_ENCODING);
    size_t bom = l->byte_offset;
    yaml_parser_set_input_string(&l->parser, file->text.data + bom, file->text.size - bom);
    struct result r = load(l, err);
    if (is_ok(r)) {
        finish(l);
    }
    for (size_t i = 0; i < l->depth; i++) {
        mem_free(l->stack[i].children);
    }
    yaml_parser_delete(&l->parser);
    mem_free(l->documents);
    mem_free(l);
    return r;
}

/* --- Public */

void yaml_file_deinit(struct yaml_file *file) {
    arena_deinit(&file->arena);
    *file = (struct yaml_file){0};
}

RESULT yaml_parse(const char *name, struct span text, struct yaml_file *out, struct err *err) {
    ENSURE(text.size <= LIMIT_YAML_FILE, err, INVALID,
           "%.300s: %zu bytes, limit %d; split it into several files", name, text.size,
           LIMIT_YAML_FILE);
    TRY(check_bytes(name, text, err));
    struct yaml_file file = {0};
    file.name = arena_strndup(&file.arena, name, strlen(name));
    char *copy = arena_alloc(&file.arena, text.size + 1);
    if (text.size > 0) {
        memcpy(copy, text.data, text.size);
    }
    file.text = span_of(copy, text.size);
    struct result r = run(&file, err);
    if (!is_ok(r)) {
        yaml_file_deinit(&file);
        return r;
    }
    *out = file;
    return OK;
}
