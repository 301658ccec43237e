/* Journal: there and back, what is refused, and the order of runtimes.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/node_journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define A "contrast-cc-metal-qemu-snp-0000000a"
#define B "contrast-cc-metal-qemu-snp-0000000b"
#define GPU "contrast-cc-metal-qemu-snp-gpu-0000000c"

static void put(struct node_journal *j, const char *handler) {
    struct node_installed_file file = {"/opt/edgeless/x", {.size = 32, .digest = {1}}, 5, 6, 7};
    const struct node_runtime runtime = {handler, 42, &file, 1};
    node_journal_put(j, &runtime);
}

static void make(struct node_journal *j) {
    *j = (struct node_journal){.is_uninstall = true,
                               .handler = A,
                               .phase = NODE_PHASE_RESTARTING,
                               .restart_ms = INT64_C(1700000000123)};
    j->edits = arena_alloc(&j->arena, 2 * sizeof *j->edits);
    j->edits[0] = (struct node_edit){.path = "/etc/a", .existed = true, .mode = 0640, .uid = 3};
    j->edits[0].before[0] = 0xab;
    j->edits[1] = (struct node_edit){.path = "/etc/b", .exists = true, .gid = 4};
    j->edit_count = 2;
    put(j, A);
    put(j, B);
}

static void test_round_trip(void **state) {
    (void)state;
    AUTO(node_journal_deinit)
    struct node_journal j = {0};
    AUTO(node_journal_deinit)
    struct node_journal back = {0};
    AUTO(buf_deinit)
    struct buf text = {0};
    AUTO(buf_deinit)
    struct buf again = {0};
    struct err err;
    make(&j);
    node_journal_encode(&j, &text);
    assert_true(is_ok(node_journal_parse(buf_span(&text), &back, &err)));
    node_journal_encode(&back, &again);
    assert_string_equal(buf_cstr(&text), buf_cstr(&again));
    assert_true(back.is_uninstall);
    assert_int_equal(back.phase, NODE_PHASE_RESTARTING);
    assert_int_equal(back.restart_ms, INT64_C(1700000000123));
    assert_int_equal(back.edit_count, 2);
    assert_true(back.edits[0].existed);
    assert_false(back.edits[0].exists);
    assert_int_equal(back.edits[0].before[0], 0xab);
    assert_int_equal(back.edits[0].mode, 0640);
    assert_int_equal(back.runtimes[1].files[0].inode, 7);
}

static void test_every_prefix(void **state) {
    (void)state;
    AUTO(node_journal_deinit)
    struct node_journal j = {0};
    AUTO(buf_deinit)
    struct buf text = {0};
    make(&j);
    node_journal_encode(&j, &text);
    for (size_t size = 0; size + 1 < text.size; size++) { /* the last byte is the line's end */
        struct node_journal back = {0};
        struct err err;
        struct result r = node_journal_parse(span_of(text.data, size), &back, &err);
        assert_int_equal(r.code, ERR_CONFIG);
        assert_non_null(strstr(err.text, "move it away"));
    }
}

#define DOC(version, phase, edits, runtimes)                                                       \
    "{\"version\":" version ",\"operation\":\"install\",\"handler\":\"\",\"phase\":\"" phase       \
    "\",\"restart_ms\":0,\"edits\":" edits ",\"runtimes\":" runtimes "}"

static void test_bad(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *says;
    } rows[] = {
        {DOC("2", "idle", "[]", "[]"), "version: another installer wrote it"},
        {DOC("1", "flying", "[]", "[]"), "phase: unknown"},
        {DOC("1", "idle", "[{}]", "[]"), "edits[0].path: must not be empty"},
        {DOC("1", "idle", "[]", "[{\"handler\":\"../../etc\",\"installed\":0,\"files\":[]}]"),
         "runtimes[0].handler: must be contrast-cc-"},
        {DOC("1", "idle", "[]", "[{\"handler\":\"contrast-cc-/..\",\"installed\":0,\"files\":[]}]"),
         "runtimes[0].handler: must be contrast-cc-"},
        {DOC("1", "idle",
             "[{\"path\":\"etc\",\"before\":null,\"after\":null,\"mode\":0,\"uid\":0,\"gid\":0}]",
             "[]"),
         "edits[0].path: must be an absolute path"},
        {DOC("1", "idle",
             "[{\"path\":\"/e\",\"before\":\"00\",\"after\":null,\"mode\":0,\"uid\":0,\"gid\":0}]",
             "[]"),
         "edits[0].before: "},
        {DOC("1", "idle", "7", "[]"), "edits: "},
        {"[]", "must be an object"},
        {"\xff", "move it away"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct node_journal j = {0};
        struct err err = {0};
        struct result r = node_journal_parse(span_of(rows[i].text, strlen(rows[i].text)), &j, &err);
        if (r.code != ERR_CONFIG || strstr(err.text, rows[i].says) == NULL) {
            fail_msg("%s: %s; want %s", rows[i].text, err.text, rows[i].says);
        }
    }
}

static void expect_order(const struct node_journal *j, const char *a, const char *b,
                         const char *c) {
    assert_string_equal(j->runtimes[0].handler, a);
    assert_string_equal(j->runtimes[1].handler, b);
    assert_string_equal(j->runtimes[2].handler, c);
}

/* A downgrade makes the old version the newest; another platform's stays where it is. */
static void test_order(void **state) {
    (void)state;
    AUTO(node_journal_deinit)
    struct node_journal j = {0};
    put(&j, A);
    put(&j, B);
    put(&j, GPU);
    expect_order(&j, A, B, GPU);
    put(&j, A);
    expect_order(&j, B, A, GPU);
    put(&j, A);
    put(&j, GPU);
    expect_order(&j, B, A, GPU);
    node_journal_drop(&j, A);
    node_journal_drop(&j, A);
    assert_int_equal(j.runtime_count, 2);
    assert_string_equal(j.runtimes[1].handler, GPU);
    assert_null(node_journal_runtime(&j, A));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_every_prefix),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
