/* Renewal status: see renewal_status.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "initializer/renewal_status.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/limits.h"

#define HEX_MAX 48 /* bytes of the longest hexadecimal member */

/* ---- writing ---- */

static json_t *make_hex(const uint8_t *bytes, size_t size) {
    char text[2 * HEX_MAX + 1];
    CHECK(size <= HEX_MAX);
    hex_encode(span_of(bytes, size), text);
    return json_string(text);
}

/* JSON readers, ours too, stop at 63 bits; no position comes near. */
static json_t *make_number(uint64_t v) {
    return json_integer(v < INT64_MAX ? (json_int_t)v : INT64_MAX);
}

static json_t *make_certificate(const struct renewal_status *s) {
    const struct renewal_certificate *c = &s->certificate;
    if (!s->has_certificate) {
        return json_null();
    }
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:o}", "serial",
        make_hex(c->serial, sizeof c->serial), "generation", make_number(c->generation), "epoch",
        make_number(c->epoch), "mesh_ca_sha384", make_hex(c->mesh_ca, sizeof c->mesh_ca),
        "chain_sha256", make_hex(c->chain_digest, sizeof c->chain_digest), "not_before",
        (json_int_t)c->life.not_before, "not_after", (json_int_t)c->life.not_after, "issued_at",
        (json_int_t)c->life.issued_at, "issued_monotonic_ms", make_number(c->life.issued_ms));
}

static json_t *make_seen(const struct lineage *l) {
    if (!l->is_known) {
        return json_null();
    }
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o}", "cluster", make_hex(l->cluster, sizeof l->cluster), "epoch",
        make_number(l->epoch), "generation", make_number(l->generation), "head",
        make_hex(l->head, sizeof l->head), "confirmed_index", make_number(l->confirmed_index));
}

static json_t *make_error(const struct renewal_status *s) {
    if (s->error.code == ERR_OK) {
        return json_null();
    }
    return json_pack("{s:s, s:i, s:s, s:I}", "code", err_name(s->error.code), "number",
                     (int)s->error.code, "text", s->error.text, "at", (json_int_t)s->error_at);
}

void renewal_status_encode(const struct renewal_status *s, bool is_expired, struct buf *out) {
    const char *state = !s->has_certificate ? "none" : is_expired ? "expired" : "valid";
    json_t *root = json_pack("{s:s, s:I, s:o, s:o, s:o}", "state", state, "last_success",
                             (json_int_t)s->last_success, "certificate", make_certificate(s),
                             "seen", make_seen(&s->seen), "last_error", make_error(s));
    char *text = json_dumps(root, JSON_INDENT(2));
    CHECK(text != NULL);
    buf_appendf(out, "%s\n", text);
    free(text);
    json_decref(root);
}

/* ---- reading ---- */

static RESULT read_number(const json_t *o, const char *key, uint64_t *out, struct err *err) {
    const json_t *v = json_object_get(o, key);
    ENSURE(json_is_integer(v) && json_integer_value(v) >= 0, err, CONFIG, "%s: want a number", key);
    *out = (uint64_t)json_integer_value(v);
    return OK;
}

static RESULT read_time(const json_t *o, const char *key, int64_t *out, struct err *err) {
    uint64_t v = 0;
    TRY(read_number(o, key, &v, err));
    ENSURE(v <= (uint64_t)RENEWAL_TIME_MAX, err, CONFIG, "%s: not a time in seconds", key);
    *out = (int64_t)v;
    return OK;
}

static RESULT read_hex(const json_t *o, const char *key, uint8_t *out, size_t size,
                       struct err *err) {
    const char *text = json_string_value(json_object_get(o, key));
    ENSURE(text != NULL && is_ok(hex_decode(span_str(text), out, size, NULL)), err, CONFIG,
           "%s: want %zu hexadecimal digits", key, 2 * size);
    return OK;
}

/* A member that is an object, or null: then NULL. */
static RESULT read_object(const json_t *root, const char *key, size_t members, const json_t **out,
                          struct err *err) {
    const json_t *v = json_object_get(root, key);
    ENSURE(json_is_null(v) || (json_is_object(v) && json_object_size(v) == members), err, CONFIG,
           "%s: want null or an object of %zu members", key, members);
    *out = json_is_null(v) ? NULL : v;
    return OK;
}

