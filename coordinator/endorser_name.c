/* Endorser, how keys are named to people: see endorser.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "coordinator/endorser.h"

void endorser_name(const struct entry_endorsement *key, char *out, size_t size) {
    const char *product = snp_product_name((enum snp_product)key->product);
    if (entry_endorsement_is_list(key)) {
        snprintf(out, size, "%s revocation list%s", product, key->signing == 0 ? "" : " (VLEK)");
        return;
    }
    char chip[17];
    char tcb[17];
    hex_encode(span_of(key->chip_id, 8), chip);
    hex_encode(SPAN(key->tcb), tcb);
    snprintf(out, size, "%s chip %s… TCB %s", product, chip, tcb);
}
