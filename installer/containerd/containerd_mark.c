/* Marks: see the header for their forms.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/containerd/containerd_mark.h"

#include <string.h>

#include "lib/base/limits.h"
#include "lib/crypto/digest.h"

#define SET_FOR "set for "
#define WAS "was: "
#define CREATED "created this file "

struct scan {
    const char *name;
    struct span text;
    const struct toml_file *toml; /* NULL: every line counts */
    struct containerd_marks *out;
    struct err *err;
    bool is_open;            /* a block has begun... */
    struct toml_range label; /* ... of this name */
    struct toml_range was;   /* the line before keeps an old one */
    size_t was_start;        /* offset of that line */
    bool has_was;
};

/* --- Handlers */

bool containerd_handler_is_valid(struct span name) {
    for (size_t i = 0; i < name.size; i++) {
        char c = (char)name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) {
            return false;
        }
    }
    return name.size > 0 && name.size <= LIMIT_HANDLER;
}

bool containerd_handlers_has(const struct containerd_handlers *handlers, struct span name) {
    for (size_t i = 0; i < handlers->count; i++) {
        if (span_equal(span_str(handlers->names[i]), name)) {
            return true;
        }
    }
    return false;
}

void containerd_handlers_add(struct containerd_handlers *handlers, struct span name) {
    if (containerd_handlers_has(handlers, name)) {
        return;
    }
    handlers->names = mem_realloc(handlers->names, (handlers->count + 1) * sizeof *handlers->names);
    handlers->names[handlers->count++] = mem_strndup((const char *)name.data, name.size);
}

void containerd_handlers_deinit(struct containerd_handlers *handlers) {
    for (size_t i = 0; i < handlers->count; i++) {
        mem_free(handlers->names[i]);
    }
    mem_free(handlers->names);
    *handlers = (struct containerd_handlers){0};
}

/* --- Marks */

void containerd_marks_deinit(struct containerd_marks *marks) {
    for (size_t i = 0; i < marks->count; i++) {
        containerd_handlers_deinit(&marks->items[i].handlers);
    }
    mem_free(marks->items);
    *marks = (struct containerd_marks){0};
}

struct containerd_mark *containerd_mark_at(const struct containerd_marks *marks, size_t offset) {
    for (size_t i = 0; i < marks->count; i++) {
        struct toml_range range = marks->items[i].range;
        if (offset >= range.start && offset < range.end) {
            return &marks->items[i];
        }
    }
    return NULL;
}

bool containerd_mark_has(const struct containerd_mark *mark, const char *handler) {
    return containerd_handlers_has(&mark->handlers, span_str(handler));
}

void containerd_mark_digest(struct span lines, char out[CONTAINERD_DIGEST_SIZE]) {
    AUTO(buf_deinit)
    struct buf plain = {0};
    for (size_t i = 0; i < lines.size; i++) {
        if (lines.data[i] != '\r') {
            buf_append_u8(&plain, lines.data[i]);
        }
    }
    uint8_t digest[SHA256_SIZE];
    sha256(buf_span(&plain), digest);
    hex_encode(span_of(digest, (CONTAINERD_DIGEST_SIZE - 1) / 2), out);
}

void containerd_mark_block(const char *label, const char *body, struct buf *out) {
    AUTO(buf_deinit)
    struct buf lines = {0};
    char digest[CONTAINERD_DIGEST_SIZE];
    buf_appendf(&lines, "%s\n", body);
    containerd_mark_digest(buf_span(&lines), digest);
    buf_appendf(out, CONTAINERD_MARK "%s begin\n%s\n" CONTAINERD_MARK "%s end %s", label, body,
                label, digest);
}

/* --- Reading */

static struct span slice(const struct scan *s, struct toml_range range) {
    return span_of(s->text.data + range.start, range.end - range.start);
}

static RESULT fail_at(const struct scan *s, size_t offset, const char *what) {
    size_t line = 1;
    for (size_t i = 0; i < offset; i++) {
        line += s->text.data[i] == '\n';
    }
    return err_set(s->err, ERR_CHANGED, "%.300s:%zu: %s", s->name, line, what);
}

static bool starts_with(struct span text, const char *prefix) {
    size_t size = strlen(prefix);
    return text.size >= size && memcmp(text.data, prefix, size) == 0;
}

static bool ends_with(struct span text, const char *suffix) {
    size_t size = strlen(suffix);
    return text.size >= size && memcmp(text.data + text.size - size, suffix, size) == 0;
}

