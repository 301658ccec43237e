/* KDS: see kds.h. Addresses, the meaning of answers, and the proof of what they hold; the transport
 * is kds_http.c's.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/endorse/kds.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "attest/endorse/kds_http.h"
#include "attest/endorse/retry_after.h"
#include "attest/snp_crl.h"
#include "attest/snp_product.h"
#include "attest/snp_roots.h"
#include "lib/base/mem.h"
#include "lib/crypto/pem.h"

#define BASE_MAX 200           /* bytes of the address up to the path */
#define DEFAULT_RETRY_MS 10000 /* throttled without a Retry-After: AMD's own pace */
#define SIDES 8                /* product and kind, see side_of */

struct kds {
    struct kds_http *http; /* owned, as base and roots */
    char *base;            /* without a slash at its end */
    uint8_t (*extra_roots)[32];
    size_t extra_root_count;
    const struct host *host;
    struct kds_chain chains[SIDES]; /* the service's own, for extra roots; empty until needed */
};

/* One request and where its failure goes. */
struct call {
    struct kds *k;
    const char *url;
    uint64_t *retry_ms; /* never NULL */
    struct err *err;
    const char *unknown; /* what a 404 means */
};

static const char UNKNOWN_CHIP[] = "AMD knows no such chip or TCB; compare CHIP_ID and "
                                   "REPORTED_TCB, and whether the report is genuine";
static const char UNKNOWN_PRODUCT[] =
    "AMD has this for every product; is this its key service or a whole mirror of it?";

/* ---- addresses ---- */

static bool is_plain(const char *text) {
    for (; *text != '\0'; text++) {
        if (*text <= ' ' || *text > '~' || strchr("@?#\"<>\\^`{|}", *text) != NULL) {
            return false;
        }
    }
    return true;
}

static struct result check_base(const char *base, struct err *err) {
    size_t scheme = strncmp(base, "https://", 8) == 0  ? 8
                    : strncmp(base, "http://", 7) == 0 ? 7
                                                       : 0;
    bool good = scheme > 0 && base[scheme] != '\0' && base[scheme] != '/' &&
                strlen(base) <= BASE_MAX && is_plain(base);
    ENSURE(good, err, CONFIG,
           "key service address '%.200s': want https://HOST[:PORT][/PATH], at most %d characters, "
           "no user, query or fragment",
           base, BASE_MAX);
    return OK;
}

/* Without the slashes at its end; at most BASE_MAX. */
static size_t trimmed_size(const char *base) {
    size_t size = strnlen(base, BASE_MAX);
    while (size > 0 && base[size - 1] == '/') {
        size--;
    }
    return size;
}

void kds_vek_url(const char *base, const struct snp_endorsement_key *key, char out[LIMIT_KDS_URL]) {
    struct snp_report report = {0};
    char amd[LIMIT_KDS_URL - BASE_MAX];
    memcpy(report.chip_id, key->chip_id, sizeof report.chip_id);
    memcpy(report.reported_tcb, key->tcb, sizeof report.reported_tcb);
    snp_kds_vcek_url(key->product, &report, amd, sizeof amd);
    const char *start = base == NULL ? SNP_KDS_BASE : base;
    snprintf(out, LIMIT_KDS_URL, "%.*s%s", (int)trimmed_size(start), start,
             amd + strlen(SNP_KDS_BASE));
}

/* "crl" or "cert_chain" of a product. */
static void product_url(const struct kds *k, enum snp_product product, enum snp_signing_key kind,
                        const char *what, char out[LIMIT_KDS_URL]) {
    snprintf(out, LIMIT_KDS_URL, "%s/%s/v1/%s/%s", k->base, kind == SNP_KEY_VLEK ? "vlek" : "vcek",
             snp_product_line(product), what);
}

/* ---- life ---- */

static struct kds *kds_new(const struct kds_config *config, struct kds_http *http) {
    const char *base = config->base == NULL ? SNP_KDS_BASE : config->base;
    struct kds *k = mem_zalloc(sizeof *k);
    k->http = http;
    k->base = mem_strndup(base, trimmed_size(base));
    k->host = config->host == NULL ? &host_system : config->host;
    k->extra_root_count = config->extra_root_count;
    if (config->extra_root_count > 0) {
        k->extra_roots = mem_calloc(config->extra_root_count, sizeof *k->extra_roots);
        memcpy(k->extra_roots, config->extra_roots,
               config->extra_root_count * sizeof *k->extra_roots);
    }
    return k;
}

