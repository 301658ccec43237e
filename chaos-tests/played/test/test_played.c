/* The stage: time, loops, threads, processes, hosts. Programs record, the director judges.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <malloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/rand.h>
#include <uv.h>

#include "chaos-tests/played/played.h"
#include "lib/base/host.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"

/* What a program did, as one word after the other. */
struct record {
    char text[512];
    uint64_t at_ms[32];
    size_t count;
    int ends;
    bool is_killed;
    uv_timer_t *timers; /* of the program that runs */
    uv_async_t async;
    uv_mutex_t mutex;
    uv_cond_t changed;
    int wanted;
    uint8_t bytes[16];
};

static void note(struct record *r, const char *word) {
    size_t size = strlen(r->text);
    snprintf(r->text + size, sizeof r->text - size, "%s%s", size > 0 ? " " : "", word);
    r->at_ms[r->count++] = played_now_ms(played_world());
}

static void on_end(void *data, struct played_process *p, bool is_killed) {
    (void)p;
    struct record *r = data;
    r->ends++;
    r->is_killed = is_killed;
}

static struct played_process *start(struct played *w, unsigned host, void (*run)(void *data),
                                    struct record *r) {
    struct played_program program = {
        .name = "program", .host = host, .main = run, .data = r, .on_end = on_end};
    return played_spawn(w, &program);
}

static void play(void (*run)(void *data), struct record *r) {
    struct played *w = played_new(1, 2);
    start(w, 0, run, r);
    played_run(w, 100000);
    assert_int_equal(r->ends, 1);
    played_free(w);
}

/* --- Timers */

static void on_named(uv_timer_t *timer) {
    note(timer->loop->data, timer->data);
}

static void start_named(uv_loop_t *loop, uv_timer_t *timer, const char *name, uint64_t ms) {
    uv_timer_init(loop, timer);
    memcpy(&timer->data, &name, sizeof name);
    uv_timer_start(timer, on_named, ms, 0);
}