/* Handlers with one space between them. */
static RESULT read_list(const struct scan *s, struct toml_range list,
                        struct containerd_handlers *out) {
    size_t start = list.start;
    for (size_t i = list.start; i <= list.end; i++) {
        if (i < list.end && s->text.data[i] != ' ') {
            continue;
        }
        struct span name = slice(s, (struct toml_range){start, i});
        if (!containerd_handler_is_valid(name) || out->count == LIMIT_HANDLERS) {
            return fail_at(s, list.start,
                           "this comment is ours, but names no handlers any more; "
                           "put the line back as it was");
        }
        containerd_handlers_add(out, name);
        start = i + 1;
    }
    return OK;
}

static struct containerd_mark *add(struct scan *s, enum containerd_mark_kind kind,
                                   struct toml_range range) {
    struct containerd_marks *out = s->out;
    out->items = mem_realloc(out->items, (out->count + 1) * sizeof *out->items);
    struct containerd_mark *mark = &out->items[out->count++];
    *mark = (struct containerd_mark){.kind = kind, .range = range};
    return mark;
}

/* "<label> begin": the label is a handler, or "set for " and handlers. */
static RESULT begin_block(struct scan *s, struct toml_range line, struct toml_range label,
                          size_t next) {
    if (s->is_open) {
        return fail_at(s, line.start,
                       "a block of ours begins within another; put the end of the "
                       "first one back");
    }
    bool is_shared = starts_with(slice(s, label), SET_FOR);
    struct containerd_mark *mark =
        add(s, is_shared ? CONTAINERD_MARK_SHARED : CONTAINERD_MARK_BLOCK, line);
    mark->lists[0] = label;
    mark->lists[0].start += is_shared ? strlen(SET_FOR) : 0;
    mark->body.start = next;
    s->is_open = true;
    s->label = label;
    TRY(read_list(s, mark->lists[0], &mark->handlers));
    if (!is_shared && mark->handlers.count > 1) {
        return fail_at(s, line.start, "a block of ours names two handlers; put the line back");
    }
    return OK;
}

/* "<label> end <digest>" */
static RESULT end_block(struct scan *s, struct toml_range line, struct toml_range rest) {
    size_t tail = strlen(" end ") + CONTAINERD_DIGEST_SIZE - 1;
    struct toml_range label = {rest.start, rest.end - tail};
    if (!s->is_open || !span_equal(slice(s, label), slice(s, s->label))) {
        return fail_at(s, line.start,
                       "a block of ours ends that has not begun; put its first "
                       "line back, or remove the rest of it");
    }
    struct containerd_mark *mark = &s->out->items[s->out->count - 1];
    mark->range.end = line.end;
    mark->body.end = line.start;
    mark->lists[1] = label;
    mark->lists[1].start += mark->kind == CONTAINERD_MARK_SHARED ? strlen(SET_FOR) : 0;
    memcpy(mark->digest, s->text.data + rest.end - CONTAINERD_DIGEST_SIZE + 1,
           CONTAINERD_DIGEST_SIZE - 1);
    char digest[CONTAINERD_DIGEST_SIZE];
    containerd_mark_digest(slice(s, mark->body), digest);
    mark->is_edited = memcmp(digest, mark->digest, sizeof digest) != 0;
    s->is_open = false;
    return OK;
}

static bool is_end(struct span rest) {
    size_t tail = strlen(" end ") + CONTAINERD_DIGEST_SIZE - 1;
    return rest.size > tail && starts_with(span_of(rest.data + rest.size - tail, tail), " end ");
}

