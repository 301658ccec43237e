/* Tarfs tree: see tarfs_tree.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/layer/tarfs_tree.h"

#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

#define FIRST_CAPACITY 64
#define FIRST_BUCKETS 256
#define COUNT_MAX (UINT32_MAX / 2) /* what the budget allows is far below */

/* ---- keyed lookup: SipHash-1-3 (Aumasson, Bernstein: "SipHash", section 2) ---- */

static uint64_t rotate(uint64_t x, unsigned n) {
    return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word) {
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
}

static uint32_t bucket_of(const struct tarfs_tree *t, uint32_t parent, struct span name) {
    uint64_t v[4] = {
        t->key[0] ^ UINT64_C(0x736f6d6570736575), t->key[1] ^ UINT64_C(0x646f72616e646f6d),
        t->key[0] ^ UINT64_C(0x6c7967656e657261), t->key[1] ^ UINT64_C(0x7465646279746573)};
    uint64_t last = (uint64_t)name.size << 56;
    size_t whole = name.size - name.size % 8;
    sip_word(v, parent);
    for (size_t i = 0; i < whole; i += 8) {
        sip_word(v, load_u64le(name.data + i));
    }
    for (size_t i = whole; i < name.size; i++) {
        last |= (uint64_t)name.data[i] << (8 * (i - whole));
    }
    sip_word(v, last);
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return (uint32_t)(v[0] ^ v[1] ^ v[2] ^ v[3]) & (t->bucket_count - 1);
}

/* ---- arrays ---- */

/* Room for `more` items; grows by an eighth, so that little of the budget is air. */
static void *grow(void *items, uint32_t count, uint32_t more, uint32_t *capacity, size_t size) {
    CHECK(count <= COUNT_MAX && more <= COUNT_MAX);
    if (count + more <= *capacity) {
        return items;
    }
    uint32_t room = *capacity + *capacity / 8 + FIRST_CAPACITY;
    *capacity = room > count + more ? room : count + more;
    return mem_realloc(items, *capacity * size);
}

static uint32_t add_node(struct tarfs_tree *t) {
    t->nodes = grow(t->nodes, t->node_count, 1, &t->node_capacity, sizeof *t->nodes);
    t->nodes[t->node_count] = (struct tarfs_node){.first = TARFS_NONE};
    return t->node_count++;
}

static void fill_buckets(struct tarfs_tree *t, uint32_t count) {
    t->buckets = mem_realloc(t->buckets, count * sizeof *t->buckets);
    t->bucket_count = count;
    memset(t->buckets, 0xff, count * sizeof *t->buckets); /* TARFS_NONE */
    for (uint32_t i = 0; i < t->name_count; i++) {
        struct tarfs_name *n = &t->names[i];
        if (n->parent != TARFS_NONE) {
            uint32_t *head = &t->buckets[bucket_of(t, n->parent, tarfs_tree_text(t, i))];
            n->chain = *head;
            *head = i;
        }
    }
}

void tarfs_tree_init(struct tarfs_tree *t) {
    *t = (struct tarfs_tree){0};
    CHECK(getrandom(t->key, sizeof t->key, 0) == (ssize_t)sizeof t->key);
    fill_buckets(t, FIRST_BUCKETS);
    t->root = add_node(t);
    t->nodes[t->root].mode = TARFS_ROOT_MODE;
}

void tarfs_tree_deinit(struct tarfs_tree *t) {
    mem_free(t->nodes);
    mem_free(t->names);
    mem_free(t->texts);
    mem_free(t->buckets);
    mem_free(t->parts);
    *t = (struct tarfs_tree){0};
}

static void *copy_of(const void *items, size_t size) {
    void *copy = mem_alloc(size + 1);
    if (size > 0) {
        memcpy(copy, items, size);
    }
    return copy;
}

void tarfs_tree_copy(struct tarfs_tree *to, const struct tarfs_tree *from) {
    *to = *from;
    to->parts = NULL;
    to->part_count = to->part_capacity = 0;
    to->node_capacity = from->node_count;
    to->name_capacity = from->name_count;
    to->text_capacity = from->text_size;
    to->nodes = copy_of(from->nodes, from->node_count * sizeof *from->nodes);
    to->names = copy_of(from->names, from->name_count * sizeof *from->names);
    to->texts = copy_of(from->texts, from->text_size);
    to->buckets = copy_of(from->buckets, from->bucket_count * sizeof *from->buckets);
}