struct result kds_open(const struct kds_config *config, struct kds **out, struct err *err) {
    if (config->base != NULL) {
        TRY(check_base(config->base, err));
    }
    ENSURE(config->ca_file == NULL || access(config->ca_file, R_OK) == 0, err, CONFIG,
           "key service authorities: cannot read %s", config->ca_file);
    const struct kds_http_config transport = {
        .ca_file = config->ca_file,
        .connect_ms = config->connect_ms == 0 ? LIMIT_KDS_CONNECT_MS : config->connect_ms,
        .total_ms = config->total_ms == 0 ? LIMIT_KDS_MS : config->total_ms};
    struct kds_http *http = NULL;
    TRY(kds_http_open(&transport, &http, err));
    *out = kds_new(config, http);
    return OK;
}

void kds_close(struct kds *k) {
    if (k == NULL) {
        return;
    }
    kds_http_close(k->http);
    for (size_t i = 0; i < SIDES; i++) {
        kds_chain_deinit(&k->chains[i]);
    }
    mem_free(k->extra_roots);
    mem_free(k->base);
    mem_free(k);
}

void kds_cancel(struct kds *k) {
    kds_http_cancel(k->http);
}

void kds_chain_deinit(struct kds_chain *c) {
    for (size_t i = 0; i < c->count; i++) {
        buf_deinit(&c->items[i]);
    }
    c->count = 0;
}

/* ---- what an answer means ---- */

/* BUSY: until when, as the service says or else as it is known to throttle. */
static struct result throttled(const struct call *c, const struct kds_http_answer *a) {
    uint64_t ms = DEFAULT_RETRY_MS;
    if (a->has_retry_after) {
        struct result r =
            retry_after_parse(span_str(a->retry_after), host_unix_s(c->k->host), &ms, NULL);
        err_ignore(r, "a pace that cannot be read is AMD's usual one");
    }
    *c->retry_ms = ms;
    struct result r = err_set(c->err, ERR_BUSY,
                              "%s: answered %ld, it throttles: ask again in %llu s, or pass the "
                              "certificate as a file",
                              c->url, a->status, (unsigned long long)((ms + 999) / 1000));
    err_advise(c->err, ms);
    return r;
}

static struct result refuse(const struct call *c, const struct kds_http_answer *a) {
    if (a->status == 429 || (a->status == 503 && a->has_retry_after)) {
        return throttled(c, a);
    }
    ENSURE(a->status != 404, c->err, NOT_FOUND, "%s: answered 404: %s", c->url, c->unknown);
    ENSURE(a->status < 500, c->err, UNAVAILABLE, "%s: answered %ld: the service fails; try later",
           c->url, a->status);
    ENSURE(a->location[0] == '\0', c->err, MALFORMED,
           "%s: answered %ld and points to %s: redirects are not followed; correct the address of "
           "the key service",
           c->url, a->status, a->location);
    return err_set(c->err, ERR_MALFORMED,
                   "%s: answered %ld: want 200; is this AMD's key service or its mirror?", c->url,
                   a->status);
}

/* What to do when there was no whole answer. */
static struct result explain(const struct call *c, struct result r) {
    switch ((int)r.code) { /* a few of many */
    case ERR_TLS:
        return err_wrap(
            r, c->err,
            "%s: who answers is not the key service (wrong clock, or a proxy that opens "
            "TLS: then name its authority)",
            c->url);
    case ERR_UNAVAILABLE:
        return err_wrap(r, c->err, "%s: no answer; try later, or pass the certificate as a file",
                        c->url);
    default:
        return err_wrap(r, c->err, "%s", c->url);
    }
}

/* 200 and a body within the limit, or what else there was. */
static struct result get(const struct call *c, size_t limit, struct buf *body) {
    struct kds_http_answer answer = {0};
    *c->retry_ms = 0;
    struct result r = kds_http_get(c->k->http, c->url, limit, &answer, c->err);
    if (!is_ok(r)) {
        return explain(c, r);
    }
    if (answer.status != 200) {
        r = refuse(c, &answer);
    } else if (answer.is_too_large) {
        r = err_set(c->err, ERR_MALFORMED,
                    "%s: answered more than %zu bytes: this is not AMD's key service", c->url,
                    limit);
    } else {
        buf_append_span(body, buf_span(&answer.body));
    }
    kds_http_answer_deinit(&answer);
    return r;
}

