/* What a share owner's machine refuses to sign, and what it remembers.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "cli/recover_check.h"
#include "lib/base/file.h"
#include "lib/base/limits.h"

static char folder[] = "/tmp/test_recover_check_XXXXXX";

/* A workspace that verified generation 3 in epoch 1, and a session that fits it. */
struct fixture {
    struct recoveries recoveries;
    struct recover_memory memory;
    struct api_recover_owner owners[2];
    struct api_recover_reply reply;
    struct checkpoint_header header;
    struct err err;
};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    memset(f->memory.cluster, 1, 32);
    memset(f->memory.last.cluster, 1, 32);
    memset(f->memory.last.head, 2, 32);
    memset(f->memory.recipient, 3, 32);
    memset(f->memory.owner, 4, 32);
    memset(f->owners[0].digest, 9, 32);
    memset(f->owners[1].digest, 4, 32);
    f->memory.has_cluster = f->memory.has_last = true;
    f->memory.last.epoch = 1;
    f->memory.last.generation = 3;
    f->memory.last.ledger_size = 50;
    f->memory.recoveries = &f->recoveries;
    f->reply = (struct api_recover_reply){.mode = RECOVERY_CHECKPOINT,
                                          .epoch = 2,
                                          .previous_epoch = 1,
                                          .generation = 3,
                                          .index = 40,
                                          .ledger_size = 30,
                                          .threshold = 1,
                                          .owners = {f->owners, 2}};
    memset(f->reply.cluster, 1, 32);
    memset(f->reply.head, 2, 32);
    memset(f->reply.recipient, 3, 32);
    f->header = (struct checkpoint_header){.epoch = 1,
                                           .generation = 3,
                                           .index = 40,
                                           .ledger_size = 30,
                                           .threshold = 1,
                                           .shares = {NULL, 2}};
    memset(f->header.cluster, 1, 32);
    memset(f->header.head, 2, 32);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    recoveries_deinit(&f->recoveries);
    free(f);
    return 0;
}

static enum err_code check(struct fixture *f) {
    bool is_signed = false;
    return recover_check_memory(&f->reply, &f->memory, &is_signed, &f->err).code;
}

static void expect(struct fixture *f, enum err_code code, const char *text) {
    assert_int_equal(check(f), code);
    assert_non_null(strstr(f->err.text, text));
}

static void what_fits_is_accepted(void **state) {
    struct fixture *f = *state;
    assert_int_equal(check(f), ERR_OK);
    f->reply.generation = 4; /* set after the last verify from here */
    f->reply.head[0] ^= 1;
    assert_int_equal(check(f), ERR_OK);
}

static void another_deployment_or_replica(void **state) {
    struct fixture *f = *state;
    f->reply.cluster[5] ^= 1;
    expect(f, ERR_DIFFERS, "another deployment");
    f->reply.cluster[5] ^= 1;
    f->reply.recipient[5] ^= 1;
    expect(f, ERR_DIFFERS, "another replica");
}

static void an_older_state(void **state) {
    struct fixture *f = *state;
    f->reply.generation = 2;
    expect(f, ERR_ROLLBACK, "generation 2, and generation 3");
    f->reply.generation = 3;
    f->reply.head[0] ^= 1;
    expect(f, ERR_FORK, "another transition");
    f->reply.head[0] ^= 1;
    f->memory.last.epoch = 2;
    f->reply.epoch = 3;
    expect(f, ERR_ROLLBACK, "epoch 1, and epoch 2");
}

static void an_epoch_that_is_over(void **state) {
    struct fixture *f = *state;
    struct transition_recovery seen = {.recovery = recover_check_fields(&f->reply)};
    seen.recovery.epoch = 5;
    recoveries_add_seen(&f->recoveries, &seen, 1);
    f->reply.epoch = 6;
    expect(f, ERR_ROLLBACK, "epoch 5 was verified from here");
    memset(f->memory.cluster, 8, 32); /* another deployment's epochs do not count */
    memset(f->reply.cluster, 8, 32);
    assert_int_equal(check(f), ERR_OK);
}

/* Enough share owners, twice: neither is a lie, and both cannot be this deployment. */
static void one_epoch_with_two_beginnings(void **state) {
    struct fixture *f = *state;
    struct transition_recovery items[2] = {{.recovery = recover_check_fields(&f->reply)},
                                           {.recovery = recover_check_fields(&f->reply)}};
    items[1].recovery.epoch = 5;
    items[1].recovery.previous_epoch = 2;
    assert_int_equal(recoveries_check_seen(&f->recoveries, items, 2, &f->err).code, ERR_OK);
    recoveries_add_seen(&f->recoveries, items, 2);
    assert_int_equal(recoveries_check_seen(&f->recoveries, items, 2, &f->err).code, ERR_OK);
    items[1].recovery.recipient[0] ^= 1;
    assert_int_equal(recoveries_check_seen(&f->recoveries, items, 1, &f->err).code, ERR_OK);
    assert_int_equal(recoveries_check_seen(&f->recoveries, items, 2, &f->err).code, ERR_FORK);
    assert_non_null(strstr(f->err.text, "epoch 5"));
    items[1].recovery.epoch = 6; /* recovered once more: the epoch before is over */
    assert_int_equal(recoveries_check_seen(&f->recoveries, items, 2, &f->err).code, ERR_OK);
}

