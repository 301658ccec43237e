/* contrast members retire: the owner removes a replica from its cluster.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CMD_RETIRE_H
#define CONTRAST_CMD_RETIRE_H

#include "cli/cli.h"

RESULT cmd_retire(struct cli *cli, int argc, char **argv, struct err *err);

#define CMD_RETIRE_HELP                                                                            \
    "Usage: contrast members retire -c HOST:PORT[,...] [-m FILE] NAME|ID\n\n"                      \
    "Removes a replica from the cluster, signed by a workload owner. A manifest that a member\n"   \
    "would not satisfy is refused until that member is retired. Its pod may run on: it ends, "     \
    "and\n"                                                                                        \
    "joins again only if the manifest still admits it. Running it twice is safe.\n\n"              \
    "  -c, --coordinator HOST:PORT[,...]  any replicas; the first with a quorum is asked\n"        \
    "  -m, --manifest FILE                default manifest.json in the workspace\n"                \
    "      --workload-owner-key FILE      default workload-owner.pem in the workspace\n"           \
    "      --force                        also when the others would be no quorum\n\n"             \
    "NAME is that of `contrast members`; when two replicas have one name, give the ID.\n\n"        \
    "Exit codes: 0 it is leaving; 1 no quorum, or not now; 2 no such member; 3 the key is not\n"   \
    "an owner's.\n\n"                                                                              \
    "Examples:\n"                                                                                  \
    "  contrast members retire -c coordinator.example:1313 coordinator-2\n"                        \
    "  contrast members retire -c 10.0.0.7:1313 8346569864349418668 --force\n"

#endif
