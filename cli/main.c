/* contrast: the table of commands. Another one is a cmd_*.c file in CMakeLists.txt and a row here.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/cmd_backup.h"
#include "cli/cmd_coordinator.h"
#include "cli/cmd_diff.h"
#include "cli/cmd_evidence.h"
#include "cli/cmd_generate.h"
#include "cli/cmd_history.h"
#include "cli/cmd_layer.h"
#include "cli/cmd_measure.h"
#include "cli/cmd_policy.h"
#include "cli/cmd_recover.h"
#include "cli/cmd_retire.h"
#include "cli/cmd_runtime.h"
#include "cli/cmd_set.h"
#include "cli/cmd_sign.h"
#include "cli/cmd_status.h"
#include "cli/cmd_verify.h"

static const struct cli_command COMMANDS[] = {
    {"generate", cmd_generate, "policies, initializer and manifest for Kubernetes resources",
     CMD_GENERATE_HELP},
    {"set", cmd_set, "set a manifest; the first one founds the cluster", CMD_SET_HELP},
    {"sign", cmd_sign, "an owner's signature apart from set, for keys in an HSM", CMD_SIGN_HELP},
    {"verify", cmd_verify, "verify a Coordinator and write what it has to verify/",
     CMD_VERIFY_HELP},
    {"status", cmd_status, "state and members of a cluster", CMD_STATUS_HELP},
    {"backup", cmd_backup, "a sealed checkpoint, for the day when all replicas are lost",
     CMD_BACKUP_HELP},
    {"recover", cmd_recover, "bring back a deployment that lost its quorum", CMD_RECOVER_HELP},
    {"members retire", cmd_retire, "remove a replica from its cluster", CMD_RETIRE_HELP},
    {"members", cmd_members, "the members of a cluster", CMD_MEMBERS_HELP},
    {"history", cmd_history, "the manifests of a cluster and who signed them", CMD_HISTORY_HELP},
    {"diff", cmd_diff, "what differs between two manifests", CMD_DIFF_HELP},
    {"policy rules", cmd_policy_rules, "the rules of every runtime policy", CMD_POLICY_RULES_HELP},
    {"policy hash", cmd_policy_hash, "the hashes of the policies in a file", CMD_POLICY_HASH_HELP},
    {"policy show", cmd_policy_show, "the policies in a file", CMD_POLICY_SHOW_HELP},
    {"policy diff", cmd_policy_diff, "what two policies allow differently", CMD_POLICY_DIFF_HELP},
    {"policy check", cmd_policy_check, "why a request is denied", CMD_POLICY_CHECK_HELP},
    {"layer hash", cmd_layer_hash, "dm-verity root hash of a container image layer",
     CMD_LAYER_HASH_HELP},
    {"measure igvm", cmd_measure_igvm, "launch digest of an IGVM file", CMD_MEASURE_IGVM_HELP},
    {"measure ovmf", cmd_measure_ovmf, "launch digest of a firmware image and a kernel",
     CMD_MEASURE_OVMF_HELP},
    {"measure id-block", cmd_measure_id, "show, verify or make an SEV-SNP ID block",
     CMD_MEASURE_ID_HELP},
    {"runtime", cmd_runtime, "YAML of the RuntimeClass and the node installer", CMD_RUNTIME_HELP},
    {"coordinator", cmd_coordinator, "YAML of the Coordinator", CMD_COORDINATOR_HELP},
    {"evidence verify", cmd_evidence_verify, "verdict on one SEV-SNP report",
     CMD_EVIDENCE_VERIFY_HELP},
    {"evidence show", cmd_evidence_show, "every field of a report, certificate or CRL",
     CMD_EVIDENCE_SHOW_HELP},
};

int main(int argc, char **argv) {
    return cli_run(COMMANDS, sizeof COMMANDS / sizeof COMMANDS[0], argc, argv);
}