static void no_epoch_is_signed_twice(void **state) {
    struct fixture *f = *state;
    struct recovery first = recover_check_fields(&f->reply);
    bool is_signed = false;
    recoveries_add_signed(&f->recoveries, &first);
    assert_true(is_ok(recover_check_memory(&f->reply, &f->memory, &is_signed, &f->err)));
    assert_true(is_signed); /* the very same: an answer was lost */
    f->reply.index++;
    expect(f, ERR_FORK, "signed from here before");
    f->reply.epoch = 3;
    assert_int_equal(check(f), ERR_OK);
    first.epoch = 7;
    recoveries_add_signed(&f->recoveries, &first);
    expect(f, ERR_ROLLBACK, "highest 7");
}

/* Nobody talks an owner into a signature after which no other epoch is left. */
static void an_epoch_that_is_far_ahead(void **state) {
    struct fixture *f = *state;
    struct recovery before = recover_check_fields(&f->reply);
    f->reply.epoch = f->reply.previous_epoch + LIMIT_EPOCH_AHEAD;
    assert_int_equal(check(f), ERR_OK);
    f->reply.epoch++;
    expect(f, ERR_DENIED, "more than");
    f->reply.epoch = UINT64_MAX;
    expect(f, ERR_DENIED, "more than");
    before.epoch = 5000; /* signed from here before: the way goes on from there */
    recoveries_add_signed(&f->recoveries, &before);
    f->reply.epoch = 5001;
    assert_int_equal(check(f), ERR_OK);
}

static void foreign_keys_and_epochs(void **state) {
    struct fixture *f = *state;
    f->memory.owner[0] ^= 1;
    expect(f, ERR_INVALID, "not among the 2 share owners");
    f->memory.owner[0] ^= 1;
    f->reply.epoch = 1;
    expect(f, ERR_PROTOCOL, "does not follow");
}

static void a_session_of_another_file(void **state) {
    struct fixture *f = *state;
    assert_true(is_ok(recover_check_header(&f->reply, &f->header, &f->err)));
    uint64_t *numbers[] = {&f->header.epoch, &f->header.generation, &f->header.index,
                           &f->header.ledger_size, &f->header.threshold};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        (*numbers[i])++;
        assert_int_equal(recover_check_header(&f->reply, &f->header, &f->err).code, ERR_DIFFERS);
        (*numbers[i])--;
    }
    uint8_t *bytes[] = {f->header.cluster, f->header.head, f->header.ledger_root};
    for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
        bytes[i][0] ^= 1;
        assert_int_equal(recover_check_header(&f->reply, &f->header, &f->err).code, ERR_DIFFERS);
        bytes[i][0] ^= 1;
    }
    f->header.shares.count = 1;
    assert_int_equal(recover_check_header(&f->reply, &f->header, &f->err).code, ERR_DIFFERS);
}

static void a_state_that_somebody_made_up(void **state) {
    struct fixture *f = *state;
    uint8_t root[48] = {7};
    assert_int_equal(recover_check_root(root, &f->memory, &f->err).code, ERR_OK); /* no memory */
    f->memory.has_root = true;
    memcpy(f->memory.root_ca, root, sizeof root);
    assert_int_equal(recover_check_root(root, &f->memory, &f->err).code, ERR_OK);
    for (size_t i = 0; i < sizeof root; i++) {
        root[i] ^= 1;
        assert_int_equal(recover_check_root(root, &f->memory, &f->err).code, ERR_DENIED);
        root[i] ^= 1;
    }
    assert_non_null(strstr(f->err.text, "another root CA"));
}

static void memory_outlives_the_command(void **state) {
    struct fixture *f = *state;
    AUTO(recoveries_deinit)
    struct recoveries again = {0};
    struct recovery first = recover_check_fields(&f->reply);
    bool is_signed = false;
    recoveries_add_signed(&f->recoveries, &first);
    assert_true(is_ok(recoveries_write(folder, &f->recoveries, &f->err)));
    assert_true(is_ok(recoveries_read(folder, &again, &f->err)));
    assert_true(is_ok(recoveries_check_signed(&again, &first, &is_signed, &f->err)) && is_signed);
    assert_int_equal(recoveries_highest(&again, first.cluster), 2);
    assert_int_equal(recoveries_seen(&again, first.cluster), 0);
}

static void a_damaged_memory_is_refused(void **state) {
    struct fixture *f = *state;
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"seen\": [], \"signed\": {}}",
        "{\"seen\": [], \"signed\": [{}]}",
        "{\"seen\": [{\"cluster\": \"00\", \"recovery\": \"00\", \"epoch\": 2}], \"signed\": []}",
    };
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, RECOVERIES_FILE);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct recoveries r = {0};
        assert_true(is_ok(file_write(path, span_str(bad[i]), 0644, &f->err)));
        assert_int_equal(recoveries_read(folder, &r, &f->err).code, ERR_CONFIG);
        assert_non_null(strstr(f->err.text, RECOVERIES_FILE));
        assert_null(r.root);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_fits_is_accepted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_deployment_or_replica, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_older_state, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_epoch_that_is_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_epoch_with_two_beginnings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_epoch_is_signed_twice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_epoch_that_is_far_ahead, set_up, tear_down),
        cmocka_unit_test_setup_teardown(foreign_keys_and_epochs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_session_of_another_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_state_that_somebody_made_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_outlives_the_command, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_memory_is_refused, set_up, tear_down),
    };
    char *made = mkdtemp(folder);
    return made == NULL ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
