/* Processes that run from a runtime's folder: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/node_shims.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAMES_MAX 8

static bool is_below(const char *path, const char *folder) {
    size_t size = strlen(folder);
    return strncmp(path, folder, size) == 0 && path[size] == '/';
}

/* The link of a process that ended meanwhile, or of a kernel thread, cannot be read: "". */
static void read_exe(int proc, const char *pid, char out[PATH_MAX]) {
    char link[NAME_MAX + 8];
    (void)snprintf(link, sizeof link, "%s/exe", pid);
    ssize_t n = readlinkat(proc, link, out, PATH_MAX - 1);
    out[n > 0 ? n : 0] = '\0';
}

static void read_first_argument(int proc, const char *pid, char out[PATH_MAX]) {
    char path[NAME_MAX + 16];
    (void)snprintf(path, sizeof path, "%s/cmdline", pid);
    out[0] = '\0';
    int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t n = read(fd, out, PATH_MAX - 1);
        out[n > 0 ? n : 0] = '\0';
        (void)close(fd);
    }
}

static void look_at(int proc, const char *pid, const char *folder, size_t *count,
                    struct buf *names) {
    char path[PATH_MAX];
    read_exe(proc, pid, path);
    if (!is_below(path, folder)) {
        read_first_argument(proc, pid, path);
    }
    if (!is_below(path, folder)) {
        return;
    }
    if (++*count <= NAMES_MAX) {
        const char *name = strrchr(path, '/') + 1;
        buf_appendf(names, "%s%s %s", names->size > 0 ? ", " : "", pid, name);
    }
}

RESULT node_shims_find(const char *proc, const char *folder, size_t *count, struct buf *names,
                       struct err *err) {
    DIR *dir = opendir(proc);
    ENSURE(dir != NULL, err, IO, "%s: %s", proc, strerror(errno));
    *count = 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (isdigit((unsigned char)e->d_name[0])) {
            look_at(dirfd(dir), e->d_name, folder, count, names);
        }
    }
    (void)closedir(dir);
    return OK;
}
