/* contrast layer hash: what a node will open a container image layer by.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CMD_LAYER_H
#define CONTRAST_CMD_LAYER_H

#include "cli/cli.h"

extern const char CMD_LAYER_HASH_HELP[];

/* cli_command function. Streams the file, prints the root hash of the dialect asked for; the
 * warnings go to the log and into the JSON document. NOT_FOUND or IO: the file; otherwise as
 * layer.h says. */
RESULT cmd_layer_hash(struct cli *cli, int argc, char **argv, struct err *err);

#endif
