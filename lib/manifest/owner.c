/* Owner: see owner.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/manifest/owner.h"

#include "lib/crypto/digest.h"

static const char retire_domain[] = "contrast-retire-v1"; /* signed with its NUL */

/* RSA keys hold shares; their signatures would not even fit (LIMIT_SIGNATURE). */
static bool may_sign(const struct key *k) {
    enum key_kind kind = key_kind_of(k);
    return kind == KEY_P256 || kind == KEY_P384 || kind == KEY_ED25519;
}

struct result owner_sign(const struct key *owner, struct span message, struct buf *signature,
                         struct err *err) {
    ENSURE(may_sign(owner), err, INVALID,
           "cannot sign with this kind of key: want P-256, P-384, Ed25519");
    return key_sign(owner, message, signature, err);
}

static RESULT check_signature(struct span message, struct span spki, struct span signature,
                              struct err *err) {
    AUTO(key_deinit)
    struct key signer = {0};
    TRY(key_from_spki(spki, &signer, err));
    ENSURE(may_sign(&signer), err, SIGNATURE, "signature of an unknown kind of key");
    return key_verify(&signer, message, signature, err);
}

struct result owner_verify(struct span message, struct span spki, struct span signature,
                           const struct manifest *authority, struct err *err) {
    uint8_t digest[SHA256_SIZE];
    sha256(spki, digest);
    if (!manifest_has_owner(authority, digest)) {
        char hex[2 * SHA256_SIZE + 1];
        hex_encode(SPAN(digest), hex);
        return err_set(err, ERR_SIGNATURE, "signed by key %s, not an owner of this manifest", hex);
    }
    struct err cause = {0};
    struct result r = check_signature(message, spki, signature, &cause);
    return is_ok(r) ? OK : err_set(err, ERR_SIGNATURE, "%.900s", cause.text);
}

void owner_retire_bytes(const uint8_t cluster[32], uint64_t epoch, uint64_t id, struct buf *out) {
    buf_append(out, retire_domain, sizeof retire_domain);
    buf_append(out, cluster, 32);
    buf_append_u64be(out, epoch);
    buf_append_u64be(out, id);
}
