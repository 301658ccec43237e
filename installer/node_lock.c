/* The host's lock: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/node_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/log.h"

static void read_holder(int fd, char out[128]) {
    ssize_t n = pread(fd, out, 127, 0);
    out[n > 0 ? n : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
    err_clean(out);
}

static void write_holder(int fd) {
    char host[64] = "";
    char text[128];
    (void)gethostname(host, sizeof host - 1);
    int size = snprintf(text, sizeof text, "process %ld of %s\n", (long)getpid(), host);
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)size, 0) != size) {
        log_debug("lock: nobody will see who holds it");
    }
}

/* The folder is the host's tmpfs; containers' images have it as well. */
static RESULT open_lock(const struct node_root *root, int *fd, struct err *err) {
    int folder = -1;
    TRY(node_root_open_folder(root, "/run/lock", true, &folder, err));
    *fd = openat(folder, "contrast-node-installer.lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
                 0600);
    int saved = errno;
    (void)close(folder);
    ENSURE(*fd >= 0, err, IO, NODE_LOCK_PATH ": %s", strerror(saved));
    return OK;
}

static RESULT wait_for(int fd, unsigned wait_s, struct err *err) {
    char holder[128];
    read_holder(fd, holder);
    log_warn("another installer works on this host (%s): waiting up to %u s", holder, wait_s);
    (void)alarm(wait_s);
    int status = flock(fd, LOCK_EX);
    int saved = errno;
    unsigned left = alarm(0);
    if (status == 0) {
        return OK;
    }
    ENSURE(saved == EINTR, err, IO, NODE_LOCK_PATH ": %s", strerror(saved));
    ENSURE(left == 0, err, CANCELED, "stopped by a signal while another installer works");
    return err_set(err, ERR_BUSY, "another installer works on this host: %s", holder);
}

RESULT node_lock_take(const struct node_root *root, unsigned wait_s, struct node_lock *out,
                      struct err *err) {
    int fd = -1;
    TRY(open_lock(root, &fd, err));
    struct result r = OK;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        r = wait_for(fd, wait_s, err);
    }
    if (!is_ok(r)) {
        (void)close(fd);
        return r;
    }
    write_holder(fd);
    out->fd = fd;
    return OK;
}

void node_lock_release(struct node_lock *lock) {
    if (lock->fd >= 0) {
        (void)close(lock->fd);
    }
    lock->fd = -1;
}
