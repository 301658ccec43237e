/* Reader: a JSON value against a table of fields, every problem with its path. Used by the manifest
 * parser alone.
 *
 *     ReferenceValues.snp[0].MinimumTCB.SNPVersion: must not be empty; Policies.ab: ...
 *
 * A reader carries the path of where it stands; a read function looks at one value, complains when
 * it is wrong, and goes on, so that a person mends a manifest in one go. What a reader returns
 * after it complained is harmless (0, NULL, empty) and never used: a manifest with a problem is
 * refused. Touches nothing but its arena; bounded by the limits that callers pass.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_READER_H
#define CONTRAST_READER_H

#include <jansson.h>

#include "lib/base/bytes.h"
#include "lib/base/mem.h"

#define READER_PATH_SIZE 512

struct reader {
    struct arena *arena;         /* borrowed: the manifest's */
    struct buf problems;         /* owned by whoever made the reader */
    char path[READER_PATH_SIZE]; /* where we are, "" at the top */
};

/* One field of an object; `read` gets the target of the whole object. */
struct reader_field {
    const char *name;
    bool is_required;
    void (*read)(struct reader *r, const json_t *value, void *target);
};

/* Adds "path: text" to the problems; beyond what an error text holds they are dropped. */
void reader_complain(struct reader *r, const char *text);
void reader_complainf(struct reader *r, const char *format, ...) PRINTF_LIKE(2, 3);
/* The same about a member of the object where the reader stands. */
void reader_complain_at(struct reader *r, const char *name, const char *text);

/* One step down; the result is what reader_leave takes to come back. */
size_t reader_enter(struct reader *r, const char *name);
size_t reader_enter_index(struct reader *r, size_t index);
void reader_leave(struct reader *r, size_t old);

/* Every member by its field, in the table's order; members that no field names are problems. */
void reader_object(struct reader *r, const json_t *value, const struct reader_field *fields,
                   size_t count, void *target);
#define READER_OBJECT(r, value, fields, target)                                                    \
    reader_object((r), (value), (fields), sizeof(fields) / sizeof((fields)[0]), (target))

/* The number of items of a list of at most `limit`; null counts as an empty one. */
size_t reader_list(struct reader *r, const json_t *value, size_t limit);

const char *reader_string(struct reader *r, const json_t *value); /* NULL: complained */
/* A copy of it in the arena; "" after a complaint. */
const char *reader_copy(struct reader *r, const json_t *value);
bool reader_bool(struct reader *r, const json_t *value);
/* A whole number from 0 to `max`. */
uint64_t reader_number(struct reader *r, const json_t *value, uint64_t max);
/* 64 bits: a whole number, or a string "0x" and 1 to 16 hexadecimal digits (JSON's numbers end at
 * 2^63 - 1 here). */
uint64_t reader_mask(struct reader *r, const json_t *value);
/* Exactly `size` bytes as lower-case hexadecimal; `out` is untouched otherwise. */
void reader_decode_hex(struct reader *r, const char *text, uint8_t *out, size_t size);
void reader_hex(struct reader *r, const json_t *value, uint8_t *out, size_t size);
/* `count` items of `size` bytes each, from the arena; NULL for none. */
uint8_t *reader_hex_list(struct reader *r, const json_t *value, size_t size, size_t limit,
                         size_t *count);

#endif
