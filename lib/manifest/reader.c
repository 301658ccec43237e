/* Reader: see reader.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/manifest/reader.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- problems and paths ---- */

void reader_complain(struct reader *r, const char *text) {
    if (r->problems.size > ERR_TEXT_SIZE) {
        return; /* more would not fit the error */
    }
    const char *separator = r->problems.size > 0 ? "; " : "";
    const char *colon = r->path[0] != '\0' ? ": " : "";
    buf_appendf(&r->problems, "%s%s%s%s", separator, r->path, colon, text);
}

void reader_complainf(struct reader *r, const char *format, ...) {
    char text[200];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    reader_complain(r, text);
}

void reader_complain_at(struct reader *r, const char *name, const char *text) {
    size_t old = reader_enter(r, name);
    reader_complain(r, text);
    reader_leave(r, old);
}

size_t reader_enter(struct reader *r, const char *name) {
    size_t old = strlen(r->path);
    (void)snprintf(r->path + old, READER_PATH_SIZE - old, "%s%.*s", old > 0 ? "." : "", 80, name);
    return old;
}

size_t reader_enter_index(struct reader *r, size_t index) {
    size_t old = strlen(r->path);
    (void)snprintf(r->path + old, READER_PATH_SIZE - old, "[%zu]", index);
    return old;
}

void reader_leave(struct reader *r, size_t old) {
    r->path[old] = '\0';
}

/* ---- objects and lists ---- */

static const struct reader_field *find_field(const struct reader_field *fields, size_t count,
                                             const char *name) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(fields[i].name, name) == 0) {
            return &fields[i];
        }
    }
    return NULL;
}

/* Capitals are what people get wrong. */
static void complain_unknown(struct reader *r, const struct reader_field *fields, size_t count,
                             const char *name) {
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(fields[i].name, name) == 0) {
            reader_complainf(r, "unknown field; did you mean \"%s\"?", fields[i].name);
            return;
        }
    }
    reader_complain(r, "unknown field");
}

static void refuse_unknown(struct reader *r, json_t *object, const struct reader_field *fields,
                           size_t count) {
    for (void *it = json_object_iter(object); it != NULL; it = json_object_iter_next(object, it)) {
        const char *name = json_object_iter_key(it);
        if (find_field(fields, count, name) == NULL) {
            size_t old = reader_enter(r, name);
            complain_unknown(r, fields, count, name);
            reader_leave(r, old);
        }
    }
}

void reader_object(struct reader *r, const json_t *value, const struct reader_field *fields,
                   size_t count, void *target) {
    if (!json_is_object(value)) {
        reader_complain(r, "must be an object");
        return;
    }
    json_t *object = json_incref((json_t *)(uintptr_t)value);
    refuse_unknown(r, object, fields, count);
    for (size_t i = 0; i < count; i++) {
        const json_t *member = json_object_get(object, fields[i].name);
        size_t old = reader_enter(r, fields[i].name);
        if (member != NULL) {
            fields[i].read(r, member, target);
        } else if (fields[i].is_required) {
            reader_complain(r, "must not be empty");
        }
        reader_leave(r, old);
    }
    json_decref(object);
}

size_t reader_list(struct reader *r, const json_t *value, size_t limit) {
    if (json_is_null(value)) {
        return 0;
    }
    if (!json_is_array(value)) {
        reader_complain(r, "must be a list");
        return 0;
    }
    size_t count = json_array_size(value);
    if (count > limit) {
        reader_complainf(r, "%zu items, limit %zu", count, limit);
        return 0;
    }
    return count;
}

/* ---- scalars ---- */

const char *reader_string(struct reader *r, const json_t *value) {
    if (!json_is_string(value)) {
        reader_complain(r, "must be a string");
        return NULL;
    }
    return json_string_value(value);
}

const char *reader_copy(struct reader *r, const json_t *value) {
    const char *text = reader_string(r, value);
    return text != NULL ? arena_strndup(r->arena, text, strlen(text)) : "";
}

bool reader_bool(struct reader *r, const json_t *value) {
    if (!json_is_boolean(value)) {
        reader_complain(r, "must be true or false");
    }
    return json_is_true(value);
}

uint64_t reader_number(struct reader *r, const json_t *value, uint64_t max) {
    if (json_is_null(value)) {
        reader_complain(r, "must not be empty");
        return 0;
    }
    json_int_t n = json_is_integer(value) ? json_integer_value(value) : -1;
    if (n < 0 || (uint64_t)n > max) {
        reader_complainf(r, "must be an integer from 0 to %" PRIu64, max);
        return 0;
    }
    return (uint64_t)n;
}

static bool is_prefixed_hex(const char *text) {
    size_t digits = strlen(text) < 2 ? 0 : strspn(text + 2, "0123456789abcdefABCDEF");
    return strncmp(text, "0x", 2) == 0 && digits >= 1 && digits <= 16 && text[2 + digits] == '\0';
}

uint64_t reader_mask(struct reader *r, const json_t *value) {
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        return (uint64_t)json_integer_value(value);
    }
    if (!json_is_string(value) || !is_prefixed_hex(json_string_value(value))) {
        reader_complain(r, "must be a whole number or a string such as \"0x2f\", at most 64 bits");
        return 0;
    }
    return strtoull(json_string_value(value), NULL, 16);
}

static bool is_lower_hex(const char *text) {
    return text[strspn(text, "0123456789abcdef")] == '\0';
}

void reader_decode_hex(struct reader *r, const char *text, uint8_t *out, size_t size) {
    if (strlen(text) != 2 * size || !is_lower_hex(text)) {
        reader_complainf(r, "must be %zu lower-case hexadecimal digits", 2 * size);
        return;
    }
    err_ignore(hex_decode(span_str(text), out, size, NULL), "digits checked above");
}

void reader_hex(struct reader *r, const json_t *value, uint8_t *out, size_t size) {
    const char *text = reader_string(r, value);
    if (text != NULL) {
        reader_decode_hex(r, text, out, size);
    }
}

uint8_t *reader_hex_list(struct reader *r, const json_t *value, size_t size, size_t limit,
                         size_t *count) {
    *count = reader_list(r, value, limit);
    if (*count == 0) {
        return NULL;
    }
    uint8_t *items = arena_alloc(r->arena, *count * size);
    for (size_t i = 0; i < *count; i++) {
        size_t old = reader_enter_index(r, i);
        reader_hex(r, json_array_get(value, i), items + i * size, size);
        reader_leave(r, old);
    }
    return items;
}
