/* Loops of libuv in virtual time: one round after the other as uv_run does it (libuv 1.44,
 * docs/design: time, timers, idle, prepare, wait, what is ready, check, close); see played_loop.h.
 *
 * A callback takes no time, so a loop that never waits (an idle handle, a timer of 0 again and
 * again) would stop the world: after ROUNDS_MAX rounds it waits for a moment.
 *
 * What is ready: asyncs that were sent, signals, sockets, requests that are done. A loop with
 * nothing alive returns, one with nothing ready waits for the next timer or a wake-up.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/played/played_loop.h"

#include <string.h>

#define ROUNDS_MAX 64
#define ROUND_US 20

struct played_loop *loop_of(const uv_loop_t *loop) {
    return loop->internal_fields;
}

/* --- Loops */

int uv_loop_init(uv_loop_t *loop) {
    void *data = loop->data;
    memset(loop, 0, sizeof *loop);
    loop->data = data;
    struct played_process *p = played_self();
    CHECK(p != NULL); /* a loop belongs to a process */
    struct played_loop *l = stage_alloc(sizeof *l);
    l->process = p;
    void **rings[] = {l->ready, l->done, l->handles, l->prepares, l->checks, l->idles};
    for (size_t i = 0; i < sizeof rings / sizeof *rings; i++) {
        stage_ring_init(rings[i]);
    }
    loop->internal_fields = l;
    stage_ring_append(p->loops, l->of_process);
    uv_update_time(loop);
    return 0;
}

int uv_loop_close(uv_loop_t *loop) {
    struct played_loop *l = loop_of(loop);
    if (!stage_ring_is_empty(l->handles) || loop->active_reqs.count > 0) {
        return UV_EBUSY;
    }
    stage_ring_remove(l->of_process);
    stage_free(l);
    loop->internal_fields = NULL;
    return 0;
}

void loop_drop_all(struct played_process *p) {
    while (!stage_ring_is_empty(p->loops)) {
        struct played_loop *l = STAGE_OF(struct played_loop, of_process, p->loops[0]);
        stage_ring_remove(l->of_process);
        stage_free(l);
    }
}

void uv_update_time(uv_loop_t *loop) {
    loop->time = stage_monotonic_us(stage(), loop_of(loop)->process->host) / 1000;
}

uint64_t uv_now(const uv_loop_t *loop) {
    return loop->time;
}

uint64_t uv_hrtime(void) {
    struct played_process *p = played_self();
    return (p != NULL ? stage_monotonic_us(stage(), p->host) : stage()->now_us) * 1000;
}

void uv_stop(uv_loop_t *loop) {
    loop->stop_flag = 1;
}

int uv_loop_alive(const uv_loop_t *loop) {
    return loop->active_handles > 0 || loop->active_reqs.count > 0 || loop->closing_handles != NULL;
}

static void wake_loop(const struct played_loop *l) {
    if (l->sleeper != NULL) {
        stage_wake(l->sleeper);
    }
}

/* --- Handles */

void loop_handle_init(uv_loop_t *loop, uv_handle_t *handle, uv_handle_type type) {
    struct played_loop *l = loop_of(loop);
    handle->loop = loop;
    handle->type = type;
    handle->flags = 0;
    handle->close_cb = NULL;
    handle->next_closing = NULL;
    memset(&handle->u, 0, sizeof handle->u);
    stage_ring_append(l->handles, handle->handle_queue);
}

void loop_handle_start(uv_handle_t *handle) {
    if ((handle->flags & LOOP_ACTIVE) == 0) {
        handle->flags |= LOOP_ACTIVE;
        handle->loop->active_handles += (handle->flags & LOOP_UNREFERENCED) == 0;
    }
}

void loop_handle_stop(uv_handle_t *handle) {
    if ((handle->flags & LOOP_ACTIVE) != 0) {
        handle->flags &= ~(unsigned)LOOP_ACTIVE;
        handle->loop->active_handles -= (handle->flags & LOOP_UNREFERENCED) == 0;
    }
}

static void **ready_item(uv_handle_t *handle) {
    return &handle->u.reserved[2];
}

