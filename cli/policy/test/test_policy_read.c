/* Documents in all forms, bad ones, and what differs between two.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include "cli/policy/policy_diff.h"
#include "lib/base/limits.h"
#include "lib/crypto/digest.h"

#define DATA                                                                                       \
    "{\n \"containers\": [\n  {\n   \"args\": [\"/pause\"],\n   \"name\": \"\",\n   \"sandbox\": " \
    "true\n  },\n  {\n   \"args\": [\"/web\"],\n   \"caps\": [\"CAP_CHOWN\"],\n   \"env\": "       \
    "[\"A=1\"],\n   \"images\": [\"web:1\"],\n   \"mounts\": [{\"at\": \"/proc\", \"type\": "      \
    "\"proc\"}],\n   \"name\": \"web\",\n   \"uid\": 0\n  }\n ],\n \"name\": \"web\"\n}\n"
static const char rego[] = "package agent_policy\ndefault A := false\n\npolicy_data := " DATA;

static struct buf gzip(struct span text) {
    struct buf out = {0};
    z_stream z = {0};
    assert_int_equal(
        deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, MAX_MEM_LEVEL, Z_DEFAULT_STRATEGY), Z_OK);
    uLong bound = deflateBound(&z, (uLong)text.size);
    z.next_in = (Bytef *)(uintptr_t)text.data;
    z.avail_in = (uInt)text.size;
    z.next_out = buf_extend(&out, bound);
    z.avail_out = (uInt)bound;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out.size = z.total_out;
    deflateEnd(&z);
    return out;
}

static struct buf base64(struct span bytes) {
    struct buf out = {0};
    base64_encode(bytes, &out);
    return out;
}

static struct buf toml(const char *algorithm) {
    struct buf out = {0};
    buf_appendf(&out,
                "# initdata\nversion = '0.1.0'\nalgorithm = \"%s\"\n\n[data]\n"
                "\"aa.toml\" = \"\"\"\n[x]\\\n   y\"\"\"\n'policy.rego' = '''\n%s'''\n",
                algorithm, rego);
    return out;
}

static struct policy_document_list read_ok(struct span text) {
    struct policy_document_list list = {0};
    struct err err = {0};
    if (!is_ok(policy_read("p", text, &list, &err))) {
        fail_msg("%s", err.text);
    }
    return list;
}

/* One document whose Rego is `rego` and whose HOST_DATA is that of `document`. */
static void expect(struct span text, struct span document, bool is_initdata) {
    struct policy_document_list list = read_ok(text);
    uint8_t digest[32];
    char hex[65];
    sha256(document, digest);
    hex_encode(SPAN(digest), hex);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.items[0].host_data, hex);
    assert_string_equal(buf_cstr(&list.items[0].rego), rego);
    assert_int_equal(list.items[0].is_initdata, is_initdata);
    assert_int_equal(json_array_size(json_object_get(list.items[0].data, "containers")), 2);
    policy_document_list_deinit(&list);
}

static void test_every_form(void **state) {
    (void)state;
    struct buf document = toml("sha256");
    struct buf packed = gzip(buf_span(&document));
    struct buf coded = base64(buf_span(&packed));
    struct buf plain = base64(span_str(rego));
    expect(span_str(rego), span_str(rego), false);
    expect(buf_span(&plain), span_str(rego), false);
    expect(buf_span(&document), buf_span(&document), true);
    expect(buf_span(&packed), buf_span(&document), true);
    expect(buf_span(&coded), buf_span(&document), true);
    buf_append_str(&coded, "\n");
    coded.data[coded.size - 1] = '\n';
    expect(buf_span(&coded), buf_span(&document), true);
    buf_deinit(&document);
    buf_deinit(&packed);
    buf_deinit(&coded);
    buf_deinit(&plain);
}

static void test_other_digests(void **state) {
    (void)state;
    static const char *const names[] = {"sha384", "sha-512"};
    for (size_t i = 0; i < 2; i++) {
        struct buf document = toml(names[i]);
        struct policy_document_list list = read_ok(buf_span(&document));
        uint8_t digest[64];
        char hex[65];
        if (i == 0) {
            sha384(buf_span(&document), digest);
        } else {
            sha512(buf_span(&document), digest);
        }
        hex_encode(span_of(digest, 32), hex);
        assert_string_equal(list.items[0].host_data, hex);
        policy_document_list_deinit(&list);
        buf_deinit(&document);
    }
}

