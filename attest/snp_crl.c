/* AMD's certificate revocation list: see snp_crl.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_crl.h"

#include <time.h>

#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "lib/base/limits.h"

/* Why a list is not one of this root; the remedy is always the same. */
struct fault {
    const char *code;
    const char *field;
    const char *text;
};

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

static int64_t unix_of(const ASN1_TIME *time) {
    struct tm tm;
    return time != NULL && ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

/* 0 when absent, negative or beyond 64 bits. */
static uint64_t number_of(const X509_CRL *crl) {
    ASN1_INTEGER *number = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
    uint64_t value = 0;
    if (number == NULL || ASN1_INTEGER_get_uint64(&value, number) != 1) {
        value = 0;
    }
    ASN1_INTEGER_free(number);
    return value;
}

static struct fault fault_of(X509_CRL *crl, const struct snp_cert *root) {
    const X509_ALGOR *algorithm = NULL;
    if (X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(root->x509)) != 0) {
        return (struct fault){"SNP-CRL-ISSUER", "CRL.issuer", "another issuer than this ARK"};
    }
    X509_CRL_get0_signature(crl, NULL, &algorithm);
    if (!snp_cert__is_amd_pss(algorithm) ||
        X509_CRL_verify(crl, X509_get0_pubkey(root->x509)) != 1) {
        return (struct fault){"SNP-CRL-SIGNATURE", "CRL.signature", "not signed by this ARK"};
    }
    if (has_foreign_extension(crl)) {
        return (struct fault){"SNP-CRL-FORMAT", "CRL.extensions", "a critical one or a delta list"};
    }
    if (unix_of(X509_CRL_get0_lastUpdate(crl)) == 0 ||
        unix_of(X509_CRL_get0_nextUpdate(crl)) == 0) {
        return (struct fault){"SNP-CRL-FORMAT", "CRL.nextUpdate", "no readable dates"};
    }
    return (struct fault){0};
}

/* NULL with *out filled, or the fault; *crl is the caller's to free. */
static struct fault read_list(struct span der, const struct snp_cert *root, X509_CRL **crl) {
    const unsigned char *p = der.data;
    *crl = der.size <= LIMIT_CRL ? d2i_X509_CRL(NULL, &p, (long)der.size) : NULL;
    struct fault fault = {"SNP-CRL-FORMAT", "CRL", "not one X.509 CRL in DER"};
    if (*crl != NULL && p == der.data + der.size) {
        fault = fault_of(*crl, root);
    }
    ERR_clear_error();
    return fault;
}

struct result snp_crl_check(struct span der, const struct snp_cert *root, struct snp_crl_facts *out,
                            struct err *err) {
    X509_CRL *crl = NULL;
    struct fault fault = read_list(der, root, &crl);
    if (fault.code == NULL) {
        *out = (struct snp_crl_facts){.this_update = unix_of(X509_CRL_get0_lastUpdate(crl)),
                                      .next_update = unix_of(X509_CRL_get0_nextUpdate(crl)),
                                      .number = number_of(crl)};
    }
    X509_CRL_free(crl);
    ENSURE(fault.code == NULL, err, DENIED, "%s: %s: %s", fault.code, fault.field, fault.text);
    return OK;
}

/* Takes one valid list into account: the newest decides the state, any one may revoke. */
static void weigh(X509_CRL *crl, const struct snp_cert *ca, int64_t at,
                  struct snp_revocation *out) {
    X509_REVOKED *entry = NULL;
    int64_t this_update = unix_of(X509_CRL_get0_lastUpdate(crl));
    int64_t next_update = unix_of(X509_CRL_get0_nextUpdate(crl));
    out->is_revoked = out->is_revoked ||
                      X509_CRL_get0_by_serial(crl, &entry, X509_get0_serialNumber(ca->x509)) != 0;
    if (out->this_update > this_update) {
        return;
    }
    out->this_update = this_update;
    out->next_update = next_update;
    out->number = number_of(crl);
    out->state = this_update > at   ? SNP_CRL_FUTURE
                 : next_update < at ? SNP_CRL_STALE
                                    : SNP_CRL_CURRENT;
}

void snp_crl_judge(const struct span *lists, size_t count, const struct snp_cert *root,
                   const struct snp_cert *ca, int64_t at, struct snp_revocation *out) {
    *out = (struct snp_revocation){0};
    for (size_t i = 0; i < count; i++) {
        X509_CRL *crl = NULL;
        struct fault fault = read_list(lists[i], root, &crl);
        if (fault.code == NULL) {
            weigh(crl, ca, at, out);
        } else if (out->state == SNP_CRL_NONE) {
            out->state = SNP_CRL_INVALID;
            out->code = fault.code;
            out->field = fault.field;
        }
        X509_CRL_free(crl);
    }
}
