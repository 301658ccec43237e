/* Supplement: see supplement.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/supplement.h"

#include <string.h>

#include "attest/snp_product.h"
#include "coordinator/completion.h"
#include "coordinator/worker.h"
#include "lib/base/log.h"

#define AGAIN_LEAST_MS 1000 /* after a question that was not answered */
#define AGAIN_MOST_MS 5000  /* the cluster may learn it sooner than the service answers */
#define LIST_MAX (LIMIT_FRAME_BODY_UNAUTHENTICATED - LIMIT_EVIDENCE - 1024) /* sent along */
#define LIST_AGAIN_MS 10000 /* between two questions for a list */

/* One letter that waits for the endorser. */
struct waiting {
    struct supplement *supplement;
    struct letter *letter;
};

void supplement_init(struct supplement *s, struct worker *w,
                     void (*done)(struct worker *w, struct letter *l)) {
    *s = (struct supplement){.worker = w, .done = done};
}

void supplement_deinit(struct supplement *s) {
    buf_deinit(&s->bytes);
    arena_deinit(&s->arena);
    *s = (struct supplement){0};
}

void supplement_retry(struct supplement *s) {
    s->not_before = 0;
    s->list_not_before = 0;
}

/* Whether the certificate that is kept here is the one of this report: a version 2 report may be of
 * two products, and has a key of each. */
static bool is_mine(const struct supplement *s, const struct completion *c) {
    bool found = false;
    for (size_t i = 0; i < c->key_count; i++) {
        found = found || (s->is_known && entry_endorsement_same(&c->keys[i], &s->vek.key));
    }
    return found;
}

/* --- Filling */

/* The newest list of the root that this evidence hangs from: AMD's, unless it brings another. */
static struct span find_list(const struct supplement *s, struct completion *c) {
    size_t count = 0;
    const struct core_crl *rows = lists_rows(worker_lists(s->worker), &count);
    struct span list = {0};
    int64_t from = INT64_MIN;
    if (count == 0 || c->has_crl) {
        return list;
    }
    completion_authorities(c);
    const uint8_t *anchor = snp_product_root((enum snp_product)c->list.product);
    struct span root_der = !c->has_vek && s->is_known ? s->vek.root : c->root;
    struct snp_cert root = {0};
    if (root_der.size > 0 && is_ok(snp_cert_parse(root_der, "ARK", &root, NULL, NULL))) {
        anchor = root.spki_digest;
    }
    for (size_t i = 0; anchor != NULL && i < count; i++) {
        if (entry_endorsement_same(&rows[i].key, &c->list) && rows[i].der.size <= LIST_MAX &&
            rows[i].this_update > from &&
            memcmp(rows[i].anchor, anchor, sizeof rows[i].anchor) == 0) {
            from = rows[i].this_update;
            list = rows[i].der;
        }
    }
    snp_cert_deinit(&root);
    return list;
}

static void ignore(void *owner, const struct letter *reply) {
    (void)owner; /* lists come to the worker by themselves */
    (void)reply;
}

static void look_for_list(struct supplement *s, const struct completion *c) {
    const struct view *v = worker_view(s->worker);
    uint64_t now = host_monotonic_ms(worker_identity(s->worker)->host);
    if ((v != NULL && v->is_founded) || c->has_crl || now < s->list_not_before ||
        c->list.product == SNP_PRODUCT_UNKNOWN) {
        return;
    }
    s->list_not_before = now + LIST_AGAIN_MS;
    err_ignore(
        worker_ask(s->worker, CORE_ENDORSE, span_of(&c->list, sizeof c->list), s, ignore, NULL),
        "looked for again");
}

static void fill(struct supplement *s, struct letter *l) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct completion c;
    struct buf completed = {0};
    if (is_ok(completion_read(buf_span(&l->bytes), &arena, &c, NULL))) {
        bool lacks_vek = !c.has_vek && is_mine(s, &c);
        struct span list = find_list(s, &c);
        if (list.size == 0) {
            look_for_list(s, &c);
        }
        if ((lacks_vek || list.size > 0) &&
            is_ok(completion_fill(buf_span(&l->bytes), lacks_vek ? &s->vek : NULL, list, &completed,
                                  NULL))) {
            buf_clear(&l->bytes);
            buf_append_span(&l->bytes, buf_span(&completed));
        }
    }
    buf_deinit(&completed);
    s->done(s->worker, l);
}

/* --- Asking */

static void keep(struct supplement *s, struct span entry_bytes) {
    struct entry entry;
    arena_deinit(&s->arena);
    s->arena = (struct arena){0};
    buf_clear(&s->bytes);
    buf_append_span(&s->bytes, entry_bytes);
    s->is_known = is_ok(entry_decode_own(buf_span(&s->bytes), &s->arena, &entry, NULL)) &&
                  entry.type == ENTRY_COLLATERAL;
    if (s->is_known) {
        s->vek = (struct core_vek){entry.collateral.key, entry.collateral.der,
                                   entry.collateral.authority, entry.collateral.root};
    }
}

static void rest(struct supplement *s, const char *why, uint64_t ms) {
    ms = ms < AGAIN_LEAST_MS ? AGAIN_LEAST_MS : ms;
    ms = ms > AGAIN_MOST_MS ? AGAIN_MOST_MS : ms;
    s->not_before = host_monotonic_ms(worker_identity(s->worker)->host) + ms;
    log_warn("this replica's evidence goes out without its certificate: %s", why);
}

static void on_endorsed(void *owner, const struct letter *reply) {
    struct waiting *waiting = owner;
    struct supplement *s = waiting->supplement;
    struct letter *l = waiting->letter;
    mem_free(waiting);
    if (reply->code == ERR_OK) {
        keep(s, buf_span(&reply->bytes));
    } else {
        rest(s, reply->text == NULL ? err_text(reply->code) : reply->text, reply->retry_ms);
    }
    fill(s, l);
}

static bool must_ask(const struct supplement *s, const struct completion *c) {
    return !c->has_vek && c->key_count > 0 && !is_mine(s, c) &&
           host_monotonic_ms(worker_identity(s->worker)->host) >= s->not_before;
}

void supplement_start(struct supplement *s, struct letter *l) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct completion c;
    struct err err;
    if (!is_ok(completion_read(buf_span(&l->bytes), &arena, &c, NULL)) || !must_ask(s, &c)) {
        fill(s, l);
        return;
    }
    struct waiting *waiting = mem_alloc(sizeof *waiting);
    *waiting = (struct waiting){s, l};
    struct span keys = span_of(c.keys, c.key_count * sizeof c.keys[0]);
    if (!is_ok(worker_ask(s->worker, CORE_ENDORSE, keys, waiting, on_endorsed, &err))) {
        mem_free(waiting);
        rest(s, err.text, 0);
        fill(s, l);
    }
}
