/* Manifests, indexes and image configs: what is taken, what is refused and why, every prefix.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/registry/oci_config.h"
#include "cli/registry/oci_manifest.h"
#include "lib/base/limits.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define D0 "sha256:0000000000000000000000000000000000000000000000000000000000000000"
#define D1 "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define D2 "sha256:2222222222222222222222222222222222222222222222222222222222222222"
#define OCI "application/vnd.oci.image."
#define DOCKER "application/vnd.docker."
#define CONFIG                                                                                     \
    "\"config\":{\"mediaType\":\"" OCI "config.v1+json\",\"digest\":\"" D0 "\",\"size\":7}"
#define LAYER(type, more) "{\"mediaType\":\"" type "\",\"digest\":\"" D1 "\",\"size\":9" more "}"
#define MANIFEST(layers) "{\"schemaVersion\":2," CONFIG ",\"layers\":[" layers "]}"
#define GZIP LAYER(OCI "layer.v1.tar+gzip", "")
#define ENTRY(digest, platform)                                                                    \
    "{\"mediaType\":\"" OCI "manifest.v1+json\",\"digest\":\"" digest "\",\"size\":5" platform "}"
#define ON(os, arch, more) ",\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\"" more "}"
#define INDEX(entries)                                                                             \
    "{\"schemaVersion\":2,\"mediaType\":\"" OCI "index.v1+json\",\"manifests\":[" entries "]}"

static void test_manifest(void **state) {
    (void)state;
    static const char *const types[] = {
        LAYER(OCI "layer.v1.tar", ""),
        LAYER(OCI "layer.v1.tar+gzip", ""),
        LAYER(OCI "layer.v1.tar+zstd", ""),
        LAYER(DOCKER "image.rootfs.diff.tar", ""),
        LAYER(DOCKER "image.rootfs.diff.tar.gzip", ""),
        LAYER(DOCKER "image.rootfs.diff.tar.zstd", ",\"urls\":[]"),
    };
    for (size_t i = 0; i < COUNT(types); i++) {
        char text[2048];
        struct oci_manifest m = {0};
        struct err err = {0};
        snprintf(text, sizeof text, "{\"schemaVersion\":2,%s,\"layers\":[%s,%s],\"new\":[1]}",
                 CONFIG, types[i], GZIP);
        if (!is_ok(oci_manifest_parse(span_str(text), NULL, &m, &err))) {
            fail_msg("%s: %s", types[i], err.text);
        }
        assert_false(m.is_index);
        assert_int_equal(m.layer_count, 2);
        assert_int_equal(m.layers[0].digest[0], 0x11);
        assert_int_equal(m.layers[1].size, 9);
        assert_int_equal(m.config.size, 7);
        oci_manifest_deinit(&m);
    }
}

/* The digit of the chosen digest, or -1; the entries have D0, D1, D2. */
static int chosen(const char *text, const char *content_type, struct err *err) {
    struct oci_manifest m = {0};
    if (!is_ok(oci_manifest_parse(span_str(text), content_type, &m, err))) {
        return -1;
    }
    assert_true(m.is_index);
    return m.chosen.digest[0] & 15;
}

static void test_platform(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int want;
        const char *why;
    } rows[] = {
        {INDEX(ENTRY(D0, ON("linux", "arm64", "")) "," ENTRY(D1, ON("linux", "amd64", ""))), 1, ""},
        {INDEX(ENTRY(D0, ON("linux", "amd64", ",\"variant\":\"v3\"")) "," ENTRY(
             D2, ON("linux", "amd64", ",\"variant\":\"v1\""))),
         2, ""},
        {INDEX(ENTRY(D1, ON("linux", "amd64", "")) "," ENTRY(D2, ON("linux", "amd64", ""))), 1, ""},
        {INDEX(ENTRY(D0, ON("windows", "amd64", "")) "," ENTRY(D2, ON("linux", "x86_64", ""))), 2,
         ""},
        {INDEX(ENTRY(D1, ON("unknown", "unknown", "")) "," ENTRY(D2, ON("linux", "amd64", ""))), 2,
         ""},
        {INDEX("{\"mediaType\":\"x/y\",\"digest\":\"" D0
               "\",\"size\":1" ON("linux", "amd64", "") "}," ENTRY(D2, ON("linux", "amd64", ""))),
         2, ""},
        {INDEX(ENTRY(D0, ",\"artifactType\":\"a/b\"" ON("linux", "amd64", "")) "," ENTRY(
             D1, ON("linux", "amd64", ""))),
         1, ""},
        {INDEX(ENTRY(D2, "")), 2, ""},
        {INDEX(ENTRY(D1, "") "," ENTRY(D2, "")), -1, "not built for linux/amd64"},
        {INDEX(ENTRY(D0, ON("linux", "arm64", ",\"variant\":\"v8\""))), -1, "linux/arm64/v8"},
        {INDEX(ENTRY(D0, ON("linux", "amd64", ",\"variant\":\"v2\""))), -1, "linux/amd64/v2"},
        {INDEX(""), -1, "it has: nothing"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct err err = {0};
        int have = chosen(rows[i].text, NULL, &err);
        if (have != rows[i].want || strstr(err.text, rows[i].why) == NULL) {
            fail_msg("row %zu: %d: %s", i, have, err.text);
        }
    }
    assert_int_equal(chosen(INDEX(ENTRY(D2, "")), OCI "index.v1+json; charset=utf-8", NULL), 2);
}

