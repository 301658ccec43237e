/* AMD's certificate revocation list (RFC 5280 section 5, AMD 57230 section 4.3); see snp_cert.h.
 *
 * The root signs it, and it names revoked ASKs and ASVKs. A stale list proves nothing either way:
 * the verdict is then "unverifiable", not "denied".
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_cert.h"

#include <time.h>

#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "lib/base/limits.h"

#define REMEDY "get the CRL of this product from AMD's key service again"

static struct result refuse(const char *code, const char *field, const char *expected,
                            const char *actual, struct verdict *v, struct err *err) {
    ERR_clear_error();
    const struct verdict_rule rule = {"revocation", code, field, REMEDY};
    return verdict_deny(v, err, &rule, expected, actual);
}

/* OpenSSL knows all that AMD uses; a critical one beyond, or a delta list, changes the meaning. */
static bool has_foreign_extension(const X509_CRL *crl) {
    for (int i = 0; i < X509_CRL_get_ext_count(crl); i++) {
        X509_EXTENSION *e = X509_CRL_get_ext(crl, i);
        if (X509_EXTENSION_get_critical(e) ||
            OBJ_obj2nid(X509_EXTENSION_get_object(e)) == NID_delta_crl) {
            return true;
        }
    }
    return false;
}

static struct result check_signature(X509_CRL *crl, const struct snp_cert *root, struct verdict *v,
                                     struct err *err) {
    if (X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(root->x509)) != 0) {
        return refuse("SNP-CRL-ISSUER", "CRL.issuer", "the subject of the ARK", "another", v, err);
    }
    const X509_ALGOR *algorithm = NULL;
    X509_CRL_get0_signature(crl, NULL, &algorithm);
    if (!snp_cert__is_amd_pss(algorithm) ||
        X509_CRL_verify(crl, X509_get0_pubkey(root->x509)) != 1) {
        return refuse("SNP-CRL-SIGNATURE", "CRL.signature", "valid under the key of the ARK",
                      "invalid", v, err);
    }
    return OK;
}

static struct result check_dates(const X509_CRL *crl, int64_t at, struct verdict *v,
                                 struct err *err) {
    const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl);
    int begun = ASN1_TIME_cmp_time_t(X509_CRL_get0_lastUpdate(crl), (time_t)at);
    if ((begun == -1 || begun == 0) && next != NULL &&
        ASN1_TIME_cmp_time_t(next, (time_t)at) >= 0) {
        return OK;
    }
    const struct verdict_rule rule = {"revocation", "SNP-CRL-DATE", "CRL.nextUpdate", REMEDY};
    return verdict_lack(v, err, &rule, "a list that is current at the time of judging",
                        "one of another time");
}

static struct result look_up(X509_CRL *crl, const struct snp_cert *ca, struct verdict *v,
                             struct err *err) {
    X509_REVOKED *entry = NULL;
    if (X509_CRL_get0_by_serial(crl, &entry, X509_get0_serialNumber(ca->x509)) == 0) {
        return OK;
    }
    const struct verdict_rule rule = {"revocation", "SNP-REVOKED", snp_cert_kind_name(ca->kind),
                                      "AMD revoked this authority: do not trust the machine"};
    return verdict_deny(v, err, &rule, "not revoked", "revoked");
}

static struct result judge(X509_CRL *crl, const struct snp_cert *root, const struct snp_cert *ca,
                           int64_t at, struct verdict *v, struct err *err) {
    TRY(check_signature(crl, root, v, err));
    if (has_foreign_extension(crl)) {
        return refuse("SNP-CRL-FORMAT", "CRL.extensions", "none critical, not a delta list",
                      "another", v, err);
    }
    TRY(check_dates(crl, at, v, err));
    return look_up(crl, ca, v, err);
}

struct result snp_crl_check(struct span der, const struct snp_cert *root, const struct snp_cert *ca,
                            int64_t at, struct verdict *verdict, struct err *err) {
    if (der.size > LIMIT_CRL) {
        return refuse("SNP-CRL-FORMAT", "CRL", "at most 64 KiB", "more", verdict, err);
    }
    const unsigned char *p = der.data;
    X509_CRL *crl = d2i_X509_CRL(NULL, &p, (long)der.size);
    if (crl == NULL || p != der.data + der.size) {
        X509_CRL_free(crl);
        return refuse("SNP-CRL-FORMAT", "CRL", "one X.509 CRL in DER", "other bytes", verdict, err);
    }
    struct result r = judge(crl, root, ca, at, verdict, err);
    X509_CRL_free(crl);
    ERR_clear_error();
    return r;
}
