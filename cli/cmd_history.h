/* contrast history: the manifests that a Coordinator has had, and who signed them.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CMD_HISTORY_H
#define CONTRAST_CMD_HISTORY_H

#include "cli/cli.h"

/* A cli_command's function; argv[0] is the command's name. */
RESULT cmd_history(struct cli *cli, int argc, char **argv, struct err *err);

#define CMD_HISTORY_HELP                                                                           \
    "Usage: contrast history -c HOST:PORT [-m FILE]\n\n"                                           \
    "Verifies a Coordinator and its signed history, and prints one line per manifest: "            \
    "generation,\n"                                                                                \
    "transition, SHA-256 of the manifest, SHA-256 of the signer's key.\n\n"                        \
    "  -c, --coordinator HOST:PORT  user API of a replica\n"                                       \
    "  -m, --manifest FILE          names the owner keys to trust (default manifest.json in the\n" \
    "                               workspace); it need not be the active one\n\n"                 \
    "Example:\n"                                                                                   \
    "  contrast history -c coordinator.example:1313\n"

#endif
