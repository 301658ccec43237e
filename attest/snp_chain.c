/* SNP chain: see snp_chain.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_chain.h"

#include <stdatomic.h>
#include <stdio.h>

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "attest/snp_roots.h"
#include "lib/base/mem.h"

struct snp_chain_private {
    atomic_uint refs;
};

/* One proof under way. */
struct work {
    const struct snp_chain_input *input;
    struct snp_chain *chain;
    struct verdict *verdict;
    struct err *err;
};

static const char *vek_label(enum snp_signing_key kind) {
    return kind == SNP_KEY_VLEK ? "VLEK" : "VCEK";
}

/* ---- life ---- */

static struct snp_chain *chain_new(enum snp_signing_key kind) {
    struct snp_chain *c = mem_alloc(sizeof *c);
    *c = (struct snp_chain){.kind = kind, .priv = mem_alloc(sizeof *c->priv)};
    atomic_init(&c->priv->refs, 1);
    return c;
}

void snp_chain_unref(struct snp_chain *chain) {
    if (chain == NULL || atomic_fetch_sub(&chain->priv->refs, 1) > 1) {
        return;
    }
    snp_cert_deinit(&chain->vek);
    snp_cert_deinit(&chain->authority);
    snp_cert_deinit(&chain->root);
    mem_free(chain->priv);
    mem_free(chain);
}

/* ---- proof ---- */

static struct result lack_ca(const struct work *w, const char *field) {
    char url[100];
    char remedy[200];
    snp_kds_chain_url(w->chain->product, w->chain->kind, url, sizeof url);
    snprintf(remedy, sizeof remedy, "pass --chain with the certificates from %s", url);
    const struct verdict_rule rule = {"chain-present", "SNP-CHAIN-MISSING", field, remedy};
    return verdict_lack(w->verdict, w->err, &rule, "AMD's certificate", "none");
}

/* Rule A.5 (6): the report names the product where it can; the chain proves it. */
static struct result settle_product(const struct work *w) {
    enum snp_product by_report = w->input->by_report;
    enum snp_product by_issuer = w->chain->vek.product;
    w->chain->product = by_report == SNP_PRODUCT_UNKNOWN ? by_issuer : by_report;
    if (w->chain->product != SNP_PRODUCT_UNKNOWN && by_issuer == w->chain->product) {
        verdict_add_check(w->verdict, "product", true);
        return OK;
    }
    char actual[80];
    snprintf(actual, sizeof actual, "%s in the report, %s in the certificate",
             snp_product_line(by_report), snp_product_line(by_issuer));
    const struct verdict_rule rule = {
        "product", "SNP-PRODUCT", "product",
        "report, certificate and root must be of one product that this version knows"};
    return verdict_deny(w->verdict, w->err, &rule, "Milan, Genoa or Turin, the same everywhere",
                        actual);
}

/* The certificate of this kind and product at hand, else the built-in one; *out stays empty when
 * there is none. */
static struct result find_ca(const struct work *w, enum snp_cert_kind kind, struct snp_cert *out) {
    const struct snp_chain_input *in = w->input;
    CHECK(in->certificate_count <= SNP_CHAIN_MAX);
    for (size_t i = 0; i < in->certificate_count; i++) {
        char label[32];
        struct snp_cert cert = {0};
        snprintf(label, sizeof label, "chain[%zu]", i);
        TRY(snp_cert_parse(in->certificates[i], label, &cert, w->verdict, w->err));
        if (cert.kind == kind && cert.product == w->chain->product) {
            *out = cert;
            return OK;
        }
        snp_cert_deinit(&cert);
    }
    struct span own = snp_roots_der(w->chain->product, kind);
    if (own.size == 0) {
        return lack_ca(w, snp_cert_kind_name(kind));
    }
    return snp_cert_parse(own, snp_cert_kind_name(kind), out, w->verdict, w->err);
}

