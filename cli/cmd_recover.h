/* contrast recover: share owners bring back a deployment that lost its quorum.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CMD_RECOVER_H
#define CONTRAST_CMD_RECOVER_H

#include "cli/cli.h"

RESULT cmd_recover(struct cli *cli, int argc, char **argv, struct err *err);

#define CMD_RECOVER_HELP                                                                           \
    "Usage: contrast recover -c HOST:PORT[,...] --from-survivor --share-key FILE [-m FILE]\n"      \
    "       contrast recover -c HOST:PORT --checkpoint FILE --share-key FILE [-m FILE]\n"          \
    "       contrast recover -c HOST:PORT --session ID --share-key FILE [-m FILE]\n\n"             \
    "Brings back a deployment that has no quorum any more. k of the manifest's n share owners\n"   \
    "run it, each on its own machine with its own key. The first opens a session at one replica\n" \
    "and says what the others run. Each machine judges that replica by the newest manifest that\n" \
    "its own workspace has seen, and refuses to go back behind it.\n\n"                            \
    "  -c, --coordinator HOST:PORT[,...]  replicas. With --from-survivor name all that still "     \
    "run\n"                                                                                        \
    "      --from-survivor                from the memory of the replica that has most\n"          \
    "      --checkpoint FILE              into a fresh replica, from a sealed file (backup, "      \
    "set)\n"                                                                                       \
    "      --session ID                   contribute to a session that another owner opened\n"     \
    "      --share-key FILE               PEM, the RSA key of a share owner\n"                     \
    "  -m, --manifest FILE                judge the replica by this manifest (default: the "       \
    "newest\n"                                                                                     \
    "                                     that `contrast verify` wrote, else manifest.json)\n\n"   \
    "Exit codes: 0 contributed, or recovered; 1 nobody answers, retry; 2 files or keys; 3 "        \
    "refused\n"                                                                                    \
    "(a quorum answers, another deployment, a wrong share); 4 an older state than was seen.\n"     \
    "Step by step: docs/recovery.md.\n\n"                                                          \
    "Examples:\n"                                                                                  \
    "  contrast recover -c 10.0.0.1:1313,10.0.0.2:1313 --from-survivor --share-key alice.pem\n"    \
    "  contrast recover -c 10.0.0.9:1313 --checkpoint verify/checkpoint --share-key alice.pem\n"   \
    "  contrast recover -c 10.0.0.9:1313 --session 5f0c... --share-key bob.pem\n"

#endif
