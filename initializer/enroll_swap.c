/* Enroll swap: see enroll_swap.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "initializer/enroll_swap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/limits.h"

#define TEMPORARY ENROLL_SWAP_LINK ".new"
#define NESTING 2 /* folders in a set: tls-config/, secrets/ */

struct swap {
    const char *dir;
    const struct enroll_set *set;
    char version[PATH_MAX]; /* path of the new set */
};

static RESULT locate(const char *dir, const char *name, char path[static PATH_MAX],
                     struct err *err) {
    int n = snprintf(path, PATH_MAX, "%s/%s", dir, name);
    ENSURE(n > 0 && n < PATH_MAX, err, CONFIG, "CONTRAST_DIR: the path is too long");
    return OK;
}

/* ---- clearing away ---- */

/* Removes a folder and what is in it, without following a link. */
static RESULT remove_folder(int parent, const char *name, int nesting, struct err *err) {
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    ENSURE(fd >= 0, err, IO, "%s: %s", name, strerror(errno));
    DIR *d = fdopendir(fd);
    CHECK(d != NULL);
    struct result r = OK;
    int count = 0;
    for (const struct dirent *e = readdir(d); e != NULL && is_ok(r); e = readdir(d)) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
            continue;
        }
        if (++count > LIMIT_RENEWAL_ENTRIES) {
            r = err_set(err, ERR_CONFIG, "%s: more than %d entries", name, LIMIT_RENEWAL_ENTRIES);
        } else if (unlinkat(dirfd(d), e->d_name, 0) != 0) {
            r = nesting > 0 ? remove_folder(dirfd(d), e->d_name, nesting - 1, err)
                            : err_set(err, ERR_IO, "%s/%s: %s", name, e->d_name, strerror(errno));
        }
    }
    closedir(d);
    if (is_ok(r) && unlinkat(parent, name, AT_REMOVEDIR) != 0) {
        r = err_set(err, ERR_IO, "%s: %s", name, strerror(errno));
    }
    return r;
}

/* The name of the present set; "" when there is none. */
static RESULT read_present(const char *dir, char name[static NAME_MAX + 1], struct err *err) {
    char path[PATH_MAX];
    TRY(locate(dir, ENROLL_SWAP_LINK, path, err));
    ssize_t n = readlink(path, name, NAME_MAX);
    ENSURE(n >= 0 || errno == ENOENT, err, CONFIG, "%s: %s: is something else in its place?", path,
           strerror(errno));
    name[n < 0 ? 0 : n] = 0;
    return OK;
}

struct result enroll_swap_sweep(const char *dir, struct err *err) {
    char present[NAME_MAX + 1];
    TRY(read_present(dir, present, err));
    DIR *d = opendir(dir);
    ENSURE(d != NULL, err, IO, "%s: %s", dir, strerror(errno));
    struct result r = OK;
    int count = 0;
    for (const struct dirent *e = readdir(d); e != NULL && is_ok(r); e = readdir(d)) {
        bool is_set = strncmp(e->d_name, ENROLL_SWAP_PREFIX, strlen(ENROLL_SWAP_PREFIX)) == 0;
        if (is_set && strcmp(e->d_name, present) != 0 && count++ < LIMIT_RENEWAL_ENTRIES) {
            r = remove_folder(dirfd(d), e->d_name, NESTING - 1, err);
        }
    }
    closedir(d);
    return err_wrap(r, err, "%s", dir);
}

/* ---- steps ---- */

static RESULT clear_away(struct swap *s, struct err *err) {
    char path[PATH_MAX];
    TRY(locate(s->dir, TEMPORARY, path, err));
    ENSURE(unlink(path) == 0 || errno == ENOENT, err, IO, "%s: %s", path, strerror(errno));
    return enroll_swap_sweep(s->dir, err);
}

static RESULT make_version(struct swap *s, struct err *err) {
    TRY(locate(s->dir, ENROLL_SWAP_PREFIX "XXXXXX", s->version, err));
    ENSURE(mkdtemp(s->version) != NULL && chmod(s->version, 0755) == 0, err, IO, "%s: %s",
           s->version, strerror(errno));
    return OK;
}

static RESULT make_folder(const struct swap *s, const char *name, struct err *err) {
    char path[PATH_MAX];
    TRY(locate(s->version, name, path, err));
    return file_mkdirs(path, 0755, err);
}

static RESULT write_file(const struct swap *s, const char *name, struct span bytes, mode_t mode,
                         struct err *err) {
    char path[PATH_MAX];
    TRY(locate(s->version, name, path, err));
    return file_write(path, bytes, mode, err);
}

