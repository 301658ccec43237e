/* contrast: the table of commands. Another one is a cmd_*.c file in CMakeLists.txt and a row here.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/cmd_evidence.h"

static const struct cli_command COMMANDS[] = {
    {"evidence verify", cmd_evidence_verify, "verdict on one SEV-SNP report",
     CMD_EVIDENCE_VERIFY_HELP},
    {"evidence show", cmd_evidence_show, "every field of a report, certificate or CRL",
     CMD_EVIDENCE_SHOW_HELP},
};

int main(int argc, char **argv) {
    return cli_run(COMMANDS, sizeof COMMANDS / sizeof COMMANDS[0], argc, argv);
}
