/* Fetching images: see fetch_images.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/registry/fetch_images.h"

#include <malloc.h>
#include <sched.h>
#include <string.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

#define MAP_FROM (128 * 1024) /* bytes that are given back to the system when they are freed */

/* One layer; the first image that has it does the fetching. */
struct task {
    size_t item;
    size_t layer;
};

/* What is known of one item beside its image. */
struct state {
    char *name;     /* for progress; owned */
    size_t *tasks;  /* of its layers; owned */
    struct err err; /* code is OK: it has not failed */
    bool is_over;   /* opening it, well or badly */
};

struct pool {
    struct registry *registry;
    struct fetch_item *items;
    struct state *states; /* as many; owned */
    size_t count;
    struct fetch_progress *progress;
    struct fetch_budget budget;
    pthread_mutex_t mutex; /* guards all below, states' err and tasks, and opened images */
    pthread_cond_t changed;
    size_t next_item;
    size_t opening; /* items that are being opened */
    struct task *tasks;
    size_t task_count;
    size_t task_capacity;
    size_t next_task;
    size_t kept; /* bytes */
    bool has_failed;
};

size_t fetch_images_workers(void) {
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return count < LIMIT_FETCH_WORKERS ? (size_t)count : LIMIT_FETCH_WORKERS;
}

/* ---- tasks; the mutex is held ---- */

static void fail_item(struct pool *p, size_t item, const struct err *err) {
    if (p->states[item].err.code == ERR_OK) {
        p->states[item].err = *err;
    }
    p->has_failed = true;
}

/* Once it is certain which failure is the first, the others need not come to an end: items are
 * opened in their order, so that no run reports another failure than the run before. */
static void cancel_after_first(const struct pool *p) {
    for (size_t i = 0; i < p->count && p->states[i].is_over; i++) {
        if (p->states[i].err.code != ERR_OK) {
            registry_cancel(p->registry);
            return;
        }
    }
}

static const uint8_t *diff_id_of(const struct pool *p, const struct task *t) {
    return p->items[t->item].image.config.diff_ids[t->layer];
}

static RESULT keep(struct pool *p, size_t size, struct err *err) {
    ENSURE(size <= LIMIT_FETCH_KEPT - p->kept, err, TOO_LARGE,
           "the configs, users and groups of all images together have more than %d bytes; generate "
           "in several runs",
           LIMIT_FETCH_KEPT);
    p->kept += size;
    return OK;
}

static RESULT add_task(struct pool *p, size_t item, size_t layer, size_t *out, struct err *err) {
    const uint8_t *diff_id = p->items[item].image.config.diff_ids[layer];
    for (size_t i = 0; i < p->task_count; i++) {
        if (memcmp(diff_id_of(p, &p->tasks[i]), diff_id, SHA256_SIZE) == 0) {
            *out = i;
            return OK;
        }
    }
    ENSURE(p->task_count < LIMIT_FETCH_LAYERS, err, TOO_LARGE,
           "the images have more than %d different layers; generate in several runs",
           LIMIT_FETCH_LAYERS);
    if (p->task_count == p->task_capacity) {
        p->task_capacity = p->task_capacity == 0 ? 64 : 2 * p->task_capacity;
        p->tasks = mem_realloc(p->tasks, p->task_capacity * sizeof *p->tasks);
    }
    p->tasks[p->task_count] = (struct task){item, layer};
    *out = p->task_count++;
    return OK;
}

static RESULT add_tasks(struct pool *p, size_t item, struct err *err) {
    const struct registry_image *image = &p->items[item].image;
    TRY(keep(p, oci_config_memory(&image->config), err));
    p->states[item].tasks = mem_calloc(image->layer_count, sizeof(size_t));
    for (size_t i = 0; i < image->layer_count; i++) {
        TRY(add_task(p, item, i, &p->states[item].tasks[i], err));
    }
    return OK;
}

/* ---- work; the mutex is not held ---- */

static void open_item(struct pool *p, size_t item) {
    struct err err = {0};
    struct registry_image image = {0};
    struct fetch_item *to = &p->items[item];
    struct result r = registry_open_image(p->registry, &to->ref, &image, &err);
    pthread_mutex_lock(&p->mutex);
    if (is_ok(r)) {
        to->image = image;
        r = add_tasks(p, item, &err);
    }
    if (!is_ok(r)) {
        fail_item(p, item, &err);
    }
    p->states[item].is_over = true;
    p->opening--;
    cancel_after_first(p);
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->mutex);
}

static size_t size_of(const struct layer_result *l) {
    size_t size = l->passwd.content.size + l->group.content.size;
    for (size_t i = 0; i < l->warning_count; i++) {
        size += strlen(l->warnings[i].text);
    }
    return size;
}

