/* The desk of recovery sessions. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/recovery_desk.h"
#include "lib/base/mem.h"

#define HEADER "what stands before the ciphertext"
#define FILE_SIZE 1000

/* A clock that stands where the test puts it, and numbers that never repeat. */
struct bench {
    struct host host;
    uint64_t ms;
    uint8_t next;
    struct recovery_desk *desk;
    uint8_t owners[LIMIT_SHARE_OWNERS][32];
    struct recovery_offer offer;
    uint8_t file[FILE_SIZE];
    uint8_t session[RECOVERY_SESSION_SIZE];
    struct err err;
};

static uint64_t on_ms(void *data) {
    return ((struct bench *)data)->ms;
}

static int64_t on_unix(void *data) {
    (void)data;
    return 1;
}

static void on_random(void *data, void *out, size_t size) {
    memset(out, ++((struct bench *)data)->next, size);
}

/* Three owners, two of whom are enough. */
static int set_up(void **state) {
    struct bench *b = mem_zalloc(sizeof *b);
    b->ms = 1000000;
    b->host = (struct host){b, on_ms, on_unix, on_random};
    b->desk = recovery_desk_new(&b->host);
    for (size_t i = 0; i < LIMIT_SHARE_OWNERS; i++) {
        memset(b->owners[i], (int)(0x10 + i), 32);
    }
    memset(b->file, 0xc7, sizeof b->file);
    memcpy(b->file, HEADER, sizeof HEADER);
    b->offer = (struct recovery_offer){
        .recovery = {.epoch = 3, .previous_epoch = 2, .mode = RECOVERY_CHECKPOINT, .index = 77},
        .last_term = 9,
        .threshold = 2,
        .owners = (const uint8_t(*)[32])b->owners,
        .owner_count = 3,
        .header = span_of(HEADER, sizeof HEADER),
        .size = FILE_SIZE,
    };
    *state = b;
    return 0;
}

static int tear_down(void **state) {
    struct bench *b = *state;
    recovery_desk_free(b->desk);
    mem_free(b);
    return 0;
}

static enum err_code open_session(struct bench *b) {
    return recovery_desk_open(b->desk, &b->offer, b->session, &b->err).code;
}

static enum err_code upload(struct bench *b, size_t from, size_t size) {
    return recovery_desk_upload(b->desk, b->session, from, span_of(b->file + from, size), &b->err)
        .code;
}

static enum err_code give(struct bench *b, unsigned owner, bool *may_start) {
    static const uint8_t share[LIMIT_SHARE] = {1};
    struct recovery_gift gift = {.key = span_str("key"),
                                 .share = b->offer.size > 0 ? SPAN(share) : (struct span){0},
                                 .signature = span_str("signature")};
    memset(gift.owner, (int)(0x10 + owner), sizeof gift.owner);
    return recovery_desk_give(b->desk, b->session, &gift, may_start, &b->err).code;
}

static enum err_code stage_of(struct bench *b, enum recovery_stage *stage) {
    struct recovery_standing s = {0};
    struct result r = recovery_desk_show(b->desk, b->session, &s, &b->err);
    *stage = s.stage;
    recovery_standing_deinit(&s);
    return r.code;
}

static void assert_stage(struct bench *b, enum recovery_stage want) {
    enum recovery_stage stage;
    assert_int_equal(stage_of(b, &stage), ERR_OK);
    assert_int_equal(stage, want);
}

static void assert_gone(struct bench *b) {
    enum recovery_stage stage;
    assert_int_equal(stage_of(b, &stage), ERR_NOT_FOUND);
}

static void start(struct bench *b) {
    bool may_start = false;
    assert_int_equal(open_session(b), ERR_OK);
    assert_int_equal(upload(b, sizeof HEADER, FILE_SIZE - sizeof HEADER), ERR_OK);
    assert_int_equal(give(b, 0, &may_start), ERR_OK);
    assert_false(may_start);
    assert_int_equal(give(b, 2, &may_start), ERR_OK);
    assert_true(may_start);
    assert_stage(b, RECOVERY_STARTING);
}

/* --- The way through */

static void test_a_session_from_the_offer_to_its_end(void **state) {
    struct bench *b = *state;
    struct recovery_case c;
    start(b);
    recovery_desk_case(b->desk, b->session, &c);
    assert_int_equal(c.recovery->index, 77);
    assert_int_equal(c.file.size, FILE_SIZE);
    assert_memory_equal(c.file.data, b->file, FILE_SIZE);
    assert_int_equal(c.share_count, 2);
    assert_int_equal(c.signature_count, 2);
    assert_true(span_equal(c.signatures[1].signature, span_str("signature")));
    assert_int_equal(c.threshold, 2);
    assert_int_equal(c.owner_count, 3);
    recovery_desk_finish(b->desk, b->session, OK, NULL);
    assert_stage(b, RECOVERY_DONE);
}

