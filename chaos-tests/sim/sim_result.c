/* Sim, results of many runs: added up and shown.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "chaos-tests/sim/sim.h"

void sim_result_add(struct sim_result *sum, const struct sim_result *r) {
    sum->steps += r->steps;
    sum->sets += r->sets;
    sum->issues += r->issues;
    sum->confirms += r->confirms;
    sum->endorsements += r->endorsements;
    sum->retries += r->retries;
    sum->joins += r->joins;
    sum->elections += r->elections;
    sum->old_messages += r->old_messages;
    for (unsigned i = 0; i < SIM_KINDS; i++) {
        sum->faults[i] += r->faults[i];
    }
}

void sim_result_print(const struct sim_result *sum, FILE *out) {
    fprintf(out,
            "%" PRIu64 " steps, %" PRIu64 " sets, %" PRIu64 " certificates, %" PRIu64
            " confirmations, %" PRIu64 " endorsements, %" PRIu64 " retries, %" PRIu64
            " joins, %" PRIu64 " elections, %" PRIu64 " old messages\nfaults:",
            sum->steps, sum->sets, sum->issues, sum->confirms, sum->endorsements, sum->retries,
            sum->joins, sum->elections, sum->old_messages);
    for (unsigned i = 0; i < SIM_KINDS; i++) {
        fprintf(out, " %s %" PRIu64 "%s", sim_plan_kind_name((enum sim_fault_kind)i),
                sum->faults[i], i + 1 < SIM_KINDS ? "," : "\n");
    }
}
