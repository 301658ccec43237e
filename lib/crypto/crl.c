/* Revocation lists: see crl.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/crypto/crl.h"

#include <openssl/err.h>
#include <openssl/x509.h>

#include "lib/base/limits.h"

static X509_CRL *read_crl(struct span der) {
    const unsigned char *p = der.data;
    return der.size > 0 && der.size <= LIMIT_CRL ? d2i_X509_CRL(NULL, &p, (long)der.size) : NULL;
}

static bool is_in(X509_CRL *by, const ASN1_INTEGER *serial) {
    STACK_OF(X509_REVOKED) *entries = by == NULL ? NULL : X509_CRL_get_REVOKED(by);
    for (int i = 0; i < sk_X509_REVOKED_num(entries); i++) {
        const X509_REVOKED *entry = sk_X509_REVOKED_value(entries, i);
        if (ASN1_INTEGER_cmp(X509_REVOKED_get0_serialNumber(entry), serial) == 0) {
            return true;
        }
    }
    return false;
}

bool crl_covers(struct span by, struct span old) {
    if (span_equal(by, old)) {
        return true;
    }
    X509_CRL *newer = read_crl(by);
    X509_CRL *older = read_crl(old);
    STACK_OF(X509_REVOKED) *entries = older == NULL ? NULL : X509_CRL_get_REVOKED(older);
    bool covers = true;
    for (int i = 0; covers && i < sk_X509_REVOKED_num(entries); i++) {
        covers = is_in(newer, X509_REVOKED_get0_serialNumber(sk_X509_REVOKED_value(entries, i)));
    }
    X509_CRL_free(newer);
    X509_CRL_free(older);
    ERR_clear_error();
    return covers;
}
