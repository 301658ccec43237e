/* Tar scan: see tar_scan.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/layer/tar_scan.h"

#include <string.h>

#include "lib/base/limits.h"

#define SPARSE_MAP_AT 386
#define SPARSE_EXTENDED_AT 482
#define SPARSE_PIECES 4       /* in a header */
#define SPARSE_MORE_PIECES 21 /* in a block after it */
#define SPARSE_MORE_AT 504    /* the flag for one more block */

void tar_scan_init(struct tar_scan *s, struct tar_scan_handler handler) {
    *s = (struct tar_scan){.handler = handler, .state = TAR_SCAN_HEADER};
}

void tar_scan_deinit(struct tar_scan *s) {
    buf_deinit(&s->long_name);
    buf_deinit(&s->long_link);
    buf_deinit(&s->pax);
    buf_deinit(&s->path);
}

static RESULT at_header(struct result r, const struct tar_scan *s, struct err *err) {
    return is_ok(r) ? r
                    : err_wrap(r, err, "tar: entry at byte %llu", (unsigned long long)s->head_at);
}

/* ---- the description of one entry ---- */

static struct span without_last_nul(const struct buf *b) {
    size_t n = b->size > 0 && b->data[b->size - 1] == 0 ? b->size - 1 : b->size;
    return span_of(b->data, n);
}

static struct span header_path(struct tar_scan *s, const struct tar_header *h) {
    if (h->prefix.size == 0) {
        return h->name;
    }
    buf_clear(&s->path);
    buf_append_span(&s->path, h->prefix);
    buf_append_u8(&s->path, '/');
    buf_append_span(&s->path, h->name);
    return buf_span(&s->path);
}

static struct span path_of(struct tar_scan *s, const struct tar_header *h) {
    struct span path;
    if (s->has_long_name) {
        return without_last_nul(&s->long_name);
    }
    if (s->has_pax && tar_header_pax_find(buf_span(&s->pax), "path", &path)) {
        return path;
    }
    return header_path(s, h);
}

static bool link_of(struct tar_scan *s, const struct tar_header *h, struct span *link) {
    if (s->has_long_link) {
        *link = without_last_nul(&s->long_link);
        return true;
    }
    if (s->has_pax && tar_header_pax_find(buf_span(&s->pax), "linkpath", link)) {
        return true;
    }
    *link = h->link;
    return h->link.size > 0;
}

static void forget_extensions(struct tar_scan *s) {
    buf_clear(&s->long_name);
    buf_clear(&s->long_link);
    buf_clear(&s->pax);
    s->has_long_name = s->has_long_link = s->has_pax = false;
    s->pax_size = (struct tar_number){0};
}

static uint64_t body_size(const struct tar_scan *s, const struct tar_header *h) {
    return h->size == 0 && s->pax_size.is_valid ? s->pax_size.value : h->size;
}

