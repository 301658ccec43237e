/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/restart_file.h"

#define VOTERS 3
#define STATE "the whole state of a cluster, keys included"

/* --- Fixture: three voters who write the same state */

static struct secret *key_of(uint8_t fill) {
    struct secret *key = secret_new(32);
    memset(secret_data(key), fill, 32);
    return key;
}

static void fill_header(struct restart_header *h, struct restart_voter *voters, size_t count) {
    static char names[LIMIT_VOTERS + 1][16] = {"c-0", "c-1", "c-2", "c-3", "c-4", "c-5"};
    for (size_t i = 0; i < count; i++) {
        voters[i] = (struct restart_voter){.id = 10 * (i + 1), .name = names[i]};
    }
    *h = (struct restart_header){.epoch = 1,
                                 .index = 77,
                                 .term = 3,
                                 .time = 1700000000,
                                 .generation = 2,
                                 .ledger_size = 9,
                                 .manifest = span_str("{}"),
                                 .voters = {voters, count}};
    memset(h->cluster, 0xc1, sizeof h->cluster);
    memset(h->head, 0x4e, sizeof h->head);
    memset(h->ledger_root, 0x1e, sizeof h->ledger_root);
}

static void seal(uint64_t own, const char *text, uint8_t chip, struct buf *out) {
    struct restart_voter voters[VOTERS];
    struct restart_header h;
    uint8_t root[32];
    struct secret *key = key_of(chip);
    fill_header(&h, voters, VOTERS);
    memset(root, 0x5a, sizeof root);
    assert_true(is_ok(restart_file_seal(&h, own, span_str(text), SPAN(root), key, out, NULL)));
    secret_free(key);
}

struct fixture {
    struct arena arena;
    struct buf bytes[VOTERS];
    struct restart_file files[VOTERS];
    struct secret *shares[VOTERS];
};

static int setup(void **state) {
    struct fixture *f = mem_zalloc(sizeof *f);
    struct secret *key =
        key_of(7); /* all on one chip: the hardest case for the sealing of shares */
    for (size_t i = 0; i < VOTERS; i++) {
        seal(10 * (i + 1), STATE, 7, &f->bytes[i]);
        assert_true(
            is_ok(restart_file_parse(buf_span(&f->bytes[i]), &f->arena, &f->files[i], NULL)));
        assert_true(is_ok(restart_file_unseal(&f->files[i], key, &f->shares[i], NULL)));
    }
    secret_free(key);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    for (size_t i = 0; i < VOTERS; i++) {
        buf_deinit(&f->bytes[i]);
        secret_free(f->shares[i]);
    }
    arena_deinit(&f->arena);
    mem_free(f);
    return 0;
}

static enum err_code open_with(const struct fixture *f, const struct secret *a,
                               const struct secret *b, size_t count) {
    const struct secret *const shares[] = {a, b};
    struct buf out = {0};
    struct result r = restart_file_open(&f->files[0], shares, count, &out, NULL);
    bool is_state = span_equal(buf_span(&out), span_str(STATE));
    bool is_empty = out.size == 0;
    buf_deinit(&out);
    assert_true(is_ok(r) ? is_state : is_empty);
    return r.code;
}

/* --- The same file everywhere */

static void test_common_part(void **state) {
    const struct fixture *f = *state;
    size_t common = f->bytes[0].size - RESTART_OWN_SIZE;
    for (size_t i = 1; i < VOTERS; i++) {
        assert_int_equal(f->bytes[i].size, f->bytes[0].size);
        assert_memory_equal(f->bytes[i].data, f->bytes[0].data, common);
        assert_memory_equal(f->files[i].digest, f->files[0].digest, 32);
        assert_int_equal(f->files[i].x, i + 1);
    }
    assert_int_equal(f->files[0].header.threshold, 2);
    assert_int_equal(f->files[0].before.size, 302);
    assert_int_equal(f->bytes[0].size, 302 + strlen(STATE) + 16 + RESTART_OWN_SIZE);
}

