/* Fuzz: any bytes as a revocation list of AMD's Milan root, up to its signature, and printed. The
 * signature itself is one call to OpenSSL over bytes that were read already; it is left out, as one
 * RSA operation costs more than a thousand of these runs.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_crl.h"
#include "attest/snp_print.h"
#include "attest/snp_roots.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Read once: the targets are single-threaded and live as long as the process. */
static const struct snp_cert *milan_root(void) {
    static struct snp_cert root;
    if (root.x509 == NULL) {
        struct span der = snp_roots_der(SNP_MILAN, SNP_CERT_ARK);
        CHECK(is_ok(snp_cert_parse(der, "ARK", &root, NULL, NULL)));
    }
    return &root;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct snp_crl_facts facts = {0};
    json_t *object = NULL;
    bool is_form = is_ok(snp_crl__examine(span_of(data, size), milan_root(), &facts, NULL));
    CHECK(!is_form || (facts.this_update != 0 && facts.this_update <= facts.next_update));
    bool is_list = is_ok(snp_crl_to_json(span_of(data, size), &object, NULL));
    CHECK(is_list || !is_form);
    if (is_list) {
        json_decref(object);
    }
    return 0;
}
