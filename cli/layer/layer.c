/* Layers: see layer.h.
 *
 *   caller's thread:  SHA-256 of the blob, decoder -> a ring of LIMIT_LAYER_QUEUE buffers
 *   hash thread:      ring -> layer_tar (diff_id, index, verity)
 *
 * `head` buffers were filled, `tail` were emptied; both only grow. When the hash thread fails it
 * goes on emptying the ring, so that the caller never waits in vain, and the error is found at the
 * next buffer.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/layer/layer.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "cli/layer/layer_decode.h"
#include "cli/layer/layer_tar.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

struct chunk {
    uint8_t *data; /* owned, LIMIT_LAYER_CHUNK bytes */
    size_t size;
    size_t reserved; /* bytes that the decoder holds */
};

struct layer {
    struct sha256_stream *blob;
    uint64_t blob_size;
    struct layer_decode *decode;
    uint64_t tar_size, tar_max;
    struct chunk chunks[LIMIT_LAYER_QUEUE];
    struct chunk *filling; /* one of them, the caller's; NULL: none */

    pthread_t thread;
    bool is_running; /* the thread must be joined */
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* head, tail or is_over */
    uint64_t head, tail;    /* guarded by mutex, as all below */
    bool is_over;           /* no more buffers come */
    bool has_failed;
    struct err failure; /* of the hash thread */
    size_t tar_memory;

    struct layer_tar *tar; /* the hash thread's until it is joined */
};

/* ---- hash thread ---- */

static void keep_failure(struct layer *l, const struct err *err) {
    pthread_mutex_lock(&l->mutex);
    l->has_failed = true;
    l->failure = *err;
    pthread_mutex_unlock(&l->mutex);
}

/* Waits for a filled buffer; NULL when there is none to come. */
static struct chunk *next_filled(struct layer *l) {
    pthread_mutex_lock(&l->mutex);
    while (l->head == l->tail && !l->is_over) {
        pthread_cond_wait(&l->changed, &l->mutex);
    }
    struct chunk *c = l->head == l->tail ? NULL : &l->chunks[l->tail % LIMIT_LAYER_QUEUE];
    pthread_mutex_unlock(&l->mutex);
    return c;
}

static void give_back(struct layer *l) {
    size_t memory = layer_tar_memory(l->tar);
    pthread_mutex_lock(&l->mutex);
    l->tar_memory = memory;
    l->tail++;
    pthread_cond_signal(&l->changed);
    pthread_mutex_unlock(&l->mutex);
}

static void *hash(void *context) {
    struct layer *l = context;
    bool is_good = true;
    for (struct chunk *c; (c = next_filled(l)) != NULL; give_back(l)) {
        struct err err = {0};
        if (is_good &&
            !is_ok(layer_tar_feed(l->tar, span_of(c->data, c->size), c->reserved, &err))) {
            is_good = false;
            keep_failure(l, &err);
        }
    }
    return NULL;
}

/* ---- caller's side of the ring ---- */

static RESULT get_failure(struct layer *l, struct err *err) {
    struct err failure = {0};
    pthread_mutex_lock(&l->mutex);
    if (l->has_failed) {
        failure = l->failure;
    }
    pthread_mutex_unlock(&l->mutex);
    return failure.code == ERR_OK ? OK : err_set(err, failure.code, "%s", failure.text);
}

/* Waits for room; the buffer is the caller's until `submit`. */
static struct chunk *next_empty(struct layer *l) {
    pthread_mutex_lock(&l->mutex);
    while (l->head - l->tail == LIMIT_LAYER_QUEUE) {
        pthread_cond_wait(&l->changed, &l->mutex);
    }
    struct chunk *c = &l->chunks[l->head % LIMIT_LAYER_QUEUE];
    pthread_mutex_unlock(&l->mutex);
    return c;
}

static void submit(struct layer *l) {
    pthread_mutex_lock(&l->mutex);
    l->head++;
    pthread_cond_signal(&l->changed);
    pthread_mutex_unlock(&l->mutex);
    l->filling = NULL;
}

/* The buffer that is being filled, with room for a byte at least. */
static struct chunk *filling(struct layer *l) {
    if (l->filling == NULL) {
        l->filling = next_empty(l);
        l->filling->size = 0;
    }
    return l->filling;
}

static RESULT check_size(const struct layer *l, struct err *err) {
    ENSURE(l->tar_size <= l->tar_max, err, TOO_LARGE,
           "the layer unpacks to more than the %" PRIu64 " bytes allowed", l->tar_max);
    ENSURE(l->tar_size <= LIMIT_LAYER_RATIO_FREE || l->tar_size / LIMIT_LAYER_RATIO <= l->blob_size,
           err, TOO_LARGE,
           "%" PRIu64 " bytes unpack to more than %d times as many: this looks like a "
           "decompression bomb; if it is none, push the layer without compression",
           l->blob_size, LIMIT_LAYER_RATIO);
    return OK;
}

