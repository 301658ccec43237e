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
    "Usage: contrast generate [OPTION]... PATH...\n"                                               \
    "\n"                                                                                           \
    "Prepares the Pods, Deployments, StatefulSets, DaemonSets, ReplicaSets, "                      \
    "ReplicationControllers\n"                                                                     \
    "and (Cron)Jobs in the YAML files PATH (folders: all *.yml and *.yaml below; -: standard "     \
    "input,\n"                                                                                     \
    "the result goes to standard output): adds the initializer and the runtime class, pins "       \
    "images to\n"                                                                                  \
    "their digests, computes each pod's policy and writes manifest.json. Edits in place, "         \
    "comments stay.\n"                                                                             \
    "\n"                                                                                           \
    "Manifest:\n"                                                                                  \
    "  --reference-values FILE      JSON list of SEV-SNP reference values, repeatable (default:\n" \
    "                               those of the existing manifest); or an IGVM file, whose\n"     \
    "                               digest completes each set without TrustedMeasurement\n"        \
    "  -m, --manifest FILE          default manifest.json in the workspace\n"                      \
    "  -w, --add-owner-key FILE     PEM of a workload owner's key, repeatable (default:\n"         \
    "                               workload-owner.pem, made when absent)\n"                       \
    "  --add-seedshare-owner-key FILE  PEM of a share owner's RSA key, repeatable (default:\n"     \
    "                               seedshare-owner.pem, made when absent)\n"                      \
    "  --seedshare-threshold K      so many share owners together may recover the deployment\n"    \
    "                               (default: what the manifest says, else more than half)\n"      \
    "YAML:\n"                                                                                      \
    "  -o, --output-file FILE       write all YAML there and leave PATH as it is; -: standard "    \
    "output\n"                                                                                     \
    "  --runtime-class NAME         in place of \"contrast-cc\" (contrast runtime prints it)\n"    \
    "  --allow-unknown PATH         field of a pod to leave out of the policy although this\n"     \
    "                               version does not know it: spec.containers[].envFrom\n"         \
    "  --skip-initializer           add no initializer (docs/annotations.md: per pod)\n"           \
    "  --initializer-image IMAGE    default " CMD_GENERATE_INITIALIZER "\n"                        \
    "  --service-mesh-image IMAGE   default " CMD_GENERATE_SERVICE_MESH "\n"                       \
    "  --coordinator-host HOST      default coordinator-ready\n"                                   \
    "  --force                      replace policies that another program made\n"                  \
    "Images (docs/registry.md):\n"                                                                 \
    "  --registry-mirror HOST=URL   ask URL for the images of HOST, repeatable\n"                  \
    "  --insecure-registry HOST     speak plain http with this registry, repeatable\n"             \
    "  --registry-ca FILE           PEM of the authorities to trust, in place of the system's\n"   \
    "  --cache FOLDER               default ~/.cache/contrast/images\n"                            \
    "  --no-cache                   neither read nor write the cache\n"                            \
    "  --offline                    use the cache alone\n"                                         \
    "  --skip-images                read no image: policies bind images by their names alone\n"    \
    "  --pause-image IMAGE          of the nodes' sandboxes (containerd: sandbox_image); needed "  \
    "where\n"                                                                                      \
    "                               layers come by tardev, else no pod starts there\n"             \
    "  --layer-dialect DIALECT      of the nodes' tardev: upstream (default) or msft\n"            \
    "  --progress auto|json|none    default auto: a line on a terminal, else JSON lines on "       \
    "stderr\n"                                                                                     \
    "\n"                                                                                           \
    "Examples:\n"                                                                                  \
    "  contrast generate --reference-values milan.json deployment/\n"                              \
    "  contrast generate --reference-values pod-vm.igvm --reference-values milan.json web.yaml\n"  \
    "  contrast generate --output-file out.yaml web.yaml coordinator.yaml\n"                       \
    "  helm template shop ./chart | contrast generate - > confidential.yaml\n"                     \
    "  contrast generate --registry-mirror docker.io=https://mirror.example/hub web.yaml\n"
#define CMD_GENERATE_INITIALIZER "ghcr.io/contrast-ha/initializer:" CONTRAST_VERSION
#define CMD_GENERATE_SERVICE_MESH "ghcr.io/contrast-ha/service-mesh-proxy:" CONTRAST_VERSION

#endif