static const struct {
    const char *text;
    enum err_code code;
    const char *why;
} BAD[] = {
    {"", ERR_MALFORMED, "line"},
    {"[]", ERR_MALFORMED, "not a JSON object"},
    {"{\"a\":1,\"a\":2}", ERR_MALFORMED, "duplicate"},
    {"{}", ERR_MALFORMED, "schemaVersion"},
    {"{\"schemaVersion\":3}", ERR_INVALID, "schemaVersion"},
    {"{\"schemaVersion\":1,\"fsLayers\":[]}", ERR_INVALID, "schema 1"},
    {"{\"schemaVersion\":2,\"mediaType\":\"" DOCKER "distribution.manifest.v1+prettyjws\"}",
     ERR_INVALID, "schema 1"},
    {"{\"schemaVersion\":2,\"mediaType\":\"text/plain\"}", ERR_INVALID, "'text/plain' is no image"},
    {"{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}", ERR_MALFORMED, "at once"},
    {"{\"schemaVersion\":2,\"layers\":[]}", ERR_MALFORMED, "config"},
    {"{\"schemaVersion\":2," CONFIG "}", ERR_MALFORMED, "'layers' is not a list"},
    {MANIFEST(""), ERR_INVALID, "no layers"},
    {MANIFEST("1"), ERR_MALFORMED, "layer 0: not an object"},
    {MANIFEST(GZIP "," LAYER("x/y", "")), ERR_INVALID, "layer 1: 'x/y' is not a layer"},
    {MANIFEST(LAYER(OCI "layer.nondistributable.v1.tar", "")), ERR_INVALID, "outside the registry"},
    {MANIFEST(LAYER(DOCKER "image.rootfs.foreign.diff.tar.gzip", "")), ERR_INVALID,
     "outside the registry"},
    {MANIFEST(LAYER(OCI "layer.v1.tar", ",\"urls\":[\"http://x\"]")), ERR_INVALID,
     "outside the registry"},
    {MANIFEST("{\"mediaType\":\"" OCI "layer.v1.tar\",\"digest\":\"" D1 "\"}"), ERR_MALFORMED,
     "'size'"},
    {MANIFEST("{\"mediaType\":\"" OCI "layer.v1.tar\",\"digest\":\"" D1 "\",\"size\":-1}"),
     ERR_MALFORMED, "'size'"},
    {MANIFEST("{\"mediaType\":\"" OCI "layer.v1.tar\",\"digest\":\"" D1
              "\",\"size\":99999999999999}"),
     ERR_TOO_LARGE, "limit"},
    {MANIFEST("{\"mediaType\":\"" OCI "layer.v1.tar\",\"digest\":\"sha256:xy\",\"size\":1}"),
     ERR_INVALID, "layer 0: the digest"},
    {"{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.cncf.helm.config.v1+json\","
     "\"digest\":\"" D0 "\",\"size\":2},\"layers\":[" GZIP "]}",
     ERR_INVALID, "no container image"},
    {INDEX("{\"mediaType\":\"x/y\",\"digest\":\"" D0 "\",\"size\":1}"), ERR_INVALID,
     "entry 0: 'x/y'"},
    {INDEX("{\"mediaType\":\"x/y\",\"platform\":7}"), ERR_MALFORMED, "'platform'"},
};

static void test_bad(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(BAD); i++) {
        struct oci_manifest m = {0};
        struct err err = {0};
        struct result r = oci_manifest_parse(span_str(BAD[i].text), NULL, &m, &err);
        if (r.code != BAD[i].code || strstr(err.text, BAD[i].why) == NULL) {
            fail_msg("row %zu: want %s '%s', have %s '%s'", i, err_name(BAD[i].code), BAD[i].why,
                     err_name(r.code), err.text);
        }
    }
}

static void test_header_must_agree(void **state) {
    (void)state;
    struct oci_manifest m = {0};
    struct err err = {0};
    struct result r = oci_manifest_parse(span_str(MANIFEST(GZIP)), OCI "index.v1+json", &m, &err);
    assert_int_equal(r.code, ERR_MALFORMED);
    assert_non_null(strstr(err.text, "contradicts"));
    /* A server that does not know the type proves nothing. */
    assert_true(is_ok(oci_manifest_parse(span_str(MANIFEST(GZIP)), "application/json", &m, &err)));
    oci_manifest_deinit(&m);
}

