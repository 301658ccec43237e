/* Played: the world, its processes and hosts; see played.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/played/played.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "chaos-tests/played/played_stage.h"
#include "lib/crypto/digest.h"

#define BOOT_SPREAD_US 86400000000u /* hosts have been up for up to a day, and one more */
#define FIRST_PORT 32768

static struct played *the_world;

struct played *stage(void) {
    CHECK(the_world != NULL);
    return the_world;
}

struct played *played_world(void) {
    return the_world;
}

/* --- Threads */

struct stage_thread *stage_running(void) {
    struct stage_thread *t = stage()->running;
    CHECK(t != NULL); /* the director must not wait */
    return t;
}

void stage_block(uint64_t until_us) {
    struct stage_thread *t = stage_running();
    if (until_us != STAGE_NEVER) {
        stage_set(&t->wake, until_us);
    }
    played_fiber_leave(&t->fiber);
    stage_cancel(&t->wake);
}

void stage_wake(struct stage_thread *thread) {
    struct played *w = stage();
    if (thread->is_ended || thread == w->running) {
        return;
    }
    uint64_t at = w->now_us + 1 + stage_stream_below(&w->whim, STAGE_WAKE_US);
    stage_set_earlier(&thread->wake, at);
}

static void on_fiber(void *data) {
    struct stage_thread *t = data;
    t->entry(t->data);
    t->is_ended = true;
    played_fiber_finish(&t->fiber);
}

static void free_thread(struct stage_thread *t) {
    stage_cancel(&t->wake);
    stage_ring_remove(t->of_process);
    played_fiber_deinit(&t->fiber);
    stage_free(t);
}

void stage_thread_forget(struct stage_thread *thread) {
    CHECK(thread->is_ended);
    free_thread(thread);
}

static void end_process(struct played_process *p);

/* After a thread's entry returned; the main one takes the process with it. */
static void end_thread(struct stage_thread *t) {
    struct played_process *p = t->process;
    played_fiber_deinit(&t->fiber);
    if (t == p->main) {
        end_process(p);
    } else if (t->joiner != NULL) {
        stage_wake(t->joiner);
    }
}

static void on_wake(struct stage_event *event) {
    struct stage_thread *t = event->data;
    struct played *w = stage();
    struct played_process *p = t->process;
    if (p->is_ending) {
        return;
    }
    if (w->hosts[p->host].is_paused) {
        t->is_deferred = true;
        return;
    }
    uint64_t slow_us = w->hosts[p->host].slow_us;
    if (slow_us > 0 && !t->is_slowed) {
        t->is_slowed = true;
        stage_set(&t->wake, w->now_us + stage_stream_below(&w->whim, slow_us));
        return;
    }
    t->is_slowed = false;
    stage_note(p->number, t->id);
    w->running = t;
    w->acting = p;
    played_fiber_enter(&t->fiber);
    w->running = NULL;
    w->acting = NULL;
    if (t->is_ended) {
        end_thread(t);
    }
}

struct stage_thread *stage_thread_new(struct played_process *p, void (*entry)(void *data),
                                      void *data) {
    struct stage_thread *t = stage_alloc(sizeof *t);
    t->process = p;
    t->entry = entry;
    t->data = data;
    t->id = ++p->next_thread_id;
    t->wake = (struct stage_event){.call = on_wake, .data = t};
    played_fiber_init(&t->fiber, on_fiber, t);
    stage_ring_append(p->threads, t->of_process);
    stage_wake(t);
    return t;
}

struct stage_thread *stage_thread_find(const struct played_process *p, uint64_t id) {
    for (void **at = p->threads[0]; at != p->threads; at = at[0]) {
        struct stage_thread *t = STAGE_OF(struct stage_thread, of_process, at);
        if (t->id == id) {
            return t;
        }
    }
    return NULL;
}

void played_sleep(uint64_t ms) {
    struct played *w = stage();
    unsigned host = stage_running()->process->host;
    uint64_t until = stage_monotonic_us(w, host) + ms * 1000 + 1;
    while (stage_monotonic_us(w, host) < until) {
        stage_block(stage_when_us(w, host, until));
    }
}

/* --- Processes */

static void on_end_due(struct stage_event *event) {
    end_process(event->data);
}

