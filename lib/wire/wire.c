/* Messages: see wire.h.
 *
 * Decoding takes four looks at the bytes: wire_scan_check bounds every count by what is really
 * there (before msgpack-c allocates for it), msgpack-c builds its objects, the table walk checks
 * and copies them, and encoding the result again must give the same bytes.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/wire.h"

#include <string.h>

#include <msgpack.h>

#include "lib/base/limits.h"
#include "lib/wire/wire_scan.h"

/* The name without "struct ". */
static const char *name_of(const struct wire_type *type) {
    static const char prefix[] = "struct ";
    size_t size = sizeof prefix - 1;
    return strncmp(type->name, prefix, size) == 0 ? type->name + size : type->name;
}

/* --- Encoding */

static int append(void *data, const char *bytes, size_t size) {
    buf_append(data, bytes, size);
    return 0;
}

static void pack_message(msgpack_packer *pk, const struct wire_type *type, const uint8_t *message);

static void pack_bytes(msgpack_packer *pk, const struct wire_field *field, const void *data,
                       size_t size) {
    CHECK(size <= field->max && size <= UINT32_MAX);
    msgpack_pack_bin(pk, size);
    msgpack_pack_bin_body(pk, data, size);
}

static void pack_str(msgpack_packer *pk, const struct wire_field *field, const char *text) {
    size_t size = text == NULL ? 0 : strlen(text);
    CHECK(size <= field->max);
    CHECK(wire_text_is_valid(span_of(text, size)));
    msgpack_pack_str(pk, size);
    msgpack_pack_str_body(pk, text, size);
}

static void pack_list(msgpack_packer *pk, const struct wire_field *field,
                      const struct wire_list *list) {
    CHECK(list->count <= field->max);
    msgpack_pack_array(pk, list->count);
    for (size_t i = 0; i < list->count; i++) {
        const uint8_t *items = list->items;
        pack_message(pk, field->type, items + i * field->type->size);
    }
}

static void pack_i64(msgpack_packer *pk, int64_t value) {
    CHECK(value >= 0);
    msgpack_pack_uint64(pk, (uint64_t)value);
}

static void pack_bool(msgpack_packer *pk, bool value) {
    if (value) {
        msgpack_pack_true(pk);
    } else {
        msgpack_pack_false(pk);
    }
}

static void pack_field(msgpack_packer *pk, const struct wire_field *field, const void *at) {
    switch (field->kind) {
    case WIRE_KIND_U64:
        msgpack_pack_uint64(pk, *(const uint64_t *)at);
        break;
    case WIRE_KIND_U8:
        msgpack_pack_uint64(pk, *(const uint8_t *)at);
        break;
    case WIRE_KIND_I64:
        pack_i64(pk, *(const int64_t *)at);
        break;
    case WIRE_KIND_BOOL:
        pack_bool(pk, *(const bool *)at);
        break;
    case WIRE_KIND_FIXED:
        pack_bytes(pk, field, at, field->max);
        break;
    case WIRE_KIND_BYTES:
        pack_bytes(pk, field, ((const struct span *)at)->data, ((const struct span *)at)->size);
        break;
    case WIRE_KIND_STR:
        pack_str(pk, field, *(char *const *)at);
        break;
    case WIRE_KIND_MSG:
        pack_message(pk, field->type, at);
        break;
    case WIRE_KIND_LIST:
        pack_list(pk, field, at);
        break;
    }
}

static void pack_message(msgpack_packer *pk, const struct wire_type *type, const uint8_t *message) {
    msgpack_pack_array(pk, type->count);
    for (size_t i = 0; i < type->count; i++) {
        pack_field(pk, &type->fields[i], message + type->fields[i].offset);
    }
}

void wire_encode(const struct wire_type *type, const void *message, struct buf *out) {
    msgpack_packer pk;
    msgpack_packer_init(&pk, out, append);
    pack_message(&pk, type, message);
}

/* --- Decoding */

static RESULT take_message(const struct wire_type *type, const msgpack_object *in,
                           struct arena *arena, uint8_t *message, struct err *err);

static RESULT take_uint(const msgpack_object *in, uint64_t max, uint64_t *out, struct err *err) {
    ENSURE(in->type == MSGPACK_OBJECT_POSITIVE_INTEGER, err, MALFORMED, "not an unsigned integer");
    ENSURE(in->via.u64 <= max, err, TOO_LARGE, "%llu, limit %llu", (unsigned long long)in->via.u64,
           (unsigned long long)max);
    *out = in->via.u64;
    return OK;
}

static RESULT take_bool(const msgpack_object *in, bool *out, struct err *err) {
    ENSURE(in->type == MSGPACK_OBJECT_BOOLEAN, err, MALFORMED, "not a boolean");
    *out = in->via.boolean;
    return OK;
}

static RESULT take_fixed(const struct wire_field *field, const msgpack_object *in, uint8_t *out,
                         struct err *err) {
    ENSURE(in->type == MSGPACK_OBJECT_BIN, err, MALFORMED, "not bin");
    ENSURE(in->via.bin.size == field->max, err, MALFORMED, "%u bytes, want %zu", in->via.bin.size,
           field->max);
    memcpy(out, in->via.bin.ptr, field->max);
    return OK;
}

static RESULT take_bytes(const struct wire_field *field, const msgpack_object *in,
                         struct arena *arena, struct span *out, struct err *err) {
    ENSURE(in->type == MSGPACK_OBJECT_BIN, err, MALFORMED, "not bin");
    size_t size = in->via.bin.size;
    ENSURE(size <= field->max, err, TOO_LARGE, "%zu bytes, limit %zu", size, field->max);
    *out = (struct span){0};
    if (size > 0) {
        uint8_t *copy = arena_alloc(arena, size);
        memcpy(copy, in->via.bin.ptr, size);
        *out = span_of(copy, size);
    }
    return OK;
}

