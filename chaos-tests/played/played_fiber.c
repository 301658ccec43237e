/* Fibres: see played_fiber.h. The switch saves what the ABI calls callee-saved: six registers, the
 * control words of SSE and x87 (System V ABI, AMD64, section 3.2.1), no signal mask.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/played/played_fiber.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "chaos-tests/played/played_asan.h"
#include "lib/base/err.h"

#define GUARD_SIZE 4096
#define SAVED_WORDS 8 /* control words, six registers, return address */

#if !defined(__x86_64__)
#error "played_fiber.c: the switch is written for x86-64"
#endif

void played_fiber_switch(void **save, void *load);
__asm__(".text\n"
        ".globl played_fiber_switch\n"
        ".type played_fiber_switch,@function\n"
        "played_fiber_switch:\n"
        "  endbr64\n"
        "  pushq %rbp\n"
        "  pushq %rbx\n"
        "  pushq %r12\n"
        "  pushq %r13\n"
        "  pushq %r14\n"
        "  pushq %r15\n"
        "  subq $8, %rsp\n"
        "  stmxcsr (%rsp)\n"
        "  fnstcw 4(%rsp)\n"
        "  movq %rsp, (%rdi)\n"
        "  movq %rsi, %rsp\n"
        "  ldmxcsr (%rsp)\n"
        "  fldcw 4(%rsp)\n"
        "  addq $8, %rsp\n"
        "  popq %r15\n"
        "  popq %r14\n"
        "  popq %r13\n"
        "  popq %r12\n"
        "  popq %rbx\n"
        "  popq %rbp\n"
        "  ret\n"
        ".size played_fiber_switch,.-played_fiber_switch\n");

/* The one thread's place: where the director stands, and what is free. */
static struct {
    void *director_sp;
    void *director_fake;
    const void *director_stack;
    size_t director_size;
    struct fiber *running;
    void *pool; /* free stacks; the first word of each points to the next */
    size_t pool_size;
} place;

static void *take_stack(void) {
    void *stack = place.pool;
    if (stack != NULL) {
        memcpy(&place.pool, stack, sizeof place.pool);
        place.pool_size--;
        return stack;
    }
    void *pages = mmap(NULL, FIBER_STACK_SIZE + GUARD_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(pages != MAP_FAILED);
    CHECK(mprotect(pages, GUARD_SIZE, PROT_NONE) == 0);
    stack = (uint8_t *)pages + GUARD_SIZE;
    asan_register_root(stack, FIBER_STACK_SIZE);
    return stack;
}

static void begin(void) {
    struct fiber *f = place.running;
    asan_finish_switch(NULL, &place.director_stack, &place.director_size);
    f->entry(f->data);
    CHECK(false); /* an entry ends with played_fiber_finish */
}

void played_fiber_init(struct fiber *f, void (*entry)(void *data), void *data) {
    *f = (struct fiber){.stack = take_stack(), .entry = entry, .data = data};
    uint64_t *top = (uint64_t *)(void *)((uint8_t *)f->stack + FIBER_STACK_SIZE);
    *--top = 0; /* no caller; also aligns the entry's frame */
    uint64_t *frame = top - SAVED_WORDS;
    memset(frame, 0, SAVED_WORDS * sizeof *frame);
    uint32_t mxcsr = 0x1f80; /* the ABI's initial values */
    uint16_t fpu = 0x037f;
    memcpy(frame, &mxcsr, sizeof mxcsr);
    memcpy((uint8_t *)frame + 4, &fpu, sizeof fpu);
    void (*first)(void) = begin;
    memcpy(frame + SAVED_WORDS - 1, &first, sizeof first);
    f->sp = frame;
}

void played_fiber_deinit(struct fiber *f) {
    if (f->stack != NULL) {
        asan_unpoison(f->stack, FIBER_STACK_SIZE);
        memcpy(f->stack, &place.pool, sizeof place.pool);
        place.pool = f->stack;
        place.pool_size++;
        f->stack = NULL;
    }
}

void played_fiber_enter(struct fiber *f) {
    place.running = f;
    asan_start_switch(&place.director_fake, f->stack, FIBER_STACK_SIZE);
    played_fiber_switch(&place.director_sp, f->sp);
    asan_finish_switch(place.director_fake, NULL, NULL);
}

void played_fiber_leave(struct fiber *f) {
    asan_start_switch(&f->fake, place.director_stack, place.director_size);
    played_fiber_switch(&f->sp, place.director_sp);
    asan_finish_switch(f->fake, &place.director_stack, &place.director_size);
}

void played_fiber_finish(struct fiber *f) {
    asan_start_switch(NULL, place.director_stack, place.director_size);
    played_fiber_switch(&f->sp, place.director_sp);
    CHECK(false); /* nobody enters it again */
    __builtin_unreachable();
}

size_t played_fiber_pool_size(void) {
    return place.pool_size;
}