static void fetch_layer(struct pool *p, size_t order, struct task task) {
    struct err err = {0};
    struct fetch_item *item = &p->items[task.item];
    const struct registry_watch watch = {.progress = p->progress,
                                         .name = p->states[task.item].name,
                                         .budget = &p->budget,
                                         .order = order};
    struct result r =
        registry_fetch_layer(p->registry, &item->ref, &item->image, task.layer, &watch, &err);
    pthread_mutex_lock(&p->mutex);
    if (is_ok(r)) {
        r = keep(p, size_of(&item->image.layers[task.layer].result), &err);
    }
    if (!is_ok(r)) {
        fail_item(p, task.item, &err);
        registry_cancel(p->registry);
    }
    pthread_mutex_unlock(&p->mutex);
}

/* One piece of work; false when there is none left. The mutex is held before and after. */
static bool work_once(struct pool *p) {
    while (!p->has_failed && p->next_item == p->count && p->opening > 0) {
        pthread_cond_wait(&p->changed, &p->mutex);
    }
    if (p->has_failed || (p->next_item == p->count && p->next_task == p->task_count)) {
        return false;
    }
    if (p->next_item < p->count) {
        size_t item = p->next_item++;
        p->opening++;
        pthread_mutex_unlock(&p->mutex);
        open_item(p, item);
    } else {
        size_t order = p->next_task++;
        struct task task = p->tasks[order];
        pthread_mutex_unlock(&p->mutex);
        fetch_layer(p, order, task);
    }
    pthread_mutex_lock(&p->mutex);
    return true;
}

static void *work(void *data) {
    struct pool *p = data;
    pthread_mutex_lock(&p->mutex);
    while (work_once(p)) {
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

/* The caller works too, so that it goes on, slower, when no thread can be had. */
static void work_all(struct pool *p, size_t workers) {
    pthread_t threads[LIMIT_FETCH_WORKERS];
    size_t count = 0;
    while (count + 1 < workers && count < LIMIT_FETCH_WORKERS &&
           pthread_create(&threads[count], NULL, work, p) == 0) {
        count++;
    }
    (void)work(p);
    for (size_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
}

/* ---- the whole ---- */

static void init(struct pool *p) {
    p->states = mem_calloc(p->count + 1, sizeof *p->states);
    for (size_t i = 0; i < p->count; i++) {
        AUTO(buf_deinit)
        struct buf name = {0};
        image_ref_text(&p->items[i].ref, &name);
        p->states[i].name = mem_strdup(buf_cstr(&name));
    }
    fetch_budget_init(&p->budget, LIMIT_FETCH_MEMORY);
    CHECK(pthread_mutex_init(&p->mutex, NULL) == 0 && pthread_cond_init(&p->changed, NULL) == 0);
}

static void deinit(struct pool *p) {
    for (size_t i = 0; i < p->count; i++) {
        mem_free(p->states[i].name);
        mem_free(p->states[i].tasks);
    }
    mem_free(p->states);
    mem_free(p->tasks);
    fetch_budget_deinit(&p->budget);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->mutex);
}

/* What another item fetched. */
static void share(struct pool *p) {
    for (size_t i = 0; i < p->count; i++) {
        struct registry_image *image = &p->items[i].image;
        for (size_t k = 0; k < image->layer_count; k++) {
            const struct task *t = &p->tasks[p->states[i].tasks[k]];
            const struct registry_layer *from = &p->items[t->item].image.layers[t->layer];
            if (from != &image->layers[k]) {
                image->layers[k].result = from->result;
                image->layers[k].is_cached = from->is_cached;
                image->layers[k].is_shared = true;
            }
        }
    }
}

/* The first that failed by itself; what was canceled only says that another one did. */
static RESULT first_failure(const struct pool *p, struct err *err) {
    const struct state *first = NULL;
    size_t at = 0;
    for (size_t i = 0; i < p->count; i++) {
        enum err_code code = p->states[i].err.code;
        if (code != ERR_OK &&
            (first == NULL || (first->err.code == ERR_CANCELED && code != ERR_CANCELED))) {
            first = &p->states[i];
            at = i;
        }
    }
    CHECK(first != NULL);
    struct result r = err_set(err, first->err.code, "%s", first->err.text);
    if (first->err.retry_ms > 0) {
        err_advise(err, first->err.retry_ms);
    }
    return err_wrap(r, err, "%s", p->items[at].where);
}

RESULT fetch_images(struct registry *r, struct fetch_item *items, size_t count, size_t workers,
                    struct fetch_progress *progress, struct err *err) {
    struct pool p = {.registry = r, .items = items, .count = count, .progress = progress};
    /* Else the allocator keeps what a layer's index was made of, for each thread: 80 MiB for 48. */
    (void)mallopt(M_MMAP_THRESHOLD, MAP_FROM); /* a sanitizer's allocator has no such thing */
    init(&p);
    work_all(&p, workers);
    struct result done = OK;
    if (p.has_failed) {
        done = first_failure(&p, err);
        for (size_t i = 0; i < count; i++) {
            registry_image_deinit(&items[i].image);
        }
    } else {
        share(&p);
    }
    deinit(&p);
    return done;
}
