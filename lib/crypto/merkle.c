/* Merkle: see merkle.h. The recursions are those of the RFC; their depth is the tree's height.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/crypto/merkle.h"

#include <string.h>

#include "lib/base/mem.h"

#define HASH MERKLE_HASH_SIZE

static const uint8_t leaf_prefix = 0x00;
static const uint8_t node_prefix = 0x01;

void merkle_leaf(struct span data, uint8_t out[HASH]) {
    struct span parts[] = {{&leaf_prefix, 1}, data};
    sha384_parts(parts, 2, out);
}

void merkle_node(const uint8_t left[HASH], const uint8_t right[HASH], uint8_t out[HASH]) {
    struct span parts[] = {{&node_prefix, 1}, {left, HASH}, {right, HASH}};
    sha384_parts(parts, 3, out);
}

void merkle_log_init(struct merkle_log *log) {
    *log = (struct merkle_log){0};
}

void merkle_log_deinit(struct merkle_log *log) {
    for (size_t i = 0; i < MERKLE_LEVELS; i++) {
        mem_free(log->levels[i].hashes);
    }
    *log = (struct merkle_log){0};
}

void merkle_log_copy(const struct merkle_log *log, struct merkle_log *to) {
    *to = (struct merkle_log){0};
    for (size_t i = 0; i < MERKLE_LEVELS && log->levels[i].count > 0; i++) {
        size_t count = log->levels[i].count;
        to->levels[i] = (struct merkle_level){mem_alloc(count * HASH), count, count};
        memcpy(to->levels[i].hashes, log->levels[i].hashes, count * HASH);
    }
}

static void push(struct merkle_level *level, const uint8_t hash[HASH]) {
    if (level->count == level->capacity) {
        level->capacity = level->capacity == 0 ? 16 : level->capacity * 2;
        level->hashes = mem_realloc(level->hashes, level->capacity * HASH);
    }
    memcpy(level->hashes[level->count++], hash, HASH);
}

/* A second hash of a pair completes a subtree one level up. */
void merkle_log_append(struct merkle_log *log, const uint8_t leaf[HASH]) {
    uint8_t hash[HASH];
    memcpy(hash, leaf, HASH);
    struct merkle_level *level = log->levels;
    push(level, hash);
    while (level->count % 2 == 0) {
        merkle_node(level->hashes[level->count - 2], level->hashes[level->count - 1], hash);
        level++;
        CHECK(level < log->levels + MERKLE_LEVELS);
        push(level, hash);
    }
}

size_t merkle_log_size(const struct merkle_log *log) {
    return log->levels[0].count;
}

const uint8_t *merkle_log_leaf(const struct merkle_log *log, size_t index) {
    CHECK(index < log->levels[0].count);
    return log->levels[0].hashes[index];
}

static bool is_power_of_two(uint64_t n) {
    return n != 0 && (n & (n - 1)) == 0;
}

static unsigned log2_of(uint64_t n) {
    return 63U - (unsigned)__builtin_clzll(n);
}

/* The largest power of two smaller than n > 1. */
static size_t split(size_t n) {
    return (size_t)1 << log2_of(n - 1);
}

/* MTH of the `n` > 0 leaves from `first`, which is a multiple of every power of two < n. */
static void subtree(const struct merkle_log *log, size_t first, size_t n, uint8_t out[HASH]) {
    if (is_power_of_two(n)) {
        const struct merkle_level *level = &log->levels[log2_of(n)];
        CHECK(level->hashes != NULL && first / n < level->count);
        memcpy(out, level->hashes[first / n], HASH);
        return;
    }
    size_t k = split(n);
    uint8_t left[HASH];
    uint8_t right[HASH];
    subtree(log, first, k, left);
    subtree(log, first + k, n - k, right);
    merkle_node(left, right, out);
}

static void append_subtree(const struct merkle_log *log, size_t first, size_t n, struct buf *out) {
    uint8_t hash[HASH];
    subtree(log, first, n, hash);
    buf_append(out, hash, HASH);
}

void merkle_log_root_at(const struct merkle_log *log, size_t size, uint8_t out[HASH]) {
    CHECK(size <= merkle_log_size(log));
    if (size == 0) {
        sha384((struct span){NULL, 0}, out);
        return;
    }
    subtree(log, 0, size, out);
}

void merkle_log_root(const struct merkle_log *log, uint8_t out[HASH]) {
    merkle_log_root_at(log, merkle_log_size(log), out);
}

/* PATH(m, D[n]) */
static void add_path(const struct merkle_log *log, size_t first, size_t m, size_t n,
                     struct buf *path) {
    if (n == 1) {
        return;
    }
    size_t k = split(n);
    if (m < k) {
        add_path(log, first, m, k, path);
        append_subtree(log, first + k, n - k, path);
    } else {
        add_path(log, first + k, m - k, n - k, path);
        append_subtree(log, first, k, path);
    }
}

void merkle_log_path(const struct merkle_log *log, size_t index, size_t size, struct buf *path) {
    CHECK(index < size && size <= merkle_log_size(log));
    add_path(log, 0, index, size, path);
}

/* SUBPROOF(m, D[n], b); `is_known`: the verifier has the root of this old subtree already. */
static void add_subproof(const struct merkle_log *log, size_t first, size_t m, size_t n,
                         bool is_known, struct buf *proof) {
    if (m == n) {
        if (!is_known) {
            append_subtree(log, first, n, proof);
        }
        return;
    }
    size_t k = split(n);
    if (m <= k) {
        add_subproof(log, first, m, k, is_known, proof);
        append_subtree(log, first + k, n - k, proof);
    } else {
        add_subproof(log, first + k, m - k, n - k, false, proof);
        append_subtree(log, first, k, proof);
    }
}

