/* contrast generate: from Kubernetes resources to attested ones, and the manifest that names them.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CMD_GENERATE_H
#define CONTRAST_CMD_GENERATE_H

#include "cli/cli.h"

/* A cli_command's function; argv[0] is the command's name. All or nothing: after a failure every
 * file is as it was. */
RESULT cmd_generate(struct cli *cli, int argc, char **argv, struct err *err);

#define CMD_GENERATE_HELP                                                                          \
    "Usage: contrast generate [OPTION]... PATH...\n\n"                                             \
    "Prepares the Pods, Deployments, StatefulSets, DaemonSets, ReplicaSets and (Cron)Jobs in "     \
    "the\n"                                                                                        \
    "YAML files PATH (folders: all *.yml and *.yaml below): adds the initializer and the "         \
    "runtime\n"                                                                                    \
    "class, computes each pod's policy and writes manifest.json. Edits in place, comments "        \
    "stay.\n\n"                                                                                    \
    "  --reference-values FILE      JSON list of SEV-SNP reference values, repeatable (default:\n" \
    "                               those of the existing manifest); or an IGVM file, whose\n"     \
    "                               digest completes each set without TrustedMeasurement\n"        \
    "  -m, --manifest FILE          default manifest.json in the workspace\n"                      \
    "  --output-file FILE           write all YAML there and leave PATH as it is\n"                \
    "  --add-owner-key FILE         PEM of a workload owner's key, repeatable (default:\n"         \
    "                               workload-owner.pem, made when absent)\n"                       \
    "  --add-seedshare-owner-key FILE  PEM of a share owner's RSA key, repeatable (default:\n"     \
    "                               seedshare-owner.pem, made when absent)\n"                      \
    "  --seedshare-threshold K      so many share owners together may recover the deployment\n"    \
    "                               (default: what the manifest says, else more than half)\n"      \
    "  --initializer-image IMAGE    default " CMD_GENERATE_INITIALIZER "\n"                        \
    "  --allow-unknown PATH         field of a pod to leave out of the policy although this\n"     \
    "                               version does not know it: spec.containers[].envFrom\n\n"       \
    "Examples:\n"                                                                                  \
    "  contrast generate --reference-values milan.json deployment/\n"                              \
    "  contrast generate --reference-values pod-vm.igvm --reference-values milan.json web.yaml\n"  \
    "  contrast generate --output-file out.yaml web.yaml coordinator.yaml\n"
#define CMD_GENERATE_INITIALIZER "ghcr.io/contrast-ha/initializer:" CONTRAST_VERSION
#define CMD_GENERATE_SERVICE_MESH "ghcr.io/contrast-ha/service-mesh-proxy:" CONTRAST_VERSION

#endif
