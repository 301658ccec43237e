/* Sim, mutations: see sim_mutation.h. Linked with consensus_mutable and core_mutable.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/sim/sim_mutation.h"

#include <string.h>

#include "consensus/node_internal.h"
#include "coordinator/core/core_rule.h"

unsigned node_disabled_rules;
unsigned core_disabled_rules;

static const struct mutation {
    const char *name;
    unsigned node, core; /* bits */
} mutations[] = {
    {"R1", 1U << NODE_RULE_R1, 0},
    {"R2", 1U << NODE_RULE_R2, 0},
    {"R3", 1U << NODE_RULE_R3, 0},
    {"R4", 1U << NODE_RULE_R4, 0},
    {"R5", 1U << NODE_RULE_R5, 0},
    {"R6", 1U << NODE_RULE_R6, 0},
    {"R7", 1U << NODE_RULE_R7, 0},
    {"P3", 1U << NODE_RULE_P3, 0},
    {"fence", 0, 1U << CORE_RULE_FENCE},
    {"quorum-read", 1U << NODE_RULE_READ, 0},
    {"once", 0, 1U << CORE_RULE_ONCE},
    {"swap", 0, 1U << CORE_RULE_SWAP},
    {"mesh-key", 0, 1U << CORE_RULE_MESH_KEY},
    {"name", 0, 1U << CORE_RULE_NAME},
    {"applied", 0, 1U << CORE_RULE_APPLIED},
    {"time", 0, 1U << CORE_RULE_TIME},
    {"removed", 0, 1U << CORE_RULE_REMOVED},
};

#define COUNT (sizeof mutations / sizeof mutations[0])

bool sim_mutation_set(const char *name) {
    if (name == NULL) {
        node_disabled_rules = 0;
        core_disabled_rules = 0;
        return true;
    }
    for (size_t i = 0; i < COUNT; i++) {
        if (strcmp(mutations[i].name, name) == 0) {
            node_disabled_rules |= mutations[i].node;
            core_disabled_rules |= mutations[i].core;
            return true;
        }
    }
    return false;
}

const char *sim_mutation_name(size_t i) {
    return i < COUNT ? mutations[i].name : NULL;
}
