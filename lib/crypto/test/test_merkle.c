/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/host.h"
#include "lib/crypto/merkle.h"

#define MOST 70

static void fill(struct merkle_log *log, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint8_t data[MOST];
        uint8_t leaf[MERKLE_HASH_SIZE];
        memset(data, (int)i, i % MOST);
        merkle_leaf(span_of(data, i % MOST), leaf);
        merkle_log_append(log, leaf);
    }
}

static int setup(void **state) {
    static struct merkle_log log;
    merkle_log_init(&log);
    fill(&log, MOST);
    *state = &log;
    return 0;
}

static int teardown(void **state) {
    merkle_log_deinit(*state);
    return 0;
}

/* The definition of RFC 9162 section 2.1.1 word for word, without any cache. */
static void root_by_definition(const struct merkle_log *log, size_t first, size_t n,
                               uint8_t out[MERKLE_HASH_SIZE]) {
    if (n <= 1) {
        memcpy(out, merkle_log_leaf(log, first), MERKLE_HASH_SIZE);
        return;
    }
    size_t k = 1;
    while (2 * k < n) {
        k *= 2;
    }
    uint8_t left[MERKLE_HASH_SIZE];
    uint8_t right[MERKLE_HASH_SIZE];
    root_by_definition(log, first, k, left);
    root_by_definition(log, first + k, n - k, right);
    merkle_node(left, right, out);
}

static void test_root_of_every_size(void **state) {
    const struct merkle_log *log = *state;
    for (size_t n = 1; n <= MOST; n++) {
        uint8_t expected[MERKLE_HASH_SIZE];
        uint8_t actual[MERKLE_HASH_SIZE];
        root_by_definition(log, 0, n, expected);
        merkle_log_root_at(log, n, actual);
        assert_memory_equal(actual, expected, sizeof actual);
        struct merkle_log fresh = {0};
        fill(&fresh, n);
        merkle_log_root(&fresh, actual);
        assert_memory_equal(actual, expected, sizeof actual);
        merkle_log_deinit(&fresh);
    }
}

static void test_empty_root_is_the_digest_of_nothing(void **state) {
    (void)state;
    uint8_t root[MERKLE_HASH_SIZE];
    char text[2 * MERKLE_HASH_SIZE + 1];
    merkle_root(NULL, 0, root);
    hex_encode(SPAN(root), text);
    assert_string_equal(text, "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da"
                              "274edebfe76f65fbd51ad2f14898b95b");
}

static void check_path(const struct merkle_log *log, size_t index, size_t size) {
    AUTO(buf_deinit)
    struct buf path = {0};
    uint8_t root[MERKLE_HASH_SIZE];
    const uint8_t *leaf = merkle_log_leaf(log, index);
    merkle_log_root_at(log, size, root);
    merkle_log_path(log, index, size, &path);
    assert_true(is_ok(merkle_path_verify(leaf, index, size, buf_span(&path), root, NULL)));
    /* any other index of this tree is refused */
    for (size_t other = 0; other < size; other++) {
        assert_int_equal(is_ok(merkle_path_verify(leaf, other, size, buf_span(&path), root, NULL)),
                         other == index);
    }
    for (size_t i = 0; i < path.size; i += 47) {
        path.data[i] ^= 1;
        assert_int_equal(merkle_path_verify(leaf, index, size, buf_span(&path), root, NULL).code,
                         ERR_DIFFERS);
        path.data[i] ^= 1;
    }
    for (size_t cut = 0; cut < path.size; cut += 16) {
        struct span part = span_of(path.data, cut);
        assert_int_equal(merkle_path_verify(leaf, index, size, part, root, NULL).code,
                         ERR_MALFORMED);
    }
    buf_append(&path, root, sizeof root);
    assert_int_equal(merkle_path_verify(leaf, index, size, buf_span(&path), root, NULL).code,
                     ERR_MALFORMED);
}

static void test_every_path_verifies_and_no_other(void **state) {
    for (size_t size = 1; size <= MOST; size += size < 20 ? 1 : 7) {
        for (size_t index = 0; index < size; index++) {
            check_path(*state, index, size);
        }
    }
}

