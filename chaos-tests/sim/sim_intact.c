/* Sim, mutations: none, for the program with the product's own libraries. See sim_mutation.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/sim/sim_mutation.h"

bool sim_mutation_set(const char *name) {
    return name == NULL;
}

const char *sim_mutation_name(size_t i) {
    (void)i;
    return NULL;
}
