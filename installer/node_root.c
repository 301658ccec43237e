/* The host's files: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/node_root.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

#define OPEN_TRIES 16 /* openat2 answers EAGAIN when somebody renames on the way */

/* --- Opening */

static int open_in(const struct node_root *root, const char *path, int flags) {
    struct open_how how = {
        .flags = (unsigned)(flags | O_CLOEXEC),
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    long fd = -1;
    for (int i = 0; i < OPEN_TRIES; i++) {
        fd = syscall(SYS_openat2, root->fd, path, &how, sizeof how);
        if (fd >= 0 || errno != EAGAIN) {
            break;
        }
    }
    return (int)fd;
}

static RESULT fail(const char *path, const char *what, struct err *err) {
    int saved = errno;
    if (saved == ENOSYS) {
        return err_set(err, ERR_CONFIG, "this kernel has no openat2: Linux 5.6 or later is needed");
    }
    const char *advice = saved == EROFS    ? "; mount it for writing"
                         : saved == ENOSPC ? "; free space on the host"
                                           : "";
    return err_set(err, ERR_IO, "%s: %s: %s%s", path, what, strerror(saved), advice);
}

RESULT node_root_open(const char *mount, struct node_root *out, struct err *err) {
    struct node_root root = {.fd = open(mount, O_PATH | O_DIRECTORY | O_CLOEXEC)};
    ENSURE(root.fd >= 0, err, CONFIG,
           "HOST_MOUNT: %s: %s; mount the host's root there, or say where it is", mount,
           strerror(errno));
    if (realpath(mount, root.path) == NULL) {
        (void)close(root.fd);
        return fail(mount, "resolve", err);
    }
    if (strcmp(root.path, "/") == 0) {
        root.path[0] = '\0';
    }
    *out = root;
    return OK;
}

void node_root_close(struct node_root *root) {
    if (root->fd >= 0) {
        (void)close(root->fd);
    }
    root->fd = -1;
}

static bool is_missing(void) {
    return errno == ENOENT || errno == ENOTDIR;
}

/* --- Reading */

static void fill_stat(const struct stat *st, struct node_stat *out) {
    *out = (struct node_stat){
        .exists = true,
        .is_folder = S_ISDIR(st->st_mode),
        .mode = st->st_mode & 07777,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .inode = st->st_ino,
        .size = (uint64_t)st->st_size,
        .mtime_ns =
            (uint64_t)st->st_mtim.tv_sec * UINT64_C(1000000000) + (uint64_t)st->st_mtim.tv_nsec,
    };
}

/* A link to nowhere is no missing file: writing it would replace the link. */
static RESULT check_dangling(const struct node_root *root, const char *path, struct err *err) {
    int fd = open_in(root, path, O_PATH | O_NOFOLLOW);
    if (fd < 0) {
        return is_missing() ? OK : fail(path, "look", err);
    }
    (void)close(fd);
    return err_set(err, ERR_INVALID,
                   "%s: a symbolic link that leads nowhere on the host; mend or remove it", path);
}

RESULT node_root_stat(const struct node_root *root, const char *path, struct node_stat *out,
                      struct err *err) {
    *out = (struct node_stat){0};
    int fd = open_in(root, path, O_PATH);
    if (fd < 0) {
        return is_missing() ? check_dangling(root, path, err) : fail(path, "look", err);
    }
    struct stat st;
    int status = fstat(fd, &st);
    (void)close(fd);
    if (status != 0) {
        return fail(path, "look", err);
    }
    fill_stat(&st, out);
    return OK;
}

static RESULT read_all(int fd, const char *path, size_t limit, struct buf *out, struct err *err) {
    uint8_t chunk[16384];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return fail(path, "read", err);
        }
        if (n == 0) {
            return OK;
        }
        ENSURE(out->size + (size_t)n <= limit, err, INVALID, "%s: more than %zu bytes", path,
               limit);
        buf_append(out, chunk, (size_t)n);
    }
}

RESULT node_root_read(const struct node_root *root, const char *path, size_t limit, struct buf *out,
                      struct node_stat *stat, struct err *err) {
    TRY(node_root_stat(root, path, stat, err));
    if (!stat->exists) {
        return OK;
    }
    int fd = -1;
    TRY(node_root_open_file(root, path, &fd, err));
    AUTO(buf_deinit)
    struct buf text = {0};
    struct result r = read_all(fd, path, limit, &text, err);
    (void)close(fd);
    TRY(r);
    buf_append_span(out, buf_span(&text));
    return OK;
}