static void test_path_outside_the_tree(void **state) {
    const uint8_t *leaf = merkle_log_leaf(*state, 0);
    struct span none = {NULL, 0};
    assert_int_equal(merkle_path_verify(leaf, 0, 0, none, leaf, NULL).code, ERR_MALFORMED);
    assert_int_equal(merkle_path_verify(leaf, 1, 1, none, leaf, NULL).code, ERR_MALFORMED);
    assert_true(is_ok(merkle_path_verify(leaf, 0, 1, none, leaf, NULL)));
    assert_int_equal(merkle_path_verify(leaf, 0, UINT64_MAX, none, leaf, NULL).code, ERR_MALFORMED);
}

static void check_consistency(const struct merkle_log *log, size_t old_size, size_t size) {
    AUTO(buf_deinit)
    struct buf proof = {0};
    uint8_t old_root[MERKLE_HASH_SIZE];
    uint8_t root[MERKLE_HASH_SIZE];
    merkle_log_root_at(log, old_size, old_root);
    merkle_log_root_at(log, size, root);
    merkle_log_consistency(log, old_size, size, &proof);
    struct span p = buf_span(&proof);
    assert_true(is_ok(merkle_consistency_verify(old_size, old_root, size, root, p, NULL)));
    for (size_t i = 0; i < proof.size; i += 47) {
        proof.data[i] ^= 1;
        assert_int_equal(merkle_consistency_verify(old_size, old_root, size, root, p, NULL).code,
                         ERR_DIFFERS);
        proof.data[i] ^= 1;
    }
    old_root[5] ^= 1;
    assert_int_equal(merkle_consistency_verify(old_size, old_root, size, root, p, NULL).code,
                     ERR_DIFFERS);
    old_root[5] ^= 1;
    if (old_size > 0) {
        root[5] ^= 1;
        assert_int_equal(merkle_consistency_verify(old_size, old_root, size, root, p, NULL).code,
                         ERR_DIFFERS);
        root[5] ^= 1;
    }
    for (size_t cut = 0; cut < proof.size; cut += 16) {
        assert_false(is_ok(merkle_consistency_verify(old_size, old_root, size, root,
                                                     span_of(proof.data, cut), NULL)));
    }
    buf_append(&proof, root, sizeof root);
    assert_int_equal(
        merkle_consistency_verify(old_size, old_root, size, root, buf_span(&proof), NULL).code,
        ERR_MALFORMED);
}

static void test_every_consistency_proof(void **state) {
    for (size_t size = 0; size <= MOST; size += size < 20 ? 1 : 5) {
        for (size_t old_size = 0; old_size <= size; old_size++) {
            check_consistency(*state, old_size, size);
        }
    }
}

static void test_consistency_refuses_a_shrunk_tree(void **state) {
    uint8_t a[MERKLE_HASH_SIZE];
    uint8_t b[MERKLE_HASH_SIZE];
    struct span none = {NULL, 0};
    merkle_log_root_at(*state, 7, a);
    merkle_log_root_at(*state, 6, b);
    assert_int_equal(merkle_consistency_verify(7, a, 6, b, none, NULL).code, ERR_MALFORMED);
    assert_int_equal(merkle_consistency_verify(6, b, 7, a, none, NULL).code, ERR_MALFORMED);
}

/* Random sizes far above what the tables above cover. */
static void test_random_pairs_of_a_large_log(void **state) {
    (void)state;
    AUTO(merkle_log_deinit)
    struct merkle_log log = {0};
    fill(&log, 5000);
    for (int i = 0; i < 20; i++) {
        size_t size = 1 + (size_t)host_random_below(&host_system, 5000);
        size_t old_size = (size_t)host_random_below(&host_system, size + 1);
        check_consistency(&log, old_size, size);
        uint8_t root[MERKLE_HASH_SIZE];
        uint8_t expected[MERKLE_HASH_SIZE];
        merkle_log_root_at(&log, size, root);
        root_by_definition(&log, 0, size, expected);
        assert_memory_equal(root, expected, sizeof root);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_root_of_every_size),
        cmocka_unit_test(test_empty_root_is_the_digest_of_nothing),
        cmocka_unit_test(test_every_path_verifies_and_no_other),
        cmocka_unit_test(test_path_outside_the_tree),
        cmocka_unit_test(test_every_consistency_proof),
        cmocka_unit_test(test_consistency_refuses_a_shrunk_tree),
        cmocka_unit_test(test_random_pairs_of_a_large_log),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
