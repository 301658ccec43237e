/* Tests of the frames between members: what comes back, every prefix, bad input.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/replica_frames.h"

static const uint8_t spki[91] = {0x30, 0x59};

static char *text_of(struct arena *arena, const char *text) {
    return arena_strndup(arena, text, strlen(text));
}

static void fill_row(struct arena *arena, struct replica_peer_row *out) {
    *out = (struct replica_peer_row){
        .applied = 77,
        .member = {.id = entry_replica_id(SPAN(spki)),
                   .name = text_of(arena, "coordinator-3"),
                   .address = text_of(arena, "coordinator-3:7443"),
                   .user_address = text_of(arena, ""),
                   .spki = SPAN(spki),
                   .host_data = {1},
                   .evidence = span_str("evidence"),
                   .version = 2},
    };
}

static void test_a_beat_comes_back(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf body = {0};
    struct replica_beat beat = {12, 1795000000};
    struct replica_beat out;
    replica_beat_encode(&beat, &body);
    assert_true(is_ok(replica_beat_decode(buf_span(&body), &out, NULL)));
    assert_int_equal(out.applied, 12);
    assert_int_equal(out.time, 1795000000);
    for (size_t n = 0; n < body.size; n++) {
        assert_int_equal(replica_beat_decode(span_of(body.data, n), &out, NULL).code,
                         ERR_MALFORMED);
    }
    buf_append_str(&body, "x");
    assert_int_equal(replica_beat_decode(buf_span(&body), &out, NULL).code, ERR_MALFORMED);
}

static void test_a_clock_beyond_all_time_is_refused(void **state) {
    (void)state;
    uint8_t body[16];
    struct replica_beat out;
    memset(body, 0xff, sizeof body);
    assert_int_equal(replica_beat_decode(SPAN(body), &out, NULL).code, ERR_MALFORMED);
}

static void test_a_decline_comes_back(void **state) {
    (void)state;
    AUTO(arena_deinit)
    struct arena arena = {0};
    AUTO(buf_deinit)
    struct buf body = {0};
    struct replica_declined d = {9, ERR_EXISTS, 500, text_of(&arena, "not now")};
    struct replica_declined out;
    replica_declined_encode(&d, &body);
    assert_true(is_ok(replica_declined_decode(buf_span(&body), &arena, &out, NULL)));
    assert_int_equal(out.sequence, 9);
    assert_int_equal(out.code, ERR_EXISTS);
    assert_int_equal(out.retry_ms, 500);
    assert_string_equal(out.text, "not now");
    for (size_t n = 0; n < body.size; n++) {
        assert_false(is_ok(replica_declined_decode(span_of(body.data, n), &arena, &out, NULL)));
    }
}

static void test_a_row_comes_back(void **state) {
    (void)state;
    AUTO(arena_deinit)
    struct arena arena = {0};
    AUTO(buf_deinit)
    struct buf body = {0};
    struct replica_peer_row row;
    struct replica_peer_row out;
    fill_row(&arena, &row);
    replica_peer_row_encode(&row, &body);
    assert_true(is_ok(replica_peer_row_decode(buf_span(&body), &arena, &out, NULL)));
    assert_int_equal(out.applied, 77);
    assert_string_equal(out.member.name, "coordinator-3");
    for (size_t n = 0; n < body.size; n++) {
        assert_false(is_ok(replica_peer_row_decode(span_of(body.data, n), &arena, &out, NULL)));
    }
}

/* A member's word on another one is checked like an entry. */
static void test_a_row_must_be_sound(void **state) {
    (void)state;
    for (int wrong = 0; wrong < 4; wrong++) {
        AUTO(arena_deinit)
        struct arena arena = {0};
        AUTO(buf_deinit)
        struct buf body = {0};
        struct replica_peer_row row;
        struct replica_peer_row out;
        fill_row(&arena, &row);
        row.member.id += wrong == 0 ? 1 : 0;
        row.member.name = wrong == 1 ? text_of(&arena, "a b") : row.member.name;
        row.member.evidence = wrong == 2 ? (struct span){0} : row.member.evidence;
        row.member.version = wrong == 3 ? 0 : row.member.version;
        replica_peer_row_encode(&row, &body);
        assert_int_equal(replica_peer_row_decode(buf_span(&body), &arena, &out, NULL).code,
                         ERR_INVALID);
    }
}

static void test_an_alarm_comes_back(void **state) {
    (void)state;
    AUTO(arena_deinit)
    struct arena arena = {0};
    AUTO(buf_deinit)
    struct buf body = {0};
    struct replica_alarm_frame alarm = {5, text_of(&arena, "CLOCK"), text_of(&arena, "ahead")};
    struct replica_alarm_frame out;
    replica_alarm_encode(&alarm, &body);
    assert_true(is_ok(replica_alarm_decode(buf_span(&body), &arena, &out, NULL)));
    assert_int_equal(out.id, 5);
    assert_string_equal(out.code, "CLOCK");
    for (size_t n = 0; n < body.size; n++) {
        assert_false(is_ok(replica_alarm_decode(span_of(body.data, n), &arena, &out, NULL)));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_beat_comes_back),
        cmocka_unit_test(test_a_clock_beyond_all_time_is_refused),
        cmocka_unit_test(test_a_decline_comes_back),
        cmocka_unit_test(test_a_row_comes_back),
        cmocka_unit_test(test_a_row_must_be_sound),
        cmocka_unit_test(test_an_alarm_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