static RESULT read_certificate(const json_t *root, struct renewal_status *s, struct err *err) {
    const json_t *o = NULL;
    struct renewal_certificate *c = &s->certificate;
    TRY(read_object(root, "certificate", 9, &o, err));
    s->has_certificate = o != NULL;
    if (o == NULL) {
        return OK;
    }
    TRY(read_hex(o, "serial", c->serial, sizeof c->serial, err));
    TRY(read_number(o, "generation", &c->generation, err));
    TRY(read_number(o, "epoch", &c->epoch, err));
    TRY(read_hex(o, "mesh_ca_sha384", c->mesh_ca, sizeof c->mesh_ca, err));
    TRY(read_hex(o, "chain_sha256", c->chain_digest, sizeof c->chain_digest, err));
    TRY(read_time(o, "not_before", &c->life.not_before, err));
    TRY(read_time(o, "not_after", &c->life.not_after, err));
    TRY(read_time(o, "issued_at", &c->life.issued_at, err));
    return read_number(o, "issued_monotonic_ms", &c->life.issued_ms, err);
}

static RESULT read_seen(const json_t *root, struct lineage *l, struct err *err) {
    const json_t *o = NULL;
    TRY(read_object(root, "seen", 5, &o, err));
    l->is_known = o != NULL;
    if (o == NULL) {
        return OK;
    }
    TRY(read_hex(o, "cluster", l->cluster, sizeof l->cluster, err));
    TRY(read_number(o, "epoch", &l->epoch, err));
    TRY(read_number(o, "generation", &l->generation, err));
    TRY(read_hex(o, "head", l->head, sizeof l->head, err));
    return read_number(o, "confirmed_index", &l->confirmed_index, err);
}

/* What went wrong in an earlier process is over: only its form is checked. */
static RESULT check_error(const json_t *root, struct err *err) {
    const json_t *o = NULL;
    uint64_t number = 0;
    TRY(read_object(root, "last_error", 4, &o, err));
    if (o == NULL) {
        return OK;
    }
    ENSURE(json_is_string(json_object_get(o, "code")) && json_is_string(json_object_get(o, "text")),
           err, CONFIG, "last_error: want code and text");
    TRY(read_number(o, "number", &number, err));
    return read_number(o, "at", &number, err);
}

static RESULT read_members(const json_t *root, struct renewal_status *s, struct err *err) {
    ENSURE(json_object_size(root) == 5 && json_is_string(json_object_get(root, "state")), err,
           CONFIG, "want an object of 5 members, one of them state");
    TRY(read_time(root, "last_success", &s->last_success, err));
    TRY(err_wrap(read_certificate(root, s, err), err, "certificate"));
    TRY(err_wrap(read_seen(root, &s->seen, err), err, "seen"));
    return check_error(root, err);
}

struct result renewal_status_decode(struct span json, struct renewal_status *out, struct err *err) {
    struct renewal_status s = {0};
    ENSURE(json.size <= LIMIT_RENEWAL_STATUS, err, CONFIG, "over %d bytes", LIMIT_RENEWAL_STATUS);
    json_t *root = json_loadb((const char *)json.data, json.size, JSON_REJECT_DUPLICATES, NULL);
    struct result r = json_is_object(root) ? read_members(root, &s, err)
                                           : err_set(err, ERR_CONFIG, "not a JSON object");
    json_decref(root);
    if (is_ok(r)) {
        *out = s;
    }
    return r;
}

/* ---- the file ---- */

#define STATUS_PATH RENEWAL_STATUS_FOLDER "/" RENEWAL_STATUS_NAME

static RESULT locate(const char *dir, const char *name, char path[static PATH_MAX],
                     struct err *err) {
    int n = snprintf(path, PATH_MAX, "%s/%s", dir, name);
    ENSURE(n > 0 && n < PATH_MAX, err, CONFIG, "CONTRAST_DIR: the path is too long");
    return OK;
}

struct result renewal_status_load(const char *dir, struct renewal_status *out, struct err *err) {
    char path[PATH_MAX];
    AUTO(buf_deinit)
    struct buf text = {0};
    TRY(locate(dir, STATUS_PATH, path, err));
    TRY(file_read(path, LIMIT_RENEWAL_STATUS, &text, err));
    return err_wrap(renewal_status_decode(buf_span(&text), out, err), err, "%s", path);
}

static RESULT ensure_link(const char *dir, struct err *err) {
    char path[PATH_MAX];
    TRY(locate(dir, RENEWAL_STATUS_NAME, path, err));
    ENSURE(symlink(STATUS_PATH, path) == 0 || errno == EEXIST, err, IO, "%s: %s", path,
           strerror(errno));
    return OK;
}

struct result renewal_status_store(const char *dir, const struct renewal_status *s, bool is_expired,
                                   struct err *err) {
    char path[PATH_MAX];
    AUTO(buf_deinit)
    struct buf text = {0};
    renewal_status_encode(s, is_expired, &text);
    TRY(locate(dir, RENEWAL_STATUS_FOLDER, path, err));
    TRY(file_mkdirs(path, 0755, err));
    TRY(locate(dir, STATUS_PATH, path, err));
    TRY(file_write(path, buf_span(&text), 0444, err));
    return ensure_link(dir, err);
}
