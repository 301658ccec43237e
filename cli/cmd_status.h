/* contrast status and contrast members: how a cluster does.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CMD_STATUS_H
#define CONTRAST_CMD_STATUS_H

#include "cli/cli.h"

/* cli_command functions; argv[0] is the command's name. */
RESULT cmd_status(struct cli *cli, int argc, char **argv, struct err *err);
RESULT cmd_members(struct cli *cli, int argc, char **argv, struct err *err);

#define CMD_STATUS_HELP                                                                            \
    "Usage: contrast status -c HOST:PORT[,...] [-m FILE] [--safe-to-stop [NAME] [--wait S]]\n"     \
    "       contrast status -c HOST:PORT[,...] [-m FILE] --ready\n\n"                              \
    "Shows state, position and members of the cluster as one replica sees them. With a manifest "  \
    "in\n"                                                                                         \
    "the workspace the replica is verified first; without one the answer says so.\n\n"             \
    "  -c, --coordinator HOST:PORT[,...]  the first that answers is asked\n"                       \
    "  -m, --manifest FILE                default manifest.json in the workspace\n"                \
    "      --safe-to-stop [NAME]          may this replica stop now? 0: yes, a quorum stays;\n"    \
    "                                     1: no, or nobody knows; with the reason. NAME: "         \
    "another\n"                                                                                    \
    "                                     member than the one that answers\n"                      \
    "      --wait SECONDS                 with --safe-to-stop: ask until the answer is yes, at\n"  \
    "                                     most so long\n"                                          \
    "      --ready                        may clients be sent to it? 0: yes, nothing is founded\n" \
    "                                     yet, or it is up to date; 1: no, with the reason\n\n"    \
    "Exit code 1: nobody answers, or no quorum does.\n\n"                                          \
    "Examples:\n"                                                                                  \
    "  contrast status -c coordinator.example:1313\n"                                              \
    "  contrast status -c 127.0.0.1:1313 --output json\n"                                          \
    "  contrast status -c 127.0.0.1:1313 --safe-to-stop --wait 60   # in a preStop hook\n"
#define CMD_MEMBERS_HELP                                                                           \
    "Usage: contrast members -c HOST:PORT[,...] [-m FILE]\n\n"                                     \
    "Lists the members of the cluster: name, id, role, connection, lag and last contact as one\n"  \
    "replica sees them; product, chip, TCB and measurement as their evidence says. Options and\n"  \
    "exit codes as in `contrast status`.\n\n"                                                      \
    "Example:\n"                                                                                   \
    "  contrast members -c coordinator.example:1313\n"

#endif