static RESULT make_tls(struct swap *s, struct err *err) {
    return make_folder(s, "tls-config", err);
}

static RESULT write_mesh_ca(struct swap *s, struct err *err) {
    return write_file(s, "tls-config/mesh-ca.pem", s->set->mesh_ca, 0444, err);
}

static RESULT write_root_ca(struct swap *s, struct err *err) {
    return write_file(s, "tls-config/coordinator-root-ca.pem", s->set->root_ca, 0444, err);
}

static RESULT write_chain(struct swap *s, struct err *err) {
    return write_file(s, "tls-config/certChain.pem", s->set->chain, 0444, err);
}

static RESULT make_secrets(struct swap *s, struct err *err) {
    return s->set->secret.size == 0 ? OK : make_folder(s, "secrets", err);
}

static RESULT write_secret(struct swap *s, struct err *err) {
    return s->set->secret.size == 0
               ? OK
               : write_file(s, "secrets/workload-secret-seed", s->set->secret, 0400, err);
}

static RESULT write_key(struct swap *s, struct err *err) {
    return write_file(s, "tls-config/key.pem", s->set->key, 0400, err);
}

static bool is_link_to(const char *path, const char *target) {
    char found[NAME_MAX + 1];
    ssize_t n = readlink(path, found, NAME_MAX);
    return n == (ssize_t)strlen(target) && memcmp(found, target, (size_t)n) == 0;
}

/* A stable name; there from the first swap on. */
static RESULT ensure_link(const struct swap *s, const char *name, const char *target,
                          struct err *err) {
    char path[PATH_MAX];
    TRY(locate(s->dir, name, path, err));
    if (symlink(target, path) == 0) {
        return OK;
    }
    ENSURE(errno == EEXIST, err, IO, "%s: %s", path, strerror(errno));
    ENSURE(is_link_to(path, target), err, CONFIG,
           "%s: want a symbolic link to %s here, something else is in the way: remove it", path,
           target);
    return OK;
}

static RESULT link_tls(struct swap *s, struct err *err) {
    return ensure_link(s, "tls-config", ENROLL_SWAP_LINK "/tls-config", err);
}

static RESULT link_secrets(struct swap *s, struct err *err) {
    return s->set->secret.size == 0 ? OK
                                    : ensure_link(s, "secrets", ENROLL_SWAP_LINK "/secrets", err);
}

static RESULT link_version(struct swap *s, struct err *err) {
    char path[PATH_MAX];
    TRY(locate(s->dir, TEMPORARY, path, err));
    ENSURE(symlink(strrchr(s->version, '/') + 1, path) == 0, err, IO, "%s: %s", path,
           strerror(errno));
    return OK;
}

/* The one moment: rename(2) replaces the name atomically. */
static RESULT replace(struct swap *s, struct err *err) {
    char from[PATH_MAX];
    char to[PATH_MAX];
    TRY(locate(s->dir, TEMPORARY, from, err));
    TRY(locate(s->dir, ENROLL_SWAP_LINK, to, err));
    ENSURE(rename(from, to) == 0, err, IO, "%s: %s", to, strerror(errno));
    return OK;
}

/* The name of a secret that the manifest grants no longer. The new set is in place by now, so this
 * cannot fail: a name that leads nowhere harms nobody, and the next swap tries again. */
static RESULT unlink_secrets(struct swap *s, struct err *err) {
    char path[PATH_MAX];
    TRY(locate(s->dir, "secrets", path, err));
    if (s->set->secret.size == 0 && is_link_to(path, ENROLL_SWAP_LINK "/secrets")) {
        unlink(path);
    }
    return OK;
}

static struct result (*const steps_of_swap[])(struct swap *s, struct err *err) = {
    clear_away,   make_version, make_tls, write_mesh_ca, write_root_ca, write_chain, make_secrets,
    write_secret, write_key,    link_tls, link_secrets,  link_version,  replace,     unlink_secrets,
};
const size_t enroll_swap_steps = sizeof steps_of_swap / sizeof steps_of_swap[0];

struct result enroll_swap_run(const char *dir, const struct enroll_set *set, size_t steps,
                              struct err *err) {
    struct swap s = {.dir = dir, .set = set};
    CHECK(steps <= enroll_swap_steps);
    for (size_t i = 0; i < steps; i++) {
        TRY(steps_of_swap[i](&s, err));
    }
    return OK;
}
