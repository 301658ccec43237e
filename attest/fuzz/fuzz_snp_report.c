/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "attest/snp_print.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any bytes: a denial with a code, or a report that encodes to the same bytes and prints. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct snp_report report;
    struct verdict verdict;
    struct err err;
    uint8_t again[SNP_REPORT_SIZE];
    verdict_init(&verdict);
    if (size == SNP_REPORT_SIZE) { /* whatever it holds can be shown */
        snp_report_load(data, &report);
        json_t *shown = snp_report_to_json(&report);
        CHECK(shown != NULL);
        json_decref(shown);
    }
    if (!is_ok(snp_report_parse(span_of(data, size), &report, &verdict, &err))) {
        CHECK(verdict.kind == VERDICT_DENIED && verdict.code[0] != '\0');
        return 0;
    }
    snp_report_encode(&report, again);
    CHECK(size == sizeof again && memcmp(data, again, size) == 0);
    json_t *object = snp_report_to_json(&report);
    CHECK(object != NULL);
    json_decref(object);
    return 0;
}
