/* Programs of the host: run with a bound on time and output.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_NODE_COMMAND_H
#define CONTRAST_NODE_COMMAND_H

#include <signal.h>

#include "lib/base/bytes.h"

/* Runs `prefix` (words separated by blanks, may be "") followed by argv (ends with NULL), in a
 * process group of its own that is ended with SIGKILL after `timeout_ms`. Appends what it printed
 * on standard output, at most LIMIT_NODE_OUTPUT bytes (else TOO_LARGE); `output` may be NULL. It is
 * over when the program ends: a daemon that it started may live on and hold its pipes. UNAVAILABLE
 * names the program, its exit status and the last line of its standard error; TIMEOUT. */
RESULT node_command_run(const char *prefix, const char *const argv[], unsigned timeout_ms,
                        struct buf *output, struct err *err);

/* Runs argv and hands its standard output on as it comes, without a bound on time: the program has
 * its own. What `feed` fails with, or *stop (CANCELED; `stop` may be NULL), ends the program. Else
 * errors as above; *told gets the last line of its standard error when it failed. */
struct node_stream {
    void *data;
    RESULT (*feed)(void *data, struct span bytes, struct err *err);
    const volatile sig_atomic_t *stop;
};
RESULT node_command_stream(const char *const argv[], const struct node_stream *stream,
                           struct buf *told, struct err *err);

/* The same as node_command_run for one line of /bin/sh. */
RESULT node_command_shell(const char *line, unsigned timeout_ms, struct buf *output,
                          struct err *err);

#endif