/* Passes over `size` bytes and the rest of their last block. */
static void start_body(struct tar_scan *s, uint64_t size) {
    s->body = size;
    s->padding = (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK;
    s->state = s->body > 0 ? TAR_SCAN_BODY : TAR_SCAN_HEADER;
}

static RESULT report(struct tar_scan *s, const struct tar_header *h, uint64_t size,
                     struct err *err) {
    struct tar_entry e = {
        .header = h,
        .header_at = s->head_at,
        .data_at = s->head_at + TAR_BLOCK,
        .size = size,
        .path = path_of(s, h),
        .header_link = h->link,
    };
    e.has_link = link_of(s, h, &e.link);
    s->wants_data = false;
    TRY(s->handler.on_entry(s->handler.context, &e, &s->wants_data, err));
    start_body(s, body_size(s, h));
    forget_extensions(s);
    return OK;
}

/* ---- sparse files ---- */

/* The crate's checks of a map: ordered, block by block, exactly as long as the header says. */
static RESULT add_pieces(struct tar_scan *s, const uint8_t *map, size_t count, struct err *err) {
    for (size_t i = 0; i < count; i++) {
        struct tar_sparse p;
        TRY(tar_header_sparse(map, i, &p, err));
        if (p.is_empty) {
            continue;
        }
        ENSURE(p.size == 0 || (s->sparse_size - s->sparse_left) % TAR_BLOCK == 0, err, MALFORMED,
               "sparse file: piece %zu does not start on a block", i);
        ENSURE(p.offset >= s->sparse_at, err, MALFORMED, "sparse file: piece %zu overlaps", i);
        ENSURE(p.size <= UINT64_MAX - p.offset && p.size <= s->sparse_left, err, MALFORMED,
               "sparse file: piece %zu is longer than the file", i);
        s->sparse_at = p.offset + p.size;
        s->sparse_left -= p.size;
    }
    return OK;
}

static RESULT end_sparse(struct tar_scan *s, struct err *err) {
    uint64_t real = 0;
    struct tar_header h;
    TRY(tar_header_real_size(s->head, &real, err));
    ENSURE(s->sparse_at == real && s->sparse_left == 0, err, MALFORMED,
           "sparse file: the pieces do not add up to its sizes");
    TRY(tar_header_parse(s->head, &h, err));
    return report(s, &h, real, err);
}

static RESULT start_sparse(struct tar_scan *s, const struct tar_header *h, struct err *err) {
    ENSURE(h->is_gnu, err, MALFORMED, "sparse file without a GNU header");
    s->sparse_at = 0;
    s->sparse_left = s->sparse_size = body_size(s, h);
    TRY(add_pieces(s, s->head + SPARSE_MAP_AT, SPARSE_PIECES, err));
    if (s->head[SPARSE_EXTENDED_AT] == 1) {
        s->state = TAR_SCAN_SPARSE;
        return OK;
    }
    return end_sparse(s, err);
}

static RESULT take_sparse(struct tar_scan *s, struct err *err) {
    TRY(add_pieces(s, s->block, SPARSE_MORE_PIECES, err));
    return s->block[SPARSE_MORE_AT] == 1 ? OK : end_sparse(s, err);
}

/* ---- headers ---- */

static RESULT start_extension(struct tar_scan *s, const struct tar_header *h, struct buf *into,
                              bool *has, struct err *err) {
    uint64_t size = body_size(s, h);
    ENSURE(!*has, err, MALFORMED, "two headers of type '%c' describe one entry", h->type);
    ENSURE(size <= LIMIT_LAYER_EXTENSION, err, TOO_LARGE,
           "a long name or pax header of %llu bytes, at most %d are read", (unsigned long long)size,
           LIMIT_LAYER_EXTENSION);
    *has = true;
    s->extension = into;
    start_body(s, size);
    if (size > 0) {
        s->state = TAR_SCAN_EXTENSION;
    }
    return OK;
}

static RESULT take_header(struct tar_scan *s, struct err *err) {
    s->head_at = s->at - TAR_BLOCK;
    if (tar_header_is_zero(s->block)) {
        ENSURE(!s->has_long_name && !s->has_long_link && !s->has_pax, err, MALFORMED,
               "the archive ends after a header that describes the next entry");
        s->state = TAR_SCAN_END;
        return OK;
    }
    struct tar_header h;
    memcpy(s->head, s->block, TAR_BLOCK);
    TRY(tar_header_parse(s->head, &h, err));
    ENSURE(body_size(s, &h) <= INT64_MAX, err, MALFORMED, "a size of more than 63 bits");
    bool is_known = h.is_ustar || h.is_gnu;
    if (is_known && h.type == 'L') {
        return start_extension(s, &h, &s->long_name, &s->has_long_name, err);
    }
    if (is_known && h.type == 'K') {
        return start_extension(s, &h, &s->long_link, &s->has_long_link, err);
    }
    if (is_known && h.type == 'x') {
        return start_extension(s, &h, &s->pax, &s->has_pax, err);
    }
    return h.type == 'S' ? start_sparse(s, &h, err) : report(s, &h, body_size(s, &h), err);
}

/* ---- bytes ---- */

static struct span take(struct tar_scan *s, struct span *bytes, uint64_t most) {
    size_t n = bytes->size < most ? bytes->size : (size_t)most;
    struct span taken = span_of(bytes->data, n);
    *bytes = span_of(bytes->data + n, bytes->size - n);
    s->at += n;
    return taken;
}

static RESULT feed_block(struct tar_scan *s, struct span *bytes, struct err *err) {
    struct span part = take(s, bytes, TAR_BLOCK - s->used);
    memcpy(s->block + s->used, part.data, part.size);
    s->used += part.size;
    if (s->used < TAR_BLOCK) {
        return OK;
    }
    s->used = 0;
    return at_header(s->state == TAR_SCAN_HEADER ? take_header(s, err) : take_sparse(s, err), s,
                     err);
}

static void feed_body(struct tar_scan *s, struct span *bytes) {
    struct span part = take(s, bytes, s->body > 0 ? s->body : s->padding);
    if (s->body == 0) {
        s->padding -= part.size;
    } else {
        s->body -= part.size;
        if (s->state == TAR_SCAN_EXTENSION) {
            buf_append_span(s->extension, part);
        } else if (s->wants_data) {
            s->handler.on_data(s->handler.context, part);
        }
    }
    if (s->body > 0 || s->padding > 0) {
        return;
    }
    if (s->state == TAR_SCAN_EXTENSION && s->extension == &s->pax) {
        s->pax_size = tar_header_pax_size(buf_span(&s->pax));
    }
    s->state = TAR_SCAN_HEADER;
}

RESULT tar_scan_feed(struct tar_scan *s, struct span bytes, struct err *err) {
    while (bytes.size > 0) {
        switch (s->state) {
        case TAR_SCAN_HEADER:
        case TAR_SCAN_SPARSE:
            TRY(feed_block(s, &bytes, err));
            break;
        case TAR_SCAN_EXTENSION:
        case TAR_SCAN_BODY:
            feed_body(s, &bytes);
            break;
        case TAR_SCAN_END:
            take(s, &bytes, bytes.size);
            break;
        }
    }
    return OK;
}

RESULT tar_scan_finish(const struct tar_scan *s, struct err *err) {
    bool is_pending = s->has_long_name || s->has_long_link || s->has_pax;
    bool is_whole =
        s->state == TAR_SCAN_END || (s->state == TAR_SCAN_HEADER && s->used == 0 && !is_pending);
    ENSURE(is_whole, err, MALFORMED,
           "tar: it ends at byte %llu, in the middle of the entry at byte %llu; the layer is "
           "truncated",
           (unsigned long long)s->at, (unsigned long long)s->head_at);
    return OK;
}
