/* Endorser's own store: see endorser_store.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/endorser_store.h"

#include <string.h>

static struct span dup(struct span s) {
    if (s.size == 0) {
        return (struct span){0};
    }
    uint8_t *copy = mem_alloc(s.size);
    memcpy(copy, s.data, s.size);
    return span_of(copy, s.size);
}

static void free_span(struct span *s) {
    mem_free((void *)(uintptr_t)s->data);
    *s = (struct span){0};
}

static void free_row(struct endorser_row *row) {
    free_span(&row->vek.der);
    free_span(&row->vek.authority);
    free_span(&row->vek.root);
}

void endorser_store_deinit(struct endorser_store *s) {
    for (size_t i = 0; i < s->count; i++) {
        free_row(&s->rows[i]);
    }
    mem_free(s->rows);
    for (size_t i = 0; i < s->list_count; i++) {
        free_span(&s->lists[i].der);
    }
    *s = (struct endorser_store){0};
}

void endorser_store_remove(struct endorser_store *s, size_t index) {
    CHECK(index < s->count);
    free_row(&s->rows[index]);
    s->count--;
    memmove(&s->rows[index], &s->rows[index + 1], (s->count - index) * sizeof s->rows[0]);
}

static size_t index_of(const struct endorser_store *s, const struct entry_endorsement *key) {
    size_t at = 0;
    while (at < s->count && !entry_endorsement_same(&s->rows[at].vek.key, key)) {
        at++;
    }
    return at;
}

/* False when every row was imported. */
static bool make_room(struct endorser_store *s) {
    for (size_t i = 0; s->count == LIMIT_COLLATERAL_VEKS && i < s->count; i++) {
        if (!s->rows[i].is_imported) {
            endorser_store_remove(s, i);
        }
    }
    return s->count < LIMIT_COLLATERAL_VEKS;
}

bool endorser_store_put(struct endorser_store *s, const struct core_vek *vek, bool is_imported) {
    size_t old = index_of(s, &vek->key);
    if (old < s->count) {
        is_imported = is_imported || s->rows[old].is_imported;
        endorser_store_remove(s, old);
    }
    if (!make_room(s)) {
        return false;
    }
    if (s->rows == NULL) {
        s->rows = mem_calloc(LIMIT_COLLATERAL_VEKS, sizeof *s->rows);
    }
    s->rows[s->count++] = (struct endorser_row){
        .vek = {vek->key, dup(vek->der), dup(vek->authority), dup(vek->root)},
        .is_imported = is_imported,
    };
    return true;
}

const struct core_vek *endorser_store_find(const struct endorser_store *s,
                                           const struct entry_endorsement *key) {
    size_t at = index_of(s, key);
    return at < s->count ? &s->rows[at].vek : NULL;
}

static void remove_list(struct endorser_store *s, size_t at) {
    size_t behind = s->list_count - at - 1;
    free_span(&s->lists[at].der);
    memmove(&s->lists[at], &s->lists[at + 1], behind * sizeof s->lists[0]);
    memmove(&s->list_offered_ms[at], &s->list_offered_ms[at + 1],
            behind * sizeof s->list_offered_ms[0]);
    s->list_count--;
}

static bool is_same_list(const struct core_crl *a, const struct core_crl *b) {
    return entry_endorsement_same(&a->key, &b->key) &&
           memcmp(a->anchor, b->anchor, sizeof a->anchor) == 0 && span_equal(a->der, b->der);
}

static bool put_new_list(struct endorser_store *s, const struct core_crl *list) {
    for (size_t i = s->list_count; i > 0; i--) {
        if (core_crl_outdates(list, &s->lists[i - 1])) {
            remove_list(s, i - 1);
        }
    }
    if (s->list_count == LIMIT_COLLATERAL_CRLS) {
        return false;
    }
    s->lists[s->list_count] = *list;
    s->lists[s->list_count].der = dup(list->der);
    s->list_offered_ms[s->list_count++] = 0;
    return true;
}

bool endorser_store_put_list(struct endorser_store *s, const struct core_crl *list) {
    for (size_t i = 0; i < s->list_count; i++) {
        struct core_crl *old = &s->lists[i];
        if (is_same_list(list, old)) {
            old->seen = list->seen > old->seen ? list->seen : old->seen;
            return true;
        }
        if (core_crl_outdates(old, list)) {
            return false;
        }
    }
    return put_new_list(s, list);
}
