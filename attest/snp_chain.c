/* SNP chain: see snp_chain.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_chain.h"

#include <stdio.h>
#include <string.h>

#include <openssl/x509.h>

#include "attest/snp_cache.h"
#include "attest/snp_chain_private.h"
#include "attest/snp_roots.h"
#include "lib/base/mem.h"
#include "lib/crypto/digest.h"

/* One proof under way. */
struct work {
    const struct snp_chain_input *input;
    struct snp_cache *cache; /* NULL = none */
    struct snp_chain *chain;
    struct verdict *verdict;
    struct err *err;
};

static const char CHECK_PRODUCT[] = "product";

static const char *vek_label(enum snp_signing_key kind) {
    return kind == SNP_KEY_VLEK ? "VLEK" : "VCEK";
}

/* ---- life ---- */

static struct snp_chain *chain_new(enum snp_signing_key kind) {
    struct snp_chain *c = mem_alloc(sizeof *c);
    *c = (struct snp_chain){.kind = kind, .priv = mem_zalloc(sizeof *c->priv)};
    atomic_init(&c->priv->refs, 1);
    atomic_init(&c->priv->is_kept, false);
    atomic_init(&c->priv->leaf.count, 0);
    return c;
}

struct snp_chain *snp_chain__ref(struct snp_chain *chain) {
    atomic_fetch_add(&chain->priv->refs, 1);
    return chain;
}

void snp_chain_unref(struct snp_chain *chain) {
    if (chain == NULL || atomic_fetch_sub(&chain->priv->refs, 1) > 1) {
        return;
    }
    hotkey_pool_unref(chain->priv->pool);
    snp_authority_unref(chain->priv->above);
    snp_cert_deinit(&chain->vek);
    mem_free(chain->priv);
    mem_free(chain);
}

/* ---- proof ---- */

/* Rule A.5 (6): the report names the product where it can; the chain proves it. */
static struct result settle_product(const struct work *w) {
    enum snp_product by_report = w->input->by_report;
    enum snp_product by_issuer = w->chain->vek.product;
    w->chain->product = by_report == SNP_PRODUCT_UNKNOWN ? by_issuer : by_report;
    if (w->chain->product != SNP_PRODUCT_UNKNOWN && by_issuer == w->chain->product) {
        verdict_add_check(w->verdict, CHECK_PRODUCT, true);
        return OK;
    }
    char actual[80];
    snprintf(actual, sizeof actual, "%s in the report, %s in the certificate",
             snp_product_line(by_report), snp_product_line(by_issuer));
    const struct verdict_rule rule = {
        CHECK_PRODUCT, "SNP-PRODUCT", "product",
        "report, certificate and root must be of one product that this version knows"};
    return verdict_deny(w->verdict, w->err, &rule, "Milan, Genoa or Turin, the same everywhere",
                        actual);
}

static struct result lack_ca(const struct work *w, enum snp_cert_kind kind) {
    static const char remedy[] =
        "the leaf is not AMD's: a simulated machine's needs that machine's ASK and ARK beside it "
        "(--chain, --trust-root)";
    const struct verdict_rule rule = {"chain-present", "SNP-CHAIN-MISSING",
                                      snp_cert_kind_name(kind), remedy};
    return verdict_lack(w->verdict, w->err, &rule, "the authority that signed the leaf", "none");
}

/* The certificate of this kind and product at hand, and its bytes; else the built-in one, which
 * then proves the contrary, unless the leaf may be somebody else's. */
static struct result find_ca(const struct work *w, enum snp_cert_kind kind, struct snp_cert *out,
                             struct span *der) {
    const struct snp_chain_input *in = w->input;
    CHECK(in->certificate_count <= SNP_CHAIN_MAX);
    for (size_t i = 0; i < in->certificate_count; i++) {
        char label[32];
        struct snp_cert cert = {0};
        snprintf(label, sizeof label, "chain[%zu]", i);
        TRY(snp_cert_parse(in->certificates[i], label, &cert, w->verdict, w->err));
        if (cert.kind == kind && cert.product == w->chain->product) {
            *out = cert;
            *der = in->certificates[i];
            return OK;
        }
        snp_cert_deinit(&cert);
    }
    if (in->may_be_foreign) {
        return lack_ca(w, kind);
    }
    *der = snp_roots_der(w->chain->product, kind);
    return snp_cert_parse(*der, snp_cert_kind_name(kind), out, w->verdict, w->err);
}

static enum snp_cert_kind authority_kind(const struct work *w) {
    return w->chain->kind == SNP_KEY_VLEK ? SNP_CERT_ASVK : SNP_CERT_ASK;
}

static bool signed_leaf(const struct work *w, const struct snp_cert *authority) {
    return is_ok(snp_cert_signed_by(&w->chain->vek, authority, NULL, NULL));
}

/* AMD's own authority when it signed the leaf, else NULL. Then nothing from the evidence is looked
 * at, and a damaged or foreign certificate beside a genuine leaf does not matter. */
static struct snp_authority *find_amd(const struct work *w) {
    struct span authority_der = snp_roots_der(w->chain->product, authority_kind(w));
    struct span root_der = snp_roots_der(w->chain->product, SNP_CERT_ARK);
    struct snp_cert authority = {0};
    struct snp_cert root = {0};
    struct snp_authority *above = snp_cache__find_authority(w->cache, authority_der, root_der);
    if (above != NULL && !signed_leaf(w, &above->authority)) {
        snp_authority_unref(above);
        return NULL;
    }
    if (above == NULL && is_ok(snp_cert_parse(authority_der, "built in", &authority, NULL, NULL)) &&
        signed_leaf(w, &authority)) {
        CHECK(is_ok(snp_cert_parse(root_der, "built in", &root, NULL, NULL)) &&
              is_ok(snp_authority_prove(&authority, &root, &above, NULL, NULL)));
    }
    snp_cert_deinit(&authority);
    snp_cert_deinit(&root);
    return above;
}

