/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_crl.h"
#include "attest/snp_print.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct snp_cert *cert) {
    struct snp_vek vek;
    for (int kind = SNP_KEY_VCEK; kind <= SNP_KEY_VLEK; kind++) {
        for (int product = SNP_MILAN; product <= SNP_TURIN; product++) {
            err_ignore(snp_vek_parse(cert, (enum snp_signing_key)kind, (enum snp_product)product,
                                     &vek, NULL, NULL),
                       "any answer will do");
        }
    }
    err_ignore(snp_cert_check_ca(cert, NULL, NULL), "any answer will do");
    err_ignore(snp_cert_check_dates(cert, 1767225600, NULL, NULL), "any answer will do");
    err_ignore(snp_cert_signed_by(cert, cert, NULL, NULL), "any answer will do");
    json_t *object = snp_cert_to_json(cert);
    CHECK(object != NULL);
    json_decref(object);
}

/* Any bytes as a certificate and as a revocation list. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct snp_cert cert = {0};
    json_t *crl = NULL;
    if (is_ok(snp_cert_parse(span_of(data, size), "certificate", &cert, NULL, NULL))) {
        use(&cert);
        struct snp_crl_facts facts;
        err_ignore(snp_crl_check(span_of(data, size), &cert, &facts, NULL),
                   "a certificate is no list");
        snp_cert_deinit(&cert);
    }
    if (is_ok(snp_crl_to_json(span_of(data, size), &crl, NULL))) {
        json_decref(crl);
    }
    return 0;
}
