/* Played: a stage on which real programs' code runs in virtual time, from one seed.
 *
 *     played_new -> played_spawn ... -> played_run / played_step -> played_free
 *
 * One process of the system, one thread of it. A played process is a program's main function; its
 * threads are fibres. The stage defines libuv's loops, timers, threads and TCP, lib/tls, lib/base's
 * host clock, memory and secrets, and the few functions of the C library that the product calls for
 * time and randomness; whatever is linked with it (as an object library, before the archives) uses
 * these in their place. lib/net and all above it run as they are.
 *
 * Time is microseconds inside and milliseconds outside, and moves only from one event to the next;
 * a callback takes none. Everything that is drawn comes from the seed. Same seed, same build, same
 * calls: same events, same digest (played_digest).
 *
 * Functions may be called by the director (outside all processes) and, unless said otherwise, by
 * the code of a process. One world at a time.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_PLAYED_H
#define CONTRAST_PLAYED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAYED_UNIX_START 1798761600 /* seconds: every host's wall clock at time 0, 2027-01-01 */
#define PLAYED_HOSTS_MAX 4096

struct played;
struct played_process;

struct played_program {
    const char *name;         /* in log lines and traces; copied */
    unsigned host;            /* number of the host it runs on */
    void (*main)(void *data); /* its first thread; returning (or played_exit) ends the process */
    void *data;               /* borrowed while the process lives */
    /* Once, NULL allowed; afterwards p is invalid. Called by the director. */
    void (*on_end)(void *data, struct played_process *p, bool is_killed);
};

struct played *played_new(uint64_t seed, unsigned host_count);
void played_free(struct played *w); /* kills what lives; accepts NULL */
uint64_t played_now_ms(const struct played *w);
uint64_t played_now_us(const struct played *w);
uint64_t played_random(struct played *w); /* the director's own stream, xoshiro256** */
uint64_t played_below(struct played *w, uint64_t bound);

/* Starts at once (its first event is due now). A host that was killed is up again. */
struct played_process *played_spawn(struct played *w, const struct played_program *program);
/* SIGKILL: sockets close as the system closes them (RST where something was unread, else FIN), its
 * threads are dropped where they stand, its memory is given back. */
void played_kill(struct played_process *p);
/* To its uv_signal watchers of that number; without one it is killed. */
void played_signal(struct played_process *p, int number);
bool played_is_alive(const struct played_process *p);
/* Ends the process that runs; does not return. */
_Noreturn void played_exit(void);

/* The director's timer; not before now. */
void played_at(struct played *w, uint64_t at_ms, void (*call)(void *data), void *data);
/* One event; false: nothing is due before until_ms, and now is until_ms. Director only, as below.
 */
bool played_step(struct played *w, uint64_t until_ms);
void played_run(struct played *w, uint64_t until_ms);
uint64_t played_steps(const struct played *w);
void played_digest(const struct played *w, uint8_t out[32]); /* over everything that happened */
void played_set_verbose(struct played *w, bool on);
const char *played_current(void);         /* name of the process that runs, or "" */
struct played_process *played_self(void); /* process of the running fibre, NULL in the director */
struct played *played_world(void);        /* the one there is, or NULL */
unsigned played_host_of(const struct played_process *p);
const char *played_name_of(const struct played_process *p);
/* Pauses the running fibre; 0 lets others run. Not for the director. */
void played_sleep(uint64_t ms);

/* --- Hosts: power and clocks */

/* All its processes stop; what arrives waits (TCP buffers), timers fire late. */
void played_host_pause(struct played *w, unsigned host);
void played_host_resume(struct played *w, unsigned host);
/* Wall clock; the drift stretches the monotonic clock, too. */
void played_host_clock(struct played *w, unsigned host, int64_t skew_s, int32_t drift_ppm);
/* Power off: its processes die and nobody is told; up again with the next played_spawn on it. */
void played_host_kill(struct played *w, unsigned host);
/* A starved machine: each time one of its threads would run, it waits for up to so long first. */
void played_host_slow(struct played *w, unsigned host, uint64_t most_ms);
uint64_t played_host_monotonic_ms(const struct played *w, unsigned host);
int64_t played_host_unix_s(const struct played *w, unsigned host);

/* --- Network: host `n` has address 10.0.0.(n+1), beyond 254 of them 10.0.1.x and so on */

/* Name service; again = changed; UINT_MAX = unknown (does not resolve). */
void played_name(struct played *w, const char *name, unsigned host);
/* One more address of the name (a headless service); they are handed out in any order. */
void played_name_add(struct played *w, const char *name, unsigned host);

/* How long an answer takes at most; down: none comes, a lookup fails after some seconds. */
void played_name_service(struct played *w, uint64_t most_ms, bool is_down);

struct played_link {
    bool is_cut; /* bytes wait, SYNs get lost */
    uint32_t delay_min_ms;
    uint32_t delay_max_ms;
    uint32_t stall_permille; /* of the pieces of a stream, which wait ... */
    uint32_t stall_max_ms;   /* ... for up to so long, and all behind them */
    uint32_t bytes_per_ms;   /* 0 = no limit */
};
/* One direction. A connection ends with ETIMEDOUT where nothing that was sent is acknowledged for
 * NET_USER_TIMEOUT_MS (5 s), or where keep-alive goes unanswered (80 s). */
void played_link_set(struct played *w, unsigned from, unsigned to, const struct played_link *l);
struct played_link played_link_get(const struct played *w, unsigned from, unsigned to);
void played_link_default(struct played *w, const struct played_link *l); /* all of them */
void played_link_reset(struct played *w, unsigned a, unsigned b); /* RST on every connection */

/* --- For parts of the stage (attester, key service): work that takes time, then runs in p */

/* `call` runs in the process, on no thread's stack: it must not block. drop: the process ended
 * first. Exactly one of both is called; drop may be NULL. */
void played_later(struct played_process *p, uint64_t delay_ms, void (*call)(void *data), void *data,
                  void (*drop)(void *data));

/* --- Memory: blocks of mem_alloc belong to the process that asked for them and end with it when it
 * is killed. What a process makes for the world (a history, a figure) is asked for between these.
 */
struct played_process *played_outside_begin(void);
void played_outside_end(struct played_process *before);

#endif
