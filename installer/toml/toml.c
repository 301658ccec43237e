/* TOML: structure of a file; see the header. Scalars are in toml_scan.c.
 *
 * One pass over the lines. Tables know how they came to be, and that decides who may add to them:
 *
 *     met by          missing    IMPLICIT     HEADER, ELEMENT   DOTTED    INLINE, values
 *     [x], last       made       becomes it   refused           refused   refused
 *     [x.y], before   IMPLICIT   walked       walked            walked    refused
 *     x.y = before    DOTTED     becomes it   refused           walked    refused
 *
 * A DOTTED table is closed when the section of its header ends: no later key can reach it, because
 * the table that it stands in is opened only once. An array of tables stands for its last element
 * when a header walks it. (TOML 1.0, "Table" and "Keys".) Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/toml/toml.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "installer/toml/toml_scan.h"
#include "lib/base/limits.h"

struct key_part {
    const char *text; /* in the arena */
    size_t size;
    size_t end; /* offset behind it */
};

struct key_path {
    struct key_part parts[LIMIT_TOML_DEPTH];
    size_t count;
    size_t start; /* offset of the first part */
};

void toml_file_deinit(struct toml_file *file) {
    mem_free(file->name);
    mem_free(file->comments);
    arena_deinit(&file->arena);
    *file = (struct toml_file){0};
}

/* --- Positions */

size_t toml_line(const struct toml_file *file, size_t offset) {
    size_t line = 1;
    for (size_t i = 0; i < offset && i < file->text.size; i++) {
        line += file->text.data[i] == '\n';
    }
    return line;
}

static size_t column_of(const struct toml_file *file, size_t offset) {
    size_t column = 1;
    for (size_t i = offset < file->text.size ? offset : file->text.size;
         i > 0 && file->text.data[i - 1] != '\n'; i--) {
        column += (file->text.data[i - 1] & 0xc0) != 0x80; /* not inside of a character */
    }
    return column;
}

RESULT toml_fail(const struct toml_file *file, size_t offset, struct err *err, const char *format,
                 ...) {
    char text[ERR_TEXT_SIZE / 2];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return err_set(err, ERR_INVALID, "%.300s:%zu:%zu: %s", file->name, toml_line(file, offset),
                   column_of(file, offset), text);
}

/* --- Nodes */

static bool key_is(const struct toml_entry *entry, const char *key, size_t size) {
    return entry->key_size == size && memcmp(entry->key, key, size) == 0;
}

static struct toml_entry *find(const struct toml_node *table, const char *key, size_t size) {
    for (struct toml_entry *e = table->first; e != NULL; e = e->next) {
        if (key_is(e, key, size)) {
            return e;
        }
    }
    return NULL;
}

static RESULT check_room(struct toml_cursor *c) {
    return c->nodes++ < LIMIT_TOML_NODES ? OK
                                         : toml__fail(c, "too many keys and values in this file");
}

/* Adds an entry whose value is still to be filled; without a path: an item. */
static struct toml_entry *add_entry(struct toml_cursor *c, struct toml_node *to,
                                    const struct key_path *path, size_t part) {
    CHECK(to != NULL);
    struct toml_entry *entry = arena_alloc(&c->file->arena, sizeof *entry);
    entry->value = arena_alloc(&c->file->arena, sizeof *entry->value);
    if (path != NULL) {
        entry->key = path->parts[part].text;
        entry->key_size = path->parts[part].size;
        entry->key_range = (struct toml_range){path->start, path->parts[part].end};
    }
    if (to->last == NULL) {
        to->first = entry;
    } else {
        to->last->next = entry;
    }
    to->last = entry;
    to->count++;
    return entry;
}

static void make_table(struct toml_node *node, enum toml_origin origin, struct toml_range range) {
    node->kind = TOML_KIND_TABLE;
    node->origin = origin;
    node->range = range;
}

/* --- White space and comments */

static void skip_blanks(struct toml_cursor *c) {
    while (toml__peek(c, 0) == ' ' || toml__peek(c, 0) == '\t') {
        c->at++;
    }
}

static void keep_comment(struct toml_cursor *c, struct toml_range range) {
    struct toml_file *file = c->file;
    if (file->comment_count == c->comment_capacity) {
        c->comment_capacity = c->comment_capacity == 0 ? 16 : 2 * c->comment_capacity;
        file->comments = mem_realloc(file->comments, c->comment_capacity * sizeof *file->comments);
    }
    file->comments[file->comment_count++] = range;
}

static bool is_line_end(const struct toml_cursor *c) {
    return toml__peek(c, 0) == '\n' || (toml__peek(c, 0) == '\r' && toml__peek(c, 1) == '\n');
}