/* ---- chains ---- */

/* The certificates of one product and kind, in the making. */
struct reading {
    struct kds_chain *out;
    enum snp_product product;
    enum snp_cert_kind authority;
};

static struct result on_certificate(void *data, struct span der, struct err *err) {
    struct reading *r = data;
    struct snp_cert cert = {0};
    ENSURE(r->out->count < KDS_CERTIFICATES_MAX, err, MALFORMED, "more than %d certificates",
           KDS_CERTIFICATES_MAX);
    TRY(snp_cert_parse(der, "cert_chain", &cert, NULL, err));
    bool fits =
        cert.product == r->product && (cert.kind == r->authority || cert.kind == SNP_CERT_ARK);
    const char *line = snp_product_line(cert.product);
    const char *kind = snp_cert_kind_name(cert.kind);
    snp_cert_deinit(&cert);
    ENSURE(fits, err, DENIED, "a %s of product %s, want %s and ARK of %s", kind, line,
           snp_cert_kind_name(r->authority), snp_product_line(r->product));
    buf_append_span(&r->out->items[r->out->count++], der);
    return OK;
}

static struct result read_chain(const struct call *c, struct span body, struct reading *reading) {
    size_t count = 0;
    struct result r = pem_each(body, "CERTIFICATE", on_certificate, reading, &count, c->err);
    if (is_ok(r) && count == 0) {
        r = err_set(c->err, ERR_MALFORMED, "no certificate in PEM");
    }
    return is_ok(r) ? r : err_wrap(r, c->err, "%s", c->url);
}

struct result kds_fetch_chain(struct kds *k, enum snp_product product, enum snp_signing_key kind,
                              struct kds_chain *out, uint64_t *retry_ms, struct err *err) {
    char url[LIMIT_KDS_URL];
    uint64_t unused = 0;
    struct kds_chain chain = {0};
    struct reading reading = {&chain, product, kind == SNP_KEY_VLEK ? SNP_CERT_ASVK : SNP_CERT_ASK};
    const struct call c = {k, url, retry_ms == NULL ? &unused : retry_ms, err, UNKNOWN_PRODUCT};
    AUTO(buf_deinit)
    struct buf body = {0};
    product_url(k, product, kind, "cert_chain", url);
    TRY(get(&c, LIMIT_PEM, &body));
    struct result r = read_chain(&c, buf_span(&body), &reading);
    if (!is_ok(r)) {
        kds_chain_deinit(&chain);
        return r;
    }
    *out = chain;
    return OK;
}

static size_t side_of(enum snp_product product, enum snp_signing_key kind) {
    CHECK(product >= SNP_MILAN && product <= SNP_TURIN);
    return (size_t)product * 2 + (kind == SNP_KEY_VLEK ? 1 : 0);
}

/* The service's own certificates: asked for once, and again after they led nowhere. */
static struct result need_chain(const struct call *c, enum snp_product product,
                                enum snp_signing_key kind, struct kds_chain **out) {
    struct kds_chain *chain = &c->k->chains[side_of(product, kind)];
    if (chain->count == 0) {
        TRY(kds_fetch_chain(c->k, product, kind, chain, c->retry_ms, c->err));
    }
    *out = chain;
    return OK;
}

/* ---- VCEK ---- */

static struct result check_vek(const struct call *c, const struct snp_endorsement_key *key,
                               const struct kds_chain *chain, struct span der, struct err *err) {
    struct span certificates[KDS_CERTIFICATES_MAX];
    size_t count = chain == NULL ? 0 : chain->count;
    for (size_t i = 0; i < count; i++) {
        certificates[i] = buf_span(&chain->items[i]);
    }
    return snp_endorsement_check(key, der, certificates, count,
                                 (const uint8_t(*)[32])c->k->extra_roots, c->k->extra_root_count,
                                 host_unix_s(c->k->host), err);
}

