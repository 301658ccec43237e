/* Layer decode: see layer_decode.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/layer/layer_decode.h"

#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

#define HEAD_SIZE 4
#define GZIP_WINDOW (15 + 16) /* the largest, and a gzip header (zlib.h, inflateInit2) */
#define GZIP_MEMORY (48 * 1024)
#define SKIPPABLE 0x184d2a50U /* to ...5f: RFC 8878 section 3.1.2 */
#define STEP_MAX (1U << 30)   /* zlib counts in unsigned int */

struct layer_decode {
    uint8_t head[HEAD_SIZE];
    size_t head_size; /* bytes of it */
    size_t head_used; /* bytes of it that were decoded */
    bool is_known;    /* coding is decided */
    enum layer_coding coding;
    bool is_inside; /* a member or frame has begun and not ended */
    bool has_ended; /* at least one has */
    z_stream gzip;
    ZSTD_DStream *zstd; /* owned */
};

struct layer_decode *layer_decode_new(void) {
    return mem_zalloc(sizeof(struct layer_decode));
}

void layer_decode_free(struct layer_decode *d) {
    if (d == NULL) {
        return;
    }
    if (d->is_known && d->coding == LAYER_GZIP) {
        inflateEnd(&d->gzip);
    }
    ZSTD_freeDStream(d->zstd);
    mem_free(d);
}

enum layer_coding layer_decode_coding(const struct layer_decode *d) {
    return d->coding;
}

size_t layer_decode_memory(const struct layer_decode *d) {
    if (d->zstd != NULL) {
        return ZSTD_sizeof_DStream(d->zstd);
    }
    return d->coding == LAYER_GZIP ? GZIP_MEMORY : 0;
}

/* ---- which coding ---- */

static enum layer_coding coding_of(const uint8_t *head, size_t size) {
    if (size >= 2 && head[0] == 0x1f && head[1] == 0x8b) {
        return LAYER_GZIP;
    }
    uint32_t magic = size == HEAD_SIZE ? load_u32le(head) : 0;
    bool is_zstd = magic == ZSTD_MAGICNUMBER || (magic & ~0xfU) == SKIPPABLE;
    return is_zstd ? LAYER_ZSTD : LAYER_PLAIN;
}

static RESULT start(struct layer_decode *d, struct err *err) {
    enum layer_coding coding = coding_of(d->head, d->head_size);
    if (coding == LAYER_GZIP) {
        ENSURE(inflateInit2(&d->gzip, GZIP_WINDOW) == Z_OK, err, NOMEM, "gzip: out of memory");
    } else if (coding == LAYER_ZSTD) {
        d->zstd = ZSTD_createDStream();
        ENSURE(d->zstd != NULL, err, NOMEM, "zstd: out of memory");
        size_t r = ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, LIMIT_LAYER_WINDOW_LOG);
        CHECK(!ZSTD_isError(r));
    }
    d->coding = coding;
    d->is_known = true;
    return OK;
}

/* ---- the codings ---- */

static void take(struct span *in, size_t n) {
    *in = span_of(in->data + n, in->size - n);
}

static RESULT step_plain(struct span *in, uint8_t *out, size_t room, size_t *made) {
    size_t n = in->size < room ? in->size : room;
    if (n > 0) {
        memcpy(out, in->data, n);
        take(in, n);
    }
    *made = n;
    return OK;
}

static RESULT fail(const struct layer_decode *d, const char *why, struct err *err) {
    const char *name = layer_coding_name(d->coding);
    ENSURE(d->is_inside || !d->has_ended, err, MALFORMED,
           "%s: bytes after the end of the compressed data that are no %s; the layer was altered "
           "or put together wrongly",
           name, name);
    return err_set(err, ERR_MALFORMED, "%s: the compressed data is broken: %s", name, why);
}

static const char *gzip_error(const z_stream *z, int r) {
    return z->msg != NULL ? z->msg : zError(r);
}