static void test_yaml_with_the_annotation_of_either_profile(void **state) {
    (void)state;
    static const char *const keys[] = {WORKLOAD_POLICY_ANNOTATION, WORKLOAD_INITDATA_ANNOTATION};
    for (size_t i = 0; i < 2; i++) {
        struct buf coded = base64(span_str(rego));
        struct buf yaml = {0};
        buf_appendf(&yaml,
                    "# c\nkind: Pod\nmetadata:\n  name: web\n  annotations:\n    %s: %s\n"
                    "spec: {containers: []}\n---\nkind: Service\n",
                    keys[i], buf_cstr(&coded));
        struct policy_document_list list = read_ok(buf_span(&yaml));
        assert_int_equal(list.count, 1);
        assert_string_equal(list.items[0].kind, "Pod");
        assert_string_equal(list.items[0].name, "web");
        policy_document_list_deinit(&list);
        buf_deinit(&yaml);
        buf_deinit(&coded);
    }
}

/* --- Bad ones */

static void expect_refused(struct span text, const char *want) {
    struct policy_document_list list = {0};
    struct err err = {0};
    assert_false(is_ok(policy_read("p", text, &list, &err)));
    assert_int_equal(list.count, 0);
    if (strstr(err.text, want) == NULL) {
        fail_msg("\"%s\" has no \"%s\"", err.text, want);
    }
}

static void test_bad_documents(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *want;
    } rows[] = {
        {"", "p: no policy: want YAML"},
        {"hello, world", "p: no policy: want YAML"},
        {"abcd", "byte 1 is no text"},
        {"abc", "base64"},
        {"{\"a\": 1}", "no policy"},
        {"\x01\xff", "byte 1 is no text"},
        {"kind: Pod\nmetadata: {name: x}\nspec: {a: b}\n", "p: no pod with a policy"},
        {"kind: Pod\nmetadata: {name: x, annotations: {io.katacontainers.config.agent.policy: "
         "YQ==}}"
         "\nspec: {a: b}\n",
         "p:2:74: the policy of Pod/x: no policy"},
        {"kind: [\n", "p:"},
        {"version = 1\n", "TOML: line 1: want a string"},
        {"version = '0.1.0'\n[data]\n", "no \"policy.rego\""},
        {"version = 'x\n", "line 1: the string has no end"},
        {"version = '''x\n\n", "line 1: the string has no end"},
        {"version = 'x' y\n", "line 1: something stands behind"},
        {"version = 'x'\n[other]\n", "line 2: want one table [data]"},
        {"version = 'x'\n[data]\n[data]\n", "line 3: want one table [data]"},
        {"version = 'x'\n=\n", "line 2: want a key"},
        {"version = 'x'\na.b = 'c'\n", "line 2: want \"=\""},
        {"version = \"\\q\"\n", "no such escape"},
        {"version = \"\\u12\"\n", "4 hexadecimal digits"},
        {"version = \"\\ud800\"\n", "no character has this code"},
        {"algorithm = 'md5'\n[data]\n'policy.rego' = 'package a'\n", "\"md5\" is none of"},
        {"algorithm = 'sha256'\nalgorithm = 'sha256'\n", "line 2: the key stands twice"},
        {"algorithm = 'sha256'\n[data]\n'policy.rego' = 'x'\n", "no policy: want YAML"},
        {"algorithm = 'sha256'\n[data]\n'policy.rego' = 'x'\n\"policy.rego\" = 'y'\n",
         "line 4: the key stands twice"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        expect_refused(span_str(rows[i].text), rows[i].want);
    }
}

static void test_gzip_that_is_broken_or_a_bomb(void **state) {
    (void)state;
    struct buf good = gzip(span_str(rego));
    for (size_t size = 2; size < good.size; size++) {
        expect_refused(span_of(good.data, size), "gzip: ");
    }
    buf_append_u8(&good, 0);
    expect_refused(buf_span(&good), "1 bytes behind the end");
    struct buf zeros = {0};
    memset(buf_extend(&zeros, (size_t)2 * LIMIT_POLICY_READ), ' ', (size_t)2 * LIMIT_POLICY_READ);
    struct buf bomb = gzip(buf_span(&zeros));
    assert_true(bomb.size < 16384);
    expect_refused(buf_span(&bomb), "unpacks to more than");
    expect_refused(buf_span(&zeros), "limit 4194304");
    buf_deinit(&good);
    buf_deinit(&zeros);
    buf_deinit(&bomb);
}

static void test_every_prefix_of_initdata(void **state) {
    (void)state;
    struct buf document = toml("sha256");
    for (size_t size = 0; size < document.size; size++) {
        struct policy_document_list list = {0};
        struct result r = policy_read("p", span_of(document.data, size), &list, NULL);
        assert_true(!is_ok(r) || size + 1 >= document.size);
        policy_document_list_deinit(&list);
    }
    buf_deinit(&document);
}

/* --- Differences */

/* `rego` with one text in place of another. */
static struct policy_document_list changed(const char *from, const char *to) {
    struct buf text = {0};
    const char *at = strstr(rego, from);
    assert_non_null(at);
    buf_append(&text, rego, (size_t)(at - rego));
    buf_append_str(&text, to);
    buf_append_str(&text, at + strlen(from));
    struct policy_document_list list = read_ok(buf_span(&text));
    buf_deinit(&text);
    return list;
}

