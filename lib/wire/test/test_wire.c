/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/limits.h"
#include "lib/wire/wire.h"

struct point {
    uint8_t x;
    char *label;
};
static const struct wire_field point_fields[] = {
    WIRE_U8(struct point, x),
    WIRE_STR(struct point, label, 8),
};
static const struct wire_type point_type = WIRE_TYPE(struct point, point_fields);

struct sample {
    uint64_t id;
    int64_t time;
    bool is_final;
    uint8_t digest[32];
    struct span blob;
    char *name;
    struct point origin;
    struct wire_list points;
};
static const struct wire_field sample_fields[] = {
    WIRE_U64(struct sample, id),
    WIRE_I64(struct sample, time),
    WIRE_BOOL(struct sample, is_final),
    WIRE_FIXED(struct sample, digest),
    WIRE_BYTES(struct sample, blob, 70000),
    WIRE_STR(struct sample, name, 63),
    WIRE_MSG(struct sample, origin, &point_type),
    WIRE_LIST(struct sample, points, 20, &point_type),
};
static const struct wire_type sample_type = WIRE_TYPE(struct sample, sample_fields);

static char text_left[] = "left";
static char text_right[] = "r\xc3\xa9ight";
static uint8_t big_blob[70000];
static struct point two_points[2] = {{7, text_left}, {255, text_right}};

static struct sample full_sample(void) {
    struct sample s = {.id = UINT64_MAX,
                       .time = INT64_MAX,
                       .is_final = true,
                       .blob = {big_blob, 300},
                       .name = text_right,
                       .origin = {0, NULL},
                       .points = {two_points, 2}};
    memset(s.digest, 0xa5, sizeof s.digest);
    return s;
}

static void test_every_kind_round_trips(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf bytes = {0};
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct sample in = full_sample();
    struct sample out;
    wire_encode(&sample_type, &in, &bytes);
    assert_true(is_ok(wire_decode(&sample_type, buf_span(&bytes), &arena, &out, NULL)));
    buf_deinit(&bytes); /* nothing may point into the input */
    assert_true(out.id == UINT64_MAX && out.time == INT64_MAX && out.is_final);
    assert_memory_equal(out.digest, in.digest, 32);
    assert_true(span_equal(out.blob, in.blob));
    assert_string_equal(out.name, text_right);
    assert_string_equal(out.origin.label, "");
    assert_int_equal(out.points.count, 2);
    const struct point *points = out.points.items;
    assert_int_equal(points[1].x, 255);
    assert_string_equal(points[0].label, "left");
}

static void test_integers_take_their_shortest_form(void **state) {
    (void)state;
    static const struct {
        uint64_t value;
        size_t size;
    } rows[] = {{0, 1},     {127, 1},   {128, 2},        {255, 2},        {256, 3},
                {65535, 3}, {65536, 5}, {UINT32_MAX, 5}, {1ULL << 32, 9}, {UINT64_MAX, 9}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sample in = {.id = rows[i].value};
        AUTO(buf_deinit)
        struct buf bytes = {0};
        AUTO(buf_deinit)
        struct buf zero = {0};
        AUTO(arena_deinit)
        struct arena arena = {0};
        struct sample out;
        wire_encode(&sample_type, &in, &bytes);
        wire_encode(&sample_type, &(struct sample){0}, &zero);
        assert_int_equal(bytes.size, zero.size - 1 + rows[i].size);
        assert_true(is_ok(wire_decode(&sample_type, buf_span(&bytes), &arena, &out, NULL)));
        assert_true(out.id == rows[i].value);
    }
}

static void test_sizes_around_each_header_round_trip(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 31, 32, 255, 256, 65535, 65536, 70000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct sample in = {.blob = {big_blob, sizes[i]}};
        AUTO(buf_deinit)
        struct buf bytes = {0};
        AUTO(arena_deinit)
        struct arena arena = {0};
        struct sample out;
        wire_encode(&sample_type, &in, &bytes);
        assert_true(is_ok(wire_decode(&sample_type, buf_span(&bytes), &arena, &out, NULL)));
        assert_int_equal(out.blob.size, sizes[i]);
    }
}

