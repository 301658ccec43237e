/* Fuzz: any bytes as PEM with one certificate and as DER; what PEM gives must survive PEM again.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/crypto/cert.h"

static void read_parts(struct span der) {
    AUTO(buf_deinit)
    struct buf out = {0};
    int64_t from = 0;
    int64_t until = 0;
    struct key key = {0};
    err_ignore(cert_spki(der, &out, NULL), "any verdict will do");
    err_ignore(cert_extension_value(der, "2.5.29.17", &out, NULL), "any verdict will do");
    err_ignore(cert_validity(der, &from, &until, NULL), "any verdict will do");
    err_ignore(cert_public_key(der, &key, NULL), "any verdict will do");
    err_ignore(cert_verify_leaf(der, &der, 1, der, 1763772669, NULL), "any verdict will do");
    key_deinit(&key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    AUTO(buf_deinit)
    struct buf der = {0};
    AUTO(buf_deinit)
    struct buf pem = {0};
    AUTO(buf_deinit)
    struct buf again = {0};
    read_parts(span_of(data, size));
    if (is_ok(cert_from_pem(span_of(data, size), 1, &der, NULL))) {
        read_parts(buf_span(&der));
        cert_to_pem(buf_span(&der), &pem);
        CHECK(is_ok(cert_from_pem(buf_span(&pem), 1, &again, NULL)));
        CHECK(span_equal(buf_span(&der), buf_span(&again)));
    }
    return 0;
}
