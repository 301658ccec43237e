/* contrast runtime: the RuntimeClass and the node installer as Kubernetes resources.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CMD_RUNTIME_H
#define CONTRAST_CMD_RUNTIME_H

#include "cli/cli.h"

/* A cli_command's function; argv[0] is the command's name. */
RESULT cmd_runtime(struct cli *cli, int argc, char **argv, struct err *err);

#define CMD_RUNTIME_IMAGE "ghcr.io/contrast-ha/node-installer:" CONTRAST_VERSION
#define CMD_RUNTIME_HELP                                                                           \
    "Usage: contrast runtime --config FILE [OPTION]...\n\n"                                        \
    "Prints what puts the confidential runtime on the nodes: a RuntimeClass, a ConfigMap with\n"   \
    "FILE, and a DaemonSet that runs contrast-node-installer on every node. The RuntimeClass's\n"  \
    "name is the handler; give it to `contrast generate --runtime-class`.\n\n"                     \
    "  --config FILE         contrast-node-install.json; each file needs its integrity\n"          \
    "  --platform P          default: that of FILE\n"                                              \
    "  --namespace NS        of the DaemonSet (default kube-system)\n"                             \
    "  --image IMAGE         default " CMD_RUNTIME_IMAGE "\n"                                      \
    "  --target-config NAME  ConfigMap of that namespace with containerd-config-path and so on\n"  \
    "                        (docs/installer.md)\n"                                                \
    "  --node-selector KEY=VALUE  label of the nodes that get it, repeatable; its pods run "       \
    "there\n"                                                                                      \
    "                        alone (default: all Linux nodes with x86-64)\n"                       \
    "  --uninstall           print the DaemonSet that takes the runtime off the nodes again\n\n"   \
    "Examples:\n"                                                                                  \
    "  contrast runtime --config contrast-node-install.json | kubectl apply -f -\n"                \
    "  contrast runtime --config contrast-node-install.json --uninstall | kubectl apply -f -\n"

#endif
