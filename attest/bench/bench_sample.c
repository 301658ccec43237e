/* Bench sample: see bench_sample.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/bench/bench_sample.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/file.h"

#define FILE_MAX (64 * 1024)
#define AT INT64_C(1784000000) /* 2026-07-14: all certificates and the list are valid */
#define PERMISSIONS                                                                                \
    (SNP_POLICY_SMT | SNP_POLICY_MIGRATE_MA | SNP_POLICY_DEBUG | SNP_POLICY_CXL_ALLOW)

static const struct {
    const char *name;
    const char *report;
    const char *vek;
    const char *crl;
} FILES[BENCH_SAMPLES] = {
    {"milan", "milan/tav_report.bin", "milan/tav_vcek.der", "crl/milan_vcek.crl"},
    {"genoa", "genoa/az_evidence_genoa_report.bin", "genoa/az_evidence_genoa_vcek.der", NULL},
    {"turin", "turin/tav_report.bin", "turin/tav_vcek.der", NULL},
};

static bool load(const char *folder, const char *name, struct buf *out) {
    char path[512];
    struct err err;
    snprintf(path, sizeof path, "%s/snp/%s", folder, name);
    return is_ok(file_read(path, FILE_MAX, out, &err));
}

/* Sets that differ in the measurement; the last is this report's. */
static void fill_sets(struct bench_sample *s) {
    struct snp_report report;
    CHECK(is_ok(snp_report_parse(buf_span(&s->report), &report, NULL, NULL)));
    memcpy(s->id_key[0], report.id_key_digest, sizeof s->id_key[0]);
    memcpy(s->author_key[0], report.author_key_digest, sizeof s->author_key[0]);
    for (size_t i = 0; i < BENCH_SETS; i++) {
        struct snp_reference *set = &s->sets[i];
        *set = s->machine.vcek_key != NULL ? s->machine.reference : (struct snp_reference){0};
        set->product = snp_product_of_report(&report);
        set->policy_allowed = PERMISSIONS;
        set->vmpl = report.vmpl;
        set->id_key_digests = s->id_key;
        set->id_key_digest_count = span_is_zero(SPAN(s->id_key[0])) ? 0 : 1;
        set->author_key_digests = s->author_key;
        set->author_key_digest_count = span_is_zero(SPAN(s->author_key[0])) ? 0 : 1;
        memcpy(set->measurement, report.measurement, sizeof set->measurement);
        set->measurement[0] ^= i + 1 < BENCH_SETS;
    }
}

static void use(struct bench_sample *s, const char *name, int64_t at) {
    snprintf(s->name, sizeof s->name, "%s", name);
    s->evidence = (struct snp_evidence){.report = buf_span(&s->report), .vek = buf_span(&s->vek)};
    s->options = (struct snp_options){.at = at};
    fill_sets(s);
}

static void use_own_machine(struct bench_sample *s) {
    struct issuer_evidence issued = {0};
    const uint8_t zero[64] = {0};
    snp_fixture_init(&s->machine, SNP_MILAN);
    snp_fixture_issue(&s->machine, zero, zero, &issued);
    buf_append_span(&s->report, buf_span(&issued.report));
    buf_append_span(&s->vek, buf_span(&issued.vek));
    issuer_evidence_deinit(&issued);
    use(s, "simulated", SNP_FIXTURE_NOW);
    s->evidence.chain[0] = buf_span(&s->machine.ask);
    s->evidence.chain[1] = buf_span(&s->machine.ark);
    s->evidence.chain_count = 2;
    s->options.extra_roots = (const uint8_t(*)[32])s->machine.root_digest;
    s->options.extra_root_count = 1;
    const struct snp_fixture_list list = {.this_update = SNP_FIXTURE_NOW - 1,
                                          .next_update = SNP_FIXTURE_NOW + 1};
    snp_fixture_make_list(&s->machine, &list, &s->crl);
}

size_t bench_sample_load(const char *folder, struct bench_sample out[BENCH_SAMPLES]) {
    size_t count = 0;
    for (size_t i = 0; i < BENCH_SAMPLES; i++) {
        struct bench_sample *s = &out[count];
        *s = (struct bench_sample){0};
        if (load(folder, FILES[i].report, &s->report) && load(folder, FILES[i].vek, &s->vek)) {
            use(s, FILES[i].name, AT);
            if (FILES[i].crl != NULL && !load(folder, FILES[i].crl, &s->crl)) {
                buf_deinit(&s->crl);
            }
            count++;
        } else {
            bench_sample_deinit(s);
        }
    }
    if (count == 0) {
        use_own_machine(&out[count++]);
    }
    return count;
}

void bench_sample_deinit(struct bench_sample *s) {
    buf_deinit(&s->report);
    buf_deinit(&s->vek);
    buf_deinit(&s->crl);
    snp_fixture_deinit(&s->machine);
}
