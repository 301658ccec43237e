/* Pod sockets: see podsocket.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/simulator/podsocket.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define POD_SUFFIX ".pod-"
#define POD_DIGITS 16

bool podsocket_pod_path(const char *control, uint64_t number, char out[PODSOCKET_PATH_SIZE]) {
    int n = snprintf(out, PODSOCKET_PATH_SIZE, "%s" POD_SUFFIX "%016" PRIx64, control, number);
    return n > 0 && n < PODSOCKET_PATH_SIZE;
}

struct result podsocket_connect(const char *path, int *fd, struct err *err) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    ENSURE(strlen(path) < sizeof address.sun_path, err, USAGE, "%.200s: the path is too long",
           path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ENSURE(s >= 0, err, UNAVAILABLE, "%s: %s", path, strerror(errno));
    if (connect(s, (const struct sockaddr *)&address, sizeof address) != 0) {
        int code = errno;
        close(s);
        return err_set(err, ERR_UNAVAILABLE, "%s: %s", path, strerror(code));
    }
    *fd = s;
    return OK;
}

static bool is_pod_of(const char *name, const char *prefix) {
    size_t size = strlen(prefix);
    if (strncmp(name, prefix, size) != 0 || strlen(name) != size + POD_DIGITS) {
        return false;
    }
    for (const char *at = name + size; *at != 0; at++) {
        if (!isxdigit((unsigned char)*at)) {
            return false;
        }
    }
    return true;
}

static void remove_pods(const char *control) {
    char folder[PODSOCKET_PATH_SIZE];
    char prefix[PODSOCKET_PATH_SIZE + sizeof POD_SUFFIX];
    const char *slash = strrchr(control, '/');
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - control) + 1, control);
    snprintf(prefix, sizeof prefix, "%s" POD_SUFFIX, slash + 1);
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        return;
    }
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        struct stat st;
        if (is_pod_of(e->d_name, prefix) && fstatat(dirfd(dir), e->d_name, &st, 0) == 0 &&
            S_ISSOCK(st.st_mode)) {
            unlinkat(dirfd(dir), e->d_name, 0);
        }
    }
    closedir(dir);
}

struct result podsocket_prepare(const char *control, struct err *err) {
    char pod[PODSOCKET_PATH_SIZE];
    struct stat st;
    ENSURE(control[0] == '/', err, USAGE, "--socket %.200s: want an absolute path", control);
    ENSURE(podsocket_pod_path(control, UINT64_MAX, pod), err, USAGE,
           "--socket %.200s: the path has %zu bytes, at most %zu leave room for pods", control,
           strlen(control), PODSOCKET_PATH_SIZE - sizeof POD_SUFFIX - POD_DIGITS);
    if (lstat(control, &st) == 0) {
        int fd = -1;
        ENSURE(S_ISSOCK(st.st_mode), err, CONFIG, "%s: not a socket; not replaced", control);
        if (is_ok(podsocket_connect(control, &fd, NULL))) {
            close(fd);
            return err_set(err, ERR_EXISTS, "%s: a server answers there already", control);
        }
        ENSURE(unlink(control) == 0, err, CONFIG, "%s: %s", control, strerror(errno));
    }
    remove_pods(control);
    return OK;
}
