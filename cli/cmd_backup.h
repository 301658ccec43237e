/* contrast backup: a sealed checkpoint of the deployment, as a file.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CMD_BACKUP_H
#define CONTRAST_CMD_BACKUP_H

#include "cli/cli.h"

RESULT cmd_backup(struct cli *cli, int argc, char **argv, struct err *err);

#define CMD_BACKUP_HELP                                                                            \
    "Usage: contrast backup -c HOST:PORT[,...] [-m FILE] --out FILE\n"                             \
    "       contrast backup --show FILE\n\n"                                                       \
    "Fetches a sealed checkpoint of the deployment's state from a verified replica: manifests,\n"  \
    "root CA key, workload secrets. Only k of the manifest's n share owners together can open\n"   \
    "it, with `contrast recover`. Every `contrast set` leaves one in verify/checkpoint, too. "     \
    "What\n"                                                                                       \
    "is set after a checkpoint is not in it.\n\n"                                                  \
    "  -c, --coordinator HOST:PORT[,...]  the first that has a quorum is asked\n"                  \
    "  -m, --manifest FILE                default manifest.json in the workspace\n"                \
    "      --out FILE                     where to write it, mode 0600, all or nothing\n"          \
    "      --show FILE                    what a checkpoint file says of itself\n\n"               \
    "Exit codes: 0 written; 1 nobody answers, or no quorum; 2 no share owners, wrong file;\n"      \
    "3 the Coordinator is refused.\n\n"                                                            \
    "Examples:\n"                                                                                  \
    "  contrast backup -c coordinator.example:1313 --out shop-2026-11-22.checkpoint\n"             \
    "  contrast backup --show verify/checkpoint --output json\n"

#endif