static void run_ordered(void *data) {
    uv_loop_t loop = {.data = data};
    uv_timer_t timers[5];
    const char *names[] = {"late", "first", "second", "stopped", "closed"};
    const uint64_t due[] = {30, 10, 10, 10, 10};
    uv_loop_init(&loop);
    for (int i = 0; i < 5; i++) {
        start_named(&loop, &timers[i], names[i], due[i]);
    }
    uv_timer_stop(&timers[3]);
    uv_close((uv_handle_t *)&timers[4], NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    for (int i = 0; i < 4; i++) {
        uv_close((uv_handle_t *)&timers[i], NULL);
    }
    note(data, uv_run(&loop, UV_RUN_DEFAULT) == 0 ? "done" : "alive");
    note(data, uv_loop_close(&loop) == 0 ? "closed" : "busy");
}

static void test_timers_go_by_time_then_by_start(void **state) {
    (void)state;
    struct record r = {0};
    play(run_ordered, &r);
    assert_string_equal(r.text, "first second late done closed");
    assert_int_equal(r.at_ms[1] - r.at_ms[0], 0);
    assert_int_equal(r.at_ms[2] - r.at_ms[0], 20);
}

static void on_tick(uv_timer_t *timer) {
    struct record *r = timer->loop->data;
    note(r, "tick");
    if (r->count == 3) {
        uv_close((uv_handle_t *)timer, NULL);
    }
}

static void run_repeating(void *data) {
    uv_loop_t loop = {.data = data};
    uv_timer_t timer;
    uv_loop_init(&loop);
    uv_timer_init(&loop, &timer);
    uv_timer_start(&timer, on_tick, 0, 10);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
}

static void test_a_timer_repeats_until_it_closes(void **state) {
    (void)state;
    struct record r = {0};
    play(run_repeating, &r);
    assert_string_equal(r.text, "tick tick tick");
    assert_in_range(r.at_ms[2], 19, 20); /* the clock of the host ticks in between */
}

static void on_idle(uv_idle_t *idle) {
    struct record *r = idle->loop->data;
    r->wanted++;
}

static void on_stop(uv_timer_t *timer) {
    uv_stop(timer->loop);
}

static void run_spinning(void *data) {
    uv_loop_t loop = {.data = data};
    uv_idle_t idle;
    uv_timer_t timer;
    uv_loop_init(&loop);
    uv_idle_init(&loop, &idle);
    uv_timer_init(&loop, &timer);
    uv_idle_start(&idle, on_idle);
    uv_timer_start(&timer, on_stop, 100, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&idle, NULL);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    note(data, uv_loop_close(&loop) == 0 ? "closed" : "busy");
}

static void test_a_loop_that_never_waits_does_not_stop_the_world(void **state) {
    (void)state;
    struct record r = {0};
    play(run_spinning, &r);
    assert_string_equal(r.text, "closed");
    assert_true(r.wanted > 1000);
}

#define MANY_TIMERS 500

static void on_any(uv_timer_t *timer) {
    struct record *r = timer->loop->data;
    uint64_t now = uv_now(timer->loop);
    r->wanted += now < r->at_ms[0] || uv_timer_get_due_in(timer) != 0;
    r->at_ms[0] = now;
    r->count++;
    if (r->count % 3 == 0) { /* starting and stopping others from inside */
        uv_timer_stop(&r->timers[(r->count * 7) % MANY_TIMERS]);
        uv_timer_start(&r->timers[(r->count * 5) % MANY_TIMERS], on_any, r->count % 11, 0);
    }
    if (r->count > 5000) {
        uv_stop(timer->loop);
    }
}

static void run_many(void *data) {
    struct record *r = data;
    uv_loop_t loop = {.data = data};
    static uv_timer_t timers[MANY_TIMERS];
    r->timers = timers;
    uv_loop_init(&loop);
    for (int i = 0; i < MANY_TIMERS; i++) {
        uv_timer_init(&loop, &timers[i]);
        uv_timer_start(&timers[i], on_any, host_random_below(&host_system, 1000), 0);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    for (int i = 0; i < MANY_TIMERS; i++) {
        uv_close((uv_handle_t *)&timers[i], NULL);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    r->wanted += uv_loop_close(&loop) != 0;
}

static void test_many_timers_never_go_back_in_time(void **state) {
    (void)state;
    struct record r = {0};
    play(run_many, &r);
    assert_true(r.count >= MANY_TIMERS / 2);
    assert_int_equal(r.wanted, 0);
}

/* --- Threads */

static void on_async(uv_async_t *async) {
    struct record *r = async->data;
    note(r, "async");
    uv_close((uv_handle_t *)async, NULL);
}

static void send_twice(void *data) {
    struct record *r = data;
    played_sleep(50);
    note(r, "send");
    uv_async_send(&r->async);
    uv_async_send(&r->async);
}

static void run_async(void *data) {
    struct record *r = data;
    uv_loop_t loop;
    uv_thread_t thread;
    uv_loop_init(&loop);
    uv_async_init(&loop, &r->async, on_async);
    r->async.data = r;
    uv_thread_create(&thread, send_twice, r);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_thread_join(&thread);
    note(r, uv_loop_close(&loop) == 0 ? "closed" : "busy");
}

static void test_async_wakes_the_loop_of_another_thread(void **state) {
    (void)state;
    struct record r = {0};
    play(run_async, &r);
    assert_string_equal(r.text, "send async closed");
    assert_int_equal(r.at_ms[0], 50);
    assert_true(r.at_ms[1] <= 51);
}

static void want_three(void *data) {
    struct record *r = data;
    uv_mutex_lock(&r->mutex);
    while (r->wanted < 3) {
        uv_cond_wait(&r->changed, &r->mutex);
    }
    note(r, "three");
    uv_mutex_unlock(&r->mutex);
}

static void run_condition(void *data) {
    struct record *r = data;
    uv_thread_t thread;
    uv_mutex_init(&r->mutex);
    uv_cond_init(&r->changed);
    uv_thread_create(&thread, want_three, r);
    for (int i = 0; i < 3; i++) {
        played_sleep(10);
        uv_mutex_lock(&r->mutex);
        r->wanted++;
        note(r, "more");
        uv_cond_signal(&r->changed);
        uv_mutex_unlock(&r->mutex);
    }
    uv_thread_join(&thread);
    uv_mutex_lock(&r->mutex);
    int code = uv_cond_timedwait(&r->changed, &r->mutex, 250 * 1000000ull);
    note(r, code == UV_ETIMEDOUT ? "timeout" : "signaled");
    uv_mutex_unlock(&r->mutex);
    uv_cond_destroy(&r->changed);
    uv_mutex_destroy(&r->mutex);
}

static void test_conditions_wait_and_time_out(void **state) {
    (void)state;
    struct record r = {0};
    play(run_condition, &r);
    assert_string_equal(r.text, "more more more three timeout");
    assert_int_equal(r.at_ms[4], 280);
}

static void run_with_a_stray_thread(void *data) {
    struct record *r = data;
    uv_thread_t thread;
    uv_mutex_init(&r->mutex);
    uv_cond_init(&r->changed);
    uv_thread_create(&thread, want_three, r);
    played_sleep(10);
}

static void test_main_takes_its_threads_along(void **state) {
    (void)state;
    struct record r = {0};
    play(run_with_a_stray_thread, &r);
    assert_string_equal(r.text, "");
    assert_false(r.is_killed);
}

/* --- Processes */

static void on_signal(uv_signal_t *handle, int number) {
    note(handle->loop->data, number == SIGTERM ? "term" : "other");
    uv_stop(handle->loop);
}

static void run_watcher(void *data) {
    uv_loop_t loop = {.data = data};
    uv_signal_t handle;
    uv_loop_init(&loop);
    uv_signal_init(&loop, &handle);
    uv_signal_start(&handle, on_signal, SIGTERM);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&handle, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
}

static void test_a_signal_reaches_its_watcher_and_kills_without_one(void **state) {
    (void)state;
    struct record watched = {0};
    struct record struck = {0};
    struct played *w = played_new(1, 2);
    struct played_process *p = start(w, 0, run_watcher, &watched);
    struct played_process *q = start(w, 1, run_watcher, &struck);
    played_run(w, 10);
    played_signal(p, SIGTERM);
    played_signal(q, SIGINT);
    played_run(w, 20);
    assert_string_equal(watched.text, "term");
    assert_int_equal(watched.ends, 1);
    assert_false(watched.is_killed);
    assert_string_equal(struck.text, "");
    assert_int_equal(struck.ends, 1);
    assert_true(struck.is_killed);
    played_free(w);
}

/* What it holds is given back when it is killed (AddressSanitizer would tell). */
static void run_hoarder(void *data) {
    struct record *r = data;
    void *blocks[4] = {mem_alloc(100), mem_zalloc(0), mem_realloc(mem_alloc(1), 5000),
                       mem_strdup("text")};
    struct secret *secret = secret_new(32);
    mem_free(blocks[0]);
    secret_free(secret);
    secret = secret_new(48);
    note(r, secret_span(secret).size == 48 && blocks[3] != NULL ? "holds" : "lost");
    played_sleep(1000000);
    note(r, "woke");
}

static void test_a_killed_process_leaves_nothing(void **state) {
    (void)state;
    struct record r = {0};
    struct played *w = played_new(1, 1);
    struct played_process *p = start(w, 0, run_hoarder, &r);
    played_run(w, 10);
    assert_true(played_is_alive(p));
    played_kill(p);
    assert_int_equal(r.ends, 1);
    assert_true(r.is_killed);
    played_run(w, 2000000);
    assert_string_equal(r.text, "holds");
    played_free(w);
}

#define HOARD (1024 * 1024)

static void run_big_hoarder(void *data) {
    uint8_t *block = mem_zalloc(HOARD);
    note(data, block[HOARD - 1] == 0 ? "holds" : "lost");
    played_sleep(1000000);
}

/* AddressSanitizer counts nothing here, and keeps the blocks. */
static void test_the_memory_of_the_killed_comes_back(void **state) {
    (void)state;
    size_t before = 0;
    for (int i = 0; i < 20; i++) {
        struct record r = {0};
        struct played *w = played_new(1, 1);
        start(w, 0, run_big_hoarder, &r);
        played_run(w, 10);
        assert_string_equal(r.text, "holds");
        played_free(w);
        struct mallinfo2 now = mallinfo2();
        before = i == 0 ? now.uordblks + now.hblkhd : before;
        assert_true(now.uordblks + now.hblkhd < before + HOARD);
    }
}

static void run_leaver(void *data) {
    note(data, "in");
    played_exit();
}

static void run_self_killer(void *data) {
    note(data, "in");
    played_kill(played_self());
    note(data, "not here");
}

static void test_a_process_may_end_itself(void **state) {
    (void)state;
    struct record left = {0};
    struct record killed = {0};
    play(run_leaver, &left);
    play(run_self_killer, &killed);
    assert_string_equal(left.text, "in");
    assert_false(left.is_killed);
    assert_string_equal(killed.text, "in");
    assert_true(killed.is_killed);
}

static void note_done(void *data) {
    note(data, "done");
}

static void note_dropped(void *data) {
    note(data, "dropped");
}

static void test_later_is_called_or_dropped(void **state) {
    (void)state;
    struct record r = {0};
    struct record program = {0};
    struct played *w = played_new(1, 1);
    struct played_process *p = start(w, 0, run_hoarder, &program);
    played_later(p, 5, note_done, &r, note_dropped);
    played_later(p, 50, note_done, &r, note_dropped);
    played_run(w, 20);
    played_kill(p);
    assert_string_equal(r.text, "done dropped");
    assert_int_equal(r.at_ms[0], 5);
    played_free(w);
}

/* --- Hosts */

static void run_sleeper(void *data) {
    struct record *r = data;
    uint64_t before = host_monotonic_ms(&host_system);
    played_sleep(100);
    note(r, "woke");
    r->wanted = (int)(host_monotonic_ms(&host_system) - before);
}

static void test_a_paused_host_is_late(void **state) {
    (void)state;
    struct record r = {0};
    struct played *w = played_new(1, 1);
    start(w, 0, run_sleeper, &r);
    played_run(w, 50);
    played_host_pause(w, 0);
    played_run(w, 5000);
    assert_int_equal(r.count, 0);
    played_host_resume(w, 0);
    played_run(w, 10000);
    assert_int_equal(r.at_ms[0], 5000);
    assert_int_equal(r.wanted, 5000);
    played_free(w);
}

static void test_a_slow_host_is_late_by_its_measure(void **state) {
    (void)state;
    struct record r[20] = {0};
    struct played *w = played_new(1, 1);
    played_host_slow(w, 0, 300);
    uint64_t latest = 0;
    for (int i = 0; i < 20; i++) {
        start(w, 0, run_sleeper, &r[i]);
    }
    played_run(w, 10000);
    for (int i = 0; i < 20; i++) {
        assert_in_range(r[i].at_ms[0], 100, 700); /* twice: at its start and after its sleep */
        latest = r[i].at_ms[0] > latest ? r[i].at_ms[0] : latest;
    }
    assert_true(latest > 300);
    played_free(w);
}

static void test_a_fast_clock_wakes_early(void **state) {
    (void)state;
    struct record fast = {0};
    struct record slow = {0};
    struct played *w = played_new(1, 2);
    played_host_clock(w, 0, 3600, 100000); /* 10 % */
    played_host_clock(w, 1, -7200, -100000);
    start(w, 0, run_sleeper, &fast);
    start(w, 1, run_sleeper, &slow);
    played_run(w, 10000);
    assert_int_equal(fast.at_ms[0], 90);
    assert_int_equal(fast.wanted, 100);
    assert_int_equal(slow.at_ms[0], 111);
    assert_int_equal(slow.wanted, 100);
    assert_int_equal(played_host_unix_s(w, 0), PLAYED_UNIX_START + 3600 + 11);
    assert_int_equal(played_host_unix_s(w, 1), PLAYED_UNIX_START - 7200 + 9);
    played_free(w);
}

static void run_clock_reader(void *data) {
    struct record *r = data;
    struct timespec monotonic;
    int64_t now = host_unix_s(&host_system);
    clock_gettime(CLOCK_MONOTONIC, &monotonic);
    bool is_same = now == (int64_t)time(NULL) &&
                   (uint64_t)monotonic.tv_sec == host_monotonic_ms(&host_system) / 1000;
    note(r, is_same && now == PLAYED_UNIX_START ? "same" : "different");
    sleep(3);
    note(r, host_unix_s(&host_system) - now == 3 ? "three" : "other");
}

static void test_the_c_library_shows_the_same_clock(void **state) {
    (void)state;
    struct record r = {0};
    play(run_clock_reader, &r);
    assert_string_equal(r.text, "same three");
}

/* --- Everything follows from the seed */

static void run_random(void *data) {
    struct record *r = data;
    host_random(&host_system, r->bytes, 8);
    RAND_bytes(r->bytes + 8, 8);
    for (int i = 0; i < 10; i++) {
        played_sleep(host_random_below(&host_system, 100));
    }
}

static void digest_of(uint64_t seed, uint8_t out[32], struct record r[2]) {
    struct played *w = played_new(seed, 2);
    start(w, 0, run_random, &r[0]);
    start(w, 1, run_random, &r[1]);
    played_run(w, 10000);
    played_digest(w, out);
    played_free(w);
}

static void test_same_seed_same_digest(void **state) {
    (void)state;
    uint8_t digests[3][32];
    struct record r[6] = {0};
    digest_of(7, digests[0], &r[0]);
    digest_of(7, digests[1], &r[2]);
    digest_of(8, digests[2], &r[4]);
    assert_memory_equal(digests[0], digests[1], 32);
    assert_memory_not_equal(digests[0], digests[2], 32);
    assert_memory_equal(r[0].bytes, r[2].bytes, 16);
    assert_memory_not_equal(r[0].bytes, r[1].bytes, 8);
    assert_memory_not_equal(r[0].bytes + 8, r[1].bytes + 8, 8);
    assert_memory_not_equal(r[0].bytes, r[4].bytes, 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timers_go_by_time_then_by_start),
        cmocka_unit_test(test_a_timer_repeats_until_it_closes),
        cmocka_unit_test(test_many_timers_never_go_back_in_time),
        cmocka_unit_test(test_async_wakes_the_loop_of_another_thread),
        cmocka_unit_test(test_conditions_wait_and_time_out),
        cmocka_unit_test(test_main_takes_its_threads_along),
        cmocka_unit_test(test_a_signal_reaches_its_watcher_and_kills_without_one),
        cmocka_unit_test(test_a_killed_process_leaves_nothing),
        cmocka_unit_test(test_the_memory_of_the_killed_comes_back),
        cmocka_unit_test(test_a_process_may_end_itself),
        cmocka_unit_test(test_later_is_called_or_dropped),
        cmocka_unit_test(test_a_paused_host_is_late),
        cmocka_unit_test(test_a_loop_that_never_waits_does_not_stop_the_world),
        cmocka_unit_test(test_a_slow_host_is_late_by_its_measure),
        cmocka_unit_test(test_a_fast_clock_wakes_early),
        cmocka_unit_test(test_the_c_library_shows_the_same_clock),
        cmocka_unit_test(test_same_seed_same_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
