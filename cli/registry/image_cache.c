/* The image cache: see image_cache.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/registry/image_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/host.h"
#include "lib/base/limits.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define SWEEP_S 3600
#define PATH_SIZE (LIMIT_PATH + 128)
#define DIGEST_SIZE (IMAGE_REF_DIGEST_TEXT - 1)
#define TAG_SIZE (DIGEST_SIZE + 1 + 12) /* with a time of at most 12 digits */

struct image_cache {
    char root[LIMIT_PATH + 1]; /* DIR/v1 */
    atomic_bool has_warned;    /* of a failing write: once is enough */
};

/* ---- life ---- */

static RESULT find_folder(const char *folder, char *out, size_t size, struct err *err) {
    const char *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    int n = -1;
    if (folder != NULL) {
        n = snprintf(out, size, "%s/v1", folder);
    } else if (cache != NULL && cache[0] == '/') {
        n = snprintf(out, size, "%s/contrast/images/v1", cache);
    } else if (home != NULL && home[0] == '/') {
        n = snprintf(out, size, "%s/.cache/contrast/images/v1", home);
    }
    ENSURE(n > 0, err, CONFIG,
           "no folder for the image cache: set HOME or XDG_CACHE_HOME, or run "
           "without a cache");
    ENSURE((size_t)n < size, err, CONFIG, "the image cache's path is too long");
    return OK;
}

static RESULT check_owner(const char *path, struct err *err) {
    struct stat st;
    ENSURE(lstat(path, &st) == 0 && S_ISDIR(st.st_mode), err, CONFIG,
           "image cache: %s is not a folder", path);
    ENSURE(st.st_uid == geteuid() && (st.st_mode & 022) == 0, err, CONFIG,
           "image cache: others own %s or may write to it, and could choose the hashes in your "
           "policies; chmod go-w or take another folder",
           path);
    return OK;
}

/* Whoever may write there could put another folder in our place. */
static RESULT check_parent(const char *root, struct err *err) {
    char parent[PATH_SIZE];
    snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(root, '/') - root), root);
    return check_owner(parent, err);
}