uint64_t tarfs_tree_memory(const struct tarfs_tree *t) {
    return t->node_capacity * sizeof *t->nodes + t->name_capacity * sizeof *t->names +
           t->text_capacity + t->bucket_count * sizeof *t->buckets +
           t->part_capacity * sizeof *t->parts;
}

struct span tarfs_tree_text(const struct tarfs_tree *t, uint32_t name) {
    return span_of(t->texts + t->names[name].text, t->names[name].size);
}

/* ---- names ---- */

static uint32_t find(const struct tarfs_tree *t, uint32_t parent, struct span name) {
    uint32_t i = t->buckets[bucket_of(t, parent, name)];
    while (i != TARFS_NONE &&
           (t->names[i].parent != parent || !span_equal(tarfs_tree_text(t, i), name))) {
        i = t->names[i].chain;
    }
    return i;
}

uint32_t tarfs_tree_child(const struct tarfs_tree *t, uint32_t node, struct span name) {
    uint32_t i = find(t, node, name);
    return i == TARFS_NONE ? TARFS_NONE : t->names[i].node;
}

static RESULT check_budget(const struct tarfs_tree *t, size_t more, uint64_t budget,
                           struct err *err) {
    ENSURE(tarfs_tree_memory(t) + more <= budget, err, TOO_LARGE,
           "the index of this layer takes more than the %llu bytes of memory allowed for it "
           "(%u inodes so far); split the layer into smaller ones",
           (unsigned long long)budget, t->node_count);
    return OK;
}

static uint32_t add_text(struct tarfs_tree *t, struct span text) {
    uint32_t at = t->text_size;
    t->texts = grow(t->texts, at, (uint32_t)text.size, &t->text_capacity, 1);
    if (text.size > 0) {
        memcpy(t->texts + at, text.data, text.size);
    }
    t->text_size += (uint32_t)text.size;
    return at;
}

static RESULT add_name(struct tarfs_tree *t, uint32_t parent, struct span text, uint32_t node,
                       uint64_t budget, struct err *err) {
    TRY(check_budget(t, text.size, budget, err));
    if (t->name_count >= t->bucket_count) {
        fill_buckets(t, t->bucket_count * 2);
    }
    t->names = grow(t->names, t->name_count, 1, &t->name_capacity, sizeof *t->names);
    uint32_t i = t->name_count++;
    uint32_t *head = &t->buckets[bucket_of(t, parent, text)];
    t->names[i] = (struct tarfs_name){.parent = parent,
                                      .node = node,
                                      .next = t->nodes[parent].first,
                                      .chain = *head,
                                      .text = add_text(t, text),
                                      .size = (uint32_t)text.size};
    *head = i;
    t->nodes[parent].first = i;
    t->nodes[parent].count++;
    return OK;
}

static void unchain(struct tarfs_tree *t, uint32_t name) {
    struct tarfs_name *n = &t->names[name];
    uint32_t *link = &t->buckets[bucket_of(t, n->parent, tarfs_tree_text(t, name))];
    while (*link != name) {
        link = &t->names[*link].chain;
    }
    *link = n->chain;
    n->parent = TARFS_NONE;
}

/* Names below them stay in the arrays, out of reach. */
static void drop_children(struct tarfs_tree *t, uint32_t node) {
    uint32_t i = t->nodes[node].first;
    while (i != TARFS_NONE) {
        uint32_t next = t->names[i].next;
        unchain(t, i);
        i = next;
    }
    t->nodes[node].first = TARFS_NONE;
    t->nodes[node].count = 0;
}

/* ---- paths ---- */

static void add_part(struct tarfs_tree *t, struct span part) {
    if (t->part_count == t->part_capacity) {
        t->part_capacity = 2 * t->part_capacity + FIRST_CAPACITY;
        t->parts = mem_realloc(t->parts, t->part_capacity * sizeof *t->parts);
    }
    t->parts[t->part_count++] = part;
}