static RESULT skip_comment(struct toml_cursor *c) {
    if (toml__peek(c, 0) != '#') {
        return OK;
    }
    size_t start = c->at;
    while (toml__peek(c, 0) >= 0 && !is_line_end(c)) {
        int byte = toml__peek(c, 0);
        if ((byte < ' ' && byte != '\t') || byte == 0x7f) {
            return toml__fail(c, "a control character in a comment; remove it");
        }
        c->at++;
    }
    keep_comment(c, (struct toml_range){start, c->at});
    return OK;
}

static void skip_line_end(struct toml_cursor *c) {
    if (is_line_end(c)) {
        c->at += toml__peek(c, 0) == '\r' ? 2 : 1;
    }
}

/* Nothing but a comment may follow on the line. */
static RESULT end_line(struct toml_cursor *c) {
    skip_blanks(c);
    TRY(skip_comment(c));
    if (toml__peek(c, 0) >= 0 && !is_line_end(c)) {
        return toml__fail(c, "more on this line than one key or one header; start a new line");
    }
    skip_line_end(c);
    return OK;
}

/* Between the items of an array. */
static RESULT skip_lines(struct toml_cursor *c) {
    for (;;) {
        size_t before = c->at;
        skip_blanks(c);
        TRY(skip_comment(c));
        skip_line_end(c);
        if (c->at == before) {
            return OK;
        }
    }
}

/* --- Keys */

static RESULT parse_path(struct toml_cursor *c, struct key_path *path) {
    path->count = 0;
    path->start = c->at;
    for (;;) {
        if (path->count == LIMIT_TOML_DEPTH) {
            return toml__fail(c, "too many parts in this key");
        }
        struct key_part *part = &path->parts[path->count++];
        TRY(toml__scan_key(c, &part->text, &part->size));
        part->end = c->at;
        skip_blanks(c);
        if (toml__peek(c, 0) != '.') {
            return OK;
        }
        c->at++;
        skip_blanks(c);
    }
}

/* An error about the key up to `part`: what, its text, and where it stood before. */
static RESULT fail_key(const struct toml_cursor *c, const struct key_path *path, size_t part,
                       const char *what, const struct toml_entry *first) {
    const char *text = (const char *)c->file->text.data + path->start;
    int size = (int)(path->parts[part].end - path->start);
    if (size > 200) {
        size = 200;
    }
    return toml_fail(c->file, path->start, c->err, "%.*s: %s (line %zu)", size, text, what,
                     toml_line(c->file, first->key_range.start));
}

/* --- Values */

static RESULT parse_value(struct toml_cursor *c, struct toml_node *node, size_t depth);

static RESULT parse_array(struct toml_cursor *c, struct toml_node *node, size_t depth) {
    node->kind = TOML_KIND_ARRAY;
    node->origin = TOML_ORIGIN_INLINE;
    c->at++;
    for (;;) {
        TRY(skip_lines(c));
        if (toml__peek(c, 0) == ']') {
            break;
        }
        TRY(check_room(c));
        struct toml_entry *item = add_entry(c, node, NULL, 0);
        TRY(parse_value(c, item->value, depth + 1));
        TRY(skip_lines(c));
        if (toml__peek(c, 0) != ',') {
            break;
        }
        c->at++;
    }
    if (toml__peek(c, 0) != ']') {
        return toml__fail(c, "',' or ']' is missing in this array");
    }
    c->at++;
    return OK;
}

/* The table that the last part of a dotted key goes into. */
static RESULT walk_dotted(struct toml_cursor *c, struct toml_node *table,
                          const struct key_path *path, struct toml_node **out) {
    for (size_t i = 0; i + 1 < path->count; i++) {
        struct toml_entry *entry = find(table, path->parts[i].text, path->parts[i].size);
        if (entry == NULL) {
            TRY(check_room(c));
            entry = add_entry(c, table, path, i);
            make_table(entry->value, TOML_ORIGIN_DOTTED, entry->key_range);
        }
        struct toml_node *node = entry->value;
        bool is_table = node->kind == TOML_KIND_TABLE;
        if (is_table && node->origin == TOML_ORIGIN_IMPLICIT) {
            entry->key_range = (struct toml_range){path->start, path->parts[i].end};
            make_table(node, TOML_ORIGIN_DOTTED, entry->key_range);
        }
        if (!is_table || node->origin != TOML_ORIGIN_DOTTED) {
            return fail_key(c, path, i, "is defined already and cannot be added to here", entry);
        }
        table = node;
    }
    *out = table;
    return OK;
}