void merkle_log_consistency(const struct merkle_log *log, size_t old_size, size_t size,
                            struct buf *proof) {
    CHECK(old_size <= size && size <= merkle_log_size(log));
    if (old_size > 0) {
        add_subproof(log, 0, old_size, size, true, proof);
    }
}

void merkle_root(const uint8_t (*leaves)[HASH], size_t count, uint8_t out[HASH]) {
    AUTO(merkle_log_deinit)
    struct merkle_log log = {0};
    for (size_t i = 0; i < count; i++) {
        merkle_log_append(&log, leaves[i]);
    }
    merkle_log_root(&log, out);
}

/* Where a verifier stands: the node numbers fn and sn of the RFC at one level of the tree. */
struct climb {
    uint64_t node; /* fn */
    uint64_t last; /* sn: 0 at the root */
};

/* Whether the sibling to come is a left one; moves up to where it joins. */
static bool climb_is_right(struct climb *c) {
    if ((c->node & 1) == 0 && c->node != c->last) {
        return false;
    }
    while ((c->node & 1) == 0 && c->node != 0) {
        c->node >>= 1;
        c->last >>= 1;
    }
    return true;
}

static void climb_up(struct climb *c) {
    c->node >>= 1;
    c->last >>= 1;
}

RESULT merkle_path_root(const uint8_t leaf[HASH], uint64_t index, uint64_t size, struct span path,
                        uint8_t out[HASH], struct err *err) {
    ENSURE(index < size, err, MALFORMED, "leaf %llu of a tree of %llu", (unsigned long long)index,
           (unsigned long long)size);
    ENSURE(path.size % HASH == 0, err, MALFORMED, "path is %zu bytes, want a multiple of %d",
           path.size, HASH);
    struct climb c = {index, size - 1};
    uint8_t hash[HASH];
    memcpy(hash, leaf, HASH);
    for (size_t at = 0; at < path.size; at += HASH) {
        ENSURE(c.last != 0, err, MALFORMED, "path has %zu nodes, too many", path.size / HASH);
        if (climb_is_right(&c)) {
            merkle_node(path.data + at, hash, hash);
        } else {
            merkle_node(hash, path.data + at, hash);
        }
        climb_up(&c);
    }
    ENSURE(c.last == 0, err, MALFORMED, "path has %zu nodes, too few", path.size / HASH);
    memcpy(out, hash, HASH);
    return OK;
}

RESULT merkle_path_verify(const uint8_t leaf[HASH], uint64_t index, uint64_t size, struct span path,
                          const uint8_t root[HASH], struct err *err) {
    uint8_t actual[HASH];
    TRY(merkle_path_root(leaf, index, size, path, actual, err));
    ENSURE(memcmp(actual, root, HASH) == 0, err, DIFFERS, "the path leads to another root");
    return OK;
}

/* The cases that need no proof: nothing before, or nothing new. */
static RESULT verify_without_proof(uint64_t old_size, const uint8_t old_root[HASH],
                                   const uint8_t root[HASH], struct span proof, struct err *err) {
    uint8_t expected[HASH];
    memcpy(expected, root, HASH);
    if (old_size == 0) {
        sha384((struct span){NULL, 0}, expected);
    }
    ENSURE(proof.size == 0, err, MALFORMED, "proof is %zu bytes, want none", proof.size);
    ENSURE(memcmp(old_root, expected, HASH) == 0, err, DIFFERS,
           "the root at size %llu is another one", (unsigned long long)old_size);
    return OK;
}

/* From `seed`, the largest complete subtree at the right edge of the old tree, up to both roots. */
static RESULT climb_to_roots(struct climb c, const uint8_t seed[HASH], struct span nodes,
                             uint8_t old_root[HASH], uint8_t root[HASH], struct err *err) {
    memcpy(old_root, seed, HASH);
    memcpy(root, seed, HASH);
    for (size_t at = 0; at < nodes.size; at += HASH) {
        const uint8_t *node = nodes.data + at;
        ENSURE(c.last != 0, err, MALFORMED, "proof has too many nodes");
        if (climb_is_right(&c)) {
            merkle_node(node, old_root, old_root);
            merkle_node(node, root, root);
        } else {
            merkle_node(root, node, root);
        }
        climb_up(&c);
    }
    ENSURE(c.last == 0, err, MALFORMED, "proof has too few nodes");
    return OK;
}

RESULT merkle_consistency_verify(uint64_t old_size, const uint8_t old_root[HASH], uint64_t size,
                                 const uint8_t root[HASH], struct span proof, struct err *err) {
    ENSURE(old_size <= size, err, MALFORMED, "old size %llu is above %llu",
           (unsigned long long)old_size, (unsigned long long)size);
    if (old_size == 0 || old_size == size) {
        return verify_without_proof(old_size, old_root, root, proof, err);
    }
    ENSURE(proof.size % HASH == 0 && proof.size > 0, err, MALFORMED,
           "proof is %zu bytes, want a multiple of %d", proof.size, HASH);
    struct climb c = {old_size - 1, size - 1};
    while ((c.node & 1) != 0) {
        climb_up(&c);
    }
    bool has_seed = !is_power_of_two(old_size);
    struct span nodes = has_seed ? span_of(proof.data + HASH, proof.size - HASH) : proof;
    uint8_t old_actual[HASH];
    uint8_t actual[HASH];
    TRY(climb_to_roots(c, has_seed ? proof.data : old_root, nodes, old_actual, actual, err));
    ENSURE(memcmp(old_actual, old_root, HASH) == 0, err, DIFFERS,
           "the proof leads to another old root");
    ENSURE(memcmp(actual, root, HASH) == 0, err, DIFFERS, "the proof leads to another root");
    return OK;
}
