/* What a workspace remembers, and what it proves. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "cli/workspace.h"
#include "lib/base/file.h"

static char folder[] = "/tmp/test_workspace_XXXXXX";

static struct position make_position(void) {
    struct position p = {
        .epoch = 1, .ledger_size = 5, .is_confirmed = true, .confirmed_index = 40, .generation = 2};
    memset(p.cluster, 0xc1, sizeof p.cluster);
    memset(p.ledger_root, 0x55, sizeof p.ledger_root);
    memset(p.head, 2, sizeof p.head);
    return p;
}

/* Transitions of generations 1, 2, 3: bytes of 1, 2, 3. */
static uint8_t heads[3][32];

static int fill_heads(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        memset(heads[i], (int)i + 1, 32);
    }
    return mkdtemp(folder) == NULL;
}

static enum err_code compare(const struct position *now) {
    struct position old = make_position();
    struct err err;
    return position_compare(&old, now, (const uint8_t(*)[32])heads, &err).code;
}

static void test_the_same_and_later_positions_pass(void **state) {
    (void)state;
    struct position p = make_position();
    assert_int_equal(compare(&p), ERR_OK);
    p.confirmed_index++;
    p.ledger_size++;
    memset(p.ledger_root, 0x56, sizeof p.ledger_root);
    assert_int_equal(compare(&p), ERR_OK);
    p.generation = 3;
    memset(p.head, 3, sizeof p.head);
    assert_int_equal(compare(&p), ERR_OK);
}

static void test_a_confirmed_position_below_is_a_rollback(void **state) {
    (void)state;
    struct position p = make_position();
    p.confirmed_index = 39;
    assert_int_equal(compare(&p), ERR_ROLLBACK);
    p = make_position();
    p.ledger_size = 4;
    assert_int_equal(compare(&p), ERR_ROLLBACK);
    p = make_position();
    p.generation = 1;
    assert_int_equal(compare(&p), ERR_ROLLBACK);
}

static void test_an_unconfirmed_position_below_proves_nothing(void **state) {
    (void)state;
    struct position p = make_position();
    p.is_confirmed = false;
    p.confirmed_index = 0;
    assert_int_equal(compare(&p), ERR_OK);
    p.ledger_size = 4;
    assert_int_equal(compare(&p), ERR_UNVERIFIABLE);
    p.generation = 1;
    assert_int_equal(compare(&p), ERR_UNVERIFIABLE);
}

static void test_two_roots_of_one_size_are_a_fork_even_unconfirmed(void **state) {
    (void)state;
    struct position p = make_position();
    p.ledger_root[47] ^= 1;
    assert_int_equal(compare(&p), ERR_FORK);
    p.is_confirmed = false;
    assert_int_equal(compare(&p), ERR_FORK);
}

static void test_a_history_without_the_remembered_head_is_a_fork(void **state) {
    (void)state;
    struct position p = make_position();
    p.generation = 3;
    heads[1][0] ^= 1;
    assert_int_equal(compare(&p), ERR_FORK);
    heads[1][0] ^= 1;
    assert_int_equal(compare(&p), ERR_OK);
}

static void test_clusters_and_epochs(void **state) {
    (void)state;
    struct position p = make_position();
    p.cluster[0] ^= 1;
    assert_int_equal(compare(&p), ERR_DIFFERS);
    p = make_position();
    p.epoch = 0;
    assert_int_equal(compare(&p), ERR_ROLLBACK);
    p.is_confirmed = false; /* a replica that was left behind proves nothing */
    assert_int_equal(compare(&p), ERR_UNVERIFIABLE);
    p.is_confirmed = true;
    p.epoch = 2;
    p.confirmed_index = 1; /* a recovered cluster counts anew */
    p.ledger_size = 1;
    assert_int_equal(compare(&p), ERR_OK);
    p.generation = 1; /* but a manifest that was verified does not go away */
    assert_int_equal(compare(&p), ERR_ROLLBACK);
    p.generation = 2;
    heads[1][0] ^= 1; /* nor becomes another one */
    assert_int_equal(compare(&p), ERR_FORK);
    heads[1][0] ^= 1;
}

static void test_position_reads_what_it_wrote(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf json = {0};
    struct position p = make_position();
    struct position back;
    struct err err;
    position_encode(&p, &json);
    assert_int_equal(position_decode(buf_span(&json), &back, &err).code, ERR_OK);
    assert_int_equal(position_compare(&p, &back, (const uint8_t(*)[32])heads, &err).code, ERR_OK);
    assert_int_equal(back.confirmed_index, 40);
    assert_int_equal(back.generation, 2);
    for (size_t size = 0; size + 2 < json.size; size++) {
        assert_int_equal(position_decode(span_of(json.data, size), &back, &err).code, ERR_CONFIG);
    }
}

