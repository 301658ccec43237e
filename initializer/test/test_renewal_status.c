/* renewal-status.json: there and back, and what is refused.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "initializer/renewal_status.h"
#include "lib/base/file.h"
#include "lib/base/limits.h"

static const struct renewal_status full = {
    .last_success = 1800000100,
    .has_certificate = true,
    .certificate = {.serial = {0xab, 1},
                    .generation = 4,
                    .epoch = 2,
                    .mesh_ca = {0xcd, 2},
                    .chain_digest = {0xef, 3},
                    .life = {1799996400, 1800086400, 1800000000, 123456}},
    .seen = {true, {7}, 2, 5, {8}, 99},
    .error = {.code = ERR_NO_QUORUM, .text = "no \"quorum\" \xc3\xa4"},
    .error_at = 1800000200,
};

static void encode(const struct renewal_status *s, bool is_expired, struct buf *out) {
    renewal_status_encode(s, is_expired, out);
}

static enum err_code decode(const char *text, size_t size, struct renewal_status *out,
                            struct err *err) {
    return renewal_status_decode(span_of(text, size), out, err).code;
}

static void test_there_and_back(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf text = {0};
    AUTO(buf_deinit)
    struct buf again = {0};
    struct renewal_status s;
    struct err err;
    encode(&full, false, &text);
    assert_int_equal(decode((const char *)text.data, text.size, &s, &err), ERR_OK);
    assert_int_equal(s.error.code, ERR_OK); /* of another process */
    s.error = full.error;
    s.error_at = full.error_at;
    encode(&s, false, &again);
    assert_string_equal(buf_cstr(&again), buf_cstr(&text));
    assert_true(lineage_is_same(&s.seen, &full.seen));
    assert_int_equal(s.seen.confirmed_index, 99);
}

static void test_nothing_there_and_back(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf text = {0};
    struct renewal_status s = full;
    struct renewal_status nothing = {0};
    encode(&nothing, false, &text);
    assert_non_null(strstr(buf_cstr(&text), "\"state\": \"none\""));
    assert_int_equal(decode((const char *)text.data, text.size, &s, NULL), ERR_OK);
    assert_false(s.has_certificate);
    assert_false(s.seen.is_known);
}

static void test_what_people_read(void **state) {
    (void)state;
    static const char *const words[] = {
        "\"state\": \"expired\"",
        "\"last_success\": 1800000100",
        "\"generation\": 4",
        "\"not_after\": 1800086400",
        "\"epoch\": 2",
        "\"mesh_ca_sha384\": \"cd02",
        "\"code\": \"NO_QUORUM\"",
        "\"number\": 9",
        "no \\\"quorum\\\" \xc3\xa4",
    };
    AUTO(buf_deinit)
    struct buf text = {0};
    encode(&full, true, &text);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strstr(buf_cstr(&text), words[i]) == NULL) {
            fail_msg("%s is not in %s", words[i], buf_cstr(&text));
        }
    }
}

static void test_every_prefix_is_refused(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf text = {0};
    struct renewal_status s;
    encode(&full, false, &text);
    for (size_t size = 0; size < text.size - 2; size++) { /* all but the brace and the line's end */
        assert_int_equal(decode((const char *)text.data, size, &s, NULL), ERR_CONFIG);
    }
}

/* One place of a good file replaced. */
static enum err_code decode_with(const char *from, const char *to, struct err *err) {
    AUTO(buf_deinit)
    struct buf text = {0};
    AUTO(buf_deinit)
    struct buf changed = {0};
    struct renewal_status s;
    encode(&full, false, &text);
    const char *start = buf_cstr(&text);
    const char *at = strstr(start, from);
    assert_non_null(at);
    buf_append(&changed, start, (size_t)(at - start));
    buf_append_str(&changed, to);
    buf_append_str(&changed, at + strlen(from));
    return decode((const char *)changed.data, changed.size, &s, err);
}

