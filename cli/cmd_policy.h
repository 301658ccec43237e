/* contrast policy: the runtime policies in YAML files, and alone.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CMD_POLICY_H
#define CONTRAST_CMD_POLICY_H

#include "cli/cli.h"

/* cli_command functions; argv[0] is the command's last word. diff and check end with DIFFERS (exit
 * 3) after they printed what differs. */
RESULT cmd_policy_rules(struct cli *cli, int argc, char **argv, struct err *err);
RESULT cmd_policy_hash(struct cli *cli, int argc, char **argv, struct err *err);
RESULT cmd_policy_show(struct cli *cli, int argc, char **argv, struct err *err);
RESULT cmd_policy_diff(struct cli *cli, int argc, char **argv, struct err *err);
RESULT cmd_policy_check(struct cli *cli, int argc, char **argv, struct err *err);

/* Prints a list of changes, each with a "text", and takes its reference; DIFFERS unless empty. */
RESULT cmd_policy_print_changes(struct cli *cli, json_t *changes, struct err *err);

#define CMD_POLICY_RULES_HELP                                                                      \
    "Usage: contrast policy rules\n\n"                                                             \
    "Prints the Rego rules that every generated policy starts with.\n\n"                           \
    "Example:\n  contrast policy rules > rules.rego\n"
#define CMD_POLICY_FILE_HELP                                                                       \
    "FILE is YAML with annotated pods, Rego, initdata in TOML, or the value of an annotation\n"    \
    "(base64, also of gzip), of any tool; - reads standard input.\n\n"
#define CMD_POLICY_HASH_HELP                                                                       \
    "Usage: contrast policy hash FILE...\n\n"                                                      \
    "Prints the HOST_DATA that each policy in FILE gives: the key of its manifest "                \
    "entry.\n" CMD_POLICY_FILE_HELP                                                                \
    "Examples:\n  contrast policy hash web.yaml\n  contrast policy hash web.rego\n"
#define CMD_POLICY_SHOW_HELP                                                                       \
    "Usage: contrast policy show FILE...\n\n"                                                      \
    "Prints the policy documents in FILE, decoded.\n" CMD_POLICY_FILE_HELP                         \
    "Examples:\n  contrast policy show web.yaml\n"                                                 \
    "  kubectl get pod web -o yaml | contrast policy show -\n"
#define CMD_POLICY_DIFF_HELP                                                                       \
    "Usage: contrast policy diff BEFORE AFTER\n\n"                                                 \
    "Says what two sets of policies allow differently. Exit 0: the same, 3: they "                 \
    "differ.\n" CMD_POLICY_FILE_HELP                                                               \
    "Example:\n  git show HEAD:web.yaml | contrast policy diff - web.yaml\n"
#define CMD_POLICY_CHECK_HELP                                                                      \
    "Usage: contrast policy check --policy FILE --requests FILE [--pod NAME] [--partial]\n\n"      \
    "Asks a policy about requests, by the agent's own engine, and says why one is denied.\n\n"     \
    "  --policy FILE     YAML with annotated pods, Rego, TOML, or an annotation's value\n"         \
    "  --requests FILE   JSON: a list of {\"kind\": \"CreateContainerRequest\", \"request\": "     \
    "{...}},\n"                                                                                    \
    "                    with \"allowed\" (what you expect; default true) and \"description\".\n"  \
    "                    They are asked in their order, as one agent would be. Or the log of\n"    \
    "                    requests that an agent at level debug keeps: /tmp/policy.jsonl\n"         \
    "  --pod NAME        which of the policies in FILE, by name or Kind/name\n"                    \
    "  --partial         take requests that leave out what containerd always sends\n\n"            \
    "Exit 0: all as expected, 3: not; 1: no contrast-policy-judge, the program with the "          \
    "engine.\n\n"                                                                                  \
    "Example:\n  contrast policy check --policy web.yaml --requests denied.json\n"

#endif