/* As we write it: lower-case digits up to the end. */
static bool ends_in_digest(struct span text) {
    size_t size = CONTAINERD_DIGEST_SIZE - 1;
    for (size_t i = 0; i < size && text.size >= size; i++) {
        uint8_t c = text.data[text.size - size + i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
    }
    return text.size >= size;
}

static RESULT read_created(struct scan *s, struct toml_range line, struct span rest) {
    size_t size = strlen(CREATED);
    if (line.start != 0 || rest.size != size + CONTAINERD_DIGEST_SIZE - 1 ||
        !ends_in_digest(rest)) {
        return fail_at(s, line.start, "this comment of ours belongs to the first line, unchanged");
    }
    struct containerd_mark *mark = add(s, CONTAINERD_MARK_CREATED, line);
    memcpy(mark->digest, rest.data + size, CONTAINERD_DIGEST_SIZE - 1);
    return OK;
}

/* A line that starts with our mark; `rest` is what follows it. */
static RESULT read_whole_line(struct scan *s, struct toml_range line, struct toml_range rest,
                              size_t next) {
    struct span text = slice(s, rest);
    if (starts_with(text, WAS) && !s->is_open) {
        s->has_was = true;
        s->was_start = line.start;
        s->was = (struct toml_range){rest.start + strlen(WAS), rest.end};
        return OK;
    }
    if (is_end(text)) {
        return end_block(s, line, rest);
    }
    if (ends_with(text, " begin")) {
        rest.end -= strlen(" begin");
        return begin_block(s, line, rest, next);
    }
    if (s->is_open) {
        return OK; /* the digest judges it */
    }
    if (starts_with(text, CREATED)) {
        return read_created(s, line, text);
    }
    return fail_at(s, line.start,
                   "a comment of ours that this version does not know; put the "
                   "line back as it was, or update the installer");
}

/* "text # mark set for handlers" */
static RESULT read_tail(struct scan *s, struct toml_range line, size_t comment, size_t next) {
    struct toml_range list = {comment + strlen(CONTAINERD_MARK SET_FOR), line.end};
    struct toml_range body = {line.start, comment};
    while (body.end > body.start && s->text.data[body.end - 1] == ' ') {
        body.end--;
    }
    bool is_item = ends_with(slice(s, body), CONTAINERD_GLOB "\",");
    struct containerd_mark *mark =
        add(s, is_item ? CONTAINERD_MARK_ITEM : CONTAINERD_MARK_LINE, line);
    if (is_item) {
        mark->range.end = next;
        mark->range.start = body.end - strlen(CONTAINERD_GLOB "\",");
        while (mark->range.start > line.start && s->text.data[mark->range.start] != '"') {
            mark->range.start--;
        }
        body.start = mark->range.start;
    } else if (s->has_was) {
        mark->range.start = s->was_start;
        mark->was = s->was;
        s->has_was = false;
    }
    mark->is_import = is_item || ends_with(slice(s, body), CONTAINERD_GLOB "\"]");
    mark->body = body;
    mark->lists[0] = list;
    return read_list(s, list, &mark->handlers);
}

static bool is_comment(const struct scan *s, size_t offset) {
    if (s->toml == NULL) {
        return true;
    }
    size_t low = 0;
    size_t high = s->toml->comment_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->toml->comments[middle].start < offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < s->toml->comment_count && s->toml->comments[low].start == offset;
}

static RESULT read_line(struct scan *s, struct toml_range line, size_t next) {
    struct span text = slice(s, line);
    bool had_was = s->has_was;
    if (starts_with(text, CONTAINERD_MARK) && is_comment(s, line.start)) {
        struct toml_range rest = {line.start + strlen(CONTAINERD_MARK), line.end};
        TRY(read_whole_line(s, line, rest, next));
    } else if (!s->is_open && text.size > 0) {
        const uint8_t *found =
            memmem(text.data, text.size, CONTAINERD_MARK SET_FOR, strlen(CONTAINERD_MARK SET_FOR));
        size_t comment = found != NULL ? (size_t)(found - s->text.data) : 0;
        if (found != NULL && is_comment(s, comment)) {
            TRY(read_tail(s, line, comment, next));
        }
    }
    if (had_was && s->has_was) {
        return fail_at(s, s->was_start,
                       "a line is kept here, but the one that replaced it is "
                       "gone; remove this comment");
    }
    return OK;
}

static RESULT read_lines(struct scan *s) {
    size_t at = 0;
    while (at < s->text.size) {
        const uint8_t *lf = memchr(s->text.data + at, '\n', s->text.size - at);
        size_t end = lf != NULL ? (size_t)(lf - s->text.data) : s->text.size;
        size_t next = lf != NULL ? end + 1 : end;
        if (end > at && s->text.data[end - 1] == '\r') {
            end--;
        }
        TRY(read_line(s, (struct toml_range){at, end}, next));
        at = next;
    }
    if (s->is_open) {
        return fail_at(s, s->label.start,
                       "a block of ours begins here and never ends; put its "
                       "last line back, or remove all of it");
    }
    if (s->has_was) {
        return fail_at(s, s->was_start,
                       "a line is kept here, but the one that replaced it is "
                       "gone; remove this comment");
    }
    return OK;
}

RESULT containerd_marks_find(const char *name, struct span text, const struct toml_file *toml,
                             struct containerd_marks *out, struct err *err) {
    struct containerd_marks marks = {0};
    struct scan s = {.name = name, .text = text, .toml = toml, .out = &marks, .err = err};
    struct result r = read_lines(&s);
    if (!is_ok(r)) {
        containerd_marks_deinit(&marks);
        return r;
    }
    *out = marks;
    return OK;
}
