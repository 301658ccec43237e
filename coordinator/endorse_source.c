/* Endorse source: see endorse_source.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/endorse_source.h"

#include <string.h>

#include "attest/endorse/fetcher.h"
#include "attest/endorse/import.h"
#include "attest/snp_roots.h"
#include "coordinator/completion.h"
#include "coordinator/worker.h"
#include "lib/base/log.h"

#define AUTHORITIES_MAX 32 /* ASKs and ARKs of simulated machines */

struct authority {
    enum snp_product product;
    enum snp_cert_kind kind;
    uint8_t spki_digest[32];
    struct buf der;
};

struct endorse_source {
    const struct config *config;
    const struct host *host;
    struct mailbox *core;
    struct fetcher *fetcher; /* NULL: off */
    struct kds *chains;      /* for authorities; the fetcher's thread alone */
    struct authority authorities[AUTHORITIES_MAX];
    size_t authority_count;
    void (*on_item)(void *data, const struct entry_collateral *item);
    void *data;
};

/* --- Authorities of simulated machines. Written by the opening thread before the fetcher starts,
 * then by the fetcher's thread alone. */

static void add_authority(struct endorse_source *s, enum snp_cert_kind kind, struct span der) {
    struct snp_cert cert = {0};
    if (!is_ok(snp_cert_parse(der, "certificate", &cert, NULL, NULL))) {
        return;
    }
    bool is_known = s->authority_count == AUTHORITIES_MAX;
    for (size_t i = 0; i < s->authority_count; i++) {
        is_known = is_known || span_equal(buf_span(&s->authorities[i].der), der);
    }
    if (!is_known && cert.kind == kind) {
        struct authority *a = &s->authorities[s->authority_count++];
        *a = (struct authority){.product = cert.product, .kind = kind};
        memcpy(a->spki_digest, cert.spki_digest, sizeof a->spki_digest);
        buf_append_span(&a->der, der);
    }
    snp_cert_deinit(&cert);
}

static bool is_permitted(const struct endorse_source *s, const struct authority *a) {
    for (size_t i = 0; i < s->config->permitted_root_count; i++) {
        if (memcmp(s->config->permitted_roots[i], a->spki_digest, 32) == 0) {
            return true;
        }
    }
    return false;
}

/* --- Proofs */

static RESULT check(const struct endorse_source *s, const struct snp_endorsement_key *key,
                    struct span der, const struct span *certificates, size_t count,
                    struct err *err) {
    const struct config *c = s->config;
    bool is_simulated = count > 0;
    return snp_endorsement_check(
        key, der, certificates, count, is_simulated ? c->permitted_roots : NULL,
        is_simulated ? c->permitted_root_count : 0, host_unix_s(s->host), err);
}

/* Fills key, der and, below a simulated root, the authorities that prove it. */
static RESULT prove_vek(const struct endorse_source *s, const struct snp_endorsement_key *key,
                        struct span der, struct entry_collateral *out, struct err *err) {
    *out = (struct entry_collateral){.kind = COLLATERAL_VEK, .der = der};
    completion_to_entry(key, &out->key);
    struct result r = check(s, key, der, NULL, 0, err);
    for (size_t i = 0; !is_ok(r) && i < s->authority_count; i++) {
        const struct authority *root = &s->authorities[i];
        for (size_t k = 0; k < s->authority_count && root->kind == SNP_CERT_ARK; k++) {
            struct span pair[2] = {buf_span(&s->authorities[k].der), buf_span(&root->der)};
            bool is_pair = s->authorities[k].kind == SNP_CERT_ASK &&
                           s->authorities[k].product == key->product && is_permitted(s, root);
            if (is_pair && is_ok(check(s, key, der, pair, 2, NULL))) {
                out->authority = pair[0];
                out->root = pair[1];
                return OK;
            }
        }
    }
    return r;
}

static RESULT prove_list_by(struct span root_der, struct span der, struct entry_collateral *out,
                            struct err *err) {
    struct snp_cert root = {0};
    struct snp_crl_facts facts = {0};
    TRY(snp_cert_parse(root_der, "ARK", &root, NULL, err));
    struct result r = snp_crl_check(der, &root, &facts, err);
    memcpy(out->anchor, root.spki_digest, sizeof out->anchor);
    out->number = facts.number;
    out->this_update = facts.this_update;
    out->next_update = facts.next_update;
    snp_cert_deinit(&root);
    return r;
}

