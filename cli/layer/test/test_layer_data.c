/* The layers of the shared test data (CONTRAST_TESTDATA, by default ../shared/testdata): each tar
 * of tarfs/ against what tarindex of both dialects and kata's verity made of it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "cli/layer/layer.h"
#include "lib/base/file.h"

#define PATH_SIZE 512
#define WARNING_CUT 80 /* vectors cut longer warnings */
#define TAR_MAX (16 * 1024 * 1024)

static char root[PATH_SIZE];

static const char *text_of(const json_t *row, const char *key) {
    const char *text = json_string_value(json_object_get(row, key));
    assert_non_null(text);
    return text;
}

static void assert_hex(const uint8_t hash[SHA256_SIZE], const char *want, const char *name) {
    char hex[2 * SHA256_SIZE + 1];
    hex_encode(span_of(hash, SHA256_SIZE), hex);
    if (strcmp(hex, want) != 0) {
        fail_msg("%s: %s, want %s", name, hex, want);
    }
}

static bool is_warning(const char *text, const char *want) {
    size_t n = strlen(want);
    return n < WARNING_CUT ? strcmp(text, want) == 0 : strncmp(text, want, n) == 0;
}

static void check_warnings(const char *name, const json_t *want, const struct layer_result *r) {
    size_t count = 0;
    for (size_t i = 0; i < r->warning_count; i++) {
        const struct layer_warning *w = &r->warnings[i];
        if ((w->dialects & 1U << LAYER_UPSTREAM) != 0) {
            const char *text = json_string_value(json_array_get(want, count++));
            if (text == NULL || !is_warning(w->text, text)) {
                fail_msg("%s: warns '%s'", name, w->text);
            }
        }
    }
    assert_int_equal(count, json_array_size(want));
}

static void check_vector(const char *name, const json_t *row, const struct layer_result *r) {
    const struct layer_root *upstream = &r->roots[LAYER_UPSTREAM];
    assert_hex(r->diff_id, text_of(row, "tar_sha256"), name);
    assert_hex(upstream->root_hash, text_of(row, "root_hash_upstream"), name);
    assert_hex(r->roots[LAYER_MSFT].root_hash, text_of(row, "root_hash_msft"), name);
    assert_int_equal(upstream->size, json_integer_value(json_object_get(row, "size")));
    assert_int_equal(upstream->inodes, json_integer_value(json_object_get(row, "inodes")));
    assert_int_equal(upstream->inode_table,
                     json_integer_value(json_object_get(row, "inode_table")));
    check_warnings(name, json_object_get(row, "warn"), r);
}

static struct result hash(struct span tar, struct layer_result *out, struct err *err) {
    struct layer *l = NULL;
    struct result r = layer_new(0, &l, err);
    if (is_ok(r)) {
        r = layer_feed(l, tar, err);
    }
    if (is_ok(r)) {
        r = layer_finish(l, out, err);
    }
    layer_free(l);
    return r;
}

static void check_row(const char *name, const json_t *row) {
    char path[PATH_SIZE + 80];
    AUTO(buf_deinit)
    struct buf tar = {0};
    AUTO(layer_result_deinit)
    struct layer_result out = {0};
    struct err err = {0};
    snprintf(path, sizeof path, "%s/tarfs/%s.tar", root, name);
    if (!is_ok(file_read(path, TAR_MAX, &tar, &err))) {
        fail_msg("%s", err.text);
    }
    struct result r = hash(buf_span(&tar), &out, &err);
    if (json_object_get(row, "error") != NULL) {
        assert_int_equal(r.code, ERR_MALFORMED);
    } else if (is_ok(r)) {
        check_vector(name, row, &out);
    } else {
        fail_msg("%s: %s", name, err.text);
    }
}

static void test_vectors(void **state) {
    (void)state;
    char path[PATH_SIZE + 80];
    const char *name;
    json_t *row;
    snprintf(path, sizeof path, "%s/tarfs/vectors.json", root);
    json_t *all = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(all);
    assert_true(json_object_size(all) >= 34);
    json_object_foreach(all, name, row) {
        check_row(name, row);
    }
    json_decref(all);
}

static bool is_set(const char *name) {
    const char *value = getenv(name);
    return value != NULL && strcmp(value, "true") == 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors)};
    const char *given = getenv("CONTRAST_TESTDATA");
    snprintf(root, sizeof root, "%s", given != NULL ? given : "../shared/testdata");
    if (access(root, R_OK) != 0) {
        printf("no test data at %s (CONTRAST_TESTDATA): the vectors of layers are not checked\n",
               root);
        return is_set("CI") ? 1 : 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
