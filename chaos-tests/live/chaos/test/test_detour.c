/* Tests of a bad line: delay, order, loss, rate, queue, swallowed connections, stalls.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "chaos-tests/live/chaos/detour.h"

#define NOW 1000000
#define COUNT 10000
#define SIZE 1000

static struct detour_state state;

static void start(const struct detour_line *line) {
    struct detour_line l = *line;
    l.queue_size = l.queue_size > 0 ? l.queue_size : UINT32_MAX;
    detour_state_init(&state, &l, NOW);
}

/* A TCP packet from 10.0.0.1 with this source port. */
static const uint8_t *packet(uint16_t port) {
    static uint8_t p[SIZE];
    memset(p, 0, sizeof p);
    p[0] = 0x45;
    p[9] = 6;
    p[12] = p[16] = 10;
    p[15] = 1;
    p[19] = 2;
    p[20] = (uint8_t)(port >> 8);
    p[21] = (uint8_t)port;
    return p;
}

static struct detour_fate decide(uint16_t port, uint64_t now) {
    return detour_decide(&state, packet(port), SIZE, now);
}

static void a_line_without_faults_passes_all(void **unused) {
    (void)unused;
    start(&(struct detour_line){0});
    for (uint64_t i = 0; i < COUNT; i++) {
        struct detour_fate f = decide(1, NOW + i);
        assert_int_equal(1, f.copies);
        assert_int_equal(NOW + i, f.due_us);
    }
}

static void delay_with_jitter_keeps_bounds_and_order(void **unused) {
    (void)unused;
    start(&(struct detour_line){.delay_us = 50000, .jitter_us = 20000, .seed = 3});
    uint64_t last = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        uint64_t now = NOW + i * 1000;
        struct detour_fate f = decide(1, now);
        assert_in_range(f.due_us, now + 30000, now + 70000);
        assert_true(f.due_us >= last);
        last = f.due_us;
    }
}

static void jitter_above_the_delay_is_cut_to_it(void **unused) {
    (void)unused;
    start(&(struct detour_line){.delay_us = 10, .jitter_us = UINT64_MAX});
    for (int i = 0; i < COUNT; i++) {
        assert_in_range(decide(1, NOW).due_us, NOW, NOW + 20);
    }
}

static void a_reordered_packet_overtakes(void **unused) {
    (void)unused;
    start(&(struct detour_line){.delay_us = 50000, .reorder = 0.25, .seed = 4});
    unsigned at_once = 0;
    for (int i = 0; i < COUNT; i++) {
        at_once += decide(1, NOW).due_us == NOW ? 1 : 0;
    }
    assert_in_range(at_once, COUNT / 5, COUNT * 3 / 10);
}

static void as_many_are_lost_and_doubled_as_said(void **unused) {
    (void)unused;
    start(&(struct detour_line){.loss = 0.3, .duplicate = 0.1, .seed = 5});
    unsigned of[3] = {0};
    for (int i = 0; i < COUNT; i++) {
        of[decide(1, NOW).copies]++;
    }
    assert_in_range(of[0], COUNT * 27 / 100, COUNT * 33 / 100);
    assert_in_range(of[2], COUNT * 5 / 100, COUNT * 9 / 100);
}

static void the_same_seed_says_the_same(void **unused) {
    (void)unused;
    static struct detour_fate first[COUNT];
    for (int turn = 0; turn < 2; turn++) {
        start(&(struct detour_line){.delay_us = 900, .jitter_us = 900, .loss = 0.5, .seed = 6});
        for (int i = 0; i < COUNT; i++) {
            struct detour_fate f = decide(1, NOW);
            if (turn == 0) {
                first[i] = f;
            }
            assert_int_equal(first[i].copies, f.copies);
            assert_int_equal(first[i].due_us, f.due_us);
        }
    }
}

static void a_narrow_line_sends_at_its_rate(void **unused) {
    (void)unused;
    start(&(struct detour_line){.rate_kbit = 80}); /* 10 bytes a millisecond */
    for (uint64_t i = 1; i <= 100; i++) {
        assert_int_equal(NOW + i * 100000, decide(1, NOW).due_us);
    }
    assert_int_equal(NOW + 50000000 + 100000, decide(1, NOW + 50000000).due_us);
}

static void a_full_queue_drops(void **unused) {
    (void)unused;
    start(&(struct detour_line){.rate_kbit = 1, .queue_size = 3 * SIZE});
    for (int i = 0; i < 3; i++) {
        assert_int_equal(1, decide(1, NOW).copies);
        state.queued += SIZE;
    }
    assert_int_equal(0, decide(1, NOW).copies);
    state.queued -= SIZE;
    assert_int_equal(1, decide(1, NOW).copies);
}

static void each_connection_is_swallowed_by_itself(void **unused) {
    (void)unused;
    start(&(struct detour_line){.swallow_size = 3 * SIZE});
    for (uint16_t port = 1; port < 4; port++) {
        for (int i = 0; i < 6; i++) {
            assert_int_equal(i < 3 ? 1 : 0, decide(port, NOW).copies);
        }
    }
}

static void a_stall_ends_with_its_time_and_comes_again(void **unused) {
    (void)unused;
    start(&(struct detour_line){.stall_us = 400, .period_us = 1000});
    for (uint64_t period = 0; period < 3; period++) {
        uint64_t at = NOW + period * 1000;
        assert_int_equal(400, detour_stall_us(&state, at));
        assert_int_equal(1, detour_stall_us(&state, at + 399));
        assert_int_equal(0, detour_stall_us(&state, at + 400));
        assert_int_equal(0, detour_stall_us(&state, at + 999));
    }
}

static void what_is_no_packet_is_lost(void **unused) {
    (void)unused;
    start(&(struct detour_line){.swallow_size = 1 << 20});
    for (size_t size = 0; size < SIZE; size++) {
        struct detour_fate f = detour_decide(&state, packet(1), size, NOW);
        assert_int_equal(size < 20 ? 0 : 1, f.copies);
    }
    uint8_t six[40] = {0x60};
    assert_int_equal(0, detour_decide(&state, six, sizeof six, NOW).copies);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_without_faults_passes_all),
        cmocka_unit_test(delay_with_jitter_keeps_bounds_and_order),
        cmocka_unit_test(jitter_above_the_delay_is_cut_to_it),
        cmocka_unit_test(a_reordered_packet_overtakes),
        cmocka_unit_test(as_many_are_lost_and_doubled_as_said),
        cmocka_unit_test(the_same_seed_says_the_same),
        cmocka_unit_test(a_narrow_line_sends_at_its_rate),
        cmocka_unit_test(a_full_queue_drops),
        cmocka_unit_test(each_connection_is_swallowed_by_itself),
        cmocka_unit_test(a_stall_ends_with_its_time_and_comes_again),
        cmocka_unit_test(what_is_no_packet_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