RESULT node_root_open_file(const struct node_root *root, const char *path, int *fd,
                           struct err *err) {
    int file = open_in(root, path, O_RDONLY | O_NONBLOCK);
    if (file < 0) {
        ENSURE(!is_missing(), err, NOT_FOUND, "%s: no such file", path);
        return fail(path, "open", err);
    }
    struct stat st;
    if (fstat(file, &st) != 0 || !S_ISREG(st.st_mode)) {
        (void)close(file);
        return err_set(err, ERR_INVALID, "%s: no regular file", path);
    }
    *fd = file;
    return OK;
}

/* --- Folders */

/* Makes the last part of `path`, whose folder exists. */
static RESULT make_folder(const struct node_root *root, char *path, struct err *err) {
    char *slash = strrchr(path, '/');
    *slash = '\0';
    int above = open_in(root, slash == path ? "/" : path, O_RDONLY | O_DIRECTORY);
    *slash = '/';
    if (above < 0) {
        return fail(path, "open the folder above", err);
    }
    int status = mkdirat(above, slash + 1, 0755);
    if (status != 0 && errno == EEXIST) {
        status = 0;
    }
    if (status == 0) {
        status = fsync(above);
    }
    int saved = errno;
    (void)close(above);
    errno = saved;
    return status == 0 ? OK : fail(path, "make the folder", err);
}

static RESULT make_folders(const struct node_root *root, const char *path, struct err *err) {
    char part[PATH_MAX];
    for (const char *end = path + 1;; end++) {
        end += strcspn(end, "/");
        (void)snprintf(part, sizeof part, "%.*s", (int)(end - path), path);
        int fd = open_in(root, part, O_PATH | O_DIRECTORY);
        if (fd >= 0) {
            (void)close(fd);
        } else if (errno == ENOENT) {
            TRY(make_folder(root, part, err));
        } else {
            return fail(part, "open the folder", err);
        }
        if (*end == '\0') {
            return OK;
        }
    }
}

RESULT node_root_open_folder(const struct node_root *root, const char *path, bool make, int *fd,
                             struct err *err) {
    ENSURE(path[0] == '/' && strlen(path) < PATH_MAX, err, INVALID, "%.200s: no absolute path",
           path);
    if (make && path[1] != '\0') {
        TRY(make_folders(root, path, err));
    }
    int folder = open_in(root, path, O_RDONLY | O_DIRECTORY);
    if (folder < 0) {
        ENSURE(!is_missing(), err, NOT_FOUND, "%s: no such folder", path);
        return fail(path, "open the folder", err);
    }
    *fd = folder;
    return OK;
}

/* Path of an open file without the mount's part, from /proc. */
static RESULT name_of(const struct node_root *root, int fd, char out[PATH_MAX], struct err *err) {
    char link[64];
    char path[PATH_MAX];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size <= 0) {
        return fail(link, "read the link", err);
    }
    path[size] = '\0';
    size_t mount = strlen(root->path);
    ENSURE(strncmp(path, root->path, mount) == 0 && (path[mount] == '/' || path[mount] == '\0'),
           err, IO, "%s: left HOST_MOUNT meanwhile", path);
    (void)snprintf(out, PATH_MAX, "%s", path[mount] == '\0' ? "/" : path + mount);
    return OK;
}

static RESULT resolve_folder_of(const struct node_root *root, const char *path, char out[PATH_MAX],
                                struct err *err) {
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX];
    (void)snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    int fd = open_in(root, folder, O_PATH | O_DIRECTORY);
    if (fd < 0) {
        (void)snprintf(out, PATH_MAX, "%s", path); /* made later, as it is spelled */
        return is_missing() ? OK : fail(folder, "open the folder", err);
    }
    char real[PATH_MAX] = "";
    struct result r = name_of(root, fd, real, err);
    (void)close(fd);
    TRY(r);
    int size = snprintf(out, PATH_MAX, "%s%s", real[1] == '\0' ? "" : real, slash);
    ENSURE(size > 0 && size < PATH_MAX, err, INVALID, "%.200s: path too long", path);
    return OK;
}

RESULT node_root_resolve(const struct node_root *root, const char *path, char out[PATH_MAX],
                         struct err *err) {
    ENSURE(path[0] == '/' && strlen(path) < PATH_MAX, err, INVALID, "%.200s: no absolute path",
           path);
    int fd = open_in(root, path, O_PATH);
    if (fd < 0) {
        ENSURE(is_missing(), err, IO, "%s: open: %s", path, strerror(errno));
        TRY(check_dangling(root, path, err));
        return resolve_folder_of(root, path, out, err);
    }
    struct result r = name_of(root, fd, out, err);
    (void)close(fd);
    return r;
}

