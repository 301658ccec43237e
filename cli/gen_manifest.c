/* The manifest under construction: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/gen_manifest.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/gen_keep.h"
#include "cli/gen_references.h"
#include "lib/base/file.h"
#include "lib/base/limits.h"
#include "lib/crypto/key.h"
#include "lib/manifest/manifest.h"

void gen_manifest_init(struct gen_manifest *m) {
    *m = (struct gen_manifest){.references = json_array(),
                               .owners = json_array(),
                               .shares = json_array(),
                               .pods = json_array(),
                               .recovery = json_object()};
}

void gen_manifest_deinit(struct gen_manifest *m) {
    json_decref(m->references);
    json_decref(m->owners);
    json_decref(m->shares);
    json_decref(m->pods);
    json_decref(m->before);
    json_decref(m->recovery);
    *m = (struct gen_manifest){0};
}

/* --- Sorted lists of unique strings */

static void insert(json_t *list, const char *text) {
    size_t i = 0;
    for (; i < json_array_size(list); i++) {
        int order = strcmp(json_string_value(json_array_get(list, i)), text);
        if (order == 0) {
            return;
        }
        if (order > 0) {
            break;
        }
    }
    json_array_insert_new(list, i, json_string(text));
}

static void insert_hex(json_t *list, struct span bytes) {
    char *hex = mem_alloc(2 * bytes.size + 1);
    hex_encode(bytes, hex);
    insert(list, hex);
    mem_free(hex);
}

static void insert_all(json_t *list, const json_t *items) {
    for (size_t i = 0; i < json_array_size(items); i++) {
        insert(list, json_string_value(json_array_get(items, i)));
    }
}

static void join(const json_t *list, struct buf *out) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        buf_appendf(out, "%s%s", i > 0 ? "," : "", json_string_value(json_array_get(list, i)));
    }
}

/* --- The manifest before */

/* What a person wrote by hand about recovery stays. */
static void keep_recovery(struct gen_manifest *m, const json_t *root) {
    static const char *const names[] = {"SeedShareOwnerThreshold", "AutoRecovery"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        json_t *value = json_object_get(root, names[i]);
        if (value != NULL) {
            json_object_set(m->recovery, names[i], value);
        }
    }
}

RESULT gen_manifest_load(struct gen_manifest *m, const char *path, struct err *err) {
    if (access(path, F_OK) != 0) {
        return OK;
    }
    AUTO(buf_deinit)
    struct buf text = {0};
    TRY(file_read(path, LIMIT_MANIFEST, &text, err));
    AUTO(manifest_deinit)
    struct manifest checked = {0};
    struct result r = manifest_parse(buf_span(&text), &checked, err);
    if (!is_ok(r)) {
        return err_wrap(r, err, "%s", path);
    }
    json_t *root = json_loadb((const char *)text.data, text.size, 0, NULL);
    json_array_extend(m->references,
                      json_object_get(json_object_get(root, "ReferenceValues"), "snp"));
    insert_all(m->owners, json_object_get(root, "WorkloadOwnerKeyDigests"));
    insert_all(m->shares, json_object_get(root, "SeedshareOwnerPubKeys"));
    keep_recovery(m, root);
    json_decref(m->before);
    m->before = json_incref(json_object_get(root, "Policies"));
    json_decref(root);
    return OK;
}

/* --- Reference values */

RESULT gen_manifest_read_references(struct gen_manifest *m, const struct cli_list *paths,
                                    struct err *err) {
    if (paths->count > 0) {
        json_array_clear(m->references);
        TRY(gen_references_read(m->references, paths, err));
    }
    ENSURE(json_array_size(m->references) > 0, err, USAGE,
           "no reference values: name a file of them with --reference-values");
    return OK;
}

/* --- Keys */

static RESULT read_key(const char *path, struct key *key, struct err *err) {
    AUTO(buf_deinit)
    struct buf pem = {0};
    TRY(file_read(path, LIMIT_PEM, &pem, err));
    struct result r = key_from_pem(buf_span(&pem), key, err);
    return is_ok(r) ? r : err_wrap(r, err, "%s", path);
}

static RESULT make_key(const char *path, enum key_kind kind, struct gen_files *outputs,
                       struct key *key, struct err *err) {
    TRY(key_generate(kind, key, err));
    AUTO(buf_deinit)
    struct buf pem = {0};
    key_to_pem(key, true, &pem);
    return gen_files_add(outputs, path, buf_span(&pem), 0600, err);
}

static RESULT insert_owner(struct gen_manifest *m, const char *path, const struct key *key,
                           struct err *err) {
    enum key_kind kind = key_kind_of(key);
    ENSURE(kind == KEY_P384 || kind == KEY_P256 || kind == KEY_ED25519, err, INVALID,
           "%s: an owner key must be P-384, P-256 or Ed25519", path);
    uint8_t digest[32];
    key_digest(key, digest);
    insert_hex(m->owners, SPAN(digest));
    return OK;
}

