/* Pod sockets: names and leftovers of the server's Unix sockets.
 *
 *   S                    control socket
 *   S.pod-<16 hex>       one per pod, beside it
 *
 * A server that was killed leaves both behind; the next one on the same S removes them, but never a
 * socket on which somebody still answers.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_PODSOCKET_H
#define CONTRAST_PODSOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"

#define PODSOCKET_PATH_SIZE 108 /* bytes, with the NUL: sun_path of unix(7) */

/* Absolute path of a pod's socket; false when it would be too long. */
bool podsocket_pod_path(const char *control, uint64_t number, char out[PODSOCKET_PATH_SIZE]);

/* Checks that `control` is absolute and short enough and removes leftovers of a dead server. EXISTS
 * when a server answers there, CONFIG for anything else in the way. */
RESULT podsocket_prepare(const char *control, struct err *err);

/* A connected, close-on-exec stream socket. UNAVAILABLE when nobody answers. */
RESULT podsocket_connect(const char *path, int *fd, struct err *err);

#endif