struct played_process *played_spawn(struct played *w, const struct played_program *program) {
    CHECK(program->host < w->host_count);
    struct played_process *p = stage_alloc(sizeof *p);
    snprintf(p->name, sizeof p->name, "%s", program->name);
    p->program = *program;
    p->program.name = p->name;
    p->host = program->host;
    p->number = ++w->process_count;
    p->end = (struct stage_event){.call = on_end_due, .data = p};
    stage_stream_seed(&p->random, w->seed, p->number);
    void **rings[] = {p->threads, p->sockets, p->listeners, p->signals, p->loops, p->works};
    for (size_t i = 0; i < sizeof rings / sizeof *rings; i++) {
        stage_ring_init(rings[i]);
    }
    stage_ring_append(w->processes, p->in_world);
    if (w->hosts[p->host].is_down) {
        w->hosts[p->host].is_down = false;
        net_host_up(w, p->host);
    }
    p->main = stage_thread_new(p, program->main, program->data);
    stage_say("starts %s on host %u", p->name, p->host);
    return p;
}

struct work {
    stage_ring of_process;
    struct played_process *process;
    struct stage_event due;
    void (*call)(void *data);
    void (*drop)(void *data);
    void *data;
};

static void drop_works(struct played_process *p) {
    while (!stage_ring_is_empty(p->works)) {
        struct work *work = STAGE_OF(struct work, of_process, p->works[0]);
        stage_ring_remove(work->of_process);
        stage_cancel(&work->due);
        if (work->drop != NULL) {
            work->drop(work->data);
        }
        stage_free(work);
    }
}

/* By the director: nothing of the process runs any more. */
static void end_process(struct played_process *p) {
    CHECK(stage()->running == NULL);
    stage_note(p->number, UINT64_MAX);
    stage_say("ends %s%s", p->name, p->is_killed ? " (killed)" : "");
    p->is_ending = true;
    stage_cancel(&p->end);
    drop_works(p);
    net_process_end(p);
    bool is_cut_off = p->is_killed;
    while (!stage_ring_is_empty(p->threads)) {
        struct stage_thread *t = STAGE_OF(struct stage_thread, of_process, p->threads[0]);
        is_cut_off = is_cut_off || !t->is_ended;
        free_thread(t);
    }
    loop_drop_all(p);
    if (is_cut_off) {
        heap_drop(p);
    } else {
        heap_disown(p);
    }
    stage_ring_remove(p->in_world);
    if (p->program.on_end != NULL) {
        p->program.on_end(p->program.data, p, p->is_killed);
    }
    stage_free(p);
}

/* Code of a process cannot end one on its own stack: the director does, before anything else. */
static void end_soon(struct played_process *p) {
    struct played *w = stage();
    p->is_ending = true;
    if (w->acting == NULL) {
        end_process(p);
        return;
    }
    stage_set(&p->end, w->now_us);
    if (w->running != NULL && w->running->process == p) {
        played_fiber_leave(&w->running->fiber);
    }
}

void played_kill(struct played_process *p) {
    p->is_killed = true;
    end_soon(p);
}

_Noreturn void played_exit(void) {
    end_soon(stage_running()->process);
    CHECK(false);
    __builtin_unreachable();
}

void played_signal(struct played_process *p, int number) {
    bool is_watched = false;
    stage_note(p->number, (uint64_t)number);
    loop_signal(p, number, &is_watched);
    if (!is_watched) {
        played_kill(p);
    }
}

bool played_is_alive(const struct played_process *p) {
    return !p->is_ending;
}

const char *played_current(void) {
    return the_world != NULL && the_world->acting != NULL ? the_world->acting->name : "";
}

struct played_process *played_self(void) {
    return the_world != NULL ? the_world->acting : NULL;
}

unsigned played_host_of(const struct played_process *p) {
    return p->host;
}

const char *played_name_of(const struct played_process *p) {
    return p->name;
}

struct played_process *played_outside_begin(void) {
    struct played *w = stage();
    struct played_process *before = w->acting;
    w->acting = NULL;
    return before;
}

void played_outside_end(struct played_process *before) {
    stage()->acting = before;
}

static void on_work(struct stage_event *event) {
    struct work *work = event->data;
    struct played *w = stage();
    struct played_process *p = work->process;
    if (w->hosts[p->host].is_paused) { /* asks again now and then */
        stage_set(&work->due, w->now_us + 1000);
        return;
    }
    stage_ring_remove(work->of_process);
    stage_note(p->number, 0);
    w->acting = p;
    work->call(work->data);
    w->acting = NULL;
    stage_free(work);
}

void stage_later_us(struct played_process *p, uint64_t delay_us, void (*call)(void *data),
                    void *data, void (*drop)(void *data)) {
    struct work *work = stage_alloc(sizeof *work);
    *work = (struct work){.process = p, .call = call, .drop = drop, .data = data};
    work->due = (struct stage_event){.call = on_work, .data = work};
    stage_ring_append(p->works, work->of_process);
    stage_set(&work->due, stage()->now_us + delay_us + 1);
}