static RESULT prove_list(const struct endorse_source *s, enum snp_product product,
                         enum snp_signing_key kind, struct span der, struct entry_collateral *out,
                         struct err *err) {
    *out = (struct entry_collateral){.kind = COLLATERAL_CRL, .der = der};
    out->key.product = (uint8_t)product;
    out->key.signing = kind == SNP_KEY_VLEK ? 1 : 0;
    struct result r = prove_list_by(snp_roots_der(product, SNP_CERT_ARK), der, out, err);
    for (size_t i = 0; !is_ok(r) && i < s->authority_count; i++) {
        const struct authority *a = &s->authorities[i];
        if (a->kind == SNP_CERT_ARK && a->product == product && is_permitted(s, a)) {
            r = prove_list_by(buf_span(&a->der), der, out, err);
        }
    }
    return r;
}

/* --- Files */

/* Authorities first: certificates are proven by them in the second round. */
static struct result take_authority(void *data, const struct import_item *item, struct err *err) {
    (void)err;
    if (item->kind == SNP_CERT_ASK || item->kind == SNP_CERT_ARK) {
        add_authority(data, item->kind, item->der);
    }
    return OK;
}

static struct result take_item(void *data, const struct import_item *item, struct err *err) {
    struct endorse_source *s = data;
    struct entry_collateral c;
    struct err why;
    struct result r;
    (void)err;
    if (item->is_crl) {
        r = prove_list(s, item->product, SNP_KEY_VCEK, item->der, &c, &why);
    } else if (item->has_key) {
        r = prove_vek(s, &item->key, item->der, &c, &why);
    } else {
        return OK;
    }
    if (is_ok(r)) {
        s->on_item(s->data, &c);
    } else {
        log_warn("CONTRAST_ENDORSEMENTS: %s is not used: %s", item->path, why.text);
    }
    return OK;
}

static void on_skipped(void *data, const char *path, const char *why) {
    (void)data;
    log_warn("CONTRAST_ENDORSEMENTS: %s is skipped: %s", path, why);
}

static RESULT import_files(struct endorse_source *s, struct err *err) {
    if (s->config->endorsements[0] == 0) {
        return OK;
    }
    struct import_hooks hooks = {s, take_authority, NULL};
    struct import_counts counts = {0};
    struct err why;
    struct result r = import_path(s->config->endorsements, &hooks, &counts, &why);
    if (is_ok(r)) {
        hooks = (struct import_hooks){s, take_item, on_skipped};
        r = import_path(s->config->endorsements, &hooks, &counts, &why);
    }
    if (!is_ok(r)) {
        return err_set(err, ERR_CONFIG, "CONTRAST_ENDORSEMENTS: %.700s", why.text);
    }
    log_info("CONTRAST_ENDORSEMENTS: %zu certificates and lists read, %zu files skipped",
             counts.items, counts.skipped);
    return OK;
}

/* --- The service */

static void post_failure(struct endorse_source *s, const struct entry_endorsement *key,
                         const struct err *err) {
    struct letter *l = letter_new(CORE_FETCH_FAILED, 0);
    l->code = err->code;
    l->text = mem_strdup(err->text);
    l->retry_ms = err->retry_ms;
    buf_append(&l->bytes, key, sizeof *key);
    mailbox_post_always(s->core, l);
}

static void post_item(struct endorse_source *s, const struct entry_collateral *c) {
    struct letter *l = letter_new(CORE_FETCHED, 0);
    entry_encode(ENTRY_COLLATERAL, c, &l->bytes);
    mailbox_post_always(s->core, l);
}

/* The authorities of a simulated machine, once. */
static void fetch_authorities(struct endorse_source *s, enum snp_product product) {
    struct kds_chain chain = {0};
    struct err err;
    if (s->config->permitted_root_count > 0 &&
        is_ok(kds_fetch_chain(s->chains, product, SNP_KEY_VCEK, &chain, NULL, &err))) {
        for (size_t i = 0; i < chain.count; i++) {
            add_authority(s, SNP_CERT_ASK, buf_span(&chain.items[i]));
            add_authority(s, SNP_CERT_ARK, buf_span(&chain.items[i]));
        }
    }
    kds_chain_deinit(&chain);
}