/* One step of the decoder into the ring; *is_full when it may have more to say. */
static RESULT decode(struct layer *l, struct span *in, bool is_end, bool *is_full,
                     struct err *err) {
    struct chunk *c = filling(l);
    size_t room = LIMIT_LAYER_CHUNK - c->size, made = 0;
    uint8_t *out = c->data + c->size;
    TRY(is_end ? layer_decode_end(l->decode, out, room, &made, err)
               : layer_decode_step(l->decode, in, out, room, &made, err));
    c->size += made;
    c->reserved = layer_decode_memory(l->decode);
    l->tar_size += made;
    *is_full = made == room;
    TRY(check_size(l, err));
    if (*is_full) {
        submit(l);
        TRY(get_failure(l, err));
    }
    return OK;
}

static void stop(struct layer *l) {
    if (!l->is_running) {
        return;
    }
    pthread_mutex_lock(&l->mutex);
    l->is_over = true;
    pthread_cond_signal(&l->changed);
    pthread_mutex_unlock(&l->mutex);
    pthread_join(l->thread, NULL);
    l->is_running = false;
}

/* ---- the interface ---- */

RESULT layer_new(uint64_t tar_max, struct layer **out, struct err *err) {
    struct layer *l = mem_zalloc(sizeof *l);
    l->tar_max = tar_max == 0 ? LIMIT_LAYER_TAR : tar_max;
    l->blob = sha256_stream_new();
    l->decode = layer_decode_new();
    l->tar = layer_tar_new();
    for (size_t i = 0; i < LIMIT_LAYER_QUEUE; i++) {
        l->chunks[i].data = mem_alloc(LIMIT_LAYER_CHUNK);
    }
    CHECK(pthread_mutex_init(&l->mutex, NULL) == 0 && pthread_cond_init(&l->changed, NULL) == 0);
    int r = pthread_create(&l->thread, NULL, hash, l);
    if (r != 0) {
        layer_free(l);
        return err_set(err, ERR_IO, "cannot start a thread: %s", strerrordesc_np(r));
    }
    l->is_running = true;
    *out = l;
    return OK;
}

RESULT layer_feed(struct layer *l, struct span bytes, struct err *err) {
    bool is_full = false;
    l->blob_size += bytes.size;
    sha256_stream_update(l->blob, bytes);
    while (bytes.size > 0 || is_full) {
        TRY(decode(l, &bytes, false, &is_full, err));
    }
    return OK;
}

size_t layer_memory(struct layer *l) {
    size_t most = LIMIT_LAYER_MEMORY;
    pthread_mutex_lock(&l->mutex);
    size_t size = l->tar_memory + layer_decode_memory(l->decode);
    pthread_mutex_unlock(&l->mutex);
    return (size < most ? size : most) + (size_t)LIMIT_LAYER_QUEUE * LIMIT_LAYER_CHUNK;
}

RESULT layer_finish(struct layer *l, struct layer_result *out, struct err *err) {
    struct layer_result r = {.blob_size = l->blob_size};
    bool is_full = true;
    while (is_full) {
        TRY(decode(l, NULL, true, &is_full, err));
    }
    if (l->filling != NULL) {
        submit(l);
    }
    stop(l);
    TRY(get_failure(l, err));
    TRY(layer_tar_finish(l->tar, &r, err));
    sha256_stream_final(l->blob, r.blob_sha256);
    r.coding = layer_decode_coding(l->decode);
    *out = r;
    return OK;
}

void layer_free(struct layer *l) {
    if (l == NULL) {
        return;
    }
    stop(l);
    for (size_t i = 0; i < LIMIT_LAYER_QUEUE; i++) {
        mem_free(l->chunks[i].data);
    }
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->mutex);
    layer_tar_free(l->tar);
    layer_decode_free(l->decode);
    sha256_stream_free(l->blob);
    mem_free(l);
}

void layer_result_deinit(struct layer_result *r) {
    for (size_t i = 0; i < r->warning_count; i++) {
        mem_free(r->warnings[i].text);
    }
    mem_free(r->warnings);
    buf_deinit(&r->passwd.content);
    buf_deinit(&r->group.content);
    *r = (struct layer_result){0};
}

bool layer_dialects_differ(const struct layer_result *r) {
    return memcmp(r->roots[LAYER_UPSTREAM].root_hash, r->roots[LAYER_MSFT].root_hash,
                  SHA256_SIZE) != 0;
}

const char *layer_dialect_name(enum layer_dialect d) {
    return d == LAYER_MSFT ? "msft" : "upstream";
}

const char *layer_coding_name(enum layer_coding c) {
    switch (c) {
    case LAYER_PLAIN:
        return "plain";
    case LAYER_GZIP:
        return "gzip";
    case LAYER_ZSTD:
        return "zstd";
    }
    return "?";
}