static RESULT parse_pair(struct toml_cursor *c, struct toml_node *table, size_t depth) {
    struct key_path path;
    TRY(parse_path(c, &path));
    if (toml__peek(c, 0) != '=') {
        return toml__fail(c, "'=' is missing behind the key");
    }
    TRY(walk_dotted(c, table, &path, &table));
    size_t last = path.count - 1;
    struct toml_entry *entry = find(table, path.parts[last].text, path.parts[last].size);
    if (entry != NULL) {
        return fail_key(c, &path, last, "is defined twice; remove one", entry);
    }
    c->at++;
    skip_blanks(c);
    TRY(check_room(c));
    entry = add_entry(c, table, &path, last);
    return parse_value(c, entry->value, depth);
}

static RESULT parse_inline_table(struct toml_cursor *c, struct toml_node *node, size_t depth) {
    make_table(node, TOML_ORIGIN_INLINE, node->range);
    c->at++;
    skip_blanks(c);
    while (toml__peek(c, 0) != '}' || node->count > 0) {
        TRY(parse_pair(c, node, depth + 1));
        skip_blanks(c);
        if (toml__peek(c, 0) != ',') {
            break;
        }
        c->at++;
        skip_blanks(c);
    }
    if (toml__peek(c, 0) != '}') {
        return toml__fail(c, "',' or '}' is missing in this table on one line");
    }
    c->at++;
    return OK;
}

static RESULT parse_value(struct toml_cursor *c, struct toml_node *node, size_t depth) {
    if (depth >= LIMIT_TOML_DEPTH) {
        return toml__fail(c, "too deeply nested");
    }
    node->range.start = c->at;
    int byte = toml__peek(c, 0);
    if (byte == '[') {
        TRY(parse_array(c, node, depth));
    } else if (byte == '{') {
        TRY(parse_inline_table(c, node, depth));
    } else if (byte == '"' || byte == '\'') {
        TRY(toml__scan_string(c, node));
    } else {
        TRY(toml__scan_plain(c, node));
    }
    node->range.end = c->at;
    return OK;
}

/* --- Headers */

/* The table that the last part of a header goes into. */
static RESULT walk_header(struct toml_cursor *c, const struct key_path *path,
                          struct toml_node **out) {
    struct toml_node *table = c->file->root;
    for (size_t i = 0; i + 1 < path->count; i++) {
        struct toml_entry *entry = find(table, path->parts[i].text, path->parts[i].size);
        if (entry == NULL) {
            TRY(check_room(c));
            entry = add_entry(c, table, path, i);
            make_table(entry->value, TOML_ORIGIN_IMPLICIT, entry->key_range);
        }
        table = entry->value;
        if (table->kind == TOML_KIND_ARRAY && table->origin == TOML_ORIGIN_HEADER) {
            table = table->last->value;
        }
        if (table->kind != TOML_KIND_TABLE || table->origin == TOML_ORIGIN_INLINE) {
            return fail_key(c, path, i, "is a value, not a table that can be added to", entry);
        }
    }
    *out = table;
    return OK;
}

/* [name] */
static RESULT open_table(struct toml_cursor *c, const struct key_path *path, struct toml_node *in,
                         struct toml_range range, struct toml_node **out) {
    size_t last = path->count - 1;
    struct toml_entry *entry = find(in, path->parts[last].text, path->parts[last].size);
    if (entry == NULL) {
        TRY(check_room(c));
        entry = add_entry(c, in, path, last);
        make_table(entry->value, TOML_ORIGIN_IMPLICIT, range);
    }
    struct toml_node *node = entry->value;
    if (node->kind != TOML_KIND_TABLE || node->origin != TOML_ORIGIN_IMPLICIT) {
        return fail_key(c, path, last, "is defined twice; remove one, or merge them", entry);
    }
    make_table(node, TOML_ORIGIN_HEADER, range);
    *out = node;
    return OK;
}

/* [[name]] */
static RESULT open_element(struct toml_cursor *c, const struct key_path *path, struct toml_node *in,
                           struct toml_range range, struct toml_node **out) {
    size_t last = path->count - 1;
    struct toml_entry *entry = find(in, path->parts[last].text, path->parts[last].size);
    if (entry == NULL) {
        TRY(check_room(c));
        entry = add_entry(c, in, path, last);
        entry->value->kind = TOML_KIND_ARRAY;
        entry->value->origin = TOML_ORIGIN_HEADER;
        entry->value->range = range;
    }
    struct toml_node *array = entry->value;
    if (array->kind != TOML_KIND_ARRAY || array->origin != TOML_ORIGIN_HEADER) {
        return fail_key(c, path, last, "is defined already, and not as [[ ]]", entry);
    }
    TRY(check_room(c));
    struct toml_entry *item = add_entry(c, array, NULL, 0);
    make_table(item->value, TOML_ORIGIN_ELEMENT, range);
    *out = item->value;
    return OK;
}

