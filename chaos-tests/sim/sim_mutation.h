/* Sim, mutations: rules of the product that contrast-sim-mutable can take out, to see whether the
 * simulation notices. The other programs are linked with sim_intact.c and can take out none.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SIM_MUTATION_H
#define CONTRAST_SIM_MUTATION_H

#include <stdbool.h>
#include <stddef.h>

/* Takes one out, for the rest of the process; NULL: all back in. False: no such rule here. */
bool sim_mutation_set(const char *name);
/* The names, one after the other; NULL behind the last. */
const char *sim_mutation_name(size_t i);

#endif