static void on_fetched(void *data, const struct snp_endorsement_key *key, struct span der) {
    struct endorse_source *s = data;
    struct entry_collateral c;
    struct err err;
    struct result r = prove_vek(s, key, der, &c, &err);
    if (!is_ok(r)) {
        fetch_authorities(s, key->product);
        r = prove_vek(s, key, der, &c, &err);
    }
    if (is_ok(r)) {
        post_item(s, &c);
    } else {
        post_failure(s, &c.key, &err);
    }
}

static void on_failed(void *data, const struct snp_endorsement_key *key, const struct err *err) {
    struct entry_endorsement named;
    completion_to_entry(key, &named);
    post_failure(data, &named, err);
}

static void on_crl(void *data, enum snp_product product, enum snp_signing_key kind,
                   struct span der) {
    struct endorse_source *s = data;
    struct entry_collateral c;
    struct err err;
    struct result r = prove_list(s, product, kind, der, &c, &err);
    if (!is_ok(r)) {
        fetch_authorities(s, product);
        r = prove_list(s, product, kind, der, &c, &err);
    }
    if (is_ok(r)) {
        post_item(s, &c);
    } else {
        post_failure(s, &c.key, &err);
    }
}

static void on_crl_failed(void *data, enum snp_product product, enum snp_signing_key kind,
                          const struct err *err) {
    struct entry_endorsement key = {.product = (uint8_t)product,
                                    .signing = kind == SNP_KEY_VLEK ? 1 : 0};
    post_failure(data, &key, err);
}

static RESULT start_fetcher(struct endorse_source *s, struct err *err) {
    const struct config *c = s->config;
    if (strcmp(c->kds_url, "off") == 0) {
        return OK;
    }
    struct fetcher_config config = {
        .kds = {.base = c->kds_url,
                .ca_file = c->kds_ca_file[0] == 0 ? NULL : c->kds_ca_file,
                .extra_roots = c->permitted_roots,
                .extra_root_count = c->permitted_root_count,
                .host = s->host},
        .hooks = {.data = s,
                  .on_fetched = on_fetched,
                  .on_failed = on_failed,
                  .on_crl = on_crl,
                  .on_crl_failed = on_crl_failed},
        .attempts = 1, /* the endorser tries again, with the log's permission */
        .host = s->host,
    };
    TRY(kds_open(&config.kds, &s->chains, err));
    return fetcher_start(&config, &s->fetcher, err);
}

RESULT endorse_source_fetch(struct endorse_source *s, const struct entry_endorsement *key,
                            struct err *err) {
    ENSURE(s->fetcher != NULL, err, UNAVAILABLE, "CONTRAST_KDS_URL is off");
    if (entry_endorsement_is_list(key)) {
        return fetcher_submit_crl(s->fetcher, (enum snp_product)key->product,
                                  key->signing == 1 ? SNP_KEY_VLEK : SNP_KEY_VCEK, err);
    }
    struct snp_endorsement_key named;
    completion_from_entry(key, &named);
    return fetcher_submit(s->fetcher, &named, err);
}

/* --- Life */

RESULT endorse_source_open(const struct config *config, const struct host *host,
                           struct mailbox *core,
                           void (*on_item)(void *data, const struct entry_collateral *item),
                           void *data, struct endorse_source **out, struct err *err) {
    struct endorse_source *s = mem_zalloc(sizeof *s);
    s->config = config;
    s->host = host;
    s->core = core;
    s->on_item = on_item;
    s->data = data;
    struct result r = import_files(s, err);
    r = is_ok(r) ? start_fetcher(s, err) : r;
    if (!is_ok(r)) {
        endorse_source_close(s);
        return r;
    }
    *out = s;
    return OK;
}

void endorse_source_close(struct endorse_source *s) {
    if (s == NULL) {
        return;
    }
    if (s->chains != NULL) {
        kds_cancel(s->chains);
    }
    fetcher_stop(s->fetcher);
    kds_close(s->chains);
    for (size_t i = 0; i < s->authority_count; i++) {
        buf_deinit(&s->authorities[i].der);
    }
    mem_free(s);
}

bool endorse_source_has_service(const struct endorse_source *s) {
    return s->fetcher != NULL;
}