static void test_too_many_values(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf text = {0};
    struct oci_manifest m = {0};
    buf_append_str(&text, "{\"a\":[1");
    for (size_t i = 0; i < LIMIT_REGISTRY_ITEMS; i++) {
        buf_append_str(&text, ",1");
    }
    buf_append_str(&text, "]}");
    assert_int_equal(oci_manifest_parse(buf_span(&text), NULL, &m, NULL).code, ERR_TOO_LARGE);
}

/* ---- configs ---- */

#define GOOD_CONFIG                                                                                \
    "{\"os\":\"linux\",\"architecture\":\"amd64\",\"config\":{\"User\":\"1:2\",\"Env\":[\"A=b\"]," \
    "\"Entrypoint\":[\"/e\",\"x\"],\"Cmd\":null,\"WorkingDir\":\"/w\",\"Volumes\":{\"/z\":{},"     \
    "\"/a\":{}}},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" D1 "\",\"" D2 "\"]}}"

static void test_config(void **state) {
    (void)state;
    struct oci_config c = {0};
    struct err err = {0};
    if (!is_ok(oci_config_parse(span_str(GOOD_CONFIG), &c, &err))) {
        fail_msg("%s", err.text);
    }
    assert_string_equal(c.user, "1:2");
    assert_string_equal(c.working_dir, "/w");
    assert_int_equal(c.env.count, 1);
    assert_string_equal(c.entrypoint.items[1], "x");
    assert_int_equal(c.cmd.count, 0);
    assert_string_equal(c.volumes.items[0], "/a");
    assert_int_equal(c.diff_id_count, 2);
    assert_int_equal(c.diff_ids[1][31], 0x22);
    oci_config_deinit(&c);
}

static void test_bad_config(void **state) {
    (void)state;
#define PLATFORM "\"os\":\"linux\",\"architecture\":\"amd64\""
#define ROOTFS "\"rootfs\":{\"diff_ids\":[]}"
    static const struct {
        const char *text;
        const char *why;
    } rows[] = {
        {"{" ROOTFS "}", "'os'"},
        {"{\"os\":\"linux\",\"architecture\":\"arm64\"," ROOTFS "}", "linux/arm64"},
        {"{\"os\":\"windows\",\"architecture\":\"amd64\"," ROOTFS "}", "windows/amd64"},
        {"{" PLATFORM ",\"variant\":\"v3\"," ROOTFS "}", "amd64/v3"},
        {"{" PLATFORM "}", "diff_ids"},
        {"{" PLATFORM ",\"rootfs\":{\"diff_ids\":[7]}}", "diff_id 0"},
        {"{" PLATFORM ",\"rootfs\":{\"diff_ids\":[\"sha256:a\"]}}", "diff_id 0"},
        {"{" PLATFORM "," ROOTFS ",\"config\":7}", "'config'"},
        {"{" PLATFORM "," ROOTFS ",\"config\":{\"User\":7}}", "'User'"},
        {"{" PLATFORM "," ROOTFS ",\"config\":{\"Env\":\"A=b\"}}", "'Env'"},
        {"{" PLATFORM "," ROOTFS ",\"config\":{\"Cmd\":[7]}}", "'Cmd'"},
        {"{" PLATFORM "," ROOTFS ",\"config\":{\"Volumes\":[]}}", "'Volumes'"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct oci_config c = {0};
        struct err err = {0};
        struct result r = oci_config_parse(span_str(rows[i].text), &c, &err);
        if (is_ok(r) || strstr(err.text, rows[i].why) == NULL) {
            fail_msg("row %zu: want '%s', have '%s'", i, rows[i].why, err.text);
        }
    }
}

static void test_every_prefix(void **state) {
    (void)state;
    static const char index[] = INDEX(ENTRY(D2, ""));
    static const char manifest[] = MANIFEST(GZIP);
    for (size_t n = 0; n + 1 < sizeof index; n++) {
        struct oci_manifest m = {0};
        assert_false(is_ok(oci_manifest_parse(span_of(index, n), NULL, &m, NULL)));
    }
    for (size_t n = 0; n + 1 < sizeof manifest; n++) {
        struct oci_manifest m = {0};
        assert_false(is_ok(oci_manifest_parse(span_of(manifest, n), NULL, &m, NULL)));
    }
    for (size_t n = 0; n + 1 < sizeof GOOD_CONFIG; n++) {
        struct oci_config c = {0};
        assert_false(is_ok(oci_config_parse(span_of(GOOD_CONFIG, n), &c, NULL)));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_manifest),
        cmocka_unit_test(test_platform),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_header_must_agree),
        cmocka_unit_test(test_too_many_values),
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_bad_config),
        cmocka_unit_test(test_every_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
