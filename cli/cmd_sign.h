/* contrast sign: an owner's signature over the next transition, made where the key is.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CMD_SIGN_H
#define CONTRAST_CMD_SIGN_H

#include "cli/cli.h"

RESULT cmd_sign(struct cli *cli, int argc, char **argv, struct err *err);

#define CMD_SIGN_HELP                                                                              \
    "Usage: contrast sign --prepare FILE -c HOST:PORT[,...] [-m FILE]\n"                           \
    "       contrast sign --out FILE [--workload-owner-key FILE] PREPARED\n\n"                     \
    "For owner keys that must not lie beside the workspace. --prepare verifies the Coordinator\n"  \
    "and writes the exact bytes that an owner signs to set this manifest next. Sign them with\n"   \
    "--out, or with an HSM or openssl, then run `contrast set --signature FILE --signer PEM`.\n"   \
    "When somebody else sets a manifest meanwhile, prepare again.\n\n"                             \
    "  --prepare FILE                     write what is to be signed\n"                            \
    "  --out FILE                         write the raw signature over PREPARED\n"                 \
    "  -c, --coordinator HOST:PORT[,...]  the first that answers is asked\n"                       \
    "  -m, --manifest FILE                default manifest.json in the workspace\n"                \
    "  --workload-owner-key FILE          PEM, default workload-owner.pem in the workspace\n\n"    \
    "Examples:\n"                                                                                  \
    "  contrast sign --prepare next.bin -c coordinator.example:1313\n"                             \
    "  openssl dgst -sha384 -sign owner.pem -out next.sig next.bin       # a P-384 key\n"          \
    "  openssl pkeyutl -sign -rawin -inkey owner.pem -in next.bin -out next.sig   # Ed25519\n"     \
    "  contrast set -c coordinator.example:1313 --signature next.sig --signer owner-pub.pem "      \
    "deployment/\n"

#endif
