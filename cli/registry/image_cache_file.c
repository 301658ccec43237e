/* The image cache's file of a layer: see image_cache.h.
 *
 *   line 1: hexadecimal SHA-256 of the rest     rest: one JSON object
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "cli/registry/image_cache.h"
#include "cli/registry/oci_json.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

#define FORMAT 1 /* counts up with every change of this file or of what the hashes mean */
#define HEAD_SIZE (2 * SHA256_SIZE + 1)

static const char *const STATES[] = {"absent", "present", "removed", "other"};

/* ---- writing ---- */

static json_t *make_hex(struct span bytes) {
    char text[2 * SHA256_SIZE + 1];
    CHECK(bytes.size <= SHA256_SIZE);
    hex_encode(bytes, text);
    return json_string(text);
}

static json_t *make_root(const struct layer_root *r) {
    json_t *o = json_object();
    json_object_set_new(o, "root_hash", make_hex(SPAN(r->root_hash)));
    json_object_set_new(o, "size", json_integer((json_int_t)r->size));
    json_object_set_new(o, "inode_table", json_integer((json_int_t)r->inode_table));
    json_object_set_new(o, "inodes", json_integer((json_int_t)r->inodes));
    return o;
}

static json_t *make_file(const struct layer_file *f) {
    AUTO(buf_deinit)
    struct buf text = {0};
    json_t *o = json_object();
    base64_encode(buf_span(&f->content), &text);
    json_object_set_new(o, "state", json_string(STATES[f->state]));
    json_object_set_new(o, "content", json_string(buf_cstr(&text)));
    return o;
}

static json_t *make_warnings(const struct layer_result *l) {
    json_t *list = json_array();
    for (size_t i = 0; i < l->warning_count; i++) {
        json_array_append_new(list, json_pack("{s:s, s:I}", "text", l->warnings[i].text, "dialects",
                                              (json_int_t)l->warnings[i].dialects));
    }
    return list;
}

void image_cache_encode(const struct layer_result *l, struct buf *out) {
    uint8_t digest[SHA256_SIZE];
    char head[HEAD_SIZE];
    json_t *o = json_object();
    json_t *roots = json_array();
    for (size_t i = 0; i < LAYER_DIALECTS; i++) {
        json_array_append_new(roots, make_root(&l->roots[i]));
    }
    json_object_set_new(o, "format", json_integer(FORMAT));
    json_object_set_new(o, "diff_id", make_hex(SPAN(l->diff_id)));
    json_object_set_new(o, "tar_size", json_integer((json_int_t)l->tar_size));
    json_object_set_new(o, "long_links", json_integer((json_int_t)l->long_links));
    json_object_set_new(o, "roots", roots);
    json_object_set_new(o, "passwd", make_file(&l->passwd));
    json_object_set_new(o, "group", make_file(&l->group));
    json_object_set_new(o, "warnings", make_warnings(l));
    json_object_set_new(o, "warnings_dropped", json_integer((json_int_t)l->warnings_dropped));
    char *text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
    CHECK(text != NULL);
    sha256(span_str(text), digest);
    hex_encode(SPAN(digest), head);
    buf_appendf(out, "%s\n", head);
    buf_append_str(out, text);
    free(text); /* jansson's */
    json_decref(o);
}

/* ---- reading ---- */

static RESULT read_number(const json_t *o, const char *key, uint64_t *out, struct err *err) {
    const json_t *n = json_object_get(o, key);
    ENSURE(json_is_integer(n) && json_integer_value(n) >= 0, err, MALFORMED, "'%s' is no number",
           key);
    *out = (uint64_t)json_integer_value(n);
    return OK;
}

static RESULT read_hex(const json_t *o, const char *key, uint8_t out[SHA256_SIZE],
                       struct err *err) {
    const char *text = json_string_value(json_object_get(o, key));
    ENSURE(text != NULL, err, MALFORMED, "'%s' is no text", key);
    return hex_decode(span_str(text), out, SHA256_SIZE, err);
}

static RESULT read_layer_root(const json_t *o, struct layer_root *out, struct err *err) {
    TRY(read_hex(o, "root_hash", out->root_hash, err));
    TRY(read_number(o, "size", &out->size, err));
    TRY(read_number(o, "inode_table", &out->inode_table, err));
    return read_number(o, "inodes", &out->inodes, err);
}

