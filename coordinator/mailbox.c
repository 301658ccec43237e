/* Mailbox: see mailbox.h. A mutex, a list and a uv_async_t; one wake-up delivers all that waits.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/mailbox.h"

#include <pthread.h>

#include "coordinator/lists.h"
#include "coordinator/view.h"
#include "lib/base/mem.h"

struct mailbox {
    uv_async_t async;
    pthread_mutex_t mutex;
    struct letter *first; /* guarded by mutex, with last, count and is_closed */
    struct letter **last;
    size_t count;
    bool is_closed;
    size_t capacity;
    void (*on_letter)(void *data, struct letter *l);
    void *data;
};

struct letter *letter_new(int kind, uint64_t ticket) {
    struct letter *l = mem_zalloc(sizeof *l);
    l->kind = kind;
    l->ticket = ticket;
    return l;
}

void letter_free(struct letter *l) {
    if (l == NULL) {
        return;
    }
    buf_deinit(&l->bytes);
    view_unref(l->view);
    lists_unref(l->lists);
    mem_free(l->text);
    mem_free(l);
}

static struct letter *take_all(struct mailbox *m) {
    CHECK(pthread_mutex_lock(&m->mutex) == 0);
    struct letter *first = m->first;
    m->first = NULL;
    m->last = &m->first;
    m->count = 0;
    CHECK(pthread_mutex_unlock(&m->mutex) == 0);
    return first;
}

static void on_wake(uv_async_t *async) {
    struct mailbox *m = async->data;
    struct letter *l = take_all(m);
    while (l != NULL) {
        struct letter *next = l->next;
        if (m->is_closed) { /* closed by the letter before */
            letter_free(l);
        } else {
            m->on_letter(m->data, l);
        }
        l = next;
    }
}

struct mailbox *mailbox_open(uv_loop_t *loop, size_t capacity,
                             void (*on_letter)(void *data, struct letter *l), void *data) {
    struct mailbox *m = mem_zalloc(sizeof *m);
    m->last = &m->first;
    m->capacity = capacity;
    m->on_letter = on_letter;
    m->data = data;
    CHECK(pthread_mutex_init(&m->mutex, NULL) == 0);
    CHECK(uv_async_init(loop, &m->async, on_wake) == 0);
    m->async.data = m;
    return m;
}

static bool put(struct mailbox *m, struct letter *l, size_t capacity) {
    CHECK(pthread_mutex_lock(&m->mutex) == 0);
    bool fits = m->count < capacity && !m->is_closed;
    if (fits) {
        l->next = NULL;
        *m->last = l;
        m->last = &l->next;
        m->count++;
        CHECK(uv_async_send(&m->async) == 0);
    }
    CHECK(pthread_mutex_unlock(&m->mutex) == 0);
    if (!fits) {
        letter_free(l);
    }
    return fits;
}

bool mailbox_post(struct mailbox *m, struct letter *l) {
    return put(m, l, m->capacity);
}

bool mailbox_post_always(struct mailbox *m, struct letter *l) {
    return put(m, l, SIZE_MAX);
}

static void on_closed(uv_handle_t *handle) {
    struct mailbox *m = handle->data;
    struct letter *l = take_all(m);
    while (l != NULL) {
        struct letter *next = l->next;
        letter_free(l);
        l = next;
    }
    pthread_mutex_destroy(&m->mutex);
    mem_free(m);
}

void mailbox_close(struct mailbox *m) {
    CHECK(pthread_mutex_lock(&m->mutex) == 0);
    m->is_closed = true;
    CHECK(pthread_mutex_unlock(&m->mutex) == 0);
    uv_close((uv_handle_t *)&m->async, on_closed);
}
