/* contrast set: the owner sets a manifest, and with the first one founds the cluster.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CMD_SET_H
#define CONTRAST_CMD_SET_H

#include "cli/cli.h"

/* A cli_command's function; argv[0] is the command's name. */
RESULT cmd_set(struct cli *cli, int argc, char **argv, struct err *err);

#define CMD_SET_HELP                                                                               \
    "Usage: contrast set -c HOST:PORT[,...] [OPTION]... PATH...\n\n"                               \
    "Sets the manifest through any Coordinator replica. PATH are the YAML files or folders of "    \
    "the\n"                                                                                        \
    "deployment, as `contrast generate` left them. The first set founds the cluster.\n\n"          \
    "  -c, --coordinator HOST:PORT[,...]  user API of replicas, tried in order\n"                  \
    "  -m, --manifest FILE                default manifest.json in the workspace\n"                \
    "  --workload-owner-key FILE          PEM, default workload-owner.pem in the workspace\n"      \
    "  --signature FILE --signer PEM      a signature made elsewhere (see `contrast sign`), and "  \
    "its\n"                                                                                        \
    "                                     public key, instead of the owner's private key\n"        \
    "  --latest-transition HEX            the transition that this set follows (default: what\n"   \
    "                                     `contrast verify` wrote); another one is refused\n"      \
    "  --replicas 1|3|5                   founders of a new cluster (default 3)\n"                 \
    "  --new-deployment                   found a cluster although this workspace knows one\n"     \
    "  --dry-run                          check everything and change nothing\n\n"                 \
    "Examples:\n"                                                                                  \
    "  contrast set -c coordinator.example:1313 deployment/\n"                                     \
    "  contrast set -c 10.0.0.1:1313,10.0.0.2:1313 --dry-run deployment/\n"

#endif