static RESULT parse_header(struct toml_cursor *c, struct toml_node **out) {
    size_t start = c->at;
    bool is_element = toml__peek(c, 1) == '[';
    c->at += is_element ? 2 : 1;
    skip_blanks(c);
    struct key_path path;
    TRY(parse_path(c, &path));
    if (toml__peek(c, 0) != ']' || (is_element && toml__peek(c, 1) != ']')) {
        return toml__fail(c, "']' is missing at the end of this header");
    }
    c->at += is_element ? 2 : 1;
    struct toml_range range = {start, c->at};
    struct toml_node *in = NULL;
    TRY(walk_header(c, &path, &in));
    return is_element ? open_element(c, &path, in, range, out)
                      : open_table(c, &path, in, range, out);
}

/* --- The file */

static RESULT check_text(const struct toml_cursor *c) {
    struct span text = c->file->text;
    if (text.size >= 3 && memcmp(text.data, "\xef\xbb\xbf", 3) == 0) {
        return toml__fail_at(c, 0, "starts with a byte order mark; save it without one");
    }
    for (size_t i = 0; i < text.size;) {
        size_t size = utf8_size(span_of(text.data + i, text.size - i));
        if (size == 0) {
            return toml__fail_at(c, i, "not UTF-8; save the file in that encoding");
        }
        i += size;
    }
    return OK;
}

static RESULT parse_lines(struct toml_cursor *c) {
    struct toml_node *table = c->file->root;
    while (toml__peek(c, 0) >= 0) {
        skip_blanks(c);
        int byte = toml__peek(c, 0);
        if (byte == '[') {
            TRY(parse_header(c, &table));
        } else if (byte >= 0 && byte != '#' && !is_line_end(c)) {
            TRY(parse_pair(c, table, 0));
        }
        TRY(end_line(c));
    }
    return OK;
}

RESULT toml_parse(const char *name, struct span text, struct toml_file *out, struct err *err) {
    ENSURE(text.size <= LIMIT_TOML_FILE, err, TOO_LARGE, "%.300s: %zu bytes, at most %d", name,
           text.size, LIMIT_TOML_FILE);
    struct toml_file file = {.name = mem_strdup(name)};
    const char *copy = arena_strndup(&file.arena, (const char *)text.data, text.size);
    file.text = span_of(copy, text.size);
    file.root = arena_alloc(&file.arena, sizeof *file.root);
    make_table(file.root, TOML_ORIGIN_IMPLICIT, (struct toml_range){0, 0});
    struct toml_cursor c = {.file = &file, .err = err};
    struct result r = check_text(&c);
    if (is_ok(r)) {
        r = parse_lines(&c);
    }
    if (!is_ok(r)) {
        toml_file_deinit(&file);
        return r;
    }
    *out = file;
    return OK;
}

/* --- Looking things up */

const struct toml_entry *toml_entry_of(const struct toml_node *table, const char *key) {
    return toml_is(table, TOML_KIND_TABLE) ? find(table, key, strlen(key)) : NULL;
}

const struct toml_node *toml_key(const struct toml_node *table, const char *key) {
    const struct toml_entry *entry = toml_entry_of(table, key);
    return entry != NULL ? entry->value : NULL;
}

const struct toml_node *toml_get(const struct toml_node *table, const char *const path[]) {
    for (size_t i = 0; path[i] != NULL; i++) {
        table = toml_key(table, path[i]);
    }
    return table;
}

const char *toml_string(const struct toml_node *node) {
    bool is_text = toml_is(node, TOML_KIND_STRING) && strlen(node->string) == node->size;
    return is_text ? node->string : NULL;
}

/* --- Writing */

void toml_encode_string(const char *text, struct buf *out) {
    buf_append_u8(out, '"');
    for (const char *p = text; *p != '\0'; p++) {
        unsigned char byte = (unsigned char)*p;
        if (byte == '"' || byte == '\\') {
            buf_append_u8(out, '\\');
            buf_append_u8(out, byte);
        } else if (byte < ' ' || byte == 0x7f) {
            buf_appendf(out, "\\u%04X", byte);
        } else {
            buf_append_u8(out, byte);
        }
    }
    buf_append_u8(out, '"');
}

void toml_encode_key(const char *key, struct buf *out) {
    bool is_bare = key[0] != '\0';
    for (const char *p = key; *p != '\0'; p++) {
        is_bare = is_bare && toml__is_bare((unsigned char)*p);
    }
    if (is_bare) {
        buf_append_str(out, key);
    } else {
        toml_encode_string(key, out);
    }
}
