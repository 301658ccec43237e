/* The host's files, seen from the installer's container: HOST_MOUNT and nothing outside of it.
 *
 *   path on the host "/etc/containerd/config.toml"  ->  openat2(HOST_MOUNT, RESOLVE_IN_ROOT)
 *
 * Symbolic links are followed as the host itself would follow them: "/" and ".." end at the mount,
 * so a link can never lead into the container (Linux 5.6, openat2(2)). A new file appears whole:
 *
 *   ".NAME.contrast-new" beside it -> write -> fsync -> rename -> fsync of the folder
 *
 * The name of a half-written file is fixed, so the next run finds what a killed one left and sweeps
 * it away; who holds the lock (node_lock.h) is the only writer. A symbolic link that leads nowhere
 * is refused (INVALID), not replaced.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_NODE_ROOT_H
#define CONTRAST_NODE_ROOT_H

#include <limits.h>
#include <string.h>
#include <sys/types.h>

#include "lib/base/bytes.h"

#define NODE_ROOT_TEMP_SUFFIX ".contrast-new"

struct node_root {
    int fd;              /* of the folder; -1: closed */
    char path[PATH_MAX]; /* of it, without symbolic links; "" for "/" */
};

/* CONFIG when there is no such folder. */
RESULT node_root_open(const char *mount, struct node_root *out, struct err *err);
void node_root_close(
    struct node_root *root); /* accepts one that was closed, or never opened (-1) */

struct node_stat {
    bool exists;
    bool is_folder;
    mode_t mode; /* permission bits */
    uid_t uid;
    gid_t gid;
    uint64_t inode;
    uint64_t size;     /* bytes */
    uint64_t mtime_ns; /* since 1970 */
};

/* A missing file is no error: out->exists. IO. All paths below are absolute on the host. */
RESULT node_root_stat(const struct node_root *root, const char *path, struct node_stat *out,
                      struct err *err);
/* Appends a regular file of at most `limit` bytes; a missing one leaves `out` alone. */
RESULT node_root_read(const struct node_root *root, const char *path, size_t limit, struct buf *out,
                      struct node_stat *stat, struct err *err);
/* A file for reading; the caller closes it. NOT_FOUND. */
RESULT node_root_open_file(const struct node_root *root, const char *path, int *fd,
                           struct err *err);
/* A folder, made with all those above it (0755) when `make`; the caller closes it. NOT_FOUND. */
RESULT node_root_open_folder(const struct node_root *root, const char *path, bool make, int *fd,
                             struct err *err);
/* The path without symbolic links, also of a file that does not exist in a folder that does. */
RESULT node_root_resolve(const struct node_root *root, const char *path, char out[PATH_MAX],
                         struct err *err);

/* A file that is being written. */
struct node_temp {
    int folder;              /* of the file; -1: closed */
    int fd;                  /* of the half-written one */
    char name[NAME_MAX + 1]; /* of the file */
    char temp[NAME_MAX + 1]; /* of the half-written one */
    char path[PATH_MAX];     /* for errors */
};
/* Makes the folders above, too. `uid` and `gid` -1: as they come. */
RESULT node_temp_open(const struct node_root *root, const char *path, mode_t mode, uid_t uid,
                      gid_t gid, struct node_temp *out, struct err *err);
RESULT node_temp_write(struct node_temp *temp, struct span bytes, struct err *err);
/* The file is there with all its bytes, or as it was. Closes. */
RESULT node_temp_commit(struct node_temp *temp, struct err *err);
void node_temp_abort(struct node_temp *temp); /* removes what was written; accepts a closed one */

/* The three above for bytes in memory; symbolic links are followed, their target is replaced. */
RESULT node_root_write(const struct node_root *root, const char *path, struct span bytes,
                       mode_t mode, uid_t uid, gid_t gid, struct err *err);

/* Missing: OK. The folder is synced. */
RESULT node_root_remove(const struct node_root *root, const char *path, struct err *err);
/* A folder with all in it, links not followed; missing: OK. At most LIMIT_NODE_DEPTH deep. */
RESULT node_root_remove_tree(const struct node_root *root, const char *path, struct err *err);

/* Whether a name is that of a half-written file. */
static inline bool node_root_is_temp(const char *name) {
    size_t size = strlen(name);
    size_t end = sizeof NODE_ROOT_TEMP_SUFFIX - 1;
    return name[0] == '.' && size > end && strcmp(name + size - end, NODE_ROOT_TEMP_SUFFIX) == 0;
}
/* Removes the half-written files that a killed run left in a folder and, when `is_deep`, in those
 * below it (links not followed); missing: OK. */
RESULT node_root_sweep(const struct node_root *root, const char *path, bool is_deep,
                       struct err *err);

/* Calls `visit` for each entry of a folder but "." and "..", in the order of their bytes; missing:
 * none. Stops at the first failure. */
RESULT node_root_list(const struct node_root *root, const char *path,
                      RESULT (*visit)(void *data, const char *name, struct err *err), void *data,
                      struct err *err);

#endif