/* --- Writing */

static void split(const char *path, struct node_temp *out, char folder[PATH_MAX]) {
    const char *slash = strrchr(path, '/');
    (void)snprintf(folder, PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    (void)snprintf(out->name, sizeof out->name, "%s", slash + 1);
    (void)snprintf(out->temp, sizeof out->temp, ".%.200s" NODE_ROOT_TEMP_SUFFIX, slash + 1);
    (void)snprintf(out->path, sizeof out->path, "%s", path);
}

static int set_owner(int fd, mode_t mode, uid_t uid, gid_t gid) {
    if ((uid != (uid_t)-1 || gid != (gid_t)-1) && fchown(fd, uid, gid) != 0) {
        return -1;
    }
    return fchmod(fd, mode);
}

RESULT node_temp_open(const struct node_root *root, const char *path, mode_t mode, uid_t uid,
                      gid_t gid, struct node_temp *out, struct err *err) {
    struct node_temp temp = {.folder = -1, .fd = -1};
    char folder[PATH_MAX];
    ENSURE(path[0] == '/' && strlen(path) < PATH_MAX && strlen(strrchr(path, '/')) <= 200, err,
           INVALID, "%.200s: no absolute path, or a name of more than 199 bytes", path);
    split(path, &temp, folder);
    TRY(node_root_open_folder(root, folder, true, &temp.folder, err));
    if (unlinkat(temp.folder, temp.temp, 0) == 0 || errno == ENOENT) {
        temp.fd = openat(temp.folder, temp.temp,
                         O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    }
    if (temp.fd < 0 || set_owner(temp.fd, mode, uid, gid) != 0) {
        struct result r = fail(path, "make a new file beside it", err);
        node_temp_abort(&temp);
        return r;
    }
    *out = temp;
    return OK;
}

RESULT node_temp_write(struct node_temp *temp, struct span bytes, struct err *err) {
    size_t done = 0;
    while (done < bytes.size) {
        ssize_t n = write(temp->fd, bytes.data + done, bytes.size - done);
        if (n < 0 && errno != EINTR) {
            return fail(temp->path, "write", err);
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return OK;
}

static void close_temp(struct node_temp *temp) {
    if (temp->fd >= 0) {
        (void)close(temp->fd);
    }
    if (temp->folder >= 0) {
        (void)close(temp->folder);
    }
    temp->fd = -1;
    temp->folder = -1;
}

RESULT node_temp_commit(struct node_temp *temp, struct err *err) {
    if (fsync(temp->fd) != 0 || renameat(temp->folder, temp->temp, temp->folder, temp->name) != 0) {
        struct result r = fail(temp->path, "put the new file in place", err);
        node_temp_abort(temp);
        return r;
    }
    struct result r = fsync(temp->folder) == 0 ? OK : fail(temp->path, "sync its folder", err);
    close_temp(temp);
    return r;
}

void node_temp_abort(struct node_temp *temp) {
    if (temp->folder >= 0) {
        (void)unlinkat(temp->folder, temp->temp, 0);
    }
    close_temp(temp);
}

RESULT node_root_write(const struct node_root *root, const char *path, struct span bytes,
                       mode_t mode, uid_t uid, gid_t gid, struct err *err) {
    char real[PATH_MAX] = "";
    TRY(node_root_resolve(root, path, real, err));
    struct node_temp temp = {.folder = -1, .fd = -1};
    TRY(node_temp_open(root, real, mode, uid, gid, &temp, err));
    struct result r = node_temp_write(&temp, bytes, err);
    if (!is_ok(r)) {
        node_temp_abort(&temp);
        return r;
    }
    return node_temp_commit(&temp, err);
}

/* --- Removing and listing */

static int is_temp_entry(const struct dirent *e) {
    return node_root_is_temp(e->d_name);
}

static int is_subfolder(const struct dirent *e) {
    return (e->d_type == DT_DIR || e->d_type == DT_UNKNOWN) && strcmp(e->d_name, ".") != 0 &&
           strcmp(e->d_name, "..") != 0;
}

static int sweep_folder(int fd, bool is_deep, int depth);

static int sweep_below(int fd, int depth) {
    struct dirent **entries = NULL;
    int count = scandirat(fd, ".", &entries, is_subfolder, alphasort);
    int status = count < 0 ? -1 : 0;
    for (int i = 0; i < count; i++) {
        int below = openat(fd, entries[i]->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (status == 0 && below >= 0) {
            status = sweep_folder(below, true, depth + 1);
        }
        if (below >= 0) {
            (void)close(below);
        }
        free(entries[i]);
    }
    free((void *)entries);
    return status;
}

static int sweep_folder(int fd, bool is_deep, int depth) {
    struct dirent **entries = NULL;
    int count = scandirat(fd, ".", &entries, is_temp_entry, alphasort);
    int status = count < 0 ? -1 : 0;
    for (int i = 0; i < count; i++) {
        if (status == 0 && unlinkat(fd, entries[i]->d_name, 0) != 0 && errno != ENOENT) {
            status = -1;
        }
        free(entries[i]);
    }
    free((void *)entries);
    if (status == 0 && is_deep && depth < LIMIT_NODE_DEPTH) {
        status = sweep_below(fd, depth);
    }
    return status;
}

RESULT node_root_sweep(const struct node_root *root, const char *path, bool is_deep,
                       struct err *err) {
    int fd = open_in(root, path, O_RDONLY | O_DIRECTORY);
    if (fd < 0) {
        return is_missing() ? OK : fail(path, "open the folder", err);
    }
    int status = sweep_folder(fd, is_deep, 0);
    struct result r = status == 0 ? OK : fail(path, "remove what a killed run left", err);
    (void)close(fd);
    return r;
}

RESULT node_root_remove(const struct node_root *root, const char *path, struct err *err) {
    struct node_temp parts = {.folder = -1, .fd = -1};
    char folder[PATH_MAX];
    split(path, &parts, folder);
    int fd = open_in(root, folder, O_RDONLY | O_DIRECTORY);
    if (fd < 0) {
        return is_missing() ? OK : fail(path, "open its folder", err);
    }
    int status = unlinkat(fd, parts.name, 0);
    bool is_gone = status != 0 && errno == ENOENT;
    if (status == 0) {
        status = fsync(fd);
    }
    struct result r = status == 0 || is_gone ? OK : fail(path, "remove", err);
    (void)close(fd);
    return r;
}

/* Takes `fd`. */
static int clear_folder(int fd, int depth) {
    DIR *dir = depth < LIMIT_NODE_DEPTH ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        errno = depth < LIMIT_NODE_DEPTH ? errno : ELOOP;
        (void)close(fd);
        return -1;
    }
    int status = 0;
    for (struct dirent *e; status == 0 && (e = readdir(dir)) != NULL;) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
            continue;
        }
        status = unlinkat(dirfd(dir), e->d_name, 0);
        if (status != 0 && (errno == EISDIR || errno == EPERM)) {
            int below =
                openat(dirfd(dir), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            status = below >= 0 ? clear_folder(below, depth + 1) : -1;
            status = status == 0 ? unlinkat(dirfd(dir), e->d_name, AT_REMOVEDIR) : status;
        }
    }
    int saved = errno;
    (void)closedir(dir);
    errno = saved;
    return status;
}

RESULT node_root_remove_tree(const struct node_root *root, const char *path, struct err *err) {
    struct node_temp parts = {.folder = -1, .fd = -1};
    char folder[PATH_MAX];
    split(path, &parts, folder);
    int above = open_in(root, folder, O_RDONLY | O_DIRECTORY);
    if (above < 0) {
        return is_missing() ? OK : fail(path, "open its folder", err);
    }
    int fd = openat(above, parts.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool is_gone = fd < 0 && errno == ENOENT;
    int status = fd >= 0 ? clear_folder(fd, 0) : -1;
    status = status == 0 ? unlinkat(above, parts.name, AT_REMOVEDIR) : status;
    status = status == 0 ? fsync(above) : status;
    struct result r = status == 0 || is_gone ? OK : fail(path, "remove", err);
    (void)close(above);
    return r;
}

static int is_entry(const struct dirent *e) {
    return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
}

static int compare_entries(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

RESULT node_root_list(const struct node_root *root, const char *path,
                      RESULT (*visit)(void *data, const char *name, struct err *err), void *data,
                      struct err *err) {
    int fd = open_in(root, path, O_RDONLY | O_DIRECTORY);
    if (fd < 0) {
        return is_missing() ? OK : fail(path, "open the folder", err);
    }
    struct dirent **entries = NULL;
    int count = scandirat(fd, ".", &entries, is_entry, compare_entries);
    (void)close(fd);
    if (count < 0) {
        return fail(path, "list the folder", err);
    }
    struct result r = OK;
    for (int i = 0; i < count; i++) {
        if (is_ok(r)) {
            r = visit(data, entries[i]->d_name, err);
        }
        free(entries[i]);
    }
    free((void *)entries);
    return r;
}
