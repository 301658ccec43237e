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

bool endorser_store_put_list(struct endorser_store *s, const struct core_crl *list) {
    size_t at = 0;
    while (at < s->list_count &&
           (!entry_endorsement_same(&s->lists[at].key, &list->key) ||
            memcmp(s->lists[at].anchor, list->anchor, sizeof list->anchor) != 0)) {
        at++;
    }
    if (at == LIMIT_COLLATERAL_CRLS) {
        return false;
    }
    bool is_new = at == s->list_count || list->number > s->lists[at].number;
    bool is_same = !is_new && span_equal(list->der, s->lists[at].der);
    if (is_new) {
        struct core_crl copy = *list;
        copy.der = dup(list->der);
        if (at < s->list_count) {
            free_span(&s->lists[at].der);
        }
        s->list_count += at == s->list_count ? 1 : 0;
        s->lists[at] = copy;
        s->list_offered_ms[at] = 0;
    } else if (is_same && list->seen > s->lists[at].seen) {
        s->lists[at].seen = list->seen;
    }
    return is_new || is_same;
}