/* Proven now, unless the cache knows these very certificates. */
static struct result prove_given(const struct work *w, struct snp_cert *authority,
                                 struct snp_cert *root, struct snp_authority **above) {
    struct span authority_der = {0};
    struct span root_der = {0};
    TRY(find_ca(w, authority_kind(w), authority, &authority_der));
    TRY(find_ca(w, SNP_CERT_ARK, root, &root_der));
    *above = snp_cache__find_authority(w->cache, authority_der, root_der);
    return *above != NULL ? OK : snp_authority_prove(authority, root, above, w->verdict, w->err);
}

/* The chain's own from here on; what it shows of them is borrowed. */
static void hang_from(struct snp_chain *c, struct snp_authority *above) {
    c->priv->above = above;
    c->authority = above->authority;
    c->root = above->root;
}

/* A chain from AMD is the same whatever certificates came with the leaf; any other is one of the
 * certificates at hand. */
enum origin { FROM_AMD, FROM_GIVEN };

static struct result find_authorities(const struct work *w, enum origin *origin) {
    struct snp_authority *above = find_amd(w);
    *origin = above != NULL ? FROM_AMD : FROM_GIVEN;
    if (above != NULL) {
        hang_from(w->chain, above);
        return OK;
    }
    struct snp_cert authority = {0};
    struct snp_cert root = {0};
    struct result r = prove_given(w, &authority, &root, &above);
    snp_cert_deinit(&authority);
    snp_cert_deinit(&root);
    TRY(r);
    hang_from(w->chain, above);
    return snp_cert_signed_by(&w->chain->vek, &above->authority, w->verdict, w->err);
}

static struct result prove(const struct work *w, enum origin *origin) {
    struct snp_chain *c = w->chain;
    TRY(snp_cert_parse(w->input->vek, vek_label(c->kind), &c->vek, w->verdict, w->err));
    TRY(settle_product(w));
    TRY(snp_vek_parse(&c->vek, c->kind, c->product, &c->claims, w->verdict, w->err));
    TRY(find_authorities(w, origin));
    snp_cert_add_checks(w->verdict);
    c->priv->leaf.key = X509_get0_pubkey(c->vek.x509);
    memcpy(c->priv->leaf.id, c->vek.spki_digest, sizeof c->priv->leaf.id);
    return OK;
}

/* ---- cache ---- */

/* SHA-256 over everything that the proof depends on; sizes before bytes, so that no two inputs are
 * one string. */
static void digest_input(const struct snp_chain_input *in, enum origin origin, uint8_t out[32]) {
    struct span parts[2 + 2 * SNP_CHAIN_MAX + 1];
    uint8_t head[8] = {(uint8_t)in->kind, (uint8_t)in->by_report, (uint8_t)origin};
    uint8_t sizes[SNP_CHAIN_MAX][4];
    size_t count = 0;
    store_u32be(head + 4, (uint32_t)in->vek.size);
    parts[count++] = SPAN(head);
    parts[count++] = in->vek;
    for (size_t i = 0; origin == FROM_GIVEN && i < in->certificate_count; i++) {
        store_u32be(sizes[i], (uint32_t)in->certificates[i].size);
        parts[count++] = SPAN(sizes[i]);
        parts[count++] = in->certificates[i];
    }
    sha256_parts(parts, count, out);
}

/* A chain from AMD first: only such a one is kept under that key. */
static struct snp_chain *recall(struct snp_cache *cache, const struct snp_chain_input *in) {
    uint8_t key[SHA256_SIZE];
    if (cache == NULL) {
        return NULL;
    }
    digest_input(in, FROM_AMD, key);
    struct snp_chain *chain = snp_cache__find(cache, key);
    if (chain == NULL && in->certificate_count > 0) {
        digest_input(in, FROM_GIVEN, key);
        chain = snp_cache__find(cache, key);
    }
    if (chain == NULL) {
        snp_cache__count_miss(cache);
    }
    return chain;
}

/* What prove() says of a chain that holds. */
static void add_checks(enum snp_signing_key kind, struct verdict *verdict) {
    verdict_add_check(verdict, CHECK_PRODUCT, true);
    snp_vek_add_checks(kind, verdict);
    snp_cert_add_checks(verdict);
}

struct result snp_chain_establish(struct snp_cache *cache, const struct snp_chain_input *input,
                                  struct snp_chain **out, struct verdict *verdict,
                                  struct err *err) {
    CHECK(input->certificate_count <= SNP_CHAIN_MAX);
    struct snp_chain *known = recall(cache, input);
    if (known != NULL) {
        add_checks(input->kind, verdict);
        *out = known;
        return OK;
    }
    enum origin origin = FROM_GIVEN;
    struct work w = {.input = input,
                     .cache = cache,
                     .chain = chain_new(input->kind),
                     .verdict = verdict,
                     .err = err};
    struct result r = prove(&w, &origin);
    if (!is_ok(r)) {
        snp_chain_unref(w.chain);
        return r;
    }
    digest_input(input, origin, w.chain->priv->key);
    *out = w.chain;
    return OK;
}

/* ---- use ---- */

struct snp_crl_memo *snp_chain_crls(struct snp_chain *chain) {
    return &chain->priv->above->crls;
}

bool snp_chain_verify(struct snp_chain *chain, struct span signed_bytes, const uint8_t r[48],
                      const uint8_t s[48]) {
    return hotkey_verify(chain->priv->pool, &chain->priv->leaf, signed_bytes, r, s);
}