static enum snp_cert_kind authority_kind(const struct work *w) {
    return w->chain->kind == SNP_KEY_VLEK ? SNP_CERT_ASVK : SNP_CERT_ASK;
}

/* True when AMD's own ASK or ASVK signed the leaf; then nothing from the evidence is looked at, and
 * a damaged or foreign certificate beside a genuine leaf does not matter. */
static bool hangs_from_amd(const struct work *w) {
    struct snp_chain *c = w->chain;
    struct span own = snp_roots_der(c->product, authority_kind(w));
    if (is_ok(snp_cert_parse(own, "built in", &c->authority, NULL, NULL)) &&
        is_ok(snp_cert_signed_by(&c->vek, &c->authority, NULL, NULL))) {
        return true;
    }
    snp_cert_deinit(&c->authority);
    return false;
}

static struct result find_authorities(const struct work *w) {
    struct snp_chain *c = w->chain;
    if (hangs_from_amd(w)) {
        struct span own = snp_roots_der(c->product, SNP_CERT_ARK);
        return snp_cert_parse(own, "built in", &c->root, w->verdict, w->err);
    }
    TRY(find_ca(w, authority_kind(w), &c->authority));
    return find_ca(w, SNP_CERT_ARK, &c->root);
}

static struct result prove(const struct work *w) {
    struct snp_chain *c = w->chain;
    TRY(snp_cert_parse(w->input->vek, vek_label(c->kind), &c->vek, w->verdict, w->err));
    TRY(settle_product(w));
    TRY(snp_vek_parse(&c->vek, c->kind, c->product, &c->claims, w->verdict, w->err));
    TRY(find_authorities(w));
    TRY(snp_cert_check_ca(&c->root, w->verdict, w->err));
    TRY(snp_cert_check_ca(&c->authority, w->verdict, w->err));
    TRY(snp_cert_signed_by(&c->root, &c->root, w->verdict, w->err));
    TRY(snp_cert_signed_by(&c->authority, &c->root, w->verdict, w->err));
    TRY(snp_cert_signed_by(&c->vek, &c->authority, w->verdict, w->err));
    snp_cert_add_checks(w->verdict);
    return OK;
}

struct result snp_chain_establish(struct snp_cache *cache, const struct snp_chain_input *input,
                                  struct snp_chain **out, struct verdict *verdict,
                                  struct err *err) {
    (void)cache;
    struct work w = {
        .input = input, .chain = chain_new(input->kind), .verdict = verdict, .err = err};
    struct result r = prove(&w);
    if (!is_ok(r)) {
        snp_chain_unref(w.chain);
        return r;
    }
    *out = w.chain;
    return OK;
}

/* ---- signature of a report ---- */

/* DER Ecdsa-Sig-Value of R and S. */
static unsigned char *signature_der(const uint8_t r_le[48], const uint8_t s_le[48], int *size) {
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_lebin2bn(r_le, 48, NULL);
    BIGNUM *s = BN_lebin2bn(s_le, 48, NULL);
    CHECK(sig != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(sig, r, s) == 1);
    unsigned char *der = NULL;
    *size = i2d_ECDSA_SIG(sig, &der);
    ECDSA_SIG_free(sig);
    CHECK(*size > 0);
    return der;
}

bool snp_chain_verify(struct snp_chain *chain, struct span signed_bytes, const uint8_t r[48],
                      const uint8_t s[48]) {
    int size = 0;
    unsigned char *der = signature_der(r, s, &size);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    CHECK(ctx != NULL);
    EVP_PKEY *key = X509_get0_pubkey(chain->vek.x509);
    bool good = EVP_DigestVerifyInit(ctx, NULL, EVP_sha384(), NULL, key) == 1 &&
                EVP_DigestVerify(ctx, der, (size_t)size, signed_bytes.data, signed_bytes.size) == 1;
    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    ERR_clear_error();
    return good;
}