static RESULT step_gzip(struct layer_decode *d, struct span *in, uint8_t *out, size_t room,
                        size_t *made, struct err *err) {
    z_stream *z = &d->gzip;
    unsigned size = (unsigned)(in->size < STEP_MAX ? in->size : STEP_MAX);
    if (!d->is_inside && size == 0) {
        *made = 0;
        return OK;
    }
    union {
        const uint8_t *in;
        Bytef *z;
    } borrowed = {in->data}; /* zlib reads it only */
    z->next_in = borrowed.z;
    z->avail_in = size;
    z->next_out = out;
    z->avail_out = (unsigned)(room < STEP_MAX ? room : STEP_MAX);
    unsigned space = z->avail_out;
    int r = inflate(z, Z_NO_FLUSH);
    if (r != Z_OK && r != Z_BUF_ERROR && r != Z_STREAM_END) {
        return fail(d, gzip_error(z, r), err);
    }
    take(in, size - z->avail_in);
    *made = space - z->avail_out;
    d->is_inside = r != Z_STREAM_END;
    if (r == Z_STREAM_END) {
        d->has_ended = true;
        CHECK(inflateReset(z) == Z_OK);
    }
    return OK;
}

static RESULT zstd_failed(const struct layer_decode *d, size_t r, struct err *err) {
    ENSURE(ZSTD_getErrorCode(r) != ZSTD_error_frameParameter_windowTooLarge, err, TOO_LARGE,
           "zstd: a frame needs a window of more than %u MiB; compress the layer again without "
           "--long and --ultra",
           1U << (LIMIT_LAYER_WINDOW_LOG - 20));
    return fail(d, ZSTD_getErrorName(r), err);
}

static RESULT step_zstd(struct layer_decode *d, struct span *in, uint8_t *out, size_t room,
                        size_t *made, struct err *err) {
    if (!d->is_inside && in->size == 0) {
        *made = 0;
        return OK;
    }
    ZSTD_inBuffer from = {in->data, in->size, 0};
    ZSTD_outBuffer to = {out, room, 0};
    size_t r = ZSTD_decompressStream(d->zstd, &to, &from);
    if (ZSTD_isError(r)) {
        return zstd_failed(d, r, err);
    }
    take(in, from.pos);
    *made = to.pos;
    d->is_inside = r != 0;
    d->has_ended = d->has_ended || r == 0;
    return OK;
}

static RESULT step_known(struct layer_decode *d, struct span *in, uint8_t *out, size_t room,
                         size_t *made, struct err *err) {
    switch (d->coding) {
    case LAYER_PLAIN:
        return step_plain(in, out, room, made);
    case LAYER_GZIP:
        return step_gzip(d, in, out, room, made, err);
    case LAYER_ZSTD:
        return step_zstd(d, in, out, room, made, err);
    }
    return OK;
}

/* The bytes that were held back to tell the coding come first. */
static RESULT step_head(struct layer_decode *d, uint8_t *out, size_t room, size_t *made,
                        struct err *err) {
    struct span head = span_of(d->head + d->head_used, d->head_size - d->head_used);
    TRY(step_known(d, &head, out, room, made, err));
    d->head_used = d->head_size - head.size;
    return OK;
}

RESULT layer_decode_step(struct layer_decode *d, struct span *in, uint8_t *out, size_t room,
                         size_t *made, struct err *err) {
    size_t head = 0, body = 0;
    CHECK(room > 0);
    while (!d->is_known && d->head_size < HEAD_SIZE && in->size > 0) {
        d->head[d->head_size++] = in->data[0];
        take(in, 1);
    }
    if (!d->is_known) {
        if (d->head_size < HEAD_SIZE) {
            *made = 0;
            return OK;
        }
        TRY(start(d, err));
    }
    if (d->head_used < d->head_size) {
        TRY(step_head(d, out, room, &head, err));
    }
    if (d->head_used == d->head_size && head < room) {
        TRY(step_known(d, in, out + head, room - head, &body, err));
    }
    *made = head + body;
    return OK;
}

RESULT layer_decode_end(struct layer_decode *d, uint8_t *out, size_t room, size_t *made,
                        struct err *err) {
    struct span none = {0};
    size_t n = 0;
    if (!d->is_known) {
        TRY(start(d, err)); /* fewer bytes than any magic number */
    }
    TRY(layer_decode_step(d, &none, out, room, &n, err));
    ENSURE(n == room || !d->is_inside, err, MALFORMED,
           "%s: the compressed data ends too early; the layer is truncated, fetch it again",
           layer_coding_name(d->coding));
    *made = n;
    return OK;
}