/* One chip, one file, different shares: no keystream is used twice. */
static void test_own_parts_of_one_chip(void **state) {
    const struct fixture *f = *state;
    bool same = true;
    for (size_t i = 0; i < SHARES_SIZE; i++) {
        uint8_t plain = secret_span(f->shares[0]).data[i] ^ secret_span(f->shares[1]).data[i];
        uint8_t sealed = f->files[0].sealed.data[i] ^ f->files[1].sealed.data[i];
        same = same && plain == sealed;
    }
    assert_false(same);
}

/* Neither the state nor a share stands in the file. */
static void test_nothing_in_clear(void **state) {
    const struct fixture *f = *state;
    const struct buf *b = &f->bytes[0];
    assert_null(memmem(b->data, b->size, STATE, 8));
    assert_null(memmem(b->data, b->size, secret_span(f->shares[0]).data + 1, 8));
}

/* Another state: another key, other shares, though all that is said of it is the same. */
static void test_another_state(void **state) {
    struct fixture *f = *state;
    struct buf other = {0};
    struct restart_file file;
    struct secret *key = key_of(7);
    struct secret *share = NULL;
    seal(10, "another state, keys included, just as long!", 7, &other);
    assert_true(is_ok(restart_file_parse(buf_span(&other), &f->arena, &file, NULL)));
    assert_memory_not_equal(file.header.id, f->files[0].header.id, 32);
    assert_true(is_ok(restart_file_unseal(&file, key, &share, NULL)));
    assert_int_equal(restart_file_check(&f->files[0], secret_span(share), NULL).code, ERR_DENIED);
    secret_free(share);
    secret_free(key);
    buf_deinit(&other);
}

/* --- Opening */

static void test_majority_opens(void **state) {
    const struct fixture *f = *state;
    for (size_t i = 0; i < VOTERS; i++) {
        for (size_t k = 0; k < VOTERS; k++) {
            enum err_code want = i == k ? ERR_DENIED : ERR_OK;
            assert_int_equal(open_with(f, f->shares[i], f->shares[k], 2), want);
        }
        assert_int_equal(open_with(f, f->shares[i], NULL, 1), ERR_DENIED);
    }
}

static void test_wrong_share(void **state) {
    const struct fixture *f = *state;
    struct secret *wrong = secret_new(SHARES_SIZE);
    for (size_t i = 0; i < SHARES_SIZE; i++) {
        memcpy(secret_data(wrong), secret_span(f->shares[1]).data, SHARES_SIZE);
        secret_data(wrong)[i] ^= 0x81;
        assert_int_equal(open_with(f, f->shares[0], wrong, 2), ERR_DENIED);
    }
    secret_free(wrong);
}

static void test_wrong_chip(void **state) {
    const struct fixture *f = *state;
    struct secret *key = key_of(8);
    struct secret *share = NULL;
    struct err err;
    struct result r = restart_file_unseal(&f->files[0], key, &share, &err);
    assert_int_equal(r.code, ERR_DENIED);
    assert_non_null(strstr(err.text, "another chip"));
    assert_null(share);
    secret_free(key);
}

/* --- Bad input */

static void test_prefixes(void **state) {
    struct fixture *f = *state;
    struct restart_file file;
    for (size_t n = 0; n < f->bytes[0].size; n++) {
        struct span prefix = span_of(f->bytes[0].data, n);
        assert_false(is_ok(restart_file_parse(prefix, &f->arena, &file, NULL)));
    }
    buf_append_u8(&f->bytes[0], 0);
    assert_false(is_ok(restart_file_parse(buf_span(&f->bytes[0]), &f->arena, &file, NULL)));
}

/* Behind the manifest: a file that fewer than a majority would open. */
static void test_a_lower_threshold(void **state) {
    static const uint8_t mark[] = {0xc4, 2, '{', '}', 2};
    struct fixture *f = *state;
    struct restart_file file;
    struct err err;
    uint8_t *at = memmem(f->bytes[0].data, f->bytes[0].size, mark, sizeof mark);
    assert_non_null(at);
    at[4] = 1;
    struct result r = restart_file_parse(buf_span(&f->bytes[0]), &f->arena, &file, &err);
    assert_int_equal(r.code, ERR_MALFORMED);
    assert_non_null(strstr(err.text, "a majority of 3 voters is 2"));
}

