/* contrast diff: two manifests by meaning.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CMD_DIFF_H
#define CONTRAST_CMD_DIFF_H

#include "cli/cli.h"

/* A cli_command's function. DIFFERS (exit 3) after it printed what differs; manifests that mean the
 * same are no difference, even if their bytes are others. */
RESULT cmd_diff(struct cli *cli, int argc, char **argv, struct err *err);

#define CMD_DIFF_HELP                                                                              \
    "Usage: contrast diff BEFORE AFTER\n\n"                                                        \
    "Says what differs between two manifests: pods, names of certificates, roles, reference\n"     \
    "values, keys. Order, white space and written-out defaults do not count. - reads standard\n"   \
    "input. Exit 0: they mean the same, 3: they differ.\n\n"                                       \
    "Examples:\n  contrast diff verify/manifest.3.json manifest.json\n"                            \
    "  git show HEAD:manifest.json | contrast diff - manifest.json\n"

#endif