/* True when AMD's own authorities did not issue it; else something about itself is false. */
static bool may_hang_elsewhere(const struct kds *k, const struct err *why) {
    static const char *const codes[] = {"SNP-CERT-SIGNATURE:", "SNP-CERT-ISSUER:"};
    bool found = false;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        found = found || strncmp(why->text, codes[i], strlen(codes[i])) == 0;
    }
    return found && k->extra_root_count > 0;
}

/* AMD's own authorities are built in; those of an extra root the service must show. */
static struct result prove_vek(const struct call *c, const struct snp_endorsement_key *key,
                               struct span der) {
    struct kds_chain *chain = NULL;
    struct err why = {0};
    struct result r = check_vek(c, key, NULL, der, &why);
    if (is_ok(r) || !may_hang_elsewhere(c->k, &why)) {
        return is_ok(r) ? r : err_set(c->err, r.code, "%s: %s", c->url, why.text);
    }
    TRY(need_chain(c, key->product, SNP_KEY_VCEK, &chain));
    r = check_vek(c, key, chain, der, c->err);
    if (!is_ok(r)) {
        kds_chain_deinit(chain);
        return err_wrap(r, c->err, "%s", c->url);
    }
    return OK;
}

struct result kds_fetch_vek(struct kds *k, const struct snp_endorsement_key *key, struct buf *der,
                            uint64_t *retry_ms, struct err *err) {
    char url[LIMIT_KDS_URL];
    uint64_t unused = 0;
    const struct call c = {k, url, retry_ms == NULL ? &unused : retry_ms, err, UNKNOWN_CHIP};
    AUTO(buf_deinit)
    struct buf body = {0};
    kds_vek_url(k->base, key, url);
    TRY(get(&c, LIMIT_CERT, &body));
    TRY(prove_vek(&c, key, buf_span(&body)));
    buf_append_span(der, buf_span(&body));
    return OK;
}

/* ---- revocation lists ---- */

static bool is_extra(const struct kds *k, const uint8_t digest[32]) {
    for (size_t i = 0; i < k->extra_root_count; i++) {
        if (memcmp(k->extra_roots[i], digest, 32) == 0) {
            return true;
        }
    }
    return false;
}

static struct result check_crl(struct span list, struct span root, const struct kds *extra_of,
                               struct err *err) {
    struct snp_cert ark = {0};
    struct snp_crl_facts facts;
    TRY(snp_cert_parse(root, "ARK", &ark, NULL, err));
    struct result r = extra_of == NULL || is_extra(extra_of, ark.spki_digest)
                          ? snp_crl_check(list, &ark, &facts, err)
                          : err_set(err, ERR_DENIED, "its root is not a permitted one");
    snp_cert_deinit(&ark);
    return r;
}

/* Signed by AMD's root, or by a permitted one that the service shows. */
static struct result prove_crl(const struct call *c, enum snp_product product,
                               enum snp_signing_key kind, struct span list) {
    struct kds_chain *chain = NULL;
    struct result r = check_crl(list, snp_roots_der(product, SNP_CERT_ARK), NULL, c->err);
    if (is_ok(r) || c->k->extra_root_count == 0) {
        return is_ok(r) ? r : err_wrap(r, c->err, "%s", c->url);
    }
    TRY(need_chain(c, product, kind, &chain));
    for (size_t i = 0; i < chain->count && !is_ok(r); i++) {
        r = check_crl(list, buf_span(&chain->items[i]), c->k, c->err);
    }
    if (!is_ok(r)) {
        kds_chain_deinit(chain);
        return err_wrap(r, c->err, "%s", c->url);
    }
    return OK;
}

struct result kds_fetch_crl(struct kds *k, enum snp_product product, enum snp_signing_key kind,
                            struct buf *der, uint64_t *retry_ms, struct err *err) {
    char url[LIMIT_KDS_URL];
    uint64_t unused = 0;
    const struct call c = {k, url, retry_ms == NULL ? &unused : retry_ms, err, UNKNOWN_PRODUCT};
    AUTO(buf_deinit)
    struct buf body = {0};
    product_url(k, product, kind, "crl", url);
    TRY(get(&c, LIMIT_CRL, &body));
    TRY(prove_crl(&c, product, kind, buf_span(&body)));
    buf_append_span(der, buf_span(&body));
    return OK;
}
