/* Owner key: see owner_key.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/owner_key.h"

#include "lib/base/file.h"

#define KEY_FILE_MAX (64 * 1024)

void owner_key_deinit(struct owner_key *k) {
    key_deinit(&k->key);
    buf_deinit(&k->spki);
}

static RESULT check(struct owner_key *k, struct err *err) {
    ENSURE(key_is_private(&k->key), err, CONFIG,
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
