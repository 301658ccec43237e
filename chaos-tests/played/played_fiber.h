/* Fibres: stacks that one thread goes in and out of. x86-64, System V ABI.
 *
 * Only two directions: the director enters a fibre, and the fibre leaves to the director. A stack
 * has a guard page below it, comes from a pool and goes back there. AddressSanitizer is told of
 * every switch.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_PLAYED_FIBER_H
#define CONTRAST_PLAYED_FIBER_H

#include <stddef.h>

#define FIBER_STACK_SIZE (512 * 1024) /* bytes, without the guard page */

struct fiber {
    void *sp;    /* while it does not run */
    void *stack; /* lowest byte above the guard page; NULL: none */
    void *fake;  /* AddressSanitizer's */
    void (*entry)(void *data);
    void *data;
};

/* The first played_fiber_enter calls entry(data), which must end with played_fiber_finish. */
void played_fiber_init(struct fiber *f, void (*entry)(void *data), void *data);
/* Gives the stack back, wherever the fibre stands; not while it runs. Accepts zeroed. */
void played_fiber_deinit(struct fiber *f);
void played_fiber_enter(struct fiber *f); /* returns when the fibre leaves or finishes */
void played_fiber_leave(struct fiber *f); /* by the fibre that runs; returns when entered again */
_Noreturn void played_fiber_finish(struct fiber *f); /* leaves for the last time */
size_t played_fiber_pool_size(void);                 /* stacks that wait in the pool */

#endif
