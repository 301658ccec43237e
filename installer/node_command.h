/* Programs of the host: run with a bound on time and output.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_NODE_COMMAND_H
#define CONTRAST_NODE_COMMAND_H

#include "lib/base/bytes.h"

/* Runs `prefix` (words separated by blanks, may be "") followed by argv (ends with NULL), in a
 * process group of its own that is ended with SIGKILL after `timeout_ms`. Appends what it printed
 * on standard output, at most LIMIT_NODE_OUTPUT bytes; `output` may be NULL. UNAVAILABLE names the
 * program, its exit status and the last line of its standard error; TIMEOUT. */
RESULT node_command_run(const char *prefix, const char *const argv[], unsigned timeout_ms,
                        struct buf *output, struct err *err);

/* The same for one line of /bin/sh. */
RESULT node_command_shell(const char *line, unsigned timeout_ms, struct buf *output,
                          struct err *err);

#endif
