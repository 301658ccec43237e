/* AMD's certificate revocation list: see snp_crl.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_crl.h"

#include <time.h>

#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "lib/base/limits.h"
#include "lib/crypto/der.h"

/* Why a list is not one of this root; the remedy is always the same. */
struct fault {
    const char *code;
    const char *field;
    const char *text;
};

static bool is_nid(X509_EXTENSION *e, int nid) {
    return OBJ_obj2nid(X509_EXTENSION_get_object(e)) == nid;
}

/* What would change the meaning of the list. AMD's lists have none of these. */
static bool is_narrowed(const X509_CRL *crl) {
    for (int i = 0; i < X509_CRL_get_ext_count(crl); i++) {
        X509_EXTENSION *e = X509_CRL_get_ext(crl, i);
        if (X509_EXTENSION_get_critical(e) || is_nid(e, NID_delta_crl) ||
            is_nid(e, NID_issuing_distribution_point)) {
            return true;
        }
    }
    return false;
}

/* An entry of an indirect list belongs to another issuer. */
static bool has_foreign_entry(X509_CRL *crl) {
    STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(crl);
    for (int i = 0; i < sk_X509_REVOKED_num(entries); i++) {
        const X509_REVOKED *entry = sk_X509_REVOKED_value(entries, i);
        for (int k = 0; k < X509_REVOKED_get_ext_count(entry); k++) {
            X509_EXTENSION *e = X509_REVOKED_get_ext(entry, k);
            if (X509_EXTENSION_get_critical(e) || is_nid(e, NID_certificate_issuer)) {
                return true;
            }
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

static struct snp_crl_facts facts_of(const X509_CRL *crl) {
    return (struct snp_crl_facts){.this_update = unix_of(X509_CRL_get0_lastUpdate(crl)),
                                  .next_update = unix_of(X509_CRL_get0_nextUpdate(crl)),
                                  .number = number_of(crl)};
}

/* Everything but the signature. */
static struct fault form_of(X509_CRL *crl, const struct snp_cert *root) {
    const X509_ALGOR *algorithm = NULL;
    struct snp_crl_facts facts = facts_of(crl);
    if (X509_CRL_get_version(crl) != X509_CRL_VERSION_2) {
        return (struct fault){"SNP-CRL-FORMAT", "CRL.version", "not version 2"};
    }
    if (!snp_cert__same_name(X509_CRL_get_issuer(crl), X509_get_subject_name(root->x509))) {
        return (struct fault){"SNP-CRL-ISSUER", "CRL.issuer", "another issuer than this ARK"};
    }
    if (is_narrowed(crl) || has_foreign_entry(crl)) {
        return (struct fault){"SNP-CRL-FORMAT", "CRL.extensions",
                              "a critical extension, a delta list or a part of a list"};
    }
    if (facts.this_update == 0 || facts.next_update < facts.this_update) {
        return (struct fault){"SNP-CRL-FORMAT", "CRL.nextUpdate", "no dates in their order"};
    }
    X509_CRL_get0_signature(crl, NULL, &algorithm);
    if (!snp_cert__is_amd_pss(algorithm)) {
        return (struct fault){"SNP-CRL-SIGNATURE", "CRL.signatureAlgorithm",
                              "not RSASSA-PSS with SHA-384, MGF1-SHA-384, salt 48"};
    }
    return (struct fault){0};
}

/* No fault, or the first one; *crl is the caller's to free either way. */
static struct fault read_form(struct span der, const struct snp_cert *root, X509_CRL **crl) {
    const unsigned char *p = der.data;
    *crl = der.size > 0 && der.size <= LIMIT_CRL ? d2i_X509_CRL(NULL, &p, (long)der.size) : NULL;
    struct fault fault = {"SNP-CRL-FORMAT", "CRL", "not one X.509 CRL in DER"};
    if (*crl != NULL && der_is_exact(der)) {
        fault = form_of(*crl, root);
    }
    ERR_clear_error();
    return fault;
}

/* What the memo knows was read and proven before. */
static struct fault read_list(struct span der, const struct snp_cert *root,
                              struct snp_crl_memo *memo, X509_CRL **crl) {
    *crl = snp_crl_memo_find(memo, der);
    if (*crl != NULL) {
        return (struct fault){0};
    }
    struct fault fault = read_form(der, root, crl);
    if (fault.code == NULL && X509_CRL_verify(*crl, X509_get0_pubkey(root->x509)) != 1) {
        fault = (struct fault){"SNP-CRL-SIGNATURE", "CRL.signature", "not signed by this ARK"};
    }
    if (fault.code == NULL) {
        snp_crl_memo_keep(memo, der, *crl);
    }
    ERR_clear_error();
    return fault;
}

static struct result report_fault(const struct fault *fault, X509_CRL *crl,
                                  struct snp_crl_facts *out, struct err *err) {
    if (fault->code == NULL) {
        *out = facts_of(crl);
    }
    X509_CRL_free(crl);
    ENSURE(fault->code == NULL, err, DENIED, "%s: %s: %s", fault->code, fault->field, fault->text);
    return OK;
}

struct result snp_crl_check(struct span der, const struct snp_cert *root, struct snp_crl_facts *out,
                            struct err *err) {
    X509_CRL *crl = NULL;
    struct fault fault = read_list(der, root, NULL, &crl);
    return report_fault(&fault, crl, out, err);
}

struct result snp_crl__examine(struct span der, const struct snp_cert *root,
                               struct snp_crl_facts *out, struct err *err) {
    X509_CRL *crl = NULL;
    struct fault fault = read_form(der, root, &crl);
    return report_fault(&fault, crl, out, err);
}

static enum snp_crl_state state_at(const struct snp_crl_facts *facts, int64_t at) {
    if (facts->this_update > at) {
        return SNP_CRL_FUTURE;
    }
    return facts->next_update < at ? SNP_CRL_STALE : SNP_CRL_CURRENT;
}

static bool names(X509_CRL *crl, const struct snp_cert *cert) {
    X509_REVOKED *entry = NULL;
    return X509_CRL_get0_by_serial(crl, &entry, X509_get0_serialNumber(cert->x509)) != 0;
}

/* Takes one valid list into account: the best one decides the state, any one may revoke. */
static void weigh(X509_CRL *crl, const struct snp_cert *root, const struct snp_cert *ca, int64_t at,
                  struct snp_revocation *out) {
    struct snp_crl_facts facts = facts_of(crl);
    enum snp_crl_state state = state_at(&facts, at);
    out->is_revoked = out->is_revoked || names(crl, ca) || names(crl, root);
    if (state < out->state || (state == out->state && facts.this_update < out->this_update)) {
        return;
    }
    out->state = state;
    out->this_update = facts.this_update;
    out->next_update = facts.next_update;
    out->number = facts.number;
}

/* A list of another product's root says nothing here: whoever judges several products keeps one of
 * each. */
static bool is_of_another_product(const X509_CRL *crl, const struct snp_cert *root) {
    if (crl == NULL) {
        return false;
    }
    enum snp_product product = snp_cert__root_of_name(X509_CRL_get_issuer(crl));
    return product != SNP_PRODUCT_UNKNOWN && product != root->product;
}

void snp_crl_judge(const struct span *lists, size_t count, const struct snp_cert *root,
                   const struct snp_cert *ca, struct snp_crl_memo *memo, int64_t at,
                   struct snp_revocation *out) {
    *out = (struct snp_revocation){0};
    for (size_t i = 0; i < count; i++) {
        X509_CRL *crl = NULL;
        struct fault fault = read_list(lists[i], root, memo, &crl);
        if (fault.code == NULL) {
            weigh(crl, root, ca, at, out);
        } else if (out->state == SNP_CRL_NONE && !is_of_another_product(crl, root)) {
            out->state = SNP_CRL_INVALID;
            out->code = fault.code;
            out->field = fault.field;
        }
        X509_CRL_free(crl);
    }
}
