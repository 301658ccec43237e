/* Lists: see lists.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/lists.h"

#include <stdatomic.h>
#include <string.h>

struct lists {
    atomic_uint refs;
    struct core_crl rows[LIMIT_COLLATERAL_CRLS]; /* DER in `bytes` */
    struct span spans[LIMIT_COLLATERAL_CRLS];
    size_t count;
    struct arena arena;
};

static bool is_needless(const struct lists *l, const struct core_crl *row) {
    bool is_needless = false;
    for (size_t i = 0; !is_needless && i < l->count; i++) {
        is_needless = core_crl_outdates(&l->rows[i], row);
    }
    return is_needless;
}

static void drop_outdated(struct lists *l, const struct core_crl *row) {
    size_t kept = 0;
    for (size_t i = 0; i < l->count; i++) {
        if (!core_crl_outdates(row, &l->rows[i])) {
            l->rows[kept++] = l->rows[i];
        }
    }
    l->count = kept;
}

static void add(struct lists *l, const struct core_crl *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (is_needless(l, &rows[i])) {
            continue;
        }
        drop_outdated(l, &rows[i]);
        if (l->count < LIMIT_COLLATERAL_CRLS) {
            l->rows[l->count++] = rows[i];
        }
    }
}

struct lists *lists_new(const struct core_crl *first, size_t first_count,
                        const struct core_crl *second, size_t second_count) {
    struct lists *l = mem_zalloc(sizeof *l);
    atomic_init(&l->refs, 1);
    add(l, first, first_count);
    add(l, second, second_count);
    for (size_t i = 0; i < l->count; i++) {
        struct span der = l->rows[i].der;
        const char *copy = arena_strndup(&l->arena, (const char *)der.data, der.size);
        l->rows[i].der = span_of(copy, der.size);
        l->spans[i] = l->rows[i].der;
    }
    return l;
}

struct lists *lists_ref(struct lists *l) {
    atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
    return l;
}

void lists_unref(struct lists *l) {
    if (l != NULL && atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) == 1) {
        arena_deinit(&l->arena);
        mem_free(l);
    }
}

bool lists_same(const struct lists *a, const struct lists *b) {
    size_t count = a == NULL ? 0 : a->count;
    bool is_same = count == (b == NULL ? 0 : b->count);
    for (size_t i = 0; is_same && i < count; i++) {
        is_same = span_equal(a->spans[i], b->spans[i]);
    }
    return is_same;
}

const struct span *lists_spans(const struct lists *l, size_t *count) {
    *count = l == NULL ? 0 : l->count;
    return l == NULL ? NULL : l->spans;
}

const struct core_crl *lists_rows(const struct lists *l, size_t *count) {
    *count = l == NULL ? 0 : l->count;
    return l == NULL ? NULL : l->rows;
}

int64_t lists_time(const struct lists *l) {
    int64_t time = 0;
    for (size_t i = 0; l != NULL && i < l->count; i++) {
        time = l->rows[i].this_update > time ? l->rows[i].this_update : time;
    }
    return time;
}
