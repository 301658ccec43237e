/* The stage, inside: what its files share. Everything is of the one world that exists (stage()).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_PLAYED_STAGE_H
#define CONTRAST_PLAYED_STAGE_H

#include <uv.h>

#include "chaos-tests/sim/sim_chance.h"
#include "chaos-tests/played/played.h"
#include "chaos-tests/played/played_fiber.h"
#include "lib/base/err.h"

#define STAGE_NEVER UINT64_MAX
#define STAGE_NAME_SIZE 64
#define STAGE_WAKE_US 40 /* a thread that is woken runs within so long: the scheduler's whim */

/* --- Events: what is due, by time, then by the order in which it was asked for */

struct stage_event {
    void (*call)(struct stage_event *event);
    void *data;
    size_t slot; /* index in the heap + 1; 0: not set */
};

void stage_set(struct stage_event *event, uint64_t at_us);         /* again = moved */
void stage_set_earlier(struct stage_event *event, uint64_t at_us); /* unless it is due before */
void stage_cancel(struct stage_event *event);
bool stage_is_set(const struct stage_event *event);

/* --- Rings: doubly linked, as libuv's handles have room for them: {next, previous} */

typedef void *stage_ring[2];

void stage_ring_init(void **ring);
bool stage_ring_is_empty(void *const *ring);
void stage_ring_append(void **ring, void **item); /* at the end */
void stage_ring_remove(void **item);              /* and is a ring of its own afterwards */
void stage_ring_move(void **from, void **to);     /* all of `from` to the empty `to` */
#define STAGE_OF(type, member, item) ((type *)(void *)((char *)(item)-offsetof(type, member)))

/* --- Random streams */

struct stage_stream {
    struct sim_chance chance;
};

void stage_stream_seed(struct stage_stream *stream, uint64_t seed, uint64_t number);
uint64_t stage_stream_next(struct stage_stream *stream);
uint64_t stage_stream_below(struct stage_stream *stream, uint64_t bound);
void stage_stream_fill(struct stage_stream *stream, void *out, size_t size);

/* --- The world */

struct stage_thread {
    struct played_process *process; /* NULL: free slot */
    stage_ring of_process;
    struct fiber fiber;
    void (*entry)(void *data);
    void *data;
    uint64_t id; /* uv_thread_t */
    struct stage_event wake;
    bool is_deferred; /* was to run while its host is paused */
    bool is_slowed;   /* has waited for its slow host this time */
    bool is_ended;
    unsigned locks; /* that it holds */
    struct stage_thread *joiner;
    struct stage_thread *next_waiting; /* of a mutex or condition */
    bool is_waiting;                   /* in such a list */
};

struct stage_block; /* of memory; played_heap.c */

struct played_process {
    char name[STAGE_NAME_SIZE];
    unsigned host;
    uint64_t number; /* from 1, in the order of played_spawn */
    struct played_program program;
    struct stage_thread *main;
    stage_ring in_world;
    stage_ring threads;
    stage_ring sockets;   /* struct socket_end.of_process */
    stage_ring listeners; /* struct socket_listener.of_process */
    stage_ring signals;   /* uv_signal_t.tree_entry: those started */
    stage_ring loops;     /* struct played_loop.of_process */
    stage_ring works;     /* of played_later */
    struct stage_event end;
    bool is_ending; /* its threads do not run any more */
    bool is_killed;
    bool is_power_off;          /* nobody is told */
    struct stage_block *blocks; /* of memory */
    struct stage_stream random; /* of the host it sees: keys, nonces, jitter */
    uint64_t next_thread_id;
};

struct stage_host {
    bool is_paused;
    bool is_down;
    uint64_t slow_us; /* played_host_slow */
    uint16_t next_port;
    int32_t drift_ppm;
    int64_t skew_s;
    uint64_t boot_us;           /* monotonic clock at time 0 */
    uint64_t base_us;           /* since so long it has this drift ... */
    uint64_t base_monotonic_us; /* ... and this it showed then */
};

struct stage_net; /* links, names, connections; played_net.c */

struct stage_slot; /* of the heap */

struct played {
    uint64_t seed;
    uint64_t now_us;
    uint64_t steps;
    uint64_t next_sequence;
    struct stage_slot *heap;
    size_t heap_count;
    size_t heap_capacity;
    struct stage_stream director; /* played_random */
    struct stage_stream whim;     /* the stage's own: delays, wake-ups */
    struct stage_stream outside;  /* host and keys of code outside all processes */
    uint64_t digest[4];
    unsigned host_count;
    struct stage_host *hosts; /* owned */
    struct stage_net *net;    /* owned */
    stage_ring processes;
    uint64_t process_count; /* ever */
    stage_ring timers;      /* of played_at */
    bool is_verbose;
    struct stage_thread *running;
    struct played_process *acting; /* whose code runs, also without a thread (played_later) */
};

struct played *stage(void); /* CHECKs that there is one */
struct stage_thread *stage_running(void);
/* The running fibre waits until stage_wake, at most until `until_us`. May return early. */
void stage_block(uint64_t until_us);
/* A thread that waits runs soon; earlier wake-ups stay. */
void stage_wake(struct stage_thread *thread);
void stage_later_us(struct played_process *p, uint64_t delay_us, void (*call)(void *data),
                    void *data, void (*drop)(void *data));
struct stage_thread *stage_thread_new(struct played_process *p, void (*entry)(void *data),
                                      void *data);
struct stage_thread *stage_thread_find(const struct played_process *p, uint64_t id);
void stage_thread_forget(struct stage_thread *thread); /* ended and joined */
/* Folds into the digest; in verbose worlds the text is printed, too. */
void stage_note(uint64_t a, uint64_t b);
void stage_note_bytes(const void *data, size_t size);
void stage_say(const char *format, ...) PRINTF_LIKE(1, 2);

uint64_t stage_monotonic_us(const struct played *w, unsigned host);
/* When the host's monotonic clock will show it. */
uint64_t stage_when_us(const struct played *w, unsigned host, uint64_t monotonic_us);

/* --- The parts */

void net_world_init(struct played *w);
void net_world_deinit(struct played *w);
void net_process_end(struct played_process *p); /* closes its sockets */
void net_host_up(struct played *w, unsigned host);
void loop_signal(struct played_process *p, int number, bool *is_watched);
void loop_drop_all(struct played_process *p);
void heap_drop(struct played_process *p); /* all blocks of a process that was killed */
void heap_disown(struct played_process *p);
void rand_install(void);

/* Raw memory of the stage itself: of no process. */
void *stage_alloc(size_t size); /* zeroed */
void stage_free(void *p);

#endif