static RESULT insert_share(struct gen_manifest *m, const char *path, const struct key *key,
                           struct err *err) {
    ENSURE(key_kind_of(key) == KEY_RSA, err, INVALID, "%s: a share owner's key must be RSA", path);
    AUTO(buf_deinit)
    struct buf der = {0};
    key_pkcs1(key, &der);
    insert_hex(m->shares, buf_span(&der));
    return OK;
}

struct key_role {
    enum key_kind kind;
    RESULT(*insert)
    (struct gen_manifest *m, const char *path, const struct key *key, struct err *err);
};

static RESULT add_keys(struct gen_manifest *m, const struct key_role *role, bool has_kept,
                       const struct cli_list *paths, const char *fallback,
                       struct gen_files *outputs, struct err *err) {
    for (size_t i = 0; i < paths->count; i++) {
        AUTO(key_deinit)
        struct key key = {0};
        TRY(read_key(paths->items[i], &key, err));
        TRY(role->insert(m, paths->items[i], &key, err));
    }
    if (paths->count > 0 || has_kept) {
        return OK;
    }
    AUTO(key_deinit)
    struct key key = {0};
    TRY(access(fallback, F_OK) == 0 ? read_key(fallback, &key, err)
                                    : make_key(fallback, role->kind, outputs, &key, err));
    return role->insert(m, fallback, &key, err);
}

RESULT gen_manifest_add_owners(struct gen_manifest *m, const struct cli_list *paths,
                               const char *fallback, struct gen_files *outputs, struct err *err) {
    static const struct key_role role = {KEY_P384, insert_owner};
    return add_keys(m, &role, json_array_size(m->owners) > 0, paths, fallback, outputs, err);
}

RESULT gen_manifest_add_shares(struct gen_manifest *m, const struct cli_list *paths,
                               const char *fallback, struct gen_files *outputs, struct err *err) {
    static const struct key_role role = {KEY_RSA, insert_share};
    return add_keys(m, &role, json_array_size(m->shares) > 0, paths, fallback, outputs, err);
}

void gen_manifest_set_threshold(struct gen_manifest *m, int64_t threshold) {
    if (threshold != 0) {
        json_object_set_new(m->recovery, "SeedShareOwnerThreshold", json_integer(threshold));
    }
}

void gen_manifest_owner_list(const struct gen_manifest *m, struct buf *out) {
    join(m->owners, out);
}

void gen_manifest_root_list(const struct gen_manifest *m, struct buf *out) {
    json_t *roots = json_array();
    for (size_t i = 0; i < json_array_size(m->references); i++) {
        const json_t *list = json_object_get(json_array_get(m->references, i), "SimulatedRoots");
        for (size_t k = 0; k < json_array_size(list); k++) {
            if (json_is_string(json_array_get(list, k))) {
                insert(roots, json_string_value(json_array_get(list, k)));
            }
        }
    }
    join(roots, out);
    json_decref(roots);
}

/* --- Policies and the text */

static bool has_policy(const struct gen_manifest *m, const char *hash) {
    for (size_t i = 0; i < json_array_size(m->pods); i++) {
        const json_t *other = json_object_get(json_array_get(m->pods, i), "hash");
        if (strcmp(json_string_value(other), hash) == 0) {
            return true;
        }
    }
    return false;
}

RESULT gen_manifest_add_policy(struct gen_manifest *m, const char *hash, const struct workload *w,
                               struct err *err) {
    if (!has_policy(m, hash)) {
        gen_keep_add(m->pods, hash, w);
        return OK;
    }
    if (w->is_name_prefix) {
        return OK; /* Kubernetes gives each a name of its own: pods of one policy */
    }
    return yaml_fail(w->file, w->pod, err, "%s/%s in namespace %s stands twice in the files",
                     w->kind, w->name, w->namespace);
}

RESULT gen_manifest_print(const struct gen_manifest *m, struct buf *out, struct err *err) {
    json_t *root =
        json_pack("{s:o, s:{s:O}, s:O, s:O}", "Policies", gen_keep_entries(m->pods, m->before),
                  "ReferenceValues", "snp", m->references, "WorkloadOwnerKeyDigests", m->owners,
                  "SeedshareOwnerPubKeys", m->shares);
    CHECK(root != NULL);
    json_object_update(root, m->recovery);
    char *text = json_dumps(root, JSON_INDENT(2));
    json_decref(root);
    CHECK(text != NULL);
    AUTO(buf_deinit)
    struct buf lines = {0};
    buf_appendf(&lines, "%s\n", text);
    free(text);
    AUTO(manifest_deinit)
    struct manifest checked = {0};
    TRY(manifest_parse(buf_span(&lines), &checked, err));
    buf_append_span(out, buf_span(&lines));
    return OK;
}