void played_later(struct played_process *p, uint64_t delay_ms, void (*call)(void *data), void *data,
                  void (*drop)(void *data)) {
    stage_later_us(p, delay_ms * 1000, call, data, drop);
}

/* --- Hosts */

uint64_t stage_monotonic_us(const struct played *w, unsigned host) {
    const struct stage_host *h = &w->hosts[host];
    uint64_t passed = w->now_us - h->base_us;
    return h->base_monotonic_us + passed + (uint64_t)((int64_t)passed * h->drift_ppm / 1000000);
}

uint64_t stage_when_us(const struct played *w, unsigned host, uint64_t monotonic_us) {
    const struct stage_host *h = &w->hosts[host];
    uint64_t shown = stage_monotonic_us(w, host);
    if (monotonic_us <= shown) {
        return w->now_us;
    }
    uint64_t wait = monotonic_us - h->base_monotonic_us;
    uint64_t rate = (uint64_t)(1000000 + (int64_t)h->drift_ppm);
    uint64_t at = h->base_us + (uint64_t)((__extension__(unsigned __int128) wait) * 1000000 / rate);
    return at + 1 > w->now_us ? at + 1 : w->now_us + 1;
}

uint64_t played_host_monotonic_ms(const struct played *w, unsigned host) {
    return stage_monotonic_us(w, host) / 1000;
}

int64_t played_host_unix_s(const struct played *w, unsigned host) {
    const struct stage_host *h = &w->hosts[host];
    int64_t up = (int64_t)((stage_monotonic_us(w, host) - h->boot_us) / 1000000);
    return PLAYED_UNIX_START + up + h->skew_s;
}

/* Every thread of the host looks at its clock again. */
static void wake_host(struct played *w, unsigned host, bool only_deferred) {
    for (void **at = w->processes[0]; at != w->processes; at = at[0]) {
        struct played_process *p = STAGE_OF(struct played_process, in_world, at);
        if (p->host != host) {
            continue;
        }
        for (void **of = p->threads[0]; of != p->threads; of = of[0]) {
            struct stage_thread *t = STAGE_OF(struct stage_thread, of_process, of);
            if (t->is_deferred || !only_deferred) {
                t->is_deferred = false;
                stage_wake(t);
            }
        }
    }
}

void played_host_pause(struct played *w, unsigned host) {
    CHECK(host < w->host_count);
    w->hosts[host].is_paused = true;
}

void played_host_resume(struct played *w, unsigned host) {
    CHECK(host < w->host_count);
    w->hosts[host].is_paused = false;
    wake_host(w, host, true);
}

void played_host_slow(struct played *w, unsigned host, uint64_t most_ms) {
    CHECK(host < w->host_count);
    w->hosts[host].slow_us = most_ms * 1000;
}

void played_host_clock(struct played *w, unsigned host, int64_t skew_s, int32_t drift_ppm) {
    CHECK(host < w->host_count && drift_ppm > -500000 && drift_ppm < 1000000);
    struct stage_host *h = &w->hosts[host];
    h->base_monotonic_us = stage_monotonic_us(w, host);
    h->base_us = w->now_us;
    h->drift_ppm = drift_ppm;
    h->skew_s = skew_s;
    wake_host(w, host, false);
}

static struct played_process *first_of(struct played *w, unsigned host) {
    for (void **at = w->processes[0]; at != w->processes; at = at[0]) {
        struct played_process *p = STAGE_OF(struct played_process, in_world, at);
        if (p->host == host && !p->is_ending) {
            return p;
        }
    }
    return NULL;
}

void played_host_kill(struct played *w, unsigned host) {
    CHECK(host < w->host_count);
    w->hosts[host].is_down = true;
    w->hosts[host].is_paused = false;
    for (struct played_process *p; (p = first_of(w, host)) != NULL;) {
        p->is_power_off = true;
        played_kill(p);
    }
}

/* --- The world */

uint64_t played_now_us(const struct played *w) {
    return w->now_us;
}

uint64_t played_now_ms(const struct played *w) {
    return w->now_us / 1000;
}

uint64_t played_steps(const struct played *w) {
    return w->steps;
}

uint64_t played_random(struct played *w) {
    return stage_stream_next(&w->director);
}

uint64_t played_below(struct played *w, uint64_t bound) {
    return stage_stream_below(&w->director, bound);
}

void played_set_verbose(struct played *w, bool on) {
    w->is_verbose = on;
}