static RESULT take_str(const struct wire_field *field, const msgpack_object *in,
                       struct arena *arena, char **out, struct err *err) {
    ENSURE(in->type == MSGPACK_OBJECT_STR, err, MALFORMED, "not a string");
    size_t size = in->via.str.size;
    ENSURE(size <= field->max, err, TOO_LARGE, "%zu bytes, limit %zu", size, field->max);
    ENSURE(wire_text_is_valid(span_of(in->via.str.ptr, size)), err, MALFORMED,
           "not UTF-8 without NUL");
    *out = arena_strndup(arena, size == 0 ? "" : in->via.str.ptr, size);
    return OK;
}

static RESULT take_list(const struct wire_field *field, const msgpack_object *in,
                        struct arena *arena, struct wire_list *out, struct err *err) {
    ENSURE(in->type == MSGPACK_OBJECT_ARRAY, err, MALFORMED, "not a list");
    size_t count = in->via.array.size;
    ENSURE(count <= field->max, err, TOO_LARGE, "%zu items, limit %zu", count, field->max);
    *out = (struct wire_list){NULL, count};
    if (count > 0) {
        uint8_t *items = arena_alloc(arena, count * field->type->size);
        out->items = items;
        for (size_t i = 0; i < count; i++) {
            struct result r = take_message(field->type, &in->via.array.ptr[i], arena,
                                           items + i * field->type->size, err);
            if (!is_ok(r)) {
                return err_wrap(r, err, "item %zu", i);
            }
        }
    }
    return OK;
}

static RESULT take_small(const msgpack_object *in, uint8_t *out, struct err *err) {
    uint64_t value = 0;
    TRY(take_uint(in, UINT8_MAX, &value, err));
    *out = (uint8_t)value;
    return OK;
}

static RESULT take_time(const msgpack_object *in, int64_t *out, struct err *err) {
    uint64_t value = 0;
    TRY(take_uint(in, INT64_MAX, &value, err));
    *out = (int64_t)value;
    return OK;
}

static RESULT take_field(const struct wire_field *field, const msgpack_object *in,
                         struct arena *arena, void *at, struct err *err) {
    switch (field->kind) {
    case WIRE_KIND_U64:
        return take_uint(in, UINT64_MAX, at, err);
    case WIRE_KIND_U8:
        return take_small(in, at, err);
    case WIRE_KIND_I64:
        return take_time(in, at, err);
    case WIRE_KIND_BOOL:
        return take_bool(in, at, err);
    case WIRE_KIND_FIXED:
        return take_fixed(field, in, at, err);
    case WIRE_KIND_BYTES:
        return take_bytes(field, in, arena, at, err);
    case WIRE_KIND_STR:
        return take_str(field, in, arena, at, err);
    case WIRE_KIND_MSG:
        return take_message(field->type, in, arena, at, err);
    case WIRE_KIND_LIST:
        return take_list(field, in, arena, at, err);
    }
    return err_set(err, ERR_INTERNAL, "a field of an unknown kind");
}

static RESULT take_message(const struct wire_type *type, const msgpack_object *in,
                           struct arena *arena, uint8_t *message, struct err *err) {
    ENSURE(in->type == MSGPACK_OBJECT_ARRAY, err, MALFORMED, "%s: not an array", name_of(type));
    ENSURE(in->via.array.size == type->count, err, MALFORMED, "%s: %u fields, want %zu",
           name_of(type), in->via.array.size, type->count);
    for (size_t i = 0; i < type->count; i++) {
        const struct wire_field *field = &type->fields[i];
        struct result r =
            take_field(field, &in->via.array.ptr[i], arena, message + field->offset, err);
        if (!is_ok(r)) {
            return err_wrap(r, err, "%s.%s", name_of(type), field->name);
        }
    }
    return OK;
}

/* One value, one encoding: what was read must be what would have been written. */
static RESULT check_canonical(const struct wire_type *type, const void *message, struct span bytes,
                              struct err *err) {
    AUTO(buf_deinit)
    struct buf again = {0};
    buf_reserve(&again, bytes.size);
    wire_encode(type, message, &again);
    ENSURE(span_equal(buf_span(&again), bytes), err, MALFORMED, "%s: not in its shortest encoding",
           name_of(type));
    return OK;
}

struct result wire_decode(const struct wire_type *type, struct span bytes, struct arena *arena,
                          void *message, struct err *err) {
    struct result r = wire_scan_check(bytes, err);
    if (!is_ok(r)) {
        return err_wrap(r, err, "%s", name_of(type));
    }
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t used = 0;
    msgpack_unpack_return status =
        msgpack_unpack_next(&unpacked, (const char *)bytes.data, bytes.size, &used);
    if (status != MSGPACK_UNPACK_SUCCESS || used != bytes.size) {
        r = err_set(err, ERR_MALFORMED, "%s: not one msgpack value", name_of(type));
    } else {
        uint8_t *draft = arena_alloc(arena, type->size);
        r = take_message(type, &unpacked.data, arena, draft, err);
        r = is_ok(r) ? check_canonical(type, draft, bytes, err) : r;
        if (is_ok(r)) {
            memcpy(message, draft, type->size);
        }
    }
    msgpack_unpacked_destroy(&unpacked);
    return r;
}
