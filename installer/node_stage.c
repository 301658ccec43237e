/* Staging: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/node_stage.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/crypto/digest.h"

/* --- Digests */

static struct digest_stream *make_stream(const struct sri *want) {
    return digest_stream_new(want->size == SHA512_SIZE   ? DIGEST_SHA512
                             : want->size == SHA384_SIZE ? DIGEST_SHA384
                                                         : DIGEST_SHA256);
}

static void free_stream(struct digest_stream **s) {
    digest_stream_free(*s);
}

/* The digest of what was fed, of the kind of `want`. */
static struct sri finish(struct digest_stream *s, const struct sri *want) {
    struct sri got = {.size = want->size > 0 ? want->size : SHA256_SIZE};
    digest_stream_final(s, got.digest);
    return got;
}

static bool is_same(const struct sri *a, const struct sri *b) {
    return a->size == b->size && memcmp(a->digest, b->digest, a->size) == 0;
}

/* --- What is expected */

static RESULT feed_stream(void *data, struct span bytes, struct err *err) {
    (void)err;
    digest_stream_update(data, bytes);
    return OK;
}

static RESULT restart_stream(void *data, struct err *err) {
    (void)err;
    uint8_t dropped[SRI_DIGEST_MAX];
    digest_stream_final(data, dropped);
    return OK;
}

RESULT node_stage_expect(const struct node_file *file, const volatile sig_atomic_t *stop,
                         struct sri *out, struct err *err) {
    if (file->integrity.size > 0) {
        *out = file->integrity;
        return OK;
    }
    const struct sri none = {0};
    AUTO(free_stream)
    struct digest_stream *stream = make_stream(&none);
    const struct node_sink sink = {stream, feed_stream, restart_stream};
    TRY(node_fetch(file->url, &sink, stop, err));
    *out = finish(stream, &none);
    return OK;
}

/* --- What is there */

static RESULT hash_fd(int fd, const char *path, struct digest_stream *stream, struct err *err) {
    AUTO(buf_deinit)
    struct buf chunk = {0};
    static const size_t chunk_size = 256 * 1024;
    (void)buf_extend(&chunk, chunk_size);
    for (;;) {
        ssize_t n = read(fd, chunk.data, chunk_size);
        if (n == 0) {
            return OK;
        }
        if (n < 0 && errno == EINTR) {
            continue;
        }
        ENSURE(n > 0, err, IO, "%s: %s", path, strerror(errno));
        digest_stream_update(stream, span_of(chunk.data, (size_t)n));
    }
}

static bool is_untouched(const struct node_installed_file *known, const struct node_stat *stat) {
    return known != NULL && known->inode == stat->inode && known->size == stat->size &&
           known->mtime_ns == stat->mtime_ns;
}

static struct node_installed_file describe(const char *path, const struct sri *digest,
                                           const struct node_stat *stat) {
    return (struct node_installed_file){path, *digest, stat->size, stat->mtime_ns, stat->inode};
}

RESULT node_stage_look(const struct node_root *root, const char *path, const struct sri *want,
                       mode_t mode, const struct node_installed_file *known, bool *is_there,
                       struct node_installed_file *found, struct err *err) {
    *is_there = false;
    struct node_stat stat;
    TRY(node_root_stat(root, path, &stat, err));
    if (!stat.exists || stat.mode != mode) {
        return OK;
    }
    if (is_untouched(known, &stat) && is_same(&known->digest, want)) {
        *found = *known;
        *is_there = true;
        return OK;
    }
    int fd = -1;
    TRY(node_root_open_file(root, path, &fd, err));
    AUTO(free_stream)
    struct digest_stream *stream = make_stream(want);
    struct result r = hash_fd(fd, path, stream, err);
    (void)close(fd);
    TRY(r);
    struct sri got = finish(stream, want);
    *found = describe(path, &got, &stat);
    *is_there = is_same(&got, want);
    return OK;
}

/* --- Putting it there */

struct put {
    const struct node_root *root;
    const char *path;
    mode_t mode;
    struct node_temp temp;
    struct digest_stream *stream; /* owned */
};

static RESULT feed_put(void *data, struct span bytes, struct err *err) {
    struct put *p = data;
    digest_stream_update(p->stream, bytes);
    return node_temp_write(&p->temp, bytes, err);
}

static RESULT restart_put(void *data, struct err *err) {
    struct put *p = data;
    node_temp_abort(&p->temp);
    TRY(restart_stream(p->stream, err));
    return node_temp_open(p->root, p->path, p->mode, (uid_t)-1, (gid_t)-1, &p->temp, err);
}

static RESULT check_digest(const struct sri *got, const char *url, const struct sri *want,
                           struct err *err) {
    if (is_same(got, want)) {
        return OK;
    }
    AUTO(buf_deinit)
    struct buf texts = {0};
    sri_encode(want, &texts);
    buf_append_str(&texts, ", got ");
    sri_encode(got, &texts);
    return err_set(err, ERR_DIFFERS, "%s: wrong bytes: want %s", url, buf_cstr(&texts));
}

static RESULT fetch_into(struct put *put, const char *url, const struct sri *want,
                         const volatile sig_atomic_t *stop, struct sri *got, struct err *err) {
    put->stream = make_stream(want);
    const struct node_sink sink = {put, feed_put, restart_put};
    struct result r = node_fetch(url, &sink, stop, err);
    *got = finish(put->stream, want);
    digest_stream_free(put->stream);
    TRY(r);
    return check_digest(got, url, want, err);
}

RESULT node_stage_put(const struct node_root *root, const char *url, const char *path,
                      const struct sri *want, mode_t mode, const volatile sig_atomic_t *stop,
                      struct node_installed_file *out, struct err *err) {
    struct put put = {.root = root, .path = path, .mode = mode};
    TRY(node_temp_open(root, path, mode, (uid_t)-1, (gid_t)-1, &put.temp, err));
    struct sri got;
    struct result r = fetch_into(&put, url, want, stop, &got, err);
    if (!is_ok(r)) {
        node_temp_abort(&put.temp);
        return r;
    }
    TRY(node_temp_commit(&put.temp, err));
    struct node_stat stat;
    TRY(node_root_stat(root, path, &stat, err));
    *out = describe(path, &got, &stat);
    return OK;
}
