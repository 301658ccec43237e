/* The stage: time, loops, threads, processes.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <uv.h>

#include "chaos-tests/played/played.h"

static void on_tick(uv_timer_t *timer) {
    int *count = timer->data;
    if (++*count == 3) {
        uv_close((uv_handle_t *)timer, NULL);
    }
}

static void run_timer(void *data) {
    uv_loop_t loop;
    uv_timer_t timer;
    assert_int_equal(uv_loop_init(&loop), 0);
    uv_timer_init(&loop, &timer);
    timer.data = data;
    uv_timer_start(&timer, on_tick, 10, 10);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_timer_repeats(void **state) {
    (void)state;
    int count = 0;
    struct played *w = played_new(1, 1);
    struct played_program program = {.name = "ticker", .main = run_timer, .data = &count};
    played_spawn(w, &program);
    played_run(w, 25);
    assert_int_equal(count, 2);
    played_run(w, 1000);
    assert_int_equal(count, 3);
    played_free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timer_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