void loop_handle_ready(uv_handle_t *handle) {
    if ((handle->flags & (LOOP_QUEUED | LOOP_CLOSING)) == 0) {
        handle->flags |= LOOP_QUEUED;
        stage_ring_append(loop_of(handle->loop)->ready, ready_item(handle));
        wake_loop(loop_of(handle->loop));
    }
}

static void unready(uv_handle_t *handle) {
    if ((handle->flags & LOOP_QUEUED) != 0) {
        handle->flags &= ~(unsigned)LOOP_QUEUED;
        stage_ring_remove(ready_item(handle));
    }
}

void uv_ref(uv_handle_t *handle) {
    if ((handle->flags & LOOP_UNREFERENCED) != 0) {
        handle->flags &= ~(unsigned)LOOP_UNREFERENCED;
        handle->loop->active_handles += (handle->flags & LOOP_ACTIVE) != 0;
    }
}

void uv_unref(uv_handle_t *handle) {
    if ((handle->flags & LOOP_UNREFERENCED) == 0) {
        handle->flags |= LOOP_UNREFERENCED;
        handle->loop->active_handles -= (handle->flags & LOOP_ACTIVE) != 0;
    }
}

int uv_has_ref(const uv_handle_t *handle) {
    return (handle->flags & LOOP_UNREFERENCED) == 0;
}

int uv_is_active(const uv_handle_t *handle) {
    return (handle->flags & LOOP_ACTIVE) != 0;
}

int uv_is_closing(const uv_handle_t *handle) {
    return (handle->flags & (LOOP_CLOSING | LOOP_CLOSED)) != 0;
}

void uv_walk(uv_loop_t *loop, uv_walk_cb cb, void *arg) {
    stage_ring all;
    stage_ring_move(loop_of(loop)->handles, all);
    while (!stage_ring_is_empty(all)) {
        uv_handle_t *handle = STAGE_OF(uv_handle_t, handle_queue, all[0]);
        stage_ring_remove(handle->handle_queue);
        stage_ring_append(loop_of(loop)->handles, handle->handle_queue);
        cb(handle, arg);
    }
}

/* --- Requests */

void loop_request_init(uv_loop_t *loop, uv_req_t *request, uv_req_type type) {
    request->type = type;
    loop->active_reqs.count++;
}

void loop_request_done(uv_loop_t *loop, uv_req_t *request) {
    stage_ring_append(loop_of(loop)->done, request->reserved);
    wake_loop(loop_of(loop));
}

void loop_request_gone(uv_loop_t *loop) {
    CHECK(loop->active_reqs.count > 0);
    loop->active_reqs.count--;
}

/* --- Prepare, check, idle: one kind under three names */

typedef void (*turn_cb)(uv_prepare_t *handle);

static int turn_start(void **ring, uv_prepare_t *handle, turn_cb cb) {
    if ((handle->flags & LOOP_ACTIVE) != 0) {
        return 0;
    }
    if (cb == NULL) {
        return UV_EINVAL;
    }
    handle->prepare_cb = cb;
    stage_ring_append(ring, handle->queue);
    loop_handle_start((uv_handle_t *)handle);
    return 0;
}

static int turn_stop(uv_prepare_t *handle) {
    if ((handle->flags & LOOP_ACTIVE) != 0) {
        stage_ring_remove(handle->queue);
        loop_handle_stop((uv_handle_t *)handle);
    }
    return 0;
}

static void turn_run(void **ring) {
    stage_ring now;
    stage_ring_move(ring, now);
    while (!stage_ring_is_empty(now)) {
        uv_prepare_t *handle = STAGE_OF(uv_prepare_t, queue, now[0]);
        stage_ring_remove(handle->queue);
        stage_ring_append(ring, handle->queue);
        handle->prepare_cb(handle);
    }
}

_Static_assert(sizeof(uv_prepare_t) == sizeof(uv_check_t) &&
                   sizeof(uv_prepare_t) == sizeof(uv_idle_t),
               "prepare, check and idle look alike");

int uv_prepare_init(uv_loop_t *loop, uv_prepare_t *handle) {
    loop_handle_init(loop, (uv_handle_t *)handle, UV_PREPARE);
    return 0;
}

