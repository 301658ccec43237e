/* SNP authority: see snp_authority.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_authority.h"

#include <stdatomic.h>

#include <openssl/x509.h>

#include "lib/base/mem.h"

struct snp_authority_private {
    atomic_uint refs;
};

/* snp_cert_parse took only the one encoding, so this is what was read. */
static void encode(X509 *x509, struct buf *out) {
    unsigned char *der = NULL;
    int n = i2d_X509(x509, &der);
    CHECK(n > 0);
    buf_append(out, der, (size_t)n);
    OPENSSL_free(der);
}

static struct result check(const struct snp_cert *authority, const struct snp_cert *root,
                           struct verdict *verdict, struct err *err) {
    TRY(snp_cert_check_ca(root, verdict, err));
    TRY(snp_cert_check_ca(authority, verdict, err));
    TRY(snp_cert_signed_by(root, root, verdict, err));
    return snp_cert_signed_by(authority, root, verdict, err);
}

struct result snp_authority_prove(struct snp_cert *authority, struct snp_cert *root,
                                  struct snp_authority **out, struct verdict *verdict,
                                  struct err *err) {
    TRY(check(authority, root, verdict, err));
    struct snp_authority *a = mem_zalloc(sizeof *a);
    a->priv = mem_alloc(sizeof *a->priv);
    atomic_init(&a->priv->refs, 1);
    a->authority = *authority;
    a->root = *root;
    *authority = (struct snp_cert){0};
    *root = (struct snp_cert){0};
    encode(a->authority.x509, &a->authority_der);
    encode(a->root.x509, &a->root_der);
    snp_crl_memo_init(&a->crls);
    *out = a;
    return OK;
}

struct snp_authority *snp_authority_ref(struct snp_authority *a) {
    atomic_fetch_add(&a->priv->refs, 1);
    return a;
}

void snp_authority_unref(struct snp_authority *a) {
    if (a == NULL || atomic_fetch_sub(&a->priv->refs, 1) > 1) {
        return;
    }
    snp_crl_memo_deinit(&a->crls);
    buf_deinit(&a->authority_der);
    buf_deinit(&a->root_der);
    snp_cert_deinit(&a->authority);
    snp_cert_deinit(&a->root);
    mem_free(a->priv);
    mem_free(a);
}

bool snp_authority_is(const struct snp_authority *a, struct span authority, struct span root) {
    return span_equal(buf_span(&a->authority_der), authority) &&
           span_equal(buf_span(&a->root_der), root);
}
