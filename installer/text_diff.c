/* A unified diff: longest common subsequence of lines, by the table of lengths.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/text_diff.h"

#include <string.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

#define CONTEXT 3

struct lines {
    struct span *items; /* owned; each with its line feed, if it has one */
    size_t count;
};

static struct lines split(struct span text) {
    struct lines lines = {0};
    size_t capacity = 0;
    for (size_t at = 0; at < text.size;) {
        const uint8_t *end = memchr(text.data + at, '\n', text.size - at);
        size_t size = end != NULL ? (size_t)(end - text.data) + 1 - at : text.size - at;
        if (lines.count == capacity) {
            capacity = capacity * 2 + 64;
            lines.items = mem_realloc(lines.items, capacity * sizeof *lines.items);
        }
        lines.items[lines.count++] = span_of(text.data + at, size);
        at += size;
    }
    return lines;
}

/* What becomes of the lines: ' ' both, '-' old, '+' new; `line` is that of the side it is on. */
struct change {
    char sign;
    struct span line;
};

struct script {
    struct change *items; /* owned */
    size_t count;
};

static void add(struct script *s, char sign, struct span line) {
    s->items[s->count++] = (struct change){sign, line};
}

/* length[i][j]: of the longest common subsequence of a[i..] and b[j..]. */
static void compare(const struct span *a, size_t a_count, const struct span *b, size_t b_count,
                    struct script *out) {
    size_t width = b_count + 1;
    uint16_t *length = mem_calloc((a_count + 1) * width, sizeof *length);
    for (size_t i = a_count; i-- > 0;) {
        for (size_t j = b_count; j-- > 0;) {
            uint16_t down = length[(i + 1) * width + j];
            uint16_t right = length[i * width + j + 1];
            uint16_t best = down > right ? down : right;
            if (span_equal(a[i], b[j])) {
                best = (uint16_t)(length[(i + 1) * width + j + 1] + 1);
            }
            length[i * width + j] = best;
        }
    }
    size_t i = 0;
    size_t j = 0;
    while (i < a_count || j < b_count) {
        if (i < a_count && j < b_count && span_equal(a[i], b[j])) {
            add(out, ' ', a[i++]);
            j++;
        } else if (j == b_count ||
                   (i < a_count && length[(i + 1) * width + j] >= length[i * width + j + 1])) {
            add(out, '-', a[i++]);
        } else {
            add(out, '+', b[j++]);
        }
    }
    mem_free(length);
}

static void make_script(const struct lines *a, const struct lines *b, struct script *out) {
    size_t start = 0;
    size_t least = a->count < b->count ? a->count : b->count;
    while (start < least && span_equal(a->items[start], b->items[start])) {
        add(out, ' ', a->items[start++]);
    }
    size_t end = 0;
    while (end < least - start &&
           span_equal(a->items[a->count - 1 - end], b->items[b->count - 1 - end])) {
        end++;
    }
    size_t a_count = a->count - start - end;
    size_t b_count = b->count - start - end;
    if (a_count <= LIMIT_DIFF_LINES && b_count <= LIMIT_DIFF_LINES) {
        compare(a->items + start, a_count, b->items + start, b_count, out);
    } else {
        for (size_t i = 0; i < a_count; i++) {
            add(out, '-', a->items[start + i]);
        }
        for (size_t i = 0; i < b_count; i++) {
            add(out, '+', b->items[start + i]);
        }
    }
    for (size_t i = 0; i < end; i++) {
        add(out, ' ', a->items[a->count - end + i]);
    }
}

/* Behind the changes that are at most 2 * CONTEXT lines apart. */
static size_t hunk_end(const struct script *s, size_t from) {
    size_t end = from;
    for (size_t i = from, same = 0; i < s->count && same <= (size_t)2 * CONTEXT; i++) {
        same = s->items[i].sign == ' ' ? same + 1 : 0;
        end = same == 0 ? i + 1 : end;
    }
    return end;
}

static void append_line(struct buf *out, const struct change *c) {
    buf_append(out, &c->sign, 1);
    bool has_feed = c->line.size > 0 && c->line.data[c->line.size - 1] == '\n';
    for (size_t i = 0; i < c->line.size - (has_feed ? 1 : 0); i++) {
        uint8_t byte = c->line.data[i];
        bool is_return = byte == '\r' && i + 2 == c->line.size;
        buf_append_u8(out,
                      (byte < 0x20 && byte != '\t' && !is_return) || byte == 0x7f ? '?' : byte);
    }
    buf_append_str(out, has_feed ? "\n" : "\n\\ No newline at end of file\n");
}

static void append_hunk(struct buf *out, const struct script *s, size_t start, size_t end,
                        size_t old_line, size_t new_line) {
    size_t counts[2] = {0};
    for (size_t i = start; i < end; i++) {
        counts[0] += s->items[i].sign != '+' ? 1 : 0;
        counts[1] += s->items[i].sign != '-' ? 1 : 0;
    }
    buf_appendf(out, "@@ -%zu,%zu +%zu,%zu @@\n", old_line + (counts[0] > 0 ? 1 : 0), counts[0],
                new_line + (counts[1] > 0 ? 1 : 0), counts[1]);
    for (size_t i = start; i < end; i++) {
        append_line(out, &s->items[i]);
    }
}

static void append_hunks(struct buf *out, const struct script *s) {
    size_t lines[2] = {0}; /* before `done` */
    size_t done = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (s->items[i].sign == ' ') {
            continue;
        }
        size_t start = i > done + CONTEXT ? i - CONTEXT : done;
        size_t end = hunk_end(s, i);
        end = end + CONTEXT < s->count ? end + CONTEXT : s->count;
        for (; done < start; done++) {
            lines[0]++;
            lines[1]++;
        }
        append_hunk(out, s, start, end, lines[0], lines[1]);
        for (; done < end; done++) {
            lines[0] += s->items[done].sign != '+' ? 1 : 0;
            lines[1] += s->items[done].sign != '-' ? 1 : 0;
        }
        i = end - 1;
    }
}

void text_diff(const char *old_name, const char *new_name, struct span old_text,
               struct span new_text, struct buf *out) {
    if (span_equal(old_text, new_text)) {
        return;
    }
    struct lines a = split(old_text);
    struct lines b = split(new_text);
    struct script script = {.items = mem_calloc(a.count + b.count + 1, sizeof *script.items)};
    make_script(&a, &b, &script);
    buf_appendf(out, "--- %s\n+++ %s\n", old_name, new_name);
    append_hunks(out, &script);
    mem_free(script.items);
    mem_free(a.items);
    mem_free(b.items);
}