static void test_every_prefix_is_refused_and_changes_nothing(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf bytes = {0};
    struct sample in = full_sample();
    wire_encode(&sample_type, &in, &bytes);
    for (size_t size = 0; size < bytes.size; size++) {
        AUTO(arena_deinit)
        struct arena arena = {0};
        struct sample out = {.id = 42};
        struct result r = wire_decode(&sample_type, span_of(bytes.data, size), &arena, &out, NULL);
        assert_int_equal(r.code, ERR_MALFORMED);
        assert_true(out.id == 42 && out.name == NULL);
    }
}

struct bad_row {
    const char *hex; /* a message of type `pair` */
    enum err_code code;
    const char *text;
};

struct pair {
    struct point point;
    struct wire_list list;
};
static const struct wire_field pair_fields[] = {
    WIRE_MSG(struct pair, point, &point_type),
    WIRE_LIST(struct pair, list, 2, &point_type),
};
static const struct wire_type pair_type = WIRE_TYPE(struct pair, pair_fields);

static RESULT decode_hex(const char *hex, struct pair *out, struct arena *arena, struct err *err) {
    uint8_t bytes[64];
    size_t size = strlen(hex) / 2;
    TRY(hex_decode(span_str(hex), bytes, size, err));
    return wire_decode(&pair_type, span_of(bytes, size), arena, out, err);
}

static void test_the_good_pair_is_good(void **state) {
    (void)state;
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct pair pair = {0};
    assert_true(is_ok(decode_hex("929205a1619192cc80a0", &pair, &arena, NULL)));
    const struct point *points = pair.list.items;
    CHECK(points != NULL);
    assert_int_equal(points[0].x, 128);
}

static const struct bad_row bad_rows[] = {
    {"05", ERR_MALFORMED, "pair: not an array"},
    {"91", ERR_MALFORMED, "pair: offset 0: ends too early: 1 elements, 0 bytes left"},
    {"93920500"
     "9090",
     ERR_MALFORMED, "pair: 3 fields, want 2"},
    {"92920590"
     "90",
     ERR_MALFORMED, "pair.point: point.label: not a string"},
    {"9292c2a0"
     "90",
     ERR_MALFORMED, "pair.point: point.x: not an unsigned integer"},
    {"9292ffa0"
     "90",
     ERR_MALFORMED, "pair: offset 2: a value of type 0xff, which messages do not use"},
    {"9292cd0100a0"
     "90",
     ERR_TOO_LARGE, "pair.point: point.x: 256, limit 255"},
    {"9292cc05a0"
     "90",
     ERR_MALFORMED, "pair: not in its shortest encoding"},
    {"929205d900"
     "90",
     ERR_MALFORMED, "pair: not in its shortest encoding"},
    {"929205a0"
     "dc0000",
     ERR_MALFORMED, "pair: not in its shortest encoding"},
    {"929205a100"
     "90",
     ERR_MALFORMED, "pair.point: point.label: not UTF-8 without NUL"},
    {"929205a2c080"
     "90",
     ERR_MALFORMED, "pair.point: point.label: not UTF-8 without NUL"},
    {"929205a3eda080"
     "90",
     ERR_MALFORMED, "pair.point: point.label: not UTF-8 without NUL"},
    {"929205a1c3"
     "90",
     ERR_MALFORMED, "pair.point: point.label: not UTF-8 without NUL"},
    {"929205a9313233343536373839"
     "90",
     ERR_TOO_LARGE, "pair.point: point.label: 9 bytes, limit 8"},
    {"929205a0"
     "93"
     "9201a0"
     "9201a0"
     "9201a0",
     ERR_TOO_LARGE, "pair.list: 3 items, limit 2"},
    {"929205a0"
     "92"
     "9201a0"
     "9201c2",
     ERR_MALFORMED, "pair.list: item 1: point.label: not a string"},
    {"929205a0"
     "90"
     "00",
     ERR_MALFORMED, "pair: 1 bytes behind the message"},
    {"92"
     "ddffffffff",
     ERR_MALFORMED, "pair: offset 1: ends too early: 4294967295 elements, 0 bytes left"},
    {"92c6ffffffff00", ERR_MALFORMED,
     "pair: offset 1: ends too early: 4294967295 bytes, 1 bytes left"},
    {"9292c0a090", ERR_MALFORMED,
     "pair: offset 2: a value of type 0xc0, which messages do not use"},
    {"9191919191919191919191919191919191919100", ERR_MALFORMED,
     "pair: offset 16: nested over 16 deep"},
    {"", ERR_MALFORMED, "pair: offset 0: ends too early"},
};

