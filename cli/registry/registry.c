/* The registry client: see registry.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/registry/registry.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "cli/registry/registry_parts.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

#define FEED_STEP 16384 /* bytes of a blob between two looks at the memory */
#define FEED_FIRST 64   /* the first: with it, a decoder knows its window */

/* ---- life ---- */

static bool is_canceled(void *data) {
    struct registry *r = data;
    pthread_mutex_lock(&r->mutex);
    bool is = r->is_canceled;
    pthread_mutex_unlock(&r->mutex);
    return is;
}

static void wait_ms(void *data, uint64_t ms) {
    struct registry *r = data;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + ms % 1000 * 1000000;
    until.tv_sec += (time_t)(ms / 1000 + ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    pthread_mutex_lock(&r->mutex);
    while (!r->is_canceled && pthread_cond_timedwait(&r->changed, &r->mutex, &until) != ETIMEDOUT) {
    }
    pthread_mutex_unlock(&r->mutex);
}

static RESULT open_sessions(const struct registry_config *config, struct registry *r,
                            struct err *err) {
    size_t count = config->session_count > 0 ? config->session_count : 1;
    struct registry_session_config session = config->session;
    TRY(registry_login_open(config->docker_folder, &r->login, err));
    session.login = r->login;
    if (session.wait == NULL) {
        session.wait = wait_ms;
        session.is_over = is_canceled;
        session.data = r;
    }
    r->sessions = mem_calloc(count, sizeof *r->sessions);
    for (; r->session_count < count; r->session_count++) {
        TRY(registry_session_open(&session, &r->sessions[r->session_count], err));
    }
    r->idle_count = count;
    return OK;
}

static RESULT open_parts(const struct registry_config *config, struct registry *r,
                         struct err *err) {
    ENSURE(
        !config->is_offline || !config->no_cache, err, CONFIG,
        "--offline and --no-cache exclude each other: offline, all that is known of images comes "
        "from the cache");
    if (!config->no_cache) {
        TRY(image_cache_open(config->cache_folder, &r->cache, err));
    }
    return config->is_offline ? OK : open_sessions(config, r, err);
}

static void init_lock(struct registry *r) {
    pthread_condattr_t attributes;
    CHECK(pthread_mutex_init(&r->mutex, NULL) == 0 && pthread_condattr_init(&attributes) == 0);
    CHECK(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&r->changed, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
}

struct result registry_open(const struct registry_config *config, struct registry **out,
                            struct err *err) {
    struct registry *r = mem_zalloc(sizeof *r);
    init_lock(r);
    struct result done = open_parts(config, r, err);
    if (!is_ok(done)) {
        registry_close(r);
        return done;
    }
    *out = r;
    return OK;
}

void registry_close(struct registry *r) {
    if (r == NULL) {
        return;
    }
    for (size_t i = 0; i < r->session_count; i++) {
        registry_session_close(r->sessions[i]);
    }
    mem_free(r->sessions);
    registry_login_close(r->login);
    image_cache_close(r->cache);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->mutex);
    mem_free(r);
}

void registry_cancel(struct registry *r) {
    pthread_mutex_lock(&r->mutex);
    r->is_canceled = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->mutex);
}

void registry_image_deinit(struct registry_image *i) {
    for (size_t n = 0; n < i->layer_count; n++) {
        if (!i->layers[n].is_shared) {
            layer_result_deinit(&i->layers[n].result);
        }
    }
    mem_free(i->layers);
    oci_config_deinit(&i->config);
    *i = (struct registry_image){0};
}

/* ---- sessions ---- */

bool registry__is_online(const struct registry *r) {
    return r->session_count > 0;
}

struct registry_session *registry__take_session(struct registry *r) {
    pthread_mutex_lock(&r->mutex);
    while (r->idle_count == 0) {
        pthread_cond_wait(&r->changed, &r->mutex);
    }
    struct registry_session *s = r->sessions[--r->idle_count];
    pthread_mutex_unlock(&r->mutex);
    return s;
}

void registry__put_back(struct registry *r, struct registry_session *s) {
    pthread_mutex_lock(&r->mutex);
    r->sessions[r->idle_count++] = s;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->mutex);
}

/* ---- layers ---- */

/* One layer on its way from the network into its hashes. */
struct pour {
    struct registry *registry;
    struct layer *layer;
    struct fetch_progress_line *line;
    struct fetch_stake stake;
    bool has_stake;
    bool gave_way;
    bool has_begun;
};

static bool is_pour_over(void *data) {
    struct pour *p = data;
    return p->has_stake && fetch_stake_must_leave(&p->stake);
}

/* Before each piece: memory for what the last ones made of the layer, and a step ahead. */
static RESULT feed_layer(void *data, struct span bytes, struct err *err) {
    struct pour *p = data;
    while (bytes.size > 0) {
        size_t step = p->has_begun ? FEED_STEP : FEED_FIRST;
        size_t n = bytes.size < step ? bytes.size : step;
        p->has_begun = true;
        size_t need = layer_memory(p->layer) + LIMIT_FETCH_STEP / 2;
        if (p->has_stake && need > p->stake.held) {
            need =
                p->stake.held + LIMIT_FETCH_STEP > need ? p->stake.held + LIMIT_FETCH_STEP : need;
            need = need < LIMIT_FETCH_MEMORY ? need : LIMIT_FETCH_MEMORY;
            p->gave_way = !fetch_stake_grow(&p->stake, need);
            ENSURE(!p->gave_way, err, CANCELED, "gives way");
        }
        TRY(layer_feed(p->layer, span_of(bytes.data, n), err));
        fetch_progress_add(p->line, n);
        bytes = span_of(bytes.data + n, bytes.size - n);
    }
    return OK;
}

