/* The cache's file of a layer: a round trip, every prefix, what is refused.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/registry/image_cache.h"
#include "lib/base/mem.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ID "\"diff_id\":\"0000000000000000000000000000000000000000000000000000000000000000\""
#define ROOT                                                                                       \
    "{\"root_hash\":\"0000000000000000000000000000000000000000000000000000000000000000\","         \
    "\"size\":1,\"inode_table\":1,\"inodes\":1}"
#define ABSENT "{\"state\":\"absent\",\"content\":\"\"}"
#define FILE_OF(format, id, roots, passwd, warnings)                                               \
    "{\"format\":" format "," id ",\"tar_size\":1,\"long_links\":0,\"roots\":" roots               \
    ",\"passwd\":" passwd ",\"group\":" ABSENT ",\"warnings\":" warnings                           \
    ",\"warnings_dropped\":0}"

static const uint8_t zero[SHA256_SIZE];

static struct layer_result sample(void) {
    struct layer_result l = {.tar_size = 10240, .long_links = 2, .warnings_dropped = 3};
    memset(l.diff_id, 7, sizeof l.diff_id);
    for (size_t i = 0; i < LAYER_DIALECTS; i++) {
        memset(l.roots[i].root_hash, (int)i + 1, SHA256_SIZE);
        l.roots[i].size = 4096 * (i + 2);
        l.roots[i].inode_table = 10240;
        l.roots[i].inodes = i + 5;
    }
    l.passwd.state = LAYER_FILE_PRESENT;
    buf_append(&l.passwd.content, "root:\0\xFF", 7);
    l.group.state = LAYER_FILE_REMOVED;
    l.warnings = mem_calloc(1, sizeof *l.warnings);
    l.warnings[0] = (struct layer_warning){mem_strdup("a \"link\""), 2};
    l.warning_count = 1;
    return l;
}

static void test_round_trip(void **state) {
    (void)state;
    struct layer_result l = sample();
    struct layer_result again = {0};
    struct err err = {0};
    AUTO(buf_deinit)
    struct buf file = {0};
    AUTO(buf_deinit)
    struct buf file2 = {0};
    image_cache_encode(&l, &file);
    if (!is_ok(image_cache_parse(buf_span(&file), l.diff_id, &again, &err))) {
        fail_msg("%s", err.text);
    }
    image_cache_encode(&again, &file2);
    assert_true(span_equal(buf_span(&file), buf_span(&file2)));
    assert_memory_equal(again.roots, l.roots, sizeof l.roots);
    assert_int_equal(again.long_links, 2);
    assert_int_equal(again.passwd.content.size, 7);
    assert_int_equal(again.group.state, LAYER_FILE_REMOVED);
    assert_string_equal(again.warnings[0].text, "a \"link\"");
    layer_result_deinit(&l);
    layer_result_deinit(&again);
}

static void test_damage(void **state) {
    (void)state;
    struct layer_result l = sample();
    struct layer_result again = {0};
    AUTO(buf_deinit)
    struct buf file = {0};
    image_cache_encode(&l, &file);
    for (size_t n = 0; n < file.size; n++) {
        assert_false(is_ok(image_cache_parse(span_of(file.data, n), l.diff_id, &again, NULL)));
        file.data[n] ^= 1;
        assert_false(is_ok(image_cache_parse(buf_span(&file), l.diff_id, &again, NULL)));
        file.data[n] ^= 1;
    }
    /* A whole file under another layer's name. */
    assert_int_equal(image_cache_parse(buf_span(&file), zero, &again, NULL).code, ERR_MALFORMED);
    layer_result_deinit(&l);
}

static struct result parse_checked(const char *json, struct err *err) {
    uint8_t digest[SHA256_SIZE];
    char hex[2 * SHA256_SIZE + 1];
    struct layer_result l = {0};
    AUTO(buf_deinit)
    struct buf file = {0};
    sha256(span_str(json), digest);
    hex_encode(SPAN(digest), hex);
    buf_appendf(&file, "%s\n", hex);
    buf_append_str(&file, json);
    struct result r = image_cache_parse(buf_span(&file), zero, &l, err);
    layer_result_deinit(&l);
    return r;
}

static void test_bad(void **state) {
    (void)state;
    static const struct {
        const char *json;
        const char *why;
    } rows[] = {
        {"{}", "'format'"},
        {FILE_OF("2", ID, "[" ROOT "," ROOT "]", ABSENT, "[]"), "another version"},
        {FILE_OF("1", "\"x\":1", "[" ROOT "," ROOT "]", ABSENT, "[]"), "'diff_id'"},
        {FILE_OF("1", ID, "[" ROOT "]", ABSENT, "[]"), "'roots'"},
        {FILE_OF("1", ID, "[" ROOT ",{}]", ABSENT, "[]"), "'root_hash'"},
        {FILE_OF("1", ID, "[" ROOT "," ROOT "]", "{}", "[]"), "no state"},
        {FILE_OF("1", ID, "[" ROOT "," ROOT "]", "{\"state\":\"x\",\"content\":\"\"}", "[]"),
         "unknown state"},
        {FILE_OF("1", ID, "[" ROOT "," ROOT "]", "{\"state\":\"other\",\"content\":\"YQ==\"}",
                 "[]"),
         "not there"},
        {FILE_OF("1", ID, "[" ROOT "," ROOT "]", ABSENT, "{}"), "'warnings'"},
        {FILE_OF("1", ID, "[" ROOT "," ROOT "]", ABSENT, "[{\"text\":\"x\",\"dialects\":4}]"),
         "no dialect"},
    };
    struct err err = {0};
    assert_true(is_ok(parse_checked(FILE_OF("1", ID, "[" ROOT "," ROOT "]", ABSENT, "[]"), &err)));
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct result r = parse_checked(rows[i].json, &err);
        if (r.code != ERR_MALFORMED || strstr(err.text, rows[i].why) == NULL) {
            fail_msg("row %zu: want '%s', have '%s'", i, rows[i].why, err.text);
        }
    }
}

#define TAG "sha256:00000000000000000000000000000000000000000000000000000000000000ff"

static void test_tag(void **state) {
    (void)state;
    static const char *const bad[] = {"",           TAG,         TAG " -1",  TAG "  1",
                                      TAG "\t1",    TAG " 1\n",  TAG " 0x1", TAG " 1234567890123",
                                      " " TAG " 1", "sha512:1 1"};
    static const char good[] = TAG " 1763810000";
    uint8_t digest[SHA256_SIZE];
    int64_t unix_s = 0;
    assert_true(image_cache_parse_tag(span_str(good), digest, &unix_s));
    assert_int_equal(unix_s, 1763810000);
    assert_int_equal(digest[SHA256_SIZE - 1], 0xff);
    for (size_t n = 0; n <= strlen(TAG " "); n++) { /* a shorter time is a time, too */
        assert_false(image_cache_parse_tag(span_of(good, n), digest, &unix_s));
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_false(image_cache_parse_tag(span_str(bad[i]), digest, &unix_s));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_tag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