static void test_bad_members_are_named(void **state) {
    (void)state;
    static const struct {
        const char *from;
        const char *to;
        const char *word; /* of the error */
    } rows[] = {
        {"\"state\"", "\"status\"", "state"},
        {"\"valid\"", "7", "state"},
        {"1800000100", "-1", "last_success"},
        {"1800000100", "1099511627777", "last_success"},
        {"1800000100", "\"1800000100\"", "last_success"},
        {"1800000100", "1.5", "last_success"},
        {"\"serial\": \"ab", "\"serial\": \"zz", "serial"},
        {"\"serial\": \"ab", "\"serial\": \"", "serial"},
        {"\"generation\": 4", "\"generation\": null", "generation"},
        {"\"generation\": 4", "\"generations\": 4", "generation"},
        {"\"generation\": 4", "\"generation\": 4, \"more\": 1", "certificate"},
        {"\"mesh_ca_sha384\": \"cd", "\"mesh_ca_sha384\": \"cd00", "mesh_ca_sha384"},
        {"\"chain_sha256\": \"ef", "\"chain_sha256\": \"", "chain_sha256"},
        {"1800086400", "-5", "not_after"},
        {"123456", "-123456", "issued_monotonic_ms"},
        {"123456", "99999999999999999999999", "not a JSON object"},
        {"\"certificate\": {", "\"certificate\": [], \"x\": {", "want"},
        {"\"cluster\": \"07", "\"cluster\": \"", "cluster"},
        {"\"confirmed_index\": 99", "\"confirmed_index\": -1", "confirmed_index"},
        {"\"code\": \"NO_QUORUM\"", "\"code\": 1", "last_error"},
        {"\"at\": 1800000200", "\"at\": true", "at"},
        {"\"state\"", "\"state\": \"none\", \"state\"", "not a JSON object"}, /* twice */
        {"\n}\n", "\n}\n{}", "not a JSON object"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = {0};
        if (decode_with(rows[i].from, rows[i].to, &err) != ERR_CONFIG ||
            strstr(err.text, rows[i].word) == NULL) {
            fail_msg("row %zu: %s", i, err.text);
        }
    }
}

static void test_the_file(void **state) {
    (void)state;
    char dir[] = "/tmp/test_renewal_status_XXXXXX";
    char path[128];
    struct renewal_status s;
    struct err err;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/" RENEWAL_STATUS_FOLDER "/" RENEWAL_STATUS_NAME, dir);
    assert_int_equal(renewal_status_load(dir, &s, &err).code, ERR_NOT_FOUND);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(renewal_status_store(dir, &full, false, &err).code, ERR_OK);
    }
    assert_int_equal(renewal_status_load(dir, &s, &err).code, ERR_OK);
    assert_int_equal(s.certificate.life.issued_ms, 123456);
    assert_int_equal(file_write(path, span_str("{}"), 0444, &err).code, ERR_OK);
    assert_int_equal(renewal_status_load(dir, &s, &err).code, ERR_CONFIG);
    assert_non_null(strstr(err.text, path));
    AUTO(buf_deinit)
    struct buf large = {0};
    memset(buf_extend(&large, LIMIT_RENEWAL_STATUS + 1), ' ', LIMIT_RENEWAL_STATUS + 1);
    assert_int_equal(file_write(path, buf_span(&large), 0444, &err).code, ERR_OK);
    assert_int_not_equal(renewal_status_load(dir, &s, &err).code, ERR_OK);
    assert_int_equal(remove(path), 0);
    (void)snprintf(path, sizeof path, "%s/" RENEWAL_STATUS_FOLDER, dir);
    assert_int_equal(remove(path), 0);
    (void)snprintf(path, sizeof path, "%s/" RENEWAL_STATUS_NAME, dir); /* for people */
    assert_int_equal(remove(path), 0);
    assert_int_equal(remove(dir), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_nothing_there_and_back),
        cmocka_unit_test(test_what_people_read),
        cmocka_unit_test(test_every_prefix_is_refused),
        cmocka_unit_test(test_bad_members_are_named),
        cmocka_unit_test(test_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
