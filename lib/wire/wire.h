/* Wire: typed, bounded, positional messages in msgpack, described by tables.
 *
 * A message is a C struct and a table of its fields, in wire order:
 *
 *     struct hello { uint8_t cluster[32]; uint64_t id; char *name; };
 *     static const struct wire_field hello_fields[] = {
 *         WIRE_FIXED(struct hello, cluster),
 *         WIRE_U64(struct hello, id),
 *         WIRE_STR(struct hello, name, LIMIT_NAME),
 *     };
 *     const struct wire_type hello_type = WIRE_TYPE(struct hello, hello_fields);
 *
 * Encoding: a msgpack array with one element per field: unsigned integers as the shortest msgpack
 * integer, booleans, strings as str (UTF-8 without NUL), everything else as bin; a nested message
 * as its array; a list as an array of messages. Canonical: one value has one encoding.
 * Decoding is total and strict: exact field count, every size and count under its named limit,
 * minimal encodings only (the decoder re-encodes and compares), no trailing bytes. What it
 * allocates lies in the caller's arena; byte fields are copied there, so the input may go away.
 *
 * This folder is the only user of msgpack-c. Pure: no I/O, no clock.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_WIRE_H
#define CONTRAST_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/bytes.h"
#include "lib/base/mem.h"

enum wire_kind {
    WIRE_KIND_U64,   /* uint64_t */
    WIRE_KIND_U8,    /* uint8_t */
    WIRE_KIND_I64,   /* int64_t, >= 0 only on the wire: times in seconds since 1970 */
    WIRE_KIND_BOOL,  /* bool */
    WIRE_KIND_FIXED, /* uint8_t[max]: exactly max bytes */
    WIRE_KIND_BYTES, /* struct span, 0..max bytes */
    WIRE_KIND_STR,   /* char *, 0..max bytes and a NUL; NULL is encoded as "" */
    WIRE_KIND_MSG,   /* nested struct, `type` */
    WIRE_KIND_LIST,  /* struct wire_list of `type`, 0..max items */
};

struct wire_list {
    void *items;  /* array of the item struct; NULL when count is 0 */
    size_t count; /* items */
};

struct wire_type;
struct wire_field {
    const char *name;
    enum wire_kind kind;
    size_t offset;
    size_t max;                   /* bytes or items, see wire_kind */
    const struct wire_type *type; /* MSG and LIST */
};

struct wire_type {
    const char *name;
    size_t size; /* sizeof the struct */
    const struct wire_field *fields;
    size_t count;
};

#define WIRE_U64(s, f)                                                                             \
    { #f, WIRE_KIND_U64, offsetof(s, f), 0, NULL }
#define WIRE_U8(s, f)                                                                              \
    { #f, WIRE_KIND_U8, offsetof(s, f), 0, NULL }
#define WIRE_I64(s, f)                                                                             \
    { #f, WIRE_KIND_I64, offsetof(s, f), 0, NULL }
#define WIRE_BOOL(s, f)                                                                            \
    { #f, WIRE_KIND_BOOL, offsetof(s, f), 0, NULL }
#define WIRE_FIXED(s, f)                                                                           \
    { #f, WIRE_KIND_FIXED, offsetof(s, f), sizeof(((s *)0)->f), NULL }
#define WIRE_BYTES(s, f, limit)                                                                    \
    { #f, WIRE_KIND_BYTES, offsetof(s, f), (size_t)(limit), NULL }
#define WIRE_STR(s, f, limit)                                                                      \
    { #f, WIRE_KIND_STR, offsetof(s, f), (size_t)(limit), NULL }
#define WIRE_MSG(s, f, t)                                                                          \
    { #f, WIRE_KIND_MSG, offsetof(s, f), 0, (t) }
#define WIRE_LIST(s, f, limit, t)                                                                  \
    { #f, WIRE_KIND_LIST, offsetof(s, f), (size_t)(limit), (t) }
#define WIRE_TYPE(s, table)                                                                        \
    { #s, sizeof(s), (table), sizeof(table) / sizeof((table)[0]) }

/* Appends the encoding of *message to `out`. A field over its limit is a bug of ours: CHECK. */
void wire_encode(const struct wire_type *type, const void *message, struct buf *out);

/* Fills *message from exactly these bytes. MALFORMED or TOO_LARGE names the field
 * ("hello.name: 300 bytes, limit 63"); *message and the arena's live data are untouched then. */
RESULT wire_decode(const struct wire_type *type, struct span bytes, struct arena *arena,
                   void *message, struct err *err);

/* --- Frames: the length-prefixed envelope around every message on every link.
 *
 *   0: u32 body length, big-endian    4: u8 type    5: u8 version (1)
 *   6: u16 request id, big-endian (0 where the exchange needs none)    8: body
 */
#define FRAME_HEADER_SIZE 8
#define FRAME_VERSION 1

struct frame {
    uint8_t type;
    uint16_t request;
    struct span body; /* borrowed from the input */
};

void frame_encode(uint8_t type, uint16_t request, struct span body, struct buf *out);
/* Frame header and message in one. */
void frame_encode_message(uint8_t type, uint16_t request, const struct wire_type *wire_type,
                          const void *message, struct buf *out);

/* Looks at the start of `bytes`: a whole frame -> *frame and *used (bytes) are set; too short for
 * one -> *used is 0; a version other than 1 or a body over `limit` -> MALFORMED or TOO_LARGE. */
RESULT frame_decode(struct span bytes, size_t limit, struct frame *frame, size_t *used,
                    struct err *err);

#endif