/* What runs leave that are killed while they write; a young one may be somebody's. */
static void sweep(const char *path) {
    DIR *folder = opendir(path);
    int64_t now = host_unix_s(&host_system);
    for (const struct dirent *e; folder != NULL && (e = readdir(folder)) != NULL;) {
        struct stat st;
        if (strstr(e->d_name, ".tmp-") != NULL &&
            fstatat(dirfd(folder), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            st.st_mtime < now - SWEEP_S && unlinkat(dirfd(folder), e->d_name, 0) != 0) {
            log_warn("image cache: %s/%s: %s", path, e->d_name, strerror(errno));
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
}

static RESULT make_folder(const char *root, const char *kind, struct err *err) {
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/%s", root, kind);
    struct result r = file_mkdirs(path, 0700, err);
    ENSURE(is_ok(r), err, CONFIG,
           "the image cache cannot be made: %s; run with --no-cache, or set XDG_CACHE_HOME to "
           "another folder",
           path);
    TRY(check_owner(path, err));
    sweep(path);
    return OK;
}

struct result image_cache_open(const char *folder, struct image_cache **out, struct err *err) {
    char root[LIMIT_PATH + 1];
    TRY(find_folder(folder, root, sizeof root, err));
    TRY(make_folder(root, "documents", err));
    TRY(make_folder(root, "layers", err));
    TRY(make_folder(root, "tags", err));
    TRY(check_owner(root, err));
    TRY(check_parent(root, err));
    struct image_cache *c = mem_zalloc(sizeof *c);
    memcpy(c->root, root, sizeof root);
    *out = c;
    return OK;
}

void image_cache_close(struct image_cache *c) {
    mem_free(c);
}

/* ---- files ---- */

static void path_of(const struct image_cache *c, const char *kind, const uint8_t key[SHA256_SIZE],
                    char out[PATH_SIZE]) {
    char hex[2 * SHA256_SIZE + 1];
    hex_encode(span_of(key, SHA256_SIZE), hex);
    snprintf(out, PATH_SIZE, "%s/%s/%s", c->root, kind, hex);
}

/* What does not prove itself is not looked at twice. */
static void drop(const struct image_cache *c, const char *kind, const uint8_t key[SHA256_SIZE],
                 const char *why) {
    char path[PATH_SIZE];
    path_of(c, kind, key, path);
    log_warn("image cache: %s: %s; removed, and fetched again", path, why);
    if (unlink(path) != 0 && errno != ENOENT) {
        log_warn("image cache: %s: %s", path, strerror(errno));
    }
}

static bool read_file(const struct image_cache *c, const char *kind, const uint8_t key[SHA256_SIZE],
                      size_t limit, struct buf *out) {
    char path[PATH_SIZE];
    struct err err = {0};
    path_of(c, kind, key, path);
    struct stat st;
    if (lstat(path, &st) == 0 &&
        (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022) != 0)) {
        drop(c, kind, key, "it is no file that only we may write");
        return false;
    }
    struct result r = file_read(path, limit, out, &err);
    if (!is_ok(r) && r.code != ERR_NOT_FOUND) {
        log_warn("image cache: %s; fetching it again", err.text);
    }
    return is_ok(r);
}

static void write_file(struct image_cache *c, const char *kind, const uint8_t key[SHA256_SIZE],
                       struct span bytes) {
    char path[PATH_SIZE];
    struct err err = {0};
    path_of(c, kind, key, path);
    if (!is_ok(file_write(path, bytes, 0600, &err)) && !atomic_exchange(&c->has_warned, true)) {
        log_warn("image cache: not everything is kept, and will be fetched again: %s", err.text);
    }
}

/* ---- documents ---- */

bool image_cache_get_document(struct image_cache *c, const uint8_t digest[SHA256_SIZE],
                              struct buf *out) {
    AUTO(buf_deinit)
    struct buf text = {0};
    uint8_t actual[SHA256_SIZE];
    if (!read_file(c, "documents", digest, LIMIT_REGISTRY_DOCUMENT, &text)) {
        return false;
    }
    sha256(buf_span(&text), actual);
    if (memcmp(actual, digest, sizeof actual) != 0) {
        drop(c, "documents", digest, "its content has another digest");
        return false;
    }
    buf_append_span(out, buf_span(&text));
    return true;
}

void image_cache_put_document(struct image_cache *c, struct span text) {
    uint8_t digest[SHA256_SIZE];
    sha256(text, digest);
    write_file(c, "documents", digest, text);
}

/* ---- layers ---- */

bool image_cache_get_layer(struct image_cache *c, const uint8_t diff_id[SHA256_SIZE],
                           struct layer_result *out) {
    AUTO(buf_deinit)
    struct buf text = {0};
    struct err err = {0};
    if (!read_file(c, "layers", diff_id, LIMIT_REGISTRY_CACHE_FILE, &text)) {
        return false;
    }
    if (!is_ok(image_cache_parse(buf_span(&text), diff_id, out, &err))) {
        drop(c, "layers", diff_id, err.text);
        return false;
    }
    return true;
}

void image_cache_put_layer(struct image_cache *c, const struct layer_result *layer) {
    AUTO(buf_deinit)
    struct buf text = {0};
    image_cache_encode(layer, &text);
    write_file(c, "layers", layer->diff_id, buf_span(&text));
}

/* ---- tags ---- */

static void tag_key(const struct image_ref *ref, uint8_t out[SHA256_SIZE]) {
    AUTO(buf_deinit)
    struct buf text = {0};
    buf_appendf(&text, "%s/%s:%s", ref->host, ref->name, ref->tag);
    sha256(buf_span(&text), out);
}

bool image_cache_parse_tag(struct span text, uint8_t digest[SHA256_SIZE], int64_t *unix_s) {
    int64_t seconds = 0;
    if (text.size <= DIGEST_SIZE + 1 || text.size > TAG_SIZE || text.data[DIGEST_SIZE] != ' ' ||
        !is_ok(image_ref_digest(span_of(text.data, DIGEST_SIZE), digest, NULL))) {
        return false;
    }
    for (size_t i = DIGEST_SIZE + 1; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        seconds = 10 * seconds + (text.data[i] - '0');
    }
    *unix_s = seconds;
    return true;
}

bool image_cache_get_tag(struct image_cache *c, const struct image_ref *ref,
                         uint8_t digest[SHA256_SIZE], int64_t *unix_s) {
    AUTO(buf_deinit)
    struct buf text = {0};
    uint8_t key[SHA256_SIZE];
    tag_key(ref, key);
    if (!read_file(c, "tags", key, TAG_SIZE, &text)) {
        return false;
    }
    if (!image_cache_parse_tag(buf_span(&text), digest, unix_s)) {
        drop(c, "tags", key, "it holds no digest and time");
        return false;
    }
    return true;
}

void image_cache_put_tag(struct image_cache *c, const struct image_ref *ref,
                         const uint8_t digest[SHA256_SIZE], int64_t unix_s) {
    AUTO(buf_deinit)
    struct buf text = {0};
    char hex[IMAGE_REF_DIGEST_TEXT];
    uint8_t key[SHA256_SIZE];
    buf_appendf(&text, "%s %" PRId64, image_ref_digest_text(digest, hex), unix_s > 0 ? unix_s : 0);
    tag_key(ref, key);
    write_file(c, "tags", key, buf_span(&text));
}