static void test_position_names_what_is_wrong(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"[]", "object"},
        {"{\"cluster\": 1}", "cluster"},
        {"{\"cluster\": \"ab\"}", "cluster"},
        {"{\"cluster\":\""
         "cccccccccccccccccccccccccccccccc"
         "cccccccccccccccccccccccccccccccc"
         "\", \"epoch\": -1}",
         "epoch"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct position p;
        struct err err;
        assert_int_equal(position_decode(span_str(bad[i][0]), &p, &err).code, ERR_CONFIG);
        assert_non_null(strstr(err.text, bad[i][1]));
    }
}

static void test_cluster_is_unknown_pending_and_known(void **state) {
    (void)state;
    struct workspace_cluster c;
    struct err err;
    uint8_t id[32];
    memset(id, 0xab, sizeof id);
    assert_int_equal(workspace_read_cluster(folder, &c, &err).code, ERR_OK);
    assert_false(c.is_known);
    assert_int_equal(workspace_write_cluster(folder, id, true, &err).code, ERR_OK);
    assert_int_equal(workspace_read_cluster(folder, &c, &err).code, ERR_OK);
    assert_true(c.is_known && c.is_pending);
    assert_memory_equal(c.id, id, 32);
    assert_int_equal(workspace_write_cluster(folder, id, false, &err).code, ERR_OK);
    assert_int_equal(workspace_read_cluster(folder, &c, &err).code, ERR_OK);
    assert_true(c.is_known && !c.is_pending);
    assert_int_equal(workspace_remove(folder, WORKSPACE_CLUSTER, &err).code, ERR_OK);
    assert_int_equal(workspace_remove(folder, WORKSPACE_CLUSTER, &err).code, ERR_OK);
    assert_int_equal(workspace_read_cluster(folder, &c, &err).code, ERR_OK);
    assert_false(c.is_known);
}

static void test_digest_files_are_strict(void **state) {
    (void)state;
    static const char *const bad[] = {"", "xyz\n", "abab", " pending\n"};
    uint8_t digest[32];
    bool found = false;
    struct err err;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct result r = workspace_write(folder, WORKSPACE_TRANSITION, span_str(bad[i]), &err);
        assert_int_equal(r.code, ERR_OK);
        r = workspace_read_digest(folder, WORKSPACE_TRANSITION, digest, &found, &err);
        assert_int_equal(r.code, ERR_CONFIG);
        assert_non_null(strstr(err.text, WORKSPACE_TRANSITION));
    }
    struct result missing = workspace_read_digest(folder, "verify/none", digest, &found, &err);
    assert_int_equal(missing.code, ERR_OK);
    assert_false(found);
}

static ino_t inode_of(const char *name) {
    struct workspace_path path;
    struct stat st;
    assert_int_equal(workspace_locate(folder, name, &path, NULL).code, ERR_OK);
    assert_int_equal(stat(path.text, &st), 0);
    return st.st_ino;
}

/* Each write makes a new file and renames it. */
static void write_file(const char *text) {
    assert_int_equal(workspace_write(folder, "verify/some", span_str(text), NULL).code, ERR_OK);
}

static void test_the_same_bytes_are_left_alone(void **state) {
    (void)state;
    static const char *const others[] = {"one more", "on", "", "two", "one"};
    write_file("one");
    ino_t first = inode_of("verify/some");
    write_file("one");
    assert_int_equal(inode_of("verify/some"), first);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        AUTO(buf_deinit)
        struct buf text = {0};
        bool found = false;
        write_file(others[i]);
        assert_int_equal(workspace_read(folder, "verify/some", 100, &text, &found, NULL).code,
                         ERR_OK);
        assert_true(found && span_equal(buf_span(&text), span_str(others[i])));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_and_later_positions_pass),
        cmocka_unit_test(test_a_confirmed_position_below_is_a_rollback),
        cmocka_unit_test(test_an_unconfirmed_position_below_proves_nothing),
        cmocka_unit_test(test_two_roots_of_one_size_are_a_fork_even_unconfirmed),
        cmocka_unit_test(test_a_history_without_the_remembered_head_is_a_fork),
        cmocka_unit_test(test_clusters_and_epochs),
        cmocka_unit_test(test_position_reads_what_it_wrote),
        cmocka_unit_test(test_position_names_what_is_wrong),
        cmocka_unit_test(test_cluster_is_unknown_pending_and_known),
        cmocka_unit_test(test_digest_files_are_strict),
        cmocka_unit_test(test_the_same_bytes_are_left_alone),
    };
    return cmocka_run_group_tests(tests, fill_heads, NULL);
}
