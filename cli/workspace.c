/* Workspace: see workspace.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/workspace.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/file.h"

#define DIGEST_FILE_MAX 256
#define POSITION_FILE_MAX 4096
#define PENDING " pending"

/* ---- paths and files ---- */

struct result workspace_locate(const char *dir, const char *name, struct workspace_path *out,
                               struct err *err) {
    int n = snprintf(out->text, sizeof out->text, "%s/%s", dir, name);
    ENSURE(n > 0 && (size_t)n < sizeof out->text, err, CONFIG, "--workspace: the path is too long");
    return OK;
}

struct result workspace_choose(const char *dir, const char *given, const char *name,
                               struct workspace_path *out, struct err *err) {
    if (given == NULL) {
        return workspace_locate(dir, name, out, err);
    }
    ENSURE(strlen(given) < sizeof out->text, err, USAGE, "the path of %s is too long", name);
    snprintf(out->text, sizeof out->text, "%s", given);
    return OK;
}

struct result workspace_read(const char *dir, const char *name, size_t limit, struct buf *out,
                             bool *found, struct err *err) {
    struct workspace_path path = {0};
    TRY(workspace_locate(dir, name, &path, err));
    struct result r = file_read(path.text, limit, out, err);
    *found = is_ok(r);
    return r.code == ERR_NOT_FOUND ? OK : r;
}

/* A history has up to a thousand files, and each write waits for the disk twice. */
static bool is_there(const char *path, struct span bytes) {
    AUTO(buf_deinit)
    struct buf present = {0};
    return is_ok(file_read(path, bytes.size, &present, NULL)) &&
           span_equal(buf_span(&present), bytes);
}

struct result workspace_write(const char *dir, const char *name, struct span bytes,
                              struct err *err) {
    struct workspace_path path = {0};
    struct workspace_path folder = {0};
    TRY(workspace_locate(dir, "verify", &folder, err));
    TRY(workspace_locate(dir, name, &path, err));
    if (is_there(path.text, bytes)) {
        return OK;
    }
    TRY(file_mkdirs(folder.text, 0755, err));
    return file_write(path.text, bytes, 0644, err);
}

struct result workspace_remove(const char *dir, const char *name, struct err *err) {
    struct workspace_path path = {0};
    TRY(workspace_locate(dir, name, &path, err));
    ENSURE(unlink(path.text) == 0 || errno == ENOENT, err, IO, "%s: %s", path.text,
           strerror(errno));
    return OK;
}

/* ---- digests ---- */

static struct span trim(const struct buf *text) {
    size_t size = text->size;
    while (size > 0 && strchr(" \t\r\n", text->data[size - 1]) != NULL) {
        size--;
    }
    return span_of(text->data, size);
}

static RESULT decode_digest(struct span text, const char *dir, const char *name, uint8_t out[32],
                            struct err *err) {
    struct result r = hex_decode(text, out, 32, NULL);
    return is_ok(r) ? r
                    : err_set(err, ERR_CONFIG,
                              "%s/%s: want 64 hexadecimal digits; remove the file and run "
                              "`contrast verify`",
                              dir, name);
}

struct result workspace_read_digest(const char *dir, const char *name, uint8_t out[32], bool *found,
                                    struct err *err) {
    AUTO(buf_deinit)
    struct buf text = {0};
    TRY(workspace_read(dir, name, DIGEST_FILE_MAX, &text, found, err));
    return *found ? decode_digest(trim(&text), dir, name, out, err) : OK;
}

static RESULT write_digest(const char *dir, const char *name, const uint8_t digest[32],
                           const char *more, struct err *err) {
    AUTO(buf_deinit)
    struct buf text = {0};
    char hex[65];
    hex_encode(span_of(digest, 32), hex);
    buf_appendf(&text, "%s%s\n", hex, more);
    return workspace_write(dir, name, buf_span(&text), err);
}

struct result workspace_write_digest(const char *dir, const char *name, const uint8_t digest[32],
                                     struct err *err) {
    return write_digest(dir, name, digest, "", err);
}

struct result workspace_read_cluster(const char *dir, struct workspace_cluster *out,
                                     struct err *err) {
    AUTO(buf_deinit)
    struct buf text = {0};
    struct workspace_cluster c = {0};
    TRY(workspace_read(dir, WORKSPACE_CLUSTER, DIGEST_FILE_MAX, &text, &c.is_known, err));
    if (c.is_known) {
        struct span line = trim(&text);
        size_t suffix = strlen(PENDING);
        c.is_pending = line.size == 64 + suffix && memcmp(line.data + 64, PENDING, suffix) == 0;
        line.size -= c.is_pending ? suffix : 0;
        TRY(decode_digest(line, dir, WORKSPACE_CLUSTER, c.id, err));
    }
    *out = c;
    return OK;
}

struct result workspace_write_cluster(const char *dir, const uint8_t id[32], bool is_pending,
                                      struct err *err) {
    return write_digest(dir, WORKSPACE_CLUSTER, id, is_pending ? PENDING : "", err);
}

