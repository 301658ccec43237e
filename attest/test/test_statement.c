/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "attest/statement.h"
#include "lib/crypto/key.h"

struct fixture {
    struct buf spki;
    struct buf bytes;
    struct arena arena;
    struct replica_statement replica;
};

static int set_up(void **state) {
    static struct fixture f;
    struct key key = {0};
    f = (struct fixture){0};
    assert_true(is_ok(key_generate(KEY_P256, &key, NULL)));
    key_spki(&key, &f.spki);
    key_deinit(&key);
    f.replica = (struct replica_statement){
        .replica_id = statement_replica_id(buf_span(&f.spki)),
        .public_key = buf_span(&f.spki),
        .commit_index = 7,
        .state = REPLICA_FROZEN,
        .has_confirmed = true,
        .confirmed_index = 7,
    };
    *state = &f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    buf_deinit(&f->spki);
    buf_deinit(&f->bytes);
    arena_deinit(&f->arena);
    return 0;
}

static enum err_code decode_replica(struct fixture *f) {
    struct statement out;
    buf_clear(&f->bytes);
    wire_encode(&replica_statement_type, &f->replica, &f->bytes);
    return statement_decode(ATTEST_REPLICA, buf_span(&f->bytes), &f->arena, &out, NULL).code;
}

static void test_replica_round_trip(void **state) {
    struct fixture *f = *state;
    struct replica_statement out;
    assert_int_equal(decode_replica(f), ERR_OK);
    assert_true(is_ok(replica_statement_decode(buf_span(&f->bytes), &f->arena, &out, NULL)));
    assert_true(span_equal(out.public_key, buf_span(&f->spki)));
    assert_int_equal(out.confirmed_index, 7);
    assert_true(out.has_confirmed);
}

static void test_replica_id_is_the_keys(void **state) {
    struct fixture *f = *state;
    assert_true(f->replica.replica_id >> 63 == 0);
    f->replica.replica_id ^= 1;
    assert_int_equal(decode_replica(f), ERR_MALFORMED);
}

static void test_replica_state_is_known(void **state) {
    struct fixture *f = *state;
    f->replica.state = REPLICA_STATE_COUNT;
    assert_int_equal(decode_replica(f), ERR_MALFORMED);
}

static void test_confirmed_needs_its_flag_and_a_commit(void **state) {
    struct fixture *f = *state;
    f->replica.has_confirmed = false;
    assert_int_equal(decode_replica(f), ERR_MALFORMED);
    f->replica.has_confirmed = true;
    f->replica.confirmed_index = 8;
    assert_int_equal(decode_replica(f), ERR_MALFORMED);
}

static void test_key_must_be_a_key(void **state) {
    struct fixture *f = *state;
    f->replica.public_key.size--;
    f->replica.replica_id = statement_replica_id(f->replica.public_key);
    assert_int_equal(decode_replica(f), ERR_MALFORMED);
    struct workload_statement workload = {f->replica.public_key};
    struct workload_statement out;
    buf_clear(&f->bytes);
    wire_encode(&workload_statement_type, &workload, &f->bytes);
    assert_int_equal(workload_statement_decode(buf_span(&f->bytes), &f->arena, &out, NULL).code,
                     ERR_MALFORMED);
}

static void test_kinds_do_not_decode_as_each_other(void **state) {
    struct fixture *f = *state;
    struct workload_statement workload = {buf_span(&f->spki)};
    struct statement out;
    assert_int_equal(decode_replica(f), ERR_OK);
    assert_false(
        is_ok(statement_decode(ATTEST_WORKLOAD, buf_span(&f->bytes), &f->arena, &out, NULL)));
    buf_clear(&f->bytes);
    wire_encode(&workload_statement_type, &workload, &f->bytes);
    assert_true(
        is_ok(statement_decode(ATTEST_WORKLOAD, buf_span(&f->bytes), &f->arena, &out, NULL)));
    assert_true(span_equal(statement_public_key(&out), buf_span(&f->spki)));
    assert_false(
        is_ok(statement_decode(ATTEST_REPLICA, buf_span(&f->bytes), &f->arena, &out, NULL)));
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_replica_round_trip),     T(test_replica_id_is_the_keys),
        T(test_replica_state_is_known), T(test_confirmed_needs_its_flag_and_a_commit),
        T(test_key_must_be_a_key),      T(test_kinds_do_not_decode_as_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