static RESULT read_file(const json_t *o, struct layer_file *out, struct err *err) {
    const char *state = json_string_value(json_object_get(o, "state"));
    const char *content = json_string_value(json_object_get(o, "content"));
    ENSURE(state != NULL && content != NULL, err, MALFORMED, "a file has no state or no content");
    for (unsigned i = 0; i < sizeof STATES / sizeof STATES[0]; i++) {
        if (strcmp(state, STATES[i]) == 0) {
            out->state = (enum layer_file_state)i;
            TRY(base64_decode(span_str(content), &out->content, err));
            ENSURE(out->content.size == 0 || i == LAYER_FILE_PRESENT, err, MALFORMED,
                   "a file that is not there has content");
            ENSURE(out->content.size <= LIMIT_LAYER_FILE, err, MALFORMED, "a file is too large");
            return OK;
        }
    }
    return err_set(err, ERR_MALFORMED, "a file has an unknown state");
}

static RESULT read_warnings(const json_t *list, struct layer_result *out, struct err *err) {
    size_t count = json_array_size(list);
    ENSURE(json_is_array(list) && count <= LIMIT_LAYER_WARNINGS, err, MALFORMED,
           "'warnings' is no list, or too long");
    out->warnings = mem_calloc(count + 1, sizeof *out->warnings);
    for (size_t i = 0; i < count; i++) {
        const json_t *w = json_array_get(list, i);
        const char *text = json_string_value(json_object_get(w, "text"));
        uint64_t dialects = 0;
        ENSURE(text != NULL, err, MALFORMED, "a warning has no text");
        TRY(read_number(w, "dialects", &dialects, err));
        ENSURE(dialects < 1U << LAYER_DIALECTS, err, MALFORMED, "a warning of no dialect");
        out->warnings[out->warning_count++] =
            (struct layer_warning){mem_strdup(text), (unsigned)dialects};
    }
    return OK;
}

static RESULT read_all(const json_t *o, const uint8_t diff_id[SHA256_SIZE],
                       struct layer_result *out, struct err *err) {
    uint64_t format = 0;
    const json_t *roots = json_object_get(o, "roots");
    TRY(read_number(o, "format", &format, err));
    ENSURE(format == FORMAT, err, MALFORMED, "another version wrote it");
    TRY(read_hex(o, "diff_id", out->diff_id, err));
    ENSURE(memcmp(out->diff_id, diff_id, SHA256_SIZE) == 0, err, MALFORMED,
           "it is about another layer");
    TRY(read_number(o, "tar_size", &out->tar_size, err));
    TRY(read_number(o, "long_links", &out->long_links, err));
    TRY(read_number(o, "warnings_dropped", &out->warnings_dropped, err));
    ENSURE(json_array_size(roots) == LAYER_DIALECTS, err, MALFORMED, "'roots' is no pair");
    for (size_t i = 0; i < LAYER_DIALECTS; i++) {
        TRY(read_layer_root(json_array_get(roots, i), &out->roots[i], err));
    }
    TRY(read_file(json_object_get(o, "passwd"), &out->passwd, err));
    TRY(read_file(json_object_get(o, "group"), &out->group, err));
    return read_warnings(json_object_get(o, "warnings"), out, err);
}

struct result image_cache_parse(struct span file, const uint8_t diff_id[SHA256_SIZE],
                                struct layer_result *out, struct err *err) {
    uint8_t digest[SHA256_SIZE];
    uint8_t stored[SHA256_SIZE];
    AUTO(oci_json_free)
    json_t *root = NULL;
    struct layer_result layer = {0};
    ENSURE(file.size > HEAD_SIZE && file.data[HEAD_SIZE - 1] == '\n', err, MALFORMED,
           "it has no checksum");
    struct span text = span_of(file.data + HEAD_SIZE, file.size - HEAD_SIZE);
    TRY(hex_decode(span_of(file.data, HEAD_SIZE - 1), stored, sizeof stored, err));
    sha256(text, digest);
    ENSURE(memcmp(digest, stored, sizeof digest) == 0, err, MALFORMED, "its checksum is wrong");
    TRY(oci_json_parse(text, LIMIT_REGISTRY_CACHE_FILE, "layer", &root, err));
    struct result r = read_all(root, diff_id, &layer, err);
    if (!is_ok(r)) {
        layer_result_deinit(&layer);
        return r;
    }
    *out = layer;
    return OK;
}
