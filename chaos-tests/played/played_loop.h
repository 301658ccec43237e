/* Loops, inside: what the parts of the stage that libuv's handles belong to share.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_PLAYED_LOOP_H
#define CONTRAST_PLAYED_LOOP_H

#include "chaos-tests/played/played_stage.h"

enum {
    LOOP_ACTIVE = 1, /* keeps the loop alive, unless unreferenced */
    LOOP_UNREFERENCED = 2,
    LOOP_CLOSING = 4,
    LOOP_CLOSED = 8,
    LOOP_QUEUED = 16, /* in the ring of what is ready */
};

/* Of a uv_loop_t, in internal_fields. */
struct played_loop {
    struct played_process *process; /* borrowed */
    stage_ring of_process;
    struct stage_thread *sleeper; /* in uv_run, waits; NULL: none */
    stage_ring ready;             /* handles: u.reserved[2..3] */
    stage_ring done;              /* requests: reserved[0..1] */
    stage_ring handles;           /* handle_queue */
    stage_ring prepares;
    stage_ring checks;
    stage_ring idles;
    unsigned rounds;    /* since it last waited */
    uv_timer_t *timers; /* root of a pairing heap */
};

struct played_loop *loop_of(const uv_loop_t *loop);
void loop_handle_init(uv_loop_t *loop, uv_handle_t *handle, uv_handle_type type);
void loop_handle_start(uv_handle_t *handle);
void loop_handle_stop(uv_handle_t *handle);
/* The handle has something to do when the loop next looks. */
void loop_handle_ready(uv_handle_t *handle);
/* The request is done: its callback comes when the loop next looks. */
void loop_request_init(uv_loop_t *loop, uv_req_t *request, uv_req_type type);
void loop_request_done(uv_loop_t *loop, uv_req_t *request);
void loop_request_gone(uv_loop_t *loop); /* its callback is about to be called */

/* played_timer.c */
void timer_close(uv_timer_t *timer);
void timer_run_due(uv_loop_t *loop);
uint64_t timer_next_ms(const uv_loop_t *loop); /* UINT64_MAX: none */

/* played_tcp.c */
void tcp_close(uv_tcp_t *tcp);
void tcp_finish_close(uv_tcp_t *tcp);
void tcp_ready(uv_tcp_t *tcp);
void tcp_request_done(uv_req_t *request);

#endif
