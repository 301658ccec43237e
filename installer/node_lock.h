/* The host's lock: one installer at a time, also of different images and DaemonSets.
 *
 *   flock(2) on HOST/run/lock/contrast-node-installer.lock; its text names the holder
 *
 * The lock ends with the process that holds it, however that ends.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_NODE_LOCK_H
#define CONTRAST_NODE_LOCK_H

#include "installer/node_root.h"

#define NODE_LOCK_PATH "/run/lock/contrast-node-installer.lock"

struct node_lock {
    int fd; /* -1: not held */
};

/* Waits up to `wait_s` seconds, or until a signal comes (then CANCELED). BUSY names the holder. The
 * process's SIGALRM must have a handler that does not restart system calls. */
RESULT node_lock_take(const struct node_root *root, unsigned wait_s, struct node_lock *out,
                      struct err *err);
void node_lock_release(struct node_lock *lock); /* accepts one that is not held */

#endif