static void test_bad_messages(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad_rows / sizeof bad_rows[0]; i++) {
        AUTO(arena_deinit)
        struct arena arena = {0};
        struct pair pair = {.point = {.x = 9}};
        struct err err;
        assert_int_equal(decode_hex(bad_rows[i].hex, &pair, &arena, &err).code, bad_rows[i].code);
        assert_string_equal(err.text, bad_rows[i].text);
        assert_int_equal(pair.point.x, 9);
    }
}

static void test_frames_round_trip_and_wait_for_the_rest(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf bytes = {0};
    frame_encode(9, 0xbeef, span_str("body"), &bytes);
    assert_memory_equal(bytes.data,
                        "\0\0\0\4\11\1\xbe\xef"
                        "body",
                        12);
    struct frame frame;
    size_t used = 1;
    for (size_t size = 0; size < bytes.size; size++) {
        assert_true(is_ok(frame_decode(span_of(bytes.data, size), 4, &frame, &used, NULL)));
        assert_int_equal(used, 0);
    }
    buf_append_u8(&bytes, 0);
    assert_true(is_ok(frame_decode(buf_span(&bytes), 4, &frame, &used, NULL)));
    assert_int_equal(used, 12);
    assert_true(frame.type == 9 && frame.request == 0xbeef);
    assert_true(span_equal(frame.body, span_str("body")));
}

static void test_frames_over_the_limit_or_of_another_version(void **state) {
    (void)state;
    struct frame frame;
    size_t used = 0;
    struct err err;
    static const uint8_t large[] = {0, 0, 0, 5, 9, 1, 0, 0};
    assert_int_equal(frame_decode(SPAN(large), 4, &frame, &used, &err).code, ERR_TOO_LARGE);
    assert_string_equal(err.text, "frame of type 9: body of 5 bytes, limit 4");
    static const uint8_t second[] = {0, 0, 0, 1, 9, 2, 0, 0, 7};
    assert_int_equal(frame_decode(SPAN(second), 4, &frame, &used, &err).code, ERR_MALFORMED);
    assert_string_equal(err.text, "frame of version 2, want 1");
}

static void test_frame_and_message_in_one(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf one = {0};
    AUTO(buf_deinit)
    struct buf body = {0};
    AUTO(buf_deinit)
    struct buf two = {0};
    buf_append_str(&one, "before");
    buf_append_str(&two, "before");
    wire_encode(&point_type, &two_points[1], &body);
    frame_encode(3, 4, buf_span(&body), &two);
    frame_encode_message(3, 4, &point_type, &two_points[1], &one);
    assert_true(span_equal(buf_span(&one), buf_span(&two)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_round_trips),
        cmocka_unit_test(test_integers_take_their_shortest_form),
        cmocka_unit_test(test_sizes_around_each_header_round_trip),
        cmocka_unit_test(test_every_prefix_is_refused_and_changes_nothing),
        cmocka_unit_test(test_the_good_pair_is_good),
        cmocka_unit_test(test_bad_messages),
        cmocka_unit_test(test_frames_round_trip_and_wait_for_the_rest),
        cmocka_unit_test(test_frames_over_the_limit_or_of_another_version),
        cmocka_unit_test(test_frame_and_message_in_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
