/* contrast policy: the runtime policies in YAML files.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CMD_POLICY_H
#define CONTRAST_CMD_POLICY_H

#include "cli/cli.h"

/* cli_command functions; argv[0] is the command's last word. */
RESULT cmd_policy_rules(struct cli *cli, int argc, char **argv, struct err *err);
RESULT cmd_policy_hash(struct cli *cli, int argc, char **argv, struct err *err);
RESULT cmd_policy_show(struct cli *cli, int argc, char **argv, struct err *err);

#define CMD_POLICY_RULES_HELP                                                                      \
    "Usage: contrast policy rules\n\n"                                                             \
    "Prints the Rego rules that every generated policy starts with.\n\n"                           \
    "Example:\n  contrast policy rules > rules.rego\n"
#define CMD_POLICY_HASH_HELP                                                                       \
    "Usage: contrast policy hash FILE\n\n"                                                         \
    "Prints the SHA-256 of each policy in FILE: the annotations of a YAML file (*.yml, *.yaml),\n" \
    "or FILE itself when it is a policy document.\n\n"                                             \
    "Examples:\n  contrast policy hash web.yaml\n  contrast policy hash web.rego\n"
#define CMD_POLICY_SHOW_HELP                                                                       \
    "Usage: contrast policy show FILE\n\n"                                                         \
    "Prints the policy documents in the annotations of a YAML file.\n\n"                           \
    "Example:\n  contrast policy show web.yaml\n"

#endif