/* No bit can be changed: the own share says so, whatever parses. */
static void test_flips(void **state) {
    struct fixture *f = *state;
    struct secret *key = key_of(7);
    uint8_t *bytes = f->bytes[0].data;
    for (size_t i = 0; i < f->bytes[0].size * 8; i++) {
        struct arena arena = {0};
        struct restart_file file;
        struct secret *share = NULL;
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        struct result r = restart_file_parse(buf_span(&f->bytes[0]), &arena, &file, NULL);
        r = is_ok(r) ? restart_file_unseal(&file, key, &share, NULL) : r;
        assert_false(is_ok(r));
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        arena_deinit(&arena);
    }
    secret_free(key);
}

static void test_wrong_use(void **state) {
    (void)state;
    struct restart_voter voters[LIMIT_VOTERS + 1];
    struct restart_header h;
    struct secret *key = key_of(7);
    struct buf out = {0};
    struct span text = span_str("x");
    fill_header(&h, voters, LIMIT_VOTERS + 1);
    assert_int_equal(restart_file_seal(&h, 10, text, text, key, &out, NULL).code, ERR_INVALID);
    fill_header(&h, voters, VOTERS);
    assert_int_equal(restart_file_seal(&h, 11, text, text, key, &out, NULL).code, ERR_INVALID);
    voters[1].id = 10;
    assert_int_equal(restart_file_seal(&h, 10, text, text, key, &out, NULL).code, ERR_INVALID);
    fill_header(&h, voters, VOTERS);
    assert_int_equal(restart_file_seal(&h, 10, span_of("", 0), text, key, &out, NULL).code,
                     ERR_TOO_LARGE);
    assert_int_equal(out.size, 0);
    secret_free(key);
}

/* One voter alone, and five. */
static void test_sizes_of_clusters(void **state) {
    struct fixture *f = *state;
    for (size_t n = 1; n <= LIMIT_VOTERS; n += 2) {
        struct restart_voter voters[LIMIT_VOTERS];
        struct restart_header h;
        struct secret *shares[LIMIT_VOTERS] = {NULL};
        struct secret *key = key_of(1);
        struct restart_file file;
        struct buf state_again = {0};
        fill_header(&h, voters, n);
        for (size_t i = 0; i < n; i++) {
            struct buf out = {0};
            assert_true(is_ok(restart_file_seal(&h, voters[i].id, span_str(STATE), SPAN(h.head),
                                                key, &out, NULL)));
            uint8_t *kept = arena_alloc(&f->arena, out.size);
            memcpy(kept, out.data, out.size);
            assert_true(is_ok(restart_file_parse(span_of(kept, out.size), &f->arena, &file, NULL)));
            assert_true(is_ok(restart_file_unseal(&file, key, &shares[i], NULL)));
            buf_deinit(&out);
        }
        const struct secret *const last[] = {shares[n - 1], shares[n > 1 ? n - 2 : 0],
                                             shares[n > 2 ? n - 3 : 0]};
        assert_int_equal(file.header.threshold, n / 2 + 1);
        assert_true(is_ok(restart_file_open(&file, last, n / 2 + 1, &state_again, NULL)));
        assert_true(span_equal(buf_span(&state_again), span_str(STATE)));
        buf_deinit(&state_again);
        for (size_t i = 0; i < n; i++) {
            secret_free(shares[i]);
        }
        secret_free(key);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_common_part, setup, teardown),
        cmocka_unit_test_setup_teardown(test_own_parts_of_one_chip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_in_clear, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_state, setup, teardown),
        cmocka_unit_test_setup_teardown(test_majority_opens, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_share, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_chip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_prefixes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_lower_threshold, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flips, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sizes_of_clusters, setup, teardown),
        cmocka_unit_test(test_wrong_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
