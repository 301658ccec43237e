/* Launch file: see launch_file.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/launch/launch_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "lib/base/limits.h"
#include "lib/crypto/digest.h"

#define READ_CHUNK 65536

static RESULT open_fd(const char *path, int *fd, struct err *err) {
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    ENSURE(*fd >= 0 || errno != ENOENT, err, NOT_FOUND, "%s: %s", path, strerror(errno));
    ENSURE(*fd >= 0, err, IO, "%s: %s", path, strerror(errno));
    return OK;
}

RESULT launch_file_open(const char *path, struct launch_file *out, struct err *err) {
    struct stat st;
    ENSURE(stat(path, &st) != 0 || S_ISREG(st.st_mode), err, INVALID,
           "%s: not a regular file; an image is read at offsets, so save it to a file first", path);
    struct launch_file f = {.path = path, .fd = -1};
    TRY(open_fd(path, &f.fd, err));
    if (fstat(f.fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(f.fd);
        return err_set(err, ERR_IO, "%s: its state cannot be read", path);
    }
    f.size = (uint64_t)st.st_size;
    f.changed = st.st_mtim;
    *out = f;
    return OK;
}

void launch_file_close(struct launch_file *f) {
    if (f->path != NULL) {
        close(f->fd);
    }
    *f = (struct launch_file){0};
}

static RESULT read_file(void *data, uint64_t offset, uint8_t *out, size_t size, struct err *err) {
    const struct launch_file *f = data;
    while (size > 0) {
        ssize_t n = pread(f->fd, out, size, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        ENSURE(n >= 0, err, IO, "%s: reading at offset %" PRIu64 ": %s", f->path, offset,
               strerror(errno));
        ENSURE(n > 0, err, IO, "%s: ended at offset %" PRIu64 ", it had %" PRIu64 " bytes before",
               f->path, offset, f->size);
        out += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return OK;
}

struct launch_source launch_file_source(struct launch_file *f) {
    return (struct launch_source){read_file, f, f->size};
}

RESULT launch_file_finish(const struct launch_file *f, struct err *err) {
    struct stat st;
    ENSURE(fstat(f->fd, &st) == 0, err, IO, "%s: %s", f->path, strerror(errno));
    ENSURE((uint64_t)st.st_size == f->size && st.st_mtim.tv_sec == f->changed.tv_sec &&
               st.st_mtim.tv_nsec == f->changed.tv_nsec,
           err, IO, "%s: changed while it was read; measure it again when it is at rest", f->path);
    return OK;
}

static RESULT read_memory(void *data, uint64_t offset, uint8_t *out, size_t size, struct err *err) {
    const struct span *bytes = data;
    ENSURE(offset <= bytes->size && size <= bytes->size - offset, err, IO,
           "%zu bytes at offset %" PRIu64 " are not in it", size, offset);
    memcpy(out, bytes->data + offset, size);
    return OK;
}

struct launch_source launch_file_memory(const struct span *bytes) {
    union {
        const struct span *in;
        void *out;
    } borrowed = {bytes}; /* read_memory only reads */
    return (struct launch_source){read_memory, borrowed.out, bytes->size};
}

static RESULT hash_all(int fd, const char *path, EVP_MD_CTX *ctx, struct err *err) {
    uint8_t chunk[READ_CHUNK];
    for (uint64_t total = 0; total <= LIMIT_LAUNCH_HASHED;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        ENSURE(n >= 0, err, IO, "%s: %s", path, strerror(errno));
        if (n == 0) {
            return OK;
        }
        CHECK(EVP_DigestUpdate(ctx, chunk, (size_t)n) == 1);
        total += (uint64_t)n;
    }
    return err_set(err, ERR_INVALID, "%s: larger than the limit of %" PRIu64 " bytes", path,
                   LIMIT_LAUNCH_HASHED);
}

RESULT launch_file_sha256(const char *path, uint8_t out[SHA256_SIZE], struct err *err) {
    int fd = -1;
    TRY(open_fd(path, &fd, err));
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    CHECK(ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1);
    struct result r = hash_all(fd, path, ctx, err);
    if (is_ok(r)) {
        CHECK(EVP_DigestFinal_ex(ctx, out, NULL) == 1);
    }
    EVP_MD_CTX_free(ctx);
    close(fd);
    return r;
}
