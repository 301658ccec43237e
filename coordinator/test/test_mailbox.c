/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/mailbox.h"
#include "coordinator/view.h"
#include "lib/base/mem.h"

#define WRITERS 4
#define LETTERS 2000 /* of each writer */

/* --- Fixture: a loop and what arrived on it */

struct desk {
    uv_loop_t loop;
    struct mailbox *box;
    pthread_t thread;       /* the loop's */
    uint64_t next[WRITERS]; /* ticket expected of each writer */
    size_t count;           /* letters that arrived */
    size_t last;            /* count at which the box is closed; 0: never */
    bool is_disordered;
    bool is_elsewhere; /* a letter came on another thread */
};

static void on_letter(void *data, struct letter *l) {
    struct desk *d = data;
    d->is_elsewhere |= !pthread_equal(pthread_self(), d->thread);
    d->is_disordered |= l->thread >= WRITERS || l->ticket != d->next[l->thread];
    d->next[l->thread % WRITERS] = l->ticket + 1;
    letter_free(l);
    if (++d->count == d->last) {
        mailbox_close(d->box);
    }
}

static int setup(void **state) {
    struct desk *d = calloc(1, sizeof *d);
    assert_int_equal(uv_loop_init(&d->loop), 0);
    d->thread = pthread_self();
    *state = d;
    return 0;
}

static int teardown(void **state) {
    struct desk *d = *state;
    assert_int_equal(uv_loop_close(&d->loop), 0); /* no handle is left */
    free(d);
    return 0;
}

static void open_box(struct desk *d, size_t capacity, size_t last) {
    d->last = last;
    d->box = mailbox_open(&d->loop, capacity, on_letter, d);
}

static bool post(struct mailbox *box, unsigned writer, uint64_t ticket) {
    struct letter *l = letter_new(1, ticket);
    l->thread = writer;
    l->text = mem_strdup("a text");
    buf_append_str(&l->bytes, "bytes");
    return mailbox_post(box, l);
}

static void assert_orderly(const struct desk *d) {
    assert_false(d->is_disordered);
    assert_false(d->is_elsewhere);
}

/* --- One thread */

/* Answers must not be lost because somebody asks too much. */
static void test_answers_fit_a_full_box(void **state) {
    struct desk *d = *state;
    open_box(d, 1, 3);
    assert_true(post(d->box, 0, 0));
    assert_false(post(d->box, 1, 0));
    for (uint64_t i = 1; i < 3; i++) {
        struct letter *l = letter_new(1, i);
        assert_true(mailbox_post_always(d->box, l));
    }
    uv_run(&d->loop, UV_RUN_DEFAULT);
    assert_int_equal(d->count, 3);
    assert_orderly(d);
}

static void test_letters_arrive_in_order(void **state) {
    struct desk *d = *state;
    open_box(d, 10, 3);
    for (uint64_t i = 0; i < 3; i++) {
        assert_true(post(d->box, 0, i));
    }
    assert_int_equal(d->count, 0); /* never from inside of post */
    uv_run(&d->loop, UV_RUN_DEFAULT);
    assert_int_equal(d->count, 3);
    assert_orderly(d);
}

static void test_a_full_box_refuses_until_it_is_read(void **state) {
    struct desk *d = *state;
    open_box(d, 2, 3);
    assert_true(post(d->box, 0, 0));
    assert_true(post(d->box, 0, 1));
    assert_false(post(d->box, 0, 2));
    uv_run(&d->loop, UV_RUN_ONCE);
    assert_int_equal(d->count, 2);
    assert_true(post(d->box, 0, 2));
    uv_run(&d->loop, UV_RUN_DEFAULT);
    assert_int_equal(d->count, 3);
    assert_orderly(d);
}

static void test_nothing_is_delivered_after_close(void **state) {
    struct desk *d = *state;
    open_box(d, 10, 0);
    assert_true(post(d->box, 0, 0));
    assert_true(post(d->box, 0, 1));
    mailbox_close(d->box);
    assert_false(post(d->box, 0, 2));
    uv_run(&d->loop, UV_RUN_DEFAULT);
    assert_int_equal(d->count, 0);
}

static void test_closing_from_a_letter_drops_the_rest(void **state) {
    struct desk *d = *state;
    open_box(d, 10, 1);
    for (uint64_t i = 0; i < 3; i++) {
        assert_true(post(d->box, 0, i));
    }
    uv_run(&d->loop, UV_RUN_DEFAULT);
    assert_int_equal(d->count, 1);
}

/* --- Many threads */

struct writer {
    pthread_t thread;
    struct desk *desk;
    unsigned index;
    size_t refusals;
};

static void *write_letters(void *data) {
    struct writer *w = data;
    for (uint64_t i = 0; i < LETTERS; i++) {
        while (!post(w->desk->box, w->index, i)) {
            w->refusals++;
            sched_yield();
        }
    }
    return NULL;
}

static void run_writers(struct desk *d, size_t capacity) {
    struct writer writers[WRITERS];
    open_box(d, capacity, (size_t)WRITERS * LETTERS);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.desk = d, .index = i};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_letters, &writers[i]), 0);
    }
    uv_run(&d->loop, UV_RUN_DEFAULT);
    for (unsigned i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
    }
    assert_int_equal(d->count, WRITERS * LETTERS);
    assert_orderly(d);
}

static void test_many_writers_lose_nothing(void **state) {
    run_writers(*state, (size_t)WRITERS * LETTERS);
}

static void test_many_writers_at_a_small_box(void **state) {
    run_writers(*state, 3);
}

/* --- Views in letters */

static void test_a_letter_holds_one_reference_of_its_view(void **state) {
    struct desk *d = *state;
    struct core *core = core_new();
    struct view *view = view_new(core, (struct span){0});
    core_free(core);
    open_box(d, 1, 0);
    for (int i = 0; i < 2; i++) { /* the first waits until close frees it, the second is refused */
        struct letter *l = letter_new(1, 0);
        l->view = view_ref(view);
        assert_int_equal(mailbox_post(d->box, l), i == 0);
        assert_int_equal(atomic_load(&view->refs), 2);
    }
    mailbox_close(d->box);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    assert_int_equal(atomic_load(&view->refs), 1);
    view_unref(view);
    letter_free(NULL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_answers_fit_a_full_box),
        T(test_letters_arrive_in_order),
        T(test_a_full_box_refuses_until_it_is_read),
        T(test_nothing_is_delivered_after_close),
        T(test_closing_from_a_letter_drops_the_rest),
        T(test_many_writers_lose_nothing),
        T(test_many_writers_at_a_small_box),
        T(test_a_letter_holds_one_reference_of_its_view),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
