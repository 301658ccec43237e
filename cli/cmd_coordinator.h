/* contrast coordinator: the Coordinator's Kubernetes resources.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CMD_COORDINATOR_H
#define CONTRAST_CMD_COORDINATOR_H

#include "cli/cli.h"

/* A cli_command's function; argv[0] is the command's name. */
RESULT cmd_coordinator(struct cli *cli, int argc, char **argv, struct err *err);

#define CMD_COORDINATOR_IMAGE "ghcr.io/contrast-ha/coordinator:" CONTRAST_VERSION
#define CMD_COORDINATOR_HELP                                                                       \
    "Usage: contrast coordinator [OPTION]...\n\n"                                                  \
    "Prints the Coordinator as YAML: StatefulSet, Services, PodDisruptionBudget, NetworkPolicy.\n" \
    "Give it to `contrast generate` together with your application, then to kubectl apply.\n\n"    \
    "  --replicas N          1, 3 or 5 (default 3): how many may fail is (N-1)/2\n"                \
    "  --namespace NS        default: none is written, and \"default\" is meant\n"                 \
    "  --image IMAGE         default " CMD_COORDINATOR_IMAGE "\n"                                  \
    "  --runtime-class NAME  default contrast-cc\n\n"                                              \
    "Examples:\n"                                                                                  \
    "  contrast coordinator > deployment/coordinator.yaml\n"                                       \
    "  contrast coordinator --replicas 5 --namespace shop | contrast generate - > out.yaml\n"

#endif