static void test_it_shows_who_has_given_and_how_far_the_file_is(void **state) {
    struct bench *b = *state;
    struct recovery_standing s = {0};
    bool may_start;
    assert_int_equal(open_session(b), ERR_OK);
    assert_int_equal(upload(b, sizeof HEADER, FILE_SIZE - sizeof HEADER), ERR_OK);
    assert_int_equal(give(b, 1, &may_start), ERR_OK);
    assert_true(is_ok(recovery_desk_show(b->desk, b->session, &s, &b->err)));
    assert_int_equal(s.received, FILE_SIZE);
    assert_int_equal(s.size, FILE_SIZE);
    assert_int_equal(s.given, 1);
    assert_false(s.has_given[0]);
    assert_true(s.has_given[1]);
    assert_int_equal(s.last_term, 9);
    assert_int_equal(s.expires_ms, LIMIT_RECOVERY_MS);
    assert_true(span_equal(buf_span(&s.header), b->offer.header));
    recovery_standing_deinit(&s);
}

static void test_a_survivor_needs_no_file_and_no_share(void **state) {
    struct bench *b = *state;
    bool may_start;
    b->offer.recovery.mode = RECOVERY_SURVIVOR;
    b->offer.header = (struct span){0};
    b->offer.size = 0;
    assert_int_equal(open_session(b), ERR_OK);
    assert_int_equal(upload(b, 0, 1), ERR_PROTOCOL);
    assert_int_equal(give(b, 0, &may_start), ERR_OK);
    assert_int_equal(give(b, 1, &may_start), ERR_OK);
    assert_true(may_start);
    recovery_desk_finish(b->desk, b->session, OK, NULL);
}

/* --- What an offer may say */

static void test_offers_that_cannot_be(void **state) {
    struct bench *b = *state;
    const struct recovery_offer good = b->offer;
    b->offer.threshold = 0;
    assert_int_equal(open_session(b), ERR_INVALID);
    b->offer.threshold = 4;
    assert_int_equal(open_session(b), ERR_INVALID);
    b->offer = good;
    b->offer.owner_count = 0;
    assert_int_equal(open_session(b), ERR_INVALID);
    b->offer.owner_count = LIMIT_SHARE_OWNERS + 1;
    assert_int_equal(open_session(b), ERR_INVALID);
    b->offer = good;
    b->offer.recovery.epoch = 2;
    assert_int_equal(open_session(b), ERR_CHANGED);
    b->offer.recovery.epoch = 2 + LIMIT_EPOCH_STEP + 1;
    assert_int_equal(open_session(b), ERR_INVALID);
    b->offer = good;
    b->offer.size = sizeof HEADER;
    assert_int_equal(open_session(b), ERR_INVALID);
    b->offer.size = (uint64_t)LIMIT_CHECKPOINT + 1;
    assert_int_equal(open_session(b), ERR_TOO_LARGE);
    b->offer = good;
    b->offer.recovery.mode = RECOVERY_SURVIVOR;
    assert_int_equal(open_session(b), ERR_INVALID);
    b->offer = good;
    memcpy(b->owners[2], b->owners[0], 32);
    assert_int_equal(open_session(b), ERR_INVALID);
}

static void test_the_same_offer_is_the_same_session(void **state) {
    struct bench *b = *state;
    uint8_t first[RECOVERY_SESSION_SIZE];
    assert_int_equal(open_session(b), ERR_OK);
    memcpy(first, b->session, sizeof first);
    assert_int_equal(upload(b, sizeof HEADER, 10), ERR_OK);
    assert_int_equal(open_session(b), ERR_OK);
    assert_memory_equal(first, b->session, sizeof first);
    b->offer.recovery.epoch++;
    assert_int_equal(open_session(b), ERR_OK);
    assert_memory_not_equal(first, b->session, sizeof first);
}

/* --- The file */

static void test_an_upload_goes_on_where_it_stopped(void **state) {
    struct bench *b = *state;
    size_t at = sizeof HEADER;
    bool may_start;
    assert_int_equal(open_session(b), ERR_OK);
    assert_int_equal(upload(b, at, 100), ERR_OK);
    assert_int_equal(upload(b, at + 101, 10), ERR_PROTOCOL); /* a gap */
    assert_int_equal(upload(b, at + 50, 100), ERR_OK);       /* half of it is here */
    assert_int_equal(upload(b, 0, at + 150), ERR_OK);        /* all of it */
    assert_int_equal(give(b, 0, &may_start), ERR_UNAVAILABLE);
    b->file[at + 20] ^= 1;
    assert_int_equal(upload(b, at, 100), ERR_DIFFERS);
    b->file[at + 20] ^= 1;
    assert_int_equal(upload(b, at + 150, FILE_SIZE - at - 150), ERR_OK);
    uint8_t more = 0;
    assert_int_equal(
        recovery_desk_upload(b->desk, b->session, FILE_SIZE, SPAN(&more), &b->err).code,
        ERR_PROTOCOL);
    assert_int_equal(
        recovery_desk_upload(b->desk, b->session, UINT64_MAX, SPAN(b->file), &b->err).code,
        ERR_PROTOCOL);
    assert_int_equal(give(b, 0, &may_start), ERR_OK);
}