struct timer {
    stage_ring in_world;
    struct stage_event due;
    void (*call)(void *data);
    void *data;
};

static void on_timer(struct stage_event *event) {
    struct timer *timer = event->data;
    void (*call)(void *data) = timer->call;
    void *data = timer->data;
    stage_ring_remove(timer->in_world);
    stage_free(timer);
    stage_note(0, 1);
    call(data);
}

void played_at(struct played *w, uint64_t at_ms, void (*call)(void *data), void *data) {
    struct timer *timer = stage_alloc(sizeof *timer);
    timer->call = call;
    timer->data = data;
    timer->due = (struct stage_event){.call = on_timer, .data = timer};
    stage_ring_append(w->timers, timer->in_world);
    uint64_t at_us = at_ms * 1000;
    stage_set(&timer->due, at_us > w->now_us ? at_us : w->now_us);
}

void played_run(struct played *w, uint64_t until_ms) {
    while (played_step(w, until_ms)) {
    }
}

static void init_hosts(struct played *w) {
    w->hosts = stage_alloc(w->host_count * sizeof *w->hosts);
    for (unsigned i = 0; i < w->host_count; i++) {
        uint64_t up = BOOT_SPREAD_US + stage_stream_below(&w->whim, BOOT_SPREAD_US);
        w->hosts[i] =
            (struct stage_host){.next_port = FIRST_PORT, .boot_us = up, .base_monotonic_us = up};
    }
}

struct played *played_new(uint64_t seed, unsigned host_count) {
    CHECK(the_world == NULL && host_count > 0 && host_count <= PLAYED_HOSTS_MAX);
    struct played *w = stage_alloc(sizeof *w);
    the_world = w;
    w->seed = seed;
    w->host_count = host_count;
    stage_stream_seed(&w->director, seed, UINT64_MAX);
    stage_stream_seed(&w->whim, seed, UINT64_MAX - 1);
    stage_stream_seed(&w->outside, seed, UINT64_MAX - 2);
    stage_ring_init(w->processes);
    stage_ring_init(w->timers);
    init_hosts(w);
    net_world_init(w);
    rand_install();
    return w;
}

void played_free(struct played *w) {
    if (w == NULL) {
        return;
    }
    while (!stage_ring_is_empty(w->processes)) {
        played_kill(STAGE_OF(struct played_process, in_world, w->processes[0]));
    }
    while (!stage_ring_is_empty(w->timers)) {
        struct timer *timer = STAGE_OF(struct timer, in_world, w->timers[0]);
        stage_ring_remove(timer->in_world);
        stage_cancel(&timer->due);
        stage_free(timer);
    }
    net_world_deinit(w);
    CHECK(w->heap_count == 0);
    stage_free(w->heap);
    stage_free(w->hosts);
    stage_free(w);
    the_world = NULL;
}

/* --- What happened */

static uint64_t mix(uint64_t a, uint64_t b) {
    __extension__ unsigned __int128 product =
        (unsigned __int128)(a ^ 0x9e3779b97f4a7c15u) * (b ^ 0xd1b54a32d192ed03u);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

void stage_note(uint64_t a, uint64_t b) {
    struct played *w = stage();
    w->digest[0] = mix(w->digest[0] ^ w->now_us, w->digest[3] + a);
    w->digest[1] = mix(w->digest[1] ^ a, w->digest[0] + b);
    w->digest[2] = mix(w->digest[2] ^ b, w->digest[1] + w->now_us);
    w->digest[3] += w->digest[2] ^ (w->digest[0] << 1);
}

void stage_note_bytes(const void *data, size_t size) {
    const uint8_t *at = data;
    uint64_t sum = size;
    while (size > 0) {
        uint64_t word = 0;
        size_t piece = size < sizeof word ? size : sizeof word;
        memcpy(&word, at, piece);
        sum = mix(sum, word);
        at += piece;
        size -= piece;
    }
    stage_note(sum, 2);
}

void played_digest(const struct played *w, uint8_t out[32]) {
    uint64_t all[] = {w->digest[0], w->digest[1], w->digest[2], w->digest[3], w->now_us, w->steps};
    sha256(span_of(all, sizeof all), out);
}

void stage_say(const char *format, ...) {
    struct played *w = stage();
    if (!w->is_verbose) {
        return;
    }
    va_list args;
    va_start(args, format);
    printf("%8llu.%03llu ", (unsigned long long)(w->now_us / 1000),
           (unsigned long long)(w->now_us % 1000));
    vprintf(format, args);
    printf("\n");
    va_end(args);
}