int uv_prepare_start(uv_prepare_t *handle, uv_prepare_cb cb) {
    return turn_start(loop_of(handle->loop)->prepares, handle, cb);
}

int uv_prepare_stop(uv_prepare_t *handle) {
    return turn_stop(handle);
}

int uv_check_init(uv_loop_t *loop, uv_check_t *handle) {
    loop_handle_init(loop, (uv_handle_t *)handle, UV_CHECK);
    return 0;
}

int uv_check_start(uv_check_t *handle, uv_check_cb cb) {
    return turn_start(loop_of(handle->loop)->checks, (uv_prepare_t *)(void *)handle, (turn_cb)cb);
}

int uv_check_stop(uv_check_t *handle) {
    return turn_stop((uv_prepare_t *)(void *)handle);
}

int uv_idle_init(uv_loop_t *loop, uv_idle_t *handle) {
    loop_handle_init(loop, (uv_handle_t *)handle, UV_IDLE);
    return 0;
}

int uv_idle_start(uv_idle_t *handle, uv_idle_cb cb) {
    return turn_start(loop_of(handle->loop)->idles, (uv_prepare_t *)(void *)handle, (turn_cb)cb);
}

int uv_idle_stop(uv_idle_t *handle) {
    return turn_stop((uv_prepare_t *)(void *)handle);
}

/* --- Asyncs and signals */

int uv_async_init(uv_loop_t *loop, uv_async_t *handle, uv_async_cb cb) {
    loop_handle_init(loop, (uv_handle_t *)handle, UV_ASYNC);
    handle->async_cb = cb;
    loop_handle_start((uv_handle_t *)handle);
    return 0;
}

int uv_async_send(uv_async_t *handle) {
    loop_handle_ready((uv_handle_t *)handle);
    return 0;
}

int uv_signal_init(uv_loop_t *loop, uv_signal_t *handle) {
    loop_handle_init(loop, (uv_handle_t *)handle, UV_SIGNAL);
    handle->signum = 0;
    handle->caught_signals = 0;
    return 0;
}

static void **signal_item(uv_signal_t *handle) {
    return (void **)(void *)&handle->tree_entry;
}

int uv_signal_stop(uv_signal_t *handle) {
    if ((handle->flags & LOOP_ACTIVE) != 0) {
        stage_ring_remove(signal_item(handle));
        handle->signum = 0;
        loop_handle_stop((uv_handle_t *)handle);
    }
    return 0;
}

int uv_signal_start(uv_signal_t *handle, uv_signal_cb cb, int number) {
    if (number <= 0 || (handle->flags & LOOP_CLOSING) != 0) {
        return UV_EINVAL;
    }
    uv_signal_stop(handle);
    handle->signal_cb = cb;
    handle->signum = number;
    stage_ring_append(loop_of(handle->loop)->process->signals, signal_item(handle));
    loop_handle_start((uv_handle_t *)handle);
    return 0;
}

void loop_signal(struct played_process *p, int number, bool *is_watched) {
    for (void **at = p->signals[0]; at != p->signals; at = at[0]) {
        uv_signal_t *handle = STAGE_OF(uv_signal_t, tree_entry, at);
        if (handle->signum == number) {
            *is_watched = true;
            handle->caught_signals++;
            loop_handle_ready((uv_handle_t *)handle);
        }
    }
}

static void run_signal(uv_signal_t *handle) {
    int number = handle->signum;
    unsigned count = handle->caught_signals;
    handle->caught_signals = 0;
    for (unsigned i = 0; i < count && handle->signum == number && number != 0; i++) {
        handle->signal_cb(handle, number);
    }
}

/* --- Closing */

static void stop_handle(uv_handle_t *handle) {
    switch ((int)handle->type) {
    case UV_TIMER:
        timer_close((uv_timer_t *)handle);
        break;
    case UV_PREPARE:
    case UV_CHECK:
    case UV_IDLE:
        turn_stop((uv_prepare_t *)handle);
        break;
    case UV_SIGNAL:
        uv_signal_stop((uv_signal_t *)handle);
        break;
    case UV_TCP:
        tcp_close((uv_tcp_t *)handle);
        break;
    default:
        CHECK(handle->type == UV_ASYNC);
    }
    loop_handle_stop(handle);
}