/* --- Contributions */

static void test_one_owner_counts_once_and_strangers_never(void **state) {
    struct bench *b = *state;
    bool may_start;
    assert_int_equal(open_session(b), ERR_OK);
    assert_int_equal(upload(b, sizeof HEADER, FILE_SIZE - sizeof HEADER), ERR_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(give(b, 0, &may_start), ERR_OK);
        assert_false(may_start);
    }
    assert_int_equal(give(b, 3, &may_start), ERR_DENIED); /* owners are 0, 1 and 2 */
    assert_false(may_start);
    assert_stage(b, RECOVERY_OPEN);
}

static void test_one_caller_starts(void **state) {
    struct bench *b = *state;
    bool may_start;
    start(b);
    assert_int_equal(give(b, 1, &may_start), ERR_OK);
    assert_false(may_start);
    recovery_desk_finish(b->desk, b->session, OK, NULL);
    assert_int_equal(give(b, 1, &may_start), ERR_OK);
    assert_false(may_start);
}

static void test_what_could_not_be_is_tried_again(void **state) {
    struct bench *b = *state;
    struct err why;
    bool may_start;
    start(b);
    recovery_desk_finish(b->desk, b->session, err_set(&why, ERR_BUSY, "later"), &why);
    assert_stage(b, RECOVERY_OPEN);
    assert_int_equal(give(b, 0, &may_start), ERR_OK);
    assert_true(may_start);
    struct recovery_case c;
    recovery_desk_case(b->desk, b->session, &c);
    assert_int_equal(c.share_count, 2);
    assert_true(span_equal(c.signatures[0].key, span_str("key"))); /* once, not twice */
    recovery_desk_finish(b->desk, b->session, OK, NULL);
}

static void test_what_is_false_stays_false(void **state) {
    struct bench *b = *state;
    struct err why;
    bool may_start;
    start(b);
    recovery_desk_finish(b->desk, b->session, err_set(&why, ERR_DENIED, "not ours"), &why);
    assert_stage(b, RECOVERY_FAILED);
    assert_int_equal(give(b, 1, &may_start), ERR_DENIED);
    assert_non_null(strstr(b->err.text, "not ours"));
    assert_false(may_start);
    assert_int_equal(upload(b, 0, 1), ERR_DENIED);
    assert_int_equal(open_session(b), ERR_OK); /* the same offer again is a new session */
    assert_stage(b, RECOVERY_OPEN);
}

/* --- Bounds */

static void test_sessions_lapse(void **state) {
    struct bench *b = *state;
    bool may_start;
    assert_int_equal(open_session(b), ERR_OK);
    b->ms += LIMIT_RECOVERY_IDLE_MS - 1;
    assert_int_equal(upload(b, sizeof HEADER, FILE_SIZE - sizeof HEADER), ERR_OK);
    b->ms += LIMIT_RECOVERY_IDLE_MS - 1;
    assert_int_equal(give(b, 0, &may_start), ERR_OK);
    b->ms += LIMIT_RECOVERY_MS - 1;
    assert_stage(b, RECOVERY_OPEN);
    b->ms += 1;
    assert_gone(b);
    assert_int_equal(give(b, 1, &may_start), ERR_NOT_FOUND);
    assert_int_equal(upload(b, 0, 1), ERR_NOT_FOUND);
}

static void test_drops_of_progress_do_not_hold_a_seat_for_ever(void **state) {
    struct bench *b = *state;
    size_t at = sizeof HEADER;
    assert_int_equal(open_session(b), ERR_OK);
    uint64_t end = b->ms + LIMIT_RECOVERY_TOTAL_MS;
    while (b->ms + LIMIT_RECOVERY_IDLE_MS / 2 < end) {
        b->ms += LIMIT_RECOVERY_IDLE_MS / 2;
        assert_int_equal(upload(b, at++, 1), ERR_OK);
    }
    b->ms = end;
    assert_gone(b);
}

static void test_a_start_that_takes_its_time_does_not_lapse(void **state) {
    struct bench *b = *state;
    start(b);
    b->ms += LIMIT_RECOVERY_TOTAL_MS + 1;
    assert_stage(b, RECOVERY_STARTING);
    recovery_desk_finish(b->desk, b->session, OK, NULL);
}

