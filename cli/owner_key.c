/* Owner key: see owner_key.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/owner_key.h"

#include "lib/base/file.h"
#include "lib/base/limits.h"
#include "lib/manifest/owner.h"

#define KEY_FILE_MAX (64 * 1024)

void owner_key_deinit(struct owner_key *k) {
    key_deinit(&k->key);
    buf_deinit(&k->spki);
    buf_deinit(&k->signature);
}

static RESULT check(struct owner_key *k, struct err *err) {
    ENSURE(k->is_detached || key_is_private(&k->key), err, CONFIG,
           "%s: holds a public key alone; signing needs the private one", k->path.text);
    enum key_kind kind = key_kind_of(&k->key);
    ENSURE(kind == KEY_P256 || kind == KEY_P384 || kind == KEY_ED25519, err, CONFIG,
           "%s: want a P-384, P-256 or Ed25519 key", k->path.text);
    key_spki(&k->key, &k->spki);
    key_digest(&k->key, k->digest);
    return OK;
}

struct result owner_key_load(const char *workspace, const char *given, struct owner_key *out,
                             struct err *err) {
    AUTO(buf_deinit)
    struct buf pem = {0};
    AUTO(owner_key_deinit)
    struct owner_key k = {0};
    TRY(workspace_choose(workspace, given, "workload-owner.pem", &k.path, err));
    struct result r = file_read(k.path.text, KEY_FILE_MAX, &pem, err);
    if (r.code == ERR_NOT_FOUND) {
        return err_set(err, ERR_CONFIG,
                       "%s: no such file; it is a workload owner who signs: run `contrast "
                       "generate`, or name the key with --workload-owner-key",
                       k.path.text);
    }
    TRY(r);
    TRY(err_wrap(key_from_pem(buf_span(&pem), &k.key, err), err, "%s", k.path.text));
    TRY(check(&k, err));
    *out = k;
    k = (struct owner_key){0};
    return OK;
}

static RESULT read_file(const char *path, size_t limit, struct buf *out, struct err *err) {
    struct result r = file_read(path, limit, out, err);
    return r.code == ERR_NOT_FOUND ? err_set(err, ERR_CONFIG, "%s: no such file", path) : r;
}

struct result owner_key_load_detached(const char *signature, const char *signer,
                                      struct owner_key *out, struct err *err) {
    AUTO(buf_deinit)
    struct buf pem = {0};
    AUTO(owner_key_deinit)
    struct owner_key k = {.is_detached = true};
    ENSURE(signer != NULL, err, USAGE,
           "--signature needs --signer: the PEM file with the public key that made it");
    TRY(workspace_choose(".", signer, "", &k.path, err));
    TRY(read_file(signer, KEY_FILE_MAX, &pem, err));
    TRY(err_wrap(key_from_pem(buf_span(&pem), &k.key, err), err, "%s", signer));
    TRY(check(&k, err));
    TRY(read_file(signature, LIMIT_SIGNATURE, &k.signature, err));
    ENSURE(k.signature.size > 0, err, CONFIG, "%s: is empty", signature);
    *out = k;
    k = (struct owner_key){0};
    return OK;
}

struct result owner_key_sign(const struct owner_key *k, struct span message, struct buf *signature,
                             struct err *err) {
    if (!k->is_detached) {
        return owner_sign(&k->key, message, signature, err);
    }
    ENSURE(is_ok(key_verify(&k->key, message, buf_span(&k->signature), NULL)), err, SIGNATURE,
           "the signature is not one of %s over this transition: it was made for another manifest, "
           "or the head moved; run `contrast sign --prepare` again",
           k->path.text);
    buf_append_span(signature, buf_span(&k->signature));
    return OK;
}