void uv_close(uv_handle_t *handle, uv_close_cb close_cb) {
    CHECK(!uv_is_closing(handle));
    stop_handle(handle);
    unready(handle);
    handle->flags |= LOOP_CLOSING;
    handle->close_cb = close_cb;
    handle->next_closing = handle->loop->closing_handles;
    handle->loop->closing_handles = handle;
}

static void run_closing(uv_loop_t *loop) {
    uv_handle_t *handle = loop->closing_handles;
    loop->closing_handles = NULL;
    while (handle != NULL) {
        uv_handle_t *next = handle->next_closing;
        if (handle->type == UV_TCP) {
            tcp_finish_close((uv_tcp_t *)handle);
        }
        handle->flags |= LOOP_CLOSED;
        stage_ring_remove(handle->handle_queue);
        if (handle->close_cb != NULL) {
            handle->close_cb(handle);
        }
        handle = next;
    }
}

/* --- One round */

static void run_ready_handle(uv_handle_t *handle) {
    unready(handle);
    switch ((int)handle->type) {
    case UV_ASYNC:
        ((uv_async_t *)handle)->async_cb((uv_async_t *)handle);
        break;
    case UV_SIGNAL:
        run_signal((uv_signal_t *)handle);
        break;
    default:
        CHECK(handle->type == UV_TCP);
        tcp_ready((uv_tcp_t *)handle);
    }
}

/* What is ready now; what becomes so meanwhile waits for the next round. */
static void run_ready(struct played_loop *l) {
    stage_ring now;
    stage_ring_move(l->ready, now);
    while (!stage_ring_is_empty(now)) {
        run_ready_handle(STAGE_OF(uv_handle_t, u.reserved[2], now[0]));
    }
    stage_ring_move(l->done, now);
    while (!stage_ring_is_empty(now)) {
        uv_req_t *request = STAGE_OF(uv_req_t, reserved, now[0]);
        stage_ring_remove(request->reserved);
        tcp_request_done(request);
    }
}

static bool may_wait(const uv_loop_t *loop) {
    const struct played_loop *l = loop_of(loop);
    return loop->stop_flag == 0 && (loop->active_handles > 0 || loop->active_reqs.count > 0) &&
           stage_ring_is_empty(l->idles) && loop->closing_handles == NULL &&
           stage_ring_is_empty(l->ready) && stage_ring_is_empty(l->done);
}

static void wait_for_something(uv_loop_t *loop) {
    struct played_loop *l = loop_of(loop);
    struct played *w = stage();
    l->sleeper = stage_running();
    while (may_wait(loop)) {
        uint64_t next_ms = timer_next_ms(loop);
        uint64_t until = STAGE_NEVER;
        if (next_ms < UINT64_MAX / 1000) {
            if (stage_monotonic_us(w, l->process->host) >= next_ms * 1000) {
                break;
            }
            until = stage_when_us(w, l->process->host, next_ms * 1000);
        }
        l->rounds = 0;
        stage_block(until);
    }
    if (++l->rounds >= ROUNDS_MAX) {
        l->rounds = 0;
        stage_block(w->now_us + ROUND_US);
    }
    l->sleeper = NULL;
}

int uv_run(uv_loop_t *loop, uv_run_mode mode) {
    struct played_loop *l = loop_of(loop);
    int is_alive = uv_loop_alive(loop);
    if (!is_alive) {
        uv_update_time(loop);
    }
    while (is_alive && loop->stop_flag == 0) {
        uv_update_time(loop);
        timer_run_due(loop);
        turn_run(l->idles);
        turn_run(l->prepares);
        if (mode != UV_RUN_NOWAIT) {
            wait_for_something(loop);
        }
        uv_update_time(loop);
        run_ready(l);
        turn_run(l->checks);
        run_closing(loop);
        if (mode == UV_RUN_ONCE) {
            uv_update_time(loop);
            timer_run_due(loop);
        }
        is_alive = uv_loop_alive(loop);
        if (mode != UV_RUN_DEFAULT) {
            break;
        }
    }
    loop->stop_flag = 0;
    return is_alive;
}