static void expect_change(const char *from, const char *to, const char *want) {
    struct policy_document_list before = read_ok(span_str(rego));
    struct policy_document_list after = changed(from, to);
    json_t *changes = policy_diff(&before, &after);
    char *all = json_dumps(changes, JSON_COMPACT);
    const char *text = json_string_value(json_object_get(json_array_get(changes, 0), "text"));
    if (json_array_size(changes) != 1 || strcmp(text, want) != 0) {
        fail_msg("want %s, got %s", want, all);
    }
    mem_free(all);
    json_decref(changes);
    policy_document_list_deinit(&before);
    policy_document_list_deinit(&after);
}

static void test_differences_in_words(void **state) {
    (void)state;
    static const struct {
        const char *from;
        const char *to;
        const char *want;
    } rows[] = {
        {"web:1", "web:2", "p: container web: image changed web:1 -> web:2"},
        {"[\"web:1\"]", "[\"web:1\",\"docker.io/web:1\"]",
         "p: container web: names of the image changed [\"web:1\"] -> "
         "[\"web:1\",\"docker.io/web:1\"]"},
        {"[\"web:1\"]", "[]", "p: container web: image changed web:1 -> nothing"},
        {"[\"CAP_CHOWN\"]", "[\"CAP_CHOWN\",\"CAP_KILL\"]", "p: container web: +CAP_KILL"},
        {"[\"CAP_CHOWN\"]", "[]", "p: container web: -CAP_CHOWN"},
        {"[\"CAP_CHOWN\"]", "[\"CAP_CHOWN\",\"CAP_CHOWN\"]",
         "p: container web: caps changed [\"CAP_CHOWN\"] -> [\"CAP_CHOWN\",\"CAP_CHOWN\"]"},
        {"A=1", "A=2", "p: container web: env A changed \"1\" -> \"2\""},
        {"[\"A=1\"]", "[\"A=1\",[\"B=\",\"x\"]]", "p: container web: +env B \"x\""},
        {"[\"A=1\"]", "[]", "p: container web: -env A \"1\""},
        {"A=1", "A=\\u0001name\\u0001",
         "p: container web: env A changed \"1\" -> \"<pod's name>\""},
        {"/web", "/bad", "p: container web: command changed [\"/web\"] -> [\"/bad\"]"},
        {"\"uid\": 0", "\"uid\": 1", "p: container web: uid changed 0 -> 1"},
        {"\"uid\": 0", "\"uid\": 0, \"z\": 1", "p: container web: +z 1"},
        {"\"type\": \"proc\"", "\"type\": \"bind\"",
         "p: container web: mount /proc changed {\"at\":\"/proc\",\"type\":\"proc\"} -> "
         "{\"at\":\"/proc\",\"type\":\"bind\"}"},
        {"/pause", "/pulse", "p: the sandbox: command changed [\"/pause\"] -> [\"/pulse\"]"},
        {"\"name\": \"web\"\n}", "\"name\": \"shop\"\n}", "p: name changed \"web\" -> \"shop\""},
        {"default A := false", "default A := true",
         "p: the rules changed: made by another version of contrast, or another tool"},
        {"\"uid\": 0", "\"uid\":  0",
         "p: the bytes differ, and so does the hash, but nothing that they mean"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        expect_change(rows[i].from, rows[i].to, rows[i].want);
    }
}

static void test_a_container_more_and_no_difference(void **state) {
    (void)state;
    struct policy_document_list before = read_ok(span_str(rego));
    struct policy_document_list after = changed("\"name\": \"web\",", "\"name\": \"evil\",");
    json_t *changes = policy_diff(&before, &after);
    assert_int_equal(json_array_size(changes), 3);
    static const char *const want[] = {"p: +container evil (image web:1)",
                                       "p: -container web (image web:1)",
                                       "p: the order of the containers changed"};
    for (size_t i = 0; i < 3; i++) {
        const json_t *text = json_object_get(json_array_get(changes, i), "text");
        assert_string_equal(json_string_value(text), want[i]);
    }
    json_decref(changes);
    changes = policy_diff(&before, &before);
    assert_int_equal(json_array_size(changes), 0);
    json_decref(changes);
    policy_document_list_deinit(&before);
    policy_document_list_deinit(&after);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_form),
        cmocka_unit_test(test_other_digests),
        cmocka_unit_test(test_yaml_with_the_annotation_of_either_profile),
        cmocka_unit_test(test_bad_documents),
        cmocka_unit_test(test_gzip_that_is_broken_or_a_bomb),
        cmocka_unit_test(test_every_prefix_of_initdata),
        cmocka_unit_test(test_differences_in_words),
        cmocka_unit_test(test_a_container_more_and_no_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
