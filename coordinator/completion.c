/* Completion: see completion.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/completion.h"

#include <string.h>

#include "attest/session.h"

void completion_to_entry(const struct snp_endorsement_key *key, struct entry_endorsement *out) {
    *out = (struct entry_endorsement){.product = (uint8_t)key->product};
    memcpy(out->chip_id, key->chip_id, sizeof out->chip_id);
    memcpy(out->tcb, key->tcb, sizeof out->tcb);
}

void completion_from_entry(const struct entry_endorsement *key, struct snp_endorsement_key *out) {
    *out = (struct snp_endorsement_key){.product = (enum snp_product)key->product};
    memcpy(out->chip_id, key->chip_id, sizeof out->chip_id);
    memcpy(out->tcb, key->tcb, sizeof out->tcb);
}

static void read_keys(struct completion *c) {
    struct snp_report report;
    struct snp_endorsement_key keys[2];
    if (!is_ok(snp_report_parse(c->report, &report, NULL, NULL))) {
        return;
    }
    c->key_count = snp_endorsement_keys(&report, keys);
    for (size_t i = 0; i < c->key_count; i++) {
        completion_to_entry(&keys[i], &c->keys[i]);
    }
    enum snp_product product = snp_product_of_report(&report);
    c->list.signing = snp_report_signing_key(&report) == SNP_KEY_VLEK ? 1 : 0;
    c->list.product = (uint8_t)product;
}

struct result completion_read(struct span evidence, struct arena *arena, struct completion *out,
                              struct err *err) {
    struct evidence e;
    *out = (struct completion){0};
    TRY(wire_decode(&evidence_type, evidence, arena, &e, err));
    out->report = e.report;
    out->has_vek = e.vek.size > 0;
    out->has_crl = e.crl.size > 0;
    out->vek = e.vek;
    const struct evidence_certificate *chain = e.chain.items;
    for (size_t i = 0; i < e.chain.count && i < LIMIT_EVIDENCE_CHAIN; i++) {
        out->chain[out->chain_count++] = chain[i].der;
    }
    read_keys(out);
    return OK;
}

void completion_authorities(struct completion *c) {
    for (size_t i = 0; i < c->chain_count; i++) {
        struct snp_cert cert = {0};
        if (is_ok(snp_cert_parse(c->chain[i], "certificate", &cert, NULL, NULL))) {
            bool is_root = cert.kind == SNP_CERT_ARK;
            bool is_authority = cert.kind == SNP_CERT_ASK || cert.kind == SNP_CERT_ASVK;
            c->root = is_root ? c->chain[i] : c->root;
            c->authority = is_authority ? c->chain[i] : c->authority;
            if (c->list.product == SNP_PRODUCT_UNKNOWN && (is_root || is_authority)) {
                c->list.product = (uint8_t)cert.product;
            }
        }
        snp_cert_deinit(&cert);
    }
}

static void add_certificate(struct evidence_certificate *chain, size_t *count, struct span der) {
    bool is_new = der.size > 0 && *count < LIMIT_EVIDENCE_CHAIN;
    for (size_t i = 0; i < *count; i++) {
        is_new = is_new && !span_equal(chain[i].der, der);
    }
    if (is_new) {
        chain[(*count)++].der = der;
    }
}

struct result completion_fill(struct span evidence, const struct core_vek *vek, struct span crl,
                              struct buf *out, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct evidence e;
    struct evidence_certificate chain[LIMIT_EVIDENCE_CHAIN] = {{{0}}};
    TRY(wire_decode(&evidence_type, evidence, &arena, &e, err));
    size_t count = e.chain.count;
    if (count > 0) {
        memcpy(chain, e.chain.items, count * sizeof chain[0]);
    }
    if (vek != NULL && e.vek.size == 0) {
        e.vek = vek->der;
        add_certificate(chain, &count, vek->authority);
        add_certificate(chain, &count, vek->root);
    }
    e.crl = e.crl.size == 0 ? crl : e.crl;
    e.chain = (struct wire_list){chain, count};
    wire_encode(&evidence_type, &e, out);
    return OK;
}