/* ---- the last position ---- */

void position_encode(const struct position *p, struct buf *out) {
    char cluster[65];
    char root[97];
    char head[65];
    hex_encode(SPAN(p->cluster), cluster);
    hex_encode(SPAN(p->ledger_root), root);
    hex_encode(SPAN(p->head), head);
    buf_appendf(out,
                "{\n  \"cluster\": \"%s\",\n  \"epoch\": %" PRIu64 ",\n  \"ledger_size\": %" PRIu64
                ",\n  \"ledger_root\": \"%s\",\n",
                cluster, p->epoch, p->ledger_size, root);
    buf_appendf(out, "  \"confirmed_index\": %" PRIu64 ",\n", p->confirmed_index);
    buf_appendf(out, "  \"head\": \"%s\",\n  \"generation\": %" PRIu64 "\n}\n", head,
                p->generation);
}

static RESULT read_number(const json_t *o, const char *key, uint64_t *out, struct err *err) {
    const json_t *v = json_object_get(o, key);
    ENSURE(json_is_integer(v) && json_integer_value(v) >= 0, err, CONFIG, "%s: want a number", key);
    *out = (uint64_t)json_integer_value(v);
    return OK;
}

static RESULT read_hex(const json_t *o, const char *key, uint8_t *out, size_t size,
                       struct err *err) {
    const char *text = json_string_value(json_object_get(o, key));
    ENSURE(text != NULL && is_ok(hex_decode(span_str(text), out, size, NULL)), err, CONFIG,
           "%s: want %zu hexadecimal digits", key, 2 * size);
    return OK;
}

static RESULT read_members(const json_t *o, struct position *p, struct err *err) {
    TRY(read_hex(o, "cluster", p->cluster, sizeof p->cluster, err));
    TRY(read_number(o, "epoch", &p->epoch, err));
    TRY(read_number(o, "ledger_size", &p->ledger_size, err));
    TRY(read_hex(o, "ledger_root", p->ledger_root, sizeof p->ledger_root, err));
    TRY(read_number(o, "confirmed_index", &p->confirmed_index, err));
    TRY(read_hex(o, "head", p->head, sizeof p->head, err));
    return read_number(o, "generation", &p->generation, err);
}

struct result position_decode(struct span json, struct position *out, struct err *err) {
    struct position p = {.is_confirmed = true};
    ENSURE(json.size <= POSITION_FILE_MAX, err, CONFIG, "over %d bytes", POSITION_FILE_MAX);
    json_t *root = json_loadb((const char *)json.data, json.size, JSON_REJECT_DUPLICATES, NULL);
    struct result r = json_is_object(root) ? read_members(root, &p, err)
                                           : err_set(err, ERR_CONFIG, "not a JSON object");
    json_decref(root);
    if (is_ok(r)) {
        *out = p;
    }
    return r;
}

/* ---- comparing ---- */

static RESULT behind(const struct position *now, struct err *err, const char *what, uint64_t is,
                     uint64_t was) {
    return now->is_confirmed
               ? err_set(err, ERR_ROLLBACK,
                         "the Coordinator confirms %s %" PRIu64 ", and had confirmed %" PRIu64
                         " before: its state was rolled back",
                         what, is, was)
               : err_set(err, ERR_UNVERIFIABLE,
                         "this replica is at %s %" PRIu64 " and no quorum confirms it; %" PRIu64
                         " was verified before: ask another replica",
                         what, is, was);
}

static RESULT compare_history(const struct position *old, const struct position *now,
                              const uint8_t (*heads)[32], struct err *err) {
    if (now->generation < old->generation) {
        return behind(now, err, "generation", now->generation, old->generation);
    }
    ENSURE(old->generation == 0 || memcmp(heads[old->generation - 1], old->head, 32) == 0, err,
           FORK,
           "generation %" PRIu64
           " is not the transition that was verified before: there are two histories",
           old->generation);
    return OK;
}

struct result position_compare(const struct position *old, const struct position *now,
                               const uint8_t (*heads)[32], struct err *err) {
    ENSURE(memcmp(old->cluster, now->cluster, 32) == 0, err, DIFFERS,
           "this is another cluster than the one that this workspace knows");
    if (now->epoch < old->epoch) {
        return behind(now, err, "epoch", now->epoch, old->epoch);
    }
    TRY(compare_history(old, now, heads, err)); /* a recovery keeps the history */
    if (now->epoch > old->epoch) {
        return OK; /* its log and its ledger go on from where the share owners said */
    }
    ENSURE(
        now->ledger_size != old->ledger_size || memcmp(now->ledger_root, old->ledger_root, 48) == 0,
        err, FORK, "ledger of %" PRIu64 " entries with another root than before", now->ledger_size);
    if (now->is_confirmed && now->confirmed_index < old->confirmed_index) {
        return behind(now, err, "index", now->confirmed_index, old->confirmed_index);
    }
    return now->ledger_size < old->ledger_size
               ? behind(now, err, "ledger size", now->ledger_size, old->ledger_size)
               : OK;
}