static void test_seats_are_few_and_the_idle_give_way(void **state) {
    struct bench *b = *state;
    uint8_t first[RECOVERY_SESSION_SIZE];
    assert_int_equal(open_session(b), ERR_OK);
    memcpy(first, b->session, sizeof first);
    b->ms += 1;
    for (int i = 1; i < LIMIT_RECOVERIES; i++) {
        b->offer.recovery.epoch++;
        assert_int_equal(open_session(b), ERR_OK);
    }
    b->offer.recovery.epoch++;
    assert_int_equal(open_session(b), ERR_BUSY);
    assert_true(b->err.retry_ms > 0);
    b->ms += LIMIT_RECOVERY_REST_MS;
    assert_int_equal(open_session(b), ERR_OK);
    memcpy(b->session, first, sizeof first); /* the one that rested for longest */
    assert_gone(b);
}

static void test_a_session_with_a_contribution_keeps_its_seat(void **state) {
    struct bench *b = *state;
    bool may_start;
    for (int i = 0; i < LIMIT_RECOVERIES; i++) {
        b->offer.recovery.epoch++;
        assert_int_equal(open_session(b), ERR_OK);
        assert_int_equal(upload(b, sizeof HEADER, FILE_SIZE - sizeof HEADER), ERR_OK);
        assert_int_equal(give(b, 0, &may_start), ERR_OK);
    }
    b->ms += LIMIT_RECOVERY_REST_MS + 1;
    b->offer.recovery.epoch++;
    assert_int_equal(open_session(b), ERR_BUSY);
}

static void test_files_are_bounded_together(void **state) {
    struct bench *b = *state;
    b->offer.size = LIMIT_CHECKPOINT;
    assert_int_equal(open_session(b), ERR_OK);
    b->offer.recovery.epoch++;
    b->offer.size = FILE_SIZE;
    assert_int_equal(open_session(b), ERR_BUSY);
}

static void test_opening_has_a_pace(void **state) {
    struct bench *b = *state;
    for (int i = 0; i < LIMIT_RECOVERY_BURST; i++) {
        assert_true(is_ok(recovery_desk_may_open(b->desk, &b->err)));
    }
    assert_int_equal(recovery_desk_may_open(b->desk, &b->err).code, ERR_BUSY);
    assert_int_equal(b->err.retry_ms, LIMIT_RECOVERY_PERIOD_MS);
    b->ms += LIMIT_RECOVERY_PERIOD_MS;
    assert_true(is_ok(recovery_desk_may_open(b->desk, &b->err)));
}

static void test_checkpoints_in_memory_are_few_and_have_a_pace(void **state) {
    struct bench *b = *state;
    for (int i = 0; i < LIMIT_CHECKPOINTS; i++) {
        assert_true(is_ok(recovery_desk_seal_begin(b->desk, &b->err)));
    }
    assert_int_equal(recovery_desk_seal_begin(b->desk, &b->err).code, ERR_BUSY);
    assert_true(b->err.retry_ms > 0);
    for (int i = 0; i < LIMIT_CHECKPOINTS; i++) {
        recovery_desk_seal_end(b->desk);
    }
    for (int i = LIMIT_CHECKPOINTS; i < LIMIT_CHECKPOINT_BURST; i++) {
        assert_true(is_ok(recovery_desk_seal_begin(b->desk, &b->err)));
        recovery_desk_seal_end(b->desk);
    }
    assert_int_equal(recovery_desk_seal_begin(b->desk, &b->err).code, ERR_BUSY);
    b->ms += LIMIT_CHECKPOINT_PERIOD_MS;
    assert_true(is_ok(recovery_desk_seal_begin(b->desk, &b->err)));
    recovery_desk_seal_end(b->desk);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_session_from_the_offer_to_its_end),
        TEST(it_shows_who_has_given_and_how_far_the_file_is),
        TEST(a_survivor_needs_no_file_and_no_share),
        TEST(offers_that_cannot_be),
        TEST(the_same_offer_is_the_same_session),
        TEST(an_upload_goes_on_where_it_stopped),
        TEST(one_owner_counts_once_and_strangers_never),
        TEST(one_caller_starts),
        TEST(what_could_not_be_is_tried_again),
        TEST(what_is_false_stays_false),
        TEST(sessions_lapse),
        TEST(drops_of_progress_do_not_hold_a_seat_for_ever),
        TEST(a_start_that_takes_its_time_does_not_lapse),
        TEST(seats_are_few_and_the_idle_give_way),
        TEST(a_session_with_a_contribution_keeps_its_seat),
        TEST(files_are_bounded_together),
        TEST(opening_has_a_pace),
        TEST(checkpoints_in_memory_are_few_and_have_a_pace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