static RESULT check_layer(const struct registry_layer *l, const struct layer_result *have,
                          const uint8_t diff_id[SHA256_SIZE], struct err *err) {
    char a[IMAGE_REF_DIGEST_TEXT];
    char b[IMAGE_REF_DIGEST_TEXT];
    ENSURE(memcmp(have->blob_sha256, l->digest, SHA256_SIZE) == 0, err, DIFFERS,
           "the registry serves other bytes: %s", image_ref_digest_text(have->blob_sha256, a));
    ENSURE(memcmp(have->diff_id, diff_id, SHA256_SIZE) == 0, err, DIFFERS,
           "the image's config says that it unpacks to %s, and it unpacks to %s",
           image_ref_digest_text(diff_id, a), image_ref_digest_text(have->diff_id, b));
    return OK;
}

static RESULT stream_layer(struct pour *p, const struct image_ref *ref,
                           const struct registry_layer *l, struct layer_result *out,
                           struct err *err) {
    const struct registry_consumer consumer = {p, is_pour_over, feed_layer};
    TRY(layer_new(0, &p->layer, err));
    struct registry_session *s = registry__take_session(p->registry);
    struct result done = registry_session_blob(s, ref, l->digest, l->size, &consumer, err);
    registry__put_back(p->registry, s);
    if (is_ok(done)) {
        done = layer_finish(p->layer, out, err);
    }
    layer_free(p->layer);
    return done;
}

/* Again from the first byte for as long as others need the memory more. */
static RESULT stream_in_turn(struct pour *p, const struct registry_watch *watch,
                             const struct image_ref *ref, const struct registry_layer *l,
                             struct layer_result *out, struct err *err) {
    for (;;) {
        p->has_stake = watch->budget != NULL;
        p->gave_way = p->has_begun = false;
        if (p->has_stake) {
            fetch_budget_enter(watch->budget, &p->stake, watch->order, LIMIT_FETCH_SHARE);
        }
        struct result r = stream_layer(p, ref, l, out, err);
        bool gave_way = r.code == ERR_CANCELED && (p->gave_way || is_pour_over(p));
        if (p->has_stake) {
            fetch_stake_leave(&p->stake);
        }
        if (!gave_way || is_canceled(p->registry)) {
            return r;
        }
        fetch_progress_restart(p->line);
    }
}

static RESULT get_layer(struct registry *r, const struct image_ref *ref,
                        const uint8_t diff_id[SHA256_SIZE], const struct registry_watch *watch,
                        struct fetch_progress_line *line, struct registry_layer *l,
                        struct err *err) {
    struct pour pour = {.registry = r, .line = line};
    struct layer_result result = {0};
    l->is_cached = r->cache != NULL && image_cache_get_layer(r->cache, diff_id, &l->result);
    if (l->is_cached) {
        return OK;
    }
    ENSURE(registry__is_online(r), err, NOT_FOUND,
           "offline, and the cache does not have it; run once with a network");
    TRY(stream_in_turn(&pour, watch, ref, l, &result, err));
    struct result done = check_layer(l, &result, diff_id, err);
    if (!is_ok(done)) {
        layer_result_deinit(&result);
        return done;
    }
    l->result = result;
    if (r->cache != NULL) {
        image_cache_put_layer(r->cache, &l->result);
    }
    return OK;
}

static const char *outcome_of(struct result done, const struct registry_layer *l) {
    if (!is_ok(done)) {
        return done.code == ERR_CANCELED ? "canceled" : "failed";
    }
    return l->is_cached ? "cached" : "done";
}

struct result registry_fetch_layer(struct registry *r, const struct image_ref *ref,
                                   struct registry_image *image, size_t index,
                                   const struct registry_watch *watch, struct err *err) {
    struct registry_layer *l = &image->layers[index];
    char digest[IMAGE_REF_DIGEST_TEXT];
    struct fetch_progress_line line = {.image = watch->name != NULL ? watch->name : "",
                                       .digest = image_ref_digest_text(l->digest, digest),
                                       .layer = index + 1,
                                       .layers = image->layer_count,
                                       .total = l->size};
    fetch_progress_begin(watch->progress, &line);
    struct result done = get_layer(r, ref, image->config.diff_ids[index], watch, &line, l, err);
    fetch_progress_end(&line, outcome_of(done, l));
    if (!is_ok(done)) {
        done = err_wrap(done, err, "layer %zu of %zu (%s)", index + 1, image->layer_count, digest);
        return registry__name_image(done, ref, err);
    }
    return OK;
}

/* ---- the whole ---- */

struct result registry__name_image(struct result r, const struct image_ref *ref, struct err *err) {
    AUTO(buf_deinit)
    struct buf name = {0};
    image_ref_text(ref, &name);
    return err_wrap(r, err, "image %s", buf_cstr(&name));
}

struct result registry_fetch_image(struct registry *r, const struct image_ref *ref,
                                   struct fetch_progress *progress, struct registry_image *out,
                                   struct err *err) {
    AUTO(buf_deinit)
    struct buf name = {0};
    struct registry_image image = {0};
    image_ref_text(ref, &name);
    const struct registry_watch watch = {.progress = progress, .name = buf_cstr(&name)};
    TRY(registry_open_image(r, ref, &image, err));
    for (size_t i = 0; i < image.layer_count; i++) {
        struct result done = registry_fetch_layer(r, ref, &image, i, &watch, err);
        if (!is_ok(done)) {
            registry_image_deinit(&image);
            return done;
        }
    }
    *out = image;
    return OK;
}
