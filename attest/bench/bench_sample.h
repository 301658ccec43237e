/* Bench sample: one piece of evidence, and the ways to judge it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_BENCH_SAMPLE_H
#define CONTRAST_BENCH_SAMPLE_H

#include "attest/snp_verify.h"
#include "attest/test/snp_fixture.h"

#define BENCH_SAMPLES 3
#define BENCH_SETS 4 /* reference value sets; the last one matches */

struct bench_sample {
    char name[32];
    struct buf report;
    struct buf vek;
    struct buf crl;             /* empty: none at hand */
    struct snp_fixture machine; /* zeroed for genuine evidence */
    struct snp_evidence evidence;
    struct snp_options options; /* no cache, no reference values: accepted */
    struct snp_reference sets[BENCH_SETS];
    uint8_t id_key[1][48]; /* what the sets point to, as the next */
    uint8_t author_key[1][48];
};

/* Genuine Milan, Genoa and Turin from `folder` (the shared test data), else one machine of our own.
 * Returns how many. */
size_t bench_sample_load(const char *folder, struct bench_sample out[BENCH_SAMPLES]);
void bench_sample_deinit(struct bench_sample *s);

#endif