/* Cuts `path` into t->parts; false when it leaves the root. */
static bool split(struct tarfs_tree *t, struct span path) {
    t->part_count = 0;
    while (path.size > 0) {
        const uint8_t *slash = memchr(path.data, '/', path.size);
        size_t n = slash == NULL ? path.size : (size_t)(slash - path.data);
        struct span part = span_of(path.data, n);
        size_t taken = slash == NULL ? n : n + 1;
        path = span_of(path.data + taken, path.size - taken);
        if (part.size == 0 || span_equal(part, span_str("."))) {
            continue;
        }
        if (!span_equal(part, span_str(".."))) {
            add_part(t, part);
        } else if (t->part_count == 0) {
            return false;
        } else {
            t->part_count--;
        }
    }
    return true;
}

/* The node at the first `count` parts; those that are missing come into being with mode 0. */
static RESULT reach(struct tarfs_tree *t, size_t count, uint64_t budget, uint32_t *node,
                    struct err *err) {
    uint32_t at = t->root;
    for (size_t i = 0; i < count; i++) {
        uint32_t child = tarfs_tree_child(t, at, t->parts[i]);
        if (child == TARFS_NONE) {
            child = add_node(t);
            TRY(add_name(t, at, t->parts[i], child, budget, err));
        }
        at = child;
    }
    *node = at;
    return OK;
}

bool tarfs_tree_means(struct tarfs_tree *t, struct span path, const char *folder,
                      const char *name) {
    return split(t, path) && t->part_count == 2 && span_equal(t->parts[0], span_str(folder)) &&
           span_equal(t->parts[1], span_str(name));
}

/* ---- entries ---- */

static RESULT put_whiteout(struct tarfs_tree *t, uint64_t budget, struct err *err) {
    struct span *last = &t->parts[t->part_count - 1];
    uint32_t at = 0;
    *last = span_of(last->data + 4, last->size - 4);
    TRY(reach(t, t->part_count, budget, &at, err));
    drop_children(t, at);
    struct tarfs_node *n = &t->nodes[at];
    n->mode = (uint16_t)((n->mode & ~S_IFMT) | S_IFCHR);
    n->size = 0;
    n->offset = 0;
    return OK;
}

RESULT tarfs_tree_put(struct tarfs_tree *t, struct span path, const struct tarfs_node *node,
                      uint64_t budget, enum tarfs_verdict *verdict, struct err *err) {
    uint32_t at = 0;
    *verdict = split(t, path) ? TARFS_DONE : TARFS_BAD_PATH;
    if (*verdict != TARFS_DONE) {
        return OK;
    }
    struct span last = t->part_count > 0 ? t->parts[t->part_count - 1] : span_str("");
    if (span_equal(last, span_str(".wh..wh..opq"))) {
        TRY(reach(t, t->part_count - 1, budget, &at, err));
        t->nodes[at].is_opaque = true;
        return OK;
    }
    if (last.size >= 4 && memcmp(last.data, ".wh.", 4) == 0) {
        return put_whiteout(t, budget, err);
    }
    TRY(reach(t, t->part_count, budget, &at, err));
    drop_children(t, at);
    t->nodes[at] = *node; /* in place: other names of a shared inode see it, too */
    t->nodes[at].first = TARFS_NONE;
    t->nodes[at].count = 0;
    t->nodes[at].ino = 0;
    t->nodes[at].is_opaque = false;
    return OK;
}

RESULT tarfs_tree_link(struct tarfs_tree *t, struct span path, struct span target, uint64_t budget,
                       enum tarfs_verdict *verdict, struct err *err) {
    uint32_t file = 0, folder = 0;
    *verdict = split(t, target) ? TARFS_DONE : TARFS_BAD_TARGET;
    if (*verdict != TARFS_DONE) {
        return OK;
    }
    TRY(reach(t, t->part_count, budget, &file, err));
    if ((t->nodes[file].mode & S_IFMT) != S_IFREG) {
        *verdict = TARFS_NOT_FILE;
        return OK;
    }
    if (!split(t, path)) {
        *verdict = TARFS_BAD_PATH;
        return OK;
    }
    if (t->part_count == 0) {
        t->root = file;
        return OK;
    }
    TRY(reach(t, t->part_count - 1, budget, &folder, err));
    uint32_t name = find(t, folder, t->parts[t->part_count - 1]);
    if (name == TARFS_NONE) {
        return add_name(t, folder, t->parts[t->part_count - 1], file, budget, err);
    }
    t->names[name].node = file;
    return OK;
}
