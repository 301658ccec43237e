/* contrast verify: is this the deployment that I know, is it current, and what does it run?
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CMD_VERIFY_H
#define CONTRAST_CMD_VERIFY_H

#include "cli/cli.h"

/* A cli_command's function; argv[0] is the command's name. */
RESULT cmd_verify(struct cli *cli, int argc, char **argv, struct err *err);

/* The top-level parts in which two manifests differ, comma separated; appended. "formatting" when
 * only the text does, "not JSON" when one cannot be read. */
void verify_diff(struct span a, struct span b, struct buf *out);

#define CMD_VERIFY_HELP                                                                            \
    "Usage: contrast verify -c HOST:PORT[,...] [OPTION]...\n\n"                                    \
    "Verifies a Coordinator: its evidence against your manifest, the signed history from an "      \
    "owner\n"                                                                                      \
    "key of your manifest on, that the active manifest is yours byte for byte, that a quorum\n"    \
    "confirmed it just now, and that nothing that this workspace saw before was rolled back or\n"  \
    "replaced. Then writes the history, policies and CA certificates to verify/.\n\n"              \
    "  -c, --coordinator HOST:PORT[,...]  user API of replicas; the first that answers is "        \
    "verified\n"                                                                                   \
    "  -m, --manifest FILE                default manifest.json in the workspace\n"                \
    "  --all                              verify every address; the exit code is the worst\n\n"    \
    "Exit codes: 1 genuine, but no quorum confirms that it is current; 3 another manifest, "       \
    "cluster\n"                                                                                    \
    "or program; 4 proof of a fork or a rollback.\n\n"                                             \
    "Examples:\n"                                                                                  \
    "  contrast verify -c coordinator.example:1313\n"                                              \
    "  contrast verify -c 10.0.0.1:1313,10.0.0.2:1313,10.0.0.3:1313 --all --output json\n"

#endif
