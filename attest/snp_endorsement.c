/* Endorsement keys: see snp_endorsement.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_endorsement.h"

#include <string.h>

#include "attest/snp_product.h"

bool snp_endorsement_same(const struct snp_endorsement_key *a,
                          const struct snp_endorsement_key *b) {
    return a->product == b->product && memcmp(a->chip_id, b->chip_id, sizeof a->chip_id) == 0 &&
           memcmp(a->tcb, b->tcb, sizeof a->tcb) == 0;
}

/* ---- keys of a report ---- */

/* Bytes of a chip's id on this product (AMD 57230 section 3.1); the rest of CHIP_ID is zero. */
static size_t chip_id_size(enum snp_product product) {
    return product == SNP_TURIN ? 8 : 64;
}

/* False when no certificate of this product can fit the report. */
static bool name_key(const struct snp_report *report, enum snp_product product,
                     struct snp_endorsement_key *out) {
    struct snp_tcb tcb;
    size_t used = chip_id_size(product);
    if (!is_ok(snp_tcb_decode(product, report->reported_tcb, &tcb, NULL)) ||
        !span_is_zero(span_of(report->chip_id + used, sizeof report->chip_id - used))) {
        return false;
    }
    *out = (struct snp_endorsement_key){.product = product};
    memcpy(out->chip_id, report->chip_id, sizeof out->chip_id);
    memcpy(out->tcb, report->reported_tcb, sizeof out->tcb);
    return true;
}

size_t snp_endorsement_keys(const struct snp_report *report, struct snp_endorsement_key out[2]) {
    if (snp_report_signing_key(report) != SNP_KEY_VCEK || span_is_zero(SPAN(report->chip_id))) {
        return 0;
    }
    enum snp_product product = snp_product_of_report(report);
    if (product != SNP_PRODUCT_UNKNOWN) {
        return name_key(report, product, &out[0]) ? 1 : 0;
    }
    if (report->version >= 3) {
        return 0;
    }
    size_t count = name_key(report, SNP_MILAN, &out[0]) ? 1 : 0;
    return name_key(report, SNP_GENOA, &out[count]) ? count + 1 : count;
}

/* ---- is it the one? ---- */

static struct result deny(const char *code, const char *field, const char *expected,
                          const char *actual, struct err *err) {
    const struct verdict_rule rule = {
        "endorsement", code, field,
        "the certificate is not the one that was asked for; get it again, from AMD's key service"};
    return verdict_deny(NULL, err, &rule, expected, actual);
}

static struct result check_root(const struct snp_chain *chain, const uint8_t (*extra)[32],
                                size_t count, struct err *err) {
    const uint8_t *actual = chain->root.spki_digest;
    const uint8_t *amd = snp_product_root(chain->product);
    bool permitted = memcmp(amd, actual, 32) == 0;
    for (size_t i = 0; i < count && !permitted; i++) {
        permitted = memcmp(extra[i], actual, 32) == 0;
    }
    char want[65];
    char have[65];
    hex_encode(span_of(amd, 32), want);
    hex_encode(span_of(actual, 32), have);
    return permitted ? OK : deny("SNP-ROOT", "ARK.subjectPublicKeyInfo", want, have, err);
}

static struct result check_dates(const struct snp_chain *chain, int64_t at, struct err *err) {
    TRY(snp_cert_check_dates(&chain->root, at, NULL, err));
    TRY(snp_cert_check_dates(&chain->authority, at, NULL, err));
    return snp_cert_check_dates(&chain->vek, at, NULL, err);
}

static struct result check_chip(const struct snp_endorsement_key *key, const struct snp_vek *claims,
                                struct err *err) {
    size_t used = chip_id_size(key->product);
    if (claims->hwid_size == used && memcmp(claims->hwid, key->chip_id, used) == 0 &&
        span_is_zero(span_of(key->chip_id + used, sizeof key->chip_id - used))) {
        return OK;
    }
    char want[2 * sizeof key->chip_id + 1];
    char have[2 * sizeof claims->hwid + 1];
    hex_encode(span_of(key->chip_id, used), want);
    hex_encode(span_of(claims->hwid, claims->hwid_size), have);
    return deny("SNP-CHIP-ID", "VCEK.hwID", want, have, err);
}

static struct result check_tcb(const struct snp_endorsement_key *key, const struct snp_vek *claims,
                               struct err *err) {
    struct snp_tcb tcb;
    TRY(snp_tcb_decode(key->product, key->tcb, &tcb, err));
    if (snp_tcb_equal(&tcb, &claims->tcb, NULL)) {
        return OK;
    }
    char want[100];
    char have[100];
    snp_tcb_format(key->product, &tcb, want, sizeof want);
    snp_tcb_format(key->product, &claims->tcb, have, sizeof have);
    return deny("SNP-TCB-CERT", "VCEK.TCB", want, have, err);
}

struct result snp_endorsement_check(const struct snp_endorsement_key *key, struct span vek,
                                    const struct span *certificates, size_t certificate_count,
                                    const uint8_t (*extra_roots)[32], size_t extra_root_count,
                                    int64_t at, struct err *err) {
    CHECK(key->product != SNP_PRODUCT_UNKNOWN);
    ENSURE(certificate_count <= SNP_CHAIN_MAX, err, TOO_LARGE, "%zu certificates, at most %d",
           certificate_count, SNP_CHAIN_MAX);
    struct verdict verdict; /* its list of checks is nobody's here */
    struct snp_chain *chain = NULL;
    const struct snp_chain_input input = {.vek = vek,
                                          .certificates = certificates,
                                          .certificate_count = certificate_count,
                                          .kind = SNP_KEY_VCEK,
                                          .by_report = key->product};
    verdict_init(&verdict);
    TRY(snp_chain_establish(NULL, &input, &chain, &verdict, err));
    struct result r = check_root(chain, extra_roots, extra_root_count, err);
    r = is_ok(r) ? check_dates(chain, at, err) : r;
    r = is_ok(r) ? check_chip(key, &chain->claims, err) : r;
    r = is_ok(r) ? check_tcb(key, &chain->claims, err) : r;
    snp_chain_unref(chain);
    return r;
}
